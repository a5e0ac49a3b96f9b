// Fuzzes fleet files: texts that are or nearly are YAML or JSON. What is wrong must be told with its place and without a secret; what is taken must
// go into a store, be found there as it was written, and change nothing when it is applied again.

import { readFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import { FLEET_PROBLEMS_MAX } from '../src/core/limits.ts'
import type { FleetFile, Problem } from '../src/fleet/file.ts'
import { parseFleetFile } from '../src/fleet/file.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../src/fleet/secrets.ts'
import { openMemory } from '../src/store/memory.ts'
import { FleetConflict, type Store } from '../src/store/store.ts'
import { jsonValue, keyLike, oddText, type Random, spoilBytes, spoilJson, spoilText } from './random.ts'
import { type Block, check, type Target } from './target.ts'

export interface FleetInput {
  readonly text: string
  /** was not spoilt after it was built by the rules */
  readonly good?: true
}

const EXAMPLE = readFileSync(new URL('../examples/fleet.yaml', import.meta.url), 'utf8')
/** Stands in every secret that is built, so that a message that quotes one shows. */
const MARK = 'sEcrEt'
/** The same for a secret that somebody forgot to put in quotes. */
const MARK_NUMBER = 777_000_777
const WORDS = [
  ...[
    '- ',
    ': ',
    '? ',
    '&a ',
    '*a',
    '!!str ',
    '!x ',
    '| ',
    '>-\n',
    '{',
    '}',
    '[',
    ']',
    ',',
    '#',
    '"',
    "'",
    '\n',
    '\n  ',
    '\t',
    '---\n',
    '...\n',
  ],
  ...[
    '<<: *a',
    '%YAML 1.1\n',
    'null',
    '~',
    'yes',
    '0x1f',
    '.inf',
    '1e999',
    '__proto__: 1\n',
    'orgId: o\n',
    'organizations: ',
    '\ufeff',
    '\\x',
    '\u0000',
  ],
]
const DATA_TYPES = ['INT', 'FLOAT', 'DOUBLE', 'BOOL', 'STRING', 'ENUM', 'DATE', 'TIMESTAMP', 'ARRAY', 'STRUCT', 'FILE']

type Json = { [name: string]: unknown }

const secret = (random: Random): string => `${MARK}${random.next().toString(36)}`
const name = (random: Random, text: string): unknown =>
  random.either<unknown>(
    () => text,
    () => ({ defaultValue: text }),
    () => ({ defaultValue: text, i18nValue: { en_US: text, zh_CN: '泵' } }),
  )

function point(random: Random, depth = 1): Json {
  // A STRUCT holds no STRUCT.
  const dataType = random.pick(depth > 0 ? DATA_TYPES : DATA_TYPES.filter(type => type !== 'STRUCT'))
  const definitions: Record<string, unknown> = {
    INT: { min: 1, max: 5 },
    STRING: { maxLength: 5 },
    ENUM: { enumType: 'INT', enumDesc: { 1: 'on', 2: { defaultValue: 'off' } } },
    ARRAY: { itemType: 'INT' },
    STRUCT: { items: depth > 0 ? [{ identifier: 'i', ...point(random, depth - 1) }] : [] },
  }
  const definition = definitions[dataType]
  return {
    dataType,
    ...(random.chance(50) ? { name: name(random, 'p') } : {}),
    ...(definition !== undefined && random.chance(60) ? { dataDefinition: definition } : {}),
    ...(random.chance(10) ? { writable: false } : {}),
  }
}

function organization(random: Random, n: number): Json {
  const hasGateway = random.chance(30)
  const own = (letter: string, i: number): string => `${letter}${n}_${i}`
  const models = random.times(0, 2, i => ({
    modelId: own('m', i),
    measurepoints: Object.fromEntries(random.times(0, 3, j => [`p${j}`, point(random)])),
    services: { s: { inputData: [{ identifier: 'in', ...point(random) }] } },
  }))
  const products = random.times(1, 2, i => ({
    productKey: own('pk', i),
    productSecret: secret(random),
    ...(models.length > 0 && random.chance(60) ? { modelId: random.pick(models).modelId } : {}),
    ...(random.chance(40) ? { productName: name(random, 'product') } : {}),
    ...(i === 0 && hasGateway ? { productType: 'Gateway' } : {}),
  }))
  const devices = random.times(0, 4, i => {
    const of = i === 0 ? 0 : random.below(products.length)
    return {
      assetId: own('a', i),
      productKey: own('pk', of),
      deviceKey: own('d', i),
      deviceSecret: secret(random),
      ...(random.chance(40) ? { timezone: random.pick(['+08:00', 'Europe/Berlin', 'UTC']) } : {}),
      ...(random.chance(10) ? { disabled: true } : {}),
      // Gateways do not nest: only what is no gateway itself may be behind one.
      ...(of > 0 && hasGateway && random.chance(50) ? { gateway: own('a', 0) } : {}),
    }
  })
  const scope = (): unknown =>
    random.pick<unknown>([
      'all',
      { productKeys: [random.pick(products).productKey] },
      ...devices.slice(0, 1).map(each => ({ assetIds: [each.assetId] })),
    ])
  const applications = random.times(0, 2, i => ({
    appKey: own('app', i),
    appSecret: secret(random),
    grants: random.times(0, 2, () => ({
      resource: 'Asset',
      actions: random.pick([['Read'], ['Control', 'Read']]),
      scope: scope(),
    })),
  }))
  return { orgId: `o${n}`, applications, models, products, devices }
}

/** A file built by the rules. */
const fleet = (random: Random): Json => ({
  organizations: random.times(1, random.chance(75) ? 1 : 2, n => organization(random, n)),
})

/** Every place of a tree that can be put another thing into. */
function places(value: unknown, found: { holder: Json | unknown[]; key: string | number }[] = []): typeof found {
  if (typeof value !== 'object' || value === null) return found
  const holder = value as Json | unknown[]
  for (const key of Array.isArray(holder) ? holder.keys() : Object.keys(holder)) {
    found.push({ holder, key })
    places((holder as Json)[key], found)
  }
  return found
}

/** Spoils the tree in place: things lost, doubled, renamed, of another kind. */
function spoilTree(random: Random, tree: Json): void {
  for (let left = random.between(1, 3); left > 0; left -= 1) {
    const all = places(tree)
    if (all.length === 0) return
    const { holder, key } = random.pick(all)
    const struct = holder as Json
    const other = random.pick(all)
    const set = (at: string | number, value: unknown): void => {
      struct[at] = value
    }
    random.either(
      () => set(key, jsonValue(random, 2)),
      () => set(key, random.chance(50) ? oddText(random) : keyLike(random)),
      () => void (Array.isArray(holder) ? holder.splice(Number(key), 1) : delete struct[key]),
      () =>
        Array.isArray(holder)
          ? void holder.push(structuredClone(holder[Number(key)]))
          : set(oddText(random), struct[key]),
      () => set(key, structuredClone((other.holder as Json)[other.key] ?? null)),
    )
  }
}

function printed(random: Random, tree: Json): string {
  if (random.chance(80)) return JSON.stringify(tree, null, random.pick([0, 1, 2]))
  return stringify(tree, { indent: random.pick([1, 2, 4]), defaultKeyType: 'PLAIN' })
}

function generate(random: Random): FleetInput {
  const kind = random.below(100)
  if (kind < 1) return { text: spoilText(random, EXAMPLE, WORDS) }
  if (kind < 2) {
    const tree = parse(EXAMPLE) as Json
    spoilTree(random, tree)
    return { text: JSON.stringify(tree) }
  }
  const tree = fleet(random)
  if (kind < 24) return { text: printed(random, tree), good: true }
  if (kind < 28) {
    const secrets = places(tree).filter(({ key }) => String(key).endsWith('Secret'))
    for (const { holder, key } of secrets.slice(0, 1)) (holder as Json)[key] = MARK_NUMBER
    return { text: printed(random, tree) }
  }
  if (kind < 60) {
    spoilTree(random, tree)
    return { text: printed(random, tree) }
  }
  if (kind < 75) return { text: spoilText(random, printed(random, tree), WORDS) }
  if (kind < 80) return { text: spoilJson(random, JSON.stringify(tree)) }
  if (kind < 86) return { text: spoilBytes(random, Buffer.from(printed(random, tree))).toString() }
  if (kind < 93) return { text: random.times(0, 40, () => random.pick(WORDS)).join('') }
  if (kind < 99 || !random.chance(10)) return { text: random.bytes(0, 80).toString(random.pick(['latin1', 'utf8'])) }
  return { text: bomb(random) }
}

/** Little text that asks for much work. */
function bomb(random: Random): string {
  const many = random.between(10, random.pick([100, 100, 2_000]))
  return random.pick([
    '['.repeat(many),
    '- '.repeat(many),
    '? '.repeat(many),
    'a: '.repeat(many),
    `{${'a: {'.repeat(many)}`,
    `organizations: [${'*a,'.repeat(many)}]`,
    `a: &a [${'1,'.repeat(many)}]\norganizations: [${'*a,'.repeat(many)}]`,
    `a0: &a0 [1,1]\n${Array.from({ length: many % 60 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i},*a${i}]`).join('\n')}`,
    `organizations: "${'\\q'.repeat(many)}"`,
    Array.from({ length: many % 200 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
    `organizations:\n${'  - {}\n'.repeat(many)}`,
  ])
}

const key = randomKey()

class FleetBlock implements Block<FleetInput> {
  /** One store for the whole stretch, so that later files meet what earlier ones left. */
  readonly #shared = new Fleet(openMemory(), new Secrets(key))

  async run({ text, good }: FleetInput): Promise<void> {
    const read = parseFleetFile(text, 'fuzz.yaml')
    if (!read.ok) {
      check(good === undefined, () => `built by the rules, and refused: ${JSON.stringify(read.problems)}`)
      checkProblems(read.problems, text)
      return
    }
    const store = openMemory()
    const fleet = new Fleet(store, new Secrets(key))
    if (await this.#applied(fleet, read.file)) await checkStored(fleet, store, read.file)
    else check(good === undefined, () => 'built by the rules, and in conflict with itself')
    await this.#applied(this.#shared, read.file)
  }

  /** False where it is in conflict, and then nothing of it is there. */
  async #applied(fleet: Fleet, file: FleetFile): Promise<boolean> {
    try {
      await fleet.apply(file, 1_000)
      return true
    } catch (error) {
      if (!(error instanceof FleetConflict)) throw error
      check(error.message.length > 0, () => 'a conflict says nothing')
      return false
    }
  }

  async close(): Promise<void> {
    // Whatever was applied, the store still answers.
    check((await this.#shared.organization('nobody')) === null, () => 'there is an organization nobody')
  }
}

/** characters: a path and a message, each with a quotation that is bounded */
const PROBLEM_MAX_CHARS = 4_000

function checkProblems(problems: readonly Problem[], text: string): void {
  check(problems.length > 0 && problems.length <= FLEET_PROBLEMS_MAX, () => `${problems.length} problems are told`)
  const lines = text.split('\n').length
  for (const problem of problems) {
    const shown = (): string => JSON.stringify(problem)
    const { line, column, path, message } = problem
    check(Number.isInteger(line) && line >= 1 && line <= lines + 1, () => `there are ${lines} lines: ${shown()}`)
    check(Number.isInteger(column) && column >= 1, () => `a column that is none: ${shown()}`)
    check(
      message !== '' && message.length + path.length <= PROBLEM_MAX_CHARS,
      () => `a message of a strange length: ${shown()}`,
    )
    check(!/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(message + path), () => `invisible in a problem: ${shown()}`)
    check(!tellsSecret(message) || !isSecretPath(path), () => `a secret is told: ${shown()}`)
  }
}

const tellsSecret = (message: string): boolean => message.includes(MARK) || message.includes(String(MARK_NUMBER))

/** Where a secret belongs, or where the text is no tree at all. A secret that was put among the points of a model is none any more. */
const isSecretPath = (path: string): boolean =>
  path === '' || /(applications|products|devices)\[\d+\]\.\w*Secret$/.test(path)

/** What was written is found, secrets open, models and products read; and a second time nothing changes. */
async function checkStored(fleet: Fleet, store: Store, file: FleetFile): Promise<void> {
  const before = await rowsOf(store, file)
  await fleet.apply(file, 2_000)
  check(JSON.stringify(before) === JSON.stringify(await rowsOf(store, file)), () => 'applied again, it changes rows')
  for (const { orgId, applications, products, devices } of file.organizations) {
    check((await fleet.organization(orgId)) !== null, () => `organization ${orgId} is not there`)
    for (const { appKey, appSecret } of applications) {
      const found = await fleet.application(appKey)
      check(
        found?.orgId === orgId && found.secret.reveal() === appSecret.reveal(),
        () => `application ${appKey} is another`,
      )
    }
    for (const { productKey, modelId } of products) {
      check((await fleet.product(productKey))?.modelId === modelId, () => `product ${productKey} is another`)
      check(
        ((await fleet.model(productKey)) === null) === (modelId === null),
        () => `product ${productKey} has another model`,
      )
    }
    for (const { assetId, productKey, deviceKey, deviceSecret } of devices) {
      const found = await fleet.deviceByKeys(productKey, deviceKey)
      check(found?.assetId === assetId, () => `device ${assetId} is not found by its keys`)
      check(fleet.deviceSecret(found) === deviceSecret.reveal(), () => `device ${assetId} has another secret`)
    }
  }
}

const rowsOf = (store: Store, { organizations }: FleetFile): Promise<unknown[]> =>
  Promise.all(
    organizations.flatMap(({ applications, products, devices }) => [
      ...applications.map(({ appKey }) => store.application(appKey)),
      ...products.map(({ productKey }) => store.product(productKey)),
      ...devices.map(({ assetId }) => store.deviceByAsset(assetId)),
    ]),
  )

export const fleetTarget: Target<FleetInput> = {
  name: 'fleet',
  share: 4,
  boundMs: 2_000,
  generate,
  open: async () => new FleetBlock(),
}
