// Everything that goes on by itself: one runner in each process takes jobs and cancellations further, when something is due for them and it is their turn,
// and forgets those that ended long ago. What calls ask of them is done here too, in the same turns.
// Not here: the steps (job.ts, cancellation.ts, tasks.ts), what a call may ask (http/jobs.ts, http/cancellations.ts).

import type { Clock, Timers } from '../clock.ts'
import { errors, type Refusal, refuse } from '../core/errors.ts'
import {
  CANCELLATIONS_KEPT_MAX,
  CANCELLATIONS_OPEN_MAX,
  JOB_TURN_WAIT_MS,
  JOBS_DUE_MAX,
  JOBS_KEPT_MAX,
  JOBS_OPEN_MAX,
  JOBS_SWEEP_MS,
  NODE_ROUND_TRIP_MAX_MS,
  PURGE_EVERY_MS,
  PURGE_MAX_ROWS,
  RETRY_AFTER_MS,
} from '../core/limits.ts'
import type { CancellationRow, JobRow, TaskRow } from '../store/jobs.ts'
import { visitCancellation } from './cancellation.ts'
import { storedFilter } from './filter.ts'
import { cancelStrays, type JobStore, type Removal, remove, visitJob, type Workshop } from './job.ts'
import { busy, cancelTasks, retryTasks, type TaskAnswers } from './tasks.ts'
import { type Keep, Turns } from './turns.ts'

export interface JobsOptions extends Omit<Workshop, 'store' | 'rest' | 'isStopping' | 'strays'> {
  readonly store: JobStore
  readonly clock: Clock & Timers
  readonly retentionMs: number
  /** this process, or this life of it where several share the store: whose turns are its own */
  readonly holder: string
  /** other processes may make jobs, and leave some that they were working on */
  readonly isShared: boolean
  /** lets sockets and timers have their turn: setImmediate */
  readonly defer: (run: () => void) => void
}

const never = (): void => undefined

export class Jobs {
  readonly #options: JobsOptions
  readonly #shop: Workshop
  readonly #turns: Turns
  #isStarted = false
  #stopping = false
  #running: Promise<void> | null = null
  #again = false
  #disarm = never
  #disarmPurge = never
  #purging: Promise<void> = Promise.resolve()
  /** what is due and not to be looked at before an instant: somebody else has its turn, or something failed */
  readonly #notBefore = new Map<string, number>()

  constructor(options: JobsOptions) {
    this.#options = options
    const { store, engine, fleet, clock, log, defer } = options
    const rest = () => new Promise<void>(resolve => defer(resolve))
    const isStopping = () => this.#stopping
    this.#shop = { store, engine, fleet, clock, log, rest, isStopping, strays: new Map() }
    this.#turns = new Turns(options)
  }

  /** Takes up what the last process left. After the engine has started. */
  start(): void {
    this.#isStarted = true
    this.#armPurge()
    this.wake()
  }

  /**
   * Resolves when no step is in flight: within what one batch of the engine and two writes take. To be awaited before the engine stops and devices are let
   * go, since instant commands that are made meanwhile would fail. What is asked from then on is refused.
   */
  async stop(): Promise<void> {
    this.#stopping = true
    this.#disarm()
    this.#disarmPurge()
    await this.idle()
    await this.#purging
    await this.#lastStrays()
  }

  /** What cannot be taken back now, and of which nobody will know any more, is at least named. */
  async #lastStrays(): Promise<void> {
    const { strays } = this.#shop
    const left = () => ({ commandIds: [...strays.keys()] })
    try {
      await cancelStrays(this.#shop)
      if (strays.size > 0)
        this.#options.log.error(left(), 'attempts that came too late are not taken back: cancel them')
    } catch (error) {
      this.#options.log.error({ err: error, ...left() }, 'attempts that came too late are not taken back: cancel them')
    }
  }

