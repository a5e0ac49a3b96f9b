// The token service and the check of calls: who is calling, proven by a secret that is never sent (applications, the vendor's HTTP contract) or by a token that is
// sent as it is (operators). Without HTTP: no status lines, no routes (app.ts). What is hashed is in signature.ts, what an application may do in fleet/fleet.ts.

import { createHash } from 'node:crypto'
import { authErrors, type Refusal, refuse } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { ACCESS_TOKEN_MAX_CHARS, SECRET_MAX_CHARS, TOKEN_LIFE_S } from '../core/limits.ts'
import type { Application, Fleet } from '../fleet/fleet.ts'
import { operatorOf } from '../fleet/operators.ts'
import type { Tokens } from '../store/store.ts'
import { encryption, isSignedBy, type Query, sameDigest } from './signature.ts'

/** What `token/get` and `token/refresh` answer. `expire` is the token's remaining life in seconds, rounded down. */
export interface TokenAnswer {
  /** 0, or one of authErrors */
  readonly status: number
  readonly msg: string
  readonly data: { readonly accessToken: string; readonly expire: number } | null
}

export interface TokenServiceOptions {
  readonly tokens: Tokens
  readonly fleet: Pick<Fleet, 'application'>
  /** 256 random bits as text without blanks, a new one with each call */
  readonly newToken: () => string
  /** ms that a caller's timestamp may differ from our clock, either way */
  readonly clockWindowMs: number
}

const APP_KEY = new RegExp(`^[\\x21-\\x7e]{1,${SECRET_MAX_CHARS}}$`)
const ACCESS_TOKEN = new RegExp(`^[\\x21-\\x7e]{1,${ACCESS_TOKEN_MAX_CHARS}}$`)
const DIGEST = /^[0-9a-fA-F]{64}$/
/** ms since 1970 in digits; 15 of them reach beyond the year 30000 and stay exact as a number */
const TIMESTAMP = /^[0-9]{1,15}$/

/** An operator's token, as it is sent. Its beginning tells it from anything else that may stand in that header, and finds it where it was left lying about. */
const OPERATOR_TOKEN = /^Bearer +(dlo_[A-Za-z0-9_-]{43})$/i
const IS_OPERATOR_TOKEN = /^Bearer +dlo_/i
/** On record is only a digest, so that a copy of the store lets nobody in; and it is looked up by it, so that nothing is learned from how long that takes. */
const OPERATOR_ROW = 'operator:'
const operatorRow = (token: string): string => OPERATOR_ROW + createHash('sha256').update(token).digest('hex')

/** Headers by lower-case name, as node gives them. */
type Headers = Readonly<Record<string, string | string[] | undefined>>

/** Who makes a call, and when the token that it carries ends, in epoch ms. */
export interface Caller {
  readonly ok: true
  readonly application: Application
  readonly expireAt: number
}

const SIGNED = { 'apim-accesstoken': ACCESS_TOKEN, 'apim-signature': DIGEST, 'apim-timestamp': TIMESTAMP }

const wrongTime = refuse(
  authErrors.badSignature,
  'the timestamp is too far from the server clock; sign with the current time in ms',
)
const refusedAnswer = ({ code, message }: Refusal): TokenAnswer => ({ status: code, msg: message, data: null })

/** Takes texts by name; the first that is missing (1202) or malformed (1004) is the refusal. Values are never quoted. */
function readTexts<N extends string>(
  what: 'parameter' | 'header',
  fields: Readonly<Record<string, unknown>>,
  patterns: Readonly<Record<N, RegExp>>,
): { readonly ok: true; readonly texts: Readonly<Record<N, string>> } | Refusal {
  const names = Object.keys(patterns) as N[]
  const isMissing = (name: N) =>
    !Object.hasOwn(fields, name) || fields[name] === null || fields[name] === undefined || fields[name] === ''
  const missing = names.find(isMissing)
  if (missing !== undefined) return refuse(authErrors.missing, `${what} ${missing} is missing`)
  const texts: Partial<Record<N, string>> = {}
  for (const name of names) {
    const value = fields[name]
    if (typeof value !== 'string' || !patterns[name].test(value)) {
      return refuse(authErrors.badParameter, `${what} ${name} is malformed`)
    }
    texts[name] = value
  }
  return { ok: true, texts: texts as Record<N, string> }
}

