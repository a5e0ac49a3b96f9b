// Logins as the vendor's SDKs build them, everything that a CONNECT can have wrong, and what each is answered with.

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import type { IConnectPacket, Packet } from 'mqtt-packet'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseFleetFile } from '../src/fleet/file.ts'
import { BrokenFleet, Fleet } from '../src/fleet/fleet.ts'
import { randomKey, Secrets } from '../src/fleet/secrets.ts'
import { admit, type Connect, readConnect } from '../src/mqtt/connect.ts'
import { encode } from '../src/mqtt/frame.ts'
import { isPassword, readLogin } from '../src/mqtt/login.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Store } from '../src/store/store.ts'

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

describe('the logins of the SDKs', () => {
  const sign = (method: string, clientId: string, timestamp: string, secret = 'ds') =>
    createHash(method).update(`clientId${clientId}deviceKeyD1productKeyP1timestamp${timestamp}${secret}`).digest('hex')

  it('Node', () => {
    const id = 'D1|securemode=2,signmethod=sha256,timestamp=1795382330055|'
    expect(fits(id, 'D1&P1', 'ds', sign('sha256', 'D1', '1795382330055').toUpperCase())).toBe(true)
  })

  it.each([
    'GW{ip=127.0.0.1,version=enos-mqtt-2.3,compress=DEFAULT}',
    'GW{ip=fe80:0:0:0:42:acff:fe11:2%eth0,compress=DEFAULT}',
    'GW{version=enos-mqtt-2.3}',
    'P1.D1{}',
  ])('Java signs %s, braces and all', signed => {
    const id = `${signed}|securemode=2,signmethod=sha256,timestamp=1795383011254|`
    expect(login(id, 'D1&P1').clientId).toBe(signed)
    expect(fits(id, 'D1&P1', 'ds', sign('sha256', signed, '1795383011254'))).toBe(true)
  })

  it('Python, whose timestamp has a fraction', () => {
    const id = 'GW|securemode=2,signmethod=hmacsha256,timestamp=1795383011254.5889|'
    expect(fits(id, 'D1&P1', 'ds', sign('sha256', 'GW', '1795383011254.5889'))).toBe(true)
  })

  it('C, whose timestamp never changes', () => {
    const id = 'P1.D1|securemode=2,signmethod=sha256,timestamp=2524608000000|'
    expect(fits(id, 'D1&P1', 'ds', sign('sha256', 'P1.D1', '2524608000000').toUpperCase())).toBe(true)
  })

  it('the documentation, with blanks and in another order', () => {
    const id = 'x y | timestamp = 5 , securemode=2, signmethod = SHA1 | '
    expect(login(id, 'D1&P1')).toMatchObject({ clientId: 'x y ', digest: 'sha1', timestamp: '5' })
  })

  it('bars in the client id belong to it', () => {
    expect(login('a|b|securemode=2,signmethod=md5,timestamp=1|', 'D1&P1').clientId).toBe('a|b')
    expect(login('|securemode=2,signmethod=md5,timestamp=1|', 'D1&P1').clientId).toBe('')
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
    ['c|securemode=2,securemode=2,signmethod=sha256,timestamp=1|', 'clientId'],
    ['c|securemode=3,signmethod=sha256,timestamp=1|', 'mode'],
    ['c|securemode=4,signmethod=sha256,timestamp=1|', 'mode'],
    ['GW{ip=1.2.3.4,compress=GZIP}|securemode=2,signmethod=sha256,timestamp=1|', 'mode'],
    ['GW{compress=lz4}|securemode=2,signmethod=sha256,timestamp=1|', 'mode'],
  ])('client id %s', (clientId, fault) => {
    expect(readLogin(clientId, 'd&p')).toMatchObject({ ok: false, fault })
  })

  it.each([undefined, '', 'd', 'd&', '&p', 'd&p&x', 'd p&p', 'd/&p', `${'d'.repeat(65)}&p`, 'ü&p'])(
    'username %s',
    username => {
      expect(readLogin(good, username)).toMatchObject({ ok: false, fault: 'username' })
    },
  )

  it('says what to send instead, and nothing that was sent', () => {
    const modes = ['3', '4'].map(mode => readLogin(`hush|securemode=${mode},signmethod=sha256,timestamp=1|`, 'd&p'))
    for (const read of modes) expect(read).toMatchObject({ reason: expect.stringContaining('securemode 2') })
    expect(JSON.stringify(modes)).not.toContain('hush')
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
      'signmethod',
      'sha256',
      'timestamp',
      'compress',
      ' ',
      'x',
    )
    fc.assert(
      fc.property(fc.array(part, { maxLength: 30 }), fc.string(), (parts, username) => {
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
      - { productKey: guarded, productSecret: ps, biDirectionalAuth: true }
      - { productKey: gw, productSecret: ps, productType: Gateway }
    devices:
      - { assetId: a1, productKey: plain, deviceKey: d1, deviceSecret: ds }
      - { assetId: a2, productKey: modelled, deviceKey: d1, deviceSecret: ds }
      - { assetId: a3, productKey: guarded, deviceKey: d1, deviceSecret: ds }
      - { assetId: a4, productKey: plain, deviceKey: off, deviceSecret: ds, disabled: true }
      - { assetId: a5, productKey: gw, deviceKey: g, deviceSecret: ds }
      - { assetId: a6, productKey: plain, deviceKey: sub, deviceSecret: ds, gateway: a5 }
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

  const ask = (productKey: string, deviceKey: string, over: Partial<IConnectPacket> = {}, certified = false) => {
    const password = createHash('sha256')
      .update(`clientIdcdeviceKey${deviceKey}productKey${productKey}timestamp1ds`)
      .digest('hex')
    const packet: IConnectPacket = {
      cmd: 'connect',
      clientId: 'c|securemode=2,signmethod=sha256,timestamp=1|',
      username: `${deviceKey}&${productKey}`,
      password: Buffer.from(password),
      ...over,
    }
    const connect: Connect = { type: 'connect', version: 4, packet, receiveMaximum: 1, maximumPacketSize: 1 }
    return admit(connect, fleet, certified)
  }

  it('a device with the right password, with the services of its model', async () => {
    expect(await ask('plain', 'd1')).toMatchObject({ type: 'admitted', device: { assetId: 'a1' }, services: null })
    expect(await ask('modelled', 'd1')).toMatchObject({ type: 'admitted', services: ['reboot', 'stop'] })
  })

  it.each<[string, string, string, Partial<IConnectPacket>, string]>([
    ['a wrong password', 'plain', 'd1', { password: Buffer.from('0'.repeat(64)) }, 'credentials'],
    ['an empty password', 'plain', 'd1', { password: Buffer.alloc(0) }, 'credentials'],
    ['no user name', 'plain', 'd1', { username: '' }, 'credentials'],
    ['an unreadable client id', 'plain', 'd1', { clientId: 'c' }, 'clientId'],
    [
      'dynamic activation',
      'plain',
      'd1',
      { clientId: 'c|securemode=3,signmethod=sha256,timestamp=1|' },
      'notAuthorized',
    ],
    ['an unknown device', 'plain', 'nobody', {}, 'notAuthorized'],
    ['an unknown product', 'nothing', 'd1', {}, 'notAuthorized'],
    ['a disabled device', 'plain', 'off', {}, 'notAuthorized'],
    ['a device behind a gateway', 'plain', 'sub', {}, 'notAuthorized'],
    ['no client certificate where one is required', 'guarded', 'd1', {}, 'notAuthorized'],
  ])('not with %s', async (_what, productKey, deviceKey, over, connack) => {
    const answer = await ask(productKey, deviceKey, over)
    expect(answer).toMatchObject({ type: 'refused', connack, reason: expect.stringMatching(/\w{3}/) })
  })

  it('not without a password', async () => {
    const { clientId, username } = { clientId: 'c|securemode=2,signmethod=sha256,timestamp=1|', username: 'd1&plain' }
    const connect: Connect = {
      type: 'connect',
      version: 5,
      packet: { cmd: 'connect', clientId, username },
      receiveMaximum: 1,
      maximumPacketSize: 1,
    }
    expect(await admit(connect, fleet, false)).toMatchObject({ type: 'refused', version: 5, connack: 'credentials' })
  })

  it('a disabled device learns so only with its password', async () => {
    const answer = await ask('plain', 'off', { password: Buffer.from('0'.repeat(64)) })
    expect(answer).toMatchObject({ connack: 'credentials' })
  })

  it('with a certificate where one is required', async () => {
    expect(await ask('guarded', 'd1', {}, true)).toMatchObject({ type: 'admitted' })
  })

  it('nobody where the fleet cannot be read', async () => {
    const { productKey, orgId, secret } = (await store.product('plain'))!
    const rows = { organizations: [], applications: [], models: [], devices: [] }
    await store.applyFleet({ ...rows, products: [{ productKey, orgId, secret, modelId: null, json: '{' }] }, 2)
    await expect(ask('plain', 'd1')).rejects.toThrow(BrokenFleet)
  })
})
