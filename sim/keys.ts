// What keys were used for, written down as it became durable: one command while a key is kept, whoever repeats the call, wherever and whenever. What repeats
// are answered is checked against this, and against what others were told of the same command. Not here: who repeats what, and when (repeats.ts).

import { type Command, isOpen, stateName } from '../src/core/command.ts'
import type { KeptAnswer, Outcome } from '../src/core/queue.ts'
import type { Store, StoredCommand } from '../src/store/store.ts'
import { outcomeOf, type Settlement } from '../src/waiters.ts'
import type { Call } from './history.ts'
import type { Entry, Ledger } from './ledger.ts'
import type { World } from './world.ts'

/** With what a call came, so that it may be repeated. */
export type Once = Pick<KeptAnswer, 'application' | 'key' | 'requestHash'> & { readonly keepMs: number }

/** A key as the rules must know it: of one device and one application. */
const nameOf = (deviceId: number, { application, key }: Pick<Once, 'application' | 'key'>): string =>
  `${deviceId} ${application} ${key}`

export class Keys {
  readonly #world: World
  readonly #ledger: Ledger
  /** by the number that a call put into its input */
  readonly #asked = new Map<number, Once>()
  /** by name, the newest last */
  readonly #uses = new Map<string, { readonly deviceId: number; readonly uses: KeptAnswer[] }>()
  /** how commands ended, as somebody was told first */
  readonly #told = new Map<string, string>()
  /** what lapsed before this instant may have been purged, although another clock says that it has not lapsed */
  #purgedBefore = 0

  constructor(world: World, ledger: Ledger) {
    this.#world = world
    this.#ledger = ledger
  }

  // --- what becomes durable ----------------------------------------------------------------------------------------

  /** A call is made. */
  asks(tag: number, once: Once): void {
    this.#asked.set(tag, once)
  }

  /** A command has become durable at `now`; `refusedCode`: where it failed as it was accepted. */
  isOnRecord(deviceId: number, { id, tag, createdAt }: Entry, refusedCode: number | null, now: number): void {
    const once = this.#asked.get(tag)
    if (once === undefined) return
    const name = nameOf(deviceId, once)
    const uses = this.#uses.get(name)?.uses ?? []
    const before = uses.at(-1)
    if (before !== undefined && now < before.expireAt && before.expireAt >= this.#purgedBefore)
      this.#ledger.broken(
        43,
        deviceId,
        `${id} has the key of ${before.commandId}, which is kept until ${before.expireAt}`,
      )
    const { keepMs, ...of } = once
    uses.push({ ...of, commandId: id, refusedCode, expireAt: createdAt + keepMs })
    this.#uses.set(name, { deviceId, uses })
    this.#world.count(before === undefined ? 'key used' : 'key used again after it had lapsed')
  }

  /** The process forgets what has lapsed. */
  purging(before: number, now: number): void {
    if (before > now) this.#ledger.broken(43, null, `keys that lapse before ${before} are forgotten at ${now}`)
    this.#purgedBefore = Math.max(this.#purgedBefore, before)
  }

  /** The store has the key of each command that has one, for as long as it is kept. */
  async compareStore(store: Store): Promise<void> {
    for (const { deviceId, deleted } of this.#ledger.logs) {
      const keys = deleted ? [] : this.#keptOf(deviceId)
      if (keys.length === 0) continue
      const [queue] = await store.load([{ deviceId, commandIds: [], keys }])
      const found = new Map(queue?.kept.map(kept => [nameOf(deviceId, kept), kept]))
      for (const use of keys) {
        const { commandId, refusedCode, expireAt } = found.get(nameOf(deviceId, use)) ?? {}
        if (commandId !== use.commandId || refusedCode !== use.refusedCode || expireAt !== use.expireAt)
          this.#ledger.broken(
            43,
            deviceId,
            `the store has of ${use.key} ${commandId} (${refusedCode}) until ${expireAt}, not ${use.commandId} (${use.refusedCode}) until ${use.expireAt}`,
          )
      }
    }
  }

  /** What must be kept of a device. */
  #keptOf(deviceId: number): KeptAnswer[] {
    const newest = [...this.#uses.values()].flatMap(of => (of.deviceId === deviceId ? of.uses.slice(-1) : []))
    return newest.filter(({ expireAt }) => expireAt >= this.#purgedBefore)
  }

  // --- what callers are told ---------------------------------------------------------------------------------------

  /** When the newest use of the key lapses; null where it has none. */
  lapsesAt(deviceId: number, once: Once): number | null {
    return this.#uses.get(nameOf(deviceId, once))?.uses.at(-1)?.expireAt ?? null
  }

  /** The call was taken for a repeat: it must be one, of the command that its answer names. */
  repeated(call: Call, once: Once, { commandId, refusedCode }: KeptAnswer, command: Command | null): void {
    const { deviceId, now, what } = call
    const broken = (invariant: 44 | 45, why: string): void =>
      this.#ledger.broken(invariant, deviceId, `${what} is answered with ${commandId}, ${why}`)
    const use = this.#uses.get(nameOf(deviceId, once))?.uses.find(each => each.commandId === commandId)
    if (use === undefined) {
      broken(44, 'which never had its key')
      return
    }
    if (now >= use.expireAt) broken(44, `whose key lapsed at ${use.expireAt}, it is ${now}`)
    if (use.requestHash !== once.requestHash) broken(45, 'which was another request')
    if (use.refusedCode !== refusedCode) broken(44, `refused with ${refusedCode}, it was ${use.refusedCode}`)
    if (command !== null && command.id !== commandId) broken(44, `and shows ${command.id}`)
    const entry = this.#ledger.log(deviceId).commands.get(commandId)
    if (command === null && entry !== undefined && isOpen(entry.state)) broken(44, 'which is open, and is not shown')
  }

  /** The call was refused because its key is another request's. */
  reused(call: Call, once: Once | null): void {
    const { deviceId, now, what } = call
    const uses = once === null ? [] : (this.#uses.get(nameOf(deviceId, once))?.uses ?? [])
    if (!uses.some(({ expireAt, requestHash }) => now < expireAt && requestHash !== once?.requestHash))
      this.#ledger.broken(45, deviceId, `${what} is told that its key is another request's, which it is not`)
  }

  /** Somebody who waited was told how the command ended. `repeats`: it was not the first call. */
  ended(deviceId: number, { type, ...how }: Settlement, repeats: boolean): void {
    if (type === 'settled') this.#tell(deviceId, how.command, 'outcome' in how ? how.outcome : null, repeats ? 46 : 44)
  }

  /** Somebody who repeated a call was told how it had ended, from what is on record. */
  wasOver(deviceId: number, stored: StoredCommand): void {
    const { id, state } = stored.command
    if (isOpen(state)) this.#ledger.broken(44, deviceId, `${id} is said to be over, and is ${stateName[state]}`)
    this.#tell(deviceId, stored.command, outcomeOf(stored), 44)
  }

  /** All are told the same of one command. */
  #tell(deviceId: number, { id, state, code }: Command, outcome: Outcome | null, invariant: 44 | 46): void {
    const { outputJson = null, deviceCode = null, deviceMessage = null } = outcome ?? {}
    const told = JSON.stringify([stateName[state], code, outputJson, deviceCode, deviceMessage])
    const first = this.#told.get(id) ?? told
    this.#told.set(id, first)
    if (told !== first) this.#ledger.broken(invariant, deviceId, `of ${id} one is told ${first}, another ${told}`)
  }
}
