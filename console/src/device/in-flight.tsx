// The command that is sent and not answered yet, with the time that its device has left. Its place is there when nothing is in flight, too, so that what
// stands below does not jump whenever a command comes through.

import { type DeviceQueue, stateName } from '@downlink/client'
import { durationText, now } from '../clock.ts'
import { Card } from '../parts/page.tsx'
import { StateBadge } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { ShortValue } from '../parts/value.tsx'
import { Who } from '../parts/who.tsx'
import type { Leaving } from './leaving.ts'
import { What } from './what.tsx'
import { words } from './words.ts'

type Queued = DeviceQueue['commands'][number]

export const InFlight = ({
  command,
  left,
  zone,
}: {
  command: Queued | null
  /** the one that was in flight a moment ago, where nothing is in its place */
  left: Leaving | null
  zone: string
}) => {
  const say = words()
  return (
    <Card
      title={say.inFlight}
      class="in-flight"
      beside={command === null ? undefined : <Sent command={command} zone={zone} />}
    >
      {command !== null ? (
        <div
          key={command.commandId}
          class="inner slot"
          data-command-id={command.commandId}
          data-state={stateName[command.state]}
        >
          <div class="row">
            <StateBadge state={command.state} />
            <What command={command} />
            <ShortValue value={command.inputData} />
          </div>
          {command.sentAt !== null && command.deadlineAt !== null && (
            <Deadline sentAt={command.sentAt} deadlineAt={command.deadlineAt} />
          )}
        </div>
      ) : left !== null ? (
        <div
          key={left.command.commandId}
          class="inner slot leaving"
          data-command-id={left.command.commandId}
          data-state={stateName[left.state]}
          data-leaving
        >
          <div class="row">
            <StateBadge state={left.state} />
            <What command={left.command} />
            <ShortValue value={left.command.inputData} />
          </div>
        </div>
      ) : (
        <div class="inner slot">
          <p class="faint">{say.noneInFlight}</p>
          <div class="bar" aria-hidden="true" />
        </div>
      )}
    </Card>
  )
}

const Sent = ({ command: { sentAt, createdBy }, zone }: { command: Queued; zone: string }) => {
  const say = words()
  return (
    <span class="faint small">
      {sentAt !== null && (
        <>
          {say.sentAt} <Time at={sentAt} zone={zone} />
          {say.comma}
        </>
      )}
      {say.by} <Who by={createdBy} />
      {say.stop} {say.noRecall}
    </span>
  )
}

/** A bar that empties, and the same in words. */
const Deadline = ({ sentAt, deadlineAt }: { sentAt: number; deadlineAt: number }) => {
  const say = words()
  const leftMs = Math.max(0, deadlineAt - now.value)
  const share = Math.min(1, leftMs / Math.max(1, deadlineAt - sentAt))
  return (
    <div class="deadline">
      <div
        class="bar"
        role="progressbar"
        aria-label={say.deadline}
        aria-valuemin={0}
        aria-valuemax={Math.round((deadlineAt - sentAt) / 1_000)}
        aria-valuenow={Math.ceil(leftMs / 1_000)}
        aria-valuetext={durationText(leftMs)}
      >
        <span style={{ width: `${share * 100}%` }} />
      </div>
      <span class="ticking">
        {leftMs === 0 ? (
          say.answerDue
        ) : (
          <>
            <strong>{durationText(leftMs)}</strong> {say.toAnswer}
          </>
        )}
      </span>
    </div>
  )
}
