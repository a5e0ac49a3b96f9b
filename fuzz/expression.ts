// Fuzzes the search grammar: what was built by its rules must be read as what it was built from, everything else be read or refused in good form,
// and what is read must find the same rows in both stores.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Command, type CommandBody, ID_EPOCH_MS, Kind, makeId, type State } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import {
  EXPRESSION_MAX_CHARS,
  EXPRESSION_MAX_DEPTH,
  EXPRESSION_MAX_NAME_TERMS,
  EXPRESSION_MAX_TERMS,
} from '../src/core/limits.ts'
import { parseExpression } from '../src/http/expression.ts'
import { openMemory } from '../src/store/memory.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { Condition, Store } from '../src/store/store.ts'
import { oddText, Random, spoilText } from './random.ts'
import { type Block, check, type Target } from './target.ts'

export interface ExpressionInput {
  readonly text: unknown
  readonly timezone: string
  /** what it was built from; absent where it was spoilt */
  readonly means?: Condition | 'refused'
  /** ask both stores */
  readonly search?: { readonly offset: number; readonly limit: number }
}

const TIMEZONES = ['+00:00', '+08:00', '-03:30', 'Europe/Berlin', 'America/St_Johns', 'Pacific/Apia']
const WORDS = [
  ...[
    'state',
    'commandName',
    'createTime',
    'and',
    'or',
    'AND',
    'Or',
    'in',
    'like',
    'not',
    '.default',
    '.zh_CN',
    '.__proto__',
  ],
  ...['=', '!=', '>', '>=', '<', '<=', '(', ')', ',', ' ', '"', "'", '""', '1', '7', '8', '%', '_', '\\', ';', '--'],
  ...[
    '"2019-06-14 00:00:00"',
    '"2019-02-30 00:00:00"',
    '"2026-03-29 02:30:00"',
    '"0000-01-01 00:00:00"',
    '"9999-12-31T23:59:59Z"',
  ],
]
const NAMES = ['Pump', 'pump', "Pump's speed", '泵速', 'İstanbul', 'ß', '%', '_', 'a\\b', '\u0000', '😀']
const LOCALES = [null, 'default', 'zh_CN', 'de_DE', 'en_US', 'sr-Latn-RS']

/** An instant of the commands on record, or far from them. */
const T0 = Date.UTC(2026, 2, 29, 0, 30)
const secondsNear = (random: Random): number => {
  if (random.chance(80)) return T0 + random.between(-40, 40) * 60_000
  return random.pick([
    Date.UTC(1, 0, 1),
    ID_EPOCH_MS - 1_000 - (ID_EPOCH_MS % 1_000),
    Date.UTC(9999, 11, 31),
    Date.UTC(2106, 1, 7),
  ])
}
const utc = (ms: number): string => `${new Date(ms).toISOString().slice(0, 19)}Z`

interface Built {
  readonly text: string
  readonly means: Condition
  readonly terms: number
  readonly depth: number
}

const blank = (random: Random): string => random.pick([' ', ' ', '  ', '\t', '\n'])
const word = (random: Random, text: string): string => (random.chance(80) ? text : text.toUpperCase())

function quoted(random: Random, text: string): string {
  const mark = random.pick(['"', "'"])
  return mark + text.replaceAll(mark, mark + mark) + mark
}

function comparison(random: Random): Built {
  const one = (text: string, means: Condition): Built => ({ text, means, terms: 1, depth: 0 })
  const gap = random.chance(50) ? '' : blank(random)
  const state = (): State => random.between(1, 7) as State
  const number = (of: number): string => (random.chance(80) ? String(of) : quoted(random, String(of)))
  return random.either(
    () => {
      const negated = random.chance(40)
      const of = state()
      return one(`state${gap}${negated ? '!=' : '='}${gap}${number(of)}`, { op: 'state', states: [of], negated })
    },
    () => {
      const states = random.times(1, 4, state)
      const text = `state ${word(random, 'in')}${gap}(${states.map(number).join(`${gap},${gap}`)})`
      return one(text, { op: 'state', states: [...new Set(states)], negated: false })
    },
    () => {
      const locale = random.pick(LOCALES)
      const exact = random.chance(40)
      const text = random.chance(80) ? random.pick(NAMES).slice(0, random.between(0, 6)) : oddText(random).slice(0, 40)
      const field = locale === null ? 'commandName' : `commandName.${locale}`
      const sign = exact ? `${gap}=${gap}` : ` ${word(random, 'like')} `
      return one(`${field}${sign}${quoted(random, text)}`, { op: 'name', locale, text, exact })
    },
    () => {
      const at = secondsNear(random)
      const sign = random.pick(['>', '>=', '<', '<=', '='])
      const from = sign === '>' ? at + 1_000 : sign === '>=' || sign === '=' ? at : null
      const to = sign === '<' ? at : sign === '<=' || sign === '=' ? at + 1_000 : null
      return one(`createTime${gap}${sign}${gap}${quoted(random, utc(at))}`, { op: 'created', from, to })
    },
  )
}

