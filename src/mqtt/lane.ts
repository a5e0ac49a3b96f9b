// One member as its session sees it, and a command for it that is sent as far as the engine knows and not written yet.
// Not here: when it is written (session.ts).

import type { Downlink } from '../core/command.ts'
import type { Coverage } from './filters.ts'
import type { Member } from './step.ts'

/** One member as the session sees it. */
export interface Lane extends Member {
  readonly startedAt: number
  readonly coverage: Coverage
  /** it listens; once true, it stays so */
  listens: boolean
  /** the engine was told that it is ready, and nothing but a full window has spoilt that since */
  told: boolean
  /** how many packets had come when the last command was written to it; -1 before the first */
  sentAfter: number
}

/** A command that is sent as far as the engine knows, and that its codec is at work on. Not a byte of it has left. */
export interface Encoding {
  readonly downlink: Downlink
  /** it is given back then */
  readonly until: number
}

/** A command that is sent as far as the engine knows, and waits for room in the window. Not a byte of it has left. */
export interface Held {
  readonly lane: Lane
  readonly downlink: Downlink
  readonly topic: string
  readonly payload: Buffer
  /** it is given back then */
  readonly until: number
}

/**
 * How long a command may wait inside for room or its codec: half of the time that it has left, so that a device has a fair part of it to answer in, and
 * so that it is given back well before its deadline would call it timed out.
 */
export const until = ({ notAfter }: Downlink, now: number): number => now + (notAfter - now) / 2
