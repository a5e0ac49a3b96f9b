// How an answer that repeated calls get is kept in a row: the same in both databases. Not here: how long it is good, which the rules judge (core/queue.ts).

import type { KeptAnswer } from '../core/queue.ts'

export interface KeptColumns {
  readonly application: string
  readonly key: string
  readonly request_hash: string
  readonly answer: string
  readonly expire_at: number
}

type Answer = Pick<KeptAnswer, 'commandId' | 'refusedCode'>

/** The text of `answer`. */
export const answerJson = ({ commandId, refusedCode }: Answer): string => JSON.stringify({ commandId, refusedCode })

export function keptOf(row: KeptColumns): KeptAnswer {
  const { commandId, refusedCode } = JSON.parse(row.answer) as Answer
  const { application, key, request_hash: requestHash, expire_at: expireAt } = row
  return { application, key, requestHash, commandId, refusedCode, expireAt }
}

type Key = Pick<KeptAnswer, 'application' | 'key'>

const nameOf = ({ application, key }: Key): string => JSON.stringify([application, key])

/** Each key once, in the order in which they are first named; of two with the same the later one. */
export const distinctKeys = <K extends Key>(keys: readonly K[]): K[] => [
  ...new Map(keys.map(key => [nameOf(key), key])).values(),
]
