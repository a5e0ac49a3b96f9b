// Load as a service has it, of all kinds at a time; and reads beside a steady load of accepts. Not here: each kind by itself (the other scenarios).

import { contenders } from '../contenders/contenders.ts'
import { downlink } from '../contenders/downlink.ts'
import type { Caller } from '../rig/caller.ts'
import { quantile } from '../rig/figures.ts'
import { closedLoop, openLoop, type Turns } from '../rig/loops.ts'
import { RawDevices } from '../rig/raw-devices.ts'
import { type Figures, measured, type Scenario, type Stand, standing } from '../rig/scenario.ts'

const DEVICES = 2_000
/** of them; the others are away */
const CONNECTED = 100
const WORKERS = 64
const TTL_S = 172_800

// --- mixed ---------------------------------------------------------------------------------------------------------

type Kind = 'set' | 'instant' | 'cancel' | 'get'
/** What a caller does in turn: 40 % cached sets, 20 % each of the others. Each begins at another place. */
const KINDS: readonly Kind[] = ['set', 'get', 'instant', 'set', 'cancel', 'set', 'instant', 'get', 'set', 'cancel']

interface Queued {
  readonly device: number
  readonly commandId: string
}

/** What callers do, and how long it takes them, by kind. */
class Mix {
  readonly #caller: Caller
  /** of each worker: what it has queued and not cancelled */
  readonly #queued: Queued[][] = Array.from({ length: WORKERS }, () => [])
  readonly #turns: number[] = Array.from({ length: WORKERS }, (_, worker) => worker)
  readonly latenciesMs: Readonly<Record<Kind, number[]>> = { set: [], instant: [], cancel: [], get: [] }
  #away = 0
  #here = 0
  isMeasured = false

  constructor(caller: Caller) {
    this.#caller = caller
  }

  async turn(worker: number): Promise<void> {
    const place = this.#turns[worker]!++
    const kind = KINDS[place % KINDS.length]!
    const queued = this.#queued[worker]!
    // Who has queued nothing yet has nothing to look at and nothing to cancel.
    const done = queued.length === 0 && kind !== 'instant' ? 'set' : kind
    const beganAt = performance.now()
    await this.#do(done, queued)
    if (this.isMeasured) this.latenciesMs[done].push(performance.now() - beganAt)
  }

