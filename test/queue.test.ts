// The queue's rules: the full table of state x input, then each rule by name, then invariants over random histories.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Command, isOpen, Kind, makeId, State, stateName } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { LATE_REPLIES_KEPT } from '../src/core/limits.ts'
import {
  decide,
  type Effect,
  type Enqueue,
  type Input,
  isDue,
  lapsesAt,
  type Presence,
  type Queue,
  type Situation,
  transitions,
} from '../src/core/queue.ts'

const T0 = 1_700_000_000_000
const TTL_S = 600
const TIMEOUT_S = 30
const SESSION = 3

const idAt = (ms: number, sequence = 0) => makeId(ms, 0, sequence)

function emptyQueue(over: Partial<Queue> = {}): Queue {
  return {
    deviceId: 1,
    version: 0,
    lastCommandId: null,
    eventSeq: 0,
    sessionNo: SESSION,
    sessionNode: 0,
    disabled: false,
    activeAt: T0 - 1000,
    lastOnlineAt: T0 - 1000,
    lastOfflineAt: null,
    open: [],
    named: [],
    ...over,
  }
}

function enqueueInput(over: Partial<Enqueue> = {}): Enqueue {
  return {
    type: 'enqueue',
    id: idAt(T0 + 1),
    kind: Kind.invoke,
    identifier: 'reboot',
    timeoutS: TIMEOUT_S,
    pendingTtlS: TTL_S,
    by: 'app',
    ...over,
  }
}

function commandIn(state: State, pendingTtlS: number, id = idAt(T0)): Command {
  const wasSent = [State.sent, State.succeeded, State.timedOut].includes(state as never)
  const lifeS = pendingTtlS > 0 ? pendingTtlS : TIMEOUT_S
  return {
    id,
    state,
    kind: Kind.invoke,
    identifier: 'reboot',
    timeoutS: TIMEOUT_S,
    pendingTtlS,
    expireAt: T0 + lifeS * 1000,
    deadlineAt: wasSent ? T0 + TIMEOUT_S * 1000 : null,
    createdAt: T0,
    sentAt: wasSent ? T0 : null,
    settledAt: isOpen(state) ? null : T0,
    sentSession: wasSent ? SESSION : null,
    createdBy: 'app',
    code: null,
    lateReplies: 0,
  }
}

function queueWith(...commands: Command[]): Queue {
  return emptyQueue({
    lastCommandId: commands.at(-1)?.id ?? null,
    open: commands.filter(command => isOpen(command.state)),
    named: commands.filter(command => !isOpen(command.state)),
  })
}

const waiting: Presence = { session: SESSION, ready: false, silent: true }
const readyNow: Presence = { session: SESSION, ready: true, silent: false }
const at = (now: number, presence: Presence | null, over: Partial<Situation> = {}): Situation => ({
  now,
  presence,
  dispatch: true,
  queueCap: 50,
  ...over,
})

