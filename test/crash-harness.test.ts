// The crash harness itself: a short run of it against the built server, its scenarios, and that its ledger sees each fault that it counts.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Fault, Ledger } from '../crash/ledger.ts'
import { crash } from '../crash/main.ts'
import { Program } from './rig/program.ts'

describe('the ledger', () => {
  const ids = ['4249300236708610048', '4249300236708610049', '4249300236708610050'] as const
  const [first, second] = ids

  /** a1 is connected, on connection 1 */
  class Story extends Ledger {
    nowMs = 0
    constructor() {
      super(() => this.nowMs)
      this.presence.loggedIn(this.presence.loginAsked('a1', this.presence.open()), true)
    }
    /** a cached command of a1, acknowledged with this id */
    accept(id: string): this {
      const call = this.calling('a1', 2, 600)
      this.answered(call, { status: 200, code: 0, commandId: id, text: 'OK' })
      return this
    }
    /** reaches the device, is answered, and is read as succeeded */
    done(id: string, call: number): this {
      this.received('a1', id, call, 1)
      this.answer(id)
      this.shown('a1', id, 5, call, this.reading())
      return this
    }
    answer(id: string): void {
      this.answerTaken(id, 200, this.answering(id))
    }
    found(): Fault[] {
      return this.faults.map(({ fault }) => fault)
    }
  }
  const end = (story: Story, ...onRecord: string[]): Fault[] => {
    story.close(new Set(onRecord))
    return story.found()
  }

  it('finds nothing wrong with what is right', () => {
    const story = new Story().accept(first).accept(second)
    story.cancelled('a1', [second])
    story.shown('a1', second, 2, 2, story.reading())
    story.done(first, 1)
    expect(end(story, first, second)).toEqual([])
    expect(story.totals(['a1'])).toMatchObject({ accepted: 2, cancelled: 1, delivered: 1, logins: 1 })
    expect(story.totals(['a2'])).toMatchObject({ accepted: 0, cancelled: 0, delivered: 0, logins: 0 })
  })

  it('misses what was acknowledged', () => {
    expect(end(new Story().accept(first))).toEqual(['acknowledgedButLost'])
    const asked = new Story().accept(first)
    asked.missing('a1', first)
    expect(asked.found()).toEqual(['acknowledgedButLost'])
  })

  it('sees a cancelled command delivered, whichever it learns first', () => {
    const after = new Story().accept(first)
    after.cancelled('a1', [first])
    after.received('a1', first, 1, 1)
    expect(after.found()).toEqual(['cancelledButDelivered'])
    const before = new Story().accept(first)
    before.received('a1', first, 1, 1)
    before.cancelled('a1', [first])
    expect(before.found()).toEqual(['deliveredButCancelled'])
    const onRecord = new Story().accept(first)
    onRecord.received('a1', first, 1, 1)
    onRecord.shown('a1', first, 2, 1, onRecord.reading())
    expect(onRecord.found()).toEqual(['cancelledButDelivered'])
  })

  it('sees what comes twice, and what comes in another order', () => {
    expect(new Story().accept(first).done(first, 1).done(first, 1).found()).toEqual(['deliveredTwice'])
    expect(new Story().accept(first).accept(second).done(second, 2).done(first, 1).found()).toEqual(['outOfOrder'])
    // The second call began when the id of the first was known.
    expect(new Story().accept(second).accept(first).found()).toEqual(['outOfOrder'])
    const together = new Story()
    const calls = [together.calling('a1', 2, 600), together.calling('a1', 2, 600)] as const
    together.answered(calls[0], { status: 200, code: 0, commandId: second, text: 'OK' })
    together.answered(calls[1], { status: 200, code: 0, commandId: first, text: 'OK' })
    expect(together.found()).toEqual([])
  })

  it('sees two in flight, where the first is open beyond doubt', () => {
    const arrives = (afterMs: number, happens: (story: Story) => void = () => undefined): Fault[] => {
      const story = new Story().accept(first).accept(second)
      story.received('a1', first, 1, 1)
      story.nowMs = afterMs
      happens(story)
      story.received('a1', second, 2, 1)
      return story.found()
    }
    expect(arrives(1_500)).toEqual(['twoAtOnce'])
    expect(arrives(1_500, story => story.answering(first))).toEqual([])
    // Its timeout of 2 s counts from its sending, which is not seen, but which came after the call.
    expect(arrives(2_000)).toEqual([])
  })

  it('demands nothing of a call without an answer, but to be carried out once at most', () => {
    const undone = new Story()
    undone.unanswered(undone.calling('a1', 2, 600), true)
    expect(end(undone)).toEqual([])
    const done = new Story()
    done.unanswered(done.calling('a1', 2, 600), true)
    expect(end(done.done(first, 1), first)).toEqual([])
    expect(done.totals(['a1'])).toMatchObject({ accepted: 0, unanswered: 1, unansweredDone: 1 })
    const twice = new Story()
    twice.unanswered(twice.calling('a1', 2, 600), true)
    expect(twice.done(first, 1).done(second, 1).found()).toEqual(['contradiction'])
    const unreached = new Story()
    unreached.unanswered(unreached.calling('a1', 2, 600), false)
    expect(end(unreached.done(first, 1), first)).toEqual(['contradiction'])
  })

  it('lets a read be older than what was learnt since it began, but not a final state', () => {
    const story = new Story().accept(first)
    const reading = story.reading()
    story.cancelled('a1', [first])
    story.shown('a1', first, 1, 1, reading)
    expect(story.found()).toEqual([])
    story.shown('a1', first, 1, 1, story.reading())
    expect(story.found()).toEqual(['contradiction'])
    const taken = new Story().accept(first).done(first, 1)
    taken.shown('a1', first, 7, 1, taken.reading())
    expect(taken.found()).toEqual(['contradiction'])
  })

  it.each([
    ['done, and never delivered', (story: Story) => story.shown('a1', first, 5, 1, story.reading())],
    ['failed, and neither refused nor delivered', (story: Story) => story.shown('a1', first, 6, 1, story.reading())],
    [
      'timed out, though its answer was acknowledged in time',
      (story: Story) => {
        story.received('a1', first, 1, 1)
        story.answer(first)
        story.shown('a1', first, 7, 1, story.reading())
      },
    ],
    [
      'timed out, though its answer was acknowledged before its timeout',
      (story: Story) => {
        story.nowMs = 1_000
        story.received('a1', first, 1, 1)
        story.nowMs = 1_800
        story.answer(first)
        story.shown('a1', first, 7, 1, story.reading())
      },
    ],
    [
      'done, though its answer came too late',
      (story: Story) => {
        story.received('a1', first, 1, 1)
        story.nowMs = 2_200
        story.answer(first)
        story.shown('a1', first, 5, 1, story.reading())
      },
    ],
    [
      'done, and never answered',
      (story: Story) => {
        story.received('a1', first, 1, 1)
        story.shown('a1', first, 5, 1, story.reading())
      },
    ],
    [
      'done, though only answered while its device was logged out',
      (story: Story) => {
        story.received('a1', first, 1, 1)
        story.answering(first)
        story.answeredOutside(first)
        story.shown('a1', first, 5, 1, story.reading())
      },
    ],
    [
      'delivered, and on record as expired',
      (story: Story) => {
        story.received('a1', first, 1, 1)
        story.shown('a1', first, 3, 1, story.reading())
      },
    ],
  ])('sees a command that is %s', (_what, happens) => {
    const story = new Story().accept(first)
    happens(story)
    expect(end(story, first)).toEqual(['contradiction'])
  })

  it('takes no short time for a proof while servers are struck that live on', () => {
    const story = new Story().accept(first)
    story.calm(false)
    story.nowMs = 2_500
    story.received('a1', first, 1, 1)
    story.answer(first)
    story.shown('a1', first, 7, 1, story.reading())
    expect(end(story, first)).toEqual([])
  })

  it('sees an instant command of which its caller was told something else', () => {
    const told = (code: number) => {
      const story = new Story()
      const call = story.calling('a1', 2, 0)
      story.received('a1', first, 1, 1)
      story.answered(call, { status: 200, code, commandId: first, text: '' })
      return story
    }
    expect(told(11904).found()).toEqual(['contradiction'])
    const done = told(0)
    done.shown('a1', first, 6, 1, done.reading())
    expect(done.found()).toEqual(['contradiction'])
  })

  describe('of a device behind a gateway', () => {
    /** s1 behind a gateway with connection 1 */
    class Behind extends Ledger {
      constructor() {
        super(() => 0)
        this.presence.open()
      }
      login(line = 1): this {
        this.presence.loggedIn(this.presence.loginAsked('s1', line), true)
        return this
      }
      logout(line = 1): this {
        this.presence.loggedOut(this.presence.logoutAsked('s1', line))
        return this
      }
      /** a command is called for, and comes over this connection */
      comes(line = 1): this {
        const { number } = this.calling('s1', 2, 600)
        this.received('s1', first, number, line)
        return this
      }
      found(): Fault[] {
        return this.faults.map(({ fault }) => fault)
      }
    }

    it('takes what comes from the asking for a login on', () => {
      expect(new Behind().login().comes().found()).toEqual([])
      const asking = new Behind()
      asking.presence.loginAsked('s1', 1)
      expect(asking.comes().found()).toEqual([])
      // A logout that is not answered yet may not be done yet; and a login behind it may be.
      const leaving = new Behind().login()
      const logout = leaving.presence.logoutAsked('s1', 1)
      leaving.presence.loginAsked('s1', 1)
      leaving.presence.loggedOut(logout)
      expect(leaving.comes().found()).toEqual([])
    })

    it('sees what comes over a connection that it was not logged in on', () => {
      expect(new Behind().comes().found()).toEqual(['notLoggedIn'])
      expect(new Behind().login(1).comes(2).found()).toEqual(['notLoggedIn'])
      const refused = new Behind()
      refused.presence.loginRefused(refused.presence.loginAsked('s1', 1))
      expect(refused.comes().found()).toEqual(['notLoggedIn'])
    })

    it('sees what comes after a logout and before the next login', () => {
      expect(new Behind().login().logout().comes().found()).toEqual(['afterLogout'])
      expect(new Behind().login().logout().login().comes().found()).toEqual([])
    })

    it('sees what comes over a connection that it left for a newer one, unless it may have been on its way', () => {
      expect(new Behind().login(1).login(2).comes(1).found()).toEqual(['notLoggedIn'])
      const onItsWay = new Behind().login(1)
      const { number } = onItsWay.calling('s1', 2, 600)
      onItsWay.login(2).received('s1', first, number, 1)
      expect(onItsWay.found()).toEqual([])
    })

    it('lets what is told at the deadline be told as if it were away, and what may be its own ghost take it away', () => {
      let nowMs = 0
      const told = (ledger: Ledger, waitMs: number): Fault[] => {
        const call = ledger.calling('s1', 2, 0)
        nowMs += waitMs
        ledger.answered(call, { status: 200, code: 11900, commandId: first, text: '' })
        return ledger.faults.map(({ fault }) => fault)
      }
      const several = { hauntMs: 5_000, clocksDifferMs: 500 }
      /** logged in on connection 2, having given up a login on connection 1 so long before */
      const haunted = (waitMs: number): Ledger => {
        const ledger = new Ledger(() => nowMs, several)
        const { presence } = ledger
        const [old, fresh] = [presence.open(), presence.open()]
        presence.loginAsked('s1', old)
        presence.lost(old)
        nowMs += waitMs
        presence.loggedIn(presence.loginAsked('s1', fresh), true)
        return ledger
      }
      expect(told(haunted(5_000), 0)).toEqual(['contradiction'])
      expect(told(haunted(5_000), 1_400)).toEqual(['contradiction'])
      expect(told(haunted(5_000), 1_500)).toEqual([])
      expect(told(haunted(4_999), 0)).toEqual([])
    })

    it('sees that a caller was told that it is away, though it was here all the while', () => {
      const told = (story: Behind, during = () => undefined as unknown): Fault[] => {
        const call = story.calling('s1', 2, 0)
        during()
        story.answered(call, { status: 200, code: 11900, commandId: first, text: '' })
        return story.found()
      }
      expect(told(new Behind().login())).toEqual(['contradiction'])
      expect(told(new Behind())).toEqual([])
      expect(told(new Behind().login().logout())).toEqual([])
      const [coming, lost, leaving] = [new Behind(), new Behind().login(), new Behind().login()]
      expect(told(coming, () => coming.login())).toEqual([])
      expect(told(lost, () => lost.presence.lost(1))).toEqual([])
      expect(told(leaving, () => leaving.presence.logoutAsked('s1', 1))).toEqual([])
    })
  })
})

