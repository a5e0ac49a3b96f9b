// Secrets at rest: sealing, the key from the environment or its file, and the check that a store meets its own key.
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  ClearSecret,
  keyFromEnvironment,
  keyFromFile,
  randomKey,
  SecretError,
  SecretKey,
  Secrets,
  verifyKey,
} from '../src/fleet/secrets.ts'
import { openMemory } from '../src/store/memory.ts'

const hexKey = '00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff'
const base64Key = Buffer.from(hexKey, 'hex').toString('base64')

function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    expect(error).toBeInstanceOf(SecretError)
    return (error as Error).message
  }
  throw new Error('expected a SecretError')
}

/** What the key check sees of a store that several processes share: the first value stays. */
class SharedCheck {
  value: string | null = null
  async secretCheck(): Promise<string | null> {
    return this.value
  }
  async setSecretCheck(value: string): Promise<void> {
    this.value ??= value
  }
}

describe('sealing', () => {
  const secrets = new Secrets(keyFromEnvironment(hexKey))

  it('opens what it sealed, for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), fc.string(), (clear, row) => {
        const sealed = secrets.seal(row, clear)
        expect(sealed).toMatch(/^v1:[A-Za-z0-9_-]+$/)
        expect(secrets.open(row, sealed)).toBe(clear)
        expect(secrets.holds(row, sealed, clear)).toBe(true)
        expect(secrets.holds(row, sealed, `${clear}x`)).toBe(false)
      }),
      { numRuns: 200 },
    )
  })

  it('gives a new text each time', () => {
    const texts = new Set(Array.from({ length: 100 }, () => secrets.seal('device:a', 'same')))
    expect(texts.size).toBe(100)
  })

  it('opens only for its row and under its key', () => {
    const sealed = secrets.seal('device:a', 'Z5YtZaQpK5IWocakV7zQ')
    for (const message of [
      messageOf(() => secrets.open('device:b', sealed)),
      messageOf(() => new Secrets(randomKey()).open('device:b', sealed)),
    ]) {
      expect(message).toContain('device:b')
      expect(message).not.toContain('Z5Yt')
    }
    expect(secrets.holds('device:b', sealed, 'Z5YtZaQpK5IWocakV7zQ')).toBe(false)
  })

  it('opens nothing that was changed, at whatever byte', () => {
    const sealed = secrets.seal('product:p', 'k2vEY1LRMJl')
    const body = Buffer.from(sealed.slice(3), 'base64url')
    for (let at = 0; at < body.length; at += 1) {
      const changed = Buffer.from(body)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(() => secrets.open('product:p', `v1:${changed.toString('base64url')}`)).toThrow(SecretError)
    }
    for (let length = 0; length < body.length; length += 1) {
      const cut = body.subarray(0, length).toString('base64url')
      expect(() => secrets.open('product:p', `v1:${cut}`)).toThrow(SecretError)
    }
    for (const text of [
      '',
      'v1:',
      sealed.slice(3),
      `v2:${sealed.slice(3)}`,
      `${sealed}=`,
      `${sealed}\n`,
      'k2vEY1LRMJl',
    ]) {
      expect(() => secrets.open('product:p', text)).toThrow(SecretError)
    }
  })
})

describe('what holds a secret does not show it', () => {
  it('in JSON, inspect or a string', () => {
    const key = keyFromEnvironment(hexKey)
    const held = { clear: new ClearSecret('hunter2-hunter2'), key, secrets: new Secrets(key) }
    const derived = key.derive('secrets at rest').toString('hex')
    for (const text of [JSON.stringify(held), inspect(held, { depth: 9, showHidden: true }), `${held.clear}`]) {
      expect(text).not.toContain('hunter2')
      expect(text).not.toContain('00 11 22')
      expect(text).not.toContain(derived.slice(0, 8))
      expect(text).not.toContain((derived.match(/../g) ?? []).slice(0, 4).join(' '))
    }
    expect(held.clear.reveal()).toBe('hunter2-hunter2')
  })
})

describe('the key in the environment', () => {
  const sameKey = (left: SecretKey, right: SecretKey) => left.derive('t').equals(right.derive('t'))

  it('is 64 hex digits or base64 of 32 bytes, with or without padding, in either alphabet', () => {
    const key = keyFromEnvironment(hexKey)
    const url = Buffer.from(hexKey, 'hex').toString('base64url')
    for (const text of [hexKey.toUpperCase(), base64Key, base64Key.replace(/=$/, ''), url, ` ${base64Key}\n`]) {
      expect(sameKey(keyFromEnvironment(text), key)).toBe(true)
    }
    expect(sameKey(keyFromEnvironment(base64Key.replace('A', 'B')), key)).toBe(false)
  })

  it('is refused otherwise, with the way to make one and without the value', () => {
    const bad = [
      '',
      'password-of-mine',
      hexKey.slice(1),
      `${hexKey}0`,
      `${base64Key}A`,
      base64Key.slice(2),
      'g'.repeat(64),
    ]
    for (const text of bad) {
      const message = messageOf(() => keyFromEnvironment(text))
      expect(message).toContain('DOWNLINK_SECRET_KEY')
      expect(message).toContain('openssl rand -hex 32')
      if (text !== '') expect(message).not.toContain(text)
    }
    expect(() => new SecretKey(Buffer.alloc(31))).toThrow(SecretError)
  })

  it('gives another key for each purpose', () => {
    const key = keyFromEnvironment(hexKey)
    expect(key.derive('a').equals(key.derive('b'))).toBe(false)
    expect(key.derive('a').toString('hex')).not.toBe(hexKey)
  })
})

