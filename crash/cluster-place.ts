// Where the cluster runs: PostgreSQL, a cable from it to each node, the nodes, the balancers in front of them, NATS where it is asked for, and the folder
// that holds their files. Not here: what strikes them (strikes.ts).

import { randomBytes } from 'node:crypto'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Balancer } from './balancer.ts'
import { Cable } from './cable.ts'
import type { Chance } from './chance.ts'
import { ClusterNode, type End, type NodeHooks } from './cluster-node.ts'
import { Fleet, type FleetSize } from './fleet.ts'
import { Nats } from './nats.ts'
import { type Ended, Server } from './place.ts'
import { Postgres } from './postgres.ts'

export interface ClusterOptions {
  /** the built program */
  readonly main: string
  readonly nodes: number
  readonly hasNats: boolean
  readonly fleet: FleetSize
  readonly chance: Chance
  readonly contradiction: (text: string) => void
  readonly signal: AbortSignal
}

/** ms that a supervisor waits before it starts a process again */
const REST_MS = { from: 200, to: 3_000 }
const SHORT_REST_MS = { from: 100, to: 300 }
/** ms after a trouble in which it may still be felt: retries, a lease that lapses, a start that failed and is tried again */
const FELT_MS = 8_000
/** What a node may say at the level of an error while it is struck. */
const SAID_IN_TROUBLE = [
  'the number of this node has gone over to another life',
  'batch refused',
  'sweep failed, trying again',
]
const PORT = /:(\d+)$/

export class ClusterPlace {
  readonly folder = mkdtempSync(join(tmpdir(), 'downlink-cluster-'))
  readonly fleet: Fleet
  readonly nodes: ClusterNode[] = []
  readonly trouble = new Trouble()
  /** supervisors wait no longer than they must */
  isHasty = false
  /** how lives ended */
  readonly ends: Record<End, number> = { killed: 0, stopped: 0, lost: 0, 'not started': 0, 'by itself': 0 }
  /** ms from the start of a process to its addresses */
  readonly startsMs: number[] = []
  readonly #options: ClusterOptions
  readonly #secretKey = randomBytes(32).toString('hex')
  readonly #undo: (() => Promise<void>)[] = []
  #postgres: Postgres | null = null
  #nats: Nats | null = null
  #http: Balancer | null = null
  #mqtt: Balancer | null = null
  #lives = 0

  private constructor(options: ClusterOptions) {
    this.#options = options
    this.fleet = new Fleet(options.fleet)
    writeFileSync(join(this.folder, 'fleet.json'), this.fleet.file())
  }

  /** Resolves when all nodes listen. */
  static async build(options: ClusterOptions): Promise<ClusterPlace> {
    const place = new ClusterPlace(options)
    try {
      await place.#build()
    } catch (error) {
      await place.close()
      throw error
    }
    return place
  }

  get httpUrl(): string {
    return `http://127.0.0.1:${this.#http?.port}`
  }

  get mqttUrl(): string {
    return `mqtt://127.0.0.1:${this.#mqtt?.port}`
  }

