// Get and search over the socket, on both stores: every field of the struct, every operator over real rows in every state, pages, projections,
// times in the device's timezone. The clock is the test's. Not here: the grammar by itself (expression.test.ts), projections by themselves.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openMemory } from '../src/store/memory.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { RecordingLink } from './rig/engine.ts'
import { type AppRig, expectRefused, startApp } from './rig/http.ts'
import { type DeviceCalls, ORG } from './rig/server.ts'

const START = Date.UTC(2026, 9, 24, 12)
const idOf = (command: { commandId: string }) => command.commandId

describe.each(['memory', 'sqlite'])('on %s', kind => {
  let folder: string
  let app: AppRig
  let t1: DeviceCalls
  /** one command of t1 in each state, oldest first, each a second after the one before */
  const ids: string[] = []
  const states = [2, 3, 6, 5, 5, 7, 4, 1]

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-search-'))
    const store = kind === 'memory' ? openMemory() : openSqlite(join(folder, 'downlink.db'))
    app = await startApp({ startAt: START, store })
    t1 = app.app.on({ assetId: 't1' })
    await fill()
  })
  afterAll(async () => {
    await app.stop()
    rmSync(folder, { recursive: true })
  })

  async function fill(): Promise<void> {
    const deviceId = (await app.store.deviceByAsset('t1'))?.id ?? 0
    const long = { pendingTtl: '172800', timeout: '60' }
    const reply = (outputJson: string | null) =>
      app.engine.apply(deviceId, {
        type: 'reply',
        commandId: ids.at(-1)!,
        code: 200,
        deviceCode: '200',
        message: null,
        outputJson,
      })
    const add = async (made: Promise<{ data: { commandId: string } }>, advanceMs = 1000) => {
      ids.push((await made).data.commandId)
      await app.advance(advanceMs)
    }
    await add(t1.set(0, long, 'Int'))
    await t1.cancel()
    await add(t1.set(1, { pendingTtl: '1' }, 'Named'))
    await add(t1.set(2, { pendingTtl: '0' }, 'Int'))
    await app.engine.connect(deviceId, new RecordingLink())
    await add(t1.set(3, long, 'Int'), 0)
    await reply(null)
    await app.advance(1000)
    await add(t1.invoke({}, long, 'plain'), 0)
    await reply('{"ok":true,"list":[{"a":1,"b":2},{"a":3}]}')
    await app.advance(1000)
    await add(t1.set('five', { ...long, timeout: '1' }, 'Text'))
    await add(t1.set(6, long, 'Named'))
    await add(t1.set(7, long, 'Int'))
  }

  /** Which of the eight a search finds, oldest first, after a look at order and totalSize. */
  async function found(expression: string): Promise<number[]> {
    const answer = await t1.search({ expression })
    if (answer.code !== 0) throw new Error(answer.msg)
    const names: number[] = answer.data.map((command: { commandId: string }) => ids.indexOf(command.commandId))
    expect(names).toEqual([...names].sort((a, b) => b - a))
    expect(answer.pagination.totalSize).toBe(names.length)
    return names.reverse()
  }
  const everything = [0, 1, 2, 3, 4, 5, 6, 7]

  describe('get', () => {
    it('shows each as search does, in its state', async () => {
      const { data } = await t1.search()
      expect(data.map(idOf)).toEqual([...ids].reverse())
      for (const [index, id] of ids.entries()) {
        const { code, data: command } = await t1.get(id)
        expect({ code, state: command.state }).toEqual({ code: 0, state: states[index] })
        expect(data[ids.length - 1 - index]).toEqual(command)
      }
    })

    it('shows a service with its outputs, field by field', async () => {
      const answer = await t1.get(ids[4]!)
      expect(answer).toEqual({
        status: 200,
        code: 0,
        msg: 'OK',
        requestId: expect.stringMatching(/^[0-9a-f]{32}$/),
        data: {
          commandId: ids[4],
          orgId: ORG,
          productKey: 'typedPk',
          deviceKey: 't1',
          assetId: 't1',
          createTime: String(START + 4000),
          createLocalTime: '2026-10-24 12:00:04',
          createLocaltime: '2026-10-24 12:00:04',
          commandType: 2,
          commandName: { defaultValue: 'plain', i18nValue: {} },
          timeout: 60,
          pendingTtl: 172_800,
          state: 5,
          tslIdentifier: 'plain',
          inputData: {},
          outputData: { ok: true, list: [{ a: 1, b: 2 }, { a: 3 }] },
        },
      })
      expect(ids[4]).toMatch(/^[0-9]{19}$/)
      expect(Number((BigInt(ids[4]!) >> 23n) + 1288834974657n)).toBe(START + 4000)
    })

    it('shows a set with its bare value and no outputs', async () => {
      expect((await t1.get(ids[3]!)).data).toMatchObject({
        commandType: 1,
        inputData: 3,
        outputData: null,
        tslIdentifier: 'Int',
      })
    })

    it('takes POST as well, and both names of the device', async () => {
      const params = { action: 'get', orgId: ORG, productKey: 'typedPk', deviceKey: 't1', commandId: ids[0]! }
      expect((await app.app.call(params)).data.commandId).toBe(ids[0])
    })
  })

  describe('an expression', () => {
    it.each<[string, number[]]>([
      ['', everything],
      ['  ', everything],
      ['state = 1', [7]],
      ['state = 2', [0]],
      ['state=3', [1]],
      ['state = 4', [6]],
      ['state = 5', [3, 4]],
      ["state = '6'", [2]],
      ['state = "7"', [5]],
      ['state != 5', [0, 1, 2, 5, 6, 7]],
      ['state in (1, 4)', [6, 7]],
      ['state in (2,3,2)', [0, 1]],
      ['state IN (5)', [3, 4]],
      ['state = 1 and state = 2', []],
      ['state = 1 or state = 2', [0, 7]],
      ['state = 1 OR state = 2 AND state = 3', [7]],
      ['(state = 1 or state = 2) and state = 2', [0]],
      ['((state != 5)) and (state != 6 and (state = 1 or state in (2, 3)))', [0, 1, 7]],
      ["commandName like 'speed'", [1, 6]],
      ["commandName like 'SPEED'", [1, 6]],
      ["commandName = 'Pump''s speed'", [1, 6]],
      [`commandName = "Pump's speed"`, [1, 6]],
      ["commandName = 'pump''s speed'", []],
      ["commandName like '泵'", [1, 6]],
      ["commandName like ''", everything],
      ["commandName.default like 'p'", [1, 4, 6]],
      ["commandName.defaultValue like '泵'", []],
      ["commandName.zh_CN like '泵'", [1, 6]],
      ["commandName.zh_CN like 'pump'", []],
      ["commandName.zh_CN like 'int'", [0, 2, 3, 7]],
      ["commandName.ja_JP like 'pump'", [1, 6]],
      ["commandName.fr_FR = 'Text'", [5]],
      ["commandName like '%'", []],
      ["commandName like '_nt'", []],
      ["commandName like 'n' and state in (1, 6)", [2, 7]],
    ])('%s', async (expression, expected) => {
      expect(await found(expression)).toEqual(expected)
    })

    it('that is text for a database is just text here', async () => {
      for (const text of [
        "' or 1=1 --",
        "'; drop table command; --",
        '\\',
        '\0',
        "') or ('1'='1",
        '%%',
        '\ud800',
        '泵" or "',
      ]) {
        const quoted = text.replaceAll("'", "''")
        expect(await found(`commandName like '${quoted}'`)).toEqual([])
        expect(await found(`commandName = '${quoted}' or state = 1`)).toEqual([7])
      }
      expect(await found('')).toEqual(everything)
    })

    it.each([
      ['state', 'character 6: expected =, != or in, got the end'],
      ['state = 8', 'character 9: expected a state, 1 created'],
      ['state = 1 state = 2', 'character 11: expected and, or or the end'],
      ['state > 1', 'character 7: expected =, != or in'],
      ['states = 1', 'character 1: expected state, commandName, createTime or ('],
      ['state = 1)', 'character 10:'],
      ['(state = 1', 'character 11: expected and, or or ), got the end'],
      ['state in ()', 'character 11: expected a state'],
      ["commandName like 'x", 'character 18:'],
      ['commandName like x', 'character 18: expected a name in quotes'],
      ['commandName.__proto__ like "x"', 'character 1: expected commandName.default or a locale'],
      ["createTime > '2026-02-30 00:00:00'", 'character 14: expected an existing time'],
      ['createTime > 0', 'character 14: expected an existing time'],
      ['1 = 1', 'character 1:'],
      ['state = 1; drop table command', 'character 10:'],
      ['not state = 1', 'character 1:'],
    ])('"%s" is refused at the character', async (expression, says) => {
      const answer = await t1.search({ expression })
      expectRefused(answer, 99400, /^Invalid Argument expression:character [0-9]+: /)
      expect(answer.msg).toContain(says)
    })

    it.each<[string, unknown, string]>([
      ['a number', 5, 'must be a string'],
      ['an object', { state: 2 }, 'must be a string'],
      ['too long', `state = 1 ${' '.repeat(4_096)}`, 'characters long, at most 4096'],
      ['of too many terms', Array(65).fill('state = 1').join(' or '), 'more than 64 comparisons'],
      ['too deep', `${'('.repeat(17)}state = 1${')'.repeat(17)}`, 'more than 16 parentheses'],
    ])('that is %s is refused', async (_what, expression, says) => {
      const answer = await t1.search({ expression })
      expectRefused(answer, 99400, /^Invalid Argument expression:/)
      expect(answer.msg).toContain(says)
    })

    it('may be as large as it may', async () => {
      expect(await found(Array(64).fill('state = 1').join(' or '))).toEqual([7])
      expect(await found(`${'('.repeat(16)}state = 1${')'.repeat(16)}`)).toEqual([7])
      expect(await found('state = 1'.padEnd(4_096))).toEqual([7])
    })
  })

  describe('createTime', () => {
    // The eight of t1 (UTC) were created at 12:00:00 to 12:00:07.
    it.each<[string, number[]]>([
      ["createTime = '2026-10-24 12:00:03'", [3]],
      ["createTime > '2026-10-24 12:00:03'", [4, 5, 6, 7]],
      ["createTime >= '2026-10-24 12:00:03'", [3, 4, 5, 6, 7]],
      ["createTime < '2026-10-24 12:00:03'", [0, 1, 2]],
      ["createTime <= '2026-10-24 12:00:03'", [0, 1, 2, 3]],
      ["createTime >= '2026-10-24T12:00:07Z'", [7]],
      ["createTime >= '2026-10-24 12:00:02' and createTime < '2026-10-24 12:00:04'", [2, 3]],
      ["createTime = '2026-10-24 20:00:03'", []],
      ["createTime < '2026-10-24 12:00:00'", []],
      ["createTime > '0000-01-01 00:00:00'", everything],
      ["createTime < '9999-12-31 23:59:59'", everything],
      ["createTime > '9999-12-31 23:59:59'", []],
      ["createTime < '0000-01-01 00:00:00'", []],
    ])('%s', async (expression, expected) => {
      expect(await found(expression)).toEqual(expected)
    })
  })

  describe('pages', () => {
    const page = async (pagination: unknown) => {
      const answer = await t1.search({ pagination })
      return { ids: answer.data.map(idOf), pagination: answer.pagination }
    }
    const newest = (from: number, to: number) => [...ids].reverse().slice(from, to)
    const sortedBy = [{ field: 'createDate', order: 'DESC' }]

    it('are cut from the newest on, and say what they are', async () => {
      expect(await page({ pageNo: 1, pageSize: 3 })).toEqual({
        ids: newest(0, 3),
        pagination: { sortedBy, pageNo: 1, pageSize: 3, totalSize: 8 },
      })
      expect((await page({ pageNo: 2, pageSize: 3 })).ids).toEqual(newest(3, 6))
      expect((await page({ pageNo: 3, pageSize: 3 })).ids).toEqual(newest(6, 8))
      expect((await page({ pageNo: 4, pageSize: 3 })).ids).toEqual([])
      expect((await page({ pageNo: 1, pageSize: 8 })).ids).toEqual(newest(0, 8))
      expect((await page({ pageNo: 2, pageSize: 8 })).ids).toEqual([])
      expect((await page({ pageNo: 1, pageSize: 200 })).ids).toEqual(newest(0, 8))
    })

    it('have 100 commands where nothing is said', async () => {
      for (const pagination of [undefined, null, {}, { pageNo: null, pageSize: null }])
        expect((await page(pagination)).pagination).toEqual({ sortedBy, pageNo: 1, pageSize: 100, totalSize: 8 })
      expect((await page({ pageNo: 2 })).pagination).toEqual({ sortedBy, pageNo: 2, pageSize: 100, totalSize: 8 })
    })

    it('beyond the end are empty, however far', async () => {
      const { ids: none, pagination } = await page({ pageNo: Math.floor(Number.MAX_SAFE_INTEGER / 200), pageSize: 200 })
      expect({ none, total: pagination.totalSize }).toEqual({ none: [], total: 8 })
    })

    it('ignore sorters', async () => {
      const sorters = [{ field: 'state', order: 'ASC' }]
      expect((await page({ pageNo: 1, pageSize: 2, sorters })).ids).toEqual(newest(0, 2))
    })

    it('count the matches of the expression', async () => {
      const answer = await t1.search({ expression: 'state != 5', pagination: { pageNo: 2, pageSize: 4 } })
      expect(answer.data.map(idOf)).toEqual([ids[1], ids[0]])
      expect(answer.pagination.totalSize).toBe(6)
    })

    it.each<[string, unknown]>([
      ['pagination', 5],
      ['pagination', [1, 2]],
      ['pagination', '1'],
      ['pagination.pageNo', { pageNo: 0 }],
      ['pagination.pageNo', { pageNo: -1 }],
      ['pagination.pageNo', { pageNo: 1.5 }],
      ['pagination.pageNo', { pageNo: '1' }],
      ['pagination.pageNo', { pageNo: true }],
      ['pagination.pageNo', { pageNo: Number.MAX_SAFE_INTEGER, pageSize: 200 }],
      ['pagination.pageSize', { pageSize: 0 }],
      ['pagination.pageSize', { pageSize: 201 }],
      ['pagination.pageSize', { pageSize: 1e300 }],
      ['pagination.pageSize', { pageSize: [10] }],
    ])('%s is refused as %j', async (name, pagination) => {
      expectRefused(await t1.search({ pagination }), 99400, new RegExp(`^Invalid Argument ${name}:`))
    })
  })

  describe('a projection', () => {
    const projected = async (projection: unknown) =>
      (await t1.search({ expression: "commandName = 'plain'", projection })).data

    it.each<[string[], unknown]>([
      [['state'], { state: 5 }],
      [['commandId', 'state'], { commandId: expect.any(String), state: 5 }],
      [['commandName.defaultValue'], { commandName: { defaultValue: 'plain' } }],
      [['commandName.i18nValue.en_US'], { commandName: { i18nValue: {} } }],
      [['commandName.*'], { commandName: { defaultValue: 'plain', i18nValue: {} } }],
      [['outputData.list[*].a'], { outputData: { list: [{ a: 1 }, { a: 3 }] } }],
      [['outputData.list[*].b', 'outputData.ok'], { outputData: { ok: true, list: [{ b: 2 }, {}] } }],
      [['outputData.*'], { outputData: { ok: true, list: [{ a: 1, b: 2 }, { a: 3 }] } }],
      [['nothing', 'state.deeper', 'constructor'], {}],
      [['inputData'], { inputData: {} }],
    ])('%j', async (projection, expected) => {
      expect(await projected(projection)).toEqual([expected])
    })

    it('of nothing, and of everything, is the whole struct', async () => {
      const whole = (await t1.get(ids[4]!)).data
      for (const projection of [undefined, null, [], ['*']]) expect(await projected(projection)).toEqual([whole])
    })

    it('keeps null, order and count', async () => {
      const { data, pagination } = await t1.search({ projection: ['outputData.ok'] })
      expect(data).toHaveLength(8)
      expect(data[3]).toEqual({ outputData: { ok: true } })
      expect(data[4]).toEqual({ outputData: null })
      expect(pagination.totalSize).toBe(8)
    })

    it.each<[string, unknown]>([
      ['that is a string', 'state'],
      ['that is an object', { 0: 'state' }],
      ['of numbers', [5]],
      ['with an empty step', ['a..b']],
      ['with an index', ['a[0]']],
      ['of nothing named', ['']],
      ['of too many paths', Array(65).fill('state')],
      ['of a path too long', ['x'.repeat(257)]],
    ])('%s is refused', async (_what, projection) => {
      expectRefused(await t1.search({ projection }), 99400, /^Invalid Argument projection:/)
    })
  })

  it('a command whose time is over is shown as such without anybody asking before', async () => {
    const calls = app.app.on({ assetId: 'a1' })
    const [id] = await calls.queue(1, { pendingTtl: '5' })
    expect((await calls.get(id!)).data.state).toBe(1)
    // Time passes without the timers that would notice.
    const timeless = app.clock.now() + 5_000
    Object.assign(app.clock, { now: () => timeless })
    expect((await calls.search({ expression: 'state = 3' })).data.map(idOf)).toEqual([id])
    expect((await calls.get(id!)).data.state).toBe(3)
    expect((await calls.cancel(id!)).notCancelled).toEqual([{ commandId: id, state: 3 }])
  })
})

