// Operators over real sockets: the administrator gives people tokens, a token is good wherever a signature is and for what its grants cover, it ends in every
// way that it should, and nothing else is ever taken for one. Not here: signatures (http-callers.test.ts), the console that uses them (console/test).

import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import { codes, Downlink, DownlinkError, type DownlinkOptions, NoToken, whoAmI } from '../packages/client/src/index.ts'
import { readServeConfig } from '../src/cli/config.ts'
import { type Server, startServer } from '../src/cli/serve.ts'
import {
  APPLICATIONS_MAX,
  OPERATOR_NAME_MAX_CHARS,
  OPERATOR_TOKEN_HOURS_MAX,
  STREAM_RECHECK_MS,
} from '../src/core/limits.ts'
import { parseFleetFile } from '../src/fleet/file.ts'
import { operatorOf } from '../src/fleet/operators.ts'
import { openMemory } from '../src/store/memory.ts'
import type { Grant } from '../src/store/store.ts'
import { type AppRig, altered, expectRefused, startApp } from './rig/http.ts'
import { runHere } from './rig/program.ts'
import { type Answer, APP, Application, fleetFile, ORG } from './rig/server.ts'
import { stores } from './rig/store.ts'

const ADMIN = 'administrator-of-the-tests-0123456789'
const HOUR = 3_600_000
const ANNA = `anna@${ORG}`
const read: Grant = { resource: 'Asset', actions: ['Read'], scope: 'all' }

let rig: AppRig

async function fetched(method: string, path: string, headers: Record<string, string>, body?: unknown): Promise<Answer> {
  const init = { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  const response = await fetch(`${rig.url}${path}`, init)
  return { ...((await response.json()) as Answer), status: response.status }
}
const admin = (method: string, path: string, body?: unknown, authorization = `Bearer ${ADMIN}`) =>
  fetched(method, `/v1/admin/organizations/${path}`, { authorization }, body)
const ask = (name: string, body?: unknown, orgId = ORG) => admin('POST', `${orgId}/operators/${name}/tokens`, body)
async function tokenOf(name: string, body?: unknown): Promise<string> {
  const answer = await ask(name, body)
  expect(answer).toMatchObject({ code: 0, status: 200 })
  return answer.data.token
}
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const devices = (headers: Record<string, string>) => fetched('GET', `/v1/devices?orgId=${ORG}`, headers)
const clientOf = (operatorToken: string, more: Partial<DownlinkOptions> = {}) =>
  new Downlink({ server: rig.url, orgId: ORG, operatorToken, sleep: async () => undefined, ...more })
const errorOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    value => expect.fail(`resolved with ${JSON.stringify(value)}`),
    error => error,
  )
const digestOf = (token: string) => `operator:${createHash('sha256').update(token).digest('hex')}`

