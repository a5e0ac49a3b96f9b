// Chance for the fuzzers: a small seeded generator, and the ways in which bytes, texts and JSON are spoilt. The same seed, stream and index give the
// same values on every machine. Not for secrets, and nothing here knows what is fuzzed.

/** sfc32, seeded by words that a hash spreads, so that neighbouring indexes have nothing in common. */
export class Random {
  #a: number
  #b: number
  #c: number
  #counter = 1

  constructor(seed: number, stream: string, index: number) {
    let hash = 0x811c9dc5 ^ seed
    const mix = (word: number): number => {
      hash = Math.imul(hash ^ word, 0x01000193)
      hash ^= hash >>> 15
      hash = Math.imul(hash, 0x2c1b3c6d)
      hash ^= hash >>> 12
      return hash
    }
    for (let i = 0; i < stream.length; i += 1) mix(stream.charCodeAt(i))
    this.#a = mix(index >>> 0)
    this.#b = mix(Math.floor(index / 2 ** 32))
    this.#c = mix(seed >>> 0)
    for (let i = 0; i < 8; i += 1) this.next()
  }

  /** 32 bits */
  next(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** 0 to n - 1 */
  below(n: number): number {
    return n <= 1 ? 0 : Math.floor((this.next() / 2 ** 32) * n)
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  /** True in `percent` of all cases. */
  chance(percent: number): boolean {
    return this.below(100) < percent
  }

  pick<T>(of: readonly [T, ...T[]] | readonly T[]): T {
    return of[this.below(of.length)] as T
  }

  /** Calls one of these. */
  either<T>(...makers: readonly (() => T)[]): T {
    return this.pick(makers)()
  }

  times<T>(low: number, high: number, make: (index: number) => T): T[] {
    return Array.from({ length: this.between(low, high) }, (_, index) => make(index))
  }

  bytes(low: number, high: number): Buffer {
    const bytes = Buffer.allocUnsafe(this.between(low, high))
    for (let i = 0; i < bytes.length; i += 1) bytes[i] = this.next()
    return bytes
  }

  /** The same things in another order. */
  shuffled<T>(of: readonly T[]): T[] {
    const all = [...of]
    for (let i = all.length - 1; i > 0; i -= 1) {
      const j = this.below(i + 1)
      const kept = all[i] as T
      all[i] = all[j] as T
      all[j] = kept
    }
    return all
  }
}

/** Bytes at which readers of bytes turn. */
const INTERESTING = [0x00, 0x01, 0x0a, 0x0d, 0x20, 0x22, 0x7f, 0x80, 0x81, 0xc0, 0xed, 0xff]

/** One to four small accidents. */
export function spoilBytes(random: Random, bytes: Buffer): Buffer {
  let spoilt = Buffer.from(bytes)
  for (let left = random.between(1, 4); left > 0; left -= 1) spoilt = spoilOnce(random, spoilt)
  return spoilt
}

function spoilOnce(random: Random, bytes: Buffer): Buffer<ArrayBuffer> {
  const at = random.below(bytes.length)
  const to = Math.min(bytes.length, at + random.between(1, 8))
  const put = (...parts: Uint8Array[]) => Buffer.concat(parts)
  switch (random.below(7)) {
    case 0:
      return put(
        bytes.subarray(0, at),
        Buffer.from([(bytes[at] ?? 0) ^ (1 << random.below(8))]),
        bytes.subarray(at + 1),
      )
    case 1:
      return put(bytes.subarray(0, at), Buffer.from([random.pick(INTERESTING)]), bytes.subarray(at + 1))
    case 2:
      return put(bytes.subarray(0, at), random.bytes(1, 6), bytes.subarray(at))
    case 3:
      return put(bytes.subarray(0, at), bytes.subarray(to))
    case 4:
      return put(bytes.subarray(0, at))
    case 5:
      return put(bytes.subarray(0, to), bytes.subarray(at))
    default:
      // A length field often lies two bytes before what it measures.
      return put(bytes.subarray(0, at), Buffer.from([random.below(2), random.next() & 0xff]), bytes.subarray(at + 2))
  }
}

/** Texts that readers of text trip over. */
export const ODD_TEXTS: readonly string[] = [
  ...[
    '',
    ' ',
    '\0',
    '\t',
    '\r\n',
    '\u007f',
    '\u0085',
    '\u2028',
    '\ufeff',
    '\ufffd',
    '\ud800',
    '\udfff\ud800',
    '\u202e',
  ],
  ...[
    'é',
    'e\u0301',
    'İ',
    'ß',
    '中文',
    '😀',
    '👩‍👩‍👧',
    '\u200b',
    '"',
    "'",
    '\\',
    '`',
    '%',
    '%00',
    '%zz',
    '%u0041',
    '&',
    '=',
    '+',
    '#',
  ],
  ...[
    'constructor',
    '__proto__',
    'prototype',
    'toString',
    'hasOwnProperty',
    'null',
    'undefined',
    'NaN',
    'true',
    '[object Object]',
  ],
  ...['0', '-0', '-1', '00', '1e3', '0x10', '1.5', '9007199254740993', '1e400', '99999999999999999999', '2147483648'],
  ...[
    "' or 1=1 --",
    '{{7*7}}',
    '../../etc/passwd',
    '<b>',
    '\u001b[31m',
    '*',
    '?',
    '[',
    '{',
    '$share/g/x',
    '+/#',
    '/sys//',
    '|',
    '||',
  ],
]

export function oddText(random: Random): string {
  const text = random.pick(ODD_TEXTS)
  if (random.chance(85)) return text
  return random.chance(90) ? text + random.pick(ODD_TEXTS) : (text || 'x').repeat(random.between(2, 400))
}

/** A key as the product takes it, or not quite. */
export const keyLike = (random: Random): string =>
  random.chance(80)
    ? random.times(1, 12, () => random.pick([...'abcXYZ019_.-'])).join('')
    : oddText(random) + random.pick(['', 'a', 'a'.repeat(64)])

/** Accidents of somebody who types: characters lost, doubled, swapped, and words of the grammar in the wrong place. */
export function spoilText(random: Random, text: string, words: readonly string[]): string {
  let spoilt = text
  for (let left = random.between(1, 4); left > 0; left -= 1) {
    const at = random.below(spoilt.length + 1)
    const to = Math.min(spoilt.length, at + random.between(1, 6))
    spoilt = random.either(
      () => spoilt.slice(0, at) + random.pick(words) + spoilt.slice(at),
      () => spoilt.slice(0, at) + random.pick(words) + spoilt.slice(to),
      () => spoilt.slice(0, at) + spoilt.slice(to),
      () => spoilt.slice(0, to) + spoilt.slice(at),
      () => spoilt.slice(0, at) + oddText(random) + spoilt.slice(at),
      () => spoilt.slice(0, at),
    )
  }
  return spoilt
}

/** A JSON value of any shape, mostly small. */
export function jsonValue(random: Random, depth = 3): unknown {
  if (depth > 0 && random.chance(40)) {
    if (random.chance(50)) return random.times(0, 4, () => jsonValue(random, depth - 1))
    return Object.fromEntries(random.times(0, 4, () => [jsonKey(random), jsonValue(random, depth - 1)]))
  }
  return random.either<unknown>(
    () => random.below(10),
    () => random.next() - 2 ** 31,
    () => random.next() / random.between(1, 1_000),
    () => random.pick([null, true, false, 0, -1, 1e21, 2 ** 53, -(2 ** 53), 5e-324]),
    () => oddText(random),
    () => keyLike(random),
  )
}

const jsonKey = (random: Random): string => (random.chance(70) ? keyLike(random) : oddText(random))

/** JSON text that is not quite what JSON.stringify prints: doubled keys, large numbers, depth, bad escapes, other spaces. */
export function spoilJson(random: Random, json: string): string {
  return random.either(
    () =>
      spoilText(random, json, [
        '{',
        '}',
        '[',
        ']',
        ',',
        ':',
        '"',
        '\\',
        '\\u',
        '\\u0000',
        '\\ud800',
        'null',
        '1e999',
        '0.',
        '-',
      ]),
    () => json.replace(/\{/, '{"a":1,"a":2,'),
    () =>
      json.replace(
        /-?\d+/,
        random.pick(['9007199254740993', '1e400', '-0', '1.0', '00', '123456789012345678901234567890', '1e2']),
      ),
    () => '['.repeat(random.between(1, 60)) + json + ']'.repeat(random.between(1, 60)),
    () => `${random.pick(['\ufeff', ' \n', '\0', '//\n'])}${json}`,
    () => json.replace(/"([a-zA-Z])/, (_all, letter: string) => `"\\u00${letter.charCodeAt(0).toString(16)}`),
  )
}
