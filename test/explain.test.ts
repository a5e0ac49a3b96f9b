// Why a command waits: each reason from its situation, and the sentences that people read.

import { describe, expect, it } from 'vitest'
import { type Command, Kind, State } from '../src/core/command.ts'
import type { Queue } from '../src/core/queue.ts'
import { type Contact, explainOpen, explainOver, span } from '../src/http/explain.ts'

const NOW = Date.UTC(2026, 10, 23, 3, 0, 0)
const command = (id: string, more: Partial<Command> = {}): Command => ({
  ...{ id, state: State.created, kind: Kind.set, identifier: 'p', timeoutS: 30, pendingTtlS: 600 },
  ...{ expireAt: NOW + 480_000, deadlineAt: null, createdAt: NOW - 120_000, sentAt: null, settledAt: null },
  ...{ sentSession: null, createdBy: 'app', code: null, lateReplies: 0 },
  ...more,
})
const queueOf = (...open: Command[]): Queue => ({
  ...{ deviceId: 1, version: 1, lastCommandId: null, eventSeq: 0, sessionNo: 1, sessionNode: null },
  ...{ disabled: false, deleted: false, activeAt: 1, lastOnlineAt: 1, lastOfflineAt: null, open, named: [], kept: [] },
})
const away: Contact = {
  ...{
    status: 'offline',
    lastOnlineAt: NOW - 9_000_000,
    lastOfflineAt: NOW - 3_720_000,
    presence: null,
    elsewhere: null,
  },
}
const here: Contact = { ...away, status: 'online', presence: { ready: true, silent: false } }
const sent = command('1', { state: State.sent, sentAt: NOW - 5_000, deadlineAt: NOW + 25_000 })

describe('an open command', () => {
  it('waits for a device that is away, and says since when and until when', () => {
    const waiting = command('2')
    const said = explainOpen(waiting, queueOf(waiting), away, NOW)
    expect(said.reasons).toEqual([{ reason: 'deviceOffline', since: NOW - 3_720_000 }])
    expect(said.explanation).toBe(
      'The device has been offline since 2026-11-23T01:58:00Z, for 1 h 2 min. It expires at 2026-11-23T03:08:00Z, in 8 min, if it has not been sent by then; until then it can be cancelled.',
    )
    expect(said).toMatchObject({ cancellable: true, ahead: 0, head: null, expireAt: NOW + 480_000, deadlineAt: null })
  })

  it('is third behind one that waits for its answer', () => {
    const queue = queueOf(sent, command('2'), command('3'))
    const said = explainOpen(command('3'), queue, here, NOW)
    expect(said.reasons.map(({ reason }) => reason)).toEqual(['behind', 'awaitingAnswer'])
    expect(said).toMatchObject({ ahead: 2, head: { commandId: '1', state: 4, deadlineAt: NOW + 25_000 } })
    expect(said.explanation).toContain('It is behind 2 commands, first 1. 1 was sent at 2026-11-23T02:59:55Z')
  })

  it('that is sent cannot be cancelled any more', () => {
    const said = explainOpen(sent, queueOf(sent, command('2')), here, NOW)
    expect(said).toMatchObject({ cancellable: false, expireAt: null, deadlineAt: NOW + 25_000 })
    expect(said.explanation).toContain('times out at 2026-11-23T03:00:25Z, in 25 s. It cannot be recalled.')
  })

  it.each([
    [{ ...away, status: 'disabled' }, ['deviceDisabled']],
    [{ ...away, status: 'inactive', lastOnlineAt: null, lastOfflineAt: null }, ['deviceInactive']],
    [{ ...here, presence: { ready: false, silent: true } }, ['deviceNotReady']],
    [{ ...away, status: 'online', elsewhere: 3 }, ['deviceElsewhere']],
    [here, ['next']],
  ] satisfies [Contact, string[]][])('%j: %j', (contact, reasons) => {
    const waiting = command('2')
    expect(explainOpen(waiting, queueOf(waiting), contact, NOW).reasons.map(({ reason }) => reason)).toEqual(reasons)
  })

  it('that is instant fails, and does not expire', () => {
    const instant = command('2', { pendingTtlS: 0, expireAt: NOW + 10_000 })
    expect(explainOpen(instant, queueOf(instant), here, NOW).explanation).toContain(
      'It fails at 2026-11-23T03:00:10Z, in 10 s',
    )
  })
})

it('one that is over says how, when, by whom and whether it was ever sent', () => {
  const over = command('2', { state: State.cancelled, settledAt: NOW - 1_000 })
  expect(explainOver(over, 'by app, cancel')).toMatchObject({
    explanation: 'It is over: cancelled at 2026-11-23T02:59:59Z (by app, cancel). It was never sent.',
    cancellable: false,
    reasons: [{ reason: 'over', settledAt: NOW - 1_000, code: null }],
  })
})

it.each([
  [0, '0 s'],
  [-5, '0 s'],
  [59_400, '59 s'],
  [3_600_000, '1 h'],
  [90_061_000, '1 d 1 h'],
])('%i ms are %s', (ms, text) => expect(span(ms)).toBe(text))
