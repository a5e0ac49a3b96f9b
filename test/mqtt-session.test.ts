// The session as a machine, with the time in the test's hand: readiness, suspicion, the window, PUBACKs, keep-alive, and what ends it.

import type { IPublishPacket, Packet } from 'mqtt-packet'
import { describe, expect, it } from 'vitest'
import { type Downlink, Kind } from '../src/core/command.ts'
import {
  INFLIGHT_MAX,
  READY_AT_LATEST_MS,
  SUBSCRIPTIONS_MAX,
  SUBSCRIPTIONS_MAX_CHARS,
  SUSPECT_CLOSE_MIN_MS,
  SUSPECT_CLOSE_NO_KEEPALIVE_MS,
  TOPIC_MAX_CHARS,
  UPLINK_PENDING_MAX,
} from '../src/core/limits.ts'
import { encode } from '../src/mqtt/frame.ts'
import { Session } from '../src/mqtt/session.ts'
import type { Member, SessionTerms, Step } from '../src/mqtt/step.ts'

const T = 1_000_000
const READY_AFTER = 2_000
const S = '/sys/pk/dk'
const SET = `${S}/thing/service/measurepoint/set`
const SERVICES = `${S}/thing/service/+`

/** the connection's own device */
const OWN = 1
const own: Member = { deviceId: OWN, keys: { productKey: 'pk', deviceKey: 'dk' }, services: null, raw: false }

const open = (over: Partial<SessionTerms> = {}, member: Partial<Member> = {}) =>
  new Session(
    {
      keys: own.keys,
      kind: 'device',
      version: 4,
      keepAliveS: 0,
      receiveMaximum: 65_535,
      maximumPacketSize: Number.POSITIVE_INFINITY,
      readyAfterMs: READY_AFTER,
      compression: 'none',
      activation: null,
      mayPublish: () => true,
      ...over,
    },
    { ...own, ...member },
    T,
  )

/** A session that is ready, by covering its command topics at T. */
function ready(over: Partial<SessionTerms> = {}): Session {
  const session = open(over)
  session.receive(subscribe(SET, SERVICES), T)
  return session
}

let nextId = 0
const id = () => (nextId = (nextId % 60_000) + 1)
const subscribe = (...filters: string[]): Packet => ({
  cmd: 'subscribe',
  messageId: id(),
  subscriptions: filters.map(topic => ({ topic, qos: 1 })),
})
const unsubscribe = (...unsubscriptions: string[]): Packet => ({ cmd: 'unsubscribe', messageId: id(), unsubscriptions })
const publish = (topic: string, payload: string, over: Partial<IPublishPacket> = {}): Packet => ({
  cmd: 'publish',
  topic,
  payload: Buffer.from(payload),
  qos: 1,
  messageId: id(),
  dup: false,
  retain: false,
  ...over,
})
const puback = (packet: Packet | undefined): Packet => ({ cmd: 'puback', messageId: packet?.messageId ?? 0 })
const ping: Packet = { cmd: 'pingreq' }

const commandId = (n: number) => String(3513370000000000000n + BigInt(n))
const command = (n: number, over: Partial<Downlink> = {}): Downlink => ({
  commandId: commandId(n),
  kind: Kind.set,
  identifier: 'Int_value',
  inputJson: String(n),
  session: 1,
  notAfter: T + 60_000,
  ...over,
})
const replyTo = (n: number, messageId?: number) =>
  publish(`${SET}_reply`, `{"id":"${commandId(n)}","code":200}`, messageId === undefined ? {} : { messageId })

function published(session: Session, n: number, now: number): Packet {
  const step = session.publish(OWN, command(n), now)
  if (typeof step === 'string') throw new Error(step)
  const [packet] = step.packets
  if (packet === undefined) throw new Error('nothing published')
  return packet
}
const NOTHING = { packets: [], inputs: [], requests: [], toEncode: [], oddities: [], close: null }
const becameReady = (step: Step) => step.inputs.some(({ input }) => input.type === 'ready')
const kinds = (step: Step) =>
  step.packets.map(({ cmd, messageId }) => (messageId === undefined ? cmd : `${cmd} ${messageId}`))