function chain(random: Random, op: 'or' | 'and', part: () => Built, most: number): Built {
  const parts = random.times(1, random.chance(60) ? 1 : most, part)
  const text = parts.map(each => each.text).join(blank(random) + word(random, op) + blank(random))
  const terms = parts.reduce((sum, each) => sum + each.terms, 0)
  const depth = Math.max(...parts.map(each => each.depth))
  const [first] = parts
  const means: Condition = parts.length === 1 && first ? first.means : { op, terms: parts.map(each => each.means) }
  return { text, means, terms, depth }
}

/** Built by the rules of the grammar, together with what it means. */
export function build(random: Random, depth: number): Built {
  const one = (): Built => {
    if (depth === 0 || random.chance(60)) return comparison(random)
    const inner = build(random, depth - 1)
    return { ...inner, text: `(${inner.text})`, depth: inner.depth + 1 }
  }
  return chain(random, 'or', () => chain(random, 'and', one, 5), 5)
}

const nameTerms = (means: Condition): number => {
  if (means.op === 'name') return 1
  return means.op === 'and' || means.op === 'or' ? means.terms.reduce((sum, term) => sum + nameTerms(term), 0) : 0
}

/** Just within a bound, or just beyond it. */
function atBounds(random: Random): Built {
  const inner = comparison(random)
  if (random.chance(50)) {
    const depth = random.between(EXPRESSION_MAX_DEPTH - 2, EXPRESSION_MAX_DEPTH + 2)
    return { ...inner, text: `${'('.repeat(depth)}${inner.text}${')'.repeat(depth)}`, depth }
  }
  const terms = random.between(EXPRESSION_MAX_TERMS - 2, EXPRESSION_MAX_TERMS + 2)
  const parts = Array.from(
    { length: terms },
    (_, n): Condition => ({ op: 'state', states: [((n % 7) + 1) as State], negated: false }),
  )
  const text = parts.map((_, n) => `state=${(n % 7) + 1}`).join(' or ')
  return { text, means: { op: 'or', terms: parts }, terms, depth: 0 }
}

function generate(random: Random): ExpressionInput {
  const timezone = random.pick(TIMEZONES)
  const kind = random.below(100)
  const page = { offset: random.below(5), limit: random.between(1, 20) }
  if (kind < 40) {
    const { text, means, terms, depth } = random.chance(5) ? atBounds(random) : build(random, random.below(4))
    const fits =
      text.length <= EXPRESSION_MAX_CHARS &&
      terms <= EXPRESSION_MAX_TERMS &&
      nameTerms(means) <= EXPRESSION_MAX_NAME_TERMS &&
      depth <= EXPRESSION_MAX_DEPTH
    return { text, timezone, means: fits ? means : 'refused', search: page }
  }
  if (kind < 75) return { text: spoilText(random, build(random, 2).text, WORDS), timezone, search: page }
  if (kind < 90)
    return { text: random.times(0, 30, () => random.pick(WORDS)).join(random.pick(['', ' '])), timezone, search: page }
  if (kind < 96) return { text: random.bytes(0, 60).toString(random.pick(['latin1', 'utf8'])), timezone }
  if (kind < 98)
    return {
      text: random.pick(['(', 'state=1 or ', '"', 'x', ' ', "''", 'state in (1,']).repeat(random.between(1, 5_000)),
      timezone,
    }
  return { text: random.pick<unknown>([null, 1, true, [], {}, ['state = 1'], '']), timezone }
}

const ROWS = 60

/** The same rows in every store: names in several languages, every state, an id at the first and last of a second. */
async function fill(store: Store): Promise<number> {
  const organizations = [{ orgId: 'o', name: 'o' }]
  const products = [{ productKey: 'pk', orgId: 'o', secret: 's', modelId: null, json: '{}' }]
  const device = { assetId: 'a', orgId: 'o', productKey: 'pk', deviceKey: 'd', secret: 's', nameJson: '{}' }
  const devices = [{ ...device, timezone: '+00:00', disabled: false, gatewayAssetId: null, certificateSerial: null }]
  await store.applyFleet({ organizations, applications: [], models: [], products, devices }, T0)
  const id = (await store.deviceByAsset('a'))?.id ?? 0
  const [queue] = await store.load([{ deviceId: id, commandIds: [] }])
  check(queue, () => 'the device was just stored')
  const inserts = Array.from({ length: ROWS }, (_, n) => row(n))
  await store.commit({
    node: 0,
    lastCommandId: null,
    now: T0,
    changes: [{ queue, inserts, updates: [], outcomes: [], events: [] }],
  })
  return id
}

