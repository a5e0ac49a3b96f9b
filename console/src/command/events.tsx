// All that happened to a command, and meanwhile to its device and the commands before it, as a table in the order in which it happened: what the drawing above
// shows, in words. Not here: the drawing (life.tsx).

import type { CommandRecord, Timeline, TimelineEvent } from '@downlink/client'
import { Fragment } from 'preact'
import { useState } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { StateBadge } from '../parts/state.tsx'
import { ShortValue } from '../parts/value.tsx'
import { Who } from '../parts/who.tsx'
import { number } from '../words.ts'
import { eventWords } from './event-words.ts'
import { isLate } from './life.ts'
import { Moment, tookText } from './moment.tsx'
import { words } from './words.ts'

/** rows of what happened meanwhile, the newest, until all are asked for: a page that nobody has to scroll for the command's own */
const MEANWHILE_ROWS = 12
const COLUMNS = 4

export const Events = ({ timeline, zone }: { timeline: Timeline; zone: string | undefined }) => {
  const say = words()
  const [isAll, setAll] = useState(false)
  const { events, waitedFor, command } = timeline
  const meanwhile = isAll ? waitedFor : waitedFor.slice(-MEANWHILE_ROWS)
  const hidden = waitedFor.length - meanwhile.length
  // The numbers that a device's events have, without a gap, are their order.
  const rows = [...events, ...meanwhile].sort((a, b) => a.seq - b.seq)
  return (
    <table class="happened">
      <caption class="unseen">{say.events}</caption>
      <thead>
        <tr>
          <th scope="col">{say.when}</th>
          <th scope="col">{say.what}</th>
          <th scope="col">{say.by}</th>
          <th scope="col" class="number">
            {say.took}
          </th>
        </tr>
      </thead>
      <tbody>
        {rows.map(event => (
          <Fragment key={event.seq}>
            {event === meanwhile[0] && hidden > 0 && <More n={hidden} onShow={() => setAll(true)} />}
            <Row event={event} command={command} zone={zone} />
          </Fragment>
        ))}
      </tbody>
    </table>
  )
}

/** In the place of those that are not shown. */
const More = ({ n, onShow }: { n: number; onShow: () => void }) => (
  <tr class="more">
    <td colSpan={COLUMNS}>
      <button type="button" class="quiet" onClick={onShow}>
        {words().showMore(number(n))}
      </button>
    </td>
  </tr>
)

const Row = ({ event, command, zone }: { event: TimelineEvent; command: CommandRecord; zone: string | undefined }) => {
  const isOwn = event.commandId === command.commandId
  return (
    <tr class={isOwn ? 'own' : 'meanwhile'} data-reason={event.reason}>
      <td>
        <Moment at={event.at} zone={zone} />
      </td>
      <td>
        <div class="happened-what">
          <What event={event} isOwn={isOwn} />
          <Detail event={event} />
        </div>
      </td>
      <td>
        <Who isFull by={event.by} />
      </td>
      <td class="number">{isOwn ? took(event, command) : ''}</td>
    </tr>
  )
}

const What = ({ event, isOwn }: { event: TimelineEvent; isOwn: boolean }) => {
  const { commandId, from, to, reason } = event
  const say = words()
  const { command, device } = eventWords()
  const isDevice = commandId === null
  const known = isDevice ? device : command
  return (
    <>
      {isDevice && <b>{say.ofDevice}</b>}
      {!isDevice && !isOwn && (
        <span>
          {say.ofBefore}{' '}
          <Link href={`/commands/${commandId}`}>
            <code>{commandId}</code>
          </Link>
        </span>
      )}
      {isLate(event) ? <b>{say.stations.late}</b> : to !== null && from !== to && <StateBadge state={to} />}
      <span>{Object.hasOwn(known, reason) ? known[reason] : reason}</span>
    </>
  )
}

/** What else an event says: each kind says something else, and all of it is another program's. */
const Detail = ({ event: { detail, reason } }: { event: TimelineEvent }) => {
  const say = words()
  if (typeof detail !== 'object' || detail === null) return null
  const {
    node,
    session,
    cancellation,
    job,
    reason: why,
    code,
    message,
    output,
  } = detail as Readonly<Record<string, unknown>>
  if (typeof node === 'number') return <span class="faint">{say.node(String(node), String(session))}</span>
  if (typeof cancellation === 'string')
    return <Link href={`/fleet/cancellations/${cancellation}`}>{say.partOfCancellation}</Link>
  if (typeof job === 'string') return <Link href={`/fleet/jobs/${job}`}>{say.partOfJob}</Link>
  if (typeof why === 'string') return <span class="faint">{why}</span>
  if (reason !== 'late reply') return <ShortValue value={detail} />
  return (
    <span class="faint">
      {say.code(String(code))}
      {typeof message === 'string' && ` “${message}”`} {typeof output === 'string' && <code>{output}</code>}
    </span>
  )
}

/** Since what came before it: its creation, its sending, or its end. */
function took({ at, latency, ...event }: TimelineEvent, { settledAt }: CommandRecord): string {
  if (isLate({ at, latency, ...event })) return settledAt === null ? '' : `+${tookText(at - settledAt)}`
  const ms = latency === null ? null : (latency.answeredMs ?? latency.waitedMs ?? latency.totalMs)
  return ms === null || event.from === null ? '' : tookText(ms)
}
