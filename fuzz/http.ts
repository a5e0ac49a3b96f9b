// Fuzzes the HTTP surface of a whole server: most calls into the real app without a socket, one in many as bytes on a connection: kept, pipelined, cut
// up, spoilt. Every answer must have its shape, and every change be explained by an answer that somebody got.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { type Downlink, isCommandId } from '../src/core/command.ts'
import { authErrors, errors } from '../src/core/errors.ts'
import type { Link } from '../src/engine.ts'
import { parseQuery } from '../src/http/signature.ts'
import { type HttpCall, httpCall, SOME_ID } from './http-requests.ts'
import { oddText, Random, spoilBytes } from './random.ts'
import { type Block, check, type Target, Violation, within } from './target.ts'
import { PATIENCE_MS, SLOW, World } from './world.ts'

export type HttpInput =
  | { readonly kind: 'call'; readonly call: HttpCall; readonly passMs: number }
  /** bytes on one connection: calls one after the other, perhaps with what is no call behind them */
  | {
      readonly kind: 'socket'
      readonly calls: readonly HttpCall[]
      readonly style: Style
      readonly tail: string
      readonly spoil: number | null
      readonly chunk: number
    }

type Style = 'length' | 'chunked' | 'pipelined' | 'bad length' | 'no host' | 'expect' | 'expect more'

function generate(random: Random): HttpInput {
  if (random.below(1_000) < 970)
    return { kind: 'call', call: httpCall(random), passMs: random.pick([0, 0, 1, 20, 1_000, 20_000]) }
  const calls = random.times(1, random.pick([1, 1, 4]), () => httpCall(random))
  const style = random.pick<Style>([
    'length',
    'pipelined',
    'pipelined',
    'chunked',
    'bad length',
    'no host',
    'expect',
    'expect more',
  ])
  const tail = random.chance(30)
    ? random.pick([
        Buffer.from('\r\n\r\n'),
        Buffer.from(`GET /${oddText(random)} HTTP/9.9\r\n\r\n`),
        random.bytes(1, 200),
      ])
    : Buffer.alloc(0)
  const spoil = random.chance(30) ? random.next() : null
  return { kind: 'socket', calls, style, tail: tail.toString('hex'), spoil, chunk: random.pick([0, 0, 1, 7, 100]) }
}

const codesOf = (of: Readonly<Record<string, { readonly code: number }>>): Set<number> =>
  new Set(Object.values(of).map(({ code }) => code))
const OURS = codesOf(errors)
const AUTH = codesOf(authErrors)
/** by HTTP status; 200 takes all of ours, and those of the device's own */
const CODES: Readonly<Record<number, readonly number[]>> = {
  400: [99_400],
  404: [99_404],
  408: [99_400],
  413: [99_400],
  417: [99_400],
}
/** what the slow device says when it does not say 200 */
const DEVICE_CODES = [1_234, 'x']

interface Answer {
  readonly status: number
  readonly body: string
}

/** The body of an answer, which must have the shape that the documents promise for its status. */
function envelopeOf({ status, body }: Answer): Record<string, unknown> {
  const told = (): string => `an answer of another shape: ${status} ${body.slice(0, 400)}`
  let read: Record<string, unknown>
  try {
    read = JSON.parse(body)
  } catch {
    throw new Violation(told())
  }
  check(typeof read === 'object' && read !== null, told)
  if (status === 200 && (body === '{"status":"up"}' || body === '{"status":"ready"}')) return read
  check(typeof read.msg === 'string' && /^[0-9a-f]{32}$/.test(String(read.requestId)) && 'data' in read, told)
  if (read.business === 'apim-token-service') {
    check(status === 200 && (read.status === 0 || AUTH.has(Number(read.status))), told)
    return read
  }
  const code = Number(read.code)
  if (status === 401) check(AUTH.has(code) && read.status === code, told)
  else if (status === 200) check((OURS.has(code) && code !== errors.internal.code) || isDeviceCode(read), told)
  else check(CODES[status]?.includes(code), told)
  return read
}

function isDeviceCode({ data }: Record<string, unknown>): boolean {
  const { deviceCode } = Object(data) as { deviceCode?: unknown }
  return DEVICE_CODES.some(code => code === deviceCode)
}

