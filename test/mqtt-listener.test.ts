// Real sockets against a real engine and fleet: order, presence and bytes. Rules of time run on a clock that the test moves.

import { createHash } from 'node:crypto'
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { afterEach, describe, expect, it } from 'vitest'
import { alone } from '../src/cluster/signal.ts'
import { Kind, State } from '../src/core/command.ts'
import { errors } from '../src/core/errors.ts'
import {
  ANSWERS_READ_MAX_MS,
  CHANNELS_MAX_PER_PRODUCT,
  CONNECT_WAIT_MS,
  CONNECTIONS_SPARE,
  FILTERS_PER_PACKET_MAX,
  INFLIGHT_MAX,
  ODDITIES_LOGGED,
  PACKET_MAX_BYTES,
  REFUSALS_LOGGED_PER_S,
  REFUSED_LOGIN_DELAY_MS,
  TURN_MAX_MS,
  TURN_MAX_PACKETS,
  UPLINK_PENDING_MAX,
} from '../src/core/limits.ts'
import type { DeviceDirectory } from '../src/mqtt/connect.ts'
import { ManualClock } from './rig/clock.ts'
import {
  connectPacket,
  credentials,
  MqttRig,
  type MqttRigOptions,
  PRODUCT,
  payloadOf,
  publishPacket,
  type RawDevice,
} from './rig/mqtt.ts'
import { CA, CLIENT_KEY, SERVER_CERT, SERVER_KEY } from './rig/tls.ts'

const rigs: MqttRig[] = []
async function start(options: MqttRigOptions = {}): Promise<MqttRig> {
  const rig = await MqttRig.start(options)
  rigs.push(rig)
  return rig
}
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.stop()
})

/** Time on a ManualClock; what sockets do meanwhile is waited for by what they say. */
const turn = () => new Promise<void>(resolve => setImmediate(resolve))
const pass = (clock: ManualClock, rig: MqttRig, ms: number) =>
  clock.advance(ms, async () => {
    await turn()
    await rig.engine.idle()
  })

const own = (deviceKey: string, rest: string) => `/sys/${PRODUCT}/${deviceKey}/${rest}`
const ping: Packet = { cmd: 'pingreq' }
const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i))
/** Publishes to nobody, each of which is acknowledged and counted as a foreign topic. */
const foreign = (n: number) => times(n, i => publishPacket('x', '', i + 1))

describe('a device on the mqtt client', () => {
  it.each([4, 5] as const)(
    'of protocol level %i gets what waited for it, one after the other, and answers',
    async protocolVersion => {
      const rig = await start()
      const deviceId = await rig.id('d1')
      const ids = [
        await rig.enqueue(deviceId),
        await rig.enqueue(deviceId, { kind: Kind.invoke, identifier: 'reboot', inputJson: '{"delay":2}' }),
        await rig.enqueue(deviceId, { inputJson: '"x"' }),
      ]
      const client = rig.client('d1', { protocolVersion })
      const heard: [string, object][] = []
      client.on('message', (topic, payload) => {
        const said = JSON.parse(payload.toString())
        heard.push([topic, said])
        client.publish(`${topic}_reply`, JSON.stringify({ id: said.id, code: 200, data: { ok: true } }), { qos: 1 })
      })
      client.on('connect', () => client.subscribe(own('d1', 'thing/service/#'), { qos: 1 }))
      await rig.until('reply settled', 3)
      expect(heard.map(([, { id }]: [string, { id?: string }]) => id)).toEqual(ids)
      expect(heard[1]).toEqual([
        own('d1', 'thing/service/reboot'),
        { id: ids[1], version: '1.0', params: { delay: 2 }, method: 'thing.service.reboot' },
      ])
      for (const id of ids) expect(await rig.state(deviceId, id)).toBe(State.succeeded)
      const bodies = await rig.store.bodies(ids)
      expect(ids.map(id => bodies.get(id)?.outputJson)).toEqual([null, '{"ok":true}', null])
    },
  )

  it('of MQTT 5 is told what this server does not do', async () => {
    const rig = await start()
    const client = rig.client('d1', { protocolVersion: 5, properties: { sessionExpiryInterval: 1_000 } })
    const connack = await new Promise<object>(resolve => client.on('connect', resolve))
    expect(connack).toMatchObject({
      sessionPresent: false,
      properties: {
        maximumQoS: 1,
        retainAvailable: false,
        maximumPacketSize: PACKET_MAX_BYTES,
        topicAliasMaximum: 0,
        sharedSubscriptionAvailable: false,
        subscriptionIdentifiersAvailable: false,
        wildcardSubscriptionAvailable: true,
        sessionExpiryInterval: 0,
      },
    })
  })

  it('hears 501 where it asks for what there is not', async () => {
    const rig = await start()
    const client = rig.client('d1')
    const topic = own('d1', 'thing/nothing/post')
    const answer = new Promise(resolve =>
      client.on('message', (topic, payload) => resolve([topic, JSON.parse(String(payload))])),
    )
    client.on('connect', () => client.publish(topic, '{"id":"1","params":{}}', { qos: 1 }))
    expect(await answer).toEqual([`${topic}_reply`, expect.objectContaining({ id: '1', code: 501, data: {} })])
  })

  it('says goodbye and is offline', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const client = rig.client('d1')
    await new Promise(resolve => client.once('connect', resolve))
    expect(rig.engine.isOnline(deviceId)).toBe(true)
    expect(rig.listener.gauges().devices).toBe(1)
    await client.endAsync()
    await rig.until('client disconnected')
    expect(rig.engine.isOnline(deviceId)).toBe(false)
    expect(rig.listener.gauges().devices).toBe(0)
  })
})