const PROOF = { appKey: APP_KEY, encryption: DIGEST, timestamp: TIMESTAMP }

/** The texts of a token request's body. A timestamp may be a number, which is hashed as its digits. */
function readBody<N extends string>(body: unknown, patterns: Readonly<Record<N, RegExp>>) {
  if (!isObject(body))
    return refuse(authErrors.badParameter, `the body must be a JSON object with ${Object.keys(patterns).join(', ')}`)
  const { timestamp } = body
  return readTexts(
    'parameter',
    typeof timestamp === 'number' ? { ...body, timestamp: String(timestamp) } : body,
    patterns,
  )
}

/** Gives tokens, and recognises the callers who sign with them. Holds nothing itself: what it says is true on every node and after a restart. */
export class TokenService {
  readonly #options: TokenServiceOptions

  constructor(options: TokenServiceOptions) {
    this.#options = options
  }

  /**
   * `token/get`: `{appKey, encryption, timestamp}`, the timestamp a number or digits. The same token until it has less than a second
   * left, then a new one. Two first calls at once may be given two tokens; both are good.
   */
  async get(body: unknown, now: number): Promise<TokenAnswer> {
    const asked = readBody(body, PROOF)
    if (!asked.ok) return refusedAnswer(asked)
    const refused = await this.#refuseUnproven(asked.texts, now)
    if (refused !== null) return refusedAnswer(refused)
    const { appKey } = asked.texts
    const current = await this.#options.tokens.tokenOf(appKey, now + 999)
    if (current === null) return this.#issue(appKey, now)
    return answerOf(current.accessToken, current.expireAt, now)
  }

  /**
   * `token/refresh`: the same and `accessToken`, one of the application's that has not expired. A new token with its full life; the
   * old one stays good until it expires, for calls under way and for other processes that share it.
   */
  async refresh(body: unknown, now: number): Promise<TokenAnswer> {
    const asked = readBody(body, { ...PROOF, accessToken: ACCESS_TOKEN })
    if (!asked.ok) return refusedAnswer(asked)
    const refused = await this.#refuseUnproven(asked.texts, now)
    if (refused !== null) return refusedAnswer(refused)
    const { appKey, accessToken } = asked.texts
    const row = await this.#options.tokens.token(accessToken)
    if (row === null || row.appKey !== appKey || row.expireAt <= now) {
      return refusedAnswer(
        refuse(
          authErrors.refreshFailed,
          'the accessToken is unknown, expired or of another application; get one instead',
        ),
      )
    }
    return this.#issue(appKey, now)
  }

  /**
   * Who made this call: an application, which signed it, or an operator, whose token it carries. What else stands in the header authorization is not for us: proxies
   * put things there. `body` is the raw body, empty where there is none or it is multipart. Codes: 1202 a header is missing, 1004 malformed, 1203 token
   * unknown or expired, 1003 wrong signature or stale timestamp.
   */
  async authenticate(
    headers: Headers,
    query: Pick<Query, 'signed'>,
    body: Uint8Array,
    now: number,
  ): Promise<Caller | Refusal> {
    if (IS_OPERATOR_TOKEN.test(headers.authorization?.toString() ?? '')) return this.#operator(headers, now)
    const shape = readTexts('header', headers, SIGNED)
    if (!shape.ok) return shape
    const { 'apim-accesstoken': accessToken, 'apim-signature': given, 'apim-timestamp': timestamp } = shape.texts
    const caller = await this.#callerBy(accessToken, now)
    if (caller === null || accessToken.startsWith(OPERATOR_ROW))
      return refuse(authErrors.tokenExpired, 'the access token is unknown or has expired; get a new one')
    if (!isSignedBy(given, accessToken, query.signed, body, timestamp, caller.application.secret.reveal())) {
      return refuse(authErrors.badSignature, 'the signature is wrong; check the appSecret and what is signed')
    }
    return this.#isTimely(timestamp, now) ? caller : wrongTime
  }

