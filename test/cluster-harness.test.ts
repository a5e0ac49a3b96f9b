// The cluster harness itself: what it stands between nodes and PostgreSQL, and before them, and a short run of it against the built server.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { Balancer } from '../crash/balancer.ts'
import { Cable } from '../crash/cable.ts'
import { cluster } from '../crash/cluster.ts'
import { Program } from './rig/program.ts'

/** What came over a socket so far, and what ended it. */
class Heard {
  text = ''
  isOver = false
  readonly #socket: Socket

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1').on('data', chunk => {
      this.text += chunk
    })
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.isOver = true
    })
  }

  say(text: string): void {
    this.#socket.write(text, 'latin1')
  }

  end(): void {
    this.#socket.end()
  }
}

/** Resolves when it holds; the test's own timeout ends the wait where it never does. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 5))
}

/** A server that answers whatever is said with its name, and the connections that it has had. */
async function answering(name: string, at: string | number): Promise<{ server: Server; heard: Heard[] }> {
  const heard: Heard[] = []
  const server = createServer(socket => {
    heard.push(new Heard(socket))
    socket.on('data', chunk => socket.write(`${name} heard ${chunk}`))
  })
  server.listen(at)
  await once(server, 'listening')
  return { server, heard }
}

const portOf = (server: Server): number => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
  return address.port
}

const opened: { close(): unknown }[] = []
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close()
})

async function call(port: number): Promise<Heard> {
  const socket = connect(port, '127.0.0.1')
  opened.push({ close: () => socket.destroy() })
  const heard = new Heard(socket)
  await taken(socket)
  return heard
}

/** Resolves when it is connected, or reset before it was. */
const taken = (socket: Socket): Promise<void> =>
  new Promise(resolve => {
    socket.once('connect', () => resolve())
    socket.once('close', () => resolve())
  })

describe('a cable', () => {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-cable-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))
  /** the message that commits, as a client of PostgreSQL sends it */
  const commit = 'Q\0\0\0\x0bcommit\0'
  let laid = 0

  async function lay(): Promise<{ cable: Cable; store: Heard[]; path: string }> {
    laid += 1
    const path = join(folder, `store-${laid}`)
    const { server, heard } = await answering('store', path)
    const cable = await Cable.lay(path)
    opened.push(server, cable)
    return { cable, store: heard, path }
  }

  it('carries both ways, and the end', async () => {
    const { cable, store } = await lay()
    const node = await call(cable.port)
    node.say('a')
    await until(() => node.text === 'store heard a')
    node.end()
    await until(() => store[0]?.isOver === true && node.isOver)
  })

  it('refuses: what there is ends, and so does what comes, until it is mended', async () => {
    const { cable, store } = await lay()
    const node = await call(cable.port)
    node.say('a')
    await until(() => node.text !== '')
    cable.cut('refused')
    await until(() => node.isOver && store[0]?.isOver === true)
    const other = await call(cable.port)
    await until(() => other.isOver)
    expect(store).toHaveLength(1)
    cable.mend()
    const third = await call(cable.port)
    third.say('b')
    await until(() => third.text === 'store heard b')
  })

  it('is silent: nobody is told anything, and what was said meanwhile arrives when it is mended', async () => {
    const { cable, store, path } = await lay()
    const whole = await Cable.lay(path)
    opened.push(whole)
    const [node, beside] = [await call(cable.port), await call(whole.port)]
    node.say('a')
    await until(() => node.text === 'store heard a')
    cable.cut('silent')
    node.say('b')
    const other = await call(cable.port)
    other.say('c')
    // By the time that this has gone there and back, the rest would have arrived too.
    for (const turn of [1, 2, 3]) {
      beside.say('x')
      await until(() => beside.text === 'store heard x'.repeat(turn))
    }
    expect([store.map(({ text }) => text), node.isOver, other.isOver]).toEqual([['a', 'xxx'], false, false])
    cable.mend()
    await until(() => node.text === 'store heard astore heard b' && other.text === 'store heard c')
  })

  it('loses a COMMIT, or the answer to one', async () => {
    const { cable, store } = await lay()
    const first = await call(cable.port)
    cable.cut('lost commit')
    first.say('a')
    await until(() => first.text === 'store heard a')
    first.say(commit)
    await until(() => first.isOver)
    expect(store[0]?.text).toBe('a')
    cable.mend()
    const second = await call(cable.port)
    cable.cut('lost answer')
    second.say(commit)
    await until(() => second.isOver)
    expect([store[1]?.text, second.text]).toEqual([commit, ''])
    const third = await call(cable.port)
    await until(() => third.isOver)
  })
})