describe('the table: what each input does to a command in each state', () => {
  const subject = idAt(T0)
  type Row =
    | 'created, cached'
    | 'created, instant'
    | 'sent, cached'
    | 'sent, instant'
    | 'cancelled'
    | 'expired'
    | 'succeeded'
    | 'failed'
    | 'timedOut'
  type Column =
    | 'enqueue of another'
    | 'cancel one'
    | 'cancel all'
    | 'connected, was away'
    | 'connected, takeover'
    | 'ready'
    | 'disconnected'
    | 'disconnected, older session'
    | 'reply 200'
    | 'reply 405'
    | 'unsent'
    | 'unsent, older session'
    | 'unsent, too large'
    | 'tick, early'
    | 'tick, at the instant'
  /** the state after it; `ignored`: the command is untouched; `noted`: only its late replies are counted */
  type Expected = State | 'ignored' | 'noted'

  const rows: Record<Row, Command> = {
    'created, cached': commandIn(State.created, TTL_S),
    'created, instant': commandIn(State.created, 0),
    'sent, cached': commandIn(State.sent, TTL_S),
    'sent, instant': commandIn(State.sent, 0),
    cancelled: commandIn(State.cancelled, TTL_S),
    expired: commandIn(State.expired, TTL_S),
    succeeded: commandIn(State.succeeded, TTL_S),
    failed: commandIn(State.failed, TTL_S),
    timedOut: commandIn(State.timedOut, TTL_S),
  }
  const reply = { type: 'reply', commandId: subject, message: null, outputJson: '{}' } as const
  const unsent = { type: 'unsent', commandId: subject, session: SESSION } as const
  const columns: Record<Column, (command: Command) => { input: Input; situation: Situation }> = {
    'enqueue of another': () => ({ input: enqueueInput(), situation: at(T0 + 1, waiting) }),
    'cancel one': () => ({ input: { type: 'cancel', commandId: subject, by: 'app' }, situation: at(T0 + 1, waiting) }),
    'cancel all': () => ({ input: { type: 'cancel', commandId: null, by: 'app' }, situation: at(T0 + 1, waiting) }),
    'connected, was away': () => ({ input: { type: 'connected', node: 0 }, situation: at(T0 + 1, null) }),
    'connected, takeover': () => ({ input: { type: 'connected', node: 0 }, situation: at(T0 + 1, waiting) }),
    ready: () => ({ input: { type: 'ready' }, situation: at(T0 + 1, readyNow) }),
    disconnected: () => ({
      input: { type: 'disconnected', session: SESSION, reason: 'closed' },
      situation: at(T0 + 1, null),
    }),
    'disconnected, older session': () => ({
      input: { type: 'disconnected', session: SESSION - 1, reason: 'closed' },
      situation: at(T0 + 1, waiting),
    }),
    'reply 200': () => ({ input: { ...reply, code: 200, deviceCode: '200' }, situation: at(T0 + 1, waiting) }),
    'reply 405': () => ({ input: { ...reply, code: 405, deviceCode: '405' }, situation: at(T0 + 1, waiting) }),
    unsent: () => ({ input: { ...unsent, reason: 'sessionGone' }, situation: at(T0 + 1, waiting) }),
    'unsent, older session': () => ({
      input: { ...unsent, session: SESSION - 1, reason: 'sessionGone' },
      situation: at(T0 + 1, waiting),
    }),
    'unsent, too large': () => ({ input: { ...unsent, reason: 'tooLarge' }, situation: at(T0 + 1, waiting) }),
    'tick, early': command => ({ input: { type: 'tick' }, situation: at(lapsesAt(command) - 1, waiting) }),
    'tick, at the instant': command => ({ input: { type: 'tick' }, situation: at(lapsesAt(command), waiting) }),
  }
  const nothing: Record<Column, Expected> = {
    'enqueue of another': 'ignored',
    'cancel one': 'ignored',
    'cancel all': 'ignored',
    'connected, was away': 'ignored',
    'connected, takeover': 'ignored',
    ready: 'ignored',
    disconnected: 'ignored',
    'disconnected, older session': 'ignored',
    'reply 200': 'ignored',
    'reply 405': 'ignored',
    unsent: 'ignored',
    'unsent, older session': 'ignored',
    'unsent, too large': 'ignored',
    'tick, early': 'ignored',
    'tick, at the instant': 'ignored',
  }
  const answered: Record<Column, Expected> = { ...nothing, 'reply 200': 'noted', 'reply 405': 'noted' }
  const table: Record<Row, Record<Column, Expected>> = {
    'created, cached': {
      'enqueue of another': 'ignored',
      'cancel one': State.cancelled,
      'cancel all': State.cancelled,
      'connected, was away': 'ignored',
      'connected, takeover': 'ignored',
      ready: State.sent,
      disconnected: 'ignored',
      'disconnected, older session': 'ignored',
      'reply 200': 'ignored',
      'reply 405': 'ignored',
      unsent: 'ignored',
      'unsent, older session': 'ignored',
      'unsent, too large': 'ignored',
      'tick, early': 'ignored',
      'tick, at the instant': State.expired,
    },
    'created, instant': {
      'enqueue of another': 'ignored',
      'cancel one': State.cancelled,
      'cancel all': State.cancelled,
      'connected, was away': State.failed,
      'connected, takeover': 'ignored',
      ready: State.sent,
      disconnected: State.failed,
      'disconnected, older session': 'ignored',
      'reply 200': 'ignored',
      'reply 405': 'ignored',
      unsent: 'ignored',
      'unsent, older session': 'ignored',
      'unsent, too large': 'ignored',
      'tick, early': 'ignored',
      'tick, at the instant': State.failed,
    },
    'sent, cached': {
      'enqueue of another': 'ignored',
      'cancel one': 'ignored',
      'cancel all': 'ignored',
      'connected, was away': 'ignored',
      'connected, takeover': 'ignored',
      ready: 'ignored',
      disconnected: 'ignored',
      'disconnected, older session': 'ignored',
      'reply 200': State.succeeded,
      'reply 405': State.failed,
      unsent: State.created,
      'unsent, older session': 'ignored',
      'unsent, too large': State.failed,
      'tick, early': 'ignored',
      'tick, at the instant': State.timedOut,
    },
    'sent, instant': {
      'enqueue of another': 'ignored',
      'cancel one': 'ignored',
      'cancel all': 'ignored',
      'connected, was away': 'ignored',
      'connected, takeover': 'ignored',
      ready: 'ignored',
      disconnected: 'ignored',
      'disconnected, older session': 'ignored',
      'reply 200': State.succeeded,
      'reply 405': State.failed,
      unsent: State.failed,
      'unsent, older session': 'ignored',
      'unsent, too large': State.failed,
      'tick, early': 'ignored',
      'tick, at the instant': State.timedOut,
    },
    cancelled: nothing,
    expired: nothing,
    succeeded: answered,
    // This one failed without having been sent; one that was sent and refused by the device is 'late' like the rest.
    failed: nothing,
    timedOut: answered,
  }

  it('is the one that docs/states.md prints', () => {
    const names = Object.keys(rows) as Row[]
    const word = (expected: Expected) => (typeof expected === 'number' ? `**${stateName[expected]}**` : expected)
    const cell = (column: Column, row: Row) => (table[row][column] === 'ignored' ? '·' : word(table[row][column]))
    const line = (cells: string[]) => `| ${cells.join(' | ')} |`
    const lines = [
      line(['input', ...names]),
      line(['---', ...names.map(() => '---')]),
      ...(Object.keys(columns) as Column[]).map(column => line([column, ...names.map(row => cell(column, row))])),
    ]
    const page = readFileSync(new URL('../docs/states.md', import.meta.url), 'utf8')
    expect(page).toContain(lines.join('\n'))
  })

  for (const [row, command] of Object.entries(rows) as [Row, Command][]) {
    for (const [column, make] of Object.entries(columns) as [Column, (typeof columns)[Column]][]) {
      const expected = table[row][column]
      it(`${row} x ${column} -> ${typeof expected === 'number' ? stateName[expected] : expected}`, () => {
        const { input, situation } = make(command)
        const decision = decide(queueWith(command), input, situation)
        const after = [...decision.queue.open, ...decision.queue.named].find(({ id }) => id === subject)
        const touched = decision.changed.some(({ id }) => id === subject)
        const events = decision.events.filter(({ commandId }) => commandId === subject)
        if (expected === 'ignored') {
          expect(after).toEqual(command)
          expect(touched).toBe(false)
          expect(events).toEqual([])
        } else if (expected === 'noted') {
          expect(after).toEqual({ ...command, lateReplies: 1 })
          expect(events).toMatchObject([{ from: command.state, to: command.state, reason: 'late reply' }])
        } else {
          expect(after?.state).toBe(expected)
          expect(touched).toBe(true)
          expect(events).toMatchObject([{ from: command.state, to: expected }])
          expect(transitions[command.state]).toContain(expected)
          if (!isOpen(expected)) expect(after?.settledAt).toBe(situation.now)
        }
      })
    }
  }
})

