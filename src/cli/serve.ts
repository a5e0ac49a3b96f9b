// A server put together: store, secrets, fleet, engine, HTTP, MQTT, in the order in which they need each other; and taken apart in the other.
// Not here: options (config.ts), the process around it, its signals and exit codes (serving.ts).

import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Clock, Timers } from '../clock.ts'
import { Codecs } from '../codec/codec.ts'
import { Ids } from '../core/ids.ts'
import {
  ID_AHEAD_MAX_MS,
  JOBS_STOP_MS,
  NODE_LEAVE_MS,
  STOP_CUT_OFF_GRACE_MS,
  STOP_GRACE_MS,
  STORE_LOOK_MS,
} from '../core/limits.ts'
import { Engine, type Observer } from '../engine.ts'
import { Fleet } from '../fleet/fleet.ts'
import { keyFromFile, randomKey, SecretError, type SecretKey, Secrets, verifyKey } from '../fleet/secrets.ts'
import type { AdminRoute, Notify } from '../http/action.ts'
import { buildApp } from '../http/app.ts'
import { HttpDevices } from '../http/devices.ts'
import { TokenService } from '../http/tokens.ts'
import { Jobs, type JobsOptions } from '../jobs/runner.ts'
import { Metrics } from '../metrics.ts'
import type { MqttEvent } from '../mqtt/endpoint.ts'
import { MqttListener } from '../mqtt/listener.ts'
import { Intake } from '../proxy/intake.ts'
import { openMemory } from '../store/memory.ts'
import { openPostgres } from '../store/postgres.ts'
import { openSqlite } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { Stream } from '../stream/stream.ts'
import { LoginLimit } from '../uplink/login-limit.ts'
import { Requests } from '../uplink/requests.ts'
import { Saver } from '../uplink/saver.ts'
import { Turns } from '../uplink/turns.ts'
import { SECRET_KEY_ENV, type ServeConfig, type StoreConfig } from './config.ts'
import { loadFleetFile } from './fleet-file.ts'
import { type Node, openNode } from './node.ts'
import { readTlsFiles, type TlsTexts } from './tls-files.ts'

export interface Server {
  readonly httpUrl: string
  readonly mqttUrl: string
  readonly mqttsUrl: string | null
  /** Resolves where this node's life is over before it is told to stop: another process has its number, so it must stop now. */
  readonly ended: Promise<void>
  /** Takes no new calls, lets those in flight end or be told, closes devices and then the store. Resolves within 10 s. */
  stop(): Promise<void>
}

/** What makes a server an emulator. */
export interface EmulatedParts {
  /** the time of commands */
  readonly clock: Clock & Timers
  readonly routes: readonly AdminRoute[]
  /** told when the server is there */
  watch(server: { readonly engine: Engine; readonly store: Store }): void
}

/** The fleet file of the options cannot be read or is wrong; the message has a line for each problem. */
export class FleetFileWrong extends Error {
  override readonly name = 'FleetFileWrong'
}

/** The folder of the codecs cannot be read. */
export class CodecsFolderWrong extends Error {
  override readonly name = 'CodecsFolderWrong'
}

/** 256 bits of chance as text */
const newToken = (): string => randomBytes(32).toString('base64url')

export async function openStore(config: StoreConfig, log?: Logger): Promise<Store> {
  switch (config.type) {
    case 'memory':
      return openMemory()
    case 'sqlite':
      return openSqlite(config.path)
    case 'postgres': {
      const lost = (error: Error): void => log?.warn({ err: error }, 'a connection to PostgreSQL was lost')
      return openPostgres(config.url, { bearing: { lost } })
    }
  }
}

/** The key of the secrets: as given, else from the file beside the database; a memory store gets one that ends with it. */
export async function openSecrets(config: Pick<ServeConfig, 'store' | 'secretKey'>, store: Store): Promise<Secrets> {
  const key = config.secretKey ?? (await ownKey(config.store, store))
  await verifyKey(store, key)
  return new Secrets(key)
}

