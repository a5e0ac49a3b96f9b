// Compression of payloads: what a client id may ask for, packing and unpacking. Pure. Not here: how it is asked for (login.ts).

import { gunzipSync, gzipSync } from 'node:zlib'
import { DECOMPRESSED_MAX_BYTES } from '../core/limits.ts'

/** The Java SDK compresses every payload that it sends, and unpacks every one that it gets, as its client id says. */
export type Compression = 'none' | 'gzip'

/** Level 1: commands are small, and every one of them waits for it. */
export const pack = (payload: Buffer, compression: Compression): Buffer =>
  compression === 'none' ? payload : gzipSync(payload, { level: 1 })

/** Null: it is not what it should be, or unfolds to more than DECOMPRESSED_MAX_BYTES. An empty payload is empty either way. */
export function unpack(payload: Buffer, compression: Compression): Buffer | null {
  if (compression === 'none' || payload.length === 0) return payload
  try {
    return gunzipSync(payload, { maxOutputLength: DECOMPRESSED_MAX_BYTES })
  } catch {
    // Whatever zlib says of it, there is nothing in it to be read.
    return null
  }
}
