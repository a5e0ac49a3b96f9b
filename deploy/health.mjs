// The health check of the image: ends with 0 while the server answers on /healthz, as DOWNLINK_HTTP and DOWNLINK_PROXY_PROTOCOL say that it listens.
// Not whether PostgreSQL answers: a container that is started anew does not bring that back. For that there is /readyz.

import { request } from 'node:http'
import { connect } from 'node:net'

/** ms; less than Docker waits */
const PATIENCE_MS = 4_000
/** A connection that is nobody's but its own. */
const HEADER = 'PROXY UNKNOWN\r\n'

const { DOWNLINK_HTTP = '', DOWNLINK_PROXY_PROTOCOL = '' } = process.env
const begins = ['true', '1'].includes(DOWNLINK_PROXY_PROTOCOL)

function createConnection(options) {
  const socket = connect(options)
  if (begins) socket.write(HEADER)
  return socket
}

const port = Number(DOWNLINK_HTTP.split(':').at(-1))
const call = request({ host: '127.0.0.1', port, path: '/healthz', timeout: PATIENCE_MS, createConnection }, answer =>
  process.exit(answer.statusCode === 200 ? 0 : 1),
)
call.on('timeout', () => process.exit(1))
call.on('error', () => process.exit(1))
call.end()
