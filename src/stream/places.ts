// Places of which each organization may have some, so that it leaves some to the others: who finds none is told so at once. Not here: who waits (gate.ts).

export class Places {
  readonly #max: number
  readonly #perOrganizationMax: number
  readonly #byOrganization = new Map<string, number>()
  #taken = 0

  constructor(max: number, perOrganizationMax: number) {
    this.#max = max
    this.#perOrganizationMax = perOrganizationMax
  }

  /** of all organizations */
  get taken(): number {
    return this.#taken
  }

  /** One more for an organization: what gives it back, once; null: there is none. */
  enter(orgId: string): (() => void) | null {
    const mine = this.#byOrganization.get(orgId) ?? 0
    if (this.#taken >= this.#max || mine >= this.#perOrganizationMax) return null
    this.#taken += 1
    this.#byOrganization.set(orgId, mine + 1)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      this.#taken -= 1
      const left = (this.#byOrganization.get(orgId) ?? 1) - 1
      if (left === 0) this.#byOrganization.delete(orgId)
      else this.#byOrganization.set(orgId, left)
    }
  }
}
