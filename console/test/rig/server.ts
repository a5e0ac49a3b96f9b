// The built server as a process of its own, so that it can be killed and started again while somebody looks; a client of it; and real devices on the real mqtt
// client. `npm run build` must have been there; DOWNLINK_DIST names another folder than dist/.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Downlink } from '../../../packages/client/src/index.ts'
import { TestDevice } from '../../../test/rig/server.ts'
import { ADMIN, fleetFile, ORG, secretOf, type TestedDevice } from './fleet.ts'

const root = resolve(import.meta.dirname, '../../..')
const main = join(resolve(root, process.env.DOWNLINK_DIST ?? 'dist'), 'main.js')
export const ADMIN_TOKEN = 'the-token-of-the-administrator-of-these-tests'

export interface ServerOptions {
  readonly auth?: 'open' | 'signature'
  /** devices beyond the named ones */
  readonly more?: number
  /** the text of a fleet file, in the place of fleet.ts's */
  readonly fleet?: string
  /** more of `downlink serve` */
  readonly args?: readonly string[]
  /** Puts into the folder what the server is to find there when it begins for the first time, such as a store (downlink.db, secret.key). */
  readonly prepare?: (folder: string) => Promise<void>
}

export class TestServer {
  readonly #folder = mkdtempSync(join(tmpdir(), 'downlink-console-'))
  readonly #auth: 'open' | 'signature'
  readonly #args: readonly string[]
  readonly #devices = new Set<TestDevice>()
  #child: ChildProcess | null = null
  #urls = { http: '127.0.0.1:0', mqtt: '127.0.0.1:0' }

  private constructor({ auth = 'open', more = 0, fleet = fleetFile(more), args = [] }: ServerOptions) {
    this.#auth = auth
    this.#args = args
    writeFileSync(join(this.#folder, 'fleet.json'), fleet)
  }

  static async start(options: ServerOptions = {}): Promise<TestServer> {
    const server = new TestServer(options)
    await options.prepare?.(server.#folder)
    await server.begin()
    return server
  }

  get url(): string {
    return this.#urls.http
  }
  get mqttUrl(): string {
    return this.#urls.mqtt
  }

  /** The address of a page of the console: `/devices/oxWwM9i5`. */
  page(path = '/'): string {
    return `${this.url}/console${path}`
  }

  /** Starts the process, again on the ports that it had. */
  async begin(): Promise<void> {
    const address = (url: string) => url.replace(/^\w+:\/\//, '')
    const store = `sqlite:${join(this.#folder, 'downlink.db')}`
    const ports = ['--http', address(this.#urls.http), '--mqtt', address(this.#urls.mqtt)]
    const args = [
      'serve',
      '--fleet',
      join(this.#folder, 'fleet.json'),
      '--store',
      store,
      '--auth',
      this.#auth,
      ...ports,
    ]
    // A device is ready as soon as it has subscribed, so that no test waits for the grace that real ones get.
    const child = spawn(process.execPath, [main, ...args, '--log-level', 'error', ...this.#args], {
      cwd: this.#folder,
      env: { PATH: process.env.PATH ?? '', DOWNLINK_ADMIN_TOKEN: ADMIN_TOKEN },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    let said = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      said = (said + text).slice(-4_000)
    })
    const lines = createInterface({ input: child.stdout })
    const listening = new Promise<void>((resolve, reject) => {
      const found = new Map<string, string>()
      lines.on('line', line => {
        const [, name, url] = /^listening (\S+) (\S+)$/.exec(line) ?? []
        if (name !== undefined && url !== undefined) found.set(name, url)
        const [http, mqtt] = [found.get('http'), found.get('mqtt')]
        if (http === undefined || mqtt === undefined) return
        this.#urls = { http, mqtt }
        resolve()
      })
      child.once('exit', code => reject(new Error(`the server ended with ${code}: ${said}`)))
    })
    await listening
  }

  /** Ends the process: SIGKILL, as a crash would. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null) return
    child.kill(signal)
    await once(child, 'exit')
  }

  /** Does something with what the process keeps, while it is away. */
  async whileAway<T>(work: (folder: string) => Promise<T>): Promise<T> {
    await this.kill('SIGTERM')
    const done = await work(this.#folder)
    await this.begin()
    return done
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#devices].map(device => device.end()))
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** A client that may do everything, or as whoever is named. */
  client(application = ADMIN): Downlink {
    const proof = this.#auth === 'open' ? { open: true } : application
    return new Downlink({ server: this.url, orgId: ORG, ...proof })
  }

  /** A token of an operator, as `downlink console token` gets it. */
  async operatorToken(name: string, body: object = {}): Promise<string> {
    const response = await fetch(`${this.url}/v1/admin/organizations/${ORG}/operators/${name}/tokens`, {
      method: 'POST',
      headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    const { code, msg, data } = (await response.json()) as { code: number; msg: string; data: { token: string } }
    if (code !== 0) throw new Error(`no token: ${code} ${msg}`)
    return data.token
  }

  /**
   * Connects a device and subscribes to its commands, so that they come at once. It answers each with success unless `answer` says otherwise; undefined is no
   * answer. `answer` may be changed later (`device.answer = …`).
   */
  async connect(of: TestedDevice, answer?: TestDevice['answer']): Promise<TestDevice> {
    const device = new TestDevice(this.mqttUrl, of.deviceKey, {}, of.productKey, secretOf(of.deviceKey))
    this.#devices.add(device)
    if (answer !== undefined) device.answer = answer
    await device.connected()
    const sys = `/sys/${of.productKey}/${of.deviceKey}`
    await device.client.subscribeAsync([`${sys}/thing/service/measurepoint/set`, `${sys}/thing/service/+`], { qos: 1 })
    return device
  }
}
