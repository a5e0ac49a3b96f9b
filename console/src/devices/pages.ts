// A list of devices that is had by pages, as far as somebody scrolls, and kept true where they look: events mark the pages whose devices they are about, and
// marked pages are asked for again as soon as they are in view. No clock, no stream, no DOM: those come in as arguments. Not here: when to look (page.tsx).

import type { ChangeEvent, DeviceLine, DevicePage } from '@downlink/client'

/** devices asked for at a time: the most that the server gives */
export const PAGE_DEVICES = 200
/** devices listed at most, some 10 MB of them: who scrolls beyond has better ways to find one */
export const LISTED_MAX = 20_000
/** rows before the end of what is there at which the next page is asked for: a few windows full */
const AHEAD_ROWS = 100
/** ms between two looks at the same page, whatever happens: so that a busy fleet costs a call or two a second */
export const REST_MS = 1_000
/** ms after which a page in view is asked for with the next look, although no event told of it: a device that comes and goes within seconds leaves none */
const FRESH_MS = 2_500

/** One page from the server: those after the device with this number. */
export type Ask = (after: number) => Promise<DevicePage>

/** Who may come to be listed without having been: anybody, by any event; a new device, at the end; nobody that an event tells of. */
export type Joining = 'anywhere' | 'atEnd' | 'never'

export interface Row {
  readonly device: DeviceLine
  /** it was seen before the stream of events was opened last, and may have changed since */
  readonly isOld: boolean
}
export interface Listed {
  readonly rows: readonly Row[]
  /** for who tells rows by their keys: assetIds, in the order of the rows */
  readonly keys: readonly string[]
  /** there are no more */
  readonly isAll: boolean
  /** there are more, and they are not listed */
  readonly isFull: boolean
}

/** the opening of a page that was asked for before this stream was there */
const UNHEARD = -1

interface Page {
  after: number
  next: number | null
  devices: readonly DeviceLine[]
  /** how often the stream had been opened when it was asked for */
  opening: number
  askedAt: number
  isMarked: boolean
}

export class DevicePages {
  readonly #joining: Joining
  /** Each begins where the one before it ends. */
  readonly #pages: Page[] = []
  readonly #pageOf = new Map<string, Page>()
  #first = 0
  #last = 0

  constructor(joining: Joining) {
    this.#joining = joining
  }

  /** Rows from the first to the last can be seen now. */
  view(first: number, last: number): void {
    this.#first = first
    this.#last = last
  }

  /** Nobody listens from now on: whatever is there may change, and nothing tells. */
  leave(): void {
    for (const page of this.#pages) page.opening = UNHEARD
  }

  /** Something has happened to a device; true: it is on a page in view, or may be. */
  mark({ device: { assetId } }: Pick<ChangeEvent, 'device'>): boolean {
    const page = this.#pageOf.get(assetId)
    const end = this.#pages.at(-1)
    if (this.#joining === 'anywhere' && page === undefined) for (const page of this.#pages) page.isMarked = true
    else if (page !== undefined) page.isMarked = true
    else if (this.#joining === 'atEnd' && end?.next === null) end.isMarked = true
    return this.#inView().some(({ isMarked }) => isMarked)
  }

  /** Whether there is something to ask for. */
  isDue(opening: number): boolean {
    return this.#isMissing() || this.#inView().some(page => isDue(page, opening))
  }

  /** Whether nothing of that was asked for within the last second: it is not there, or was out of view for a while. */
  isUrgent(opening: number, now: number): boolean {
    const isRested = ({ askedAt }: Page) => now - askedAt >= REST_MS
    return this.#isMissing() || this.#inView().some(page => isDue(page, opening) && isRested(page))
  }

  /** Asks for what is in view and may have changed, and for the next page where the end is near. One at a time. */
  async look(ask: Ask, opening: number, now: number): Promise<Listed> {
    for (const page of this.#inView()) {
      const isAskedFor = isDue(page, opening) || now - page.askedAt >= FRESH_MS
      // One before it may have come to hold all of it.
      if (isAskedFor && this.#pages.includes(page)) await this.#ask(page, ask, opening, now)
    }
    if (this.#isMissing()) {
      const after = this.#pages.at(-1)?.next ?? 0
      const page = { after, next: null, devices: [], opening, askedAt: now, isMarked: false }
      this.#put(page, await ask(after))
      this.#pages.push(page)
    }
    return this.listed(opening)
  }

  /** What is there, as of the stream's opening. */
  listed(opening: number = UNHEARD): Listed {
    const rows = this.#pages.flatMap(page => page.devices.map(device => ({ device, isOld: page.opening !== opening })))
    const isAll = this.#pages.at(-1)?.next === null
    return { rows, keys: rows.map(({ device }) => device.assetId), isAll, isFull: !isAll && rows.length >= LISTED_MAX }
  }

  async #ask(page: Page, ask: Ask, opening: number, now: number): Promise<void> {
    // Before the call: what happens meanwhile marks it again.
    page.isMarked = false
    try {
      const answer = await ask(page.after)
      page.opening = opening
      page.askedAt = now
      this.#put(page, answer)
    } catch (error) {
      page.isMarked = true
      throw error
    }
  }

  /**
   * A page as it is now. It may end at another device than before, since devices came or went; then the pages after it begin there, or are gone where it has
   * all that they had.
   */
  #put(page: Page, { devices, next }: DevicePage): void {
    this.#forget(page)
    page.devices = devices
    page.next = next
    for (const { assetId } of devices) this.#pageOf.set(assetId, page)
    const place = this.#pages.indexOf(page) + 1
    if (place === 0) return
    while (this.#pages[place] !== undefined && isWithin(this.#pages[place], next))
      for (const gone of this.#pages.splice(place, 1)) this.#forget(gone)
    const following = this.#pages[place]
    if (following === undefined || next === null || following.after === next) return
    following.after = next
    following.isMarked = true
    following.devices = following.devices.filter(({ assetId }) => this.#pageOf.get(assetId) === following)
  }

  #forget(page: Page): void {
    for (const { assetId } of page.devices) if (this.#pageOf.get(assetId) === page) this.#pageOf.delete(assetId)
  }

  #isMissing(): boolean {
    const end = this.#pages.at(-1)
    if (end === undefined) return true
    const count = this.#count()
    return end.next !== null && count < LISTED_MAX && this.#last + AHEAD_ROWS >= count
  }

  #count(): number {
    return this.#pages.reduce((sum, { devices }) => sum + devices.length, 0)
  }

  /** Pages with rows that can be seen, and those without any that lie between or beside them: devices may come to be there. */
  #inView(): Page[] {
    const first = Math.min(this.#first, this.#count())
    let end = 0
    return this.#pages.filter(({ devices }) => {
      const start = end
      end += devices.length
      return start <= this.#last + 1 && end >= first
    })
  }
}

const isDue = (page: Page, opening: number): boolean => page.isMarked || page.opening !== opening

/** Whether all of a page comes before the device with this number; null: nothing comes after it. */
const isWithin = (page: Page, next: number | null): boolean =>
  next === null || (page.next !== null && page.next <= next)