async function ownKey(config: StoreConfig, store: Store): Promise<SecretKey> {
  if (config.type === 'memory') return randomKey()
  if (config.type === 'postgres')
    throw new SecretError(`${SECRET_KEY_ENV} is needed with PostgreSQL, the same on every node`)
  // A key made now could not open what the store holds already.
  return keyFromFile(join(dirname(config.path), 'secret.key'), (await store.secretCheck()) !== null)
}

/**
 * Throws, with everything closed again, where a part cannot start: a port is taken, the store belongs to another process, the fleet file or a TLS
 * file is wrong.
 */
export async function startServer(
  config: ServeConfig,
  log: Logger,
  emulated: EmulatedParts | null = null,
): Promise<Server> {
  const tls = config.mqtts === null ? null : readTlsFiles(config.mqtts.tls)
  const store = await openStore(config.store, log)
  const undo: (() => Promise<unknown>)[] = [() => store.close()]
  try {
    return await start(config, log, store, tls, undo, emulated)
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(failure => log.warn({ err: failure }, 'closing again failed'))
    throw error
  }
}

async function start(
  config: ServeConfig,
  log: Logger,
  store: Store,
  tls: TlsTexts | null,
  undo: (() => Promise<unknown>)[],
  emulated: EmulatedParts | null,
): Promise<Server> {
  // Only a store that no process had before has no check value.
  const isNew = (await store.secretCheck()) === null
  const fleet = new Fleet(store, await openSecrets(config, store))
  let letGo = (): void => undefined
  const node = await openNode(config, log, store, () => letGo())
  undo.push(() => node.leave())
  const { cluster } = node
  const clock = emulated?.clock ?? node.clock
  await applyFleet(config, log, fleet, clock, isNew)
  const metrics = new Metrics()
  const { queueCap, retentionDays } = config
  const retentionMs = retentionDays * 86_400_000
  const ids = new Ids(node.node, node.lastCommandId)
  const changes = new Stream({
    ...{ store, fleet, clock, realClock: node.clock, log, isShared: node.signals !== null },
    ...{ reachable: config.webhooks, defer, chance: Math.random, observer: metrics },
  })
  undo.push(() => changes.stop())
  const observer = observing(metrics, changes)
  const engine = new Engine({ store, clock, log, ids, cluster, observer, queueCap, retentionMs, defer })
  undo.push(() => engine.stop())

  const codecs = await openCodecs(config, log, node.clock)
  undo.push(() => codecs.close())
  const saver = new Saver({ store, log, defer })
  const limit = new LoginLimit()
  const turns = new Turns({ clock: node.clock, defer })
  const requests = new Requests({ fleet, store, saver, clock, log, randomBytes, turns, guess: limit })
  const { readyAfterMs, reactivation } = config
  const count = (event: MqttEvent) => metrics.mqtt(event)
  const intake = config.proxyProtocol
    ? new Intake({ clock: node.clock, log, count: fault => metrics.proxyHeader(fault) })
    : null
  // One limit for all doors: who was refused at one has as many attempts less at the others.
  // Connections live in real time, also where the time of commands is made to leap.
  const parts = { engine, fleet, requests, clock: node.clock, log, limit, intake }
  const mqtt = new MqttListener({ ...parts, codecs, readyAfterMs, reactivation, count })
  undo.push(() => mqtt.stop())
  letGo = () => mqtt.drop()
  await node.start(tidings => {
    engine.hear(tidings)
    for (const { gatewayId, notice, ...of } of tidings.notices ?? []) mqtt.notify(gatewayId, notice, of)
  })
  await engine.start()
  await changes.start()
  const jobs = openJobs(node, { store, engine, fleet, clock, log, retentionMs })
  undo.push(() => jobs.stop())

  const notify = notifier(node, mqtt, store, log)
  const called = (call: string, code: number) => metrics.call(call, code)
  const devices = new HttpDevices({ ...parts, turns, newSessionId: newToken, count: called })
  const leaving = { isLeaving: false }
  const shared = {
    store,
    fleet,
    clock,
    engine,
    changes,
    jobs,
    metrics,
    intake,
    leaving,
    routes: emulated?.routes ?? [],
  }
  const { app, httpUrl } = await listenHttp(config, log, { ...shared, notify, devices })
  undo.push(() => app.close())
  undo.push(async () => intake?.stop())
  metrics.watch(engine, clock, () => mqtt.gauges().sockets)
  metrics.watchStream(changes)
  if (node.signals !== null) metrics.watchNode(node.node, cluster, node.signals.counts)
  const plain = await mqtt.listen(config.mqtt.host, config.mqtt.port)
  const mqttUrl = url('mqtt', plain.host, plain.port)
  const mqttsUrl = await listenTls(config, tls, mqtt)
  if (config.auth === 'open')
    log.warn({ httpUrl }, 'OPEN MODE: no credentials are checked, whoever reaches the HTTP port may do everything')
  emulated?.watch({ engine, store })
  const stop = () => stopAll({ app, engine, changes, jobs, mqtt, intake, codecs, node, store, log, leaving })
  return { httpUrl, mqttUrl, mqttsUrl, stop, ended: node.ended }
}

