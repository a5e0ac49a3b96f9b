// Stopping one command: a button, a question in its place, and what came of it. The question is two buttons and no dialog, so that it is quick, and each
// press is for the command that it stands beside: a queue that moves on under the pointer can never confirm another one.
// Not here: cancelling all (cancel-all.tsx), how it is found out what came of it (cancelling.ts).

import { State } from '@downlink/client'
import { useLayoutEffect, useRef, useState } from 'preact/hooks'
import { may } from '../grants.ts'
import { Icon } from '../parts/icon.tsx'
import { headingOf } from '../parts/problem.tsx'
import { StateBadge } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { useSession } from '../signed-in.tsx'
import { nameOf } from '../words.ts'
import './cancel.css'
import { cancelWords } from './cancel-words.ts'
import { type Attempt, attemptsOf, cancelOne, forget, type Target } from './cancelling.ts'

export { CancelAll } from './cancel-all.tsx'
export type { Attempt, Target } from './cancelling.ts'

/** Whether there is any sense in offering it: what is cancelled is, and what is under way is told of. */
const isOffered = (attempt: Attempt | null): boolean =>
  attempt === null ||
  attempt.phase === 'waits' ||
  attempt.phase === 'refused' ||
  (attempt.phase === 'tooLate' && attempt.state === State.created)

/**
 * Cancels one command; nothing where the grants do not allow it. Show it for a command that waits, within what is current. `onDone` is called when it is known
 * what came of it, also where the button is gone by then. It stands below the button, unless it is shown `elsewhere` (by {@link AttemptNotice}).
 */
export const CancelOne = ({
  command,
  zone,
  onDone,
  result = 'here',
}: {
  command: Target
  /** the device's timezone */
  zone?: string | undefined
  onDone?: ((attempt: Attempt) => void) | undefined
  result?: 'here' | 'elsewhere'
}) => {
  const { client, grants } = useSession()
  const attempt = attemptsOf(client).value.get(command.commandId) ?? null
  if (!may(grants, 'Asset', 'Control', command)) return null
  const run = async () => {
    const done = await cancelOne(client, command)
    if (done !== null) onDone?.(done)
  }
  const isBusy = attempt?.phase === 'asking' || attempt?.phase === 'unheard'
  return (
    <span class="cancel-one">
      {isBusy && <span class="cancelling">{cancelWords().cancelling}</span>}
      {isOffered(attempt) && <Question key={command.commandId} command={command} onYes={() => void run()} />}
      {result === 'here' && attempt !== null && attempt.phase !== 'asking' && (
        <AttemptNotice attempt={attempt} zone={zone} />
      )}
    </span>
  )
}

/** The button, and the question once it is pressed. Two presses that are one by mistake, a double click or a key held down, answer nothing. */
const Question = ({ command, onYes }: { command: Target; onYes: () => void }) => {
  const words = cancelWords()
  const [isAsked, setAsked] = useState(false)
  const [button, yes] = [useRef<HTMLButtonElement>(null), useRef<HTMLButtonElement>(null)]
  const wasAsked = useRef(false)
  // Before it is painted: the next key that somebody presses is meant for the question.
  useLayoutEffect(() => {
    if (isAsked) yes.current?.focus()
    else if (wasAsked.current) button.current?.focus()
    wasAsked.current = isAsked
  }, [isAsked])
  const name = words.cancelNamed(nameOf(command.commandName), command.commandId)
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.repeat && event.key === 'Enter') event.preventDefault()
    if (event.key !== 'Escape') return
    event.preventDefault()
    setAsked(false)
  }
  const onFocusOut = ({ relatedTarget, currentTarget }: FocusEvent) => {
    const isWithin =
      relatedTarget instanceof Node && currentTarget instanceof Node && currentTarget.contains(relatedTarget)
    if (isWithin) return
    wasAsked.current = false
    setAsked(false)
  }
  if (!isAsked)
    return (
      <button ref={button} type="button" class="ask" aria-label={name} onClick={() => setAsked(true)}>
        <Icon name="cancel" size={13} />
        {words.cancel}
      </button>
    )
  return (
    // It can have the focus itself: some browsers give a pressed button none, and then it would seem to have gone elsewhere.
    <dialog open class="question" tabIndex={-1} aria-label={name} onKeyDown={onKeyDown} onFocusOut={onFocusOut}>
      <button
        ref={yes}
        type="button"
        class="danger primary"
        aria-label={`${words.yes}: ${nameOf(command.commandName)} ${command.commandId}`}
        onClick={event => event.detail < 2 && onYes()}
      >
        {words.yes}
      </button>
      <button type="button" onClick={() => setAsked(false)}>
        {words.keep}
      </button>
    </dialog>
  )
}