describe('the first packet', () => {
  it('must come, whole, in time', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    const silent = await rig.raw()
    const half = await rig.raw()
    half.send(Buffer.from([0x10, 0x40, 0, 4, 0x4d]))
    while (rig.listener.gauges().sockets < 2) await turn()
    await pass(clock, rig, CONNECT_WAIT_MS)
    await Promise.all([silent.closed, half.closed])
    expect([...silent.chunks, ...half.chunks]).toEqual([])
    expect(rig.count('dropped before login')).toBe(2)
  })

  it.each<[string, Buffer]>([
    ['another packet', Buffer.from([0xc0, 0])],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['a length that is none', Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff])],
    ['a length of 256 MB', Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f])],
    ['a CONNECT too large', Buffer.from([0x10, 0x80, 0x40])],
    ['noise', Buffer.from([0x10, 0x05, 1, 2, 3, 4, 5])],
  ])('that is %s closes the connection without a word', async (_what, bytes) => {
    const rig = await start()
    const device = await rig.raw()
    device.send(bytes)
    await device.closed
    expect(device.chunks).toEqual([])
    expect(rig.count('dropped before login')).toBe(1)
  })

  it.each<[string, object, number, number]>([
    ['of an unknown product', { username: 'd1&nothing' }, 5, 0x87],
    ['with a wrong password', { password: Buffer.from('0'.repeat(64)) }, 4, 0x86],
    ['with a client id that says nothing', { clientId: 'mqttjs_1' }, 2, 0x85],
    ['with a malformed user name', { username: 'd1' }, 4, 0x86],
    ['of a disabled device', credentials('off'), 5, 0x87],
    ['of a device behind a gateway', credentials('sub'), 5, 0x87],
    ['of a product that requires a certificate', credentials('cert1', 'guarded'), 5, 0x87],
  ])('%s is refused', async (_what, over, returnCode, reasonCode) => {
    const rig = await start()
    const attempt = async (protocolVersion: 4 | 5) => {
      const device = await rig.raw()
      device.version = protocolVersion
      device.send(connectPacket('d1', { protocolVersion, ...over }))
      const connack = await device.next('connack')
      await device.closed
      return connack
    }
    const [older, newer] = await Promise.all([attempt(4), attempt(5)])
    expect(older).toMatchObject({ sessionPresent: false, returnCode })
    expect(newer).toMatchObject({ reasonCode, properties: { reasonString: expect.stringMatching(/\w{3}/) } })
    expect(rig.count('refused login')).toBe(2)
    expect(rig.count('login')).toBe(0)
  })

  it('of MQTT 3.1 is answered in a form that it understands', async () => {
    const rig = await start()
    const device = await rig.raw()
    device.send(connectPacket('d1', { protocolId: 'MQIsdp', protocolVersion: 3 }))
    expect(await device.next('connack')).toMatchObject({ returnCode: 1 })
    await device.closed
  })

  it('leaves the reason out where the client has no room for it', async () => {
    const rig = await start()
    const device = await rig.raw()
    device.version = 5
    device.send(connectPacket('d1', { protocolVersion: 5, username: 'x', properties: { maximumPacketSize: 10 } }))
    const connack = await device.next('connack')
    expect(connack).toMatchObject({ reasonCode: 0x86 })
    expect(connack.properties?.reasonString).toBeUndefined()
  })

  it('may be wrong ten thousand times, and costs a few lines in the log', async () => {
    const rig = await start()
    const wrong = connectPacket('d1', { password: Buffer.from('f'.repeat(64)) })
    const told = new Map<number | undefined, number>()
    const attempt = async () => {
      const device = await rig.raw()
      device.send(wrong)
      const { returnCode } = await device.next('connack')
      told.set(returnCode, (told.get(returnCode) ?? 0) + 1)
      await device.closed
    }
    for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 1_000 }, attempt))
    expect(rig.count('refused login')).toBe(10_000)
    const lines = rig.logged.filter(({ message }) => message === 'login refused')
    expect(lines.length).toBeGreaterThan(0)
    expect(lines.length).toBeLessThanOrEqual(REFUSALS_LOGGED_PER_S * 60)
    const secrets = JSON.stringify(rig.logged)
    expect(secrets).not.toContain('ffff')
    // After some of them nobody is looked up any more; who does nothing wrong comes in as before, from the same address.
    expect([...told.keys()].sort()).toEqual([3, 4])
    expect(told.get(4)).toBeLessThan(200)
    const device = await rig.rawDevice('d2')
    device.send(ping)
    await device.next('pingresp')
  }, 120_000)

  it('is logged with whose it claims to be, where that can be read', async () => {
    const rig = await start()
    const attempt = async (over: object) => {
      const device = await rig.raw()
      device.send(connectPacket('d1', over))
      await device.next('connack')
      await device.closed
      return rig.logged.findLast(({ message }) => message === 'login refused')?.fields
    }
    const keys = { productKey: PRODUCT, deviceKey: 'd1' }
    const wrong = { password: Buffer.from('f'.repeat(64)) }
    expect(await attempt(wrong)).toMatchObject({ ...keys, connack: 'credentials' })
    expect(await attempt({ username: `nobody&${PRODUCT}` })).toMatchObject({ ...keys, deviceKey: 'nobody' })
    for (const unread of [{ clientId: 'c' }, { username: `d1\n&${PRODUCT}` }]) {
      const fields = await attempt(unread)
      expect(fields).toMatchObject({ reason: expect.any(String) })
      expect(Object.keys(fields ?? {}).filter(name => name.endsWith('Key'))).toEqual([])
    }
  })

  it('is refused with all that comes behind it, of which nothing is held meanwhile', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    const device = await rig.raw()
    device.send(connectPacket('d1', { username: 'x' }))
    await rig.until('refused login')
    // More than sockets hold: it is all sent only if it is all read, while the refusal is still held back.
    const megabyte = Buffer.alloc(1_048_576, 0xc0)
    for (let n = 0; n < 24; n++) await new Promise(resolve => device.socket.write(megabyte, resolve))
    expect(device.heard).toEqual([])
    await pass(clock, rig, REFUSED_LOGIN_DELAY_MS)
    expect(await device.next('connack')).toMatchObject({ returnCode: 4 })
    await device.end()
  })

  it('is refused as long as the fleet cannot be read, and the cause is logged', async () => {
    const rig = await start({
      fleet: fleet => ({
        ...bound(fleet),
        deviceByKeys: () => Promise.reject(new Error('the store is away')),
      }),
    })
    const device = await rig.raw()
    device.send(connectPacket('d1'))
    expect(await device.next('connack')).toMatchObject({ returnCode: 3 })
    expect(rig.logged).toContainEqual(expect.objectContaining({ level: 'error', message: 'login failed' }))
  })

  it('is refused by a node whose lease is not good, and taken once it is again', async () => {
    let isGood = false
    const rig = await start({ cluster: { ...alone, mayPublish: () => isGood } })
    const early = await rig.raw()
    early.send(connectPacket('d1'))
    expect(await early.next('connack')).toMatchObject({ returnCode: 3 })
    isGood = true
    await rig.rawDevice('d1')
  })

  it('is refused when as many devices are connected as may be, except from one of them', async () => {
    const rig = await start({ connectionsMax: 2 })
    await rig.rawDevice('d1')
    const second = await rig.rawDevice('d2')
    for (const [version, code] of [
      [4, { returnCode: 3 }],
      [5, { reasonCode: 0x97 }],
    ] as const) {
      const third = await rig.raw()
      third.version = version
      third.send(connectPacket('d3', { protocolVersion: version }))
      expect(await third.next('connack')).toMatchObject(code)
    }
    await rig.rawDevice('d2')
    await second.closed
    expect(rig.listener.gauges().devices).toBe(2)
  })
})

