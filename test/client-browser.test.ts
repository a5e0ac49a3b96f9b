// @downlink/client where there is nothing of Node: bundled for browsers without polyfills, run with the web's own globals alone, and in a real browser where
// this machine has one. The same scenario in both, signed and in open mode. Not here: what the client does (client.test.ts).

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { root } from './rig/program.ts'
import { APP, ORG, PRODUCT, type Rig, startRig, TestDevice } from './rig/server.ts'

let signed: Rig
let open: Rig
let devices: TestDevice[]
let bundle: string
beforeAll(async () => {
  ;[signed, open] = await Promise.all([startRig(), startRig(['--auth', 'open'])])
  devices = await Promise.all([signed, open].map(rig => new TestDevice(rig.server.mqttUrl, 'mqtt_01').connected()))
  for (const device of devices) device.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true } })
  const built = await build({
    entryPoints: [join(root, 'packages/client/src/index.ts')],
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'client',
    target: 'es2022',
    write: false,
    metafile: true,
    logLevel: 'silent',
  })
  const outside = Object.keys(built.metafile.inputs).filter(input => !input.includes('packages/client/src/'))
  expect(outside).toEqual([])
  bundle = built.outputFiles[0]?.text ?? ''
})
afterAll(async () => {
  await Promise.all((devices ?? []).map(device => device.end()))
  await Promise.all([signed?.stop(), open?.stop()])
})

/** What is done in either place, with `client` the bundle; says what came of it as JSON. */
const scenario = `async options => {
  const { Downlink, State, codes, isFinal } = client
  const downlink = new Downlink(options)
  const device = { productKey: '${PRODUCT}', deviceKey: 'mqtt_01' }
  const instant = await downlink.invokeService(device, 'reboot', { delay: 1 })
  const { commandId } = await downlink.setMeasurepoint(device, 'Int_value', 5, { pendingTtl: 600 })
  const ended = await downlink.waitFor(commandId, { timeoutMs: 15000 })
  const states = []
  for await (const event of downlink.events({ from: 'oldest', states: [1, 4, 5] })) {
    if (event.commandId === commandId) states.push(event.to)
    if (event.commandId === commandId && isFinal(event.to)) break
  }
  const found = []
  for await (const command of downlink.search(device, { pageSize: 1 })) found.push(command.state)
  const refusal = await downlink.get(device, '1').catch(error => error.code)
  return {
    outputData: instant.outputData,
    ended: ended.state === State.succeeded,
    states,
    found: found.slice(0, 2),
    refused: refusal === codes.commandNotFound,
  }
}`
const expected = { outputData: { ok: true }, ended: true, states: [1, 4, 5], found: [5, 5], refused: true }
const ways = { signed: { orgId: ORG, ...APP }, open: { orgId: ORG, open: true } }

describe('with the globals of the web alone', () => {
  const { fetch, crypto, URL, URLSearchParams, AbortController, AbortSignal, TextEncoder, TextDecoder } = globalThis
  const web = { fetch, crypto, URL, URLSearchParams, AbortController, AbortSignal, TextEncoder, TextDecoder }

  it.each(['signed', 'open'] as const)('it does what it does elsewhere: %s', async way => {
    const context = createContext({ ...web, setTimeout, clearTimeout })
    runInContext(bundle, context)
    const server = (way === 'signed' ? signed : open).server.httpUrl
    const run = runInContext(`(${scenario})`, context) as (options: object) => Promise<unknown>
    expect(JSON.parse(JSON.stringify(await run({ server, ...ways[way] })))).toEqual(expected)
  })

  it('says so where a page may not sign', async () => {
    const context = createContext({
      ...web,
      crypto: { getRandomValues: crypto.getRandomValues.bind(crypto) },
      setTimeout,
      clearTimeout,
    })
    runInContext(bundle, context)
    const run = runInContext(`(${scenario})`, context) as (options: object) => Promise<unknown>
    await expect(run({ server: signed.server.httpUrl, ...ways.signed })).rejects.toThrow(/signing needs a secure page/)
  })
})

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const browser = (process.env.PATH ?? '')
  .split(delimiter)
  .flatMap(folder => names.map(name => join(folder, name)))
  .find(existsSync)
/** ms that a browser may take to start and to be done, on a machine that does other things too */
const BROWSER_WITHIN_MS = 60_000

describe('in a browser', () => {
  it('does the same in a page', { timeout: BROWSER_WITHIN_MS + 10_000 }, async context => {
    if (browser === undefined) return context.skip('there is no chromium on this machine: apt-get install chromium')
    const profile = mkdtempSync(join(tmpdir(), 'downlink-browser-'))
    const page = await Page.start()
    // As root, chromium runs without its sandbox only. Nothing but our own page is opened.
    const flags = ['--headless=new', '--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-dev-shm-usage']
    const args = [...flags, `--user-data-dir=${profile}`, '--remote-debugging-port=0', page.url]
    const child = spawn(browser, args, { stdio: ['ignore', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      said = (said + text).slice(-4_000)
    })
    const ended = once(child, 'close')
    const over = ended.then(() => Promise.reject(new Error(`the browser ended: ${said}`)))
    over.catch(() => undefined)
    const timer = setTimeout(() => child.kill('SIGKILL'), BROWSER_WITHIN_MS)
    try {
      expect(await Promise.race([page.result, over])).toEqual({ signed: expected, open: expected })
    } finally {
      clearTimeout(timer)
      child.kill('SIGKILL')
      await ended
      await page.stop()
      rmSync(profile, { recursive: true, force: true })
    }
  })
})

/** Serves the page, and passes on what it asks of either server: as a proxy in front of them would, so that all is of one origin. */
class Page {
  readonly result: Promise<unknown>
  readonly #server: Server

  private constructor() {
    let tell: (result: unknown) => void
    this.result = new Promise(resolve => {
      tell = resolve
    })
    this.#server = createServer(async (incoming, outgoing) => {
      if (incoming.url === '/') {
        outgoing.setHeader('content-type', 'text/html')
        outgoing.end(`<!doctype html><meta charset="utf-8"><script>${bundle}</script><script>${main}</script>`)
      } else if (incoming.url === '/result') {
        tell(JSON.parse(await textOf(incoming)))
        outgoing.end()
      } else passOn(incoming, outgoing)
    })
  }

  static async start(): Promise<Page> {
    const page = new Page()
    page.#server.listen(0, '127.0.0.1')
    await once(page.#server, 'listening')
    return page
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise(resolve => this.#server.close(resolve))
  }
}

const main = `
  const scenario = ${scenario}
  const ways = ${JSON.stringify(ways)}
  const results = {}
  const run = async () => {
    for (const way of ['signed', 'open'])
      results[way] = await scenario({ server: location.origin + '/' + way, ...ways[way] }).catch(error => error.stack)
    await fetch('/result', { method: 'POST', body: JSON.stringify(results) })
  }
  run()
`

async function textOf(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of incoming) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString()
}

function passOn(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { url = '', method, headers } = incoming
  const [, way = '', path = ''] = /^\/(signed|open)(\/.*)$/.exec(url) ?? []
  if (path === '') {
    outgoing.writeHead(404).end()
    return
  }
  const server = (way === 'signed' ? signed : open).server.httpUrl
  const passed = request(server + path, { method, headers }, answer => {
    outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
    answer.pipe(outgoing)
    outgoing.once('close', () => answer.destroy())
  })
  passed.on('error', () => outgoing.destroy())
  incoming.pipe(passed)
}
