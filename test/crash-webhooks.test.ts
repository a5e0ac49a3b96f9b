// The harness of the stream itself: that its judge sees each way in which events can be missing, and a short run of it against the built server.

import { afterAll, describe, expect, test } from 'vitest'
import { eventOf, judgeRecord, judgeTold, repeatsOf, type ToldEvent } from '../crash/told.ts'
import { crashWebhooks } from '../crash/webhooks.ts'
import { Program } from './rig/program.ts'

const event = (id: string, assetId: string, seq: number, over: object = {}): ToldEvent => {
  const told = eventOf({ id, seq, device: { assetId }, commandId: null, from: null, to: null, ...over })
  if (told === null) throw new Error('it is no event')
  return told
}

describe('the judge', () => {
  const command = '4249300236708610048'
  const record = [
    event('1', 'a1', 1, { commandId: command, to: 1 }),
    event('2', 'a2', 1),
    event('3', 'a1', 2, { commandId: command, from: 1, to: 4 }),
    event('4', 'a1', 3, { commandId: command, from: 4, to: 5 }),
    event('5', 'a2', 2),
  ] as const
  const [first, second, third, fourth, fifth] = record

  test('finds nothing wrong with what is right: repeats, and devices in any order among each other', () => {
    expect(judgeTold('webhook', record, record)).toEqual([])
    const came = [second, first, first, third, fifth, first, third, fourth]
    expect(judgeTold('webhook', record, came)).toEqual([])
    expect(repeatsOf(came)).toBe(3)
    expect(judgeRecord(record, [{ assetId: 'a1', id: command }], new Map([[command, 5]]))).toEqual([])
  })

  test.each([
    ['something that never came', [first, second, third, fourth], 'never came'],
    ['something left out in between', [first, fourth, second, fifth], 'event 3 came first after 1'],
    ['something that came too late', [first, second, fourth, third, fifth], 'event 3 came first after 1'],
    ['something that nobody did', [...record, event('9', 'a1', 4)], 'is not on record'],
    ['the same in other words', [...record, event('2', 'a2', 1, { at: 7 })], 'came as'],
  ])('sees %s', (_, came, fault) => {
    expect(judgeTold('webhook', record, came).join('\n')).toContain(fault)
  })

  test('sees what is missing in the record itself', () => {
    const states = new Map([[command, 5]])
    const known = [{ assetId: 'a1', id: command }]
    const wrong = (...events: ToldEvent[]) => judgeRecord(events, known, states).join('\n')
    expect(wrong(second, fifth)).toContain('never came to be')
    expect(wrong(first, third)).toContain('its last event says 4')
    expect(wrong(first, event('3', 'a1', 2, { commandId: command, from: 4, to: 5 }))).toContain('does not go on')
    expect(wrong(first, fourth)).toContain('event 3 came first after 1')
  })

  test('takes nothing for an event that is none', () => {
    for (const value of [null, 7, {}, { id: '1', seq: 1 }, { id: '1', seq: '1', device: { assetId: 'a1' } }])
      expect(eventOf(value)).toBeNull()
  })
})

describe('the harness', () => {
  const program = new Program()
  afterAll(() => program.remove())
  const run = async (...args: string[]): Promise<{ code: number; printed: string }> => {
    const lines: string[] = []
    const never = new AbortController().signal
    const code = await crashWebhooks(['--main', program.main, ...args], line => lines.push(line), never)
    return { code, printed: lines.join('\n') }
  }

  test('with 60 commands and five kills finds that everything arrives', async () => {
    const { code, printed } = await run(
      '--commands',
      '60',
      '--kills',
      '5',
      '--devices',
      '4',
      '--callers',
      '3',
      '--seed',
      '7',
    )
    expect(printed).toMatch(/^as it should be/m)
    expect(code).toBe(0)
    const [, server, receiver] = /killed: the server (\d+), the receiver (\d+)/.exec(printed) ?? []
    expect(Number(server) + Number(receiver)).toBeGreaterThanOrEqual(5)
    expect(Math.min(Number(server), Number(receiver))).toBeGreaterThan(0)
    const [, events] = /on record (\d+) events/.exec(printed) ?? []
    expect(Number(events)).toBeGreaterThan(100)
  }, 120_000)

  test('refuses what it does not know', async () => {
    expect(await run('--kills', 'many')).toMatchObject({ code: 2, printed: expect.stringContaining('--kills must be') })
    expect(await run('--help')).toMatchObject({ code: 0, printed: expect.stringContaining('--commands n') })
  })
})