describe('readiness', () => {
  it('comes at once when set and service topics are covered, after the SUBACK', () => {
    const session = open()
    expect(session.presence(OWN)).toEqual({ ready: false, silent: false })
    const first = session.receive(subscribe(SET), T + 10)
    expect(becameReady(first)).toBe(false)
    const second = session.receive(subscribe(SERVICES), T + 20)
    expect(second.packets[0]).toMatchObject({ cmd: 'suback', granted: [1] })
    expect(becameReady(second)).toBe(true)
    expect(session.presence(OWN).ready).toBe(true)
  })

  it('comes after the quiet time for a device that never subscribes', () => {
    const session = open()
    expect(session.wakeAt()).toBe(T + READY_AFTER)
    expect(becameReady(session.tick(T + READY_AFTER - 1))).toBe(false)
    expect(becameReady(session.tick(T + READY_AFTER))).toBe(true)
    expect(session.presence(OWN).ready).toBe(true)
    expect(session.wakeAt()).toBe(Number.POSITIVE_INFINITY)
  })

  it('is put off by each SUBSCRIBE, and by nothing else', () => {
    const session = open()
    session.receive(subscribe(`${S}/thing/event/+/post_reply`), T + 1_500)
    session.receive(ping, T + 1_900)
    expect(session.wakeAt()).toBe(T + 1_500 + READY_AFTER)
    expect(becameReady(session.tick(T + READY_AFTER))).toBe(false)
    expect(becameReady(session.tick(T + 1_500 + READY_AFTER))).toBe(true)
  })

  it('comes at the latest 10 s after the CONNACK, whatever is subscribed still', () => {
    const session = open()
    for (let ms = 500; ms < READY_AT_LATEST_MS; ms += 500) {
      expect(becameReady(session.receive(subscribe(`${S}/t${ms}`), T + ms))).toBe(false)
      expect(becameReady(session.tick(T + ms))).toBe(false)
    }
    expect(session.wakeAt()).toBe(T + READY_AT_LATEST_MS)
    expect(becameReady(session.tick(T + READY_AT_LATEST_MS))).toBe(true)
  })

  it('once there stays, whatever is subscribed or unsubscribed later', () => {
    const session = ready()
    session.receive(subscribe(`${S}/thing/tag/query_reply`), T + 1)
    session.receive(unsubscribe(SET, SERVICES), T + 2)
    expect(session.presence(OWN).ready).toBe(true)
  })

  it('comes with the services of the model by name as well', () => {
    const session = open({}, { services: ['reboot', 'stop'] })
    expect(becameReady(session.receive(subscribe(SET, `${S}/thing/service/reboot`), T))).toBe(false)
    expect(becameReady(session.receive(subscribe(`${S}/thing/service/stop`), T))).toBe(true)
  })

  it('does not come from filters that were refused', () => {
    const session = open()
    session.receive(subscribe('/sys/+/+/#', '#', `$share/g/${S}/#`), T)
    expect(session.presence(OWN).ready).toBe(false)
  })
})

describe('suspicion', () => {
  it('is silent from a command to the next packet of any kind', () => {
    for (const packet of [ping, puback(undefined), subscribe(`${S}/x`), publish('x', 'x')]) {
      const session = ready()
      published(session, 1, T + 10)
      expect(session.presence(OWN)).toEqual({ ready: true, silent: true })
      session.receive(packet, T + 20)
      expect(session.presence(OWN)).toEqual({ ready: true, silent: false })
    }
  })

  it('makes it not ready until anything comes, which is told to the engine', () => {
    const session = ready()
    published(session, 1, T)
    expect(becameReady(session.suspect(OWN))).toBe(false)
    expect(session.presence(OWN)).toEqual({ ready: false, silent: true })
    expect(becameReady(session.receive(ping, T + 5_000))).toBe(true)
    expect(session.presence(OWN)).toEqual({ ready: true, silent: false })
  })

  it('does not come when something arrived while it was being decided, and the queue goes on', () => {
    const session = ready()
    published(session, 1, T)
    session.receive(ping, T + 5_000)
    expect(becameReady(session.suspect(OWN))).toBe(true)
    expect(session.presence(OWN).ready).toBe(true)
  })

  it('is closed by keep-alive first where there is one, for silence counts there as well', () => {
    for (const keepAliveS of [2, 60]) {
      const session = ready({ keepAliveS })
      session.receive(ping, T + 100)
      published(session, 1, T + 100)
      session.suspect(OWN)
      expect(session.wakeAt()).toBe(T + 100 + keepAliveS * 1_500)
      expect(session.tick(session.wakeAt()).close?.reason).toBe('keep-alive timeout')
    }
  })

  it('closes a half-open connection that has no keep-alive', () => {
    const session = ready({ keepAliveS: 0 })
    published(session, 1, T)
    session.suspect(OWN)
    expect(session.tick(T + SUSPECT_CLOSE_NO_KEEPALIVE_MS - 1).close).toBeNull()
    expect(session.tick(T + SUSPECT_CLOSE_NO_KEEPALIVE_MS).close).toEqual({
      reason: 'silent after a command',
      code: 0x8d,
    })
  })

  it('does not close a connection that is only slow', () => {
    const session = ready({ keepAliveS: 0 })
    published(session, 1, T)
    // Not suspect before the command's deadline, which may be later than that.
    expect(session.tick(T + SUSPECT_CLOSE_NO_KEEPALIVE_MS + 1).close).toBeNull()
    expect(session.wakeAt()).toBe(Number.POSITIVE_INFINITY)
  })
})

