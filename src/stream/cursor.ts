// Cursors: what callers see of a position in the stream of changes. Opaque to them: a version and the position, and nothing else may be read into it. Pure.

import { invalid, type Refusal } from '../core/errors.ts'

const VERSION = 1
const BYTES = 9
/** 9 bytes are 12 characters exactly, so that there is one way to write each */
const FORM = /^[A-Za-z0-9_-]{12}$/

export function cursorOf(position: number): string {
  const bytes = Buffer.alloc(BYTES)
  bytes.writeUInt8(VERSION)
  bytes.writeBigUInt64BE(BigInt(position), 1)
  return bytes.toString('base64url')
}

/** The position; 99400 naming the parameter where it is no cursor of ours. */
export function readCursor(
  text: string,
  parameter: string,
): { readonly ok: true; readonly position: number } | Refusal {
  const refusal = invalid(parameter, 'is not a cursor; use the id of an event, or what a page gave as next')
  if (!FORM.test(text)) return refusal
  const bytes = Buffer.from(text, 'base64url')
  const position = Number(bytes.readBigUInt64BE(1))
  return bytes.readUInt8() === VERSION && Number.isSafeInteger(position) ? { ok: true, position } : refusal
}
