// What the administrator does: organizations, and applications with their secrets and grants. Not here: who is the administrator (perform.ts), what becomes
// of applications (fleet/applications.ts), what a grant covers (fleet/grants.ts).

import Type from 'typebox'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { NAME_MAX_CHARS } from '../core/limits.ts'
import { isPrintedName } from '../core/name.ts'
import { type Listed, noOrganization, type WithSecret } from '../fleet/applications.ts'
import { permissions } from '../fleet/grants.ts'
import { FleetConflict, type Grant } from '../store/store.ts'
import { type AdminCall, type AdminRoute, adminRoute } from './action.ts'
import { application, grant, grants, scope } from './fleet-schemas.ts'
import { key, none } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

const tag = 'Administration'
const orgId = key('The organization.')
const organizationNames = Type.Object({ orgId })
const applicationNames = Type.Object({
  orgId,
  appKey: Type.String({ minLength: 1, maxLength: 128, description: 'The application.' }),
})
const demo = { orgId: 'o15541858646501' }
const dashboard = { ...demo, appKey: '8f3c1d52-6b0e-4c57-9a41-2f7be0d4c913' }
const nobody = { ...demo, appKey: '00000000-0000-4000-8000-000000000000' }

const organization = Type.Object({ orgId: Type.String(), name: Type.String() }, { $id: 'Organization' })
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
const appKey = Type.String({
  pattern: UUID,
  'x-rule': "must be a UUID: some of the vendor's clients take nothing else",
  description: 'A UUID; drawn where it is left out.',
})
const withSecret = Type.Object(
  {
    appKey: Type.String(),
    orgId: Type.String(),
    grants: Type.Array(grant),
    appSecret: Type.String({ description: 'Told this once.' }),
  },
  { $id: 'ApplicationWithSecret' },
)
const revocation = Type.Object({
  resource: grant.properties.resource,
  actions: Type.Optional(grant.properties.actions),
  scope: Type.Optional(scope),
})

const listOrganizations = adminRoute({
  method: 'GET',
  path: '/v1/admin/organizations',
  tag,
  operationId: 'listOrganizations',
  summary: 'List organizations',
  parameters: none,
  data: Type.Array(organization),
  run: async call => ok(await call.store.organizations()),
  examples: [{ summary: 'all of them', data: [{ orgId: 'o15541858646501', name: 'Demo' }] }],
})

const newOrganization = Type.Object({
  orgId,
  name: Type.Optional(Type.String({ minLength: 1, maxLength: NAME_MAX_CHARS, description: 'The orgId, if left out.' })),
})

const createOrganization = adminRoute({
  method: 'POST',
  path: '/v1/admin/organizations',
  tag,
  operationId: 'createOrganization',
  summary: 'Create an organization',
  description: 'It is empty: give it an application next.',
  parameters: none,
  body: newOrganization,
  data: organization,
  codes: ['exists'],
  run: addOrganization,
  examples: [
    { summary: 'with a name', body: { orgId: 'oNorth', name: 'North' } },
    { summary: 'one that is there', body: { orgId: 'o15541858646501' }, code: 99412 },
  ],
})

const listApplications = adminRoute({
  method: 'GET',
  path: '/v1/admin/organizations/{orgId}/applications',
  tag,
  operationId: 'listApplications',
  summary: 'List applications',
  description: 'In the order in which they were added. Secrets are never shown.',
  parameters: none,
  names: organizationNames,
  data: Type.Array(application),
  codes: ['notFound'],
  run: async ({ fleet, store, path }) =>
    (await store.organization(path.orgId)) === null
      ? failure(noOrganization(path.orgId))
      : ok(await fleet.applications.list(path.orgId)),
  examples: [{ summary: 'of the demo organization', path: demo }],
})

