// Payloads on a device's topics: the JSON of a command, of its reply, and of the answer to a request. Pure.
// What a device sends is dirty until read here: bytes that are not UTF-8 and NUL become U+FFFD, and everything kept has a bound.

import { type Downlink, isCommandId, Kind } from '../core/command.ts'
import { closingQuote, isJson, readJson } from '../core/json.ts'
import {
  DEVICE_CODE_MAX_CHARS,
  DEVICE_MESSAGE_MAX_CHARS,
  JSON_MAX_DEPTH,
  PAYLOAD_MAX_MEMBERS,
  PAYLOAD_MAX_PARTS,
  REQUEST_ID_MAX_CHARS,
} from '../core/limits.ts'
import type { Reply } from '../core/queue.ts'
import type { DeviceKeys, Notice } from './topics.ts'

/**
 * The payload of a command: `{"id","version","params","method"}`, always all four and in this order; one of the vendor's SDKs drops a command that
 * lacks one, and another drops what begins with the method of the command before. The input goes in as the text that was validated, never parsed again.
 */
export function commandPayload({ commandId, kind, identifier, inputJson }: Downlink, method: string): string {
  const params = kind === Kind.set ? `{${JSON.stringify(identifier)}:${inputJson}}` : inputJson
  return `{"id":"${commandId}","version":"1.0","params":${params},"method":${JSON.stringify(method)}}`
}

/**
 * What a device that logged in with its product's secret is told. The secret comes first: one SDK writes over it for its log, and beyond the end of a
 * short payload. The id is large, because another SDK takes small ones for its own.
 */
export function activationPayload(
  { deviceSecret, assetId }: { readonly deviceSecret: string; readonly assetId: string },
  { productKey, deviceKey }: DeviceKeys,
  now: number,
): string {
  const params = { deviceSecret, assetId, productKey, deviceKey }
  return JSON.stringify({ id: messageId(now), version: '1.0', params, method: 'thing.activate.info' })
}

/** What a gateway is told when a device of its topology was enabled, disabled or deleted: an object, for one SDK ignores an array. */
export function noticePayload(notice: Notice, { productKey, deviceKey }: DeviceKeys, now: number): string {
  return JSON.stringify({
    id: messageId(now),
    version: '1.0',
    params: { productKey, deviceKey },
    method: `combine.${notice}`,
  })
}

const messageId = (now: number): string => String(Math.floor(now))

/**
 * A device's answer to a command, or null where it is none: not a JSON object, nested too deep, of too many members, or its id is not that of a command.
 * `code` is taken as a number or a numeric string, whatever else it is stays as `deviceCode`; outputs are kept as the text that came,
 * so that large integers stay what they are. A missing `data` and a null one are both no outputs.
 */
export function readReply(payload: Buffer): Reply | null {
  const said = membersOf(textOf(payload))
  const commandId = commandIdOf(said?.get('id'))
  if (said === null || commandId === null) return null
  const code = said.get('code') ?? ''
  const deviceCode = code.startsWith('"') ? stringOf(code) : code
  const message = said.get('message')
  const data = said.get('data')
  return {
    type: 'reply',
    commandId,
    code: integerOf(deviceCode),
    deviceCode: wellFormed(deviceCode.slice(0, DEVICE_CODE_MAX_CHARS)),
    message: message?.startsWith('"') ? wellFormed(stringOf(message).slice(0, DEVICE_MESSAGE_MAX_CHARS)) : null,
    outputJson: data === undefined || data === 'null' ? null : withoutEscapedNul(data),
  }
}

/** A request, read as far as it goes without knowing what it asks for. */
export interface RequestPayload {
  /** as the device wrote it, to be sent back byte for byte */
  readonly idJson: string
  /** undefined where they are missing or null, and where they have a fault */
  readonly params: unknown
  /** why they cannot be taken, though they are JSON: they are too many, or see {@link readJson}; null where nothing is wrong */
  readonly fault: string | null
  /** what stands beside the params of a batch; text that says so counts as well, and anything else is no */
  readonly allowOfflineSubDevice: boolean
  readonly skipInvalidMeasurepoints: boolean
}

