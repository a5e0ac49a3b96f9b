// What can be asked of a Downlink server: commands sent, read, cancelled and waited for, devices, statistics, events. Each method is one call, or an
// iteration over calls. Not here: how a call is signed, sent and repeated (caller.ts), jobs and cancellations by filter (jobs.ts, cancellations.ts).

import { type AccessOptions, accessOf } from './access.ts'
import type { Call, Caller } from './caller.ts'
import { Cancellations } from './cancellations.ts'
import type { Answer } from './errors.ts'
import { follow } from './events.ts'
import { given, identify, idOf, inRange, isText, newKey, part } from './given.ts'
import { Jobs } from './jobs.ts'
import { ANSWER_MARGIN_MS, PAGE_SIZE, TIMER_MAX_MS, WAIT_STREAMS_MAX } from './limits.ts'
import type { ThingModel } from './model.ts'
import type { Retries } from './retry.ts'
import { cancelledUnseen, commandOf, eventOf, listOf, notUnderstood } from './told.ts'
import { waitForEnd } from './wait.ts'
import {
  type Cancelled,
  type ChangeEvent,
  type ChangePage,
  type Command,
  type CommandPage,
  type CommandRecord,
  type Device,
  type DeviceLine,
  type DevicePage,
  type DeviceQuery,
  type DeviceQueue,
  type EventFilter,
  type Explanation,
  isCommandId,
  isFinal,
  isObject,
  isState,
  type Sent,
  State,
  type Stats,
  type StatsQuery,
  type Timeline,
} from './wire.ts'

export interface DownlinkOptions extends AccessOptions {
  /** the organization on whose behalf everything is asked */
  readonly orgId: string
}

export interface CallOptions {
  /** ends the call, and all waiting; what is thrown is its reason */
  readonly signal?: AbortSignal | undefined
}

export interface SendOptions extends CallOptions {
  /** s, up to 172800, for which the command waits for its device; 0, the default: now or never, and the call waits for the device's answer */
  readonly pendingTtl?: number
  /** s, 1 to 60, that the device has to answer; default 30 */
  readonly timeout?: number
  /**
   * 1 to 255 printable characters. Who calls again with the same key and the same command gets the first answer, and no second command. By default each
   * call has one of its own, so that its repeats are safe; give one to be safe over a restart of your program as well.
   */
  readonly idempotencyKey?: string
}

export interface SearchOptions extends CallOptions {
  /** such as `state in (1, 4) and createTime >= "2026-01-31 08:00:00"`; docs/http.md has the grammar. Default: all. */
  readonly expression?: string
  /** commands per call, default 100 */
  readonly pageSize?: number
}

export interface SearchPageOptions extends SearchOptions {
  /** from 1, the default */
  readonly pageNo?: number
}

export interface WaitOptions extends CallOptions {
  /** default: as long as it takes, which is at most pendingTtl and timeout together */
  readonly timeoutMs?: number
}

export interface ChangesOptions extends EventFilter, CallOptions {
  /** the id of the last event that was seen: those after it come first */
  readonly after?: string
  /** where to begin without it: with what happens from now on, or with the oldest that is kept */
  readonly from?: 'now' | 'oldest'
}

export interface EventsOptions extends ChangesOptions {
  /** Whether opening it the first time is tried again as well, for as long as that may help, and told by `onLost`; default: it fails as every call does. */
  readonly untilOpen?: boolean
  /** Each time that the stream is there, first or again. What was asked before may have changed since it broke off; what happens from now on is told. */
  readonly onOpen?: () => void
  /** Each time that it broke off, or could not be opened again: it is tried again after a pause. What ends it for good is thrown instead. */
  readonly onLost?: (error: unknown) => void
}

/** A call of an action of the vendor's API. */
export interface ActionCall extends CallOptions {
  readonly device?: Device
  readonly query?: Call['query']
  readonly body?: object
  readonly method?: 'GET' | 'POST'
  readonly changes?: boolean
  readonly repeatable?: boolean
}

const COMMANDS = '/connect-service/v2.1/commands'
const EVENTS = '/v1/events'
const TIMEOUT_DEFAULT_S = 30
const FINAL: readonly State[] = Object.values(State).filter(isFinal)

/**
 * A client of one server, for one organization and one application. It holds a token and no connection: nothing needs to be closed.
 *
 * Every method throws {@link DownlinkError} where the server refuses, {@link NoAnswer} where it is not heard of, TypeError for what cannot be sent as it was
 * given, and the reason of its signal.
 */
export class Downlink {
  /** command jobs: one command for many devices, with retries */
  readonly jobs: Jobs
  /** cancelling by filter, over many devices */
  readonly cancellations: Cancellations
  readonly #caller: Caller
  readonly #retries: Retries
  /** streams that waiting has open */
  #streams = 0

