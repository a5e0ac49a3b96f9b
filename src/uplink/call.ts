// One request of a device while it is being answered: what those who answer are given, and what they give back. Also how the time in a request is read.
// Not here: which request is answered by whom, and who may ask (requests.ts).

import type { Clock } from '../clock.ts'
import { REPORT_AHEAD_MAX_MS, REQUEST_MAX_VALUES } from '../core/limits.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Log } from '../log.ts'
import type { DataChange, Device, DeviceData } from '../store/store.ts'
import type { Asker } from './asker.ts'
import { type CodeEntry, codes } from './codes.ts'
import type { LoginGate } from './login-limit.ts'
import type { RequestPayload } from './payload.ts'
import type { Saver } from './saver.ts'
import type { Turns } from './turns.ts'

/** What is needed to answer requests. */
export interface Desk {
  readonly fleet: Fleet
  readonly store: Omit<DeviceData, 'saveData'>
  readonly saver: Pick<Saver, 'save'>
  readonly clock: Clock
  readonly log: Log
  /** devices that a product may have for a gateway to register more; REGISTER_UP_TO_DEVICES unless said otherwise */
  readonly registerUpTo?: number
  /** so many bytes that nobody can guess: keys and secrets of new devices are made of them */
  readonly randomBytes: (count: number) => Uint8Array
  /** Gives others their turn of the loop. Without it there are no others: requests are done as fast as they can be. */
  readonly turns?: Turns
  /** How often a gateway may sign wrongly for a device: the limit that logins go by, so that it gets no second set of attempts. Without it, without end. */
  readonly guess?: LoginGate
}

/** A request that whoever asks may make. */
export interface Call extends Desk, RequestPayload {
  /** what comes after the keys in the topic */
  readonly path: string
  readonly asker: Asker
}

/** A request of a device, for itself. */
export interface DeviceCall extends Call {
  readonly device: Device
}

export interface Outcome {
  readonly of: CodeEntry
  /** what is wrong in particular; empty where nothing is */
  readonly detail: string
  /** JSON text of an object or an array */
  readonly dataJson: string
}

export const done = (dataJson = '{}'): Outcome => ({ of: codes.ok, detail: '', dataJson })
export const refused = (of: CodeEntry, detail = ''): Outcome => ({ of, detail, dataJson: '{}' })

/** A change to be saved, and what is wrong where its device would have more than it may. */
export interface Saving {
  readonly change: DataChange
  readonly tooMany: string
}

/**
 * Saves, and answers when that is durable. A device that would have too much is left out by itself; then the first of them is told. A request that
 * brings more values than one transaction should hold is refused.
 */
export async function save({ saver }: Call, savings: readonly Saving[]): Promise<Outcome> {
  const values = savings.reduce((sum, { change }) => sum + valuesOf(change), 0)
  if (values > REQUEST_MAX_VALUES) return refused(codes.misfit, tooManyValues(values))
  const applied = await saver.save(savings.map(({ change }) => change))
  if (applied === null) return refused(codes.overloaded)
  const full = savings.find((_, index) => applied[index] !== true)
  return full === undefined ? done() : refused(codes.misfit, full.tooMany)
}

export const tooManyValues = (values: number): string =>
  `a request may have ${REQUEST_MAX_VALUES} values, got ${values}: send several`

function valuesOf(change: DataChange): number {
  if (change.type === 'event') return 1
  return change.type === 'measurepoints' ? change.values.length : change.set.length + change.remove.length
}

/** For loops that end at the first thing that is wrong. */
export const isOutcome = (thing: object): thing is Outcome => 'dataJson' in thing

/** Whether a field says nothing: some SDKs send it empty where others leave it out. */
export const isMissing = (value: unknown): value is undefined | null | '' =>
  value === undefined || value === null || value === ''

/**
 * When something was so, in epoch ms: what the device says, as a number or as text, or now where it says nothing. What is further ahead than clocks
 * usually are is now as well, or it would hide every later report. Null: it is no time.
 */
export function readTime(given: unknown, now: number): number | null {
  if (isMissing(given)) return now
  const at = typeof given === 'string' && /^\d{1,15}$/.test(given) ? Number(given) : given
  if (typeof at !== 'number' || !Number.isSafeInteger(at) || at < 0) return null
  return at > now + REPORT_AHEAD_MAX_MS ? now : at
}
