// What is measured, in the order of the page.

import type { Scenario } from '../rig/scenario.ts'
import { accept, acceptAtRate } from './accept.ts'
import { cancelAll, cancelOne } from './cancel.ts'
import { eventLoopDelay } from './event-loop.ts'
import { growth } from './growth.ts'
import { idle } from './idle.ts'
import { mixed, reads, searches } from './mixed.ts'
import { restart } from './restart.ts'
import { instantMany, instantOne } from './round-trip.ts'
import { storm } from './storm.ts'

export const scenarios: readonly Scenario[] = [
  accept,
  acceptAtRate,
  instantOne,
  instantMany,
  cancelOne,
  cancelAll,
  storm,
  mixed,
  reads,
  searches,
  idle,
  growth,
  restart,
  eventLoopDelay,
]
