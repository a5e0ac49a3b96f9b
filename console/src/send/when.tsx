// When a command goes out: now, waiting here for the answer, or queued for a device that may not be there; and how long the device has to answer.
// Not here: what is sent.

import type { DeviceStatus } from '@downlink/client'
import { useId } from 'preact/hooks'
import { durationText } from '../clock.ts'
import { Icon } from '../parts/icon.tsx'
import { describedBy, FaultText } from './fault-text.tsx'
import { isNowOf, type Times, type Unit, WAITS_S } from './form.ts'
import type { FaultShown } from './within-form.ts'
import { waitText, words } from './words.ts'

const SECOND_MS = 1_000

export interface WhenProps {
  readonly times: Times
  readonly status: DeviceStatus
  readonly faults: { readonly pendingTtl: FaultShown | null; readonly timeout: FaultShown | null }
  readonly onEdit: (times: Times) => void
  readonly onTouch: (field: 'pendingTtl' | 'timeout') => void
}

export const When = (props: WhenProps) => {
  const say = words()
  const { times, status, onEdit } = props
  const isNow = isNowOf(times, status === 'online')
  const group = useId()
  const seconds = /^\d{1,2}$/.test(times.timeout.trim()) ? Number(times.timeout) : 0
  const choice = (now: boolean, title: string, hint: string) => (
    <label class="send-option">
      <input type="radio" name={group} checked={isNow === now} onChange={() => onEdit({ ...times, isNow: now })} />
      <span class="send-name">{title}</span>
      <span class="hint">{hint}</span>
    </label>
  )
  return (
    <fieldset class="send-when">
      <legend>{say.when}</legend>
      <div class="send-options">
        {choice(true, say.now, say.nowHint(durationText(seconds * SECOND_MS).replaceAll(' ', '\u00a0')))}
        {choice(false, say.queued, say.queuedHint)}
      </div>
      {status !== 'online' && <Away isNow={isNow} status={status} onQueue={() => onEdit({ ...times, isNow: false })} />}
      {!isNow && <Wait {...props} />}
      <Timeout {...props} isNow={isNow} />
    </fieldset>
  )
}

/** The device is not there: what becomes of a command that is sent now, or queued. */
const Away = ({
  isNow,
  status,
  onQueue,
}: {
  isNow: boolean
  status: Exclude<DeviceStatus, 'online'>
  onQueue: () => void
}) => {
  const say = words()
  return (
    <div class={isNow ? 'send-away' : 'hint'} role="status">
      {isNow && <Icon name="warning" size={15} />}
      <span>{isNow ? say.away[status] : say.waits[status]}</span>
      {isNow && (
        <button type="button" onClick={onQueue}>
          {say.queueInstead}
        </button>
      )}
    </div>
  )
}

const Wait = ({ times, faults, onEdit, onTouch }: WhenProps) => {
  const say = words()
  const group = useId()
  const { waitS, other } = times
  const choice = (value: Times['waitS'], shown: string) => (
    <label key={value}>
      <input type="radio" name={group} checked={waitS === value} onChange={() => onEdit({ ...times, waitS: value })} />
      <span>{shown}</span>
    </label>
  )
  const id = useId()
  const fault = faults.pendingTtl
  return (
    <fieldset class="field">
      <legend class="send-label">
        <span class="send-name">{say.wait}</span>
      </legend>
      <div class="row">
        <div class="send-segments">
          {WAITS_S.map(s => choice(s, waitText(s)))}
          {choice('other', say.otherWait)}
        </div>
        {waitS === 'other' && (
          <span class="send-control send-other">
            <input
              type="text"
              inputMode="numeric"
              autocomplete="off"
              aria-label={say.otherWaitLabel}
              aria-invalid={fault !== null}
              aria-describedby={describedBy(id, fault, false)}
              value={other.text}
              onInput={event => onEdit({ ...times, other: { ...other, text: event.currentTarget.value } })}
              onBlur={() => onTouch('pendingTtl')}
            />
            <select
              aria-label={say.unit}
              value={other.unit}
              onChange={event => onEdit({ ...times, other: { ...other, unit: event.currentTarget.value as Unit } })}
            >
              {(['s', 'min', 'h'] as const).map(unit => (
                <option key={unit} value={unit}>
                  {say.units[unit]}
                </option>
              ))}
            </select>
          </span>
        )}
      </div>
      <FaultText id={`${id}-fault`} fault={fault} />
    </fieldset>
  )
}

const Timeout = ({ times, faults, onEdit, onTouch, isNow }: WhenProps & { isNow: boolean }) => {
  const say = words()
  const id = useId()
  return (
    <div class="field send-timeout">
      <label class="send-label" for={id}>
        <span class="send-name">{say.timeout}</span>
      </label>
      <div class="send-control">
        <input
          id={id}
          type="text"
          inputMode="numeric"
          autocomplete="off"
          aria-required="true"
          aria-invalid={faults.timeout !== null}
          aria-describedby={describedBy(id, faults.timeout)}
          value={times.timeout}
          onInput={event => onEdit({ ...times, timeout: event.currentTarget.value })}
          onBlur={() => onTouch('timeout')}
        />
        <span class="send-unit">s</span>
      </div>
      <FaultText id={`${id}-fault`} fault={faults.timeout} />
      <div class="hint" id={`${id}-hint`}>
        {isNow ? say.timeoutHint.now : say.timeoutHint.queued}
      </div>
    </div>
  )
}