describe.each(stores)('over the $name store', ({ open, stop }) => {
  let folder: string
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-operators-'))
    rig = await startApp({ adminToken: ADMIN, store: await open(folder) })
  })
  afterEach(async () => {
    await rig.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  afterAll(stop)

  describe('a token', () => {
    it('is told once, with its end and what it is good for', async () => {
      const { data } = await ask('anna')
      expect(data).toEqual({
        token: expect.stringMatching(/^dlo_[A-Za-z0-9_-]{43}$/),
        expireAt: rig.clock.wall() + 12 * HOUR,
        appKey: ANNA,
        grants: [
          { resource: 'Asset', actions: ['Control'], scope: 'all' },
          { resource: 'Device', actions: ['Read'], scope: 'all' },
          { resource: 'Model', actions: ['Read'], scope: 'all' },
          { resource: 'Organization', actions: ['Read'], scope: 'all' },
        ],
      })
      expect((await ask('anna', { hours: OPERATOR_TOKEN_HOURS_MAX })).data.expireAt).toBe(
        rig.clock.wall() + OPERATOR_TOKEN_HOURS_MAX * HOUR,
      )
      const listed = (await admin('GET', `${ORG}/applications`)).data.filter(
        ({ appKey }: { appKey: string }) => appKey === ANNA,
      )
      expect(listed).toEqual([{ appKey: ANNA, orgId: ORG, grants: data.grants }])
      // Who reads the store has no token.
      expect(await rig.store.token(data.token)).toBeNull()
      expect(await rig.store.token(digestOf(data.token))).toEqual({ appKey: ANNA, expireAt: data.expireAt })
    })

    it('is good wherever a signature is, and all that is done with it has a name', async () => {
      const client = clientOf(await tokenOf('anna'))
      const { commandId } = await client.setMeasurepoint({ assetId: 'a1' }, 'Int_value', 5, { pendingTtl: 600 })
      expect((await client.record(commandId)).createdBy).toBe(ANNA)
      expect((await client.search({ assetId: 'a1' }).next()).value).toMatchObject({ commandId })
      const { cancellationId } = await client.cancellations.create({ applications: [ANNA] })
      await rig.advance(0)
      const { status, cancelled, createdBy } = await client.cancellations.get(cancellationId)
      expect({ status, cancelled, createdBy }).toEqual({ status: 'ended', cancelled: 1, createdBy: ANNA })
      // Where processes share a store, whoever follows the log first gives its events their places.
      while ((await rig.store.placeEvents(10)) > 0);
      const { events } = await client.changes({ assetId: 'a1' })
      expect(events.map(({ state, by }) => [state, by])).toEqual([
        ['created', ANNA],
        ['cancelled', ANNA],
      ])
    })

    it('says who its bearer is', async () => {
      const { data } = await ask('anna', { grants: [read], hours: 2 })
      const me = await whoAmI({ server: rig.url, operatorToken: data.token })
      expect(me.caller).toEqual({
        ...{ appKey: ANNA, orgId: ORG, orgName: 'Demo', operator: 'anna' },
        ...{ expireAt: rig.clock.wall() + 2 * HOUR, grants: [read] },
      })
      expect(me).toMatchObject({ auth: 'signature', organizations: [], now: rig.clock.now() })
      // A program has no name, and its token an end as well.
      const program = await whoAmI({ server: rig.url, ...APP, now: () => rig.clock.wall() })
      expect(program.caller).toMatchObject({ appKey: APP.appKey, operator: null })
      expect(program.caller?.expireAt).toBe(rig.clock.wall() + 2 * HOUR)
    })

    it('lets repeats be safe for each person by herself', async () => {
      const [anna, ben] = [clientOf(await tokenOf('anna')), clientOf(await tokenOf('ben'))]
      const order = { pendingTtl: 600, idempotencyKey: 'order 4711' }
      const send = (client: Downlink) => client.setMeasurepoint({ assetId: 'a1' }, 'Int_value', 1, order)
      const first = await send(anna)
      expect(await send(anna)).toEqual(first)
      expect((await send(ben)).commandId).not.toBe(first.commandId)
    })

    it('lets jobs go on in its name after it has ended, and not after its operator has', async () => {
      const grants: Grant[] = [
        { resource: 'Asset', actions: ['Control'], scope: 'all' },
        { resource: 'Device', actions: ['FullAccess'], scope: 'all' },
      ]
      const client = clientOf(await tokenOf('anna', { grants, hours: 1 }))
      const make = (triggerTs: number) =>
        client.jobs.create({
          name: { defaultValue: 'Restart', i18nValue: {} },
          desc: 'at night',
          targetScope: { targetType: 'device_list', targetDevices: [{ assetId: 'a1' }] },
          commandInfo: { commandType: 'SERVICE_INVOKE', serviceInvokeInfo: { serviceId: 'reboot', inputData: {} } },
          schedulePolicy: { scheduleType: 'DISPOSABLE', disposableSchedulePolicy: { triggerTs } },
          timeoutPolicy: { ttlTimeoutInSeconds: 600 },
        })
      const at = rig.clock.now()
      const [first, second] = [await make(at + 2 * HOUR), await make(at + 3 * HOUR)]
      expect(await client.jobs.get(first)).toMatchObject({ createBy: ANNA })
      await rig.advance(2 * HOUR)
      expect(await errorOf(client.jobs.get(first))).toBeInstanceOf(NoToken)
      const other = new Downlink({ server: rig.url, orgId: ORG, ...APP, now: () => rig.clock.now() })
      const begun = (await other.jobs.tasks(first).next()).value
      expect(begun).toMatchObject({ status: 'QUEUED' })
      expect((await other.record(begun?.commandId ?? '')).createdBy).toBe(ANNA)
      await admin('DELETE', `${ORG}/applications/${ANNA}`)
      await rig.advance(HOUR)
      expect((await other.jobs.tasks(second).next()).value).toMatchObject({
        ...{ status: 'FAILED', taskResult: { code: 99403, desc: expect.stringMatching(/anna@.*was removed/) } },
      })
    })
  })

  describe('a call', () => {
    it('is of one caller, and of nobody who is not known', async () => {
      const token = await tokenOf('anna')
      expect((await devices(bearer(token))).code).toBe(0)
      expect((await devices({ authorization: `bearer   ${token}` })).code).toBe(0)
      for (const wrong of ['dlo_', `${token}x`, token.slice(0, -1), `${token} x`, `${token.slice(0, -1)}=`, 'dlo_a b'])
        expectRefused(await devices(bearer(wrong)), 1004, 'header authorization is malformed: no operator token', 401)
      const unknown = `dlo_${'A'.repeat(43)}`
      expectRefused(await devices(bearer(unknown)), 1203, 'the operator token is unknown or has expired', 401)
      const { headers } = await rig.app.sign({ orgId: ORG }, '', rig.clock.now(), '/v1/devices')
      for (const name of Object.keys(headers))
        expectRefused(
          await devices({ ...bearer(token), [name]: headers[name] ?? '' }),
          1004,
          `headers authorization and ${name}: sign, or send an operator token`,
          401,
        )
      expectRefused(await devices({ ...headers, ...bearer(token) }), 1004, 'sign, or send an operator token', 401)
    })

    it('is not looked at for what proxies put into its headers', async () => {
      const { headers } = await rig.app.sign({ orgId: ORG }, '', rig.clock.now(), '/v1/devices')
      const others = [
        'Basic dXNlcjpwYXNz',
        'Bearer eyJhbGciOi.J9',
        `Bearer ${ADMIN}`,
        'Bearer ',
        'Token dlo_x',
        'Bearerdlo_',
      ]
      for (const authorization of others) {
        expect((await devices({ ...headers, authorization })).code, authorization).toBe(0)
        expectRefused(await devices({ authorization }), 1202, 'header apim-accesstoken is missing', 401)
      }
    })

    it('with an operator token is none of the administrator, nor the other way round', async () => {
      const token = await tokenOf('anna', { grants: [] })
      for (const path of [`${ORG}/applications`, '../organizations'])
        expectRefused(await admin('GET', path, undefined, `Bearer ${token}`), 1004, 'DOWNLINK_ADMIN_TOKEN', 401)
      expectRefused(await devices(bearer(ADMIN)), 1202, 'apim-accesstoken', 401)
      // Its bearer is known, and may do nothing.
      expectRefused(await devices(bearer(token)), 99403, 'needs a grant for Asset: Read')
    })

    it('may not be signed by what is on record of a token, nor by any secret of an operator', async () => {
      const token = await tokenOf('anna')
      const { data } = await admin('POST', `${ORG}/applications/${ANNA}/secret`)
      const again = await tokenOf('anna')
      const signer = new Application(rig.url, { appKey: ANNA, appSecret: data.appSecret }, () => rig.clock.now())
      for (const recorded of [digestOf(token), digestOf(again)]) {
        signer.token = recorded
        const { path, headers } = await signer.sign({ orgId: ORG }, '', rig.clock.now(), '/v1/devices')
        expectRefused(await fetched('GET', path, headers), 1203, 'the access token is unknown or has expired', 401)
      }
      signer.token = null
      await expect(signer.getToken()).rejects.toThrow('1002')
      await expect(signer.getToken()).rejects.toThrow('that of an operator, who signs nothing')
    })

    it('reaches no other organization', async () => {
      const token = await tokenOf('anna')
      const answer = await fetched('GET', '/v1/devices?orgId=oOther', bearer(token))
      expectRefused(answer, 99403, 'orgId oOther')
      expect((await fetched('GET', '/v1/devices/other1?orgId=oOther', bearer(token))).code).toBe(99403)
      expect((await fetched('GET', `/v1/devices/other1?orgId=${ORG}`, bearer(token))).code).toBe(99404)
    })
  })

  describe('an end', () => {
    it('comes with the time, and that is no matter of trying again', async () => {
      const token = await tokenOf('anna', { hours: 1 })
      const stream = await fetch(`${rig.url}/v1/events?orgId=${ORG}`, { headers: bearer(token) })
      const told = stream.text()
      await rig.advance(HOUR - 1)
      await clientOf(token).stats()
      await rig.advance(1)
      await rig.advance(STREAM_RECHECK_MS)
      expect(await told).toContain('may be seen has changed')
      let asked = 0
      const counted: typeof fetch = (...args) => {
        asked += 1
        return fetch(...args)
      }
      const ended = await errorOf(clientOf(token, { fetch: counted }).stats())
      expect(ended).toBeInstanceOf(NoToken)
      expect(ended).toMatchObject({ code: codes.tokenExpired, httpStatus: 401, outcome: 'notDone', retriable: false })
      expect(asked).toBe(1)
      await expect(whoAmI({ server: rig.url, operatorToken: token })).rejects.toBeInstanceOf(NoToken)
    })

    it('comes with a new secret, and with removal, for all tokens there are and for streams', async () => {
      for (const [method, path] of [
        ['POST', `${ORG}/applications/${ANNA}/secret`],
        ['DELETE', `${ORG}/applications/${ANNA}`],
      ] as const) {
        const [first, second, other] = [await tokenOf('anna'), await tokenOf('anna'), await tokenOf('ben')]
        const stream = await fetch(`${rig.url}/v1/events?orgId=${ORG}`, { headers: bearer(second) })
        expect(stream.status).toBe(200)
        const told = stream.text()
        expect((await admin(method, path)).code).toBe(0)
        for (const token of [first, second])
          expectRefused(await devices(bearer(token)), 1203, 'the operator token is unknown', 401)
        expect((await devices(bearer(other))).code).toBe(0)
        await rig.advance(STREAM_RECHECK_MS)
        expect(await told).toContain('may be seen has changed')
        // What is made anew does not bring back what has ended.
        const fresh = await tokenOf('anna')
        expect([(await devices(bearer(first))).code, (await devices(bearer(fresh))).code]).toEqual([1203, 0])
      }
    })

    it('that comes while a token is made is not survived by it', async () => {
      await rig.stop()
      const saved: string[] = []
      const memory = openMemory()
      const store = altered(memory, {
        saveToken: async (...args) => {
          if (args[0].startsWith('operator:')) {
            await memory.removeApplication(ANNA)
            saved.push(args[0])
          }
          return memory.saveToken(...args)
        },
      })
      rig = await startApp({ adminToken: ADMIN, store })
      expectRefused(await ask('anna'), 99404, `application ${ANNA} was removed just now`)
      expect(saved).toHaveLength(1)
    })
  })

  describe('grants', () => {
    it('are kept, replaced, and changed as those of any application; they count for all tokens at once', async () => {
      const token = await tokenOf('anna', { grants: [read] })
      const set = () => errorOf(clientOf(token).setMeasurepoint({ assetId: 'a1' }, 'Int_value', 1, { pendingTtl: 60 }))
      expect(await set()).toMatchObject({ code: codes.denied })
      expect((await ask('anna')).data.grants).toEqual([read])
      const control = { ...read, actions: ['Control'] }
      expect((await ask('anna', { grants: [control] })).data.grants).toEqual([control])
      await clientOf(token).setMeasurepoint({ assetId: 'a1' }, 'Int_value', 1, { pendingTtl: 60 })
      await admin('POST', `${ORG}/applications/${ANNA}/revoke`, { resource: 'Asset' })
      expect(await set()).toMatchObject({ code: codes.denied })
      expect((await ask('anna', { grants: [] })).data.grants).toEqual([])
    })

    it('come for one person once, however many tokens are asked for at the same moment', async () => {
      const answers = await Promise.all(Array.from({ length: 8 }, () => ask('anna')))
      expect(answers.map(({ code }) => code)).toEqual(Array(8).fill(0))
      expect(new Set(answers.map(({ data }) => data.token)).size).toBe(8)
      for (const { data } of answers) expect((await devices(bearer(data.token))).code).toBe(0)
    })
  })

  describe('what is asked', () => {
    it.each([
      ['anna', { hours: 0 }, 'body.hours:must be an integer from 1 to 168, got 0'],
      ['anna', { hours: OPERATOR_TOKEN_HOURS_MAX + 1 }, `body.hours:must be`],
      ['anna', { hours: 1.5 }, 'body.hours:'],
      ['anna', { hours: '12' }, 'body.hours:'],
      ['anna', { hour: 1 }, 'did you mean hours?'],
      ['anna', { grants: [{ resource: 'Asset', actions: ['FullAccess'], scope: 'all' }] }, 'body.grants[0].actions:'],
      ['anna', { grants: [{ resource: 'Asset', actions: ['Read'] }] }, 'body.grants[0].scope'],
      ['Anna', {}, 'name:must be 1 to 32 of a-z 0-9 . _ -'],
      ['-anna', {}, 'name:'],
      ['an%20na', {}, 'name:'],
      ['an@na', {}, 'name:'],
      ['a'.repeat(OPERATOR_NAME_MAX_CHARS + 1), {}, 'name:'],
      ['%E5%AE%89%E5%A8%9C', {}, 'name:'],
    ])('is refused, and nobody is made: %s %j', async (name, body, said) => {
      expectRefused(await ask(name, body), 99400, said)
      const { data } = await admin('GET', `${ORG}/applications`)
      expect(data.filter(({ appKey }: { appKey: string }) => appKey.includes('@'))).toEqual([])
    })

    it('is for an organization that there is, with room, and by its administrator', async () => {
      expectRefused(await ask('anna', {}, 'oNowhere'), 99404, 'organization oNowhere not found')
      expectRefused(
        await admin('POST', `${ORG}/operators/anna/tokens`, {}, 'Bearer wrong'),
        1004,
        'DOWNLINK_ADMIN_TOKEN',
        401,
      )
      await ask('anna')
      const row = await rig.store.application(ANNA)
      if (row === null) throw new Error('there is no operator')
      const { length } = await rig.store.applications(ORG)
      const applications = Array.from({ length: APPLICATIONS_MAX - length }, (_, n) => ({ ...row, appKey: `app${n}` }))
      const rows = { organizations: [], applications, models: [], products: [], devices: [] }
      await rig.store.applyFleet(rows, rig.clock.now())
      expectRefused(await ask('ben'), 99400, 'more are not taken')
      // One more token is no application more.
      expect((await ask('anna')).code).toBe(0)
    })

    it('is no name of another organization’s application', async () => {
      const row = await rig.store.application(APP.appKey)
      if (row === null) throw new Error('there is no application')
      const applications = [{ ...row, orgId: 'oOther', appKey: ANNA }]
      const rows = { organizations: [], applications, models: [], products: [], devices: [] }
      await rig.store.applyFleet(rows, rig.clock.now())
      expectRefused(await ask('anna'), 99412, `appKey ${ANNA} is taken`)
    })
  })
})

