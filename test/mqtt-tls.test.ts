// Devices over TLS, on the real client and with real certificates: both versions, the suites of the vendor's SDKs, and what each certificate is answered with.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls'
import type { IClientOptions, MqttClient } from 'mqtt'
import { afterEach, describe, expect, it } from 'vitest'
import { State } from '../src/core/command.ts'
import { parseFleetFile } from '../src/fleet/file.ts'
import type { TlsFiles } from '../src/mqtt/listener.ts'
import { connectPacket, MqttRig, type MqttRigOptions, RawDevice } from './rig/mqtt.ts'
import {
  ANOTHER_CERT,
  CA,
  CHANNEL_CERT,
  CLIENT_CERT,
  CLIENT_KEY,
  EXPIRED_CERT,
  FOREIGN_CERT,
  RSA_CLIENT_CERT,
  RSA_CLIENT_KEY,
  RSA_SERVER_CERT,
  RSA_SERVER_KEY,
  SERVER_CERT,
  SERVER_KEY,
  TWO_NAMES_CERT,
} from './rig/tls.ts'

const ec: TlsFiles = { cert: SERVER_CERT, key: SERVER_KEY, ca: CA }
const rsa: TlsFiles = { cert: RSA_SERVER_CERT, key: RSA_SERVER_KEY, ca: CA }
const client = { cert: CLIENT_CERT, key: CLIENT_KEY }
const versions = ['TLSv1.2', 'TLSv1.3'] as const
const only = (version: (typeof versions)[number]) => ({ minVersion: version, maxVersion: version })

/** Devices of the product that wants certificates, besides cert1 of the rig: one that is known by a serial number, and one by its name. */
const more = `organizations:
  - orgId: o1
    devices:
      - { assetId: asset-s1, productKey: guarded, deviceKey: s1, deviceSecret: secret-of-s1, certificateSerial: "0A:1B:2C:3D:4E:5F" }
      - { assetId: asset-cert2, productKey: guarded, deviceKey: cert2, deviceSecret: secret-of-cert2 }
`

let rig: MqttRig | null = null
afterEach(async () => {
  await rig?.stop()
  rig = null
})

/** A rig that listens for TLS too. */
async function start(files: TlsFiles, options: MqttRigOptions = {}): Promise<{ rig: MqttRig; port: number }> {
  rig = await MqttRig.start(options)
  const parsed = parseFleetFile(more, 'more.yaml')
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
  await rig.fleet.apply(parsed.file, 1)
  return { rig, port: await rig.listenTls(files) }
}

interface Told {
  /** of the CONNACK; null: closed without one */
  readonly code: number | null
  readonly reason: string | undefined
}

/** What the client is told. */
const told = (device: MqttClient): Promise<Told> =>
  new Promise((resolve, reject) => {
    device.on('packetreceive', packet => {
      if (packet.cmd !== 'connack') return
      const code = packet.reasonCode ?? packet.returnCode ?? Number.NaN
      resolve({ code, reason: packet.properties?.reasonString })
    })
    device.on('close', () => resolve({ code: null, reason: undefined }))
    device.on('disconnect', () => reject(new Error('let in and sent away again')))
  })

/** The client hands on to TLS what it does not know itself. */
type TlsClientOptions = IClientOptions & Pick<ConnectionOptions, 'minVersion' | 'maxVersion' | 'ciphers'>

const over = (port: number, options: TlsClientOptions = {}): IClientOptions => ({
  protocol: 'mqtts',
  port,
  ca: CA,
  servername: 'localhost',
  ...options,
})

/** What a device of that product is told by both versions of MQTT: the code of the older one, and the reason in words of the newer. */
async function answers(to: MqttRig, deviceKey: string, productKey: string, options: IClientOptions) {
  const attempt = (protocolVersion: 4 | 5) => told(to.client(deviceKey, { ...options, protocolVersion }, productKey))
  const [older, newer] = await Promise.all([attempt(4), attempt(5)])
  return { code: older.code, newer: newer.code, reason: newer.reason }
}

