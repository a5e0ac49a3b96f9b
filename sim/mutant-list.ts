// Faults that the simulator must find, one at a time: a check that no fault can fail proves nothing.
// Data only. That each still fits the source is test/mutants.test.ts; how they are tried is mutants.ts.

import type { Mutant } from './mutant.ts'
import { batch, engine, memory, memoryNodes, sqlite, sqliteStatements, upkeep, waiters } from './mutants-around.ts'
import { ofChanges } from './mutants-of-changes.ts'
import { ofKeys } from './mutants-of-keys.ts'
import { ofNodes } from './mutants-of-nodes.ts'
import { ids, rules, steps } from './mutants-of-rules.ts'
import { gateway, members, session, window } from './mutants-of-sessions.ts'

export const mutants: readonly Mutant[] = [
  ...steps,
  ...rules,
  ...ids,
  ...engine,
  ...upkeep,
  ...waiters,
  ...batch,
  ...memory,
  ...memoryNodes,
  ...sqliteStatements,
  ...sqlite,
  ...session,
  ...window,
  ...members,
  ...gateway,
  ...ofKeys,
  ...ofChanges,
  ...ofNodes,
]
