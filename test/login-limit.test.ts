// How often a login may be refused: buckets by address and by device, what fills them again, and that nobody keeps out a device from elsewhere.

import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import {
  LOGIN_PAIR_BURST,
  LOGIN_PAIR_EVERY_MS,
  LOGIN_PAIRS_MAX,
  LOGIN_SOURCE_BURST,
  LOGIN_SOURCE_EVERY_MS,
  LOGIN_SOURCES_MAX,
  REFUSED_LOGIN_DELAY_MS,
} from '../src/core/limits.ts'
import { gatewaySource, LoginLimit, sourceOf } from '../src/uplink/login-limit.ts'
import { ManualClock } from './rig/clock.ts'
import { connectPacket, MqttRig } from './rig/mqtt.ts'

const T0 = 1_800_000_000_000
const HOME = '192.0.2.1'
const AWAY = '198.51.100.7'
const d1 = { productKey: 'p', deviceKey: 'd1' }
const d2 = { productKey: 'p', deviceKey: 'd2' }
const device = (n: number) => ({ productKey: 'p', deviceKey: `n${n}` })

/** A client that tries once, with a wrong password; whether it was looked at. */
function fails(limit: LoginLimit, source: string, keys: typeof d1 | null, now: number): boolean {
  const allowed = limit.allows(source, keys, now)
  if (allowed) limit.refused(source, keys, now)
  return allowed
}
/** So many of `tries` were looked at. */
const looked = (limit: LoginLimit, tries: number, source: string, keys: typeof d1 | null, now: number): number =>
  Array.from({ length: tries }, () => fails(limit, source, keys, now)).filter(Boolean).length

describe('a device from one address', () => {
  it('may be refused a few times, and then once in a while', () => {
    const limit = new LoginLimit()
    expect(looked(limit, LOGIN_PAIR_BURST + 5, HOME, d1, T0)).toBe(LOGIN_PAIR_BURST)
    expect(limit.allows(HOME, d1, T0 + LOGIN_PAIR_EVERY_MS - 1)).toBe(false)
    expect(looked(limit, 5, HOME, d1, T0 + LOGIN_PAIR_EVERY_MS)).toBe(1)
    expect(looked(limit, 5, HOME, d1, T0 + 4 * LOGIN_PAIR_EVERY_MS)).toBe(3)
    // After a rest as long as all of them it may begin anew, and not with more.
    const rested = T0 + 100 * LOGIN_PAIR_BURST * LOGIN_PAIR_EVERY_MS
    expect(looked(limit, 50, HOME, d1, rested)).toBe(LOGIN_PAIR_BURST)
  })

  it('that never pauses is let through when its time has come', () => {
    const limit = new LoginLimit()
    let attempts = 0
    for (let now = T0; now < T0 + 60_000; now += 250) if (fails(limit, HOME, d1, now)) attempts += 1
    const expected = LOGIN_PAIR_BURST + 60_000 / LOGIN_PAIR_EVERY_MS
    expect(attempts).toBeGreaterThanOrEqual(expected - 1)
    expect(attempts).toBeLessThanOrEqual(expected)
  })

  it('starts anew once it was let in', () => {
    const limit = new LoginLimit()
    looked(limit, LOGIN_PAIR_BURST - 1, HOME, d1, T0)
    expect(limit.allows(HOME, d1, T0)).toBe(true)
    limit.admitted(HOME, d1)
    expect(looked(limit, 50, HOME, d1, T0)).toBe(LOGIN_PAIR_BURST)
  })

  it('may come in as often as it likes', () => {
    const limit = new LoginLimit()
    for (let n = 0; n < 10_000; n++) {
      expect(limit.allows(HOME, d1, T0)).toBe(true)
      limit.admitted(HOME, d1)
    }
    expect(limit.size).toEqual({ sources: 0, pairs: 0 })
  })

  it('gains nothing by coming all at once', () => {
    const limit = new LoginLimit()
    const many = 1_000
    for (let n = 0; n < many; n++) expect(limit.allows(HOME, d1, T0)).toBe(true)
    for (let n = 0; n < many; n++) limit.refused(HOME, d1, T0)
    const span = LOGIN_PAIR_BURST * LOGIN_PAIR_EVERY_MS
    // Below zero by as much as it holds, and by no more: nobody is shut out for good.
    expect(limit.allows(HOME, d1, T0 + span + LOGIN_PAIR_EVERY_MS - 1)).toBe(false)
    expect(limit.allows(HOME, d1, T0 + span + LOGIN_PAIR_EVERY_MS)).toBe(true)
    expect(looked(limit, 50, HOME, d1, T0 + 2 * span)).toBe(LOGIN_PAIR_BURST)
  })
})

