// What is sent to a webhook: events in one JSON text, a name for it, and what it is signed with. Not here: how it is sent (post.ts), and when (delivery.ts).

import { createHash } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { WebhookRow } from '../store/stream.ts'
import type { Post } from './post.ts'

/** The secret of a webhook in clear. */
export type SecretOf = (row: Pick<WebhookRow, 'webhookId' | 'secret'>) => string

/** Why something is sent, where it is not that it happened. */
export type Occasion = 'ping' | 'replay'

/** What is sent: the texts of events as they are told everywhere. */
export const batchBody = (webhookId: string, events: readonly string[], occasion: Occasion | null): string =>
  `{"webhookId":${JSON.stringify(webhookId)},${occasion === null ? '' : `"${occasion}":true,`}"events":[${events.join(',')}]}`

/** Of the same changes to the same webhook always the same, whoever sends them. */
export const deliveryId = (webhookId: string, first: number, last: number): string =>
  createHash('sha256')
    .update(JSON.stringify([webhookId, first, last]))
    .digest('hex')
    .slice(0, 32)

/** The whole POST of some changes, or of dead letters; of none, for a ping. */
export function postOf(
  { secretOf, realClock }: { readonly secretOf: SecretOf; readonly realClock: Clock },
  row: WebhookRow,
  events: readonly { readonly position: number; readonly text: string }[],
  occasion: Occasion | null = null,
): Post {
  const { webhookId, url } = row
  const texts = events.map(({ text }) => text)
  // Each ping is another one.
  const [first, last] = [events[0]?.position ?? 0, events.at(-1)?.position ?? realClock.now()]
  return {
    url,
    webhookId,
    delivery: deliveryId(webhookId, first, last),
    body: batchBody(webhookId, texts, occasion),
    secret: secretOf(row),
    timestampS: Math.floor(realClock.wall() / 1_000),
  }
}