  /** A call that says twice who makes it says nothing: whose it would be is left to nobody's guess. */
  async #operator(headers: Headers, now: number): Promise<Caller | Refusal> {
    const signed = Object.keys(SIGNED).find(name => headers[name] !== undefined)
    if (signed !== undefined)
      return refuse(authErrors.badParameter, `headers authorization and ${signed}: sign, or send an operator token`)
    const [, token = null] = OPERATOR_TOKEN.exec(headers.authorization?.toString() ?? '') ?? []
    if (token === null) return refuse(authErrors.badParameter, 'header authorization is malformed: no operator token')
    const caller = await this.#callerBy(operatorRow(token), now)
    return (
      caller ?? refuse(authErrors.tokenExpired, 'the operator token is unknown or has expired; have a new one made')
    )
  }

  /** By what the token is on record under. */
  async #callerBy(recorded: string, now: number): Promise<Caller | null> {
    const row = await this.#options.tokens.token(recorded)
    const application = row === null || row.expireAt <= now ? null : await this.#options.fleet.application(row.appKey)
    return row === null || application === null ? null : { ok: true, application, expireAt: row.expireAt }
  }

  /** A new token for an operator. It is told this once: what is kept tells it to nobody. */
  async issueToOperator(appKey: string, lifeMs: number, now: number): Promise<{ token: string; expireAt: number }> {
    const token = `dlo_${this.#options.newToken()}`
    const expireAt = now + lifeMs
    await this.#options.tokens.saveToken(operatorRow(token), appKey, expireAt)
    return { token, expireAt }
  }

  /**
   * Null for a caller who proves the application's secret. The proof is good once: it is recorded, in its one spelling, for as long
   * as its timestamp would be taken. Only a valid one is recorded, so that nobody without the secret can use up another's.
   */
  async #refuseUnproven(proof: Readonly<Record<keyof typeof PROOF, string>>, now: number): Promise<Refusal | null> {
    const { appKey, timestamp } = proof
    const application = await this.#options.fleet.application(appKey)
    if (application === null) return refuse(authErrors.unknownApp, 'the appKey does not exist')
    // Nobody is told the secret of an operator; and if the administrator gives him one, it makes no signature that counts.
    if (operatorOf(application) !== null)
      return refuse(
        authErrors.unknownApp,
        'the appKey is that of an operator, who signs nothing: call with an operator token',
      )
    const expected = encryption(appKey, timestamp, application.secret.reveal())
    if (!sameDigest(proof.encryption, expected)) {
      return refuse(
        authErrors.badSignature,
        'the encryption is wrong; it is sha256(appKey + timestamp + appSecret) in hex',
      )
    }
    if (!this.#isTimely(timestamp, now)) return wrongTime
    const goodUntil = Number(timestamp) + this.#options.clockWindowMs + 1
    if (await this.#options.tokens.useEncryption(expected, goodUntil)) return null
    return refuse(authErrors.repeated, 'this encryption was used before; sign again with the current time')
  }

  #isTimely(timestamp: string, now: number): boolean {
    return Math.abs(now - Number(timestamp)) <= this.#options.clockWindowMs
  }

  async #issue(appKey: string, now: number): Promise<TokenAnswer> {
    const accessToken = this.#options.newToken()
    const expireAt = now + TOKEN_LIFE_S * 1000
    await this.#options.tokens.saveToken(accessToken, appKey, expireAt)
    return answerOf(accessToken, expireAt, now)
  }
}

const answerOf = (accessToken: string, expireAt: number, now: number): TokenAnswer => ({
  status: 0,
  msg: 'SUCCESS',
  data: { accessToken, expire: Math.floor((expireAt - now) / 1000) },
})
