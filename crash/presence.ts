// Where each device is, as far as the wire shows it: what it asked its connections for, and what was answered. A device with a connection of its own
// logs in by connecting; one behind a gateway by its gateway's asking, over the gateway's connection. Not here: what follows for commands (ledger.ts).
//
// A login counts from the moment it is asked for, since the server may act before its answer is read; a logout from its answer. So what is called
// *out* here is out beyond doubt, and what is called *here* is here beyond doubt; everything between is *unsure*, and nothing is demanded of it.
//
// Where there are several servers, one that is paused may find a login in its socket long after the device has given it up and come in elsewhere. That
// login is the newer one to the servers. So for some time after a login without an answer a device is *haunted*: it may be taken over by its own ghost.

/** A login or logout that was asked for, to be given back with its answer. */
export interface Asked {
  readonly assetId: string
  readonly line: number
  /** the moment of asking */
  readonly at: number
}

export type Standing = 'here' | 'out' | 'unsure'

/** One device on one connection. Moments; 0 = never. */
interface Stay {
  /** logins that are not answered yet */
  readonly open: Set<number>
  /** the newest login that was answered: when it was asked for, and when that was known */
  inAsked: number
  inKnown: number
  /** when the newest logout was asked for, and the newest one that was answered */
  leaving: number
  outAsked: number
}

export class Presence {
  #moment = 0
  #lastLine = 0
  readonly #now: () => number
  readonly #hauntMs: number
  /** by connection, then by device */
  readonly #stays = new Map<number, Map<string, Stay>>()
  readonly #hauntedUntil = new Map<string, number>()
  readonly #lost = new Set<number>()
  /** the stay of each device whose login was asked for last, of those that were answered */
  readonly #newest = new Map<string, Stay>()
  readonly #here = new Map<string, { readonly line: number; readonly since: number }>()
  readonly #logins = new Map<string, number>()
  readonly #logouts = new Map<string, number>()

  /** @param now ms  @param hauntMs for which a login without an answer may still be acted on after its connection is lost; 0 where one process serves all */
  constructor(now: () => number = () => 0, hauntMs = 0) {
    this.#now = now
    this.#hauntMs = hauntMs
  }

  /** The order of all that happens. */
  moment(): number {
    this.#moment += 1
    return this.#moment
  }

  /** A connection is opened; its number. */
  open(): number {
    this.#lastLine += 1
    return this.#lastLine
  }

  loginAsked(assetId: string, line: number): Asked {
    const at = this.moment()
    this.#stay(assetId, line).open.add(at)
    if (this.#lost.has(line)) this.#haunt(assetId)
    return { assetId, line, at }
  }

  /** `isSole`: its connecting device has no other connection under way that might take this one's place. */
  loggedIn({ assetId, line, at }: Asked, isSole: boolean): void {
    const stay = this.#stay(assetId, line)
    stay.open.delete(at)
    stay.inAsked = Math.max(stay.inAsked, at)
    stay.inKnown = this.moment()
    this.#logins.set(assetId, this.logins(assetId) + 1)
    if (at >= (this.#newest.get(assetId)?.inAsked ?? 0)) this.#newest.set(assetId, stay)
    const isHere = isSole && !this.isHaunted(assetId) && this.standing(assetId, line) === 'here'
    if (isHere && this.#here.get(assetId)?.line !== line) this.#here.set(assetId, { line, since: stay.inKnown })
  }

  /** The login was refused: everything is as before. */
  loginRefused({ assetId, line, at }: Asked): void {
    this.#stay(assetId, line).open.delete(at)
  }

  logoutAsked(assetId: string, line: number): Asked {
    const at = this.moment()
    this.#stay(assetId, line).leaving = at
    if (this.#here.get(assetId)?.line === line) this.#here.delete(assetId)
    return { assetId, line, at }
  }

  loggedOut({ assetId, line, at }: Asked): void {
    const stay = this.#stay(assetId, line)
    stay.outAsked = Math.max(stay.outAsked, at)
    this.#logouts.set(assetId, this.logouts(assetId) + 1)
  }

  /** The connection is over, or may be from now on: nobody is here over it any more. */
  lost(line: number): void {
    if (this.#lost.has(line)) return
    this.#lost.add(line)
    for (const [assetId, { open }] of this.#stays.get(line) ?? []) if (open.size > 0) this.#haunt(assetId)
    for (const [assetId, here] of this.#here) if (here.line === line) this.#here.delete(assetId)
  }

  isLost(line: number): boolean {
    return this.#lost.has(line)
  }

  isHaunted(assetId: string): boolean {
    return this.#now() < (this.#hauntedUntil.get(assetId) ?? Number.NEGATIVE_INFINITY)
  }

  standing(assetId: string, line: number): Standing {
    const { open, inAsked, leaving, outAsked } = this.#stay(assetId, line)
    if (open.size === 0 && inAsked <= outAsked) return 'out'
    return inAsked > leaving && !this.#lost.has(line) ? 'here' : 'unsure'
  }

  /** The device has been out on this connection from the start. */
  wasNeverIn(assetId: string, line: number): boolean {
    const { open, inAsked } = this.#stay(assetId, line)
    return open.size === 0 && inAsked === 0
  }

  /**
   * Before this moment the device was known to be logged in over a connection that is newer than this one: it was asked to log in there after its login
   * here was answered, so the server knows the same order. Not to be asked of what a server may have written before.
   */
  wasElsewhere(assetId: string, line: number, moment: number): boolean {
    const newest = this.#newest.get(assetId)
    const stay = this.#stay(assetId, line)
    if (newest === undefined || newest === stay || stay.open.size > 0) return false
    return newest.inAsked > stay.inKnown && newest.inKnown < moment
  }

  /** The device has been here, beyond doubt, since this moment or earlier. */
  isHereSince(assetId: string, moment: number): boolean {
    const since = this.#here.get(assetId)?.since
    return since !== undefined && since < moment
  }

  logins(assetId: string): number {
    return this.#logins.get(assetId) ?? 0
  }

  logouts(assetId: string): number {
    return this.#logouts.get(assetId) ?? 0
  }

  /** A server may act on its login late, and so take it away from where it is then. */
  #haunt(assetId: string): void {
    if (this.#hauntMs === 0) return
    this.#hauntedUntil.set(assetId, this.#now() + this.#hauntMs)
    this.#here.delete(assetId)
  }

  #stay(assetId: string, line: number): Stay {
    const of = this.#stays.get(line) ?? new Map<string, Stay>()
    this.#stays.set(line, of)
    const stay = of.get(assetId) ?? { open: new Set(), inAsked: 0, inKnown: 0, leaving: 0, outAsked: 0 }
    of.set(assetId, stay)
    return stay
  }
}
