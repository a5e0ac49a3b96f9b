// What devices ask for, for the MQTT fuzzer: topics of requests and payloads that are nearly what they should be, or not at all; logins of sub-devices
// with right proofs among them, so that what is behind a login is reached.

import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Speaker } from './mqtt-packets.ts'
import { jsonValue, keyLike, oddText, type Random, spoilBytes, spoilJson } from './random.ts'
import { secretOf } from './world.ts'

interface Keys {
  readonly productKey: string
  readonly deviceKey: string
}

/** Whom a request may be about: mostly those behind the speaker, for only they can be logged in. */
const somebody = (random: Random, { subs, productKey }: Speaker): Keys =>
  subs.length > 0 && random.chance(75)
    ? random.pick(subs)
    : random.pick<Keys>([
        { productKey, deviceKey: 'nobody' },
        { productKey, deviceKey: 'off' },
        { productKey: 'other', deviceKey: 'x1' },
        { productKey: keyLike(random), deviceKey: oddText(random) },
      ])

/** Signed here once more, so that the server's own code is not what it is checked against. */
function proof(random: Random, keys: Keys, clientId: string, timestamp: string): object {
  const { productKey, deviceKey } = keys
  const text = `clientId${clientId}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}`
  const secret = random.chance(80) ? secretOf(deviceKey) : random.pick(['ps', '', 'wrong'])
  const sign = createHash('sha256').update(`${text}${secret}`).digest('hex')
  const signMethod = random.chance(90) ? 'sha256' : random.pick<unknown>(['SHA256', 'md5', 'x', '', 7, null])
  const secureMode = random.pick<object>([{}, {}, { secureMode: '2' }, { secureMode: 2 }, { secureMode: '3' }])
  return { productKey, deviceKey, clientId, timestamp, signMethod, sign, ...secureMode }
}

const login = (random: Random, speaker: Speaker): object => {
  const keys = somebody(random, speaker)
  return proof(random, keys, random.pick([keys.deviceKey, oddText(random)]), random.pick(['1', oddText(random)]))
}

const points = (random: Random): object => ({
  measurepoints: Object.fromEntries(random.times(0, 5, () => [pointId(random), pointValue(random)])),
  ...(random.chance(40) ? { time: random.pick<unknown>([1, '1', 1.5, -1, 2 ** 53, null, '', 'x']) } : {}),
})
const pointId = (random: Random): string =>
  random.pick(['Int', 'Bounded', 'Text', 'Enum', 'Array', 'Struct', 'Date', 'Bool', oddText(random)])
const pointValue = (random: Random): unknown =>
  random.chance(50) ? jsonValue(random, 2) : { value: jsonValue(random, 2), quality: jsonValue(random, 1) }

const batch = (random: Random, speaker: Speaker): unknown =>
  random.times(0, 4, () => ({ ...(random.chance(70) ? somebody(random, speaker) : {}), ...points(random) }))

/** Requests by what comes after the keys, and what their params are when they are right. */
const requests: Readonly<Record<string, (random: Random, speaker: Speaker) => unknown>> = {
  'combine/login': login,
  'combine/login/batch': (random, speaker) => ({
    clientId: 'login.batch',
    timestamp: '1',
    signMethod: 'sha256',
    subDevices: random.times(0, 5, () => proof(random, somebody(random, speaker), 'login.batch', '1')),
  }),
  'combine/logout': somebody,
  'combine/other': somebody,
  'thing/topo/add': (random, speaker) => random.times(0, 3, () => login(random, speaker)),
  'thing/topo/delete': (random, speaker) => random.times(0, 2, () => somebody(random, speaker)),
  'thing/topo/get': () => ({}),
  'thing/device/register': random =>
    random.times(0, 3, () => ({
      productKey: random.pick(['pk', 'nothing', oddText(random)]),
      deviceName: random.pick<unknown>([{ defaultValue: 'n' }, 'n', jsonValue(random, 2)]),
      deviceAttributes: jsonValue(random, 2),
    })),
  'thing/measurepoint/post': points,
  'thing/measurepoint/resume': points,
  'thing/measurepoint/post/batch': batch,
  'thing/measurepoint/resume/batch': batch,
  'thing/event/alarm/post': random => ({ events: jsonValue(random, 2), time: 1 }),
  'thing/attribute/update': random => ({ attributes: jsonValue(random, 2) }),
  'thing/attribute/query': random => ({ attributes: random.times(0, 3, () => oddText(random)) }),
  'thing/attribute/delete': random => ({ attributes: random.times(0, 3, () => oddText(random)) }),
  'thing/tag/update': random =>
    random.times(0, 3, () => ({
      tagKey: oddText(random),
      tagValue: random.either<unknown>(
        () => 'v',
        () => jsonValue(random, 1),
      ),
    })),
  'thing/tag/query': random => ({ tags: random.times(0, 3, () => oddText(random)) }),
  'thing/tag/delete': random => ({ tags: random.times(0, 3, () => oddText(random)) }),
  'thing/tsltemplate/get': () => ({}),
  'thing/model/up_raw': points,
  'ota/device/getversion': () => ({}),
  'measurepoint/post': batch,
  'event/post': (random, speaker) =>
    random.times(0, 3, () => ({ ...somebody(random, speaker), events: { alarm: jsonValue(random, 2) } })),
  'attribute/post': (random, speaker) =>
    random.times(0, 3, () => ({ ...somebody(random, speaker), attributes: jsonValue(random, 2) })),
}
const paths = Object.keys(requests)

/** A request of the speaker or in the name of one behind it: where it goes, and what it says. */
export function request(random: Random, speaker: Speaker): { topic: string; payload: Buffer } {
  const path = random.pick(paths)
  const isOfSession = path.startsWith('combine/')
  const isOwn = isOfSession || path.includes('topo/') || speaker.subs.length === 0 || random.chance(40)
  const { productKey, deviceKey } = isOwn || random.chance(10) ? speaker : random.pick(speaker.subs)
  const topic = `${isOfSession ? '/ext/session' : '/sys'}/${productKey}/${deviceKey}/${path}`
  const params = random.chance(85) ? requests[path]?.(random, speaker) : jsonValue(random)
  const id = random.either<unknown>(
    () => String(random.below(1_000)),
    () => random.below(1_000),
    () => jsonValue(random, 1),
  )
  const flags = random.chance(15) ? { allowOfflineSubDevice: jsonValue(random, 1), skipInvalidMeasurepoints: true } : {}
  const said = { id, version: '1.0', params, method: path.replaceAll('/', '.'), ...flags }
  const text = JSON.stringify(
    random.chance(92) ? said : Object.fromEntries(random.shuffled(Object.entries(said)).slice(0, 3)),
  )
  return { topic, payload: Buffer.from(random.chance(20) ? spoilJson(random, text) : text) }
}

/** As the session has it: compressed, and then perhaps not quite; now and then small and unfolding to more than may be. */
export function compressed(random: Random, payload: Buffer, gzip: boolean): Buffer {
  if (!gzip) return random.chance(2) ? gzipSync(payload) : payload
  if (random.chance(2)) return gzipSync(Buffer.alloc(random.pick([524_288, 524_289, 4_000_000])))
  const packed = random.chance(95) ? gzipSync(payload, { level: 1 }) : payload
  return random.chance(10) ? spoilBytes(random, packed) : packed
}
