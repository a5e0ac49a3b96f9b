// What a scenario has at hand, and how it says that something is not as it must be. Not here: the scenarios, and who runs them (main.ts).

import { isDeepStrictEqual } from 'node:util'
import type { Answer, Client } from '../src/cli/client.ts'
import type { Device, Fleet } from './fleet.ts'
import type { Launch, Program } from './program.ts'
import type { Server, ServerPlan } from './server.ts'

export interface Stage {
  readonly fleet: Fleet
  readonly server: Server
  /** signs its calls where the server wants that */
  readonly client: Client
  /** a folder that is removed at the end */
  readonly folder: string
  /** the built server program */
  readonly built: string
  /** Starts the program of the suite. It is ended when the scenario is over. */
  begin(): Program
  /** Starts another server, which is stopped when the scenario is over. */
  serve(auth: ServerPlan['auth']): Promise<Server>
  /** Any other program of ours, ended when the scenario is over. */
  keep(launch: Launch): void
}

export interface Scenario {
  readonly name: string
  run(stage: Stage): Promise<void>
}

/** Throws, with both in a line, where they differ. */
export function same(what: string, actual: unknown, expected: unknown): void {
  if (isDeepStrictEqual(actual, expected)) return
  throw new Error(`${what} is ${shown(actual)}, not ${shown(expected)}`)
}

/** characters of a value in a line */
const SHOWN_CHARS = 600
const shown = (value: unknown): string => (JSON.stringify(value) ?? 'undefined').slice(0, SHOWN_CHARS)

/** A call of the command API for this device, beside the vendor's SDK: to bring something about, or to see what is on record. */
export function call(stage: Stage, device: Device, action: string, more: Record<string, string> = {}, body?: object) {
  const query = {
    action,
    orgId: stage.fleet.orgId,
    productKey: device.productKey,
    deviceKey: device.deviceKey,
    ...more,
  }
  const waitMs = Number(more.timeout ?? TIMEOUT_S) * 1000
  return stage.client.call(action === 'get' ? 'GET' : 'POST', query, body ? JSON.stringify(body) : null, waitMs)
}

/** seconds that a device is given: the slowest of them answers within a few once it is there */
const TIMEOUT_S = '20'

/** Sets a measurepoint: instant, or cached for ten minutes. */
export const set = (stage: Stage, device: Device, point: string, value: unknown, cached = false): Promise<Answer> =>
  call(stage, device, 'setMeasurepoint', { measurepointId: point, timeout: TIMEOUT_S, ...ttl(cached) }, { value })

/** Invokes a service: instant, or cached for ten minutes. */
export const invoke = (stage: Stage, device: Device, service: string, inputData: object, cached = false) =>
  call(stage, device, 'invokeService', { serviceId: service, timeout: TIMEOUT_S, ...ttl(cached) }, { inputData })

const ttl = (cached: boolean): Record<string, string> => (cached ? { pendingTtl: '600' } : {})

/** A field of an answer's data. */
export function field(answer: Answer, name: string): unknown {
  return (answer.data as Record<string, unknown> | null)?.[name]
}

/** The command as it is on record. */
export async function onRecord(stage: Stage, device: Device, commandId: unknown): Promise<Record<string, unknown>> {
  const answer = await call(stage, device, 'get', { commandId: String(commandId) })
  same('the code of get', answer.code, 0)
  return answer.data as Record<string, unknown>
}