  get postgres(): Postgres {
    if (this.#postgres === null) throw new Error('PostgreSQL comes first')
    return this.#postgres
  }

  get nats(): Nats | null {
    return this.#nats
  }

  /** Names of the nodes that our ends of connections to the balancers went to. */
  nodeOfCall(port: number): string | null {
    return this.#http?.nodeOf(port) ?? null
  }
  nodeOfDevice(port: number): string | null {
    return this.#mqtt?.nodeOf(port) ?? null
  }

  /** For whoever looks at the files: when what was done, in the words and times of logs. */
  note(text: string): void {
    appendFileSync(join(this.folder, 'strikes.log'), `${new Date().toISOString()} ${text}\n`)
  }

  /** Ends everything and, unless they are to be looked at, removes the files. */
  async close(keep = false): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) await undo()
    if (!keep) rmSync(this.folder, { recursive: true, force: true })
  }

  async #build(): Promise<void> {
    const { nodes, hasNats, signal } = this.#options
    const postgres = await Postgres.start(this.folder)
    this.#undo.push(() => postgres.stop())
    this.#postgres = postgres
    if (hasNats) {
      const nats = await Nats.start()
      this.#undo.push(() => nats.stop())
      this.#nats = nats
    }
    this.#http = await this.#balancer()
    this.#mqtt = await this.#balancer()
    for (let n = 1; n <= nodes; n += 1) {
      signal.throwIfAborted()
      const cable = await Cable.lay(postgres.socket)
      this.#undo.push(() => cable.close())
      this.nodes.push(new ClusterNode(`n${n}`, cable, this.#hooks()))
    }
    // Before what they stand on is taken away.
    this.#undo.push(async () => void (await Promise.all(this.nodes.map(node => node.close()))))
    // All at once, on a database that has no schema yet.
    for (const node of this.nodes) node.begin()
    await abortable(Promise.all(this.nodes.map(node => node.up())), signal)
  }

  async #balancer(): Promise<Balancer> {
    const balancer = await Balancer.listen()
    this.#undo.push(() => balancer.close())
    return balancer
  }

  #hooks(): NodeHooks {
    return {
      launch: node => this.#launch(node),
      up: ({ name }, { httpUrl, mqttUrl, startedAt }) => {
        this.note(`${name} listens`)
        this.startsMs.push(performance.now() - startedAt)
        this.#http?.add(name, portOf(httpUrl))
        this.#mqtt?.add(name, portOf(mqttUrl))
      },
      over: (node, server, end, ended) => this.#over(node, server, end, ended),
      rest: () => this.#rest(),
    }
  }

  #launch(node: ClusterNode): Server {
    const store = ['--store', this.postgres.urlAt(node.cable.port), '--fleet', join(this.folder, 'fleet.json')]
    const nats = this.#nats === null ? [] : ['--signal', this.#nats.url]
    const quick = ['--ready-after', '50', '--log-level', 'info']
    const serve = ['serve', '--http', '0', '--mqtt', '0', ...store, ...nats, ...quick]
    return new Server([process.execPath, this.#options.main, ...serve], { DOWNLINK_SECRET_KEY: this.#secretKey })
  }

  /** It is no more. Where it was not ended by us, there must be a reason. */
  #over({ name }: ClusterNode, { startedAt, stderr }: Server, end: End, { code, signal }: Ended): void {
    this.#http?.remove(name)
    this.#mqtt?.remove(name)
    this.#lives += 1
    this.note(`${name} is over: ${end}, life ${this.#lives}`)
    writeFileSync(join(this.folder, `life-${this.#lives}-${name}.log`), stderr)
    this.ends[end] += 1
    const { contradiction } = this.#options
    for (const line of stderr.split('\n'))
      if (/"level":(50|60)/.test(line) && !SAID_IN_TROUBLE.some(said => line.includes(said)))
        contradiction(`${name} logged in life ${this.#lives}: ${line.slice(0, 1_000)}`)
    if (end === 'killed' || end === 'stopped') return
    const isExplained = end !== 'by itself' && code === 1 && this.trouble.isFelt(startedAt)
    if (!isExplained)
      contradiction(
        `${name} ended by itself with ${code ?? signal} (${end}) in life ${this.#lives}: ${stderr.slice(-1_000)}`,
      )
  }

  async #rest(): Promise<void> {
    const { chance, signal } = this.#options
    const { from, to } = this.isHasty ? SHORT_REST_MS : REST_MS
    try {
      await sleep(chance.whole(from, to), undefined, { signal })
    } catch (error) {
      // Called off: whoever did that closes this node too.
      if (!signal.aborted) throw error
    }
  }
}

/** Whether something is being done to the nodes or to what they stand on, or was a moment ago. */
export class Trouble {
  #active = 0
  #overAt = Number.NEGATIVE_INFINITY
  /** told when the first trouble begins, and when the last one is over */
  changed: (isCalm: boolean) => void = () => undefined

  begin(): void {
    this.#active += 1
    if (this.#active === 1) this.changed(false)
  }

  end(): void {
    this.#active -= 1
    this.#overAt = performance.now()
    if (this.#active === 0) this.changed(true)
  }

  /** There was some at this moment (ms), or there has been since. */
  isFelt(since: number): boolean {
    return this.#active > 0 || this.#overAt + FELT_MS > since
  }
}

const portOf = (url: string): number => Number(PORT.exec(url)?.[1] ?? 0)

/** What it resolves with, or the reason of the signal if that comes first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const off = () => reject(signal.reason)
    if (signal.aborted) off()
    signal.addEventListener('abort', off, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', off))
  })
}
