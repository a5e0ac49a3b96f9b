// Logins as the vendor's SDKs build them, everything that a CONNECT can have wrong, and what each is answered with.

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { IConnectPacket, Packet } from 'mqtt-packet'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseFleetFile } from '../src/fleet/file.ts'
import { BrokenFleet, Fleet } from '../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../src/fleet/secrets.ts'
import {
  admit,
  type ClientCertificate,
  type Connack,
  type Connect,
  claimedKeys,
  connack,
  isHeldAgainst,
  type Reactivation,
  readConnect,
} from '../src/mqtt/connect.ts'
import { encode } from '../src/mqtt/frame.ts'
import { isPassword, type LoginMode, readLogin } from '../src/mqtt/login.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Store } from '../src/store/store.ts'
import { digestOf, isSign, signMethods, signOf } from '../src/uplink/sign.ts'

/** Reads a login that must be readable. */
function login(clientId: string, username: string) {
  const read = readLogin(clientId, username)
  if (!read.ok) throw new Error(read.reason)
  return read.login
}
const fits = (clientId: string, username: string, secret: string, password: string) =>
  isPassword(login(clientId, username), secret, Buffer.from(password))

describe('the documented example', () => {
  const withMethod = (method: string) => `123456|securemode=2,signmethod=${method},timestamp=1548753362502|`
  const sha256 = 'B99032D49C706F7B27B22AB5CD2DD3C56A31E1BCBBC83BA0A2A6BB3272FBB166'
  const sha1 = '53D00561032C47B8555B768A08FDE176A6F0D267'
  const md5 = 'b040b0189975e6704dbb2c217189fa3b'

  it.each([
    ['sha256', sha256],
    ['Sha256', sha256],
    ['SHA256', sha256],
    ['hmacsha256', sha256],
    ['hmacSha256', sha256],
    ['sha1', sha1],
    ['hmacsha1', sha1],
    ['hmacSha1', sha1],
    ['md5', md5],
    ['hmacmd5', md5],
    ['HmacMD5', md5],
  ])('signed with %s', (method, password) => {
    expect(fits(withMethod(method), 'test&654321', 'abcdefg', password)).toBe(true)
    expect(fits(withMethod(method), 'test&654321', 'abcdefg', password.toLowerCase())).toBe(true)
    expect(fits(withMethod(method), 'test&654321', 'abcdefg', password.toUpperCase())).toBe(true)
    expect(fits(withMethod(method), 'test&654321', 'abcdefG', password)).toBe(false)
  })

  it('is not fooled by anything near it', () => {
    for (const password of ['', sha256.slice(1), `${sha256}0`, sha1, sha256.replace('B', 'C'), ` ${sha256}`]) {
      expect(fits(withMethod('sha256'), 'test&654321', 'abcdefg', password)).toBe(false)
    }
  })
})

describe('a sign', () => {
  const plain = (text: string, method = 'sha256') => createHash(method).update(text).digest('hex')

  it('covers names in their order, values and the secret, whatever order they are given in', () => {
    const expected = plain('a1b2c3s')
    expect(signOf({ c: '3', a: '1', b: '2' }, 's', 'sha256')).toBe(expected)
    expect(signOf({}, 's', 'md5')).toBe(plain('s', 'md5'))
    expect(signOf({ name: 'Pumpe Süd 泵' }, 'gehéim', 'sha1')).toBe(plain('namePumpe Süd 泵gehéim', 'sha1'))
  })

  it('is that of a login over HTTP too', () => {
    const fields = { productKey: 'P1', deviceKey: 'D1', lifetime: '300000', signMethod: 'sha256' }
    const expected = plain('deviceKeyD1lifetime300000productKeyP1signMethodsha256ds')
    expect(signOf(fields, 'ds', 'sha256')).toBe(expected)
    expect(isSign(fields, 'ds', 'sha256', expected.toUpperCase())).toBe(true)
  })

  it.each<[string, object, string]>([
    ['Node', { clientId: 'S1', timestamp: '1795383655330' }, 'sha256'],
    ['Java', { clientId: 'P1.S1.1795383668139', timestamp: '1795383668139' }, 'sha256'],
    ['Python', { clientId: 'P1S11795383687049', timestamp: '1795383687049' }, 'hmacsha256'],
    ['Python in a batch', { clientId: 'login.batch', timestamp: '1795383687.0505488' }, 'hmacsha256'],
    ['C', { clientId: 'P1S1', timestamp: '1795382833169' }, 'Sha256'],
    ['C in topo/add', { clientId: 'P1.S1', timestamp: '1795382823169' }, 'hmacSha256'],
  ])('is that of a sub-device as %s logs it in', (_sdk, said, method) => {
    const { clientId, timestamp } = said as { clientId: string; timestamp: string }
    const expected = plain(`clientId${clientId}deviceKeyS1productKeyP1timestamp${timestamp}ss`)
    const fields = { productKey: 'P1', deviceKey: 'S1', clientId, timestamp }
    expect(isSign(fields, 'ss', digestOf(method)!, expected)).toBe(true)
    expect(isSign({ ...fields, timestamp: '1' }, 'ss', digestOf(method)!, expected)).toBe(false)
    expect(isSign(fields, 'sS', digestOf(method)!, expected)).toBe(false)
  })

  it('is compared whole, as text or as bytes, and by no character that only looks like it', () => {
    const sign = signOf({ a: '1' }, 's', 'sha256')
    // Above them by 256 stand small letters; above the others capitals, of which lower case makes something else.
    const digit = sign.search(/[ace]/)
    const lookalike = `${sign.slice(0, digit)}${String.fromCharCode(sign.charCodeAt(digit) + 0x100)}${sign.slice(digit + 1)}`
    for (const wrong of ['', sign.slice(0, -1), `${sign}0`, `${sign}\0`, lookalike, plain('a1S')]) {
      expect(isSign({ a: '1' }, 's', 'sha256', wrong)).toBe(false)
      expect(isSign({ a: '1' }, 's', 'sha256', Buffer.from(wrong))).toBe(false)
    }
    expect(isSign({ a: '1' }, 's', 'sha256', Buffer.from(sign.toUpperCase()))).toBe(true)
  })

  it('has methods that are known by name, and no others', () => {
    expect(signMethods).toEqual(['sha256', 'hmacsha256', 'sha1', 'hmacsha1', 'md5', 'hmacmd5'])
    expect(signMethods.map(digestOf)).toEqual(['sha256', 'sha256', 'sha1', 'sha1', 'md5', 'md5'])
    for (const none of ['', 'sha512', 'sha-256', 'constructor', '__proto__']) expect(digestOf(none)).toBeNull()
  })
})