  async #do(kind: Kind, queued: Queued[]): Promise<void> {
    switch (kind) {
      case 'set': {
        const device = CONNECTED + (this.#away++ % (DEVICES - CONNECTED))
        queued.push({ device, commandId: await this.#caller.set(device, TTL_S) })
        break
      }
      case 'instant':
        await this.#caller.set(this.#here++ % CONNECTED, 0)
        break
      case 'cancel': {
        const { device, commandId } = queued.shift()!
        const ids = await this.#caller.cancel(device, commandId)
        if (ids.length !== 1 || ids[0] !== commandId)
          throw new Error(`${commandId} was to be cancelled, and ${ids.join(', ') || 'nothing'} was`)
        break
      }
      case 'get': {
        const { device, commandId } = queued.at(-1)!
        const record = await this.#caller.get(device, commandId)
        if (!record.includes(commandId)) throw new Error(`${commandId} was asked for, and the answer is ${record}`)
        break
      }
    }
  }

  figures(): Record<string, number> {
    const named = Object.entries(this.latenciesMs).map(([kind, latencies]) => [
      [`${kind}P50Ms`, quantile(latencies, 0.5)],
      [`${kind}P99Ms`, quantile(latencies, 0.99)],
    ])
    return Object.fromEntries(named.flat())
  }
}

async function measureMix({ running, caller, warmUpMs, measuredMs }: Stand): Promise<Figures> {
  const devices = new RawDevices({ url: running.mqttUrl, login: running.login })
  try {
    await devices.connect(0, CONNECTED)
    const mix = new Mix(caller)
    const figures = await measured(running.processes, mark => {
      const noted = (edge: 'begin' | 'end'): void => {
        mix.isMeasured = edge === 'begin'
        mark(edge)
      }
      return closedLoop({ workers: WORKERS, warmUpMs, measuredMs, mark: noted }, worker => mix.turn(worker))
    })
    devices.check()
    return { ...figures, more: mix.figures() }
  } finally {
    await devices.disconnect()
  }
}

export const mixed: Scenario = {
  name: 'mixed',
  title: 'Mixed load',
  what: `${CONNECTED} devices are connected and answer, ${(DEVICES - CONNECTED).toLocaleString('en-US')} are away. ${WORKERS} callers: 40 % of their calls queue a command for a device that is away, 20 % are instant commands, 20 % cancel one that this caller has queued, 20 % read the record of one; each sends its next call when it has the answer to the one before.`,
  baseline: downlink.name,
  ...standing(contenders, ['accept', 'instant', 'cancel', 'read'], {
    devices: DEVICES,
    connections: WORKERS,
    measure: measureMix,
  }),
}

// --- reads beside accepts ------------------------------------------------------------------------------------------

/** accepts a second, that go on beside the reads */
const RATE = 300
const OUTSTANDING_MAX = 1_500
const READERS = 8
/** devices that are asked about, and commands that wait for each of them from the beginning */
const ASKED = 40
const EACH = 50
const SEARCHED = JSON.stringify({
  expression: "state in (1, 4) and createTime >= '2019-06-14 00:00:00'",
  pagination: { pageNo: 1, pageSize: EACH },
})

type Read = (caller: Caller, device: number, commandIds: readonly string[], turn: number) => Promise<void>

async function get(caller: Caller, device: number, commandIds: readonly string[], turn: number): Promise<void> {
  const commandId = commandIds[turn % commandIds.length]!
  const record = await caller.get(device, commandId)
  if (!record.includes(commandId)) throw new Error(`${commandId} was asked for, and the answer is ${record}`)
}

async function search(caller: Caller, device: number, commandIds: readonly string[]): Promise<void> {
  const query = { action: 'search', assetId: `a${device}` }
  const { code, data } = await caller.ask<{ readonly code: number; readonly data: readonly { commandId: string }[] }>(
    'POST',
    '/connect-service/v2.1/commands',
    query,
    SEARCHED,
  )
  const found = new Set(data.map(({ commandId }) => commandId))
  if (code !== 0 || !commandIds.every(id => found.has(id)))
    throw new Error(
      `device ${device} has ${commandIds.length} commands, and the search answers ${code} with ${found.size}`,
    )
}

/** Callers read in a closed loop, while others send accepts for other devices in an open one. */
const measureReads =
  (read: Read) =>
  async ({ running, caller, warmUpMs, measuredMs }: Stand): Promise<Figures> => {
    const queued = await Promise.all(
      Array.from({ length: ASKED }, async (_, device) => {
        const commandIds: string[] = []
        while (commandIds.length < EACH) commandIds.push(await caller.set(device, TTL_S))
        return commandIds
      }),
    )
    let turn = 0
    const reading = (): Promise<void> => {
      const device = turn % ASKED
      turn += 1
      return read(caller, device, queued[device]!, Math.floor(turn / ASKED))
    }
    let accepts: Turns | null = null
    const figures = await measured(running.processes, async mark => {
      const load = { warmUpMs, measuredMs }
      const rate = { ...load, perSecond: RATE, outstandingMax: OUTSTANDING_MAX }
      const away = (number: number): Promise<unknown> => caller.set(ASKED + (number % (DEVICES - ASKED)), TTL_S)
      const [reads, others] = await Promise.all([
        closedLoop({ ...load, workers: READERS, mark }, reading),
        openLoop(rate, away),
      ])
      accepts = others
      return reads
    })
    const { latenciesMs } = accepts ?? { latenciesMs: [] }
    return { ...figures, more: { acceptP50Ms: quantile(latenciesMs, 0.5), acceptP99Ms: quantile(latenciesMs, 0.99) } }
  }

const BESIDE = `while ${RATE} commands a second are accepted for other devices in an open loop, whose latencies stand beside, from the moment at which each was due. What a read costs contains what they cost.`

export const reads: Scenario = {
  name: 'reads',
  title: `Get one, beside ${RATE} accepts a second`,
  what: `${READERS} callers read the record of a command by a signed call, one after the other, ${BESIDE}`,
  baseline: downlink.name,
  ...standing(contenders, ['accept', 'read'], {
    devices: DEVICES,
    connections: WORKERS,
    measure: measureReads(get),
  }),
}

export const searches: Scenario = {
  name: 'searches',
  title: `Search, beside ${RATE} accepts a second`,
  what: `${READERS} callers search the open commands of a device since a day, by a signed call, and get a page of ${EACH}, one after the other, ${BESIDE} No peer has a search.`,
  baseline: downlink.name,
  ...standing([downlink], ['accept', 'read'], {
    devices: DEVICES,
    connections: WORKERS,
    measure: measureReads(search),
  }),
}