describe('a stranger', () => {
  it('elsewhere cannot keep a device out', () => {
    const limit = new LoginLimit()
    for (let second = 0; second < 600; second++) looked(limit, 50, AWAY, d1, T0 + second * 1_000)
    expect(limit.allows(AWAY, d1, T0 + 599_000)).toBe(false)
    expect(looked(limit, 50, HOME, d1, T0 + 599_000)).toBe(LOGIN_PAIR_BURST)
  })

  it('cannot make it better for himself by the good logins of the device', () => {
    const limit = new LoginLimit()
    looked(limit, 50, AWAY, d1, T0)
    limit.admitted(HOME, d1)
    expect(limit.allows(AWAY, d1, T0)).toBe(false)
  })

  it('behind the same address shuts out what he claims to be, and the others only by claiming to be many', () => {
    const limit = new LoginLimit()
    looked(limit, 50, HOME, d1, T0)
    expect(limit.allows(HOME, d1, T0)).toBe(false)
    expect(limit.allows(HOME, d2, T0)).toBe(true)
    for (let n = 0; n < LOGIN_SOURCE_BURST; n++) fails(limit, HOME, device(n), T0)
    expect(limit.allows(HOME, d2, T0)).toBe(false)
    expect(limit.allows(AWAY, d2, T0)).toBe(true)
  })
})

describe('an address', () => {
  it('may be refused so often, whoever it says to be', () => {
    const limit = new LoginLimit()
    let looked = 0
    for (let n = 0; n < 2 * LOGIN_SOURCE_BURST; n++) if (fails(limit, HOME, device(n), T0)) looked += 1
    expect(looked).toBe(LOGIN_SOURCE_BURST)
    expect(limit.allows(HOME, d1, T0 + LOGIN_SOURCE_EVERY_MS - 1)).toBe(false)
    expect(fails(limit, HOME, d1, T0 + LOGIN_SOURCE_EVERY_MS)).toBe(true)
    expect(limit.allows(HOME, d2, T0 + LOGIN_SOURCE_EVERY_MS)).toBe(false)
  })

  it('is what counts where nobody can be read', () => {
    const limit = new LoginLimit()
    expect(looked(limit, 2 * LOGIN_SOURCE_BURST, HOME, null, T0)).toBe(LOGIN_SOURCE_BURST)
    expect(limit.allows(HOME, d1, T0)).toBe(false)
    expect(limit.size).toEqual({ sources: 1, pairs: 0 })
  })

  it('is not forgiven by a good login of one device', () => {
    const limit = new LoginLimit()
    looked(limit, LOGIN_SOURCE_BURST, HOME, null, T0)
    limit.admitted(HOME, d1)
    expect(limit.allows(HOME, d1, T0)).toBe(false)
    limit.admitted(HOME, null)
    expect(limit.allows(HOME, null, T0)).toBe(false)
  })

  it('of hundreds of devices lets them all in at once', () => {
    const limit = new LoginLimit()
    for (let n = 0; n < 5_000; n++) {
      expect(limit.allows(HOME, device(n), T0)).toBe(true)
      limit.admitted(HOME, device(n))
    }
  })

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::9', '2001:db8:0:0::/64'],
    ['2001:db8::1:2:3:4:5', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
    ['', ''],
  ])('%s counts as %s', (address, source) => {
    expect(sourceOf(address)).toBe(source)
  })

  it('of IPv6 cannot be changed for another one of the same network', () => {
    const limit = new LoginLimit()
    let looked = 0
    for (let n = 0; n < 50; n++) if (fails(limit, `2001:db8::${n.toString(16)}`, d1, T0)) looked += 1
    expect(looked).toBe(LOGIN_PAIR_BURST)
    expect(limit.allows('2001:db8:0:1::1', d1, T0)).toBe(true)
    expect(limit.size.sources).toBe(1)
  })
})

describe('a gateway', () => {
  it.each(['g1', 'G1', 'g1%25', '::1', 'g1::', 'ffff:10.0.0.1'])('is a source of its own: %s', assetId => {
    const source = gatewaySource({ assetId })
    expect(sourceOf(source)).toBe(source)
    const limit = new LoginLimit()
    expect(looked(limit, LOGIN_PAIR_BURST + 1, source, d1, T0)).toBe(LOGIN_PAIR_BURST)
    for (const other of [gatewaySource({ assetId: 'g2' }), gatewaySource({ assetId: assetId.toUpperCase() }), assetId])
      if (other !== source) expect(limit.allows(other, d1, T0)).toBe(true)
  })
})