describe('the logins of the SDKs', () => {
  interface Case {
    readonly who: string
    /** before the last group, and so what is signed */
    readonly signed: string
    readonly parameters: string
    readonly timestamp: string
    readonly username?: string
    readonly digest?: 'sha256' | 'sha1' | 'md5'
    readonly isUpper?: boolean
    readonly mode?: LoginMode
    readonly compression?: 'gzip'
  }
  const java = 'securemode=2,signmethod=sha256,timestamp=1795383011254'
  const javaCase = (who: string, signed: string, over: Partial<Case> = {}): Case => ({
    who: `Java ${who}`,
    signed,
    parameters: java,
    timestamp: '1795383011254',
    ...over,
  })
  const channel = { mode: 'channel', username: '%channel%&P1' } as const
  const cases: Case[] = [
    {
      who: 'Node',
      signed: 'D1',
      parameters: 'securemode=2,signmethod=sha256,timestamp=1795382330055',
      timestamp: '1795382330055',
      isUpper: true,
    },
    {
      who: 'Node, to be activated',
      signed: 'D1',
      parameters: 'securemode=3,signmethod=sha256,timestamp=1795382330055',
      timestamp: '1795382330055',
      isUpper: true,
      mode: 'activation',
    },
    javaCase('on IPv4', 'D1{ip=127.0.0.1,version=enos-mqtt-2.3,compress=DEFAULT}'),
    javaCase('on IPv6 with its zone', 'D1{ip=fe80:0:0:0:42:acff:fe11:2%eth0,compress=DEFAULT}'),
    javaCase('without address and compression', 'D1{version=enos-mqtt-2.3}'),
    javaCase('with nothing to say', 'P1.D1{}'),
    javaCase('with empty compression', 'D1{compress=}'),
    javaCase('compressing', 'D1{ip=fe80::1%eth0,version=enos-mqtt-2.3,compress=GZIP}', { compression: 'gzip' }),
    javaCase('compressing, with blanks', 'D1{ version = 2 , compress = gzip }', { compression: 'gzip' }),
    javaCase('of before 2.0', 'D1', {
      parameters: 'securemode=2,signmethod=hmacsha1,timestamp=1795383011254',
      digest: 'sha1',
      isUpper: true,
    }),
    javaCase('to be activated', 'D1{compress=DEFAULT}', {
      parameters: java.replace('=2', '=3'),
      mode: 'activation',
    }),
    javaCase('as a channel', 'P1', { parameters: java.replace('=2', '=4'), ...channel }),
    javaCase('as a channel that compresses', 'P1{ip=10.0.0.1,compress=GZIP}', {
      parameters: java.replace('=2', '=4'),
      compression: 'gzip',
      ...channel,
    }),
    {
      who: 'Python, whose timestamp has a fraction',
      signed: 'D1',
      parameters: 'securemode=2,signmethod=hmacsha256,timestamp=1795383011254.5889',
      timestamp: '1795383011254.5889',
    },
    {
      who: 'Python, to be activated',
      signed: 'D1',
      parameters: 'securemode=3,signmethod=hmacsha256,timestamp=1795383011254.5889',
      timestamp: '1795383011254.5889',
      mode: 'activation',
    },
    {
      who: 'Python as a channel',
      signed: 'P1',
      parameters: 'securemode=4,signmethod=hmacsha256,timestamp=1795383011254.5889',
      timestamp: '1795383011254.5889',
      ...channel,
    },
    {
      who: 'C, whose timestamp never changes',
      signed: 'P1.D1',
      parameters: 'securemode=2,signmethod=sha256,timestamp=2524608000000',
      timestamp: '2524608000000',
      isUpper: true,
    },
    {
      who: 'C, to be activated',
      signed: 'P1.D1',
      parameters: 'securemode=3,signmethod=sha256,timestamp=2524608000000',
      timestamp: '2524608000000',
      isUpper: true,
      mode: 'activation',
    },
    {
      who: 'the documentation, with blanks and in another order',
      signed: 'x y ',
      parameters: ' timestamp = 5 , securemode=2, signmethod = SHA1 ',
      timestamp: '5',
      digest: 'sha1',
    },
    {
      who: 'bars in the client id',
      signed: 'a|b',
      parameters: 'securemode=2,signmethod=md5,timestamp=1',
      timestamp: '1',
      digest: 'md5',
    },
    {
      who: 'an empty client id',
      signed: '',
      parameters: 'securemode=2,signmethod=md5,timestamp=1',
      timestamp: '1',
      digest: 'md5',
    },
    { who: 'braces that are not at the end', signed: 'a{compress=LZ4}b', parameters: java, timestamp: '1795383011254' },
  ]

  it.each(cases)('$who', ({ who: _, signed, parameters, timestamp, ...said }) => {
    const { username = 'D1&P1', digest = 'sha256', isUpper = false, mode = 'device', compression = 'none' } = said
    const id = `${signed}|${parameters}|`
    const [deviceKey, productKey] = username.split('&')
    expect(login(id, username)).toEqual({
      mode,
      clientId: signed,
      deviceKey,
      productKey,
      digest,
      timestamp,
      compression,
    })
    const text = `clientId${signed}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}the secret`
    const password = createHash(digest).update(text).digest('hex')
    expect(fits(id, username, 'the secret', isUpper ? password.toUpperCase() : password)).toBe(true)
    expect(fits(id, username, 'another secret', password)).toBe(false)
    // Blanks at the very end are none of it.
    expect(fits(`${id} `, username, 'the secret', password)).toBe(true)
  })

  it('differ in nothing else than what is signed', () => {
    const password = createHash('sha256').update('clientIdcdeviceKeyD1productKeyP1timestamp1ds').digest('hex')
    const id = (signed: string, timestamp = '1', mode = '2') =>
      `${signed}|securemode=${mode},signmethod=sha256,timestamp=${timestamp}|`
    expect(fits(id('c'), 'D1&P1', 'ds', password)).toBe(true)
    expect(fits(id('C'), 'D1&P1', 'ds', password)).toBe(false)
    expect(fits(id('c', '1.0'), 'D1&P1', 'ds', password)).toBe(false)
    expect(fits(id('c'), 'd1&P1', 'ds', password)).toBe(false)
    expect(fits(id('c'), 'D1&p1', 'ds', password)).toBe(false)
  })
})

