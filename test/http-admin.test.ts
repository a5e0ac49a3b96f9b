// The administrator over HTTP: organizations, applications, their secrets and grants; and that nobody else can do any of it.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { APPLICATIONS_MAX, GRANTS_MAX } from '../src/core/limits.ts'
import { withGrant, withoutGrant } from '../src/fleet/applications.ts'
import type { Grant } from '../src/store/store.ts'
import { FleetCalls } from './rig/fleet-calls.ts'
import { type AppRig, expectRefused, startApp } from './rig/http.ts'
import { type Answer, APP, Application, ORG, PRODUCT, READER, STRANGER } from './rig/server.ts'

const TOKEN = 'administrator-of-the-tests-0123456789'
let rig: AppRig
beforeEach(async () => {
  rig = await startApp({ adminToken: TOKEN })
})
afterEach(() => rig.stop())

async function admin(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { authorization: `Bearer ${TOKEN}` },
): Promise<Answer> {
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  const response = await fetch(`${rig.url}/v1/admin/${path}`, init)
  return { ...((await response.json()) as Answer), status: response.status }
}
const applications = (orgId = ORG) => `organizations/${orgId}/applications`
const one = (appKey: string, more = '', orgId = ORG) => `${applications(orgId)}/${appKey}${more}`
const caller = (appKey: string, appSecret: string) =>
  new Application(rig.url, { appKey, appSecret }, () => rig.clock.now())
const control: Grant = { resource: 'Asset', actions: ['Control'], scope: 'all' }

