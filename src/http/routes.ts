// All there is to call, each from the file that says what it does: the vendor's API by resources, our own under /v1 by routes. Not here: the token service and
// what the server says of itself (app.ts).

import type { AnyRoute, Resource } from './action.ts'
import { adminRoutes } from './admin.ts'
import { cancellationRoutes } from './cancellations.ts'
import { commands } from './commands.ts'
import { deviceTopos } from './device-topos.ts'
import { changeRoutes } from './events.ts'
import { jobs } from './jobs.ts'
import { devices, devicesV20 } from './manage.ts'
import { events, measurepoints } from './measurepoints.ts'
import { thingModels } from './models.ts'
import { operatorRoutes } from './operators.ts'
import { products } from './products.ts'
import { stats } from './stats.ts'
import { views } from './views.ts'
import { webhookRoutes } from './webhooks.ts'
import { whoAmI } from './whoami.ts'

/** One path each. */
export const resources: readonly Resource[] = [
  ...[commands, jobs, measurepoints, events],
  ...[products, devices, devicesV20, deviceTopos, thingModels],
]

export const routes: readonly AnyRoute[] = [
  whoAmI,
  ...views,
  stats,
  ...changeRoutes,
  ...cancellationRoutes,
  ...webhookRoutes,
  ...adminRoutes,
  ...operatorRoutes,
]
