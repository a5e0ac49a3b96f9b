// The OpenAPI document: that it is well-formed, that it has all there is to call and nothing else, and that every example in it is answered as it says by a
// real server, in the form that its schemas say. Not here: what the calls do beyond that.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { documentText, lint } from '../scripts/openapi.ts'
import { API_VERSION, type Document, openapi } from '../src/http/openapi.ts'
import type { ExampleCall } from '../src/http/openapi-calls.ts'
import { resources, routes } from '../src/http/routes.ts'
import { signature } from '../src/http/signature.ts'
import { openMemory } from '../src/store/memory.ts'
import { StoreUnavailable } from '../src/store/nodes.ts'
import type { Store } from '../src/store/store.ts'
import { Examples, type Sign, type Told } from './rig/calls.ts'
import { type Demo, startDemo } from './rig/demo.ts'
import { type AppRig, altered, startApp } from './rig/http.ts'
import { rawCall, request } from './rig/raw.ts'
import { APP, Application } from './rig/server.ts'

const document: Document = JSON.parse(documentText())
const examples = new Examples(document)
const operations = examples.operations()
const cases = operations.flatMap(({ operation }) =>
  operation['x-examples'].map(call => ({ operationId: operation.operationId, summary: call.summary, call })),
)

describe('the document', () => {
  it('has no error and no warning of the linter', () => {
    const folder = mkdtempSync(join(tmpdir(), 'downlink-openapi-'))
    try {
      const file = join(folder, 'openapi.json')
      writeFileSync(file, documentText())
      const { status, output } = lint(file)
      expect(output).not.toMatch(/ (warning|error) /)
      expect(status).toBe(0)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('is of the version of the package', () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
    expect(API_VERSION).toBe(version)
  })

  it('names each operation once, with at least one example', () => {
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { operation } of operations) expect(operation['x-examples'], operation.operationId).not.toEqual([])
  })

  it('has every action and every route', () => {
    const actions = resources.flatMap(({ path, actions }) =>
      [...actions].map(([name, { methods }]) => `${methods[0]} ${path}#${name}`),
    )
    const all = [...actions, ...routes.map(({ method, path }) => `${method} ${path}`)]
    const described = operations.map(({ method, path }) => `${method.toUpperCase()} ${path}`)
    expect(described).toEqual(expect.arrayContaining(all))
  })

  it('begins its forms with the values of the first example', () => {
    for (const { operation } of operations) {
      const [first] = operation['x-examples']
      const query = new URL(first?.url ?? '', 'http://x').searchParams
      for (const parameter of (operation.parameters ?? []) as { name: string; in: string; example?: unknown }[])
        if (parameter.in === 'query' && parameter.example !== undefined)
          expect(String(parameter.example), `${operation.operationId} ${parameter.name}`).toBe(
            query.get(parameter.name),
          )
    }
  })

  it('refuses to say what is not so', () => {
    const [route] = routes
    if (route === undefined) throw new Error('there are no routes')
    expect(() => openapi([], [route, { ...route, operationId: 'another' }])).toThrow(/described twice/)
    expect(() => openapi([], [{ ...route, tag: 'Nothing' }])).toThrow(/no group Nothing/)
    expect(() => openapi([], [{ ...route, codes: ['nonsense'] }])).toThrow(/no error called nonsense/)
    expect(() => openapi([], [{ ...route, path: '/v1/{other}' }])).toThrow(/the path has other/)
    expect(() => openapi(resources, [{ ...route, operationId: 'getCommand' }])).toThrow(/two operations getCommand/)
    const { examples } = route
    expect(() => openapi([], [{ ...route, examples: [...examples, ...examples] }])).toThrow(/a summary is there twice/)
  })
})

describe('the server', () => {
  it('serves the document, and says when it has not changed', async () => {
    const { url, stop } = await startApp()
    try {
      const first = await fetch(`${url}/openapi.json`)
      expect(await first.json()).toEqual(document)
      const tag = first.headers.get('etag') ?? ''
      const again = await fetch(`${url}/openapi.json`, { headers: { 'if-none-match': tag } })
      expect(again.status).toBe(304)
      expect(await again.text()).toBe('')
    } finally {
      await stop()
    }
  })

  it('has nothing that is not in the document, but for pages', async () => {
    const { url, stop, fastify } = await startApp()
    try {
      const described = operations.map(({ method, path }) => `${method.toUpperCase()} ${path.replace(/#.*/, '')}`)
      // Some of the vendor's actions may be called by another verb as well, which their descriptions say.
      const alike = resources.flatMap(({ path, actions }) =>
        [...actions.values()].flatMap(({ methods }) => methods.map(method => `${method} ${path}`)),
      )
      const isVendor = (path: string) => resources.some(resource => resource.path === path)
      let seen = 0
      for (const method of fastify.supportedMethods)
        for (const path of pathsOf(fastify.printRoutes({ method: method as 'GET', commonPrefix: false }))) {
          seen += 1
          const isPage = method === 'GET' && /^\/($|docs\b|console\b)/.test(path)
          if (isPage || method === 'HEAD' || [...described, ...alike].includes(`${method} ${path}`)) continue
          const answer = await rawCall(url, request(method, path.replace(/[{}]/g, '')))
          expect({ path, method, status: answer.status }).toEqual({ path, method, status: isVendor(path) ? 401 : 405 })
          if (!isVendor(path)) expect(answer.headers.get('allow')).toMatch(/^[A-Z]+(, [A-Z]+)*$/)
        }
      expect(seen).toBeGreaterThan(operations.length)
    } finally {
      await stop()
    }
  })
})

/** The paths of fastify's drawing of its routes: a tree, in which each has what follows the path of the one that it is under. */
function pathsOf(drawn: string): string[] {
  const above: string[] = []
  return [...drawn.matchAll(/^(.*)── (\S*)( \(\w+\))?$/gm)].flatMap(([, indent = '', part = '', isRoute]) => {
    const level = Math.floor(indent.length / 4)
    above.splice(level, above.length, part)
    return isRoute === undefined ? [] : [above.join('').replace(/:(\w+)/g, '{$1}')]
  })
}

function expectAnswered(operationId: string, call: ExampleCall, told: Told): void {
  const { status, body } = told
  expect({ status, code: body.code ?? body.status, msg: body.msg }).toMatchObject({
    status: call.status,
    ...(call.code === undefined ? {} : { code: call.code }),
    ...(call.msg === undefined ? {} : { msg: call.msg }),
  })
  expect(examples.problems(operationId, told)).toEqual([])
  if (call.answer === undefined) return
  expect(examples.problems(operationId, { ...told, body: call.answer }), 'the answer that is shown').toEqual([])
  expect(shapeOf(body), 'the answer, and the one that is shown').toEqual(shapeOf(call.answer))
}

/** Which fields there are, some levels deep; of a list those of its first element. */
// biome-ignore lint/suspicious/noExplicitAny: any JSON
function shapeOf(value: any, depth = 3): unknown {
  if (value === null || typeof value !== 'object') return 'value'
  if (Array.isArray(value)) return value.length === 0 ? [] : [shapeOf(value[0], depth)]
  if (depth === 0) return 'object'
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map(name => [name, shapeOf(value[name], depth - 1)]),
  )
}

