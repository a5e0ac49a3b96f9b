// A command's life as a drawing: what it went through, along an axis, and below it what it waited for. From left to right, or from top to bottom where there
// is little room. Whoever cannot see it is read one sentence, and the table below has all of it. Not here: what there is to draw (life.ts, waiting.ts).

import { type DeviceLine, type Explanation, State, stateName, type Timeline } from '@downlink/client'
import { now as clock, durationText } from '../clock.ts'
import { StateBadge } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { common } from '../parts/words.ts'
import { number } from '../words.ts'
import { type Life, leastShare, lifeOf, phaseScale, type Station, type StationKind, type Stretch } from './life.ts'
import { Moment, momentText, tookText } from './moment.tsx'
import { type Contact, type Waiting, waitingOf, waitingPlace } from './waiting.ts'
import { words } from './words.ts'

/** px that the words beside the shortest phase need, where the axis runs downwards */
const PHASE_PX = 104
/** px of a life with one phase, there */
const ONE_PHASE_PX = 120

interface Props {
  readonly timeline: Timeline
  readonly explanation: Explanation
  /** null: it has been deleted */
  readonly device: DeviceLine | null
  readonly zone: string | undefined
  /** false: time does not go on in what may be long over */
  readonly isCurrent: boolean
}

export const LifeDrawing = ({ timeline, explanation, device, zone, isCurrent }: Props) => {
  // Read while rendering, so that an open one grows each second.
  const now = isCurrent ? Math.max(clock.value, explanation.now) : explanation.now
  const life = lifeOf(timeline, now)
  const { places, isToScale, cut } = phaseScale(life)
  const [first] = life.stretches
  const waiting = first?.kind === 'waiting' ? waitingOf(timeline, first, explanation, device) : null
  const { length } = life.stretches
  if (length === 0) return <p class="life-none faint">{words().refused}</p>
  const px = length === 1 ? ONE_PHASE_PX : PHASE_PX / leastShare(length)
  const place = (part: number) => places[part] ?? 0
  return (
    <figure class="life">
      <div class="life-room" role="img" aria-label={toldAloud(life, timeline, zone)}>
        <div class="life-track" style={{ '--length': `${px}px` }}>
          {life.stretches.map((stretch, part) => (
            <Phase
              key={stretch.kind}
              stretch={stretch}
              timeline={timeline}
              at={place(part)}
              room={place(part + 1) - place(part)}
              isCut={cut[part] === true}
            />
          ))}
          {first !== undefined && waiting !== null && <Meanwhile phase={first} waiting={waiting} room={place(1)} />}
          {[life.start, ...life.stretches.map(({ end }) => end)].map((station, part) => (
            <Stop
              key={station.kind}
              station={station}
              timeline={timeline}
              zone={zone}
              at={place(part)}
              room={part < length ? place(part + 1) - place(part) : null}
            />
          ))}
        </div>
      </div>
      <figcaption class="faint small">
        {waiting !== null && <Legend waiting={waiting} />}
        {!isToScale && <p>{words().notToScale}</p>}
      </figcaption>
    </figure>
  )
}

/** A share of the axis as what the styles reckon with. */
const along = (at: number, room: number | null) => ({
  '--at': String(at),
  ...(room === null ? {} : { '--room': String(room) }),
})

interface PhaseProps {
  readonly stretch: Stretch
  readonly timeline: Timeline
  readonly at: number
  readonly room: number
  readonly isCut: boolean
}
const Phase = ({ stretch, timeline, at, room, isCut }: PhaseProps) => (
  <div class={`life-phase life-${stretch.kind}`} style={along(at, room)} data-phase={stretch.kind}>
    <span class="life-caption">
      <span class="faint">{phaseWord(stretch, timeline)}</span>
      <b>{lasted(stretch)}</b>
    </span>
    <span class={isCut ? 'life-bar cut' : 'life-bar'} />
  </div>
)

function phaseWord({ kind, end }: Stretch, { command }: Timeline): string {
  const say = words().phases
  const isOn = end.kind === 'now'
  if (kind === 'waiting') return isOn ? say.waiting : say.waited
  if (kind !== 'answering') return say[kind]
  if (isOn) return say.underWay
  return command.deviceCode === null ? say.unanswered : say.answered
}