describe('the harness', () => {
  const program = new Program()
  const never = new AbortController().signal
  const run = async (...args: string[]): Promise<{ code: number; printed: string }> => {
    const lines: string[] = []
    const code = await crash(['--main', program.main, ...args], line => lines.push(line), never)
    return { code, printed: lines.join('\n') }
  }
  afterAll(() => program.remove())

  describe('with three kills', () => {
    let ran: Awaited<ReturnType<typeof run>>
    beforeAll(async () => {
      const fleet = ['--devices', '4', '--gateways', '1', '--sub-devices', '4']
      ran = await run('--only', 'kills', '--kills', '3', ...fleet, '--callers', '6', '--seed', '3')
    }, 90_000)

    it('counts nothing that must not be', () => {
      expect(ran).toMatchObject({ code: 0 })
      expect(ran.printed.match(/^ +0 {2}\S.*$/gm)).toHaveLength(10)
    })
    const figure = (kind: string, name: string): number => {
      const line = ran.printed.split('\n').find(each => each.startsWith(kind)) ?? ''
      return Number(new RegExp(`${name} (\\d+)`).exec(line)?.[1])
    }
    it.each(['direct (5)', 'behind gateways (4)'])('has put the server to work: %s', kind => {
      expect(figure(kind, 'accepted')).toBeGreaterThan(10)
      expect(figure(kind, 'delivered')).toBeGreaterThan(5)
      expect(figure(kind, 'logins')).toBeGreaterThan(5)
    })
    it('has cancelled', () => {
      expect(figure('direct', 'cancelled') + figure('behind gateways', 'cancelled')).toBeGreaterThan(0)
    })
  })

  it.each(['two-servers', 'read-only', 'clock-back', 'disk-full', 'gateway-drain'])(
    '%s is as it should be',
    async name => {
      const { code, printed } = await run('--only', name)
      expect(printed).toMatch(/^as it should be/m)
      expect(code).toBe(0)
    },
    60_000,
  )

  it('refuses what it does not know', async () => {
    expect(await run('--kills', 'many', '--only', 'nothing')).toMatchObject({
      code: 2,
      printed: expect.stringMatching(/--kills must be[\s\S]*--only nothing: it is one of kills, disk-full/),
    })
    expect(await run('--main', 'nowhere.js')).toMatchObject({ code: 2 })
  })
})
