// Requests for the HTTP fuzzer: every action with parameters, bodies, headers and signatures that are right, wrong, or spoilt. Data only, so that one
// can be printed; what must wait for the moment of sending (tokens, signatures, ids of commands) stands in them as a word.

import { build } from './expression.ts'
import { jsonValue, keyLike, oddText, type Random, spoilBytes, spoilJson, spoilText } from './random.ts'
import { ASSETS, ORG, PRODUCT, SLOW, VICTIMS } from './world.ts'

/** Stands for a command on record of the device that is named. */
export const SOME_ID = 'SOME_ID'

export type Signing = 'good' | 'none' | 'wrong secret' | 'stale' | 'other token' | 'malformed' | 'upper case'

export interface HttpCall {
  readonly method: string
  readonly path: string
  /** as it stands in the URL */
  readonly query: string
  readonly headers: Readonly<Record<string, string>>
  /** hex */
  readonly body: string
  readonly signing: Signing
}

const COMMANDS = '/connect-service/v2.1/commands'
const TOKENS = '/apim-token-service/v2.0/token'
const POINTS = ['Int', 'Bounded', 'Text', 'Enum', 'Date', 'Timestamp', 'Array', 'Struct', 'File', 'Bool', 'Fixed']

const usually = <T>(random: Random, percent: number, good: () => T, bad: () => T): T =>
  random.chance(percent) ? good() : bad()

function pointValue(random: Random, name: string): unknown {
  const good: Record<string, () => unknown> = {
    Int: () => random.between(-9, 9),
    Bounded: () => random.below(1_000) / 1_000,
    Text: () => oddText(random),
    Enum: () => random.between(1, 2),
    Date: () => '2026-03-29 02:30:00',
    Timestamp: () => 1_700_000_000_000,
    Array: () => random.times(0, 3, () => random.below(9)),
    Struct: () => ({ a: random.below(9) }),
    File: () => 'http://host/file',
    Bool: () => random.chance(50),
  }
  return usually(random, 70, (Object.hasOwn(good, name) ? good[name] : undefined) ?? (() => 1), () => jsonValue(random))
}

type Pairs = [string, string][]

function seconds(random: Random): Pairs {
  const pairs: Pairs = []
  if (random.chance(70))
    pairs.push([
      'pendingTtl',
      usually(
        random,
        85,
        () => String(random.pick([0, 1, 60, 600, 172_800])),
        () => oddText(random),
      ),
    ])
  if (random.chance(50))
    pairs.push([
      'timeout',
      usually(
        random,
        85,
        () => String(random.pick([1, 5, 60])),
        () => oddText(random),
      ),
    ])
  return pairs
}

function deviceOf(random: Random): Pairs {
  const deviceKey = random.pick([...VICTIMS, SLOW, SLOW, 'f1', 'off'])
  const asset: Pairs = [
    [
      'assetId',
      usually(
        random,
        92,
        () => `asset-${deviceKey}`,
        () =>
          usually(
            random,
            50,
            () => random.pick(ASSETS),
            () => oddText(random),
          ),
      ),
    ],
  ]
  const keys: Pairs = [
    [
      'productKey',
      usually(
        random,
        95,
        () => (deviceKey === 'f1' ? 'free' : PRODUCT),
        () => oddText(random),
      ),
    ],
    [
      'deviceKey',
      usually(
        random,
        95,
        () => deviceKey,
        () => oddText(random),
      ),
    ],
  ]
  return random.pick([asset, asset, asset, keys, [...asset, ...keys]])
}

function search(random: Random): unknown {
  const expression = usually<unknown>(
    random,
    70,
    () => build(random, 2).text,
    () => spoilText(random, build(random, 1).text, ['(', '"', ' or ']),
  )
  const pagination = usually<unknown>(
    random,
    80,
    () => ({ pageNo: random.between(1, 3), pageSize: random.between(1, 200) }),
    () => jsonValue(random),
  )
  const path = () =>
    random.pick([
      'commandId',
      'state',
      'commandName.i18nValue.*',
      'inputData.*',
      '*',
      'inputData[*]',
      '',
      '..',
      oddText(random),
    ])
  const projection = usually<unknown>(
    random,
    85,
    () => random.times(0, 4, path),
    () => jsonValue(random),
  )
  const all: [string, unknown][] = [
    ['expression', expression],
    ['pagination', pagination],
    ['projection', projection],
    ['sorters', []],
  ]
  return Object.fromEntries(all.filter(() => random.chance(60)))
}

interface Asked {
  readonly pairs: Pairs
  readonly body: unknown
  readonly method: string
}

function asked(random: Random, action: string): Asked {
  const commandId = (): string =>
    usually(
      random,
      70,
      () => SOME_ID,
      () =>
        usually(
          random,
          50,
          () => String(random.next()),
          () => oddText(random),
        ),
    )
  switch (action) {
    case 'setMeasurepoint': {
      const point = usually(
        random,
        92,
        () => random.pick(POINTS),
        () => keyLike(random),
      )
      return {
        method: 'POST',
        pairs: [['measurepointId', point], ...seconds(random)],
        body: { value: pointValue(random, point) },
      }
    }
    case 'invokeService': {
      const service = usually(
        random,
        92,
        () => random.pick(['plain', 'echo', 'needy']),
        () => keyLike(random),
      )
      const inputs = random.pick<unknown>([{}, { n: random.below(9) }, null, undefined, jsonValue(random)])
      return { method: 'POST', pairs: [['serviceId', service], ...seconds(random)], body: { inputData: inputs } }
    }
    case 'search':
      return { method: 'POST', pairs: [], body: search(random) }
    case 'cancel':
      return {
        method: random.pick(['POST', 'GET']),
        pairs: random.chance(60) ? [['commandId', commandId()]] : [],
        body: random.pick<unknown>([undefined, undefined, {}, jsonValue(random)]),
      }
    default:
      return { method: random.pick(['GET', 'POST']), pairs: [['commandId', commandId()]], body: undefined }
  }
}