const createApplication = adminRoute({
  method: 'POST',
  path: '/v1/admin/organizations/{orgId}/applications',
  tag,
  operationId: 'createApplication',
  summary: 'Create an application',
  description: 'Its secret is made by the server and told in this answer only.',
  parameters: none,
  names: organizationNames,
  body: Type.Object({ appKey: Type.Optional(appKey), grants: Type.Optional(grants) }),
  data: withSecret,
  codes: ['notFound', 'exists'],
  run: addApplication,
  examples: [
    {
      summary: 'that may send to one product',
      path: demo,
      body: { grants: [{ resource: 'Asset', actions: ['Control'], scope: { productKeys: ['bXuuAiku'] } }] },
    },
    {
      summary: 'with an action that the resource does not have',
      path: demo,
      body: { grants: [{ resource: 'Asset', actions: ['FullAccess'], scope: 'all' }] },
      code: 99400,
    },
  ],
})

const getApplication = adminRoute({
  method: 'GET',
  path: '/v1/admin/organizations/{orgId}/applications/{appKey}',
  tag,
  operationId: 'getApplication',
  summary: 'Get an application',
  parameters: none,
  names: applicationNames,
  data: application,
  codes: ['notFound'],
  run: async ({ fleet, path: { orgId, appKey } }) => {
    const found = await fleet.applications.find(orgId, appKey)
    return found === null ? failure(refuse(errors.notFound, `application ${appKey} not found`)) : ok(found)
  },
  examples: [
    { summary: 'the dashboard of the demo', path: dashboard },
    { summary: 'one that does not exist', path: nobody, code: 99404 },
  ],
})

const rotateSecret = adminRoute({
  method: 'POST',
  path: '/v1/admin/organizations/{orgId}/applications/{appKey}/secret',
  tag,
  operationId: 'rotateApplicationSecret',
  summary: 'Give an application a new secret',
  description:
    'The old one is good for nothing from now on, and neither is any token that it got. A fleet file that is applied later brings its own secret back.',
  parameters: none,
  names: applicationNames,
  data: withSecret,
  codes: ['notFound'],
  run: async ({ fleet, path: { orgId, appKey } }) => told(await fleet.applications.rotate(orgId, appKey)),
  examples: [{ summary: 'of the dashboard', path: dashboard }],
})

const setGrants = adminRoute({
  method: 'PUT',
  path: '/v1/admin/organizations/{orgId}/applications/{appKey}/grants',
  tag,
  operationId: 'setApplicationGrants',
  summary: 'Say all that an application may do',
  description: 'These grants in the place of all that it has; they count from its next call on.',
  parameters: none,
  names: applicationNames,
  body: Type.Object({ grants }),
  data: application,
  codes: ['notFound'],
  run: async ({ fleet, path: { orgId, appKey }, body }) =>
    grantFault(body.grants, 'body.grants') ?? shown(await fleet.applications.setGrants(orgId, appKey, body.grants)),
  examples: [
    {
      summary: 'reading, everywhere',
      path: dashboard,
      body: { grants: [{ resource: 'Asset', actions: ['Read'], scope: 'all' }] },
    },
  ],
})

const addGrant = adminRoute({
  method: 'POST',
  path: '/v1/admin/organizations/{orgId}/applications/{appKey}/grant',
  tag,
  operationId: 'grantToApplication',
  summary: 'Let an application do more',
  description: 'Added to what it has; granting twice is granting once.',
  parameters: none,
  names: applicationNames,
  body: grant,
  data: application,
  codes: ['notFound'],
  run: async ({ fleet, path: { orgId, appKey }, body }) =>
    grantFault([body], 'body') ?? shown(await fleet.applications.grant(orgId, appKey, body)),
  examples: [
    { summary: 'to see devices', path: dashboard, body: { resource: 'Device', actions: ['Read'], scope: 'all' } },
  ],
})