/** What came of cancelling one command, in words that stay true. */
export const AttemptNotice = ({
  attempt,
  zone,
  isNamed = false,
}: {
  attempt: Attempt
  zone?: string | undefined
  /** it stands apart from the command, so it says which one, and can be put away */
  isNamed?: boolean
}) => {
  const { client } = useSession()
  const { target, phase } = attempt
  const isGood = phase === 'cancelled'
  const isUnknown = phase === 'asking' || phase === 'unheard'
  return (
    <div
      class={`notice attempt ${isGood ? 'good' : isUnknown ? 'stale' : 'bad'}`}
      role={isGood || isUnknown ? 'status' : 'alert'}
      data-attempt={phase}
    >
      <Icon name={isGood ? 'check' : isUnknown ? 'clock' : 'warning'} />
      <div>
        {isNamed && (
          <p class="small">
            {nameOf(target.commandName)} <code class="faint">{target.commandId}</code>
          </p>
        )}
        <Said attempt={attempt} zone={zone} />
      </div>
      {isNamed && !isUnknown && (
        <button
          type="button"
          class="quiet icon-only"
          aria-label={cancelWords().dismiss}
          onClick={() => forget(client, target)}
        >
          <Icon name="cancel" size={14} />
        </button>
      )}
    </div>
  )
}

const Said = ({ attempt, zone }: { attempt: Attempt; zone: string | undefined }) => {
  const words = cancelWords()
  switch (attempt.phase) {
    case 'asking':
      return <strong>{words.cancelling}</strong>
    case 'unheard':
      return (
        <>
          <strong>{words.unheard}</strong>
          <p>{words.looking}</p>
        </>
      )
    case 'cancelled':
      return <strong>{words.isCancelled}</strong>
    case 'tooLate':
      return <TooLate attempt={attempt} zone={zone} />
    case 'waits':
      return (
        <>
          <strong>{words.stillWaits}</strong>
          <p>
            {words.waitedAt} <Time at={attempt.at} zone={zone} />
            {words.stop} {words.mayRepeat}
          </p>
        </>
      )
    case 'refused':
      return (
        <>
          <strong>{headingOf(attempt.error)}</strong>
          <p lang="en">{attempt.error instanceof Error ? attempt.error.message : String(attempt.error)}</p>
        </>
      )
  }
}

const TooLate = ({
  attempt: { state, record },
  zone,
}: {
  attempt: Extract<Attempt, { phase: 'tooLate' }>
  zone: string | undefined
}) => {
  const words = cancelWords()
  const since = record?.settledAt ?? record?.sentAt ?? null
  const wasSent = record === null ? sentBy(state) : record.sentAt !== null
  return (
    <>
      <strong>{words.tooLate}</strong>
      <p class="row">
        <span>{words.now}</span> <StateBadge state={state} />
        {since !== null && (
          <span>
            {words.since} <Time at={since} zone={zone} />
          </span>
        )}
      </p>
      {state === State.created ? (
        <p>{words.cameBack}</p>
      ) : (
        wasSent !== null && <p>{wasSent ? words.wasSent : words.neverSent}</p>
      )}
    </>
  )
}

/** Whether a command in this state was sent; null: one that has failed may have been, or not. */
function sentBy(state: State): boolean | null {
  if (state === State.expired) return false
  return state === State.failed ? null : true
}
