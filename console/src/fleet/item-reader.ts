// The items of a cancellation, read one after the other as far as a page needs them and kept, since the server gives them in one order only: a page of those
// of one outcome is found by going through the others. Not here: how they are shown (items.tsx).

import type { CancellationItem, Downlink } from '@downlink/client'
import { itemsAfter } from './asking.ts'
import type { Outcome } from './outcomes.ts'

/** items that a page keeps: about 15 MB, a hundred calls. The file, and the API, have all */
export const ITEMS_KEPT_MAX = 50_000

export interface ItemPage {
  readonly items: readonly CancellationItem[]
  /** everything has been read, so that `known` is how many of this outcome there are to see */
  readonly isEnd: boolean
  readonly known: number
}

export class ItemReader {
  readonly #cancellationId: string
  readonly #items: CancellationItem[] = []
  #after: string | null = null
  #isEnd = false

  constructor(cancellationId: string) {
    this.#cancellationId = cancellationId
  }

  /** Reads on until the page is there. What has been read stays so when the signal ends it. */
  async page(
    client: Downlink,
    outcome: Outcome | null,
    pageNo: number,
    pageSize: number,
    signal: AbortSignal,
    onLooked: ((looked: number) => void) | null,
  ): Promise<ItemPage> {
    const fitting = () => this.#items.filter(item => outcome === null || item.outcome === outcome)
    const wanted = pageNo * pageSize
    while (!this.#isEnd && this.#items.length < ITEMS_KEPT_MAX && fitting().length < wanted) {
      await this.#more(client, signal)
      onLooked?.(this.#items.length)
    }
    const known = fitting()
    return { items: known.slice(wanted - pageSize, wanted), isEnd: this.#isEnd, known: known.length }
  }

  /** All of them; null: there are more than are kept. */
  async all(client: Downlink, signal: AbortSignal): Promise<readonly CancellationItem[] | null> {
    while (!this.#isEnd && this.#items.length < ITEMS_KEPT_MAX) await this.#more(client, signal)
    return this.#isEnd ? this.#items : null
  }

  async #more(client: Downlink, signal: AbortSignal): Promise<void> {
    const { items, next } = await itemsAfter(client, this.#cancellationId, this.#after, signal)
    // Another page is wanted by now, and reads on from where this one was.
    signal.throwIfAborted()
    this.#items.push(...items)
    this.#after = next
    this.#isEnd = next === null
  }
}
