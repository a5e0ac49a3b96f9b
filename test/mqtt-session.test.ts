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
import { Session, type SessionTerms, type Step } from '../src/mqtt/session.ts'

const T = 1_000_000
const READY_AFTER = 2_000
const S = '/sys/pk/dk'
const SET = `${S}/thing/service/measurepoint/set`
const SERVICES = `${S}/thing/service/+`

const open = (over: Partial<SessionTerms> = {}) =>
  new Session(
    {
      keys: { productKey: 'pk', deviceKey: 'dk' },
      version: 4,
      keepAliveS: 0,
      receiveMaximum: 65_535,
      maximumPacketSize: Number.POSITIVE_INFINITY,
      services: null,
      readyAfterMs: READY_AFTER,
      ...over,
    },
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
  const step = session.publish(command(n), now)
  if (step === 'tooLarge') throw new Error('too large')
  const [packet] = step.packets
  if (packet === undefined) throw new Error('nothing published')
  return packet
}
const becameReady = (step: Step) => step.inputs.some(({ input }) => input.type === 'ready')
const kinds = (step: Step) =>
  step.packets.map(({ cmd, messageId }) => (messageId === undefined ? cmd : `${cmd} ${messageId}`))

describe('readiness', () => {
  it('comes at once when set and service topics are covered, after the SUBACK', () => {
    const session = open()
    expect(session.presence()).toEqual({ ready: false, silent: false })
    const first = session.receive(subscribe(SET), T + 10)
    expect(becameReady(first)).toBe(false)
    const second = session.receive(subscribe(SERVICES), T + 20)
    expect(second.packets[0]).toMatchObject({ cmd: 'suback', granted: [1] })
    expect(becameReady(second)).toBe(true)
    expect(session.presence().ready).toBe(true)
  })

  it('comes after the quiet time for a device that never subscribes', () => {
    const session = open()
    expect(session.wakeAt()).toBe(T + READY_AFTER)
    expect(becameReady(session.tick(T + READY_AFTER - 1))).toBe(false)
    expect(becameReady(session.tick(T + READY_AFTER))).toBe(true)
    expect(session.presence().ready).toBe(true)
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
    expect(session.presence().ready).toBe(true)
  })

  it('comes with the services of the model by name as well', () => {
    const session = open({ services: ['reboot', 'stop'] })
    expect(becameReady(session.receive(subscribe(SET, `${S}/thing/service/reboot`), T))).toBe(false)
    expect(becameReady(session.receive(subscribe(`${S}/thing/service/stop`), T))).toBe(true)
  })

  it('does not come from filters that were refused', () => {
    const session = open()
    session.receive(subscribe('/sys/+/+/#', '#', `$share/g/${S}/#`), T)
    expect(session.presence().ready).toBe(false)
  })
})

