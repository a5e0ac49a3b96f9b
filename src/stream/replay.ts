// Dead letters sent again, because somebody asked for it. One call does as much as its caller can wait for. Not here: how there come to be any (delivery.ts).

import { randomUUID } from 'node:crypto'
import { REPLAY_MAX, REPLAY_MAX_MS, WEBHOOK_ANSWER_WAIT_MS, WEBHOOK_BATCH_MAX } from '../core/limits.ts'
import type { WebhookRow } from '../store/stream.ts'
import { isOfPurged } from './dead-letter.ts'
import type { DeliveryOptions } from './delivery.ts'
import { postOf } from './message.ts'

/** What came of sending dead letters again. */
export interface Replayed {
  /** so many were taken, and are no dead letters any more */
  readonly taken: number
  /** so many are left, also those of purged changes, which can only be deleted */
  readonly left: number
  /** why it ended before the last one; null: it did not, or has done as much as one call may */
  readonly error: string | null
}

/** Sends dead letters again, in order, up to the first that is not taken. Null: another call is at it. */
export async function replay(options: DeliveryOptions, row: WebhookRow): Promise<Replayed | null> {
  const { store } = options
  const { webhookId } = row
  const turn = `replay:${webhookId}`
  const holder = randomUUID()
  if (!(await store.takeTurn(turn, holder, REPLAY_MAX_MS + 2 * WEBHOOK_ANSWER_WAIT_MS))) return null
  try {
    const { taken, error } = await sendAgain(options, row)
    return { taken, left: await store.countDeadLetters(webhookId), error }
  } finally {
    await store.endTurn(turn, holder)
  }
}

async function sendAgain(options: DeliveryOptions, row: WebhookRow): Promise<Pick<Replayed, 'taken' | 'error'>> {
  const { store, poster, clock, observer } = options
  const { webhookId } = row
  const until = clock.now() + REPLAY_MAX_MS
  let taken = 0
  for (let after = 0; taken < REPLAY_MAX && clock.now() < until; ) {
    const letters = await store.deadLetters(webhookId, after, WEBHOOK_BATCH_MAX)
    const last = letters.at(-1)
    if (last === undefined) break
    after = last.position
    const events = letters.filter(letter => !isOfPurged(letter))
    if (events.length === 0) continue
    const texts = events.map(({ position, eventJson }) => ({ position, text: eventJson }))
    const answer = await poster.postAtOnce(postOf(options, row, texts, 'replay'), new AbortController().signal)
    observer.attempt(answer.outcome)
    if (answer.outcome !== 'taken') return { taken, error: answer.error }
    observer.told(events.length)
    taken += await store.removeDeadLetters(
      webhookId,
      events.map(({ position }) => position),
    )
  }
  return { taken, error: null }
}
