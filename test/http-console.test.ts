// The console's files over HTTP: which path gets what, in which form and for how long; what leads there; and that nothing but the folder's own files is ever
// sent. Not here: the console itself.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { CONSOLE_FILES_MAX_BYTES } from '../src/core/limits.ts'
import { accepts } from '../src/http/console.ts'
import { type AppRig, expectRefused, startApp } from './rig/http.ts'
import { jsonOf, type RawAnswer, rawCall, request } from './rig/raw.ts'

const PAGE = '<!doctype html><title>the page of the console</title>'
const SCRIPT = 'document.title = "the script of the console"\n'.repeat(50)
const STYLE = 'body { color: red }'
const SECRET = 'nobody may read this'

/** A folder with another one in it, as the build leaves that. */
function builtFolder(): { around: string; folder: string } {
  const around = mkdtempSync(join(tmpdir(), 'downlink-console-'))
  const folder = join(around, 'console')
  const write = (path: string, content: string, compressed = false) => {
    const file = join(folder, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
    if (!compressed) return
    writeFileSync(`${file}.br`, brotliCompressSync(content))
    writeFileSync(`${file}.gz`, gzipSync(content))
  }
  write('index.html', PAGE, true)
  write('assets/main-3fA9.js', SCRIPT, true)
  write('assets/main-3fA9.css', STYLE)
  write('assets/letters-77.woff2', 'letters')
  write('assets/odd-1.xyz', 'odd')
  write('favicon.svg', '<svg/>')
  write('alone.txt.gz', 'no form of anything')
  writeFileSync(join(around, 'secret.txt'), SECRET)
  symlinkSync(join(around, 'secret.txt'), join(folder, 'link.txt'))
  symlinkSync(around, join(folder, 'assets', 'up'))
  return { around, folder }
}

let around: string
let folder: string
let rig: AppRig
beforeAll(async () => {
  ;({ around, folder } = builtFolder())
  rig = await startApp({ consoleFolder: folder })
})
afterAll(async () => {
  await rig.stop()
  rmSync(around, { recursive: true })
})

const get = (path: string, headers: Record<string, string | null> = {}, method = 'GET', url = rig.url) =>
  rawCall(url, request(method, path, headers))
const header = (answer: RawAnswer, name: string) => answer.headers.get(name)
const refused = (answer: RawAnswer, text: string | RegExp, status = 404, code = 99404) =>
  expectRefused({ ...jsonOf(answer), status: answer.status }, code, text, status)

describe('the page', () => {
  it('is there for everybody, asked for again each time, and may load nothing from elsewhere', async () => {
    const answer = await get('/console/')
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: PAGE })
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      vary: 'accept-encoding',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
      etag: expect.stringMatching(/^"[\w-]{43}"$/),
    })
    const policy = (header(answer, 'content-security-policy') ?? '').split('; ').sort()
    expect(policy).toEqual(
      [
        "default-src 'none'",
        ...["script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'", "connect-src 'self'"],
        ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"],
      ].sort(),
    )
  })

  it.each([
    ...['', 'index.html', 'devices', 'devices/oxWwM9i5', 'commands/123?at=4#x', '?orgId=o1', `${'long'.repeat(500)}/x`],
    ...[
      'assets',
      'Assets/main-3fA9.js',
      'main-3fA9.js',
      'index.html.br',
      'constructor',
      '__proto__',
      '%00',
      '%E6%B3%B5',
    ],
    ...[
      'link.txt',
      '../secret.txt',
      '..%2fsecret.txt',
      '%2e%2e/secret.txt',
      '..\\secret.txt',
      '/secret.txt',
      './favicon.svg',
    ],
    ...[`..${'%2f..'.repeat(9)}%2fetc%2fpasswd`, '//etc/passwd', '%2fetc%2fpasswd'],
  ])('is what /console/%s gets, which is no file of the folder', async path => {
    const answer = await get(`/console/${path}`)
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: PAGE })
    expect(header(answer, 'cache-control')).toBe('no-cache')
  })
})

