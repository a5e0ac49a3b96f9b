// Calls that may be repeated, at the engine: done once whatever happens between two of them, and who joins a call that waits. Over HTTP: http-repeats.test.ts.

import { describe, expect, it } from 'vitest'
import { State } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { WAITERS_MAX } from '../src/core/limits.ts'
import type { Accepted, NewCommand } from '../src/engine.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Store } from '../src/store/store.ts'
import { newCommand, RecordingLink, type Rig, rig } from './rig/engine.ts'

const once = { application: 'app', key: 'k', requestHash: 'h', keepMs: 60_000 }
const keyed = (over: Partial<NewCommand> = {}) => newCommand({ repeatable: once, ...over })
const instant = (over: Partial<NewCommand> = {}) => keyed({ pendingTtlS: 0, ...over })

async function ask(r: Rig, command = keyed(), wait = false): Promise<Accepted> {
  const answer = await r.engine.enqueue(r.devices[0]!, command, wait)
  if (!answer.ok) throw new Error(answer.message)
  return answer
}

async function connect(r: Rig, ready = true): Promise<RecordingLink> {
  const link = new RecordingLink()
  link.ready = ready
  const answer = await r.engine.connect(r.devices[0]!, link)
  if (!answer.ok) throw new Error(answer.message)
  return link
}

const idOf = (answer: Accepted) => ('repeated' in answer ? answer.repeated.commandId : answer.command.id)
const total = async (r: Rig) => (await r.store.search(r.devices[0]!, null, 0, 1)).total

describe('a call that is repeated', () => {
  it('makes one command, in one batch and over several', async () => {
    const r = await rig()
    const together = await Promise.all([ask(r), ask(r), ask(r)])
    const after = await ask(r)
    expect(together.map(answer => 'repeated' in answer)).toEqual([false, true, true])
    expect(new Set([...together, after].map(idOf)).size).toBe(1)
    expect(after).toMatchObject({ command: { id: idOf(after), state: State.created }, settlement: null })
    expect(await total(r)).toBe(1)
  })

  it('uses no id and writes nothing', async () => {
    const r = await rig()
    const first = await ask(r)
    const before = { node: await r.store.node(0), queue: await r.store.load([{ deviceId: 1, commandIds: [] }]) }
    r.clock.advance(5, async () => undefined)
    await ask(r)
    expect({ node: await r.store.node(0), queue: await r.store.load([{ deviceId: 1, commandIds: [] }]) }).toEqual(
      before,
    )
    expect(before.node.lastCommandId).toBe(idOf(first))
  })

  it('is refused where its key was used for another request', async () => {
    const r = await rig()
    await ask(r)
    const other = keyed({ repeatable: { ...once, requestHash: 'other' } })
    expect(await r.engine.enqueue(r.devices[0]!, other, false)).toMatchObject({
      ok: false,
      code: errors.keyReused.code,
    })
    expect(await total(r)).toBe(1)
  })

  it('is one command also where the first was decided on an old picture of the device', async () => {
    const inner = openMemory()
    let meanwhile: (() => Promise<unknown>) | null = null
    const store = new Proxy(inner, {
      get: (target, name: keyof Store) => {
        if (name !== 'commit') return typeof target[name] === 'function' ? target[name].bind(target) : target[name]
        return async (batch: Parameters<Store['commit']>[0]) => {
          const act = meanwhile
          meanwhile = null
          await act?.()
          return target.commit(batch)
        }
      },
    })
    const r = await rig(1, { store })
    const other = await rig(1, { store: inner })
    meanwhile = () => ask(other)
    const answers = [await ask(r), await ask(r)]
    expect(answers.map(answer => 'repeated' in answer)).toEqual([true, true])
    expect(await total(r)).toBe(1)
  })

  it('is taken for a new one where the first was not written', async () => {
    const inner = openMemory()
    let fails = true
    const store = new Proxy(inner, {
      get: (target, name: keyof Store) => {
        if (name === 'commit' && fails) return () => Promise.reject(new Error('disk full'))
        return typeof target[name] === 'function' ? target[name].bind(target) : target[name]
      },
    })
    const r = await rig(1, { store })
    expect(await r.engine.enqueue(r.devices[0]!, keyed(), false)).toMatchObject({ ok: false, code: 99500 })
    fails = false
    expect('repeated' in (await ask(r))).toBe(false)
  })
})

