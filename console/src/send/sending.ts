// Where forms are kept, and sending. A form lives as long as its session, one for each device: who looks at the queue while an answer is out comes back to what
// they typed, and to the answer. That is why it does not go through useDo, which ends with its component. Not here: what is in a form (form.ts).

import type { Downlink, Sent } from '@downlink/client'
import { type Signal, signal } from '@preact/signals'
import { serverNow } from '../clock.ts'
import { endsSession, type Session } from '../session.ts'
import { type Attempt, type Form, isUnknown, keyFor, newForm, type Outcome } from './form.ts'
import type { Order } from './order.ts'
import type { Sendable } from './sendable.ts'

/** forms of one session that are kept: what somebody works at in an hour */
const FORMS_MAX = 30

/** by client, since each session has one: what somebody typed is not shown to who signs in after them */
const kept = new WeakMap<Downlink, Map<string, Signal<Form>>>()

export function formOf(client: Downlink, assetId: string): Signal<Form> {
  const forms = kept.get(client) ?? new Map<string, Signal<Form>>()
  kept.set(client, forms)
  const form = forms.get(assetId) ?? signal(newForm)
  // The one that was looked at last stands last, and the first is forgotten.
  forms.delete(assetId)
  forms.set(assetId, form)
  const [oldest] = forms.keys()
  if (oldest !== undefined && forms.size > FORMS_MAX) forms.delete(oldest)
  return form
}

/** Sends it, unless something is on its way. Resolves with what became of it where it is done; null: not, and the form has why. */
export async function send(
  form: Signal<Form>,
  { client }: Session,
  assetId: string,
  order: Order,
  about: Sendable | null,
): Promise<Sent | null> {
  const last = form.value.attempt
  if (last?.outcome.state === 'underWay') return null
  const key = keyFor(last, order, newKey)
  // Whether it goes out now or waits was the device's to say, as long as nobody had chosen. From here on it stays as it was sent: a device that goes away while
  // the answer is out must not make another command of what only asks again.
  const { times } = form.value
  const sentAs = times.isNow === null ? { ...times, isNow: order.pendingTtl === 0 } : times
  // An attempt that remembers the one before it, and so on, would never be let go.
  const remembered: Attempt = {
    ...{ order, key, about, form: { ...form.value, attempt: null } },
    ...{ beganAt: serverNow(), outcome: { state: 'underWay' } },
  }
  const ended = (outcome: Outcome) => {
    const attempt = { ...remembered, outcome }
    const isChosen = isUnknown(attempt) || form.value.times !== sentAs
    form.value = { ...form.value, times: isChosen ? form.value.times : times, attempt }
  }
  form.value = { ...form.value, times: sentAs, attempt: remembered }
  const { kind, identifier, input, pendingTtl, timeout } = order
  const options = { pendingTtl, timeout, idempotencyKey: key }
  try {
    const sent =
      kind === 'set'
        ? await client.setMeasurepoint({ assetId }, identifier, input, options)
        : await client.invokeService({ assetId }, identifier, input as Record<string, unknown>, options)
    ended({ state: 'sent', sent })
    return sent
  } catch (error) {
    endsSession(error, client)
    ended({ state: 'failed', error })
    return null
  }
}

/** 128 random bits. Not randomUUID, which a page that came over plain http does not have. */
const newKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, '0')).join('')
