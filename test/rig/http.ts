// For the tests of the HTTP surface: a fleet with every data type and kind of grant, what is on record of it, and an app whose clock the test moves.

import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { expect } from 'vitest'
import { alone } from '../../src/cluster/signal.ts'
import { Ids } from '../../src/core/ids.ts'
import { Engine } from '../../src/engine.ts'
import { parseFleetFile } from '../../src/fleet/file.ts'
import { Fleet } from '../../src/fleet/fleet.ts'
import { permissions } from '../../src/fleet/grants.ts'
import { randomKey, Secrets } from '../../src/fleet/secrets.ts'
import { type AppOptions, buildApp } from '../../src/http/app.ts'
import { TokenService } from '../../src/http/tokens.ts'
import type { Log } from '../../src/log.ts'
import { Metrics } from '../../src/metrics.ts'
import { openMemory } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import type { Stream, StreamOptions } from '../../src/stream/stream.ts'
import { streamOver } from './changes.ts'
import { ManualClock } from './clock.ts'
import { jobsOver } from './jobs.ts'
import { type Answer, APP, Application, fleetFile, ORG, PRODUCT, STRANGER } from './server.ts'

const key = (letter: string) => ({
  appKey: `00000000-0000-4000-8000-${letter.repeat(12)}`,
  appSecret: `secret-of-application-${letter}`,
})
/** may control and change the devices of PRODUCT only */
export const BY_PRODUCT = key('1')
/** may control and change a1, and read a2 */
export const BY_ASSET = key('2')
/** may do nothing */
export const NOBODY = key('3')

const points = {
  Int: { dataType: 'INT' },
  Float: { dataType: 'FLOAT' },
  Double: { dataType: 'DOUBLE', min: -1, max: 1 },
  Bool: { dataType: 'BOOL' },
  Text: { dataType: 'STRING', dataDefinition: { maxLength: 5 } },
  Enum: { dataType: 'ENUM', dataDefinition: { enumType: 'INT', enumDesc: { 1: 'on', 2: 'off' } } },
  Date: { dataType: 'DATE' },
  Timestamp: { dataType: 'TIMESTAMP' },
  Array: { dataType: 'ARRAY', dataDefinition: { itemType: 'INT' } },
  Struct: {
    dataType: 'STRUCT',
    dataDefinition: {
      items: [
        { identifier: 'a', dataType: 'INT', required: true },
        { identifier: 'b', dataType: 'STRING' },
      ],
    },
  },
  File: { dataType: 'FILE' },
  Fixed: { dataType: 'INT', writable: false },
  Named: {
    dataType: 'INT',
    name: { defaultValue: "Pump's speed", i18nValue: { zh_CN: '泵速', de_DE: 'Pumpendrehzahl', ja_JP: '' } },
  },
}
const services = {
  plain: {},
  defaulted: { inputData: [{ identifier: 'n', dataType: 'INT', isRequired: true, defaultValue: 7 }] },
  needy: { inputData: [{ identifier: 'n', dataType: 'INT', isRequired: true }] },
}

/** The seed's fleet with a1 to a4 of PRODUCT; t1 and t2 (Europe/Berlin) with a point of each type; free1 without a model; other1 of oOther. */
export function httpFleet(): string {
  const fleet = JSON.parse(fleetFile(4))
  const [organization] = fleet.organizations
  /** for commands and for the devices themselves */
  const grants = (which: 'all' | 'read', scope: unknown) =>
    (['Asset', 'Device'] as const).map(resource => ({
      resource,
      actions: [permissions[resource][which === 'all' ? 0 : 1]],
      scope,
    }))
  organization.applications.push(
    { ...BY_PRODUCT, grants: grants('all', { productKeys: [PRODUCT] }) },
    { ...BY_ASSET, grants: [...grants('all', { assetIds: ['a1'] }), ...grants('read', { assetIds: ['a2'] })] },
    { ...NOBODY, grants: [] },
  )
  organization.models.push({ modelId: 'typed', measurepoints: points, services })
  organization.products.push(
    { productKey: 'typedPk', productSecret: 'typed-product-secret', modelId: 'typed' },
    { productKey: 'freePk', productSecret: 'free-product-secret' },
  )
  const device = (assetId: string, productKey: string, timezone = '+00:00') => ({
    ...{ assetId, productKey, deviceKey: assetId, deviceSecret: `secret-of-${assetId}`, timezone },
  })
  organization.devices.push(
    device('t1', 'typedPk'),
    device('t2', 'typedPk', 'Europe/Berlin'),
    device('free1', 'freePk'),
  )
  return JSON.stringify(fleet)
}

export const ASSETS = ['oxWwM9i5', 'a1', 'a2', 'a3', 'a4', 't1', 't2', 'free1']

/** Reads every command of every device of the fleet, both organizations, as search shows it. */
export function recorder(app: Application): () => Promise<unknown> {
  const stranger = new Application(app.url, STRANGER, app.now)
  const search = async (caller: Application, orgId: string, assetId: string) => {
    const body = { pagination: { pageNo: 1, pageSize: 200 } }
    const { code, data, pagination } = await caller.call({ action: 'search', orgId, assetId }, { body })
    expect(code).toBe(0)
    return { assetId, data, total: pagination.totalSize }
  }
  return () => Promise.all([...ASSETS.map(assetId => search(app, ORG, assetId)), search(stranger, 'oOther', 'other1')])
}

