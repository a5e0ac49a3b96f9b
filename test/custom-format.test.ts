// Payloads that are not the JSON of everyone: products with a format of their own, translated by a codec, and sessions that compress. The whole way, over
// HTTP and the real mqtt client, a gateway's sub-device included.

import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import mqtt, { type MqttClient } from 'mqtt'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { gatewayFleet, secretOf, subLogin, TestGateway } from './rig/gateway.ts'
import { credentials, PRODUCT, type Rig, startRig } from './rig/server.ts'

/** the example's codec, as an operator would copy it */
interface Codec {
  encode(message: object): Buffer
  decode(bytes: Buffer): object
}
const example = join(import.meta.dirname, '../examples/codecs/rAwPump1.mjs')
const folder = mkdtempSync(join(tmpdir(), 'downlink-codecs-'))
let codec: Codec
let rig: Rig
const opened: { end(force: boolean): unknown }[] = []

beforeAll(async () => {
  codec = (await import(example)) as Codec
  cpSync(example, join(folder, 'custom.mjs'))
  writeFileSync(join(folder, 'broken.mjs'), 'export const encode = () => { for (;;); }\nexport const decode = encode\n')
  const fleet = JSON.parse(gatewayFleet(1))
  const [organization] = fleet.organizations
  organization.products.push({ productKey: 'broken', productSecret: 'x', dataFormat: 'Custom' })
  const device = (productKey: string, deviceKey: string) => ({
    assetId: deviceKey,
    productKey,
    deviceKey,
    deviceSecret: secretOf(deviceKey),
  })
  organization.devices.push(device('broken', 'broken1'))
  rig = await startRig(['--codecs', folder], JSON.stringify(fleet))
})
afterAll(async () => {
  await rig.stop()
  rmSync(folder, { recursive: true, force: true })
})
afterEach(() => {
  for (const client of opened.splice(0)) client.end(true)
})

const instant = { pendingTtl: '0', timeout: '20' }

async function come(deviceKey: string, productKey: string): Promise<MqttClient> {
  const { clientId, username, password } = credentials(deviceKey, secretOf(deviceKey), productKey)
  const client = mqtt.connect(rig.server.mqttUrl, { clientId, username, password, reconnectPeriod: 0 })
  opened.push(client)
  await new Promise<void>((resolve, reject) => {
    client.once('connect', () => resolve())
    client.once('error', reject)
  })
  return client
}

/** What comes on a topic, one message after the other. */
function arrivals(client: MqttClient, topic: string) {
  const come: Buffer[] = []
  let wake = (): void => undefined
  client.on('message', (on, payload) => {
    if (on === topic) come.push(payload)
    wake()
  })
  return async (): Promise<Buffer> => {
    while (come.length === 0)
      await new Promise<void>(resolve => {
        wake = resolve
      })
    return come.shift() as Buffer
  }
}

/** A command of the example's format: kind, number, id, and its fields as they are. */
const read = (bytes: Buffer) => ({
  kind: bytes[0],
  number: bytes[1],
  id: String(bytes.readBigUInt64BE(2)),
  fields: bytes.subarray(12, -2).toString('hex'),
})
const answerTo = (id: string, code: number) => codec.encode({ id, code, data: {} })

