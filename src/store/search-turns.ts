// Whose turn it is among searches that take long: one is performed at a time, some wait in the order in which they came, more are refused. Not here: which
// searches take long (view-questions.ts), and that others do their work between the parts of one (sqlite-views.ts).

import { STORE_SEARCHES_WAITING_MAX, STORE_SEARCHES_WAITING_PER_ORGANIZATION_MAX } from '../core/limits.ts'
import { SearchesFull } from './views.ts'

interface Waiting {
  readonly orgId: string
  readonly go: () => void
}

export class SearchTurns {
  #isBusy = false
  /** who came first is first */
  readonly #waiting: Waiting[] = []

  /** Performs a search once those before it are over, however they ended. Rejects at once with SearchesFull where too many wait. */
  async run<T>(orgId: string, search: () => Promise<T>): Promise<T> {
    if (this.#isBusy) await this.#turn(orgId)
    this.#isBusy = true
    try {
      return await search()
    } finally {
      const next = this.#waiting.shift()
      // The turn is handed over, so that nobody comes in between.
      if (next === undefined) this.#isBusy = false
      else next.go()
    }
  }

  #turn(orgId: string): Promise<void> {
    const ofOrganization = this.#waiting.filter(waiting => waiting.orgId === orgId).length
    if (ofOrganization >= STORE_SEARCHES_WAITING_PER_ORGANIZATION_MAX)
      throw full(ofOrganization, ' of the organization')
    const { length } = this.#waiting
    if (length >= STORE_SEARCHES_WAITING_MAX) throw full(length, '')
    return new Promise(go => this.#waiting.push({ orgId, go }))
  }
}

const full = (waiting: number, whose: string): SearchesFull =>
  new SearchesFull(
    `${waiting} searches${whose} wait already; come again in some seconds, or say which devices by assetId or deviceKey`,
  )