describe('who may', () => {
  it('is told what is missing or wrong, and nothing is done', async () => {
    const path = one(READER.appKey, '/secret')
    expectRefused(await admin('POST', path, undefined, {}), 1202, 'header authorization is missing', 401)
    for (const authorization of [`Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, TOKEN, 'Bearer ', `Basic ${TOKEN}`])
      expectRefused(await admin('POST', path, undefined, { authorization }), 1004, 'DOWNLINK_ADMIN_TOKEN', 401)
    // An application's signature is no administrator's token, whatever its grants.
    const signed = await rig.app.sign({}, '', rig.clock.now(), `/v1/admin/${path}`)
    expectRefused(await admin('POST', path, undefined, signed.headers), 1202, 'authorization', 401)
    expect((await new FleetCalls(caller(READER.appKey, READER.appSecret)).devices('search', {})).code).toBe(0)
  })

  it('is nobody where the server was given no token', async () => {
    await rig.stop()
    rig = await startApp()
    const answer = await admin('GET', 'organizations')
    expectRefused(answer, 99403, 'start the server with DOWNLINK_ADMIN_TOKEN (at least 32 characters)', 403)
  })

  it('is everybody in open mode', async () => {
    await rig.stop()
    rig = await startApp({ auth: 'open' })
    expect((await admin('GET', 'organizations', undefined, {})).code).toBe(0)
  })
})

describe('organizations', () => {
  it('are listed and created', async () => {
    expect((await admin('GET', 'organizations')).data).toEqual([
      { orgId: ORG, name: 'Demo' },
      { orgId: 'oOther', name: 'Other' },
    ])
    expect((await admin('POST', 'organizations', { orgId: 'oNorth', name: 'North' })).data).toEqual({
      orgId: 'oNorth',
      name: 'North',
    })
    expect((await admin('POST', 'organizations', { orgId: 'oSouth' })).data).toEqual({
      orgId: 'oSouth',
      name: 'oSouth',
    })
    expectRefused(
      await admin('POST', 'organizations', { orgId: 'oNorth' }),
      99412,
      'organization oNorth exists already',
    )
    expect((await admin('GET', applications('oNorth'))).data).toEqual([])
  })

  it.each([
    [{}, 'body.orgId:orgId is missing'],
    [{ orgId: 'two words' }, 'body.orgId:must be 1 to 64'],
    [{ orgId: 'o', name: '  ' }, 'body.name:must not be blank'],
    [{ orgId: 'o', name: 'No\u202Erth' }, 'body.name:must not be blank, nor have control or format characters'],
    [{ orgId: 'o', nmae: 'x' }, 'body.nmae:is not known, did you mean name?'],
  ])('refuse %j', async (body, text) => {
    expectRefused(await admin('POST', 'organizations', body), 99400, text)
    expect((await admin('GET', 'organizations')).data).toHaveLength(2)
  })
})

describe('an application', () => {
  it('is made, told its secret once, and can call at once what it was granted', async () => {
    const grants = [{ resource: 'Device', actions: ['Read'], scope: { productKeys: [PRODUCT] } }]
    const { code, data } = await admin('POST', applications(), { grants })
    expect(code).toBe(0)
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
    expect(data).toEqual({
      appKey: expect.stringMatching(uuid),
      orgId: ORG,
      grants,
      appSecret: expect.stringMatching(uuid),
    })
    const app = new FleetCalls(caller(data.appKey, data.appSecret))
    expect((await app.devices('search', {})).pagination.totalSize).toBe(5)
    expectRefused(await app.products('create', {}), 99403, 'Device: FullAccess')
    const listed = await admin('GET', applications())
    expect(listed.data.at(-1)).toEqual({ appKey: data.appKey, orgId: ORG, grants })
    expect(JSON.stringify(listed)).not.toMatch(/secret/i)
    expect((await admin('GET', one(data.appKey))).data).toEqual({ appKey: data.appKey, orgId: ORG, grants })
  })

  it('may be given its key, which nobody else has then', async () => {
    const appKey = '11111111-2222-4333-8444-555555555555'
    expect((await admin('POST', applications(), { appKey })).data).toMatchObject({ appKey, grants: [] })
    for (const orgId of [ORG, 'oOther'])
      expectRefused(await admin('POST', applications(orgId), { appKey }), 99412, `appKey ${appKey} is taken`)
    const raced = await Promise.all(
      [1, 2, 3].map(() => admin('POST', applications(), { appKey: appKey.replace('1', '2') })),
    )
    expect(raced.map(({ code }) => code).sort()).toEqual([0, 99412, 99412])
  })

  it.each([
    [{ appKey: 'mine' }, 'body.appKey:must be a UUID'],
    [{ appSecret: 'x' }, 'body.appSecret:is not known'],
    [
      { grants: [{ resource: 'Assets', actions: ['Read'], scope: 'all' }] },
      'body.grants[0].resource:must be one of Asset, Device, Model, Organization',
    ],
    [
      { grants: [{ resource: 'Asset', actions: ['FullAccess'], scope: 'all' }] },
      'actions:Asset has Control and Read, not FullAccess',
    ],
    [{ grants: [{ resource: 'Asset', actions: [], scope: 'all' }] }, 'body.grants[0].actions:must be a list of 1'],
    [{ grants: [{ resource: 'Asset', actions: ['Read'] }] }, 'body.grants[0].scope:scope is missing'],
    [{ grants: [{ resource: 'Asset', actions: ['Read'], scope: 'some' }] }, 'body.grants[0].scope:must be "all"'],
    [
      { grants: [{ resource: 'Asset', actions: ['Read'], scope: { productKeys: [] } }] },
      'body.grants[0].scope:must be "all"',
    ],
    [{ grants: 'all' }, 'body.grants:must be a list'],
  ])('is not made of %j', async (body, text) => {
    const before = (await admin('GET', applications())).data
    expectRefused(await admin('POST', applications(), body), 99400, text)
    expect((await admin('GET', applications())).data).toEqual(before)
  })

  it('is one of as many as an organization may have', async () => {
    const { length } = await rig.store.applications(ORG)
    const rows = Array.from({ length: APPLICATIONS_MAX - length }, (_, n) => {
      return { appKey: `app-${n}`, orgId: ORG, secret: 'sealed', grants: [] }
    })
    await rig.store.addFleet({ organizations: [], applications: rows, models: [], products: [], devices: [] }, 1)
    expectRefused(await admin('POST', applications(), {}), 99400, `has ${APPLICATIONS_MAX} applications`)
    expect((await admin('POST', applications('oOther'), {})).code).toBe(0)
  })

  it('of an organization, or with a key, that does not exist is not there', async () => {
    expectRefused(await admin('GET', applications('oNone')), 99404, 'organization oNone not found')
    expectRefused(await admin('POST', applications('oNone'), {}), 99404, 'organization oNone not found')
    const none = '00000000-0000-4000-8000-00000000eeee'
    for (const [method, path, body] of [
      ['GET', one(none), undefined],
      ['POST', one(none, '/secret'), undefined],
      ['PUT', one(none, '/grants'), { grants: [] }],
      ['POST', one(none, '/grant'), control],
      ['POST', one(none, '/revoke'), { resource: 'Asset' }],
      ['DELETE', one(none), undefined],
      // One of another organization.
      ['DELETE', one(STRANGER.appKey), undefined],
      ['POST', one(APP.appKey, '/secret', 'oOther'), undefined],
    ] as const)
      expectRefused(await admin(method, path, body), 99404, /application [0-9a-f-]+ not found/)
    expect(
      (await new FleetCalls(caller(STRANGER.appKey, STRANGER.appSecret), 'oOther').devices('search', {})).code,
    ).toBe(0)
  })
})

describe('a new secret', () => {
  it('ends the old one and its tokens at once', async () => {
    const before = caller(READER.appKey, READER.appSecret)
    expect((await new FleetCalls(before).devices('search', {})).code).toBe(0)
    const { data } = await admin('POST', one(READER.appKey, '/secret'))
    expect(data.appSecret).not.toBe(READER.appSecret)
    expectRefused(await new FleetCalls(before).devices('search', {}), 1203, 'unknown or has expired', 401)
    await expect(before.getToken()).rejects.toThrow('1003')
    // The old token is unknown also to who has the new secret.
    const both = caller(READER.appKey, data.appSecret)
    both.token = before.token
    expectRefused(await new FleetCalls(both).devices('search', {}), 1203, 'unknown or has expired', 401)
    both.token = null
    expect((await new FleetCalls(both).devices('search', {})).code).toBe(0)
  })

  it('twice at once: each is told one, and one of the two is good', async () => {
    const [one1, one2] = await Promise.all([1, 2].map(() => admin('POST', one(READER.appKey, '/secret'))))
    const works = await Promise.all(
      [one1, one2].map(async answer => {
        const token = caller(READER.appKey, answer?.data.appSecret).getToken()
        return token.then(
          () => true,
          () => false,
        )
      }),
    )
    expect(works.filter(Boolean)).toHaveLength(1)
  })
})

describe('grants', () => {
  const shown = async () => (await admin('GET', one(READER.appKey))).data.grants

  it('are set as a whole, added and taken away', async () => {
    await admin('PUT', one(READER.appKey, '/grants'), { grants: [control] })
    expect(await shown()).toEqual([control])
    const some = { resource: 'Device', actions: ['Read'], scope: { productKeys: [PRODUCT] } }
    expect((await admin('POST', one(READER.appKey, '/grant'), some)).data.grants).toEqual([control, some])
    await admin('POST', one(READER.appKey, '/grant'), some)
    expect(await shown()).toEqual([control, some])
    await admin('POST', one(READER.appKey, '/grant'), { ...some, actions: ['FullAccess'] })
    expect(await shown()).toEqual([control, { ...some, actions: ['Read', 'FullAccess'] }])
    await admin('POST', one(READER.appKey, '/revoke'), { resource: 'Device', actions: ['FullAccess'] })
    expect(await shown()).toEqual([control, some])
    await admin('POST', one(READER.appKey, '/revoke'), { resource: 'Asset' })
    expect(await shown()).toEqual([some])
  })

  it('count from the next call on', async () => {
    const app = new FleetCalls(caller(READER.appKey, READER.appSecret))
    expectRefused(await app.devices('disable', undefined, { assetId: 'a1' }), 99403, 'a1 needs FullAccess')
    await admin('POST', one(READER.appKey, '/grant'), {
      resource: 'Device',
      actions: ['FullAccess'],
      scope: { assetIds: ['a1'] },
    })
    expect((await app.devices('disable', undefined, { assetId: 'a1' })).code).toBe(0)
    await admin('PUT', one(READER.appKey, '/grants'), { grants: [] })
    expectRefused(await app.devices('enable', undefined, { assetId: 'a1' }), 99403, 'Device a1')
  })

  it('that are changed at the same time are all there', async () => {
    await admin('PUT', one(READER.appKey, '/grants'), { grants: [] })
    const scopes = Array.from({ length: 5 }, (_, n) => ({ assetIds: [`a${n}`] }))
    const answers = await Promise.all(
      scopes.map(scope => admin('POST', one(READER.appKey, '/grant'), { ...control, scope })),
    )
    expect(answers.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0])
    expect((await shown()).map(({ scope }: Grant) => scope)).toEqual(expect.arrayContaining(scopes))
  })

  it.each([
    [
      '/grant',
      { resource: 'Asset', actions: ['Read', 'FullAccess'], scope: 'all' },
      'Asset has Control and Read, not FullAccess',
    ],
    ['/revoke', { resource: 'Asset', actions: ['Write'] }, 'body.actions[0]:must be one of'],
    ['/revoke', {}, 'body.resource:resource is missing'],
    ['/grant', undefined, 'body'],
  ])('%s refuses %j', async (what, body, text) => {
    const before = await shown()
    expectRefused(await admin('POST', one(READER.appKey, what), body), 99400, text)
    expect(await shown()).toEqual(before)
  })

  it('are as many as an application may have', async () => {
    const grants = Array.from({ length: GRANTS_MAX }, (_, n) => ({ ...control, scope: { assetIds: [`a${n}`] } }))
    expect((await admin('PUT', one(READER.appKey, '/grants'), { grants })).code).toBe(0)
    const more = { ...control, scope: { assetIds: ['b'] } }
    expectRefused(await admin('POST', one(READER.appKey, '/grant'), more), 99400, `would have more than ${GRANTS_MAX}`)
    expectRefused(
      await admin('PUT', one(READER.appKey, '/grants'), { grants: [...grants, more] }),
      99400,
      `body.grants:must be a list of 0 to ${GRANTS_MAX}`,
    )
    expect(await shown()).toHaveLength(GRANTS_MAX)
  })

  it('are added and taken away as their words say', () => {
    const read = (scope: Grant['scope'], ...actions: string[]): Grant => ({ resource: 'Asset', actions, scope })
    const ab = { productKeys: ['a', 'b'] }
    expect(withGrant([read(ab, 'Read')], read({ productKeys: ['b', 'a'] }, 'Control'))).toEqual([
      read(ab, 'Read', 'Control'),
    ])
    expect(withGrant([read(ab, 'Read')], read({ assetIds: ['a', 'b'] }, 'Read'))).toHaveLength(2)
    // Without reading there is no control; other resources and scopes are left alone.
    const all = [read('all', 'Control', 'Read'), read(ab, 'Control'), { ...read('all', 'Read'), resource: 'Model' }]
    expect(withoutGrant(all, { resource: 'Asset', actions: ['Read'] })).toEqual([all[2]])
    expect(withoutGrant(all, { resource: 'Asset', actions: ['Control'] })).toEqual([read('all', 'Read'), all[2]])
    expect(withoutGrant(all, { resource: 'Asset', scope: ab })).toEqual([all[0], all[2]])
    expect(withoutGrant(all, { resource: 'Device' })).toEqual(all)
  })
})

describe('an application that is removed', () => {
  it('is not let in any more, not even with its token', async () => {
    const app = new FleetCalls(caller(READER.appKey, READER.appSecret))
    expect((await app.devices('search', {})).code).toBe(0)
    expect(await admin('DELETE', one(READER.appKey))).toMatchObject({ code: 0, data: null })
    expectRefused(await app.devices('search', {}), 1203, 'unknown or has expired', 401)
    await expect(app.app.getToken()).rejects.toThrow('1002')
    expectRefused(await admin('DELETE', one(READER.appKey)), 99404, 'not found')
    expect((await admin('GET', applications())).data.map(({ appKey }: { appKey: string }) => appKey)).not.toContain(
      READER.appKey,
    )
  })

  it('stays removed, whoever changes it at the same time', async () => {
    for (let round = 0; round < 10; round += 1) {
      const { data } = await admin('POST', applications(), {})
      const [removal] = await Promise.all([
        admin('DELETE', one(data.appKey)),
        admin('POST', one(data.appKey, '/secret')),
        admin('POST', one(data.appKey, '/grant'), control),
      ])
      expect(removal.code).toBe(0)
      expectRefused(await admin('GET', one(data.appKey)), 99404, 'not found')
    }
  })
})