describe.each(versions)('%s', version => {
  it.each([
    ['EC', ec],
    ['RSA', rsa],
  ])('with a server key of %s lets in devices with and without a certificate', async (_kind, files) => {
    const { rig, port } = await start(files)
    const tls = over(port, only(version))
    expect(await told(rig.client('d1', tls))).toMatchObject({ code: 0 })
    expect(await told(rig.client('cert1', { ...tls, ...client }, 'guarded'))).toMatchObject({ code: 0 })
    expect(rig.count('login')).toBe(2)
    expect(rig.count('refused login')).toBe(0)
  })

  it.each<[string, IClientOptions, string]>([
    ['by its deviceKey', client, 'cert1'],
    ['by its assetId, with an RSA key', { cert: RSA_CLIENT_CERT, key: RSA_CLIENT_KEY }, 'cert1'],
    ['by one of its names', { ...client, cert: TWO_NAMES_CERT }, 'cert1'],
    ['by its serial number', client, 's1'],
  ])('knows a certificate %s', async (_how, shown, deviceKey) => {
    const { rig, port } = await start(ec)
    const options = over(port, { ...only(version), ...shown })
    expect(await answers(rig, deviceKey, 'guarded', options)).toMatchObject({ code: 0, newer: 0 })
  })

  it.each<[string, string, IClientOptions, RegExp]>([
    ['none', 'cert1', {}, /requires a client certificate/],
    ['an expired one', 'cert1', { ...client, cert: EXPIRED_CERT }, /has expired/],
    ['one of another authority', 'cert1', { ...client, cert: FOREIGN_CERT }, /not trusted \([A-Z_]+\)/],
    ['one of another authority, with its serial number', 's1', { ...client, cert: FOREIGN_CERT }, /not trusted/],
    ["another device's", 'cert1', { ...client, cert: ANOTHER_CERT }, /common name must be/],
    ["another device's, known by its serial number", 's1', { ...client, cert: ANOTHER_CERT }, /serial number/],
  ])('refuses a device that shows %s, and says why', async (_what, deviceKey, shown, reason) => {
    const { rig, port } = await start(ec)
    const options = over(port, { ...only(version), ...shown })
    expect(await answers(rig, deviceKey, 'guarded', options)).toEqual({
      code: 5,
      newer: 0x87,
      reason: expect.stringMatching(reason),
    })
    expect(rig.count('refused login')).toBe(2)
    expect(rig.count('login')).toBe(0)
    // The same device with its own certificate is not in the way of it.
    expect(await told(rig.client(deviceKey, over(port, client), 'guarded'))).toMatchObject({ code: 0 })
  })

  it('does not mind what a device shows whose product wants no certificate', async () => {
    const { rig, port } = await start(ec)
    for (const cert of [EXPIRED_CERT, FOREIGN_CERT, ANOTHER_CERT])
      expect(await told(rig.client('d1', over(port, { ...only(version), ...client, cert })))).toMatchObject({ code: 0 })
  })

  it('opens a channel to a certificate that is named after the product, and to no device of it', async () => {
    const { rig, port } = await start(ec)
    const text = 'clientIdguardeddeviceKey%channel%productKeyguardedtimestamp1ps'
    const login = {
      clientId: 'guarded|securemode=4,signmethod=sha256,timestamp=1|',
      username: '%channel%&guarded',
      password: createHash('sha256').update(text).digest('hex'),
    }
    const attempt = (cert: string) => rig.client('', over(port, { ...only(version), ...client, cert, ...login }))
    const [channel, device] = await Promise.all([told(attempt(CHANNEL_CERT)), told(attempt(CLIENT_CERT))])
    expect(channel).toMatchObject({ code: 0 })
    expect(device).toMatchObject({ code: 5 })
  })

  it('carries commands and answers', async () => {
    const { rig, port } = await start(rsa)
    const deviceId = await rig.id('cert1', 'guarded')
    const commandId = await rig.enqueue(deviceId)
    const device = rig.client('cert1', over(port, { ...only(version), ...client }), 'guarded')
    device.on('message', (topic, payload) => {
      device.publish(`${topic}_reply`, JSON.stringify({ id: JSON.parse(String(payload)).id, code: 200 }))
    })
    device.on('connect', () => device.subscribe('/sys/guarded/cert1/#'))
    await rig.until('reply settled')
    expect(await rig.state(deviceId, commandId)).toBe(State.succeeded)
  })
})

