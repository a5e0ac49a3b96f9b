// Who calls, and what he may do: told to whoever proves who he is, without an organization or a grant; and in open mode, which organizations there are.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TOKEN_LIFE_S, WHOAMI_ORGANIZATIONS_MAX } from '../src/core/limits.ts'
import { signature } from '../src/http/signature.ts'
import type { Grant } from '../src/store/store.ts'
import { type AppRig, BY_ASSET, expectRefused, NOBODY, startApp } from './rig/http.ts'
import { type Answer, APP, Application, ORG, READER, STRANGER } from './rig/server.ts'

const ADMIN = 'administrator-of-the-tests-0123456789'
let rig: AppRig
beforeAll(async () => {
  rig = await startApp({ adminToken: ADMIN })
})
afterAll(() => rig.stop())

const ask = async (init: RequestInit = {}, query = '', url = rig.url): Promise<Answer> => {
  const response = await fetch(`${url}/v1/whoami${query}`, init)
  return { ...((await response.json()) as Answer), status: response.status }
}

/** The headers of a call that the application has signed. */
async function signed(credentials: typeof APP, query = '', body = ''): Promise<Record<string, string>> {
  const app = new Application(rig.url, credentials, () => rig.clock.now())
  const token = await app.getToken()
  const timestamp = String(rig.clock.now())
  const pairs = [...new URLSearchParams(query)].map(([name, value]) => ({ name, value }))
  return {
    'apim-accesstoken': token,
    'apim-timestamp': timestamp,
    'apim-signature': signature(token, pairs, Buffer.from(body), timestamp, credentials.appSecret),
  }
}
const as = async (credentials: typeof APP) => ask({ headers: await signed(credentials) })

const control: Grant = { resource: 'Asset', actions: ['Control'], scope: 'all' }
/** Adds an application of this name, as the administrator would. */
async function added(appKey: string, orgId = ORG): Promise<typeof APP> {
  const made = await rig.fleet.applications.create(orgId, appKey, [control], rig.clock.now())
  if (!('application' in made)) throw new Error(made.message)
  return { appKey, appSecret: made.appSecret.reveal() }
}

describe('who signs', () => {
  it('is told who he is taken for, what he may do, and until when', async () => {
    const before = rig.clock.now()
    expect(await as(APP)).toMatchObject({ status: 200, code: 0 })
    await rig.advance(10_000)
    const { data } = await as(APP)
    const { grants } = (await rig.fleet.application(APP.appKey)) ?? {}
    expect(grants).toHaveLength(4)
    expect(data).toEqual({
      auth: 'signature',
      caller: {
        appKey: APP.appKey,
        orgId: ORG,
        orgName: 'Demo',
        operator: null,
        // Of the token, which it has had since the first call.
        expireAt: before + TOKEN_LIFE_S * 1000,
        grants,
      },
      organizations: [],
      more: false,
      now: rig.clock.now(),
    })
  })

  it('need not have any grant, and sees nobody but himself', async () => {
    expect((await as(NOBODY)).data.caller).toMatchObject({ appKey: NOBODY.appKey, grants: [] })
    expect((await as(BY_ASSET)).data.caller.grants).toContainEqual({
      resource: 'Asset',
      actions: ['Control'],
      scope: { assetIds: ['a1'] },
    })
    const stranger = await as(STRANGER)
    expect(stranger.data.caller).toMatchObject({ orgId: 'oOther', orgName: 'Other' })
    expect(JSON.stringify(stranger)).not.toContain(ORG)
    expect(JSON.stringify(stranger)).not.toContain('ecret')
  })

  it('is told at once what was changed', async () => {
    const app = await added('changing')
    await rig.fleet.applications.setGrants(ORG, app.appKey, [])
    expect((await as(app)).data.caller.grants).toEqual([])
    const headers = await signed(app)
    await rig.fleet.applications.remove(ORG, app.appKey)
    expectRefused(await ask({ headers }), 1203, 'unknown or has expired', 401)
  })
})

