// `npm start`: the built server with the demo fleet, one simulated device, and commands to try. Builds first where that is due.
// Arguments go to `downlink serve`, such as: npm start -- --http 9090. Ends with its parent, so that nothing stays behind when npm is killed.

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

// npm that is killed may tell nobody; an orphan gets another parent. Read first: the build takes a while.
const parent = process.ppid
process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const DEMO_FLEET = 'examples/fleet.yaml'
const MAIN = 'dist/main.js'
const CONSOLE = 'dist/console/index.html'
/** ms between two looks at whether the parent is still there */
const PARENT_CHECK_MS = 500

if (!existsSync('node_modules')) {
  console.error('The dependencies are not installed. Run first: npm ci')
  process.exit(1)
}
const { parse } = await import('yaml')

/** What is built: the server with the client library, and the console. */
const sources = [
  ...['src', 'packages/client/src', 'scripts/build.mjs'],
  ...['src', 'public', 'index.html', 'compressed.ts', 'vite.config.ts'].map(name => join('console', name)),
]
/** when the newest of the files there was written */
function newest(path) {
  const found = statSync(path)
  if (!found.isDirectory()) return found.mtimeMs
  return Math.max(...readdirSync(path, { recursive: true }).map(name => statSync(join(path, name)).mtimeMs))
}
const builtAt = Math.min(...[MAIN, CONSOLE].map(file => (existsSync(file) ? statSync(file).mtimeMs : 0)))
if (builtAt < Math.max(...sources.map(newest))) {
  console.log('Building …')
  execFileSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' })
}

const given = process.argv.slice(2)
if (given.includes('--help') || given.includes('-h')) {
  execFileSync(process.execPath, [MAIN, 'serve', '--help'], { stdio: 'inherit' })
  process.exit(0)
}

const children = []
let exitCode = null

/** Ends everything once, whatever calls it and how often: Ctrl-C reaches us from the terminal and from npm. */
function stop(code) {
  if (exitCode !== null) return
  exitCode = code
  for (const child of children) child.kill('SIGTERM')
}
process.on('SIGINT', () => stop(0))
process.on('SIGTERM', () => stop(0))
setInterval(() => {
  if (process.ppid !== parent) stop(0)
}, PARENT_CHECK_MS).unref()
// Whoever read our output has gone; and whatever ends us, the children do not stay behind.
process.stdout.on('error', () => stop(1))
process.on('exit', () => stop(1))

/** In a group of its own: a Ctrl-C that reached the child as well would be its second signal, and cut its stop short. */
function run(args, what) {
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'inherit'], detached: true })
  children.push(child)
  child.on('exit', code => {
    children.splice(children.indexOf(child), 1)
    if (exitCode === null) console.error(`${what} ended`)
    stop(code || 1)
    if (children.length === 0) process.exitCode = exitCode
  })
  return createInterface({ input: child.stdout })
}

/** What an option of the server is given as, by argument or else by environment; null where the defaults of this script hold. */
function optionOf(name, env) {
  const at = given.findIndex(arg => arg === `--${name}` || arg.startsWith(`--${name}=`))
  if (at < 0) return process.env[env] || null
  return given[at].includes('=') ? given[at].slice(name.length + 3) : (given[at + 1] ?? '')
}
const fleet = optionOf('fleet', 'DOWNLINK_FLEET')
const fleetFile = fleet ?? DEMO_FLEET
const defaults = [
  ...(fleet === null ? ['--fleet', DEMO_FLEET] : []),
  ...(optionOf('store', 'DOWNLINK_STORE') === null ? ['--store', 'sqlite:data/demo.db'] : []),
  ...(optionOf('log-level', 'DOWNLINK_LOG_LEVEL') === null ? ['--log-level', 'warn'] : []),
]

const urls = {}
run(['serve', ...defaults, ...given], 'The server').on('line', line => {
  console.log(line)
  const [, name, url] = /^listening (\S+) (\S+)$/.exec(line) ?? []
  if (name) urls[name] = url
  if (name === 'mqtt' && exitCode === null) simulate()
})

/** The first device that can connect by itself and the application that commands it. The server has checked the file by now. */
function simulate() {
  for (const { orgId, applications, devices } of parse(readFileSync(fleetFile, 'utf8')).organizations ?? []) {
    const [application] = applications ?? []
    const [here, away] = (devices ?? []).filter(({ disabled, gateway }) => !disabled && !gateway)
    if (!application || !here) continue
    banner({ orgId, ...application }, here, away)
    const keys = ['--product-key', here.productKey, '--device-key', here.deviceKey]
    const options = ['--mqtt', urls.mqtt, '--fleet', fleetFile, ...keys]
    run(['device', 'simulate', ...options], 'The simulated device').on('line', line => console.log(line))
    return
  }
  console.log(
    `\n${fleetFile} has no organization with an application and a device, so none is simulated. Ctrl-C ends the server.\n`,
  )
}

function banner({ orgId, appKey, appSecret }, here, away) {
  const server = urls.http === 'http://127.0.0.1:8080' ? {} : { DOWNLINK_SERVER: urls.http }
  const caller = { ...server, DOWNLINK_ORG: orgId, DOWNLINK_APP_KEY: appKey, DOWNLINK_APP_SECRET: appSecret }
  const exports = Object.entries(caller).map(([name, value]) => `  export ${name}=${quoted(value)}`)
  const command = (verb, device, rest = '') => `  node ${MAIN} command ${verb} --asset-id ${device.assetId}${rest}`
  console.log(`
${here.deviceKey} is simulated here and prints what it gets${away ? `; ${away.deviceKey} is away` : ''}.
Look at it in a browser, signed in with the key and the secret below: ${urls.http}/console/
Or in another terminal, in this folder; first say who calls:

${exports.join('\n')}
`)
  // What can be set and invoked is known of the demo fleet only.
  if (fleetFile === DEMO_FLEET)
    console.log(`Send to ${here.deviceKey} and wait for its answer:

${command('send', here, ' --set Int_value=5')}
${command('send', here, ` --invoke calibrate --input '{"reference":20.5}'`)}

Queue for ${away.deviceKey}, look, and cancel:

${command('send', away, ' --set Int_value=7 --pending-ttl 600')}
${command('list', away)}
${command('cancel', away, ' --all')}
`)
  else
    console.log(`Then look at the commands of ${here.deviceKey}, and see how to send one:

${command('list', here)}
  node ${MAIN} help command send
`)
  console.log('Ctrl-C ends everything.\n')
}

/** As a shell takes it in one piece. */
function quoted(text) {
  return /^[\w.:/@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
