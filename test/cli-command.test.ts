// `downlink command …` against a real server: what is sent, what is printed, and the exit codes.

import { createServer, type RequestListener } from 'node:http'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Client } from '../src/cli/client.ts'
import { readServeConfig } from '../src/cli/config.ts'
import { startServer } from '../src/cli/serve.ts'
import { PAGE_SIZE_MAX } from '../src/core/limits.ts'
import { Cutter } from './rig/cutter.ts'
import { Program, runHere } from './rig/program.ts'
import { APP, fleetFile, ORG, PRODUCT, READER, type Rig, startRig, TestDevice } from './rig/server.ts'

const ID = '[0-9]{19}'
const devices = Array.from({ length: 15 }, (_, index) => `d${index + 1}`)

let rig: Rig
let env: Record<string, string>
beforeAll(async () => {
  rig = await startRig([], fleetFile(devices.length))
  env = {
    DOWNLINK_SERVER: rig.server.httpUrl,
    DOWNLINK_ORG: ORG,
    DOWNLINK_APP_KEY: APP.appKey,
    DOWNLINK_APP_SECRET: APP.appSecret,
  }
})
afterAll(() => rig.stop())

const keys = (deviceKey: string) => ['--product-key', PRODUCT, '--device-key', deviceKey]
const command = (verb: string, deviceKey: string, ...more: string[]) =>
  runHere(['command', verb, ...keys(deviceKey), ...more], env)
const calls = (deviceKey: string) => rig.app.on({ productKey: PRODUCT, deviceKey })

/** Queues a set and returns its id. */
async function queue(deviceKey: string, value = '1'): Promise<string> {
  const { code, stdout } = await command('send', deviceKey, `--set=Int_value=${value}`, '--pending-ttl', '600')
  expect(code).toBe(0)
  return new RegExp(ID).exec(stdout)?.[0] ?? ''
}

