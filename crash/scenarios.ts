// What kills at random do not reach: a full disk, files that may not be written, a damaged log, two servers on one file, a clock that was set back,
// a gateway with much behind it.
// Each is a function that throws where something is not as it should be, and else tells what it saw. Not here: the kills (kills.ts).

import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { cancel, look, send } from './load.ts'
import { type Launch, NotStarted } from './place.ts'
import { type Shortage, shortageIn } from './shortage.ts'
import { expectThat, Stage } from './stage.ts'
import { transactionsIn } from './wal.ts'

/** Resolves with one line about what was seen. */
export type Scenario = (main: string, signal: AbortSignal) => Promise<string>

export const scenarios: ReadonlyMap<string, Scenario> = new Map<string, Scenario>([
  ['disk-full', diskFull],
  ['read-only', readOnly],
  ['damaged-log', damagedLog],
  ['two-servers', twoServers],
  ['clock-back', clockBack],
  ['gateway-drain', gatewayDrain],
])

const devices = (count: number) => ({ devices: count, gateways: 0, subDevices: 0 })

const CREATED = 1
const SENT = 4
const SUCCEEDED = 5
const TIMED_OUT = 7

// --- a full disk -----------------------------------------------------------------------------------------------------

/**
 * While there is no room, calls that must be written are refused and have done nothing, and the process answers on. A kill and a start on the full
 * disk either works or is refused clearly. With room again, everything acknowledged is there, and is delivered once and in order.
 */
function diskFull(main: string, signal: AbortSignal): Promise<string> {
  return Stage.play(main, devices(2), signal, async stage => {
    const shortage = shortageIn(stage.place.folder)
    try {
      return await fillUp(stage, shortage)
    } finally {
      shortage.remove()
    }
  })
}

async function fillUp(stage: Stage, shortage: Shortage): Promise<string> {
  const { ledger } = stage
  await stage.start(shortage.launch())
  const accepted = await stage.queue('a1', 5)
  shortage.begin(stage.server.pid)
  // Large ones first; then small ones, until not even those have room.
  const refusals = new Set<string>()
  for (const bytes of [8_000, 1]) await sendUntilRefused(stage, accepted, 'x'.repeat(bytes), refusals)
  expectThat(
    (await stage.caller.status(stage.server.httpUrl, '/healthz')) === 200,
    'the process answers while the disk is full',
  )

  await cancelUntilRefused(stage, accepted)
  const device = stage.device(1, 'obedient')
  await sleep(600, undefined, { signal: stage.signal })

  await stage.kill()
  const launch = shortage.launch()
  const atStart = await startsOrSaysWhy(stage, launch)
  shortage.end(stage.server.pid)
  if (atStart !== 'started') await stage.start(shortage.launch())
  const records = await stage.records('a1')
  expectThat(records.length === accepted.length, `${records.length} on record, ${accepted.length} were acknowledged`)
  accepted.push(...(await stage.queue('a1', 1)))
  await stage.becomes('a1', accepted.at(-1) ?? '', SUCCEEDED)
  expectThat(device.isHere, 'the device is back')
  await stage.stop(launch.data)
  const { delivered, cancelled } = ledger.totals(['a1'])
  expectThat(
    delivered + cancelled === accepted.length,
    `${delivered} delivered and ${cancelled} cancelled of ${accepted.length}`,
  )
  return `${shortage.how}; ${accepted.length} accepted, refusals ${[...refusals].join(', ')}; start on the full disk: ${atStart}; all ${delivered} delivered after it`
}

/** Sends ever on until five in a row are refused; adds the accepted ones and how the others were refused. */
async function sendUntilRefused(
  stage: Stage,
  accepted: string[],
  padding: string,
  refusals: Set<string>,
): Promise<void> {
  for (let inARow = 0; inARow < 5; ) {
    expectThat(accepted.length < 49, 'the disk becomes full before the queue does')
    const { status, code, id } = await trySend(stage, padding)
    if (id === null) refusals.add(`HTTP ${status} code ${code}`)
    else accepted.push(id)
    inARow = id === null ? inARow + 1 : 0
    const isClear = id !== null || code === 99500 || code === 99503
    expectThat(isClear, `refused with 99500 or 99503, not HTTP ${status} code ${code}`)
  }
}