describe('the window of unacknowledged commands', () => {
  it('is what the client can take, at most 32', () => {
    for (const [receiveMaximum, size] of [
      [1, 1],
      [5, 5],
      [65_535, INFLIGHT_MAX],
    ] as const) {
      const session = ready({ version: 5, receiveMaximum })
      for (let n = 1; n < size; n++) published(session, n, T)
      expect(session.presence(OWN).ready).toBe(true)
      published(session, size, T)
      expect(session.presence(OWN).ready).toBe(false)
    }
  })

  it('opens again with a PUBACK, which is told to the engine', () => {
    const session = ready({ receiveMaximum: 1 })
    const first = published(session, 1, T)
    // A device that answers before its PUBACK: the answer is taken, and the queue goes on with the PUBACK.
    const reply = session.receive(replyTo(1), T + 10)
    expect(reply.inputs).toHaveLength(1)
    expect(becameReady(reply)).toBe(false)
    expect(session.presence(OWN).ready).toBe(false)
    const acked = session.receive(puback(first), T + 20)
    expect(becameReady(acked)).toBe(true)
    expect(session.presence(OWN).ready).toBe(true)
    // A second PUBACK, or one for nothing, changes nothing.
    expect(session.receive(puback(first), T + 30)).toEqual(NOTHING)
  })

  it('lets a device that answers before its PUBACK go on', () => {
    const session = ready()
    for (let n = 1; n <= 10; n++) {
      published(session, n, T + n)
      expect(session.presence(OWN).ready).toBe(true)
      session.receive(replyTo(n), T + n)
    }
  })

  it('that stays full is closed, in silence', () => {
    const session = ready({ receiveMaximum: 1 })
    published(session, 1, T + 5)
    expect(session.wakeAt()).toBe(T + 5 + SUSPECT_CLOSE_NO_KEEPALIVE_MS)
    expect(session.tick(T + 4 + SUSPECT_CLOSE_NO_KEEPALIVE_MS).close).toBeNull()
    expect(session.tick(T + 5 + SUSPECT_CLOSE_NO_KEEPALIVE_MS).close).toEqual({
      reason: 'command not acknowledged',
      code: 0x83,
    })
  })

  it.each([
    [20, 30_000],
    [4, SUSPECT_CLOSE_MIN_MS],
  ])(
    'that stays full is closed, however much a client says that never acknowledges (keep-alive %i s)',
    (keepAliveS, afterMs) => {
      const session = ready({ keepAliveS })
      for (let n = 1; n <= INFLIGHT_MAX; n++) {
        published(session, n, T)
        session.receive(replyTo(n), T)
      }
      for (let ms = 0; ms < afterMs; ms += 2_000) {
        session.receive(ping, T + ms)
        expect(session.tick(T + ms).close).toBeNull()
      }
      expect(session.tick(T + afterMs).close?.reason).toBe('command not acknowledged')
    },
  )

  it('gives each command a packet id of its own', () => {
    const session = ready()
    const held = published(session, 0, T)
    const seen = new Set<number>()
    for (let n = 1; n <= 66_000; n++) {
      const packet = published(session, n, T)
      expect(packet.messageId).not.toBe(held.messageId)
      seen.add(packet.messageId ?? 0)
      session.receive(puback(packet), T)
    }
    expect(Math.min(...seen)).toBeGreaterThan(0)
    expect(seen.size).toBe(65_534)
  })
})

