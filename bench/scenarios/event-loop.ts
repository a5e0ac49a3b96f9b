// How long anything waits for the server's one thread, at a rate that it can bear: 70 % of the most that it accepts.

import { downlink } from '../contenders/downlink.ts'
import type { Caller } from '../rig/caller.ts'
import { closedLoop, openLoop } from '../rig/loops.ts'
import { type Figures, measured, type Scenario, type Stand, standing } from '../rig/scenario.ts'

const DEVICES = 2_000
const WORKERS = 64
/** of the caller: in the open loop more are under way than workers were */
const CONNECTIONS = 256
const OUTSTANDING_MAX = 5_000
const TTL_S = 172_800
const PART = 0.7
/** of the measured time, in which the peak is looked for */
const PEAK_PART = 0.5
/** ms at least between two looks at the metrics: their text is shared for a second, and what is looked at begins with the look before */
const BETWEEN_LOOKS_MS = 1_500
/** ms between two turns of the timer by which the server measures itself; the delay is what a turn takes longer */
const TIMER_MS = 10

/** What the server says of its event loop since it was asked last. */
async function eventLoop(caller: Caller): Promise<Record<'p50' | 'p99' | 'max', number>> {
  const text = await caller.metrics()
  const delayMs = (name: string): number => {
    const [, seconds] = new RegExp(`^nodejs_eventloop_lag_${name}_seconds (\\S+)$`, 'm').exec(text) ?? []
    if (seconds === undefined) throw new Error(`/metrics has no nodejs_eventloop_lag_${name}_seconds`)
    return Math.max(0, Number(seconds) * 1_000 - TIMER_MS)
  }
  return { p50: delayMs('p50'), p99: delayMs('p99'), max: delayMs('max') }
}

async function measure({ running, caller, warmUpMs, measuredMs, say }: Stand): Promise<Figures> {
  let device = 0
  const turn = (): Promise<unknown> => {
    device = (device + 1) % DEVICES
    return caller.set(device, TTL_S)
  }
  const peak = await closedLoop({ workers: WORKERS, warmUpMs, measuredMs: measuredMs * PEAK_PART }, turn)
  const perSecond = Math.floor(peak.perSecond * PART)
  say(`the peak is ${Math.round(peak.perSecond)} a second, and ${perSecond} come now`)
  const rate = { perSecond, warmUpMs, measuredMs: Math.max(measuredMs, BETWEEN_LOOKS_MS) }
  const looks: ReturnType<typeof eventLoop>[] = []
  const figures = await measured(running.processes, mark =>
    openLoop(
      {
        ...rate,
        outstandingMax: OUTSTANDING_MAX,
        mark: edge => {
          mark(edge)
          looks.push(eventLoop(caller))
        },
      },
      turn,
    ),
  )
  // The first look begins the measured time, the last one ends it.
  const { p50, p99, max } = (await Promise.all(looks)).at(-1)!
  const delays = { eventLoopP50Ms: p50, eventLoopP99Ms: p99, eventLoopMaxMs: max }
  return { ...figures, more: { peakPerSecond: peak.perSecond, ...delays } }
}

export const eventLoopDelay: Scenario = {
  name: 'event-loop',
  title: `The event loop at ${PART * 100} % of the peak`,
  what: `First the peak of durable accepts is found by ${WORKERS} callers in a closed loop, then ${PART * 100} % of it comes in an open loop, whose latencies count from the moment at which each call was due. The event loop's delay is what the server says of itself under /metrics: by how much a timer of ${TIMER_MS} ms is late.`,
  baseline: downlink.name,
  ...standing([downlink], ['accept'], { devices: DEVICES, connections: CONNECTIONS, measure }),
}
