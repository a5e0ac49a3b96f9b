// The form as it was when an earlier command was sent, as far as the model still has it. Pure. Not here: finding the command (like.tsx).

import type { CommandRecord } from '@downlink/client'
import { draftsOf } from './drafts.ts'
import { type Form, type Times, UNIT_S, type Unit, WAIT_DEFAULT_S, WAITS_S } from './form.ts'
import { type Kind, keyOf, type Sendable } from './sendable.ts'

export interface Filled {
  readonly form: Form
  readonly kind: Kind
  /** false: the model has no such thing any more, and nothing is filled in but the times */
  readonly isKnown: boolean
  /** inputs of it that the model does not take any more */
  readonly leftOut: readonly string[]
}

/** `all`: what can be sent; null: there is no model. */
export function filledIn(
  form: Form,
  record: CommandRecord,
  all: readonly Sendable[] | null,
  zone: string | undefined,
): Filled {
  const { commandType, tslIdentifier: identifier, inputData, pendingTtl, timeout } = record
  const kind: Kind = commandType === 1 ? 'set' : 'invoke'
  const begun = { ...form, times: timesOf(pendingTtl, timeout), touched: new Set<string>(), isChecked: false }
  if (all === null) {
    const raw = { kind, identifier, json: JSON.stringify(inputData, null, 2) }
    return { form: { ...begun, raw }, kind, isKnown: true, leftOut: [] }
  }
  const thing = all.find(one => one.kind === kind && one.identifier === identifier)
  if (thing === undefined) return { form: begun, kind, isKnown: false, leftOut: [] }
  const { drafts, leftOut } = draftsOf(thing, inputData, zone)
  const choice = { kind, identifier }
  return {
    form: { ...begun, choice, drafts: { ...form.drafts, [keyOf(thing)]: drafts } },
    kind,
    isKnown: true,
    leftOut,
  }
}

function timesOf(pendingTtl: number, timeout: number): Times {
  const isPreset = WAITS_S.some(s => s === pendingTtl)
  const unit: Unit = (['h', 'min', 's'] as const).find(unit => pendingTtl % UNIT_S[unit] === 0) ?? 's'
  const isOther = pendingTtl > 0 && !isPreset
  return {
    isNow: pendingTtl === 0,
    waitS: isOther ? 'other' : pendingTtl === 0 ? WAIT_DEFAULT_S : pendingTtl,
    other: { text: isOther ? String(pendingTtl / UNIT_S[unit]) : '', unit },
    timeout: String(timeout),
  }
}