describe('a balancer', () => {
  async function balance(...names: string[]) {
    const balancer = await Balancer.listen()
    opened.push(balancer)
    const servers = new Map<string, Server>()
    for (const name of names) {
      const { server } = await answering(name, 0)
      opened.push(server)
      servers.set(name, server)
      balancer.add(name, portOf(server))
    }
    return { balancer, servers }
  }
  /** the name of the node that answers a new connection; null where none does */
  async function ask(balancer: Balancer): Promise<string | null> {
    const socket = connect(balancer.port, '127.0.0.1')
    const heard = new Heard(socket)
    await taken(socket)
    const { localPort = 0 } = socket
    heard.say('x')
    await until(() => heard.text !== '' || heard.isOver)
    const node = balancer.nodeOf(localPort)
    socket.destroy()
    if (heard.text === '') return null
    expect(heard.text).toBe(`${node} heard x`)
    return node
  }

  it('gives each node its turn, and knows who went where', async () => {
    const { balancer } = await balance('n1', 'n2', 'n3')
    const went = []
    for (let i = 0; i < 6; i += 1) went.push(await ask(balancer))
    expect(went.slice(0, 3).sort()).toEqual(['n1', 'n2', 'n3'])
    expect(went.slice(3)).toEqual(went.slice(0, 3))
  })

  it('goes on to the next one where nobody listens, and has an end where nobody does at all', async () => {
    const { balancer, servers } = await balance('n1', 'n2')
    servers.get('n1')?.close()
    expect([await ask(balancer), await ask(balancer), await ask(balancer)]).toEqual(['n2', 'n2', 'n2'])
    balancer.remove('n2')
    expect(await ask(balancer)).toBeNull()
    balancer.remove('n1')
    expect(await ask(balancer)).toBeNull()
  })
})

describe('the harness', () => {
  const program = new Program()
  const run = async (...args: string[]): Promise<{ code: number; printed: string }> => {
    const lines: string[] = []
    const never = new AbortController().signal
    const code = await cluster(['--main', program.main, ...args], line => lines.push(line), never)
    return { code, printed: lines.join('\n') }
  }
  afterAll(() => program.remove())

  describe('with six strikes on three nodes', () => {
    let ran: Awaited<ReturnType<typeof run>>
    beforeAll(async () => {
      const fleet = ['--devices', '4', '--steady', '4', '--gateways', '1', '--sub-devices', '3', '--callers', '6']
      ran = await run('--only', 'kills', '--kills', '6', '--nodes', '3', ...fleet, '--seed', '4')
    }, 150_000)

    it('counts nothing that must not be', () => {
      expect(ran).toMatchObject({ code: 0, printed: expect.stringMatching(/^as it should be/m) })
      expect(ran.printed.match(/^ +0 {2}\S.*$/gm)).toHaveLength(10)
    })
    const figure = (name: string): number => Number(new RegExp(`${name} (\\d+)`).exec(ran.printed)?.[1])
    it('has put the nodes to work, and has struck', () => {
      expect(figure('accepted')).toBeGreaterThan(20)
      expect(figure('delivered')).toBeGreaterThan(10)
      expect(figure('instants done')).toBeGreaterThan(0)
      const struck = /^strikes: (.*)$/m.exec(ran.printed)?.[1] ?? ''
      expect([...struck.matchAll(/\d+/g)].reduce((sum, [count]) => sum + Number(count), 0)).toBe(6)
    })
  })

  it('ends what it has begun when it is called off', async () => {
    const lines: string[] = []
    const off = AbortSignal.timeout(1_000)
    expect(await cluster(['--main', program.main, '--nodes', '1'], line => lines.push(line), off)).toBe(1)
    expect(lines.at(-2)).toBe('interrupted')
  }, 30_000)

  it('refuses what it does not know', async () => {
    expect(await run('--nodes', 'many', '--only', 'nothing', '--signal', 'smoke')).toMatchObject({
      code: 2,
      printed: expect.stringMatching(
        /--nodes must be[\s\S]*--only nothing: it is one of kills, rolling[\s\S]*--signal smoke/,
      ),
    })
    expect(await run('--main', 'nowhere.js')).toMatchObject({ code: 2 })
    expect(await run('--unheard-of')).toMatchObject({ code: 2 })
  })
})
