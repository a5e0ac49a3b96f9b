// The end of a run: everything must become final, everything acknowledged must be on record, and the record must be what was told.
// Not here: who was struck and how before that (kills.ts, cluster-run.ts), and what contradicts what (ledger.ts).

import { setTimeout as sleep } from 'node:timers/promises'
import type { Device } from './device.ts'
import type { DeviceName, Fleet } from './fleet.ts'
import { type Fault, FINAL_STATES, faultNames, type Ledger } from './ledger.ts'
import { look, readAll, type Shown, type Wire } from './load.ts'

/** for everything to become final after the last restart: a queue of 50 needs less than one second, the longest timeout 3 s */
const SETTLE_MS = 30_000
const READERS = 8
/** for a page of a search whose answer does not come, though nothing is being struck any more */
const READ_ATTEMPTS = 3

/** Waits until every device is connected or logged in, and nothing is open. What is open in the end is stuck. */
export async function settle(
  wire: Wire,
  { all }: Fleet,
  devices: readonly Device[],
  everyMs: number,
  signal: AbortSignal,
): Promise<void> {
  const until = performance.now() + SETTLE_MS
  for (;;) {
    const open = (await Promise.all(all.map(device => recordsOf(wire, device)))).flat().filter(isOpen)
    const away = devices.filter(device => !device.isHere)
    if (open.length === 0 && away.length === 0) return
    if (performance.now() > until) {
      for (const { id, state } of open) wire.ledger.stuck(id, `state ${state} ${SETTLE_MS} ms after the last restart`)
      if (away.length > 0)
        wire.ledger.contradiction(
          `${away.map(({ assetId }) => assetId)} could not connect, or log theirs in, within ${SETTLE_MS} ms`,
        )
      return
    }
    await sleep(everyMs, undefined, { signal })
  }
}

const isOpen = ({ state }: Shown): boolean => !FINAL_STATES.has(state)

/** Every record by search, and the acknowledged ones by get as well, at most so many, the newest first. The ids on record. */
export async function readEverything(
  wire: Wire,
  { all }: Fleet,
  getsMax = Number.POSITIVE_INFINITY,
): Promise<Set<string>> {
  const onRecord = new Set<string>()
  for (const device of all) {
    const records = await recordsOf(wire, device)
    for (const { id } of records) onRecord.add(id)
    if (new Set(records.map(({ id }) => id)).size < records.length)
      wire.ledger.contradiction(`search of ${device.assetId} lists a command twice`)
  }
  const queue = wire.ledger.acknowledged().slice(-getsMax)
  const read = async () => {
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) await look(wire, next.assetId, next.id)
  }
  await Promise.all(Array.from({ length: READERS }, read))
  return onRecord
}

async function recordsOf(wire: Wire, { assetId }: DeviceName): Promise<Shown[]> {
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt += 1) {
    const records = await readAll(wire, assetId)
    if (records !== null) return records
  }
  throw new Error(`the search of ${assetId} was not answered, though the server was up`)
}

/** One line while a run is going on. */
export function progressOf(ledger: Ledger, { all }: Fleet): string {
  const { accepted, cancelled, delivered, unanswered } = ledger.totals(all.map(({ assetId }) => assetId))
  const faults = Object.values(faultsOf(ledger)).join(' ')
  return `accepted ${accepted}, cancelled ${cancelled}, delivered ${delivered}, unanswered ${unanswered}; faults ${faults}`
}

export const faultsOf = (ledger: Ledger): Record<Fault, number> =>
  Object.fromEntries((Object.keys(faultNames) as Fault[]).map(fault => [fault, ledger.count(fault)])) as Record<
    Fault,
    number
  >

export const explainedOf = ({ faults }: Ledger): string[] =>
  faults.map(({ fault, text }) => `${faultNames[fault]}: ${text}`)
