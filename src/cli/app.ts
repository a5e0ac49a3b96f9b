// `downlink app create|list|rotate|grant|revoke|remove`: applications of an organization on a server that runs, by its administrator.
// Not here: what the administrator's subcommands share (account.ts), how they are sent (administrator.ts), what grants mean (fleet/grants.ts).

import { isObject } from '../core/json.ts'
import {
  type Account,
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
import type { AdminCall } from './administrator.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'
import { notUnderstood } from './shown.ts'
import { Exit, printable, type Terminal, table, usageError } from './terminal.ts'

const APP_KEY = { name: 'APP_KEY', required: true }

export const createSpec = {
  name: 'app create',
  summary: 'Make an application; its secret is printed once.',
  operand: null,
  options: [
    option('app-key', null, 'uuid', null, 'Its key; without one it is given one.'),
    grantsOption,
    ...scopeOptions,
    ...commonOptions,
  ],
  notes: [grantsNote, 'Without --grants it may do nothing yet.', tokenNote],
} as const satisfies CommandSpec

export const listSpec = {
  name: 'app list',
  summary: 'Show the applications of an organization, and what they may do.',
  operand: null,
  options: commonOptions,
  notes: [tokenNote],
} as const satisfies CommandSpec

export const rotateSpec = {
  name: 'app rotate',
  summary: 'Give an application a new secret; the old one ends at once.',
  operand: APP_KEY,
  options: commonOptions,
  notes: ['Tokens that it got with the old secret end too.', tokenNote],
} as const satisfies CommandSpec

export const grantSpec = {
  name: 'app grant',
  summary: 'Let an application do more.',
  operand: APP_KEY,
  options: [grantsOption, ...scopeOptions, ...commonOptions],
  notes: [grantsNote, 'Granting twice is granting once.', tokenNote],
} as const satisfies CommandSpec

export const revokeSpec = {
  name: 'app revoke',
  summary: 'Let an application do less.',
  operand: APP_KEY,
  options: [grantsOption, ...scopeOptions, ...commonOptions],
  notes: [
    grantsNote,
    'A resource alone (--grants Device) stands for all its actions. Without --products and --assets whatever the scope; with them only grants of just that scope.',
    'Without the right to read, neither the right to do all is left.',
    tokenNote,
  ],
} as const satisfies CommandSpec

export const removeSpec = {
  name: 'app remove',
  summary: 'Remove an application; its secret and its tokens end at once.',
  operand: APP_KEY,
  options: commonOptions,
  notes: ['Commands that it sent stay as they are.', tokenNote],
} as const satisfies CommandSpec

type GrantName = NameOf<typeof grantSpec>
/** `downlink app create`. */
export async function create(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof createSpec>>(createSpec, args, env)
  const account = readAccount(given, env)
  const appKey = given.text('app-key')
  const grants = readGrants(given, false)
  const scope = readScope(given)
  if (scope !== null && grants.length === 0) given.problem('grants', 'is needed with --products or --assets')
  if (given.problems.length > 0) return usageError(terminal, createSpec, given.problems)
  const body = {
    ...(appKey === null ? {} : { appKey }),
    grants: grants.map(grant => ({ ...grant, scope: scope ?? 'all' })),
  }
  return asked(account, terminal, { method: 'POST', path: applications(account), body }, showSecret)
}

/** `downlink app list`. */
export async function list(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof listSpec>>(listSpec, args, env)
  const account = readAccount(given, env)
  if (given.problems.length > 0) return usageError(terminal, listSpec, given.problems)
  return asked(account, terminal, { method: 'GET', path: applications(account) }, (data, out) => {
    if (!Array.isArray(data)) throw notUnderstood('data')
    if (data.length === 0) out.line('no applications')
    else for (const line of applicationTable(out, data)) out.line(line)
  })
}

/** `downlink app rotate APP_KEY`. */
export async function rotate(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof rotateSpec>>(rotateSpec, args, env)
  const account = readAccount(given, env)
  if (given.problems.length > 0) return usageError(terminal, rotateSpec, given.problems)
  const path = [...applications(account), given.operand ?? '', 'secret']
  return asked(account, terminal, { method: 'POST', path }, showSecret)
}

/** `downlink app grant APP_KEY --grants …`. */
export async function grant(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<GrantName>(grantSpec, args, env)
  const account = readAccount(given, env)
  if (given.text('grants') === null) given.problem('grants', 'is required')
  const grants = readGrants(given, false)
  const scope = readScope(given) ?? 'all'
  if (given.problems.length > 0) return usageError(terminal, grantSpec, given.problems)
  const path = [...applications(account), given.operand ?? '', 'grant']
  return askedEach(
    account,
    terminal,
    grants.map(each => ({ method: 'POST', path, body: { ...each, scope } })),
  )
}

/** `downlink app revoke APP_KEY --grants …`. What it does not have it does not lose: that is no failure. */
export async function revoke(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<GrantName>(revokeSpec, args, env)
  const account = readAccount(given, env)
  if (given.text('grants') === null) given.problem('grants', 'is required')
  const grants = readGrants(given, true)
  const scope = readScope(given)
  if (given.problems.length > 0) return usageError(terminal, revokeSpec, given.problems)
  const path = [...applications(account), given.operand ?? '', 'revoke']
  const bodies = grants.map(({ resource, actions }) => ({
    resource,
    ...(actions.length === 0 ? {} : { actions }),
    ...(scope === null ? {} : { scope }),
  }))
  return askedEach(
    account,
    terminal,
    bodies.map(body => ({ method: 'POST', path, body })),
  )
}

/** `downlink app remove APP_KEY`. */
export async function remove(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof removeSpec>>(removeSpec, args, env)
  const account = readAccount(given, env)
  if (given.problems.length > 0) return usageError(terminal, removeSpec, given.problems)
  const appKey = given.operand ?? ''
  return asked(account, terminal, { method: 'DELETE', path: [...applications(account), appKey] }, (_data, out) =>
    out.line(`removed ${printable(appKey)}`),
  )
}

/** The path to those of the organization. */
const applications = ({ path }: Account): string[] => [...path, 'applications']

/** One call after the other, up to the first that is refused; what the application may do after the last is shown. */
async function askedEach(account: Account, terminal: Terminal, calls: readonly AdminCall[]): Promise<Exit> {
  for (const [index, call] of calls.entries()) {
    const isLast = index === calls.length - 1
    const quiet = isLast ? account : { ...account, json: false }
    const exit = await asked(quiet, terminal, call, (data, out) => {
      if (isLast) for (const line of applicationTable(out, [data])) out.line(line)
    })
    if (exit !== Exit.ok) return exit
  }
  return Exit.ok
}

// --- what is shown -------------------------------------------------------------------------------------------------

function showSecret(data: unknown, out: Terminal): void {
  if (!isObject(data) || typeof data.appKey !== 'string' || typeof data.appSecret !== 'string')
    throw notUnderstood('data.appSecret')
  const rows = [
    ['appKey', printable(data.appKey)],
    ['appSecret', printable(data.appSecret)],
    ['grants', grantsText(data.grants)],
  ]
  for (const line of table(out, rows)) out.line(line)
  out.line('The secret is told this once: keep it where only the application can read it.')
}

const applicationTable = (out: Terminal, applications: readonly unknown[]): string[] =>
  table(out, [
    ['APPLICATION', 'GRANTS'],
    ...applications.map(each => {
      if (!isObject(each) || typeof each.appKey !== 'string') throw notUnderstood('data.appKey')
      return [printable(each.appKey), grantsText(each.grants)]
    }),
  ])
