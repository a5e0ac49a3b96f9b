// How long it takes until a change in the store is seen: from the `at` of its event to the animation frame with which the page of its device shows it, over a
// thousand changes, a real server with SQLite and fsync, a real browser, a real device; and beside it, in the same run and the same page, how long its event
// takes to arrive there without anything being drawn. Not a test: machines are noisy, so the figure to quote is the ratio. Needs `npm run build`.

import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { Page } from 'playwright-core'
import { markdown, quantile, ratio, shown } from '../bench/rig/figures.ts'
import { type ChangeEvent, type Downlink, isFinal } from '../packages/client/src/index.ts'
import type { TestDevice } from '../test/rig/server.ts'
import { type Frame, follow, type Told, watch } from './latency/in-page.ts'
import { launch } from './test/rig/browser.ts'
import { devices, ORG } from './test/rig/fleet.ts'
import { TestServer } from './test/rig/server.ts'

const { values } = parseArgs({
  options: { steady: { type: 'string', default: '700' }, bursts: { type: 'string', default: '300' } },
})
/** changes that are measured, at each pace */
const STEADY = Number(values.steady)
const BURSTS = Number(values.bursts)
/** changes before that which are not: the page's code and the server's are compiled on the way */
const WARM_UP = 100
/**
 * At the steady pace calls go out at their times, whether or not those before have been answered: two commands, then a cancel of the newest; and the device
 * answers one in the time of three calls. Five changes for three calls, so 20 in a second.
 */
const CALL_EVERY_MS = 250 / 3
const ANSWER_AFTER_MS = 200
/** commands of a burst, sent at once, and cancelled by one call a moment later; then it is quiet */
const BURST = 10
const BURST_MS = 300
const QUIET_MS = 700
/** ms after which a run hangs; it takes a minute and a half */
const HANGS_AFTER_MS = 300_000
/** s that commands wait, and that the device has: nothing lapses during a run */
const LONG = { pendingTtl: 3_600, timeout: 60 }

const device = { assetId: devices.one.assetId }

/** What the device is told it does after a while, one at a time as they come. */
function answersSlowly(server: TestServer): Promise<TestDevice> {
  const slow: Promise<TestDevice> = server.connect(devices.one, ({ topic, payload }) => {
    const reply = JSON.stringify({ id: payload.id, code: 200, data: {} })
    setTimeout(async () => (await slow).client.publish(`${topic}_reply`, reply, { qos: 1 }), ANSWER_AFTER_MS)
    return undefined
  })
  return slow
}

/** The stream as any program reads it, with when each event was there. */
class Ear {
  readonly heard: { readonly event: ChangeEvent; readonly arrivedAt: number }[] = []
  readonly #stop = new AbortController()
  readonly opened: Promise<void>