/** The real fleet's methods, to be stood before. */
const bound = (fleet: DeviceDirectory): DeviceDirectory => ({
  deviceByKeys: (productKey, deviceKey) => fleet.deviceByKeys(productKey, deviceKey),
  deviceSecret: device => fleet.deviceSecret(device),
  product: productKey => fleet.product(productKey),
  model: device => fleet.model(device),
  productSecret: productKey => fleet.productSecret(productKey),
  subDevices: gateway => fleet.subDevices(gateway),
})

/** A promise that the test resolves, and one that says that somebody waits for it. */
function gate() {
  let open = (): void => undefined
  let arrived = (): void => undefined
  const opened = new Promise<void>(resolve => {
    open = resolve
  })
  const reached = new Promise<void>(resolve => {
    arrived = resolve
  })
  const pass = () => {
    arrived()
    return opened
  }
  return { open: () => open(), reached, pass }
}

describe('sockets', () => {
  it('far beyond what may be connected are dropped at once', async () => {
    const rig = await start({ connectionsMax: 1 })
    const devices = await Promise.all(Array.from({ length: CONNECTIONS_SPARE + 2 }, () => rig.raw()))
    await Promise.race(devices.map(({ closed }) => closed))
    expect(rig.listener.gauges().sockets).toBeLessThanOrEqual(CONNECTIONS_SPARE + 1)
  })
})

describe('a login that takes its time', () => {
  it('lets what comes behind the CONNECT wait, in order', async () => {
    const held = gate()
    const rig = await start({
      fleet: fleet => ({ ...bound(fleet), model: device => held.pass().then(() => fleet.model(device)) }),
    })
    const device = await rig.raw()
    // One SDK sends SUBSCRIBE and PUBLISH back to back; here even the CONNECT goes with them.
    const post = own('d1', 'thing/measurepoint/post')
    device.send(
      connectPacket('d1'),
      { cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: `${post}_reply`, qos: 1 }] },
      publishPacket(post, { id: '1', params: {} }, 8),
      ping,
    )
    await held.reached
    expect(device.heard).toEqual([])
    held.open()
    await device.next('connack')
    expect(await device.next('suback')).toMatchObject({ messageId: 7, granted: [1] })
    // A ping waits for nothing; an answer does, for what it answers.
    await device.next('pingresp')
    expect(await device.next('puback')).toMatchObject({ messageId: 8 })
    expect(await device.next('publish')).toMatchObject({ topic: `${post}_reply` })
  })

  it('ends offline when the client is gone before it is done', async () => {
    const held = gate()
    const rig = await start({
      fleet: fleet => ({ ...bound(fleet), model: device => held.pass().then(() => fleet.model(device)) }),
    })
    const device = await rig.raw()
    device.send(connectPacket('d1'))
    await held.reached
    await device.end()
    held.open()
    await rig.until('connected')
    await rig.until('disconnected')
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
    while (rig.listener.gauges().sockets > 0) await turn()
    expect(rig.listener.gauges().devices).toBe(0)
  })

  it('is refused when the device was disabled meanwhile', async () => {
    const held = gate()
    const rig = await start({
      fleet: fleet => ({ ...bound(fleet), model: device => held.pass().then(() => fleet.model(device)) }),
    })
    const device = await rig.raw()
    device.send(connectPacket('d1'))
    await held.reached
    await rig.engine.disable(await rig.id('d1'), 'app')
    held.open()
    expect(await device.next('connack')).toMatchObject({ returnCode: 5 })
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
    expect(rig.listener.gauges().devices).toBe(0)
  })
})

