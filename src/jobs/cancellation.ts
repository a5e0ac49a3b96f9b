// The steps of a cancellation by filter: it goes through the devices, writes down the commands that it is for, cancels each of these by its id, and writes
// down what came of it. Each step is bounded, and may be the last one before a crash. What was written down and not decided is taken up again: a command that
// is found cancelled was cancelled by this cancellation if the event of it says so, and so the result agrees with the event log to the last command.
// Not here: whose turn it is (turns.ts, runner.ts), which commands it is for (filter.ts).

import { type Command, State } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import {
  CANCELLATION_EMPTY_STEPS,
  CANCELLATION_STEP_COMMANDS,
  CANCELLATION_STEP_DEVICES,
  JOB_VISIT_STEPS,
  LATE_REPLIES_KEPT,
  RETRY_AFTER_MS,
} from '../core/limits.ts'
import type { CancellationItem, CancellationRow } from '../store/jobs.ts'
import { coversCommand, coversDevice, type Filter, storedFilter } from './filter.ts'
import { isNothing, type Workshop } from './job.ts'
import { makerOf, stillReaches } from './maker.ts'
import type { Keep } from './turns.ts'

/** Takes a cancellation some steps further. When this resolves, its row says when it is to be looked at again. */
export async function visitCancellation(shop: Workshop, cancellationId: string, keep: Keep): Promise<void> {
  const { store, clock } = shop
  let row: CancellationRow | null = null
  for (let n = 0; n < JOB_VISIT_STEPS; n++) {
    if (!(await keep())) return
    row = await store.cancellation(cancellationId)
    if (row === null || row.nextAt === null || row.nextAt > clock.now()) return
    if (!(await step(shop, row, keep))) return
    await shop.rest()
  }
  // There is more to do; but others that are due have waited longer now.
  if (row !== null) await store.saveCancellation(cancellationId, row.status, { ...row, nextAt: clock.now() })
}

/** One step. False: there is nothing more to do at this instant. */
async function step(shop: Workshop, row: CancellationRow, keep: Keep): Promise<boolean> {
  const { store, clock } = shop
  const { cancellationId, status } = row
  if (status === 'running' && !(await mayGoOn(shop, row))) return halt(shop, row)
  const items = await store.undecidedItems(cancellationId, CANCELLATION_STEP_COMMANDS)
  if (items.length > 0) return decide(shop, row, items)
  if (status === 'running' && row.scannedTo !== null) return scan(shop, row, row.scannedTo, keep)
  const end = status === 'stopping' ? 'stopped' : 'ended'
  await store.saveCancellation(cancellationId, status, { status: end, nextAt: null, endedAt: clock.now() })
  return false
}

/** Its maker is there, and may command all that it could when it asked for this. */
async function mayGoOn({ fleet }: Workshop, row: CancellationRow): Promise<boolean> {
  return stillReaches(await makerOf(fleet, row), storedFilter(row.filterJson).reach)
}

/** As if somebody had stopped it: what was found is still written down. */
async function halt({ store, clock, log }: Workshop, { cancellationId, createdBy }: CancellationRow): Promise<boolean> {
  log.warn({ cancellationId, createdBy }, 'a cancellation is stopped: its maker was removed, or may command less now')
  await store.saveCancellation(cancellationId, 'running', { status: 'stopping', nextAt: clock.now(), endedAt: null })
  return true
}

// --- finding -----------------------------------------------------------------------------------------------------

type Found = Pick<CancellationItem, 'commandId' | 'deviceId' | 'state'>

/** Writes down the commands of the next devices. Of a dry run each is decided by that: it would be cancelled, or not. */
async function scan(shop: Workshop, row: CancellationRow, from: number, keep: Keep): Promise<boolean> {
  const filter = storedFilter(row.filterJson)
  let to: number | null = from
  let found: Found[] = []
  // Pages with nothing on them are not written down one by one.
  for (let n = 0; n < CANCELLATION_EMPTY_STEPS && to !== null && found.length === 0; n++) {
    const page = await pageOf(shop, row, filter, to)
    found = await commandsOf(shop, page.deviceIds, filter, row.dryRun)
    to = page.next
    await shop.rest()
    if (!(await keep())) break
  }
  await shop.store.addItems(row.cancellationId, from, to, found)
  return true
}

