// Webhooks: what a receiver gets, in which order, again and again until it takes it; what is given up and sent again; where nothing is sent. The receiver is
// a real HTTP server, the store is the one in memory, and the time between attempts is moved by hand.

import { createHmac } from 'node:crypto'
import { createServer } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { Kind } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import {
  WEBHOOK_BACKOFF_MAX_MS,
  WEBHOOK_BATCH_MAX,
  WEBHOOK_CALLS_PER_ORGANIZATION_MAX,
  WEBHOOK_GIVE_UP_MS,
  WEBHOOK_LOOK_MS,
  WEBHOOK_TURN_MS,
  WEBHOOKS_MAX_PER_ORGANIZATION,
} from '../src/core/limits.ts'
import { openMemory } from '../src/store/memory.ts'
import { cursorOf } from '../src/stream/cursor.ts'
import { backoffMs } from '../src/stream/delivery.ts'
import { Receiver, streamOver } from './rig/changes.ts'
import { type AppRig, type AppRigOptions, BY_PRODUCT, expectRefused, startApp } from './rig/http.ts'
import { type Answer, Application, ORG, READER, STRANGER } from './rig/server.ts'

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const DAY_MS = 86_400_000
/** ms that a receiver has here: nobody waits for ten seconds */
const ANSWER_WAIT_MS = 150

/** Lets everything come to rest: sockets of this process, and what their answers start. */
const turns = async (n = 60) => {
  for (let i = 0; i < n; i++) await new Promise(resolve => setImmediate(resolve))
}

class World {
  readonly receiver = new Receiver()
  readonly rig: AppRig
  url = ''
  readonly #device: number

  private constructor(rig: AppRig, device: number) {
    this.rig = rig
    this.#device = device
  }

  static async start(options: AppRigOptions = {}): Promise<World> {
    const rig = await startApp({ ...options, stream: { answerWaitMs: ANSWER_WAIT_MS, ...options.stream } })
    stops.push(() => rig.stop())
    await rig.changes.start()
    const world = new World(rig, (await rig.store.deviceByAsset('a1'))?.id ?? 0)
    world.url = await world.receiver.listen()
    stops.push(() => world.receiver.stop())
    return world
  }

  call(method: string, path = '', body?: unknown, app = this.rig.app): Promise<Answer> {
    return app.call({ orgId: ORG }, { method, resource: `/v1/webhooks${path}`, ...(body !== undefined && { body }) })
  }

  async webhook(over: object = {}): Promise<{ webhookId: string; secret: string }> {
    const answer = await this.call('POST', '', { url: this.url, ...over })
    expect(answer).toMatchObject({ status: 200, code: 0 })
    return answer.data
  }

  async get(webhookId: string): Promise<Answer['data']> {
    const answer = await this.call('GET', `/${webhookId}`)
    expect(answer.code).toBe(0)
    return answer.data
  }

