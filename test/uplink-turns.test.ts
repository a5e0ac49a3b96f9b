// Requests of devices share the loop with everything else: how much of a turn they get, who comes next, and that every request that looks at many things
// asks between them.

import { describe, expect, it } from 'vitest'
import { TURN_MAX_MS } from '../src/core/limits.ts'
import type { Store } from '../src/store/store.ts'
import { Turns } from '../src/uplink/turns.ts'
import { signed, UplinkRig } from './rig/uplink.ts'

/** A loop whose turns end when the test says so. */
function loop() {
  let now = 0
  const deferred: (() => void)[] = []
  const turns = new Turns({ clock: { now: () => now }, defer: run => void deferred.push(run) })
  const rest = () => new Promise<void>(resolve => setImmediate(resolve))
  return {
    turns,
    pass(ms: number) {
      now += ms
    },
    /** lets everything run that was deferred so far, and what that wakes */
    async endTurn() {
      for (const run of deferred.splice(0)) run()
      await rest()
    },
    rest,
    deferred,
  }
}

describe('a turn of the loop', () => {
  it('is over for requests when they have had their ms of it, and the next one is not', async () => {
    const { pass, turns, endTurn } = loop()
    expect(turns.isOver()).toBe(false)
    pass(TURN_MAX_MS - 1)
    expect(turns.isOver()).toBe(false)
    pass(1)
    expect(turns.isOver()).toBe(true)
    await endTurn()
    expect(turns.isOver()).toBe(false)
  })

  it('is counted from when requests first came in it, and costs one look at its end', async () => {
    const { pass, turns, endTurn, deferred } = loop()
    pass(10 * TURN_MAX_MS)
    for (let n = 0; n < 5; n++) expect(turns.isOver()).toBe(false)
    expect(deferred).toHaveLength(1)
    await endTurn()
    await endTurn()
    expect(deferred).toHaveLength(0)
  })

  it('is not waited for where there is no need to', async () => {
    const { turns, deferred, pass } = loop()
    const next = async () => {
      let waits = 0
      for (; turns.isOver(); waits++) await turns.ended
      return waits
    }
    expect([await next(), await next()]).toEqual([0, 0])
    expect(deferred).toHaveLength(1)
    pass(TURN_MAX_MS)
    const waiting = next()
    deferred[0]?.()
    expect(await waiting).toBe(1)
  })

  it('is shared by who waits: in order, and each turn only for so long', async () => {
    const { pass, turns, endTurn, rest } = loop()
    const done: number[] = []
    const requests = Array.from({ length: 5 }, async (_, n) => {
      while (turns.isOver()) await turns.ended
      done.push(n)
      pass(TURN_MAX_MS / 2)
    })
    await rest()
    const seen = [[...done]]
    for (let turn = 0; turn < 2; turn++) {
      await endTurn()
      seen.push([...done])
    }
    await Promise.all(requests)
    expect(seen).toEqual([
      [0, 1],
      [0, 1, 2, 3],
      [0, 1, 2, 3, 4],
    ])
  })
})

describe('a request', () => {
  const POST = 'thing/measurepoint/post'
  const COUNT = 20
  const each = <T>(make: (n: number) => T): T[] => Array.from({ length: COUNT }, (_, n) => make(n))
  const points = { measurepoints: { Int: 1 } }
  const lists: [string, unknown][] = [
    [`${POST}/batch`, each(() => ({ productKey: 'meterPk', deviceKey: 's1', ...points }))],
    ['thing/topo/add', each(() => signed('meterPk', 'loose'))],
    ['thing/topo/delete', each(() => ({ productKey: 'meterPk', deviceKey: 'm1' }))],
    ['thing/device/register', each(n => ({ productKey: 'meterPk', deviceKey: `new${n}`, deviceName: 'n' }))],
  ]

  /** A rig in which each look at a device takes ms of the clock, as it does with a store that answers at once. */
  async function slow(msPerLook: number) {
    let turnsTaken = 0
    let now = 0
    const defer = (run: () => void) =>
      void setImmediate(() => {
        turnsTaken += 1
        run()
      })
    const rig = await UplinkRig.open(
      (store: Store) => {
        for (const name of ['deviceByKeys', 'product'] as const) {
          const look = store[name].bind(store) as (...keys: string[]) => Promise<never>
          store[name] = (...keys: string[]) => {
            now += msPerLook
            return look(...keys)
          }
        }
      },
      undefined,
      { turns: new Turns({ clock: { now: () => now }, defer }) },
    )
    return { rig, turnsTaken: () => turnsTaken }
  }

  it.each(lists)('%s of many items gives others their turn between them', async (path, params) => {
    const { rig, turnsTaken } = await slow(TURN_MAX_MS)
    const gateway = await rig.connection('g1')
    const told = await gateway.ask(path, params, { allowOfflineSubDevice: true })
    expect(told.code).toBe(path.endsWith('delete') ? 1256 : 200)
    expect(turnsTaken()).toBeGreaterThanOrEqual(COUNT - 1)
  })

  it('waits for its turn before it is read, so that many at once have one turn each', async () => {
    const { rig, turnsTaken } = await slow(TURN_MAX_MS)
    const devices = await Promise.all(each(() => rig.connection('m1')))
    const told = await Promise.all(devices.map(device => device.ask(POST, points)))
    expect(told.map(({ code }) => code)).toEqual(each(() => 200))
    expect(turnsTaken()).toBeGreaterThanOrEqual(COUNT - 1)
  })

  it('that costs little waits for nothing', async () => {
    const { rig, turnsTaken } = await slow(0)
    const gateway = await rig.connection('g1')
    for (const [path, params] of lists) await gateway.ask(path, params, { allowOfflineSubDevice: true })
    expect(turnsTaken()).toBeLessThanOrEqual(lists.length + 2)
  })
})