  constructor(options: DownlinkOptions) {
    if (!isText(options.orgId)) throw new TypeError('orgId: must be a text')
    const { caller, retries } = accessOf(options, options.orgId)
    this.#caller = caller
    this.#retries = retries
    this.jobs = new Jobs(this.#caller)
    this.cancellations = new Cancellations(this.#caller)
  }

  /**
   * Sets a measurepoint. With a pendingTtl it resolves as soon as the command is on record, and the command waits its turn; without one, when the device has
   * done it. Refused otherwise: {@link DownlinkError} with `code`, and with `commandId` where the command is on record nevertheless.
   */
  async setMeasurepoint(
    device: Device,
    measurepointId: string,
    value: unknown,
    options: SendOptions = {},
  ): Promise<Sent> {
    if (value === undefined) throw new TypeError('value: is missing')
    return this.#send({ action: 'setMeasurepoint', measurepointId, ...identify(device) }, { value }, options)
  }

  /** Invokes a service, in the same way; an instant one resolves with what the device answered. */
  async invokeService(
    device: Device,
    serviceId: string,
    inputData: Readonly<Record<string, unknown>> = {},
    options: SendOptions = {},
  ): Promise<Sent> {
    return this.#send({ action: 'invokeService', serviceId, ...identify(device) }, { inputData }, options)
  }

  async #send(query: Record<string, string>, body: object, options: SendOptions): Promise<Sent> {
    const { pendingTtl = 0, timeout = TIMEOUT_DEFAULT_S, idempotencyKey = newKey(), signal } = options
    if (!/^[\x20-\x7e]{1,255}$/.test(idempotencyKey))
      throw new TypeError('idempotencyKey: must be 1 to 255 printable ASCII characters')
    inRange('pendingTtl', pendingTtl, 0, TIMER_MAX_MS)
    inRange('timeout', timeout, 0, TIMER_MAX_MS / 1_000 - ANSWER_MARGIN_MS)
    const { data } = await this.#caller.answer({
      method: 'POST',
      path: COMMANDS,
      query: { ...query, pendingTtl, timeout },
      body,
      headers: { 'idempotency-key': idempotencyKey },
      waitMs: pendingTtl > 0 ? 0 : timeout * 1_000,
      repeatable: true,
      signal,
    })
    const { commandId, outputData = null } = isObject(data) ? data : {}
    if (!isCommandId(commandId)) throw notUnderstood('data.commandId')
    return { commandId, outputData: isObject(outputData) && pendingTtl === 0 ? outputData : null }
  }

  /** A command of a device, as it durably is. 11404 where it has none with this id, or none any more. */
  async get(device: Device, commandId: string, { signal }: CallOptions = {}): Promise<Command> {
    const query = { action: 'get', ...identify(device), commandId: idOf(commandId) }
    return commandOf((await this.#caller.answer({ method: 'GET', path: COMMANDS, query, signal })).data)
  }

  /**
   * The commands of a device, newest first, fetched by pages as they are read. Each comes once, however many are sent or end meanwhile: a page begins after
   * the last command of the one before, not at a number.
   */
  async *search(
    device: Device,
    { expression = '', pageSize = PAGE_SIZE, signal }: SearchOptions = {},
  ): AsyncGenerator<Command, void> {
    let [bound, last, pageNo] = ['', null as string | null, 1]
    for (;;) {
      const terms = [expression, bound].filter(term => term.trim() !== '').map(term => `(${term})`)
      const options = { expression: terms.join(' and '), pageNo, pageSize, signal }
      const { commands: page } = await this.searchPage(device, options)
      const fresh = page.filter(({ commandId }) => last === null || isBefore(commandId, last))
      yield* fresh
      if (page.length < pageSize) return
      const end = fresh.at(-1)
      // A bound is a whole second: where a page has nothing else than what is known, the next page of that second has it.
      if (end === undefined) pageNo += 1
      else [bound, last, pageNo] = [`createTime <= "${utcSecond(end.createTime)}"`, end.commandId, 1]
    }
  }

  /** One page of them by its number, for who pages by himself: a new command moves all others on by one. */
  async searchPage(
    device: Device,
    { expression = '', pageNo = 1, pageSize = PAGE_SIZE, signal }: SearchPageOptions = {},
  ): Promise<CommandPage> {
    const query = { action: 'search', ...identify(device) }
    const body = { expression, pagination: { pageNo, pageSize } }
    const call = { method: 'POST', path: COMMANDS, query, body, changes: false, signal } as const
    const { data, fields } = await this.#caller.answer(call)
    const { totalSize = null } = isObject(fields.pagination) ? fields.pagination : {}
    const commands = listOf(data).map(value => commandOf(value))
    return { commands, pageNo, pageSize, totalSize: typeof totalSize === 'number' ? totalSize : null }
  }

  /**
   * Cancels one command, if it has not been sent. What is reported as cancelled is never sent; what was sent is not reported as cancelled. Cancelling it again
   * reports the same. 11404 where the device has no such command.
   */
  async cancel(device: Device, commandId: string, { signal }: CallOptions = {}): Promise<Cancelled> {
    const query = { action: 'cancel', ...identify(device), commandId: idOf(commandId) }
    const call = { method: 'POST', path: COMMANDS, query, repeatable: true, signal } as const
    const { data, fields } = await this.#caller.answer(call).catch(cancelledUnseen)
    const [found = null] = [...listOf(data), ...listOf(fields.notCancelled ?? [])]
    const state = isObject(found) && found.commandId === commandId ? found.state : null
    if (!isState(state)) throw notUnderstood('data')
    return { commandId, cancelled: state === State.cancelled, state }
  }

  /**
   * Cancels all that is queued for a device; resolves with what this call has cancelled, oldest first. Not repeated where nothing was heard of it: a second
   * one would cancel what was sent since.
   */
  async cancelAll(device: Device, { signal }: CallOptions = {}): Promise<readonly Command[]> {
    const query = { action: 'cancel', ...identify(device) }
    const { data } = await this.#caller.answer({ method: 'POST', path: COMMANDS, query, signal })
    return listOf(data).map(commandOf)
  }

  /** All that is on record of a command, by its id alone. */
  async record(commandId: string, { signal }: CallOptions = {}): Promise<CommandRecord> {
    return commandOf(await this.#view<CommandRecord>(`/v1/commands/${idOf(commandId)}`, {}, signal))
  }

  /**
   * Waits until a command is over, however it ends: `state` of what it resolves with says how. Events tell of it where the application may follow them; else,
   * and where many are waited for at a time, it is looked at every few seconds. A server that goes away meanwhile is waited for. Throws {@link NoAnswer}
   * (`late`) when timeoutMs are over.
   */
  async waitFor(commandId: string, { timeoutMs, signal }: WaitOptions = {}): Promise<CommandRecord> {
    const look = (signal: AbortSignal) => this.record(commandId, { signal })
    const listen = (assetId: string, signal: AbortSignal, on: { open(): void; event(): void }) =>
      this.#listen({ assetId, states: FINAL }, commandId, signal, on)
    if (timeoutMs !== undefined) inRange('timeoutMs', timeoutMs, 0, TIMER_MAX_MS)
    const { sleep, retries } = this.#retries
    const waiting = { commandId: idOf(commandId), timeoutMs: timeoutMs ?? null, signal, sleep, retries }
    return waitForEnd({ ...waiting, look, listen })
  }

  async #listen(
    filter: EventFilter,
    commandId: string,
    signal: AbortSignal,
    on: { open(): void; event(): void },
  ): Promise<void> {
    if (this.#streams >= WAIT_STREAMS_MAX) return
    this.#streams += 1
    try {
      const call = { method: 'GET', path: EVENTS, query: filterQuery(filter), signal } as const
      const following = { caller: this.#caller, call, after: null, onOpen: on.open, ...this.#retries }
      for await (const { data } of follow(following)) if (eventOf(data).commandId === commandId) on.event()
    } catch {
      // Not allowed, not there, or waited long enough: looking goes on without it, and tells what is wrong with the server.
    } finally {
      this.#streams -= 1
    }
  }

  /** Why a command waits, in words and in fields, and whether it can be cancelled. */
  async explain(commandId: string, { signal }: CallOptions = {}): Promise<Explanation> {
    return this.#view(`/v1/commands/${idOf(commandId)}/explain`, {}, signal)
  }

  /** One command's life: every transition, by whom, when and why; and what it waited for. */
  async timeline(commandId: string, { signal }: CallOptions = {}): Promise<Timeline> {
    return this.#view(`/v1/commands/${idOf(commandId)}/timeline`, {}, signal)
  }

  /**
   * What happens, as it happens, and with `after` what happened since: at least once, of each device in order. Goes on until it is left (`break`), or its
   * signal says so; a connection that breaks off is made again. 99411 where events after `after` have been purged.
   */
  async *events({
    after,
    signal,
    untilOpen,
    onOpen,
    onLost,
    ...filter
  }: EventsOptions = {}): AsyncGenerator<ChangeEvent, void> {
    const call = { method: 'GET', path: EVENTS, query: filterQuery(filter), signal } as const
    const following = { caller: this.#caller, call, after: after ?? null, untilOpen, onOpen, onLost, ...this.#retries }
    for await (const { data } of follow(following)) yield eventOf(data)
  }

  /** The same events in the same order, by page, for who comes now and then. Without `after` it begins with the oldest that are kept. */
  async changes({ limit, signal, ...options }: ChangesOptions & { readonly limit?: number } = {}): Promise<ChangePage> {
    const query = { ...filterQuery(options), ...given({ after: options.after, limit }) }
    const { data, fields } = await this.#caller.answer({ method: 'GET', path: '/v1/changes', query, signal })
    if (typeof fields.next !== 'string') throw notUnderstood('next')
    return { events: listOf(data) as ChangeEvent[], next: fields.next, more: fields.more === true }
  }

  /** Devices with their status and what waits for them, in the order in which they were added; fetched by pages as they are read. */
  async *devices(query: DeviceQuery & CallOptions = {}): AsyncGenerator<DeviceLine, void> {
    for (let after: number | null = 0; after !== null; ) {
      const page: DevicePage = await this.devicePage({ ...query, after })
      yield* page.devices
      after = page.next
    }
  }

  /** One page of them, for who pages by himself; without `after` the first. */
  async devicePage({
    signal,
    after = 0,
    limit = PAGE_SIZE,
    ...query
  }: DeviceQuery & CallOptions & { readonly after?: number; readonly limit?: number } = {}): Promise<DevicePage> {
    const call = { method: 'GET', path: '/v1/devices', query: { ...given(query), after, limit }, signal } as const
    const { data, fields } = await this.#caller.answer(call)
    return { devices: listOf(data) as DeviceLine[], next: typeof fields.next === 'number' ? fields.next : null }
  }

  /** Those with the most commands that wait, or with the one that has waited longest, first. */
  async topDevices(
    order: 'waiting' | 'oldest',
    { limit = PAGE_SIZE, productKey, signal }: { limit?: number; productKey?: string } & CallOptions = {},
  ): Promise<readonly DeviceLine[]> {
    return this.#view('/v1/devices', given({ order, limit, productKey }), signal)
  }

  async device(assetId: string, { signal }: CallOptions = {}): Promise<DeviceLine> {
    return this.#view(`/v1/devices/${part('assetId', assetId)}`, {}, signal)
  }

  /** What it can be told and asked, by the model of its product; null where that has none, and takes any command. */
  async thingModel(assetId: string, { signal }: CallOptions = {}): Promise<ThingModel | null> {
    return this.#view(`/v1/devices/${part('assetId', assetId)}/thing-model`, {}, signal)
  }

  /** What a device has open, in the order in which it goes out. */
  async queue(assetId: string, { signal }: CallOptions = {}): Promise<DeviceQueue> {
    return this.#view(`/v1/devices/${part('assetId', assetId)}/queue`, {}, signal)
  }

  /** How many devices and commands there are now, and what happened over time. */
  async stats({ signal, ...query }: StatsQuery & CallOptions = {}): Promise<Stats> {
    return this.#view('/v1/stats', given(query), signal)
  }

  /** Any action of the vendor's API: `call('devices', 'get', { device, changes: false })`. */
  async call(resource: string, action: string, options: ActionCall = {}): Promise<Answer> {
    const { device, query, method = 'POST', ...rest } = options
    const path = `/connect-service/v2.1/${part('resource', resource)}`
    return this.#caller.answer({ ...rest, method, path, query: { ...query, action, ...(device && identify(device)) } })
  }

  /** Any call of any path, signed, with orgId in its query. */
  async request(call: Call): Promise<Answer> {
    if (!/^\/[^?#]*$/.test(call.path))
      throw new TypeError('path: must begin with / and have no query; that is a field of its own')
    return this.#caller.answer(call)
  }

  async #view<T>(path: string, query: NonNullable<Call['query']>, signal: AbortSignal | undefined): Promise<T> {
    return (await this.#caller.answer({ method: 'GET', path, query, signal })).data as T
  }
}

/** Decimal numbers without leading zeros, in their order. */
const isBefore = (left: string, right: string): boolean =>
  left.length === right.length ? left < right : left.length < right.length

/** `2026-01-31T08:00:00Z`, of ms since 1970 in digits. */
const utcSecond = (ms: string): string => `${new Date(Number(ms)).toISOString().slice(0, 19)}Z`

const filterQuery = ({
  assetId,
  productKey,
  states,
  from,
}: ChangesOptions): Record<string, string | number | boolean> =>
  given({ assetId, productKey, state: states?.join(','), from })
