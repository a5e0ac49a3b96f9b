// Codecs: real modules in real processes. What a good one does, and that whatever a bad one does is a failed call with a reason and nothing else.
// Time limits are tested on a clock that the test moves, so that a slow machine is no failure.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { SystemClock } from '../src/clock.ts'
import { Codecs, type CodecsOptions } from '../src/codec/codec.ts'
import {
  CODEC_CALL_MS,
  CODEC_LINE_MAX_CHARS,
  CODEC_LINES_LOGGED_PER_S,
  CODEC_LOAD_MS,
  CODEC_LOOK_EVERY_MS,
  CODEC_LOSSES_MAX,
  CODEC_OUTPUT_MAX_CHARS_PER_S,
  CODEC_QUEUE_MAX_BYTES,
  CODEC_QUEUE_MAX_CALLS,
  CODEC_REST_MS,
  CODEC_RESULT_MAX_BYTES,
  JSON_MAX_DEPTH,
} from '../src/core/limits.ts'
import { ManualClock } from './rig/clock.ts'

const root = resolve(import.meta.dirname, '..')
const folder = mkdtempSync(join(tmpdir(), 'downlink-codec-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Tells when something has begun to wait for a time from now, and only then is there a point in moving on. */
class WatchedClock extends ManualClock {
  readonly #timers = new Set<{ readonly instant: number }>()
  readonly #looking = new Set<() => void>()

  override at(instant: number, run: () => void): () => void {
    const timer = { instant }
    const cancel = super.at(instant, () => {
      this.#timers.delete(timer)
      run()
    })
    this.#timers.add(timer)
    for (const look of this.#looking) look()
    return () => {
      this.#timers.delete(timer)
      cancel()
    }
  }

  armed(ms: number): Promise<void> {
    return new Promise(resolve => {
      const look = (): void => {
        if (![...this.#timers].some(timer => timer.instant === this.now() + ms)) return
        this.#looking.delete(look)
        resolve()
      }
      this.#looking.add(look)
      look()
    })
  }

  /** Waits until something waits for this long, and lets it have waited. */
  async pass(ms: number): Promise<void> {
    await this.armed(ms)
    await this.advance(ms, turn)
  }

  move(ms: number): Promise<void> {
    return this.advance(ms, turn)
  }
}

interface Line {
  readonly level: 'info' | 'warn'
  readonly message: string
  readonly fields: { readonly text?: string; readonly leftOut?: number; readonly reason?: string }
}

let folders = 0
const opened: Codecs[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map(codecs => codecs.close()))
})

function open(modules: Record<string, string>, options: Partial<CodecsOptions> = {}) {
  folders += 1
  const dir = join(folder, String(folders))
  mkdirSync(dir)
  const write = (productKey: string, text: string): void => writeFileSync(join(dir, `${productKey}.mjs`), text)
  for (const [productKey, text] of Object.entries(modules)) write(productKey, text)
  const clock = new WatchedClock()
  const lines: Line[] = []
  const log = {
    info: (fields: object, message: string) => void lines.push({ level: 'info', message, fields }),
    warn: (fields: object, message: string) => void lines.push({ level: 'warn', message, fields }),
  }
  const codecs = new Codecs({ dir, clock, log, ...options })
  opened.push(codecs)
  const said = (productKey: string, text: string) => codecs.decode(productKey, Buffer.from(text))
  /** how often a module that runs `loading` was loaded */
  const loads = (productKey: string): number =>
    existsSync(join(dir, `${productKey}.loads`)) ? readFileSync(join(dir, `${productKey}.loads`), 'utf8').length : 0
  return { dir, write, clock, lines, codecs, said, loads }
}

/** Leaves a mark for each process that loads the module. */
const loading = (productKey: string): string =>
  `import { appendFileSync } from 'node:fs'; appendFileSync('${productKey}.loads', '.')\n`
const json = `export const encode = message => Buffer.from(JSON.stringify(message))
export const decode = bytes => JSON.parse(bytes.toString())
`
/** decode answers with its process, or does what the text says */
const obeys = `export const encode = message => new Uint8Array([message.id])
export function decode(bytes) {
  const order = bytes.toString()
  if (order === 'spin') for (;;);
  if (order === 'never') return new Promise(() => {})
  if (order === 'exit') process.exit(3)
  if (order === 'throw') throw new RangeError('out of range')
  if (order === 'heap') new Array(2 ** 27).fill(0)
  if (order === 'buffers') globalThis.kept = Buffer.alloc(300_000_000, 1)
  if (order === 'leave') setImmediate(() => process.exit(4))
  return { order, pid: process.pid }
}
`

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('a good codec', () => {
  it('translates both ways, and may be asynchronous', async () => {
    const { codecs } = open({
      plain: json,
      later: `export const encode = async message => { await null; return new Uint8Array([7, message.code]) }
        export const decode = bytes => Promise.resolve({ id: bytes.readUInt8(1).toString(), code: bytes.length })`,
    })
    const command = { id: '1700000000000000001', version: '1.0', method: 'thing.service.reboot', params: { a: [1.5] } }
    const encoded = await codecs.encode('plain', command)
    expect(encoded.ok && Buffer.isBuffer(encoded.value) && JSON.parse(encoded.value.toString())).toEqual(command)
    const value = { id: '1700000000000000001', code: 200, data: { deep: [{ x: null }, true, 'é\u0000'] } }
    expect(await codecs.decode('plain', Buffer.from(JSON.stringify(value)))).toEqual({ ok: true, value })
    expect(await codecs.encode('later', { id: '1', code: 200 })).toEqual({ ok: true, value: Buffer.from([7, 200]) })
    expect(await codecs.decode('later', Buffer.from([0, 9]))).toEqual({ ok: true, value: { id: '9', code: 2 } })
  })

  it('may return no bytes, as many as are allowed, and members that are undefined', async () => {
    const { codecs } = open({
      sizes: `export const encode = ({ bytes }) => new Uint8Array(bytes)
        export const decode = bytes => ({ text: 'x'.repeat(bytes.readUInt32BE()), gone: undefined })`,
    })
    for (const bytes of [0, CODEC_RESULT_MAX_BYTES])
      expect(await codecs.encode('sizes', { bytes }).then(result => result.ok && result.value.length)).toBe(bytes)
    const chars = CODEC_RESULT_MAX_BYTES - '{"text":""}'.length
    const length = Buffer.alloc(4)
    length.writeUInt32BE(chars)
    expect(await codecs.decode('sizes', length)).toEqual({ ok: true, value: { text: 'x'.repeat(chars) } })
  })

  it('sees nothing of the server but what it is given', async () => {
    const { said, dir } = open({
      p: `export const encode = () => new Uint8Array()
        export const decode = bytes => ({ env: Object.keys(process.env), cwd: process.cwd(), isBuffer: Buffer.isBuffer(bytes),
          send: typeof process.send, stdin: process.stdin.read() })`,
    })
    const seen = { env: [], cwd: realpathSync(dir), isBuffer: true, send: 'undefined', stdin: null }
    expect(await said('p', '')).toEqual({ ok: true, value: seen })
  })

  it('is asked in order, one call at a time', async () => {
    const { codecs } = open({
      counts: `let running = 0, last = 0
        export const encode = () => new Uint8Array()
        export async function decode(bytes) {
          if (running > 0) throw new Error('two at a time')
          running += 1
          await new Promise(resolve => setTimeout(resolve, bytes.length % 3))
          running -= 1
          last += 1
          return { given: bytes.readUInt16BE(), taken: last }
        }`,
    })
    const calls = Array.from({ length: 20 }, (_, index) => {
      const bytes = Buffer.alloc(2 + index)
      bytes.writeUInt16BE(index + 1)
      const call = codecs.decode('counts', bytes)
      // The call has its own copy.
      bytes.fill(0xff)
      return call
    })
    const results = await Promise.all(calls)
    expect(results).toEqual(calls.map((_, index) => ({ ok: true, value: { given: index + 1, taken: index + 1 } })))
  })

  it('is taken up anew when its file has changed, appears or is removed', async () => {
    const { said, write, dir, clock } = open({})
    const module = (version: number) =>
      `export const encode = () => new Uint8Array(), decode = () => ({ version: ${version} })`
    expect(await said('p', '')).toEqual({
      ok: false,
      reason: `codec p.mjs: ${join(dir, 'p.mjs')} does not exist: the module of product p is expected there`,
    })
    write('p', module(1))
    await clock.move(CODEC_LOOK_EVERY_MS)
    expect(await said('p', '')).toEqual({ ok: true, value: { version: 1 } })
    write('p', module(22))
    expect(await said('p', '')).toEqual({ ok: true, value: { version: 1 } })
    await clock.move(CODEC_LOOK_EVERY_MS)
    expect(await said('p', '')).toEqual({ ok: true, value: { version: 22 } })
    rmSync(join(dir, 'p.mjs'))
    await clock.move(CODEC_LOOK_EVERY_MS)
    expect(await said('p', '')).toMatchObject({ ok: false, reason: expect.stringContaining('does not exist') })
  })

  it('hears nothing of signals that are meant for the server', async () => {
    const { codecs, said } = open({ p: obeys })
    const pid = await said('p', 'pid').then(result => (result.ok ? (result.value as { pid: number }).pid : 0))
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(pid, signal)
    expect(await said('p', 'after')).toEqual({ ok: true, value: { order: 'after', pid } })
    await codecs.close()
    expect(isAlive(pid)).toBe(false)
  })
})

describe('what a codec returns or throws', () => {
  // What decode does, and why the call failed. All in one process, which goes on.
  const wrong: [string, string | RegExp][] = [
    ['throw new RangeError("out of range")', 'decode threw RangeError: out of range'],
    ['throw "text"', 'decode threw a string'],
    ['throw undefined', 'decode threw undefined'],
    ['return Promise.reject(new Error("later"))', 'decode threw Error: later'],
    ['throw new Error("two\\nlines\\u001b[2J")', 'decode threw Error: two\\u000alines\\u001b[2J'],
    ['throw new Error("x".repeat(1e6))', /^decode threw Error: x{490,500}$/],
    ['const f = () => f() + 1; return f()', 'decode threw RangeError: Maximum call stack size exceeded'],
    ['return', 'decode returned undefined, and not an object'],
    ['return null', 'decode returned null, and not an object'],
    ['return "{}"', 'decode returned a string, and not an object'],
    ['return [{}]', 'decode returned an array, and not an object'],
    ['return new Map()', 'decode returned an object that is not JSON: it is a Map'],
    ['return Buffer.from("{}")', 'decode returned an object that is not JSON: it is a Buffer'],
    ['return new (class Reply {})()', 'decode returned an object that is not JSON: it is a Reply'],
    ['return { at: new Date(0) }', 'decode returned an object that is not JSON: at is a Date'],
    ['return { params: { raw: new Uint8Array(2) } }', /: params\.raw is a Uint8Array$/],
    ['return { id: 5n }', 'decode returned an object that is not JSON: id is a bigint'],
    ['return { list: [1, NaN] }', 'decode returned an object that is not JSON: list[1] is NaN'],
    ['return { value: -Infinity }', 'decode returned an object that is not JSON: value is -Infinity'],
    ['return { list: [undefined] }', 'decode returned an object that is not JSON: list[0] is undefined'],
    ['return { list: new Array(1e9) }', 'decode returned an object that is not JSON: list[0] is undefined'],
    ['return { toJSON: () => "x" }', 'decode returned an object that is not JSON: toJSON is a function'],
    ['const loop = {}; loop.loop = loop; return loop', `it is nested deeper than ${JSON_MAX_DEPTH} levels`],
    [
      'return { count: 2 ** 60 }',
      /decode returned an object in which count is a whole number that would be rounded: 11529/,
    ],
    [
      'return JSON.parse(\'{"__proto__":{}}\')',
      'decode returned an object in which __proto__ is a key that is not allowed',
    ],
    [
      `return { text: 'é'.repeat(${CODEC_RESULT_MAX_BYTES / 2}) }`,
      `decode returned an object of ${CODEC_RESULT_MAX_BYTES + 11} bytes as JSON; ${CODEC_RESULT_MAX_BYTES} are allowed`,
    ],
  ]
  const encoded: [string, string][] = [
    ['return "bytes"', 'encode returned a string, and not a Uint8Array'],
    ['return [1, 2]', 'encode returned an array, and not a Uint8Array'],
    ['return new ArrayBuffer(2)', 'encode returned an ArrayBuffer, and not a Uint8Array'],
    ['return new Uint16Array(2)', 'encode returned a Uint16Array, and not a Uint8Array'],
    ['return', 'encode returned undefined, and not a Uint8Array'],
    [
      `return new Uint8Array(${CODEC_RESULT_MAX_BYTES + 1})`,
      `encode returned ${CODEC_RESULT_MAX_BYTES + 1} bytes; ${CODEC_RESULT_MAX_BYTES} are allowed`,
    ],
    ['throw new TypeError("no such point")', 'encode threw TypeError: no such point'],
  ]
  const cases = (bodies: readonly string[]): string => bodies.map(body => `() => { ${body} }`).join(',\n')

  it('is a failed call with a reason, and the process goes on', async () => {
    const { codecs, loads } = open({
      p: `${loading('p')}const wrong = [${cases(wrong.map(([body]) => body))}]
        const encoded = [${cases(encoded.map(([body]) => body))}]
        export const encode = ({ index }) => encoded[index]()
        export const decode = bytes => wrong[bytes.readUInt8()]()`,
    })
    for (const [index, [, reason]] of wrong.entries()) {
      const result = await codecs.decode('p', Buffer.from([index]))
      expect(result.ok).toBe(false)
      const said = result.ok ? '' : result.reason.replace(/^codec p\.mjs: /, '')
      if (typeof reason === 'string') expect(said.endsWith(reason), said).toBe(true)
      else expect(said).toMatch(reason)
    }
    for (const [index, [, reason]] of encoded.entries())
      expect(await codecs.encode('p', { index })).toEqual({ ok: false, reason: `codec p.mjs: ${reason}` })
    expect(loads('p')).toBe(1)
  })

  it('is checked again outside, should something else in the process answer in its place', async () => {
    const { codecs, said } = open({
      p: `let forged
        process.on('message', ({ seq }) => process._send({ seq, ok: true, value: forged }))
        export const encode = message => { forged = message.forged; return new Uint8Array([1]) }
        export const decode = bytes => { forged = bytes.toString(); return {} }`,
    })
    const none = { ok: false, reason: 'codec p.mjs: its process gave an answer that is none' }
    expect(await codecs.encode('p', { forged: 42 })).toEqual(none)
    expect(await codecs.encode('p', { forged: 'text' })).toEqual(none)
    expect(await said('p', '[]')).toEqual(none)
    expect(await said('p', '{"a":1,"a":2}')).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/a is given twice/),
    })
    expect(await said('p', 'x'.repeat(CODEC_RESULT_MAX_BYTES + 1))).toEqual(none)
    expect(await said('p', '{"a":1}')).toEqual({ ok: true, value: { a: 1 } })
  })
})

