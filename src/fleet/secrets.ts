// Secrets at rest: the key, sealing (AES-256-GCM, bound to the row it belongs to), and the check that a store is opened with its own key.
// Not here: which secrets there are (fleet.ts), passwords of devices (mqtt/login.ts), signatures (http/signature.ts).

import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, linkSync, openSync, readSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { inspect } from 'node:util'
import type { Registry } from '../store/store.ts'

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const PREFIX = 'v1:'
/** bytes read of a key file: more than any key needs, so that a wrong path is not read into memory */
const KEY_FILE_READ_BYTES = 4_096
const HOW_TO_MAKE_ONE = 'make one with: openssl rand -hex 32'
const PUT_IT_BACK =
  'the secrets in the store cannot be read without it: put the original file back, or set DOWNLINK_SECRET_KEY to the key that was in it'
const HIDDEN = '[secret]'

/** A key that is malformed, unreadable or not this store's, or a sealed secret that does not open. The message never holds a secret. */
export class SecretError extends Error {
  override readonly name = 'SecretError'
}

/** A secret in clear that does not show itself: not in JSON, not in util.inspect, not in a string. `reveal` is the only way to it. */
export class ClearSecret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  reveal(): string {
    return this.#text
  }

  toString(): string {
    return HIDDEN
  }

  toJSON(): string {
    return HIDDEN
  }

  [inspect.custom](): string {
    return HIDDEN
  }
}

/** The installation's 32-byte key. Never used itself: each purpose gets its own key derived from it (HKDF-SHA-256). */
export class SecretKey {
  readonly #bytes: Buffer

  /** Throws SecretError unless there are exactly 32 bytes. */
  constructor(bytes: Uint8Array) {
    if (bytes.length !== KEY_BYTES) throw new SecretError(`a secret key has ${KEY_BYTES} bytes; ${HOW_TO_MAKE_ONE}`)
    this.#bytes = Buffer.from(bytes)
  }

  derive(purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.#bytes, Buffer.alloc(0), `downlink ${purpose} v1`, KEY_BYTES))
  }
}

/** A fresh key that lives as long as the process: for `memory:`, where the secrets live no longer either. */
export const randomKey = (): SecretKey => new SecretKey(randomBytes(KEY_BYTES))

function parseKey(text: string, whence: string, nextStep: string): SecretKey {
  const trimmed = text.trim()
  if (/^[0-9a-fA-F]{64}$/.test(trimmed)) return new SecretKey(Buffer.from(trimmed, 'hex'))
  // 32 bytes are 43 base64 characters and one of padding; node reads both alphabets alike.
  if (/^[A-Za-z0-9+/_-]{43}=?$/.test(trimmed)) return new SecretKey(Buffer.from(trimmed, 'base64'))
  throw new SecretError(`${whence} must hold 32 bytes, as 64 hex digits or as base64; ${nextStep}`)
}

/** The key in `DOWNLINK_SECRET_KEY`: 64 hex digits, or base64 of 32 bytes. Throws SecretError for anything else, without showing it. */
export const keyFromEnvironment = (text: string): SecretKey => parseKey(text, 'DOWNLINK_SECRET_KEY', HOW_TO_MAKE_ONE)

