// Cancel by filter while devices come back: many commands are queued for devices that are away, all are cancelled by one call, and meanwhile a part of the
// devices connects, is sent to, drops its connection and connects again. Then the result of the call is compared with the event log on the disk, with the
// records, and with what the devices have received: every command was cancelled by the call and never sent, or was sent. The server may be killed on the way.
// Not here: how a server is started (server.ts, test/rig/process.ts), how many of what (cancel-many.ts, the test).

import { createHash } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { DatabaseSync } from '@photostructure/sqlite'
import mqtt, { type MqttClient } from 'mqtt'
import { Caller } from './caller.ts'
import { assetOf, DEVICE_SECRET, deviceKeyOf, POINT, PRODUCT } from './server.ts'

/** A server of the built program, of whatever rig. */
export interface Target {
  readonly httpUrl: URL
  readonly mqttUrl: URL
  kill(): Promise<void>
  stop(): Promise<void>
}

export interface CancelManyOptions {
  /** Starts the server on the store; with ports on these. */
  readonly start: (ports: { readonly http: string; readonly mqtt: string }) => Promise<Target>
  /** the SQLite file of that store */
  readonly file: string
  readonly devices: number
  /** commands of each */
  readonly each: number
  /** devices that come back meanwhile */
  readonly returning: number
  /** times that the server is killed while it cancels, and started again */
  readonly kills: number
  readonly say: (line: string) => void
}

export interface CancelManyReport {
  readonly commands: number
  readonly cancelled: number
  readonly sent: number
  readonly received: number
  readonly cancelMs: number
  /** what does not agree, in words; none: all does */
  readonly disagreements: readonly string[]
}

const CONNECTIONS = 64
const TTL_S = '3600'
/** s; short, so that what a kill has left in flight is over soon */
const TIMEOUT_S = '3'
/** ms over which the devices come back */
const RETURN_OVER_MS = 2_000
/** shares no factor with the numbers that are asked for, so that each turn is another device */
const STRIDE = 7_919
/** received commands after which a device drops its connection for a moment */
const DROP_AFTER = 2
/** ms in which everything must be over */
const PATIENCE_MS = 120_000
const PAGE = 500
const LISTED = 20

interface Cancellation {
  readonly cancellationId: string
  readonly status: string
  readonly matched: number
  readonly cancelled: number
  readonly notCancelled: number
  readonly undecided: number
}
interface Item {
  readonly commandId: string
  readonly outcome: string
  readonly state: number | null
}
interface Envelope<T> {
  readonly code: number
  readonly msg: string
  readonly data: T
  readonly next?: string | null
}

/** Runs it; rejects where it cannot be run at all. */
export async function cancelMany(options: CancelManyOptions): Promise<CancelManyReport> {
  const run = new Run(options)
  try {
    return await run.all()
  } finally {
    await run.end()
  }
}

class Run {
  readonly #options: CancelManyOptions
  #target: Target | null = null
  #caller: Caller | null = null
  readonly #returned: Returning[] = []
  #coming: Promise<void> = Promise.resolve()

  constructor(options: CancelManyOptions) {
    this.#options = options
  }

