// A peer: pg-boss on PostgreSQL in front of the broker. One queue of the policy `key_strict_fifo`, whose key is the device: pg-boss hands out a device's next
// job only when the one before is completed. What it has resolved is committed, and PostgreSQL answers a commit after the fsync of its log.
//
// Jobs are fetched and completed by hand, as `fetch` and `complete` are documented for, because a handler of `work` ends a batch as a whole, and one slow
// device would hold up all that were fetched with it. Who fetches knows when there is something to fetch, so nothing waits for a poll or a NOTIFY. Neither
// call can ask for the jobs of certain keys. So that the jobs of devices that are away stay where they are, each job is in the group of its device too, and
// the groups of those that are away are named to `fetch` as `ignoreGroups`. Two ways that lose: fetching and giving back (`fail`) makes a job one that is
// retried, and an absent device's jobs come again with each fetch; deferring what waits (`startAfter`) and calling it back with `update` writes every job
// twice more. A queue for each device would be fetched by name, and would not be the policy that is made for this.
//
// pg-boss asks for Node 22.12, which npm only warns of; all that is used here works on Node 20.19 as well.
// Not here: PostgreSQL and the broker (../contenders/pgboss.ts).

import { randomUUID } from 'node:crypto'
import type { Peer } from './front.ts'
import { Link } from './link.ts'

// What is used of the package, which is installed beside this file only where the peers are.

interface Data {
  readonly inputJson: string
  /** ms since 1970 */
  readonly expireAt: number
}

interface Job {
  readonly id: string
  readonly data: Data
  readonly groupId: string
}

interface Found {
  readonly data: Data
  readonly state: string
  readonly createdOn: Date
  readonly output: unknown
}

interface SendOptions {
  readonly id: string
  readonly singletonKey: string
  readonly group: { readonly id: string }
  readonly retentionSeconds: number
}

type JobInsert = SendOptions & { readonly data: Data }

interface PgBoss {
  on(event: 'error', listener: (error: Error) => void): void
  start(): Promise<unknown>
  stop(options: { readonly graceful: boolean }): Promise<void>
  createQueue(name: string, options: object): Promise<void>
  send(name: string, data: Data, options: SendOptions): Promise<string | null>
  insert(name: string, jobs: readonly JobInsert[], options: { readonly returnId: true }): Promise<string[] | null>
  fetch(name: string, options: { readonly batchSize: number; readonly ignoreGroups: readonly string[] }): Promise<Job[]>
  complete(name: string, ids: readonly string[], output: object): Promise<{ readonly affected: number }>
  findJobs(name: string, options: { readonly id: string }): Promise<Found[]>
  getDb(): {
    executeSql(text: string, values: readonly unknown[]): Promise<{ readonly rows: Record<string, unknown>[] }>
  }
}

interface Library {
  readonly PgBoss: new (options: { readonly connectionString: string }) => PgBoss
}

const [LIBRARY, QUEUE]: readonly [string, string] = ['pg-boss', 'commands']

/** A table of its own, as is documented for a large queue. A job whose process has died is given out again after a minute. */
const QUEUE_OPTIONS = { policy: 'key_strict_fifo', partition: true, expireInSeconds: 60 }

/** jobs in one fetch, each of another device, and in one insert */
const BATCH = 1_000

/** ms, however little there is to fetch: what pg-boss itself polls in where something wakes its workers (`notifyPollingIntervalSeconds`) */
const POLL_MS = 30_000

/** s for which an instant command may wait for its turn */
const INSTANT_S = 30

/**
 * `cancel` of pg-boss takes back active jobs as well, which their devices carry out all the same, and does not say which were. The documented table does: one
 * statement that changes what waits and nothing else, and names it. It costs PostgreSQL no more than `cancel`, and for all of a device much less, since with
 * pg-boss alone those have to be found first. (`deleteQueuedJobs` is for a whole queue, and leaves no record.)
 */
const CANCEL = `update pgboss.job set state = 'cancelled', completed_on = now()
  where name = $1 and singleton_key = $2 and state < 'active'`

/** Of devices, what a process before this one has left. */
const LEFT = `select singleton_key, count(*)::int as jobs from pgboss.job where name = $1 and state < 'completed' group by 1`

export interface PgBossOptions {
  readonly mqttUrl: string
  readonly databaseUrl: string
  /** Calls that come while a statement is under way are one `insert` after it; otherwise each is a `send`, as the documentation begins with. */
  readonly insertsTogether: boolean
}