const revokeGrant = adminRoute({
  method: 'POST',
  path: '/v1/admin/organizations/{orgId}/applications/{appKey}/revoke',
  tag,
  operationId: 'revokeFromApplication',
  summary: 'Let an application do less',
  description: [
    'Takes actions out of its grants for a resource: all actions where none are named, whatever the scope where none is named; a scope that is named must be that of',
    'the grant. Who may control or has full access may read, so that without Read neither is left. What it does not have it does not lose.',
  ].join('\n'),
  parameters: none,
  names: applicationNames,
  body: revocation,
  data: application,
  codes: ['notFound'],
  run: async ({ fleet, path: { orgId, appKey }, body }) =>
    grantFault([{ resource: body.resource, actions: body.actions ?? [] }], 'body') ??
    shown(await fleet.applications.revoke(orgId, appKey, body)),
  examples: [{ summary: 'all that is about commands', path: dashboard, body: { resource: 'Asset' } }],
})

const removeApplication = adminRoute({
  method: 'DELETE',
  path: '/v1/admin/organizations/{orgId}/applications/{appKey}',
  tag,
  operationId: 'removeApplication',
  summary: 'Remove an application',
  description:
    'Its tokens end with it. Commands that it sent stay as they are. A fleet file that has it brings it back when it is applied later.',
  parameters: none,
  names: applicationNames,
  data: Type.Null(),
  codes: ['notFound'],
  run: async ({ fleet, path: { orgId, appKey } }) => {
    const refusal = await fleet.applications.remove(orgId, appKey)
    return refusal === null ? ok(null) : refused(refusal)
  },
  examples: [
    { summary: 'the dashboard', path: dashboard },
    { summary: 'one that does not exist', path: nobody, code: 99404 },
  ],
})

export const adminRoutes: readonly AdminRoute[] = [
  ...[listOrganizations, createOrganization, listApplications, createApplication, getApplication],
  ...[rotateSecret, setGrants, addGrant, revokeGrant, removeApplication],
]

async function addOrganization({
  store,
  clock,
  body,
}: AdminCall<unknown, { orgId: string; name?: string }>): Promise<Result> {
  const { orgId, name = orgId } = body
  if (!isPrintedName(name))
    return failure(invalid('body.name', 'must not be blank, nor have control or format characters'))
  const rows = { organizations: [{ orgId, name }], applications: [], models: [], products: [], devices: [] }
  try {
    await store.addFleet(rows, clock.now())
    return ok({ orgId, name })
  } catch (error) {
    if (!(error instanceof FleetConflict)) throw error
    return failure(refuse(errors.exists, `organization ${orgId} exists already`))
  }
}

async function addApplication({
  fleet,
  clock,
  path,
  body,
}: AdminCall<unknown, { appKey?: string; grants?: Grant[] }, { orgId: string }>): Promise<Result> {
  const { appKey = null, grants = [] } = body
  return (
    grantFault(grants, 'body.grants') ?? told(await fleet.applications.create(path.orgId, appKey, grants, clock.now()))
  )
}

/** The schema knows all actions that there are; which of them a resource has is looked at here. `path`: of the one grant, or of the list of them. */
export function grantFault(
  given: readonly Pick<Grant, 'resource' | 'actions'>[],
  path: 'body' | 'body.grants',
): Result | null {
  for (const [i, { resource, actions }] of given.entries()) {
    const known: readonly string[] = Object.entries(permissions).find(([name]) => name === resource)?.[1] ?? []
    const odd = actions.find(action => !known.includes(action))
    if (odd === undefined) continue
    const at = path === 'body' ? 'body.actions' : `body.grants[${i}].actions`
    return failure(invalid(at, `${resource} has ${known.join(' and ')}, not ${odd}`))
  }
  return null
}

const shown = (listed: Listed | Refusal): Result => ('ok' in listed ? refused(listed) : ok(listed))

const told = (made: WithSecret | Refusal): Result =>
  made.ok ? ok({ ...made.application, appSecret: made.appSecret.reveal() }) : refused(made)
