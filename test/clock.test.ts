// The process's clock: it never runs backwards, starts no earlier than the last commit, and its timers run in real time all the same.

import { describe, expect, it } from 'vitest'
import { SystemClock } from '../src/clock.ts'

describe('the system clock', () => {
  it('is the wall clock where nothing is ahead of it', () => {
    const before = Date.now()
    const now = new SystemClock().now()
    expect(now).toBeGreaterThanOrEqual(before)
    expect(now).toBeLessThanOrEqual(Date.now() + 1)
  })

  it('goes on from its floor where the machine was set back, as fast as time passes', async () => {
    const floor = Date.now() + 3_600_000
    const clock = new SystemClock(floor)
    const from = clock.now()
    expect(from).toBeGreaterThanOrEqual(floor)
    expect(clock.wall()).toBeLessThan(floor)
    // Would never resolve on a clock that waits for the wall to catch up.
    await new Promise<void>(resolve => clock.at(from + 20, resolve))
    expect(clock.now()).toBeGreaterThanOrEqual(from + 20)
    expect(clock.now()).toBeLessThan(from + 60_000)
  })

  it('never runs backwards', () => {
    const clock = new SystemClock()
    let last = clock.now()
    for (let i = 0; i < 10_000; i++) {
      const now = clock.now()
      expect(now).toBeGreaterThanOrEqual(last)
      last = now
    }
  })

  it('calls a timer off', async () => {
    const clock = new SystemClock()
    let ran = false
    clock.at(clock.now() + 5, () => {
      ran = true
    })()
    await new Promise<void>(resolve => clock.at(clock.now() + 15, resolve))
    expect(ran).toBe(false)
  })

  it('takes instants beyond what a timer of the platform can hold', () => {
    const clock = new SystemClock()
    const cancel = clock.at(clock.now() + 100 * 86_400_000, () => expect.fail('ran a hundred days early'))
    cancel()
  })
})
