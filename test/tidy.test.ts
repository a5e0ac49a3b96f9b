// The house rules that a machine can hold: who may import whom, a core without clock, timer, await or chance, no file without an opening line.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const files = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => /\.(ts|tsx|mjs)$/.test(name) && !name.includes('node_modules'))
    .map(name => join(folder, name))
const source = files('src')
const read = (file: string) => readFileSync(join(root, file), 'utf8')

const ports = ['store.ts', 'nodes.ts', 'stream.ts', 'views.ts', 'jobs.ts']
/** Where a file belongs: its folder under src, or its own name where it stands alone. */
const room = (file: string): string => {
  const [top, first = '', second] = file.split('/')
  if (top === 'packages') return 'packages'
  if (first === 'store') return ports.includes(second ?? '') ? 'port' : 'store'
  if (first === 'cluster' && second === 'signal.ts') return 'signal'
  return first.replace(/\.ts$/, '')
}
/** the store a file belongs to: sqlite-statements.ts to sqlite */
const storeOf = (file: string): string | undefined => /^src\/store\/(memory|sqlite|postgres)/.exec(file)?.[1]

/** What each room may import of ours. A room that is not here is a new one: say what it may do. */
const may: Record<string, readonly string[]> = {
  core: ['core'],
  port: ['core', 'port'],
  store: ['core', 'port', 'store'],
  log: [],
  clock: ['core'],
  cluster: ['core', 'port', 'clock', 'log', 'signal', 'cluster'],
  signal: ['core'],
  batch: ['core', 'port', 'signal'],
  waiters: ['core', 'port', 'signal'],
  upkeep: ['core', 'port', 'clock', 'log', 'signal'],
  engine: ['core', 'port', 'clock', 'log', 'signal', 'batch', 'waiters', 'upkeep'],
  metrics: ['core', 'clock', 'signal', 'engine'],
  fleet: ['core', 'port', 'fleet'],
  codec: ['core', 'clock', 'codec'],
  uplink: ['core', 'port', 'clock', 'log', 'engine', 'fleet', 'uplink'],
  proxy: ['core', 'clock', 'log', 'uplink', 'proxy'],
  stream: ['core', 'port', 'clock', 'log', 'fleet', 'stream'],
  jobs: ['core', 'port', 'clock', 'log', 'engine', 'fleet', 'jobs'],
  http: [
    ...['core', 'port', 'clock', 'log', 'engine', 'waiters', 'fleet', 'metrics', 'uplink', 'proxy', 'stream', 'jobs'],
    'http',
  ],
  mqtt: ['core', 'port', 'clock', 'log', 'engine', 'fleet', 'codec', 'uplink', 'proxy', 'mqtt'],
  emulator: ['core', 'port', 'clock', 'engine', 'http', 'emulator'],
  cli: [
    ...['core', 'port', 'store', 'clock', 'log', 'signal', 'cluster', 'engine', 'metrics', 'fleet', 'codec', 'uplink'],
    ...['proxy', 'stream', 'jobs', 'emulator', 'http', 'mqtt', 'packages', 'cli'],
  ],
  main: ['cli'],
}