/** The next devices to look at. */
async function pageOf(
  { store }: Workshop,
  row: CancellationRow,
  filter: Filter,
  after: number,
): Promise<{ readonly deviceIds: readonly number[]; readonly next: number | null }> {
  if (filter.deviceIds !== null) {
    const left = filter.deviceIds.filter(deviceId => deviceId > after)
    const deviceIds = left.slice(0, CANCELLATION_STEP_DEVICES)
    return { deviceIds, next: left.length > deviceIds.length ? (deviceIds.at(-1) ?? null) : null }
  }
  const { devices, next } = await store.openDevices(row.orgId, after, CANCELLATION_STEP_DEVICES)
  const covered = devices.filter(device => coversDevice(filter, device))
  return { deviceIds: covered.map(({ deviceId }) => deviceId), next }
}

async function commandsOf(
  { store }: Workshop,
  deviceIds: readonly number[],
  filter: Filter,
  dryRun: boolean,
): Promise<Found[]> {
  const queues = await store.load(deviceIds.map(deviceId => ({ deviceId, commandIds: [] })))
  return queues.flatMap(queue => {
    const covered = queue?.open.filter(command => coversCommand(filter, command)) ?? []
    return covered.map(({ id, state }: Command) => {
      const isDecided = dryRun || state !== State.created
      return { commandId: id, deviceId: queue?.deviceId ?? 0, state: isDecided ? state : null }
    })
  })
}

// --- deciding ----------------------------------------------------------------------------------------------------

type Decided = Pick<CancellationItem, 'commandId' | 'state' | 'ours'>

/** Cancels these commands, or where somebody has stopped the cancellation finds what became of them, and writes that down. */
async function decide(shop: Workshop, row: CancellationRow, items: readonly CancellationItem[]): Promise<boolean> {
  const { store, clock } = shop
  const { cancellationId, status } = row
  const decided = await Promise.all(
    items.map(item => (status === 'running' ? cancel(shop, row, item) : lookAt(shop, row, item))),
  )
  const known = decided.filter(each => each !== null)
  await store.decideItems(cancellationId, known)
  if (known.length === items.length) return true
  // Some were refused for now.
  await store.saveCancellation(cancellationId, status, { ...row, nextAt: clock.now() + RETRY_AFTER_MS })
  return false
}

/** Null: refused for now, or it is not known what came of it, which the next attempt finds out. */
async function cancel(shop: Workshop, row: CancellationRow, item: CancellationItem): Promise<Decided | null> {
  const { commandId, deviceId } = item
  const answer = await shop.engine.cancel(deviceId, commandId, row.createdBy, detailOf(row.cancellationId))
  if (answer.ok && answer.cancelled.length > 0) return { commandId, state: State.cancelled, ours: true }
  if (!answer.ok && !isNothing(answer)) return null
  if (answer.ok) {
    const [found] = answer.notCancelled
    if (found !== undefined && found.state !== State.cancelled) return { commandId, state: found.state, ours: false }
  }
  // Cancelled by somebody, perhaps by this cancellation before a crash; or with its device, which is gone.
  return lookAt(shop, row, item)
}

/** How it stands, and whether this cancellation cancelled it. Null: it waits, and nobody has stopped the cancellation, so that it is still to be cancelled. */
async function lookAt({ store }: Workshop, row: CancellationRow, item: CancellationItem): Promise<Decided | null> {
  const { cancellationId, status } = row
  const { commandId, deviceId } = item
  const stored = await store.command(deviceId, commandId)
  const state = stored?.command.state ?? null
  if (state === State.created && status === 'running') return null
  if (state !== State.cancelled) return { commandId, state, ours: false }
  const events = await store.events(deviceId, commandId, EVENTS_MAX)
  const end = events.find(({ to }) => to === State.cancelled)
  return { commandId, state, ours: end !== undefined && isDetailOf(end.detail, cancellationId) }
}

/** Being cancelled is the last transition of a command that was never sent; nothing comes after it. */
const EVENTS_MAX = LATE_REPLIES_KEPT + 1

/** What the event of a command that it cancelled says. */
const detailOf = (cancellationId: string): string => JSON.stringify({ cancellation: cancellationId })

function isDetailOf(detail: string | null, cancellationId: string): boolean {
  const said: unknown = detail === null ? null : JSON.parse(detail)
  return isObject(said) && said.cancellation === cancellationId
}
