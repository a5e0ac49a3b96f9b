// What the subcommands have in common that call a server: who calls and where, as options; and from an answer to lines and an exit code.
// Not here: the calls themselves (command.ts), how they are signed and sent (client.ts).

import { stateName } from '../core/command.ts'
import { authErrors, errors } from '../core/errors.ts'
import { escapeInvisible, isObject } from '../core/json.ts'
import { type Answer, CallFailed, Client } from './client.ts'
import { type Given, option } from './options.ts'
import { isState } from './shown.ts'
import { Exit, printable, type Terminal } from './terminal.ts'

export const serverOption = option('server', 'DOWNLINK_SERVER', 'url', 'http://127.0.0.1:8080', 'The server to call.')
const whoOptions = [
  serverOption,
  option('org', 'DOWNLINK_ORG', 'orgId', null, 'Organization of the device.'),
  option(
    'app-key',
    'DOWNLINK_APP_KEY',
    'key',
    null,
    'Application to act as; without it the call is not signed (--auth open).',
  ),
  option(
    'app-secret',
    'DOWNLINK_APP_SECRET',
    'secret',
    null,
    'Its secret; better by environment, where ps does not show it.',
  ),
]
export const jsonOption = option('json', null, null, null, 'Print the answer as it came.')

/** Of subcommands that name what they are about by its id alone. */
export const accountOptions = [...whoOptions, jsonOption]
/** Of those that are about a device. */
export const callerOptions = [
  ...whoOptions,
  option('asset-id', null, 'id', null, 'The device, by its asset,'),
  option('product-key', null, 'key', null, 'or by its product'),
  option('device-key', null, 'key', null, 'and its key in that product.'),
  jsonOption,
]
type AccountName = (typeof accountOptions)[number]['name']
type CallerName = (typeof callerOptions)[number]['name']

/** characters of a server's message that are printed */
const MESSAGE_SHOWN_CHARS = 1_000

/** Who calls, checked. */
export interface Account {
  readonly client: Client
  readonly orgId: string
  readonly json: boolean
  /** what to do where the server wants a signature; null: the calls are signed */
  readonly howToSign: string | null
}

/** Who calls which device. */
export interface Caller extends Account {
  /** the query's words for it, orgId among them */
  readonly device: Readonly<Record<string, string>>
}

/** Reads the options that all of them have; what is wrong is in `given.problems`. */
export function readAccount(given: Given<AccountName>): Account {
  const orgId = given.required('org')
  const appKey = given.text('app-key')
  const appSecret = given.text('app-secret')
  if (appKey !== null && appSecret === null) given.problem('app-secret', `is needed with ${given.label('app-key')}`)
  if (appKey === null && appSecret !== null) given.problem('app-key', `is needed with ${given.label('app-secret')}`)
  const credentials = appKey !== null && appSecret !== null ? { appKey, appSecret } : null
  const client = new Client(serverUrl(given), credentials)
  const howToSign = credentials ? null : `Give ${given.label('app-key')} and ${given.label('app-secret')}.`
  return { client, orgId, json: given.flag('json'), howToSign }
}

export function readCaller(given: Given<CallerName>): Caller {
  const account = readAccount(given)
  return { ...account, device: { orgId: account.orgId, ...deviceOf(given) } }
}

export function serverUrl(given: Given<'server'>): URL {
  const text = given.text('server') ?? ''
  const url = URL.canParse(text) ? new URL(text) : null
  const plain = url !== null && url.username === '' && url.password === '' && url.search === '' && url.hash === ''
  if (url !== null && plain && (url.protocol === 'http:' || url.protocol === 'https:')) return url
  given.problem('server', 'must be a URL such as http://127.0.0.1:8080, without user, query or fragment')
  return new URL('http://127.0.0.1')
}

function deviceOf(given: Given<CallerName>): Record<string, string> {
  const assetId = given.text('asset-id')
  const productKey = given.text('product-key')
  const deviceKey = given.text('device-key')
  if (assetId && productKey === null && deviceKey === null) return { assetId }
  if (assetId === null && productKey && deviceKey) return { productKey, deviceKey }
  given.problems.push('name the device: either --asset-id, or --product-key and --device-key')
  return {}
}

/** Calls, prints, and turns refusals and failed calls into their message and exit code. `show` gets a silent terminal with --json. */
export async function answered(
  terminal: Terminal,
  { json, howToSign }: Pick<Account, 'json' | 'howToSign'>,
  call: () => Promise<Answer>,
  show: (answer: Answer, out: Terminal) => Exit,
): Promise<Exit> {
  try {
    const answer = await call()
    // The same JSON; what a device wrote into it cannot act on a terminal.
    if (json) terminal.line(escapeInvisible(answer.text))
    if (answer.code === 0) return show(answer, json ? { ...terminal, line: () => undefined } : terminal)
    terminal.problem(`downlink: ${refusalOf(answer, howToSign)}`)
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error
    terminal.problem(`downlink: ${error.message}`)
  }
  return Exit.failure
}

/** What the server said, which command is on record, and what may be done. A device's own code is never looked up as one of ours. */
function refusalOf({ code, msg, data }: Answer, howToSign: string | null): string {
  const { commandId, state, deviceCode } = isObject(data) ? data : {}
  const said = printable(msg, MESSAGE_SHOWN_CHARS)
  const named = isState(state) ? `; ${printable(String(commandId))} is ${stateName[state]}` : ''
  if (deviceCode !== undefined) return `the device answered ${printable(String(deviceCode))}: ${said}${named}`
  const known = [...Object.values(errors), ...Object.values(authErrors)].find(entry => entry.code === code)
  const next = code === authErrors.missing.code && howToSign !== null ? howToSign : known?.next
  return `refused with ${code}: ${said}${named}${next ? `. ${next}` : ''}`
}
