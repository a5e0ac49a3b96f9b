// Search expressions of jobs and of their tasks: text from a caller to the condition that stores understand. How expressions are built is in
// expression-reader.ts.
//
//   comparison = field "=" text | field "in" "(" text { "," text } ")"
//              | "name" [ "." locale ] "like" string                                                          jobs only
//              | "createTime" (">" | ">=" | "<" | "<=" | "=") (string | milliseconds)
//   field      = of jobs: "jobId" | "status"
//                of tasks: "jobId" | "taskId" | "assetId" | "productKey" | "deviceKey" | "status", and the vendor's "ztaskId", "pk", "dk"
//   text       = a string, or a word without quotes
//   string     = of createTime: YYYY-MM-DD HH:mm:ss in UTC, or YYYY-MM-DDTHH:mm:ssZ; it means the whole second

import { invalid, type Refusal } from '../core/errors.ts'
import { readInstant } from '../core/time.ts'
import { type JobField, type TaskField, taskStatuses, type WorkCondition } from '../store/jobs.ts'
import { ExpressionReader, readExpression } from './expression-reader.ts'

type Read<Field extends string> = { readonly ok: true; readonly condition: WorkCondition<Field> | null } | Refusal

/** The statuses of jobs that callers see. */
export const shownJobStatuses = ['SCHEDULED', 'RUNNING', 'ENDED'] as const

/** Nothing is no condition. A refusal is 99400 and names the character at which it went wrong. */
export const parseJobExpression = (text: unknown): Read<JobField> =>
  readExpression(text, expression => new Reader(expression, jobFields, shownJobStatuses, true))

/**
 * The same for tasks. There may be very many of them, so an expression must say which jobs, tasks or devices it is about: what else it asks for is looked up
 * among those.
 */
export function parseTaskExpression(
  text: unknown,
): { readonly ok: true; readonly condition: WorkCondition<TaskField> } | Refusal {
  // IN_PROGRESS is a word of the vendor's that no task here ever has.
  const read: Read<TaskField> = readExpression(
    text,
    expression => new Reader(expression, taskFields, [...taskStatuses, 'IN_PROGRESS'], false),
  )
  if (!read.ok) return read
  const { condition } = read
  if (condition !== null && isNarrow(condition)) return { ok: true, condition }
  return invalid('expression', "must say which tasks: jobId, taskId, assetId or deviceKey, such as jobId in ('…')")
}

const NARROW: ReadonlySet<TaskField> = new Set<TaskField>(['jobId', 'taskId', 'assetId', 'deviceKey'])

/** Whether an index finds all that may fit. */
function isNarrow(condition: WorkCondition<TaskField>): boolean {
  if (condition.op === 'and') return condition.terms.some(isNarrow)
  if (condition.op === 'or') return condition.terms.every(isNarrow)
  return condition.op === 'in' && NARROW.has(condition.field)
}

const jobFields = { jobId: 'jobId', status: 'status' } as const satisfies Record<string, JobField>
const taskFields = {
  jobId: 'jobId',
  taskId: 'taskId',
  ztaskId: 'taskId',
  assetId: 'assetId',
  productKey: 'productKey',
  pk: 'productKey',
  deviceKey: 'deviceKey',
  dk: 'deviceKey',
  status: 'status',
} as const satisfies Record<string, TaskField>

class Reader<Field extends string> extends ExpressionReader<WorkCondition<Field>> {
  readonly #fields: Readonly<Record<string, Field>>
  readonly #statuses: readonly string[]
  readonly #hasNames: boolean

  constructor(text: string, fields: Readonly<Record<string, Field>>, statuses: readonly string[], hasNames: boolean) {
    super(text)
    this.#fields = fields
    this.#statuses = statuses
    this.#hasNames = hasNames
  }

  protected joined(op: 'and' | 'or', terms: readonly WorkCondition<Field>[]): WorkCondition<Field> {
    return { op, terms }
  }

  protected comparison(): WorkCondition<Field> {
    const { kind, text } = this.token
    if (kind === 'bare' && text === 'createTime') return this.#created()
    if (kind === 'bare' && this.#hasNames && (text === 'name' || text.startsWith('name.'))) return this.#name()
    const field = kind === 'bare' && Object.hasOwn(this.#fields, text) ? this.#fields[text] : undefined
    if (field !== undefined) return this.#in(field)
    const names = [...Object.keys(this.#fields), ...(this.#hasNames ? ['name'] : [])]
    this.expected(`${names.join(', ')}, createTime or (`)
    return { op: 'and', terms: [] }
  }

  #in(field: Field): WorkCondition<Field> {
    this.next()
    const value = () => (field === 'status' ? this.#status() : this.#text())
    if (this.takesWord('in')) return { op: 'in', field, values: this.list(value) }
    if (!this.takesSign('=')) this.expected('= or in')
    return { op: 'in', field, values: [value()] }
  }

  #text(): string {
    const { kind, text } = this.token
    if (kind !== 'bare' && kind !== 'string') this.expected('a value')
    this.next()
    return text
  }

  #status(): string {
    const text = this.token.text.toUpperCase()
    if (!this.#statuses.includes(text)) this.expected(`a status: ${this.#statuses.join(', ')}`)
    this.next()
    return text
  }

  #name(): WorkCondition<Field> {
    const locale = this.locale('name')
    if (!this.takesWord('like')) this.expected('like')
    return { op: 'name', locale, text: this.quoted('a part of a name in quotes') }
  }

  #created(): WorkCondition<Field> {
    this.next()
    const sign = ['>=', '<=', '>', '<', '='].find(sign => this.takesSign(sign))
    if (sign === undefined) this.expected('>, >=, <, <= or =')
    const span = this.#span()
    if (sign === '>' || sign === '>=') return { op: 'created', from: sign === '>' ? span.to : span.from, to: null }
    if (sign === '<' || sign === '<=') return { op: 'created', from: null, to: sign === '<' ? span.from : span.to }
    return { op: 'created', ...span }
  }

  /** A time means its whole second, a number of milliseconds that one. */
  #span(): { readonly from: number; readonly to: number } {
    const { kind, text } = this.token
    const isMs = kind === 'bare' && /^[0-9]{1,15}$/.test(text)
    const at = kind === 'string' ? readInstant(text, '+00:00') : isMs ? Number(text) : null
    if (at === null)
      this.expected('an existing time as "YYYY-MM-DD HH:mm:ss" (UTC) or "YYYY-MM-DDTHH:mm:ssZ", or milliseconds')
    else this.next()
    return { from: at ?? 0, to: (at ?? 0) + (isMs ? 1 : 1_000) }
  }
}