/** A cancel that was refused has cancelled nothing. Those that were answered are the ledger's to judge. */
async function cancelUntilRefused(stage: Stage, accepted: readonly string[]): Promise<void> {
  for (const id of accepted) {
    const reported = await cancel(stage, 'a1', id)
    if (reported !== null) continue
    const state = await look(stage, 'a1', id)
    expectThat(state === CREATED, `the cancel of ${id} was refused, and it is in state ${state}`)
    return
  }
  expectThat(false, 'a disk that is full refuses a cancel')
}

async function trySend(stage: Stage, padding: string): Promise<{ status: number; code: number; id: string | null }> {
  let answer = { status: 0, code: Number.NaN }
  const refused = (status: number, code: number) => {
    answer = { status, code }
  }
  const id = await send(stage, 'a1', { pendingTtlS: 3_600, timeoutS: 30, padding, refused })
  return { ...answer, id }
}

/** `started`, or the message with which it ended. Clear: exit code 1, the reason in words, no stack. */
async function startsOrSaysWhy(stage: Stage, launch: Launch): Promise<string> {
  try {
    await stage.start(launch)
    return 'started'
  } catch (error) {
    if (!(error instanceof NotStarted)) throw error
    const { code, stderr } = error.ended
    expectThat(code === 1 && !/^\s+at /m.test(stderr), `it ends with 1 and a message, not with ${code}: ${stderr}`)
    return `refused (${stderr.trim()})`
  }
}

// --- files that may not be written -----------------------------------------------------------------------------------

/** The start is refused with the file's name and what to do; afterwards the file is as it was. */
function readOnly(main: string, signal: AbortSignal): Promise<string> {
  return Stage.play(main, devices(1), signal, async stage => {
    const data = join(stage.place.folder, 'data')
    mkdirSync(data)
    const database = stage.place.database(data)
    await stage.start({ data })
    const [first = ''] = await stage.queue('a1', 1)
    await stage.stop(data)
    const launch = { data, through: underFileModes() }
    const whole = readFileSync(database)
    chmodSync(database, 0o400)
    await refusesToStart(stage, launch, database, /writable/)
    chmodSync(database, 0o600)
    chmodSync(data, 0o500)
    await refusesToStart(stage, launch, database, /writable/)
    chmodSync(data, 0o700)
    expectThat(readFileSync(database).equals(whole), 'a refused start changes nothing')

    // The same with a log that holds what the file does not.
    await stage.start({ data })
    const [second = ''] = await stage.queue('a1', 1)
    await stage.kill()
    chmodSync(database, 0o400)
    await refusesToStart(stage, launch, database, /writable/)
    chmodSync(database, 0o600)
    await stage.start(launch)
    for (const id of [first, second]) await stage.becomes('a1', id, CREATED)
    await stage.stop(data)
    return 'a file and a folder that may not be written are refused at start, by name; nothing is lost by it'
  })
}

/** Root may write anything; without this capability the modes of files hold for root too. */
function underFileModes(): string[] {
  if (process.getuid?.() !== 0) return []
  const through = ['setpriv', '--bounding-set=-dac_override']
  execFileSync(through[0] ?? '', [...through.slice(1), 'true'], { stdio: 'pipe' })
  return through
}

async function refusesToStart(stage: Stage, launch: Launch, file: string, why: RegExp): Promise<void> {
  const server = stage.place.launch(launch)
  const started = await server.listening.then(
    () => true,
    () => false,
  )
  if (started) await server.kill()
  expectThat(!started, `the start on ${file} is refused`)
  const { code, stderr } = await server.ended
  const isClear = code === 1 && stderr.includes(file) && why.test(stderr) && !/^\s+at /m.test(stderr)
  expectThat(isClear, `it ends with 1 and says ${why} and ${file}, not with ${code}: ${stderr}`)
}