/** Tells a gateway, wherever it is connected. */
const notifier =
  (node: Node, mqtt: MqttListener, store: Store, log: Logger): Notify =>
  async (gatewayId, notice, { productKey, deviceKey }) => {
    if (mqtt.notify(gatewayId, notice, { productKey, deviceKey }) || node.signals === null) return
    try {
      const [session] = await store.sessions([gatewayId])
      const notices = [{ gatewayId, notice, productKey, deviceKey }]
      if (session?.sessionNode != null) node.cluster.tell(session.sessionNode, { look: [], settled: [], notices })
    } catch (error) {
      log.warn({ err: error, gatewayId, notice }, 'the gateway, which is not here, is not told')
    }
  }

/** Takes up the jobs that are due; where others share the store, turns are this life's alone. */
function openJobs(node: Node, parts: Omit<JobsOptions, 'holder' | 'isShared' | 'defer'>): Jobs {
  const isShared = node.signals !== null
  const holder = isShared ? `node ${node.node}, life ${node.cluster.epoch}` : `node ${node.node}`
  const jobs = new Jobs({ ...parts, holder, isShared, defer })
  jobs.start()
  return jobs
}

/** Counts, and makes the stream look as soon as something is on record. */
const observing = (metrics: Metrics, changes: Stream): Observer => ({
  batch: (inputs, durationMs) => {
    metrics.batch(inputs, durationMs)
    changes.stir()
  },
  transition: event => metrics.transition(event),
  published: () => metrics.published(),
  reply: outcome => metrics.reply(outcome),
})

async function applyFleet(config: ServeConfig, log: Logger, fleet: Fleet, clock: Clock, isNew: boolean): Promise<void> {
  const aheadMs = clock.now() - clock.wall()
  if (aheadMs > ID_AHEAD_MAX_MS)
    log.warn({ aheadMs }, "the machine's clock is behind the last commit: commands are dated from that commit on")
  if (config.fleetFile !== null) {
    const read = await loadFleetFile(config.fleetFile)
    if (!read.ok) throw new FleetFileWrong(read.problems.join('\n'))
    const applied = await fleet.apply(read.file, clock.now())
    log.info({ file: config.fleetFile, ...applied }, 'fleet applied')
  } else if (isNew) {
    const advice = 'name a fleet file with --fleet, such as examples/fleet.yaml'
    log.warn({}, `the store is new and there is nobody to serve: ${advice}`)
  }
}

/** Whether the store answers, and soon. */
const isThere = (store: Store): Promise<boolean> =>
  Promise.race([
    store.ping().then(
      () => true,
      () => false,
    ),
    pause(STORE_LOOK_MS).then(() => false),
  ])
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
/** Resolves when this is done, however it ends, or has had its time. */
const within = (work: Promise<unknown>, ms: number): Promise<void> =>
  new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    const end = (): void => {
      clearTimeout(timer)
      resolve()
    }
    work.then(end, end)
  })

interface Running {
  readonly app: FastifyInstance
  readonly engine: Engine
  readonly changes: Stream
  readonly jobs: Jobs
  readonly mqtt: MqttListener
  readonly intake: Intake | null
  readonly codecs: Codecs
  readonly node: Node
  readonly store: Store
  readonly log: Logger
  readonly leaving: { isLeaving: boolean }
}

