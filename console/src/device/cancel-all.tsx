// Stopping all that waits for a device: a question that says how many, as long as it is open, and a result that says of each what became of it.
// Not here: how that is found out (cancelling.ts), cancelling one (cancel.tsx).

import { type DeviceLine, type DeviceQueue, State } from '@downlink/client'
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { may } from '../grants.ts'
import type { Look } from '../live.ts'
import { Dialog } from '../parts/dialog.tsx'
import { Icon } from '../parts/icon.tsx'
import { Notice } from '../parts/notice.tsx'
import { headingOf, Problem } from '../parts/problem.tsx'
import { StateBadge } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { useSession } from '../signed-in.tsx'
import { nameOf, number } from '../words.ts'
import './cancel.css'
import { cancelWords } from './cancel-words.ts'
import { type AllCancelled, cancelAll, type Left, onRecord, type Target } from './cancelling.ts'

type Queued = DeviceQueue['commands'][number]

const waitingOf = (queue: DeviceQueue | null): readonly Queued[] =>
  (queue?.commands ?? []).filter(({ state }) => state === State.created)

/**
 * The button and its dialog. `queue` is the live look at the queue: the button is there while something waits, and nothing can be confirmed while the look is
 * not current. Nothing where the grants do not allow it. `onDone` is called when it is known what came of it.
 */
export const CancelAll = ({
  device,
  queue,
  onDone,
}: {
  device: DeviceLine
  queue: Look<DeviceQueue>
  onDone?: ((result: AllCancelled) => void) | undefined
}) => {
  const { grants } = useSession()
  const [isOpen, setOpen] = useState(false)
  const words = cancelWords()
  const { length } = waitingOf(queue.data)
  if (!may(grants, 'Asset', 'Control', device)) return null
  return (
    <>
      {length > 0 && queue.isCurrent && (
        <button type="button" class="danger" onClick={() => setOpen(true)} data-cancel-all>
          <Icon name="stop" size={14} />
          {words.allOf(number(length))}
        </button>
      )}
      {isOpen && <AllDialog device={device} queue={queue} onDone={onDone} onClose={() => setOpen(false)} />}
    </>
  )
}

/** How far it is. */
type Phase =
  | { readonly name: 'asked'; readonly error: unknown }
  | { readonly name: 'cancelling' }
  | { readonly name: 'unheard' }
  | { readonly name: 'done'; readonly result: AllCancelled }

const AllDialog = ({
  device,
  queue,
  onDone,
  onClose,
}: {
  device: DeviceLine
  queue: Look<DeviceQueue>
  onDone: ((result: AllCancelled) => void) | undefined
  onClose: () => void
}) => {
  const words = cancelWords()
  const { client } = useSession()
  const [phase, setPhase] = useState<Phase>({ name: 'asked', error: null })
  const stop = useRef(new AbortController())
  const asked = useAsked(queue.data, phase.name === 'asked')
  useEffect(() => () => stop.current.abort(), [])
  const { assetId, timezone } = device

  const finish = (result: AllCancelled | null) => {
    if (result === null) return
    setPhase({ name: 'done', result })
    onDone?.(result)
  }
  const confirm = async () => {
    setPhase({ name: 'cancelling' })
    try {
      const { signal } = stop.current
      const onUnheard = () => setPhase({ name: 'unheard' })
      finish(await cancelAll(client, { assetId }, asked.current, { signal, onUnheard }))
    } catch (error) {
      setPhase({ name: 'asked', error })
    }
  }
  const lookAgain = async () => {
    setPhase({ name: 'unheard' })
    finish(await onRecord(client, { assetId }, asked.current, stop.current.signal))
  }
  const isOver = phase.name === 'done' || phase.name === 'unheard'
  return (
    <Dialog title={isOver ? words.resultTitle : words.allTitle} onClose={onClose} isBusy={phase.name === 'cancelling'}>
      {!isOver && (
        <Confirmation
          device={device}
          queue={queue}
          isBusy={phase.name === 'cancelling'}
          error={phase.name === 'asked' ? phase.error : null}
          onConfirm={() => void confirm()}
          onClose={onClose}
        />
      )}
      {phase.name === 'unheard' && (
        <div class="notice stale" role="status">
          <Icon name="clock" />
          <div>
            <strong>{words.allUnheard}</strong>
            <p>{words.notRepeated}</p>
          </div>
        </div>
      )}
      {phase.name === 'done' && (
        <Result result={phase.result} zone={timezone} onAgain={() => void lookAgain()} onClose={onClose} />
      )}
    </Dialog>
  )
}

/** commands of which the result says what became of them: more than a queue has, and than anybody reads */
const ASKED_MAX = 1_000

/**
 * All that was open at some time since it was asked, in the order of the queue: also what left in the moment before it was confirmed, when it may have been
 * counted still by who confirmed it.
 */
function useAsked(queue: DeviceQueue | null, isAsked: boolean) {
  const asked = useRef<readonly Queued[]>([])
  useMemo(() => {
    if (!isAsked || queue === null) return
    const all = new Map([...asked.current, ...queue.commands].map(command => [command.commandId, command]))
    asked.current = [...all.values()].sort((one, other) => (one.commandId < other.commandId ? -1 : 1)).slice(-ASKED_MAX)
  }, [queue, isAsked])
  return asked
}