describe('enqueue', () => {
  const added = (queue: Queue, input: Partial<Enqueue>, situation: Situation) =>
    decide(queue, enqueueInput(input), situation).answer.command

  it('waits while the device is away when it is cached', () => {
    const command = added(emptyQueue(), {}, at(T0 + 1, null))
    expect(command).toMatchObject({ state: State.created, createdAt: T0 + 1, expireAt: T0 + 1 + TTL_S * 1000 })
  })
  it('is cached even for a device that never connected', () => {
    expect(added(emptyQueue({ activeAt: null }), {}, at(T0 + 1, null)).state).toBe(State.created)
  })
  it('fails an instant command for a device that never connected with 11888, on record', () => {
    const decision = decide(emptyQueue({ activeAt: null }), enqueueInput({ pendingTtlS: 0 }), at(T0 + 1, null))
    expect(decision.answer.command).toMatchObject({ state: State.failed, code: 11888, settledAt: T0 + 1 })
    expect(decision.changed).toHaveLength(1)
    expect(decision.events).toMatchObject([{ from: null, to: State.failed, reason: 'inactive' }])
  })
  it('fails an instant command for a device that is away with 11900', () => {
    expect(added(emptyQueue(), { pendingTtlS: 0 }, at(T0 + 1, null))).toMatchObject({
      state: State.failed,
      code: 11900,
    })
  })
  it('takes a disabled device for one that is away, whatever its connection says', () => {
    const queue = emptyQueue({ disabled: true })
    expect(added(queue, { pendingTtlS: 0 }, at(T0 + 1, readyNow)).code).toBe(11900)
    expect(added(queue, {}, at(T0 + 1, readyNow)).state).toBe(State.created)
  })
  it('lets an instant command wait for a device that is connected and not yet ready', () => {
    const command = added(emptyQueue(), { pendingTtlS: 0 }, at(T0 + 1, waiting))
    expect(command).toMatchObject({ state: State.created, expireAt: T0 + 1 + TIMEOUT_S * 1000 })
  })
  it('is sent in the same step where the queue is empty and the device ready', () => {
    const decision = decide(emptyQueue(), enqueueInput(), at(T0 + 1, readyNow))
    expect(decision.answer.command).toMatchObject({ state: State.sent, sentSession: SESSION, sentAt: T0 + 1 })
    expect(decision.effects).toMatchObject([{ type: 'publish', commandId: idAt(T0 + 1), session: SESSION }])
    expect(decision.events.map(({ from, to }) => [from, to])).toEqual([
      [null, State.created],
      [State.created, State.sent],
    ])
  })
  it('joins the tail behind anything open, instant or cached', () => {
    const head = commandIn(State.sent, TTL_S)
    for (const pendingTtlS of [0, TTL_S]) {
      const decision = decide(queueWith(head), enqueueInput({ pendingTtlS }), at(T0 + 1, readyNow))
      expect(decision.answer.command.state).toBe(State.created)
      expect(decision.queue.open.map(({ id }) => id)).toEqual([head.id, idAt(T0 + 1)])
    }
  })
  it('refuses the one above the cap with 11902 and a failed record; the sent one does not count', () => {
    const created = Array.from({ length: 50 }, (_, i) => commandIn(State.created, TTL_S, idAt(T0, i + 1)))
    const sent = commandIn(State.sent, TTL_S, idAt(T0))
    const full = decide(queueWith(sent, ...created), enqueueInput(), at(T0 + 1, null))
    expect(full.answer.command).toMatchObject({ state: State.failed, code: 11902 })
    expect(full.queue.open).toHaveLength(51)
    const room = decide(queueWith(sent, ...created.slice(1)), enqueueInput(), at(T0 + 1, null))
    expect(room.answer.command.state).toBe(State.created)
  })
  it('counts the cap after what is due has lapsed', () => {
    const created = Array.from({ length: 50 }, (_, i) => commandIn(State.created, 1, idAt(T0, i)))
    const id = idAt(T0 + 1000)
    expect(added(queueWith(...created), { id }, at(T0 + 1000, null)).state).toBe(State.created)
  })
  it('takes no id that does not grow', () => {
    expect(() =>
      decide(queueWith(commandIn(State.created, TTL_S)), enqueueInput({ id: idAt(T0) }), at(T0, null)),
    ).toThrow('ids of a device grow')
  })
  it('shows in its answer what the same step made of it', () => {
    const id = idAt(T0)
    const late = at(T0 + 5000, readyNow)
    const command = added(emptyQueue(), { id, pendingTtlS: 60 }, late)
    expect(command.deadlineAt).toBe(late.now + TIMEOUT_S * 1000)
  })
})