describe('a command', () => {
  it('is a QoS 1 PUBLISH on its topic', () => {
    expect(published(ready(), 1, T)).toEqual({
      cmd: 'publish',
      topic: SET,
      payload: Buffer.from(
        `{"id":"${commandId(1)}","version":"1.0","params":{"Int_value":1},"method":"thing.service.measurepoint.set"}`,
      ),
      qos: 1,
      dup: false,
      retain: false,
      messageId: 1,
    })
  })

  it('larger than the client takes leaves no trace', () => {
    for (const version of [4, 5] as const) {
      const exact = encode(published(ready({ version }), 1, T), version).length
      expect(ready({ version, maximumPacketSize: exact }).publish(OWN, command(1), T)).not.toBe('tooLarge')
      const small = ready({ version, maximumPacketSize: exact - 1, receiveMaximum: 1 })
      expect(small.publish(OWN, command(1), T)).toBe('tooLarge')
      expect(small.presence(OWN)).toEqual({ ready: true, silent: false })
    }
  })
})

describe('a reply', () => {
  it('is an input for the engine, and its PUBACK waits for the commit', () => {
    const session = ready()
    published(session, 1, T)
    const step = session.receive(replyTo(1, 77), T + 1)
    expect(step.packets).toEqual([])
    expect(step.inputs).toEqual([
      {
        deviceId: OWN,
        uplink: 1,
        input: expect.objectContaining({ type: 'reply', commandId: commandId(1), code: 200 }),
      },
    ])
    expect(kinds(session.committed(1, T + 2))).toEqual(['puback 77'])
  })

  it('is acknowledged in the order in which it came, also behind what carries nothing', () => {
    const session = ready()
    session.receive(replyTo(1, 1), T)
    session.receive(replyTo(2, 2), T)
    const request = session.receive(publish(`${S}/thing/measurepoint/post`, '{"id":"9"}', { messageId: 3 }), T)
    const garbage = session.receive(publish(`${SET}_reply`, 'x', { messageId: 4 }), T)
    session.receive(publish(`${SET}_reply`, `{"id":"${commandId(5)}"}`, { messageId: 5 }), T)
    expect([...request.packets, ...garbage.packets]).toEqual([])
    expect(session.pending).toBe(5)
    expect(kinds(session.committed(2, T))).toEqual([])
    expect(kinds(session.committed(1, T))).toEqual(['puback 1', 'puback 2'])
    expect(kinds(session.answered(3, Buffer.from('{}'), T))).toEqual(['puback 3', 'publish', 'puback 4'])
    expect(kinds(session.committed(5, T))).toEqual(['puback 5'])
    expect(session.pending).toBe(0)
  })

  it('of QoS 0 has no PUBACK', () => {
    const session = ready()
    const { inputs } = session.receive(publish(`${SET}_reply`, `{"id":"${commandId(1)}"}`, { qos: 0, messageId: 0 }), T)
    expect(inputs).toHaveLength(1)
    expect(session.committed(1, T).packets).toEqual([])
  })

  it('on the topic of another command of the device counts by its id', () => {
    const { inputs } = ready().receive(publish(`${S}/thing/service/reboot_reply`, `{"id":"${commandId(1)}"}`), T)
    expect(inputs[0]?.input).toMatchObject({ commandId: commandId(1) })
  })

  it.each(['', 'x', '[]', '{"id":"abc"}', '{"code":200}'])(
    'that cannot be read (%s) is acknowledged and nothing else',
    payload => {
      const step = ready().receive(publish(`${SET}_reply`, payload, { messageId: 5 }), T)
      expect(step).toMatchObject({
        inputs: [],
        close: null,
        oddities: [{ kind: 'garbage reply', topic: `${SET}_reply` }],
      })
      expect(kinds(step)).toEqual(['puback 5'])
    },
  )

  it('to what was no command is acknowledged and never answered', () => {
    for (const topic of [`${S}/thing/disable_reply`, '/ext/session/pk/dk/thing/activate/info_reply']) {
      const step = ready().receive(publish(topic, '{"id":"1","code":200}', { messageId: 5 }), T)
      expect(kinds(step)).toEqual(['puback 5'])
      expect(step.oddities[0]?.kind).toBe('stray answer')
    }
  })

  it('stops the reading while too many wait for their commit, and time does not count meanwhile', () => {
    const session = ready({ keepAliveS: 10, receiveMaximum: 1 })
    const window = published(session, 999, T)
    for (let n = 1; n <= UPLINK_PENDING_MAX; n++) {
      expect(session.reads).toBe(true)
      session.receive(replyTo(n), T)
    }
    expect(session.reads).toBe(false)
    // A command goes out meanwhile: that nothing was heard since says nothing about the device.
    session.receive(puback(window), T)
    published(session, 1_000, T)
    expect(session.presence(OWN).silent).toBe(false)
    expect(session.wakeAt()).toBe(Number.POSITIVE_INFINITY)
    expect(session.tick(T + 100_000).close).toBeNull()
    session.committed(1, T + 100_000)
    expect(session.reads).toBe(true)
    expect(session.tick(T + 100_000).close).toBeNull()
    expect(session.wakeAt()).toBe(T + 115_000)
  })
})

