// What the runner and the things that are fuzzed agree on.

import type { Random } from './random.ts'

/** One property does not hold; the message says which and what was seen instead. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

export function check(holds: unknown, what: () => string): asserts holds {
  if (!holds) throw new Violation(what())
}

/** What is fuzzed. Inputs are JSON, so that one can be printed, kept and run again. */
export interface Target<Input> {
  readonly name: string
  /** share of all inputs, in percent */
  readonly share: number
  /** ms of processor time that one input may take */
  readonly boundMs: number
  /** The same input for the same chance: it must not depend on what ran before. */
  generate(random: Random): Input
  /** Everything that inputs act on, new and empty. */
  open(): Promise<Block<Input>>
}

/** A stretch of inputs that act on the same things. */
export interface Block<Input> {
  /** Rejects where a property does not hold. */
  run(input: Input): Promise<void> | void
  /** Checks what can only be seen at the end, and takes everything down. */
  close(): Promise<void>
}

/** Fails if the promise does not settle in time: whoever waits is told what for. */
export async function within<T>(promise: Promise<T>, ms: number, what: () => string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Violation(`nothing after ${ms} ms: ${what()}`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
