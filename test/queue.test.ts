// The queue's rules: the full table of state x input, then each rule by name, then invariants over random histories.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Command, idMs, isOpen, Kind, makeId, State, stateName } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import { LATE_REPLIES_KEPT, NODE_LEASE_MS, NODE_MARGIN_MS } from '../src/core/limits.ts'
import {
  type Answers,
  type Decision,
  decide,
  type Effect,
  type Enqueue,
  type Input,
  isDue,
  type KeptAnswer,
  lapsesAt,
  type Presence,
  type Queue,
  type Situation,
} from '../src/core/queue.ts'
import { transitions } from '../src/core/step.ts'

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
    deleted: false,
    activeAt: T0 - 1000,
    lastOnlineAt: T0 - 1000,
    lastOfflineAt: null,
    open: [],
    named: [],
    kept: [],
    ...over,
  }
}

const KEEP_MS = 1_000_000
const ONCE = { application: 'app', key: 'k', requestHash: 'a'.repeat(64), keepMs: KEEP_MS }
/** What an earlier call with that key has left. */
const keptAnswer = (over: Partial<KeptAnswer> = {}): KeptAnswer => ({
  application: ONCE.application,
  key: ONCE.key,
  requestHash: ONCE.requestHash,
  commandId: idAt(T0),
  refusedCode: null,
  expireAt: T0 + KEEP_MS,
  ...over,
})

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

/** The command of an enqueue that was not refused. */
function accepted({ answer }: Decision<Answers['enqueue']>): Command {
  if (!answer.ok) throw new Error(answer.message)
  if ('repeated' in answer) throw new Error(`repeats ${answer.repeated.commandId}`)
  return answer.command
}

