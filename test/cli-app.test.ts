// `downlink app …` against a real server: what is printed, what the applications can do afterwards, and the exit codes.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readServeConfig } from '../src/cli/config.ts'
import { type Server, startServer } from '../src/cli/serve.ts'
import { FleetCalls } from './rig/fleet-calls.ts'
import { runHere } from './rig/program.ts'
import { Application, fleetFile, ORG, PRODUCT, READER } from './rig/server.ts'

const TOKEN = 'administrator-of-the-tests-0123456789'
const folder = mkdtempSync(join(tmpdir(), 'downlink-app-'))
let server: Server
let env: Record<string, string>
beforeAll(async () => {
  const fleet = join(folder, 'fleet.json')
  writeFileSync(fleet, fleetFile(2))
  const args = ['--http', '0', '--mqtt', '0', '--store', 'memory:', '--fleet', fleet]
  const read = readServeConfig(args, { DOWNLINK_ADMIN_TOKEN: TOKEN })
  if (!read.ok) throw new Error(read.problems.join())
  server = await startServer(read.config, pino({ level: 'silent' }))
  env = { DOWNLINK_SERVER: server.httpUrl, DOWNLINK_ORG: ORG, DOWNLINK_ADMIN_TOKEN: TOKEN }
})
afterAll(async () => {
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const app = (...args: string[]) => runHere(['app', ...args], env)
const field = (stdout: string, name: string) => new RegExp(`^${name} +(\\S.*)$`, 'm').exec(stdout)?.[1] ?? ''
const calls = (appKey: string, appSecret: string) =>
  new FleetCalls(new Application(server.httpUrl, { appKey, appSecret }))

/** Makes one; its key and its secret as they were printed. */
async function create(...args: string[]): Promise<{ appKey: string; appSecret: string }> {
  const { code, stdout, stderr } = await app('create', ...args)
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return { appKey: field(stdout, 'appKey'), appSecret: field(stdout, 'appSecret') }
}

describe('app create', () => {
  it('prints key and secret of an application that may do what was said', async () => {
    const { stdout } = await app(
      'create',
      '--grants',
      'Device:Read, Device:FullAccess,Asset:Read',
      '--products',
      PRODUCT,
    )
    expect(field(stdout, 'grants')).toBe(
      `Device:Read,FullAccess of products ${PRODUCT}; Asset:Read of products ${PRODUCT}`,
    )
    expect(stdout).toContain('The secret is told this once')
    const made = calls(field(stdout, 'appKey'), field(stdout, 'appSecret'))
    expect((await made.devices('update', { deviceDesc: 'x' }, { assetId: 'a1' })).code).toBe(0)
    expect((await made.products('create', {})).code).toBe(99400)
    expect((await made.models('search', {})).code).toBe(99403)
  })

  it('takes a key, and refuses one that is taken', async () => {
    const key = '11111111-2222-4333-8444-555555555555'
    expect((await create('--app-key', key)).appKey).toBe(key)
    const again = await app('create', '--app-key', key)
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain(`downlink: refused with 99412: appKey ${key} is taken`)
    expect((await app('create', '--app-key', 'mine')).stderr).toContain('must be a UUID')
  })

  it('prints the answer as it came', async () => {
    const { stdout } = await app('create', '--json')
    expect(JSON.parse(stdout)).toMatchObject({ code: 0, data: { grants: [], appSecret: expect.any(String) } })
  })
})

describe('app list', () => {
  it('shows keys and grants, and no secret', async () => {
    const { appKey, appSecret } = await create('--grants', 'Asset:Control', '--assets', 'a1,a2')
    const { code, stdout } = await app('list')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^APPLICATION +GRANTS\n/)
    expect(stdout).toContain(`${appKey}  Asset:Control of devices a1,a2\n`)
    expect(stdout).toContain(`${READER.appKey}  Asset:Read; Device:Read`)
    expect(stdout).not.toContain(appSecret)
    expect((await app('list', '--org', 'oNone')).stderr).toContain('refused with 99404: organization oNone not found')
  })
})

describe('app rotate', () => {
  it('prints a new secret, and the old one ends', async () => {
    const { appKey, appSecret } = await create('--grants', 'Device:Read')
    const { code, stdout } = await app('rotate', appKey)
    expect(code).toBe(0)
    const next = field(stdout, 'appSecret')
    expect(next).not.toBe(appSecret)
    await expect(calls(appKey, appSecret).devices('search', {})).rejects.toThrow('1003')
    expect((await calls(appKey, next).devices('search', {})).code).toBe(0)
  })
})

describe('app grant and app revoke', () => {
  it('change what it may do', async () => {
    const { appKey, appSecret } = await create()
    const grants = (stdout: string) => field(stdout, appKey)
    const asked = async (...args: string[]) => {
      const { code, stdout, stderr } = await app(...args)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      return grants(stdout)
    }
    expect(await asked('grant', appKey, '--grants', 'Device:Read,Model:Read')).toBe('Device:Read; Model:Read')
    expect((await calls(appKey, appSecret).models('search', {})).code).toBe(0)
    expect(await asked('grant', appKey, '--grants', 'Asset:Control', '--products', PRODUCT)).toBe(
      `Device:Read; Model:Read; Asset:Control of products ${PRODUCT}`,
    )
    expect(await asked('revoke', appKey, '--grants', 'Model')).toBe(`Device:Read; Asset:Control of products ${PRODUCT}`)
    expect((await calls(appKey, appSecret).models('search', {})).code).toBe(99403)
    // Only grants of just that scope.
    expect(await asked('revoke', appKey, '--grants', 'Asset,Device', '--assets', 'a1')).toBe(
      `Device:Read; Asset:Control of products ${PRODUCT}`,
    )
    expect(await asked('revoke', appKey, '--grants', 'Asset,Device:Read')).toBe('none')
    expect(await asked('revoke', appKey, '--grants', 'Asset')).toBe('none')
  })

  it('of one that does not exist fail', async () => {
    const none = '00000000-0000-4000-8000-00000000eeee'
    const { code, stderr } = await app('grant', none, '--grants', 'Asset:Read,Device:Read')
    expect(code).toBe(1)
    expect(stderr.match(/99404/g)).toHaveLength(1)
  })
})

describe('app remove', () => {
  it('removes it', async () => {
    const { appKey, appSecret } = await create('--grants', 'Device:Read')
    expect(await app('remove', appKey)).toEqual({ code: 0, stdout: `removed ${appKey}\n`, stderr: '' })
    await expect(calls(appKey, appSecret).devices('search', {})).rejects.toThrow('1002')
    const again = await app('remove', appKey)
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain('99404')
  })
})

describe('a wrong line', () => {
  it.each([
    [['list', '--org='], '--org (DOWNLINK_ORG): is required'],
    [['grant', 'k'], '--grants: is required'],
    [['grant', '--grants', 'Asset:Read'], 'APP_KEY is missing'],
    [['grant', 'k', '--grants', 'Asset'], 'Asset has the actions Control and Read; write Asset:Read'],
    [['grant', 'k', '--grants', 'Asset:Write'], 'Asset has the actions Control and Read'],
    [['revoke', 'k', '--grants', 'Aset'], '"Aset" is none of Asset, Device, Model, Organization; did you mean Asset?'],
    [['create', '--grants', 'Asset:Read', '--products', 'a', '--assets', 'b'], 'give only one'],
    [['create', '--products', 'a'], '--grants: is needed with --products or --assets'],
    [['grant', 'k', '--grants', 'Asset:Read', '--products', 'two words'], '--products: must be keys'],
    [['remove'], 'APP_KEY is missing'],
    [['list', '--server', 'nowhere'], '--server (DOWNLINK_SERVER): must be a URL'],
  ])('%j says what to do', async (args, said) => {
    const { code, stdout, stderr } = await app(...args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(said)
  })
})

describe('whoever is not the administrator', () => {
  it('is told which variable to set', async () => {
    const { DOWNLINK_ADMIN_TOKEN: _, ...without } = env
    const missing = await runHere(['app', 'list'], without)
    expect(missing).toMatchObject({ code: 1, stdout: '' })
    expect(missing.stderr).toContain(
      "refused with 1202: header authorization is missing: Bearer and the administrator token. Set DOWNLINK_ADMIN_TOKEN to the administrator's token of the server.",
    )
    const wrong = await runHere(['app', 'list'], { ...env, DOWNLINK_ADMIN_TOKEN: 'x'.repeat(40) })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toContain('DOWNLINK_ADMIN_TOKEN')
    expect(wrong.stderr).not.toContain('xxxx')
  })

  it('is told where nobody answers', async () => {
    const { code, stderr } = await runHere(['app', 'list'], { ...env, DOWNLINK_SERVER: 'http://127.0.0.1:9' })
    expect(code).toBe(1)
    expect(stderr).toContain('cannot reach http://127.0.0.1:9')
  })
})

describe('the administrator token', () => {
  it.each(['short', 'x'.repeat(31), `${'x'.repeat(40)} y`, 'x'.repeat(600)])(
    '%j is refused at the start, unshown',
    token => {
      const read = readServeConfig([], { DOWNLINK_ADMIN_TOKEN: token })
      expect(read.ok).toBe(false)
      if (read.ok) return
      expect(read.problems).toEqual([
        expect.stringContaining('DOWNLINK_ADMIN_TOKEN: must be 32 to 512 printable ASCII'),
      ])
      expect(read.problems.join()).not.toContain(token)
    },
  )

  it('does not show itself', () => {
    const read = readServeConfig([], { DOWNLINK_ADMIN_TOKEN: TOKEN })
    if (!read.ok) throw new Error(read.problems.join())
    expect(JSON.stringify(read.config)).not.toContain(TOKEN)
    expect(read.config.adminToken?.reveal()).toBe(TOKEN)
  })
})
