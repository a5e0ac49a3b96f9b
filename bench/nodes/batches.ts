// What batches are worth on PostgreSQL: the real store with batches of 1, 64 and 512 devices, next to a statement for each row and a transaction for
// each command. For each device a whole cycle, decided by the real rules: one command succeeds with its outcome, the next is accepted and sent.

import { bodyOf, newWork, toChange } from '../../src/batch.ts'
import { Kind, State } from '../../src/core/command.ts'
import { Ids } from '../../src/core/ids.ts'
import { decide, type Input, type Queue } from '../../src/core/queue.ts'
import { openPostgres } from '../../src/store/postgres.ts'
import type { DeviceChange, Store } from '../../src/store/store.ts'
import { addDevices } from '../../test/rig/engine.ts'
import { cpuMsWithChildren, ownCpuMs } from '../rig/cpu.ts'
import { median, medianOf, ratio, shown, spread, type Table } from '../rig/figures.ts'
import { closedLoop } from '../rig/loops.ts'
import { onDatabase } from '../rig/postgres.ts'
import type { Bench } from './bench.ts'
import { Rows } from './rows.ts'

const DEVICES = 512
const NODE = 0
/** longer than any run */
const LEASE_MS = 3_600_000
const TTL_S = 3_600
const NAME_JSON = '{"defaultValue":"Set point","i18nValue":{"en_US":"Set point"}}'
const INPUT_JSON = '{"value":21.5,"mode":"auto"}'

type Way =
  | { readonly type: 'rows'; readonly connections: number; readonly perTransaction: number }
  | { readonly type: 'store'; readonly perBatch: number }
/** the first is the baseline */
const ways: readonly (readonly [name: string, way: Way])[] = [
  ['a statement per row, a transaction per command', { type: 'rows', connections: 1, perTransaction: 1 }],
  ['the same over 10 connections at once', { type: 'rows', connections: 10, perTransaction: 1 }],
  ['a statement per row, 64 commands in a transaction', { type: 'rows', connections: 1, perTransaction: 64 }],
  ['the store, batches of 1', { type: 'store', perBatch: 1 }],
  ['the store, batches of 64', { type: 'store', perBatch: 64 }],
  ['the store, batches of 512', { type: 'store', perBatch: 512 }],
]

interface Round {
  readonly perSecond: number
  /** of one transaction; its load comes before it in the store, and is part of it where it is by rows */
  readonly loadMs: number
  readonly commitMs: number
  /** µs of processor for each cycle: of PostgreSQL with its connections, and of this process */
  readonly postgresUs: number
  readonly nodeUs: number
}

/** One turn: loads these devices, decides a cycle of each, and makes it durable. */
type Turn = (devices: readonly number[]) => Promise<{ readonly loadMs: number; readonly commitMs: number }>

export async function batches(bench: Bench): Promise<{ tables: Table[]; rounds: Record<string, Round[]> }> {
  const rounds: Record<string, Round[]> = {}
  await onDatabase(bench.postgres, async (url, database) => {
    const store = await openPostgres(url)
    try {
      if ((await store.takeNode(NODE, LEASE_MS)) === null) throw new Error(`node ${NODE} is taken`)
      const devices = await addDevices(store, DEVICES)
      const cycles = new Cycles()
      await commit(
        store,
        (await load(store, devices)).map(queue => cycles.first(queue)),
      )
      for (let round = 1; round <= bench.rounds; round++) {
        await bench.postgres.sql(database, 'vacuum analyze')
        for (const [name, way] of ways) {
          const turns = way.type === 'store' ? [byStore(store, cycles)] : []
          const rows: Rows[] = []
          try {
            for (let n = 0; way.type === 'rows' && n < way.connections; n++) rows.push(await Rows.connect(url))
            const done = await measure(bench, way, [...turns, ...rows.map(each => byRows(each, cycles))], devices)
            rounds[name] = [...(rounds[name] ?? []), done]
            bench.progress(`round ${round}  ${name}: ${shown(done.perSecond)} cycles/s`)
          } finally {
            for (const each of rows) await each.end()
          }
        }
      }
    } finally {
      await store.close()
    }
  })
  return { tables: [tableOf(rounds)], rounds }
}

const byStore =
  (store: Store, cycles: Cycles): Turn =>
  async devices => {
    const beganAt = performance.now()
    const queues = await load(store, devices)
    const loadedAt = performance.now()
    await commit(
      store,
      queues.map(queue => cycles.next(queue)),
    )
    return { loadMs: loadedAt - beganAt, commitMs: performance.now() - loadedAt }
  }

const byRows =
  (rows: Rows, cycles: Cycles): Turn =>
  async devices => {
    const beganAt = performance.now()
    const queues: Queue[] = []
    for (const device of devices) queues.push(await rows.load(device))
    const loadedAt = performance.now()
    await rows.begin()
    for (const queue of queues) await rows.write(cycles.next(queue))
    await rows.commit()
    return { loadMs: loadedAt - beganAt, commitMs: performance.now() - loadedAt }
  }