describe('the key file', () => {
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'downlink-key-'))
  })
  afterEach(() => {
    rmSync(directory, { recursive: true })
  })

  it('is made once, 0600, whole, and read afterwards', () => {
    const path = join(directory, 'secret.key')
    const sealed = new Secrets(keyFromFile(path)).seal('r', 'text')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(readFileSync(path, 'utf8')).toMatch(/^[0-9a-f]{64}\n$/)
    expect(readdirSync(directory)).toEqual(['secret.key'])
    expect(new Secrets(keyFromFile(path)).open('r', sealed)).toBe('text')
    expect(new Secrets(keyFromEnvironment(readFileSync(path, 'utf8'))).open('r', sealed)).toBe('text')
  })

  it('is refused where others may read it, and left as it is', () => {
    const path = join(directory, 'secret.key')
    keyFromFile(path)
    const before = readFileSync(path, 'utf8')
    for (const mode of [0o644, 0o640, 0o604, 0o660]) {
      chmodSync(path, mode)
      const message = messageOf(() => keyFromFile(path))
      expect(message).toContain(`chmod 600 ${path}`)
      expect(message).not.toContain(before.trim())
    }
    expect(readFileSync(path, 'utf8')).toBe(before)
  })

  it.skipIf(process.getuid?.() !== 0)('is refused where it belongs to another user (needs root to make one)', () => {
    const path = join(directory, 'secret.key')
    keyFromFile(path)
    chownSync(path, 65_534, 65_534)
    expect(messageOf(() => keyFromFile(path))).toContain('belongs to another user')
  })

  it('is refused where it holds no key, and never overwritten', () => {
    const path = join(directory, 'secret.key')
    for (const text of ['', 'not a key', `${hexKey}${hexKey}`, 'x'.repeat(100_000)]) {
      writeFileSync(path, text, { mode: 0o600 })
      expect(messageOf(() => keyFromFile(path))).toContain(path)
      expect(readFileSync(path, 'utf8')).toBe(text)
    }
  })

  it('that a store needs is never made anew, and whatever is wrong with it the message says to put it back', () => {
    const path = join(directory, 'secret.key')
    const putBack = /put the original file back, or set DOWNLINK_SECRET_KEY/
    expect(() => keyFromFile(path, true)).toThrow(/is gone; /)
    expect(messageOf(() => keyFromFile(path, true))).toMatch(putBack)
    expect(readdirSync(directory)).toEqual([])
    writeFileSync(path, 'half a k', { mode: 0o600 })
    expect(messageOf(() => keyFromFile(path, true))).toMatch(putBack)
    expect(messageOf(() => keyFromFile(path, true))).not.toContain('openssl')
    expect(messageOf(() => keyFromFile(path))).toContain('openssl rand -hex 32')
    rmSync(path)
    mkdirSync(path, { mode: 0o700 })
    expect(messageOf(() => keyFromFile(path, true))).toMatch(putBack)
    expect(messageOf(() => keyFromFile(path))).toMatch(/is not a file; move it away/)
  })

  it.skipIf(process.getuid?.() === 0)('is refused with the next step where this user may not read it', () => {
    const path = join(directory, 'secret.key')
    keyFromFile(path)
    chmodSync(path, 0o000)
    expect(messageOf(() => keyFromFile(path))).toMatch(/cannot be read by this user; give it to the user/)
  })

  it('is refused where it is a directory, or its directory is missing', () => {
    mkdirSync(join(directory, 'secret.key'), { mode: 0o700 })
    expect(messageOf(() => keyFromFile(join(directory, 'secret.key')))).toContain('is not a file')
    expect(() => keyFromFile(join(directory, 'none', 'secret.key'))).toThrow(/ENOENT/)
  })
})

describe('the check value', () => {
  it('takes the first key, then only that one', async () => {
    const store = openMemory()
    await verifyKey(store, keyFromEnvironment(hexKey))
    const first = await store.secretCheck()
    expect(first).toMatch(/^v1:/)
    expect(first).not.toContain(keyFromEnvironment(hexKey).derive('secrets at rest').toString('base64url'))
    await verifyKey(store, keyFromEnvironment(base64Key))
    await expect(verifyKey(store, randomKey())).rejects.toThrow(/not the one that the secrets in the store/)
    await expect(verifyKey(store, randomKey())).rejects.toBeInstanceOf(SecretError)
    expect(await store.secretCheck()).toBe(first)
    await store.close()
  })

  it('refuses the slower of two first starts with different keys', async () => {
    const shared = new SharedCheck()
    const both = await Promise.allSettled([verifyKey(shared, randomKey()), verifyKey(shared, randomKey())])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })
})