describe('a codec that does not load', () => {
  const broken: [string, RegExp][] = [
    ['export function decode( {', /^cannot be loaded: load threw SyntaxError: /],
    ['import "./nowhere.mjs"', /^cannot be loaded: load threw Error: Cannot find module .*nowhere\.mjs/],
    ['throw new Error("no licence")', /^cannot be loaded: load threw Error: no licence;/],
    ['export const decode = () => ({})', /^cannot be loaded: the module exports no function encode;/],
    ['export const encode = () => 0, decode = {}', /^cannot be loaded: the module exports no function decode;/],
    ['process.exit(7)', /^cannot be loaded: ended its process with exit code 7;/],
    ['setTimeout(() => { throw new Error("by itself") }); await new Promise(() => {})', /^cannot be loaded: ended its/],
  ]
  it('fails every call with the reason, and is not loaded again until it has rested', async () => {
    const modules = broken.map(([text], index) => [`p${index}`, `${loading(`p${index}`)}${text}`] as const)
    const { said, loads } = open(Object.fromEntries(modules))
    await Promise.all(
      broken.map(async ([, reason], index) => {
        for (const result of [await said(`p${index}`, ''), await said(`p${index}`, '')])
          expect(result.ok ? '' : result.reason.replace(/^codec p\d\.mjs: /, '')).toMatch(reason)
        expect(loads(`p${index}`)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('may also never come to an end with it', async () => {
    const { said, clock, write } = open({ p: 'for (;;);', q: 'await new Promise(() => {})' })
    const calls = [said('p', ''), said('q', '')]
    await clock.pass(CODEC_LOAD_MS)
    // Whichever of the two began to wait later.
    await clock.move(CODEC_LOAD_MS)
    const rest = 'it is tried again within 10 s, or at once when its file has changed'
    for (const [index, name] of ['p', 'q'].entries())
      expect(await calls[index]).toEqual({
        ok: false,
        reason: `codec ${name}.mjs: cannot be loaded: did not return within ${CODEC_LOAD_MS} ms; ${rest}`,
      })
    write('p', json)
    await clock.move(CODEC_LOOK_EVERY_MS)
    expect(await said('p', '{}')).toEqual({ ok: true, value: {} })
  })

  it('may be no file, or not be there at all', async () => {
    const { codecs, said, dir } = open({})
    mkdirSync(join(dir, 'folder.mjs'))
    writeFileSync(join(dir, 'other.js'), json)
    const reason = async (productKey: string) => said(productKey, '').then(result => !result.ok && result.reason)
    expect(await reason('folder')).toContain('folder.mjs is no file: the module of product folder is expected there')
    expect(await reason('other')).toContain(`${join(dir, 'other.mjs')} does not exist`)
    for (const productKey of ['../p', 'a/b', '', 'x'.repeat(65)])
      expect(await reason(productKey)).toMatch(/is no productKey$/)
    expect(await codecs.encode('p', { big: 1n })).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/not JSON/),
    })
    const without = open({}, { dir: null })
    expect(await without.said('p', '')).toEqual({
      ok: false,
      reason: 'product p has no codec: name a folder with --codecs, its module there is p.mjs',
    })
    expect(await without.codecs.products()).toEqual({ ok: true, value: [] })
  })

  it('is told by the list of those that are there', async () => {
    const { codecs, write, dir } = open({ b: json, a: json })
    write('not a key', json)
    writeFileSync(join(dir, 'README.md'), '')
    expect(await codecs.products()).toEqual({ ok: true, value: ['a', 'b'] })
    const misspelt = open({}, { dir: join(dir, 'nowhere') })
    expect(await misspelt.codecs.products()).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/nowhere cannot be read: ENOENT/),
    })
    expect(await misspelt.said('p', '')).toMatchObject({ ok: false, reason: expect.stringContaining('does not exist') })
  })
})