describe('what ends a connection', () => {
  it.each<[string, Packet | Buffer, string, number]>([
    ['a second CONNECT', connectPacket('d1', { protocolVersion: 5 }), 'protocol error', 0x82],
    ['AUTH', Buffer.from([0xf0, 0x00]), 'malformed packet', 0x81],
    ['AUTH with a reason', Buffer.from([0xf0, 0x02, 0x19, 0x00]), 'protocol error', 0x82],
    ['QoS 2', { ...publishPacket(own('d1', 'x'), '{}'), qos: 2 }, 'QoS 2', 0x9b],
    ['an empty topic', publishPacket('', '{}'), 'protocol error', 0x90],
    ['a topic alias', { ...publishPacket('', '{}'), properties: { topicAlias: 3 } }, 'protocol error', 0x94],
    [
      'a SUBSCRIBE with too many filters',
      {
        cmd: 'subscribe',
        messageId: 1,
        subscriptions: times(FILTERS_PER_PACKET_MAX + 1, i => ({ topic: own('d1', String(i)), qos: 1 })),
      },
      'protocol error',
      0x97,
    ],
    [
      'an UNSUBSCRIBE with too many filters',
      { cmd: 'unsubscribe', messageId: 1, unsubscriptions: times(FILTERS_PER_PACKET_MAX + 1, String) },
      'protocol error',
      0x97,
    ],
    ['a packet cut short', Buffer.from([0x32, 0x03, 0, 9, 0x61]), 'malformed packet', 0x81],
    ['a length of 256 MB', Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]), 'packet too large', 0x95],
    ['a length that is none', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), 'malformed packet', 0x81],
    ['a reserved type', Buffer.from([0x00, 0x00]), 'malformed packet', 0x81],
  ])('%s: MQTT 5 says why, 3.1.1 just closes', async (_what, packet, reason, code) => {
    const rig = await start()
    const device = await rig.rawDevice('d1', { protocolVersion: 5 })
    device.send(packet)
    expect(await device.next('disconnect')).toMatchObject({ reasonCode: code })
    await device.closed
    expect(rig.count(reason)).toBe(1)
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
    if (!Buffer.isBuffer(packet) && 'properties' in packet) return
    const older = await rig.rawDevice('d1')
    const isAuth = Buffer.isBuffer(packet) && packet[0] === 0xf0
    older.send(packet)
    await older.closed
    expect(older.heard).toEqual([])
    expect(rig.count(reason)).toBe(isAuth && reason === 'protocol error' ? 1 : 2)
  })

  it('half a packet and then nothing, by the keep-alive', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    const device = await rig.rawDevice('d1', { keepalive: 10 })
    device.send(Buffer.from([0x30, 0x7f, 0, 1]))
    await pass(clock, rig, 14_999)
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(true)
    await pass(clock, rig, 1)
    await device.closed
    expect(rig.count('keep-alive timeout')).toBe(1)
  })

  it('a large packet that never ends, at its header: nothing is kept for it', async () => {
    const rig = await start()
    const device = await rig.rawDevice('d1')
    device.send(Buffer.from([0x30, 0x81, 0x80, 0x08]))
    await device.closed
    expect(rig.count('packet too large')).toBe(1)
  })

  it('a reader that does not read', async () => {
    const rig = await start({ devices: 2 })
    const device = await rig.rawDevice('d1')
    const other = await rig.rawDevice('d2')
    device.socket.pause()
    // Small questions with large answers, for as long as the server takes them.
    const flood = Buffer.concat(
      Array.from({ length: 2_000 }, () => Buffer.from([0x30, 0x0b, 0, 1, 0x78, ...Buffer.from('{"id":1}')])),
    )
    const pour = () => {
      while (!device.socket.destroyed && device.socket.write(flood));
    }
    device.socket.on('drain', pour)
    pour()
    await rig.until('slow reader')
    device.socket.removeListener('drain', pour)
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
    // The others never noticed, and the log holds a few lines of it.
    other.send(ping)
    await other.next('pingresp')
    const lines = rig.logged.filter(({ message }) => message === 'foreign topic')
    expect(lines).toHaveLength(ODDITIES_LOGGED)
    expect(rig.count('foreign topic')).toBeGreaterThan(10_000)
  })

  it('a connection that breaks', async () => {
    const rig = await start()
    const device = await rig.rawDevice('d1')
    device.socket.resetAndDestroy()
    await rig.until('connection lost')
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
  })

  it('being disabled', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const device = await rig.rawDevice('d1', { protocolVersion: 5 })
    await rig.engine.disable(deviceId, 'app')
    expect(await device.next('disconnect')).toMatchObject({ reasonCode: 0x98 })
    await device.closed
    await rig.engine.disable(deviceId, 'app')
    expect(rig.count('kicked')).toBe(1)
    expect(rig.engine.isOnline(deviceId)).toBe(false)
  })
})

describe('a device that asks without a pause', () => {
  it('has one answer in a turn of the loop, and others have theirs in between', async () => {
    const rig = await start()
    const [busy, other] = [await rig.rawDevice('d1'), await rig.rawDevice('d2')]
    busy.send(
      ...Array.from({ length: 60 }, (_, i) => publishPacket(own('d1', 'thing/tag/query'), { id: `${i}` }, i + 1)),
    )
    await busy.next('puback')
    other.send(ping)
    await other.next('pingresp')
    expect(busy.heard.filter(({ cmd }) => cmd === 'publish').length).toBeLessThan(55)
  })

  it('waits where it does not read what it asked for, and is closed by nothing but its silence', async () => {
    const rig = await start()
    const tags = Array.from({ length: 100 }, (_, i) => ({ tagKey: `t${i}`, tagValue: 'v'.repeat(1_000) }))
    const device = await rig.rawDevice('d1')
    device.send(publishPacket(own('d1', 'thing/tag/update'), { id: '1', params: tags }, 1))
    await device.next('puback')
    await device.next('publish')
    device.socket.pause()
    const asked = 60
    device.send(
      ...Array.from({ length: asked }, (_, i) =>
        publishPacket(own('d1', 'thing/tag/query'), { id: `${i}`, params: {} }, i + 2),
      ),
    )
    for (let turns = 0; turns < 200; turns += 1) await turn()
    device.socket.resume()
    const ids = new Set<string>()
    while (ids.size < asked) {
      const packet = await device.nextOf('puback', 'publish')
      if (packet.cmd === 'publish') ids.add(JSON.parse(String(packet.payload)).id)
    }
    expect(rig.count('slow reader')).toBe(0)
  })
})