/**
 * Null where there is nobody to answer: the payload is not a JSON object, is nested too deep, has too many members, or its id is missing, too long, or
 * neither string nor number. `version` and `method` are not looked at: the SDKs send wrong ones.
 */
export function readRequest(payload: Buffer): RequestPayload | null {
  const { said, idJson, fault } = readEnvelope(payload)
  if (said === null || idJson === null) return null
  const read: ReturnType<typeof readJson> =
    fault === null ? readJson(withoutEscapedNul(said.get('params') ?? 'null')) : { ok: false, fault }
  const isSet = (name: string): boolean => /^"?true"?$/i.test(said.get(name) ?? '')
  return {
    idJson,
    params: read.ok ? (read.value ?? undefined) : undefined,
    fault: read.ok ? null : read.fault,
    allowOfflineSubDevice: isSet('allowOfflineSubDevice'),
    skipInvalidMeasurepoints: isSet('skipInvalidMeasurepoints'),
  }
}

/**
 * A request as far as its id. A few bytes of brackets or names cost more to read than all else that a payload may hold: with too many of them it is
 * not read, nor known to be JSON, but its sender is to be told so, and therefore its id is looked for all the same.
 */
function readEnvelope(payload: Buffer): {
  readonly said: ReadonlyMap<string, string> | null
  readonly idJson: string | null
  readonly fault: string | null
} {
  const text = textOf(payload)
  const parts = partsOf(text)
  const isTooMuch = parts > PAYLOAD_MAX_PARTS
  const said = isTooMuch ? membersIn(text) : membersOf(text)
  const id = said?.get('id')
  const isId = id !== undefined && id.length <= REQUEST_ID_MAX_CHARS && /^["\d-]/.test(id) && isJson(id)
  const fault = `are not read: the request has ${parts} names, objects and lists, and may have ${PAYLOAD_MAX_PARTS}; send several`
  return { said, idJson: isId ? id : null, fault: isTooMuch ? fault : null }
}

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const BRACE = 0x7b
const CLOSING_BRACE = 0x7d

/** How many names, objects and lists there are in a JSON text. */
function partsOf(json: string): number {
  let parts = 0
  for (let at = 0; at < json.length; at += 1) {
    const unit = json.charCodeAt(at)
    if (unit === QUOTE) at = closingQuote(json, at)
    else if (unit === COLON || unit === BRACE || unit === BRACKET) parts += 1
  }
  return parts
}
/**
 * The payload of an answer. It always has `data`, which one SDK requires, and in it an object or an array, never a bare string, which kills another.
 */
export const answerJson = (idJson: string, code: number, data: object, message = ''): string =>
  answerText(idJson, code, JSON.stringify(data), message)

/** The same with data that is JSON text already. */
export const answerText = (idJson: string, code: number, dataJson: string, message: string): string =>
  `{"id":${idJson},"code":${code},"data":${dataJson},"message":${JSON.stringify(message)}}`

/** The answer to a request whose params are not looked at; null where there is nobody to answer. */
export function answerTo(payload: Buffer, code: number, message: string): string | null {
  const { idJson } = readEnvelope(payload)
  return idJson === null ? null : answerJson(idJson, code, {}, message)
}

/** C programs send the NUL that ends their strings along. */
function textOf(payload: Buffer): string {
  let end = payload.length
  while (end > 0 && payload[end - 1] === 0) end -= 1
  const bytes = payload.subarray(0, end)
  return (bytes.includes(0) ? withoutNulBytes(bytes) : bytes).toString('utf8')
}

/** U+FFFD in UTF-8 is three bytes. One by one: a payload may be nothing but NUL, and to look for each of them in the text takes ten times as long. */
function withoutNulBytes(bytes: Buffer): Buffer {
  const clean = Buffer.allocUnsafe(3 * bytes.length)
  let length = 0
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte === 0) {
      clean[length++] = 0xef
      clean[length++] = 0xbf
      clean[length++] = 0xbd
    } else {
      clean[length++] = byte
    }
  }
  return clean.subarray(0, length)
}

