// The queue as it is now: what is in flight, and what waits, in the order in which it goes out. What has just left is shown for a moment in its old place,
// with its outcome, without a number and without a button. Not here: how that is known (leaving.ts), stopping commands (cancel.tsx, cancel-all.tsx).

import { type DeviceQueue, State, stateName } from '@downlink/client'
import { useMemo } from 'preact/hooks'
import { durationText, now } from '../clock.ts'
import type { Look } from '../live.ts'
import { Empty } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { StateBadge } from '../parts/state.tsx'
import { Age, Left } from '../parts/time.tsx'
import { ShortValue } from '../parts/value.tsx'
import { Who } from '../parts/who.tsx'
import { useSession } from '../signed-in.tsx'
import { number } from '../words.ts'
import { Current } from './body.tsx'
import { AttemptNotice, CancelAll, CancelOne } from './cancel.tsx'
import { cancelWords } from './cancel-words.ts'
import { attemptsOf } from './cancelling.ts'
import { InFlight } from './in-flight.tsx'
import type { Leaving } from './leaving.ts'
import { What } from './what.tsx'
import { words } from './words.ts'

type Queued = DeviceQueue['commands'][number]

export const Queue = ({
  data: { device, commands },
  look,
  leaving,
}: {
  data: DeviceQueue
  look: Look<DeviceQueue>
  leaving: readonly Leaving[]
}) => {
  const say = words()
  const waiting = commands.filter(({ state }) => state === State.created)
  const sent = commands.find(({ state }) => state === State.sent) ?? null
  // Of what has left, what had been sent is shown where it was: in flight.
  const leftSent = leaving.findLast(({ command }) => command.state === State.sent) ?? null
  const leftWaiting = leaving.filter(({ command }) => command.state === State.created)
  const { isCurrent } = look
  const isEmpty = waiting.length + leftWaiting.length === 0
  return (
    <div class="stack queue">
      <Current isCurrent={isCurrent}>
        <InFlight command={sent} left={leftSent} zone={device.timezone} />
      </Current>
      <Card
        title={<Current isCurrent={isCurrent}>{say.waiting(number(waiting.length))}</Current>}
        beside={<CancelAll device={device} queue={look} />}
      >
        <Current isCurrent={isCurrent}>
          {isEmpty ? (
            <Empty icon="check" title={say.empty} hint={say.emptyHint[device.status]} />
          ) : (
            <WaitingTable waiting={waiting} left={leftWaiting} zone={device.timezone} />
          )}
        </Current>
      </Card>
      <Attempts assetId={device.assetId} zone={device.timezone} />
    </div>
  )
}

type Row = { readonly command: Queued; readonly place: number } | Leaving

/** Ids of a device only grow, and so does its queue: what has left is put back between its old neighbours by them. */
function rowsOf(waiting: readonly Queued[], left: readonly Leaving[]): readonly Row[] {
  const rows: Row[] = [...waiting.map((command, index) => ({ command, place: index + 1 })), ...left]
  return left.length === 0
    ? rows
    : rows.sort((one, other) => (one.command.commandId < other.command.commandId ? -1 : 1))
}

const WaitingTable = ({
  waiting,
  left,
  zone,
}: {
  waiting: readonly Queued[]
  left: readonly Leaving[]
  zone: string
}) => {
  const say = words()
  return (
    <div class="scroll-x">
      <table class="waiting">
        <thead>
          <tr>
            <th scope="col" class="number">
              {say.position}
            </th>
            <th scope="col" class="wide-cell">
              {say.command}
            </th>
            <th scope="col">{say.input}</th>
            <th scope="col" class="age-cell">
              {say.age}
            </th>
            <th scope="col" class="expiry-cell">
              {say.expires}
            </th>
            <th scope="col" class="sender-cell">
              {say.sender}
            </th>
            <th scope="col" class="action-cell">
              <span class="unseen">{say.action}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {rowsOf(waiting, left).map(row =>
            'place' in row ? (
              <WaitingRow key={row.command.commandId} command={row.command} place={row.place} zone={zone} />
            ) : (
              <LeavingRow key={row.command.commandId} leaving={row} />
            ),
          )}
        </tbody>
      </table>
    </div>
  )
}

/** Drawn anew only when it has moved up: each look at the server brings all of the queue, and what waits does not change but for its place. */
const WaitingRow = ({ command, place, zone }: { command: Queued; place: number; zone: string }) => {
  const { commandId, state } = command
  const cells = useMemo(() => <WaitingCells command={command} zone={zone} />, [commandId, zone])
  return (
    <tr data-command-id={commandId} data-state={stateName[state]} data-place={place}>
      <td class="number place">{place}</td>
      {cells}
    </tr>
  )
}

const WaitingCells = ({ command, zone }: { command: Queued; zone: string }) => {
  const { inputData, createTime, expireAt, createdBy } = command
  return (
    <>
      <td class="wide-cell">
        <What command={command} />
      </td>
      <td class="input-cell">
        <ShortValue value={inputData} />
      </td>
      <td class="age-cell" data-label={words().age}>
        <Age at={Number(createTime)} zone={zone} />
      </td>
      <td class="expiry-cell" data-label={words().expires}>
        <Expiry at={expireAt} zone={zone} />
      </td>
      <td class="sender-cell">
        <Who by={createdBy} />
      </td>
      <td class="action-cell">
        <CancelOne command={command} zone={zone} result="elsewhere" />
      </td>
    </>
  )
}

/** ms before its end at which a wait is said to be over soon */
const SOON_MS = 60_000

const Expiry = ({ at, zone }: { at: number; zone: string }) => {
  const isSoon = at - now.value < SOON_MS
  return (
    <span class={isSoon ? 'soon' : undefined}>
      <Left at={at} zone={zone} />
      {isSoon && <span class="tag">{words().soon}</span>}
    </span>
  )
}

const LeavingRow = ({ leaving: { command, state } }: { leaving: Leaving }) => {
  const waitedMs = now.peek() - Number(command.createTime)
  return (
    <tr class="leaving" data-command-id={command.commandId} data-state={stateName[state]} data-leaving>
      <td class="number place" aria-label={words().gone}>
        –
      </td>
      <td class="wide-cell">
        <What command={command} />
      </td>
      <td class="input-cell">
        <ShortValue value={command.inputData} />
      </td>
      <td class="age-cell" data-label={words().age}>
        <span class="ticking">{durationText(waitedMs)}</span>
      </td>
      <td colSpan={3} class="outcome-cell">
        <StateBadge state={state} />
      </td>
    </tr>
  )
}

/** results of cancelling that stand on the page: the last ones, and none pushes the queue about */
const ATTEMPTS_SHOWN = 4

/** What came of cancelling one or the other, at the foot of the window: the commands themselves have left. */
const Attempts = ({ assetId, zone }: { assetId: string; zone: string }) => {
  const { client } = useSession()
  const mine = [...attemptsOf(client).value.values()].filter(
    ({ target, phase }) => target.assetId === assetId && phase !== 'asking',
  )
  if (mine.length === 0) return null
  return (
    <section class="attempts" aria-label={cancelWords().results}>
      {mine.slice(-ATTEMPTS_SHOWN).map(attempt => (
        <AttemptNotice key={attempt.target.commandId} attempt={attempt} zone={zone} isNamed />
      ))}
    </section>
  )
}