export async function openPgBoss(options: PgBossOptions): Promise<Peer> {
  const { PgBoss }: Library = await import(LIBRARY)
  const boss = new PgBoss({ connectionString: options.databaseUrl })
  boss.on('error', error => {
    throw error
  })
  await boss.start()
  await boss.createQueue(QUEUE, QUEUE_OPTIONS)
  const commands = new Commands(boss, options.insertsTogether)
  await commands.open(new URL(options.mqttUrl))
  return commands
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

interface Settled {
  readonly id: string
  readonly outputJson: string
  /** null: the device has done it */
  readonly failed: Error | null
}

class Commands implements Peer {
  readonly #boss: PgBoss
  readonly #insertsTogether: boolean
  #link: Link | null = null
  /** jobs by device, never fewer than wait: of whom nothing waits need not be named to PostgreSQL */
  readonly #waiting = new Map<number, number>()
  /** callers of instant commands, by job */
  readonly #waiters = new Map<string, Waiter>()
  readonly #unsent: { readonly job: JobInsert; readonly sent: () => void }[] = []
  readonly #settled: Settled[] = []
  readonly #inserting = coalesced(() => this.#insert())
  readonly #fetching = coalesced(() => this.#fetch())
  readonly #completing = coalesced(() => this.#complete())
  readonly #polling = setInterval(() => this.#fetching.wake(), POLL_MS)

  constructor(boss: PgBoss, insertsTogether: boolean) {
    this.#boss = boss
    this.#insertsTogether = insertsTogether
  }

  async open(url: URL): Promise<void> {
    const { rows } = await this.#boss.getDb().executeSql(LEFT, [QUEUE])
    for (const { singleton_key, jobs } of rows) this.#count(Number(singleton_key), Number(jobs))
    this.#link = await Link.open(url, () => this.#fetching.wake())
    // For those of whom the broker has told meanwhile.
    this.#fetching.wake()
  }

  async set(device: number, inputJson: string, pendingTtlS: number): Promise<string> {
    const isInstant = pendingTtlS === 0
    if (isInstant && !this.#isThere(device)) throw new Error(`device ${device} is not there`)
    const id = nextId()
    const key = String(device)
    const retentionSeconds = isInstant ? INSTANT_S : pendingTtlS
    // Before it can be fetched: of a device that is away without anything that waits, a job would be fetched. Where it fails, one fetch is for nothing.
    this.#count(device, 1)
    const answered = isInstant ? this.#answer(id) : undefined
    const data = { inputJson, expireAt: Date.now() + retentionSeconds * 1_000 }
    const sent = this.#send({ id, data, singletonKey: key, group: { id: key }, retentionSeconds })
    await Promise.all([sent.then(() => this.#fetching.wake()), answered])
    return id
  }

  async cancel(device: number, commandId: string | null): Promise<string[]> {
    const about = [QUEUE, String(device)]
    const [text, values] =
      commandId === null
        ? [`${CANCEL} returning id`, about]
        : [`${CANCEL} and id = $3 returning id`, [...about, commandId]]
    const { rows } = await this.#boss.getDb().executeSql(text, values)
    const ids = rows.map(({ id }) => String(id))
    if (ids.length === 0) return ids
    this.#count(device, -ids.length)
    for (const id of ids) this.#told(id)?.reject(new Error(`${id} was cancelled`))
    // A fetch passes over what is locked at that moment, and the key with it.
    this.#fetching.wake()
    return ids
  }

  async get(_device: number, commandId: string): Promise<string | null> {
    const [job] = await this.#boss.findJobs(QUEUE, { id: commandId })
    if (job === undefined) return null
    const { state, createdOn, data, output } = job
    return JSON.stringify({ commandId, state, createTime: createdOn.getTime(), ...data, output })
  }

  async close(): Promise<void> {
    clearInterval(this.#polling)
    await this.#link?.close()
    await Promise.all([this.#inserting, this.#fetching, this.#completing].map(work => work.stop()))
    await this.#boss.stop({ graceful: false })
  }

  #isThere(device: number): boolean {
    return this.#link?.isThere(device) ?? false
  }

  #count(device: number, more: number): void {
    const jobs = (this.#waiting.get(device) ?? 0) + more
    if (jobs > 0) this.#waiting.set(device, jobs)
    else this.#waiting.delete(device)
  }

  #answer(id: string): Promise<void> {
    return new Promise((resolve, reject) => this.#waiters.set(id, { resolve, reject }))
  }

  #told(id: string): Waiter | undefined {
    const waiter = this.#waiters.get(id)
    this.#waiters.delete(id)
    return waiter
  }

  async #send({ data, ...options }: JobInsert): Promise<void> {
    if (this.#insertsTogether) {
      await new Promise<void>(sent => {
        this.#unsent.push({ job: { data, ...options }, sent })
        this.#inserting.wake()
      })
    } else if ((await this.#boss.send(QUEUE, data, options)) === null) throw new Error(`${options.id} was not created`)
  }

  async #insert(): Promise<void> {
    const together = this.#unsent.splice(0, BATCH)
    const jobs = together.map(({ job }) => job)
    const ids = await this.#boss.insert(QUEUE, jobs, { returnId: true })
    if (ids?.length !== jobs.length) throw new Error(`${ids?.length} of ${jobs.length} jobs were created`)
    for (const { sent } of together) sent()
    if (this.#unsent.length > 0) this.#inserting.wake()
  }

  /** Takes the next job of each device that is there and has none under way. */
  async #fetch(): Promise<void> {
    const away = [...this.#waiting.keys()].filter(device => !this.#isThere(device))
    if (away.length === this.#waiting.size) return
    const jobs = await this.#boss.fetch(QUEUE, { batchSize: BATCH, ignoreGroups: away.map(String) })
    for (const job of jobs) void this.#process(job)
    if (jobs.length === BATCH) this.#fetching.wake()
  }

  async #process({ id, data, groupId }: Job): Promise<void> {
    const device = Number(groupId)
    this.#count(device, -1)
    this.#settled.push({ id, ...(await this.#ask(device, id, data)) })
    this.#completing.wake()
  }

  async #ask(device: number, id: string, { inputJson, expireAt }: Data): Promise<Omit<Settled, 'id'>> {
    try {
      // What pg-boss has not deleted yet: it looks once a day.
      if (Date.now() >= expireAt) throw new Error('it has expired')
      if (this.#link === null) throw new Error('there is no broker yet')
      const answer = await this.#link.ask(device, id, inputJson)
      const failed = answer.code === 200 ? null : new Error(`device ${device} has answered ${answer.code}`)
      return { outputJson: JSON.stringify(answer), failed }
    } catch (error) {
      const failed = error as Error
      return { outputJson: JSON.stringify({ error: failed.message }), failed }
    }
  }

  /**
   * Records what devices have answered, whatever they have: a job that failed would hold up its device's next ones for ever. Those that are answered while
   * others are being recorded are recorded together, as many in one call as had the same answer, because `complete` takes many ids with one output.
   */
  async #complete(): Promise<void> {
    const alikes = new Map<string, Settled[]>()
    for (const settled of this.#settled.splice(0)) {
      const alike = alikes.get(settled.outputJson)
      if (alike === undefined) alikes.set(settled.outputJson, [settled])
      else alike.push(settled)
    }
    for (const [outputJson, alike] of alikes) {
      const ids = alike.map(({ id }) => id)
      const { affected } = await this.#boss.complete(QUEUE, ids, JSON.parse(outputJson))
      if (affected !== ids.length) throw new Error(`${ids.length - affected} of ${ids.length} jobs were not active`)
      for (const { id, failed } of alike)
        if (failed === null) this.#told(id)?.resolve()
        else this.#told(id)?.reject(failed)
      this.#fetching.wake()
    }
  }
}

let lastMs = 0
let inMs = 0

/**
 * A UUID that is above those before it (version 7). Jobs of one statement are created at one instant, and of those pg-boss takes the one with the least id
 * first: with random ones, two of a device could change places. Ids that rise also spare PostgreSQL's index, which is kind to pg-boss.
 */
function nextId(): string {
  const now = Date.now()
  // As many as have a place in one millisecond; the next one is taken ahead of its time.
  if (now > lastMs || ++inMs > 0xfff) [lastMs, inMs] = [Math.max(now, lastMs + 1), 0]
  const ms = lastMs.toString(16).padStart(12, '0')
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7${inMs.toString(16).padStart(3, '0')}-${randomUUID().slice(19)}`
}

/**
 * Does the work once at a time, and once more where it was asked for meanwhile, for all who have asked. `stop` resolves when it is at rest, and it stays so.
 * What fails in it is PostgreSQL or the program: the process ends.
 */
function coalesced(work: () => Promise<void>): { wake(): void; stop(): Promise<void> } {
  let isWanted = false
  let isStopped = false
  let working: Promise<void> | null = null
  const run = async (): Promise<void> => {
    while (isWanted && !isStopped) {
      isWanted = false
      await work()
    }
    working = null
  }
  return {
    wake: () => {
      isWanted = true
      working ??= run()
    },
    stop: async () => {
      isStopped = true
      await working
    },
  }
}
