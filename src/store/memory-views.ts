// Reads for people, in memory: each looks at every device there is, or at every tally. Not here: what a list or a search asks of one device
// (device-condition.ts).

import { State } from '../core/command.ts'
import { type Candidate, covers, deviceMatches, isListed, pathOf, statusOf } from './device-condition.ts'
import type { MinuteTally } from './memory-changes.ts'
import type { Devices } from './memory-devices.ts'
import { deviceOf, type Entry, nameOf, records } from './memory-entry.ts'
import type { ProductRow } from './store.ts'
import type { DeviceName, Reach } from './stream.ts'
import type { Counts, DeviceCondition, DeviceLine, DeviceQuery, FoundCommand, Tally, Views } from './views.ts'

/** What views read besides the devices. */
export interface Sources {
  /** the device of each command on record */
  readonly owners: ReadonlyMap<string, Entry>
  readonly product: (productKey: string) => ProductRow | null
  readonly tallies: () => Iterable<MinuteTally>
}

export class MemoryViews implements Views {
  readonly #devices: Devices
  readonly #sources: Sources

  constructor(devices: Devices, sources: Sources) {
    this.#devices = devices
    this.#sources = sources
  }

  #candidate({ row, queue, labels }: Entry): Candidate {
    const status = statusOf(row.disabled, queue.sessionNode !== null, queue.activeAt)
    return { row, status, product: this.#sources.product(row.productKey), labels }
  }

  #line(entry: Entry): DeviceLine {
    const open = records(entry, entry.open)
    const created = open.filter(({ state }) => state === State.created)
    return {
      device: deviceOf(entry),
      status: this.#candidate(entry).status,
      waiting: created.length,
      oldestWaitingAt: oldestOf(created.map(({ createdAt }) => createdAt)),
      inFlight: open.some(({ state }) => state === State.sent),
    }
  }

  /** In the order of their numbers. */
  #entries(orgId: string): Entry[] {
    return [...this.#devices.byId.values()].filter(({ row }) => row.orgId === orgId).sort((a, b) => a.id - b.id)
  }

  async listDevices(
    query: DeviceQuery,
    after: number,
    limit: number,
    scan: number,
  ): Promise<{ lines: DeviceLine[]; next: number | null }> {
    const path = pathOf(query)
    const all: DeviceQuery = { ...query, reach: 'all', productKey: null, status: null, text: null, waiting: false }
    const onPath: DeviceQuery = {
      ...all,
      waiting: path === 'waiting',
      status: path === 'status' ? query.status : null,
      productKey: path === 'product' ? query.productKey : null,
    }
    const isOf = (entry: Entry, asked: DeviceQuery): boolean =>
      isListed(asked, this.#candidate(entry), waitingOf(entry).length)
    const there = this.#entries(query.orgId).filter(entry => entry.id > after && isOf(entry, onPath))
    const looked = there.slice(0, scan)
    const wanted = looked.filter(entry => isOf(entry, query))
    const lines = wanted.slice(0, limit).map(entry => this.#line(entry))
    if (wanted.length > limit) return { lines, next: wanted[limit - 1]?.id ?? after }
    return { lines, next: there.length > looked.length ? (looked.at(-1)?.id ?? after) : null }
  }

  async topDevices(
    { orgId, reach, productKey }: Pick<DeviceQuery, 'orgId' | 'reach' | 'productKey'>,
    by: 'waiting' | 'oldest',
    limit: number,
  ): Promise<DeviceLine[]> {
    const lines = this.#entries(orgId)
      .filter(({ row }) => covers(reach, row) && (productKey === null || row.productKey === productKey))
      .map(entry => this.#line(entry))
      .filter(({ waiting }) => waiting > 0)
    const isBefore = (a: DeviceLine, b: DeviceLine): number =>
      by === 'waiting'
        ? b.waiting - a.waiting || b.device.id - a.device.id
        : Number(a.oldestWaitingAt) - Number(b.oldestWaitingAt) || a.device.id - b.device.id
    return lines.sort(isBefore).slice(0, limit)
  }

  async deviceLine(deviceId: number): Promise<DeviceLine | null> {
    const entry = this.#devices.byId.get(deviceId)
    return entry === undefined ? null : this.#line(entry)
  }

  async searchDevices(
    orgId: string,
    reach: Reach,
    condition: DeviceCondition | null,
    offset: number,
    limit: number,
  ): Promise<{ lines: DeviceLine[]; total: number }> {
    const found = this.#entries(orgId)
      .filter(entry => covers(reach, entry.row))
      .filter(entry => condition === null || deviceMatches(this.#candidate(entry), condition))
      .reverse()
    return { lines: found.slice(offset, offset + limit).map(entry => this.#line(entry)), total: found.length }
  }

  async counts(orgId: string, productKeys: readonly string[] | null): Promise<Counts> {
    const lines = this.#entries(orgId)
      .filter(({ row }) => productKeys === null || productKeys.includes(row.productKey))
      .map(entry => this.#line(entry))
    const withStatus = (status: DeviceLine['status']): number => lines.filter(line => line.status === status).length
    return {
      devices: lines.length,
      online: withStatus('online'),
      disabled: withStatus('disabled'),
      inactive: withStatus('inactive'),
      waiting: lines.reduce((sum, { waiting }) => sum + waiting, 0),
      inFlight: lines.filter(({ inFlight }) => inFlight).length,
      oldestWaitingAt: oldestOf(lines.flatMap(({ oldestWaitingAt }) => oldestWaitingAt ?? [])),
    }
  }

  async tallies(
    orgId: string,
    productKeys: readonly string[] | null,
    from: number,
    to: number,
    stepMs: number,
  ): Promise<Tally[]> {
    const steps = new Map<string, Tally>()
    for (const tally of this.#sources.tallies()) {
      const isOf = tally.orgId === orgId && (productKeys === null || productKeys.includes(tally.productKey))
      if (!isOf || tally.minuteAt < from || tally.minuteAt >= to) continue
      const at = from + Math.floor((tally.minuteAt - from) / stepMs) * stepMs
      const key = `${at} ${tally.from} ${tally.to}`
      const n = (steps.get(key)?.n ?? 0) + tally.n
      steps.set(key, { at, from: tally.from === 0 ? null : tally.from, to: tally.to, n })
    }
    return [...steps.values()].sort((a, b) => a.at - b.at || (a.from ?? 0) - (b.from ?? 0) || a.to - b.to)
  }

  async commandById(commandId: string): Promise<FoundCommand | null> {
    const entry = this.#sources.owners.get(commandId)
    const stored = entry?.commands.get(commandId)
    return entry === undefined || stored === undefined ? null : { ...stored, device: nameOf(entry) }
  }

  async waitingDevices(
    orgId: string,
    productKeys: readonly string[] | null,
    after: number,
    limit: number,
  ): Promise<number[]> {
    return this.#entries(orgId)
      .filter(entry => entry.id > after && waitingOf(entry).length > 0)
      .filter(({ row }) => productKeys === null || productKeys.includes(row.productKey))
      .map(({ id }) => id)
      .slice(0, limit)
  }

  async deviceName(deviceId: number): Promise<DeviceName | null> {
    const entry = this.#devices.recorded.get(deviceId)
    return entry === undefined ? null : nameOf(entry)
  }
}

const waitingOf = (entry: Entry) => records(entry, entry.open).filter(({ state }) => state === State.created)

const oldestOf = (instants: readonly number[]): number | null => (instants.length === 0 ? null : Math.min(...instants))