const encoded = (random: Random, text: string): string => {
  // A half of a surrogate pair has no UTF-8; the server must never get to see one as anything but bytes.
  const whole = text.replace(/\p{Surrogate}/gu, '%ED%A0%80')
  return random.chance(95) ? encodeURIComponent(whole) : encodeURIComponent(whole).replaceAll('%20', '+')
}

function queryOf(random: Random, pairs: Pairs): string {
  let all = pairs
  if (random.chance(12)) all = random.shuffled(all)
  if (random.chance(6))
    all = [
      ...all,
      [
        usually(
          random,
          50,
          () => random.pick(['x', 'pendingTTL', 'commandid', 'action', '']),
          () => oddText(random),
        ),
        oddText(random),
      ],
    ]
  if (random.chance(4)) all = all.filter(() => random.chance(80))
  const text = all.map(([name, value]) => `${encoded(random, name)}=${encoded(random, value)}`).join('&')
  return random.chance(4)
    ? spoilText(random, text, ['&', '=', '&&', '%', '%00', '%ff', '+', '?', '%26']).replace(/[^\x21-\x7e]|#/g, '')
    : text
}

function bodyOf(random: Random, value: unknown): Buffer {
  if (value === undefined) return Buffer.alloc(0)
  const text = JSON.stringify(value)
  if (random.chance(88)) return Buffer.from(text)
  if (random.chance(50)) return Buffer.from(spoilJson(random, text))
  if (random.chance(80)) return spoilBytes(random, Buffer.from(text))
  return Buffer.from(JSON.stringify({ value: 'x'.repeat(random.pick([60_000, 65_520, 65_540, 70_000])) }))
}

function headersOf(random: Random): Record<string, string> {
  if (random.chance(75)) return {}
  const value = oddText(random)
    .replace(/[^\x20-\x7e]/g, '')
    .slice(0, 200)
  return random.pick<Record<string, string>>([
    { 'content-type': random.pick(['application/json', 'multipart/form-data', 'text/plain; charset=x', value, '/']) },
    { 'x-forwarded-for': value },
    { origin: 'http://evil', 'sec-fetch-site': 'cross-site' },
    { host: value || 'h' },
    { 'accept-version': value, accept: value },
    { 'content-encoding': 'gzip' },
    { 'apim-extra': value, cookie: value },
  ])
}

function tokenCall(random: Random): HttpCall {
  const what = random.pick(['get', 'refresh'])
  const body = usually<unknown>(
    random,
    60,
    () => ({
      appKey: random.pick(['00000000-0000-4000-8000-00000000f0f0', 'nobody']),
      encryption: 'a'.repeat(64),
      timestamp: random.pick<unknown>([1, '1', 1_800_000_000_000]),
      accessToken: 'x',
    }),
    () => jsonValue(random),
  )
  return {
    method: random.pick(['POST', 'POST', 'GET']),
    path: `${TOKENS}/${what}`,
    query: '',
    headers: headersOf(random),
    body: bodyOf(random, body).toString('hex'),
    signing: 'none',
  }
}

function elsewhere(random: Random): HttpCall {
  const path = random.pick([
    '/',
    '/healthz',
    '/readyz',
    COMMANDS,
    `${COMMANDS}/`,
    `${COMMANDS}x`,
    `${TOKENS}/`,
    '/a%2fb',
    '/%',
    '/%zz',
    '/..%2f',
    '/*',
    `/${'a'.repeat(300)}`,
    COMMANDS.toUpperCase(),
  ])
  const method = random.pick(['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD'])
  return {
    method,
    path,
    query: random.chance(50) ? '' : `action=cancel&orgId=${ORG}`,
    headers: headersOf(random),
    body: '',
    signing: 'none',
  }
}

/** What a caller may send through any client library. */
export function httpCall(random: Random): HttpCall {
  const kind = random.below(100)
  if (kind < 6) return tokenCall(random)
  if (kind < 10) return elsewhere(random)
  const action = usually(
    random,
    97,
    () =>
      random.pick(['setMeasurepoint', 'setMeasurepoint', 'invokeService', 'invokeService', 'get', 'search', 'cancel']),
    () => keyLike(random),
  )
  const { pairs, body, method } = asked(random, action)
  const orgId = usually(
    random,
    97,
    () => ORG,
    () =>
      usually(
        random,
        50,
        () => 'oOther',
        () => oddText(random),
      ),
  )
  const query = queryOf(random, [['action', action], ['orgId', orgId], ...deviceOf(random), ...pairs])
  const signing: Signing = usually(
    random,
    88,
    () => 'good',
    () => random.pick(['none', 'wrong secret', 'stale', 'other token', 'malformed', 'upper case'] as const),
  )
  const verb = usually(
    random,
    97,
    () => method,
    () => random.pick(['GET', 'POST', 'HEAD', 'PUT']),
  )
  return {
    method: verb,
    path: COMMANDS,
    query,
    headers: headersOf(random),
    body: bodyOf(random, body).toString('hex'),
    signing,
  }
}
