// The server under trial: the built program as a process of its own, on free ports of this machine that it keeps when it is started again.
// Not here: what is asked of it (scenarios).

import { Client, type Credentials } from '../src/cli/client.ts'
import { Child } from './child.ts'

const START_WITHIN_MS = 20_000

export interface ServerPlan {
  /** the built program, `dist/main.js` */
  readonly program: string
  readonly fleetFile: string
  /** a folder of its own, for its database */
  readonly folder: string
  readonly auth: 'signature' | 'open'
}

export class Server {
  readonly #plan: ServerPlan
  #child: Child | null = null
  #http = '127.0.0.1:0'
  #mqtt = '127.0.0.1:0'

  constructor(plan: ServerPlan) {
    this.#plan = plan
  }

  get httpUrl(): string {
    return `http://${this.#http}`
  }

  /** as the vendor's SDKs spell it */
  get mqttUrl(): string {
    return `tcp://${this.#mqtt}`
  }

  get isUp(): boolean {
    return this.#child !== null && this.#child.end === null
  }

  get said(): string {
    return this.#child?.said ?? ''
  }

  /** Starts it and waits until it listens. Throws with what it said where it does not. */
  async start(): Promise<void> {
    const { program, fleetFile, folder, auth } = this.#plan
    const addresses = new Map<string, string>()
    let isListening: () => void
    const listening = new Promise<void>(resolve => {
      isListening = resolve
    })
    const options = { '--http': this.#http, '--mqtt': this.#mqtt, '--fleet': fleetFile, '--auth': auth }
    const child = new Child({
      command: process.execPath,
      args: [
        program,
        'serve',
        ...Object.entries(options).flat(),
        '--store',
        'sqlite:downlink.db',
        '--log-level',
        'warn',
      ],
      cwd: folder,
      onLine: line => {
        const [, name = '', address = ''] = /^listening (\w+) \w+:\/\/(\S+)$/.exec(line) ?? []
        addresses.set(name, address)
        if (addresses.has('http') && addresses.has('mqtt')) isListening()
      },
    })
    this.#child = child
    const late = setTimeout(() => child.kill(), START_WITHIN_MS)
    await Promise.race([listening, child.ended])
    clearTimeout(late)
    if (child.end !== null) throw new Error(`the server did not start (${child.end}): ${child.said}`)
    this.#http = addresses.get('http') ?? this.#http
    this.#mqtt = addresses.get('mqtt') ?? this.#mqtt
  }

  /** An orderly stop, and nothing else, counts as well. */
  async stop(): Promise<void> {
    const child = this.#child
    if (child === null) return
    this.#child = null
    const end = await child.stop('SIGTERM')
    if (end !== 'exit code 0') throw new Error(`the server did not stop well (${end}): ${child.said}`)
  }

  /** A caller of its HTTP API; unsigned without credentials. */
  client(credentials: Credentials | null): Client {
    return new Client(new URL(this.httpUrl), credentials)
  }
}
