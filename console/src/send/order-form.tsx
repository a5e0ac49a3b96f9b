// The form of one command: its fields, when it goes out, the request, the button, and what became of it. Faults are told at a field once it was left, and all of
// them when it is to be sent; then the first one has the focus. Not here: what is wrong (form.ts), what was chosen (send-command.tsx).

import type { DeviceLine } from '@downlink/client'
import type { Signal } from '@preact/signals'
import type { RefObject, VNode } from 'preact'
import { useEffect, useId, useMemo, useRef, useState } from 'preact/hooks'
import { Icon } from '../parts/icon.tsx'
import { useSession } from '../signed-in.tsx'
import { nameOf, number } from '../words.ts'
import { useAfterPress } from './after-press.ts'
import { type Draft, pathsOf, rootPath } from './drafts.ts'
import { FieldOf } from './field.tsx'
import { type Attempt, draftsFor, type Form, isAsSent, isNowOf, isRepeat, read, refusalOf } from './form.ts'
import type { Order } from './order.ts'
import { OutcomeOf } from './outcome.tsx'
import { Preview } from './preview.tsx'
import { IDENTIFIER, RawFields } from './raw-fields.tsx'
import { keyOf, type Sendable } from './sendable.ts'
import { send } from './sending.ts'
import type { Fault } from './values.ts'
import { When } from './when.tsx'
import { type FaultShown, FormContext, type WithinForm } from './within-form.ts'
import { faultText, waitText, words } from './words.ts'

export interface OrderFormProps {
  readonly device: DeviceLine
  readonly onSent: (commandId: string) => void
  readonly form: Signal<Form>
  /** null: there is no model */
  readonly about: Sendable | null
  readonly zone: string | undefined
  /** where it was filled in from */
  readonly filled: VNode | null
}

export const OrderForm = (props: OrderFormProps) => {
  const { device, onSent, form, about, filled } = props
  const session = useSession()
  const element = useRef<HTMLFormElement>(null)
  const shown = useShown(props)
  const { order, faulty, within, edit } = shown
  const focusFault = useFocusFault(element)
  const { attempt, times } = form.value
  const isBusy = attempt?.outcome.state === 'underWay'

  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    if (isBusy) return
    if (order === null) {
      form.value = { ...form.value, isChecked: true }
      return focusFault()
    }
    const sent = await send(form, session, device.assetId, order, about)
    if (sent === null) return focusFault()
    form.value = { ...form.value, touched: new Set(), isChecked: false }
    onSent(sent.commandId)
  }
  return (
    <form ref={element} class="send-form" onSubmit={submit} noValidate>
      {filled}
      <FormContext.Provider value={within}>
        {about === null ? (
          <RawFields raw={form.value.raw} onEdit={raw => edit({ raw })} />
        ) : (
          <ModelFields {...props} about={about} edit={edit} />
        )}
        <When
          times={times}
          status={device.status}
          faults={{ pendingTtl: within.faultAt(WAIT), timeout: within.faultAt(TIMEOUT) }}
          onEdit={times => edit({ times })}
          onTouch={field => within.touch(field === 'timeout' ? TIMEOUT : WAIT)}
        />
      </FormContext.Provider>
      <Preview order={order} assetId={device.assetId} />
      <footer class="send-end">
        <button type="submit" class="primary" disabled={isBusy}>
          <Icon name="send" size={16} />
          {buttonText(form.value, order, device.status === 'online')}
        </button>
        <span class="faint">{nameOf(device.deviceName) || device.deviceKey}</span>
        <span class="fault" role="status">
          {faulty > 0 && words().faulty(number(faulty), faulty === 1)}
        </span>
      </footer>
      {attempt !== null && !shown.isAtField && <Result attempt={attempt} timezone={device.timezone} />}
    </form>
  )
}

/** where times are, which are no inputs */
const WAIT = '#pendingTtl'
const TIMEOUT = '#timeout'

interface Shown {
  /** null: something is wrong */
  readonly order: Order | null
  /** fields with faults, once all are shown */
  readonly faulty: number
  readonly within: WithinForm
  /** the last refusal is about a field, and told there */
  readonly isAtField: boolean
  edit(change: Partial<Form>): void
}