describe('a request', () => {
  it('is handed on, and its answer goes out behind its PUBACK, as it is', () => {
    const session = ready()
    const step = session.receive(publish(`${S}/thing/measurepoint/post`, '{"id":"12"}', { messageId: 5 }), T)
    expect(step).toMatchObject({ packets: [], inputs: [], close: null, oddities: [] })
    expect(step.requests).toEqual([
      {
        type: 'request',
        uplink: 1,
        keys: own.keys,
        path: 'thing/measurepoint/post',
        payload: Buffer.from('{"id":"12"}'),
      },
    ])
    const answered = session.answered(1, Buffer.from('{"id":"12","code":200,"data":{}}'), T)
    expect(kinds(answered)).toEqual(['puback 5', 'publish'])
    expect(answered.packets[1]).toMatchObject({
      topic: `${S}/thing/measurepoint/post_reply`,
      qos: 0,
      payload: Buffer.from('{"id":"12","code":200,"data":{}}'),
    })
  })

  it('that nobody answers is acknowledged all the same', () => {
    const session = ready()
    session.receive(publish(`${S}/thing/x`, 'garbage', { messageId: 5 }), T)
    expect(kinds(session.answered(1, null, T))).toEqual(['puback 5'])
  })

  it('on a topic that is not its own is answered 1009, and MQTT 5 says so in the PUBACK as well', () => {
    for (const version of [4, 5] as const) {
      const step = ready({ version }).receive(publish('/sys/pk/other/thing/tag/query', '{"id":7}', { messageId: 5 }), T)
      expect(step.packets[0]).toEqual({ cmd: 'puback', messageId: 5, ...(version === 5 ? { reasonCode: 0x87 } : {}) })
      expect(step.packets[1]).toMatchObject({ topic: '/sys/pk/other/thing/tag/query_reply' })
      expect(JSON.parse(String((step.packets[1] as IPublishPacket).payload))).toMatchObject({ id: 7, code: 1009 })
      expect(step).toMatchObject({ inputs: [], close: null })
    }
  })

  it.each([
    ['without an id', '/sys/pk/other/x', '{}'],
    ['that is no JSON', '/sys/pk/other/x', '{"id":"1"'],
    ['that is empty', '/sys/pk/other/x', ''],
    ['on no topic of any device', '/x/y', '{}'],
    ['that is an answer itself', '/sys/pk/other/thing/service/reboot_reply', '{"id":"1"}'],
    ['on a topic too long', `/sys/pk/other/${'x'.repeat(TOPIC_MAX_CHARS)}`, '{"id":"1"}'],
  ])('foreign, %s, is not answered', (_what, topic, payload) => {
    const step = ready().receive(publish(topic, payload, { messageId: 5 }), T)
    expect(kinds(step)).toEqual(['puback 5'])
    expect(step).toMatchObject({ inputs: [], requests: [], close: null })
    expect(step.oddities[0]!.topic.length).toBeLessThanOrEqual(TOPIC_MAX_CHARS)
  })

  it('is answered without a subscription, but not where the device asked not to hear it, nor on a topic too long', () => {
    const session = ready()
    const ask = (topic: string) => {
      const [request] = session.receive(publish(topic, '{"id":"1"}', { messageId: 5 }), T).requests
      return kinds(session.answered(request?.uplink ?? 0, Buffer.from('{}'), T))
    }
    const topic = `${S}/thing/tag/query`
    expect(ask(topic)).toEqual(['puback 5', 'publish'])
    session.receive(unsubscribe(`${topic}_reply`), T)
    expect(ask(topic)).toEqual(['puback 5'])
    session.receive(subscribe(`${topic}_reply`), T)
    expect(ask(topic)).toEqual(['puback 5', 'publish'])
    expect(ask(`${S}/${'x'.repeat(TOPIC_MAX_CHARS)}`)).toEqual(['puback 5'])
  })
})

