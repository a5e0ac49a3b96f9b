// `downlink command cancel-many`: cancels what waits on many devices, follows that until it is over, and says what became of it.
// Not here: how a call is signed and sent (client.ts), which commands a filter is for (the server).

import { setTimeout as pause } from 'node:timers/promises'
import { isKey, isOpen, stateName } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import {
  CANCELLATION_ASSETS_MAX,
  CANCELLATION_KEYS_MAX,
  CANCELLATION_PAGE_MAX,
  CLI_LOOK_EVERY_MS,
  PENDING_TTL_MAX_S,
} from '../core/limits.ts'
import { type Account, accountOptions, answered, readAccount } from './calling.ts'
import type { Answer } from './client.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'
import { isState, notUnderstood, styles } from './shown.ts'
import { Exit, paint, printable, type Terminal, usageError } from './terminal.ts'

export const cancelManySpec = {
  name: 'command cancel-many',
  summary: 'Cancel what is queued on many devices, by product, service, age and more.',
  operand: null,
  options: [
    option('product', null, 'keys', null, 'Only on devices of these products, with commas between them.'),
    option('asset-id', null, 'ids', null, 'Only on these devices, with commas between them.'),
    option('service', null, 'id', null, 'Only commands that invoke this service,'),
    option('point', null, 'id', null, 'or only those that set this measurepoint.'),
    option('older-than', null, 's', null, `Only those created at least so long ago, at most ${PENDING_TTL_MAX_S}.`),
    option('application', null, 'keys', null, 'Only those of these applications, with commas between them.'),
    option('all', null, null, null, 'Everything that is queued in the organization.'),
    option('dry-run', null, null, null, 'Cancel nothing; say what would be.'),
    option('list', null, null, null, 'Print each command, and what became of it.'),
    ...accountOptions,
  ],
  notes: [
    'All conditions hold. Without any of them it needs --all, which stands alone.',
    'What is reported as cancelled is never sent. The server goes on also where this program is ended.',
    'Example: downlink command cancel-many --org o1 --product pk1 --service reboot --older-than 3600 --dry-run',
  ],
} as const satisfies CommandSpec

const PATH = '/v1/cancellations'

/** Exit 0 when it is over; 1 where it was refused, or somebody stopped it. */
export async function cancelMany(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof cancelManySpec>>(cancelManySpec, args, env)
  const account = readAccount(given)
  const filter = readFilter(given)
  const dryRun = given.flag('dry-run')
  if (given.problems.length > 0) return usageError(terminal, cancelManySpec, given.problems)
  const body = JSON.stringify({ filter, dryRun })
  const isListed = given.flag('list') && !account.json
  const call = async (): Promise<Answer> => {
    const end = await follow(account, body)
    if (end.code === 0 && isListed) await listItems(account, readRow(end.data).cancellationId, terminal)
    return end
  }
  return answered(terminal, account, call, ({ data }, out) => {
    const { cancellationId, status, cancelled, notCancelled } = readRow(data)
    out.line(
      dryRun
        ? `${printable(cancellationId)} dry run: ${cancelled} would be cancelled`
        : `${printable(cancellationId)} ${printable(status)}: ${cancelled} cancelled, ${notCancelled} not cancelled`,
    )
    return status === 'ended' ? Exit.ok : Exit.failure
  })
}

/** Asks for it and looks until it is over. The last answer, or the first refusal. */
async function follow({ client, orgId }: Account, body: string): Promise<Answer> {
  const begun = await client.ask({ method: 'POST', path: PATH, query: { orgId }, body })
  let answer = begun
  while (answer.code === 0) {
    const { cancellationId, status } = readRow(answer.data)
    if (status === 'ended' || status === 'stopped') break
    await pause(CLI_LOOK_EVERY_MS)
    answer = await client.ask({ method: 'GET', path: `${PATH}/${cancellationId}`, query: { orgId } })
  }
  return answer
}

