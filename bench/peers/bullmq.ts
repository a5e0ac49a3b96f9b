// A peer: BullMQ on Redis in front of the broker. One queue for each device, because only BullMQ Pro has groups; its jobs are processed by hand, one after the
// other, as https://docs.bullmq.io/patterns/manually-fetching-jobs has it. Redis answers after the fsync of its log (`appendfsync always`), so what BullMQ
// has resolved survives a crash. It is kinder to BullMQ than service would be: no check for stalled jobs, no expiry of what waits for long.
// Not here: Redis and the broker (../contenders/bullmq.ts).

import type { Peer } from './front.ts'
import { Link } from './link.ts'

// What is used of the packages, which are installed beside this file only where the peers are.

interface Job {
  readonly id: string
  readonly data: { readonly inputJson: string; readonly pendingTtlS: number }
  readonly timestamp: number
  readonly processedOn?: number
  readonly finishedOn?: number
  readonly failedReason?: string
  readonly returnvalue: unknown
  moveToCompleted(value: unknown, token: string, fetchNext: boolean): Promise<NextJob>
  moveToFailed(error: Error, token: string, fetchNext: boolean): Promise<NextJob>
}

/** Job and id of the one that was taken with it; nothing where none waited. */
type NextJob = readonly [data?: unknown, id?: string] | undefined

interface Queue {
  add(name: string, data: Job['data']): Promise<Job>
  getJob(id: string): Promise<Job | undefined>
  getJobState(id: string): Promise<string>
  /** 1: it is gone; 0: it is being processed */
  remove(id: string): Promise<number>
  clean(graceMs: number, limit: number, state: 'wait'): Promise<string[]>
}

interface Worker {
  getNextJob(token: string, options: { readonly block: boolean }): Promise<Job | undefined>
}

interface BullMq {
  readonly Queue: new (name: string, options: { readonly connection: object }) => Queue
  readonly Worker: new (
    name: string,
    process: null,
    options: { readonly connection: object },
    backend: unknown,
  ) => Worker
  readonly Job: { fromJSON(worker: Worker, data: unknown, id: string | undefined): Job }
  createRedisBackend(name: string, options: object): unknown
}

interface IoRedis {
  readonly Redis: new (options: object) => { disconnect(): void }
}

const [BULLMQ, IOREDIS]: readonly [string, string] = ['bullmq', 'ioredis']
const TOKEN = 'front'
/** removes all that wait: so many at a time, until there are none */
const ALL = 0

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export async function openBullMq(options: { readonly mqttUrl: string; readonly redisPort: number }): Promise<Peer> {
  const bullmq: BullMq = await import(BULLMQ)
  const { Redis }: IoRedis = await import(IOREDIS)
  const redis = new Redis({ host: '127.0.0.1', port: options.redisPort, maxRetriesPerRequest: null })
  const devices = new Map<number, Device>()
  const deviceOf = (number: number): Device => {
    const known = devices.get(number) ?? new Device(number, bullmq, redis, () => link)
    devices.set(number, known)
    return known
  }
  const link = await Link.open(new URL(options.mqttUrl), number => deviceOf(number).wake())
  return {
    set: (device, inputJson, pendingTtlS) => deviceOf(device).set(inputJson, pendingTtlS),
    cancel: (device, commandId) => deviceOf(device).cancel(commandId),
    get: (device, commandId) => deviceOf(device).get(commandId),
    close: async () => {
      await link.close()
      redis.disconnect()
    },
  }
}

/** A device's queue, and who works on it. */
class Device {
  readonly #queue: Queue
  readonly #worker: Worker
  readonly #number: number
  readonly #next: (job: NextJob) => Job | undefined
  readonly #link: () => Link
  /** callers of instant commands, by job */
  readonly #waiters = new Map<string, Waiter>()
  #isBusy = false
  #isWanted = false