describe('suspicion', () => {
  it('is silent from a command to the next packet of any kind', () => {
    for (const packet of [ping, puback(undefined), subscribe(`${S}/x`), publish('x', 'x')]) {
      const session = ready()
      published(session, 1, T + 10)
      expect(session.presence()).toEqual({ ready: true, silent: true })
      session.receive(packet, T + 20)
      expect(session.presence()).toEqual({ ready: true, silent: false })
    }
  })

  it('makes it not ready until anything comes, which is told to the engine', () => {
    const session = ready()
    published(session, 1, T)
    expect(becameReady(session.suspect())).toBe(false)
    expect(session.presence()).toEqual({ ready: false, silent: true })
    expect(becameReady(session.receive(ping, T + 5_000))).toBe(true)
    expect(session.presence()).toEqual({ ready: true, silent: false })
  })

  it('does not come when something arrived while it was being decided, and the queue goes on', () => {
    const session = ready()
    published(session, 1, T)
    session.receive(ping, T + 5_000)
    expect(becameReady(session.suspect())).toBe(true)
    expect(session.presence().ready).toBe(true)
  })

  it('is closed by keep-alive first where there is one, for silence counts there as well', () => {
    for (const keepAliveS of [2, 60]) {
      const session = ready({ keepAliveS })
      session.receive(ping, T + 100)
      published(session, 1, T + 100)
      session.suspect()
      expect(session.wakeAt()).toBe(T + 100 + keepAliveS * 1_500)
      expect(session.tick(session.wakeAt()).close?.reason).toBe('keep-alive timeout')
    }
  })

  it('closes a half-open connection that has no keep-alive', () => {
    const session = ready({ keepAliveS: 0 })
    published(session, 1, T)
    session.suspect()
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
      expect(session.presence().ready).toBe(true)
      published(session, size, T)
      expect(session.presence().ready).toBe(false)
    }
  })

  it('opens again with a PUBACK, which is told to the engine', () => {
    const session = ready({ receiveMaximum: 1 })
    const first = published(session, 1, T)
    // A device that answers before its PUBACK: the answer is taken, and the queue goes on with the PUBACK.
    const reply = session.receive(replyTo(1), T + 10)
    expect(reply.inputs).toHaveLength(1)
    expect(becameReady(reply)).toBe(false)
    const acked = session.receive(puback(first), T + 20)
    expect(becameReady(acked)).toBe(true)
    expect(session.presence().ready).toBe(true)
    // A second PUBACK, or one for nothing, changes nothing.
    expect(session.receive(puback(first), T + 30)).toEqual({ packets: [], inputs: [], oddities: [], close: null })
  })

  it('lets a device that answers before its PUBACK go on', () => {
    const session = ready()
    for (let n = 1; n <= 10; n++) {
      published(session, n, T + n)
      expect(session.presence().ready).toBe(true)
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
      expect(ready({ version, maximumPacketSize: exact }).publish(command(1), T)).not.toBe('tooLarge')
      const small = ready({ version, maximumPacketSize: exact - 1, receiveMaximum: 1 })
      expect(small.publish(command(1), T)).toBe('tooLarge')
      expect(small.presence()).toEqual({ ready: true, silent: false })
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
      { uplink: 1, input: expect.objectContaining({ type: 'reply', commandId: commandId(1), code: 200 }) },
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
    expect(kinds(session.committed(1, T))).toEqual(['puback 1', 'puback 2', 'puback 3', 'publish', 'puback 4'])
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
    expect(session.presence().silent).toBe(false)
    expect(session.wakeAt()).toBe(Number.POSITIVE_INFINITY)
    expect(session.tick(T + 100_000).close).toBeNull()
    session.committed(1, T + 100_000)
    expect(session.reads).toBe(true)
    expect(session.tick(T + 100_000).close).toBeNull()
    expect(session.wakeAt()).toBe(T + 115_000)
  })
})

describe('a request', () => {
  it('that is not supported yet is answered 501, behind its PUBACK', () => {
    const step = ready().receive(
      publish(`${S}/thing/measurepoint/post`, '{"id":"12","params":{}}', { messageId: 5 }),
      T,
    )
    expect(kinds(step)).toEqual(['puback 5', 'publish'])
    expect(step.packets[1]).toMatchObject({ topic: `${S}/thing/measurepoint/post_reply`, qos: 0 })
    expect(JSON.parse(String((step.packets[1] as IPublishPacket).payload))).toMatchObject({
      id: '12',
      code: 501,
      data: {},
    })
    expect(step).toMatchObject({ inputs: [], close: null, oddities: [{ kind: 'unsupported request' }] })
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
    ['without an id', `${S}/thing/x`, '{}'],
    ['that is no JSON', `${S}/thing/x`, '{"id":"1"'],
    ['foreign, without an id', '/sys/pk/other/x', ''],
    ['foreign, an answer itself', '/sys/pk/other/thing/service/reboot_reply', '{"id":"1"}'],
    ['on a topic too long', `${S}/${'x'.repeat(TOPIC_MAX_CHARS)}`, '{"id":"1"}'],
  ])('%s is not answered', (_what, topic, payload) => {
    const step = ready().receive(publish(topic, payload, { messageId: 5 }), T)
    expect(kinds(step)).toEqual(['puback 5'])
    expect(step).toMatchObject({ inputs: [], close: null })
    expect(step.oddities[0]!.topic.length).toBeLessThanOrEqual(TOPIC_MAX_CHARS)
  })

  it('is answered without a subscription, but not where the device asked not to hear it', () => {
    const session = ready()
    const topic = `${S}/thing/tag/query`
    const ask = () => kinds(session.receive(publish(topic, '{"id":"1"}', { messageId: 5 }), T))
    expect(ask()).toEqual(['puback 5', 'publish'])
    session.receive(unsubscribe(`${topic}_reply`), T)
    expect(ask()).toEqual(['puback 5'])
    session.receive(subscribe(`${topic}_reply`), T)
    expect(ask()).toEqual(['puback 5', 'publish'])
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
    const answered = (topic: string) => kinds(session.receive(publish(topic, '{"id":"1"}', { qos: 0 }), T))
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
    expect(session.presence().ready).toBe(false)
    expect(session.wakeAt()).toBe(Number.POSITIVE_INFINITY)
    expect(session.receive(replyTo(1), T)).toEqual({ packets: [], inputs: [], oddities: [], close: null })
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
