// How a command stands now: its state, why, whether it can be stopped, and how it ended. Not here: stopping it (device/cancel.tsx).

import { type CommandRecord, codes, type Explanation, State, type Timeline } from '@downlink/client'
import { AttemptNotice, CancelOne } from '../device/cancel.tsx'
import { attemptsOf } from '../device/cancelling.ts'
import { StateBadge } from '../parts/state.tsx'
import { Who } from '../parts/who.tsx'
import { useSession } from '../signed-in.tsx'
import { Reasons } from './reasons.tsx'
import { words } from './words.ts'

interface Props {
  readonly timeline: Timeline
  readonly explanation: Explanation
  readonly zone: string | undefined
}

export const Outcome = ({ timeline: { command, events }, explanation, zone }: Props) => {
  const { client } = useSession()
  const attempt = attemptsOf(client).value.get(command.commandId) ?? null
  const last = events.findLast(({ from, to }) => from !== to)
  const isCancelled = command.state === State.cancelled
  // That it is cancelled is said already.
  const isToldOf = attempt !== null && attempt.phase !== 'asking' && !(attempt.phase === 'cancelled' && isCancelled)
  return (
    <section class={`card outcome outcome-${command.state}`} aria-label={words().state}>
      <div class="outcome-now">
        <span role="status">
          <StateBadge state={command.state} />
        </span>
        {isCancelled && last !== undefined && (
          <span>
            <span class="faint">{words().cancelledBy}</span> <Who isFull by={last.by} />
          </span>
        )}
        <span class="gap" />
        {explanation.cancellable && <CancelOne command={command} zone={zone} result="elsewhere" />}
      </div>
      <Reasons explanation={explanation} zone={zone} />
      <Why command={command} />
      {isToldOf && <AttemptNotice attempt={attempt} zone={zone} />}
    </section>
  )
}

/** Why it failed, or what to think of it: the device's own words, or what the server's code means. */
const Why = ({ command: { state, code, deviceCode, deviceMessage } }: { command: CommandRecord }) => {
  const say = words()
  const isBad = state === State.failed || state === State.timedOut
  if (!isBad || code === null) return null
  if (deviceCode !== null)
    return (
      <p class="outcome-why">
        {say.deviceSaid} <code>{deviceCode}</code>
        {deviceMessage !== null && <q>{deviceMessage}</q>}
      </p>
    )
  const known = (Object.keys(say.codes) as (keyof typeof say.codes)[]).find(name => codes[name] === code)
  return (
    <p class="outcome-why">
      {known !== undefined && say.codes[known]} <span class="faint">{say.code(String(code))}</span>
    </p>
  )
}