// --- a damaged log ---------------------------------------------------------------------------------------------------

/**
 * What may be lost is exact: SQLite takes the log up to the first frame that is damaged, in whole transactions. So of commands that were accepted one by
 * one, a damage leaves those whose transaction is complete before it, and none after it; what was moved into the file before is untouched by all of it.
 * (A disk that damages what it has acknowledged breaks the promises, and nothing in the process could keep them. What is asked is that the rest is right.)
 */
function damagedLog(main: string, signal: AbortSignal): Promise<string> {
  return Stage.play(main, devices(1), signal, async stage => {
    const data = join(stage.place.folder, 'data')
    mkdirSync(data)
    await stage.start({ data })
    const inFile = await stage.queue('a1', 3)
    // An orderly stop moves everything into the file; what follows is in the log only.
    await stage.stop(data)
    await stage.start({ data })
    const log = `${stage.place.database(data)}-wal`
    const inLog: { readonly id: string; readonly transactions: number }[] = []
    for (let i = 0; i < 6; i += 1) {
      const [id = ''] = await stage.queue('a1', 1)
      inLog.push({ id, transactions: transactionsIn(readFileSync(log)).length })
    }
    await stage.kill()
    const told: string[] = []
    for (const [name, damage] of damages)
      told.push(`${name}: ${await afterDamage(stage, data, inFile, inLog, name, damage)}`)
    return `of ${inFile.length} commands in the file and ${inLog.length} in the log there are, ${told.join('; ')}`
  })
}

type Damage = (log: Buffer) => Buffer

const flipped = (log: Buffer, at: number): Buffer => {
  const damaged = Buffer.from(log)
  damaged[at] = (damaged[at] ?? 0) ^ 0x40
  return damaged
}

/** Where the last whole transaction's commit frame is, counted from the end. */
function commitFrame(log: Buffer, fromEnd: number): { readonly from: number; readonly to: number } {
  const found = transactionsIn(log).at(-fromEnd)
  expectThat(found !== undefined, `the log has ${fromEnd} transactions`)
  return found
}

const damages: readonly (readonly [string, Damage])[] = [
  ['no damage', log => log],
  ['one bit in the page of the last frame', log => flipped(log, commitFrame(log, 1).to - 100)],
  ['one bit in the header of the last frame', log => flipped(log, commitFrame(log, 1).from + 5)],
  ['the last frame cut short', log => log.subarray(0, commitFrame(log, 1).to - 1_000)],
  ['one bit three transactions before the end', log => flipped(log, commitFrame(log, 4).from + 2_000)],
  ['noise behind the end', log => Buffer.concat([log.subarray(0, commitFrame(log, 1).to), Buffer.alloc(5_000, 0xa5)])],
  ['one bit in the header of the log', log => flipped(log, 17)],
]

async function afterDamage(
  stage: Stage,
  data: string,
  inFile: readonly string[],
  inLog: readonly { readonly id: string; readonly transactions: number }[],
  name: string,
  damage: Damage,
): Promise<string> {
  const copy = join(stage.place.folder, name.replaceAll(' ', '-'))
  mkdirSync(copy, { mode: 0o700 })
  for (const file of ['downlink.db', 'secret.key']) copyFileSync(join(data, file), join(copy, file))
  const damaged = damage(readFileSync(join(data, 'downlink.db-wal')))
  writeFileSync(join(copy, 'downlink.db-wal'), damaged, { mode: 0o600 })
  const whole = transactionsIn(damaged).length
  const expected = [...inFile, ...inLog.filter(({ transactions }) => transactions <= whole).map(({ id }) => id)]

  // Looked at through the wire, and not told to the ledger, which would rightly call it a loss.
  const copied = await Stage.play(stage.place.main, devices(1), stage.signal, async other => {
    await other.start({ data: copy })
    const records = (await other.records('a1')).map(({ id, state }) => `${id} ${state}`)
    other.ledger.forget()
    const wanted = expected.map(id => `${id} ${CREATED}`)
    expectThat(
      records.join() === wanted.join(),
      `${name}: on record are ${records.join(', ')}, it should be ${wanted.join(', ')}`,
    )
    // Life goes on there: the next id is larger, and all that is left is delivered in order.
    const [next = ''] = await other.queue('a1', 1)
    expectThat(next > (expected.at(-1) ?? ''), `${next} is larger than what is there`)
    other.ledger.forget()
    await other.stop(copy)
    return String(records.length)
  })
  return copied
}