/** Does it, and fails if a command was stored or changed meanwhile, or if the server does not answer any more. */
export async function unchanged<T>(app: Application, act: () => Promise<T>): Promise<T> {
  const record = recorder(app)
  const before = await record()
  const result = await act()
  expect(await record()).toEqual(before)
  return result
}

/** The shape that every refusal has. */
export function expectRefused(
  answer: Omit<Answer, 'status'> & { status?: number },
  code: number,
  text: string | RegExp,
  status = 200,
): void {
  expect(answer).toMatchObject({ status, code, data: null })
  expect(answer.msg).toMatch(text)
  expect(answer.requestId).toMatch(/^[0-9a-f]{32}$/)
}

export interface AppRig {
  readonly url: string
  readonly fastify: FastifyInstance
  readonly clock: ManualClock
  readonly engine: Engine
  readonly store: Store
  readonly fleet: Fleet
  readonly metrics: Metrics
  /** the stream of changes; its webhooks are not delivered unless it is started */
  readonly changes: Stream
  readonly app: Application
  /** moves time on and waits until the engine rests */
  advance(ms: number): Promise<void>
  stop(): Promise<void>
}

type Given = 'auth' | 'log' | 'openBeyondLoopback' | 'adminToken' | 'routes' | 'consoleFolder'
export interface AppRigOptions extends Partial<Pick<AppOptions, Given>> {
  readonly startAt?: number
  /** where new names and secrets come from */
  readonly randomBytes?: (size: number) => Buffer
  readonly store?: Store
  readonly stream?: Partial<StreamOptions>
  /** the largest id that this node gave before */
  readonly lastCommandId?: string
  /** touches the server before it listens */
  readonly before?: (fastify: FastifyInstance) => void
}

/** The same store, but for some of its methods. */
export function altered(store: Store, methods: Partial<Store>): Store {
  return new Proxy(store, {
    get: (target, name) => {
      const method = Reflect.get(methods, name) ?? Reflect.get(target, name)
      return typeof method === 'function' ? method.bind(target) : method
    },
  })
}

const quiet: Log = { info: () => undefined, warn: () => undefined, error: () => undefined }

/** The HTTP app on a real socket with a real engine behind it; the clock stands still until the test moves it. */
export async function startApp(options: AppRigOptions = {}): Promise<AppRig> {
  const { startAt, store = openMemory(), lastCommandId = null, before, auth = 'signature', log = quiet } = options
  const { openBeyondLoopback = false, adminToken = null, routes = [] } = options
  const clock = new ManualClock(startAt)
  const fleet = new Fleet(store, new Secrets(randomKey()), options.randomBytes)
  const parsed = parseFleetFile(httpFleet(), 'fleet.json')
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  await fleet.apply(parsed.file, clock.now())
  const metrics = new Metrics()
  const ids = new Ids(0, lastCommandId)
  const defer = (run: () => void) => void setImmediate(run)
  const engine = new Engine({
    cluster: alone,
    store,
    clock,
    ids,
    log,
    observer: {
      batch: (inputs, durationMs) => {
        metrics.batch(inputs, durationMs)
        changes.stir()
      },
      transition: event => metrics.transition(event),
      published: () => metrics.published(),
      reply: outcome => metrics.reply(outcome),
    },
    queueCap: 50,
    retentionMs: 604_800_000,
    defer,
  })
  const changes = streamOver({ store, fleet, clock, log }, { observer: metrics, ...options.stream })
  await engine.start()
  const jobs = jobsOver({ store, engine, fleet, clock, log })
  jobs.start()
  const newToken = () => randomBytes(32).toString('base64url')
  const tokens = new TokenService({ tokens: store, fleet, newToken, clockWindowMs: 600_000 })
  const parts = { engine, store, fleet, tokens, clock, metrics, log, auth, changes, jobs }
  const fastify = buildApp({
    leaving: { isLeaving: false },
    ...parts,
    notify: async () => undefined,
    maxInputBytes: 65_536,
    openBeyondLoopback,
    adminToken,
    routes,
    ...(options.consoleFolder !== undefined && { consoleFolder: options.consoleFolder }),
  })
  before?.(fastify)
  await fastify.listen({ host: '127.0.0.1', port: 0 })
  const url = `http://127.0.0.1:${(fastify.server.address() as AddressInfo).port}`
  const rest = async () => {
    for (let i = 0; i < 4; i++) {
      await new Promise(resolve => setImmediate(resolve))
      await engine.idle()
      await jobs.idle()
    }
  }
  const stop = async () => {
    await jobs.stop()
    await Promise.all([fastify.close(), engine.stop(), changes.stop()])
    await store.close()
  }
  const app = new Application(url, APP, () => clock.now())
  return {
    url,
    fastify,
    clock,
    engine,
    store,
    fleet,
    metrics,
    changes,
    app,
    advance: ms => clock.advance(ms, rest),
    stop,
  }
}
