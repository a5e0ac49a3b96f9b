// The program of a codec's process: loads one module of the operator's and calls it as it is asked to, one call at a time. Plain JavaScript,
// because node runs it as it stands, from the sources as from the bundle. Not here: time limits, restarts, what the answers mean (runner.ts).

import { existsSync, writeFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'

const [, , resultMaxBytes, jsonMaxDepth, reasonMaxChars] = process.argv.map(Number)
/** ms between two looks at whether the server is still there */
const GUARD_EVERY_MS = 500
const OOM_SCORE_FILE = '/proc/self/oom_score_adj'

const send = process.send.bind(process)
// The channel is the server's: what a module sends by mistake would be taken for an answer.
process.send = undefined

const leave = () => process.kill(process.pid, 'SIGKILL')
// Ctrl-C and service managers signal every process of the group; the server ends this one when it has no more use for it.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined)
process.on('disconnect', leave)
// A module that spins does not hear that the server is gone. This thread does, and needs nothing of the main one.
const guard = `setInterval(() => {
  if (process.ppid !== ${process.ppid}) process.kill(process.pid, 'SIGKILL')
}, ${GUARD_EVERY_MS})`
new Worker(guard, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 8, maxYoungGenerationSizeMb: 1 } }).unref()
// Where the machine runs out of memory, Linux shall end this process rather than the server.
try {
  if (existsSync(OOM_SCORE_FILE)) writeFileSync(OOM_SCORE_FILE, '1000')
} catch {
  // Some containers do not let it be written. Then the choice is the kernel's, and nothing else depends on it.
}

/** the module, once it is loaded */
let codec = null

process.on('message', async ({ seq, type, payload }) => {
  let answer
  try {
    answer = { ok: true, value: await perform(type, payload) }
  } catch (error) {
    const reason = error instanceof Misfit ? error.message : `${type} threw ${described(error)}`
    answer = { ok: false, reason: reason.slice(0, reasonMaxChars) }
  }
  send({ seq, ...answer, memoryBytes: process.memoryUsage.rss() })
})

/** What the module returned, or lacks, is not what it should be. */
class Misfit extends Error {}

async function perform(type, payload) {
  if (type === 'load') return load(payload)
  if (type === 'encode') return bytesOf(await codec.encode(JSON.parse(payload)))
  return jsonOf(await codec.decode(payload))
}

async function load(url) {
  const module = await import(url)
  for (const name of ['encode', 'decode'])
    if (typeof module[name] !== 'function') throw new Misfit(`the module exports no function ${name}`)
  codec = module
  return null
}

function bytesOf(value) {
  if (!(value instanceof Uint8Array)) throw new Misfit(`encode returned ${named(value)}, and not a Uint8Array`)
  if (value.length > resultMaxBytes)
    throw new Misfit(`encode returned ${value.length} bytes; ${resultMaxBytes} are allowed`)
  return Buffer.from(value)
}

function jsonOf(value) {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Misfit(`decode returned ${named(value)}, and not an object`)
  const fault = faultOf(value, '', 1)
  if (fault !== null) throw new Misfit(`decode returned an object that is not JSON: ${fault}`)
  const text = JSON.stringify(value)
  const bytes = Buffer.byteLength(text)
  if (bytes > resultMaxBytes)
    throw new Misfit(`decode returned an object of ${bytes} bytes as JSON; ${resultMaxBytes} are allowed`)
  return text
}

/** The first place that JSON would not keep as it is; null: there is none. A member that is undefined counts as not there, as JSON has it. */
function faultOf(value, path, depth) {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return null
  if (typeof value === 'number') return Number.isFinite(value) ? null : `${path} is ${value}`
  if (typeof value !== 'object') return `${path} is ${named(value)}`
  if (depth > jsonMaxDepth) return `it is nested deeper than ${jsonMaxDepth} levels`
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const fault = faultOf(value[index], `${path}[${index}]`, depth + 1)
      if (fault !== null) return fault
    }
    return null
  }
  const prototype = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return `${path || 'it'} is ${named(value)}`
  for (const [key, member] of Object.entries(value)) {
    const fault = member === undefined ? null : faultOf(member, path === '' ? key : `${path}.${key}`, depth + 1)
    if (fault !== null) return fault
  }
  return null
}

/** `a string`, `an array`, `a Date`: what was found where something else should be */
function named(value) {
  if (value === null || value === undefined) return String(value)
  const name = typeof value === 'object' ? (value.constructor?.name ?? 'Object') : typeof value
  return `${/^[AEIOaeio]/.test(name) ? 'an' : 'a'} ${Array.isArray(value) ? 'array' : name}`
}

const described = error => (error instanceof Error ? `${error.name}: ${error.message}` : named(error))
