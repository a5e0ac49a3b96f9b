// Chance with a memory: one seed gives one sequence of draws. xoshiro128** on four words that a seed is spread over. Not for secrets.

const rotate = (x: number, by: number): number => (x << by) | (x >>> (32 - by))

export class Random {
  readonly #state = new Uint32Array(4)

  constructor(seed: number) {
    // Seeds that differ by one must not give sequences that look alike: splitmix spreads them.
    let mix = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0
    for (let i = 0; i < 4; i += 1) {
      mix = (mix + 0x9e3779b9) >>> 0
      let z = mix
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
      this.#state[i] = z ^ (z >>> 15)
    }
  }

  #next(): number {
    const [a = 0, b = 0, c = 0, d = 0] = this.#state
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0
    const third = c ^ a
    const fourth = d ^ b
    this.#state[1] = b ^ third
    this.#state[0] = a ^ fourth
    this.#state[2] = third ^ (b << 9)
    this.#state[3] = rotate(fourth, 11)
    return result
  }

  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number {
    return min + Math.floor((this.#next() / 2 ** 32) * (max - min + 1))
  }

  chance(probability: number): boolean {
    return this.#next() / 2 ** 32 < probability
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    const found = list[this.int(0, list.length - 1)]
    if (found === undefined) throw new Error('nothing to pick from')
    return found
  }

  /** One of the names, each as often as its weight says. */
  weighted<Name extends string>(weights: Readonly<Record<Name, number>>): Name {
    const entries = Object.entries(weights) as [Name, number][]
    let left = (this.#next() / 2 ** 32) * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [name, weight] of entries) {
      left -= weight
      if (left < 0 && weight > 0) return name
    }
    const last = entries.findLast(([, weight]) => weight > 0)
    if (last === undefined) throw new Error('nothing has a weight')
    return last[0]
  }
}