/** It changes nothing, so that others may be performed on the same server. */
const isRead = ({ operationId, call }: (typeof cases)[number]): boolean =>
  call.before.length === 0 &&
  (call.method === 'GET' || /Needs \*\*\w+: Read/.test(String(examples.operation(operationId).description)))

describe('what the gateway itself answers', () => {
  const methods: Partial<Store> = {}
  let open: AppRig
  let signed: AppRig
  beforeAll(async () => {
    open = await startApp({ auth: 'open', store: altered(openMemory(), methods) })
    signed = await startApp()
  })
  afterAll(() => Promise.all([open.stop(), signed.stop()]))

  const operationId = 'setMeasurepoint'
  const [call] = examples.operation(operationId)['x-examples']
  const post = async (url: string, init: RequestInit) => {
    const response = await fetch(url + (call?.url ?? '').replace(/assetId=\w+/, 'assetId=a1'), {
      method: 'POST',
      ...init,
    })
    return { status: response.status, type: 'application/json', body: await response.json() }
  }
  const failing = async (name: keyof Store, error: Error) => {
    Object.assign(methods, { [name]: () => Promise.reject(error) })
    try {
      return await post(open.url, { body: '{"value":1}' })
    } finally {
      Reflect.deleteProperty(methods, name)
    }
  }
  const keyed = (value: number) =>
    post(open.url, { body: JSON.stringify({ value }), headers: { 'Idempotency-Key': 'k' } })

  it.each<[number, () => Promise<Pick<Told, 'status' | 'type' | 'body'>>]>([
    [400, () => post(open.url, { body: Buffer.from([0xff]) })],
    [401, () => post(signed.url, {})],
    [403, () => post(open.url, { headers: { origin: 'http://elsewhere.example' } })],
    [409, () => keyed(1).then(() => keyed(2))],
    [413, () => post(open.url, { body: 'x'.repeat(65_537) })],
    [500, () => failing('deviceByAsset', new Error('a bug'))],
    [503, () => failing('deviceByAsset', new StoreUnavailable('away'))],
  ])('HTTP %s', async (status, act) => {
    const told = await act()
    expect(told.status).toBe(status)
    expect(examples.problems(operationId, told)).toEqual([])
    const shown = examples.shown(operationId, status)
    expect(examples.problems(operationId, { ...told, body: shown }), 'the answer that is shown').toEqual([])
    const { requestId } = told.body
    expect({ ...shown, requestId }).toEqual(told.body)
  })
})