const waiting: Presence = { session: SESSION, ready: false, silent: true }
const readyNow: Presence = { session: SESSION, ready: true, silent: false }
const at = (now: number, presence: Presence | null, over: Partial<Situation> = {}): Situation => ({
  now,
  node: 0,
  others: null,
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
    | 'enqueue, repeated'
    | 'cancel one'
    | 'cancel all'
    | 'connected, was away'
    | 'connected, takeover'
    | 'connected, disabled'
    | 'activated'
    | 'ready'
    | 'disconnected'
    | 'disconnected, older session'
    | 'reply 200'
    | 'reply 405'
    | 'unsent'
    | 'unsent, fenced'
    | 'unsent, older session'
    | 'unsent, too large'
    | 'unsent, codec'
    | 'unsent, unsupported'
    | 'disable'
    | 'enable'
    | 'delete'
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
  type Cell = { input: Input; situation: Situation; device?: Partial<Queue> }
  const connected = { type: 'connected', activates: true } as const
  const columns: Record<Column, (command: Command) => Cell> = {
    'enqueue of another': () => ({ input: enqueueInput(), situation: at(T0 + 1, waiting) }),
    'enqueue, repeated': () => ({
      input: enqueueInput({ repeatable: ONCE }),
      situation: at(T0 + 1, waiting),
      device: { kept: [keptAnswer({ commandId: subject })] },
    }),
    'cancel one': () => ({ input: { type: 'cancel', commandId: subject, by: 'app' }, situation: at(T0 + 1, waiting) }),
    'cancel all': () => ({ input: { type: 'cancel', commandId: null, by: 'app' }, situation: at(T0 + 1, waiting) }),
    'connected, was away': () => ({ input: connected, situation: at(T0 + 1, null) }),
    'connected, takeover': () => ({ input: connected, situation: at(T0 + 1, waiting) }),
    'connected, disabled': () => ({ input: connected, situation: at(T0 + 1, null), device: { disabled: true } }),
    activated: () => ({ input: { type: 'activated' }, situation: at(T0 + 1, waiting), device: { activeAt: null } }),
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
    'unsent, fenced': () => ({ input: { ...unsent, reason: 'fenced' }, situation: at(T0 + 1, waiting) }),
    'unsent, older session': () => ({
      input: { ...unsent, session: SESSION - 1, reason: 'sessionGone' },
      situation: at(T0 + 1, waiting),
    }),
    'unsent, too large': () => ({ input: { ...unsent, reason: 'tooLarge' }, situation: at(T0 + 1, waiting) }),
    'unsent, codec': () => ({ input: { ...unsent, reason: 'codec' }, situation: at(T0 + 1, waiting) }),
    'unsent, unsupported': () => ({ input: { ...unsent, reason: 'unsupported' }, situation: at(T0 + 1, waiting) }),
    disable: () => ({ input: { type: 'disable', by: 'me' }, situation: at(T0 + 1, waiting) }),
    enable: () => ({
      input: { type: 'enable', by: 'me' },
      situation: at(T0 + 1, null),
      device: { disabled: true },
    }),
    delete: () => ({ input: { type: 'delete', by: 'me' }, situation: at(T0 + 1, waiting) }),
    'tick, early': command => ({ input: { type: 'tick' }, situation: at(lapsesAt(command) - 1, waiting) }),
    'tick, at the instant': command => ({ input: { type: 'tick' }, situation: at(lapsesAt(command), waiting) }),
  }
  const nothing: Record<Column, Expected> = {
    'enqueue of another': 'ignored',
    'enqueue, repeated': 'ignored',
    'cancel one': 'ignored',
    'cancel all': 'ignored',
    'connected, was away': 'ignored',
    'connected, takeover': 'ignored',
    'connected, disabled': 'ignored',
    activated: 'ignored',
    ready: 'ignored',
    disconnected: 'ignored',
    'disconnected, older session': 'ignored',
    'reply 200': 'ignored',
    'reply 405': 'ignored',
    unsent: 'ignored',
    'unsent, fenced': 'ignored',
    'unsent, older session': 'ignored',
    'unsent, too large': 'ignored',
    'unsent, codec': 'ignored',
    'unsent, unsupported': 'ignored',
    disable: 'ignored',
    enable: 'ignored',
    delete: 'ignored',
    'tick, early': 'ignored',
    'tick, at the instant': 'ignored',
  }
  const answered: Record<Column, Expected> = { ...nothing, 'reply 200': 'noted', 'reply 405': 'noted' }
  const table: Record<Row, Record<Column, Expected>> = {
    'created, cached': {
      'enqueue of another': 'ignored',
      'enqueue, repeated': 'ignored',
      'cancel one': State.cancelled,
      'cancel all': State.cancelled,
      'connected, was away': 'ignored',
      'connected, takeover': 'ignored',
      'connected, disabled': 'ignored',
      activated: 'ignored',
      ready: State.sent,
      disconnected: 'ignored',
      'disconnected, older session': 'ignored',
      'reply 200': 'ignored',
      'reply 405': 'ignored',
      unsent: 'ignored',
      'unsent, fenced': 'ignored',
      'unsent, older session': 'ignored',
      'unsent, too large': 'ignored',
      'unsent, codec': 'ignored',
      'unsent, unsupported': 'ignored',
      disable: 'ignored',
      enable: 'ignored',
      delete: State.cancelled,
      'tick, early': 'ignored',
      'tick, at the instant': State.expired,
    },
    'created, instant': {
      'enqueue of another': 'ignored',
      'enqueue, repeated': 'ignored',
      'cancel one': State.cancelled,
      'cancel all': State.cancelled,
      'connected, was away': State.failed,
      'connected, takeover': 'ignored',
      'connected, disabled': State.failed,
      activated: 'ignored',
      ready: State.sent,
      disconnected: State.failed,
      'disconnected, older session': 'ignored',
      'reply 200': 'ignored',
      'reply 405': 'ignored',
      unsent: 'ignored',
      'unsent, fenced': 'ignored',
      'unsent, older session': 'ignored',
      'unsent, too large': 'ignored',
      'unsent, codec': 'ignored',
      'unsent, unsupported': 'ignored',
      disable: State.failed,
      enable: State.failed,
      delete: State.cancelled,
      'tick, early': 'ignored',
      'tick, at the instant': State.failed,
    },
    'sent, cached': {
      'enqueue of another': 'ignored',
      'enqueue, repeated': 'ignored',
      'cancel one': 'ignored',
      'cancel all': 'ignored',
      'connected, was away': 'ignored',
      'connected, takeover': 'ignored',
      'connected, disabled': 'ignored',
      activated: 'ignored',
      ready: 'ignored',
      disconnected: 'ignored',
      'disconnected, older session': 'ignored',
      'reply 200': State.succeeded,
      'reply 405': State.failed,
      unsent: State.created,
      'unsent, fenced': State.created,
      'unsent, older session': 'ignored',
      'unsent, too large': State.failed,
      'unsent, codec': State.failed,
      'unsent, unsupported': State.failed,
      disable: 'ignored',
      enable: 'ignored',
      delete: State.failed,
      'tick, early': 'ignored',
      'tick, at the instant': State.timedOut,
    },
    'sent, instant': {
      'enqueue of another': 'ignored',
      'enqueue, repeated': 'ignored',
      'cancel one': 'ignored',
      'cancel all': 'ignored',
      'connected, was away': 'ignored',
      'connected, takeover': 'ignored',
      'connected, disabled': 'ignored',
      activated: 'ignored',
      ready: 'ignored',
      disconnected: 'ignored',
      'disconnected, older session': 'ignored',
      'reply 200': State.succeeded,
      'reply 405': State.failed,
      unsent: State.failed,
      'unsent, fenced': State.failed,
      'unsent, older session': 'ignored',
      'unsent, too large': State.failed,
      'unsent, codec': State.failed,
      'unsent, unsupported': State.failed,
      disable: 'ignored',
      enable: 'ignored',
      delete: State.failed,
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
        const { input, situation, device } = make(command)
        const decision = decide({ ...queueWith(command), ...device }, input, situation)
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
    accepted(decide(queue, enqueueInput(input), situation))

  it('waits while the device is away when it is cached', () => {
    const command = added(emptyQueue(), {}, at(T0 + 1, null))
    expect(command).toMatchObject({ state: State.created, createdAt: T0 + 1, expireAt: T0 + 1 + TTL_S * 1000 })
  })
  it('is cached even for a device that never connected', () => {
    expect(added(emptyQueue({ activeAt: null }), {}, at(T0 + 1, null)).state).toBe(State.created)
  })
  it('fails an instant command for a device that never connected with 11888, on record', () => {
    const decision = decide(emptyQueue({ activeAt: null }), enqueueInput({ pendingTtlS: 0 }), at(T0 + 1, null))
    expect(accepted(decision)).toMatchObject({ state: State.failed, code: 11888, settledAt: T0 + 1 })
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
    expect(accepted(decision)).toMatchObject({ state: State.sent, sentSession: SESSION, sentAt: T0 + 1 })
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
      expect(accepted(decision).state).toBe(State.created)
      expect(decision.queue.open.map(({ id }) => id)).toEqual([head.id, idAt(T0 + 1)])
    }
  })
  it('refuses the one above the cap with 11902 and a failed record; the sent one does not count', () => {
    const created = Array.from({ length: 50 }, (_, i) => commandIn(State.created, TTL_S, idAt(T0, i + 1)))
    const sent = commandIn(State.sent, TTL_S, idAt(T0))
    const full = decide(queueWith(sent, ...created), enqueueInput(), at(T0 + 1, null))
    expect(accepted(full)).toMatchObject({ state: State.failed, code: 11902 })
    expect(full.queue.open).toHaveLength(51)
    const room = decide(queueWith(sent, ...created.slice(1)), enqueueInput(), at(T0 + 1, null))
    expect(accepted(room).state).toBe(State.created)
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

describe('enqueue with a key', () => {
  const again = (queue: Queue, over: Partial<Enqueue> = {}, situation = at(T0 + 5, readyNow)) =>
    decide(queue, enqueueInput({ id: idAt(T0 + 5), repeatable: ONCE, ...over }), situation)
  const first = (over: Partial<Enqueue> = {}, situation = at(T0 + 1, readyNow), queue = emptyQueue()) =>
    decide(queue, enqueueInput({ repeatable: ONCE, ...over }), situation)

  it('keeps the answer from the acceptance of the command on, in the same step', () => {
    const { kept, queue } = first({}, at(T0 + 9, waiting))
    expect(kept).toEqual([keptAnswer({ commandId: idAt(T0 + 1), expireAt: T0 + 1 + KEEP_MS })])
    expect(queue.kept).toEqual(kept)
  })
  it('keeps nothing without a key', () => {
    const { kept, queue } = decide(emptyQueue(), enqueueInput(), at(T0 + 1, readyNow))
    expect({ kept, onQueue: queue.kept }).toEqual({ kept: [], onQueue: [] })
  })
  it('answers a repeat like the first and does nothing, in the same batch too', () => {
    const { queue } = first()
    const second = again(queue)
    expect(second).toMatchObject({ changed: [], events: [], effects: [], outcomes: [], kept: [] })
    expect(second.queue).toEqual(queue)
    expect(second.answer).toEqual({ ok: true, repeated: queue.kept[0], command: queue.open[0] })
  })
  it('knows of a command that was final before only its number', () => {
    const { answer, queue } = again(emptyQueue({ kept: [keptAnswer()] }))
    expect(answer).toEqual({ ok: true, repeated: keptAnswer(), command: null })
    expect(queue).toEqual(emptyQueue({ kept: [keptAnswer()] }))
  })
  it('shows the command as the same step leaves it: lapsed, or sent', () => {
    const kept = [keptAnswer()]
    const lapsed = again({ ...queueWith(commandIn(State.created, 0)), kept }, {}, at(T0 + TIMEOUT_S * 1000, readyNow))
    expect(lapsed.answer).toMatchObject({ command: { id: idAt(T0), state: State.failed, code: errors.notSent.code } })
    const sent = again({ ...queueWith(commandIn(State.created, 0)), kept })
    expect(sent.answer).toMatchObject({ command: { id: idAt(T0), state: State.sent } })
    expect(sent.effects).toMatchObject([{ type: 'publish', commandId: idAt(T0) }])
  })
  it('refuses another request under the same key with 99409, and does nothing', () => {
    const { queue } = first()
    const other = again(queue, { repeatable: { ...ONCE, requestHash: 'b'.repeat(64) } })
    expect(other.answer).toMatchObject({ ok: false, code: errors.keyReused.code })
    expect(other).toMatchObject({ changed: [], events: [], effects: [], kept: [] })
    expect(other.queue).toEqual(queue)
  })
  it('knows a key by its application', () => {
    const { queue } = first({}, at(T0 + 1, waiting))
    const foreign = again(queue, { repeatable: { ...ONCE, application: 'other' } }, at(T0 + 5, waiting))
    expect(accepted(foreign).id).toBe(idAt(T0 + 5))
    expect(foreign.queue.kept.map(({ application }) => application)).toEqual(['app', 'other'])
  })
  it.each([
    ['never active', { pendingTtlS: 0 }, { activeAt: null }, errors.inactive.code],
    ['away', { pendingTtlS: 0 }, {}, errors.offline.code],
    ['full', {}, {}, errors.queueFull.code],
  ] as const)('answers again with what it was refused for on arrival: %s', (_, over, device, code) => {
    const refused = first(over, at(T0 + 1, null, { queueCap: 0 }), emptyQueue(device))
    expect(accepted(refused)).toMatchObject({ state: State.failed, code })
    expect(refused.kept).toMatchObject([{ refusedCode: code }])
    const { answer, changed } = again({ ...refused.queue, named: [] }, over, at(T0 + 5, readyNow))
    expect({ answer, changed }).toEqual({
      answer: { ok: true, repeated: refused.kept[0], command: null },
      changed: [],
    })
  })
  it('is as if the key had never been used, from the instant at which it lapses on', () => {
    const queue = emptyQueue({ kept: [keptAnswer(), keptAnswer({ key: 'other' })] })
    expect(again(queue, {}, at(T0 + KEEP_MS - 1, waiting)).answer).toMatchObject({ repeated: keptAnswer() })
    const id = idAt(T0 + KEEP_MS)
    const fresh = again(queue, { id }, at(T0 + KEEP_MS, waiting))
    expect(accepted(fresh).id).toBe(id)
    expect(fresh.kept).toEqual([keptAnswer({ commandId: id, expireAt: T0 + 2 * KEEP_MS })])
    // The other one is not this call's to judge.
    expect(fresh.queue.kept).toEqual([keptAnswer({ key: 'other' }), ...fresh.kept])
  })
  it('does not look at the cap, at who is away or at the order of ids where it is a repeat', () => {
    const { queue } = first({ pendingTtlS: 0 }, at(T0 + 1, waiting))
    const away = again({ ...queue, open: [] }, { id: idAt(T0), pendingTtlS: 0 }, at(T0 + 5, null, { queueCap: 0 }))
    expect(away).toMatchObject({ answer: { repeated: { commandId: idAt(T0 + 1) } }, changed: [], events: [] })
  })
  it('is not found once the device is deleted, and nothing is kept', () => {
    const { queue } = decide(first().queue, { type: 'delete', by: 'me' }, at(T0 + 2, readyNow))
    const repeat = again(queue)
    expect(repeat.answer).toMatchObject({ ok: false, code: errors.notFound.code })
    expect(repeat.kept).toEqual([])
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
  it('leaves word of what it is part of in its events, where it has any', () => {
    const detailsOf = (over: object) =>
      decide(
        queueWith(a, b, c),
        { type: 'cancel', commandId: null, by: 'me', ...over },
        at(T0 + 1, waiting),
      ).events.map(({ reason, detail }) => [reason, detail])
    const detail = '{"cancellation":"c1"}'
    expect(detailsOf({ detail })).toEqual([
      ['cancel', detail],
      ['cancel', detail],
    ])
    expect(detailsOf({})).toEqual([
      ['cancel', null],
      ['cancel', null],
    ])
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
  it('leaves word of which node and which session in its event', () => {
    const node = 7
    const { events } = decide({ ...queueWith(a), sessionNode: node }, { type: 'ready' }, at(T0 + 1, readyNow, { node }))
    expect(events).toMatchObject([{ reason: 'sent', detail: `{"node":7,"session":${SESSION}}` }])
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
      const came = decide(queue, { type: 'connected', activates: true }, at(now, null))
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

describe('a device becomes active', () => {
  const connect = (activates: boolean): Input => ({ type: 'connected', activates })
  const fresh = emptyQueue({ activeAt: null, lastOnlineAt: null })

  it('when it connects with a secret of its own, and not by the secret of its product', () => {
    expect(decide(fresh, connect(true), at(T0, null)).queue.activeAt).toBe(T0)
    const { queue, events } = decide(fresh, connect(false), at(T0, null))
    expect(queue).toMatchObject({ activeAt: null, sessionNo: SESSION + 1, lastOnlineAt: T0 })
    expect(events).toMatchObject([{ reason: 'connected' }])
  })
  it('stays active whatever it connects with later', () => {
    const active = emptyQueue()
    expect(decide(active, connect(false), at(T0, null)).queue.activeAt).toBe(active.activeAt)
    expect(decide(active, connect(true), at(T0, null)).queue.activeAt).toBe(active.activeAt)
  })
  it('when it says that it has got its secret, once', () => {
    const first = decide(fresh, { type: 'activated' }, at(T0, waiting))
    expect(first.queue.activeAt).toBe(T0)
    expect(first.events).toMatchObject([{ commandId: null, by: 'device', reason: 'activated' }])
    const second = decide(first.queue, { type: 'activated' }, at(T0 + 9, waiting))
    expect(second).toMatchObject({ answer: { ok: true }, events: [] })
    expect(second.queue).toEqual(first.queue)
  })
  it('and then takes instant commands while it is connected', () => {
    const instant = enqueueInput({ pendingTtlS: 0 })
    const before = decide(fresh, connect(false), at(T0, null)).queue
    expect(accepted(decide(before, instant, at(T0 + 1, waiting)))).toMatchObject({ state: State.failed, code: 11888 })
    const after = decide(before, { type: 'activated' }, at(T0, waiting)).queue
    expect(accepted(decide(after, instant, at(T0 + 1, waiting))).state).toBe(State.created)
  })
})

describe('a device whose session is on another node', () => {
  const [cached, instantly] = [commandIn(State.created, TTL_S), commandIn(State.created, 0, idAt(T0, 1))]
  const there = (over: Partial<Situation> = {}) => at(T0 + 2, null, { node: 1, others: alive(0, 5), ...over })
  const wake: Effect = { type: 'wake', node: 0 }
  const alive = (...nodes: number[]) => ({ alive: new Set(nodes), asOf: T0 + NODE_MARGIN_MS })

  it('is not away: instant commands are taken, and wait, and the node is told', () => {
    const { effects, answer } = decide(queueWith(), enqueueInput({ pendingTtlS: 0 }), there())
    expect(answer).toMatchObject({ ok: true, command: { state: State.created } })
    expect(effects).toEqual([wake])
    const tick = decide(queueWith(cached, instantly), { type: 'tick' }, there())
    expect({ changed: tick.changed, effects: tick.effects }).toEqual({ changed: [], effects: [wake] })
  })
  it('is away once that node is dead, or its end is on record', () => {
    const dead = decide(queueWith(cached, instantly), { type: 'tick' }, there({ others: alive(5) }))
    expect(dead.changed).toMatchObject([{ id: instantly.id, state: State.failed, code: errors.offline.code }])
    const over = { ...queueWith(cached, instantly), sessionNode: null }
    expect(decide(over, { type: 'tick' }, there()).changed).toMatchObject([{ id: instantly.id, state: State.failed }])
  })
  it('is not away on a node that may have joined since that was looked at', () => {
    const joined = (lastOnlineAt: number) =>
      decide({ ...queueWith(cached, instantly), lastOnlineAt }, { type: 'tick' }, there({ others: alive(5) })).effects
    expect(joined(T0 + 1)).toEqual([wake])
    expect(joined(T0)).toMatchObject([{ type: 'settled' }])
  })
  it('is not taken for away by a look that is older than a lease', () => {
    const seen = { alive: new Set([5]), asOf: T0 + NODE_MARGIN_MS }
    const tick = (now: number) =>
      decide({ ...queueWith(cached, instantly), lastOnlineAt: T0 - 1 }, { type: 'tick' }, there({ now, others: seen }))
    expect(tick(seen.asOf + NODE_LEASE_MS).changed).toHaveLength(1)
    expect(tick(seen.asOf + NODE_LEASE_MS + 1).changed).toEqual([])
  })
  it('is not told of what waits behind a command that is sent', () => {
    const sent = commandIn(State.sent, TTL_S)
    expect(decide(queueWith(sent, instantly), { type: 'tick' }, there()).effects).toEqual([])
  })
  it('is told when the device comes here, is disabled or is deleted', () => {
    const came = decide(queueWith(), { type: 'connected', activates: true }, there())
    expect(came.queue).toMatchObject({ sessionNo: SESSION + 1, sessionNode: 1 })
    expect(came.effects).toEqual([wake])
    expect(decide(queueWith(), { type: 'disable', by: 'me' }, there()).effects).toContainEqual(wake)
    expect(decide(queueWith(), { type: 'delete', by: 'me' }, there()).effects).toContainEqual(wake)
  })
  it('times out a margin later than it does there, while there are others at all', () => {
    const sent = commandIn(State.sent, TTL_S)
    const due = lapsesAt(sent)
    const states = (now: number, presence: Presence | null, over: Partial<Situation>) =>
      decide(queueWith(sent), { type: 'tick' }, at(now, presence, over)).changed.map(({ state }) => state)
    const others = alive(0)
    expect(states(due, null, { node: 1, others })).toEqual([])
    expect(states(due + NODE_MARGIN_MS - 1, null, { node: 1, others })).toEqual([])
    expect(states(due + NODE_MARGIN_MS, null, { node: 1, others })).toEqual([State.timedOut])
    expect(states(due, null, { node: 1 })).toEqual([State.timedOut])
    expect(states(due, waiting, { node: 0, others: alive(1) })).toEqual([State.timedOut])
    // A later session is here; the one that it was sent on was there.
    expect(states(due, { ...waiting, session: SESSION + 1 }, { node: 1, others })).toEqual([])
  })
  it('times out on time where its answer comes after that', () => {
    const sent = commandIn(State.sent, TTL_S)
    const input: Input = {
      type: 'reply',
      commandId: sent.id,
      code: 0,
      deviceCode: '0',
      message: null,
      outputJson: null,
    }
    const answered = (now: number) =>
      decide(queueWith(sent), input, at(now, { ...waiting, session: SESSION + 1 }, { node: 1, others: alive(0) }))
    expect(answered(lapsesAt(sent) - 1).answer).toEqual({ ok: true, outcome: 'settled' })
    const late = answered(lapsesAt(sent))
    expect(late.answer).toEqual({ ok: true, outcome: 'late' })
    expect(late.changed).toMatchObject([{ state: State.timedOut, lateReplies: 1 }])
  })
  it('has what was never sent expire on time', () => {
    const due = lapsesAt(cached)
    const { changed } = decide(queueWith(cached), { type: 'tick' }, at(due, null, { node: 1, others: alive(0) }))
    expect(changed).toMatchObject([{ state: State.expired }])
  })
  it('has its end on record when the session ends, and only then', () => {
    const over = (session: number) =>
      decide(queueWith(), { type: 'disconnected', session, reason: 'closed' }, at(T0 + 1, null)).queue.sessionNode
    expect([over(SESSION), over(SESSION - 1)]).toEqual([null, 0])
  })
})

describe('disabling', () => {
  const sent = commandIn(State.sent, TTL_S, idAt(T0 - 1))
  const cached = commandIn(State.created, TTL_S, idAt(T0))
  const instant = commandIn(State.created, 0, idAt(T0, 1))
  const disable: Input = { type: 'disable', by: 'me' }
  const enable: Input = { type: 'enable', by: 'me' }
  const evict = { type: 'evict', why: 'disabled', session: SESSION }

  it('fails what does not wait, leaves the rest, and ends the connection', () => {
    const { answer, queue, events, effects } = decide(queueWith(sent, cached, instant), disable, at(T0 + 1, readyNow))
    expect(answer).toEqual({ ok: true, changed: true })
    expect(queue).toMatchObject({ disabled: true, lastOfflineAt: T0 + 1, open: [sent, cached] })
    expect(queue.named).toMatchObject([{ id: instant.id, state: State.failed, code: errors.offline.code }])
    expect(events).toMatchObject([
      { commandId: null, by: 'me', reason: 'disabled' },
      { commandId: instant.id, reason: 'offline' },
    ])
    expect(effects).toMatchObject([{ type: 'settled' }, evict])
  })
  it('once more changes nothing, and ends a connection that is there all the same', () => {
    const disabled = { ...queueWith(cached), disabled: true, sessionNode: null, lastOfflineAt: T0 }
    const { answer, queue, events, effects, changed } = decide(disabled, disable, at(T0 + 1, readyNow))
    expect(answer).toEqual({ ok: true, changed: false })
    expect({ queue, events, changed }).toEqual({ queue: disabled, events: [], changed: [] })
    expect(effects).toEqual([evict])
  })
  it('says since when it is offline, and leaves what was known of one that was away', () => {
    const since = (over: Partial<Queue>) => decide(emptyQueue(over), disable, at(T0 + 1, null)).queue.lastOfflineAt
    expect(since({ lastOnlineAt: T0 - 9, lastOfflineAt: null })).toBe(T0 + 1)
    expect(since({ lastOnlineAt: T0 - 5, lastOfflineAt: T0 - 9 })).toBe(T0 + 1)
    expect(since({ lastOnlineAt: T0 - 9, lastOfflineAt: T0 - 5 })).toBe(T0 - 5)
    expect(since({ lastOnlineAt: null, lastOfflineAt: null })).toBeNull()
  })
  it('lets in nobody, sends nothing, and takes cached commands alone', () => {
    const { queue } = decide(queueWith(cached), disable, at(T0 + 1, readyNow))
    const login = decide(queue, { type: 'connected', activates: true }, at(T0 + 2, null))
    expect(login.answer).toEqual({ ok: false, code: errors.denied.code, message: 'the device is disabled' })
    expect({ queue: login.queue, events: login.events, effects: login.effects }).toEqual({
      queue,
      events: [],
      effects: [],
    })
    expect(decide(queue, { type: 'ready' }, at(T0 + 2, readyNow)).effects).toEqual([])
    const id = idAt(T0 + 2)
    expect(accepted(decide(queue, enqueueInput({ id }), at(T0 + 2, readyNow))).state).toBe(State.created)
    const refused = decide(queue, enqueueInput({ id, pendingTtlS: 0 }), at(T0 + 2, readyNow))
    expect(accepted(refused)).toMatchObject({ state: State.failed, code: errors.offline.code })
  })
  it('lets an answer that was on its way settle what was sent, and its timeout otherwise', () => {
    const { queue } = decide(queueWith(sent), disable, at(T0 + 1, readyNow))
    const reply: Input = {
      type: 'reply',
      commandId: sent.id,
      code: 0,
      deviceCode: '0',
      message: null,
      outputJson: null,
    }
    expect(decide(queue, reply, at(T0 + 2, null)).queue.named).toMatchObject([{ state: State.succeeded }])
    const late = decide(queue, { type: 'tick' }, at(sent.deadlineAt ?? 0, null))
    expect(late.queue.named).toMatchObject([{ state: State.timedOut, code: errors.timedOut.code }])
  })
  it('is undone by enabling, which sends what waits where a connection is there', () => {
    const disabled = { ...queueWith(cached), disabled: true }
    const { answer, queue, events, effects } = decide(disabled, enable, at(T0 + 1, readyNow))
    expect(answer).toEqual({ ok: true, changed: true })
    expect(queue.disabled).toBe(false)
    expect(events).toMatchObject([
      { by: 'me', reason: 'enabled' },
      { commandId: cached.id, to: State.sent },
    ])
    expect(effects).toMatchObject([{ type: 'publish', commandId: cached.id }])
    const again = decide(queue, enable, at(T0 + 2, readyNow))
    expect(again).toMatchObject({ answer: { ok: true, changed: false }, events: [], effects: [] })
  })
})

describe('deleting', () => {
  const sent = commandIn(State.sent, 0, idAt(T0 - 1))
  const cached = commandIn(State.created, TTL_S, idAt(T0))
  const instant = commandIn(State.created, 0, idAt(T0, 1))
  const code = errors.deviceDeleted.code
  const remove: Input = { type: 'delete', by: 'me' }

  it('settles everything, tells what, and ends the connection', () => {
    const { answer, queue, events, effects } = decide(queueWith(sent, cached, instant), remove, at(T0 + 1, readyNow))
    expect(answer).toMatchObject({
      ok: true,
      cancelled: [
        { id: cached.id, state: State.cancelled, code, settledAt: T0 + 1 },
        { id: instant.id, state: State.cancelled, code },
      ],
      failed: { id: sent.id, state: State.failed, code },
    })
    expect(queue).toMatchObject({ deleted: true, open: [] })
    expect(queue.named).toHaveLength(3)
    expect(events.map(({ commandId, to, by, reason }) => [commandId, to, by, reason])).toEqual([
      [sent.id, State.failed, 'me', 'device deleted'],
      [cached.id, State.cancelled, 'me', 'device deleted'],
      [instant.id, State.cancelled, 'me', 'device deleted'],
      [null, null, 'me', 'deleted'],
    ])
    expect(effects.map(({ type }) => type)).toEqual(['settled', 'settled', 'settled', 'evict'])
    expect(effects.at(-1)).toEqual({ type: 'evict', why: 'deleted', session: SESSION })
  })
  it('does not claim what had expired first, nor what fails because the device is away', () => {
    const late = decide(queueWith(cached), remove, at(cached.expireAt, waiting))
    expect(late.answer).toEqual({ ok: true, cancelled: [], failed: null })
    expect(late.queue.named).toMatchObject([{ state: State.expired }])
    const away = decide(queueWith(instant), remove, at(T0 + 1, null))
    expect(away.answer).toEqual({ ok: true, cancelled: [], failed: null })
    expect(away.queue.named).toMatchObject([{ state: State.failed, code: errors.offline.code }])
  })
  it('leaves a device that does nothing any more, whatever comes', () => {
    const { queue } = decide(queueWith(sent, cached), remove, at(T0 + 1, readyNow))
    const gone = { ok: false, code: errors.notFound.code, message: 'the device is deleted' } as const
    const ok = { ok: true } as const
    const commandId = sent.id
    const expected: { [Type in Input['type']]: [Input & { type: Type }, Answers[Type]] } = {
      enqueue: [enqueueInput(), gone],
      cancel: [{ type: 'cancel', commandId, by: 'me' }, gone],
      connected: [{ type: 'connected', activates: true }, gone],
      activated: [{ type: 'activated' }, ok],
      ready: [{ type: 'ready' }, ok],
      disconnected: [{ type: 'disconnected', session: SESSION, reason: 'closed' }, ok],
      reply: [
        { type: 'reply', commandId, code: 0, deviceCode: '0', message: null, outputJson: null },
        { ok: true, outcome: 'ignored' },
      ],
      unsent: [{ type: 'unsent', commandId, session: SESSION, reason: 'late' }, ok],
      disable: [
        { type: 'disable', by: 'me' },
        { ok: true, changed: false },
      ],
      enable: [
        { type: 'enable', by: 'me' },
        { ok: true, changed: false },
      ],
      delete: [
        { type: 'delete', by: 'me' },
        { ok: true, cancelled: [], failed: null },
      ],
      tick: [{ type: 'tick' }, ok],
    }
    for (const [input, answer] of Object.values(expected))
      expect(decide(queue, input, at(T0 + 2, readyNow))).toEqual({
        queue,
        changed: [],
        outcomes: [],
        events: [],
        kept: [],
        effects: [],
        answer,
      })
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
      key: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: null }),
    }),
    fc.record({ do: fc.constant('cancel' as const), nth: fc.option(fc.nat(12), { nil: null }) }),
    fc.record({
      do: fc.constantFrom('connect', 'ready', 'disconnect', 'tick', 'reply', 'wrongReply', 'unsent' as const),
    }),
    fc.record({ do: fc.constantFrom('activated', 'disable', 'enable', 'enable' as const) }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 400, 1000, 4000) }),
  )

  const deletion = fc.record({ do: fc.constant('delete' as const) })
  const history = fc.tuple(fc.array(step, { maxLength: 80 }), fc.array(fc.oneof(deletion, step), { maxLength: 4 }))

  it('one sent at most, order kept, final for ever, one command per key, progress, dense events; disabled or deleted, nothing is sent', () => {
    fc.assert(
      fc.property(history, ([before, after]) => {
        const steps = [...before, ...after]
        let queue = emptyQueue({ sessionNo: 0, activeAt: null })
        let presence = null as Presence | null
        let now = T0
        let sequence = 0
        const all = new Map<string, Command>()
        const published: string[] = []
        const keys = new Map<string, { commandId: string; ttl: number; until: number }>()
        const queueCap = 4
        for (const action of steps) {
          let input: Input = { type: 'tick' }
          const sent = queue.open.find(command => command.state === State.sent)
          if (action.do === 'wait') now += action.ms
          if (action.do === 'enqueue') {
            const id = idAt(now, sequence++)
            const { key, ttl } = action
            const once = key && { repeatable: { application: 'app', key, requestHash: `${ttl}`, keepMs: 3000 } }
            input = enqueueInput({ id, pendingTtlS: ttl, timeoutS: action.timeout, ...once })
          }
          if (action.do === 'cancel') {
            const commandId = action.nth === null ? null : ([...all.keys()][action.nth] ?? '1')
            const named = commandId ? all.get(commandId) : undefined
            if (named && !isOpen(named.state)) queue = { ...queue, named: [named] }
            input = { type: 'cancel', commandId, by: 'me' }
          }
          if (action.do === 'connect') input = { type: 'connected', activates: now % 2 === 0 }
          if (action.do === 'activated') input = { type: 'activated' }
          if (action.do === 'disable' || action.do === 'enable' || action.do === 'delete')
            input = { type: action.do, by: 'me' }
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

          const decision = decide(queue, input, at(now, presence, { queueCap }))
          if (input.type === 'connected' && decision.answer.ok)
            presence = { session: decision.queue.sessionNo, ready: false, silent: false }
          if (decision.effects.some(effect => effect.type === 'evict')) presence = null
          for (const command of decision.changed) {
            const before = all.get(command.id)
            if (before && !isOpen(before.state)) expect(command.state).toBe(before.state)
            all.set(command.id, command)
          }
          for (const effect of decision.effects) if (effect.type === 'publish') published.push(effect.commandId)
          if (input.type === 'enqueue') checkKey(keys, input, decision as Decision<Answers['enqueue']>, now)
          checkQueue(queue, decision.queue, decision.effects, at(now, presence, { queueCap }))
          expect(decision.events.map(({ seq }) => seq)).toEqual(decision.events.map((_, i) => queue.eventSeq + i + 1))
          queue = { ...decision.queue, named: [] }
        }
        expect([...published].sort()).toEqual(published)
      }),
      { numRuns: 400 },
    )
  })

  /** The key's first call counts for as long as it is kept, and for what it asked. */
  function checkKey(
    keys: Map<string, { commandId: string; ttl: number; until: number }>,
    { id, pendingTtlS: ttl, repeatable }: Enqueue,
    { answer, changed, kept }: Decision<Answers['enqueue']>,
    now: number,
  ): void {
    const isOnRecord = changed.some(command => command.id === id)
    const first = keys.get(repeatable?.key ?? '')
    if (first !== undefined && now < first.until && repeatable !== undefined) {
      expect({ isOnRecord, kept }).toEqual({ isOnRecord: false, kept: [] })
      if (answer.ok)
        expect(answer).toMatchObject({ repeated: { commandId: first.commandId, requestHash: `${first.ttl}` } })
      else expect([errors.notFound.code, errors.keyReused.code]).toContain(answer.code)
      if (!answer.ok && answer.code === errors.keyReused.code) expect(ttl).not.toBe(first.ttl)
    } else {
      expect(isOnRecord).toBe(answer.ok)
      if (answer.ok && repeatable) keys.set(repeatable.key, { commandId: id, ttl, until: idMs(id) + 3000 })
      if (answer.ok) expect(kept.map(({ commandId }) => commandId)).toEqual(repeatable ? [id] : [])
    }
  }

  function checkQueue(before: Queue, after: Queue, effects: readonly Effect[], situation: Situation): void {
    const sent = after.open.filter(command => command.state === State.sent)
    const created = after.open.filter(command => command.state === State.created)
    expect(sent.length).toBeLessThanOrEqual(1)
    expect(created.length).toBeLessThanOrEqual(situation.queueCap)
    if (after.deleted) expect(after.open).toEqual([])
    if (after.disabled || after.deleted) {
      expect(effects.map(({ type }) => type)).not.toContain('publish')
      expect(created.filter(({ pendingTtlS }) => pendingTtlS === 0)).toEqual([])
      expect(after.sessionNo).toBe(before.sessionNo)
    }
    if (before.deleted) expect({ after, effects }).toEqual({ after: before, effects: [] })
    expect([...after.open].sort((x, y) => (x.id < y.id ? -1 : 1))).toEqual(after.open)
    expect(after.open.every(command => situation.now < lapsesAt(command))).toBe(true)
    if (situation.presence?.ready && situation.presence.session === after.sessionNo && created.length > 0)
      expect(sent).toHaveLength(1)
    expect(effects.filter(effect => effect.type === 'publish').length).toBeLessThanOrEqual(1)
    expect(after.eventSeq).toBeGreaterThanOrEqual(before.eventSeq)
  }
})