describe('cancel', () => {
  const a = commandIn(State.sent, TTL_S, idAt(T0))
  const b = commandIn(State.created, TTL_S, idAt(T0, 1))
  const c = commandIn(State.created, 0, idAt(T0, 2))

  it('takes all created ones, oldest first, and never the one that is sent', () => {
    const { answer, queue } = decide(
      queueWith(a, b, c),
      { type: 'cancel', commandId: null, by: 'me' },
      at(T0 + 1, waiting),
    )
    expect(answer).toMatchObject({ ok: true, notCancelled: [] })
    expect(answer.ok && answer.cancelled.map(({ id, state }) => [id, state])).toEqual([
      [b.id, State.cancelled],
      [c.id, State.cancelled],
    ])
    expect(queue.open.map(({ id }) => id)).toEqual([a.id])
  })
  it('takes exactly the one named', () => {
    const { answer, queue } = decide(
      queueWith(a, b, c),
      { type: 'cancel', commandId: b.id, by: 'me' },
      at(T0 + 1, waiting),
    )
    expect(answer.ok && answer.cancelled.map(({ id }) => id)).toEqual([b.id])
    expect(queue.open.map(({ id }) => id)).toEqual([a.id, c.id])
  })
  it('says of one that is no longer created what it is, the second time too', () => {
    const first = decide(queueWith(a, b), { type: 'cancel', commandId: b.id, by: 'me' }, at(T0 + 1, waiting))
    const second = decide(first.queue, { type: 'cancel', commandId: b.id, by: 'me' }, at(T0 + 2, waiting))
    expect(second.answer).toEqual({
      ok: true,
      cancelled: [],
      notCancelled: [{ commandId: b.id, state: State.cancelled }],
    })
    expect(second.changed).toEqual([])
    const sent = decide(queueWith(a), { type: 'cancel', commandId: a.id, by: 'me' }, at(T0 + 1, waiting))
    expect(sent.answer).toMatchObject({ cancelled: [], notCancelled: [{ commandId: a.id, state: State.sent }] })
  })
  it('refuses an id that the device never had with 11404', () => {
    const { answer, changed } = decide(queueWith(b), { type: 'cancel', commandId: '17', by: 'me' }, at(T0 + 1, waiting))
    expect(answer).toMatchObject({ ok: false, code: errors.commandNotFound.code })
    expect(changed).toEqual([])
  })
  it('does not claim what had expired first', () => {
    const { answer } = decide(queueWith(b), { type: 'cancel', commandId: null, by: 'me' }, at(b.expireAt, null))
    expect(answer).toMatchObject({ ok: true, cancelled: [] })
  })
  it('settles instant commands too, so that their callers are answered', () => {
    const { effects } = decide(queueWith(c), { type: 'cancel', commandId: null, by: 'me' }, at(T0 + 1, waiting))
    expect(effects).toMatchObject([{ type: 'settled', command: { id: c.id, state: State.cancelled } }])
  })
})

