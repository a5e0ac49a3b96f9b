// What carries signals, by itself: how many tidings a second go from one process to another, and how long each is on its way.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { Carrier } from '../../src/cluster/carrier.ts'
import { medianOf, ratio, shown, spread, type Table } from '../rig/figures.ts'
import type { Bench } from './bench.ts'
import { type CarrierName, EAR, type Heard, openCarrier, toldNow } from './carrier.ts'

/** at an even pace */
const PER_SECOND = 1_000
/** as many as one batch of the engine has at most */
const FLOOD_WAITING = 512
interface Round {
  readonly p50Ms: number
  readonly p99Ms: number
  /** tidings a second, each told when the one before is with the carrier */
  readonly singlyPerSecond: number
  /** with so many waiting that they are merged */
  readonly mergedPerSecond: number
}

/** The ear, as a process. */
interface Ear {
  /** All that it heard since it was last asked, once that are so many, or when no more can be expected. */
  heard(count: number): Promise<Heard>
  end(): Promise<void>
}

export async function signals(bench: Bench): Promise<{ tables: Table[]; rounds: Record<string, Round[]> }> {
  const urls: (readonly [CarrierName, string])[] = [['NOTIFY', bench.postgres.url('postgres')]]
  if (bench.nats !== null) urls.push(['NATS', bench.nats.url])
  const rounds: Record<string, Round[]> = {}
  for (let round = 1; round <= bench.rounds; round++) {
    for (const [name, url] of urls) {
      const done = await measure(bench, name, url)
      rounds[name] = [...(rounds[name] ?? []), done]
      bench.progress(
        `round ${round}  signals, ${name}: ${shown(done.mergedPerSecond)} tidings/s, p50 ${shown(done.p50Ms)} ms`,
      )
    }
  }
  return {
    tables: [
      tableOf(
        urls.map(([name]) => name),
        rounds,
      ),
    ],
    rounds,
  }
}

async function measure(bench: Bench, name: CarrierName, url: string): Promise<Round> {
  const ear = await startEar(name, url)
  const carrier = await openCarrier(name, url)
  try {
    await told(ear, await paced(carrier, bench.warmUpMs))
    const { p50Ms, p99Ms } = await told(ear, await paced(carrier, bench.measuredMs))
    const rate = async (waiting: number): Promise<number> => {
      const from = performance.now()
      const { count } = await told(ear, await flood(carrier, waiting, bench.measuredMs))
      return (count * 1_000) / (performance.now() - from)
    }
    return { p50Ms, p99Ms, singlyPerSecond: await rate(1), mergedPerSecond: await rate(FLOOD_WAITING) }
  } finally {
    await carrier.close()
    await ear.end()
  }
}

/** Nothing is lost on one machine, with both ends alive: where something is, the figures mean nothing. */
async function told(ear: Ear, count: number): Promise<Heard> {
  const heard = await ear.heard(count)
  if (heard.count !== count) throw new Error(`${count} tidings were told, and ${heard.count} heard`)
  return heard
}

/** Tells PER_SECOND a second, for so long. Returns how many. */
async function paced(carrier: Carrier, ms: number): Promise<number> {
  const from = performance.now()
  let count = 0
  for (let passed = 0; passed < ms; passed = performance.now() - from) {
    for (; count < (passed * PER_SECOND) / 1_000; count++) carrier.tell(EAR, toldNow())
    await sleep(1)
  }
  return count
}

/** Tells as many as the carrier takes, with so many waiting. Returns how many. */
async function flood(carrier: Carrier, waiting: number, ms: number): Promise<number> {
  const [until, before] = [performance.now() + ms, carrier.counts.told]
  let count = 0
  while (performance.now() < until) {
    for (; count - (carrier.counts.told - before) < waiting; count++) carrier.tell(EAR, toldNow())
    await turn()
  }
  return count
}

async function startEar(name: CarrierName, url: string): Promise<Ear> {
  const child = fork(new URL('ear.ts', import.meta.url), [name, url])
  const ended = once(child, 'exit')
  await Promise.race([
    once(child, 'message'),
    ended.then(([code]) => Promise.reject(new Error(`the ear ended with ${code}`))),
  ])
  return {
    heard: async count => {
      child.send(count)
      const [heard] = await once(child, 'message')
      return heard as Heard
    },
    end: async () => {
      child.disconnect()
      await ended
    },
  }
}

function tableOf(names: readonly CarrierName[], rounds: Record<string, Round[]>): Table {
  const of = (name: CarrierName): Round[] => rounds[name] ?? []
  const medianTo = (field: (round: Round) => number) => (name: CarrierName) =>
    ratio(medianOf(of(name), field), medianOf(of('NOTIFY'), field))
  const singly = (round: Round): number => round.singlyPerSecond
  const merged = (round: Round): number => round.mergedPerSecond
  return {
    title: 'Signals by themselves: from one process to another',
    head: ['', 'p50 ms', 'p99 ms', 'tidings/s, one at a time', 'ratio', 'tidings/s, merged', 'ratio'],
    rows: names.map(name => [
      name,
      spread(of(name), round => round.p50Ms),
      spread(of(name), round => round.p99Ms),
      spread(of(name), singly),
      medianTo(singly)(name),
      spread(of(name), merged),
      medianTo(merged)(name),
    ]),
    notes: [
      `From tell to heard at ${shown(PER_SECOND)} tidings a second; then as many as the carrier takes, each told when it has the one before, and with ${FLOOD_WAITING} waiting, as after a full batch, which are merged into few messages.`,
    ],
  }
}
