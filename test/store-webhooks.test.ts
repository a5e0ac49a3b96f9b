// How every store keeps receivers of changes: how far each has got, guarded by where it began; what they did not take; and whose turn it is.
// Whether the clock of turns is the store's own is shown with one that stands still, where there is one to give.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Bug } from '../src/core/errors.ts'
import { openMemory } from '../src/store/memory.ts'
import { readMigrations } from '../src/store/migrate.ts'
import type { Nodes } from '../src/store/nodes.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { Store } from '../src/store/store.ts'
import type { DeadLetter, WebhookProgress, WebhookRow } from '../src/store/stream.ts'
import { fleetRows, ORG, smallFleet, stores, T0 } from './rig/store.ts'

const LONG_MS = 3_600_000

const row = (webhookId: string, over: Partial<WebhookRow> = {}): WebhookRow => ({
  webhookId,
  orgId: ORG,
  url: 'https://example.com/hook',
  secret: 'v1:sealed',
  filterJson: '{"productKey":null}',
  createdBy: 'app1',
  createdAt: T0,
  paused: false,
  position: 7,
  attempts: 0,
  failingSince: null,
  nextAt: null,
  lastError: null,
  ...over,
})
const progress = (position: number, over: Partial<WebhookProgress> = {}): WebhookProgress => ({
  ...{ position, attempts: 0, failingSince: null, nextAt: null, lastError: null },
  ...over,
})
const letter = (position: number, over: Partial<DeadLetter> = {}): DeadLetter => ({
  ...{ position, eventJson: `{"n":${position}}`, failedAt: T0 + position, reason: '500 Internal Server Error' },
  ...over,
})