describe('sending', () => {
  const a = commandIn(State.created, TTL_S, idAt(T0))
  const b = commandIn(State.created, TTL_S, idAt(T0, 1))

  it('moves on when the one before has an answer, good or bad, or timed out', () => {
    const sent = commandIn(State.sent, TTL_S, idAt(T0 - 1))
    for (const code of [0, 200, 405, null]) {
      const input: Input = {
        type: 'reply',
        commandId: sent.id,
        code,
        deviceCode: String(code),
        message: null,
        outputJson: null,
      }
      const { effects } = decide(queueWith(sent, a, b), input, at(T0 + 1, readyNow))
      expect(effects.map(effect => effect.type)).toEqual(['settled', 'publish'])
    }
    const { effects } = decide(queueWith(sent, a, b), { type: 'tick' }, at(sent.deadlineAt ?? 0, readyNow))
    expect(effects).toMatchObject([{ type: 'settled' }, { type: 'publish', commandId: a.id }])
  })
  it('only goes to the newest session', () => {
    const { effects } = decide(queueWith(a), { type: 'ready' }, at(T0 + 1, { ...readyNow, session: SESSION - 1 }))
    expect(effects).toEqual([])
  })
  it('stops while the server stops', () => {
    const { effects } = decide(queueWith(a), { type: 'ready' }, at(T0 + 1, readyNow, { dispatch: false }))
    expect(effects).toEqual([])
  })
  it('gives an instant command what is left of its timeout, a cached one its whole timeout but not beyond its expiry to leave', () => {
    const instant = commandIn(State.created, 0)
    const one = decide(queueWith(instant), { type: 'ready' }, at(T0 + 20_000, readyNow))
    expect(one.queue.open[0]?.deadlineAt).toBe(T0 + TIMEOUT_S * 1000)
    const two = decide(queueWith(a), { type: 'ready' }, at(T0 + 590_000, readyNow))
    expect(two.queue.open[0]?.deadlineAt).toBe(T0 + 620_000)
    expect(two.effects).toMatchObject([{ type: 'publish', notAfter: T0 + 600_000 }])
  })
  it('makes a session suspect on which nothing came back before the deadline, and sends nothing more on it', () => {
    const sent = commandIn(State.sent, TTL_S, idAt(T0 - 1))
    const silent = { ...readyNow, silent: true }
    const { effects, queue } = decide(queueWith(sent, a), { type: 'tick' }, at(sent.deadlineAt ?? 0, silent))
    expect(effects.map(effect => effect.type)).toEqual(['settled', 'suspect'])
    expect(queue.open).toEqual([a])
  })
  it('does not suspect a newer session for the silence of an older one', () => {
    const sent = { ...commandIn(State.sent, TTL_S, idAt(T0 - 1)), sentSession: SESSION - 1 }
    const { effects } = decide(
      queueWith(sent, a),
      { type: 'tick' },
      at(sent.deadlineAt ?? 0, { ...readyNow, silent: true }),
    )
    expect(effects.map(effect => effect.type)).toEqual(['settled', 'publish'])
  })
  it('puts a cached command that did not leave back to the head, and sends it again', () => {
    const sent = commandIn(State.sent, TTL_S, idAt(T0 - 1))
    const input: Input = { type: 'unsent', commandId: sent.id, session: SESSION, reason: 'sessionGone' }
    const gone = decide(queueWith(sent, a), input, at(T0 + 1, null))
    expect(gone.queue.open[0]).toMatchObject({ id: sent.id, state: State.created, sentAt: null, deadlineAt: null })
    const again = decide(queueWith(sent, a), input, at(T0 + 1, readyNow))
    expect(again.effects).toMatchObject([{ type: 'publish', commandId: sent.id }])
  })
  it('does not call timed out what is known not to have left', () => {
    const sent = commandIn(State.sent, TTL_S, idAt(T0 - 1))
    const input: Input = { type: 'unsent', commandId: sent.id, session: SESSION, reason: 'late' }
    const { queue } = decide(queueWith(sent), input, at(sent.deadlineAt ?? 0, waiting))
    expect(queue.open[0]?.state).toBe(State.created)
  })
})

