// Cancelling by filter: over many devices, with a dry run, progress, and a list that says of every command what came of it. Thin: one method, one call, or an
// iteration over pages. Not here: cancelling one command, or all of one device (client.ts).

import type { Caller } from './caller.ts'
import type { CallOptions } from './client.ts'
import { given, part } from './given.ts'
import { PAGE_SIZE } from './limits.ts'
import { listOf } from './told.ts'
import type { State } from './wire.ts'

/** Which commands: all conditions hold. `all: true` stands alone, so that nothing means everything by mistake. */
export type CancellationFilter =
  | { readonly all: true }
  | {
      readonly productKeys?: readonly string[]
      readonly assetIds?: readonly string[]
      /** commands that set it */
      readonly measurepointId?: string
      /** commands that invoke it */
      readonly serviceId?: string
      /** s since they were created, at least */
      readonly olderThanS?: number
      /** ms since 1970 */
      readonly createdBefore?: number
      /** appKeys of those who sent them */
      readonly applications?: readonly string[]
      /** [1], the default, or [1, 4]: then those that are sent are listed too, as not cancelled */
      readonly states?: readonly (1 | 4)[]
    }

/** Instants are ms since 1970. */
export interface Cancellation {
  readonly cancellationId: string
  /** `stopping`: what was begun is being written down; `ended`: there was nothing more */
  readonly status: 'running' | 'stopping' | 'stopped' | 'ended'
  readonly dryRun: boolean
  readonly filter: CancellationFilter
  /** commands created from this instant on are not of it */
  readonly createdBefore: number
  readonly createdAt: number
  /** appKey */
  readonly createdBy: string
  readonly endedAt: number | null
  /** with a command of it so far; and those that had something waiting when it began, an estimate for progress */
  readonly devices: { readonly matched: number; readonly total: number }
  /** commands found */
  readonly matched: number
  /** by this; in a dry run, which cancels nothing, those that would have been */
  readonly cancelled: number
  /** they were sent, or over, or cancelled by somebody else, by the time that it was their turn */
  readonly notCancelled: number
  /** found, and still to be seen to; 0 once it has ended */
  readonly undecided: number
}

/** One command that was found. */
export interface CancellationItem {
  readonly commandId: string
  /** null: it is gone, with all that was on record of it */
  readonly device: {
    readonly orgId: string
    readonly productKey: string
    readonly deviceKey: string
    readonly assetId: string
  } | null
  /** `cancelled`: by this, and never sent. `notCancelled`: it was in `state` already. */
  readonly outcome: 'cancelled' | 'wouldBeCancelled' | 'notCancelled' | 'undecided'
  readonly state: State | null
}

const PATH = '/v1/cancellations'

export class Cancellations {
  readonly #caller: Caller

  constructor(caller: Caller) {
    this.#caller = caller
  }

  /**
   * Begins to cancel what the filter is for and was created up to now; it goes on by itself, and `get` says how far it is. With `dryRun` nothing is cancelled,
   * and what would be is listed. Not repeated where nothing was heard of it: a second one would cancel what was sent since.
   */
  async create(
    filter: CancellationFilter,
    { dryRun, signal }: { readonly dryRun?: boolean } & CallOptions = {},
  ): Promise<Cancellation> {
    const body = { filter, ...given({ dryRun }) }
    return (await this.#caller.answer({ method: 'POST', path: PATH, body, signal })).data as Cancellation
  }

  async get(cancellationId: string, { signal }: CallOptions = {}): Promise<Cancellation> {
    return (await this.#caller.answer({ method: 'GET', path: pathOf(cancellationId), signal })).data as Cancellation
  }

  /** The newest first, fetched by pages as they are read: one that is made meanwhile may shift them, so one that was seen is left out. */
  async *list({ signal }: CallOptions = {}): AsyncGenerator<Cancellation, void> {
    const seen = new Set<string>()
    for (let offset = 0; ; offset += PAGE_SIZE) {
      const query = { offset, limit: PAGE_SIZE }
      const { data } = await this.#caller.answer({ method: 'GET', path: PATH, query, signal })
      const page = listOf(data) as readonly Cancellation[]
      for (const cancellation of page) {
        if (!seen.has(cancellation.cancellationId)) yield cancellation
        seen.add(cancellation.cancellationId)
      }
      if (page.length < PAGE_SIZE) return
    }
  }

  /** Every command that it found and what became of it, by their ids; fetched by pages as they are read. While it runs, more may be found. */
  async *items(cancellationId: string, { signal }: CallOptions = {}): AsyncGenerator<CancellationItem, void> {
    const path = `${pathOf(cancellationId)}/items`
    for (let after: unknown; after !== null; ) {
      const query = { limit: PAGE_SIZE, ...(typeof after === 'string' ? { after } : {}) }
      const { data, fields } = await this.#caller.answer({ method: 'GET', path, query, signal })
      yield* listOf(data) as readonly CancellationItem[]
      after = fields.next ?? null
    }
  }

  /** Cancels no more; what has been cancelled stays so. 99413 where it is over. */
  async stop(cancellationId: string, { signal }: CallOptions = {}): Promise<Cancellation> {
    const path = `${pathOf(cancellationId)}/stop`
    return (await this.#caller.answer({ method: 'POST', path, signal })).data as Cancellation
  }
}

const pathOf = (cancellationId: string): string => `${PATH}/${part('cancellationId', cancellationId)}`
