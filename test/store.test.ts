// How every store behaves: one suite, run on each. A case that a store must skip carries the reason.
// How devices come, move, go and report is in store-devices.test.ts; what only one store has is in its own file (sqlite.test.ts).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Command, idMs, isOpen, makeId, State } from '../src/core/command.ts'
import { Bug } from '../src/core/errors.ts'
import { type Condition, FleetConflict, type Store, type StoredCommand } from '../src/store/store.ts'
import {
  addDevices,
  asFinal,
  asSent,
  bodyRow,
  changeOf,
  commit,
  created,
  deviceRow,
  event,
  fleetRows,
  id,
  inserted,
  loadOne,
  ORG,
  put,
  smallFleet,
  stores,
  T0,
} from './rig/store.ts'

describe.each(stores)('$name store', ({ open, stop, forgets }) => {
  let folder: string
  let store: Store
  let device: number
  let other: number

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-store-'))
    store = await open(folder)
    const devices = await addDevices(store, 'a1', 'a2')
    device = devices[0]!
    other = devices[1]!
  })
  afterEach(async () => {
    await store.close()
    rmSync(folder, { recursive: true })
  })
  afterAll(stop)

  /** All that can be read of both devices, to compare before and after. */
  const everything = async () => ({
    queues: await store.load([device, other].map(deviceId => ({ deviceId, commandIds: [id(1), id(2), id(3)] }))),
    records: await Promise.all([device, other].map(each => store.search(each, null, 0, 1_000))),
    events: await Promise.all([device, other].map(each => store.events(each, null, 1_000))),
    counts: new Map([...(await store.countByState())].sort()),
    node: await store.node(0),
  })

  describe('load', () => {
    test('a new device has an empty queue', async () => {
      expect(await loadOne(store, device)).toEqual({
        deviceId: device,
        version: 0,
        lastCommandId: null,
        eventSeq: 0,
        sessionNo: 0,
        sessionNode: null,
        disabled: false,
        deleted: false,
        activeAt: null,
        lastOnlineAt: null,
        lastOfflineAt: null,
        open: [],
        named: [],
        kept: [],
      })
    })

    test('answers in the order of the keys, null where there is no such device', async () => {
      const keys = [other, 9_999, device].map(deviceId => ({ deviceId, commandIds: [] }))
      const queues = await store.load(keys)
      expect(queues.map(queue => queue?.deviceId ?? null)).toEqual([other, null, device])
      expect(await store.load([])).toEqual([])
    })

    test('open commands come oldest first, final ones only where named', async () => {
      const [one, two, three] = [created(id(1)), asSent(created(id(2))), asFinal(created(id(3)))]
      await put(store, device, three, two, one)
      expect(await loadOne(store, device)).toMatchObject({ open: [one, two], named: [] })
      const queue = await loadOne(store, device, id(3), id(2), id(3))
      expect(queue).toMatchObject({ open: [one, two], named: [three] })
    })

    test('what an id from outside does not name is absent', async () => {
      await put(store, device, asFinal(created(id(1))))
      const strange = ['1', `0${id(1)}`, '9223372036854775808', '9999999999999999999', '', 'x', '-1', ' 1', id(2)]
      expect(await loadOne(store, device, ...strange)).toMatchObject({ open: [], named: [] })
      expect(await loadOne(store, other, id(1))).toMatchObject({ open: [], named: [] })
      for (const text of strange) {
        expect(await store.command(device, text)).toBeNull()
        expect(await store.events(device, text, 10)).toEqual([])
      }
      expect(await store.bodies(strange)).toEqual(new Map())
    })
  })

  describe('commit', () => {
    test('keeps the queue, its commands with their bodies, and the events', async () => {
      const queue = await loadOne(store, device)
      const command = asFinal(created(id(1), { kind: 1, code: 11_900, timeoutS: 900, lateReplies: 3 }), State.failed)
      const body = bodyRow({ outputJson: '{"ok":true}', deviceCode: '007', deviceMessage: 'Ünïcode 😀' })
      const accepted = event(1, id(1), { to: State.failed, detail: '{"a":1}' })
      const connected = event(2, null, { by: 'device', reason: 'connected' })
      const fields = {
        lastCommandId: id(1),
        eventSeq: 2,
        sessionNo: 7,
        sessionNode: 3,
        activeAt: T0 + 1,
        lastOnlineAt: T0 + 2,
        lastOfflineAt: T0 + 3,
      }
      const stale = await commit(
        store,
        changeOf({ ...queue, ...fields }, { inserts: [inserted(command, body)], events: [accepted, connected] }),
      )
      expect(stale).toEqual([])
      expect(await loadOne(store, device, id(1))).toEqual({
        ...queue,
        ...fields,
        version: 1,
        open: [],
        named: [command],
      })
      expect(await store.command(device, id(1))).toEqual({ command, body })
      expect(await store.bodies([id(1), id(2)])).toEqual(new Map([[id(1), body]]))
      expect(await store.events(device, null, 10)).toEqual([accepted, connected])
      expect(await store.deviceByAsset('a1')).toMatchObject({
        activeAt: T0 + 1,
        lastOnlineAt: T0 + 2,
        lastOfflineAt: T0 + 3,
      })
    })

    test('says whether the device is disabled, and touches nothing else of its row', async () => {
      const row = await store.deviceByAsset('a1')
      await commit(store, changeOf({ ...(await loadOne(store, device)), disabled: true }))
      expect(await loadOne(store, device)).toMatchObject({ disabled: true, version: 1 })
      expect(await store.deviceByAsset('a1')).toEqual({ ...row, disabled: true })
      await commit(store, changeOf({ ...(await loadOne(store, device)), disabled: false }))
      expect(await store.deviceByAsset('a1')).toEqual(row)
    })

    test('of a row on record only what moves is written', async () => {
      const before = created(id(1))
      await put(store, device, before)
      const moved = { ...asFinal(asSent(before)), code: 5, lateReplies: 2 }
      const foreign = {
        ...moved,
        identifier: 'other',
        createdBy: 'other',
        timeoutS: 1,
        pendingTtlS: 1,
        expireAt: 1,
        createdAt: 1,
      }
      const queue = await loadOne(store, device)
      await commit(store, changeOf(queue, { updates: [{ command: { ...foreign, kind: 1 }, from: State.created }] }))
      expect((await store.command(device, id(1)))?.command).toEqual(moved)
    })

    test('an outcome changes the body and nothing else', async () => {
      await put(store, device, asSent(created(id(1))), created(id(2)))
      const outcome = { commandId: id(1), outputJson: '{"ok":1}', deviceCode: '200', deviceMessage: 'done' }
      const updates = [{ command: asFinal(asSent(created(id(1)))), from: State.sent }]
      await commit(store, changeOf(await loadOne(store, device), { updates, outcomes: [outcome] }))
      const { commandId: _, ...rest } = outcome
      expect((await store.command(device, id(1)))?.body).toEqual(bodyRow(rest))
      expect((await store.command(device, id(2)))?.body).toEqual(bodyRow())
    })

    test('a device that changed is left out whole, the others commit', async () => {
      const old = await loadOne(store, device)
      await commit(store, changeOf(old))
      await put(store, other, created(id(2)))
      const before = await everything()
      const changes = [
        changeOf(
          { ...old, sessionNo: 9 },
          {
            inserts: [inserted(created(id(1)))],
            // A guard that would not hold: nothing of a stale device is even looked at.
            updates: [{ command: created(id(3)), from: State.sent }],
            events: [event(1, id(1))],
          },
        ),
        changeOf(await loadOne(store, other), {
          updates: [{ command: asSent(created(id(2))), from: State.created }],
          events: [event(1, id(2))],
        }),
        changeOf({ ...old, deviceId: 9_999 }),
      ]
      const stale = await store.commit({ node: 0, lastCommandId: id(1), now: T0 + 5, changes })
      expect(stale).toEqual([device, 9_999])
      const after = await everything()
      expect(after.queues[0]).toEqual(before.queues[0])
      expect(after.records[0]).toEqual(before.records[0])
      expect(after.events[0]).toEqual([])
      expect(after.queues[1]?.open).toEqual([asSent(created(id(2)))])
      expect(after.events[1]).toEqual([event(1, id(2))])
      expect(after.node).toEqual({ lastCommandId: id(1), clockFloor: T0 + 5 })
    })

    const bugs: Record<string, () => Promise<Partial<Parameters<typeof changeOf>[1] & object>>> = {
      'an update of a command in another state': async () => ({
        updates: [{ command: asFinal(created(id(1))), from: State.sent }],
      }),
      'an update of a command that is not on record': async () => ({
        updates: [{ command: asFinal(created(id(3))), from: State.created }],
      }),
      "an update of another device's command": async () => ({
        updates: [{ command: asFinal(created(id(6))), from: State.created }],
      }),
      'an update that happens twice': async () => ({
        updates: [
          { command: asFinal(created(id(1))), from: State.created },
          { command: asFinal(created(id(1)), State.failed), from: State.created },
        ],
      }),
      'an outcome of a command that is not on record': async () => ({
        outcomes: [{ commandId: id(3), outputJson: null, deviceCode: '0', deviceMessage: null }],
      }),
      'an insert of a command on record': async () => ({ inserts: [inserted(created(id(1)))] }),
      "an insert of another device's command": async () => ({ inserts: [inserted(created(id(2)))] }),
      'an insert that happens twice': async () => ({ inserts: [inserted(created(id(3))), inserted(created(id(3)))] }),
      'an event with a number that was used': async () => ({ events: [event(1, null)] }),
      'two inserted commands that are sent': async () => ({
        inserts: [inserted(asSent(created(id(3)))), inserted(asSent(created(id(4))))],
      }),
      'a second command that becomes sent': async () => ({
        inserts: [inserted(asSent(created(id(3))))],
        updates: [{ command: asSent(created(id(1))), from: State.created }],
      }),
      'raw NUL in a text': async () => ({ inserts: [inserted(created(id(3)), bodyRow({ inputJson: '"a\0b"' }))] }),
    }
    test.each(Object.keys(bugs))('%s rolls the whole batch back', async name => {
      await put(store, device, created(id(1)))
      await put(store, other, created(id(2)), created(id(6)))
      await commit(store, changeOf(await loadOne(store, device), { events: [event(1, id(1))] }))
      const before = await everything()
      const [mine, others] = [await loadOne(store, device), await loadOne(store, other)]
      const good = changeOf(
        { ...others, sessionNo: 4 },
        {
          updates: [{ command: asSent(created(id(2))), from: State.created }],
          inserts: [inserted(created(id(5)))],
          events: [event(1, id(2))],
        },
      )
      const bad = changeOf({ ...mine, sessionNo: 4 }, await bugs[name]!())
      for (const changes of [
        [good, bad],
        [bad, good],
      ]) {
        await expect(store.commit({ node: 0, lastCommandId: id(5), now: T0 + 9, changes })).rejects.toThrow()
        expect(await everything()).toEqual(before)
      }
      expect(await store.commit({ node: 0, lastCommandId: id(5), now: T0 + 9, changes: [good] })).toEqual([])
      expect((await loadOne(store, other)).open.map(({ id }) => id)).toEqual([id(2), id(5), id(6)])
    })

    test('a guard that does not hold, and a device named twice, are bugs', async () => {
      await put(store, device, created(id(1)))
      const queue = await loadOne(store, device)
      const update = changeOf(queue, { updates: [{ command: asFinal(created(id(1))), from: State.sent }] })
      await expect(commit(store, update)).rejects.toThrow(Bug)
      await expect(commit(store, changeOf(queue), changeOf({ ...queue, version: queue.version + 1 }))).rejects.toThrow(
        Bug,
      )
      expect(await loadOne(store, device)).toEqual(queue)
    })

    const [a, b] = [created(id(1)), created(id(2))]
    const settleA = { command: asFinal(asSent(a)), from: State.sent }
    const sendB = { command: asSent(b), from: State.created }
    test.each([
      { order: 'A before B', updates: [settleA, sendB] },
      { order: 'B before A', updates: [sendB, settleA] },
    ])('one commit settles A and sends B, $order', async ({ updates }) => {
      await put(store, device, asSent(a), b)
      await put(store, other, asSent(created(id(3))), created(id(4)))
      const others = [
        { command: asSent(created(id(4))), from: State.created },
        { command: asFinal(asSent(created(id(3)))), from: State.sent },
      ]
      const stale = await commit(
        store,
        changeOf(await loadOne(store, device), { updates }),
        changeOf(await loadOne(store, other), { updates: others }),
      )
      expect(stale).toEqual([])
      expect((await loadOne(store, device)).open).toEqual([asSent(b)])
      expect((await loadOne(store, other)).open).toEqual([asSent(created(id(4)))])
    })

    test('one commit takes A back and sends B, or settles A and inserts B as sent', async () => {
      await put(store, device, asSent(a), b)
      await put(store, other, asSent(created(id(3))))
      await commit(
        store,
        changeOf(await loadOne(store, device), { updates: [sendB, { command: a, from: State.sent }] }),
        changeOf(await loadOne(store, other), {
          inserts: [inserted(asSent(created(id(4))))],
          updates: [{ command: asFinal(asSent(created(id(3)))), from: State.sent }],
        }),
      )
      expect((await loadOne(store, device)).open).toEqual([a, asSent(b)])
      expect((await loadOne(store, other)).open).toEqual([asSent(created(id(4)))])
    })

    test('two commands of one device are never both sent, over several commits either', async () => {
      await put(store, device, asSent(a), b)
      await expect(commit(store, changeOf(await loadOne(store, device), { updates: [sendB] }))).rejects.toThrow()
      await expect(put(store, device, asSent(created(id(3))))).rejects.toThrow()
      expect((await loadOne(store, device)).open).toEqual([asSent(a), b])
    })

    test('JSON text comes back to the letter, NUL escapes and 64 KiB of it included', async () => {
      const body = bodyRow({
        nameJson: '{"defaultValue":"n\\u0000ame \u{1F600} \\ud800","i18nValue":{}}',
        inputJson: JSON.stringify({ nul: 'a\0b', long: 'ж'.repeat(32_768), quote: `'"\`\\` }),
        outputJson: ' [1e400, 12345678901234567890,\t"\\u0000"] ',
        deviceCode: '\u2028',
        deviceMessage: '',
      })
      const change = changeOf(await loadOne(store, device), { inserts: [inserted(created(id(1)), body)] })
      await commit(store, change)
      expect((await store.command(device, id(1)))?.body).toEqual(body)
      expect((await store.search(device, null, 0, 1)).rows[0]?.body).toEqual(body)
    })

    test('a text with NUL is refused in every field that comes from outside', async () => {
      const queue = await loadOne(store, device)
      const text = 'a\0b'
      const changes = [
        { inserts: [inserted(created(id(1), { identifier: text }))] },
        { inserts: [inserted(created(id(1), { createdBy: text }))] },
        { inserts: [inserted(created(id(1)), bodyRow({ nameJson: text }))] },
        { inserts: [inserted(created(id(1)))], events: [event(1, id(1), { detail: text })] },
        { inserts: [inserted(created(id(1)))], events: [event(1, id(1), { reason: text })] },
        {
          inserts: [inserted(created(id(1)))],
          outcomes: [{ commandId: id(1), outputJson: null, deviceCode: '1', deviceMessage: text }],
        },
      ]
      for (const change of changes) await expect(commit(store, changeOf(queue, change))).rejects.toThrow(/NUL/)
      await expect(store.saveToken(text, 'app1', T0)).rejects.toThrow(/NUL/)
      await expect(store.useEncryption(text, T0)).rejects.toThrow(/NUL/)
      const rows = fleetRows({ organizations: [{ orgId: text, name: 'x' }] })
      await expect(store.applyFleet(rows, T0)).rejects.toThrow(/NUL/)
    })

    test('ids reach to the last of 63 bits', async () => {
      const [low, high] = ['9223372036854775806', '9223372036854775807']
      const commands = [low, high].map(each => asFinal(created(each, { createdAt: idMs(each) })))
      const queue = await loadOne(store, device)
      const change = changeOf(
        { ...queue, lastCommandId: high, eventSeq: 2 },
        { inserts: commands.map(each => inserted(each)), events: [event(1, low), event(2, high)] },
      )
      await store.commit({ node: 0, lastCommandId: high, now: T0, changes: [change] })
      expect(await loadOne(store, device, low, high)).toMatchObject({ lastCommandId: high, named: commands })
      expect((await store.command(device, high))?.command.id).toBe(high)
      expect([...(await store.bodies([low, high])).keys()]).toEqual([low, high])
      expect(await store.events(device, high, 5)).toEqual([event(2, high)])
      expect((await store.search(device, null, 0, 5)).rows.map(row => row.command.id)).toEqual([high, low])
      const ends: Condition = { op: 'created', from: idMs(high), to: null }
      expect((await store.search(device, ends, 0, 5)).total).toBe(2)
      expect((await store.search(device, { op: 'created', from: idMs(high) + 1, to: null }, 0, 5)).total).toBe(0)
      expect((await store.search(device, { op: 'created', from: null, to: idMs(high) + 1 }, 0, 5)).total).toBe(2)
      expect((await store.search(device, { op: 'created', from: null, to: 9e15 }, 0, 5)).total).toBe(2)
      expect((await store.search(device, { op: 'created', from: 0, to: null }, 0, 5)).total).toBe(2)
      expect((await store.search(device, { op: 'created', from: null, to: 0 }, 0, 5)).total).toBe(0)
      expect((await store.node(0)).lastCommandId).toBe(high)
      expect(await store.purge(T0 + 1_000, 10)).toBe(2)
      expect((await store.search(device, null, 0, 5)).total).toBe(0)
    })

    test('what went in or came out can be changed without changing the store', async () => {
      const command = { ...created(id(1)) }
      const body = { ...bodyRow() }
      await commit(
        store,
        changeOf(await loadOne(store, device), { inserts: [{ command, body }], events: [event(1, id(1))] }),
      )
      const before = await everything()
      Object.assign(command, { state: State.failed })
      Object.assign(body, { inputJson: 'null' })
      const meddle = (change: () => unknown) => {
        try {
          change()
        } catch (error) {
          // Frozen objects say so; that is as good as a copy.
          expect(error).toBeInstanceOf(TypeError)
        }
      }
      const queue = await loadOne(store, device)
      const page = await store.search(device, null, 0, 10)
      const events = await store.events(device, null, 10)
      meddle(() => (queue.open as Command[]).pop())
      meddle(() => Object.assign((page.rows as StoredCommand[])[0]!.command, { state: State.failed }))
      meddle(() => Object.assign((page.rows as StoredCommand[])[0]!.body, { inputJson: 'null' }))
      meddle(() => (page.rows as StoredCommand[]).pop())
      meddle(() => Object.assign(events[0]!, { reason: 'changed' }))
      meddle(() => events.pop())
      const application = await store.application('app1')
      meddle(() => Object.assign(application!.grants[0]!, { actions: [] }))
      meddle(() => (application!.grants as unknown[]).pop())
      expect(await everything()).toEqual(before)
      expect((await store.application('app1'))?.grants).toEqual(smallFleet().applications[0]?.grants)
    })
  })

  describe('node', () => {
    test('has nothing on a new store', async () => {
      expect(await store.node(0)).toEqual({ lastCommandId: null, clockFloor: 0 })
    })

    test('keeps the largest id of each node and the latest clock of all, whatever comes after', async () => {
      const batch = (node: number, lastCommandId: string | null, now: number) =>
        store.commit({ node, lastCommandId, now, changes: [] })
      await batch(0, id(5), T0 + 10)
      await batch(0, id(4), T0 + 5)
      await batch(0, null, T0 + 7)
      expect(await store.node(0)).toEqual({ lastCommandId: id(5), clockFloor: T0 + 10 })
      await batch(7, null, T0 + 20)
      expect(await store.node(7)).toEqual({ lastCommandId: null, clockFloor: T0 + 20 })
      await batch(7, id(9), T0)
      expect(await store.node(7)).toEqual({ lastCommandId: id(9), clockFloor: T0 + 20 })
      expect(await store.node(0)).toEqual({ lastCommandId: id(5), clockFloor: T0 + 20 })
    })
  })

  describe('due', () => {
    test('finds what lapses at this very instant, by expiry while created and by deadline once sent', async () => {
      expect(await store.nextDue()).toBeNull()
      await put(store, device, created(id(1), { expireAt: T0 + 500 }), created(id(2), { expireAt: T0 + 300 }))
      await put(store, other, { ...asSent(created(id(3), { expireAt: T0 + 100 })), deadlineAt: T0 + 400 })
      expect(await store.nextDue()).toBe(T0 + 300)
      expect(await store.due(T0 + 299, 10)).toEqual([])
      expect(await store.due(T0 + 300, 10)).toEqual([device])
      expect((await store.due(T0 + 400, 10)).sort()).toEqual([device, other])
      expect((await store.due(T0 + 500, 10)).sort()).toEqual([device, other])
      expect(await store.due(T0 + 500, 1)).toHaveLength(1)
      await commit(
        store,
        changeOf(await loadOne(store, device), {
          updates: [id(1), id(2)].map(each => ({
            command: asFinal(created(each), State.expired),
            from: State.created,
          })),
        }),
      )
      expect(await store.nextDue()).toBe(T0 + 400)
      expect(await store.due(T0 + 10_000, 10)).toEqual([other])
    })

    test('a device with many lapsed commands takes one place', async () => {
      await put(store, device, ...[1, 2, 3, 4].map(n => created(id(n), { expireAt: T0 + n })))
      await put(store, other, created(id(5), { expireAt: T0 + 50 }))
      expect((await store.due(T0 + 100, 2)).sort()).toEqual([device, other])
    })
  })

  describe('reads', () => {
    test('a command is read through its own device only', async () => {
      await put(store, device, created(id(1)))
      expect(await store.command(device, id(1))).toEqual({ command: created(id(1)), body: bodyRow() })
      expect(await store.command(other, id(1))).toBeNull()
      expect(await store.events(other, id(1), 10)).toEqual([])
    })

    test('events come in order: one command’s, or the last of the device', async () => {
      const events = [event(1, id(1)), event(2, null), event(3, id(2)), event(4, id(1)), event(5, id(1))]
      const inserts = [id(1), id(2)].map(each => inserted(created(each)))
      await commit(store, changeOf(await loadOne(store, device), { inserts, events }))
      const seqs = async (commandId: string | null, limit: number) =>
        (await store.events(device, commandId, limit)).map(({ seq }) => seq)
      expect(await seqs(null, 10)).toEqual([1, 2, 3, 4, 5])
      expect(await seqs(null, 2)).toEqual([4, 5])
      expect(await seqs(id(1), 10)).toEqual([1, 4, 5])
      expect(await seqs(id(1), 2)).toEqual([4, 5])
      expect(await seqs(id(1), 0)).toEqual([])
      expect(await seqs(id(3), 10)).toEqual([])
      expect(await store.events(other, null, 10)).toEqual([])
    })

    test('counts by state follow every commit and purge', async () => {
      expect(await store.countByState()).toEqual(new Map())
      await put(store, device, asSent(created(id(1))), created(id(2)), asFinal(created(id(3))))
      expect(await store.countByState()).toEqual(
        new Map([
          [State.created, 1],
          [State.sent, 1],
          [State.succeeded, 1],
        ]),
      )
      const updates = [{ command: asFinal(asSent(created(id(1)))), from: State.sent }]
      await commit(store, changeOf(await loadOne(store, device), { updates }))
      const stale = await loadOne(store, other)
      await commit(store, changeOf(stale))
      await commit(store, changeOf(stale, { inserts: [inserted(created(id(4)))] }))
      await store.purge(T0 + 51, 1)
      expect(await store.countByState()).toEqual(
        new Map([
          [State.created, 1],
          [State.succeeded, 1],
        ]),
      )
    })
  })

  describe('search', () => {
    test('newest first, a page at a time, the total exact', async () => {
      await put(store, device, ...[3, 1, 5, 2, 4].map(n => created(id(n))))
      await put(store, other, created(id(6)))
      const page = async (offset: number, limit: number) => {
        const { rows, total } = await store.search(device, null, offset, limit)
        return [rows.map(({ command }) => command.id), total]
      }
      expect(await page(0, 2)).toEqual([[id(5), id(4)], 5])
      expect(await page(3, 10)).toEqual([[id(2), id(1)], 5])
      expect(await page(5, 10)).toEqual([[], 5])
      expect(await page(0, 0)).toEqual([[], 5])
      expect(await store.search(9_999, null, 0, 10)).toEqual({ rows: [], total: 0 })
    })

    test('names by locale, with the default where a locale has none, in any script and case', async () => {
      const names: readonly { defaultValue: string; i18nValue?: Record<string, string> }[] = [
        { defaultValue: 'Switch', i18nValue: { en_US: 'Power Switch', zh_CN: '开关' } },
        { defaultValue: 'ÄNDERN', i18nValue: { en_US: '' } },
        { defaultValue: '', i18nValue: { ja_JP: 'nul\0inside', constructor: 'x' } },
        { defaultValue: 'Ωmega' },
      ]
      const inserts = names.map((name, n) => inserted(created(id(n)), bodyRow({ nameJson: JSON.stringify(name) })))
      await commit(store, changeOf(await loadOne(store, device), { inserts }))
      const found = async (locale: string | null, text: string, exact = false) => {
        const { rows } = await store.search(device, { op: 'name', locale, text, exact }, 0, 10)
        return rows.map(({ command }) => names[[0, 1, 2, 3].findIndex(n => id(n) === command.id)]).reverse()
      }
      const [power, change, odd, omega] = names
      expect(await found('en_US', 'SWITCH')).toEqual([power])
      expect(await found('zh_CN', '关')).toEqual([power])
      expect(await found('zh_CN', 'switch')).toEqual([])
      expect(await found('fr_FR', 'switch')).toEqual([power])
      expect(await found('en_US', 'änd')).toEqual([change])
      expect(await found('default', 'ωMEGA')).toEqual([omega])
      expect(await found('defaultValue', 'power')).toEqual([])
      expect(await found(null, 'power')).toEqual([power])
      expect(await found(null, '关')).toEqual([power])
      expect(await found('ja_JP', 'l\0i')).toEqual([odd])
      expect(await found('ja_JP', 'nul\0x')).toEqual([])
      expect(await found('en_US', '')).toEqual(names)
      expect(await found('en_US', 'Power Switch', true)).toEqual([power])
      expect(await found('en_US', 'power switch', true)).toEqual([])
      expect(await found('en_US', 'Switch', true)).toEqual([])
      expect(await found('toString', 'x')).toEqual([])
      expect(await found('en_US', "%' or 1=1 --")).toEqual([])
      expect(await found('en_US', '_witch')).toEqual([])
    })

    test('any tree of conditions finds what a plain filter finds', async () => {
      const names = ['Reboot', 'reBOOT now', 'Türe', ''].flatMap(defaultValue => [
        JSON.stringify({ defaultValue, i18nValue: {} }),
        JSON.stringify({ defaultValue, i18nValue: { en_US: 'Door', zh_CN: '' } }),
      ])
      const records: StoredCommand[] = Array.from({ length: 40 }, (_, n) => {
        const ms = T0 + Math.floor(n / 3) * 1_000
        const command = created(makeId(ms, n % 3, n), { createdAt: ms })
        const state = ([1, 2, 3, 5, 6, 7] as const)[n % 6]!
        const body = bodyRow({ nameJson: names[n % names.length]! })
        return { command: isOpen(state) ? command : asFinal(command, state), body }
      })
      await commit(store, changeOf(await loadOne(store, device), { inserts: records }))
      const instant = fc.option(fc.integer({ min: T0 - 2_000, max: T0 + 16_000 }))
      const leaf: fc.Arbitrary<Condition> = fc.oneof(
        fc.record({
          op: fc.constant('state' as const),
          states: fc.subarray([1, 2, 3, 4, 5, 6, 7] as State[]),
          negated: fc.boolean(),
        }),
        fc.record({ op: fc.constant('created' as const), from: instant, to: instant }),
        fc.record({
          op: fc.constant('name' as const),
          locale: fc.constantFrom(null, 'default', 'defaultValue', 'en_US', 'zh_CN', 'fr_FR'),
          text: fc.constantFrom('', 'reboot', 'REBOOT', 'Door', 'o', 'TÜ', 'x'),
          exact: fc.boolean(),
        }),
      )
      const { tree } = fc.letrec<{ tree: Condition }>(self => ({
        tree: fc.oneof(
          { maxDepth: 4 },
          leaf,
          fc.record({
            op: fc.constantFrom('and' as const, 'or' as const),
            terms: fc.array(self('tree'), { maxLength: 4 }),
          }),
        ),
      }))
      await fc.assert(
        fc.asyncProperty(tree, fc.nat(10), fc.nat(50), async (condition, offset, limit) => {
          const expected = records.filter(record => holds(condition, record)).reverse()
          const page = await store.search(device, condition, offset, limit)
          expect(page.total).toBe(expected.length)
          expect(page.rows).toEqual(expected.slice(offset, offset + limit))
        }),
        { numRuns: 300 },
      )
    })
  })

  describe('purge', () => {
    const old = (n: number, settledAt: number, state: State = State.succeeded) =>
      asFinal(created(id(n)), state, settledAt)

    test('takes final commands that settled before, oldest first, with bodies and events; never an open one', async () => {
      await commit(
        store,
        changeOf(
          { ...(await loadOne(store, device)), lastCommandId: id(6), eventSeq: 6 },
          {
            inserts: [
              old(1, T0 + 3, State.cancelled),
              old(2, T0 + 1, State.timedOut),
              old(3, T0 + 2),
              old(4, T0 + 10),
              asSent(created(id(5))),
              created(id(6), { expireAt: T0 - 10 }),
            ].map(command => inserted(command)),
            events: [1, 2, 3, 4, 5, 6].map(n => event(n, id(n))),
          },
        ),
      )
      expect(await store.purge(T0 + 10, 2)).toBe(2)
      const left = async () => (await store.search(device, null, 0, 10)).rows.map(({ command }) => command.id)
      expect(await left()).toEqual([id(6), id(5), id(4), id(1)])
      expect(await store.purge(T0 + 10, 10)).toBe(1)
      expect(await left()).toEqual([id(6), id(5), id(4)])
      expect(await store.purge(T0 + 10, 10)).toBe(0)
      expect([...(await store.bodies([1, 2, 3, 4, 5, 6].map(id))).keys()]).toEqual([id(4), id(5), id(6)])
      expect((await store.events(device, null, 10)).map(({ seq }) => seq)).toEqual([4, 5, 6])
      expect(await store.purge(T0 + 1_000_000, 10)).toBe(1)
      expect(await left()).toEqual([id(6), id(5)])
      expect(await loadOne(store, device)).toMatchObject({ lastCommandId: id(6), eventSeq: 6 })
    })

    test('takes session events as old, within the same limit', async () => {
      const events = [1, 2, 3, 4].map(n => event(n, null, { at: T0 + n, reason: 'connected' }))
      const change = changeOf(await loadOne(store, device), { events, inserts: [inserted(old(1, T0))] })
      await commit(store, change)
      expect(await store.purge(T0 + 4, 2)).toBe(2)
      expect((await store.events(device, null, 10)).map(({ seq }) => seq)).toEqual([2, 3, 4])
      expect(await store.purge(T0 + 4, 10)).toBe(2)
      expect((await store.events(device, null, 10)).map(({ seq }) => seq)).toEqual([4])
    })

    test('makes a queue that was loaded with the command stale', async () => {
      await put(store, device, old(1, T0))
      const queue = await loadOne(store, device, id(1))
      const untouched = await loadOne(store, other)
      await store.purge(T0 + 1, 10)
      const late = { command: { ...old(1, T0), lateReplies: 1 }, from: State.succeeded }
      expect(await commit(store, changeOf(queue, { updates: [late] }), changeOf(untouched))).toEqual([device])
      expect(await store.command(device, id(1))).toBeNull()
    })
  })

  describe('registry', () => {
    test('reads what a fleet says, by every key', async () => {
      expect(await store.organization(ORG)).toEqual({ orgId: ORG, name: 'One' })
      expect(await store.application('app1')).toEqual(smallFleet().applications[0])
      expect(await store.model(ORG, 'model1')).toEqual(smallFleet().models[0])
      expect(await store.product('pk1')).toEqual(smallFleet().products[0])
      const fresh = { createdAt: T0, description: null, activeAt: null, lastOnlineAt: null, lastOfflineAt: null }
      const expected = { ...deviceRow('a1'), id: device, ...fresh }
      expect(await store.deviceByAsset('a1')).toEqual(expected)
      expect(await store.deviceByKeys('pk1', 'key-a1')).toEqual(expected)
    })

    test('what does not exist is null, a key with NUL or of another kind included', async () => {
      for (const key of ['none', '', `${ORG}\0`, 'app1\0x', 'pk1\0', 'a1\0']) {
        expect(await store.organization(key)).toBeNull()
        expect(await store.application(key)).toBeNull()
        expect(await store.firstApplication(key)).toBeNull()
        expect(await store.model(ORG, key)).toBeNull()
        expect(await store.model(key, 'model1')).toBeNull()
        expect(await store.product(key)).toBeNull()
        expect(await store.deviceByAsset(key)).toBeNull()
        expect(await store.deviceByKeys('pk1', key)).toBeNull()
        expect(await store.deviceByKeys(key, 'key-a1')).toBeNull()
        expect(await store.token(key)).toBeNull()
        expect(await store.tokenOf(key, 0)).toBeNull()
      }
    })

    test('applying again changes nothing, and an update keeps numbers', async () => {
      const before = await loadOne(store, device)
      await store.applyFleet(smallFleet('a2', 'a1'), T0 + 1)
      expect(await loadOne(store, device)).toEqual(before)
      const more = { secret: 'other', nameJson: '{"defaultValue":"x"}', certificateSerial: '1f' }
      const changed = { timezone: 'Europe/Berlin', disabled: true, ...more }
      await store.applyFleet({ ...smallFleet('a2'), devices: [deviceRow('a1', changed), deviceRow('a2')] }, T0 + 2)
      expect(await store.deviceByAsset('a1')).toMatchObject({ ...changed, id: device })
      expect(await loadOne(store, device)).toEqual({ ...before, version: before.version + 1, disabled: true })
      expect(await loadOne(store, other)).toMatchObject({ version: 0 })
    })

    test('each field of each row can be changed', async () => {
      const grants = [{ resource: 'Asset', actions: ['Read'], scope: { productKeys: ['pk1'] } }]
      const rows = fleetRows({
        organizations: [{ orgId: ORG, name: 'Uno' }],
        applications: [{ appKey: 'app1', orgId: ORG, secret: 's2', grants }],
        models: [
          { modelId: 'model1', orgId: ORG, json: '{"v":2}' },
          { modelId: 'model2', orgId: ORG, json: '{}' },
        ],
        products: [
          { productKey: 'pk1', orgId: ORG, secret: 's2', modelId: null, json: '{"v":2}' },
          { productKey: 'pk2', orgId: ORG, secret: 's3', modelId: 'model2', json: '{}' },
        ],
        devices: [deviceRow('a1', { productKey: 'pk2', deviceKey: 'moved', gatewayAssetId: 'a2' })],
      })
      await store.applyFleet(rows, T0)
      expect(await store.organization(ORG)).toEqual(rows.organizations[0])
      expect(await store.application('app1')).toEqual(rows.applications[0])
      expect(await store.model(ORG, 'model1')).toEqual(rows.models[0])
      expect(await store.product('pk1')).toEqual(rows.products[0])
      expect(await store.product('pk2')).toEqual(rows.products[1])
      expect(await store.deviceByKeys('pk2', 'moved')).toMatchObject({ id: device, gatewayAssetId: 'a2' })
      expect(await store.deviceByKeys('pk1', 'key-a1')).toBeNull()
      await store.applyFleet(fleetRows({ devices: [deviceRow('a1')] }), T0)
      expect(await store.deviceByAsset('a1')).toMatchObject(deviceRow('a1'))
    })

    test('the first application of an organization stays the first', async () => {
      const app = (appKey: string, secret = 's') => ({ appKey, orgId: ORG, secret, grants: [] })
      await store.applyFleet(fleetRows({ applications: [app('app0'), app('app2')] }), T0)
      await store.applyFleet(fleetRows({ applications: [app('app2', 'new'), app('app1', 'new')] }), T0)
      expect(await store.firstApplication(ORG)).toEqual(app('app1', 'new'))
    })

    test('devices may be listed before their gateway, and two may swap their keys', async () => {
      const devices = [deviceRow('sub', { gatewayAssetId: 'gate' }), deviceRow('gate')]
      await store.applyFleet(fleetRows({ devices }), T0)
      expect((await store.deviceByAsset('sub'))?.gatewayAssetId).toBe('gate')
      const swapped = [deviceRow('a1', { deviceKey: 'key-a2' }), deviceRow('a2', { deviceKey: 'key-a1' })]
      await store.applyFleet(fleetRows({ devices: swapped }), T0)
      expect((await store.deviceByKeys('pk1', 'key-a2'))?.id).toBe(device)
      expect((await store.deviceByKeys('pk1', 'key-a1'))?.id).toBe(other)
    })

    test('the same model may exist in two organizations, each with its own', async () => {
      const rows = fleetRows({
        organizations: [{ orgId: 'o2', name: 'Two' }],
        models: [{ modelId: 'model1', orgId: 'o2', json: '{"of":"o2"}' }],
      })
      await store.applyFleet(rows, T0)
      expect((await store.model('o2', 'model1'))?.json).toBe('{"of":"o2"}')
      expect((await store.model(ORG, 'model1'))?.json).toBe('{"measurepoints":{}}')
    })

    const two = { orgId: 'o2', name: 'Two' }
    const product = { productKey: 'pk2', orgId: 'o2', secret: 's', modelId: null, json: '{}' }
    const app = { appKey: 'app2', orgId: ORG, secret: 's', grants: [] }
    const conflicts: readonly (readonly [string, Parameters<typeof fleetRows>[0], RegExp])[] = [
      [
        'an appKey of another organization',
        { applications: [{ ...app, appKey: 'app1', orgId: 'o2' }] },
        /appKey "app1".*"o1"/,
      ],
      [
        'a productKey of another organization',
        { products: [{ ...product, productKey: 'pk1' }] },
        /productKey "pk1".*"o1"/,
      ],
      [
        'a device of another organization',
        { products: [product], devices: [deviceRow('a1', { orgId: 'o2', productKey: 'pk2' })] },
        /assetId "a1".*"o1"/,
      ],
      ['deviceKey taken', { devices: [deviceRow('a3', { deviceKey: 'key-a1' })] }, /assetId "a3".*"key-a1".*"a1"/],
      [
        'deviceKey twice in the file',
        { devices: [deviceRow('a3', { deviceKey: 'k' }), deviceRow('a4', { deviceKey: 'k' })] },
        /assetId "a4".*"k".*twice/,
      ],
      ['assetId twice in the file', { devices: [deviceRow('a3'), deviceRow('a3', { deviceKey: 'k' })] }, /"a3".*twice/],
      ['appKey twice in the file', { applications: [app, app] }, /appKey "app2".*twice/],
      ['productKey twice in the file', { products: [product, product] }, /productKey "pk2".*twice/],
      ['orgId twice in the file', { organizations: [two, two] }, /orgId "o2".*twice/],
      [
        'modelId twice in the file',
        { models: ['{}', '[]'].map(json => ({ modelId: 'm', orgId: ORG, json })) },
        /modelId "m".*twice/,
      ],
      ['unknown product', { devices: [deviceRow('a3', { productKey: 'none' })] }, /assetId "a3".*productKey "none"/],
      [
        'product of another organization',
        { products: [product], devices: [deviceRow('a3', { productKey: 'pk2' })] },
        /assetId "a3".*productKey "pk2"/,
      ],
      ['unknown gateway', { devices: [deviceRow('a3', { gatewayAssetId: 'none' })] }, /assetId "a3".*gateway "none"/],
      ['itself as gateway', { devices: [deviceRow('a3', { gatewayAssetId: 'a3' })] }, /assetId "a3".*itself/],
      [
        'gateway of another organization',
        { products: [product], devices: [deviceRow('a3', { orgId: 'o2', productKey: 'pk2', gatewayAssetId: 'a1' })] },
        /assetId "a3".*gateway "a1"/,
      ],
      ['unknown model', { products: [{ ...product, modelId: 'none' }] }, /productKey "pk2".*modelId "none"/],
      [
        'model of another organization',
        { products: [{ ...product, modelId: 'model1' }] },
        /productKey "pk2".*"model1"/,
      ],
      ['unknown organization of an application', { applications: [{ ...app, orgId: 'none' }] }, /"app2".*orgId "none"/],
      [
        'unknown organization of a model',
        { models: [{ modelId: 'm', orgId: 'none', json: '{}' }] },
        /"m".*orgId "none"/,
      ],
      ['unknown organization of a product', { products: [{ ...product, orgId: 'none' }] }, /"pk2".*orgId "none"/],
      ['unknown organization of a device', { devices: [deviceRow('a3', { orgId: 'none' })] }, /"a3".*orgId "none"/],
    ]
    test.each(conflicts)('%s: refused, and nothing is applied', async (_, rows, message) => {
      const good = {
        organizations: [two, { orgId: ORG, name: 'renamed' }],
        models: [{ modelId: 'new', orgId: ORG, json: '{}' }],
        devices: [deviceRow('new'), deviceRow('a2', { disabled: true })],
      }
      const all = fleetRows({
        ...rows,
        organizations: [...(rows?.organizations ?? [two]), { orgId: ORG, name: 'renamed' }],
        models: [...good.models, ...(rows?.models ?? [])],
        devices: [...good.devices, ...(rows?.devices ?? [])],
      })
      const refusal = store.applyFleet(all, T0)
      await expect(refusal).rejects.toThrow(FleetConflict)
      await expect(refusal).rejects.toThrow(message)
      expect(await store.organization('o2')).toBeNull()
      expect(await store.organization(ORG)).toEqual({ orgId: ORG, name: 'One' })
      expect(await store.model(ORG, 'new')).toBeNull()
      expect(await store.deviceByAsset('new')).toBeNull()
      expect(await store.deviceByAsset('a3')).toBeNull()
      expect(await loadOne(store, other)).toMatchObject({ version: 0, disabled: false })
      // Without the row that is wrong it goes in.
      await store.applyFleet(fleetRows(good), T0)
      expect(await store.deviceByAsset('new')).not.toBeNull()
    })

    test('the check value of the secrets’ key', async () => {
      expect(await store.secretCheck()).toBeNull()
      await store.setSecretCheck('one')
      await store.setSecretCheck('two')
      expect(await store.secretCheck()).toBe('one')
    })
  })

  describe('tokens', () => {
    test('are found by their text, whether or not they have expired', async () => {
      await store.saveToken('t1', 'app1', T0 + 10)
      expect(await store.token('t1')).toEqual({ appKey: 'app1', expireAt: T0 + 10 })
      expect(await store.token('t2')).toBeNull()
      await store.saveToken('t1', 'app1', T0 + 20)
      expect(await store.token('t1')).toEqual({ appKey: 'app1', expireAt: T0 + 20 })
    })

    test('the newest of an application that is good after now', async () => {
      expect(await store.tokenOf('app1', T0)).toBeNull()
      await store.saveToken('long', 'app1', T0 + 20)
      await store.saveToken('short', 'app1', T0 + 10)
      await store.saveToken('others', 'app2', T0 + 90)
      expect(await store.tokenOf('app1', T0)).toEqual({ accessToken: 'long', expireAt: T0 + 20 })
      await store.saveToken('same', 'app1', T0 + 20)
      expect((await store.tokenOf('app1', T0))?.accessToken).toBe('same')
      await store.saveToken('long', 'app1', T0 + 20)
      expect((await store.tokenOf('app1', T0))?.accessToken).toBe('long')
      expect((await store.tokenOf('app1', T0 + 19))?.accessToken).toBe('long')
      expect(await store.tokenOf('app1', T0 + 20)).toBeNull()
    })

    test('an encryption is good once', async () => {
      expect(await store.useEncryption('e1', T0 + 10)).toBe(true)
      expect(await store.useEncryption('e1', T0 + 99)).toBe(false)
      expect(await store.useEncryption('e2', T0 + 20)).toBe(true)
    })

    test('what expired is forgotten', async () => {
      await store.saveToken('t1', 'app1', T0 + 10)
      await store.saveToken('t2', 'app1', T0 + 20)
      await store.useEncryption('e1', T0 + 10)
      await store.useEncryption('e2', T0 + 20)
      await store.purgeTokens(T0 + 20)
      expect(await store.token('t1')).toBeNull()
      expect(await store.token('t2')).not.toBeNull()
      expect(await store.useEncryption('e1', T0 + 30)).toBe(true)
      expect(await store.useEncryption('e2', T0 + 30)).toBe(false)
    })
  })

  test('answers until it is closed, and may be closed twice', async () => {
    await store.ping()
    await store.close()
    await expect(store.ping()).rejects.toThrow(/not open|closed/)
    await store.close()
  })

  test('everything is there after close and open', async context => {
    if (forgets !== null) return context.skip(forgets)
    const change = changeOf(
      { ...(await loadOne(store, device)), lastCommandId: id(2), eventSeq: 2, sessionNo: 3, activeAt: T0 },
      {
        inserts: [inserted(asSent(created(id(1)))), inserted(created(id(2)))],
        events: [event(1, id(1)), event(2, null)],
      },
    )
    await store.commit({ node: 0, lastCommandId: id(2), now: T0 + 3, changes: [change] })
    await store.saveToken('t1', 'app1', T0)
    await store.useEncryption('e1', T0)
    await store.setSecretCheck('check')
    const before = await everything()
    await store.close()
    store = await open(folder)
    expect(await everything()).toEqual(before)
    expect(await store.token('t1')).toEqual({ appKey: 'app1', expireAt: T0 })
    expect(await store.useEncryption('e1', T0)).toBe(false)
    expect(await store.secretCheck()).toBe('check')
    expect((await store.deviceByAsset('a2'))?.id).toBe(other)
  })
})

/** The search condition once more, as plainly as can be, to compare the stores with. */
function holds(condition: Condition, record: StoredCommand): boolean {
  switch (condition.op) {
    case 'and':
      return !condition.terms.some(term => !holds(term, record))
    case 'or':
      return condition.terms.some(term => holds(term, record))
    case 'state':
      return condition.negated
        ? !condition.states.includes(record.command.state)
        : condition.states.includes(record.command.state)
    case 'created': {
      const ms = idMs(record.command.id)
      return ms >= (condition.from ?? Number.NEGATIVE_INFINITY) && ms < (condition.to ?? Number.POSITIVE_INFINITY)
    }
    case 'name': {
      const name = JSON.parse(record.body.nameJson) as { defaultValue: string; i18nValue: Record<string, string> }
      const { locale, text, exact } = condition
      const all = [name.defaultValue, ...Object.values(name.i18nValue).filter(each => each !== '')]
      const isDefault = locale === 'default' || locale === 'defaultValue'
      const own = locale === null || isDefault ? '' : (name.i18nValue[locale] ?? '')
      const texts = locale === null ? all : [own === '' ? name.defaultValue : own]
      return texts.some(each => (exact ? each === text : each.toLowerCase().includes(text.toLowerCase())))
    }
  }
}