  async all(): Promise<CancelManyReport> {
    const { say, devices, each } = this.#options
    await this.#start('0', '0')
    const accepted = await this.#queue()
    say(`${accepted.length} commands wait on ${devices} devices, ${each} each`)
    this.#coming = this.#comeBack()
    // Some are there already when it begins, and in the middle of what waits for them.
    await this.#until(
      async () => this.#returned.filter(({ received }) => received.length > 0).length,
      some => some >= this.#options.returning / 5,
    )
    const begun = performance.now()
    const { cancellationId } = await this.#ask<Cancellation>(
      'POST',
      '/v1/cancellations',
      {},
      { filter: { all: true, states: [1, 4] } },
    )
    await this.#killOnTheWay(cancellationId)
    const row = await this.#until(
      () => this.#cancellation(cancellationId),
      ({ status }) => status === 'ended',
    )
    const cancelMs = performance.now() - begun
    await this.#coming
    const items = await this.#items(cancellationId)
    await this.#untilNothingIsOpen()
    const received = this.#returned.flatMap(device => device.received)
    await Promise.all(this.#returned.map(device => device.end()))
    await this.#target?.stop()
    this.#target = null
    const log = readLog(this.#options.file)
    const disagreements = compare({ accepted, row, items, received, log, cancellationId })
    const cancelled = items.filter(({ outcome }) => outcome === 'cancelled').length
    return {
      commands: accepted.length,
      cancelled,
      sent: log.sent.size,
      received: received.length,
      cancelMs,
      disagreements,
    }
  }

  async end(): Promise<void> {
    this.#caller?.close()
    await Promise.all(this.#returned.map(device => device.end()))
    await this.#target?.kill()
  }

  async #start(http: string, mqtt: string): Promise<void> {
    this.#target = await this.#options.start({ http, mqtt })
    this.#caller?.close()
    this.#caller = await Caller.logIn(this.#target.httpUrl, CONNECTIONS)
  }

  async #ask<T>(method: string, path: string, query: Record<string, string> = {}, body?: object): Promise<T> {
    const answer = await this.#call<Envelope<T>>(method, path, query, body)
    if (answer.code !== 0) throw new Error(`${method} ${path}: ${answer.msg}`)
    return answer.data
  }

  #call<T>(method: string, path: string, query: Record<string, string>, body?: object): Promise<T> {
    if (this.#caller === null) throw new Error('nobody has logged in')
    return this.#caller.ask<T>(method, path, query, body === undefined ? '' : JSON.stringify(body))
  }

  /** Every command's id. */
  async #queue(): Promise<string[]> {
    const { devices, each } = this.#options
    const ids: string[] = []
    let next = 0
    const worker = async (): Promise<void> => {
      for (let device = next++; device < devices; device = next++)
        for (let n = 0; n < each; n++) {
          const about = { action: 'setMeasurepoint', assetId: assetOf(device), measurepointId: POINT }
          const query = { ...about, pendingTtl: TTL_S, timeout: TIMEOUT_S }
          const path = '/connect-service/v2.1/commands'
          ids.push((await this.#ask<{ commandId: string }>('POST', path, query, { value: n })).commandId)
        }
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, worker))
    return ids
  }

  /** Spread over the time and over the devices, in an order that is not the one in which their commands are cancelled. */
  async #comeBack(): Promise<void> {
    const { returning, devices } = this.#options
    const url = this.#target?.mqttUrl
    if (url === undefined) throw new Error('there is no server')
    for (let n = 0; n < returning; n++) {
      const nth = (n * STRIDE) % returning
      const device = new Returning(url, Math.floor((nth * devices) / returning))
      this.#returned.push(device)
      await pause(RETURN_OVER_MS / returning)
    }
  }

  async #killOnTheWay(cancellationId: string): Promise<void> {
    const { kills, devices, each, say } = this.#options
    for (let n = 1; n <= kills; n++) {
      const enough = (devices * each * n) / (2 * (kills + 1))
      const { cancelled } = await this.#until(
        () => this.#cancellation(cancellationId),
        row => row.cancelled >= enough || row.status === 'ended',
      )
      const { httpUrl, mqttUrl, kill } = this.#target ?? fail('there is no server')
      await kill()
      say(`killed after ${cancelled} cancels were on record`)
      await this.#start(httpUrl.port, mqttUrl.port)
    }
  }

  #cancellation(id: string): Promise<Cancellation> {
    return this.#ask<Cancellation>('GET', `/v1/cancellations/${id}`)
  }

  async #until<T>(look: () => Promise<T>, isMet: (seen: T) => boolean): Promise<T> {
    const until = performance.now() + PATIENCE_MS
    for (;;) {
      const seen = await look()
      if (isMet(seen)) return seen
      if (performance.now() > until) throw new Error(`it is not over after ${PATIENCE_MS} ms: ${JSON.stringify(seen)}`)
      await pause(10)
    }
  }

  /** A dry run finds what is created or sent: nothing, when every device has had what was left for it. */
  async #untilNothingIsOpen(): Promise<void> {
    const look = async (): Promise<Cancellation> => {
      const filter = { all: true, states: [1, 4] }
      const { cancellationId } = await this.#ask<Cancellation>(
        'POST',
        '/v1/cancellations',
        {},
        { filter, dryRun: true },
      )
      return this.#until(
        () => this.#cancellation(cancellationId),
        ({ status }) => status === 'ended',
      )
    }
    await this.#until(look, ({ matched }) => matched === 0)
  }

  async #items(cancellationId: string): Promise<Item[]> {
    const items: Item[] = []
    for (let after: string | null = '0'; after !== null; ) {
      const path = `/v1/cancellations/${cancellationId}/items`
      const page: Envelope<Item[]> = await this.#call('GET', path, { after, limit: String(PAGE) })
      if (page.code !== 0) throw new Error(page.msg)
      items.push(...page.data)
      after = page.next ?? null
    }
    return items
  }
}

function fail(what: string): never {
  throw new Error(what)
}

/** A device on the `mqtt` client that answers everything, drops its connection once, and comes back whenever it is lost. */
class Returning {
  readonly received: string[] = []
  readonly #client: MqttClient