describe('a file', () => {
  it.each([
    ['assets/main-3fA9.js', SCRIPT, 'text/javascript; charset=utf-8', true],
    ['assets/main-3fA9.css', STYLE, 'text/css; charset=utf-8', true],
    ['assets/letters-77.woff2', 'letters', 'font/woff2', true],
    ['assets/odd-1.xyz', 'odd', 'application/octet-stream', true],
    ['favicon.svg', '<svg/>', 'image/svg+xml', false],
    ['alone.txt.gz', 'no form of anything', 'application/octet-stream', false],
  ])('%s is sent as it is; with a digest in its name it is kept for ever', async (path, content, type, isForEver) => {
    const answer = await get(`/console/${path}?v=1`)
    expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: content })
    expect(header(answer, 'content-type')).toBe(type)
    expect(header(answer, 'cache-control')).toBe(isForEver ? 'public, max-age=31536000, immutable' : 'no-cache')
    expect(header(answer, 'x-content-type-options')).toBe('nosniff')
    expect(header(answer, 'content-security-policy')).toContain("default-src 'none'")
  })

  it.each(['main-0000.js', 'main-3fA9.js.br', 'up/secret.txt', '..%2f..%2fsecret.txt', '../../secret.txt', ''])(
    'assets/%s is none: 404, and not the page, which no script could be made of',
    async path => {
      const answer = await get(`/console/assets/${path}`)
      refused(answer, 'the console has no such file')
      expect(answer.body).not.toContain(SECRET)
      expect(header(answer, 'cache-control')).toBeUndefined()
    },
  )

  it('has no body for HEAD, and no other verb', async () => {
    const connection = await fetch(`${rig.url}/console/assets/main-3fA9.js`, {
      method: 'HEAD',
      headers: { 'accept-encoding': 'identity' },
    })
    expect([connection.status, connection.headers.get('content-length')]).toEqual([200, String(SCRIPT.length)])
    expect(await connection.text()).toBe('')
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      for (const path of ['/console/', '/console', '/console/assets/main-3fA9.js'])
        refused(await get(path, {}, method), 'no such path or verb')
  })

  it('is kept as it was first read', async () => {
    const built = builtFolder()
    const own = await startApp({ consoleFolder: built.folder })
    try {
      await get('/console/', {}, 'GET', own.url)
      rmSync(built.around, { recursive: true })
      expect((await get('/console/assets/main-3fA9.js', {}, 'GET', own.url)).body).toBe(SCRIPT)
    } finally {
      await own.stop()
      rmSync(built.around, { recursive: true, force: true })
    }
  })
})

describe('compressed', () => {
  it.each([
    ['br, gzip', 'br'],
    ['gzip, deflate, br;q=0.1', 'br'],
    ['gzip;q=1.0, br;q=0', 'gzip'],
    ['GZIP', 'gzip'],
    ['br;q=0.000, gzip; q=0', undefined],
    ['deflate, zstd', undefined],
    ['brotli, x-gzip', undefined],
    ['*', undefined],
    ['', undefined],
  ])('%j gets %s', async (accepted, encoding) => {
    for (const [path, content] of [
      ['', PAGE],
      ['devices', PAGE],
      ['assets/main-3fA9.js', SCRIPT],
    ] as const) {
      const response = await fetch(`${rig.url}/console/${path}`, { headers: { 'accept-encoding': accepted } })
      expect(response.headers.get('content-encoding') ?? undefined).toBe(encoding)
      expect(response.headers.get('vary')).toBe('accept-encoding')
      // The client has decoded it.
      expect(await response.text()).toBe(content)
    }
  })

  it('is not what has no such form beside it', async () => {
    const answer = await get('/console/assets/main-3fA9.css', { 'accept-encoding': 'br, gzip' })
    expect([header(answer, 'content-encoding'), answer.body]).toEqual([undefined, STYLE])
  })

  it('is told by names alone', () => {
    expect(accepts('gzip;q=0.5;x=0, br', 'gzip')).toBe(true)
    expect(accepts('xbr', 'br')).toBe(false)
    expect(accepts('br; Q=0', 'br')).toBe(false)
    expect(accepts(',;,br', 'br')).toBe(true)
  })
})

