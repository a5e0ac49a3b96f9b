// Who takes part: Downlink and what a user would otherwise put together, in the order of the tables.

import type { Contender } from '../rig/contender.ts'
import { bullMq } from './bullmq.ts'
import { downlink, downlinkInMemory } from './downlink.ts'
import { mosquitto } from './mosquitto.ts'
import { pgBoss, pgBossInBatches } from './pgboss.ts'

export const contenders: readonly Contender[] = [downlink, downlinkInMemory, pgBoss, pgBossInBatches, bullMq, mosquitto]