describe('a login that cannot be read', () => {
  const good = 'c|securemode=2,signmethod=sha256,timestamp=1|'

  it.each([
    ['', 'clientId'],
    ['|', 'clientId'],
    ['||', 'clientId'],
    ['mqttjs_1234', 'clientId'],
    ['c|securemode=2,signmethod=sha256,timestamp=1', 'clientId'],
    ['securemode=2,signmethod=sha256,timestamp=1|', 'clientId'],
    ['c|securemode=2,signmethod=sha512,timestamp=1|', 'clientId'],
    ['c|securemode=2,signmethod=__proto__,timestamp=1|', 'clientId'],
    ['c|securemode=2,timestamp=1|', 'clientId'],
    ['c|securemode=2,signmethod=sha256|', 'clientId'],
    ['c|securemode=2,signmethod=sha256,timestamp=|', 'clientId'],
    ['c|signmethod=sha256,timestamp=1|', 'clientId'],
    ['c|securemode=9,signmethod=sha256,timestamp=1|', 'clientId'],
    ['c|securemode=02,signmethod=sha256,timestamp=1|', 'clientId'],
    ['c|securemode=__proto__,signmethod=sha256,timestamp=1|', 'clientId'],
    ['c|securemode=2,securemode=2,signmethod=sha256,timestamp=1|', 'clientId'],
    ['c|securemode=2,SecureMode=3,signmethod=sha256,timestamp=1|', 'clientId'],
    ['GW{ip=1.2.3.4,compress=LZO}|securemode=2,signmethod=sha256,timestamp=1|', 'mode'],
    ['GW{compress=lz4}|securemode=3,signmethod=sha256,timestamp=1|', 'mode'],
    ['GW{compress=SNAPPY}|securemode=2,signmethod=sha256,timestamp=1|', 'mode'],
    ['GW{compress=GZIP,compress=LZ4}|securemode=2,signmethod=sha256,timestamp=1|', 'mode'],
    ['GW{compress=DEFAULT,compress=GZIP}|securemode=2,signmethod=sha256,timestamp=1|', 'mode'],
  ])('client id %s', (clientId, fault) => {
    expect(readLogin(clientId, 'd&p')).toMatchObject({ ok: false, fault })
  })

  it.each([undefined, '', 'd', 'd&', '&p', 'd&p&x', 'd p&p', 'd/&p', `${'d'.repeat(65)}&p`, 'ü&p', '%channel%&p'])(
    'username %s',
    username => {
      expect(readLogin(good, username)).toMatchObject({ ok: false, fault: 'username' })
      expect(readLogin(good.replace('=2', '=3'), username)).toMatchObject({ ok: false, fault: 'username' })
    },
  )

  it.each(['d&p', '%channel%', '%channel%&', '%channel%&p&x', '%CHANNEL%&p', '%channel%&p/q', 'p&%channel%'])(
    'username %s of a channel',
    username => {
      const read = readLogin(good.replace('=2', '=4'), username)
      expect(read).toMatchObject({ ok: false, fault: 'username', reason: expect.stringContaining('%channel%&') })
    },
  )

  it('says what to send instead, and nothing that was sent', () => {
    const lz4 = readLogin('hush{compress=LZ4}|securemode=2,signmethod=sha256,timestamp=1|', 'd&p')
    expect(lz4).toMatchObject({ reason: expect.stringMatching(/GZIP.*DEFAULT/) })
    for (const mode of ['2', '3', '4']) {
      const id = `hush|securemode=${mode},signmethod=sha256,timestamp=1|`
      const virtual = readLogin(id, 'o1&%VIRT_GATEWAY%')
      expect(virtual).toMatchObject({
        fault: 'mode',
        reason: expect.stringMatching(/virtual gateways.*gateway device/),
      })
      expect(JSON.stringify([lz4, virtual, readLogin(id, 'hush')])).not.toContain('hush')
    }
    const mode = readLogin('hush|securemode=hush,signmethod=sha256,timestamp=1|', 'd&p')
    expect(mode).toMatchObject({ reason: expect.stringMatching(/2 .*3 .*4 /) })
    expect(JSON.stringify(mode)).not.toContain('hush')
  })

  it('never throws', () => {
    const part = fc.constantFrom(
      '|',
      ',',
      '=',
      '{',
      '}',
      'securemode',
      '2',
      '4',
      'signmethod',
      'sha256',
      'timestamp',
      'compress',
      'GZIP',
      ' ',
      'x',
    )
    const name = fc.oneof(fc.string(), fc.constantFrom('%channel%&p', 'd&p', 'o&%VIRT_GATEWAY%'))
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), name, (parts, username) => {
        const read = readLogin(parts.join(''), username)
        expect(typeof read.ok).toBe('boolean')
      }),
    )
  })
})