describe('what the browser has already', () => {
  it('is not sent again, each form by its own tag', async () => {
    const forms = ['br', 'gzip', 'identity']
    const tags = await Promise.all(
      forms.map(async form => header(await get('/console/', { 'accept-encoding': form }), 'etag') ?? ''),
    )
    expect(new Set(tags).size).toBe(3)
    for (const [at, form] of forms.entries()) {
      const tag = tags[at] ?? ''
      for (const list of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
        const answer = await get('/console/', { 'accept-encoding': form, 'if-none-match': list })
        expect([answer.status, answer.body, header(answer, 'etag')]).toEqual([304, '', tag])
        expect([header(answer, 'vary'), header(answer, 'cache-control')]).toEqual(['accept-encoding', 'no-cache'])
      }
      const other = tags[(at + 1) % 3] ?? ''
      for (const list of [other, tag.slice(1, -1), ''])
        expect((await get('/console/', { 'accept-encoding': form, 'if-none-match': list })).status).toBe(200)
    }
  })

  it('is of the reference page too', async () => {
    const tag = header(await get('/docs'), 'etag') ?? ''
    expect((await get('/docs', { 'if-none-match': `W/${tag}` })).status).toBe(304)
    expect(header(await get('/docs'), 'cross-origin-opener-policy')).toBe('same-origin')
  })
})

describe('what leads there', () => {
  it('is /console, for everybody', async () => {
    const answer = await get('/console?x=1')
    expect([answer.status, header(answer, 'location')]).toEqual([302, 'console/'])
    expect(new URL('console/', `${rig.url}/console?x=1`).pathname).toBe('/console/')
  })

  it('and / for a browser; for any other client there is nothing', async () => {
    const browser = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }
    const answer = await get('/', browser)
    expect([answer.status, header(answer, 'location'), header(answer, 'vary')]).toEqual([302, 'console/', 'accept'])
    for (const accept of [null, '*/*', 'application/json', 'text/htmlx'])
      refused(await get('/', { accept }), 'no such path')
    refused(await get('/', browser, 'POST'), 'no such path')
    expect(await (await fetch(rig.url, { headers: browser })).text()).toBe(PAGE)
  })
})

describe('a console that was not built', () => {
  let own: AppRig
  let empty: string
  beforeEach(async () => {
    empty = mkdtempSync(join(tmpdir(), 'downlink-console-'))
    own = await startApp({ consoleFolder: join(empty, 'console') })
  })
  afterEach(async () => {
    await own.stop()
    rmSync(empty, { recursive: true })
  })

  it('says how it is, until it was', async () => {
    const ask = (path: string) => get(path, {}, 'GET', own.url)
    const isMissing = async () => {
      for (const path of ['/console/', '/console/devices', '/console/assets/a.js', '/console/index.html'])
        refused(await ask(path), 'the console was not built: run npm run build')
    }
    await isMissing()
    mkdirSync(join(empty, 'console'))
    await isMissing()
    writeFileSync(join(empty, 'console/early.js'), '1')
    await isMissing()
    writeFileSync(join(empty, 'console/index.html'), PAGE)
    expect((await ask('/console/devices')).body).toBe(PAGE)
    expect((await ask('/console/early.js')).body).toBe('1')
  })

  it('is no reason for anything else to fail', async () => {
    expect((await get('/docs', {}, 'GET', own.url)).status).toBe(200)
    expect((await get('/healthz', {}, 'GET', own.url)).status).toBe(200)
  })
})