describe('send', () => {
  it('queues with a pending ttl', async () => {
    const { code, stdout, stderr } = await command(
      'send',
      'd1',
      '--set',
      'Int_value=5',
      '--pending-ttl',
      '600',
      '--timeout',
      '7',
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^${ID} created, expires in 600 s if it is not sent until then\n$`))
    const { data } = await calls('d1').search()
    expect(data[0]).toMatchObject({ tslIdentifier: 'Int_value', inputData: 5, pendingTtl: 600, timeout: 7, state: 1 })
  })

  it.each([
    ['Text=hello world', 'hello world'],
    ['Text="5"', '5'],
    ['Text=', ''],
    ['Text=a=b', 'a=b'],
    ['Text={"a":1', '{"a":1'],
    ['Int_value=-5', -5],
  ])('--set %s sends %j', async (set, value) => {
    expect((await command('send', 'd2', '--set', set, '--pending-ttl', '600')).code).toBe(0)
    expect((await calls('d2').search()).data[0].inputData).toBe(value)
  })

  it('invokes a service with its inputs, or none', async () => {
    expect(
      (await command('send', 'd3', '--invoke', 'reboot', '--input', '{"delay":3}', '--pending-ttl', '9')).code,
    ).toBe(0)
    expect((await command('send', 'd3', '--invoke', 'reboot', '--pending-ttl', '9')).code).toBe(0)
    const { data } = await calls('d3').search()
    expect(data.map(({ inputData }: { inputData: unknown }) => inputData)).toEqual([{}, { delay: 3 }])
  })

  it('never rounds a number on the way: the server refuses what cannot be kept', async () => {
    const { code, stderr } = await command('send', 'd4', '--set', 'Int_value=9007199254740993', '--pending-ttl', '9')
    expect(code).toBe(1)
    expect(stderr).toContain('refused with 99400: ')
    expect(stderr).toContain('9007199254740993')
    expect((await calls('d4').search()).data).toEqual([])
  })

  it('waits for the answer of a device, and prints its outputs', async () => {
    const device = await new TestDevice(rig.server.mqttUrl, 'd5').connected()
    device.answer = ({ payload }) => ({ id: payload.id, code: 200, data: { ok: true } })
    try {
      const { code, stdout } = await command('send', 'd5', '--invoke', 'reboot', '--input={"delay":1}')
      expect(code).toBe(0)
      expect(stdout).toMatch(new RegExp(`^${ID} succeeded\noutput {"ok":true}\n$`))
      const set = await command('send', 'd5', '--set', 'Int_value=1')
      expect(set.stdout).toMatch(new RegExp(`^${ID} succeeded\n$`))
    } finally {
      await device.end()
    }
  })

  it("tells a device's own code from ours, without its control characters", async () => {
    const device = await new TestDevice(rig.server.mqttUrl, 'd6').connected()
    device.answer = ({ payload }) => ({ id: payload.id, code: 11900, message: 'jammed\u001b[2J', data: {} })
    try {
      const { code, stdout, stderr } = await command('send', 'd6', '--set', 'Int_value=1')
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(
        new RegExp(`^downlink: the device answered 11900: jammed\\\\u001b\\[2J; ${ID} is failed\n$`),
      )
    } finally {
      await device.end()
    }
  })

  it('is not repeated when the device answers with a code of the token service', async () => {
    const device = await new TestDevice(rig.server.mqttUrl, 'd11').connected()
    device.answer = ({ payload }) => ({ id: payload.id, code: 1203, message: 'a\u009bb\u{e0041}' })
    const { code, stdout } = await command('send', 'd11', '--invoke', 'reboot', '--json')
    expect(code).toBe(1)
    expect(device.received).toHaveLength(1)
    expect(stdout).toContain('a\\u009bb\\udb40\\udc41')
    expect(JSON.parse(stdout).msg).toBe('a\u009bb\u{e0041}')
    await device.end()
  })

  it('says what to do when a device was never here', async () => {
    const { code, stderr } = await command('send', 'd7', '--set', 'Int_value=1')
    expect(code).toBe(1)
    expect(stderr).toMatch(new RegExp(`^downlink: refused with 11888: .*; ${ID} is failed\\. .*pendingTtl\\.\n$`))
  })
})

describe('get and list', () => {
  it('show one and many, newest first', async () => {
    const [first, second] = [await queue('d8', '1'), await queue('d8', '2')]
    const one = await command('get', 'd8', first)
    expect(one.code).toBe(0)
    expect(one.stdout).toMatch(
      new RegExp(
        `^command {6}${first}\nstate {8}created\ncreated {6}\\S+ \\S+ \\(time of the device\\)\nset {10}Int_value\n` +
          'input {8}1\noutput {7}null\npending ttl {2}600 s\ntimeout {6}30 s\n$',
      ),
    )
    const many = await command('list', 'd8')
    expect(many.stdout).toMatch(
      new RegExp(
        `^COMMAND {14}CREATED {14}STATE {4}WHAT {11}INPUT\n${second}  \\S+ \\S+  created  set Int_value  2\n` +
          `${first}  \\S+ \\S+  created  set Int_value  1\n$`,
      ),
    )
    expect((await command('list', 'd8', '--limit', '1')).stdout).toMatch(/\n1 of 2; more with --limit\n$/)
  })

  it('filter by state and expression together', async () => {
    const ids = [await queue('d9', '1'), await queue('d9', '2'), await queue('d9', '3')]
    await command('cancel', 'd9', ids[1] ?? '')
    const idsOf = async (...args: string[]) =>
      (await command('list', 'd9', ...args)).stdout.match(new RegExp(ID, 'g')) ?? []
    expect(await idsOf('--state', 'cancelled')).toEqual([ids[1]])
    expect(await idsOf('--state', '1,sent')).toEqual([ids[2], ids[0]])
    expect(await idsOf('--state', 'created', '--expression', 'state = 2 or state = 1')).toEqual([ids[2], ids[0]])
    expect(await idsOf('--expression', 'createTime < "2001-01-01 00:00:00"')).toEqual([])
    expect((await command('list', 'd9', '--state', 'expired')).stdout).toBe('no commands\n')
    const broken = await command('list', 'd9', '--expression', 'state ==')
    expect(broken.code).toBe(1)
    expect(broken.stderr).toContain('refused with 99400')
  })

  it('print the answer as it came with --json, also of a refusal', async () => {
    const id = await queue('d10')
    const got = await command('get', 'd10', id, '--json')
    expect(JSON.parse(got.stdout)).toMatchObject({ code: 0, data: { commandId: id, state: 1 } })
    expect(got.stdout.trim().split('\n')).toHaveLength(1)
    const missing = await command('get', 'd10', '2278935391225618432', '--json')
    expect(missing.code).toBe(1)
    expect(JSON.parse(missing.stdout)).toMatchObject({ code: 11404, data: null })
    expect(missing.stderr).toContain('refused with 11404')
  })
})

describe('cancel', () => {
  it('cancels one, and finds it cancelled the second time', async () => {
    const [first, second] = [await queue('d11', '1'), await queue('d11', '2')]
    const { code, stdout } = await command('cancel', 'd11', first)
    expect(code).toBe(0)
    expect(stdout.match(new RegExp(ID, 'g'))).toEqual([first])
    expect(stdout).toContain('cancelled')
    expect(await command('cancel', 'd11', first)).toEqual({
      code: 0,
      stdout: `${first} was cancelled before\n`,
      stderr: '',
    })
    expect(await calls('d11').states([first, second])).toEqual([2, 1])
    const json = await command('cancel', 'd11', first, '--json')
    expect(JSON.parse(json.stdout)).toMatchObject({ data: [], notCancelled: [{ commandId: first, state: 2 }] })
    expect(json.code).toBe(0)
  })

  it('fails for one that was sent already, and for one that is not there', async () => {
    const device = await new TestDevice(rig.server.mqttUrl, 'd12').connected()
    try {
      const id = await queue('d12')
      await calls('d12').until(id, 5)
      const late = await command('cancel', 'd12', id)
      expect(late).toEqual({ code: 1, stdout: '', stderr: `downlink: not cancelled: ${id} is succeeded already\n` })
      const unknown = await command('cancel', 'd12', '2278935391225618432')
      expect(unknown.code).toBe(1)
      expect(unknown.stderr).toContain('refused with 11404')
    } finally {
      await device.end()
    }
  })

  it('cancels all only with --all', async () => {
    const ids = [await queue('mqtt_01', '1'), await queue('mqtt_01', '2')]
    for (const args of [[], ['', '--all'], [''], [ids[0] ?? '', '--all'], ['all'], ['--all=true']]) {
      const { code, stdout, stderr } = await command('cancel', 'mqtt_01', ...args)
      expect({ code, stdout }, JSON.stringify(args)).toEqual({ code: 2, stdout: '' })
      expect(stderr).toContain('See: downlink command cancel --help')
    }
    expect(await calls('mqtt_01').states(ids)).toEqual([1, 1])
    const all = await command('cancel', 'mqtt_01', '--all')
    expect(all.code).toBe(0)
    expect(all.stdout.match(new RegExp(ID, 'g'))).toEqual(ids)
    expect(await command('cancel', 'mqtt_01', '--all')).toEqual({ code: 0, stdout: 'nothing is queued\n', stderr: '' })
  })

  it('is denied to who may only read', async () => {
    const id = await queue('mqtt_01')
    const reader = { ...env, DOWNLINK_APP_KEY: READER.appKey, DOWNLINK_APP_SECRET: READER.appSecret }
    const denied = await runHere(['command', 'cancel', ...keys('mqtt_01'), id], reader)
    expect(denied.code).toBe(1)
    expect(denied.stderr).toContain('refused with 99403')
    expect((await runHere(['command', 'get', ...keys('mqtt_01'), id], reader)).code).toBe(0)
  })
})

describe('explain and timeline', () => {
  it('say in words why a command waits, and whether it can be stopped', async () => {
    const [first, second] = [await queue('d13', '1'), await queue('d13', '2')]
    const { code, stdout, stderr } = await runHere(['command', 'explain', second], env)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(
      new RegExp(
        `^${second} created\nThe device has never connected\\. It is behind 1 command, first ${first}\\. .*can be cancelled\\.\n$`,
      ),
    )
    await command('cancel', 'd13', first)
    expect((await runHere(['command', 'explain', first], env)).stdout).toMatch(/cancelled\nIt is over: cancelled at /)
    const json = await runHere(['command', 'explain', second, '--json'], env)
    expect(JSON.parse(json.stdout).data).toMatchObject({ commandId: second, cancellable: true, ahead: 0 })
  })

  it('tell the life of a command, and what it waited for', async () => {
    const [first, second] = [await queue('d14', '1'), await queue('d14', '2')]
    const device = await new TestDevice(rig.server.mqttUrl, 'd14').connected()
    await calls('d14').until(second, 5)
    await device.end()
    const { code, stdout } = await runHere(['command', 'timeline', second], env)
    expect(code).toBe(0)
    const at = '\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z'
    const [events = '', waited = ''] = stdout.split('\n\nMeanwhile, before it:\n')
    const lines = [
      /AT +STATE +BY +WHY/,
      `${at}  created +${APP.appKey}  accepted`,
      `${at}  sent `,
      `${at}  succeeded  device `,
    ]
    expect(events).toMatch(new RegExp(lines.map(line => (typeof line === 'string' ? line : line.source)).join('.*\n')))
    expect(waited).toMatch(new RegExp(`^AT +OF +STATE +BY +WHY\n[^]*${first}  sent [^]*${first}  succeeded `))
    expect(waited).toContain('the device')
    const alone = await runHere(['command', 'timeline', await queue('d15')], env)
    expect(alone.stdout).not.toContain('Meanwhile')
  })

  it('need the id of a command that is there, and nothing else', async () => {
    for (const verb of ['explain', 'timeline']) {
      const missing = await runHere(['command', verb, '1'], env)
      expect({ code: missing.code, stdout: missing.stdout }).toEqual({ code: 1, stdout: '' })
      expect(missing.stderr).toContain('refused with 11404')
      for (const args of [[], ['12x'], ['1', '--asset-id', 'a1']])
        expect((await runHere(['command', verb, ...args], env)).code).toBe(2)
    }
  })
})

describe('a wrong line', () => {
  it.each([
    [['send', '--asset-id', 'a'], 'give either --set point=value or --invoke service'],
    [['send', '--asset-id', 'a', '--set', 'x=1', '--invoke', 'y'], 'give either --set'],
    [['send', '--asset-id', 'a', '--set', 'x'], '--set: must be point=value'],
    [['send', '--asset-id', 'a', '--set', 'a b=1'], '--set: must be point=value'],
    [['send', '--asset-id', 'a', '--set', 'x=1', '--set', 'y=1'], '--set: given twice'],
    [['send', '--asset-id', 'a', '--set', 'x=1', '--input', '{}'], '--input: belongs to --invoke'],
    [['send', '--asset-id', 'a', '--invoke', 'x', '--input', '[]'], '--input: must be a JSON object'],
    [['send', '--asset-id', 'a', '--invoke', 'x', '--input', '{'], '--input: is not JSON'],
    [['send', '--asset-id', 'a', '--invoke', '../x'], '--invoke: is not a service id'],
    [
      ['send', '--asset-id', 'a', '--set', 'x=1', '--pending-ttl', '172801'],
      '"172801" is not an integer from 0 to 172800',
    ],
    [['send', '--asset-id', 'a', '--set', 'x=1', '--timeout', '0'], '"0" is not an integer from 1 to 60'],
    [['list'], 'name the device: either --asset-id, or --product-key and --device-key'],
    [['list', '--asset-id', 'a', '--device-key', 'b'], 'name the device'],
    [['list', '--asset-id', 'a', '--state', 'running'], '--state: must be of created, cancelled'],
    [['list', '--asset-id', 'a', '--limit', '1001'], `"1001" is not an integer from 1 to ${PAGE_SIZE_MAX}`],
    [['get', '--asset-id', 'a', '12x'], 'COMMAND_ID must be a decimal number'],
    [['get', '--asset-id', 'a', '1', '2'], 'unexpected argument "2"'],
    [['get', '--asset-id', 'a', '1', '--server', 'ftp://x'], '--server (DOWNLINK_SERVER): must be a URL'],
    [['get', '--asset-id', 'a', '1', '--server', 'http://u:hunter2@x'], 'without user'],
    [['get', '--asset-id', 'a', '1', '--app-key', 'k'], '--app-secret (DOWNLINK_APP_SECRET): is needed with --app-key'],
  ])('%j is refused before anything is sent', async (args, said) => {
    const { code, stdout, stderr } = await runHere(['command', ...args, '--org', 'o'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(said)
    expect(stderr).not.toContain('hunter2')
  })
})

describe('the server', () => {
  /** An HTTP server that is not Downlink, for as long as `use` runs. */
  async function withOther(listener: RequestListener, use: (url: string) => Promise<void>): Promise<void> {
    const server = createServer(listener)
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    try {
      await use(`http://127.0.0.1:${(server.address() as { port: number }).port}`)
    } finally {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    }
  }
  const list = (url: string, more: Record<string, string> = {}) =>
    runHere(['command', 'list', '--asset-id', 'oxWwM9i5'], { ...env, DOWNLINK_SERVER: url, ...more })

  it('may be one that is not there', async () => {
    const urls: string[] = []
    await withOther(
      () => undefined,
      async url => void urls.push(url),
    )
    const { code, stderr } = await list(urls[0] ?? '')
    expect(code).toBe(1)
    expect(stderr).toMatch(
      /^downlink: cannot reach http:\/\/127\.0\.0\.1:\d+ \(.*ECONNREFUSED.*\); start a server with "downlink serve"/,
    )
  })

  it.each([
    ['<html>\u001b[2J', /does not answer as Downlink does: <html>\\u001b\[2J; check --server/],
    ['', /empty body/],
    ['[]', /does not answer as Downlink does/],
    ['{"status":"no"}', /does not answer as Downlink does/],
    ['{"status":0,"data":{}}', /does not answer as Downlink does/],
  ])('may be another program, which says %j', async (body, said) => {
    await withOther(
      (_, response) => response.end(body),
      async url => {
        const { code, stderr } = await list(url)
        expect(code).toBe(1)
        expect(stderr).toMatch(said)
      },
    )
  })

  it('is shown with its path, which may be what is wrong', async () => {
    await withOther(
      (_, response) => response.end('<html>'),
      async url => {
        const { stderr } = await list(`${url}/dowlink/`)
        expect(stderr).toContain(`downlink: ${url}/dowlink does not answer as Downlink does`)
      },
    )
  })

  it('may speak no TLS, which is said in plain words', async () => {
    const { hostname, port } = new URL(rig.server.httpUrl)
    const { code, stderr } = await list(`https://${hostname}:${port}`)
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `downlink: https://${hostname}:${port} does not speak TLS; try --server http://${hostname}:${port}\n`,
    })
  })

  it('is not followed elsewhere with a signed call', async () => {
    const asked: string[] = []
    const elsewhere: RequestListener = (request, response) => {
      asked.push(request.url ?? '')
      response.writeHead(307, { location: '/elsewhere' }).end()
    }
    await withOther(elsewhere, async url => expect((await list(url)).code).toBe(1))
    expect(asked).toEqual(['/apim-token-service/v2.0/token/get'])
  })

  it('refuses a wrong secret and an unknown application, with the next step and without the secret', async () => {
    const wrong = await list(rig.server.httpUrl, { DOWNLINK_APP_SECRET: 'hunter2' })
    expect(wrong.code).toBe(1)
    expect(wrong.stderr).toMatch(/^downlink: the server gave no token: 1003 .*Check the appSecret/)
    const unknown = await list(rig.server.httpUrl, { DOWNLINK_APP_KEY: 'nobody' })
    expect(unknown.stderr).toMatch(/1002 .*Check the appKey/)
    expect(wrong.stderr + unknown.stderr).not.toMatch(new RegExp(`hunter2|${APP.appSecret}`))
  })

  it('in open mode takes calls that are not signed; otherwise it does not', async () => {
    const { DOWNLINK_APP_KEY: _key, DOWNLINK_APP_SECRET: _secret, ...unsigned } = env
    const refused = await runHere(['command', 'list', '--asset-id', 'oxWwM9i5'], unsigned)
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('refused with 1202')
    expect(refused.stderr).toMatch(
      /\. Give --app-key \(DOWNLINK_APP_KEY\) and --app-secret \(DOWNLINK_APP_SECRET\)\.\n$/,
    )
    const open = await startRig(['--auth', 'open'])
    try {
      const args = ['command', 'list', '--asset-id', 'oxWwM9i5', '--server', open.server.httpUrl]
      expect(await runHere(args, unsigned)).toEqual({ code: 0, stdout: 'no commands\n', stderr: '' })
    } finally {
      await open.stop()
    }
  })

  it('gets a new token from the client when the old one is not known any more', async () => {
    const search = (client: Client) =>
      client.call('POST', { action: 'search', orgId: ORG, assetId: 'oxWwM9i5' }, '{}', 0)
    const before = await startRig()
    const client = new Client(new URL(before.server.httpUrl), APP)
    expect((await search(client)).code).toBe(0)
    await before.stop()
    const { port } = new URL(before.server.httpUrl)
    const options = ['--http', port, '--mqtt', '0', '--store', 'memory:', '--fleet', join(rig.folder, 'fleet.json')]
    const read = readServeConfig(options, {})
    if (!read.ok) throw new Error(read.problems.join('\n'))
    const fresh = await startServer(read.config, pino({ level: 'silent' }))
    try {
      expect((await search(client)).code).toBe(0)
    } finally {
      await fresh.stop()
    }
  })

  it('is asked again when another process asked for a token in the same millisecond', async () => {
    const at = Date.now() - 60_000
    const query = { action: 'search', orgId: ORG, assetId: 'oxWwM9i5' }
    for (const _ of ['one process', 'another', 'a third']) {
      const client = new Client(new URL(rig.server.httpUrl), APP, () => at)
      expect((await client.call('POST', query, '{}', 0)).code).toBe(0)
    }
  })

  it('is asked again when the connection broke off, and does not do twice what it did', async () => {
    const cutter = await Cutter.start(rig.server.httpUrl)
    try {
      const client = new Client(new URL(cutter.url), APP)
      const query = { action: 'setMeasurepoint', orgId: ORG, assetId: 'a1', measurepointId: 'Int_value' }
      const before = (await calls('d1').search()).data.length
      cutter.fault = asked => (cutter.asked(asked.what) === 1 && asked.what === 'setMeasurepoint' ? 'swallow' : 'pass')
      const answer = await client.call('POST', { ...query, pendingTtl: '600' }, '{"value":1}', 0)
      expect(cutter.asked('setMeasurepoint')).toBe(2)
      const { data } = await calls('d1').search()
      expect(data).toHaveLength(before + 1)
      expect(data[0].commandId).toBe((answer.data as { commandId: string }).commandId)
    } finally {
      await cutter.stop()
    }
  })
})

it('as a process prints and exits the same, also into a pipe that is closed early', async () => {
  const program = new Program()
  try {
    const listed = await program.run(['command', 'list', '--asset-id', 'oxWwM9i5', '--limit', '1'], env)
    expect(listed.code).toBe(0)
    expect(listed.stdout).toMatch(/^COMMAND /)
    const running = program.start(['command', 'list', '--asset-id', 'oxWwM9i5'], env)
    running.child.stdout.destroy()
    expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
    expect((await program.run(['command', 'cancel', '--asset-id', 'oxWwM9i5'], env)).code).toBe(2)
  } finally {
    await program.remove()
  }
})