describe('a codec that harms its process', () => {
  it('fails the call that did it, and the next one has a new process', async () => {
    const { said, clock, lines } = open({ p: obeys })
    const pid = async () => said('p', 'pid').then(result => (result.ok ? (result.value as { pid: number }).pid : 0))
    const pids = [await pid()]
    const harmed: [string, RegExp][] = [
      ['exit', /^codec p\.mjs: ended its process with exit code 3$/],
      // One allocation that no heap limit of a thread would have contained: the whole process is aborted.
      ['heap', /^codec p\.mjs: was aborted, most likely for want of memory: its heap has 64 MiB$/],
    ]
    for (const [order, reason] of harmed) {
      expect(await said('p', order)).toEqual({ ok: false, reason: expect.stringMatching(reason) })
      pids.push(await pid(), await pid())
    }
    for (const order of ['spin', 'never']) {
      const call = said('p', order)
      await clock.pass(CODEC_CALL_MS)
      expect(await call).toEqual({ ok: false, reason: `codec p.mjs: did not return within ${CODEC_CALL_MS} ms` })
      pids.push(await pid(), await pid())
    }
    // A process that holds too much has still answered.
    expect(await said('p', 'buffers')).toMatchObject({ ok: true })
    pids.push(await pid())
    expect(new Set(pids).size).toBe(6)
    expect(pids).not.toContain(0)
    const losses = lines.filter(line => line.message === 'a codec lost its process')
    expect(losses.map(line => line.fields.reason?.replace(/\d+ MiB of/, 'n MiB of'))).toEqual([
      'ended its process with exit code 3',
      'was aborted, most likely for want of memory: its heap has 64 MiB',
      ...Array.from({ length: 2 }, () => `did not return within ${CODEC_CALL_MS} ms`),
      'holds n MiB of memory; 256 are allowed',
    ])
    expect(lines.some(line => /heap out of memory/.test(line.fields.text ?? ''))).toBe(true)
  })

  it('does no harm to others', async () => {
    const { said } = open({ bad: obeys, good: json }, { clock: new SystemClock() })
    await Promise.all([said('bad', 'warm'), said('good', '{}')])
    const bad = said('bad', 'spin')
    let answered = 0
    let isOver = false
    void bad.then(() => {
      isOver = true
    })
    while (!isOver) {
      expect(await said('good', '{"id":"1"}')).toEqual({ ok: true, value: { id: '1' } })
      answered += 1
    }
    expect(await bad).toEqual({ ok: false, reason: `codec bad.mjs: did not return within ${CODEC_CALL_MS} ms` })
    // Some thousand on an idle machine; none took longer than it may, or it would have failed.
    expect(answered).toBeGreaterThan(10)
    expect(await said('bad', 'well')).toMatchObject({ ok: true })
  })

  it('is given a rest after a few times in a row, and calls fail at once meanwhile', async () => {
    const { said, clock, loads, lines } = open({ p: loading('p') + obeys })
    const hangs = Array.from({ length: CODEC_LOSSES_MAX }, () => said('p', 'spin'))
    const behind = said('p', 'pid')
    for (const _ of hangs) await clock.pass(CODEC_CALL_MS)
    await Promise.all(hangs)
    const rest = 'it is tried again within 10 s, or at once when its file has changed'
    const reason = `codec p.mjs: did not return within ${CODEC_CALL_MS} ms, ${CODEC_LOSSES_MAX} times in a row; ${rest}`
    expect(await behind).toEqual({ ok: false, reason })
    expect(await said('p', 'pid')).toEqual({ ok: false, reason })
    expect(loads('p')).toBe(CODEC_LOSSES_MAX)
    expect(lines.at(-1)).toMatchObject({ level: 'warn', message: 'a codec is given a rest' })
    // One more try, and the rest goes on.
    await clock.move(CODEC_REST_MS)
    const again = said('p', 'spin')
    await clock.pass(CODEC_CALL_MS)
    expect(await again).toMatchObject({ ok: false })
    expect(await said('p', 'pid')).toMatchObject({ ok: false, reason: expect.stringContaining('4 times in a row') })
    expect(loads('p')).toBe(CODEC_LOSSES_MAX + 1)
    await clock.move(CODEC_REST_MS)
    expect(await said('p', 'pid')).toMatchObject({ ok: true })
  })

  it('is tried at once when its file has changed', async () => {
    const { said, clock, write } = open({ p: obeys })
    for (let loss = 0; loss < CODEC_LOSSES_MAX; loss += 1) await said('p', 'exit')
    expect(await said('p', 'pid')).toMatchObject({ ok: false, reason: expect.stringContaining('tried again') })
    write('p', `// corrected\n${obeys}`)
    await clock.move(CODEC_LOOK_EVERY_MS)
    expect(await said('p', 'pid')).toMatchObject({ ok: true })
  })

  it('is not given a rest for what a few payloads among many do', async () => {
    const { said } = open({ p: obeys })
    for (let loss = 0; loss < 2 * CODEC_LOSSES_MAX; loss += 1) {
      expect(await said('p', 'exit')).toMatchObject({ ok: false })
      for (const order of ['one', 'two']) expect(await said('p', order)).toMatchObject({ ok: true })
    }
  })

  it('is given a rest where each process dies of what its only answer left behind', async () => {
    const { said, loads } = open({ p: loading('p') + obeys })
    let calls = 0
    let reason = ''
    while (!/times in a row/.test(reason) && calls < 4 * CODEC_LOSSES_MAX) {
      const result = await said('p', 'leave')
      reason = result.ok ? '' : result.reason
      calls += 1
    }
    expect(reason).toMatch(/ended its process with exit code 4, 3 times in a row/)
    expect(loads('p')).toBe(CODEC_LOSSES_MAX)
  })

  it('is not called late because the server was: what it answered in time counts', async () => {
    const { said, clock, dir } = open({
      p: `import { writeFileSync } from 'node:fs'
        export const encode = () => new Uint8Array()
        export function decode() { setTimeout(() => writeFileSync('answered', ''), 20); return { id: '1' } }`,
    })
    await said('p', '')
    rmSync(join(dir, 'answered'), { force: true })
    const call = said('p', '')
    await clock.armed(CODEC_CALL_MS)
    // The loop stands still while the codec answers, and its time has run out before the answer is read.
    const deadline = performance.now() + 10_000
    while (!existsSync(join(dir, 'answered')) && performance.now() < deadline);
    await clock.move(CODEC_CALL_MS)
    expect(await call).toEqual({ ok: true, value: { id: '1' } })
  })

  it('does not outlive a server that is killed, even where it spins', async () => {
    const { dir } = open({ p: 'console.log("spinning"); for (;;);' })
    const program = join(root, 'src/codec/codec-process.mjs')
    const server = `const { fork } = require('node:child_process')
      const codec = fork(${JSON.stringify(program)}, ['1', '1', '1'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], serialization: 'advanced' })
      codec.send({ seq: 1, type: 'load', payload: ${JSON.stringify(pathToFileURL(join(dir, 'p.mjs')).href)} })`
    const running = spawn(process.execPath, ['-e', server], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = once(running.stdout, 'close')
    await once(running.stdout, 'data')
    running.kill('SIGKILL')
    // Both held the pipe: it closes when the last of them is gone.
    await ended
  })
})

describe('what a codec prints', () => {
  const prints = `export const encode = () => new Uint8Array()
    export function decode(bytes) { const order = bytes.toString(); eval(order); return {} }`
  const texts = (lines: readonly Line[]) =>
    lines.filter(line => line.message === 'a codec printed').map(line => [line.level, line.fields.text])

  it('goes to the log, line by line, a few a second', async () => {
    const { said, lines, clock } = open({ p: prints })
    await said('p', 'console.log("one\\ntwo"); console.error("worse"); process.stdout.write("half")')
    await said('p', 'process.stdout.write(" a line\\n" + "x".repeat(1e5) + "\\n")')
    await said('p', 'for (let i = 0; i < 50; i += 1) console.log(i)')
    const [first, second, third, ...more] = texts(lines)
    expect([first, second, third].sort()).toEqual(
      [
        ['info', 'one'],
        ['info', 'two'],
        ['warn', 'worse'],
      ].sort(),
    )
    expect(more).toEqual([
      ['info', 'half a line'],
      ['info', 'x'.repeat(CODEC_LINE_MAX_CHARS)],
      ...Array.from({ length: CODEC_LINES_LOGGED_PER_S - 5 }, (_, index) => ['info', String(index)]),
    ])
    await clock.move(1_000)
    await said('p', 'console.log("later")')
    expect(lines.at(-1)).toMatchObject({
      level: 'info',
      message: 'a codec printed',
      fields: { productKey: 'p', text: 'later', leftOut: 50 - (CODEC_LINES_LOGGED_PER_S - 5) },
    })
  })

  it('is not read any further in a second that has brought too much, but in the next', async () => {
    const { said, lines, clock } = open({ p: prints })
    const chars = CODEC_OUTPUT_MAX_CHARS_PER_S + 300_000
    expect(await said('p', `process.stdout.write("x".repeat(${chars}) + "\\nend\\n")`)).toMatchObject({ ok: true })
    await clock.armed(1_000)
    expect(texts(lines)).toEqual([])
    await clock.move(1_000)
    await said('p', 'console.error("read")')
    while (texts(lines).length < 3) await turn()
    expect(texts(lines).filter(([level]) => level === 'info')).toEqual([
      ['info', 'x'.repeat(CODEC_LINE_MAX_CHARS)],
      ['info', 'end'],
    ])
  })
})

describe('bounds', () => {
  it('hold for the calls of one product that wait', async () => {
    const { said, codecs, clock } = open({ p: obeys })
    const spin = said('p', 'spin')
    await clock.armed(CODEC_CALL_MS)
    const large = Buffer.alloc(CODEC_QUEUE_MAX_BYTES / 4, 'x')
    const full = { ok: false, reason: 'codec p.mjs: too many calls are waiting for it' }
    const waiting = Array.from({ length: 4 }, () => codecs.decode('p', large))
    expect(await said('p', 'x')).toEqual(full)
    await clock.move(CODEC_CALL_MS)
    await Promise.all([spin, ...waiting])
    const blocked = said('p', 'spin')
    await clock.armed(CODEC_CALL_MS)
    const many = Array.from({ length: CODEC_QUEUE_MAX_CALLS }, () => said('p', 'x'))
    expect(await said('p', 'x')).toEqual(full)
    expect(await said('q', 'x')).toMatchObject({ ok: false, reason: expect.stringContaining('does not exist') })
    await clock.move(CODEC_CALL_MS)
    await blocked
    expect((await Promise.all(many)).every(result => result.ok)).toBe(true)
    expect(await said('p', 'x')).toMatchObject({ ok: true })
  })

  it('hold for processes: products take turns, and the one not called for longest goes', async () => {
    const processesMax = 2
    // Each process writes itself down and finds out how many of those before it are still there.
    const module = `import { appendFileSync, readFileSync } from 'node:fs'
      appendFileSync('pids', process.pid + '\\n')
      const alive = pid => { try { return process.kill(pid, 0) } catch { return false } }
      const pids = readFileSync('pids', 'utf8').trim().split('\\n').map(Number).filter(alive)
      export const encode = () => new Uint8Array()
      export const decode = () => ({ pid: process.pid, together: pids.length })`
    const keys = ['a', 'b', 'c', 'd', 'e']
    const { said } = open(Object.fromEntries(keys.map(key => [key, module])), { processesMax })
    const ask = async (key: string): Promise<{ pid: number; together: number }> => {
      const result = await said(key, '')
      if (!result.ok) throw new Error(result.reason)
      return result.value as { pid: number; together: number }
    }
    const a = await ask('a')
    const b = await ask('b')
    expect(await ask('a')).toEqual(a)
    // c takes the place of b, which was not called for longer than a.
    await ask('c')
    expect(await ask('a')).toEqual(a)
    expect(isAlive(b.pid)).toBe(false)
    const answers = await Promise.all(keys.flatMap(key => [ask(key), ask(key)]))
    expect(Math.max(...answers.map(answer => answer.together))).toBeLessThanOrEqual(processesMax)
    expect(new Set(answers.map(answer => answer.pid)).size).toBeGreaterThanOrEqual(keys.length)
  })
})

describe('closing', () => {
  it('ends what is under way and tells everyone', async () => {
    const { codecs, said, clock } = open({ p: obeys, q: obeys })
    const before = await said('p', 'pid')
    const pid = before.ok ? (before.value as { pid: number }).pid : 0
    const calls = [said('p', 'spin'), said('p', 'pid'), said('q', 'pid')]
    await clock.armed(CODEC_CALL_MS)
    await Promise.all([codecs.close(), codecs.close()])
    expect(isAlive(pid)).toBe(false)
    const [spin, behind] = await Promise.all(calls)
    for (const result of [spin, behind])
      expect(result).toEqual({ ok: false, reason: 'codec p.mjs: the server is stopping' })
    expect(await said('p', 'pid')).toEqual({ ok: false, reason: 'the server is stopping' })
  })

  it('does not wait for places either', async () => {
    const { codecs, said, clock } = open({ p: obeys, q: obeys }, { processesMax: 1 })
    const spin = said('p', 'spin')
    await clock.armed(CODEC_CALL_MS)
    const waiting = said('q', 'pid')
    await turn()
    await codecs.close()
    expect(await Promise.all([spin, waiting])).toMatchObject([{ ok: false }, { ok: false }])
  })

  it('is nothing where nothing was called', async () => {
    await open({}).codecs.close()
  })
})

describe('the example', () => {
  const key = 'rAwPump1'
  const dir = join(root, 'examples/codecs')
  const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex')
  const id = '7001695034470350849'

  it('translates commands, answers and reports', async () => {
    const { codecs } = open({}, { dir })
    const command = (method: string, params: object) => codecs.encode(key, { id, version: '1.0', method, params })
    const set = await command('thing.service.measurepoint.set', { setpoint: 21.5 })
    // kind, number, id, code, tag and length and value, checksum
    const frame = bytes('01 00 612b04898b38c001 0000 0208 4035800000000000 ea80')
    expect(set).toEqual({ ok: true, value: frame })
    const invoked = await command('thing.service.calibrate', { reference: 1.5, passes: 3 })
    expect(invoked.ok && [invoked.value[0], invoked.value[1]]).toEqual([2, 2])
    // What the pump sends has the form of what it is sent, so its own frames can be made from ours.
    const answer = await codecs.encode(key, { id, code: 200, data: {}, message: '' })
    expect(answer.ok && (await codecs.decode(key, answer.value))).toEqual({
      ok: true,
      value: { id, code: 200, data: {} },
    })
    const report = reported(frame, 4, 0)
    expect(await codecs.decode(key, report)).toEqual({
      ok: true,
      value: { id, version: '1.0', method: 'thing.measurepoint.post', params: { measurepoints: { setpoint: 21.5 } } },
    })
    const event = reported(frame, 5, 1)
    expect(await codecs.decode(key, event)).toMatchObject({
      ok: true,
      value: { id, method: 'thing.event.overheated.post', params: { events: { setpoint: 21.5 } } },
    })
  })

  it('refuses what does not fit, with a reason', async () => {
    const { codecs } = open({}, { dir })
    const encode = (method: string, params: object) => codecs.encode(key, { id, version: '1.0', method, params })
    const set = (params: object) => encode('thing.service.measurepoint.set', params)
    const whole = await set({ label: 'é', Int_value: -1 })
    const frame = whole.ok ? whole.value : bytes('')
    expect(frame.length).toBe(12 + 4 + 6 + 2)
    const refused: [Promise<unknown>, RegExp][] = [
      [set({ nonsense: 1 }), /encode threw Error: the pump knows no nonsense/],
      [set({ Int_value: 2 ** 31 }), /encode threw RangeError: .*out of range/],
      [set({ label: 'x'.repeat(256) }), /encode threw RangeError: /],
      [encode('thing.service.explode', {}), /the pump has no service explode/],
      [codecs.decode(key, bytes('0102')), /a frame has at least 14 bytes, this one 2/],
      [codecs.decode(key, flipped(frame)), /the checksum does not fit/],
      [codecs.decode(key, reported(frame, 9, 0)), /there is no frame of kind 9 and number 0/],
      [codecs.decode(key, reported(frame.subarray(0, -4), 4, 0)), /field Int_value has a wrong length/],
    ]
    for (const [call, reason] of refused)
      expect(await call).toEqual({ ok: false, reason: expect.stringMatching(reason) })
  })

  const flipped = (frame: Buffer): Buffer => Buffer.from(frame.map((byte, index) => (index === 13 ? byte ^ 1 : byte)))

  /** The frame with another kind and number, and the checksum that belongs to it. */
  function reported(frame: Buffer, kind: number, number: number): Buffer {
    const made = Buffer.from(frame)
    made[0] = kind
    made[1] = number
    let crc = 0xffff
    for (const byte of made.subarray(0, -2)) {
      crc ^= byte
      for (let bit = 0; bit < 8; bit += 1) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1
    }
    made.writeUInt16BE(crc, made.length - 2)
    return made
  }
})

describe('the bundle', () => {
  it('finds the program of the processes beside itself', async () => {
    const outdir = join(folder, 'bundle')
    await build({
      entryPoints: [join(root, 'src/codec/codec.ts')],
      outdir,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    })
    copyFileSync(join(root, 'src/codec/codec-process.mjs'), join(outdir, 'codec-process.mjs'))
    expect(readFileSync(join(root, 'scripts/build.mjs'), 'utf8')).toContain(
      "cpSync('src/codec/codec-process.mjs', join(outdir, 'codec-process.mjs'))",
    )
    const { Codecs: Bundled } = (await import(pathToFileURL(join(outdir, 'codec.mjs')).href)) as {
      Codecs: typeof Codecs
    }
    const { dir, clock } = open({ p: json })
    const codecs = new Bundled({ dir, clock, log: { info: () => undefined, warn: () => undefined } })
    opened.push(codecs)
    expect(await codecs.decode('p', Buffer.from('{"id":"1"}'))).toEqual({ ok: true, value: { id: '1' } })
  })
})