describe('what a device asked for before its end', () => {
  const value = (n: number) => ({ id: `${n}`, params: { measurepoints: { [`p${n}`]: n } } })
  it.each<[string, (device: RawDevice) => unknown, string]>([
    ['says goodbye', device => device.send({ cmd: 'disconnect' }), 'client disconnected'],
    ['closes its end', device => device.socket.end(), 'connection lost'],
  ])('is done when it %s', async (_what, end, reason) => {
    const rig = await start()
    const device = await rig.rawDevice('d1')
    device.send(...[1, 2, 3, 4, 5].map(n => publishPacket(own('d1', 'thing/measurepoint/post'), value(n), n)))
    end(device)
    await rig.until(reason)
    const latest = await rig.store.latestValues(await rig.id('d1'), null)
    expect(latest.map(({ pointId }) => pointId)).toEqual(['p1', 'p2', 'p3', 'p4', 'p5'])
    await rig.until('disconnected')
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
  })

  it('is answered each once, whenever it comes', async () => {
    const rig = await start()
    const device = await rig.rawDevice('d1')
    for (let n = 1; n <= 200; n += 1) {
      device.send(publishPacket(own('d1', 'thing/tag/query'), { id: `${n}`, params: {} }, n))
      // At every phase of answering the one before.
      for (let turns = 0; turns < n % 7; turns += 1) await turn()
    }
    const answered: number[] = []
    while (answered.length < 200) {
      const packet = await device.nextOf('puback', 'publish')
      if (packet.cmd === 'publish') answered.push(Number(JSON.parse(String(packet.payload)).id))
    }
    expect(answered).toEqual(Array.from({ length: 200 }, (_, i) => i + 1))
  })

  it('holds nobody up who stops the server, nor for ever: a client that does not read is closed', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    const tags = Array.from({ length: 100 }, (_, i) => ({ tagKey: `t${i}`, tagValue: 'v'.repeat(1_000) }))
    const deaf = async (deviceKey: string) => {
      const device = await rig.rawDevice(deviceKey)
      device.send(publishPacket(own(deviceKey, 'thing/tag/update'), { id: '1', params: tags }, 1))
      await device.next('puback')
      await device.next('publish')
      device.socket.pause()
      const ask = (_: unknown, i: number) =>
        publishPacket(own(deviceKey, 'thing/tag/query'), { id: `${i}`, params: {} }, i + 2)
      // More than the kernel's buffers hold.
      device.send(...Array.from({ length: 300 }, ask))
      return device
    }
    await deaf('d1')
    for (let turns = 0; turns < 300; turns += 1) await turn()
    await clock.advance(ANSWERS_READ_MAX_MS + 1, turn)
    await rig.until('slow reader')
    await deaf('d2')
    for (let turns = 0; turns < 300; turns += 1) await turn()
    await rig.listener.stop()
  })
})

describe('channels', () => {
  it('have a bound for each product, and leave room for devices', async () => {
    const rig = await start()
    const channel = async () => {
      const device = await rig.raw()
      const content = `clientId${PRODUCT}deviceKey%channel%productKey${PRODUCT}timestamp1ps`
      device.send(
        connectPacket('d1', {
          clientId: `${PRODUCT}|securemode=4,signmethod=sha256,timestamp=1|`,
          username: `%channel%&${PRODUCT}`,
          password: Buffer.from(createHash('sha256').update(content).digest('hex')),
        }),
      )
      return { device, ...(await device.next('connack')) }
    }
    const first = await channel()
    for (let i = 1; i < CHANNELS_MAX_PER_PRODUCT; i++) expect((await channel()).returnCode).toBe(0)
    expect((await channel()).returnCode).toBe(3)
    await first.device.end()
    await rig.rawDevice('d1')
    while ((await channel()).returnCode !== 0) await turn()
  })
})

describe('topics', () => {
  it('of others are refused to hear and answered 1009, and the connection lives on', async () => {
    const rig = await start()
    const device = await rig.rawDevice('d1')
    const filters = [
      '#',
      '/sys/#',
      `/sys/${PRODUCT}/d2/#`,
      `/sys/${PRODUCT}/+/thing/service/+`,
      own('d1', '+/+/set'),
      `/ext/session/${PRODUCT}/d1/#`,
    ]
    expect(await device.subscribe(...filters)).toEqual([0x80, 0x80, 0x80, 0x80, 1, 1])
    const foreign = `/sys/${PRODUCT}/d2/thing/service/measurepoint/set_reply`
    device.send(
      publishPacket(`/sys/${PRODUCT}/d2/thing/measurepoint/post`, { id: '5' }, 9),
      publishPacket(foreign, { id: '6' }, 10),
    )
    await device.next('puback')
    const answer = await device.next('publish')
    expect(payloadOf(answer)).toMatchObject({ id: '5', code: 1009 })
    expect(await device.next('puback')).toMatchObject({ messageId: 10 })
    device.send(ping)
    await device.next('pingresp')
  })

  it('of another device carry no answer to its commands', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    const command = await device.next('publish')
    const other = await rig.rawDevice('d2')
    // On its own topic with the other's id, and on the other's topic.
    other.send(publishPacket(own('d2', 'thing/service/measurepoint/set_reply'), { id: commandId, code: 200 }, 1))
    other.send(publishPacket(own('d1', 'thing/service/measurepoint/set_reply'), { id: commandId, code: 200 }, 2))
    await other.next('puback')
    await other.next('puback')
    expect(await rig.state(deviceId, commandId)).toBe(State.sent)
    device.reply(command)
    await device.next('puback')
    expect(await rig.state(deviceId, commandId)).toBe(State.succeeded)
  })
})

