// An application that sends commands with signed calls, over connections that it keeps.

import { Agent, request } from 'node:http'
import { encryption, signature } from '../../src/http/signature.ts'
import { APP, assetOf, ORG, POINT } from './server.ts'

/** ms without an answer after which a bench has failed: longer than any instant command may take */
const ANSWER_WAIT_MS = 40_000
const BODY = '{"value":222}'

export class Caller {
  readonly #url: URL
  readonly #agent: Agent
  #token = ''

  private constructor(url: URL, connections: number) {
    this.#url = url
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, noDelay: true })
  }

  static async logIn(url: URL, connections: number): Promise<Caller> {
    const caller = new Caller(url, connections)
    const { appKey, appSecret } = APP
    const timestamp = String(Date.now())
    const proof = JSON.stringify({ appKey, timestamp, encryption: encryption(appKey, timestamp, appSecret) })
    const got = JSON.parse(await caller.#send('POST', '/apim-token-service/v2.0/token/get', {}, proof))
    caller.#token = got.data.accessToken
    return caller
  }

  /** Sets the measurepoint of a device; pendingTtlS 0: answered when the device has. The commandId. Throws where it is not accepted, or the device failed it. */
  async set(device: number, pendingTtlS: number): Promise<string> {
    const params = {
      action: 'setMeasurepoint',
      orgId: ORG,
      assetId: assetOf(device),
      measurepointId: POINT,
      pendingTtl: String(pendingTtlS),
    }
    const timestamp = String(Date.now())
    const pairs = Object.entries(params).map(([name, value]) => ({ name, value }))
    const headers = {
      'apim-accesstoken': this.#token,
      'apim-timestamp': timestamp,
      'apim-signature': signature(this.#token, pairs, Buffer.from(BODY), timestamp, APP.appSecret),
    }
    const path = `/connect-service/v2.1/commands?${new URLSearchParams(params)}`
    const text = await this.#send('POST', path, headers, BODY)
    const [, commandId] = /"commandId":"([0-9]+)"/.exec(text) ?? []
    if (!text.startsWith('{"code":0,') || commandId === undefined) throw new Error(`not accepted: ${text}`)
    return commandId
  }

  /** A signed call of anything else; the answer's envelope. */
  async ask<T>(method: string, path: string, query: Readonly<Record<string, string>> = {}, body = ''): Promise<T> {
    const params = { orgId: ORG, ...query }
    const timestamp = String(Date.now())
    const pairs = Object.entries(params).map(([name, value]) => ({ name, value }))
    const headers = {
      'apim-accesstoken': this.#token,
      'apim-timestamp': timestamp,
      'apim-signature': signature(this.#token, pairs, Buffer.from(body), timestamp, APP.appSecret),
    }
    const text = await this.#send(method, `${path}?${new URLSearchParams(params)}`, headers, body)
    return JSON.parse(text) as T
  }

  /** How many commands this server has seen reach the state, by its metrics. */
  async transitions(to: string): Promise<number> {
    const text = await this.#send('GET', '/metrics', {}, '')
    const lines = text.matchAll(/^downlink_transitions_total\{to="([a-zA-Z]+)"[^}]*\} ([0-9]+)$/gm)
    return [...lines].reduce((sum, [, state, count]) => (state === to ? sum + Number(count) : sum), 0)
  }

  close(): void {
    this.#agent.destroy()
  }

  #send(method: string, path: string, headers: Record<string, string>, body: string): Promise<string> {
    const { hostname: host, port } = this.#url
    return new Promise((resolve, reject) => {
      const call = request({ agent: this.#agent, host, port, path, method, headers }, response => {
        let text = ''
        response.setEncoding('utf8').on('data', chunk => {
          text += chunk
        })
        response.on('end', () => resolve(text))
        response.on('error', reject)
      })
      call.setTimeout(ANSWER_WAIT_MS, () => call.destroy(new Error(`no answer within ${ANSWER_WAIT_MS} ms`)))
      call.on('error', reject)
      call.end(body)
    })
  }
}
