// The command line as a person meets it: help, version, exit codes, what is said about a wrong line; and `serve` and `fleet apply` as processes.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readServeConfig } from '../src/cli/config.ts'
import { subcommands } from '../src/cli/dispatch.ts'
import { helpOf, overview } from '../src/cli/help.ts'
import { shortLine } from '../src/cli/log.ts'
import { startFailure } from '../src/cli/serving.ts'
import { printable, table } from '../src/cli/terminal.ts'
import { Program, root, runHere } from './rig/program.ts'
import { CA, CLIENT_KEY, SERVER_CERT, SERVER_KEY } from './rig/tls.ts'

let program: Program
beforeAll(() => {
  program = new Program()
})
afterAll(() => program.remove())

const fleetYaml = readFileSync(join(root, 'examples/fleet.yaml'), 'utf8')
const file = (name: string, text: string): string => {
  writeFileSync(join(program.folder, name), text)
  return name
}

describe('help', () => {
  it.each(subcommands.map(({ spec }) => [spec.name, spec] as const))('%s shows every option', async (name, spec) => {
    const { code, stdout, stderr } = await runHere([...name.split(' '), '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(`${helpOf(spec)}\n`)
    for (const option of spec.options) {
      expect(stdout).toMatch(new RegExp(`^ {2}--${option.name}( |$)`, 'm'))
      expect(stdout).toContain(option.help)
      if (option.env !== null) expect(stdout).toContain(option.env)
    }
  })

  it('is what docs/cli.md prints', () => {
    const printed = [...readFileSync(join(root, 'docs/cli.md'), 'utf8').matchAll(/^```text\n([\s\S]*?)\n```$/gm)].map(
      match => match[1],
    )
    expect(printed).toEqual([
      overview(subcommands.map(({ spec }) => spec)),
      ...subcommands.map(({ spec }) => helpOf(spec)),
    ])
  })

  it('lists all commands, or those of a group', async () => {
    const all = await program.run(['--help'])
    for (const { spec } of subcommands) expect(all.stdout).toContain(`  ${spec.name} `)
    const group = await runHere(['command', '-h'])
    expect(group.code).toBe(0)
    expect(group.stdout).toContain('command cancel')
    expect(group.stdout).not.toContain('fleet apply')
  })

  it('is also what `help` shows', async () => {
    for (const args of [[], ['command'], ['command', 'send'], ['serve']]) {
      const asked = await runHere(['help', ...args])
      expect(asked).toEqual(await runHere([...args, '--help']))
      expect(asked.code).toBe(0)
    }
    const wrong = await runHere(['help', 'serv'])
    expect(wrong).toMatchObject({ code: 2, stdout: '' })
    expect(wrong.stderr).toContain('did you mean "downlink serve"?')
  })

  it('has the version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    expect(await program.run(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })
})

describe('a wrong line', () => {
  it.each([
    [[], 'downlink: name a command. See: downlink --help'],
    [['serv'], 'downlink: unknown command "serv", did you mean "downlink serve"?'],
    [['command', 'cancle'], 'downlink: unknown command "command cancle", did you mean "downlink command cancel"?'],
    [['fleet'], 'downlink: name one of: fleet apply. See: downlink fleet --help'],
    [
      ['command'],
      'downlink: name one of: command send, command get, command list, command cancel, command cancel-many, command explain, command timeline. See: downlink command --help',
    ],
    [['bogus', '--x'], 'downlink: unknown command "bogus". See: downlink --help'],
    [['serve', '--htp', '1'], 'unknown option --htp, did you mean --http?'],
    [['serve', '--queue-cap', '0'], '--queue-cap (DOWNLINK_QUEUE_CAP): "0" is not an integer'],
    [['demo', 'now'], 'unexpected argument "now"'],
    [['fleet', 'apply'], 'FILE is missing'],
    [['fleet', 'apply', 'f', '--store', 'memory:'], 'memory: ends with this process'],
    [['device', 'simulate'], '--product-key: is required'],
    [['command', 'get', '--org', 'o', '--asset-id', 'a'], 'COMMAND_ID is missing'],
  ])('%j says what to do', async (args, said) => {
    const { code, stdout, stderr } = await runHere(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(said)
    expect(stderr).toMatch(/See: downlink .*--help\n$|\?\. See|did you mean/)
  })
})

describe('serve', () => {
  it('as a process exits with the code that was decided', async () => {
    const { code, stderr } = await program.run(['serve', '--node-id', '-1'])
    expect(code).toBe(2)
    expect(stderr).toBe(
      'downlink serve: --node-id (DOWNLINK_NODE_ID): "-1" is not an integer from 0 to 1023\nSee: downlink serve --help\n',
    )
  })

  it('prints its addresses and ends well at SIGTERM and at SIGINT', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const running = program.start([
        'serve',
        '--http',
        '0',
        '--mqtt',
        '0',
        '--store',
        'memory:',
        '--log-level',
        'silent',
      ])
      const [, http, mqtt] = await running.printed(/^listening http (\S+)\nlistening mqtt (\S+)\n/)
      expect(http).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      expect(mqtt).toMatch(/^mqtt:\/\/127\.0\.0\.1:\d+$/)
      expect((await fetch(`${http}/healthz`)).status).toBe(200)
      const ended = await running.stop(signal)
      expect(ended).toEqual({ code: 0, stdout: `listening http ${http}\nlistening mqtt ${mqtt}\n`, stderr: '' })
    }
  })

  it('ends at once at the second signal', async () => {
    const running = program.start(['serve', '--http', '0', '--mqtt', '0', '--store', 'memory:'])
    const [, port] = await running.printed(/listening http http:\/\/127\.0\.0\.1:(\d+)\nlistening mqtt/)
    // A request that never ends holds the orderly stop up.
    const caller = connect(Number(port), '127.0.0.1')
    caller.on('error', () => undefined)
    await once(caller, 'connect')
    caller.write('POST /connect-service/v2.1/commands HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{')
    // The server has it when it answers a later one.
    await fetch(`http://127.0.0.1:${port}/healthz`)
    running.child.kill('SIGTERM')
    await running.printed(/"stopping"/)
    const { code, stderr } = await running.stop('SIGINT')
    expect(code).toBe(1)
    expect(stderr).not.toContain('"stopped"')
    caller.destroy()
  })

  it('logs JSON on stderr', async () => {
    const running = program.start([
      'serve',
      '--http=0',
      '--mqtt=0',
      '--store=memory:',
      `--fleet=${file('a.yaml', fleetYaml)}`,
    ])
    await running.printed(/listening mqtt/)
    const { stderr } = await running.stop()
    const lines = stderr
      .trim()
      .split('\n')
      .map(line => JSON.parse(line))
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'fleet applied', devices: 7 }))
    expect(stderr).not.toContain('Z5YtZaQpK5IWocakV7zQ')
  })

  it('names the option of a port that is taken', async () => {
    const taken = createServer()
    await new Promise<void>(resolve => taken.listen(0, '127.0.0.1', resolve))
    const { port } = taken.address() as { port: number }
    try {
      const http = await program.run(['serve', '--http', `${port}`, '--mqtt', '0', '--store', 'memory:'])
      expect(http.code).toBe(1)
      expect(http.stderr).toContain('the port is taken')
      expect(http.stderr).toContain('choose another with --http [host:]port')
      const mqtt = await program.run(['serve', '--http', '0', '--mqtt', `${port}`, '--store', 'memory:'])
      expect(mqtt.code).toBe(1)
      expect(mqtt.stderr).toContain('choose another with --mqtt [host:]port')
      expect(mqtt.stdout).toBe('')
    } finally {
      taken.close()
    }
  })

  it('names the option of an address that this machine does not have', async () => {
    for (const [http, mqtt, named] of [
      ['192.0.2.1:0', '0', '--http'],
      ['0', '192.0.2.1:0', '--mqtt'],
    ] as const) {
      const { code, stderr } = await program.run(['serve', '--http', http, '--mqtt', mqtt, '--store', 'memory:'])
      expect(code).toBe(1)
      expect(stderr).toContain('this machine does not have that address')
      expect(stderr).toContain(`choose another with ${named} [host:]port`)
    }
    const read = readServeConfig(['--http', 'nope.example:0', '--mqtt', '0'], {})
    if (!read.ok) throw new Error(read.problems.join())
    const failed = (more: object) => startFailure(Object.assign(new Error('failed'), more), read.config)
    expect(failed({ code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'nope.example' })).toContain('with --http [')
    expect(failed({ code: 'EADDRNOTAVAIL', syscall: 'listen', address: '192.0.2.9' })).toContain('--http or --mqtt [')
    // The same code from a file is about no port.
    expect(failed({ code: 'EACCES', syscall: 'open', path: 'x' })).not.toContain('port')
  })

  it('in open mode says so on stderr even where the log is silent', async () => {
    const args = ['serve', '--http', '0', '--mqtt', '0', '--store', 'memory:', '--auth', 'open']
    const running = program.start([...args, '--log-level', 'silent'])
    const [, http] = await running.printed(/listening http (\S+)\n/)
    await running.printed(/OPEN MODE/)
    const { stderr } = await running.stop()
    expect(stderr).toBe(
      `downlink serve: OPEN MODE: no credentials are checked, whoever reaches ${http} may do everything\n`,
    )
  })

  it('on a new store without a fleet file warns, once, that there is nobody to serve', async () => {
    const args = ['serve', '--http', '0', '--mqtt', '0', '--store', 'sqlite:nobody/x.db']
    const warnings = async (more: string[] = []) => {
      const running = program.start([...args, ...more])
      await running.printed(/listening mqtt/)
      return (await running.stop()).stderr.match(/there is nobody to serve: name a fleet file with --fleet/g)
    }
    expect(await warnings()).toHaveLength(1)
    expect(await warnings(['--fleet', file('nobody.yaml', fleetYaml)])).toBeNull()
    expect(await warnings()).toBeNull()
  })

  it('says to put a damaged key file back where the store has secrets', async () => {
    const store = ['--store', 'sqlite:damaged/x.db']
    expect((await program.run(['fleet', 'apply', file('fleet.yaml', fleetYaml), ...store])).code).toBe(0)
    writeFileSync(join(program.folder, 'damaged/secret.key'), 'half a k')
    const { code, stderr } = await program.run(['serve', '--http', '0', '--mqtt', '0', ...store])
    expect(code).toBe(1)
    expect(stderr).toMatch(/^downlink serve: the key file .*secret\.key must hold 32 bytes.*put the original file back/)
    expect(stderr).not.toMatch(/openssl|half a k| {4}at /)
  })

  const pem = { cert: 'cert.pem', key: 'key.pem', other: 'other.pem', ca: 'ca.pem', none: 'package.json' }
  it.each([
    ['a certificate that is not there', ['gone.pem', pem.key], /--tls-cert: gone\.pem cannot be read \(ENOENT/],
    ['a certificate that is none', [pem.none, pem.key], /--tls-cert: package\.json holds no certificate/],
    ['a certificate that is torn', ['torn.pem', pem.key], /--tls-cert: torn\.pem holds a certificate, number 1, that/],
    ['a key that is none', [pem.cert, pem.cert], /--tls-key: cert\.pem holds no private key that can be used/],
    ['the key of another', [pem.cert, pem.other], /--tls-key: other\.pem is not the key of the first certificate/],
    ['a client CA that is none', [pem.cert, pem.key, pem.none], /--tls-client-ca: package\.json holds no certificate/],
    ['a client CA that is a folder', [pem.cert, pem.key, 'dist'], /--tls-client-ca: dist cannot be read/],
  ])('does not start with %s', async (_, [cert = '', key = '', ca], said) => {
    for (const [name, text] of [
      [pem.cert, SERVER_CERT],
      [pem.key, SERVER_KEY],
      [pem.other, CLIENT_KEY],
      ['torn.pem', SERVER_CERT.replace(/MIIB.{40}/, 'AAAA')],
    ] as const)
      file(name, text)
    const tls = ['--mqtts', '0', '--tls-cert', cert, '--tls-key', key, ...(ca ? ['--tls-client-ca', ca] : [])]
    const { code, stdout, stderr } = await program.run([
      'serve',
      '--http',
      '0',
      '--mqtt',
      '0',
      '--store',
      'memory:',
      ...tls,
    ])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(said)
    expect(stderr).not.toContain('    at ')
  })

  it.each([
    [
      'a fleet file that is not there',
      ['--fleet', 'none.yaml'],
      /none\.yaml: cannot be read: there is no such file; .*--fleet FILE.*examples\/fleet\.yaml/,
    ],
    ['a fleet file that is wrong', ['--fleet', 'wrong.yaml'], /^wrong\.yaml:1:19: organizations\[0\]\.orgid: /],
    ['a store that is a folder', ['--store', 'sqlite:dist'], /cannot open the store/],
  ])('does not start with %s', async (_, args, said) => {
    file('wrong.yaml', 'organizations: [{ orgid: x }]\n')
    const store = args.includes('--store') ? [] : ['--store', 'memory:']
    const { code, stdout, stderr } = await program.run(['serve', '--http', '0', '--mqtt', '0', ...store, ...args])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(said)
    expect(stderr).not.toContain('    at ')
  })

  it('listens for TLS with files that belong together', async () => {
    const files = { 'tls-cert': SERVER_CERT, 'tls-key': SERVER_KEY, 'tls-client-ca': `${CA}\n# two\n${CA}` }
    const tls = Object.entries(files).map(([name, text]) => `--${name}=${file(`${name}.pem`, text)}`)
    const running = program.start(['serve', '--http=0', '--mqtt=0', '--mqtts=0', '--store=memory:', ...tls])
    await running.printed(/listening mqtts mqtts:\/\/127\.0\.0\.1:\d+\n/)
    expect((await running.stop()).code).toBe(0)
  })
})

