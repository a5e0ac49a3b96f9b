// What there is on the screenshots: a server that has lived through the hour, with devices connected that answer, fail and are slow, people and programs who go
// on sending, and jobs and cancellations in every state. Not here: the hour (hour.ts), the pictures (../screenshots.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import { Downlink, type JobOrder, type JobTarget } from '../../packages/client/src/index.ts'
import type { Received, TestDevice } from '../../test/rig/server.ts'
import { ORG } from '../test/rig/fleet.ts'
import { TestServer } from '../test/rig/server.ts'
import { Chance } from './chance.ts'
import { byKey, disabled, fleet, fleetFile, never, PLANNER, type SceneDevice } from './fleet.ts'
import { away, liveAnHour } from './hour.ts'
import { type Order, orderFor, send } from './orders.ts'

/** devices that log in at a time */
const LOG_IN = 8
/** ms between two commands of the everyday traffic */
const TRAFFIC_MS = 700
/** ms that a device takes to answer, when nothing is wrong with it */
const ANSWER_MS = [60, 900] as const
/** ms that it takes on request, so that its command can be seen in flight; its timeout is a minute */
const LONG_MS = 50_000
const WAIT = { pendingTtl: 14_400, timeout: 60 }

/** Devices that have a part of their own, and no everyday traffic. */
export const parts = {
  /** has a command in flight, and some behind it */
  busy: byKey('nt-pump-01'),
  /** its commands have all been answered */
  done: byKey('nt-pump-02'),
  /** is sent something by form */
  form: byKey('lab-pump-02'),
  /** is away, with the deepest queue */
  away: byKey('hs-pump-01'),
}
const mute = 'nt-ahu-05'
const failing = 'lab-ahu-03'

export class Scene {
  readonly server: TestServer
  readonly admin: Downlink
  readonly planner: Downlink
  readonly operatorToken: string
  readonly #chance = new Chance(7)
  readonly #stop = new AbortController()
  /** devices that take their time with each command, and for how long */
  readonly #slow = new Map<string, number>()
  #traffic: Promise<void> = Promise.resolve()

  private constructor(server: TestServer, operatorToken: string) {
    this.server = server
    this.admin = server.client()
    this.planner = new Downlink({ server: server.url, orgId: ORG, ...PLANNER })
    this.operatorToken = operatorToken
  }

  static async set(): Promise<Scene> {
    const fleet = fleetFile('all')
    const server = await TestServer.start({ auth: 'signature', fleet, prepare: liveAnHour })
    const scene = new Scene(server, await server.operatorToken('li.wei'))
    await scene.#connect()
    scene.#traffic = scene.#goOn()
    return scene
  }

  async strike(): Promise<void> {
    this.#stop.abort()
    await this.#traffic
    await this.server.stop()
  }