describe('reply', () => {
  const sent = commandIn(State.sent, TTL_S)
  const reply = (over: object): Input =>
    ({
      type: 'reply',
      commandId: sent.id,
      code: 200,
      deviceCode: '200',
      message: null,
      outputJson: '{"ok":true}',
      ...over,
    }) as Input

  it('keeps the outputs of a service, and none of a set', () => {
    expect(decide(queueWith(sent), reply({}), at(T0 + 1, waiting)).outcomes).toMatchObject([
      { outputJson: '{"ok":true}' },
    ])
    const set = { ...sent, kind: Kind.set }
    expect(decide(queueWith(set), reply({}), at(T0 + 1, waiting)).outcomes).toMatchObject([{ outputJson: null }])
  })
  it('fails with 99500 where the device says something that is no integer, and keeps what it said', () => {
    const decision = decide(queueWith(sent), reply({ code: null, deviceCode: 'E-STOP' }), at(T0 + 1, waiting))
    expect(decision.queue.named[0]).toMatchObject({ state: State.failed, code: 99500 })
    expect(decision.outcomes).toMatchObject([{ deviceCode: 'E-STOP' }])
  })
  it('is late at the deadline itself', () => {
    const { queue, answer } = decide(queueWith(sent), reply({}), at(sent.deadlineAt ?? 0, waiting))
    expect(answer).toMatchObject({ outcome: 'late' })
    expect(queue.named[0]).toMatchObject({ state: State.timedOut, lateReplies: 1 })
  })
  it('keeps the first late ones as events and counts the rest', () => {
    let queue = queueWith(commandIn(State.timedOut, TTL_S))
    let events = 0
    for (let i = 0; i < LATE_REPLIES_KEPT + 3; i++) {
      const decision = decide(queue, reply({ message: 'm'.repeat(5000) }), at(T0 + 1 + i, waiting))
      events += decision.events.length
      queue = decision.queue
    }
    expect(events).toBe(LATE_REPLIES_KEPT)
    expect(queue.named[0]?.lateReplies).toBe(LATE_REPLIES_KEPT + 3)
  })
  it('that names no command of the device is ignored', () => {
    const decision = decide(emptyQueue(), reply({ commandId: '1' }), at(T0, waiting))
    expect(decision).toMatchObject({ answer: { outcome: 'ignored' }, changed: [], events: [] })
  })
})

