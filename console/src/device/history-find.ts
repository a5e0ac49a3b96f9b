// The search in a device's history: newest first, a bounded number of commands for one look, and how many have come since the first of those that are shown.
// Not here: what is looked for (history-query.ts), how it is shown (history.tsx).

import { type Command, codes, type Downlink, DownlinkError } from '@downlink/client'
import { serverNow } from '../clock.ts'
import { expressionOf, type Filter, idIn, isExact, matches, second } from './history-query.ts'

export interface Wanted {
  readonly filter: Filter
  /** how many are shown at most */
  readonly rows: number
  /** how many are looked through for them at most, where the server's search finds more than is meant */
  readonly depth: number
  /** the newest that is shown: what is newer is counted instead; null: whatever is there */
  readonly top: Pick<Command, 'commandId' | 'createTime'> | null
}

export interface Found {
  /** newest first */
  readonly commands: readonly Command[]
  /** newer ones that match, up to NEWER_MAX */
  readonly newer: number
  /** why there may be more: `rows` so many were wanted, `depth` so many were looked through; null: these are all */
  readonly stoppedBy: 'rows' | 'depth' | null
  /** commands that were looked through */
  readonly lookedAt: number
}

/** newer commands that are counted: beyond it, that there are many says enough */
export const NEWER_MAX = 100
/** commands of one call: few calls, where some of what they find is not meant */
const CALL_ROWS = 100
/** commands of one call where inputs are so large that the server would not give more */
const CALL_ROWS_LARGE = 15

export async function findCommands(
  client: Downlink,
  assetId: string,
  wanted: Wanted,
  signal: AbortSignal,
): Promise<Found> {
  const commandId = idIn(wanted.filter)
  if (commandId !== null) return findOne(client, assetId, commandId, signal)
  const { text } = wanted.filter
  const model = text === '' ? null : await client.thingModel(assetId, { signal })
  const expression = expressionOf(wanted.filter, model, serverNow())
  try {
    return await find(client, assetId, wanted, { expression, pageSize: CALL_ROWS, signal })
  } catch (error) {
    if (!isTooLarge(error)) throw error
    return find(client, assetId, wanted, { expression, pageSize: CALL_ROWS_LARGE, signal })
  }
}

const isTooLarge = (error: unknown): boolean =>
  error instanceof DownlinkError &&
  error.code === codes.invalidArgument &&
  error.message.includes('pagination.pageSize')

interface Search {
  readonly expression: string
  readonly pageSize: number
  readonly signal: AbortSignal
}

async function find(client: Downlink, assetId: string, wanted: Wanted, search: Search): Promise<Found> {
  const { filter, rows, depth, top } = wanted
  const until = top === null ? null : `createTime <= "${second(Number(top.createTime))}"`
  const newer = top === null ? 0 : await countNewer(client, assetId, wanted, top, search)
  const commands: Command[] = []
  let lookedAt = 0
  const found = (stoppedBy: Found['stoppedBy']): Found => ({ commands, newer, stoppedBy, lookedAt })
  const pageSize = isExact(filter) ? Math.min(search.pageSize, rows + 1) : search.pageSize
  const expression = both(search.expression, until)
  for await (const command of client.search({ assetId }, { expression, pageSize, signal: search.signal })) {
    if (top !== null && command.commandId > top.commandId) continue
    if (commands.length === rows) return found('rows')
    if (lookedAt === depth && !isExact(filter)) return found('depth')
    lookedAt += 1
    if (matches(filter, command)) commands.push(command)
  }
  return found(null)
}

const both = (left: string, right: string | null): string =>
  [left, right ?? ''].filter(term => term !== '').join(' and ')

/** A bound of a search is a whole second: what is of the same second and older than the newest that is shown is no newer one. */
async function countNewer(
  client: Downlink,
  assetId: string,
  { filter }: Wanted,
  { commandId, createTime }: Pick<Command, 'commandId' | 'createTime'>,
  { expression, pageSize, signal }: Search,
): Promise<number> {
  const since = both(expression, `createTime >= "${second(Number(createTime))}"`)
  const { commands } = await client.searchPage({ assetId }, { expression: since, pageSize, signal })
  return commands.filter(command => command.commandId > commandId && matches(filter, command)).length
}

async function findOne(client: Downlink, assetId: string, commandId: string, signal: AbortSignal): Promise<Found> {
  const found = { newer: 0, stoppedBy: null, lookedAt: 1 }
  try {
    return { ...found, commands: [await client.get({ assetId }, commandId, { signal })] }
  } catch (error) {
    if (error instanceof DownlinkError && error.code === codes.commandNotFound) return { ...found, commands: [] }
    throw error
  }
}
