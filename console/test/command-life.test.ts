// What a command's life is drawn as: how long its parts are, from milliseconds to days, and what it is concluded to have waited for.
// Not here: how it looks and follows what happens (command.test.ts).

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type {
  CommandRecord,
  DeviceLine,
  Explanation,
  Timeline,
  TimelineEvent,
} from '../../packages/client/src/index.ts'
import { lifeOf } from '../src/command/life.ts'
import { placeOf, scaleOf } from '../src/command/scale.ts'
import { waitingOf, waitingPlace } from '../src/command/waiting.ts'

const DAY = 86_400_000
const shares = (durations: number[], least: number) => {
  const { places } = scaleOf(durations, least)
  return durations.map((_, part) => (places[part + 1] ?? 0) - (places[part] ?? 0))
}
/** of what is reckoned with halves */
const NEARLY = 1e-6

describe('the scale', () => {
  const durations = fc.array(fc.integer({ min: 0, max: 7 * DAY }), { minLength: 1, maxLength: 8 })

  it('is exact where everything can be read', () => {
    const { places, isToScale, cut } = scaleOf([1_000, 3_000], 0.2)
    expect(places).toEqual([0, 0.25, 1])
    expect(isToScale).toBe(true)
    expect(cut).toEqual([false, false])
  })

  it('has 40 ms, 3 s and two days beside each other, in that order, with the long ones cut', () => {
    const { places, isToScale, cut } = scaleOf([40, 3_000, 2 * DAY], 0.1)
    const [short = 0, middle = 0, long = 0] = shares([40, 3_000, 2 * DAY], 0.1)
    expect(places.at(-1)).toBeCloseTo(1)
    expect(short).toBeCloseTo(0.1)
    expect(middle).toBeGreaterThan(short * 1.5)
    expect(long).toBeGreaterThan(middle * 2)
    expect(isToScale).toBe(false)
    expect(cut).toEqual([false, true, true])
  })

  it('gives every part its least, and to what lasted longer never less', () => {
    fc.assert(
      fc.property(durations, fc.double({ min: 0.01, max: 0.3, noNaN: true }), (lengths, least) => {
        const all = shares(lengths, least)
        expect(all.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1)
        expect(Math.min(...all)).toBeGreaterThan(Math.min(least, 1 / lengths.length) - NEARLY)
        for (const [i, a] of lengths.entries())
          for (const [j, b] of lengths.entries())
            if (a > b) expect(all[i]).toBeGreaterThanOrEqual((all[j] ?? 0) - NEARLY)
      }),
    )
  })

  it('does not jump while time goes on', () => {
    let before = shares([1_000, 599_000], 0.24)
    for (let s = 2; s < 600; s += 1) {
      const now = shares([s * 1_000, (600 - s) * 1_000], 0.24)
      expect(Math.abs((now[0] ?? 0) - (before[0] ?? 0))).toBeLessThan(0.06)
      before = now
    }
  })

  it('places an instant between those around it', () => {
    expect(placeOf(5, [0, 10, 20], [0, 0.8, 1])).toBeCloseTo(0.4)
    expect(placeOf(-5, [0, 10], [0, 1])).toBe(0)
    expect(placeOf(15, [0, 10], [0, 1])).toBe(1)
    expect(placeOf(7, [7, 7], [0, 1])).toBe(0)
  })
})

