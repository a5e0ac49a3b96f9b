// The token service and signed calls over real stores; time is an argument. Not here: routes and HTTP statuses.
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TOKEN_LIFE_S } from '../src/core/limits.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import { ClearSecret, randomKey, Secrets } from '../src/fleet/secrets.ts'
import { encryption, parseQuery, type Query, signature } from '../src/http/signature.ts'
import { TokenService } from '../src/http/tokens.ts'
import { openMemory } from '../src/store/memory.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import type { Store } from '../src/store/store.ts'

const NOW = 1_760_000_000_000
const WINDOW = 600_000
const APP = '5acb82e7-a11e-4300-9164-c8b20b638e8b'
const SECRET = '65417473-2da3-40cc-b235-513b9123aefb'
const OTHER_APP = 'other-app'
const OTHER_SECRET = 'other-secret'

function query(raw: string): Query {
  const parsed = parseQuery(raw)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed
}

describe.each(['memory', 'sqlite'])('on %s', kind => {
  let directory = ''
  let store: Store
  let fleet: Fleet
  let service: TokenService

  const newService = () =>
    new TokenService({
      tokens: store,
      fleet,
      newToken: () => randomBytes(32).toString('base64url'),
      clockWindowMs: WINDOW,
    })

  const application = (appKey: string, secret: string) => ({ appKey, appSecret: new ClearSecret(secret), grants: [] })

  async function applyApplications(...applications: ReturnType<typeof application>[]): Promise<void> {
    await fleet.apply(
      { organizations: [{ orgId: 'o1', name: 'o1', applications, models: [], products: [], devices: [] }] },
      NOW,
    )
  }

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'downlink-tokens-'))
    store = kind === 'memory' ? openMemory() : openSqlite(join(directory, 'tokens.db'))
    fleet = new Fleet(store, new Secrets(randomKey()))
    await applyApplications(application(APP, SECRET), application(OTHER_APP, OTHER_SECRET))
    service = newService()
  })
  afterEach(async () => {
    await store.close()
    rmSync(directory, { recursive: true })
  })

  /** A good body for `token/get`, signed at `at`. */
  const proof = (at: number, appKey = APP, secret = SECRET) => ({
    appKey,
    encryption: encryption(appKey, String(at), secret),
    timestamp: at,
  })

  async function tokenAt(at: number, appKey = APP, secret = SECRET): Promise<string> {
    const { status, data } = await service.get(proof(at, appKey, secret), at)
    expect(status).toBe(0)
    return data?.accessToken ?? ''
  }

  describe('token/get', () => {
    it('gives a token for the vendor’s life of one', async () => {
      const answer = await service.get(proof(NOW), NOW)
      expect(answer).toEqual({
        status: 0,
        msg: 'SUCCESS',
        data: { accessToken: expect.stringMatching(/^[\w-]{43}$/), expire: 7200 },
      })
    })

    it('gives the same token while it lives, on every node, and then another', async () => {
      const first = await tokenAt(NOW)
      expect(await service.get(proof(NOW + 1_500), NOW + 1_500)).toMatchObject({
        status: 0,
        data: { accessToken: first, expire: 7198 },
      })
      service = newService()
      expect(await tokenAt(NOW + 2_000)).toBe(first)
      const end = NOW + TOKEN_LIFE_S * 1000
      expect(await service.get(proof(end - 1_000), end - 1_000)).toMatchObject({
        data: { accessToken: first, expire: 1 },
      })
      const next = await service.get(proof(end - 999), end - 999)
      expect(next).toMatchObject({ status: 0, data: { expire: 7200 } })
      expect(next.data?.accessToken).not.toBe(first)
      expect(await tokenAt(NOW, OTHER_APP, OTHER_SECRET)).not.toBe(first)
    })

    it('takes the timestamp as a number or as digits, and either case of hex', async () => {
      expect(await service.get({ ...proof(NOW), timestamp: String(NOW) }, NOW)).toMatchObject({ status: 0 })
      const upper = proof(NOW + 1)
      expect(await service.get({ ...upper, encryption: upper.encryption.toUpperCase() }, NOW)).toMatchObject({
        status: 0,
      })
    })

    it('takes a proof once: 1001, however it is spelt and whoever answers', async () => {
      const body = proof(NOW)
      expect(await service.get(body, NOW)).toMatchObject({ status: 0 })
      service = newService()
      for (const again of [
        body,
        { ...body, timestamp: String(NOW) },
        { ...body, encryption: body.encryption.toUpperCase() },
      ]) {
        expect(await service.get(again, NOW)).toMatchObject({ status: 1001, data: null })
      }
      const both = await Promise.all([service.get(proof(NOW + 1), NOW), service.get(proof(NOW + 1), NOW)])
      expect(both.map(({ status }) => status).sort()).toEqual([0, 1001])
    })

    it('remembers a proof for as long as its timestamp would be taken', async () => {
      const body = proof(NOW)
      expect(await service.get(body, NOW - WINDOW)).toMatchObject({ status: 0 })
      const last = NOW + WINDOW
      await store.purgeTokens(last)
      expect(await service.get(body, last)).toMatchObject({ status: 1001 })
      await store.purgeTokens(last + 2)
      expect(await service.get(body, last + 2)).toMatchObject({ status: 1003 })
    })

    it('does not let a forger use up the proof of another', async () => {
      const body = proof(NOW)
      expect(await service.get({ ...body, appKey: OTHER_APP }, NOW)).toMatchObject({ status: 1003 })
      expect(await service.get({ ...body, timestamp: NOW + 1 }, NOW)).toMatchObject({ status: 1003 })
      expect(await service.get(body, NOW + WINDOW + 1)).toMatchObject({ status: 1003 })
      expect(await service.get(body, NOW)).toMatchObject({ status: 0 })
    })

    it('refuses an unknown application, a wrong proof and a stale timestamp', async () => {
      expect(await service.get(proof(NOW, 'nobody'), NOW)).toMatchObject({ status: 1002, data: null })
      expect(await service.get(proof(NOW, APP, 'wrong'), NOW)).toMatchObject({ status: 1003, data: null })
      for (const off of [WINDOW + 1, -WINDOW - 1])
        expect(await service.get(proof(NOW + off), NOW)).toMatchObject({ status: 1003, data: null })
      for (const off of [WINDOW, -WINDOW]) expect(await service.get(proof(NOW + off), NOW)).toMatchObject({ status: 0 })
    })

    it('names what is missing or malformed, and quotes nothing', async () => {
      const body = proof(NOW)
      for (const name of ['appKey', 'encryption', 'timestamp'] as const) {
        const { [name]: _, ...rest } = body
        for (const missing of [rest, { ...rest, [name]: null }, { ...rest, [name]: '' }]) {
          expect(await service.get(missing, NOW)).toEqual({
            status: 1202,
            msg: `parameter ${name} is missing`,
            data: null,
          })
        }
        for (const bad of [{}, [], true, ' ', 'x y', 'ü', '\n', 'x'.repeat(200)]) {
          expect(await service.get({ ...body, [name]: bad }, NOW)).toEqual({
            status: 1004,
            msg: `parameter ${name} is malformed`,
            data: null,
          })
        }
      }
      for (const timestamp of [1.5, -1, 1e21, Number.NaN, '1e12', '0x10', ' 1', `${NOW}\n`, '1'.repeat(16)]) {
        expect(await service.get({ ...body, timestamp }, NOW)).toMatchObject({ status: 1004 })
      }
      for (const encryption of ['g'.repeat(64), 'a'.repeat(63), `${body.encryption}\n`]) {
        expect(await service.get({ ...body, encryption }, NOW)).toMatchObject({ status: 1004 })
      }
      for (const other of [undefined, null, 'text', 5, [body]])
        expect(await service.get(other, NOW)).toMatchObject({ status: 1004, data: null })
    })

    it('goes by the secret of now', async () => {
      await applyApplications(application(APP, 'changed'))
      expect(await service.get(proof(NOW), NOW)).toMatchObject({ status: 1003 })
      expect(await service.get(proof(NOW, APP, 'changed'), NOW)).toMatchObject({ status: 0 })
    })
  })

  describe('token/refresh', () => {
    it('gives a new token; the old one stays good until it expires', async () => {
      const first = await tokenAt(NOW)
      const later = NOW + 60_000
      const answer = await service.refresh({ ...proof(later), accessToken: first }, later)
      expect(answer).toMatchObject({ status: 0, msg: 'SUCCESS', data: { expire: 7200 } })
      const second = answer.data?.accessToken ?? ''
      expect(second).not.toBe(first)
      expect(await tokenAt(later + 1)).toBe(second)
      for (const token of [first, second]) expect(await call(token, later + 2)).toMatchObject({ ok: true })
      const end = NOW + TOKEN_LIFE_S * 1000
      expect(await call(first, end)).toMatchObject({ ok: false, code: 1203 })
      expect(await call(second, end)).toMatchObject({ ok: true })
    })

    it('refuses a token that is unknown, of another application or expired: 1204', async () => {
      const own = await tokenAt(NOW)
      const foreign = await tokenAt(NOW, OTHER_APP, OTHER_SECRET)
      const refresh = (accessToken: unknown, at: number) => service.refresh({ ...proof(at), accessToken }, at)
      expect(await refresh('never-given', NOW + 1)).toMatchObject({ status: 1204, data: null })
      expect(await refresh(foreign, NOW + 2)).toMatchObject({ status: 1204, data: null })
      const end = NOW + TOKEN_LIFE_S * 1000
      expect(await refresh(own, end - 1)).toMatchObject({ status: 0 })
      expect(await refresh(own, end)).toMatchObject({ status: 1204, data: null })
    })

    it('checks the rest as token/get does, and one proof is good for one of them', async () => {
      const accessToken = await tokenAt(NOW)
      expect(await service.refresh({ ...proof(NOW), accessToken }, NOW)).toMatchObject({ status: 1001 })
      const body = { ...proof(NOW + 1), accessToken }
      expect(await service.refresh({ ...body, appKey: 'nobody' }, NOW)).toMatchObject({ status: 1002 })
      expect(await service.refresh({ ...body, timestamp: NOW + 2 }, NOW)).toMatchObject({ status: 1003 })
      expect(await service.refresh({ ...body, timestamp: 'soon' }, NOW)).toMatchObject({ status: 1004 })
      expect(await service.refresh({ ...body, accessToken: 5 }, NOW)).toMatchObject({ status: 1004 })
      expect(await service.refresh({ ...body, accessToken: 'x'.repeat(10_000) }, NOW)).toMatchObject({ status: 1004 })
      expect(await service.refresh(proof(NOW + 1), NOW)).toEqual({
        status: 1202,
        msg: 'parameter accessToken is missing',
        data: null,
      })
      expect(await service.refresh(null, NOW)).toMatchObject({ status: 1004 })
      expect(await service.refresh(body, NOW)).toMatchObject({ status: 0 })
    })
  })

  const RAW = 'action=cancel&orgId=o1&assetId=a1&commandId=%202278935391225618432'

  /** A signed call made at `at` and received at `now`. */
  function call(
    token: string,
    now: number,
    more: { at?: string; secret?: string; raw?: string; signedRaw?: string; body?: string } = {},
  ) {
    const { at = String(now), secret = SECRET, raw = RAW, signedRaw = raw, body = '' } = more
    const headers = {
      'apim-accesstoken': token,
      'apim-timestamp': at,
      'apim-signature': signature(token, query(signedRaw).signed, Buffer.from(body), at, secret),
    }
    return service.authenticate(headers, query(raw), Buffer.from(body), now)
  }

  describe('authenticate', () => {
    it('recognises the application that signed', async () => {
      const token = await tokenAt(NOW)
      expect(await call(token, NOW)).toMatchObject({ ok: true, application: { appKey: APP, orgId: 'o1' } })
      expect(await call(token, NOW, { body: '{"value":1.0}' })).toMatchObject({ ok: true })
      expect(await call(token, NOW, { raw: 'action=search&commandId' })).toMatchObject({ ok: true })
      const other = await tokenAt(NOW, OTHER_APP, OTHER_SECRET)
      expect(await call(other, NOW, { secret: OTHER_SECRET })).toMatchObject({
        ok: true,
        application: { appKey: OTHER_APP },
      })
    })

    it('takes the same signature again inside the window', async () => {
      const token = await tokenAt(NOW)
      expect(await call(token, NOW, { at: String(NOW) })).toMatchObject({ ok: true })
      expect(await call(token, NOW + WINDOW, { at: String(NOW) })).toMatchObject({ ok: true })
      for (const off of [-WINDOW - 1, WINDOW + 1]) {
        expect(await call(token, NOW, { at: String(NOW + off) })).toMatchObject({ ok: false, code: 1003 })
      }
    })

    it('refuses what was signed otherwise: 1003', async () => {
      const token = await tokenAt(NOW)
      expect(await call(token, NOW, { secret: OTHER_SECRET })).toMatchObject({ ok: false, code: 1003 })
      expect(await call(token, NOW, { signedRaw: RAW.replace('%20', '') })).toMatchObject({ ok: false, code: 1003 })
      expect(await call(token, NOW, { signedRaw: `${RAW}&x=1` })).toMatchObject({ ok: false, code: 1003 })
      const headers = {
        'apim-accesstoken': token,
        'apim-timestamp': String(NOW),
        'apim-signature': signature(token, query(RAW).signed, Buffer.from('{"value":1}'), String(NOW), SECRET),
      }
      expect(await service.authenticate(headers, query(RAW), Buffer.from('{"value":2}'), NOW)).toMatchObject({
        ok: false,
        code: 1003,
      })
      expect(await service.authenticate(headers, query(RAW), Buffer.from('{"value":1}'), NOW)).toMatchObject({
        ok: true,
      })
    })

    it('refuses a token that is unknown or has expired: 1203', async () => {
      const token = await tokenAt(NOW)
      const end = NOW + TOKEN_LIFE_S * 1000
      expect(await call(token, end - 1)).toMatchObject({ ok: true })
      expect(await call(token, end)).toMatchObject({ ok: false, code: 1203 })
      expect(await call('never-given', NOW)).toMatchObject({ ok: false, code: 1203 })
    })

    it('goes by the secret of now', async () => {
      const token = await tokenAt(NOW)
      await applyApplications(application(APP, 'changed'))
      expect(await call(token, NOW)).toMatchObject({ ok: false, code: 1003 })
      expect(await call(token, NOW, { secret: 'changed' })).toMatchObject({ ok: true })
    })

    it('names a header that is missing or malformed, and quotes none', async () => {
      const good = { 'apim-accesstoken': 'token', 'apim-timestamp': String(NOW), 'apim-signature': 'a'.repeat(64) }
      const ask = (headers: Record<string, string | string[] | undefined>) =>
        service.authenticate(headers, query(RAW), Buffer.alloc(0), NOW)
      for (const name of Object.keys(good)) {
        const missing = { ok: false, code: 1202, message: `header ${name} is missing` }
        expect(await ask({ ...good, [name]: undefined })).toEqual(missing)
        expect(await ask({ ...good, [name]: '' })).toEqual(missing)
        for (const bad of ['a b', 'ü', 'x, y', 'z'.repeat(200), ['a', 'b']]) {
          expect(await ask({ ...good, [name]: bad })).toEqual({
            ok: false,
            code: 1004,
            message: `header ${name} is malformed`,
          })
        }
      }
      expect(await ask({ ...good, 'apim-timestamp': `${NOW}.5` })).toMatchObject({ code: 1004 })
      expect(await ask({ ...good, 'apim-signature': 'a'.repeat(63) })).toMatchObject({ code: 1004 })
      expect(await ask(Object.create(good))).toMatchObject({ code: 1202 })
      expect(await ask(good)).toMatchObject({ code: 1203 })
    })
  })
})
