// What is logged when something that a device asked for fails: it is our fault, unless the store could not be reached, which is known already and would
// fill the log with a stack for each device. Not here: what the device is told.

import type { Log } from '../log.ts'
import { StoreUnavailable } from '../store/nodes.ts'

/** @param what failed, as a message */
export function logFailed(log: Log, error: unknown, fields: object, what: string): void {
  if (error instanceof StoreUnavailable) log.warn({ ...fields, reason: error.message }, what)
  else log.error({ err: error, ...fields }, what)
}