describe('fleet apply', () => {
  it('puts the file into the store, again without harm, and says so', async () => {
    const store = ['--store', 'sqlite:apply/x.db']
    const fleet = file('fleet.yaml', fleetYaml)
    const said = 'applied fleet.yaml: 1 organizations, 2 applications, 1 models, 4 products, 7 devices\n'
    expect(await program.run(['fleet', 'apply', fleet, ...store])).toEqual({ code: 0, stdout: said, stderr: '' })
    expect(await program.run(['fleet', 'apply', fleet], { DOWNLINK_STORE: 'sqlite:apply/x.db' })).toEqual({
      code: 0,
      stdout: said,
      stderr: '',
    })
  })

  it('prints problems with their places, and applies nothing', async () => {
    const fleet = file(
      'bad.yaml',
      fleetYaml
        .replace('deviceKey: mqtt_02', 'deviceKey: mqtt 02')
        .replace('timezone: Europe/Berlin', 'timezone: Mars'),
    )
    const { code, stdout, stderr } = await program.run(['fleet', 'apply', fleet, '--store', 'sqlite:bad/x.db'])
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr.trim().split('\n')).toEqual([
      expect.stringMatching(/^bad\.yaml:\d+:\d+: organizations\[0\]\.devices\[1\]\.deviceKey: must be /),
      expect.stringMatching(/^bad\.yaml:\d+:\d+: organizations\[0\]\.devices\[1\]\.timezone: is no timezone/),
    ])
  })

  it('is refused while a server has the store, and says what to do', async () => {
    const store = ['--store', 'sqlite:held/x.db']
    const running = program.start(['serve', '--http', '0', '--mqtt', '0', ...store])
    await running.printed(/listening mqtt/)
    const fleet = file('fleet.yaml', fleetYaml)
    const refused = await program.run(['fleet', 'apply', fleet, ...store])
    expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: '' })
    expect(refused.stderr).toContain('another process has it open')
    expect(refused.stderr).toContain('downlink serve --fleet fleet.yaml')
    await running.stop()
    expect((await program.run(['fleet', 'apply', fleet, ...store])).code).toBe(0)
  })

  it('refuses another secret key than the store has', async () => {
    const fleet = file('fleet.yaml', fleetYaml)
    const store = ['--store', 'sqlite:keyed/x.db']
    const [first, second] = ['ab'.repeat(32), 'cd'.repeat(32)]
    expect((await program.run(['fleet', 'apply', fleet, ...store], { DOWNLINK_SECRET_KEY: first })).code).toBe(0)
    const refused = await program.run(['fleet', 'apply', fleet, ...store], { DOWNLINK_SECRET_KEY: second })
    expect(refused.code).toBe(1)
    expect(refused.stderr).toContain('this key is not the one')
    const malformed = await program.run(['fleet', 'apply', fleet, ...store], { DOWNLINK_SECRET_KEY: 'hunter2' })
    expect(malformed.code).toBe(2)
    expect(refused.stderr + malformed.stderr).not.toMatch(/cdcd|hunter2/)
  })
})