describe('a folder that makes no sense', () => {
  it('is an error of the server, which the log tells, and which passes', async () => {
    const place = mkdtempSync(join(tmpdir(), 'downlink-console-'))
    const logged: unknown[] = []
    const log = { info: () => undefined, warn: () => undefined, error: (fields: unknown) => logged.push(fields) }
    const own = await startApp({ consoleFolder: join(place, 'console'), log: log as never })
    try {
      const failed = async () => refused(await get('/console/', {}, 'GET', own.url), 'unexpected error', 500, 99500)
      writeFileSync(join(place, 'console'), 'a file')
      await failed()
      rmSync(join(place, 'console'))
      mkdirSync(join(place, 'console'))
      writeFileSync(join(place, 'console/index.html'), PAGE)
      writeFileSync(join(place, 'console/huge.js'), '')
      truncateSync(join(place, 'console/huge.js'), CONSOLE_FILES_MAX_BYTES)
      await failed()
      expect(logged).toMatchObject([{ err: { code: 'ENOTDIR' } }, { err: { message: /more than \d+ bytes/ } }])
      rmSync(join(place, 'console/huge.js'))
      expect((await get('/console/', {}, 'GET', own.url)).body).toBe(PAGE)
    } finally {
      await own.stop()
      rmSync(place, { recursive: true })
    }
  })
})

describe('in open mode', () => {
  let own: AppRig
  beforeAll(async () => {
    own = await startApp({ auth: 'open', consoleFolder: folder })
  })
  afterAll(() => own.stop())

  /** What browsers send where a link of another site was followed. */
  const followed = {
    'sec-fetch-site': 'cross-site',
    'sec-fetch-mode': 'navigate',
    'sec-fetch-dest': 'document',
    accept: 'text/html',
  }
  const PAGES = ['/', '/console', '/console/', '/console/devices/a1?x=1', '/docs', '/docs/']
  const ask = async (path: string, headers: Record<string, string>, method = 'GET') =>
    (await get(path, headers, method, own.url)).status

  it('a link of another site may lead to a page', async () => {
    for (const site of ['cross-site', 'same-site'])
      for (const path of PAGES)
        expect({ path, status: await ask(path, { ...followed, 'sec-fetch-site': site }) }).toEqual({
          path,
          status: ['/', '/console'].includes(path) ? 302 : path === '/docs/' ? 308 : 200,
        })
  })

  it.each<[string, Record<string, string>]>([
    ['in a frame', { 'sec-fetch-dest': 'iframe' }],
    ['as a script', { 'sec-fetch-dest': 'script', 'sec-fetch-mode': 'no-cors' }],
    ['by fetch', { 'sec-fetch-dest': 'empty', 'sec-fetch-mode': 'cors' }],
    ['as an object', { 'sec-fetch-dest': 'object' }],
    ['with an origin', { origin: 'https://evil.example' }],
    ['with an origin of nobody', { origin: 'null' }],
    ['by a name that leads here', { host: 'evil.example' }],
  ])('and nothing but a link: not %s', async (_what, changes) => {
    for (const path of PAGES)
      expect({ path, status: await ask(path, { ...followed, ...changes }) }).toEqual({ path, status: 403 })
  })

  it('and to nothing but a page', async () => {
    const org = 'orgId=o15541858646501'
    for (const path of [
      ...['/openapi.json', '/docs/swagger-ui.css', '/healthz', '/metrics', '/nowhere', '/consoles/', '//console/'],
      ...[`/v1/devices?${org}`, '/v1/whoami', `/connect-service/v2.1/commands?action=cancel&${org}&assetId=a1`],
      '/console%2f',
    ])
      expect({ path, status: await ask(path, followed) }).toEqual({ path, status: 403 })
    for (const method of ['POST', 'PUT', 'OPTIONS'])
      expect({ method, status: await ask('/console/', followed, method) }).toEqual({ method, status: 403 })
  })

  it('its own page may load its files', async () => {
    const headers = { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'script' }
    expect(await ask('/console/assets/main-3fA9.js', headers)).toBe(200)
  })
})
