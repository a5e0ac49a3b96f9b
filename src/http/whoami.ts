// Who calls, as the server takes him: what a console asks first, to offer what the caller may do and nothing else. Not here: who is asking (perform.ts), what
// a grant covers (fleet/grants.ts).

import Type from 'typebox'
import { WHOAMI_ORGANIZATIONS_MAX } from '../core/limits.ts'
import { operatorOf } from '../fleet/operators.ts'
import { type CallerCall, callerRoute } from './action.ts'
import { grant } from './fleet-schemas.ts'
import { instant, maybe, none } from './schemas.ts'
import { ok } from './wire.ts'

const grants = Type.Array(grant)

const caller = Type.Object({
  appKey: Type.String({ description: 'Under which events and commands tell what the caller did.' }),
  orgId: Type.String(),
  orgName: Type.String(),
  operator: maybe(Type.String({ description: 'The name of the person; null: it is a program.' })),
  expireAt: maybe(
    instant('When the token ends that the call carries; by the clock of the machine, as signatures are.'),
  ),
  grants,
})

const organization = Type.Object({
  orgId: Type.String(),
  name: Type.String(),
  appKey: maybe(
    Type.String({ description: 'As which a call acts; null: it has no application, so nothing can be called.' }),
  ),
  grants,
})

const CallerView = Type.Object(
  {
    auth: Type.Enum(['signature', 'open']),
    caller: maybe(caller),
    organizations: Type.Array(organization, {
      maxItems: WHOAMI_ORGANIZATIONS_MAX,
      description: 'In open mode those that there are, by their ids; empty where callers prove who they are.',
    }),
    more: Type.Boolean({
      description: `There are more organizations than the ${WHOAMI_ORGANIZATIONS_MAX} that are listed.`,
    }),
    now: instant('The clock of the server, by which commands are timed.'),
  },
  { $id: 'CallerView', description: 'Who calls, and what he may do.' },
)

export const whoAmI = callerRoute({
  method: 'GET',
  path: '/v1/whoami',
  tag: 'Views',
  operationId: 'whoAmI',
  summary: 'Who calls, and what he may do',
  description:
    'Whatever the grants. Control and FullAccess imply Read. In open mode `caller` is null whatever the call carries, since nobody looks at it: then `organizations` has those that can be named, each with the application that a call acts as.',
  parameters: none,
  data: CallerView,
  examples: [{ summary: 'Whoever it is' }, { summary: 'For an organization', query: { orgId: 'x' }, code: 99400 }],
  run: async call => {
    const { auth, application, clock } = call
    const now = clock.now()
    if (application === null) return ok({ auth, caller: null, ...(await organizationsOf(call)), now })
    const { appKey, orgId, grants } = application
    const orgName = (await call.fleet.organization(orgId))?.name ?? orgId
    const said = { appKey, orgId, orgName, operator: operatorOf(application), expireAt: call.expireAt, grants }
    return ok({ auth, caller: said, organizations: [], more: false, now })
  },
})

/** One after the other: others have the connections of the store too. */
async function organizationsOf({ store }: Pick<CallerCall, 'store'>) {
  const all = await store.organizations()
  const organizations = []
  for (const { orgId, name } of all.slice(0, WHOAMI_ORGANIZATIONS_MAX)) {
    const first = await store.firstApplication(orgId)
    organizations.push({ orgId, name, appKey: first?.appKey ?? null, grants: first?.grants ?? [] })
  }
  return { organizations, more: all.length > WHOAMI_ORGANIZATIONS_MAX }
}