describe('whoever joins a call that waits', () => {
  it('is told the same as the first, whether the first still listens or not', async () => {
    const r = await rig()
    const link = await connect(r)
    const first = await ask(r, instant(), true)
    const [second, third] = await Promise.all([ask(r, instant(), true), ask(r, instant(), true)])
    expect(r.engine.gauges().waiters).toBe(3)
    const { commandId } = link.published[0]!
    const reply = { type: 'reply', commandId, code: 405, deviceCode: '405', message: 'no', outputJson: null } as const
    await r.engine.apply(r.devices[0]!, reply)
    const told = await Promise.all([first, second, third].map(({ settlement }) => settlement))
    expect(told[0]).toMatchObject({
      type: 'settled',
      command: { id: commandId, code: 405 },
      outcome: { deviceCode: '405' },
    })
    expect(told).toEqual([told[0], told[0], told[0]])
    expect(link.published).toHaveLength(1)
    expect(r.engine.gauges().waiters).toBe(0)
  })

  it('is told also where the command settles in the same batch, before or after', async () => {
    const r = await rig()
    await connect(r, false)
    const first = await ask(r, instant(), true)
    const cancel = () => r.engine.cancel(r.devices[0]!, null, 'me')
    const [before, , after] = await Promise.all([ask(r, instant(), true), cancel(), ask(r, instant(), true)])
    const cancelled = { command: { id: idOf(first), state: State.cancelled } }
    expect(await first.settlement).toMatchObject(cancelled)
    expect(await before.settlement).toMatchObject(cancelled)
    expect(after).toMatchObject({ ...cancelled, settlement: null })
    expect(await ask(r, instant(), true)).toMatchObject({ repeated: { commandId: idOf(first) }, command: null })
  })

  it('is told as well that the server stops', async () => {
    const r = await rig()
    await connect(r, false)
    const callers = [await ask(r, instant(), true), await ask(r, instant(), true)]
    const late = ask(r, instant(), true)
    await r.engine.stop()
    for (const caller of [...callers, await late])
      expect(await caller.settlement).toMatchObject({ type: 'stopping', command: { id: idOf(callers[0]!) } })
    expect(r.engine.gauges().waiters).toBe(0)
  })

  it('counts as a caller of its own', async () => {
    const r = await rig()
    await connect(r, false)
    const all = await Promise.all(Array.from({ length: WAITERS_MAX }, () => ask(r, instant(), true)))
    expect(new Set(all.map(idOf)).size).toBe(1)
    const more = () => r.engine.enqueue(r.devices[0]!, instant(), true)
    expect(await more()).toMatchObject({ ok: false, code: errors.unavailable.code })
    await r.engine.cancel(r.devices[0]!, null, 'me')
    await Promise.all(all.map(({ settlement }) => settlement))
    expect(await more()).toMatchObject({ ok: true, repeated: { commandId: idOf(all[0]!) } })
  })
})

describe('a cancel that is part of something', () => {
  it('says so in the events of what it cancels', async () => {
    const r = await rig()
    const first = await ask(r)
    const detail = '{"cancellation":"c1"}'
    expect(await r.engine.cancel(r.devices[0]!, idOf(first), 'me', detail)).toMatchObject({ cancelled: [{}] })
    const events = await r.store.events(r.devices[0]!, idOf(first), 10)
    expect(events.map(event => [event.reason, event.detail])).toEqual([
      ['accepted', null],
      ['cancel', detail],
    ])
  })
})