describe('names', () => {
  it('of operators are theirs: a fleet file may not have them', () => {
    const fleet = JSON.parse(fleetFile())
    fleet.organizations[0].applications.push({ appKey: ANNA, appSecret: 'x', grants: [] })
    const parsed = parseFleetFile(JSON.stringify(fleet, null, 1), 'fleet.json')
    expect(parsed.ok ? [] : parsed.problems).toMatchObject([
      { path: 'organizations[0].applications[2].appKey', message: expect.stringContaining('downlink console token') },
    ])
  })

  it.each([
    [ANNA, ORG, 'anna'],
    ['a.b-c_9@o', 'o', 'a.b-c_9'],
    [ANNA, 'oOther', null],
    [`@${ORG}`, ORG, null],
    [ORG, ORG, null],
    [`Anna@${ORG}`, ORG, null],
    [`an@na@${ORG}`, ORG, null],
    [`${'a'.repeat(OPERATOR_NAME_MAX_CHARS + 1)}@${ORG}`, ORG, null],
    [APP.appKey, ORG, null],
  ])('%s of %s is of %s', (appKey, orgId, name) => {
    expect(operatorOf({ appKey, orgId })).toBe(name)
  })
})

it('in open mode are of no account: nobody is asked for a token', async () => {
  rig = await startApp({ auth: 'open' })
  try {
    expect((await devices(bearer('dlo_whatever'))).code).toBe(0)
    const me = await whoAmI({ server: rig.url, open: true })
    expect(me).toMatchObject({ auth: 'open', caller: null })
    expect(me.organizations[0]).toMatchObject({ orgId: ORG, name: 'Demo', appKey: APP.appKey })
  } finally {
    await rig.stop()
  }
})

