// A session with several members: sub-devices of a gateway, each ready and silent for itself, in one window; and payloads that are not sent as they
// are: compressed, or encoded by a codec. The session of one device by itself is in mqtt-session.test.ts.

import { gunzipSync, gzipSync } from 'node:zlib'
import type { IPublishPacket, Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { type Downlink, Kind } from '../src/core/command.ts'
import { ACTIVATION_AFTER_MS, DECOMPRESSED_MAX_BYTES, INFLIGHT_MAX } from '../src/core/limits.ts'
import { Session } from '../src/mqtt/session.ts'
import type { Member, SessionTerms, Step } from '../src/mqtt/step.ts'

const T = 1_000_000
const READY_AFTER = 2_000
const keys = (deviceKey: string) => ({ productKey: 'pk', deviceKey })
const GATEWAY = 1
const member = (deviceId: number, over: Partial<Member> = {}): Member => ({
  deviceId,
  keys: keys(deviceId === GATEWAY ? 'gw' : `s${deviceId}`),
  services: null,
  raw: false,
  ...over,
})
const open = (over: Partial<SessionTerms> = {}, own: Partial<Member> = {}) =>
  new Session(
    {
      keys: keys('gw'),
      kind: 'gateway',
      version: 4,
      keepAliveS: 60,
      receiveMaximum: 65_535,
      maximumPacketSize: Number.POSITIVE_INFINITY,
      readyAfterMs: READY_AFTER,
      compression: 'none',
      activation: null,
      mayPublish: () => true,
      ...over,
    },
    member(GATEWAY, own),
    T,
  )

/** A gateway with sub-devices 2 to n, all of them ready at T + READY_AFTER. */
function gateway(subDevices: number, over: Partial<SessionTerms> = {}): Session {
  const session = open(over)
  for (let id = 2; id < 2 + subDevices; id++) session.enter(member(id), T)
  session.tick(T + READY_AFTER)
  return session
}

const NOW = T + 5_000
const commandId = (n: number) => String(3513370000000000000n + BigInt(n))
const command = (n: number, over: Partial<Downlink> = {}): Downlink => ({
  commandId: commandId(n),
  kind: Kind.set,
  identifier: 'Int_value',
  inputJson: String(n),
  session: 7,
  notAfter: T + 60_000,
  ...over,
})
const publish = (topic: string, payload: string | Buffer, messageId = 9): Packet => ({
  cmd: 'publish',
  topic,
  payload: Buffer.from(payload),
  qos: 1,
  messageId,
  dup: false,
  retain: false,
})
const subscribe = (...filters: string[]): Packet => ({
  cmd: 'subscribe',
  messageId: 5,
  subscriptions: filters.map(topic => ({ topic, qos: 1 })),
})
const ping: Packet = { cmd: 'pingreq' }
const publishes = (step: Step | string) =>
  (typeof step === 'string' ? [] : step.packets).filter((packet): packet is IPublishPacket => packet.cmd === 'publish')
const ready = (step: Step) => step.inputs.filter(({ input }) => input.type === 'ready').map(({ deviceId }) => deviceId)
const unsent = (step: Step) =>
  step.inputs.flatMap(({ deviceId, input }) => (input.type === 'unsent' ? [[deviceId, input.reason]] : []))
const puback = (packet: IPublishPacket | undefined): Packet => ({ cmd: 'puback', messageId: packet?.messageId ?? 0 })

describe('a sub-device', () => {
  it('is ready by itself, after its own quiet time', () => {
    const session = open()
    expect(ready(session.tick(T + READY_AFTER))).toEqual([GATEWAY])
    session.enter(member(2), T + 10_000)
    expect(session.presence(2)).toEqual({ ready: false, silent: false })
    expect(session.wakeAt()).toBe(T + 10_000 + READY_AFTER)
    expect(ready(session.tick(T + 10_000 + READY_AFTER))).toEqual([2])
    expect(session.presence(2).ready).toBe(true)
  })

  it('is ready at once when its topics are covered, also by filters of before its login', () => {
    const session = gateway(0)
    session.topology([keys('s2'), keys('s3')], [])
    const set = (id: number) => `/sys/pk/s${id}/thing/service/measurepoint/set`
    const services = (id: number) => `/sys/pk/s${id}/thing/service/+`
    session.receive(subscribe(set(2), services(2)), NOW)
    expect(ready(session.enter(member(2), NOW))).toEqual([2])
    session.enter(member(3), NOW)
    expect(ready(session.receive(subscribe(set(3)), NOW))).toEqual([])
    const step = session.receive(subscribe(services(3)), NOW)
    expect(step.packets[0]).toMatchObject({ cmd: 'suback', granted: [1] })
    expect(ready(step)).toEqual([3])
  })

  it('may be listened to when it is in the topology or logged in, and no other device', () => {
    const session = gateway(1)
    session.topology([keys('member')], [])
    const { packets } = session.receive(
      subscribe('/sys/pk/s2/#', '/sys/pk/member/#', '/sys/pk/other/#', '/sys/pk/+/#', '/sys/other/s2/#'),
      NOW,
    )
    expect(packets[0]).toMatchObject({ granted: [1, 1, 0x80, 0x80, 0x80] })
    session.topology([], [keys('member')])
    expect(session.receive(subscribe('/sys/pk/member/x'), NOW).packets[0]).toMatchObject({ granted: [0x80] })
  })

  it('gets its commands on its own topic, and its answers are its own', () => {
    const session = gateway(2)
    const [sent] = publishes(session.publish(3, command(1), NOW))
    expect(sent?.topic).toBe('/sys/pk/s3/thing/service/measurepoint/set')
    const answer = `{"id":"${commandId(1)}","code":200}`
    const step = session.receive(publish(`${sent?.topic}_reply`, answer), NOW)
    expect(step.inputs).toMatchObject([{ deviceId: 3, input: { type: 'reply', commandId: commandId(1) } }])
  })

  it('that is not here can answer nothing, and what the gateway asks for it is looked at by who answers', () => {
    const session = gateway(1)
    const reply = session.receive(publish('/sys/pk/s9/thing/service/x_reply', `{"id":"${commandId(1)}"}`), NOW)
    expect(reply).toMatchObject({ inputs: [], requests: [], oddities: [{ kind: 'stray answer' }] })
    const request = session.receive(publish('/sys/pk/s9/thing/tag/query', '{"id":"1"}'), NOW)
    expect(request).toMatchObject({ packets: [], requests: [{ keys: keys('s9'), path: 'thing/tag/query' }] })
  })

  it('that left gets nothing more, while the others go on', () => {
    const session = gateway(2)
    session.leave(2, NOW)
    expect(session.presence(2)).toEqual({ ready: false, silent: false })
    expect(session.publish(2, command(1), NOW)).toBe('sessionGone')
    expect(publishes(session.publish(3, command(2), NOW))).toHaveLength(1)
    expect(session.receive(publish('/sys/pk/s2/thing/service/x_reply', '{"id":"1"}'), NOW).inputs).toEqual([])
  })
})

describe('silence', () => {
  it('is told for each member: anything that comes on the connection ends it for all', () => {
    const session = gateway(2)
    session.publish(2, command(1), NOW)
    expect([session.presence(2).silent, session.presence(3).silent]).toEqual([true, false])
    session.publish(3, command(2), NOW)
    session.receive(ping, NOW + 1)
    expect([session.presence(2).silent, session.presence(3).silent]).toEqual([false, false])
  })

  it('makes nobody ready any more, until something comes, which is told for everyone', () => {
    const session = gateway(2)
    session.publish(2, command(1), NOW)
    expect(ready(session.suspect(2))).toEqual([])
    expect([GATEWAY, 2, 3].map(id => session.presence(id).ready)).toEqual([false, false, false])
    expect(ready(session.receive(ping, NOW + 9))).toEqual([GATEWAY, 2, 3])
  })

  it('that was broken while it was being decided lets the member go on', () => {
    const session = gateway(2)
    session.publish(2, command(1), NOW)
    session.receive(ping, NOW + 1)
    expect(ready(session.suspect(2))).toEqual([2])
  })
})

describe('the window of a gateway', () => {
  const full = (over: Partial<SessionTerms> = {}) => {
    const session = gateway(40, over)
    const sent = Array.from({ length: INFLIGHT_MAX }, (_, i) => publishes(session.publish(i + 2, command(i), NOW))[0])
    return { session, sent }
  }

  it('holds what one batch sends beyond it, in order, and writes it with the PUBACKs', () => {
    const { session, sent } = full()
    // The engine decided these in the same batch, when there was room.
    expect(publishes(session.publish(40, command(100), NOW))).toEqual([])
    expect(publishes(session.publish(41, command(101), NOW))).toEqual([])
    const first = session.receive(puback(sent[0]), NOW + 1)
    expect(publishes(first).map(({ topic }) => topic)).toEqual(['/sys/pk/s40/thing/service/measurepoint/set'])
    expect(publishes(session.receive(puback(sent[1]), NOW + 2))[0]?.topic).toContain('/s41/')
  })

  it('has an end in bytes as well, and one command may go out however large it is', () => {
    const session = gateway(10)
    const large = (n: number) => command(n, { inputJson: JSON.stringify('x'.repeat(60_000)) })
    const sent = [2, 3, 4, 5].map(id => publishes(session.publish(id, large(id), NOW)))
    expect(sent.map(each => each.length)).toEqual([1, 1, 0, 0])
    expect(session.presence(6).ready).toBe(false)
    expect(publishes(session.receive(puback(sent[0]![0]), NOW + 1))).toHaveLength(1)
    const huge = open({ kind: 'device' })
    huge.tick(T + READY_AFTER)
    expect(publishes(huge.publish(GATEWAY, command(1, { inputJson: `"${'x'.repeat(200_000)}"` }), NOW))).toHaveLength(1)
  })

  it('that is full makes nobody ready; who was turned away is told when there is room, and nobody else', () => {
    const { session, sent } = full()
    expect(session.presence(39).ready).toBe(false)
    expect(session.presence(40).ready).toBe(false)
    session.publish(41, command(101), NOW)
    expect(ready(session.receive(puback(sent[0]), NOW + 1))).toEqual([])
    expect(ready(session.receive(puback(sent[1]), NOW + 2))).toEqual([39, 40])
    expect(ready(session.receive(puback(sent[2]), NOW + 3))).toEqual([])
  })

  it('gives back what was held too long, and then nothing of it leaves', () => {
    const { session, sent } = full()
    session.publish(40, command(100, { notAfter: NOW + 500 }), NOW)
    session.publish(41, command(101), NOW)
    // After half of its time, so that what leaves late leaves the device a fair part of it.
    expect(session.wakeAt()).toBe(NOW + 250)
    const step = session.tick(NOW + 250)
    expect(unsent(step)).toEqual([[40, 'late']])
    expect(step.inputs[0]).toMatchObject({ input: { commandId: commandId(100), session: 7 } })
    expect(publishes(session.receive(puback(sent[0]), NOW + 600))[0]?.topic).toContain('/s41/')
    // Also where the room comes in the very moment.
    session.publish(39, command(102, { notAfter: NOW + 700 }), NOW + 600)
    const late = session.receive(puback(sent[1]), NOW + 700)
    expect([unsent(late), publishes(late)]).toEqual([[[39, 'late']], []])
  })

  it('gives back what was held for a member that left, and all of it when the connection ends', () => {
    const { session } = full()
    session.publish(40, command(100), NOW)
    session.publish(41, command(101), NOW)
    expect(unsent(session.leave(40, NOW))).toEqual([[40, 'sessionGone']])
    const end = session.close({ reason: 'connection lost', code: null })
    expect(unsent(end)).toEqual([[41, 'sessionGone']])
    expect(session.publish(39, command(102), NOW)).toBe('sessionGone')
  })

  it('is not answered for what it still holds: that is a guess', () => {
    const { session, sent } = full()
    session.publish(40, command(100), NOW)
    const guess = publish('/sys/pk/s40/thing/service/measurepoint/set_reply', `{"id":"${commandId(100)}","code":200}`)
    expect(session.receive(guess, NOW)).toMatchObject({ inputs: [], oddities: [{ kind: 'stray answer' }] })
    session.receive(puback(sent[0]), NOW + 1)
    expect(session.receive(guess, NOW + 2).inputs).toMatchObject([{ deviceId: 40, input: { type: 'reply' } }])
  })

  it('lets out what fits when a member leaves whose command did not', () => {
    const session = gateway(10)
    const large = (n: number) => command(n, { inputJson: JSON.stringify('x'.repeat(60_000)) })
    for (const id of [2, 3]) session.publish(id, large(id), NOW)
    expect(publishes(session.publish(4, large(4), NOW))).toEqual([])
    expect(publishes(session.publish(5, command(5), NOW))).toEqual([])
    expect(publishes(session.leave(4, NOW + 1))[0]?.topic).toContain('/s5/')
    expect(session.presence(6).ready).toBe(true)
  })

  it('lets nothing out on a connection that may be dead, also what was decided before that was known', () => {
    const session = gateway(3)
    session.publish(2, command(1), NOW)
    session.suspect(2)
    expect(publishes(session.publish(3, command(2), NOW))).toEqual([])
    expect(publishes(session.receive(ping, NOW + 9))[0]?.topic).toContain('/s3/')
  })

  it('of a client that never acknowledges is closed', () => {
    const { session } = full()
    session.publish(40, command(100), NOW)
    for (let ms = 0; ms < 90_000; ms += 10_000) {
      session.receive(ping, NOW + ms)
      expect(session.tick(NOW + ms).close).toBeNull()
    }
    expect(session.tick(NOW + 90_000).close?.reason).toBe('command not acknowledged')
  })
})

describe('a product with a format of its own', () => {
  const raw = () => {
    const session = open({ kind: 'device' }, { raw: true })
    session.tick(T + READY_AFTER)
    return session
  }

  it('has its command encoded first, and then published on the raw topic', () => {
    const session = raw()
    const step = session.publish(GATEWAY, command(1), NOW)
    if (typeof step === 'string') throw new Error(step)
    expect(step.packets).toEqual([])
    expect(step.toEncode).toEqual([{ deviceId: GATEWAY, keys: keys('gw'), downlink: command(1) }])
    const [sent] = publishes(session.encoded(GATEWAY, commandId(1), Buffer.from([1, 2, 255]), NOW + 5))
    expect(sent).toMatchObject({ topic: '/sys/pk/gw/thing/model/down_raw', qos: 1, payload: Buffer.from([1, 2, 255]) })
  })

  it('gets nothing that could not be encoded, is too large, or took too long', () => {
    const of = (bytes: Buffer | null, now: number, over = {}) => {
      const session = raw()
      session.publish(GATEWAY, command(1, over), NOW)
      const step = session.encoded(GATEWAY, commandId(1), bytes, now)
      return [unsent(step), publishes(step)]
    }
    expect(of(null, NOW)).toEqual([[[GATEWAY, 'codec']], []])
    expect(of(Buffer.from('x'), NOW + 10, { notAfter: NOW + 10 })).toEqual([[[GATEWAY, 'late']], []])
    const small = open({ kind: 'device', maximumPacketSize: 40 }, { raw: true })
    small.publish(GATEWAY, command(1), NOW)
    expect(unsent(small.encoded(GATEWAY, commandId(1), Buffer.alloc(40), NOW))).toEqual([[GATEWAY, 'tooLarge']])
  })

  it('gives a command back whose codec takes half of its time, and takes what comes of it for the next attempt', () => {
    const session = raw()
    session.publish(GATEWAY, command(1, { notAfter: NOW + 1_000 }), NOW)
    expect(session.wakeAt()).toBe(NOW + 500)
    expect(unsent(session.tick(NOW + 500))).toEqual([[GATEWAY, 'late']])
    expect(publishes(session.encoded(GATEWAY, commandId(1), Buffer.from('x'), NOW + 600))).toEqual([])
    session.publish(GATEWAY, command(1, { notAfter: NOW + 2_000 }), NOW + 700)
    expect(publishes(session.encoded(GATEWAY, commandId(1), Buffer.from('x'), NOW + 800))).toHaveLength(1)
  })

  it('whose connection ends meanwhile gives the command back, and what is encoded then is forgotten', () => {
    const session = raw()
    session.publish(GATEWAY, command(1), NOW)
    expect(unsent(session.close({ reason: 'connection lost', code: null }))).toEqual([[GATEWAY, 'sessionGone']])
    const late = session.encoded(GATEWAY, commandId(1), Buffer.from('x'), NOW)
    expect([late.packets, late.inputs]).toEqual([[], []])
  })

  it('hands answers on, to be decoded', () => {
    const step = raw().receive(publish('/sys/pk/gw/thing/model/down_raw_reply', Buffer.from([1, 0, 200])), NOW)
    expect(step.requests).toMatchObject([{ type: 'rawReply', keys: keys('gw'), payload: Buffer.from([1, 0, 200]) }])
  })

  it('is not what other products have', () => {
    const step = gateway(0).receive(publish('/sys/pk/gw/thing/model/down_raw_reply', 'x'), NOW)
    expect(step).toMatchObject({ requests: [], oddities: [{ kind: 'stray answer' }] })
  })
})

describe('compression', () => {
  const zipped = () => gateway(0, { compression: 'gzip' })

  it('is of every payload in both directions', () => {
    const session = zipped()
    const [sent] = publishes(session.publish(GATEWAY, command(1), NOW))
    expect(JSON.parse(gunzipSync(sent?.payload as Buffer).toString())).toMatchObject({ id: commandId(1) })
    const answer = gzipSync(`{"id":"${commandId(1)}","code":200}`)
    expect(session.receive(publish(`${sent?.topic}_reply`, answer), NOW).inputs).toHaveLength(1)
    session.committed(1, NOW)
    const asked = gzipSync('{"id":"1"}')
    const [request] = session.receive(publish('/sys/pk/gw/thing/tag/query', asked), NOW).requests
    // Until its turn comes it takes no more memory than it came with.
    expect(request?.payload).toEqual(asked)
    const [told] = publishes(session.answered(request?.uplink ?? 0, Buffer.from('{"id":"1","code":200}'), NOW))
    expect(gunzipSync(told?.payload as Buffer).toString()).toBe('{"id":"1","code":200}')
  })

  it('that unfolds to more than may be is garbage, as is what is not compressed', () => {
    const bomb = gzipSync(Buffer.alloc(DECOMPRESSED_MAX_BYTES + 1))
    expect(bomb.length).toBeLessThan(1_000)
    for (const payload of [bomb, Buffer.from('{"id":"1"}'), bomb.subarray(0, 20)]) {
      const step = zipped().receive(publish('/sys/pk/gw/thing/service/x_reply', payload), NOW)
      expect(step).toMatchObject({ inputs: [], oddities: [{ kind: 'garbage reply' }], packets: [{ cmd: 'puback' }] })
    }
  })
})

describe('activation', () => {
  const secret = 'Z5YtZaQpK5IWocakV7zQ'
  const activating = () =>
    open({ kind: 'device', activation: { deviceSecret: secret, assetId: 'a1' } }).tick(T + ACTIVATION_AFTER_MS)

  it('tells the device its secret, first of all, once', () => {
    const session = open({ kind: 'device', activation: { deviceSecret: secret, assetId: 'a1' } })
    expect(session.wakeAt()).toBe(T + ACTIVATION_AFTER_MS)
    const [told, ...more] = publishes(session.tick(T + ACTIVATION_AFTER_MS))
    expect(more).toEqual([])
    expect(told).toMatchObject({ topic: '/ext/session/pk/gw/thing/activate/info', qos: 0, retain: false })
    const text = String(told?.payload)
    expect(JSON.parse(text)).toEqual({
      id: expect.stringMatching(/^\d{7,31}$/),
      version: '1.0',
      method: 'thing.activate.info',
      params: { deviceSecret: secret, assetId: 'a1', productKey: 'pk', deviceKey: 'gw' },
    })
    expect(text).toContain(`"params":{"deviceSecret":"${secret}"`)
    expect(publishes(session.tick(T + 10 * ACTIVATION_AFTER_MS))).toEqual([])
  })

  it('is over when the device says that it has it', () => {
    const session = open({ kind: 'device', activation: { deviceSecret: secret, assetId: 'a1' } })
    const step = session.receive(publish('/ext/session/pk/gw/thing/activate/info_reply', '{"id":"1","code":200}'), NOW)
    expect(step.inputs).toEqual([{ deviceId: GATEWAY, input: { type: 'activated' }, uplink: 1 }])
    expect(session.committed(1, NOW).packets).toMatchObject([{ cmd: 'puback' }])
  })

  it('is not told to who has its secret', () => {
    expect(publishes(activating())).toHaveLength(1)
    expect(publishes(gateway(0).tick(T + ACTIVATION_AFTER_MS))).toEqual([])
  })
})

describe('a notice', () => {
  it('goes to the gateway, one for each device', () => {
    const [told] = publishes(gateway(0).notify('disable', keys('s2'), 1_795_382_330_055))
    expect(told?.topic).toBe('/ext/session/pk/gw/combine/disable')
    expect(JSON.parse(String(told?.payload))).toEqual({
      id: '1795382330055',
      version: '1.0',
      params: { productKey: 'pk', deviceKey: 's2' },
      method: 'combine.disable',
    })
  })
})

describe('a channel', () => {
  const channel = () =>
    new Session(
      {
        keys: keys('integration'),
        kind: 'channel',
        version: 4,
        keepAliveS: 60,
        receiveMaximum: 65_535,
        maximumPacketSize: Number.POSITIVE_INFINITY,
        readyAfterMs: READY_AFTER,
        compression: 'none',
        activation: null,
        mayPublish: () => true,
      },
      null,
      T,
    )

  it('asks on its own topics only, and has no commands', () => {
    const session = channel()
    expect(session.receive(publish('/sys/pk/integration/event/post', '{"id":"1"}'), NOW).requests).toMatchObject([
      { keys: keys('integration'), path: 'event/post' },
    ])
    const foreign = session.receive(publish('/sys/pk/d1/thing/measurepoint/post', '{"id":"1"}'), NOW)
    expect(foreign).toMatchObject({ requests: [], oddities: [{ kind: 'foreign topic' }] })
    expect(session.receive(publish('/sys/pk/d1/thing/service/x_reply', '{"id":"1"}'), NOW).inputs).toEqual([])
    expect(session.wakeAt()).toBe(NOW + 90_000)
  })
})
