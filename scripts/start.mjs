// `npm start`: the built server with the demo fleet, one simulated device, and commands to try. Builds first where that is due.
// Arguments go to `downlink serve`, such as: npm start -- --http 9090

import { execFileSync, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

process.chdir(fileURLToPath(new URL('..', import.meta.url)))
const FLEET = 'examples/fleet.yaml'
const MAIN = 'dist/main.js'

if (!existsSync('node_modules')) {
  console.error('The dependencies are not installed. Run first: npm ci')
  process.exit(1)
}
const { parse } = await import('yaml')

const newest = folder =>
  Math.max(...readdirSync(folder, { recursive: true }).map(name => statSync(join(folder, name)).mtimeMs))
const builtAt = existsSync(MAIN) ? statSync(MAIN).mtimeMs : 0
if (builtAt < newest('src') || builtAt < statSync('scripts/build.mjs').mtimeMs) {
  console.log('Building …')
  execFileSync(process.execPath, ['scripts/build.mjs'], { stdio: 'inherit' })
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

const given = process.argv.slice(2)
const isGiven = (name, env) =>
  process.env[env] || given.some(arg => arg === `--${name}` || arg.startsWith(`--${name}=`))
const defaults = [
  ...(isGiven('store', 'DOWNLINK_STORE') ? [] : ['--store', 'sqlite:data/demo.db']),
  ...(isGiven('log-level', 'DOWNLINK_LOG_LEVEL') ? [] : ['--log-level', 'warn']),
]

const [organization] = parse(readFileSync(FLEET, 'utf8')).organizations
const [{ appKey, appSecret }] = organization.applications
const [here, away] = organization.devices

const urls = {}
run(['serve', '--fleet', FLEET, ...defaults, ...given], 'The server').on('line', line => {
  console.log(line)
  const [, name, url] = /^listening (\S+) (\S+)$/.exec(line) ?? []
  if (name) urls[name] = url
  if (name === 'mqtt' && exitCode === null) simulate()
})

function simulate() {
  const keys = device => `--product-key ${device.productKey} --device-key ${device.deviceKey}`
  banner(keys(here), keys(away))
  const options = ['--mqtt', urls.mqtt, '--fleet', FLEET, ...keys(here).split(' ')]
  run(['device', 'simulate', ...options], 'The simulated device').on('line', line => console.log(line))
}

function banner(online, offline) {
  const server = urls.http === 'http://127.0.0.1:8080' ? '' : ` --server ${urls.http}`
  const caller = `${server} --org ${organization.orgId} --app-key ${appKey} --app-secret ${appSecret}`
  const command = (verb, device, rest) => `  node ${MAIN} command ${verb}${caller} ${device}${rest}`
  console.log(`
${here.deviceKey} is simulated here and prints what it gets; ${away.deviceKey} is away. In another terminal, in this folder:

Send to ${here.deviceKey} and wait for its answer:
${command('send', online, ' --set Int_value=5')}
${command('send', online, ` --invoke calibrate --input '{"reference":20.5}'`)}

Queue for ${away.deviceKey}, look, and cancel:
${command('send', offline, ' --set Int_value=7 --pending-ttl 600')}
${command('list', offline, '')}
${command('cancel', offline, ' --all')}

Ctrl-C ends everything.
`)
}
