// What there is on the screenshots: a server that has lived through the hour, with devices connected that answer, fail and are slow, people and programs who go
// on sending, and jobs and cancellations in every state. Not here: the hour (hour.ts), the pictures (../screenshots.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import { Downlink, State } from '../../packages/client/src/index.ts'
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
const TRAFFIC_MS = 4_000
/** ms that a device takes to answer, when nothing is wrong with it */
const ANSWER_MS = [60, 900] as const
/** ms that it takes on request, so that its command can be seen in flight; its timeout is a minute */
const LONG_MS = 50_000
/** ms between two looks whether something has happened */
const LOOK_MS = 50
const WAIT = { pendingTtl: 14_400, timeout: 60 }

/** Devices that have a part of their own, and no everyday traffic. */
export const parts = {
  /** has a command in flight, and some behind it */
  busy: byKey('nt-pump-01'),
  /** its commands have all been answered */
  done: byKey('nt-pump-02'),
  /** the same, and some of it is cancelled by filter */
  second: byKey('nt-pump-03'),
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
  /** the person at the console, and what she signs in with */
  readonly operator: Downlink
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
    this.operator = new Downlink({ server: server.url, orgId: ORG, operatorToken })
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
    await this.#pause()
    await this.server.stop()
  }

  /** The server crashes, and does not come back. */
  async goAway(): Promise<void> {
    await this.#pause()
    await this.server.kill()
  }

  async #pause(): Promise<void> {
    this.#stop.abort()
    await this.#traffic
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
  async fill(device: SceneDevice, orders: readonly Order[]): Promise<void> {
    this.#slow.set(device.deviceKey, LONG_MS)
    const senders = [this.admin, this.operator, this.admin, this.planner]
    for (const [n, order] of orders.entries())
      await send(senders[n % senders.length] ?? this.admin, device, order, WAIT)
    for (;;) {
      const { commands } = await this.admin.queue(device.assetId)
      if (commands.some(({ state }) => state === State.sent)) return
      await sleep(LOOK_MS)
    }
  }

  /** Ids of the jobs with that name. */
  async jobIds(name: string): Promise<readonly string[]> {
    const found: string[] = []
    for await (const job of this.admin.jobs.search()) if (job.name.defaultValue === name) found.push(job.jobId)
    return found
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
}

/** What is cut off because the scene is over is no mistake. */
const whileStopping = (signal: AbortSignal) => (error: unknown) => {
  if (!signal.aborted) throw error
}