// --- two servers on one file -----------------------------------------------------------------------------------------

/** The second is refused, also by another name of the file; the first is not disturbed; when it is killed, the next can start at once. */
function twoServers(main: string, signal: AbortSignal): Promise<string> {
  return Stage.play(main, devices(1), signal, async stage => {
    const { folder } = stage.place
    const data = join(folder, 'data')
    mkdirSync(data)
    symlinkSync(data, join(folder, 'other-name'))
    const first = await stage.start({ data })
    const ids = await stage.queue('a1', 2)
    for (const name of ['data', 'other-name'])
      await refusesToStart(
        stage,
        { data: join(folder, name) },
        stage.place.database(join(folder, name)),
        /another process/,
      )
    expectThat(!first.isOver, 'the first server runs on')
    ids.push(...(await stage.queue('a1', 2)))
    await stage.kill()
    await stage.start({ data: join(folder, 'other-name') })
    expectThat((await stage.records('a1')).map(({ id }) => id).join() === ids.join(), 'all is there, in order')
    stage.device(1, 'obedient')
    await stage.becomes('a1', ids.at(-1) ?? '', SUCCEEDED)
    await stage.stop(data)
    return 'the second is refused, by either name of the file; the first goes on; after a kill the next starts at once'
  })
}

// --- a clock that was set back ---------------------------------------------------------------------------------------

const STEP_BACK_MS = 300_000
/** The server has no hook for its clock; Node has one for what is loaded before a program. */
const SET_BACK = `const now = Date.now; Date.now = () => now() - ${STEP_BACK_MS}\n`

/** A restart five minutes in the past: ids still grow, nothing is lost, order holds, and what has a deadline still meets it. */
function clockBack(main: string, signal: AbortSignal): Promise<string> {
  return Stage.play(main, devices(2), signal, async stage => {
    const module = join(stage.place.folder, 'set-back.mjs')
    writeFileSync(module, SET_BACK)
    await stage.start()
    const queued = await stage.queue('a1', 5)
    stage.device(2, 'silent')
    const [flying = ''] = await stage.queue('a2', 1, 2)
    await stage.becomes('a2', flying, SENT)
    await stage.kill()

    await stage.start({ env: { NODE_OPTIONS: `--import=${pathToFileURL(module)}` } })
    queued.push(...(await stage.queue('a1', 3)))
    const [last = ''] = queued.slice(-1)
    expectThat([...queued].sort().join() === queued.join(), `ids grow: ${queued.join(', ')}`)
    expectThat((await cancel(stage, 'a1', last))?.join() === last, 'a cancel works')
    stage.device(1, 'obedient')
    await stage.becomes('a1', queued.at(-2) ?? '', SUCCEEDED)
    await stage.becomes('a2', flying, TIMED_OUT, 10_000)
    await stage.stop()
    return `set back by ${STEP_BACK_MS / 1_000} s across a restart: ids grow, ${queued.length - 1} delivered in order, deadlines are met`
  })
}

// --- a gateway in the middle of its drain ----------------------------------------------------------------------------

const SUB_DEVICES = 50
const QUEUED = 20
/** short, because what is not answered must time out before the end; long enough for an answer on a busy machine */
const DRAIN_TIMEOUT_S = 5
/** sub-devices that do not answer the command at this place of their queue, so that at the kill some are surely sent and unanswered */
const WITHHOLDING = 10
const WITHHELD_AT = 3
/** delivered before the kill; those that withhold never get their last 16, so that it always comes in the middle */
const DELIVERED_MIN = 300

