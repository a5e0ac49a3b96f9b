// The stream of changes where several nodes share a PostgreSQL: one stream sees what all of them do, in the order of each device, and leaves nothing out; a
// webhook is delivered by one of them at a time, and by another one when that is gone.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Server } from '../src/cli/serve.ts'
import { Follows, Receiver } from './rig/changes.ts'
import { startNode } from './rig/node.ts'
import { sharedPostgres, stopSharedPostgres } from './rig/postgres.ts'
import { type Answer, APP, Application, fleetFile, ORG, TestDevice } from './rig/server.ts'

const DEVICES = 12

let folder: string
let nodes: Server[]
const stops: (() => unknown)[] = []
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-events-'))
  const fleet = join(folder, 'fleet.json')
  writeFileSync(fleet, fleetFile(DEVICES))
  const postgres = await sharedPostgres()
  const url = postgres.url(await postgres.createDatabase())
  nodes = await Promise.all([0, 1].map(() => startNode(url, ['--fleet', fleet, '--webhooks', 'any'])))
})
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
  await Promise.all(nodes.map(node => node.stop()))
  rmSync(folder, { recursive: true, force: true })
})
afterAll(stopSharedPostgres)

const node = (n: number): Server => {
  const found = nodes[n]
  if (found === undefined) throw new Error(`there is no node ${n}`)
  return found
}
const caller = (n: number) => new Application(node(n).httpUrl, APP)

/** Every device connected to one of the nodes; half of the commands accepted by each. Resolves when all are answered. */
async function work(each: number): Promise<void> {
  const callers = [caller(0), caller(1)] as const
  const devices = await Promise.all(
    Array.from({ length: DEVICES }, (_, i) => new TestDevice(node(i % 2).mqttUrl, `d${i + 1}`).connected()),
  )
  stops.push(() => Promise.all(devices.map(device => device.end())))
  await Promise.all(
    devices.map(async (_, i) => {
      for (let n = 0; n < each; n++) {
        const by = callers[n % 2] ?? callers[0]
        const answer = await by.on({ assetId: `a${i + 1}` }).set(n)
        expect(answer.code).toBe(0)
      }
    }),
  )
  await Promise.all(devices.map(device => device.count(each)))
  await Promise.all(
    devices.map(async (_, i) => {
      const calls = callers[0].on({ assetId: `a${i + 1}` })
      for (;;) {
        const { data } = await calls.search({ expression: 'state in (1, 4)' })
        if (data.length === 0) return
      }
    }),
  )
}

/** All pages from the beginning, as a node has them; asked for until the last event of each device is there. */
async function pages(n: number, count: number): Promise<Answer['data']> {
  const app = caller(n)
  const events: Answer['data'] = []
  for (let after: string | null = null; events.length < count; ) {
    const params = { orgId: ORG, limit: '100', ...(after !== null && { after }) }
    const page = await app.call(params, { method: 'GET', resource: '/v1/changes' })
    expect(page.code).toBe(0)
    events.push(...page.data)
    after = page.next as string
  }
  return events
}

interface Event {
  readonly id: string
  readonly seq: number
  readonly device: { readonly assetId: string }
}
/** Of each device its events came in order, without a gap from the first one on. */
function expectDense(events: readonly Event[]): void {
  const seqs = new Map<string, number>()
  for (const { device, seq } of events) {
    expect(seq, `the next event of ${device.assetId}`).toBe((seqs.get(device.assetId) ?? 0) + 1)
    seqs.set(device.assetId, seq)
  }
}

// connected, and for each command accepted, sent, answered
const eventsOf = (each: number): number => DEVICES * (1 + 3 * each)

describe('two nodes', () => {
  test('tell the same of both, each device in its order, and skip nothing', async () => {
    const follows = await Promise.all([0, 1].map(n => Follows.begin(caller(n))))
    stops.push(() => follows.forEach(each => void each.close()))
    const each = 8
    await work(each)
    const [one = [], other = []] = await Promise.all(
      follows.map(async stream => (await stream.count(eventsOf(each))).map(({ data }) => data)),
    )
    expect(one).toEqual(other)
    expect(new Set(one.map(({ id }) => id)).size).toBe(eventsOf(each))
    expectDense(one)
    expect(await pages(0, eventsOf(each))).toEqual(one)
    expect(await pages(1, eventsOf(each))).toEqual(one)
    // What was sent says by which node, and both have sent.
    const senders = new Set(one.filter(({ to }) => to === 4).map(({ detail }) => detail.node))
    expect(senders.size).toBe(2)
  }, 60_000)

  test('who loses his stream with its node goes on at the other, and has all', async () => {
    let follows = await Follows.begin(caller(0))
    stops.push(() => follows.close())
    const each = 6
    const working = work(each)
    await follows.count(20)
    follows.close()
    const seen: Event[] = follows.changes.map(({ data }) => data)
    const { cursor } = follows
    follows = await Follows.begin(caller(1), {}, { 'last-event-id': cursor })
    await working
    const rest = await follows.count(eventsOf(each) - seen.length)
    seen.push(...rest.map(({ data }) => data))
    expectDense(seen)
    expect(seen).toEqual(await pages(1, eventsOf(each)))
  }, 60_000)

  test('deliver a webhook as one: every event, in order, and what the one that stops has not sent the other does', async () => {
    const receiver = new Receiver()
    const url = await receiver.listen()
    stops.push(() => receiver.stop())
    const made = await caller(0).call({ orgId: ORG }, { resource: '/v1/webhooks', body: { url } })
    expect(made.code).toBe(0)
    const first = 4
    await work(first)
    await receiver.distinct(eventsOf(first))
    const firsts = (): Event[] => {
      const seen = new Map<string, Event>()
      for (const event of receiver.events) if (!seen.has(event.id)) seen.set(event.id, event)
      return [...seen.values()]
    }
    expectDense(firsts())
    await node(0).stop()
    const app = caller(1)
    await app.on({ assetId: 'a2' }).queue(5)
    const before = eventsOf(first)
    // Besides the five: the devices of the node that stopped were disconnected, if they had not just come.
    while (firsts().filter(({ device, seq }) => device.assetId === 'a2' && seq > 3 * first + 1).length < 5)
      await receiver.distinct(Math.max(before + 5, firsts().length + 1))
    const got = firsts()
    expectDense(got)
    expect(got).toEqual((await pages(1, got.length)).slice(0, got.length))
  }, 60_000)
})
