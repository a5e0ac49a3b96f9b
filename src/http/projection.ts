// Projection: which fields of a struct a caller wants to see. Paths to a function; what the struct means is not known here.
//
// A path is field names with dots between; `*` stands for any field, and `[*]` after a field for each element of its array:
// `commandName.defaultValue`, `inputData.*`, `outputData.readings[*].value`. A name that itself holds a dot can only be met by `*`.

import { invalid, type Refusal } from '../core/errors.ts'
import { quote } from '../core/json.ts'
import { JSON_MAX_DEPTH, PROJECTION_MAX_PATHS, PROJECTION_PATH_MAX_CHARS } from '../core/limits.ts'

type Step = { readonly field: string } | 'anyField' | 'eachElement'
type Path = readonly Step[]

/** What is left of a value of which no path wants anything; undefined is no JSON value. */
const NOTHING = undefined

/**
 * Reads a projection: absent, null or empty for whole structs, else an array of paths. The result keeps the nesting and the order of fields:
 * fields that no path names are left out, and so are those that a path would have to go into and cannot (a text, a number). null stays null.
 * Nothing that the struct inherits is ever shown.
 */
export function parseProjection(
  value: unknown,
): { readonly ok: true; readonly project: (struct: object) => unknown } | Refusal {
  if (value === undefined || value === null) return { ok: true, project: struct => struct }
  if (!Array.isArray(value)) return invalid('projection', `must be an array of paths, got ${quote(value)}`)
  if (value.length > PROJECTION_MAX_PATHS) {
    return invalid('projection', `has ${value.length} paths, at most ${PROJECTION_MAX_PATHS} are taken`)
  }
  const paths: Path[] = []
  for (const [index, text] of value.entries()) {
    const path = readPath(text)
    if (typeof path === 'string') return invalid('projection', `[${index}] ${path}, got ${quote(text)}`)
    paths.push(path)
  }
  if (paths.length === 0) return { ok: true, project: struct => struct }
  const depths = new Depths(paths)
  const all = (1n << BigInt(paths.length)) - 1n
  return { ok: true, project: struct => depths.pickFields(struct, all, 0) }
}

/** The steps of a path, or what is wrong with it. */
function readPath(text: unknown): Path | string {
  if (typeof text !== 'string') return 'must be a string'
  if (text.length > PROJECTION_PATH_MAX_CHARS) return `must have at most ${PROJECTION_PATH_MAX_CHARS} characters`
  const steps: Step[] = []
  for (const part of text.split('.')) {
    const match = /^(\*|[^[\]*]+)((?:\[\*\])*)$/.exec(part)
    if (match === null) return 'must be field names or * with dots between, each perhaps followed by [*]'
    const [, field = '', elements = ''] = match
    steps.push(field === '*' ? 'anyField' : { field })
    for (let count = elements.length / '[*]'.length; count > 0; count--) steps.push('eachElement')
  }
  return steps.length > JSON_MAX_DEPTH ? `must have at most ${JSON_MAX_DEPTH} steps` : steps
}

/**
 * What the paths want at each depth, as bit masks over them: bit n is path n. A value is looked at with the mask of those paths that lead to it, so that what
 * a page of large commands costs under many paths with `*` is their sum, and nothing is kept per value.
 */
class Depths {
  readonly #ends: bigint[]
  readonly #anyField: bigint[]
  readonly #eachElement: bigint[]
  readonly #named: Map<string, bigint>[]
  readonly #intoFields: bigint[]

  constructor(paths: readonly Path[]) {
    const depths = Array.from({ length: Math.max(0, ...paths.map(path => path.length)) + 1 }, (_, depth) => depth)
    const bits = (depth: number, takes: (step: Step | undefined) => boolean): bigint =>
      paths.reduce(
        (mask, path, n) => (depth <= path.length && takes(path[depth]) ? mask | (1n << BigInt(n)) : mask),
        0n,
      )
    this.#ends = depths.map(depth => bits(depth, step => step === undefined))
    this.#anyField = depths.map(depth => bits(depth, step => step === 'anyField'))
    this.#eachElement = depths.map(depth => bits(depth, step => step === 'eachElement'))
    this.#intoFields = depths.map(depth => bits(depth, step => step === 'anyField' || typeof step === 'object'))
    this.#named = depths.map(depth => {
      const names = paths.flatMap(path => {
        const step = path[depth]
        return typeof step === 'object' ? [step.field] : []
      })
      return new Map(names.map(name => [name, bits(depth, step => typeof step === 'object' && step.field === name)]))
    })
  }

  /** Goes no deeper than the longest path. */
  pick(value: unknown, mask: bigint, depth: number): unknown {
    if (mask === 0n) return NOTHING
    if (value === null || (mask & at(this.#ends, depth)) !== 0n) return value
    if (Array.isArray(value)) {
      const inside = mask & at(this.#eachElement, depth)
      if (inside === 0n) return NOTHING
      return value.map(element => this.pick(element, inside, depth + 1)).filter(part => part !== NOTHING)
    }
    const goesOn = typeof value === 'object' && (mask & at(this.#intoFields, depth)) !== 0n
    return goesOn ? this.pickFields(value, mask, depth) : NOTHING
  }

  pickFields(struct: object, mask: bigint, depth: number): unknown {
    const fields: [string, unknown][] = []
    for (const [name, member] of Object.entries(struct)) {
      const inside = mask & (at(this.#anyField, depth) | (this.#named[depth]?.get(name) ?? 0n))
      const picked = this.pick(member, inside, depth + 1)
      if (picked !== NOTHING) fields.push([name, picked])
    }
    return Object.fromEntries(fields)
  }
}

const at = (masks: readonly bigint[], depth: number): bigint => masks[depth] ?? 0n
