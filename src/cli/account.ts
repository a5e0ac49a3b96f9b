// What the subcommands of the administrator have in common: where he calls and what proves him, grants as they are typed and shown. Not here: the subcommands
// (app.ts, console.ts), how a call is sent (administrator.ts), what grants mean (fleet/grants.ts).

import { isKey } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import { nearest } from '../core/nearest.ts'
import { permissions } from '../fleet/grants.ts'
import { type AdminCall, Administrator } from './administrator.ts'
import { answered, jsonOption, serverOption, serverUrl } from './calling.ts'
import { ADMIN_TOKEN_ENV } from './config.ts'
import { type Environment, type Given, option } from './options.ts'
import { notUnderstood } from './shown.ts'
import { Exit, printable, type Terminal } from './terminal.ts'

export const commonOptions = [
  serverOption,
  option('org', 'DOWNLINK_ORG', 'orgId', null, 'Organization of the application.'),
  jsonOption,
]
export const grantsOption = option('grants', null, 'list', null, 'Such as Asset:Control,Device:Read.')
export const scopeOptions = [
  option('products', null, 'keys', null, 'Only for devices of these products, with commas;'),
  option('assets', null, 'ids', null, 'or only for these devices, by their assets.'),
]
export const tokenNote = `${ADMIN_TOKEN_ENV} (environment only) must be the one that the server was started with; a server in open mode needs none.`
const words = Object.entries(permissions).map(([resource, [all, read]]) => `${resource}:${all} or :${read}`)
export const grantsNote = `Grants: ${words.join(', ')}. Who may do all may read. Asset: commands and what devices report; Device: the fleet itself.`

type CommonName = (typeof commonOptions)[number]['name']
export type Scope = 'all' | { readonly productKeys: readonly string[] } | { readonly assetIds: readonly string[] }
export interface GrantWords {
  readonly resource: string
  readonly actions: readonly string[]
}

export interface Account {
  readonly server: URL
  readonly administrator: Administrator
  /** of the organization */
  readonly path: readonly string[]
  readonly json: boolean
  readonly howToSign: string
}

export function readAccount(given: Given<CommonName>, env: Environment): Account {
  const org = given.required('org')
  const server = serverUrl(given)
  const administrator = new Administrator(server, env[ADMIN_TOKEN_ENV] || null)
  const howToSign = `Set ${ADMIN_TOKEN_ENV} to the administrator's token of the server.`
  return { server, administrator, path: ['organizations', org], json: given.flag('json'), howToSign }
}

/** Asks, and shows what is answered. */
export const asked = (
  account: Account,
  terminal: Terminal,
  call: AdminCall,
  show: (data: unknown, out: Terminal) => void,
): Promise<Exit> =>
  answered(
    terminal,
    account,
    () => account.administrator.ask(call),
    ({ data }, out) => {
      show(data, out)
      return Exit.ok
    },
  )

/** `Asset:Control,Device:Read`, by resource. `bare`: a resource alone is all of its actions, as an empty list. */
export function readGrants(given: Given<'grants'>, bare: boolean): GrantWords[] {
  const text = given.text('grants')
  const byResource = new Map<string, string[]>()
  for (const part of text === null ? [] : text.split(',')) {
    const [resource = '', action] = part.trim().split(':')
    const known: readonly string[] | undefined = Object.entries(permissions).find(([name]) => name === resource)?.[1]
    if (known === undefined) given.problem('grants', unknown(resource, Object.keys(permissions)))
    else if (action === undefined ? !bare : !known.includes(action))
      given.problem('grants', `${resource} has the actions ${known.join(' and ')}; write ${resource}:${known[1]}`)
    byResource.set(resource, [...(byResource.get(resource) ?? []), ...(action === undefined ? [] : [action])])
  }
  return [...byResource].map(([resource, actions]) => ({ resource, actions }))
}

function unknown(resource: string, known: readonly string[]): string {
  const meant = nearest(resource, known)
  return `"${resource}" is none of ${known.join(', ')}${meant === null ? '' : `; did you mean ${meant}?`}`
}

/** null: none is given. */
export function readScope(given: Given<'products' | 'assets'>): Scope | null {
  given.conflict('products', 'assets')
  const read = (name: 'products' | 'assets'): string[] | null => {
    const keys = given.text(name)?.split(',') ?? null
    const trimmed = keys?.map(key => key.trim()) ?? null
    if (trimmed?.every(isKey) === false)
      given.problem(name, 'must be keys of 1 to 64 of A-Z a-z 0-9 _ . -, with commas')
    return trimmed
  }
  const productKeys = read('products')
  const assetIds = read('assets')
  if (productKeys !== null) return { productKeys }
  return assetIds === null ? null : { assetIds }
}

export function grantsText(grants: unknown): string {
  if (!Array.isArray(grants)) throw notUnderstood('data.grants')
  return grants.length === 0 ? 'none' : printable(grants.map(grantText).join('; '))
}

/** `Asset:Control,Read of products bXuuAiku` */
function grantText(grant: unknown): string {
  const { resource, actions, scope } = isObject(grant) ? grant : {}
  const what = `${resource}:${Array.isArray(actions) ? actions.join(',') : ''}`
  if (!isObject(scope)) return what
  if (Array.isArray(scope.productKeys)) return `${what} of products ${scope.productKeys.join(',')}`
  return `${what} of devices ${Array.isArray(scope.assetIds) ? scope.assetIds.join(',') : ''}`
}