function row(n: number): { command: Command; body: CommandBody } {
  const random = new Random(1, 'rows', n)
  const createdAt = T0 + (n - ROWS / 2) * 61_000 + random.pick([0, 1, 499, 999])
  const state = n === 0 ? 4 : (random.pick([1, 2, 3, 5, 6, 7]) as State)
  const names = Object.fromEntries(
    random.times(0, 3, () => [random.pick(['zh_CN', 'de_DE', 'en_US']), random.pick(NAMES)]),
  )
  const isFinal = state !== 1 && state !== 4
  const command: Command = {
    ...{
      id: makeId(createdAt, 0, random.pick([0, 8_191])),
      state,
      kind: Kind.set,
      identifier: 'p',
      timeoutS: 30,
      pendingTtlS: 60,
    },
    ...{
      expireAt: createdAt + 60_000,
      deadlineAt: null,
      createdAt,
      sentAt: null,
      settledAt: isFinal ? createdAt : null,
    },
    ...{ sentSession: null, createdBy: 'app', code: null, lateReplies: 0 },
  }
  const nameJson = JSON.stringify({ defaultValue: random.pick(NAMES), i18nValue: names })
  return { command, body: { nameJson, inputJson: '1', outputJson: null, deviceCode: null, deviceMessage: null } }
}

/** One in so many of the readable ones is asked of the stores: a search costs a hundred times what reading does. */
const SEARCH_EVERY = 4
/** characters; the longest that a refusal may need: what was expected, and a quotation that is bounded */
const REFUSAL_MAX_CHARS = 600

class ExpressionBlock implements Block<ExpressionInput> {
  readonly #stores: readonly Store[]
  readonly #folder: string
  readonly #deviceId: number
  #readable = 0

  private constructor(stores: readonly Store[], folder: string, deviceId: number) {
    this.#stores = stores
    this.#folder = folder
    this.#deviceId = deviceId
  }

  static async open(): Promise<ExpressionBlock> {
    const folder = mkdtempSync(join(tmpdir(), 'downlink-fuzz-'))
    const stores = [openMemory(), openSqlite(join(folder, 'fuzz.db'))]
    const ids = await Promise.all(stores.map(fill))
    check(new Set(ids).size === 1, () => 'both stores number the device alike')
    return new ExpressionBlock(stores, folder, ids[0] ?? 0)
  }

  async run({ text, timezone, means, search }: ExpressionInput): Promise<void> {
    const read = parseExpression(text, timezone)
    if (!read.ok) {
      check(means === undefined || means === 'refused', () => `built by the grammar, and refused: ${read.message}`)
      check(read.code === errors.invalidArgument.code, () => `refused with ${read.code}`)
      check(
        read.message.startsWith('Invalid Argument expression:'),
        () => `the refusal does not name the parameter: ${read.message}`,
      )
      check(read.message.length <= REFUSAL_MAX_CHARS, () => `a refusal of ${read.message.length} characters`)
      check(
        !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(read.message),
        () => `invisible in a refusal: ${JSON.stringify(read.message)}`,
      )
      return
    }
    check(means !== 'refused', () => 'beyond its bounds, and read')
    if (means !== undefined)
      check(
        isDeepStrictEqual(read.condition, means),
        () => `read as ${JSON.stringify(read.condition)}, means ${JSON.stringify(means)}`,
      )
    if (search === undefined) return
    this.#readable += 1
    if (this.#readable % SEARCH_EVERY === 1) await this.#search(read.condition, search)
  }

  async #search(condition: Condition | null, { offset, limit }: { offset: number; limit: number }): Promise<void> {
    const found = await Promise.all(this.#stores.map(store => store.search(this.#deviceId, condition, offset, limit)))
    const [memory, sqlite] = found.map(({ rows, total }) => ({ ids: rows.map(({ command }) => command.id), total }))
    check(
      isDeepStrictEqual(memory, sqlite),
      () => `the stores differ: ${JSON.stringify({ memory, sqlite, condition })}`,
    )
  }

  async close(): Promise<void> {
    for (const store of this.#stores) {
      const { total } = await store.search(this.#deviceId, null, 0, 1)
      const counted = [...(await store.countByState()).values()].reduce((sum, count) => sum + count, 0)
      await store.close()
      check(total === ROWS && counted === ROWS, () => `${total} rows are left of ${ROWS}`)
    }
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export const expressionTarget: Target<ExpressionInput> = {
  name: 'expression',
  share: 32,
  boundMs: 500,
  generate,
  open: () => ExpressionBlock.open(),
}