describe('commands', () => {
  it('go to a device that never subscribes, after the quiet time', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1')
    await pass(clock, rig, 1_999)
    expect(await rig.state(deviceId, commandId)).toBe(State.created)
    await pass(clock, rig, 1)
    expect(payloadOf(await device.next('publish'))).toMatchObject({ id: commandId })
  })

  it('go at once to a device that covers the topics of its model', async () => {
    const rig = await start({ clock: new ManualClock() })
    const deviceId = await rig.id('m1', 'modelled')
    const commandId = await rig.enqueue(deviceId)
    const device = await rig.raw()
    device.send(connectPacket('m1', {}, 'modelled'))
    await device.next('connack')
    const topics = ['measurepoint/set', 'reboot'].map(name => `/sys/modelled/m1/thing/service/${name}`)
    await device.subscribe(...topics)
    const command = await device.next('publish')
    expect(command).toMatchObject({ topic: topics[0], qos: 1, dup: false, retain: false })
    expect(payloadOf(command).id).toBe(commandId)
  })

  it('and the PUBACK of the answer before both come, in whatever order', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    await rig.enqueue(deviceId)
    const second = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    const command = await device.next('publish')
    device.send({ cmd: 'puback', messageId: command.messageId ?? 0 })
    device.reply(command, 77)
    const both = [await device.nextOf('publish', 'puback'), await device.nextOf('publish', 'puback')]
    expect(both.find(({ cmd }) => cmd === 'puback')).toMatchObject({ messageId: 77 })
    const next = both.find(packet => packet.cmd === 'publish')
    expect(next && payloadOf(next).id).toBe(second)
  })

  it('go on when the device answers before its PUBACK', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    for (let n = 0; n < 5; n++) await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    const { commands, acks } = await answer(device, 5)
    for (const { messageId = 0 } of commands) device.send({ cmd: 'puback', messageId })
    expect(acks.map(({ messageId }) => messageId)).toEqual([101, 102, 103, 104, 105])
    expect(rig.count('reply settled')).toBe(5)
  })

  it('wait for the PUBACK of a client that takes one at a time', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const ids = [await rig.enqueue(deviceId), await rig.enqueue(deviceId)]
    const device = await rig.rawDevice('d1', { protocolVersion: 5, properties: { receiveMaximum: 1 } })
    await device.listen('d1')
    const first = await device.next('publish')
    device.reply(first)
    await device.next('puback')
    await rig.engine.idle()
    expect(await rig.state(deviceId, ids[1]!)).toBe(State.created)
    device.send({ cmd: 'puback', messageId: first.messageId ?? 0 })
    expect(payloadOf(await device.next('publish')).id).toBe(ids[1])
  })

  it('stop at 32 without a PUBACK, and the connection with them', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    const deviceId = await rig.id('d1')
    for (let n = 0; n <= INFLIGHT_MAX; n++) await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1', { keepalive: 20 })
    await device.listen('d1')
    await answer(device, INFLIGHT_MAX)
    await rig.engine.idle()
    expect(rig.count('published')).toBe(INFLIGHT_MAX)
    for (let ms = 0; ms < 30_000; ms += 10_000) {
      device.send(ping)
      await device.next('pingresp')
      await pass(clock, rig, 10_000)
    }
    await device.closed
    expect(rig.count('command not acknowledged')).toBe(1)
    // The next connection gets the one that is left, and no other.
    const again = await rig.rawDevice('d1')
    await again.listen('d1')
    await again.next('publish')
    expect(rig.count('published')).toBe(INFLIGHT_MAX + 1)
  })

  it('too large for the client fail, and the next one goes', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const large = await rig.enqueue(deviceId, { inputJson: JSON.stringify('x'.repeat(500)) })
    const small = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1', { protocolVersion: 5, properties: { maximumPacketSize: 400 } })
    await device.listen('d1')
    expect(payloadOf(await device.next('publish')).id).toBe(small)
    const { command } = (await rig.store.command(deviceId, large))!
    expect(command).toMatchObject({ state: State.failed, code: errors.notEncodable.code })
  })

  it('cost a dead connection one of them, and go on when it speaks', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    const deviceId = await rig.id('d1')
    const ids = [await rig.enqueue(deviceId), await rig.enqueue(deviceId), await rig.enqueue(deviceId)]
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    await device.next('publish')
    // Nothing comes back: the command times out, and the others stay where they are.
    await pass(clock, rig, 31_000)
    expect(await Promise.all(ids.map(id => rig.state(deviceId, id)))).toEqual([
      State.timedOut,
      State.created,
      State.created,
    ])
    expect(rig.count('published')).toBe(1)
    device.send(ping)
    await device.next('pingresp')
    expect(payloadOf(await device.next('publish')).id).toBe(ids[1])
    // Silent again, this time for ever.
    await pass(clock, rig, 60_000)
    await device.closed
    expect(rig.count('silent after a command')).toBe(1)
    expect(await Promise.all(ids.map(id => rig.state(deviceId, id)))).toEqual([
      State.timedOut,
      State.timedOut,
      State.created,
    ])
  })
})

/** Answers n commands and hears n PUBACKs, in whatever order they come; acknowledges none itself. */
async function answer(device: RawDevice, n: number): Promise<{ commands: IPublishPacket[]; acks: Packet[] }> {
  const commands: IPublishPacket[] = []
  const acks: Packet[] = []
  while (commands.length < n || acks.length < n) {
    const packet = await device.nextOf('publish', 'puback')
    if (packet.cmd === 'puback') acks.push(packet)
    else device.reply(packet, 100 + commands.push(packet))
  }
  return { commands, acks }
}

describe('a device that comes twice', () => {
  it('is served on the newer connection; the older one is closed without a word, and is not its end', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const first = await rig.rawDevice('d1')
    await first.listen('d1')
    const second = await rig.rawDevice('d1')
    await first.closed
    expect(first.heard).toEqual([])
    expect(rig.count('taken over')).toBe(1)
    await rig.engine.idle()
    expect(rig.engine.isOnline(deviceId)).toBe(true)
    expect(rig.count('disconnected')).toBe(0)
    await second.listen('d1')
    const commandId = await rig.enqueue(deviceId)
    expect(payloadOf(await second.next('publish')).id).toBe(commandId)
    expect(rig.listener.gauges().devices).toBe(1)
  })

  it('is told so in MQTT 5', async () => {
    const rig = await start()
    const first = await rig.rawDevice('d1', { protocolVersion: 5 })
    await rig.rawDevice('d1', { protocolVersion: 5 })
    expect(await first.next('disconnect')).toMatchObject({ reasonCode: 0x8e })
    await first.closed
  })

  it('or a hundred times at once ends with one connection', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const devices = await Promise.all(Array.from({ length: 100 }, () => rig.raw()))
    for (const device of devices) device.send(connectPacket('d1'))
    let open = devices.length
    await new Promise<void>(resolve => {
      const closed = () => {
        open -= 1
        if (open === 1) resolve()
      }
      for (const device of devices) void device.closed.then(closed)
    })
    // The one that is left has taken over from the last of the others, and is being let in.
    while (rig.listener.gauges().devices < 1) await turn()
    await rig.engine.idle()
    expect(rig.engine.isOnline(deviceId)).toBe(true)
    expect(rig.listener.gauges()).toEqual({ sockets: 1, devices: 1 })
    expect((await rig.store.load([{ deviceId, commandIds: [] }]))[0]?.sessionNo).toBe(100)
  })
})