  /** Resolves when nothing is being done. */
  async idle(): Promise<void> {
    while (this.#running !== null) await this.#running
  }

  /** Something may be due that was not before. */
  wake(): void {
    this.#again = true
    if (this.#running !== null || !this.#isStarted || this.#stopping) return
    this.#disarm()
    this.#running = this.#run().finally(() => {
      this.#running = null
      if (this.#again) this.wake()
    })
  }

  // --- what is due -----------------------------------------------------------------------------------------------

  async #run(): Promise<void> {
    const { clock, log } = this.#options
    while (this.#again && !this.#stopping) {
      this.#again = false
      await this.#shop.rest()
      try {
        await cancelStrays(this.#shop)
        while (!this.#stopping && (await this.#round())) await this.#shop.rest()
        await this.#arm()
      } catch (error) {
        log.warn({ err: error }, 'what is due for jobs cannot be read now, trying again')
        this.#armAt(clock.now() + RETRY_AFTER_MS)
      }
    }
  }

  /** One visit for each that is due. False: there was none. */
  async #round(): Promise<boolean> {
    const { store, clock } = this.#options
    const now = clock.now()
    for (const [name, at] of this.#notBefore) if (at <= now) this.#notBefore.delete(name)
    const jobs = await store.dueJobs(now, JOBS_DUE_MAX)
    const cancellations = await store.dueCancellations(now, JOBS_DUE_MAX)
    const due = [
      ...jobs.map(({ jobId }) => ({ name: jobTurn(jobId), visit: (keep: Keep) => visitJob(this.#shop, jobId, keep) })),
      ...cancellations.map(({ cancellationId: id }) => ({
        name: cancellationTurn(id),
        visit: (keep: Keep) => visitCancellation(this.#shop, id, keep),
      })),
    ].filter(({ name }) => !this.#notBefore.has(name))
    for (const { name, visit } of due) {
      if (this.#stopping) return false
      await this.#visit(name, visit)
    }
    return due.length > 0
  }

  async #visit(name: string, visit: (keep: Keep) => Promise<void>): Promise<void> {
    const { clock, log } = this.#options
    try {
      const held = await this.#turns.hold(name, 0, keep => visit(this.#whileGoing(keep)))
      if (held === null) this.#notBefore.set(name, clock.now() + RETRY_AFTER_MS)
    } catch (error) {
      log.warn({ err: error, name }, 'a step failed, trying again')
      this.#notBefore.set(name, clock.now() + RETRY_AFTER_MS)
    }
  }

  /** A step ends early where the process is about to end: what is due stays due, and the next one takes it up. */
  #whileGoing(keep: Keep): Keep {
    return async () => !this.#stopping && keep()
  }

  /** One timer, for the next instant at which something is due; where others make jobs too, it looks every few seconds as well. */
  async #arm(): Promise<void> {
    const { store, clock, isShared } = this.#options
    const next = await store.nextWorkAt()
    const now = clock.now()
    const instants = [...this.#notBefore.values()]
    if (next !== null && (next > now || instants.length === 0)) instants.push(next)
    if (isShared) instants.push(now + JOBS_SWEEP_MS)
    if (this.#shop.strays.size > 0) instants.push(now + RETRY_AFTER_MS)
    if (instants.length > 0) this.#armAt(Math.min(...instants))
  }

  #armAt(instant: number): void {
    this.#disarm()
    if (this.#stopping) return
    this.#disarm = this.#options.clock.at(instant, () => this.wake())
  }

  // --- what is old -----------------------------------------------------------------------------------------------

  #armPurge(): void {
    const { clock } = this.#options
    this.#disarmPurge = clock.at(clock.now() + PURGE_EVERY_MS, () => {
      this.#purging = this.#purge().then(() => {
        if (!this.#stopping) this.#armPurge()
      })
    })
  }

  async #purge(): Promise<void> {
    const { store, clock, retentionMs, log } = this.#options
    try {
      let purged = PURGE_MAX_ROWS
      while (purged === PURGE_MAX_ROWS && !this.#stopping) {
        purged = await store.purgeJobs(clock.now() - retentionMs, PURGE_MAX_ROWS)
        await this.#shop.rest()
      }
    } catch (error) {
      log.warn({ err: error }, 'old jobs cannot be purged now, trying again later')
    }
  }

  // --- what is asked ---------------------------------------------------------------------------------------------

  /** Puts a checked job on record, with its tasks where its devices are known, and begins it when it is due. Refused: there are too many. */
  async create(job: JobRow, tasks: readonly TaskRow[]): Promise<Refusal | null> {
    const { store } = this.#options
    const { open, all } = await store.countJobs(job.orgId)
    if (open >= JOBS_OPEN_MAX) return tooMany(`${JOBS_OPEN_MAX} jobs that have not ended`)
    if (all >= JOBS_KEPT_MAX) return tooMany(`${JOBS_KEPT_MAX} jobs on record`)
    await store.addJob(job, tasks)
    this.wake()
    return null
  }

  /**
   * Deletes a job: nothing of it is begun any more, what waits is cancelled, then it is gone. Where something is refused for now, or this takes long, the
   * rest is done later (`isGone` false). Null: there is no such job. `deny` says why this caller may not, or null; it is asked in the job's turn, when nobody
   * can open a task any more, and before anything is done.
   */
  async delete(
    jobId: string,
    by: string,
    deny: (job: JobRow) => Promise<Refusal | null> = async () => null,
  ): Promise<Removal | Refusal | null> {
    const { store, clock } = this.#options
    return this.#inTurn(jobId, async keep => {
      const job = await store.job(jobId)
      if (job === null || job.status === 'DELETED') return null
      const denial = await deny(job)
      if (denial !== null) return denial
      const to = { ...job, status: 'DELETED', nextAt: clock.now(), endedAt: null } as const
      if (!(await store.saveJob(jobId, job, to))) return busy
      return remove(this.#shop, to, by, keep)
    })
  }

  /** Null: there is no such job. */
  cancelTasks(jobId: string, taskNos: readonly number[], by: string): Promise<TaskAnswers | Refusal | null> {
    return this.#withJob(jobId, job => cancelTasks(this.#shop, job, taskNos, by))
  }

  /** Null: there is no such job. */
  retryTasks(jobId: string, taskNos: readonly number[]): Promise<TaskAnswers | Refusal | null> {
    return this.#withJob(jobId, job => retryTasks(this.#shop, job, taskNos))
  }

  #withJob<T>(jobId: string, work: (job: JobRow) => Promise<T>): Promise<T | Refusal | null> {
    return this.#inTurn(jobId, async () => {
      const job = await this.#options.store.job(jobId)
      return job === null || job.status === 'DELETED' ? null : work(job)
    })
  }

  async #inTurn<T>(jobId: string, work: (keep: Keep) => Promise<T>): Promise<T | Refusal> {
    if (this.#stopping) return busy
    const name = jobTurn(jobId)
    const held = await this.#turns.hold(name, JOB_TURN_WAIT_MS, keep => work(this.#whileGoing(keep)))
    // The runner may have found it busy.
    this.#notBefore.delete(name)
    this.wake()
    return held === null ? busy : held.done
  }

  /**
   * Commands that were accepted before `now` are dated up to this instant: those of other nodes by their own clocks, and whatever is accepted for the same
   * device later than those.
   */
  upTo(now: number): number {
    return now + (this.#options.isShared ? NODE_ROUND_TRIP_MAX_MS : 0)
  }

  /**
   * Puts a checked cancellation on record, and begins it. Refused: there are too many. Where nodes share the store this waits until no clock of any of them
   * is before the last instant that the cancellation is for, so that nothing that is sent after the answer is of it.
   */
  async createCancellation(row: CancellationRow): Promise<Refusal | null> {
    const { store, clock, isShared } = this.#options
    const { open, all } = await store.countCancellations(row.orgId)
    if (open >= CANCELLATIONS_OPEN_MAX) return tooMany(`${CANCELLATIONS_OPEN_MAX} cancellations that have not ended`)
    if (all >= CANCELLATIONS_KEPT_MAX) return tooMany(`${CANCELLATIONS_KEPT_MAX} cancellations on record`)
    await store.addCancellation(row)
    this.wake()
    const isPastAt = storedFilter(row.filterJson).createdBefore + NODE_ROUND_TRIP_MAX_MS
    if (isShared && clock.now() < isPastAt) await new Promise<void>(resolve => clock.at(isPastAt, resolve))
    return null
  }

  /** Nothing more is cancelled once the step in flight is over. False: it is not running (any more). */
  async stopCancellation(cancellationId: string): Promise<boolean> {
    const { store, clock } = this.#options
    const to = { status: 'stopping', nextAt: clock.now(), endedAt: null } as const
    const isStopped = await store.saveCancellation(cancellationId, 'running', to)
    this.wake()
    return isStopped
  }
}

const jobTurn = (jobId: string): string => `job:${jobId}`
const cancellationTurn = (cancellationId: string): string => `cancellation:${cancellationId}`

const tooMany = (what: string): Refusal =>
  refuse(errors.isOver, `the organization has ${what}, which is the most it may; nothing was stored`)