const T = 1_700_000_000_000
const command = (over: Partial<CommandRecord>): CommandRecord => ({
  ...{ commandId: '2000000000000000009', orgId: 'o', productKey: 'p', deviceKey: 'd', assetId: 'a' },
  ...{ createTime: String(T), createLocalTime: '', commandType: 1, commandName: { defaultValue: 'x', i18nValue: {} } },
  ...{ timeout: 30, pendingTtl: 600, state: 1, tslIdentifier: 'x', inputData: 1, outputData: null, createdBy: 'me' },
  ...{ sentAt: null, settledAt: null, expireAt: T + 600_000, deadlineAt: null, code: null, lateReplies: 0 },
  ...{ deviceCode: null, deviceMessage: null },
  ...over,
})
let seq = 0
const event = (at: number, over: Partial<TimelineEvent>): TimelineEvent => ({
  ...{ seq: ++seq, commandId: null, device: { orgId: 'o', productKey: 'p', deviceKey: 'd', assetId: 'a' } },
  ...{ from: null, to: null, state: null, at: T + at, by: 'device', reason: 'x', detail: null, latency: null },
  command: null,
  ...over,
})
const accepted = event(0, { commandId: '2000000000000000009', to: 1, reason: 'accepted' })
const life = (of: Partial<CommandRecord>, events: TimelineEvent[] = [], now = T + 5_000) => {
  const { start, stretches } = lifeOf({ command: command(of), events: [accepted, ...events], waitedFor: [] }, now)
  return [start.kind, ...stretches.flatMap(({ kind, from, to, end }) => [`${kind} ${to - from}`, end.kind])]
}

describe('a life', () => {
  it('that goes on has now in it, and what is left', () => {
    expect(life({})).toEqual(['created', 'waiting 5000', 'now', 'left 595000', 'willExpire'])
    expect(life({ pendingTtl: 0, expireAt: T + 30_000 })).toEqual([
      'created',
      'waiting 5000',
      'now',
      'left 25000',
      'willFail',
    ])
    expect(life({ state: 4, sentAt: T + 1_000, deadlineAt: T + 31_000 })).toEqual([
      'created',
      'waiting 1000',
      'sent',
      'answering 4000',
      'now',
      'left 26000',
      'willTimeOut',
    ])
  })

  it('has nothing left where its time is up and nobody has told the end', () => {
    expect(life({}, [], T + 700_000)).toEqual(['created', 'waiting 700000', 'now'])
  })

  it('that is over ends as it ended, and with late answers after that', () => {
    expect(life({ state: 2, settledAt: T + 2_000 })).toEqual(['created', 'waiting 2000', 'cancelled'])
    const timedOut = { state: 7, sentAt: T, settledAt: T + 30_000, deadlineAt: T + 30_000, lateReplies: 1 } as const
    expect(life(timedOut, [event(31_000, { commandId: '2000000000000000009', reason: 'late reply' })])).toEqual([
      'created',
      'waiting 0',
      'sent',
      'answering 30000',
      'timedOut',
      'after 1000',
      'late',
    ])
  })

  it('never goes backwards where two clocks differ', () => {
    expect(life({ state: 5, sentAt: T - 5, settledAt: T - 3 })).toEqual([
      'created',
      'waiting 0',
      'sent',
      'answering 0',
      'succeeded',
    ])
  })

  it('of what was refused is a point', () => {
    const events = [event(0, { commandId: '2000000000000000009', to: 6, reason: 'offline' })]
    const timeline = { command: command({ state: 6, settledAt: T }), events, waitedFor: [] }
    expect(lifeOf(timeline, T)).toEqual({ start: { kind: 'failed', at: T }, stretches: [] })
  })
})

const BEFORE = '2000000000000000001'
const explanation = (over: Partial<Explanation> = {}): Explanation => ({
  ...{ commandId: '', assetId: '', state: 1, now: T, explanation: '', reasons: [], cancellable: true },
  ...{ ahead: null, head: null, expireAt: null, deadlineAt: null },
  ...over,
})
const waited = (
  waitedFor: TimelineEvent[],
  {
    of = {},
    why = {},
    device = null,
  }: { of?: Partial<CommandRecord>; why?: Partial<Explanation>; device?: unknown } = {},
) => {
  const timeline: Timeline = { command: command(of), events: [accepted], waitedFor }
  const found = waitingOf(timeline, { from: T, to: T + 100 }, explanation(why), device as DeviceLine | null)
  const told = ({ kind, from, to }: { kind: string; from: number; to: number }) => `${kind} ${from - T}-${to - T}`
  return { contact: found.contact.map(told), before: found.before.map(told), others: found.others }
}

