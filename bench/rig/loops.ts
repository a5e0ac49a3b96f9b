// Callers: a closed loop, in which each begins its next turn when the one before is over, and an open one, in which turns begin when they are due, whatever
// became of those before. The first finds how much there can be, the second how long one waits at a given rate. Not here: what a turn is (scenarios/).

import { setTimeout as sleep } from 'node:timers/promises'

export interface Load {
  /** each begins its next turn when the one before is over */
  readonly workers: number
  readonly warmUpMs: number
  readonly measuredMs: number
  /** up to so long, by chance, each waits before a turn, so that turns of different workers have nothing to do with each other */
  readonly thinkMs?: number
  /** Called as the measured time begins, and as it ends. */
  readonly mark?: (edge: 'begin' | 'end') => void
}

export interface Turns {
  /** turns that ended in the measured time */
  readonly turns: number
  readonly perSecond: number
  /** how long each of them took: in a closed loop from its own begin, in an open one from the moment that it was due */
  readonly latenciesMs: readonly number[]
}

/** A closed loop. Rejects with the first error of a turn, after the others have ended theirs. */
export async function closedLoop(load: Load, turn: (worker: number) => Promise<unknown>): Promise<Turns> {
  const latenciesMs: number[] = []
  let from = Number.POSITIVE_INFINITY
  let until = Number.POSITIVE_INFINITY
  const isOver = (): boolean => until !== Number.POSITIVE_INFINITY
  const run = async (worker: number): Promise<void> => {
    while (!isOver()) {
      if (load.thinkMs !== undefined) await sleep(Math.random() * load.thinkMs)
      const beganAt = performance.now()
      await turn(worker)
      const endedAt = performance.now()
      if (endedAt >= from && !isOver()) latenciesMs.push(endedAt - beganAt)
    }
  }
  const watch = async (): Promise<void> => {
    await sleep(load.warmUpMs)
    from = performance.now()
    load.mark?.('begin')
    await sleep(load.measuredMs)
    until = performance.now()
    load.mark?.('end')
  }
  const running = Array.from({ length: load.workers }, async (_, worker) => {
    try {
      await run(worker)
    } catch (error) {
      until = Math.min(until, performance.now())
      throw error
    }
  })
  const ends = await Promise.allSettled([...running, watch()])
  for (const end of ends) if (end.status === 'rejected') throw end.reason
  const turns = latenciesMs.length
  return { turns, perSecond: (turns * 1_000) / (until - from), latenciesMs }
}

/** For workers that must not meet: each has two numbers of its own, below twice as many as there are workers, and gets them in turn. */
export function twoEach(workers: number): (worker: number) => number {
  const turns = new Uint8Array(workers)
  return worker => {
    turns[worker]! ^= 1
    return worker * 2 + turns[worker]!
  }
}

export interface Rate {
  readonly perSecond: number
  readonly warmUpMs: number
  readonly measuredMs: number
  /** turns that may be under way at a time; beyond them the rate cannot be borne, and the loop rejects */
  readonly outstandingMax: number
  readonly mark?: (edge: 'begin' | 'end') => void
}

/** ms between two looks at what is due: timers are no finer */
const LOOK_MS = 1

/**
 * An open loop at an even rate. Latencies count from the instant at which a turn was due, so that a server that stops for a while is charged for all
 * who would have called meanwhile. Rejects with the first error of a turn, or where too many are under way.
 */
export async function openLoop(rate: Rate, turn: (number: number) => Promise<unknown>): Promise<Turns> {
  const latenciesMs: number[] = []
  const beganAt = performance.now()
  const from = beganAt + rate.warmUpMs
  const until = from + rate.measuredMs
  const gapMs = 1_000 / rate.perSecond
  const outstanding = new Set<Promise<void>>()
  const failed: unknown[] = []
  const marks: ['begin' | 'end', number][] = [
    ['begin', from],
    ['end', until],
  ]
  const run = async (number: number, dueAt: number): Promise<void> => {
    try {
      await turn(number)
    } catch (error) {
      failed.push(error)
    }
    if (dueAt >= from && dueAt < until) latenciesMs.push(performance.now() - dueAt)
  }
  for (let number = 0; ; ) {
    const now = performance.now()
    while (marks[0] !== undefined && now >= marks[0][1]) rate.mark?.(marks.shift()![0])
    if (failed.length > 0 || now >= until) break
    for (let dueAt = beganAt + number * gapMs; dueAt <= now; dueAt = beganAt + number * gapMs) {
      const one: Promise<void> = run(number, dueAt).finally(() => outstanding.delete(one))
      outstanding.add(one)
      number += 1
    }
    if (outstanding.size > rate.outstandingMax)
      failed.push(
        new Error(`${rate.perSecond} turns a second are more than can be borne: ${outstanding.size} are under way`),
      )
    await sleep(LOOK_MS)
  }
  await Promise.all(outstanding)
  if (failed.length > 0) throw failed[0]
  const turns = latenciesMs.length
  return { turns, perSecond: (turns * 1_000) / rate.measuredMs, latenciesMs }
}