const Confirmation = ({
  device,
  queue,
  isBusy,
  error,
  onConfirm,
  onClose,
}: {
  device: DeviceLine
  queue: Look<DeviceQueue>
  isBusy: boolean
  error: unknown
  onConfirm: () => void
  onClose: () => void
}) => {
  const words = cancelWords()
  const waiting = waitingOf(queue.data)
  const inFlight = queue.data?.commands.find(({ state }) => state === State.sent)
  const [first] = useState(waiting.length)
  const { length } = waiting
  const n = number(length)
  return (
    <>
      <div class="cancel-count" role="status">
        {length === 0 ? (
          <p>{words.noneWait}</p>
        ) : (
          <p>
            <strong>{words.allSure(n, length === 1)}</strong> {words.allWait(length === 1)}
          </p>
        )}
        {length !== first && <p class="faint">{words.wereWaiting(number(first))}</p>}
      </div>
      <Kinds waiting={waiting} />
      {inFlight === undefined ? (
        <p class="faint">{words.noneInFlight}</p>
      ) : (
        <p>
          {words.inFlight} {nameOf(inFlight.commandName)} <code class="faint">{inFlight.commandId}</code>
        </p>
      )}
      <p class="faint">{words.acceptedToo}</p>
      <Problem error={error} />
      {!queue.isCurrent && <Notice kind="bad">{words.notCurrent}</Notice>}
      <footer>
        <button type="button" onClick={onClose} disabled={isBusy}>
          {words.keepAll}
        </button>
        <button
          type="button"
          class="danger primary"
          disabled={isBusy || length === 0 || !queue.isCurrent || device.assetId !== queue.data?.device.assetId}
          onClick={event => event.detail < 2 && onConfirm()}
        >
          {isBusy ? words.cancelling : words.yesAll(n, length === 1)}
        </button>
      </footer>
    </>
  )
}

/** names that are told of one by one; the rest are counted */
const KINDS_SHOWN = 5

/** What it is that waits: `8 × Setpoint`. */
const Kinds = ({ waiting }: { waiting: readonly Queued[] }) => {
  const counts = new Map<string, number>()
  for (const { commandName } of waiting) {
    const name = nameOf(commandName)
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  const all = [...counts].sort(([, left], [, right]) => right - left)
  const rest = all.slice(KINDS_SHOWN).reduce((sum, [, count]) => sum + count, 0)
  return (
    <ul class="kinds">
      {all.slice(0, KINDS_SHOWN).map(([name, count]) => (
        <li key={name}>
          {number(count)} × {name}
        </li>
      ))}
      {rest > 0 && <li>{cancelWords().others(number(rest))}</li>}
    </ul>
  )
}

/** cancelled ones up to which their list is open from the start */
const OPEN_UP_TO = 10

const Result = ({
  result: { isAnswered, cancelled, left, at },
  zone,
  onAgain,
  onClose,
}: {
  result: AllCancelled
  zone: string
  onAgain: () => void
  onClose: () => void
}) => {
  const words = cancelWords()
  const { length } = cancelled
  const stillWait = left.some(({ record }) => record?.state === State.created)
  return (
    <>
      {!isAnswered && (
        <div class="notice stale" role="status">
          <Icon name="clock" />
          <div>
            {words.asOnRecord} <Time at={at} zone={zone} />
            {words.stop}
            {stillWait && <p>{words.mayCome}</p>}
          </div>
        </div>
      )}
      <Notice kind={length === 0 ? 'info' : 'good'}>
        <strong>{length === 0 ? words.noneCancelled : words.areCancelled(number(length), length === 1)}</strong>
      </Notice>
      {left.length > 0 && <LeftTable left={left} zone={zone} />}
      {length > 0 && (
        <details class="cancelled-list" open={length <= OPEN_UP_TO}>
          <summary>{words.cancelledList(number(length))}</summary>
          <ul>
            {cancelled.map(target => (
              <li key={target.commandId} data-cancelled={target.commandId}>
                <Name target={target} />
              </li>
            ))}
          </ul>
        </details>
      )}
      <footer>
        {!isAnswered && (
          <button type="button" onClick={onAgain}>
            {words.lookAgain}
          </button>
        )}
        <button type="button" class="primary" onClick={onClose}>
          {words.close}
        </button>
      </footer>
    </>
  )
}

const Name = ({ target: { commandId, commandName } }: { target: Target }) => (
  <>
    <Link href={`/commands/${commandId}`}>{nameOf(commandName)}</Link> <code class="faint">{commandId}</code>
  </>
)

const LeftTable = ({ left, zone }: { left: readonly Left[]; zone: string }) => {
  const words = cancelWords()
  const wasSent = left.some(({ record }) => record !== null && record.sentAt !== null)
  return (
    <>
      <h3>{words.notCancelled(number(left.length))}</h3>
      <div class="scroll-x">
        <table class="left-table">
          <thead>
            <tr>
              <th scope="col">{words.command}</th>
              <th scope="col">{words.state}</th>
              <th scope="col">{words.since}</th>
            </tr>
          </thead>
          <tbody>
            {left.map(one => (
              <LeftRow key={one.target.commandId} left={one} zone={zone} />
            ))}
          </tbody>
        </table>
      </div>
      {wasSent && <p class="faint">{words.wasSent}</p>}
    </>
  )
}

const LeftRow = ({ left: { target, record, error }, zone }: { left: Left; zone: string }) => {
  const since = record?.settledAt ?? record?.sentAt ?? null
  return (
    <tr data-left={target.commandId}>
      <td>
        <Name target={target} />
      </td>
      {record === null ? (
        <td colSpan={2}>
          {cancelWords().notLookedUp} {headingOf(error)}
        </td>
      ) : (
        <>
          <td>
            <StateBadge state={record.state} />
          </td>
          <td>{since === null ? '–' : <Time at={since} zone={zone} />}</td>
        </>
      )}
    </tr>
  )
}