/** Fine where it is over: a clock that ticks each second knows no better. */
const lasted = ({ from, to, kind, end }: Stretch): string =>
  end.kind === 'now' || kind === 'left' ? durationText(to - from) : tookText(to - from)

interface StopProps {
  readonly station: Station
  readonly timeline: Timeline
  readonly zone: string | undefined
  readonly at: number
  readonly room: number | null
}
const Stop = ({ station, timeline, zone, at, room }: StopProps) => {
  const state = stateOf(station.kind)
  return (
    <div
      class={`life-stop life-at-${station.kind}${room === null ? ' last' : ''}`}
      style={along(at, room)}
      data-stop={station.kind}
    >
      <span class="life-dot" />
      <span class="life-flag">
        {state === null ? <b>{stationWord(station.kind, timeline)}</b> : <StateBadge state={state} />}
        {station.kind === 'now' ? <Time at={station.at} zone={zone} /> : <Moment at={station.at} zone={zone} />}
      </span>
    </div>
  )
}

const states = Object.fromEntries(Object.values(State).map(state => [stateName[state], state])) as Readonly<
  Record<string, State>
>
/** The state that it entered there; null: none, or the first one, which goes by another word here. */
const stateOf = (kind: StationKind): State | null => (kind === 'created' ? null : (states[kind] ?? null))

function stationWord(kind: StationKind, { command }: Timeline): string {
  const say = words()
  if (kind === 'late' && command.lateReplies > 1) return say.lateMany(number(command.lateReplies))
  return kind in say.stations ? say.stations[kind as keyof typeof say.stations] : common().states[kind as 'sent']
}

/** Below the waiting: how the device was, when others were under way, when it was not sent after all. */
const Meanwhile = ({ phase, waiting, room }: { phase: Stretch; waiting: Waiting; room: number }) => {
  const place = waitingPlace(phase, waiting)
  const stretch = (from: number, to: number) => along(place(from) * room, (place(to) - place(from)) * room)
  return (
    <>
      {[...waiting.contact, ...waiting.before].map(({ kind, from, to }) => (
        <span
          key={`${kind} ${from}`}
          class={`life-lane life-${kind}`}
          style={stretch(from, to)}
          title={`${periodWord(kind)}: ${tookText(to - from)}`}
        />
      ))}
      {waiting.attempts.map(at => (
        <span key={at} class="life-attempt" style={along(place(at) * room, null)} title={words().attempt} />
      ))}
    </>
  )
}

const periodWord = (kind: Contact | 'before'): string => (kind === 'before' ? words().before : words().contact[kind])

const Legend = ({ waiting: { contact, before, others, attempts } }: { waiting: Waiting }) => {
  const say = words()
  const kinds = (['offline', 'disabled', 'online', 'before'] as const).flatMap(kind => {
    const periods = [...contact, ...before].filter(period => period.kind === kind)
    const ms = periods.reduce((sum, { from, to }) => sum + to - from, 0)
    return periods.length === 0 ? [] : [{ kind, ms }]
  })
  if (kinds.length === 0 && others === 0 && attempts.length === 0) return null
  return (
    <ul class="life-legend">
      <li>{say.whileWaiting}</li>
      {kinds.map(({ kind, ms }) => (
        <li key={kind}>
          <span class={`life-swatch life-${kind}`} aria-hidden="true" />
          {periodWord(kind)} {tookText(ms)}
        </li>
      ))}
      {others > 0 && <li>{say.others(number(others), others === 1)}</li>}
      {attempts.length > 0 && (
        <li>
          <span class="life-swatch life-attempts" aria-hidden="true" />
          {say.attempts(number(attempts.length), attempts.length === 1)}
        </li>
      )}
    </ul>
  )
}

/** All that is drawn, one after the other, for whoever is read to. */
function toldAloud(life: Life, timeline: Timeline, zone: string | undefined): string {
  const told = ({ kind, at }: Station) => `${stationWord(kind, timeline)} ${momentText(at, zone)}`
  const after = life.stretches.flatMap(stretch => [
    `${phaseWord(stretch, timeline)} ${lasted(stretch)}`,
    told(stretch.end),
  ])
  return `${words().life}: ${[told(life.start), ...after].join(', ')}`
}