/** The form as it is now: what it asks for, and what of it is wrong and shown to be. */
function useShown({ form, about, device, zone }: OrderFormProps): Shown {
  const id = useId()
  const afterPress = useAfterPress()
  const { value } = form
  const isOnline = device.status === 'online'
  const { order, faults } = useMemo(() => read(value, about, isOnline, zone), [value, about, isOnline, zone])
  const refusal = useMemo(
    () => refusalOf(value, about === null ? [''] : pathsOf(about, draftsFor(value, about, zone))),
    [value, about, zone],
  )
  const refusedAt = refusal === null ? null : placeOf(refusal.about, refusal.path)
  // With a model there is no field for which point or service it is.
  const isAtField = refusedAt !== null && (about === null || refusedAt !== IDENTIFIER)
  const faultOf = (path: string): Fault | null => {
    if (path === WAIT) return faults.pendingTtl
    if (path === TIMEOUT) return faults.timeout
    return path === IDENTIFIER ? faults.identifier : (faults.input.get(path) ?? null)
  }
  const faultAt = (path: string): FaultShown | null => {
    const fault = value.isChecked || value.touched.has(path) ? faultOf(path) : null
    if (fault !== null) return { text: faultText(fault), by: fault.fault === 'json' ? 'browser' : 'form' }
    const isRefused = refusal !== null && refusedAt === path && isAsSent(value, refusal)
    return isRefused ? { text: refusal.said, by: 'server' } : null
  }
  const others = [faults.pendingTtl, faults.timeout, about === null ? faults.identifier : null]
  const within: WithinForm = {
    idOf: path => `${id}-${path}`,
    faultAt,
    touch: path => afterPress(() => touch(form, path)),
    ...{ zone, timezone: device.timezone },
  }
  const edit = (change: Partial<Form>) => {
    // Who has begun to fill in the form is not to find it going out otherwise, because the device has come or gone meanwhile.
    const { times } = form.value
    form.value = { ...form.value, times: { ...times, isNow: isNowOf(times, isOnline) }, ...change }
  }
  const faulty = value.isChecked ? faults.input.size + others.filter(fault => fault !== null).length : 0
  return { order, faulty, within, isAtField, edit }
}

function touch(form: Signal<Form>, path: string): void {
  const { touched } = form.value
  if (!touched.has(path)) form.value = { ...form.value, touched: new Set([...touched, path]) }
}

const placeOf = (about: 'input' | 'identifier' | 'pendingTtl' | 'timeout', path: string): string =>
  ({ input: path, identifier: IDENTIFIER, pendingTtl: WAIT, timeout: TIMEOUT })[about]

const ModelFields = ({
  form,
  about,
  zone,
  edit,
}: OrderFormProps & { about: Sendable; edit: (change: Partial<Form>) => void }) => {
  const say = words()
  const { kind, fields, name, identifier, desc } = about
  const drafts = draftsFor(form.value, about, zone)
  const onEdit = (field: string, draft: Draft) =>
    edit({ drafts: { ...form.value.drafts, [keyOf(about)]: { ...drafts, [field]: draft } } })
  return (
    <section class="send-fields">
      <header>
        <h3>{kind === 'set' ? say.set : nameOf(name)}</h3>
        {kind === 'invoke' && <code class="faint">{identifier}</code>}
        {kind === 'invoke' && fields.some(({ required }) => required) && (
          <span class="faint small">
            <span class="send-required" aria-hidden="true">
              *
            </span>{' '}
            {say.requiredMark}
          </span>
        )}
      </header>
      {kind === 'invoke' && desc !== '' && <p class="faint">{desc}</p>}
      {fields.length === 0 && <p class="faint">{say.noInputs}</p>}
      {fields.map(field => {
        const draft = drafts[field.identifier]
        return draft === undefined ? null : (
          <FieldOf
            key={field.identifier}
            field={field}
            path={rootPath(kind, field.identifier)}
            draft={draft}
            onEdit={draft => onEdit(field.identifier, draft)}
          />
        )
      })}
    </section>
  )
}

/** What the button does now. */
function buttonText({ times, attempt }: Form, order: Order | null, isOnline: boolean): string {
  const say = words()
  if (isRepeat(attempt, order)) return say.sendAgain
  if (isNowOf(times, isOnline)) return say.sendNow
  return order === null ? say.sendQueuedPlain : say.sendQueued(waitText(order.pendingTtl))
}
/** Puts the focus on the first field that has a fault, once that is shown. */
function useFocusFault(form: RefObject<HTMLFormElement>): () => void {
  const [times, again] = useState(0)
  useEffect(() => {
    if (times === 0) return
    const faulty = form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')
    const field = faulty?.matches('[role=radiogroup]') ? faulty.querySelector<HTMLElement>('input') : faulty
    field?.focus()
  }, [times])
  return () => again(times => times + 1)
}

/** Below the button: where the eyes are. */
const Result = ({ attempt, timezone }: { attempt: Attempt; timezone: string }) => {
  const element = useRef<HTMLDivElement>(null)
  useEffect(() => element.current?.scrollIntoView({ block: 'nearest' }), [attempt.outcome])
  return (
    <div class="send-result" ref={element}>
      <OutcomeOf attempt={attempt} timezone={timezone} />
    </div>
  )
}