describe('downlink console token', () => {
  let server: Server
  let folder: string
  let env: Record<string, string>
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-operators-'))
    await start()
  })
  afterEach(async () => {
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  async function start(): Promise<void> {
    writeFileSync(join(folder, 'fleet.json'), fleetFile(2))
    const store = `sqlite:${join(folder, 'downlink.db')}`
    const args = ['--http', '0', '--mqtt', '0', '--store', store, '--fleet', join(folder, 'fleet.json')]
    const config = readServeConfig(args, { DOWNLINK_ADMIN_TOKEN: ADMIN })
    if (!config.ok) throw new Error(config.problems.join())
    server = await startServer(config.config, pino({ level: 'silent' }))
    env = { DOWNLINK_SERVER: server.httpUrl, DOWNLINK_ORG: ORG, DOWNLINK_ADMIN_TOKEN: ADMIN }
  }
  const run = (...args: string[]) => runHere(['console', 'token', ...args], env)
  const field = (stdout: string, name: string) => new RegExp(`^${name} +(\\S.*)$`, 'm').exec(stdout)?.[1] ?? ''
  const by = (operatorToken: string) => new Downlink({ server: server.httpUrl, orgId: ORG, operatorToken })

  it('prints what a person needs to sign in, and the token outlives the server', async () => {
    const { code, stdout, stderr } = await run('--operator', 'anna', '--hours', '2')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const [token, ends] = [field(stdout, 'token'), Date.parse(field(stdout, 'ends'))]
    expect(field(stdout, 'operator')).toBe(ANNA)
    expect(field(stdout, 'grants')).toBe('Asset:Control; Device:Read; Model:Read; Organization:Read')
    expect(field(stdout, 'console')).toBe(`${server.httpUrl}/console/`)
    expect(stdout).toContain('told this once')
    const { caller } = await whoAmI({ server: server.httpUrl, operatorToken: token })
    expect(Math.floor((caller?.expireAt ?? 0) / 1_000) * 1_000).toBe(ends)
    expect(Math.abs(ends - Date.now() - 2 * HOUR)).toBeLessThan(60_000)
    await server.stop()
    await start()
    expect((await by(token).stats()).now.devices).toBe(3)
    expect((await runHere(['app', 'rotate', ANNA], env)).code).toBe(0)
    expect(await errorOf(by(token).stats())).toBeInstanceOf(NoToken)
  })

  it('gives what is said, for what is said', async () => {
    const { stdout } = await run('--operator', 'guest', '--grants', 'Asset:Read', '--assets', 'a1', '--json')
    const { token, grants } = JSON.parse(stdout).data
    expect(grants).toEqual([{ resource: 'Asset', actions: ['Read'], scope: { assetIds: ['a1'] } }])
    expect(await by(token).device('a1')).toMatchObject({ assetId: 'a1' })
    const denied = await errorOf(by(token).device('a2'))
    expect(denied).toBeInstanceOf(DownlinkError)
    expect(denied).toMatchObject({ code: codes.denied })
  })

  it.each([
    [[], '--operator: is required'],
    [['--operator', 'Anna'], '--operator: must be 1 to 32 of a-z'],
    [['--operator', 'anna', '--hours', '0'], '--hours: "0" is not an integer from 1 to 168'],
    [['--operator', 'anna', '--hours', '169'], '--hours: "169" is not'],
    [['--operator', 'anna', '--grants', 'Asset'], 'write Asset:Read'],
    [['--operator', 'anna', '--products', 'p'], '--grants: is needed with --products or --assets'],
    [['anna'], 'unexpected argument "anna"'],
  ])('says what is wrong with %j', async (args, said) => {
    const { code, stdout, stderr } = await run(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(said)
  })

  it('is the administrator’s', async () => {
    env = { ...env, DOWNLINK_ADMIN_TOKEN: '' }
    const { code, stderr } = await run('--operator', 'anna')
    expect(code).toBe(1)
    expect(stderr).toContain('Set DOWNLINK_ADMIN_TOKEN')
  })
})