const fleetText = `organizations:
  - orgId: o1
    models:
      - modelId: m1
        services: { reboot: { name: {defaultValue: reboot} }, stop: { name: {defaultValue: stop} } }
    products:
      - { productKey: plain, productSecret: ps }
      - { productKey: modelled, productSecret: ps, modelId: m1 }
      - { productKey: guarded, productSecret: ps, biDirectionalAuth: true, dynamicActivateEnabled: true }
      - { productKey: gw, productSecret: ps, productType: Gateway }
      - { productKey: young, productSecret: ps, dynamicActivateEnabled: true, dataFormat: Custom }
    devices:
      - { assetId: a1, productKey: plain, deviceKey: d1, deviceSecret: ds }
      - { assetId: a2, productKey: modelled, deviceKey: d1, deviceSecret: ds }
      - { assetId: a3, productKey: guarded, deviceKey: d1, deviceSecret: ds }
      - { assetId: a4, productKey: plain, deviceKey: off, deviceSecret: ds, disabled: true }
      - { assetId: a5, productKey: gw, deviceKey: g, deviceSecret: ds }
      - { assetId: a6, productKey: plain, deviceKey: sub, deviceSecret: ds, gateway: a5 }
      - { assetId: a7, productKey: guarded, deviceKey: d2, deviceSecret: ds, certificateSerial: "00:4A:01:F3" }
      - { assetId: a8, productKey: young, deviceKey: d1, deviceSecret: ds-of-its-own }
      - { assetId: a9, productKey: young, deviceKey: sub, deviceSecret: ds, gateway: a5 }
      - { assetId: a10, productKey: young, deviceKey: off, deviceSecret: ds, disabled: true }
`

