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
  const view = new View(paths, 0)
  return { ok: true, project: struct => (paths.length === 0 ? struct : pickFields(struct, view)) }
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
 * What a set of paths wants of a value that lies `depth` steps into all of them. What it wants of the value's parts is worked out once for each
 * name, not for each part: a page of large commands under many paths with `*` would otherwise cost the product of both.
 */
class View {
  /** some path ends here: the whole value is wanted */
  readonly whole: boolean
  /** some path goes on to fields */
  readonly fields: boolean
  readonly #names: ReadonlySet<string>
  /** by name; under null the names that no path mentions */
  readonly #ofField = new Map<string | null, View | null>()
  #ofElement: View | null | undefined

  constructor(
    readonly paths: readonly Path[],
    readonly depth: number,
  ) {
    const steps = paths.map(path => path[depth])
    this.whole = steps.includes(undefined)
    this.fields = steps.some(step => step !== 'eachElement')
    this.#names = new Set(steps.flatMap(step => (typeof step === 'object' ? [step.field] : [])))
  }

  /** Null: nothing. */
  field(name: string): View | null {
    const key = this.#names.has(name) ? name : null
    let view = this.#ofField.get(key)
    if (view === undefined) {
      view = this.#inside(step => step === 'anyField' || (typeof step === 'object' && step.field === key))
      this.#ofField.set(key, view)
    }
    return view
  }

  element(): View | null {
    if (this.#ofElement === undefined) this.#ofElement = this.#inside(step => step === 'eachElement')
    return this.#ofElement
  }

  #inside(takes: (step: Step | undefined) => boolean): View | null {
    const paths = this.paths.filter(path => takes(path[this.depth]))
    return paths.length === 0 ? null : new View(paths, this.depth + 1)
  }
}

/** Goes no deeper than the longest path. */
function pick(value: unknown, view: View): unknown {
  if (value === null || view.whole) return value
  if (Array.isArray(value)) {
    const inside = view.element()
    return inside === null ? NOTHING : value.map(element => pick(element, inside)).filter(part => part !== NOTHING)
  }
  return typeof value === 'object' && view.fields ? pickFields(value, view) : NOTHING
}

function pickFields(struct: object, view: View): unknown {
  const fields: [string, unknown][] = []
  for (const [name, member] of Object.entries(struct)) {
    const inside = view.field(name)
    const picked = inside === null ? NOTHING : pick(member, inside)
    if (picked !== NOTHING) fields.push([name, picked])
  }
  return Object.fromEntries(fields)
}