describe('a client with little room', () => {
  const tight = (maximumPacketSize: number) => ({ protocolVersion: 5 as const, properties: { maximumPacketSize } })

  it('that cannot even take the CONNACK is closed', async () => {
    const rig = await start()
    const device = await rig.raw()
    device.version = 5
    device.send(connectPacket('d1', tight(10)))
    expect(await device.next('disconnect')).toMatchObject({ reasonCode: 0x95 })
    await device.closed
    expect(rig.count('packet too large')).toBe(1)
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
  })

  it('does not get an answer that is larger, and is closed at a SUBACK that is', async () => {
    const rig = await start()
    const device = await rig.rawDevice('d1', tight(60))
    device.send(publishPacket(own('d1', 'thing/measurepoint/post'), { id: '1' }, 9))
    expect(await device.next('puback')).toMatchObject({ messageId: 9 })
    await rig.until('answer too large')
    const filters = Array.from({ length: 60 }, (_, i) => ({ topic: own('d1', String(i)), qos: 1 as const }))
    device.send({ cmd: 'subscribe', messageId: 1, subscriptions: filters })
    expect(await device.next('disconnect')).toMatchObject({ reasonCode: 0x95 })
    await device.closed
  })
})

describe('an answer whose commit fails', () => {
  it('is acknowledged all the same, and the refusal logged', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    const command = await device.next('publish')
    await rig.engine.idle()
    const commit = rig.store.commit.bind(rig.store)
    rig.store.commit = () => Promise.reject(new Error('the disk is full'))
    device.reply(command, 5)
    expect(await device.next('puback')).toMatchObject({ messageId: 5 })
    rig.store.commit = commit
    expect(rig.logged).toContainEqual(
      expect.objectContaining({
        level: 'warn',
        message: 'input refused',
        fields: expect.objectContaining({ code: errors.internal.code }),
      }),
    )
    // What came to nothing may come again.
    device.reply(command, 6)
    await device.next('puback')
    expect(rig.count('reply settled')).toBe(1)
  })
})

describe('over TLS', () => {
  const files = { cert: SERVER_CERT, key: SERVER_KEY, ca: null }

  it('a device is the same device', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId)
    const client = rig.client('d1', {
      protocol: 'mqtts',
      port: await rig.listenTls(files),
      ca: CA,
      servername: 'localhost',
    })
    client.on('message', (topic, payload) => {
      client.publish(`${topic}_reply`, JSON.stringify({ id: JSON.parse(String(payload)).id, code: 200 }))
    })
    client.on('connect', () => client.subscribe(own('d1', '#')))
    await rig.until('reply settled')
    expect(await rig.state(deviceId, commandId)).toBe(State.succeeded)
  })

  it('noise instead of a handshake is dropped, also while the server stops', async () => {
    const rig = await start()
    const port = await rig.listenTls(files)
    rig.port = port
    const noisy = await rig.raw()
    noisy.send(connectPacket('d1'))
    await noisy.closed
    await rig.until('dropped before login')
    expect(rig.logged).toContainEqual({
      level: 'warn',
      message: 'TLS handshake failed',
      fields: expect.objectContaining({ reason: expect.stringMatching(/\w/), leftOut: 0 }),
    })
    const silent = await rig.raw()
    while (rig.listener.gauges().sockets < 1) await turn()
    await rig.listener.stop()
    await silent.closed
  })

  it('handshakes that fail a hundred times at once cost a few lines in the log', async () => {
    const clock = new ManualClock()
    const rig = await start({ clock })
    rig.port = await rig.listenTls(files)
    const noise = async () => {
      const noisy = await rig.raw()
      noisy.send(connectPacket('d1'))
      await noisy.closed
    }
    await Promise.all(Array.from({ length: 100 }, noise))
    await rig.until('dropped before login', 100)
    const lines = () => rig.logged.filter(({ message }) => message === 'TLS handshake failed')
    expect(lines()).toHaveLength(REFUSALS_LOGGED_PER_S)
    await pass(clock, rig, 1_000)
    await noise()
    await rig.until('dropped before login', 101)
    expect(lines().at(-1)?.fields).toMatchObject({ leftOut: 100 - REFUSALS_LOGGED_PER_S })
  })

  it('does not start with a key that does not fit', async () => {
    const rig = await start()
    await expect(rig.listenTls({ ...files, key: CLIENT_KEY })).rejects.toThrow(/key/)
  })
})

describe('listening', () => {
  it('where somebody listens already is refused', async () => {
    const rig = await start()
    await expect(rig.listener.listen('127.0.0.1', rig.port)).rejects.toThrow('EADDRINUSE')
  })
})

describe('a large answer', () => {
  it('is taken up to the bound of a packet, whatever the chunks', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId, { kind: Kind.invoke, identifier: 'reboot', inputJson: '{}' })
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    const command = await device.next('publish')
    const data = { text: 'x'.repeat(PACKET_MAX_BYTES - 300) }
    device.reply(command, 5, { data })
    await device.next('puback')
    expect((await rig.store.command(deviceId, commandId))?.body.outputJson).toBe(JSON.stringify(data))
    device.reply(command, 6, { data: { text: 'x'.repeat(PACKET_MAX_BYTES) } })
    await device.closed
    expect(rig.count('packet too large')).toBe(1)
  })
})