describe('a product with a format of its own', () => {
  const S = '/sys/custom/custom1/thing/model'
  const calls = () => rig.app.on({ assetId: 'custom1' })

  it('gets its commands as bytes, in order, and answers in bytes', async () => {
    const ids = await calls().queue(3)
    const pump = await come('custom1', 'custom')
    const next = arrivals(pump, `${S}/down_raw`)
    for (const [index, id] of ids.entries()) {
      const bytes = await next()
      // Tag 1 is Int_value, of four bytes.
      expect(read(bytes)).toEqual({ kind: 1, number: 0, id, fields: `01040000000${index + 1}` })
      pump.publish(`${S}/down_raw_reply`, answerTo(id, 200), { qos: 1 })
    }
    await calls().until(ids[2]!, 5)
    const answer = calls().invoke({ delay: 5 }, instant)
    const asked = read(await next())
    expect(asked).toMatchObject({ kind: 2, number: 1, fields: '100400000005' })
    pump.publish(`${S}/down_raw_reply`, answerTo(asked.id, 405), { qos: 1 })
    expect(await answer).toMatchObject({ code: 405, data: { commandId: asked.id, state: 6, deviceCode: 405 } })
  })

  it('reports in bytes, and is answered in bytes', async () => {
    const pump = await come('custom1', 'custom')
    const next = arrivals(pump, `${S}/up_raw_reply`)
    const frame = codec.encode({ id: '77', method: 'thing.service.measurepoint.set', params: { temperature: 21.5 } })
    // The same frame with the kind of a report, and its checksum for that: kind 4.
    const report = reframed(frame, 4)
    pump.publish(`${S}/up_raw`, report, { qos: 1 })
    expect(codec.decode(await next())).toMatchObject({ id: '77', code: 200 })
    const latest = await rig.app.call(
      { action: 'queryLatest', orgId: 'o15541858646501', assetId: 'custom1' },
      { resource: 'measurepoints' },
    )
    expect(latest.data).toMatchObject([{ id: 'temperature', value: 21.5 }])
  })

  it('that sends what its codec cannot read loses nothing else', async () => {
    const pump = await come('custom1', 'custom')
    const next = arrivals(pump, `${S}/down_raw`)
    for (const topic of ['up_raw', 'down_raw_reply'])
      await pump.publishAsync(`${S}/${topic}`, Buffer.from('noise'), { qos: 1 })
    const answer = calls().set(7, instant)
    const { id } = read(await next())
    pump.publish(`${S}/down_raw_reply`, answerTo(id, 0), { qos: 1 })
    expect((await answer).code).toBe(0)
  })

  it('whose codec cannot encode a command fails it, says so, and goes on with the next', async () => {
    const pump = await come('custom1', 'custom')
    const next = arrivals(pump, `${S}/down_raw`)
    // The product has no model, so any service is accepted; its codec has no number for this one.
    expect(await calls().invoke({}, instant, 'fly')).toMatchObject({ code: 11810, data: { state: 6 } })
    const [id] = await calls().queue(1)
    expect(read(await next()).id).toBe(id)
    pump.publish(`${S}/down_raw_reply`, answerTo(id!, 200), { qos: 1 })
    await calls().until(id!, 5)
  })

  it('whose codec hangs, or is not there, fails its commands and harms nobody', async () => {
    await come('broken1', 'broken')
    const pump = await come('custom1', 'custom')
    const next = arrivals(pump, `${S}/down_raw`)
    const broken = rig.app.on({ assetId: 'broken1' }).set(1, instant)
    const answer = calls().set(8, instant)
    pump.publish(`${S}/down_raw_reply`, answerTo(read(await next()).id, 200), { qos: 1 })
    expect((await answer).code).toBe(0)
    expect(await broken).toMatchObject({ code: 11810, data: { state: 6 } })
  })

  it('lends its codec to nobody else', async () => {
    writeFileSync(
      join(folder, 'spy.mjs'),
      `import { writeFileSync } from 'node:fs'
export const decode = bytes => { writeFileSync(${JSON.stringify(join(folder, 'called'))}, bytes); return {} }
export const encode = decode
`,
    )
    const gateway = await come('g1', 'gwPk')
    for (const topic of [
      '/sys/spy/nobody/thing/model/up_raw',
      '/sys/custom/custom1/thing/model/up_raw',
      `/sys/gwPk/g1/thing/model/up_raw`,
    ])
      await gateway.publishAsync(topic, 'bytes', { qos: 1 })
    expect(existsSync(join(folder, 'called'))).toBe(false)
  })

  it('behind a gateway has them over its connection', async () => {
    const gateway = new TestGateway(rig.server.mqttUrl, 'g1')
    opened.push(gateway.client)
    await gateway.connected()
    // The gateway of the rig reads JSON: here it is bytes as well.
    gateway.client.removeAllListeners('message')
    const next = arrivals(gateway.client, '/sys/custom/customSub/thing/model/down_raw')
    const login = arrivals(gateway.client, `${gateway.session}/combine/login_reply`)
    gateway.client.publish(
      `${gateway.session}/combine/login`,
      JSON.stringify({ id: '1', params: subLogin('customSub', { productKey: 'custom' }) }),
    )
    expect(JSON.parse(String(await login()))).toMatchObject({ code: 200 })
    const answer = rig.app.on({ assetId: 'customSub' }).set(3, instant)
    const { id } = read(await next())
    gateway.client.publish('/sys/custom/customSub/thing/model/down_raw_reply', answerTo(id, 200), { qos: 1 })
    expect((await answer).code).toBe(0)
  })
})

describe('a session that compresses', () => {
  it('has every payload packed, in both directions', async () => {
    const signed = 'mqtt_01{ip=127.0.0.1,version=enos-mqtt-2.3,compress=GZIP}'
    const content = `clientId${signed}deviceKeymqtt_01productKey${PRODUCT}timestamp1${secretOf('mqtt_01')}`
    const client = mqtt.connect(rig.server.mqttUrl, {
      clientId: `${signed}|securemode=2,signmethod=sha256,timestamp=1|`,
      username: `mqtt_01&${PRODUCT}`,
      password: createHash('sha256').update(content).digest('hex'),
      reconnectPeriod: 0,
    })
    opened.push(client)
    const S = `/sys/${PRODUCT}/mqtt_01/thing`
    const next = arrivals(client, `${S}/service/reboot`)
    const told = arrivals(client, `${S}/measurepoint/post_reply`)
    await new Promise<void>(resolve => client.once('connect', () => resolve()))
    const answer = rig.app.on({ assetId: 'oxWwM9i5' }).invoke({ delay: 1 }, instant)
    const { id, params } = JSON.parse(String(gunzipSync(await next())))
    expect(params).toEqual({ delay: 1 })
    client.publish(`${S}/service/reboot_reply`, gzipSync(JSON.stringify({ id, code: 200, data: { ok: true } })))
    expect(await answer).toMatchObject({ code: 0, data: { outputData: { ok: true } } })
    client.publish(`${S}/measurepoint/post`, gzipSync('{"id":"5","params":{"measurepoints":{"Int_value":4}}}'))
    expect(JSON.parse(String(gunzipSync(await told())))).toMatchObject({ id: '5', code: 200 })
    // A bomb, and what is not packed at all, are thrown away; the session goes on.
    client.publish(`${S}/measurepoint/post`, gzipSync(Buffer.alloc(10_000_000)))
    client.publish(`${S}/measurepoint/post`, '{"id":"6","params":{"measurepoints":{"Int_value":5}}}')
    client.publish(`${S}/measurepoint/post`, gzipSync('{"id":"7","params":{"measurepoints":{"Int_value":6}}}'))
    expect(JSON.parse(String(gunzipSync(await told())))).toMatchObject({ id: '7', code: 200 })
  })
})

function reframed(frame: Buffer, kind: number): Buffer {
  const body = Buffer.from(frame.subarray(0, -2))
  body[0] = kind
  let crc = 0xffff
  for (const byte of body) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1
  }
  const end = Buffer.alloc(2)
  end.writeUInt16BE(crc)
  return Buffer.concat([body, end])
}
