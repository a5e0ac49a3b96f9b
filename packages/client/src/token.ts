// The access token of an application: fetched once however many calls want it, renewed before its end beside them, fetched anew where the server does not
// know it any more. Not here: how a request is sent and repeated (exchange.ts, retry.ts), how calls are signed (caller.ts).

import { codes, DownlinkError } from './errors.ts'
import { RENEW_AGAIN_MS, RENEW_BEFORE_MS, TOKEN_ATTEMPTS, TOKEN_SPREAD_MS } from './limits.ts'
import { encryption } from './signature.ts'

export interface Credentials {
  readonly appKey: string
  readonly appSecret: string
}

/** What the token service gives. */
export interface Given {
  readonly accessToken: string
  /** s for which it is still good */
  readonly expire: number
}

export interface TokenMeans extends Credentials {
  /** ms since 1970 */
  readonly now: () => number
  readonly random: () => number
  /** One request to the token service. Throws DownlinkError where it gives none. */
  readonly ask: (what: 'get' | 'refresh', body: Readonly<Record<string, string>>) => Promise<Given>
}

interface Token {
  readonly text: string
  readonly endsAt: number
  /** not before, then beside the next call */
  readonly renewAt: number
}

export class Tokens {
  readonly #means: TokenMeans
  #token: Token | null = null
  #fetching: Promise<Token> | null = null
  #isRenewing = false
  /** The same proof is taken once, so no timestamp is used twice. */
  #timestamp = 0

  constructor(means: TokenMeans) {
    this.#means = means
  }

  /** One that is good, as far as is known. All who ask while it is fetched get the same, or the same error. */
  async current(): Promise<string> {
    const token = this.#token
    const now = this.#means.now()
    if (token === null || now >= token.endsAt) {
      this.#fetching ??= this.#get().finally(() => {
        this.#fetching = null
      })
      return (await this.#fetching).text
    }
    if (now >= token.renewAt && !this.#isRenewing) void this.#renew(token)
    return token.text
  }

  /** The server does not know it any more: the next call gets another. */
  drop(text: string): void {
    if (this.#token?.text === text) this.#token = null
  }

  async #get(): Promise<Token> {
    return this.#keep(await this.#proven('get', {}))
  }

  /** Beside the calls, which go on with the old one; where it fails, so do they, and it is tried again a little later. */
  async #renew(old: Token): Promise<void> {
    this.#isRenewing = true
    try {
      this.#keep(await this.#proven('refresh', { accessToken: old.text }))
    } catch {
      // Whatever it was, a token that is good is at hand; when it ends, its successor is fetched, and what is wrong then is told to whoever calls.
      if (this.#token === old) this.#token = { ...old, renewAt: this.#means.now() + RENEW_AGAIN_MS }
    } finally {
      this.#isRenewing = false
    }
  }

  #keep({ accessToken, expire }: Given): Token {
    const now = this.#means.now()
    const lifeMs = expire * 1_000
    this.#token = {
      text: accessToken,
      endsAt: now + lifeMs,
      renewAt: now + lifeMs - Math.min(RENEW_BEFORE_MS, lifeMs / 2),
    }
    return this.#token
  }

  /** Asks with a proof of the secret, and with another where somebody had the same one: two processes in one millisecond. */
  async #proven(what: 'get' | 'refresh', more: Readonly<Record<string, string>>): Promise<Given> {
    const { appKey, appSecret, now, random, ask } = this.#means
    for (let attempt = 1; ; attempt += 1) {
      const spread = attempt === 1 ? 0 : Math.floor(random() * TOKEN_SPREAD_MS)
      this.#timestamp = Math.max(now(), this.#timestamp + 1) + spread
      const timestamp = String(this.#timestamp)
      try {
        return await ask(what, {
          appKey,
          encryption: await encryption(appKey, timestamp, appSecret),
          timestamp,
          ...more,
        })
      } catch (error) {
        const isTaken = error instanceof DownlinkError && error.code === codes.repeated
        if (!isTaken || attempt === TOKEN_ATTEMPTS) throw error
      }
    }
  }
}