/** A device in this process whose answers come after a while, if at all: it is what instant calls wait for. */
class SlowLink implements Link {
  published = 0
  readonly sent = new Set<string>()
  readonly due: { commandId: string; code: number | null }[] = []

  presence() {
    return { ready: true, silent: false }
  }
  publish({ commandId }: Downlink) {
    this.published += 1
    this.sent.add(commandId)
    const code = [200, 1_234, null, 200][this.published % 4] ?? null
    if (this.published % 4 !== 3) this.due.push({ commandId, code })
    return null
  }
  suspect() {
    // It never falls silent as far as the engine can see.
  }
  takenOver() {
    // Nobody else logs in as this device.
  }
  evicted() {
    // No call disables or deletes it.
  }
}

/** Calls after which the well-behaved are looked at. */
const PULSE_EVERY = 200
/** ms that time moves on by while a call waits, and how often at most: beyond the longest timeout */
const STEP_MS = 1_000
const STEPS_MAX = 200

class HttpBlock implements Block<HttpInput> {
  readonly #world: World
  readonly #slow = new SlowLink()
  #slowId = 0
  #inputs = 0
  /** ids that were told, newest last: what later calls ask for */
  #known: string[] = []

  private constructor(world: World) {
    this.#world = world
  }

  static async open(): Promise<HttpBlock> {
    const world = await World.open()
    const block = new HttpBlock(world)
    block.#slowId = await world.id(SLOW)
    const connected = await world.engine.connect(block.#slowId, block.#slow)
    check(connected.ok, () => 'the slow device is not let in')
    world.takeBook()
    return block
  }

  async run(input: HttpInput): Promise<void> {
    this.#inputs += 1
    const pulse = this.#inputs % PULSE_EVERY === 0 || input.kind === 'socket' ? this.#world.pulse() : null
    const answers = input.kind === 'call' ? await this.#inject(input.call, pulse) : await this.#onSocket(input, pulse)
    await this.#world.rest()
    // Who hangs up before its answer is there changes nothing by that: its calls are carried out, and nobody is told.
    const untold = input.kind === 'call' || isClean(input) ? 0 : input.calls.length
    await this.#checkBook(answers, untold)
    if (input.kind === 'call' && input.passMs > 0) {
      await this.#world.advance(input.passMs)
      await this.#reply()
      await this.#checkBook([], 0)
    }
    this.#world.checkHealth()
  }

  async #inject(call: HttpCall, pulse: Promise<void> | null): Promise<Record<string, unknown>[]> {
    const { url, headers, body } = await this.#filled(call)
    let done = false
    const options = { method: call.method as 'GET', url, headers, ...(body.length > 0 ? { payload: body } : {}) }
    const asked = this.#world.app.inject(options).then(response => {
      done = true
      return { status: response.statusCode, body: response.body }
    })
    asked.catch(() => {
      done = true
    })
    await pulse
    await this.#until(() => done, 'an answer')
    const answer = await asked
    // A HEAD is answered without a body, and does nothing.
    return call.method === 'HEAD' ? [] : [envelopeOf(answer)]
  }

  /** Turns of the loop, and when nothing moves any more of time, in which the slow device answers. */
  async #until(holds: () => boolean, what: string): Promise<void> {
    for (let turns = 0; !holds(); turns += 1) {
      await new Promise(resolve => setImmediate(resolve))
      if (turns % 10 !== 9) continue
      await this.#reply()
      await this.#world.advance(STEP_MS)
      check(turns < 10 * STEPS_MAX, () => `waited in vain for ${what}`)
    }
  }

  async #reply(): Promise<void> {
    for (const { commandId, code } of this.#slow.due.splice(0)) {
      const deviceCode = code === null ? 'x' : String(code)
      await this.#world.engine.apply(this.#slowId, {
        type: 'reply',
        commandId,
        code,
        deviceCode,
        message: null,
        outputJson: '{"n":1}',
      })
    }
  }

  /** The call as it goes out now: signed, with the id of a command that exists. */
  async #filled({
    query,
    path,
    headers,
    body,
    signing,
  }: HttpCall): Promise<{ url: string; headers: Record<string, string>; body: Buffer }> {
    const text = query.replaceAll(SOME_ID, this.#known.at(-1 - (this.#inputs % 7)) ?? '1')
    const bytes = Buffer.from(body, 'hex')
    const url = text === '' ? path : `${path}?${text}`
    if (signing === 'none') return { url, headers: { ...headers }, body: bytes }
    const parsed = parseQuery(text)
    const signed = await this.#world.sign(parsed.ok ? parsed.signed : [], bytes)
    return { url, headers: { ...headers, ...spoilSignature(signed, signing) }, body: bytes }
  }

  async #onSocket(
    input: Extract<HttpInput, { kind: 'socket' }>,
    pulse: Promise<void> | null,
  ): Promise<Record<string, unknown>[]> {
    const parts: Buffer[] = []
    for (const call of input.calls) parts.push(written(call, await this.#filled(call), input.style))
    parts.push(Buffer.from(input.tail, 'hex'))
    let bytes = Buffer.concat(parts)
    if (input.spoil !== null) bytes = Buffer.from(spoilBytes(new Random(input.spoil, 'spoil', 0), bytes))
    const received = await this.#exchange(bytes, input.chunk, isClean(input) ? input.calls.length : 0, pulse)
    const answers = answersIn(received)
    check(answers.length <= input.calls.length + 8, () => `${answers.length} answers to ${input.calls.length} calls`)
    // A HEAD is answered without a body; what is spoilt may have become one.
    const mayBeHead = input.spoil !== null || input.tail !== '' || input.calls.some(({ method }) => method === 'HEAD')
    return answers.filter(({ body }) => body !== '' || !mayBeHead).map(envelopeOf)
  }

  /** Sends, waits for so many answers, half-closes, and reads until the server has closed: it must, whatever came. */
  async #exchange(bytes: Buffer, chunk: number, wanted: number, pulse: Promise<void> | null): Promise<Buffer> {
    const address = this.#world.app.server.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true })
    const received: Buffer[] = []
    let closed = false
    socket.on('data', part => received.push(part))
    socket.on('error', () => socket.destroy())
    socket.on('end', () => socket.destroy())
    socket.on('close', () => {
      closed = true
    })
    await within(once(socket, 'connect'), PATIENCE_MS, () => 'a connection')
    const size = chunk === 0 ? bytes.length : chunk
    for (let at = 0, parts = 0; at < bytes.length; at += size, parts += 1) {
      // Some pieces, and the rest at once: each is a packet of its own on the way.
      const end = parts < 40 ? at + size : bytes.length
      socket.write(bytes.subarray(at, end))
      if (parts < 40 && chunk !== 0) await new Promise(resolve => setImmediate(resolve))
      if (end >= bytes.length) break
    }
    await pulse
    const startedAt = performance.now()
    while (!closed) {
      if (statusLines(received) >= wanted) socket.end()
      await new Promise(resolve => setImmediate(resolve))
      check(
        performance.now() - startedAt < PATIENCE_MS,
        () => `the connection is not closed after ${Buffer.concat(received).toString('latin1').slice(0, 300)}`,
      )
      await this.#reply()
      if (performance.now() - startedAt > 5) await this.#world.advance(STEP_MS)
    }
    return Buffer.concat(received)
  }

  /** Every change since the input began: by an answer that was given, by time, or by the slow device. */
  async #checkBook(answers: readonly Record<string, unknown>[], untold: number): Promise<void> {
    const told = idsTold(answers)
    let left = untold
    for (const { deviceId, event } of this.#world.takeBook()) {
      const { commandId, reason, to } = event
      if (commandId === null) throw new Violation(`a session came or went: ${JSON.stringify(event)}`)
      if (event.from === null) {
        if (!told.has(commandId)) left -= 1
        check(left >= 0, () => `a command that nobody was told of: ${JSON.stringify(event)}`)
        this.#world.accepted(commandId, deviceId)
        this.#known.push(commandId)
      }
      check(
        this.#world.isAccepted(commandId),
        () => `a change of a command that nobody accepted: ${JSON.stringify(event)}`,
      )
      if (reason === 'cancel')
        check(
          told.has(commandId) || untold > 0,
          () => `a command was cancelled and not reported: ${JSON.stringify(event)}`,
        )
      if (to === 4)
        check(
          this.#slow.sent.has(commandId) && deviceId === this.#slowId,
          () => `sent to nobody: ${JSON.stringify(event)}`,
        )
    }
    for (const commandId of told)
      check(this.#world.isAccepted(commandId), () => `an answer names ${commandId}, which is not on record`)
    if (this.#known.length > 400) this.#known = this.#known.slice(-100)
  }

  async close(): Promise<void> {
    // Whoever still waits in the slow device's queue ends by time.
    for (let left = 5; left > 0; left -= 1) {
      await this.#world.advance(60_000)
      await this.#reply()
    }
    await this.#checkBook([], 0)
    await this.#world.close()
  }
}

/** Whole calls and nothing else: each of them is answered. */
const isClean = ({ style, tail, spoil }: Extract<HttpInput, { kind: 'socket' }>): boolean =>
  style !== 'bad length' && style !== 'no host' && tail === '' && spoil === null

const statusLines = (received: readonly Buffer[]): number =>
  Buffer.concat(received)
    .toString('latin1')
    .match(/HTTP\/1\.1 [2-5]\d\d /g)?.length ?? 0

function spoilSignature(signed: Record<string, string>, signing: HttpCall['signing']): Record<string, string> {
  const { 'apim-signature': good = '', 'apim-timestamp': timestamp = '' } = signed
  switch (signing) {
    case 'wrong secret':
      return { ...signed, 'apim-signature': createHash('sha256').update(good).digest('hex') }
    case 'stale':
      return { ...signed, 'apim-timestamp': String(Number(timestamp) - 3_600_000) }
    case 'other token':
      return { ...signed, 'apim-accesstoken': 'x'.repeat(43) }
    case 'malformed':
      return { ...signed, 'apim-signature': good.slice(1), 'apim-timestamp': '1e3' }
    case 'upper case':
      return { ...signed, 'apim-signature': good.toUpperCase() }
    default:
      return signed
  }
}

function written(
  call: HttpCall,
  { url, headers, body }: { url: string; headers: Record<string, string>; body: Buffer },
  style: Style,
): Buffer {
  const length = style === 'bad length' ? body.length + ((body.length % 5) - 2) : body.length
  const isChunked = style === 'chunked' && body.length > 0
  const all: Record<string, string> = {
    ...(style === 'no host' ? {} : { host: 'localhost' }),
    ...headers,
    ...(isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': String(length) }),
    ...(style === 'expect' ? { expect: '100-continue' } : {}),
    ...(style === 'expect more' ? { expect: 'the-unexpected' } : {}),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  const head = Buffer.from([`${call.method} ${url} HTTP/1.1`, ...lines, '', ''].join('\r\n'), 'latin1')
  if (!isChunked) return Buffer.concat([head, body])
  const half = body.length >> 1
  const chunks = [body.subarray(0, half), body.subarray(half)].filter(part => part.length > 0)
  const framed = chunks.flatMap(part => [Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')])
  return Buffer.concat([head, ...framed, Buffer.from('0\r\n\r\n')])
}

/** The answers on a connection, read as simply as can be. What cannot be read is a violation; the last may be cut off with its connection. */
function answersIn(received: Buffer): Answer[] {
  const answers: Answer[] = []
  let rest = received
  while (rest.length > 0) {
    const end = rest.indexOf('\r\n\r\n')
    const head = rest.subarray(0, end < 0 ? rest.length : end).toString('latin1')
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
    check(end >= 0 && status >= 100, () => `no answer of HTTP: ${head.slice(0, 300)}`)
    const isChunked = /\r\ntransfer-encoding: chunked/i.test(head)
    const length = isChunked ? rest.length : Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0)
    const body = rest.subarray(end + 4, end + 4 + length).toString()
    const isHead = body.startsWith('HTTP/1.1 ')
    if (status >= 200) answers.push({ status, body: isHead ? '' : body })
    rest = rest.subarray(end + 4 + (status < 200 || isHead ? 0 : length))
  }
  return answers
}

/** Commands that answers name: as accepted, failed on record, or cancelled. */
function idsTold(answers: readonly Record<string, unknown>[]): Set<string> {
  const told = new Set<string>()
  for (const { data } of answers) {
    for (const each of Array.isArray(data) ? data : [data]) {
      const { commandId } = Object(each) as { commandId?: unknown }
      if (typeof commandId === 'string' && isCommandId(commandId)) told.add(commandId)
    }
  }
  return told
}

export const httpTarget: Target<HttpInput> = {
  name: 'http',
  share: 16,
  boundMs: 500,
  generate,
  open: () => HttpBlock.open(),
}
