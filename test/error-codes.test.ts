// Every documented error code is got by a call: those that an example of the OpenAPI document has by that example, the others by a call of their own here. An
// entry of the tables in core/errors.ts that nothing gets fails. Not here: what exactly each of them means (the tests of each part).

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { documentText } from '../scripts/openapi.ts'
import { authErrors, errors } from '../src/core/errors.ts'
import { TOPOLOGY_MAX_DEVICES } from '../src/core/limits.ts'
import { encryption } from '../src/http/signature.ts'
import { openMemory } from '../src/store/memory.ts'
import { CommitUnknown, StoreUnavailable } from '../src/store/nodes.ts'
import type { Store } from '../src/store/store.ts'
import { Examples } from './rig/calls.ts'
import { type Demo, startDemo } from './rig/demo.ts'
import { altered, startApp } from './rig/http.ts'
import { type Answer, APP, Application, ORG, PRODUCT, READER } from './rig/server.ts'
import { deviceRow } from './rig/store.ts'

const examples = new Examples(JSON.parse(documentText()))

/** in open mode, with room for two created commands of a device */
let demo: Demo
beforeAll(async () => {
  demo = await startDemo(['--auth', 'open', '--queue-cap', '2'])
})
afterAll(() => demo.stop())

const HERE = 'oxWwM9i5'
const NEVER = 'k3TzVb7Q'