describe('subscriptions', () => {
  const granted = (session: Session, ...filters: string[]) => {
    const { packets, close } = session.receive(subscribe(...filters), T)
    expect(close).toBeNull()
    return packets[0] && 'granted' in packets[0] ? packets[0].granted : null
  }
  const mixed = [SET, '/sys/pk/other/#', '#', '/ext/session/pk/dk/#', '$share/g/x', 'a+', '']

  it('are granted filter by filter', () => {
    expect(granted(open(), ...mixed)).toEqual([1, 0x80, 0x80, 1, 0x80, 0x80, 0x80])
    expect(granted(open({ version: 5 }), ...mixed)).toEqual([1, 0x87, 0x87, 1, 0x9e, 0x8f, 0x8f])
  })

  it('get the QoS they ask for, at most 1', () => {
    const subscriptions = ([0, 1, 2] as const).map(qos => ({ topic: `${S}/${qos}`, qos }))
    const { packets } = open().receive({ cmd: 'subscribe', messageId: 3, subscriptions }, T)
    expect(packets).toEqual([{ cmd: 'suback', messageId: 3, granted: [0, 1, 1] }])
  })

  it('are bounded in number', () => {
    const session = open({ version: 5 })
    const filters = Array.from({ length: SUBSCRIPTIONS_MAX }, (_, i) => `${S}/${i}`)
    expect(granted(session, ...filters)).toEqual(filters.map(() => 1))
    expect(granted(session, `${S}/more`, `${S}/1`)).toEqual([0x97, 1])
    session.receive(unsubscribe(`${S}/1`), T)
    expect(granted(session, `${S}/more`)).toEqual([1])
  })

  it.each([
    [4, 0x80],
    [5, 0x97],
  ] as const)('are bounded in length, with those that were given up (MQTT level %i)', (version, refused) => {
    const session = open({ version })
    const long = (i: number) => `${S}/${String(i).padStart(TOPIC_MAX_CHARS - S.length - 1, '0')}`
    const n = SUBSCRIPTIONS_MAX_CHARS / TOPIC_MAX_CHARS
    const filters = Array.from({ length: n }, (_, i) => long(i))
    expect(granted(session, ...filters)).toEqual(filters.map(() => 1))
    expect(granted(session, long(0), long(n), `${S}/x`)).toEqual([1, refused, refused])
    // What it asks not to hear is remembered in the same room, and what it asks to hear again moves back.
    session.receive(unsubscribe(...filters, long(n)), T)
    expect(granted(session, long(n), ...filters)).toEqual([refused, ...filters.map(() => 1)])
  })

  it('that were asked not to be heard are forgotten beyond the bound', () => {
    const session = open()
    const answered = (topic: string) => {
      const [request] = session.receive(publish(topic, '{"id":"1"}', { qos: 0 }), T).requests
      return kinds(session.answered(request?.uplink ?? 0, Buffer.from('{}'), T))
    }
    const long = (i: number) => `${S}/${String(i).padStart(TOPIC_MAX_CHARS - S.length - 7, '0')}`
    for (let i = 0; i <= SUBSCRIPTIONS_MAX_CHARS / TOPIC_MAX_CHARS; i++)
      session.receive(unsubscribe(`${long(i)}_reply`), T)
    expect(answered(long(0))).toEqual([])
    expect(answered(long(SUBSCRIPTIONS_MAX_CHARS / TOPIC_MAX_CHARS))).toEqual(['publish'])
  })

  it('that are refused count once for each packet', () => {
    const { oddities } = open().receive(subscribe(SET, 'first', 'second'), T)
    expect(oddities).toEqual([{ kind: 'refused filter', topic: 'first' }])
  })

  it('end with an UNSUBACK', () => {
    const session = open({ version: 5 })
    granted(session, SET)
    const { packets } = session.receive({ cmd: 'unsubscribe', messageId: 9, unsubscriptions: [SET, SET, 'x'] }, T)
    expect(packets).toEqual([{ cmd: 'unsuback', messageId: 9, granted: [0, 0x11, 0x11] }])
  })
})