describe('a device in a reboot loop', () => {
  it('leaves an event of its comings and goings only every ten seconds, and the instants always', () => {
    let queue = emptyQueue({ lastOnlineAt: null, lastOfflineAt: null })
    let events = 0
    for (let second = 0; second < 60; second++) {
      const now = T0 + second * 1000
      const came = decide(queue, { type: 'connected', node: 0 }, at(now, null))
      expect(came.queue).toMatchObject({ sessionNo: SESSION + second + 1, lastOnlineAt: now })
      const left: Input = { type: 'disconnected', session: came.queue.sessionNo, reason: 'closed' }
      const went = decide(came.queue, left, at(now + 500, null))
      expect(went.queue.lastOfflineAt).toBe(now + 500)
      events += came.events.length + went.events.length
      queue = went.queue
    }
    expect(events).toBeLessThanOrEqual(14)
    expect(events).toBeGreaterThanOrEqual(2)
  })
})

describe('isDue', () => {
  it('is true from the instant on', () => {
    const command = commandIn(State.created, TTL_S)
    expect(isDue(queueWith(command), command.expireAt - 1)).toBe(false)
    expect(isDue(queueWith(command), command.expireAt)).toBe(true)
  })
})

describe('invariants over random histories', () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant('enqueue' as const),
      ttl: fc.constantFrom(0, 1, 5, 600),
      timeout: fc.constantFrom(1, 3),
    }),
    fc.record({ do: fc.constant('cancel' as const), nth: fc.option(fc.nat(12), { nil: null }) }),
    fc.record({
      do: fc.constantFrom('connect', 'ready', 'disconnect', 'tick', 'reply', 'wrongReply', 'unsent' as const),
    }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 400, 1000, 4000) }),
  )

  it('one sent at most, order kept, final for ever, progress, dense events', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), steps => {
        let queue = emptyQueue({ sessionNo: 0, activeAt: null })
        let presence = null as Presence | null
        let now = T0
        let sequence = 0
        const all = new Map<string, Command>()
        const published: string[] = []
        const queueCap = 4
        for (const action of steps) {
          let input: Input = { type: 'tick' }
          const sent = queue.open.find(command => command.state === State.sent)
          if (action.do === 'wait') now += action.ms
          if (action.do === 'enqueue') {
            const id = idAt(now, sequence++)
            input = enqueueInput({ id, pendingTtlS: action.ttl, timeoutS: action.timeout })
          }
          if (action.do === 'cancel') {
            const commandId = action.nth === null ? null : ([...all.keys()][action.nth] ?? '1')
            const named = commandId ? all.get(commandId) : undefined
            if (named && !isOpen(named.state)) queue = { ...queue, named: [named] }
            input = { type: 'cancel', commandId, by: 'me' }
          }
          if (action.do === 'connect') input = { type: 'connected', node: 0 }
          if (action.do === 'ready' && presence) {
            presence = { ...presence, ready: true }
            input = { type: 'ready' }
          }
          if (action.do === 'disconnect' && presence) {
            input = { type: 'disconnected', session: presence.session, reason: 'closed' }
            presence = null
          }
          if (action.do === 'reply' && sent)
            input = { type: 'reply', commandId: sent.id, code: 0, deviceCode: '0', message: null, outputJson: null }
          if (action.do === 'wrongReply')
            input = { type: 'reply', commandId: '1', code: 0, deviceCode: '0', message: null, outputJson: null }
          if (action.do === 'unsent' && sent)
            input = { type: 'unsent', commandId: sent.id, session: sent.sentSession ?? 0, reason: 'sessionGone' }

          const decision = decide(queue, input, { now, presence, dispatch: true, queueCap })
          if (input.type === 'connected') presence = { session: decision.queue.sessionNo, ready: false, silent: false }
          for (const command of decision.changed) {
            const before = all.get(command.id)
            if (before && !isOpen(before.state)) expect(command.state).toBe(before.state)
            all.set(command.id, command)
          }
          for (const effect of decision.effects) if (effect.type === 'publish') published.push(effect.commandId)
          checkQueue(queue, decision.queue, decision.effects, { now, presence, dispatch: true, queueCap })
          expect(decision.events.map(({ seq }) => seq)).toEqual(decision.events.map((_, i) => queue.eventSeq + i + 1))
          queue = { ...decision.queue, named: [] }
        }
        expect([...published].sort()).toEqual(published)
      }),
      { numRuns: 400 },
    )
  })

  function checkQueue(before: Queue, after: Queue, effects: readonly Effect[], situation: Situation): void {
    const sent = after.open.filter(command => command.state === State.sent)
    const created = after.open.filter(command => command.state === State.created)
    expect(sent.length).toBeLessThanOrEqual(1)
    expect(created.length).toBeLessThanOrEqual(situation.queueCap)
    expect([...after.open].sort((x, y) => (x.id < y.id ? -1 : 1))).toEqual(after.open)
    expect(after.open.every(command => situation.now < lapsesAt(command))).toBe(true)
    if (situation.presence?.ready && situation.presence.session === after.sessionNo && created.length > 0)
      expect(sent).toHaveLength(1)
    expect(effects.filter(effect => effect.type === 'publish').length).toBeLessThanOrEqual(1)
    expect(after.eventSeq).toBeGreaterThanOrEqual(before.eventSeq)
  }
})
