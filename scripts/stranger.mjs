// `npm run stranger`: the path of somebody who has never seen this. Packs the client, installs the tarball into an empty project, without a network, starts
// the emulator, and runs the first example of the installed README exactly as it is printed there. Ends with `1 passed, 0 failed`, or with what went wrong.

import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
/** ms for each step; the longest is npm, which takes a few seconds */
const STEP_WITHIN_MS = 60_000
const SERVER = [join(root, 'dist/main.js'), 'emulate', '--http', '0', '--mqtt', '0']

const folder = mkdtempSync(join(tmpdir(), 'downlink-stranger-'))
const project = join(folder, 'project')
// A cache of its own: nothing is there that this machine happens to have.
const offline = { ...process.env, npm_config_offline: 'true', npm_config_cache: join(folder, 'cache') }
const npm = (args, cwd) =>
  execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    ...{ cwd, env: offline, timeout: STEP_WITHIN_MS, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  })

let emulator = null
let failure = null
try {
  const [packed] = JSON.parse(npm(['pack', '--json', '--pack-destination', folder], join(root, 'packages/client')))
  console.log(`packed ${packed.filename}: ${packed.files.length} files, ${packed.size} bytes`)

  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  npm(['install', join(folder, packed.filename)], project)
  console.log('installed into an empty project, without a network')

  emulator = await startEmulator()
  console.log(`the emulator listens on ${emulator.url}`)

  const readme = readFileSync(join(project, 'node_modules/@downlink/client/README.md'), 'utf8')
  const [, example] = /^```js\n([\s\S]*?)^```$/m.exec(readme) ?? []
  if (example === undefined) throw new Error('the README has no example')
  writeFileSync(join(project, 'example.js'), example)
  const env = { ...process.env, DOWNLINK_SERVER: emulator.url }
  const said = execFileSync(process.execPath, ['example.js'], {
    ...{ cwd: project, env, timeout: STEP_WITHIN_MS, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  })
  process.stdout.write(`the first example says: ${said}`)
  if (!/^\d{19} succeeded\n$/.test(said)) throw new Error('the command did not succeed')
} catch (error) {
  failure = error
} finally {
  await emulator?.stop()
  rmSync(folder, { recursive: true, force: true })
}
if (failure !== null) console.error(failure)
console.log(failure === null ? '1 passed, 0 failed' : '0 passed, 1 failed')
process.exitCode = failure === null ? 0 : 1

/** Resolves when it is ready, its devices too. */
async function startEmulator() {
  const child = spawn(process.execPath, SERVER, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise(resolve => child.once('close', resolve))
  const timer = setTimeout(() => child.kill('SIGKILL'), STEP_WITHIN_MS)
  const stop = async () => {
    clearTimeout(timer)
    child.kill('SIGTERM')
    await ended
  }
  let url = ''
  for await (const line of createInterface({ input: child.stdout })) {
    url = /^listening http (\S+)$/.exec(line)?.[1] ?? url
    if (line === 'ready') return { url, stop }
  }
  clearTimeout(timer)
  throw new Error(`the emulator ended with ${await ended}`)
}