describe('what it waited for', () => {
  it('is known from the first turn on, and by that before it', () => {
    expect(waited([event(40, { reason: 'connected' }), event(60, { reason: 'disconnected' })]).contact).toEqual([
      'offline 0-40',
      'online 40-60',
      'offline 60-100',
    ])
    expect(waited([event(40, { reason: 'disconnected' })]).contact).toEqual(['online 0-40', 'offline 40-100'])
    expect(waited([event(30, { reason: 'enabled' })]).contact).toEqual(['disabled 0-30', 'offline 30-100'])
    expect(waited([event(30, { reason: 'disabled' })]).contact).toEqual(['disabled 30-100'])
  })

  it('without a turn is what it is now, or what it must have been; else nothing is claimed', () => {
    expect(waited([], { why: { reasons: [{ reason: 'deviceOffline', since: null }] } }).contact).toEqual([
      'offline 0-100',
    ])
    expect(waited([], { why: { reasons: [{ reason: 'deviceDisabled' }] } }).contact).toEqual(['disabled 0-100'])
    expect(waited([], { why: { reasons: [{ reason: 'next' }] } }).contact).toEqual(['online 0-100'])
    expect(waited([], { of: { state: 5, sentAt: T + 100 } }).contact).toEqual(['online 0-100'])
    const expired = { state: 3, settledAt: T + 100 } as const
    const device = (lastOnlineAt: number | null, lastOfflineAt: number | null) => ({
      of: expired,
      device: { lastOnlineAt, lastOfflineAt },
    })
    expect(waited([], { of: expired }).contact).toEqual([])
    expect(waited([], device(null, null)).contact).toEqual(['offline 0-100'])
    expect(waited([], device(T - 50, T - 20)).contact).toEqual(['offline 0-100'])
    expect(waited([], device(T - 50, null)).contact).toEqual(['online 0-100'])
    expect(waited([], device(T + 500, T - 20)).contact).toEqual(['offline 0-100'])
    expect(waited([], device(T + 500, T + 400)).contact).toEqual([])
  })

  it('sees a connection that was not told of in what was sent', () => {
    const sent = event(50, { commandId: BEFORE, from: 1, to: 4, reason: 'sent' })
    expect(waited([event(10, { reason: 'disconnected' }), sent]).contact).toEqual([
      'online 0-10',
      'offline 10-50',
      'online 50-100',
    ])
  })

  it('has those before it while they are under way, also what began before it, and what still is', () => {
    const events = [
      event(20, { commandId: BEFORE, from: 4, to: 5, reason: 'reply' }),
      event(20, { commandId: '2000000000000000002', from: 1, to: 4, reason: 'sent' }),
      event(30, { commandId: '2000000000000000002', from: 4, to: 7, reason: 'timeout' }),
      event(31, { commandId: '2000000000000000002', from: 7, to: 7, reason: 'late reply' }),
      event(40, { commandId: '2000000000000000003', from: 1, to: 4, reason: 'sent' }),
    ]
    expect(waited(events)).toMatchObject({ before: ['before 0-20', 'before 20-30', 'before 40-100'], others: 3 })
    const head = { commandId: BEFORE, state: 4, sentAt: T - 5, deadlineAt: T + 500 } as const
    expect(waited([], { why: { head, ahead: 1 } })).toMatchObject({ before: ['before 0-100'], others: 1 })
  })

  it('has room for each of some, and goes by the time where they are many', () => {
    const ms = 2 * DAY
    const between = { from: T, to: T + ms }
    const period = (from: number, to: number) => ({ kind: 'online', from: T + from, to: T + to }) as const
    const few = { contact: [period(ms - 40, ms)], before: [], others: 0, attempts: [] }
    expect(1 - waitingPlace(between, few)(T + ms - 40)).toBeCloseTo(0.05)
    const many = Array.from({ length: 50 }, (_, n) => period(n * 10, n * 10 + 5))
    expect(waitingPlace(between, { ...few, contact: many })(T + ms / 2)).toBeCloseTo(0.5)
  })
})