  constructor(url: URL, device: number) {
    const deviceKey = deviceKeyOf(device)
    const timestamp = '1548753362502'
    const text = `clientId${deviceKey}deviceKey${deviceKey}productKey${PRODUCT}timestamp${timestamp}${DEVICE_SECRET}`
    this.#client = mqtt.connect(url.href, {
      clientId: `${deviceKey}|securemode=2,signmethod=sha256,timestamp=${timestamp}|`,
      username: `${deviceKey}&${PRODUCT}`,
      password: createHash('sha256').update(text).digest('hex'),
      reconnectPeriod: 100,
    })
    // It connects again by itself.
    this.#client.on('error', () => undefined)
    this.#client.on('message', (topic, payload) => {
      const { id } = JSON.parse(payload.toString()) as { id: string }
      this.received.push(id)
      this.#client.publish(`${topic}_reply`, JSON.stringify({ id, code: 200, data: {} }), { qos: 1 })
      if (this.received.length === DROP_AFTER) this.#client.stream.destroy()
    })
  }

  end(): Promise<void> {
    return new Promise(resolve => void this.#client.end(true, {}, () => resolve()))
  }
}

// --- the comparison ----------------------------------------------------------------------------------------------

interface Log {
  /** cancelled, and what the event says of it */
  readonly cancelled: ReadonlyMap<string, string | null>
  readonly sent: ReadonlySet<string>
  readonly states: ReadonlyMap<string, number>
}

/** The event log and the records, as they are on the disk. */
function readLog(file: string): Log {
  const db = new DatabaseSync(file, { readOnly: true })
  try {
    const events = db
      .prepare(
        'select cast(command_id as text) as id, to_state, detail from event where command_id is not null and to_state in (2, 4)',
      )
      .all() as { id: string; to_state: number; detail: string | null }[]
    const commands = db.prepare('select cast(id as text) as id, state from command').all() as {
      id: string
      state: number
    }[]
    return {
      cancelled: new Map(events.filter(({ to_state }) => to_state === 2).map(({ id, detail }) => [id, detail])),
      sent: new Set(events.filter(({ to_state }) => to_state === 4).map(({ id }) => id)),
      states: new Map(commands.map(({ id, state }) => [id, state])),
    }
  } finally {
    db.close()
  }
}

interface Compared {
  readonly accepted: readonly string[]
  readonly row: Cancellation
  readonly items: readonly Item[]
  readonly received: readonly string[]
  readonly log: Log
  readonly cancellationId: string
}

/** Every sentence is a command, or a count, that somebody was told something untrue of. */
function compare({ accepted, row, items, received, log, cancellationId }: Compared): string[] {
  const wrong: string[] = []
  const check = (isRight: boolean, what: () => string): void => {
    if (!isRight && wrong.push(what()) === LISTED) wrong.push('… and so on')
  }
  const outcomes = new Map(items.map(item => [item.commandId, item]))
  const got = new Set(received)
  const detail = JSON.stringify({ cancellation: cancellationId })
  check(got.size === received.length, () => `${received.length - got.size} commands arrived more than once`)
  check(outcomes.size === items.length, () => 'a command is listed more than once')
  for (const id of accepted) {
    const item = outcomes.get(id)
    const isOurs = log.cancelled.get(id) === detail
    const isSent = log.sent.has(id)
    check(isOurs !== isSent, () => `${id} was ${isOurs ? 'cancelled and sent' : 'neither cancelled nor sent'}`)
    check(!isOurs || !got.has(id), () => `${id} was cancelled, and arrived`)
    check(isSent || !got.has(id), () => `${id} arrived, and was not sent by the log`)
    check(
      isOurs === (item?.outcome === 'cancelled'),
      () => `${id} is listed as ${item?.outcome}, by the log it was ${isOurs ? '' : 'not '}cancelled`,
    )
    check(isOurs === (log.states.get(id) === 2), () => `${id} has state ${log.states.get(id)} on record`)
    check(
      item === undefined ||
        item.outcome === 'cancelled' ||
        (item.outcome === 'notCancelled' && item.state !== 1 && item.state !== 2),
      () => `${id} is listed as ${item?.outcome} in state ${item?.state}`,
    )
  }
  const known = new Set(accepted)
  for (const { commandId } of items) check(known.has(commandId), () => `${commandId} is listed, and was never accepted`)
  const cancelled = items.filter(({ outcome }) => outcome === 'cancelled').length
  check(row.cancelled === cancelled, () => `it says ${row.cancelled} were cancelled, and lists ${cancelled}`)
  check(row.matched === items.length, () => `it says ${row.matched} matched, and lists ${items.length}`)
  check(row.notCancelled === items.length - cancelled, () => `it says ${row.notCancelled} were not cancelled`)
  check(row.undecided === 0, () => `it says that ${row.undecided} are undecided`)
  return wrong.slice(0, LISTED + 1)
}
