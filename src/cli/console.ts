// `downlink console token`: a token for a person who looks and acts in the web console of a server that runs, made by its administrator. Not here: what the
// administrator's subcommands share (account.ts), the console itself (console/).

import { isObject } from '../core/json.ts'
import { OPERATOR_TOKEN_HOURS, OPERATOR_TOKEN_HOURS_MAX } from '../core/limits.ts'
import { OPERATOR_NAME, operatorNameRule } from '../fleet/operators.ts'
import {
  asked,
  commonOptions,
  grantsNote,
  grantsOption,
  grantsText,
  readAccount,
  readGrants,
  readScope,
  scopeOptions,
  tokenNote,
} from './account.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'
import { notUnderstood } from './shown.ts'
import { type Exit, printable, type Terminal, table, usageError } from './terminal.ts'

export const tokenSpec = {
  name: 'console token',
  summary: 'Make a token with which a person signs in to the web console.',
  operand: null,
  options: [
    option('operator', null, 'name', null, 'Who it is: events say that NAME@ORG did it.'),
    option('hours', null, 'n', OPERATOR_TOKEN_HOURS, `For which it is good; at most ${OPERATOR_TOKEN_HOURS_MAX}.`),
    grantsOption,
    ...scopeOptions,
    ...commonOptions,
  ],
  notes: [
    grantsNote,
    'Without --grants an operator keeps what he has, and a new one may do Asset:Control,Device:Read,Model:Read,Organization:Read.',
    'An operator is the application NAME@ORG: app list, grant and revoke are for it too, app rotate ends its tokens, app remove ends it.',
    tokenNote,
  ],
} as const satisfies CommandSpec

const NAME = new RegExp(OPERATOR_NAME)

/** `downlink console token --org ORG --operator NAME`. */
export async function token(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof tokenSpec>>(tokenSpec, args, env)
  const account = readAccount(given, env)
  const name = given.required('operator')
  if (name !== '' && !NAME.test(name)) given.problem('operator', operatorNameRule)
  const hours = given.integer('hours', 1, OPERATOR_TOKEN_HOURS_MAX)
  const grants = readGrants(given, false)
  const scope = readScope(given)
  if (scope !== null && grants.length === 0) given.problem('grants', 'is needed with --products or --assets')
  if (given.problems.length > 0) return usageError(terminal, tokenSpec, given.problems)
  const body = {
    hours,
    ...(grants.length === 0 ? {} : { grants: grants.map(grant => ({ ...grant, scope: scope ?? 'all' })) }),
  }
  const path = [...account.path, 'operators', name, 'tokens']
  return asked(account, terminal, { method: 'POST', path, body }, (data, out) => {
    for (const line of table(out, rowsOf(data, account.server))) out.line(line)
    out.line('The token is told this once, and is good for whoever has it: hand it over as you would a password.')
  })
}

function rowsOf(data: unknown, server: URL): string[][] {
  const { token, expireAt, appKey, grants } = isObject(data) ? data : {}
  if (typeof token !== 'string') throw notUnderstood('data.token')
  if (typeof expireAt !== 'number' || Number.isNaN(new Date(expireAt).getTime())) throw notUnderstood('data.expireAt')
  if (typeof appKey !== 'string') throw notUnderstood('data.appKey')
  return [
    ['token', printable(token)],
    ['ends', `${new Date(expireAt).toISOString().slice(0, 19)}Z`],
    ['operator', printable(appKey)],
    ['grants', grantsText(grants)],
    ['console', `${server.href.replace(/\/$/, '')}/console/`],
  ]
}
