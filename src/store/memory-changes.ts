// The stream of changes and the tallies of them, in memory. Not here: the commands and events themselves (memory.ts).

import type { QueueEvent } from '../core/queue.ts'
import { byCodePoint } from './checks.ts'
import { isTransition, type Moves, minuteOf, movesOf, TALLY_MS } from './derived.ts'
import { type Entry, nameOf } from './memory-entry.ts'
import type { Change, ChangeFilter, ChangePage, Changes, DeviceName, EventCommand, Reach } from './stream.ts'

/** What took place in one minute on the devices of a product. */
export interface MinuteTally extends Moves {
  readonly minuteAt: number
}

/** An event at its place. */
interface Placed {
  readonly position: number
  readonly entry: Entry
  readonly event: QueueEvent
}

/** When events get their positions: in the commit that writes them, or when somebody asks for it. */
export type Places = 'at once' | 'when asked'

export class MemoryChanges implements Changes {
  /** in the order of positions */
  #placed: Placed[] = []
  /** those that have none yet */
  #unplaced: Omit<Placed, 'position'>[] = []
  #given = 0
  #lost = 0
  readonly #tallies = new Map<string, MinuteTally>()
  readonly #owners: ReadonlyMap<string, Entry>
  readonly #recorded: ReadonlyMap<number, Entry>
  readonly #places: Places

  /** owners: the device of each command on record; recorded: devices, and those deleted of which there are records left */
  constructor(owners: ReadonlyMap<string, Entry>, recorded: ReadonlyMap<number, Entry>, places: Places) {
    this.#owners = owners
    this.#recorded = recorded
    this.#places = places
  }

  /** What a commit at `now` adds to the events of a device. */
  add(entry: Entry, events: readonly QueueEvent[], now: number): void {
    for (const event of events)
      if (this.#places === 'at once') this.#place({ entry, event })
      else this.#unplaced.push({ entry, event })
    const minuteAt = minuteOf(now)
    const { orgId, productKey } = entry.row
    for (const move of movesOf([{ orgId, productKey, events }])) {
      const key = JSON.stringify([minuteAt, move.productKey, move.from, move.to])
      const before = this.#tallies.get(key)?.n ?? 0
      this.#tallies.set(key, { ...move, minuteAt, n: before + move.n })
    }
  }

  #place(unplaced: Omit<Placed, 'position'>): void {
    this.#given += 1
    this.#placed.push({ position: this.#given, ...unplaced })
  }

  /** The tallies of all minutes that are kept. */
  tallies(): Iterable<MinuteTally> {
    return this.#tallies.values()
  }

  /** Forgets events that are purged. */
  drop(isLeft: (event: QueueEvent) => boolean): void {
    const untold = this.#unplaced.filter(({ event }) => !isLeft(event) && isTransition(event))
    this.#unplaced = this.#unplaced.filter(({ event }) => isLeft(event))
    // What nobody was told of before it goes takes a position as well: by that he who reads on learns that he has missed something.
    if (untold.length > 0) this.#given += 1
    if (untold.length > 0) this.#lost = this.#given
    const gone = this.#placed.filter(({ event }) => !isLeft(event))
    if (gone.length === 0) return
    for (const { position, event } of gone) if (isTransition(event)) this.#lost = Math.max(this.#lost, position)
    this.#placed = this.#placed.filter(({ event }) => isLeft(event))
  }

  /** Forgets tallies of minutes that were over by `before`, at most `limit`; returns how many. */
  purgeTallies(before: number, limit: number): number {
    const old = [...this.#tallies].filter(([, { minuteAt }]) => minuteAt <= before - TALLY_MS)
    old.sort(([, a], [, b]) => inOrder(a, b))
    for (const [key] of old.slice(0, limit)) this.#tallies.delete(key)
    return Math.min(old.length, limit)
  }

  /** Those of a device in its order; which device comes first has nothing to do with whose commit came first. */
  async placeEvents(limit: number): Promise<number> {
    const found = this.#unplaced.sort((a, b) => a.entry.id - b.entry.id || a.event.seq - b.event.seq).splice(0, limit)
    for (const each of found) this.#place(each)
    return found.length
  }

  async changesAfter(after: number, filter: ChangeFilter | null, limit: number, scan: number): Promise<ChangePage> {
    const first = this.#indexAfter(after)
    const looked = this.#placed.slice(first, first + scan)
    const wanted = looked
      .filter(({ entry, event }) => filter === null || isWanted(filter, nameOf(entry), event))
      .slice(0, limit)
    const isFull = looked.length === scan || wanted.length === limit
    const last = wanted.length === limit ? wanted.at(-1) : looked.at(-1)
    return { changes: wanted.map(changeOf), upTo: last?.position ?? after, isFull }
  }

  /** Where the first one after a position is. */
  #indexAfter(position: number): number {
    let [low, high] = [0, this.#placed.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#placed[middle]?.position ?? 0) > position) high = middle
      else low = middle + 1
    }
    return low
  }

  async streamEnds(): Promise<{ readonly given: number; readonly lost: number }> {
    return { given: this.#given, lost: this.#lost }
  }

  async timeline(commandId: string, limit: number): Promise<QueueEvent[]> {
    const events = this.#owners.get(commandId)?.events ?? []
    return events.filter(event => event.commandId === commandId).slice(0, limit)
  }

  async eventsBetween(deviceId: number, after: number, before: number, limit: number): Promise<QueueEvent[]> {
    const events = this.#recorded.get(deviceId)?.events ?? []
    return events.filter(({ seq }) => seq > after && seq < before).slice(0, limit)
  }
}

/** In which tallies go: as in the databases, so that all stores keep the same ones. */
const inOrder = (a: MinuteTally, b: MinuteTally): number =>
  a.minuteAt - b.minuteAt ||
  byCodePoint(a.orgId, b.orgId) ||
  byCodePoint(a.productKey, b.productKey) ||
  a.from - b.from ||
  a.to - b.to

function changeOf({ position, entry, event }: Placed): Change {
  const stored = event.commandId === null ? undefined : entry.commands.get(event.commandId)
  let command: EventCommand | null = null
  if (stored !== undefined) {
    const { kind, identifier, createdAt, createdBy, sentAt, settledAt, code } = stored.command
    command = { kind, identifier, createdAt, createdBy, sentAt, settledAt, code }
  }
  return { position, device: nameOf(entry), event, command }
}

function isWanted(filter: ChangeFilter, device: DeviceName, event: QueueEvent): boolean {
  const { orgId, reach, productKey, assetId, to } = filter
  if (device.orgId !== orgId || !covers(reach, device)) return false
  if (productKey !== null && device.productKey !== productKey) return false
  if (assetId !== null && device.assetId !== assetId) return false
  return to === null || (isTransition(event) && event.to !== null && to.includes(event.to))
}

const covers = (reach: Reach, { productKey, assetId }: DeviceName): boolean =>
  reach === 'all' || reach.productKeys.includes(productKey) || reach.assetIds.includes(assetId)
