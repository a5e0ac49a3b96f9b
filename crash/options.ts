// A command line of the harness: whole numbers within their bounds, texts, lists; what is wrong with it is collected and told at once.

import { parseArgs } from 'node:util'

export class Options {
  readonly wrong: string[] = []
  readonly #values: Readonly<Record<string, string | string[] | undefined>>

  /** @param lists names that may be given several times */
  constructor(args: readonly string[], texts: readonly string[], lists: readonly string[]) {
    const text = texts.map(name => [name, { type: 'string' }] as const)
    const list = lists.map(name => [name, { type: 'string', multiple: true }] as const)
    let values = {}
    try {
      values = parseArgs({ args: [...args], options: Object.fromEntries([...text, ...list]) }).values
    } catch (error) {
      this.wrong.push(error instanceof Error ? error.message : String(error))
    }
    this.#values = values
  }

  whole(name: string, min: number, max: number, absent: number): number {
    const given = this.#values[name]
    if (given === undefined) return absent
    const value = /^\d{1,10}$/.test(String(given)) ? Number(given) : Number.NaN
    if (!(value >= min && value <= max)) this.wrong.push(`--${name} must be a whole number from ${min} to ${max}`)
    return value
  }

  text(name: string): string | null {
    const given = this.#values[name]
    return given === undefined ? null : String(given)
  }

  /** Those given, each of which must be one of `known`. */
  some(name: string, known: readonly string[]): string[] {
    const given = this.#values[name]
    const list = Array.isArray(given) ? given : []
    const unknown = list.filter(each => !known.includes(each))
    if (unknown.length > 0) this.wrong.push(`--${name} ${unknown.join(', ')}: it is one of ${known.join(', ')}`)
    return list
  }
}