describe('keep-alive', () => {
  it('closes after one and a half times without a packet', () => {
    const session = ready({ keepAliveS: 60 })
    session.receive(ping, T + 50_000)
    expect(session.wakeAt()).toBe(T + 140_000)
    expect(session.tick(T + 139_999).close).toBeNull()
    expect(session.tick(T + 140_000).close).toEqual({ reason: 'keep-alive timeout', code: 0x8d })
  })

  it('of 0 never does', () => {
    const session = ready()
    expect(session.wakeAt()).toBe(Number.POSITIVE_INFINITY)
    expect(session.tick(T + 1e9).close).toBeNull()
  })

  it('is answered', () => expect(ready().receive(ping, T).packets).toEqual([{ cmd: 'pingresp' }]))
})

describe('what ends a session', () => {
  const connect: Packet = { cmd: 'connect', clientId: 'c' }
  it.each<[string, Packet, string, number | null]>([
    ['DISCONNECT', { cmd: 'disconnect' }, 'client disconnected', null],
    ['a second CONNECT', connect, 'protocol error', 0x82],
    ['AUTH', { cmd: 'auth', reasonCode: 0x19 }, 'protocol error', 0x82],
    ['CONNACK', { cmd: 'connack', sessionPresent: false, returnCode: 0 }, 'protocol error', 0x82],
    ['SUBACK', { cmd: 'suback', messageId: 1, granted: [0] }, 'protocol error', 0x82],
    ['PINGRESP', { cmd: 'pingresp' }, 'protocol error', 0x82],
    ['PUBREL', { cmd: 'pubrel', messageId: 1 }, 'protocol error', 0x82],
    ['PUBREC', { cmd: 'pubrec', messageId: 1 }, 'protocol error', 0x82],
    ['QoS 2', publish(`${S}/x`, '{}', { qos: 2 }), 'QoS 2', 0x9b],
    ['packet id 0', publish(`${S}/x`, '{}', { messageId: 0 }), 'protocol error', 0x82],
    ['a packet id that is missing', publish(`${S}/x`, '{}', { messageId: -1 }), 'protocol error', 0x82],
    ['an empty topic', publish('', '{}'), 'protocol error', 0x90],
    ['a wildcard in a topic', publish(`${S}/#`, '{}'), 'protocol error', 0x90],
    ['NUL in a topic', publish(`${S}/\0`, '{}'), 'protocol error', 0x90],
    ['a topic alias', publish('', '{}', { properties: { topicAlias: 1 } }), 'protocol error', 0x94],
    ['SUBSCRIBE with packet id 0', { ...subscribe(SET), messageId: 0 }, 'protocol error', 0x82],
    ['SUBSCRIBE without a filter', subscribe(), 'protocol error', 0x82],
    ['UNSUBSCRIBE without a filter', unsubscribe(), 'protocol error', 0x82],
    [
      'a subscription identifier',
      { ...subscribe(SET), properties: { subscriptionIdentifier: 1 } } as Packet,
      'protocol error',
      0xa1,
    ],
  ])('%s', (_what, packet, reason, code) => {
    const session = ready({ version: 5, keepAliveS: 10 })
    const { close, inputs, packets } = session.receive(packet, T)
    expect(close).toMatchObject({ reason, code })
    expect([inputs, packets]).toEqual([[], []])
    // It is over: nothing is read, nothing is due, and it is not ready.
    expect(session.presence(OWN).ready).toBe(false)
    expect(session.wakeAt()).toBe(Number.POSITIVE_INFINITY)
    expect(session.receive(replyTo(1), T)).toEqual(NOTHING)
    expect(session.tick(T + 1e9).close).toBeNull()
    expect(session.close({ reason: 'kicked', code: 0 }).close).toBeNull()
  })

  it('does not include wills, retained messages and repeated packets', () => {
    const session = ready()
    expect(
      session.receive(publish(`${SET}_reply`, `{"id":"${commandId(1)}"}`, { retain: true, dup: true }), T),
    ).toMatchObject({
      close: null,
      inputs: [{ input: { type: 'reply' } }],
    })
  })
})
