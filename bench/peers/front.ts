// The signed HTTP front behind which every peer stands: the same calls as Downlink's, the same token, the same signature over the same bytes, checked by the
// same code, and next to nothing else. It is kinder to a peer than Downlink is to itself: no thing model, no permissions, no rate limits, no metrics.
// Not here: what becomes of a command (pgboss.ts, bullmq.ts, broker.ts).

import { randomUUID } from 'node:crypto'
import Fastify from 'fastify'
import { encryption, isSignedBy, parseQuery, sameDigest } from '../../src/http/signature.ts'
import { APP, ORG } from '../rig/server.ts'

/** What a peer does with commands, through as little glue as is fair. */
export interface Peer {
  /**
   * With `pendingTtlS` above 0 resolves when the command will survive a crash. With 0 it is for a device that is there, and resolves when that has answered,
   * which is on record then. `inputJson`: the value, as it goes to the device.
   */
  set(device: number, inputJson: string, pendingTtlS: number): Promise<string>
  /** The ids of those that this call has cancelled: that one, or with null all of the device that wait. */
  cancel?(device: number, commandId: string | null): Promise<string[]>
  /** The record of a command, as JSON; null: there is none. */
  get?(device: number, commandId: string): Promise<string | null>
  close(): Promise<void>
}

/** A server around the peer; its port. */
export async function serveFront(peer: Peer): Promise<{ readonly port: number; close(): Promise<void> }> {
  const app = Fastify({ logger: false })
  app.server.on('connection', socket => socket.setNoDelay(true))
  // The signature covers the body's bytes, so they are kept as they came.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  const tokens = new Set<string>()
  app.post('/apim-token-service/v2.0/token/get', async request => {
    const proof = JSON.parse(String(request.body))
    if (!sameDigest(proof.encryption, encryption(proof.appKey, proof.timestamp, APP.appSecret)))
      return { code: 99401, msg: 'not the secret of this application', data: null }
    const accessToken = randomUUID()
    tokens.add(accessToken)
    return { code: 0, msg: 'OK', data: { accessToken, expire: 7_200 } }
  })
  app.route({
    method: ['GET', 'POST'],
    url: '/connect-service/v2.1/commands',
    handler: async (request, reply) => {
      reply.type('application/json')
      const query = parseQuery(request.raw.url?.split('?')[1] ?? '')
      if (!query.ok) return refusal(query.code, query.message)
      const token = header(request.headers['apim-accesstoken'])
      const timestamp = header(request.headers['apim-timestamp'])
      const given = header(request.headers['apim-signature'])
      const body = request.body instanceof Buffer ? request.body : Buffer.alloc(0)
      if (!tokens.has(token) || !isSignedBy(given, token, query.signed, body, timestamp, APP.appSecret))
        return refusal(99401, 'signature mismatch')
      if (query.values.get('orgId') !== ORG) return refusal(99404, 'no such organization')
      return act(peer, query.values, body)
    },
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const address = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('it listens on no port')
  return {
    port: address.port,
    close: async () => {
      await app.close()
      await peer.close()
    },
  }
}

const header = (value: string | string[] | undefined): string => (typeof value === 'string' ? value : '')

const refusal = (code: number, msg: string): string =>
  JSON.stringify({ code, msg, requestId: randomUUID(), data: null })

const done = (dataJson: string): string => `{"code":0,"msg":"OK","requestId":"${randomUUID()}","data":${dataJson}}`

async function act(peer: Peer, values: ReadonlyMap<string, string>, body: Buffer): Promise<string> {
  const [, number] = /^a([0-9]+)$/.exec(values.get('assetId') ?? '') ?? []
  if (number === undefined) return refusal(99404, 'no such device')
  const device = Number(number)
  const commandId = values.get('commandId') ?? null
  switch (values.get('action')) {
    case 'setMeasurepoint': {
      const { value } = JSON.parse(body.toString())
      const inputJson = JSON.stringify({ [values.get('measurepointId') ?? '']: value })
      const id = await peer.set(device, inputJson, Number(values.get('pendingTtl')))
      return done(`{"commandId":"${id}"}`)
    }
    case 'cancel': {
      const ids = (await peer.cancel?.(device, commandId)) ?? []
      return done(JSON.stringify(ids.map(id => ({ commandId: id, state: 5 }))))
    }
    case 'get': {
      const record = (await peer.get?.(device, commandId ?? '')) ?? null
      return record === null ? refusal(11404, 'no such command') : done(record)
    }
    default:
      return refusal(99400, 'action: not one of setMeasurepoint, cancel, get')
  }
}