describe('examples that read', () => {
  let demo: Demo
  beforeAll(async () => {
    demo = await startDemo()
  })
  afterAll(() => demo.stop())
  it.each(cases.filter(isRead))('$operationId: $summary', async ({ operationId, call }) => {
    expectAnswered(operationId, call, await examples.perform(demo.rig.server.httpUrl, call))
  })
})

describe('examples that change something, each on a server of its own', () => {
  it.each(cases.filter(one => !isRead(one)))('$operationId: $summary', async ({ operationId, call }) => {
    const demo = await startDemo()
    try {
      expectAnswered(operationId, call, await examples.perform(demo.rig.server.httpUrl, call))
    } finally {
      await demo.stop()
    }
  })
})

describe('examples that read, signed', () => {
  let demo: Demo
  let sign: Sign
  beforeAll(async () => {
    demo = await startDemo(['--auth', 'signature'])
    const token = await new Application(demo.rig.server.httpUrl, APP).getToken()
    sign = async (_method, url, body) => {
      const timestamp = String(Date.now())
      const pairs = [...new URL(url, 'http://x').searchParams].map(([name, value]) => ({ name, value }))
      return {
        'apim-accesstoken': token,
        'apim-timestamp': timestamp,
        'apim-signature': signature(token, pairs, Buffer.from(body), timestamp, APP.appSecret),
      }
    }
  })
  afterAll(() => demo.stop())

  const needs = (operationId: string, name: string) =>
    (examples.operation(operationId).security as object[]).some(one => name in one)
  const signed = cases.filter(one => isRead(one) && needs(one.operationId, 'signature'))
  it.each(signed)('$operationId: $summary', async ({ operationId, call }) => {
    const server = demo.rig.server.httpUrl
    expectAnswered(operationId, call, await examples.perform(server, call, sign))
    const unsigned = await examples.perform(server, call)
    expect(unsigned).toMatchObject({ status: 401, body: { code: 1202, status: 1202 } })
    expect(examples.problems(operationId, unsigned)).toEqual([])
  })

  const administrators = cases.filter(({ operationId }) => needs(operationId, 'administrator'))
  it.runIf(administrators.length > 0).each(administrators)('$operationId: $summary', async ({ operationId, call }) => {
    const told = await examples.perform(demo.rig.server.httpUrl, { ...call, before: [] })
    expect(told).toMatchObject({ status: 403, body: { code: 99403 } })
    expect(told.body.msg).toContain('DOWNLINK_ADMIN_TOKEN')
    expect(examples.problems(operationId, told)).toEqual([])
  })
})