async function post(url: string, body?: unknown): Promise<Answer> {
  const response = await fetch(url, { method: 'POST', ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
  return { ...((await response.json()) as Answer), status: response.status }
}
const command = (query: Record<string, string>, body?: unknown, server = demo.rig.server.httpUrl) =>
  post(`${server}/connect-service/v2.1/commands?${new URLSearchParams({ orgId: ORG, ...query })}`, body)
const set = (query: Record<string, string>, server?: string) =>
  command({ action: 'setMeasurepoint', measurepointId: 'Int_value', ...query }, { value: 1 }, server)
const cancelAll = (assetId: string) => command({ action: 'cancel', assetId })

/** Does it while the device that is connected answers in another way. */
async function answering<T>(answer: (id: string) => object | undefined, act: () => Promise<T>): Promise<T> {
  const before = demo.here.answer
  demo.here.answer = ({ payload }) => answer(payload.id)
  try {
    return await act()
  } finally {
    demo.here.answer = before
  }
}
const mute = () => undefined

/** A cached set on a server in open mode over a store that is as it should be until the server is up. */
async function overStore(break_: (methods: Partial<Store>) => void): Promise<Answer> {
  const methods: Partial<Store> = {}
  const rig = await startApp({ auth: 'open', store: altered(openMemory(), methods) })
  try {
    break_(methods)
    return await set({ assetId: 'a1', pendingTtl: '60' }, rig.url)
  } finally {
    for (const name of Object.keys(methods)) Reflect.deleteProperty(methods, name)
    await rig.stop()
  }
}

const createDevice = (server: string, productKey: string) =>
  post(`${server}/connect-service/v2.1/devices?action=create&orgId=${ORG}`, {
    productKey,
    timezone: '+08:00',
    deviceName: { defaultValue: 'one more' },
  })

/** A call for each code of the API that no example has. */
const own: Readonly<Record<string, () => Promise<Answer>>> = {
  denied: async () => {
    const rig = await startApp()
    try {
      const reader = new Application(rig.url, READER, () => rig.clock.now())
      return await reader.call({ action: 'cancel', orgId: ORG, assetId: 'a1' })
    } finally {
      await rig.stop()
    }
  },
  queueFull: async () => {
    for (let n = 0; n < 2; n++) expect(await set({ assetId: NEVER, pendingTtl: '60' })).toMatchObject({ code: 0 })
    const answer = await set({ assetId: NEVER, pendingTtl: '60' })
    await cancelAll(NEVER)
    return answer
  },
  notSent: () =>
    answering(mute, async () => {
      const head = set({ assetId: HERE, timeout: '3' })
      await demo.here.count(demo.here.received.length + 1)
      const answer = await set({ assetId: HERE, timeout: '1' })
      expect(await head).toMatchObject({ code: errors.timedOut.code })
      return answer
    }),
  timedOut: () => answering(mute, () => set({ assetId: HERE, timeout: '1' })),
  notEncodable: async () => {
    // A product with a format of its own has a codec, and this server has none. Its device is connected all the same.
    const device = await demo.device('rAwPump1', 'raw_01', 'N4xGtP8cWbS1vKdL6yHq')
    try {
      return await set({ assetId: 'rB6wKq2Z' })
    } finally {
      await device.end()
    }
  },
  deviceDeleted: async () => {
    const device = await demo.device('fR33form', 'bench_01', 'C7vMiO1rGl0QwEj4TnYb')
    device.answer = mute
    const answer = set({ assetId: 'u9LmFh6S' })
    await device.count(1)
    const url = `${demo.rig.server.httpUrl}/connect-service/v2.1/devices?action=delete&orgId=${ORG}&assetId=u9LmFh6S`
    expect(await post(url)).toMatchObject({ code: 0 })
    await device.end()
    return answer
  },
  internal: () =>
    answering(
      id => ({ id, code: 'broken' }),
      () => set({ assetId: HERE }),
    ),
  unavailable: () =>
    overStore(methods => {
      methods.load = () => Promise.reject(new StoreUnavailable('away'))
    }),
  outcomeUnknown: () =>
    overStore(methods => {
      methods.commit = () => Promise.reject(new CommitUnknown('lost'))
    }),
  noDeviceKey: async () => {
    // What is drawn is always the same, so that the second key is never free.
    const rig = await startApp({ auth: 'open', randomBytes: size => Buffer.alloc(size, 7) })
    try {
      expect(await createDevice(rig.url, PRODUCT)).toMatchObject({ code: 0 })
      return await createDevice(rig.url, PRODUCT)
    } finally {
      await rig.stop()
    }
  },
  tooManyDevices: async () => {
    const store = openMemory()
    const rig = await startApp({ auth: 'open', store })
    const call = (resource: string, action: string, body: object) =>
      post(`${rig.url}/connect-service/v2.1/${resource}?action=${action}&orgId=${ORG}`, body)
    try {
      const product = await call('products', 'create', {
        ...{ productName: { defaultValue: 'Gateway' }, productType: 'Gateway', dataFormat: 'Json' },
        ...{ modelId: 'demo', biDirectionalAuth: false },
      })
      const { data: gateway } = await createDevice(rig.url, product.data)
      const full = Array.from({ length: TOPOLOGY_MAX_DEVICES }, (_, n) =>
        deviceRow(`full-${n}`, { orgId: ORG, productKey: PRODUCT, gatewayAssetId: gateway.assetId }),
      )
      await store.addDevices(full, rig.clock.now())
      const { assetId } = gateway
      return await call('device-topos', 'addSubDevice', { gateway: { assetId }, subDevices: [{ assetId: 'a1' }] })
    } finally {
      await rig.stop()
    }
  },
  isOver: async () => {
    const base = `${demo.rig.server.httpUrl}/v1/cancellations`
    const made = await post(`${base}?orgId=${ORG}`, { filter: { productKeys: ['gAteWay1'] }, dryRun: true })
    expect(made).toMatchObject({ code: 0 })
    const { cancellationId } = made.data
    for (;;) {
      const response = await fetch(`${base}/${cancellationId}?orgId=${ORG}`)
      const { data } = (await response.json()) as Answer
      if (data.endedAt !== null) break
      await new Promise(resolve => setImmediate(resolve))
    }
    return post(`${base}/${cancellationId}/stop?orgId=${ORG}`)
  },
}

describe('every code of the API', () => {
  it.each(Object.entries(errors))('%s', async (name, { code }) => {
    const call = own[name]
    if (call !== undefined) {
      expect(await call()).toMatchObject({ code })
      return
    }
    const example = examples
      .operations()
      .flatMap(({ operation }) => operation['x-examples'])
      .find(each => each.code === code)
    if (example === undefined) throw new Error(`no example has ${code}, and no call here gets it: write one`)
    const fresh = await startDemo()
    try {
      const { body } = await examples.perform(fresh.rig.server.httpUrl, example)
      expect(body).toMatchObject({ code })
    } finally {
      await fresh.stop()
    }
  })

  it('is got by a call here only where it exists', () => {
    expect(Object.keys(errors)).toEqual(expect.arrayContaining(Object.keys(own)))
  })
})

describe('every code of tokens and signatures', () => {
  let signed: Demo
  beforeAll(async () => {
    signed = await startDemo(['--auth', 'signature'])
  })
  afterAll(() => signed.stop())

  const { appKey, appSecret } = APP
  /** times that no two proofs share, so that none was used before */
  let at = Date.now()
  const proof = (secret = appSecret) => {
    at += 1
    return { appKey, timestamp: at, encryption: encryption(appKey, String(at), secret) }
  }
  const params = { action: 'search', orgId: ORG, assetId: HERE }
  const call = (headers: Record<string, string>) => signed.rig.app.call(params, { headers })

  /** The token service has its codes in `status`. */
  const service = async (body: unknown, what = 'get'): Promise<number> => {
    const path = `${signed.rig.server.httpUrl}/apim-token-service/v2.0/token/${what}`
    const response = await fetch(path, { method: 'POST', body: JSON.stringify(body) })
    return ((await response.json()) as { status: number }).status
  }
  const rows: Readonly<Record<keyof typeof authErrors, () => Promise<number>>> = {
    repeated: async () => {
      const once = proof()
      expect(await service(once)).toBe(0)
      return service(once)
    },
    unknownApp: () => service({ ...proof(), appKey: 'nobody' }),
    badSignature: () => service(proof('another secret')),
    badParameter: () => service({ ...proof(), encryption: 'no hex' }),
    missing: () => service({ appKey }),
    tokenExpired: async () => (await call({ 'apim-accesstoken': 'unknown' })).code,
    refreshFailed: () => service({ ...proof(), accessToken: 'unknown' }, 'refresh'),
  }
  it.each(Object.entries(authErrors))('%s', async (name, { code }) => {
    const row = rows[name as keyof typeof authErrors]
    expect(row, `no call here gets ${code}: write one`).toBeDefined()
    expect(await row()).toBe(code)
  })

  const calls: Readonly<Record<number, Record<string, string>>> = {
    1003: { 'apim-signature': '0'.repeat(64) },
    1004: { 'apim-timestamp': 'now' },
    1202: { 'apim-signature': '' },
    1203: { 'apim-accesstoken': 'unknown' },
  }
  it.each(Object.entries(calls))('%s rejects a signed call', async (code, headers) => {
    expect(await call(headers)).toMatchObject({ status: 401, code: Number(code), data: null })
  })
})
