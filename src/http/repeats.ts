// Calls that may be repeated: which calls are the same one, and for how long. Not here: that the same one is done once (core/queue.ts), what a repeat is
// answered (commands.ts), which Idempotency-Keys are well-formed (perform.ts).

import { createHash } from 'node:crypto'
import { isObject } from '../core/json.ts'
import { REPEATS_KEPT_MS } from '../core/limits.ts'
import type { NewCommand } from '../engine.ts'
import type { DeviceCall } from './action.ts'

/** What the query asks for, with what it leaves out filled in. */
export interface Asked {
  readonly action: 'setMeasurepoint' | 'invokeService'
  readonly identifier: string
  readonly pendingTtlS: number
  readonly timeoutS: number
}

/** For a new command of this call: the key that it came with, and what of it a repeat must have in common. Nothing where it came without one. */
export function repeatable(call: DeviceCall, asked: Asked): Pick<NewCommand, 'repeatable'> {
  if (call.idempotencyKey === null) return {}
  const { action, identifier, pendingTtlS, timeoutS } = asked
  const request = JSON.stringify([action, identifier, pendingTtlS, timeoutS, sorted(call.body ?? null)])
  const requestHash = createHash('sha256').update(request).digest('hex')
  const keepMs = pendingTtlS * 1_000 + REPEATS_KEPT_MS
  return { repeatable: { application: call.appKey, key: call.idempotencyKey, requestHash, keepMs } }
}

/** The same JSON has its keys in one order, whoever wrote it. How deep it may be was looked at as it was read. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (!isObject(value)) return value
  const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(fields.map(([key, field]) => [key, sorted(field)]))
}