  constructor(
    number: number,
    { Queue, Worker, Job, createRedisBackend }: BullMq,
    connection: object,
    link: () => Link,
  ) {
    this.#number = number
    this.#link = link
    const name = `device-${number}`
    this.#queue = new Queue(name, { connection })
    // A worker has a connection of its own to block on, which thousands of workers that never block have no use for: its backend is made without.
    const backend = (named: string, options: object): unknown => createRedisBackend(named, options)
    const worker = new Worker(name, null, { connection }, backend)
    this.#worker = worker
    this.#next = taken => (taken?.[0] ? Job.fromJSON(worker, taken[0], taken[1]) : undefined)
  }

  async set(inputJson: string, pendingTtlS: number): Promise<string> {
    if (pendingTtlS === 0 && !this.#link().isThere(this.#number)) throw new Error(`device ${this.#number} is not there`)
    const { id } = await this.#queue.add('set', { inputJson, pendingTtlS })
    // Redis answers in order, so nothing has become of it yet.
    const answered =
      pendingTtlS > 0 ? undefined : new Promise<void>((resolve, reject) => this.#waiters.set(id, { resolve, reject }))
    this.wake()
    await answered
    return id
  }

  /**
   * All: one script in Redis takes what waits out of the list and says what it was. One: whether it waits is asked first, because BullMQ removes also what is
   * done. Nothing that is taken in between can be done before the removal is sent, because all goes over one connection in order, and of what is being
   * processed it removes nothing. With several such processes this would be a race.
   */
  async cancel(commandId: string | null): Promise<string[]> {
    // The newest come first in its list.
    if (commandId === null) return this.#cancelled((await this.#queue.clean(0, ALL, 'wait')).reverse())
    if ((await this.#queue.getJobState(commandId)) !== 'waiting') return []
    return (await this.#queue.remove(commandId)) === 1 ? this.#cancelled([commandId]) : []
  }

  #cancelled(ids: string[]): string[] {
    for (const id of ids) this.#told(id)?.reject(new Error(`${id} was cancelled`))
    return ids
  }

  /** What BullMQ keeps of it, which is nothing where it was cancelled. */
  async get(commandId: string): Promise<string | null> {
    const job = await this.#queue.getJob(commandId)
    if (job === undefined) return null
    const { data, timestamp, processedOn, finishedOn, failedReason, returnvalue } = job
    const done = failedReason === undefined ? 'completed' : 'failed'
    const state = finishedOn !== undefined ? done : processedOn !== undefined ? 'active' : 'waiting'
    return JSON.stringify({ commandId, state, createTime: timestamp, ...data, outputData: returnvalue ?? null })
  }

  /** Sends what waits, if the device is there; what the queue gets meanwhile is seen. */
  wake(): void {
    this.#isWanted = true
    if (this.#isBusy) return
    this.#isBusy = true
    // What fails here is Redis or the program: the process ends.
    void this.#work().finally(() => {
      this.#isBusy = false
    })
  }

  async #work(): Promise<void> {
    while (this.#isWanted && this.#isThere()) {
      this.#isWanted = false
      for (let job = await this.#worker.getNextJob(TOKEN, { block: false }); job !== undefined; ) {
        job = await this.#process(job)
      }
    }
  }

  /** That it was taken is on the disk before it is sent, and what became of it, together with the taking of the next, before its caller is told. */
  async #process(job: Job): Promise<Job | undefined> {
    let failed: Error | null = null
    let outputs: unknown = null
    try {
      const { code, data } = await this.#link().ask(this.#number, job.id, job.data.inputJson)
      if (code !== 200) failed = new Error(`device ${this.#number} has answered ${code}`)
      outputs = data
    } catch (error) {
      failed = error as Error
    }
    const isThere = this.#isThere()
    const next = await (failed === null
      ? job.moveToCompleted(outputs, TOKEN, isThere)
      : job.moveToFailed(failed, TOKEN, isThere))
    const waiter = this.#told(job.id)
    if (failed === null) waiter?.resolve()
    else waiter?.reject(failed)
    return this.#next(next)
  }

  #told(id: string): Waiter | undefined {
    const waiter = this.#waiters.get(id)
    this.#waiters.delete(id)
    return waiter
  }

  #isThere(): boolean {
    return this.#link().isThere(this.#number)
  }
}