describe('what is remembered', () => {
  it('is bounded, the longest unused going first', () => {
    const limit = new LoginLimit()
    looked(limit, 50, 'kept', d1, T0)
    looked(limit, 50, 'lost', d1, T0)
    for (let n = 0; n < LOGIN_PAIRS_MAX - 2; n++) {
      limit.refused(`source ${n % (LOGIN_SOURCES_MAX - 2)}`, device(n), T0)
    }
    expect(limit.size).toEqual({ sources: LOGIN_SOURCES_MAX, pairs: LOGIN_PAIRS_MAX })
    // Asking is a use: whoever tries on and on is not forgotten for it.
    expect(limit.allows('kept', d1, T0)).toBe(false)
    limit.refused('one more', d2, T0)
    expect(limit.size).toEqual({ sources: LOGIN_SOURCES_MAX, pairs: LOGIN_PAIRS_MAX })
    expect(limit.allows('kept', d1, T0)).toBe(false)
    expect(limit.allows('lost', d1, T0)).toBe(true)
  })

  it('is nothing of what is over', () => {
    const limit = new LoginLimit()
    fails(limit, HOME, d1, T0)
    expect(limit.size).toEqual({ sources: 1, pairs: 1 })
    expect(limit.allows(HOME, d1, T0 + LOGIN_PAIR_EVERY_MS)).toBe(true)
    expect(limit.size).toEqual({ sources: 0, pairs: 0 })
  })

  it('keeps pairs apart that would read alike', () => {
    const limit = new LoginLimit()
    looked(limit, 50, '10.0.0.1', { productKey: 'b.c', deviceKey: 'a' }, T0)
    expect(limit.allows('10.0.0.1', { productKey: 'c', deviceKey: 'a.b' }, T0)).toBe(true)
  })
})

it('never lets more through than bursts and time allow, whatever happens in whatever order', () => {
  const step = fc.record({
    afterMs: fc.integer({ min: 0, max: 20_000 }),
    source: fc.constantFrom(HOME, AWAY),
    keys: fc.constantFrom(d1, d2, null),
    tries: fc.integer({ min: 1, max: 30 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const limit = new LoginLimit()
      const counts = new Map<string, number>()
      let now = T0
      for (const { afterMs, source, keys, tries } of steps) {
        now += afterMs
        const through = looked(limit, tries, source, keys, now)
        const pair = `${source} ${keys?.deviceKey}`
        for (const name of [source, pair]) counts.set(name, (counts.get(name) ?? 0) + through)
        const elapsed = now - T0
        expect(counts.get(source)).toBeLessThanOrEqual(LOGIN_SOURCE_BURST + elapsed / LOGIN_SOURCE_EVERY_MS)
        if (keys !== null)
          expect(counts.get(pair)).toBeLessThanOrEqual(LOGIN_PAIR_BURST + elapsed / LOGIN_PAIR_EVERY_MS)
      }
    }),
  )
})

describe('at the door', () => {
  let rig: MqttRig | null = null
  afterEach(async () => {
    await rig?.stop()
    rig = null
  })
  const turn = () => new Promise<void>(resolve => setImmediate(resolve))
  const wrong = { password: Buffer.from('0'.repeat(64)) }

  it('whoever was refused too often is told so, until it is time again or the secret is right', async () => {
    const clock = new ManualClock()
    const asked: string[] = []
    const running = await MqttRig.start({
      clock,
      fleet: fleet =>
        new Proxy(fleet, {
          get(target, name) {
            const found = Reflect.get(target, name)
            if (typeof found !== 'function') return found
            return (...args: unknown[]) => {
              asked.push(String(name))
              return Reflect.apply(found, target, args)
            }
          },
        }),
    })
    rig = running
    const attempt = async (deviceKey: string, over: object = {}) => {
      const before = running.count('refused login')
      const device = await running.raw()
      device.version = 5
      device.send(connectPacket(deviceKey, { protocolVersion: 5, ...over }))
      while (device.heard.length === 0 && running.count('refused login') === before) await turn()
      await clock.advance(REFUSED_LOGIN_DELAY_MS, turn)
      const connack = await device.next('connack')
      await device.end()
      return connack
    }
    for (let n = 0; n < LOGIN_PAIR_BURST; n++) expect(await attempt('d1', wrong)).toMatchObject({ reasonCode: 0x86 })
    asked.length = 0
    // Now also with the right password, and without a look at who it is.
    expect(await attempt('d1')).toMatchObject({
      reasonCode: 0x9f,
      properties: { reasonString: expect.stringMatching(/\w{3}/) },
    })
    expect(asked).toEqual([])
    // Others behind the same address come in as ever.
    expect(await attempt('d2')).toMatchObject({ reasonCode: 0 })
    await clock.advance(LOGIN_PAIR_EVERY_MS, turn)
    expect(await attempt('d1')).toMatchObject({ reasonCode: 0 })
    // That forgave it the rest.
    expect(await attempt('d1', wrong)).toMatchObject({ reasonCode: 0x86 })
    expect(await attempt('d1', wrong)).toMatchObject({ reasonCode: 0x86 })
    expect(await attempt('d1')).toMatchObject({ reasonCode: 0 })
  })

  it('the older protocol says it with its one code for that', async () => {
    const running = await MqttRig.start()
    rig = running
    const attempt = async () => {
      const device = await running.raw()
      device.send(connectPacket('d1', wrong))
      const { returnCode } = await device.next('connack')
      return returnCode
    }
    await Promise.all(Array.from({ length: LOGIN_PAIR_BURST }, attempt))
    expect(await attempt()).toBe(3)
  })
})
