// An action of the API as the server calls it: what it is given, what it says of itself, and how it reads a body. Types, and one reader.
// Not here: who is asking and whether they may (app.ts), what each action does (commands.ts, measurepoints.ts).

import type { Clock } from '../clock.ts'
import { invalid, type Refusal } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import type { Engine } from '../engine.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { CommandStore, Device, DeviceData } from '../store/store.ts'
import type { DeviceKeys, Notice } from '../uplink/topics.ts'
import type { Result } from './wire.ts'

/** Tells a gateway, if it is connected, what became of a device of its topology. */
export type Notify = (gatewayId: number, notice: Notice, of: DeviceKeys) => Promise<void>

/** One authorised call: everything about who and which device is settled. */
export interface Call {
  readonly engine: Engine
  readonly store: CommandStore & Omit<DeviceData, 'saveData'>
  readonly fleet: Fleet
  readonly clock: Clock
  readonly notify: Notify
  readonly appKey: string
  readonly device: Device
  /** decoded, trimmed query values by name */
  readonly query: ReadonlyMap<string, string>
  /** the JSON body, undefined where there was none */
  readonly body: unknown
}

export interface Action {
  readonly methods: readonly string[]
  readonly needs: 'Control' | 'Read'
  /** query names beyond those that name the device */
  readonly parameters: readonly string[]
  /** any other query name is refused: a misspelt commandId must not turn cancel one into cancel all */
  readonly strict: boolean
  run(call: Call): Promise<Result>
}

/** What an action is about: one path, on which the query's `action` says what is wanted. */
export interface Resource {
  readonly path: string
  /** before the action in metrics; empty for commands, which had theirs before there was anything else */
  readonly label: string
  readonly actions: ReadonlyMap<string, Action>
}

/** The fields of a body that is an object; none where there is no body. */
export function objectBody(body: unknown): { readonly fields: ReadonlyMap<string, unknown> } | Refusal {
  if (body === undefined) return { fields: new Map() }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return invalid('body', 'must be a JSON object')
  return { fields: new Map(Object.entries(body)) }
}

/** Whether a body says nothing: clients that must send one send an empty one. */
export const isEmptyBody = (body: unknown): boolean =>
  body === undefined || body === null || (isObject(body) && Object.keys(body).length === 0)