describe('what is printed', () => {
  const terminal = (colour: boolean) => ({ line: () => undefined, problem: () => undefined, colour })

  it('is aligned, and coloured only where it may be', () => {
    const rows = [
      ['A', 'LONG', 'Z'],
      ['xxx', { text: 'y', style: 'red' as const }, 'z'],
    ]
    expect(table(terminal(false), rows)).toEqual(['A    LONG  Z', 'xxx  y     z'])
    expect(table(terminal(true), rows)[1]).toBe('xxx  \u001b[31my\u001b[39m     z')
  })

  it('has no control characters of strangers', () => {
    expect(printable('a\u001b[2Jb\r\n\u202ec\u0000 é 中')).toBe('a\\u001b[2Jb\\u000d\\u000a\\u202ec\\u0000 é 中')
    expect(printable('abcdef', 4)).toBe('abc…')
  })

  it('is a short line of log for a person', () => {
    const line = { level: 40, time: '2026-01-31T12:00:01.000Z', msg: 'batch\u001b failed', inputs: 3 }
    expect(shortLine(JSON.stringify(line))).toBe('12:00:01 warn  batch\\u001b failed {"inputs":3}')
    const failed = { ...line, level: 50, err: { type: 'Error', message: 'x', stack: 'Error: x\n    at y' } }
    expect(shortLine(JSON.stringify(failed))).toBe(
      '12:00:01 error batch\\u001b failed {"inputs":3}\nError: x\n    at y',
    )
  })
})