  async #connect(): Promise<void> {
    const isThere = ({ deviceKey }: SceneDevice) =>
      !away.has(deviceKey) && !never.has(deviceKey) && !disabled.has(deviceKey)
    const waiting = fleet.filter(isThere)
    const logIn = async () => {
      for (let device = waiting.pop(); device !== undefined; device = waiting.pop()) await this.#logIn(device)
    }
    await Promise.all(Array.from({ length: LOG_IN }, logIn))
  }

  async #logIn(device: SceneDevice): Promise<void> {
    const connected: TestDevice = await this.server.connect(device, received => {
      const reply = this.#replyOf(device, received)
      const [least, most] = ANSWER_MS
      const afterMs = this.#slow.get(device.deviceKey) ?? this.#chance.from(least, most)
      if (reply === undefined) return undefined
      const answer = () => connected.client.publish(`${received.topic}_reply`, JSON.stringify(reply), { qos: 1 })
      setTimeout(answer, afterMs).unref()
      return undefined
    })
  }

  #replyOf({ deviceKey }: SceneDevice, { topic, payload: { id, params } }: Received): object | undefined {
    if (deviceKey === mute) return undefined
    if (deviceKey === failing) return { id, code: 1203, message: 'damper motor: end position not reached', data: {} }
    const service = topic.split('/').at(-1)
    const { passes } = params as { passes?: number }
    if (service === 'calibrate') return { id, code: 200, data: { offset: -0.35, passes } }
    if (service === 'unlock') return { id, code: 200, data: { unlocked: true } }
    return { id, code: 200, data: service === 'set' ? {} : { ok: true } }
  }

  /** Until the end: what a day brings. */
  async #goOn(): Promise<void> {
    const { signal } = this.#stop
    const own = new Set(Object.values(parts).map(({ deviceKey }) => deviceKey))
    const others = fleet.filter(({ deviceKey }) => !own.has(deviceKey) && !away.has(deviceKey) && !never.has(deviceKey))
    while (!signal.aborted) {
      const device = this.#chance.of(others)
      const options = { pendingTtl: 900, timeout: 20, signal }
      const client = this.#chance.is(0.3) ? this.planner : this.admin
      await send(client, device, orderFor(device, this.#chance), options).catch(whileStopping(signal))
      await sleep(TRAFFIC_MS, undefined, { signal }).catch(whileStopping(signal))
    }
  }

  /** One command in flight for as long as a picture takes, and others behind it. */
  async fill({ deviceKey, assetId }: SceneDevice, behind: readonly Order[]): Promise<void> {
    const device = byKey(deviceKey)
    this.#slow.set(deviceKey, LONG_MS)
    const [first = { set: 'speed', value: 1_800 }, ...rest] = behind
    await send(this.admin, device, first, WAIT)
    for (const [n, order] of rest.entries()) await send(n % 3 === 1 ? this.planner : this.admin, device, order, WAIT)
    for (;;) {
      const { commands } = await this.admin.queue(assetId)
      if (commands.some(({ state }) => state === 4)) return
      await sleep(50)
    }
  }

  /** A command that waited behind another one for some seconds, and was then answered with outputs; its id. */
  async done(): Promise<string> {
    const device = parts.done
    this.#slow.set(device.deviceKey, 2_600)
    await send(this.planner, device, { set: 'mode', value: 2 }, WAIT)
    const order = { invoke: 'calibrate', inputs: { reference: 20.5, passes: 3 } }
    const { commandId } = await send(this.admin, device, order, WAIT)
    await this.admin.waitFor(commandId, { timeoutMs: 30_000 })
    return commandId
  }

  /** Jobs that are over, under way and to come; the id of the one under way. */
  async jobs(): Promise<string> {
    const ofKind = (kind: SceneDevice['kind'], site = ''): JobTarget => ({
      targetType: 'device_list',
      targetDevices: fleet
        .filter(device => device.kind === kind && device.deviceKey.startsWith(site))
        .map(({ assetId }) => ({ assetId })),
    })
    const jobs = this.planner.jobs
    await jobs.create(order('Limit charging at noon', '午间限制充电功率', ofKind('ev', 'st'), set('limit', 40)))
    await jobs.create(
      order('Reboot the depot', '重启停车场充电桩', ofKind('ev', 'dep'), invoke('reboot', { delay: 5 })),
    )
    const night = order('Night setback', '夜间回调', ofKind('ahu'), set('supply', 16.5), { ttl: 7_200 })
    const jobId = await jobs.create(night)
    await jobs.create(
      order(
        'Calibrate all pumps, Tuesday night',
        '周二夜间校准全部水泵',
        ofKind('pump'),
        invoke('calibrate', { reference: 20, passes: 3 }),
        {
          ttl: 3_600,
          triggerTs: (await this.admin.stats()).now.at + 36 * 3_600_000,
        },
      ),
    )
    return jobId
  }
}

const named = (en: string, zh: string) => ({ defaultValue: en, i18nValue: { en_US: en, zh_CN: zh } })
const set = (measurepointId: string, value: unknown): JobOrder['commandInfo'] => ({
  commandType: 'MEASUREPOINT_SET',
  setMeasurepointInfo: { measurepointId, value },
})
const invoke = (serviceId: string, inputData: Readonly<Record<string, unknown>>): JobOrder['commandInfo'] => ({
  commandType: 'SERVICE_INVOKE',
  serviceInvokeInfo: { serviceId, inputData },
})

function order(
  en: string,
  zh: string,
  targetScope: JobTarget,
  commandInfo: JobOrder['commandInfo'],
  { ttl = 60, triggerTs }: { readonly ttl?: number; readonly triggerTs?: number } = {},
): JobOrder {
  return {
    ...{ name: named(en, zh), desc: '', targetScope, commandInfo },
    schedulePolicy: {
      scheduleType: 'DISPOSABLE',
      ...(triggerTs === undefined ? {} : { disposableSchedulePolicy: { triggerTs } }),
    },
    timeoutPolicy: { inProgressTimeoutInSeconds: 20, ttlTimeoutInSeconds: ttl },
    retryPolicy: { enableRetry: true, retryIntervalInSeconds: 600, retryCount: 2 },
  }
}

/** What is cut off because the scene is over is no mistake. */
const whileStopping = (signal: AbortSignal) => (error: unknown) => {
  if (!signal.aborted) throw error
}