async function stopAll(running: Running): Promise<void> {
  const { app, engine, changes, jobs, mqtt, intake, codecs, node, store, log, leaving } = running
  log.info({}, 'stopping')
  // Where there are others to take over, whoever sends calls here is given the time to notice: this node is not ready, and closes what it has answered.
  const leaveMs = node.signals !== null && engine.mayPublish() ? NODE_LEAVE_MS : 0
  leaving.isLeaving = leaveMs > 0
  if (leaveMs > 0) await pause(leaveMs)
  // Callers who wait are told at once, so that closing the HTTP server does not wait for their devices.
  // But for jobs: the instant commands that they are making can be sent only as long as the engine sends, and devices are here.
  const jobsDone = jobs.stop()
  const quiet = within(jobsDone, JOBS_STOP_MS)
  const rest = quiet.then(() => Promise.all([engine.stop(), mqtt.stop(), changes.stop()]))
  const closed = Promise.all([app.close(), jobsDone, rest])
  intake?.stop()
  let isDone = false
  const done = closed.then(() => {
    isDone = true
  })
  // A node that is cut off from its store can finish nothing that is open.
  const mustEndAt = performance.now() + STOP_GRACE_MS - leaveMs
  const mayEndAt = performance.now() + STOP_CUT_OFF_GRACE_MS
  const isTime = (now: number): boolean => now >= mustEndAt || (now >= mayEndAt && !engine.mayPublish())
  while (!isDone && !isTime(performance.now())) await Promise.race([done, pause(STORE_LOOK_MS)])
  // Whatever is still being done has had its time: a codec that takes long, a caller who does not read, a store that is away.
  if (!isDone && !(await isThere(store))) {
    store.giveUp()
    // Whoever waited for it is told, before his connection is closed.
    await Promise.race([closed, pause(STORE_LOOK_MS)])
  }
  app.server.closeAllConnections()
  await codecs.close()
  mqtt.drop()
  await closed
  await engine.idle()
  // Last of all that writes: from then on its devices are free for the others.
  await node.leave()
  await store.close()
  log.info({}, 'stopped')
}

/** All that came in this turn of the loop goes together. */
const defer = (run: () => void): void => void setImmediate(run)

/** A folder that cannot be read is a misspelt option: nothing starts. */
async function openCodecs({ codecsDir }: ServeConfig, log: Logger, clock: Clock & Timers): Promise<Codecs> {
  const codecs = new Codecs({ dir: codecsDir, clock, log })
  const products = await codecs.products()
  if (!products.ok) throw new CodecsFolderWrong(products.reason)
  if (products.value.length > 0) log.info({ products: products.value }, 'codecs found')
  return codecs
}

interface Parts {
  readonly store: Store
  readonly fleet: Fleet
  readonly clock: Clock & Timers
  readonly engine: Engine
  readonly changes: Stream
  readonly jobs: Jobs
  readonly metrics: Metrics
  readonly notify: Notify
  readonly devices: HttpDevices
  readonly intake: Intake | null
  readonly leaving: { readonly isLeaving: boolean }
  readonly routes: readonly AdminRoute[]
}

async function listenHttp(
  config: ServeConfig,
  log: Logger,
  parts: Parts,
): Promise<{ app: FastifyInstance; httpUrl: string }> {
  const { store, fleet } = parts
  const clockWindowMs = config.clockWindowMinutes * 60_000
  const tokens = new TokenService({ tokens: store, fleet, newToken, clockWindowMs })
  const { auth, maxInputBytes, iKnowThisIsOpen } = config
  const adminToken = config.adminToken?.reveal() ?? null
  const app = buildApp({ ...parts, log, tokens, auth, adminToken, maxInputBytes, openBeyondLoopback: iKnowThisIsOpen })
  await app.listen({ ...config.http })
  const address = app.server.address() as AddressInfo
  return { app, httpUrl: url('http', address.address, address.port) }
}

async function listenTls(config: ServeConfig, tls: TlsTexts | null, mqtt: MqttListener): Promise<string | null> {
  if (config.mqtts === null || tls === null) return null
  const at = await mqtt.listen(config.mqtts.host, config.mqtts.port, tls)
  return url('mqtts', at.host, at.port)
}

const url = (scheme: string, host: string, port: number): string =>
  `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
