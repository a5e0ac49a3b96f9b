// Who calls which server: the options for that, checked, and made into what signs and sends. And the one question that needs no organization: who am I.
// Not here: how a call is signed and sent (caller.ts), what else can be asked (client.ts).

import { Caller } from './caller.ts'
import type { CallOptions } from './client.ts'
import type { Fetch } from './exchange.ts'
import { credentialsOf, inRange, serverOf } from './given.ts'
import { RETRIES, RETRIES_MAX } from './limits.ts'
import { type Retries, type Sleep, sleep } from './retry.ts'
import { notUnderstood } from './told.ts'
import { isObject, type WhoAmI } from './wire.ts'

export interface AccessOptions {
  /** such as `https://downlink.example.com`; it may have a path before those of the server */
  readonly server: string | URL
  /** the application, and what proves that it is called on its behalf */
  readonly appKey?: string
  readonly appSecret?: string
  /** what a person calls with instead, as `downlink console token` prints it. It ends, and is not renewed: then calls throw NoToken. */
  readonly operatorToken?: string
  /** true: nothing is signed, for a server that runs with `--auth open`, such as the emulator. Then there is neither appKey nor token. */
  readonly open?: boolean
  /** default: the global one. Another may go through a proxy, trace, or answer in a test. */
  readonly fetch?: Fetch
  /** repeats of a call that a repeat may help, after the first attempt; default 4, and 0 is none */
  readonly retries?: number
  /** ms since 1970; default Date.now. Calls are signed with it, so it must agree with the server's clock within minutes. */
  readonly now?: () => number
  /** the pauses between repeats and looks; default: those of this machine */
  readonly sleep?: Sleep
  /** from 0 (inclusive) to 1, for those pauses; default Math.random */
  readonly random?: () => number
}

/** What makes the calls. orgId null: of no organization. Throws TypeError for options that make no sense. */
export function accessOf(options: AccessOptions, orgId: string | null): { caller: Caller; retries: Retries } {
  const { retries = RETRIES, now = Date.now, random = Math.random } = options
  inRange('retries', retries, 0, RETRIES_MAX)
  const ways = { retries, sleep: options.sleep ?? sleep, random }
  // In a browser, fetch must be called as the window's own.
  const fetch: Fetch = options.fetch ?? ((input, init) => globalThis.fetch(input, init))
  const [server, credentials] = [serverOf(options.server), credentialsOf(options)]
  return { caller: new Caller({ server, orgId, credentials, fetch, now, ...ways }), retries: ways }
}

/**
 * As whom the server takes these credentials, and what that caller may do; of an open server, the organizations that there are. Throws
 * {@link NoToken} where they are not good, or good no more, and else what every call throws.
 */
export async function whoAmI(options: AccessOptions & CallOptions): Promise<WhoAmI> {
  const { caller } = accessOf(options, null)
  const { data } = await caller.answer({ method: 'GET', path: '/v1/whoami', signal: options.signal })
  const { auth, caller: who, organizations } = isObject(data) ? data : {}
  if (auth !== 'signature' && auth !== 'open') throw notUnderstood('data.auth')
  if (who !== null && !isObject(who)) throw notUnderstood('data.caller')
  if (!Array.isArray(organizations)) throw notUnderstood('data.organizations')
  return data as unknown as WhoAmI
}