  /** One event for each: commands are accepted. At most the 50 that a queue takes. */
  async happen(count = 1): Promise<void> {
    const command = {
      ...{ kind: Kind.set, identifier: 'Int_value', timeoutS: 30, pendingTtlS: 172_800, by: 'somebody' },
      ...{ nameJson: '{"defaultValue":"Int_value"}', inputJson: '1' },
    }
    await Promise.all(Array.from({ length: count }, () => this.rig.engine.enqueue(this.#device, command, false)))
    await turns()
  }

  /** Time passes; what it starts comes to rest, also what goes over sockets and back. `loosely`: it need not be there to the second. */
  async pass(ms: number, loosely = false): Promise<void> {
    await this.rig.clock.advance(ms, () => turns(loosely ? 4 : 60))
    // Tokens live for two hours.
    this.rig.app.token = null
  }

  /** Every event on record, as pages show them. */
  async events(): Promise<Answer['data']> {
    const page = await this.rig.app.call({ orgId: ORG }, { method: 'GET', resource: '/v1/changes' })
    return page.data
  }

  /** Resolves when so many attempts in all have failed, and that is on record. */
  async failed(webhookId: string, attempts: number): Promise<void> {
    while ((await this.rig.store.webhook(webhookId))?.attempts !== attempts) await turns(1)
  }
}

const refuse =
  (status: number, headers: Record<string, string> = {}): Receiver['answer'] =>
  (_, response) =>
    void response.writeHead(status, headers).end('not today')
const idOf = ({ id }: { id: string }): string => id

describe('a receiver', () => {
  test('gets every event once, in order, signed, in the words that everybody is told', async () => {
    const world = await World.start()
    const { webhookId, secret } = await world.webhook()
    await world.happen()
    await world.receiver.distinct(1)
    await world.happen(9)
    await world.receiver.distinct(10)
    const events = await world.events()
    expect(world.receiver.events).toEqual(events)
    for (const { headers, body, json } of world.receiver.received) {
      expect(json.webhookId).toBe(webhookId)
      expect(headers).toMatchObject({ 'content-type': 'application/json', 'downlink-webhook-id': webhookId })
      expect(headers['downlink-delivery']).toMatch(/^[0-9a-f]{32}$/)
      const [, t = '', v1 = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['downlink-signature'])) ?? []
      expect(Number(t)).toBe(Math.floor(world.rig.clock.wall() / 1_000))
      expect(v1).toBe(createHmac('sha256', secret).update(`${t}.${body}`).digest('hex'))
    }
    expect(await world.get(webhookId)).toMatchObject({
      cursor: events.at(-1).id,
      attempts: 0,
      lagMs: 0,
      lastError: null,
    })
  })

  test('is told only what it wants, and is not behind for what it does not want', async () => {
    const world = await World.start()
    const { webhookId } = await world.webhook({ filter: { assetId: 'a1', state: [2] } })
    await world.webhook({ filter: { productKey: 'freePk' } })
    await world.happen(3)
    await world.rig.app.on({ assetId: 'a1' }).cancel()
    await world.rig.app.on({ assetId: 'a2' }).queue(1)
    await world.receiver.distinct(3)
    await turns()
    expect(world.receiver.events.map(({ to }) => to)).toEqual([2, 2, 2])
    expect(await world.get(webhookId)).toMatchObject({ lagMs: 0, filter: { assetId: 'a1', state: [2] } })
  })

  test('gets at most so many at a time, and the next only after it has taken those before', async () => {
    const world = await World.start()
    let open = 0
    let most = 0
    world.receiver.answer = (_, response) => {
      open += 1
      most = Math.max(most, open)
      setImmediate(() => {
        open -= 1
        response.end()
      })
    }
    const { webhookId } = await world.webhook({ paused: true })
    for (let i = 0; i < 6; i++) {
      await world.happen(50)
      await world.rig.app.on({ assetId: 'a1' }).cancel()
    }
    await world.call('PATCH', `/${webhookId}`, { paused: false })
    await world.receiver.distinct(600)
    expect(most).toBe(1)
    const sizes = world.receiver.received.map(({ json }) => json.events.length)
    expect(Math.max(...sizes)).toBe(WEBHOOK_BATCH_MAX)
    expect(sizes.reduce((sum, n) => sum + n)).toBe(600)
    expect(world.receiver.events.map(({ seq }) => seq)).toEqual(Array.from({ length: 600 }, (_, i) => i + 1))
  })

  test('gets the same in the same words where it did not take it, after ever longer times, and never before', async () => {
    const world = await World.start()
    world.receiver.answer = refuse(500)
    const { webhookId } = await world.webhook()
    await world.happen()
    let now = 0
    let waitMs = 1_000
    for (let attempt = 1; attempt <= 13; attempt++) {
      await world.receiver.requests(attempt)
      await world.failed(webhookId, attempt)
      await world.pass(waitMs - 1)
      expect(world.receiver.received).toHaveLength(attempt)
      await world.pass(1)
      now += waitMs
      waitMs = Math.min(2 * waitMs, WEBHOOK_BACKOFF_MAX_MS)
    }
    await world.receiver.requests(14)
    expect(waitMs).toBe(WEBHOOK_BACKOFF_MAX_MS)
    const { received } = world.receiver
    expect(new Set(received.map(({ body }) => body)).size).toBe(1)
    expect(new Set(received.map(({ headers }) => headers['downlink-delivery'])).size).toBe(1)
    // Each is signed anew, so that a receiver may refuse what is old.
    expect(new Set(received.map(({ headers }) => headers['downlink-signature'])).size).toBe(14)
    await world.failed(webhookId, 14)
    expect(await world.get(webhookId)).toMatchObject({
      ...{ attempts: 14, lagMs: now, lastError: '500 Internal Server Error: not today' },
      failingSince: world.rig.clock.now() - now,
    })
    world.receiver.answer = (_, response) => void response.end()
    await world.pass(WEBHOOK_BACKOFF_MAX_MS)
    await world.receiver.requests(15)
    await turns()
    expect(await world.get(webhookId)).toMatchObject({ attempts: 0, failingSince: null, nextAt: null, lagMs: 0 })
  })

  test('that is not there, does not answer, hangs up or redirects has taken nothing', async () => {
    const world = await World.start()
    const other = new Receiver()
    const elsewhere = await other.listen()
    stops.push(() => other.stop())
    // A port at which nobody listens: that of a server that is gone.
    const nobody = await new Promise<number>(resolve => {
      const server = createServer().listen(0, '127.0.0.1', () => {
        const address = server.address()
        server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
      })
    })
    const { webhookId } = await world.webhook({ url: `http://127.0.0.1:${nobody}/` })
    await world.happen()
    await world.failed(webhookId, 1)
    expect((await world.get(webhookId)).lastError).toContain('ECONNREFUSED')
    const cases: [Receiver['answer'], string][] = [
      [() => undefined, `no answer within ${ANSWER_WAIT_MS / 1_000} s`],
      [(_, response) => response.destroy(), 'socket hang up'],
      [refuse(307, { location: elsewhere }), '307 Temporary Redirect: redirects are not followed'],
      [refuse(404), '404 Not Found: not today'],
    ]
    for (const [i, [answer, error]] of cases.entries()) {
      world.receiver.answer = answer
      await world.call('PATCH', `/${webhookId}`, { url: world.url })
      await world.receiver.requests(i + 1)
      await world.failed(webhookId, 1)
      expect((await world.get(webhookId)).lastError).toContain(error)
    }
    expect(other.received).toEqual([])
  })

  test('that says 2xx has taken it, however long its answer is, and may ask to be left alone for a while', async () => {
    const world = await World.start()
    world.receiver.answer = (_, response) => {
      const more = () => {
        if (!response.destroyed) response.write('x'.repeat(10_000), () => setImmediate(more))
      }
      response.on('error', () => undefined)
      response.writeHead(202)
      more()
    }
    const { webhookId } = await world.webhook()
    await world.happen()
    while ((await world.get(webhookId)).lagMs !== 0 || (await world.rig.store.webhook(webhookId))?.position === 0)
      await turns(1)
    world.receiver.answer = refuse(429, { 'retry-after': '120' })
    await world.happen()
    await world.receiver.requests(2)
    await world.failed(webhookId, 1)
    expect((await world.get(webhookId)).nextAt).toBe(world.rig.clock.now() + 120_000)
    world.receiver.answer = refuse(429, { 'retry-after': '99999999' })
    await world.pass(120_000)
    await world.failed(webhookId, 2)
    expect((await world.get(webhookId)).nextAt).toBe(world.rig.clock.now() + WEBHOOK_BACKOFF_MAX_MS)
  })

  test('gets what is around an event that it cannot take, which alone is given up after a day', async () => {
    const world = await World.start()
    const poison = cursorOf(23)
    world.receiver.answer = ({ json }, response) =>
      void response.writeHead(json.events.map(idOf).includes(poison) ? 500 : 200).end()
    const { webhookId } = await world.webhook({ paused: true })
    await world.happen(40)
    await world.call('PATCH', `/${webhookId}`, { paused: false })
    await world.pass(60_000)
    expect([...new Set(taken(world).map(idOf))]).toEqual(Array.from({ length: 22 }, (_, i) => cursorOf(i + 1)))
    expect((await world.get(webhookId)).cursor).toBe(cursorOf(22))
    await world.pass(WEBHOOK_GIVE_UP_MS + WEBHOOK_BACKOFF_MAX_MS, true)
    while ((await world.get(webhookId)).cursor !== cursorOf(40)) await turns()
    const dead = await world.call('GET', `/${webhookId}/dead-letters`)
    expect(dead.data).toEqual([
      expect.objectContaining({
        id: poison,
        purged: null,
        reason: '500 Internal Server Error',
        event: expect.objectContaining({ id: poison, seq: 23 }),
      }),
    ])
    expect(await world.get(webhookId)).toMatchObject({
      cursor: cursorOf(40),
      deadLetters: 1,
      attempts: 0,
      failingSince: null,
    })
    // Those taken came in order, each once.
    expect(taken(world).map(({ seq }) => seq)).toEqual([...range(1, 22), ...range(24, 40)])
  })

  /** What the receiver of the test above said 200 to. */
  const taken = (world: World): { id: string; seq: number }[] =>
    world.receiver.received.flatMap(({ json }) => (json.events.map(idOf).includes(cursorOf(23)) ? [] : json.events))
})

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('what a receiver does not take for a day', () => {
  /** The receiver has been away for so long that the first five are given up, and three of the last half day wait. */
  async function dead(): Promise<{ world: World; webhookId: string }> {
    const world = await World.start()
    world.receiver.answer = refuse(503)
    const { webhookId } = await world.webhook()
    await world.happen(5)
    await world.pass(DAY_MS / 2, true)
    await world.happen(3)
    await world.pass(DAY_MS / 2 + WEBHOOK_BACKOFF_MAX_MS, true)
    await turns()
    const letters = await world.call('GET', `/${webhookId}/dead-letters`)
    expect(letters.data.map(idOf)).toEqual(range(1, 5).map(cursorOf))
    return { world, webhookId }
  }

  test('becomes dead letters, which can be looked at; what is younger still waits', async () => {
    const { world, webhookId } = await dead()
    const letters = await world.call('GET', `/${webhookId}/dead-letters`)
    const events = await world.events()
    expect(letters.data.map(({ event }: Answer['data']) => event)).toEqual(events.slice(0, 5))
    expect(letters.data[0]).toMatchObject({ purged: null, reason: '503 Service Unavailable: not today' })
    expect(letters.next).toBeNull()
    const list = (params: Record<string, string>) =>
      world.rig.app.call(
        { orgId: ORG, ...params },
        { method: 'GET', resource: `/v1/webhooks/${webhookId}/dead-letters` },
      )
    const first = await list({ limit: '2' })
    expect([first.data.map(idOf), first.next]).toEqual([range(1, 2).map(cursorOf), cursorOf(2)])
    const rest = await list({ limit: '3', after: String(first.next) })
    expect([rest.data.map(idOf), rest.next]).toEqual([range(3, 5).map(cursorOf), cursorOf(5)])
    expect((await list({ after: cursorOf(5) })).data).toEqual([])
    expectRefused(await list({ after: 'x' }), errors.invalidArgument.code, 'after')
    expect(await world.get(webhookId)).toMatchObject({ deadLetters: 5, cursor: cursorOf(5) })
    world.receiver.answer = (_, response) => void response.end()
    await world.pass(WEBHOOK_BACKOFF_MAX_MS)
    await turns()
    expect(await world.get(webhookId)).toMatchObject({ deadLetters: 5, cursor: cursorOf(8), failingSince: null })
  })

  test('is sent again when somebody says so, in order, up to where it is refused; what is taken is dead no more', async () => {
    const { world, webhookId } = await dead()
    const replay = () => world.call('POST', `/${webhookId}/dead-letters/replay`)
    expect((await replay()).data).toEqual({ taken: 0, left: 5, error: '503 Service Unavailable: not today' })
    const before = world.receiver.received.length
    world.receiver.answer = (_, response) => void response.end()
    expect((await replay()).data).toEqual({ taken: 5, left: 0, error: null })
    const again = world.receiver.received.slice(before)
    expect(again.every(({ json }) => json.replay === true || json.events[0].seq > 5)).toBe(true)
    const replayed = again.filter(({ json }) => json.replay === true).flatMap(({ json }) => json.events)
    expect(replayed).toEqual((await world.events()).slice(0, 5))
    expect((await replay()).data).toEqual({ taken: 0, left: 0, error: null })
    expect((await world.call('GET', `/${webhookId}/dead-letters`)).data).toEqual([])
  })

  test('is sent again by one call at a time', async () => {
    const { world, webhookId } = await dead()
    let release = (): void => undefined
    world.receiver.answer = ({ json }, response) => {
      if (json.replay) release = () => void response.end()
      else response.end()
    }
    const before = world.receiver.received.length
    const first = world.call('POST', `/${webhookId}/dead-letters/replay`)
    while (!world.receiver.received.slice(before).some(({ json }) => json.replay)) await turns(1)
    const second = await world.call('POST', `/${webhookId}/dead-letters/replay`)
    expectRefused(second, errors.isOver.code, 'another call')
    release()
    expect((await first).data).toMatchObject({ taken: 5, left: 0 })
  })

  test('can be forgotten', async () => {
    const { world, webhookId } = await dead()
    expect((await world.call('DELETE', `/${webhookId}/dead-letters`)).data).toEqual({ deleted: 5 })
    expect(await world.get(webhookId)).toMatchObject({ deadLetters: 0, cursor: cursorOf(5) })
  })

  test('is counted', async () => {
    const { world } = await dead()
    await world.pass(60_000 + WEBHOOK_LOOK_MS)
    world.rig.metrics.watchStream(world.rig.changes)
    const text = await world.rig.metrics.text(world.rig.clock.now() + 5_000)
    expect(text).toMatch(/^downlink_webhook_given_up_total 5$/m)
    expect(text).toMatch(/^downlink_webhook_dead_letters 5$/m)
    expect(text).toMatch(/^downlink_webhook_attempts_total\{outcome="refused"\} [1-9][0-9]+$/m)
    const [, lag] = /^downlink_webhook_lag_seconds (\S+)$/m.exec(text) ?? []
    expect(Number(lag)).toBeGreaterThan(40_000)
  })
})

describe('a webhook', () => {
  test('that was paused while it failed is not given up for that time', async () => {
    const world = await World.start()
    world.receiver.answer = refuse(503)
    const { webhookId } = await world.webhook()
    await world.happen()
    await world.failed(webhookId, 1)
    await world.call('PATCH', `/${webhookId}`, { paused: true })
    await world.pass(WEBHOOK_GIVE_UP_MS + 3_600_000)
    const before = world.receiver.received.length
    await world.call('PATCH', `/${webhookId}`, { paused: false })
    await world.receiver.requests(before + 1)
    await world.failed(webhookId, 1)
    expect(await world.rig.store.countDeadLetters(webhookId)).toBe(0)
  })

  test('that is paused is sent nothing and loses nothing', async () => {
    const world = await World.start()
    const { webhookId } = await world.webhook()
    await world.happen(2)
    await world.receiver.distinct(2)
    expect((await world.call('PATCH', `/${webhookId}`, { paused: true })).data).toMatchObject({ paused: true })
    await turns()
    await world.happen(3)
    await world.pass(60_000)
    expect(world.receiver.events).toHaveLength(2)
    expect(await world.get(webhookId)).toMatchObject({ lagMs: 60_000, cursor: cursorOf(2) })
    await world.call('PATCH', `/${webhookId}`, { paused: false })
    await world.receiver.distinct(5)
    expect(world.receiver.events.map(({ seq }) => seq)).toEqual(range(1, 5))
  })

  test('for which some was purged says so in a dead letter, and goes on', async () => {
    const world = await World.start()
    const { webhookId } = await world.webhook({ paused: true })
    await world.happen(3)
    await world.rig.app.on({ assetId: 'a1' }).cancel()
    await world.happen(1)
    await world.rig.store.purge(world.rig.clock.now() + 1, 100)
    expect(await world.get(webhookId)).toMatchObject({ lagMs: null })
    await world.call('PATCH', `/${webhookId}`, { paused: false })
    await world.receiver.distinct(1)
    await turns()
    expect(world.receiver.events.map(({ seq }) => seq)).toEqual([7])
    const { data } = await world.call('GET', `/${webhookId}/dead-letters`)
    expect(data).toEqual([
      {
        ...{ id: cursorOf(6), event: null, purged: { after: cursorOf(0), upTo: cursorOf(6) } },
        ...{ failedAt: world.rig.clock.now(), reason: expect.stringContaining('purged') },
      },
    ])
    // There is nothing to be sent again, and it stays until it is deleted.
    const replayed = await world.call('POST', `/${webhookId}/dead-letters/replay`)
    expect(replayed.data).toEqual({ taken: 0, left: 1, error: null })
    expect((await world.call('DELETE', `/${webhookId}/dead-letters`)).data).toEqual({ deleted: 1 })
  })

  test('that wants nothing of what happens is not behind for it, even if it stops long after the last of it', async () => {
    const world = await World.start()
    const { webhookId } = await world.webhook({ filter: { assetId: 'a2' } })
    await world.happen(3)
    const position = async () => (await world.rig.store.webhook(webhookId))?.position
    // Not each time, since that would be a write for each that is of no concern to it.
    expect(await position()).toBe(0)
    await world.pass(60_000 + WEBHOOK_LOOK_MS)
    expect(await position()).toBe(3)
    await world.happen(2)
    expect(await position()).toBe(3)
    await world.rig.changes.stop()
    expect(await position()).toBe(5)
    expect(world.receiver.received).toEqual([])
  })

  test('shows its secret once, signs with the new one when it is rotated, and keeps none in clear', async () => {
    const world = await World.start()
    const { webhookId, secret } = await world.webhook()
    expect(secret).toMatch(/^whsec_[A-Za-z0-9_-]{43}$/)
    const row = await world.rig.store.webhook(webhookId)
    expect(row?.secret).toMatch(/^v1:/)
    expect(JSON.stringify(row)).not.toContain(secret)
    for (const answer of [await world.call('GET'), await world.call('GET', `/${webhookId}`)])
      expect(JSON.stringify(answer)).not.toMatch(/whsec_|v1:/)
    const rotated = (await world.call('POST', `/${webhookId}/rotate-secret`)).data.secret
    expect(rotated).not.toBe(secret)
    await turns()
    await world.happen()
    await world.receiver.requests(1)
    const [{ headers, body }] = world.receiver.received as [(typeof world.receiver.received)[0]]
    const [, t = '', v1 = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(headers['downlink-signature'])) ?? []
    expect(v1).toBe(createHmac('sha256', rotated).update(`${t}.${body}`).digest('hex'))
    // A secret that was moved to another webhook does not open there.
    const other = await world.webhook({ paused: true })
    await world.rig.store.changeWebhook(other.webhookId, { secret: row?.secret ?? '' })
    expect((await world.call('POST', `/${other.webhookId}/test`)).code).toBe(errors.internal.code)
  })

  test('can be tried at any time, which also ends its wait', async () => {
    const world = await World.start()
    const { webhookId, secret } = await world.webhook()
    world.receiver.answer = refuse(500)
    const test = () => world.call('POST', `/${webhookId}/test`)
    expect((await test()).data).toEqual({
      ...{ outcome: 'refused', status: 500, error: '500 Internal Server Error: not today', text: 'not today' },
    })
    await world.happen()
    await world.failed(webhookId, 1)
    world.receiver.answer = (_, response) => void response.end('hello')
    expect((await test()).data).toEqual({ outcome: 'taken', status: 200, error: '', text: 'hello' })
    await world.receiver.distinct(1)
    const [ping] = world.receiver.received
    expect(ping?.json).toEqual({ webhookId, ping: true, events: [] })
    const [, t = '', v1 = ''] = /^t=(\d+),v1=(.*)$/.exec(String(ping?.headers['downlink-signature'])) ?? []
    expect(v1).toBe(createHmac('sha256', secret).update(`${t}.${ping?.body}`).digest('hex'))
  })

  test('is tried once at a time, and an organization has a few tries at most, beside all that is delivered', async () => {
    const world = await World.start({ stream: { answerWaitMs: 60_000 } })
    const hanging: (() => void)[] = []
    world.receiver.answer = (_, response) => void hanging.push(() => response.end())
    const ids: string[] = []
    for (let i = 0; i <= WEBHOOK_CALLS_PER_ORGANIZATION_MAX; i++)
      ids.push((await world.webhook({ paused: true })).webhookId)
    const [last, ...others] = ids as [string, ...string[]]
    const testOf = (id: string) => world.call('POST', `/${id}/test`)
    const tests = others.map(testOf)
    await world.receiver.requests(others.length)
    expectRefused(await testOf(others[0] ?? ''), errors.isOver.code, 'another call')
    expectRefused(await testOf(last), errors.unavailable.code, 'too many webhooks', 503)
    const replay = await world.call('POST', `/${last}/dead-letters/replay`)
    expectRefused(replay, errors.unavailable.code, 'too many webhooks', 503)
    // Deliveries go on, and so does another organization.
    const stranger = new Application(world.rig.url, STRANGER, () => world.rig.clock.now())
    const foreign = (path: string, body?: object) =>
      stranger.call({ orgId: 'oOther' }, { method: 'POST', resource: `/v1/webhooks${path}`, ...(body && { body }) })
    const healthy = new Receiver()
    const url = await healthy.listen()
    stops.push(() => healthy.stop())
    const made = await foreign('', { url })
    expect((await foreign(`/${made.data.webhookId}/test`)).data.outcome).toBe('taken')
    await world.webhook({ url })
    await world.happen()
    await healthy.distinct(1)
    for (const end of hanging) end()
    for (const test of tests) expect((await test).data.outcome).toBe('taken')
    const again = testOf(last)
    await world.receiver.requests(others.length + 1)
    hanging.at(-1)?.()
    expect((await again).data.outcome).toBe('taken')
  })

  test('that asks for what the organization does not have is refused', async () => {
    const world = await World.start()
    const { webhookId } = await world.webhook({ paused: true })
    for (const [filter, code, name] of [
      [{ productKey: 'nope' }, errors.productNotFound.code, 'body.filter.productKey'],
      [{ productKey: 'otherPk' }, errors.productNotFound.code, 'body.filter.productKey'],
      [{ assetId: 'nope' }, errors.notFound.code, 'body.filter.assetId'],
      [{ assetId: 'other1' }, errors.notFound.code, 'body.filter.assetId'],
    ] as const) {
      expectRefused(await world.call('POST', '', { url: world.url, filter }), code, name)
      expectRefused(await world.call('PATCH', `/${webhookId}`, { filter }), code, name)
    }
    expect(await world.get(webhookId)).toMatchObject({ filter: {} })
    expect((await world.call('GET')).data).toHaveLength(1)
  })

  test('changes only as it is told, and goes where it is told from then on', async () => {
    const world = await World.start()
    const other = new Receiver()
    const elsewhere = await other.listen()
    stops.push(() => other.stop())
    const { webhookId } = await world.webhook({ filter: { state: [1] } })
    await world.happen()
    await world.receiver.distinct(1)
    const changed = await world.call('PATCH', `/${webhookId}`, { url: elsewhere })
    expect(changed.data).toMatchObject({ url: elsewhere, filter: { state: [1] }, paused: false })
    await turns()
    await world.happen()
    await other.distinct(1)
    expect((await world.call('PATCH', `/${webhookId}`, { filter: {} })).data.filter).toEqual({})
    await turns()
    await world.rig.app.on({ assetId: 'a1' }).cancel()
    await other.distinct(3)
    expect(world.receiver.events).toHaveLength(1)
    expect((await world.call('DELETE', `/${webhookId}`)).data).toEqual({ webhookId })
    await turns()
    await world.happen()
    await world.pass(WEBHOOK_LOOK_MS * 2)
    expect(other.events).toHaveLength(3)
    expectRefused(await world.call('GET', `/${webhookId}`), errors.notFound.code, 'not found')
  })

  test('is refused where it makes no sense, and nothing is made', async () => {
    const world = await World.start()
    const wrong: [unknown, string][] = [
      [undefined, 'body'],
      [{}, 'url'],
      [{ url: 'example.com' }, 'url'],
      [{ url: 'ftp://example.com/' }, 'url'],
      [{ url: 'https://user:password@example.com/' }, 'url'],
      [{ url: 'https://example.com/#part' }, 'url'],
      [{ url: `https://example.com/${'a'.repeat(2_048)}` }, 'url'],
      [{ url: 7 }, 'url'],
      [{ url: world.url, filter: { state: [] } }, 'state'],
      [{ url: world.url, filter: { state: [8] } }, 'state'],
      [{ url: world.url, filter: { state: [5, 5] } }, 'state'],
      [{ url: world.url, filter: { product: 'x' } }, 'product'],
      [{ url: world.url, paused: 'no' }, 'paused'],
      [{ url: world.url, secret: 'mine' }, 'secret'],
    ]
    for (const [body, name] of wrong)
      expectRefused(await world.call('POST', '', body), errors.invalidArgument.code, name)
    expect((await world.call('GET')).data).toEqual([])
    const { webhookId } = await world.webhook()
    expectRefused(await world.call('PATCH', `/${webhookId}`, {}), errors.invalidArgument.code, 'body')
    expectRefused(await world.call('PATCH', `/${webhookId}`, { url: 'x' }), errors.invalidArgument.code, 'url')
    expectRefused(await world.call('GET', '/nonsense'), errors.invalidArgument.code, 'webhookId')
  })

  test('is one of so many at most', async () => {
    const world = await World.start()
    for (let i = 0; i < WEBHOOKS_MAX_PER_ORGANIZATION; i++) await world.webhook({ paused: true })
    expectRefused(await world.call('POST', '', { url: world.url }), errors.isOver.code, 'at most')
    expect((await world.call('GET')).data).toHaveLength(WEBHOOKS_MAX_PER_ORGANIZATION)
  })

  test('is nobody’s but who may do everything with the organization; another organization has none of it', async () => {
    const world = await World.start()
    const { url, clock, store } = world.rig
    const as = (who: typeof READER) => new Application(url, who, () => clock.now())
    const { webhookId } = await world.webhook()
    const reader = as(READER)
    expect((await world.call('GET', '', undefined, reader)).data).toHaveLength(1)
    expect((await world.call('GET', `/${webhookId}`, undefined, reader)).code).toBe(0)
    const body = { url: world.url }
    expectRefused(await world.call('POST', '', body, reader), errors.denied.code, 'Organization: FullAccess')
    expectRefused(await world.call('DELETE', `/${webhookId}`, undefined, reader), errors.denied.code, 'FullAccess')
    expectRefused(await world.call('GET', '', undefined, as(BY_PRODUCT)), errors.denied.code, 'Organization: Read')
    const stranger = as(STRANGER)
    const foreign = await stranger.call({ orgId: 'oOther' }, { method: 'GET', resource: `/v1/webhooks/${webhookId}` })
    expectRefused(foreign, errors.notFound.code, 'not found')
    // A grant for some products is none for the organization, and who may see no event may not have them sent.
    const row = await store.application(BY_PRODUCT.appKey)
    const grant = async (grants: object[]) => {
      const applications = [{ ...row!, grants: grants as never }]
      await store.applyFleet({ organizations: [], models: [], products: [], devices: [], applications }, clock.now())
    }
    const all = { resource: 'Organization', actions: ['FullAccess'] }
    await grant([{ ...all, scope: { productKeys: ['bXuuAiku'] } }])
    expectRefused(await world.call('POST', '', body, as(BY_PRODUCT)), errors.denied.code, 'scope all')
    await grant([{ ...all, scope: 'all' }])
    expectRefused(await world.call('POST', '', body, as(BY_PRODUCT)), errors.denied.code, 'Asset: Read')
    await grant([
      { ...all, scope: 'all' },
      { resource: 'Asset', actions: ['Read'], scope: { assetIds: ['a2'] } },
    ])
    expect((await world.call('POST', '', body, as(BY_PRODUCT))).code).toBe(0)
    await world.happen()
    await world.rig.app.on({ assetId: 'a2' }).queue(1)
    await world.receiver.distinct(2)
    await turns()
    // a1 to one of the two, a2 to both.
    expect(world.receiver.events.map(({ device }) => device.assetId).sort()).toEqual(['a1', 'a2', 'a2'])
  })
})

describe('two who deliver at once on one store', () => {
  test('send in order all the same; one takes up what the other, who is gone without a word, was at', async () => {
    const store = openMemory()
    const world = await World.start({ store, stream: { isShared: true } })
    const other = streamOver(
      { store, fleet: world.rig.fleet, clock: world.rig.clock },
      { isShared: true, answerWaitMs: ANSWER_WAIT_MS },
    )
    await other.start()
    stops.push(() => other.stop())
    const { webhookId } = await world.webhook()
    for (let i = 1; i <= 5; i++) {
      await world.happen(8)
      await world.pass(1_000)
    }
    await world.receiver.distinct(40)
    // One of the two had the turn, and the other nothing to do.
    expect(world.receiver.events.map(({ seq }) => seq)).toEqual(range(1, 40))
    // It is gone as a process is that was killed: it keeps the turn, and does nothing.
    await store.takeTurn(`webhook:${webhookId}`, 'a process that was killed', WEBHOOK_TURN_MS)
    await world.rig.app.on({ assetId: 'a1' }).cancel()
    await world.pass(WEBHOOK_TURN_MS + 2 * WEBHOOK_LOOK_MS)
    await world.receiver.distinct(80)
    const firsts = new Map<string, number>()
    for (const event of world.receiver.events) if (!firsts.has(event.id)) firsts.set(event.id, event.seq)
    expect([...firsts.values()]).toEqual(range(1, 80))
  })

  test('and both believe that it is their turn tell twice at most, in the right order the first time', async () => {
    const store = openMemory()
    const world = await World.start({ store })
    // As where a holder is late: both have the turn at the same time.
    const other = streamOver(
      { store, fleet: world.rig.fleet, clock: world.rig.clock },
      { answerWaitMs: ANSWER_WAIT_MS },
    )
    await other.start()
    stops.push(() => other.stop())
    await world.webhook()
    await world.pass(WEBHOOK_LOOK_MS)
    for (let i = 0; i < 10; i++) {
      await world.happen(5)
      other.stir()
      await world.pass(500)
    }
    await world.receiver.distinct(50)
    const firsts = new Map<string, number>()
    for (const event of world.receiver.events) if (!firsts.has(event.id)) firsts.set(event.id, event.seq)
    expect([...firsts.values()]).toEqual(range(1, 50))
    const texts = new Map<string, string>()
    for (const event of world.receiver.events) {
      const text = JSON.stringify(event)
      expect(texts.get(event.id) ?? text).toBe(text)
      texts.set(event.id, text)
    }
  })
})

describe('the time until the next attempt', () => {
  test('is doubled up to a quarter of an hour, and never less than half of that', () => {
    const waits = range(1, 14).map(attempts => [backoffMs(attempts, () => 0), backoffMs(attempts, () => 0.999_999)])
    expect(waits.slice(0, 4)).toEqual([
      [500, 1_000],
      [1_000, 2_000],
      [2_000, 4_000],
      [4_000, 8_000],
    ])
    expect(waits.at(-1)).toEqual([WEBHOOK_BACKOFF_MAX_MS / 2, WEBHOOK_BACKOFF_MAX_MS])
    expect(backoffMs(10_000, () => 1)).toBe(WEBHOOK_BACKOFF_MAX_MS)
  })
})
