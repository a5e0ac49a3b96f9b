// The form as a whole: which command, what was typed for each, when it is to go out, and the attempts at sending it. From all of that the order, or what is wrong
// and where. Pure. Not here: where it is kept and how it is sent (sending.ts), how it looks (the components).

import { DownlinkError, isFinal, type Sent } from '@downlink/client'
import { blankDraft, type Draft, type Drafts, isShapeOf, rootPath } from './drafts.ts'
import { contentOf, type Order, PENDING_TTL_MAX_S, placeOf, TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S } from './order.ts'
import { type Kind, keyOf, type Sendable } from './sendable.ts'
import { type Fault, type Faults, isIdentifier, readForm, readRaw, readWhole } from './values.ts'

export type Unit = 's' | 'min' | 'h'
export const UNIT_S: Readonly<Record<Unit, number>> = { s: 1, min: 60, h: 3_600 }
/** s for which a command is kept for its device, to choose from: until it is back in a moment, today, tomorrow, as long as may be */
export const WAITS_S = [600, 3_600, 86_400, 172_800] as const
export const WAIT_DEFAULT_S = 3_600

export interface Times {
  /** null: nobody has chosen, and it goes by whether the device is there */
  readonly isNow: boolean | null
  /** one of WAITS_S, or what is typed in `other` */
  readonly waitS: number | 'other'
  readonly other: { readonly text: string; readonly unit: Unit }
  readonly timeout: string
}

export interface Form {
  readonly choice: { readonly kind: Kind; readonly identifier: string } | null
  /** by keyOf: who looks at another command finds what they typed for the first again */
  readonly drafts: Readonly<Record<string, Drafts>>
  /** where there is no model */
  readonly raw: { readonly kind: Kind; readonly identifier: string; readonly json: string }
  readonly times: Times
  /** places of fields that were left: from then on their faults are shown */
  readonly touched: ReadonlySet<string>
  /** it was to be sent as it is: all faults are shown */
  readonly isChecked: boolean
  readonly attempt: Attempt | null
}

export const newForm: Form = {
  choice: null,
  drafts: {},
  raw: { kind: 'set', identifier: '', json: '' },
  times: { isNow: null, waitS: WAIT_DEFAULT_S, other: { text: '', unit: 'h' }, timeout: String(TIMEOUT_DEFAULT_S) },
  touched: new Set(),
  isChecked: false,
  attempt: null,
}

/** One order, however often it was repeated. */
export interface Attempt {
  readonly order: Order
  /** the Idempotency-Key of all of them */
  readonly key: string
  /** what it is about, as the model had it; null: there is none */
  readonly about: Sendable | null
  /** the form that it was made from */
  readonly form: Form
  /** ms since 1970, by the server's clock */
  readonly beganAt: number
  readonly outcome: Outcome
}
export type Outcome =
  | { readonly state: 'underWay' }
  | { readonly state: 'sent'; readonly sent: Sent }
  | { readonly state: 'failed'; readonly error: unknown }

/** Whether it may still come to something that nobody has been told: then only the same key makes a repeat safe. */
export function isUnknown({ outcome }: Attempt): boolean {
  if (outcome.state !== 'failed') return outcome.state === 'underWay'
  const { error } = outcome
  if (!(error instanceof DownlinkError)) return true
  return error.outcome === 'unknown' || (error.state !== null && !isFinal(error.state))
}

/** The key under which an order goes out: that of the last attempt, if it was the same order and its end is not known; else a new one. */
export const keyFor = (last: Attempt | null, order: Order, newKey: () => string): string =>
  last !== null && isUnknown(last) && contentOf(last.order) === contentOf(order) ? last.key : newKey()

/** Whether pressing the button asks for the outcome of the last attempt, rather than for another command. */
export const isRepeat = (last: Attempt | null, order: Order | null): boolean =>
  last !== null && last.outcome.state === 'failed' && order !== null && keyFor(last, order, () => '') === last.key

export interface FormFaults {
  readonly input: Faults
  readonly identifier: Fault | null
  readonly pendingTtl: Fault | null
  readonly timeout: Fault | null
}