/**
 * The server is killed in the middle of the drain of all that waits behind a gateway. When both are back, and the gateway has logged all in by batch,
 * each sub-device gets the rest in order. What was sent and not answered times out, one command of each at most, and is not sent again; nothing else is missing.
 */
function gatewayDrain(main: string, signal: AbortSignal): Promise<string> {
  return Stage.play(main, { devices: 0, gateways: 1, subDevices: SUB_DEVICES }, signal, async stage => {
    await stage.start()
    const names = stage.place.fleet.gateways[0]?.subDevices.map(({ assetId }) => assetId) ?? []
    const queued = await Promise.all(names.map(assetId => stage.queue(assetId, QUEUED, DRAIN_TIMEOUT_S)))
    const gateway = stage.gateway(1, 'obedient')
    const withheld = names.slice(0, WITHHOLDING).map((assetId, i) => ({ assetId, id: queued[i]?.[WITHHELD_AT] ?? '' }))
    for (const { id } of withheld) gateway.withheld.add(id)
    const { ledger } = stage
    const isHalfWay = () =>
      ledger.totals(names).delivered >= DELIVERED_MIN && withheld.every(({ id }) => ledger.isReceived(id))
    await stage.until(isHalfWay, 'the drain is under way')
    await stage.kill()
    const before = names.map(assetId => ledger.receivedBy(assetId))
    const unanswered = new Set(before.flat().filter(id => !ledger.isAnswerTaken(id)))

    await stage.start()
    for (const [i, assetId] of names.entries()) await stage.becomes(assetId, queued[i]?.at(-1) ?? '', SUCCEEDED)
    expectThat(gateway.isHere, 'the gateway is back, and all are logged in')
    let timedOut = 0
    for (const [i, assetId] of names.entries())
      timedOut += await drained(stage, assetId, queued[i] ?? [], before[i]?.length ?? 0, unanswered)
    for (const { assetId, id } of withheld) await stage.becomes(assetId, id, TIMED_OUT)
    expectThat(timedOut >= WITHHOLDING, `${timedOut} timed out, ${WITHHOLDING} were surely sent and not answered`)
    ledger.close(new Set(queued.flat()))
    await stage.stop()
    const inAll = `${SUB_DEVICES} sub-devices with ${QUEUED} commands each`
    return `${inAll}, killed after ${before.flat().length} were delivered: ${timedOut} that were under way timed out, the rest came in order`
  })
}

/** What must hold of one sub-device's queue; how many of it timed out. `before`: how many of it had reached the gateway at the kill. */
async function drained(
  stage: Stage,
  assetId: string,
  queued: readonly string[],
  before: number,
  unanswered: ReadonlySet<string>,
): Promise<number> {
  const { ledger } = stage
  const records = await stage.records(assetId)
  expectThat(records.map(({ id }) => id).join() === queued.join(), `all of ${assetId} is on record, in order`)
  const timedOut = records.filter(({ state }) => state === TIMED_OUT).map(({ id }) => id)
  for (const { id, state } of records) {
    const isWhole = state === SUCCEEDED && ledger.isReceived(id)
    expectThat(
      isWhole || state === TIMED_OUT,
      `${id} of ${assetId} is in state ${state}, received: ${ledger.isReceived(id)}`,
    )
  }
  // The one that was under way at the kill: it had come and was not answered, or it was next and its bytes were lost on the way.
  const [lost, ...more] = timedOut
  expectThat(more.length === 0, `of ${assetId} only one was under way, and ${timedOut.join(', ')} timed out`)
  if (lost === undefined) return 0
  const wasUnderWay = unanswered.has(lost) || (queued.indexOf(lost) === before && !ledger.isReceived(lost))
  expectThat(wasUnderWay, `${lost} of ${assetId} timed out, and was not under way when the server was killed`)
  return 1
}
