// Tokens of operators: people who call, mostly by the console, as an application named after them. Made by the administrator. Not here: how such a token is
// recognised (tokens.ts), what an operator is (fleet/operators.ts), its grants and its end (admin.ts: it is an application).

import Type, { type Static } from 'typebox'
import { errors, refuse } from '../core/errors.ts'
import { OPERATOR_TOKEN_HOURS, OPERATOR_TOKEN_HOURS_MAX } from '../core/limits.ts'
import { OPERATOR_NAME, operatorNameRule } from '../fleet/operators.ts'
import type { Grant } from '../store/store.ts'
import { type AdminCall, type AdminRoute, adminRoute } from './action.ts'
import { grantFault } from './admin.ts'
import { grant, grants } from './fleet-schemas.ts'
import { key, none } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

const names = Type.Object({
  orgId: key('The organization.'),
  name: Type.String({ pattern: OPERATOR_NAME, 'x-rule': operatorNameRule, description: 'Who it is.' }),
})
const wanted = Type.Object({
  grants: Type.Optional(grants),
  hours: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: OPERATOR_TOKEN_HOURS_MAX,
      default: OPERATOR_TOKEN_HOURS,
      description: 'For which it is good.',
    }),
  ),
})
const issued = Type.Object(
  {
    token: Type.String({ description: 'Told this once; sent as `Authorization: Bearer …`.' }),
    expireAt: Type.Integer({ description: 'When it ends, epoch ms.' }),
    appKey: Type.String({ description: 'The application that the operator is.' }),
    grants: Type.Array(grant),
  },
  { $id: 'OperatorToken' },
)

const createToken = adminRoute({
  method: 'POST',
  path: '/v1/admin/organizations/{orgId}/operators/{name}/tokens',
  tag: 'Administration',
  operationId: 'createOperatorToken',
  summary: 'Give a person a token',
  description: [
    'With it somebody calls as the application `NAME@ORG`, which is made where it is not there. It is an application like any other, but that it signs nothing: it is',
    'listed, granted more or less, and removed with all of its tokens. Grants that are given stand in the place of all that it has; without any it keeps its own, and a new one',
    'may send, cancel and see everything. A token is not renewed: have another one made.',
  ].join('\n'),
  parameters: none,
  names,
  body: wanted,
  data: issued,
  codes: ['notFound', 'exists'],
  run: giveToken,
  examples: [
    { summary: 'for a working day', path: { orgId: 'o15541858646501', name: 'anna' } },
    {
      summary: 'for an hour, to look only',
      path: { orgId: 'o15541858646501', name: 'guest' },
      body: { grants: [{ resource: 'Asset', actions: ['Read'], scope: 'all' }], hours: 1 },
    },
    { summary: 'a name that is none', path: { orgId: 'o15541858646501', name: 'Anna B' }, code: 99400 },
    { summary: 'of an organization that does not exist', path: { orgId: 'oNowhere', name: 'anna' }, code: 99404 },
  ],
})

export const operatorRoutes: readonly AdminRoute[] = [createToken]

async function giveToken(
  call: AdminCall<unknown, { grants?: Grant[]; hours?: number }, Static<typeof names>>,
): Promise<Result> {
  const { fleet, tokens, clock, path, body } = call
  const { grants = null, hours = OPERATOR_TOKEN_HOURS } = body
  const fault = grantFault(grants ?? [], 'body.grants')
  if (fault !== null) return fault
  const operator = await fleet.applications.keepOperator(path.orgId, path.name, grants, clock.now())
  if ('ok' in operator) return refused(operator)
  const { appKey } = operator
  const { token, expireAt } = await tokens.issueToOperator(appKey, hours * 3_600_000, clock.wall())
  // One that was removed meanwhile has taken the tokens with it that there were: this one may have come too late for that, so nobody is told it.
  if ((await fleet.applications.find(path.orgId, appKey)) === null)
    return failure(refuse(errors.notFound, `application ${appKey} was removed just now`))
  return ok({ token, expireAt, appKey, grants: operator.grants })
}