export const isNowOf = ({ isNow }: Times, isOnline: boolean): boolean => isNow ?? isOnline

/** What the form asks for, or null and what is wrong with it. `about`: what is chosen; null: there is no model, and the raw form counts. */
export function read(
  form: Form,
  about: Sendable | null,
  isOnline: boolean,
  zone: string | undefined,
): { readonly order: Order | null; readonly faults: FormFaults } {
  const { raw, times } = form
  const { kind, identifier } = about ?? raw
  const { input, faults } =
    about === null ? readRaw(kind, raw.json) : readForm(about, draftsFor(form, about, zone), zone)
  const pendingTtl = isNowOf(times, isOnline) ? 0 : readWait(times)
  const timeout = readWhole(times.timeout, 1, TIMEOUT_MAX_S)
  const misnamed: Fault | null =
    identifier === '' ? { fault: 'required' } : isIdentifier(identifier) ? null : { fault: 'identifier' }
  const isFine = faults.size === 0 && misnamed === null
  return {
    order:
      isFine && typeof pendingTtl === 'number' && typeof timeout === 'number'
        ? { kind, identifier, input, pendingTtl, timeout }
        : null,
    faults: { input: faults, identifier: misnamed, pendingTtl: faultOf(pendingTtl), timeout: faultOf(timeout) },
  }
}

/** What stands in its fields: what was typed, or as they begin. A field that has become another with the model begins anew. */
export function draftsFor(form: Form, about: Sendable, zone: string | undefined): Drafts {
  const typed = form.drafts[keyOf(about)] ?? {}
  const drafts = about.fields.map((field): [string, Draft] => {
    const draft = typed[field.identifier]
    const isFit = draft !== undefined && isShapeOf(field.definition, draft)
    return [field.identifier, isFit ? draft : blankDraft(field, zone)]
  })
  return Object.fromEntries(drafts)
}

const faultOf = (read: number | Fault): Fault | null => (typeof read === 'number' ? null : read)

/** s */
export function readWait({ waitS, other }: Times): number | Fault {
  if (waitS !== 'other') return waitS
  const unitS = UNIT_S[other.unit]
  const read = readWhole(other.text, 1, PENDING_TTL_MAX_S / unitS)
  return typeof read === 'number' ? read * unitS : read
}

/** What the server has against a field, while that is as it was sent. */
export interface Refusal {
  readonly about: 'input' | 'identifier' | 'pendingTtl' | 'timeout'
  /** of an input */
  readonly path: string
  /** in the server's words */
  readonly said: string
}

/** The last refusal, if it names a field of the form; `paths`: where its fields are. */
export function refusalOf({ attempt }: Form, paths: readonly string[]): Refusal | null {
  if (attempt === null || attempt.outcome.state !== 'failed') return null
  const { error } = attempt.outcome
  // What the device answers is not about a field, whatever its code.
  if (!(error instanceof DownlinkError) || error.answer === null || error.deviceCode !== null) return null
  const place = placeOf(error.answer.msg, paths)
  return place === null ? null : { path: '', ...place }
}

/** Whether what it is about has not been changed since. */
export function isAsSent(form: Form, { about, path }: Refusal): boolean {
  const { attempt } = form
  if (attempt === null) return false
  const then = attempt.form
  if (about === 'timeout') return form.times.timeout === then.times.timeout
  if (about === 'pendingTtl') return form.times === then.times
  if (attempt.about === null) return about === 'input' ? form.raw.json === then.raw.json : sameRaw(form, then)
  const key = keyOf(attempt.about)
  const field = attempt.about.fields.find(({ identifier }) => isWithin(path, rootPath(attempt.order.kind, identifier)))
  const { identifier = '' } = field ?? {}
  return form.drafts[key]?.[identifier] === then.drafts[key]?.[identifier]
}

const sameRaw = ({ raw }: Form, then: Form): boolean =>
  raw.kind === then.raw.kind && raw.identifier === then.raw.identifier

const isWithin = (path: string, root: string): boolean =>
  root === '' || path === root || path.startsWith(`${root}.`) || path.startsWith(`${root}[`)
