// Somebody who follows the stream of changes, in small pages, from where he was: now at once, now much later. He must get every event that is on record, once,
// at the place that it has for ever, and those of a device in their order; and be told where some were purged before he came. Among several nodes events get
// their places later than they are written, from whichever node is asked to give them.

import type { QueueEvent } from '../src/core/queue.ts'
import type { Change, ChangePage } from '../src/store/stream.ts'
import type { Ledger } from './ledger.ts'
import type { Surroundings } from './units.ts'

const READ_MAX_MS = 4_000
const PLACE_MAX_MS = 1_500
/** chance that he asks again for what he has had, as one does whose answer was lost */
const REREADS = 0.1

export class Follower {
  readonly #around: Surroundings
  #after = 0
  /** the number of the last event of each device */
  readonly #last = new Map<number, number>()
  /** up to which of them he knows that he may have missed some */
  readonly #toldOf = new Map<number, number>()
  /** what is at each position */
  readonly #places = new Map<number, string>()

  constructor(around: Surroundings) {
    this.#around = around
    this.#readLater()
    if (around.site.isMany) this.#placeLater()
  }

  get #ledger(): Ledger {
    return this.#around.ledger
  }

  #readLater(): void {
    const { world } = this.#around
    world.after(world.random.int(1, READ_MAX_MS), 'actor', () => {
      if (world.calm) return
      void this.#page(world.random.int(1, 40), world.random.int(1, 60)).catch(error => this.#failed(error))
      this.#readLater()
    })
  }

  #failed(error: unknown): void {
    this.#ledger.broken(20, null, `the stream cannot be read: ${String(error)}`)
  }

  /** Some node gives places to some events. */
  #placeLater(): void {
    const { world, site } = this.#around
    world.after(world.random.int(1, PLACE_MAX_MS), 'actor', () => {
      if (world.calm) return
      const process = site.pick()
      const limit = world.random.int(1, 30)
      if (process !== null)
        process.reach(() => {
          const failed = (error: unknown): void => process.unexpected(error, 'events cannot be placed')
          void process.store.placeEvents(limit).then(placed => world.count('event placed', placed), failed)
        })
      this.#placeLater()
    })
  }

  /** Reads one page, and returns whether there may be more. */
  async #page(limit: number, scan: number): Promise<boolean> {
    const { world, site } = this.#around
    const again = this.#after > 0 && world.random.chance(REREADS)
    const from = again ? world.random.int(0, this.#after - 1) : this.#after
    const page = await site.store.changesAfter(from, null, limit, scan)
    const { given, lost } = await site.store.streamEnds()
    this.#checkPage(from, page, limit, given)
    if (again) {
      world.count('stream read again')
      return true
    }
    if (from < lost) this.#told()
    for (const change of page.changes) this.#got(change)
    this.#after = page.upTo
    return page.isFull
  }

  /** Some of what was written by now has been purged. */
  #told(): void {
    this.#around.world.count('stream purged before it was read')
    for (const { deviceId, length } of this.#ledger.logs) this.#toldOf.set(deviceId, length)
  }

  #checkPage(from: number, { changes, upTo }: ChangePage, limit: number, given: number): void {
    const positions = changes.map(({ position }) => position)
    const isOrdered = positions.every((position, i) => position > (positions[i - 1] ?? from))
    if (!isOrdered || upTo < (positions.at(-1) ?? from) || upTo > given)
      this.#ledger.broken(47, null, `a page after ${from} has ${positions.join(', ')}, up to ${upTo} of ${given}`)
    if (changes.length > limit) this.#ledger.broken(47, null, `a page of ${limit} has ${changes.length} changes`)
    for (const { position, device, event } of changes) {
      const what = `event ${event.seq} of ${device.deviceId}`
      const before = this.#places.get(position) ?? what
      this.#places.set(position, before)
      if (before !== what) this.#ledger.broken(47, device.deviceId, `${what} is at ${position}, where ${before} was`)
    }
  }

  #got({ device, event, command }: Change): void {
    const { world } = this.#around
    const { deviceId, deletedAt } = device
    const { events, deleted } = this.#ledger.log(deviceId)
    const last = this.#last.get(deviceId) ?? 0
    world.count('change followed')
    if (event.seq <= last) this.#ledger.broken(48, deviceId, `event ${event.seq} comes after event ${last}`)
    for (let seq = last + 1; seq < event.seq; seq += 1) this.#missed(deviceId, seq)
    this.#last.set(deviceId, Math.max(last, event.seq))
    const written = events[event.seq - 1]
    if (written === undefined || textOf(written) !== textOf(event))
      this.#ledger.broken(48, deviceId, `${textOf(event)} is told, ${written && textOf(written)} was written`)
    if ((deletedAt !== null) !== deleted)
      this.#ledger.broken(48, deviceId, `is told to be ${deletedAt === null ? 'there' : 'deleted'}, which it is not`)
    if ((command === null) !== (event.commandId === null))
      this.#ledger.broken(48, deviceId, `event ${event.seq} comes without its command`)
  }

  /** An event did not come before the next one of its device: it was purged, and if it was of a command, he was told that something was. */
  #missed(deviceId: number, seq: number): void {
    const event = this.#ledger.log(deviceId).events[seq - 1]
    const { commandId = null, at = 0, from = null, to = null } = event ?? {}
    const entry = commandId === null ? undefined : this.#ledger.log(deviceId).commands.get(commandId)
    const isPurged =
      entry === undefined
        ? at < this.#ledger.purgedBefore
        : entry.settledAt !== null && entry.settledAt < this.#ledger.purgedBefore
    const isTransition = commandId !== null && from !== to
    const isTold = !isTransition || seq <= (this.#toldOf.get(deviceId) ?? 0)
    if (!isPurged || !isTold)
      this.#ledger.broken(48, deviceId, `event ${seq} is passed over${isPurged ? ', and nobody is told' : ''}`)
  }

  /** When everything is over: he reads to the end, and has had everything. */
  async finish(): Promise<void> {
    const { site } = this.#around
    const { store } = site
    while ((await store.placeEvents(100)) > 0);
    while (await this.#page(50, 50));
    for (const { deviceId, length } of this.#ledger.logs)
      for (let seq = (this.#last.get(deviceId) ?? 0) + 1; seq <= length; seq += 1) this.#missed(deviceId, seq)
  }
}

const textOf = ({ seq, commandId, from, to, at, by, reason, detail }: QueueEvent): string =>
  JSON.stringify([seq, commandId, from, to, at, by, reason, detail])
