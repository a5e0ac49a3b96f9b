// What the bench measures, in the order of the page.

import type { Scenario } from '../rig/scenario.ts'
import { accept, acceptAtRate } from './accept.ts'

export const scenarios: readonly Scenario[] = [accept, acceptAtRate]