const withoutNul = (text: string): string => text.replaceAll('\0', '\ufffd')

const ESCAPED_NUL = '\\u0000'

/** Where an even number of backslashes stands before it: in `\\u0000` the second backslash begins nothing. */
function withoutEscapedNul(json: string): string {
  let clean = ''
  let from = 0
  for (let at = json.indexOf(ESCAPED_NUL); at >= 0; at = json.indexOf(ESCAPED_NUL, at + 1)) {
    let before = at
    while (before > from && json.charAt(before - 1) === '\\') before -= 1
    if ((at - before) % 2 === 1) continue
    clean += `${json.slice(from, at)}\\ufffd`
    from = at + ESCAPED_NUL.length
  }
  return clean + json.slice(from)
}

/** Half of a surrogate pair, alone, is no text; cutting can leave one behind. */
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\ufffd')

const stringOf = (json: string): string => wellFormed(withoutNul(String(JSON.parse(json))))

/** Devices echo the id as the string that it was; some turn it into a number, whose digits are still all there in the text. */
function commandIdOf(json: string | undefined): string | null {
  if (json === undefined || json.length > REQUEST_ID_MAX_CHARS) return null
  const id = json.startsWith('"') ? stringOf(json) : json
  return isCommandId(id) && BigInt(id) <= LARGEST_ID ? id : null
}
/** ids are signed 64-bit numbers to a database */
const LARGEST_ID = 2n ** 63n - 1n

/** `200`, `2e2` and `-1` are integers, and so is `"0200"` where it came as a string; `1.5`, blank, hexadecimal and what is not exact are none. */
function integerOf(text: string): number | null {
  if (text.length > DEVICE_CODE_MAX_CHARS || !/^ *[-+]?\d[\d.]*(?:[eE][-+]?\d+)? *$/.test(text)) return null
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : null
}

/**
 * The members of a JSON object as the texts of their values, so that nothing is rounded or reworded on the way. Of two with one name the last counts,
 * as in JSON.parse. Null for everything else, for more than PAYLOAD_MAX_MEMBERS, and for nesting deeper than JSON_MAX_DEPTH: what is kept of it must be
 * safe to print again.
 */
function membersOf(text: string): ReadonlyMap<string, string> | null {
  const members = membersIn(text)
  // In this order: to find out that a text is JSON takes longer, and most of what is none shows at once.
  return members !== null && isJson(text) ? members : null
}

/** The same of a text that need not be JSON: then it is not known what they are. */
function membersIn(text: string): ReadonlyMap<string, string> | null {
  const members = new Map<string, string>()
  let depth = 0
  let name: string | null = null
  let names = 0
  let start = 0
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at)
    if (unit === QUOTE) {
      at = closingQuote(text, at)
    } else if (unit === BRACE || unit === BRACKET) {
      if (depth === 0 && unit === BRACKET) return null
      depth += 1
      if (depth > JSON_MAX_DEPTH) return null
      if (depth === 1) start = at + 1
    } else if (unit === CLOSING_BRACE || unit === CLOSING_BRACKET || (unit === COMMA && depth === 1)) {
      if (depth === 1) {
        if (name !== null) members.set(name, text.slice(start, at).trim())
        name = null
        start = at + 1
      }
      if (unit !== COMMA) depth -= 1
    } else if (unit === COLON && depth === 1) {
      names += 1
      if (names > PAYLOAD_MAX_MEMBERS) return null
      name = nameOf(text.slice(start, at))
      start = at + 1
    }
  }
  // A bare string or number is JSON as well, but has no braces and so no members to answer to.
  return members.size > 0 ? members : null
}

const nameOf = (written: string): string => (isJson(written) ? String(JSON.parse(written)) : written)