describe('an operator', () => {
  it('is told his name, and when his token ends', async () => {
    const now = rig.clock.now()
    const init = { method: 'POST', headers: { authorization: `Bearer ${ADMIN}` }, body: '{"hours":2}' }
    const made = await fetch(`${rig.url}/v1/admin/organizations/${ORG}/operators/li.wei-2/tokens`, init)
    const { data } = (await made.json()) as Answer
    const headers = { authorization: `Bearer ${data.token}` }
    expect((await ask({ headers })).data).toMatchObject({
      auth: 'signature',
      caller: {
        ...{ appKey: `li.wei-2@${ORG}`, orgId: ORG, orgName: 'Demo', operator: 'li.wei-2' },
        expireAt: now + 7_200_000,
        grants: data.grants,
      },
      organizations: [],
    })
    expect(data.grants).toHaveLength(4)
  })

  it('is nobody whose application is called otherwise', async () => {
    for (const appKey of ['anna@oOther', `@${ORG}`, `Anna@${ORG}`])
      expect((await as(await added(appKey))).data.caller).toMatchObject({ appKey, orgId: ORG, operator: null })
  })
})

describe('who does not', () => {
  it('is told nothing', async () => {
    expectRefused(await ask(), 1202, 'header apim-accesstoken is missing', 401)
    const headers = await signed(READER)
    const wrong = { ...headers, 'apim-signature': '0'.repeat(64) }
    expectRefused(await ask({ headers: wrong }), 1003, 'the signature is wrong', 401)
    expectRefused(await ask({ headers: { ...headers, 'apim-accesstoken': 'unknown' } }), 1203, 'unknown or has', 401)
  })

  it('and a call that says more than it takes is refused', async () => {
    const refused = async (query: string, body: string, says: string) => {
      const headers = await signed(APP, query, body)
      const init = { method: 'GET', headers }
      expectRefused(await ask(init, `?${query}`), 99400, says)
    }
    await refused(`orgId=${ORG}`, '', 'orgId:is not known')
    await refused('appKey=x', '', 'appKey:is not known')
    const post = await ask({ method: 'POST', headers: await signed(APP) })
    expectRefused(post, 99400, 'this path takes GET, not POST', 405)
  })
})

describe('in open mode', () => {
  it('nobody is told from anybody else, and there are the organizations with whom a call acts as', async () => {
    const own = await startApp({ auth: 'open' })
    try {
      const empty = { orgId: 'oEmpty', name: 'Empty' }
      const none = { applications: [], models: [], products: [], devices: [] }
      await own.store.addFleet({ organizations: [empty], ...none }, own.clock.now())
      const first = async (orgId: string) => (await own.fleet.applications.list(orgId))[0]?.grants
      const expected = {
        auth: 'open',
        caller: null,
        organizations: [
          { orgId: ORG, name: 'Demo', appKey: APP.appKey, grants: await first(ORG) },
          { ...empty, appKey: null, grants: [] },
          { orgId: 'oOther', name: 'Other', appKey: STRANGER.appKey, grants: await first('oOther') },
        ],
        more: false,
        now: own.clock.now(),
      }
      const { data } = await ask({}, '', own.url)
      expect(data).toEqual(expected)
      expect(data.organizations[0].grants).toHaveLength(4)
      // Credentials that nobody looks at make no difference.
      const headers = { ...(await signed(READER)), authorization: 'Bearer dlo_x' }
      expect((await ask({ headers }, '', own.url)).data).toEqual(expected)
    } finally {
      await own.stop()
    }
  })

  it('so many of them, and whether there are more', async () => {
    const own = await startApp({ auth: 'open' })
    try {
      const added = (count: number, from: number) =>
        own.store.addFleet(
          {
            organizations: Array.from({ length: count }, (_, n) => ({ orgId: `z${1_000 + from + n}`, name: 'n' })),
            ...{ applications: [], models: [], products: [], devices: [] },
          },
          own.clock.now(),
        )
      const told = async () => {
        const { organizations, more } = (await ask({}, '', own.url)).data
        return { listed: organizations.length, more }
      }
      await added(WHOAMI_ORGANIZATIONS_MAX - 2, 0)
      expect(await told()).toEqual({ listed: WHOAMI_ORGANIZATIONS_MAX, more: false })
      await added(1, WHOAMI_ORGANIZATIONS_MAX)
      expect(await told()).toEqual({ listed: WHOAMI_ORGANIZATIONS_MAX, more: true })
    } finally {
      await own.stop()
    }
  })
})
