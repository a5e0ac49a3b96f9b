// A receiver of webhooks as a process of its own, to be killed at will: it puts every event on the disk before it says that it has taken it, and at times it
// fails after that, or before. Arguments: the file that it adds lines to, the file that the secret is in, and what chance is made of.
// Not here: what the lines prove (told.ts).

import { createHmac, timingSafeEqual } from 'node:crypto'
import { openSync, readFileSync, writeSync } from 'node:fs'
import { createServer } from 'node:http'

const [linesFile = '', secretFile = '', seed = '0'] = process.argv.slice(2)
const lines = openSync(linesFile, 'a')
let state = Number(seed) >>> 0

/** 0 <= x < 1 (a linear congruential generator is chance enough for this) */
function chance() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return state / 4_294_967_296
}

/** As the documents say: HMAC-SHA-256 of the time, a dot and the body. */
function isSigned(header, body) {
  const [, t, v1] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(header ?? '') ?? []
  if (v1 === undefined) return false
  const mac = createHmac('sha256', readFileSync(secretFile, 'utf8')).update(`${t}.`).update(body).digest()
  return timingSafeEqual(mac, Buffer.from(v1, 'hex')) && Math.abs(Date.now() / 1_000 - Number(t)) < 300
}

function take(request, response, body) {
  const mood = chance()
  if (mood < 0.03) {
    response.writeHead(500).end()
    return
  }
  const delivery = request.headers['downlink-delivery']
  if (!isSigned(request.headers['downlink-signature'], body)) {
    writeSync(lines, `${JSON.stringify({ delivery, fault: 'it was not signed as it should be' })}\n`)
    response.writeHead(401).end()
    return
  }
  const { events } = JSON.parse(body.toString('utf8'))
  // In one write, so that a kill leaves all of it or nothing.
  writeSync(lines, events.map(event => `${JSON.stringify({ delivery, event })}\n`).join(''))
  if (mood < 0.06) response.writeHead(503).end()
  else if (mood < 0.09) response.destroy()
  else response.end()
}

const server = createServer((request, response) => {
  const chunks = []
  request.on('data', chunk => chunks.push(chunk))
  request.on('end', () => take(request, response, Buffer.concat(chunks)))
})
server.listen(0, '127.0.0.1', () => process.stdout.write(`listening ${server.address().port}\n`))