function syncDirectory(path: string): void {
  // Windows cannot open a directory for this, and needs no such call.
  if (process.platform === 'win32') return
  const directory = openSync(path, 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && 'code' in error && error.code === code

/**
 * Writes a new key beside `path` and links it there when it is whole and on disk: a crash leaves no torn key file, and of two
 * processes that start at once one makes the key and the other reads it.
 */
function makeKeyFile(path: string): void {
  const draft = `${path}.${randomBytes(6).toString('hex')}.tmp`
  const file = openSync(draft, 'wx', 0o600)
  try {
    try {
      writeFileSync(file, `${randomBytes(KEY_BYTES).toString('hex')}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    try {
      linkSync(draft, path)
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error
    }
  } finally {
    unlinkSync(draft)
  }
  syncDirectory(dirname(path))
}

function readKeyFile(path: string, nextStep: string): SecretKey {
  const file = openKeyFile(path)
  try {
    const stat = fstatSync(file)
    if (!stat.isFile()) throw new SecretError(`the key file ${path} is not a file; ${nextStep}`)
    // Windows has no such bits: every file reads as 0666 there.
    if (process.platform !== 'win32' && (stat.mode & 0o077) !== 0) {
      throw new SecretError(`the key file ${path} can be read by others; run: chmod 600 ${path}`)
    }
    if (process.getuid !== undefined && stat.uid !== process.getuid()) {
      throw new SecretError(
        `the key file ${path} belongs to another user, who could change it; give it to the user that the server runs as`,
      )
    }
    const bytes = Buffer.alloc(KEY_FILE_READ_BYTES)
    const length = readSync(file, bytes, 0, KEY_FILE_READ_BYTES, 0)
    return parseKey(bytes.toString('latin1', 0, length), `the key file ${path}`, nextStep)
  } finally {
    closeSync(file)
  }
}

function openKeyFile(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    if (!hasCode(error, 'EACCES') && !hasCode(error, 'EPERM')) throw error
    throw new SecretError(
      `the key file ${path} cannot be read by this user; give it to the user that the server runs as, mode 600`,
    )
  }
}

/**
 * The key in the file at `path`, which is made with a fresh key (mode 0600, on disk when this returns) where there is none; its directory
 * must exist. `isInUse`: a store's secrets are sealed under it already, so that no new one can take its place. Throws SecretError where the file
 * can be read by others, holds no key, or is in use and gone; and what the file system throws otherwise.
 */
export function keyFromFile(path: string, isInUse = false): SecretKey {
  const nextStep = isInUse ? PUT_IT_BACK : `move it away and a new one is made, or ${HOW_TO_MAKE_ONE}`
  try {
    return readKeyFile(path, nextStep)
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error
  }
  if (isInUse) throw new SecretError(`the key file ${path} is gone; ${PUT_IT_BACK}`)
  makeKeyFile(path)
  return readKeyFile(path, nextStep)
}

/**
 * Refuses a key that is not the one that the store's secrets are encrypted under. The first key that a new store meets becomes its own.
 * The check value is derived from the key and tells nothing about it. It is read back after it was set: of two processes that start on
 * one new store with different keys, the one whose value the store did not keep is refused.
 */
export async function verifyKey(
  registry: Pick<Registry, 'secretCheck' | 'setSecretCheck'>,
  key: SecretKey,
): Promise<void> {
  const own = PREFIX + key.derive('secret check').toString('base64url')
  let stored = await registry.secretCheck()
  if (stored === null) {
    await registry.setSecretCheck(own)
    stored = await registry.secretCheck()
  }
  const left = Buffer.from(stored ?? '')
  const right = Buffer.from(own)
  if (left.length === right.length && timingSafeEqual(left, right)) return
  throw new SecretError(
    'this key is not the one that the secrets in the store are encrypted under; ' +
      'start with the DOWNLINK_SECRET_KEY, or the secret.key file beside the database, that the store was made with',
  )
}

/**
 * Seals and opens secrets. `row` names the row that a secret belongs to, such as `device:<assetId>`; it is bound to the ciphertext, so
 * that a sealed secret moved to another row does not open there. Sealing the same text twice gives two different texts.
 */
export class Secrets {
  readonly #key: Buffer

  constructor(key: SecretKey) {
    this.#key = key.derive('secrets at rest')
  }

  /** `v1:` and base64url of nonce (12 bytes), ciphertext, tag (16 bytes). */
  seal(row: string, clear: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(Buffer.from(PREFIX + row))
    const body = Buffer.concat([nonce, cipher.update(clear, 'utf8'), cipher.final(), cipher.getAuthTag()])
    return PREFIX + body.toString('base64url')
  }

  /** The secret in clear. Throws SecretError where the key or the row is another one, or the text was changed. */
  open(row: string, sealed: string): string {
    const clear = this.#tryOpen(row, sealed)
    if (clear !== null) return clear
    throw new SecretError(
      `the stored secret of ${row} does not open: it was changed, or sealed under another key or for another row; apply the fleet file again`,
    )
  }

  /** Whether `sealed` opens for this row and holds exactly `clear`. A damaged one holds nothing. */
  holds(row: string, sealed: string, clear: string): boolean {
    const held = this.#tryOpen(row, sealed)
    if (held === null) return false
    const left = Buffer.from(held)
    const right = Buffer.from(clear)
    return left.length === right.length && timingSafeEqual(left, right)
  }

  #tryOpen(row: string, sealed: string): string | null {
    if (!/^v1:[A-Za-z0-9_-]+$/.test(sealed)) return null
    const body = Buffer.from(sealed.slice(PREFIX.length), 'base64url')
    if (body.length < NONCE_BYTES + TAG_BYTES) return null
    const decipher = createDecipheriv('aes-256-gcm', this.#key, body.subarray(0, NONCE_BYTES), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(Buffer.from(PREFIX + row))
    decipher.setAuthTag(body.subarray(body.length - TAG_BYTES))
    const clear = decipher.update(body.subarray(NONCE_BYTES, body.length - TAG_BYTES))
    try {
      return Buffer.concat([clear, decipher.final()]).toString('utf8')
    } catch {
      // final() throws for nothing but a tag that does not fit, and its message says no more than that.
      return null
    }
  }
}