describe('a CONNECT', () => {
  const bytes = (over: object = {}, version: 4 | 5 = 4) =>
    encode(
      { cmd: 'connect', protocolVersion: version, clientId: 'c', keepalive: 60, clean: true, ...over } as Packet,
      version,
    )
  /** the same with one byte changed; byte 8 of a short CONNECT is the level, byte 9 its flags */
  const changed = (at: number, to: number) => {
    const buffer = Buffer.from(bytes())
    buffer[at] = to
    return buffer
  }

  it('that keeps to the standard is read', () => {
    expect(readConnect(bytes())).toMatchObject({
      type: 'connect',
      version: 4,
      receiveMaximum: 65_535,
      maximumPacketSize: Number.POSITIVE_INFINITY,
    })
    const properties = { receiveMaximum: 1, maximumPacketSize: 200 }
    expect(readConnect(bytes({ properties }, 5))).toMatchObject({ type: 'connect', version: 5, ...properties })
    expect(readConnect(bytes({ will: { topic: 't', payload: 'p', qos: 2, retain: true } }))).toMatchObject({
      type: 'connect',
    })
  })

  it('of a version that is not spoken is answered', () => {
    const refused = { type: 'refused', version: 4, connack: 'protocolVersion' }
    expect(readConnect(bytes({ protocolId: 'MQIsdp', protocolVersion: 3 }))).toMatchObject(refused)
    for (const level of [0, 3, 6, 77, 0x84]) expect(readConnect(changed(8, level))).toMatchObject(refused)
  })

  it.each<[string, Buffer]>([
    ['another packet', encode({ cmd: 'pingreq' }, 4)],
    ['another protocol', changed(7, 'X'.charCodeAt(0))],
    ['nothing in it', Buffer.from([0x10, 0])],
    ['flags in its header', changed(0, 0x11)],
    ['the reserved flag', changed(9, 0x03)],
    ['will QoS without a will', changed(9, 0x0a)],
    ['will retain without a will', changed(9, 0x22)],
    [
      'will QoS 3',
      (() => {
        const buffer = Buffer.from(bytes({ will: { topic: 't', payload: 'p', qos: 2 } }))
        buffer[9] = (buffer[9] ?? 0) | 0x18
        return buffer
      })(),
    ],
    ['a user name that is not there', changed(9, 0x82)],
    ['Receive Maximum 0', bytes({ properties: { receiveMaximum: 0 } }, 5)],
    ['Maximum Packet Size 0', bytes({ properties: { maximumPacketSize: 0 } }, 5)],
    ['Receive Maximum twice', bytes({ properties: { receiveMaximum: [5, 6] } }, 5)],
  ])('with %s is dropped', (_what, buffer) => expect(readConnect(buffer)).toMatchObject({ type: 'dropped' }))

  it('with an authentication method is refused', () => {
    expect(readConnect(bytes({ properties: { authenticationMethod: 'SCRAM' } }, 5))).toMatchObject({
      type: 'refused',
      version: 5,
      connack: 'authMethod',
    })
  })
})