function imports(file: string): string[] {
  return [...read(file).matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(match => match[1] ?? '')
}
const target = (file: string, specifier: string): string => relative(root, resolve(root, dirname(file), specifier))

describe('imports', () => {
  it.each(source)('%s stays within its room', file => {
    const from = room(file)
    expect(Object.keys(may)).toContain(from)
    for (const specifier of imports(file)) {
      if (!specifier.startsWith('.')) {
        if (from === 'core') expect.fail(`the core imports ${specifier}`)
        continue
      }
      const to = target(file, specifier)
      expect(may[from], `${file} imports ${to}`).toContain(room(to))
      if (from === 'store' && storeOf(to) !== undefined)
        expect(storeOf(to), `${file} imports another store`).toBe(storeOf(file))
      if (!['store', 'cli'].includes(from)) expect(storeOf(to), `${file} imports a concrete store`).toBeUndefined()
      expect(to).not.toBe('src/main.ts')
    }
  })
})

describe('the crash harness', () => {
  it.each(files('crash'))('%s shares nothing with what it judges', file => {
    for (const specifier of imports(file))
      if (specifier.startsWith('.')) expect(target(file, specifier), `${file} imports ${specifier}`).toMatch(/^crash\//)
  })
})

/** Not the mutants: they are a list, and whoever tries them runs processes. */
const simulator = files('sim').filter(file => !file.startsWith('sim/mutant'))

describe('the simulator', () => {
  const rooms = ['sim/', 'src/core/', 'src/store/', 'src/uplink/']
  const alone = ['src/engine', 'src/waiters', 'src/log', 'src/clock', 'src/fleet/(file|fleet|secrets)']
  const ofNodes = 'src/cluster/(signal|membership)'
  const ofMqtt = 'src/mqtt/(compression|connect|filters|frame|gateway|login|members|session|step)'
  const may = new RegExp(`^(${rooms.join('|')}|(${[...alone, ofNodes, ofMqtt].join('|')})\\.ts$)`)
  it.each(simulator)('%s takes the real parts, and no socket, clock, timer or chance of this machine', file => {
    for (const specifier of imports(file)) {
      if (specifier.startsWith('.')) expect(target(file, specifier), `${file} imports ${specifier}`).toMatch(may)
      else
        expect(specifier).not.toMatch(/^node:(net|tls|https?|http2|dgram|timers|crypto|child_process|worker_threads)/)
    }
    const code = read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
    expect(code).not.toMatch(/\bDate\b|\bMath\.random\b|\bsetTimeout\b|\bsetInterval\b/)
    // One turn of the real loop lets promises run; the command line says how fast it was.
    if (file !== 'sim/world.ts') expect(code).not.toMatch(/\bsetImmediate\b/)
    if (file !== 'sim/main.ts') expect(code).not.toMatch(/\bperformance\b/)
  })
})

const client = files('packages/client/src')

describe('the client', () => {
  it.each(client)('%s stands by itself: nothing of the server, of Node or of others', file => {
    for (const specifier of imports(file)) {
      expect(specifier, `${file} imports ${specifier}`).toMatch(/^\./)
      expect(target(file, specifier)).toMatch(/^packages\/client\/src\//)
    }
    const code = read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
    expect(code).not.toMatch(/\bprocess\.|\bBuffer\b|\brequire\(/)
  })
})

const pages = files('console/src')

describe('the console', () => {
  const libraries = /^(preact|preact\/hooks|@preact\/signals|wouter-preact|uplot|@tanstack\/virtual-core)$/
  it.each(pages)('%s is made of the client, its own parts and what its build brings along', file => {
    for (const specifier of imports(file)) {
      if (specifier === '@downlink/client' || libraries.test(specifier) || specifier === 'uplot/dist/uPlot.min.css')
        continue
      expect(specifier, `${file} imports ${specifier}`).toMatch(/^\./)
      expect(target(file, specifier)).toMatch(/^console\/src\//)
    }
    const code = read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
    // The client asks, and it is told by whom; text of others never becomes markup; styles in text are refused by the policy.
    expect(code).not.toMatch(/\bfetch\(|\bEventSource\b|\bWebSocket\b|dangerouslySetInnerHTML|\binnerHTML\b|\sstyle="/)
  })
})

describe('the core', () => {
  const forbidden = [
    /\bDate\.now\b/,
    /\bnew Date\(\s*\)/,
    /\bMath\.random\b/,
    /\bsetTimeout\b|\bsetInterval\b|\bsetImmediate\b|\bqueueMicrotask\b/,
    /\bawait\b|\basync\b|\bPromise\b/,
    /\bprocess\b|\bperformance\b|\bcrypto\b/,
  ]
  it.each(source.filter(file => room(file) === 'core'))('%s has no clock, timer, await or randomness', file => {
    const code = read(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')
    for (const pattern of forbidden) expect(code).not.toMatch(pattern)
  })
})

describe('every file', () => {
  it.each([
    ...source,
    ...client,
    ...files('console'),
    ...files('test'),
    ...files('bench'),
    ...files('sim'),
    ...files('crash'),
  ])('%s opens with what it is', file => {
    expect(read(file)).toMatch(/^(#!.*\n)?\/\/ \S+/)
  })
  // A list of figures is not read from end to end, and having all of them in one place is what it is for.
  const code = source.filter(file => file !== 'src/core/limits.ts')
  it.each([...code, ...client, ...pages, ...simulator, ...files('crash')])(
    '%s is not longer than can be read',
    file => {
      expect(read(file).split('\n').length).toBeLessThanOrEqual(650)
    },
  )
  it.each([...source, ...client, ...pages, ...files('crash')])('%s swallows no error', file => {
    expect(read(file)).not.toMatch(/catch\s*(\([^)]*\))?\s*\{\s*\}/)
  })
})