  constructor(client: Downlink) {
    this.opened = new Promise((resolve, reject) => this.#listen(client, resolve).catch(reject))
  }

  async #listen(client: Downlink, onOpen: () => void): Promise<void> {
    try {
      for await (const event of client.events({ ...device, signal: this.#stop.signal, onOpen }))
        if (event.commandId !== null) this.heard.push({ event, arrivedAt: Date.now() })
    } catch (error) {
      if (!this.#stop.signal.aborted) throw error
    }
  }

  stop(): void {
    this.#stop.abort()
  }
}

/** Calls at their times until so many changes have been heard. */
async function steadily(client: Downlink, ear: Ear, until: number): Promise<void> {
  const calls: Promise<unknown>[] = []
  let newest: Promise<{ commandId: string }> | null = null
  const begun = performance.now()
  for (let n = 0; ear.heard.length < until; n += 1) {
    await sleep(Math.max(0, begun + n * CALL_EVERY_MS - performance.now()))
    if (n % 3 === 2) calls.push(Promise.resolve(newest).then(sent => sent && client.cancel(device, sent.commandId)))
    else {
      newest = client.setMeasurepoint(device, 'Int_value', n, LONG)
      calls.push(newest)
    }
  }
  await Promise.all(calls)
}

async function inBursts(client: Downlink, ear: Ear, until: number): Promise<void> {
  while (ear.heard.length < until) {
    await Promise.all(Array.from({ length: BURST }, (_, n) => client.setMeasurepoint(device, 'Int_value', n, LONG)))
    await sleep(BURST_MS)
    await client.cancelAll(device)
    await sleep(QUIET_MS)
  }
}

/** Until nothing is open, so that the next part begins as the first did, and all that there is to see has been seen. */
async function quiet(client: Downlink, page: Page): Promise<void> {
  await client.cancelAll(device)
  while ((await client.queue(device.assetId)).commands.length > 0) await sleep(100)
  await page.waitForFunction(() => document.querySelector('[data-command-id][data-state]') === null)
  await sleep(QUIET_MS)
}

/** What became of a change on the page: ms until its own state was painted; until a newer one was, which had replaced it; or neither was ever to be seen. */
interface Seen {
  readonly toStreamMs: number
  readonly toPageMs: number
  readonly toPixelMs: number | null
  readonly toNewerPixelMs: number | null
}

/** How far a command is: a row shows the first two, and that it is over by not being there any more. */
const stage = (event: ChangeEvent): number => (event.to === null ? 0 : isFinal(event.to) ? 3 : event.to === 4 ? 2 : 1)
const stages = new Map([
  ['created', 1],
  ['sent', 2],
])

/** For each command the frames with which the page showed something else of it. */
function paintings(frames: readonly Frame[]): Map<string, { readonly stage: number; readonly paintedAt: number }[]> {
  const found = new Map<string, { stage: number; paintedAt: number }[]>()
  let before = new Map<string, string>()
  for (const { paintedAt, rows } of frames) {
    const now = new Map(rows)
    for (const [id, state] of now) {
      if (before.get(id) === state) continue
      const painted = { stage: stages.get(state) ?? 3, paintedAt }
      found.set(id, [...(found.get(id) ?? []), painted])
    }
    for (const id of before.keys()) if (!now.has(id)) found.get(id)?.push({ stage: 3, paintedAt })
    before = now
  }
  return found
}

function seen(ear: Ear, told: readonly Told[], frames: readonly Frame[]): Seen[] {
  const arrivals = new Map(told)
  const painted = paintings(frames)
  return ear.heard.map(({ event, arrivedAt }) => {
    const { id, at, commandId } = event
    const inPageAt = arrivals.get(id)
    if (inPageAt === undefined) throw new Error(`the page has not been told of ${id}`)
    const mine = painted.get(commandId ?? '') ?? []
    const own = mine.find(({ stage: painted }) => painted === stage(event))
    const newer = mine.find(({ stage: painted }) => painted > stage(event))
    return {
      toStreamMs: arrivedAt - at,
      toPageMs: inPageAt - at,
      toPixelMs: own === undefined ? null : own.paintedAt - at,
      toNewerPixelMs: own === undefined && newer !== undefined ? newer.paintedAt - at : null,
    }
  })
}

const present = (values: readonly (number | null)[]): number[] => values.filter(value => value !== null)

function report(name: string, changes: readonly Seen[]): (readonly string[])[] {
  const toPage = changes.map(({ toPageMs }) => toPageMs)
  const row = (what: string, figures: readonly number[]): readonly string[] => [
    `${name}: ${what}`,
    String(figures.length),
    ...[0.5, 0.95, 0.99, 1].map(part => shown(quantile(figures, part))),
    ratio(quantile(figures, 0.5), quantile(toPage, 0.5)),
    ratio(quantile(figures, 0.95), quantile(toPage, 0.95)),
  ]
  const toStream = changes.map(({ toStreamMs }) => toStreamMs)
  const own = present(changes.map(({ toPixelMs }) => toPixelMs))
  const newer = present(changes.map(({ toNewerPixelMs }) => toNewerPixelMs))
  return [
    row('on the stream', toStream),
    row('told in the page, not drawn', toPage),
    row('**painted**', own),
    row('painted, or a newer one of the command', [...own, ...newer]),
  ]
}

function print(steady: readonly Seen[], bursts: readonly Seen[]): void {
  const all = [...steady, ...bursts]
  const painted = all.filter(({ toPixelMs }) => toPixelMs !== null).length
  const replaced = all.filter(({ toNewerPixelMs }) => toNewerPixelMs !== null).length
  const [{ model = 'unknown' } = {}] = cpus()
  console.log(`${all.length} changes; ${cpus().length} x ${model}, Node ${process.version}\n`)
  const table = {
    title: 'From a change to its pixel',
    head: ['', 'changes', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms', 'ratio p50', 'ratio p95'],
    rows: [...report('all', all), ...report('20/s', steady), ...report('bursts', bursts)],
    notes: [
      `Of ${all.length} changes ${painted} were painted, ${replaced} had been replaced by a newer one of their command before the next frame, and ${
        all.length - painted - replaced
      } were of commands that were over before the page had looked once. Ratios are to "told in the page, not drawn".`,
    ],
  }
  console.log(markdown(table))
}

async function openPage(server: TestServer, operatorToken: string) {
  const browser = await launch()
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1280, height: 800 } })
  // What runs this file puts calls of it into functions, and so into those that run in the page.
  await context.addInitScript({ content: 'globalThis.__name = made => made' })
  await context.addInitScript(token => sessionStorage.setItem('downlink.operatorToken', token), operatorToken)
  const page = await context.newPage()
  await page.goto(server.page(`/devices/${device.assetId}`))
  await page.locator('[data-connection=live]').first().waitFor()
  await page.evaluate(watch)
  await page.evaluate(follow, { ...device, orgId: ORG, operatorToken })
  return { browser, page }
}

async function run(): Promise<void> {
  const server = await TestServer.start({ auth: 'signature' })
  const { browser, page } = await openPage(server, await server.operatorToken('anna'))
  try {
    const client = server.client()
    const ear = new Ear(client)
    await ear.opened
    await answersSlowly(server)
    await steadily(client, ear, WARM_UP)
    await quiet(client, page)
    const from = ear.heard.length
    await steadily(client, ear, from + STEADY)
    await quiet(client, page)
    const between = ear.heard.length
    await inBursts(client, ear, between + BURSTS)
    await quiet(client, page)
    ear.stop()
    const { told, frames } = await page.evaluate(() => globalThis.downlinkWatched)
    const changes = seen(ear, told, frames)
    print(changes.slice(from, from + STEADY), changes.slice(between, between + BURSTS))
  } finally {
    await browser.close()
    await server.stop()
  }
}

const hanging = setTimeout(() => {
  console.error(`it has not ended after ${HANGS_AFTER_MS / 1_000} s`)
  process.exit(1)
}, HANGS_AFTER_MS)
await run()
clearTimeout(hanging)