async function listItems({ client, orgId }: Account, cancellationId: string, terminal: Terminal): Promise<void> {
  for (let after: unknown = '0'; typeof after === 'string'; ) {
    const query = { orgId, after, limit: String(CANCELLATION_PAGE_MAX) }
    const page: Answer = await client.ask({ method: 'GET', path: `${PATH}/${cancellationId}/items`, query })
    if (page.code !== 0 || !Array.isArray(page.data)) throw notUnderstood('data')
    for (const item of page.data) terminal.line(lineOf(item, terminal))
    after = page.fields.next
  }
}

const words: Readonly<Record<string, string>> = {
  cancelled: 'cancelled',
  wouldBeCancelled: 'would be cancelled',
  notCancelled: 'not cancelled',
  undecided: 'undecided',
}

function lineOf(item: unknown, terminal: Terminal): string {
  if (!isObject(item)) throw notUnderstood('data[].commandId')
  const { commandId, device, outcome, state } = item
  const asset = isObject(device) ? printable(String(device.assetId)) : 'gone'
  const what = words[String(outcome)] ?? printable(String(outcome))
  // Of one that was not cancelled it matters whether it may still be carried out.
  const how =
    outcome === 'notCancelled' && isState(state) ? `: ${paint(terminal, styles[state], stateName[state])}` : ''
  const still = outcome === 'notCancelled' && isState(state) && isOpen(state) ? ', and may be carried out' : ''
  return `${printable(String(commandId))}  ${asset}  ${what}${how}${still}`
}

interface Row {
  readonly cancellationId: string
  readonly status: string
  readonly cancelled: number
  readonly notCancelled: number
}

function readRow(data: unknown): Row {
  if (!isObject(data)) throw notUnderstood('data')
  const { cancellationId, status, cancelled, notCancelled } = data
  if (typeof cancellationId !== 'string' || !isKey(cancellationId)) throw notUnderstood('data.cancellationId')
  if (typeof status !== 'string') throw notUnderstood('data.status')
  return {
    cancellationId,
    status,
    cancelled: Number(cancelled),
    notCancelled: Number(notCancelled),
  }
}

/** The filter as the server takes it; what is wrong is in `given.problems`. */
function readFilter(given: Given<NameOf<typeof cancelManySpec>>): object {
  const productKeys = keysOf(given, 'product', CANCELLATION_KEYS_MAX)
  const assetIds = keysOf(given, 'asset-id', CANCELLATION_ASSETS_MAX)
  const applications = keysOf(given, 'application', CANCELLATION_KEYS_MAX)
  const serviceId = given.text('service')
  const measurepointId = given.text('point')
  const olderThanS = given.integer('older-than', 0, PENDING_TTL_MAX_S)
  if (serviceId !== null && measurepointId !== null) given.problems.push('give either --service or --point')
  for (const [name, id] of [['service', serviceId] as const, ['point', measurepointId] as const])
    if (id !== null && !isKey(id)) given.problem(name, 'must be 1 to 64 of A-Z a-z 0-9 _ . -')
  const said = { productKeys, assetIds, applications, serviceId, measurepointId, olderThanS }
  const conditions = Object.entries(said).filter(([, value]) => value !== null)
  const all = given.flag('all')
  if (all && conditions.length > 0) given.problems.push('--all stands alone: leave it out, or the conditions')
  if (!all && conditions.length === 0) given.problems.push('say which commands, or --all')
  return all ? { all: true } : Object.fromEntries(conditions)
}

/** An empty one is most likely a variable that was never set: it must not mean everything. */
function keysOf(given: Given<string>, name: string, max: number): string[] | null {
  const text = given.text(name)
  if (text === null) return null
  const keys = [...new Set(text.split(',').map(key => key.trim()))]
  if (keys.includes('') || keys.length > max) given.problem(name, `must be 1 to ${max} keys with commas between them`)
  return keys
}