describe('many answers at once', () => {
  it('are acknowledged in order, though no more than a bounded number wait for their commit', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    const command = await device.next('publish')
    const n = UPLINK_PENDING_MAX * 5
    const replies = Array.from({ length: n }, (_, i) =>
      publishPacket(`${command.topic}_reply`, { id: commandId, code: 200 }, i + 1),
    )
    device.send(...replies)
    for (let i = 1; i <= n; i++) expect((await device.next('puback')).messageId).toBe(i)
    expect(rig.count('reply settled')).toBe(1)
    expect(rig.count('reply late')).toBe(n - 1)
    expect((await rig.store.command(deviceId, commandId))?.command.lateReplies).toBe(n - 1)
  })
})

describe('a device that sends much at once', () => {
  /** Packets of it that were taken in each turn of the loop, until there were `n`. */
  async function takenPerTurn(rig: MqttRig, n: number): Promise<number[]> {
    const counts = [rig.count('foreign topic')]
    while ((counts.at(-1) ?? 0) < n) {
      await turn()
      counts.push(rig.count('foreign topic'))
    }
    return counts.slice(1).map((count, i) => count - (counts[i] ?? 0))
  }
  // The test looks at some instant of each turn, and so may see the parts of two.
  it.each<[string, ManualClock, number]>([
    ['a number of packets', new ManualClock(), 2 * TURN_MAX_PACKETS],
    [
      'a span of time',
      new (class extends ManualClock {
        #read = 0
        override now(): number {
          this.#read += 1
          return super.now() + this.#read
        }
      })(),
      2 * TURN_MAX_MS,
    ],
  ])('gets no more than %s of each turn of the loop, and all of it in order', async (_what, clock, most) => {
    const rig = await start({ clock })
    const device = await rig.rawDevice('d1')
    const n = most * 5
    device.send(...foreign(n))
    const taken = await takenPerTurn(rig, n)
    expect(Math.max(...taken)).toBeLessThanOrEqual(most)
    for (let i = 1; i <= n; i++) expect((await device.next('puback')).messageId).toBe(i)
  })

  it('and then ends is heard to the end', async () => {
    const rig = await start({ clock: new ManualClock() })
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1')
    await device.listen('d1')
    const command = await device.next('publish')
    const answers = times(UPLINK_PENDING_MAX * 3, () =>
      publishPacket(`${command.topic}_reply`, { id: commandId, code: 200 }),
    )
    device.send(...foreign(TURN_MAX_PACKETS * 3), ...answers, { cmd: 'disconnect' })
    device.socket.end()
    await rig.until('client disconnected')
    expect(rig.count('foreign topic')).toBe(TURN_MAX_PACKETS * 3)
    expect(rig.count('reply settled')).toBe(1)
    expect(rig.count('reply late')).toBe(answers.length - 1)
  })

  it.each<[string, (rig: MqttRig) => unknown, number]>([
    ['kicked', async rig => rig.engine.disable(await rig.id('d1'), 'app'), 0x98],
    ['server stopping', rig => rig.listener.stop(), 0x8b],
  ])('is not heard to the end when it is over: %s', async (reason, end, code) => {
    const rig = await start({ clock: new ManualClock() })
    const device = await rig.rawDevice('d1', { protocolVersion: 5 })
    const n = TURN_MAX_PACKETS * 8
    device.send(...foreign(n))
    await rig.until('foreign topic')
    await end(rig)
    await rig.until(reason)
    await device.closed
    const acked = device.heard.filter(({ cmd }) => cmd === 'puback').length
    expect(acked).toBe(rig.count('foreign topic'))
    expect(acked).toBeLessThan(n)
    expect(device.heard.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: code })
  })
})

describe('stopping', () => {
  it('closes every connection, after what was read is committed and acknowledged', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1', { protocolVersion: 5 })
    const older = await rig.rawDevice('d2')
    const waiting = await rig.raw()
    await device.listen('d1')
    const command = await device.next('publish')
    device.reply(command, 50)
    await rig.until('reply settled')
    const stopped = rig.listener.stop()
    expect(await device.next('puback')).toMatchObject({ messageId: 50 })
    expect(await device.next('disconnect')).toMatchObject({ reasonCode: 0x8b })
    await Promise.all([device.closed, older.closed, waiting.closed, stopped])
    expect(await rig.state(deviceId, commandId)).toBe(State.succeeded)
    expect(rig.count('disconnected')).toBe(2)
    expect(rig.listener.gauges()).toEqual({ sockets: 0, devices: 0 })
    await expect(rig.raw()).rejects.toThrow('ECONNREFUSED')
  })

  it('waits for the commit of what was read', async () => {
    const rig = await start()
    const deviceId = await rig.id('d1')
    const commandId = await rig.enqueue(deviceId)
    const device = await rig.rawDevice('d1', { protocolVersion: 5 })
    await device.listen('d1')
    const command = await device.next('publish')
    await rig.engine.idle()
    const held = gate()
    const commit = rig.store.commit.bind(rig.store)
    rig.store.commit = batch => held.pass().then(() => commit(batch))
    device.reply(command, 50)
    await held.reached
    const stopped = rig.listener.stop()
    await turn()
    expect(device.heard).toEqual([])
    held.open()
    expect(await device.next('puback')).toMatchObject({ messageId: 50 })
    expect(await device.next('disconnect')).toMatchObject({ reasonCode: 0x8b })
    await stopped
    expect(await rig.state(deviceId, commandId)).toBe(State.succeeded)
  })

  it('waits for a login that is under way', async () => {
    const held = gate()
    const rig = await start({
      fleet: fleet => ({ ...bound(fleet), model: device => held.pass().then(() => fleet.model(device)) }),
    })
    const device = await rig.raw()
    device.send(connectPacket('d1'))
    await held.reached
    const stopped = rig.listener.stop()
    held.open()
    await stopped
    expect(device.heard).toEqual([])
    expect(rig.engine.isOnline(await rig.id('d1'))).toBe(false)
  })
})