it('times are read and shown in the timezone of the device, over the end of daylight saving', async () => {
  const at: [number, string][] = [
    [Date.UTC(2026, 9, 25, 0, 30, 0), '2026-10-25 02:30:00'],
    [Date.UTC(2026, 9, 25, 0, 30, 0) + 999, '2026-10-25 02:30:00'],
    [Date.UTC(2026, 9, 25, 0, 30, 1), '2026-10-25 02:30:01'],
    [Date.UTC(2026, 9, 25, 1, 30, 0), '2026-10-25 02:30:00'],
  ]
  const app = await startApp({ startAt: at[0]![0] })
  try {
    const t2 = app.app.on({ assetId: 't2' })
    const berlin: string[] = []
    for (const [instant, local] of at) {
      await app.advance(instant - app.clock.now())
      const { data } = await t2.set(1, { pendingTtl: '172800' }, 'Int')
      berlin.push(data.commandId)
      const { data: command } = await t2.get(data.commandId)
      expect(command).toMatchObject({ createTime: String(instant), createLocalTime: local, createLocaltime: local })
    }
    const search = async (expression: string) => {
      const { data } = await t2.search({ expression })
      return data.map((command: { commandId: string }) => berlin.indexOf(command.commandId)).reverse()
    }
    // A time that comes twice that night is the first one.
    expect(await search("createTime = '2026-10-25 02:30:00'")).toEqual([0, 1])
    expect(await search("createTime > '2026-10-25 02:30:00'")).toEqual([2, 3])
    expect(await search("createTime <= '2026-10-25 02:30:01'")).toEqual([0, 1, 2])
    expect(await search("createTime = '2026-10-25T01:30:00Z'")).toEqual([3])
    expect(await search("createTime = '2026-10-25 00:30:00'")).toEqual([])
  } finally {
    await app.stop()
  }
})
