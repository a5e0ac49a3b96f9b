// What became of a command that was sent: it is on its way, the device has answered, it waits in the queue, it was refused and by whom, or nobody knows.
// Not here: refusals that name a field, which stand at the field.

import { codes, DownlinkError, type Sent } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { Link } from 'wouter-preact'
import { CopyButton } from '../parts/copy.tsx'
import { Notice } from '../parts/notice.tsx'
import { Problem } from '../parts/problem.tsx'
import { Left } from '../parts/time.tsx'
import { nameOf } from '../words.ts'
import { type Attempt, isUnknown } from './form.ts'
import { Outputs } from './outputs.tsx'
import { waitText, words } from './words.ts'

const SECOND_MS = 1_000

export const OutcomeOf = ({ attempt, timezone }: { attempt: Attempt; timezone: string }) => {
  const { outcome } = attempt
  if (outcome.state === 'underWay') return <UnderWay attempt={attempt} />
  if (outcome.state === 'sent') return <Done attempt={attempt} sent={outcome.sent} timezone={timezone} />
  return <Failed attempt={attempt} error={outcome.error} />
}

const UnderWay = ({ attempt: { order, beganAt } }: { attempt: Attempt }) => (
  <div class="notice" role="status">
    <span class="spinner" aria-hidden="true" />
    <div>
      {order.pendingTtl > 0 ? (
        words().sending
      ) : (
        <>
          {words().waiting}{' '}
          <span class="faint" aria-hidden="true">
            <Left at={beganAt + order.timeout * SECOND_MS} /> {words().left}
          </span>
        </>
      )}
    </div>
  </div>
)

const Done = ({ attempt, sent, timezone }: { attempt: Attempt; sent: Sent; timezone: string }) => {
  const say = words()
  const { order, about } = attempt
  const { commandId, outputData } = sent
  const isNow = order.pendingTtl === 0
  const outputs = Object.keys(outputData ?? {}).length > 0 ? outputData : null
  return (
    <Notice kind="good">
      <strong>{isNow ? say.done[order.kind] : say.onRecord}</strong>
      <p class="send-line">
        <What attempt={attempt} /> <CommandLink commandId={commandId} />
      </p>
      {!isNow && <p class="faint">{say.onRecordHint(waitText(order.pendingTtl))}</p>}
      {isNow && order.kind === 'invoke' && outputs === null && <p class="faint">{say.noOutput}</p>}
      {outputs !== null && (
        <>
          <h4>{say.output}</h4>
          <Outputs fields={about?.outputs ?? []} outputs={outputs} timezone={timezone} />
        </>
      )}
    </Notice>
  )
}

/** What was sent, by its name: the form may show something else by now. */
const What = ({ attempt: { about, order } }: { attempt: Attempt }) => (
  <>
    <span>{about === null ? order.identifier : nameOf(about.name)}</span>{' '}
    {order.kind === 'set' && <code class="value">{short(JSON.stringify(order.input))}</code>}
  </>
)
/** characters of a value up to which it is said again */
const SHORT_CHARS = 40
const short = (text: string): string => (text.length > SHORT_CHARS ? `${text.slice(0, SHORT_CHARS - 1)}…` : text)

const CommandLink = ({ commandId }: { commandId: string }) => (
  <span class="id">
    <Link href={`/commands/${commandId}`}>
      {words().commandIs} <code>{commandId}</code>
    </Link>
    <CopyButton text={commandId} />
  </span>
)

const Failed = ({ attempt, error }: { attempt: Attempt; error: unknown }) => {
  const say = words()
  const told = error instanceof DownlinkError ? error : null
  const isOpen = told !== null && told.outcome === 'onRecord' && isUnknown(attempt)
  if (isUnknown(attempt))
    return (
      <Bad title={isOpen ? say.stillOpen : say.unknown} error={told} hint={say.unknownHint}>
        {told === null && <Said text={error instanceof Error ? error.message : String(error)} />}
      </Bad>
    )
  if (told === null || told.outcome !== 'onRecord') return <Problem error={error} />
  if (told.deviceCode !== null)
    return (
      <Bad title={say.refusedByDevice(codeText(told.deviceCode))} error={told}>
        <Said text={told.answer?.msg ?? told.message} />
      </Bad>
    )
  if (told.code === codes.timedOut) return <Bad title={say.timedOut} error={told} hint={say.timedOutHint} />
  const title = notSent(told.code)
  if (title !== null) return <Bad title={title} error={told} hint={say.recordedFailed} />
  return (
    <>
      <Problem error={error} />
      {told.commandId !== null && <CommandLink commandId={told.commandId} />}
    </>
  )
}

const codeText = (deviceCode: unknown): string =>
  typeof deviceCode === 'string' ? deviceCode : JSON.stringify(deviceCode)

function notSent(code: number | null): string | null {
  const say = words().notSent
  if (code === codes.offline) return say.offline
  if (code === codes.inactive) return say.inactive
  if (code === codes.queueFull) return say.queueFull
  return code === codes.notSent ? say.waited : null
}

const Said = ({ text }: { text: string }) => (
  <p class="said" lang="en">
    {text}
  </p>
)

const Bad = ({
  title,
  error,
  hint,
  children,
}: {
  title: string
  error: DownlinkError | null
  hint?: string
  children?: ComponentChildren
}) => (
  <Notice kind="bad">
    <strong>{title}</strong>
    {children}
    {hint !== undefined && <p>{hint}</p>}
    {error?.commandId != null && (
      <p class="send-line">
        <CommandLink commandId={error.commandId} />
      </p>
    )}
  </Notice>
)