describe.each(stores)('$name store', ({ open, stop, forgets }) => {
  let folder: string
  let store: Store & Nodes

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-webhooks-'))
    store = await open(folder)
    await store.applyFleet(smallFleet(), T0)
    await store.applyFleet(fleetRows({ organizations: [{ orgId: 'o2', name: 'Two' }] }), T0)
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  const reopen = async () => {
    await store.close()
    store = await open(folder)
  }

  describe('a webhook', () => {
    test('is kept as it is, every field, and found by its id and its organization', async () => {
      const failing = { attempts: 3, failingSince: T0 + 1, nextAt: T0 + 2, lastError: 'no answer' }
      const first = row('w1', { paused: true, ...failing })
      await store.addWebhook(row('w3'))
      await store.addWebhook(first)
      await store.addWebhook(row('w2', { orgId: 'o2' }))
      expect(await store.webhook('w1')).toEqual(first)
      expect(await store.webhooks(ORG)).toEqual([first, row('w3')])
      expect((await store.webhooks(null)).map(({ webhookId }) => webhookId)).toEqual(['w1', 'w2', 'w3'])
      expect(await store.webhooks('nowhere')).toEqual([])
      expect(await store.webhook('W1')).toBeNull()
    })

    test('is added once', async () => {
      await store.addWebhook(row('w1'))
      await expect(store.addWebhook(row('w1', { url: 'https://other.example.com/' }))).rejects.toThrow()
      expect(await store.webhook('w1')).toEqual(row('w1'))
    })

    test('changes only where it is told to, and what failed can be forgotten', async () => {
      const failing = { nextAt: T0 + 5, attempts: 2, failingSince: T0 }
      await store.addWebhook(row('w1', failing))
      expect(await store.changeWebhook('w1', { paused: true })).toBe(true)
      expect(await store.webhook('w1')).toEqual(row('w1', { ...failing, paused: true }))
      expect(await store.changeWebhook('w1', { paused: false, anew: true, url: 'https://b.example.com/' })).toBe(true)
      expect(await store.changeWebhook('w1', { secret: 'v1:other', filterJson: '{}' })).toBe(true)
      const changed = { url: 'https://b.example.com/', secret: 'v1:other', filterJson: '{}' }
      expect(await store.webhook('w1')).toEqual(row('w1', changed))
      expect(await store.changeWebhook('w2', { paused: true })).toBe(false)
    })

    test('refuses text that no store can keep, and finds nothing by it', async () => {
      await expect(store.addWebhook(row('w1', { url: 'https://example.com/\0' }))).rejects.toThrow(Bug)
      await store.addWebhook(row('w1'))
      await expect(store.changeWebhook('w1', { filterJson: '\0' })).rejects.toThrow(Bug)
      await expect(store.saveProgress('w1', 7, progress(8, { lastError: 'a\0b' }), [])).rejects.toThrow(Bug)
      await expect(store.saveProgress('w1', 7, progress(8), [letter(8, { reason: '\0' })])).rejects.toThrow(Bug)
      for (const id of ['w1\0', '\ud800']) {
        expect(await store.webhook(id)).toBeNull()
        expect(await store.webhooks(id)).toEqual([])
        expect(await store.deleteWebhook(id)).toBe(false)
        expect(await store.deadLetters(id, 0, 10)).toEqual([])
        expect(await store.countDeadLetters(id)).toBe(0)
      }
      expect(await store.webhook('w1')).toEqual(row('w1'))
    })

    test('goes with its dead letters, and the next one of that name has none', async () => {
      await store.addWebhook(row('w1'))
      await store.addWebhook(row('w2'))
      await store.saveProgress('w1', 7, progress(9), [letter(8), letter(9)])
      await store.saveProgress('w2', 7, progress(8), [letter(8)])
      expect(await store.deleteWebhook('w1')).toBe(true)
      expect(await store.deleteWebhook('w1')).toBe(false)
      expect(await store.countDeadLetters('w1')).toBe(0)
      await store.addWebhook(row('w1'))
      expect(await store.deadLetters('w1', 0, 10)).toEqual([])
      expect(await store.countDeadLetters('w2')).toBe(1)
    })
  })

  describe('progress', () => {
    beforeEach(() => store.addWebhook(row('w1')))

    test('is written whole, and only from where it began', async () => {
      const failed = progress(7, { attempts: 1, failingSince: T0, nextAt: T0 + 9, lastError: 'refused' })
      expect(await store.saveProgress('w1', 7, failed, [])).toBe(true)
      expect(await store.webhook('w1')).toEqual(row('w1', failed))
      expect(await store.saveProgress('w1', 7, progress(20), [])).toBe(true)
      expect(await store.webhook('w1')).toEqual(row('w1', { position: 20 }))
    })

    test('of one that is late changes nothing, and leaves no dead letter', async () => {
      await store.saveProgress('w1', 7, progress(20), [])
      expect(await store.saveProgress('w1', 7, progress(12), [letter(12)])).toBe(false)
      expect(await store.saveProgress('w2', 7, progress(12), [letter(12)])).toBe(false)
      expect(await store.webhook('w1')).toEqual(row('w1', { position: 20 }))
      expect(await store.countDeadLetters('w1')).toBe(0)
    })

    test('of two at once from the same place is written by one', async () => {
      const saved = await Promise.all(
        Array.from({ length: 8 }, (_, n) => store.saveProgress('w1', 7, progress(100 + n), [letter(100 + n)])),
      )
      expect(saved.filter(Boolean)).toHaveLength(1)
      const won = 100 + saved.indexOf(true)
      expect(await store.webhook('w1')).toEqual(row('w1', { position: won }))
      expect(await store.deadLetters('w1', 0, 10)).toEqual([letter(won)])
    })

    test('survives the store', async ({ skip }) => {
      skip(forgets !== null, forgets ?? undefined)
      const last = letter(2 ** 53 - 1, { failedAt: T0 })
      await store.saveProgress('w1', 7, progress(2 ** 53 - 1), [last])
      await reopen()
      expect(await store.webhook('w1')).toEqual(row('w1', { position: 2 ** 53 - 1 }))
      expect(await store.deadLetters('w1', 0, 10)).toEqual([last])
    })
  })

  describe('dead letters', () => {
    beforeEach(async () => {
      await store.addWebhook(row('w1'))
      await store.saveProgress('w1', 7, progress(12), [letter(12), letter(9), letter(10)])
    })

    test('come in the order of their positions, in pages', async () => {
      expect(await store.deadLetters('w1', 0, 2)).toEqual([letter(9), letter(10)])
      expect(await store.deadLetters('w1', 10, 2)).toEqual([letter(12)])
      expect(await store.deadLetters('w1', 12, 2)).toEqual([])
      expect(await store.countDeadLetters('w1')).toBe(3)
    })

    test('are removed by their positions, each counted once', async () => {
      expect(await store.removeDeadLetters('w1', [9, 11, 12])).toBe(2)
      expect(await store.removeDeadLetters('w1', [9])).toBe(0)
      expect(await store.removeDeadLetters('w1', [])).toBe(0)
      expect(await store.removeDeadLetters('w2', [10])).toBe(0)
      expect(await store.deadLetters('w1', 0, 10)).toEqual([letter(10)])
    })

    test('of one position are one', async () => {
      expect(await store.saveProgress('w1', 12, progress(13), [letter(12, { reason: 'again' })])).toBe(true)
      expect(await store.deadLetters('w1', 10, 10)).toEqual([letter(12, { reason: 'again' })])
    })
  })

  describe('a turn', () => {
    test('is one holder’s, who may take it again, until he gives it back', async () => {
      expect(await store.takeTurn('t', 'one', LONG_MS)).toBe(true)
      expect(await store.takeTurn('t', 'two', LONG_MS)).toBe(false)
      expect(await store.takeTurn('t', 'one', LONG_MS)).toBe(true)
      expect(await store.takeTurn('other', 'two', LONG_MS)).toBe(true)
      await store.endTurn('t', 'two')
      expect(await store.takeTurn('t', 'two', LONG_MS)).toBe(false)
      await store.endTurn('t', 'one')
      expect(await store.takeTurn('t', 'two', LONG_MS)).toBe(true)
    })

    test('is free once its time is over', async () => {
      expect(await store.takeTurn('t', 'one', 0)).toBe(true)
      expect(await store.takeTurn('t', 'two', LONG_MS)).toBe(true)
      expect(await store.takeTurn('t', 'one', LONG_MS)).toBe(false)
    })

    test('goes to one of many who come at once', async () => {
      const holders = Array.from({ length: 10 }, (_, n) => `holder ${n}`)
      const taken = await Promise.all(holders.map(holder => store.takeTurn('t', holder, LONG_MS)))
      expect(taken.filter(Boolean)).toHaveLength(1)
    })
  })
})

describe('turns of a store that has the clock it was opened with', () => {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-turns-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  let now = T0
  test.each([
    ['memory', () => openMemory(() => now)],
    ['sqlite', () => openSqlite(join(folder, 'test.db'), readMigrations('sqlite'), () => now)],
  ])('%s: lapse to the millisecond by it', async (_name, open) => {
    const store = open()
    now = T0
    expect(await store.takeTurn('t', 'one', 1_000)).toBe(true)
    now = T0 + 999
    expect(await store.takeTurn('t', 'two', 1_000)).toBe(false)
    now = T0 + 1_000
    expect(await store.takeTurn('t', 'two', 1_000)).toBe(true)
    await store.close()
  })
})