describe('TLS 1.2', () => {
  it.each<[string, TlsFiles]>([
    ['ECDHE-RSA-AES256-GCM-SHA384', rsa],
    ['ECDHE-RSA-AES128-GCM-SHA256', rsa],
    ['ECDHE-ECDSA-AES256-GCM-SHA384', ec],
    ['ECDHE-ECDSA-AES128-GCM-SHA256', ec],
  ])("has %s, which the vendor's SDKs ask for", async (suite, files) => {
    const { rig, port } = await start(files)
    const shown = { cert: RSA_CLIENT_CERT, key: RSA_CLIENT_KEY }
    const device = rig.client('cert1', over(port, { ...only('TLSv1.2'), ...shown, ciphers: suite }), 'guarded')
    expect(await told(device)).toMatchObject({ code: 0 })
    const stream = device.stream as unknown as TLSSocket
    expect(stream.getCipher()).toMatchObject({ standardName: expect.any(String), name: suite })
    expect(stream.getProtocol()).toBe('TLSv1.2')
  })

  it('is the oldest there is', async () => {
    const { rig, port } = await start(ec)
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const
    expect(await told(rig.client('d1', over(port, old)))).toMatchObject({ code: null })
    await rig.until('dropped before login')
    expect(rig.logged.find(({ message }) => message === 'TLS handshake failed')?.fields).toMatchObject({
      code: 'ERR_SSL_UNSUPPORTED_PROTOCOL',
    })
  })
})

/** A device that speaks in bytes over TLS; what it was given to resume its session with comes along. */
async function rawOver(port: number, options: ConnectionOptions) {
  const socket = tlsConnect({ host: '127.0.0.1', port, ca: CA, servername: 'localhost', ...options })
  let session: Buffer | undefined
  socket.on('session', given => {
    session = given
  })
  const device = new RawDevice(socket)
  await once(socket, 'secureConnect')
  return { device, socket, session: () => session ?? socket.getSession() }
}

describe.each(versions)('a session of %s that is taken up again', version => {
  it.each([
    ['nothing', {}],
    ['a good certificate', client],
  ])('does not stand for a certificate, after %s was shown', async (_what, shown) => {
    const { rig, port } = await start(ec)
    const first = await rawOver(port, { ...only(version), ...shown })
    first.device.send(connectPacket('d1'))
    expect(await first.device.next('connack')).toMatchObject({ returnCode: 0 })
    // Whatever the server had to give by now has come: it answers in order.
    first.device.send({ cmd: 'pingreq' })
    await first.device.next('pingresp')
    const session = first.session()
    await first.device.end()

    const second = await rawOver(port, { ...only(version), ...(session ? { session } : {}) })
    expect(second.socket.isSessionReused()).toBe(false)
    second.device.send(connectPacket('cert1', {}, 'guarded'))
    expect(await second.device.next('connack')).toMatchObject({ returnCode: 5 })
    await second.device.end()
    expect(rig.count('login')).toBe(1)
  })
})

describe('a server that was given no authority for clients', () => {
  it('asks for no certificate, and lets nobody in who needs one', async () => {
    const { rig, port } = await start({ ...ec, ca: null })
    expect(await told(rig.client('d1', over(port)))).toMatchObject({ code: 0 })
    expect(await answers(rig, 'cert1', 'guarded', over(port, client))).toMatchObject({
      code: 5,
      newer: 0x87,
      reason: expect.stringMatching(/requires a client certificate/),
    })
  })
})

describe('without TLS', () => {
  it('nobody comes in who needs a certificate', async () => {
    const { rig } = await start(ec)
    expect(await answers(rig, 'cert1', 'guarded', {})).toMatchObject({
      code: 5,
      reason: expect.stringMatching(/connect by TLS/),
    })
  })
})