describe('who may come in', () => {
  let store: Store
  let fleet: Fleet
  beforeEach(async () => {
    store = openMemory()
    fleet = new Fleet(store, new Secrets(randomKey()))
    const parsed = parseFleetFile(fleetText, 'fleet.yaml')
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
    await fleet.apply(parsed.file, 1)
  })
  afterEach(() => store.close())

  interface Asked {
    readonly mode?: 2 | 3 | 4
    readonly secret?: string
    readonly packet?: Partial<IConnectPacket>
    readonly version?: 4 | 5
    readonly certificate?: ClientCertificate | null
    readonly reactivation?: Reactivation
  }
  const connectOf = (productKey: string, deviceKey: string, { mode = 2, ...asked }: Asked): Connect => {
    const { secret = mode === 2 ? 'ds' : 'ps', version = 4 } = asked
    const text = `clientIdcdeviceKey${deviceKey}productKey${productKey}timestamp1${secret}`
    const packet: IConnectPacket = {
      cmd: 'connect',
      clientId: `c|securemode=${mode},signmethod=sha256,timestamp=1|`,
      username: `${deviceKey}&${productKey}`,
      password: Buffer.from(createHash('sha256').update(text).digest('hex')),
      ...asked.packet,
    }
    return { type: 'connect', version, packet, receiveMaximum: 1, maximumPacketSize: 1 }
  }
  const ask = (productKey: string, deviceKey: string, asked: Asked = {}) => {
    const { certificate = null, reactivation = 'strict' } = asked
    return admit(connectOf(productKey, deviceKey, asked), fleet, certificate, reactivation)
  }
  /** Gives a device what its first session gives it. */
  const activate = async (productKey: string, deviceKey: string): Promise<void> => {
    const { id } = (await store.deviceByKeys(productKey, deviceKey))!
    const [queue] = await store.load([{ deviceId: id, commandIds: [] }])
    const change = { queue: { ...queue!, activeAt: 5 }, inserts: [], updates: [], outcomes: [], events: [] }
    expect(await store.commit({ node: 0, lastCommandId: null, now: 5, changes: [change] })).toEqual([])
  }
  const wrong = Buffer.from('0'.repeat(64))

  describe('with the device secret', () => {
    it('a device with the right password, with the services of its model', async () => {
      expect(await ask('plain', 'd1')).toMatchObject({
        type: 'admitted',
        mode: 'device',
        device: { assetId: 'a1' },
        productKey: 'plain',
        services: null,
        compression: 'none',
        codec: false,
        secret: null,
        isGateway: false,
        members: [],
      })
      expect(await ask('modelled', 'd1')).toMatchObject({ type: 'admitted', services: ['reboot', 'stop'] })
    })

    it('a gateway with its topology, and nobody else with anybody', async () => {
      const gateway = await ask('gw', 'g')
      expect(gateway).toMatchObject({ type: 'admitted', isGateway: true })
      expect(gateway.type === 'admitted' && gateway.members.map(({ assetId }) => assetId)).toEqual(['a6', 'a9'])
    })

    it('a device whose product has a format of its own', async () => {
      expect(await ask('young', 'd1', { secret: 'ds-of-its-own' })).toMatchObject({ type: 'admitted', codec: true })
    })

    it('a device that compresses', async () => {
      const signed = 'c{compress=GZIP}'
      const text = `clientId${signed}deviceKeyd1productKeyplaintimestamp1ds`
      const packet = {
        clientId: `${signed}|securemode=2,signmethod=sha256,timestamp=1|`,
        password: Buffer.from(createHash('sha256').update(text).digest('hex')),
      }
      expect(await ask('plain', 'd1', { packet })).toMatchObject({ type: 'admitted', compression: 'gzip' })
    })

    it.each<[string, string, string, Asked, Connack, RegExp]>([
      ['a wrong password', 'plain', 'd1', { packet: { password: wrong } }, 'credentials', /device secret/],
      ['an empty password', 'plain', 'd1', { packet: { password: Buffer.alloc(0) } }, 'credentials', /device secret/],
      ["the product's secret", 'plain', 'd1', { secret: 'ps' }, 'credentials', /device secret/],
      ['no user name', 'plain', 'd1', { packet: { username: '' } }, 'credentials', /username/],
      ['an unreadable client id', 'plain', 'd1', { packet: { clientId: 'c' } }, 'clientId', /securemode=2/],
      ['an unknown device', 'plain', 'nobody', {}, 'notAuthorized', /there is no device nobody&plain/],
      ['an unknown product', 'nothing', 'd1', {}, 'notAuthorized', /there is no device d1&nothing/],
      ['a disabled device', 'plain', 'off', {}, 'notAuthorized', /disabled/],
      ['a device behind a gateway', 'plain', 'sub', {}, 'notAuthorized', /behind a gateway/],
      ['a virtual gateway', '%VIRT_GATEWAY%', 'o1', { secret: '*' }, 'notAuthorized', /virtual gateway/],
    ])('not with %s', async (_what, productKey, deviceKey, asked, code, reason) => {
      const answer = await ask(productKey, deviceKey, asked)
      expect(answer).toEqual({ type: 'refused', version: 4, connack: code, reason: expect.stringMatching(reason) })
    })

    it('not without a password', async () => {
      const { packet, ...rest } = connectOf('plain', 'd1', { version: 5 })
      const { password: _, ...bare } = packet
      const answer = await admit({ ...rest, packet: bare }, fleet, null, 'strict')
      expect(answer).toMatchObject({ type: 'refused', version: 5, connack: 'credentials' })
    })
  })

  describe('with the product secret, to be activated', () => {
    const asked = { mode: 3 } as const

    it('a device that is not active, which is told its own secret', async () => {
      expect(await ask('young', 'd1', asked)).toMatchObject({
        type: 'admitted',
        mode: 'activation',
        device: { assetId: 'a8', activeAt: null },
        productKey: 'young',
        secret: 'ds-of-its-own',
        codec: true,
      })
      // It has not said yet that it got it.
      expect(await ask('young', 'd1', asked)).toMatchObject({ type: 'admitted' })
    })

    it.each<[string, string, string, Asked, Connack, RegExp]>([
      ['a product that does not allow it', 'plain', 'd1', asked, 'notAuthorized', /dynamic activation.*securemode 2/],
      [
        'the secret of the device',
        'young',
        'd1',
        { mode: 3, secret: 'ds-of-its-own' },
        'credentials',
        /product secret/,
      ],
      ['a wrong password', 'young', 'd1', { mode: 3, packet: { password: wrong } }, 'credentials', /product secret/],
      ['an unknown device', 'young', 'nobody', asked, 'notAuthorized', /there is no device/],
      ['a disabled device', 'young', 'off', asked, 'notAuthorized', /disabled/],
      ['a device behind a gateway', 'young', 'sub', asked, 'notAuthorized', /behind a gateway/],
    ])('not with %s', async (_what, productKey, deviceKey, how, code, reason) => {
      const answer = await ask(productKey, deviceKey, how)
      expect(answer).toEqual({ type: 'refused', version: 4, connack: code, reason: expect.stringMatching(reason) })
    })

    it('an active device only if that is allowed', async () => {
      await activate('young', 'd1')
      expect(await ask('young', 'd1', asked)).toMatchObject({
        connack: 'notAuthorized',
        reason: expect.stringMatching(/activated already: log in with the device secret/),
      })
      const again = await ask('young', 'd1', { ...asked, reactivation: 'lenient' })
      expect(again).toMatchObject({ type: 'admitted', device: { activeAt: 5 }, secret: 'ds-of-its-own' })
      // What the product says is not overruled by it, nor does it keep anybody from its own secret.
      await activate('plain', 'd1')
      expect(await ask('plain', 'd1', { ...asked, reactivation: 'lenient' })).toMatchObject({ type: 'refused' })
      expect(await ask('plain', 'd1')).toMatchObject({ type: 'admitted', secret: null })
    })
  })

  describe('as a channel', () => {
    const asked = { mode: 4 } as const

    it('of a product, and nobody else', async () => {
      expect(await ask('young', '%channel%', asked)).toEqual({
        type: 'admitted',
        mode: 'channel',
        device: null,
        productKey: 'young',
        services: null,
        compression: 'none',
        codec: true,
        secret: null,
        isGateway: false,
        members: [],
      })
      // It does not become its product's devices, be they gateways.
      expect(await ask('gw', '%channel%', asked)).toMatchObject({ device: null, isGateway: false, members: [] })
    })

    it.each<[string, string, string, Asked, Connack, RegExp]>([
      ['an unknown product', 'nothing', '%channel%', asked, 'notAuthorized', /there is no product nothing/],
      ['a wrong password', 'young', '%channel%', { mode: 4, secret: 'ds' }, 'credentials', /product secret/],
      ['the name of a device', 'young', 'd1', asked, 'credentials', /%channel%&/],
      ['the secure mode of a device', 'young', '%channel%', { mode: 3 }, 'credentials', /securemode 4/],
    ])('not with %s', async (_what, productKey, deviceKey, how, code, reason) => {
      const answer = await ask(productKey, deviceKey, how)
      expect(answer).toEqual({ type: 'refused', version: 4, connack: code, reason: expect.stringMatching(reason) })
    })

    it('does not open with the password of a device, nor the other way', async () => {
      const device = connectOf('young', 'd1', { mode: 3 })
      const channel = connectOf('young', '%channel%', { mode: 4 })
      const swapped = (a: Connect, b: Connect): Connect => ({
        ...a,
        packet: { ...a.packet, password: b.packet.password! },
      })
      expect(await admit(swapped(channel, device), fleet, null, 'strict')).toMatchObject({ connack: 'credentials' })
      expect(await admit(swapped(device, channel), fleet, null, 'strict')).toMatchObject({ connack: 'credentials' })
    })
  })

  describe('where the product wants a certificate', () => {
    const good = { verified: true, fault: null, serial: 'ABCDEF' } as const
    const named = (...names: string[]): ClientCertificate => ({ ...good, names })
    const faulty = (fault: string): ClientCertificate => ({ verified: false, fault, serial: 'ABCDEF', names: ['d1'] })
    const bySerial = (serial: string, ...names: string[]): ClientCertificate => ({ ...good, serial, names })

    it.each<[string, string, ClientCertificate]>([
      ['is named after its deviceKey', 'd1', named('d1')],
      ['is named after its asset', 'd1', named('a3')],
      ['has another name besides', 'd1', named('plant 7', 'a3')],
      ['has its serial number', 'd2', bySerial('4A01F3', 'whatever')],
      ['has its serial number, written with zeros and colons', 'd2', bySerial('00:4a:01:f3')],
    ])('a device whose certificate %s', async (_what, deviceKey, certificate) => {
      for (const mode of [2, 3] as const)
        expect(await ask('guarded', deviceKey, { mode, certificate })).toMatchObject({ type: 'admitted' })
    })

    it.each<[string, string, ClientCertificate | null, RegExp]>([
      ['none', 'd1', null, /requires a client certificate: connect by TLS/],
      ['an expired one', 'd1', faulty('CERT_HAS_EXPIRED'), /has expired: connect with a renewed/],
      ['a foreign one', 'd1', faulty('UNABLE_TO_GET_ISSUER_CERT'), /not trusted \(UNABLE_TO_GET_ISSUER_CERT\): .*CA/],
      ['one of another device', 'd1', named('d2'), /common name must be the assetId or the deviceKey/],
      ['one without a name', 'd1', named(), /common name must be/],
      ['one that is named after the product', 'd1', named('guarded'), /common name must be/],
      ['one in other letters', 'd1', named('D1'), /common name must be/],
      ['one with another serial number', 'd2', bySerial('4A01F4', 'd2', 'a7'), /serial number is another/],
      ['one with a longer serial number', 'd2', bySerial('4A01F30', 'd2'), /serial number is another/],
      ['one without a serial number', 'd2', bySerial('', 'd2'), /serial number is another/],
      [
        'an expired one with its serial number',
        'd2',
        { ...faulty('CERT_HAS_EXPIRED'), serial: '4A01F3' },
        /has expired/,
      ],
      ['a foreign one with its serial number', 'd2', { ...faulty('DEPTH_ZERO'), serial: '4A01F3' }, /not trusted/],
    ])('not a device with %s', async (_what, deviceKey, certificate, reason) => {
      for (const mode of [2, 3] as const) {
        const answer = await ask('guarded', deviceKey, { mode, certificate })
        expect(answer).toMatchObject({ connack: 'notAuthorized', reason: expect.stringMatching(reason) })
        // The number on record is nobody else's business.
        expect(JSON.stringify(answer)).not.toMatch(/4a01f3/i)
      }
    })

    it('a channel with one that is named after the product', async () => {
      const channel = (certificate: ClientCertificate | null) => ask('guarded', '%channel%', { mode: 4, certificate })
      expect(await channel(named('guarded'))).toMatchObject({ type: 'admitted', mode: 'channel' })
      for (const [certificate, reason] of [
        [null, /requires a client certificate/],
        [named('d1'), /not for a channel: .*productKey/],
        [faulty('CERT_HAS_EXPIRED'), /has expired/],
        [faulty('DEPTH_ZERO_SELF_SIGNED_CERT'), /not trusted/],
      ] as const)
        expect(await channel(certificate)).toMatchObject({
          connack: 'notAuthorized',
          reason: expect.stringMatching(reason),
        })
    })

    it('nobody by the certificate alone', async () => {
      const packet = { password: wrong }
      expect(await ask('guarded', 'd1', { packet, certificate: named('d1') })).toMatchObject({ connack: 'credentials' })
    })

    it('and everybody else whatever they show', async () => {
      for (const certificate of [null, named('d2'), faulty('CERT_HAS_EXPIRED'), bySerial('1')])
        expect(await ask('plain', 'd1', { certificate })).toMatchObject({ type: 'admitted' })
    })
  })

  it('a stranger learns who is there, and nothing more', async () => {
    await activate('young', 'd1')
    const unproved = { packet: { password: wrong } }
    const answers = await Promise.all([
      ask('plain', 'off', unproved),
      ask('plain', 'sub', unproved),
      ask('guarded', 'd1', unproved),
      ask('plain', 'd1', { mode: 3, ...unproved }),
      ask('young', 'd1', { mode: 3, ...unproved }),
      ask('guarded', '%channel%', { mode: 4, ...unproved }),
    ])
    expect(answers.map(answer => answer.type === 'refused' && answer.connack)).toEqual(Array(6).fill('credentials'))
    expect(await ask('plain', 'nobody', unproved)).toMatchObject({ connack: 'notAuthorized' })
  })

  it('nobody where the fleet cannot be read', async () => {
    const { productKey, orgId, secret } = (await store.product('plain'))!
    const rows = { organizations: [], applications: [], models: [], devices: [] }
    await store.applyFleet({ ...rows, products: [{ productKey, orgId, secret, modelId: null, json: '{' }] }, 2)
    await expect(ask('plain', 'd1')).rejects.toThrow(BrokenFleet)
    await expect(ask('plain', '%channel%', { mode: 4 })).rejects.toThrow(BrokenFleet)
  })

  it('whom a CONNECT names is known without asking anybody', () => {
    expect(claimedKeys(connectOf('plain', 'd1', {}))).toEqual({ productKey: 'plain', deviceKey: 'd1' })
    const channel = connectOf('plain', '%channel%', { mode: 4 })
    expect(claimedKeys(channel)).toEqual({ productKey: 'plain', deviceKey: '%channel%' })
    expect(claimedKeys(connectOf('plain', 'd1', { packet: { clientId: 'c' } }))).toBeNull()
    expect(claimedKeys({ type: 'refused', version: 4, connack: 'authMethod', reason: '' })).toBeNull()
  })
})

describe('codes of a refusal', () => {
  it('are those of the standards', () => {
    expect(connack.limited).toEqual({ 4: 3, 5: 0x9f })
    for (const { 4: older, 5: newer } of Object.values(connack)) {
      expect(older).toBeGreaterThanOrEqual(1)
      expect(older).toBeLessThanOrEqual(5)
      expect(newer).toBeGreaterThanOrEqual(0x80)
    }
  })

  it('are held against the client where it could do better', () => {
    const all = Object.keys(connack) as Connack[]
    expect(all.filter(code => !isHeldAgainst(code)).sort()).toEqual(['full', 'limited', 'unavailable'])
  })
})
