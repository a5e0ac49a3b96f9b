// What devices read over HTTP: the vendor SDK's envelope, the codes that only HTTP has, and a command as response headers. Pure.
// Not here: sessions (device-session.ts), logins (device-login.ts), routes (devices.ts), codes that MQTT has as well (uplink/codes.ts).

import type { Downlink } from '../core/command.ts'
import { type CodeEntry, codes } from '../uplink/codes.ts'
import { commandPayload } from '../uplink/payload.ts'
import { commandTopic, type DeviceKeys, methodOf } from '../uplink/topics.ts'

/** Beside {@link codes}; docs/http-devices.md prints this table and a test keeps both equal. */
export const httpCodes = {
  notLoggedIn: {
    code: 401,
    message: 'log in again',
    origin: 'ours',
    meaning:
      'There is no session with this sessionId: it has ended, another login of the device has taken its place, the device was disabled or deleted, or the server was started anew.',
  },
  foreign: {
    code: 403,
    message: 'refused in open mode',
    origin: 'ours',
    meaning: 'A server in open mode was reached under a foreign Host, or by a web page of another Origin.',
  },
  noSuchCommand: {
    code: 404,
    message: 'no such command',
    origin: 'ours',
    meaning: 'The answer is to a command that was never sent to this device, or whose record is gone.',
  },
  badMethod: { code: 405, message: 'only POST is served', origin: 'ours', meaning: 'The request is not a POST.' },
  limited: {
    code: 429,
    message: 'too many logins were refused',
    origin: 'ours',
    meaning: 'Of this device from this address, or from this address altogether. Wait before the next one.',
  },
  subDevice: {
    code: 771,
    message: 'Sub-device cannot connect directly',
    origin: 'vendor',
    meaning: 'The device is behind a gateway, which speaks for it.',
  },
  tooLarge: {
    code: 1008,
    message: 'Msg size is too large',
    origin: 'vendor',
    meaning:
      'The body is larger than a login (4 KiB) or a message (128 KiB) may be. Also an answer that would be larger than 240 KiB.',
  },
} as const satisfies Record<string, CodeEntry>

/** Why a request is not done, in the envelope that every answer has. */
export interface DeviceRefusal {
  readonly ok: false
  readonly of: CodeEntry
  /** what is wrong in particular, and what to do */
  readonly detail: string
  /** of HTTP: 200 where the request was understood and `code` says the rest */
  readonly status: number
}

export const refuse = (of: CodeEntry, detail: string, status = 200): DeviceRefusal => ({
  ok: false,
  of,
  detail,
  status,
})

/** `log in again: the session has ended` */
export const messageOf = ({ of, detail }: Pick<DeviceRefusal, 'of' | 'detail'>): string =>
  [of.message, detail].filter(text => text !== '').join(': ')

/** `{"code":…,"data":{…},"message":"…"}`, as the answer to a login has it, and every answer that no request could be read for. */
export const deviceEnvelope = (code: number, data: object, message: string): string =>
  JSON.stringify({ code, data, message })

/** Whether this server answers such a URL in the envelope of devices. */
export const isDevicePath = (url: string): boolean => /^\/\/?(?:auth|topic|multipart)\//.test(url)

/** Names of the two headers that a command rides on. */
export const COMMAND_HEADER = 'command-payload'
export const TOPIC_HEADER = 'topic'

export interface CommandHeaders {
  readonly [COMMAND_HEADER]: string
  readonly [TOPIC_HEADER]: string
}

/** A command as the vendor's SDK reads it off a response. Keys and identifiers are plain letters and digits, so that the topic needs no escapes. */
export const commandHeaders = (keys: DeviceKeys, downlink: Downlink): CommandHeaders => ({
  [COMMAND_HEADER]: headerJson(commandPayload(downlink, methodOf(downlink))),
  [TOPIC_HEADER]: commandTopic(keys, downlink),
})

/**
 * JSON text in the printable characters of ASCII, which is all that a header may hold everywhere: nothing in it can end the header and begin another.
 * Control characters stand only between the tokens of JSON, where a blank means the same; whatever else is beyond ASCII stands only inside strings,
 * where an escape means the same.
 */
export const headerJson = (json: string): string =>
  json
    .replace(/[\t\n\r]/g, ' ')
    .replace(/[^\x20-\x7e]/g, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)

/** Where the request could not be read as far as its id. */
export const unreadable = (detail: string, status = 200): DeviceRefusal => refuse(codes.badFormat, detail, status)
