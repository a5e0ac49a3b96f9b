// An application that sends commands with signed calls, over connections that it keeps. Downlink and the peers of bench/peers take the same calls.

import { encryption, signature } from '../../src/http/signature.ts'
import { Http } from './http.ts'
import { APP, assetOf, ORG, POINT } from './server.ts'

const BODY = '{"value":222}'
const COMMANDS = '/connect-service/v2.1/commands'
const AUTHENTICATED = '/apim-token-service/v2.0/token/get'

export class Caller {
  readonly #http: Http
  #token = ''

  private constructor(url: URL, connections: number) {
    this.#http = new Http(url, connections)
  }

  static async logIn(url: URL, connections: number): Promise<Caller> {
    const caller = new Caller(url, connections)
    const { appKey, appSecret } = APP
    const timestamp = String(Date.now())
    const proof = JSON.stringify({ appKey, timestamp, encryption: encryption(appKey, timestamp, appSecret) })
    const got = JSON.parse(await caller.#http.call('POST', AUTHENTICATED, {}, proof))
    caller.#token = got.data.accessToken
    return caller
  }

  /** Sets the measurepoint of a device; pendingTtlS 0: answered when the device has. The commandId. Throws where it is not accepted, or the device failed it. */
  async set(device: number, pendingTtlS: number): Promise<string> {
    const query = { action: 'setMeasurepoint', assetId: assetOf(device), measurepointId: POINT }
    const text = await this.#signed('POST', COMMANDS, { ...query, pendingTtl: String(pendingTtlS) }, BODY)
    const [, commandId] = /"commandId":"([^"]+)"/.exec(text) ?? []
    if (!text.startsWith('{"code":0,') || commandId === undefined) throw new Error(`not accepted: ${text}`)
    return commandId
  }

  /** Cancels one command of the device, or with null all that wait: the ids of those that this call has cancelled. Throws where it is refused. */
  async cancel(device: number, commandId: string | null): Promise<string[]> {
    const query = { action: 'cancel', assetId: assetOf(device) }
    const text = await this.#signed('POST', COMMANDS, commandId === null ? query : { ...query, commandId }, '')
    if (!text.startsWith('{"code":0,')) throw new Error(`not cancelled: ${text}`)
    return [...text.matchAll(/"commandId":"([^"]+)"/g)].map(([, id]) => id!)
  }

  /** The record of one command, as text. Throws where there is none. */
  async get(device: number, commandId: string): Promise<string> {
    const text = await this.#signed('GET', COMMANDS, { action: 'get', assetId: assetOf(device), commandId }, '')
    if (!text.startsWith('{"code":0,')) throw new Error(`not found: ${text}`)
    return text
  }

  /** A signed call of anything else; the answer's envelope. */
  async ask<T>(method: string, path: string, query: Readonly<Record<string, string>> = {}, body = ''): Promise<T> {
    return JSON.parse(await this.#signed(method, path, query, body)) as T
  }

  /** How many commands this server has seen reach the state, by its metrics. */
  async transitions(to: string): Promise<number> {
    const text = await this.metrics()
    const lines = text.matchAll(/^downlink_transitions_total\{to="([a-zA-Z]+)"[^}]*\} ([0-9]+)$/gm)
    return [...lines].reduce((sum, [, state, count]) => (state === to ? sum + Number(count) : sum), 0)
  }

  /** The page of metrics, as text. */
  metrics(): Promise<string> {
    return this.#http.call('GET', '/metrics', {}, '')
  }

  close(): void {
    this.#http.close()
  }

  #signed(method: string, path: string, query: Readonly<Record<string, string>>, body: string): Promise<string> {
    const params = Object.entries({ orgId: ORG, ...query })
    const timestamp = String(Date.now())
    const pairs = params.map(([name, value]) => ({ name, value }))
    const headers = {
      'apim-accesstoken': this.#token,
      'apim-timestamp': timestamp,
      'apim-signature': signature(this.#token, pairs, Buffer.from(body), timestamp, APP.appSecret),
    }
    return this.#http.call(method, `${path}?${new URLSearchParams(params)}`, headers, body)
  }
}
