// The README of packages/client is true: each of its examples, exactly as printed, runs against a server with simulated devices and prints what stands below
// it; what it says that there is, is there; and the built package has types that a stranger's compiler takes. Not here: installing it (scripts/stranger.mjs).

import { execFile, execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Downlink, DownlinkError } from '../packages/client/src/index.ts'
import { RETRIES } from '../packages/client/src/limits.ts'
import { readServeConfig } from '../src/cli/config.ts'
import { type Emulation, startEmulation } from '../src/cli/emulate.ts'
import { root } from './rig/program.ts'

const packageFolder = join(root, 'packages/client')
const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8')
const fences = [...readme.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)].map(([, language = '', text = '']) => ({
  language,
  text,
}))
/** Each with what it prints: the next block. */
const examples = fences.flatMap(({ language, text }, n) => {
  const [, title = ''] = /^\/\/ (.*)\n/.exec(text) ?? []
  return language === 'js' ? [{ title, text, printed: fences[n + 1]?.text ?? '' }] : []
})

/** What differs from run to run: ids, times, and how long it is until then. */
const alike = (text: string): string =>
  text
    .replace(/\b\d{19}\b/g, '<id>')
    .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, '<time>')
    .replace(/\bin (\d+ (d|h|min|s) ?)+/g, 'in <span>')

let folder: string
let emulation: Emulation
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'downlink-client-'))
  const installed = join(folder, 'node_modules/@downlink/client')
  mkdirSync(installed, { recursive: true })
  copyFileSync(join(packageFolder, 'package.json'), join(installed, 'package.json'))
  execFileSync(process.execPath, [join(packageFolder, 'build.mjs'), join(installed, 'dist')], { stdio: 'pipe' })
  const fleet = ['--fleet', join(root, 'examples/fleet.yaml')]
  const args = ['--http', '0', '--mqtt', '0', '--store', 'memory:', '--auth', 'open', '--ready-after', '50', ...fleet]
  const read = readServeConfig(args, {})
  if (!read.ok) throw new Error(read.problems.join('\n'))
  emulation = await startEmulation(read.config, pino({ level: 'silent' }), true)
})
afterAll(async () => {
  await emulation?.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Runs a program as a stranger would, and returns what it prints. */
async function printedBy(text: string): Promise<string> {
  const file = join(folder, 'example.mjs')
  writeFileSync(file, text)
  const env = { PATH: process.env.PATH ?? '', DOWNLINK_SERVER: emulation.server.httpUrl }
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { cwd: folder, env, timeout: 15_000 })
  expect(stderr).toBe('')
  return stdout
}

describe('the README', () => {
  it('has five examples', () => {
    expect(examples.map(({ title }) => title)).toEqual([
      'send and wait',
      'queue for a device that is away, and cancel',
      'repeat safely',
      'follow what happens',
      'search, page by page',
    ])
  })

  it.each(examples)('shows what its example prints: $title', async ({ text, printed }) => {
    expect(alike(await printedBy(text))).toBe(alike(printed))
    expect(printed).not.toBe('')
  })

  it('names what there is, and nothing else', () => {
    const [, listed = ''] = /^```ts\n([\s\S]*?)^```$/m.exec(readme) ?? []
    const named = [...listed.replace(/^new .*$/m, '').matchAll(/\b(\w+)(?=\()/g)].map(match => match[1] ?? '')
    const members = Object.getOwnPropertyNames(Downlink.prototype).filter(name => name !== 'constructor')
    expect(named.sort()).toEqual(members.sort())
    const client = new Downlink({ server: 'http://127.0.0.1', orgId: 'o', open: true })
    for (const group of Object.keys(client)) expect(listed).toMatch(new RegExp(`^${group}|\\b${group}\\b`, 'm'))
    for (const option of ['fetch', 'retries', 'now', 'sleep', 'random']) expect(listed).toContain(option)
    expect(readme).toContain(`at most \`retries\` times (${RETRIES};`)
    const error = new DownlinkError('x', { outcome: 'notDone', retriable: false, next: '' })
    for (const [, field = ''] of readme.matchAll(/`error\.(\w+)`/g)) expect(field in error, field).toBe(true)
  })
})

describe('the built package', () => {
  const dist = () => join(folder, 'node_modules/@downlink/client/dist')

  it('is one module that imports nothing, and its types', () => {
    const files = readdirSync(dist())
    expect(files.filter(name => !name.endsWith('.d.ts'))).toEqual(['index.js'])
    expect(readFileSync(join(dist(), 'index.js'), 'utf8')).not.toMatch(/^\s*import\b|\brequire\(|\bimport\(/m)
    for (const name of files.filter(name => name.endsWith('.d.ts')))
      expect(readFileSync(join(dist(), name), 'utf8'), name).not.toMatch(/\.ts'|'node:|@types/)
  })

  it.each(['nodenext', 'bundler'])('has types that a strict compiler takes, resolving as %s', async resolution => {
    const source = `
      import { codes, type Command, Downlink, DownlinkError, State } from '@downlink/client'
      const downlink = new Downlink({ server: 'http://127.0.0.1', orgId: 'o', appKey: 'k', appSecret: 's', fetch })
      const found: Command[] = []
      for await (const command of downlink.search({ assetId: 'a' })) found.push(command)
      try {
        const { commandId, outputData } = await downlink.invokeService({ assetId: 'a' }, 's', { x: 1 })
        const id: string = commandId
        const outputs: Readonly<Record<string, unknown>> | null = outputData
        console.log(id, outputs, (await downlink.waitFor(id)).state === State.succeeded)
      } catch (error) {
        if (error instanceof DownlinkError && error.code === codes.offline) console.log(error.commandId)
      }
      // @ts-expect-error half a device is none
      await downlink.cancelAll({ productKey: 'p' })
      // @ts-expect-error which command is not left to chance
      await downlink.cancel({ assetId: 'a' })
      // @ts-expect-error an id is a text
      await downlink.explain(5)
    `
    const name = `types-${resolution}`
    writeFileSync(join(folder, `${name}.mts`), source)
    const module = resolution === 'nodenext' ? 'nodenext' : 'esnext'
    const options = {
      strict: true,
      noEmit: true,
      target: 'es2022',
      lib: ['es2022', 'dom'],
      types: [],
      skipLibCheck: false,
    }
    const config = { compilerOptions: { ...options, module, moduleResolution: resolution }, files: [`${name}.mts`] }
    writeFileSync(join(folder, `${name}.json`), JSON.stringify(config))
    const run = promisify(execFile)(join(root, 'node_modules/.bin/tsc'), ['-p', `${name}.json`], { cwd: folder })
    const { stdout } = await run.catch(error => error)
    expect(stdout).toBe('')
  })

  it('has the licence of the whole', () => {
    expect(readFileSync(join(packageFolder, 'LICENSE'), 'utf8')).toBe(readFileSync(join(root, 'LICENSE'), 'utf8'))
    const [ours, theirs] = [root, packageFolder].map(at => JSON.parse(readFileSync(join(at, 'package.json'), 'utf8')))
    expect([theirs.license, theirs.engines, theirs.dependencies]).toEqual([ours.license, ours.engines, undefined])
  })
})

// Last, because it moves the clock and sends a device away.
it('the example of the emulator prints what docs/emulator.md says', async () => {
  const page = readFileSync(join(root, 'docs/emulator.md'), 'utf8')
  const [, text = '', printed] = /^```js\n([\s\S]*?)^```\n\n```\n([\s\S]*?)^```$/m.exec(page) ?? []
  expect(await printedBy(text)).toBe(printed)
})