/** Each of the turns has devices of its own, and takes as many as the way says at a time, in their order. */
async function measure(bench: Bench, way: Way, turns: readonly Turn[], devices: readonly number[]): Promise<Round> {
  const { warmUpMs, measuredMs, postmaster } = bench
  const perTurn = way.type === 'store' ? way.perBatch : way.perTransaction
  const share = Math.floor(devices.length / turns.length)
  const next = turns.map(() => 0)
  const [loadsMs, commitsMs]: [number[], number[]] = [[], []]
  const marks: Record<string, readonly [postgres: number, node: number]> = {}
  const mark = (edge: string): void => {
    marks[edge] = [cpuMsWithChildren(postmaster), ownCpuMs()]
    loadsMs.length = edge === 'begin' ? 0 : loadsMs.length
    commitsMs.length = edge === 'begin' ? 0 : commitsMs.length
  }
  const loop = await closedLoop({ workers: turns.length, warmUpMs, measuredMs, mark }, async worker => {
    const from = next[worker]!
    next[worker] = from + 2 * perTurn > share ? 0 : from + perTurn
    const own = devices.slice(worker * share + from, worker * share + from + perTurn)
    const { loadMs, commitMs } = await turns[worker]!(own)
    loadsMs.push(loadMs)
    commitsMs.push(commitMs)
  })
  const { begin, end } = marks
  const eachUs = (which: 0 | 1): number => ((end![which] - begin![which]) * 1_000) / (loop.turns * perTurn)
  return {
    perSecond: loop.perSecond * perTurn,
    loadMs: median(loadsMs),
    commitMs: median(commitsMs),
    postgresUs: eachUs(0),
    nodeUs: eachUs(1),
  }
}

/** What is decided for a device. */
class Cycles {
  readonly #ids = new Ids(NODE, null)

  /** It connects, and is sent its first command. */
  first(queue: Queue): DeviceChange {
    return this.#change(queue, now => [{ type: 'connected', activates: true }, this.#enqueue(queue, now)])
  }

  /** What it was sent succeeds, and the next is accepted and sent. */
  next(queue: Queue): DeviceChange {
    const [sent] = queue.open
    if (sent?.state !== State.sent) throw new Error(`device ${queue.deviceId} has nothing to answer`)
    const reply = { type: 'reply', commandId: sent.id, code: 200, deviceCode: '200', message: null } as const
    return this.#change(queue, now => [{ ...reply, outputJson: '{"ok":true}' }, this.#enqueue(queue, now)])
  }

  #enqueue({ lastCommandId }: Queue, now: number): Input {
    const id = this.#ids.next(now, lastCommandId)
    if (id === null) throw new Error('the clock is behind the ids')
    const { invoke: kind } = Kind
    return { type: 'enqueue', id, kind, identifier: 'reboot', timeoutS: TTL_S, pendingTtlS: TTL_S, by: 'bench' }
  }

  #change(queue: Queue, inputs: (now: number) => readonly Input[]): DeviceChange {
    const now = Date.now()
    const work = newWork<never>(queue)
    for (const input of inputs(now)) {
      const presence = work.queue.sessionNo === 0 ? null : { session: work.queue.sessionNo, ready: true, silent: false }
      const situation = { now, node: NODE, others: null, presence, dispatch: true, queueCap: 50 }
      const decision = decide(work.queue, input, situation)
      work.queue = decision.queue
      for (const command of decision.changed) work.rows.set(command.id, command)
      work.outcomes.push(...decision.outcomes)
      work.events.push(...decision.events)
      if (input.type === 'enqueue') work.bodies.set(input.id, bodyOf({ nameJson: NAME_JSON, inputJson: INPUT_JSON }))
    }
    return toChange(work)
  }
}

async function load(store: Store, devices: readonly number[]): Promise<Queue[]> {
  const queues = await store.load(devices.map(deviceId => ({ deviceId, commandIds: [] })))
  return queues.map(queue => {
    if (queue === null) throw new Error('a device is gone')
    return queue
  })
}

async function commit(store: Store, changes: readonly DeviceChange[]): Promise<void> {
  const lastCommandId = changes.at(-1)?.queue.lastCommandId ?? null
  const stale = await store.commit({ node: NODE, lastCommandId, now: Date.now(), changes })
  if (stale.length > 0) throw new Error('nobody else writes these devices')
}

function tableOf(rounds: Record<string, Round[]>): Table {
  const of = (name: string): Round[] => rounds[name] ?? []
  const perSecond = (round: Round): number => round.perSecond
  const baseline = medianOf(of(ways[0]![0]), perSecond)
  return {
    title: 'Batches on PostgreSQL: load and commit, without HTTP and MQTT',
    head: ['', 'cycles/s', 'ratio', 'load ms', 'commit ms', 'PostgreSQL µs/cycle', 'node µs/cycle'],
    rows: ways.map(([name]) => [
      name,
      spread(of(name), perSecond),
      ratio(medianOf(of(name), perSecond), baseline),
      shown(medianOf(of(name), round => round.loadMs)),
      shown(medianOf(of(name), round => round.commitMs)),
      shown(medianOf(of(name), round => round.postgresUs)),
      shown(medianOf(of(name), round => round.nodeUs)),
    ]),
    notes: [
      'For each device one command succeeds with its outcome, and the next is accepted and sent: 8 rows. Over a socket of the same machine; each round trip of a network comes on top, and there are 5 for a batch of any size, and 11 for each command where each row has its statement.',
    ],
  }
}
