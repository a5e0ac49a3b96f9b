// One table per subcommand drives parsing and help, so that what help shows is what is parsed. Every problem is collected, none is thrown.
// Not here: what the options of a subcommand mean (config.ts and the subcommands), how help looks (help.ts).

import { parseArgs } from 'node:util'
import { nearest } from '../core/nearest.ts'

/** One row of a subcommand's table. */
export interface OptionSpec<Name extends string = string> {
  /** without the dashes */
  readonly name: Name
  /** environment twin, used where the option is not given; null: it has none */
  readonly env: string | null
  /** what help writes after the name; null: a flag, on or off */
  readonly value: string | null
  /** text that is read where neither option nor environment says anything; null: stays absent */
  readonly default: string | null
  /** one line */
  readonly help: string
}

/** A row, written short. A default stands in the table as it would be typed. */
export const option = <const Name extends string>(
  name: Name,
  env: string | null,
  value: string | null,
  byDefault: string | number | null,
  help: string,
): OptionSpec<Name> => ({ name, env, value, default: byDefault === null ? null : String(byDefault), help })

/** A subcommand as it is parsed and as help shows it. */
export interface CommandSpec<Name extends string = string> {
  /** what is typed after `downlink`, such as `fleet apply` */
  readonly name: string
  readonly summary: string
  /** argument without dashes; null: takes none */
  readonly operand: { readonly name: string; readonly required: boolean } | null
  readonly options: readonly OptionSpec<Name>[]
  /** whole lines below the options */
  readonly notes: readonly string[]
}

/** The names in a table, so that a misspelt read does not compile. */
export type NameOf<S> = S extends CommandSpec<infer Name> ? Name : never

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * The given options of one subcommand. The readers return a value of the right type in every case and note what is wrong in `problems`;
 * nothing may be used before `problems` was found empty.
 */
export class Given<Name extends string> {
  readonly problems: string[] = []
  /** null: not given */
  operand: string | null = null
  readonly #specs: ReadonlyMap<string, OptionSpec>
  readonly #values = new Map<string, string>()

  constructor(spec: CommandSpec<Name>, args: readonly string[], environment: Environment) {
    this.#specs = new Map(spec.options.map(option => [option.name, option]))
    this.#readArguments(spec, args)
    for (const { name, env } of spec.options) {
      const text = env === null ? undefined : environment[env]
      // An empty variable counts as unset: that is how environments switch one off.
      if (text !== undefined && text !== '' && !this.#values.has(name)) this.#values.set(name, text)
    }
  }

  /** `--queue-cap (DOWNLINK_QUEUE_CAP)`: both spellings, because the value may have come from either. */
  label(name: Name): string {
    const env = this.#specs.get(name)?.env ?? null
    return env === null ? `--${name}` : `--${name} (${env})`
  }

  problem(name: Name, detail: string): void {
    this.problems.push(`${this.label(name)}: ${detail}`)
  }

  has(name: Name): boolean {
    return this.#values.has(name)
  }

  text(name: Name): string | null {
    return this.#values.get(name) ?? this.#specs.get(name)?.default ?? null
  }

  /** For options that must be there. The empty text after a problem. */
  required(name: Name): string {
    const text = this.text(name)
    if (text === null || text === '') this.problem(name, 'is required')
    return text ?? ''
  }

  flag(name: Name): boolean {
    const text = this.text(name)
    if (text === null || text === 'false' || text === '0') return false
    if (text !== 'true' && text !== '1') this.problem(name, `"${text}" is not one of true, 1, false, 0`)
    return true
  }

  /** An integer in [min, max]; null where absent and without default. `min` after a problem. */
  integer(name: Name, min: number, max: number): number | null {
    const text = this.text(name)
    if (text === null) return null
    const value = /^-?[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    this.problem(name, `"${text}" is not an integer from ${min} to ${max}`)
    return min
  }

  /** One of `choices`; the first of them after a problem, or where it is absent and has no default. */
  choice<Choice extends string>(name: Name, choices: readonly [Choice, ...Choice[]]): Choice {
    const text = this.text(name)
    if (text === null) return choices[0]
    const found = choices.find(choice => choice === text)
    if (found === undefined) this.problem(name, `"${text}" is not one of ${choices.join(', ')}`)
    return found ?? choices[0]
  }

  /** For an option where only one way to say something is allowed. */
  conflict(name: Name, other: Name): void {
    if (this.has(name) && this.has(other))
      this.problems.push(`${this.label(name)} and ${this.label(other)}: give only one`)
  }

  #readArguments(spec: CommandSpec<Name>, args: readonly string[]): void {
    const options = Object.fromEntries(
      spec.options.map(({ name, value }) => [name, { type: value === null ? 'boolean' : 'string' } as const]),
    )
    // Not strict: strict parsing throws at the first mistake, and here all of them are told at once.
    const { tokens } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true, tokens: true })
    const surplus: string[] = []
    for (const token of tokens) {
      if (token.kind === 'option') this.#readOption(token.name, token.rawName, token.value, token.inlineValue)
      else if (token.kind === 'positional' && this.operand === null && spec.operand) this.operand = token.value
      else if (token.kind === 'positional') surplus.push(token.value)
    }
    const misled = this.problems.length > 0
    // After an unknown option a stray word is most likely its value, and one problem says enough.
    if (!misled) for (const word of surplus) this.problems.push(`unexpected argument "${withoutLogin(word)}"`)
    if (!misled && spec.operand?.required && (this.operand ?? '') === '')
      this.problems.push(`${spec.operand.name} is missing`)
  }

  #readOption(name: string, rawName: string, value: string | undefined, inline: boolean | undefined): void {
    const spec = this.#specs.get(name)
    if (!spec || !rawName.startsWith('--')) {
      const near = nearest(name, [...this.#specs.keys()])
      this.problems.push(`unknown option ${rawName}${near === null ? '' : `, did you mean --${near}?`}`)
    } else if (this.#values.has(name)) this.problems.push(`--${name}: given twice`)
    else if (spec.value === null) {
      if (value !== undefined) this.problems.push(`--${name}: takes no value`)
      this.#values.set(name, 'true')
    } else if (value === undefined || (!inline && /^-[^0-9]/.test(value)))
      // A dash after the name is more likely the next option than a value; what is meant can be written with "=".
      this.problems.push(`--${name}: needs a value, write --${name}=${spec.value}`)
    else this.#values.set(name, value)
  }
}

/** The address of a database that was given without its option may hold a password, which nobody's screen or log needs. */
const withoutLogin = (word: string): string => word.replace(/:\/\/.*@/s, '://…@')
