// Tidings as text and back: the words that nodes say to each other, whatever carries them. Pure. Not here: to whom they go, and when.
//
//   {"l":[17,4],"s":[[17,"1990000000000000001"]],"n":[[9,"disable","pk","dk"]]}
//
// Look at devices 17 and 4; that command of device 17 is settled; tell gateway 9 that device dk of product pk is disabled. Any member may be left out. Members of other names are passed over, so that a newer node may say more than an older one understands.

import { isKey } from '../core/command.ts'
import { isObject, quote, readJson } from '../core/json.ts'
import { DEVICE_ID_MAX, SIGNAL_TEXT_MAX_BYTES } from '../core/limits.ts'
import type { GatewayNotice, SettledCommand, Tidings } from './signal.ts'

/** What a text says, or the first thing that is wrong with it. */
export type Words = { readonly ok: true; readonly tidings: Tidings } | { readonly ok: false; readonly problem: string }

/** As few texts as they fit into, each of at most SIGNAL_TEXT_MAX_BYTES, in ASCII. None where there is nothing to say. */
export function textsOf({ look, settled, notices = [] }: Tidings): string[] {
  const texts: string[] = []
  let words: Record<Member, string[]> = { l: [], s: [], n: [] }
  let bytes = EMPTY_BYTES
  const add = (member: Member, word: string): void => {
    if (bytes + word.length + 1 > SIGNAL_TEXT_MAX_BYTES) {
      texts.push(textOf(words))
      words = { l: [], s: [], n: [] }
      bytes = EMPTY_BYTES
    }
    words[member].push(word)
    bytes += word.length + 1
  }
  for (const deviceId of look) add('l', String(deviceId))
  for (const { deviceId, commandId } of settled) add('s', `[${deviceId},"${commandId}"]`)
  for (const { gatewayId, notice, productKey, deviceKey } of notices)
    add('n', `[${gatewayId},"${notice}","${productKey}","${deviceKey}"]`)
  if (bytes > EMPTY_BYTES) texts.push(textOf(words))
  return texts
}

type Member = 'l' | 's' | 'n'

/** with all members; a comma for each word is counted with the word, so that this is some bytes too many rather than too few */
const EMPTY_BYTES = '{"l":[],"s":[],"n":[]}'.length

function textOf(words: Readonly<Record<Member, readonly string[]>>): string {
  const members = Object.entries(words).filter(([, some]) => some.length > 0)
  return `{${members.map(([name, some]) => `"${name}":[${some.join()}]`).join()}}`
}

/**
 * Reads a text from whoever may write to the carrier, which need not be one of us. Never throws. What it says is bounded by the length that is taken:
 * no more than 3,950 devices fit.
 */
export function readWords(text: string): Words {
  if (text.length > SIGNAL_TEXT_MAX_BYTES) return bad(`is longer than ${SIGNAL_TEXT_MAX_BYTES} bytes`)
  const read = readJson(text)
  if (!read.ok) return bad(read.fault)
  if (!isObject(read.value)) return bad(`must be an object, got ${quote(read.value)}`)
  const { l = [], s = [], n = [] } = read.value
  if (!Array.isArray(l)) return bad(`l must be an array, got ${quote(l)}`)
  if (!Array.isArray(s)) return bad(`s must be an array, got ${quote(s)}`)
  if (!Array.isArray(n)) return bad(`n must be an array, got ${quote(n)}`)
  for (const [at, deviceId] of l.entries())
    if (!isDeviceId(deviceId)) return bad(`l[${at}] must be the number of a device, got ${quote(deviceId)}`)
  const settled: SettledCommand[] = []
  for (const [at, pair] of s.entries()) {
    if (!Array.isArray(pair) || pair.length !== 2) return bad(`s[${at}] must be a pair, got ${quote(pair)}`)
    const [deviceId, commandId]: unknown[] = pair
    if (!isDeviceId(deviceId)) return bad(`s[${at}][0] must be the number of a device, got ${quote(deviceId)}`)
    if (!isFullId(commandId)) return bad(`s[${at}][1] must be a commandId of 19 digits, got ${quote(commandId)}`)
    settled.push({ deviceId, commandId })
  }
  const notices: GatewayNotice[] = []
  for (const [at, word] of n.entries()) {
    const notice = readNotice(word)
    if (notice === null) return bad(`n[${at}] must be a gateway, a notice and the keys of a device, got ${quote(word)}`)
    notices.push(notice)
  }
  const tidings = { look: l as number[], settled }
  return { ok: true, tidings: notices.length === 0 ? tidings : { ...tidings, notices } }
}

const bad = (problem: string): Words => ({ ok: false, problem })

const isDeviceId = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= DEVICE_ID_MAX

function readNotice(word: unknown): GatewayNotice | null {
  if (!Array.isArray(word) || word.length !== 4) return null
  const [gatewayId, notice, productKey, deviceKey]: unknown[] = word
  if (!isDeviceId(gatewayId) || (notice !== 'enable' && notice !== 'disable' && notice !== 'delete')) return null
  if (typeof productKey !== 'string' || typeof deviceKey !== 'string') return null
  return isKey(productKey) && isKey(deviceKey) ? { gatewayId, notice, productKey, deviceKey } : null
}

/** As every command of ours has it; the largest is what fits into the 64 bits that stores keep. */
const isFullId = (value: unknown): value is string =>
  typeof value === 'string' && /^[1-9][0-9]{18}$/.test(value) && value <= ID_MAX
const ID_MAX = '9223372036854775807'
