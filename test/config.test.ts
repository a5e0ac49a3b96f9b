// What `downlink serve` is told: defaults, the environment twins, ranges, and that every problem is told at once without a secret.

import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { isLoopback, readServeConfig, type ServeConfig, serveSpec } from '../src/cli/config.ts'
import { helpOf } from '../src/cli/help.ts'

const KEY = 'ab'.repeat(32)

function config(args: readonly string[], env: Record<string, string> = {}): ServeConfig {
  const read = readServeConfig(args, env)
  if (!read.ok) throw new Error(read.problems.join('\n'))
  return read.config
}

function problems(args: readonly string[], env: Record<string, string> = {}): readonly string[] {
  const read = readServeConfig(args, env)
  return read.ok ? [] : read.problems
}

describe('serve configuration', () => {
  it('has the documented defaults', () => {
    expect(config([])).toEqual({
      http: { host: '127.0.0.1', port: 8080 },
      mqtt: { host: '127.0.0.1', port: 11883 },
      mqtts: null,
      proxyProtocol: false,
      store: { type: 'sqlite', path: 'data/downlink.db' },
      fleetFile: null,
      codecsDir: null,
      auth: 'signature',
      iKnowThisIsOpen: false,
      webhooks: 'public',
      nodeId: null,
      signal: null,
      queueCap: 50,
      readyAfterMs: 2000,
      reactivation: 'strict',
      retentionDays: 7,
      maxInputBytes: 65_536,
      clockWindowMinutes: 10,
      secretKey: null,
      adminToken: null,
      logLevel: 'info',
    })
  })

  // option, its environment twin, a text, and what the configuration then says
  const table: [string, string, string, Partial<ServeConfig>][] = [
    ['http', 'DOWNLINK_HTTP', '0.0.0.0:80', { http: { host: '0.0.0.0', port: 80 } }],
    ['mqtt', 'DOWNLINK_MQTT', '[::]:0', { mqtt: { host: '::', port: 0 } }],
    ['store', 'DOWNLINK_STORE', 'memory:', { store: { type: 'memory' } }],
    ['fleet', 'DOWNLINK_FLEET', 'fleet.yaml', { fleetFile: 'fleet.yaml' }],
    ['codecs', 'DOWNLINK_CODECS', 'codecs', { codecsDir: 'codecs' }],
    ['auth', 'DOWNLINK_AUTH', 'open', { auth: 'open' }],
    ['webhooks', 'DOWNLINK_WEBHOOKS', 'any', { webhooks: 'any' }],
    ['node-id', 'DOWNLINK_NODE_ID', '1023', { nodeId: 1023 }],
    ['queue-cap', 'DOWNLINK_QUEUE_CAP', '1', { queueCap: 1 }],
    ['ready-after', 'DOWNLINK_READY_AFTER', '0', { readyAfterMs: 0 }],
    ['reactivation', 'DOWNLINK_REACTIVATION', 'lenient', { reactivation: 'lenient' }],
    ['retention', 'DOWNLINK_RETENTION', '30', { retentionDays: 30 }],
    ['max-input', 'DOWNLINK_MAX_INPUT', '1024', { maxInputBytes: 1024 }],
    ['clock-window', 'DOWNLINK_CLOCK_WINDOW', '1', { clockWindowMinutes: 1 }],
    ['log-level', 'DOWNLINK_LOG_LEVEL', 'silent', { logLevel: 'silent' }],
  ]

  it.each(table)('--%s and %s say the same', (name, env, text, expected) => {
    expect(config([`--${name}`, text])).toMatchObject(expected)
    expect(config([`--${name}=${text}`])).toMatchObject(expected)
    expect(config([], { [env]: text })).toMatchObject(expected)
    expect(config([`--${name}`, text], { [env]: 'nonsense' })).toMatchObject(expected)
    expect(config([], { [env]: '' })).toEqual(config([]))
  })

  it('covers every option but those of TLS, the flags and the one of nodes in that table', () => {
    const others = ['mqtts', 'tls-cert', 'tls-key', 'tls-client-ca', 'proxy-protocol', 'i-know-this-is-open', 'signal']
    expect(serveSpec.options.map(({ name }) => name).sort()).toEqual([...table.map(([name]) => name), ...others].sort())
  })

  it('lets webhooks go anywhere by itself only where nobody but this machine reaches an open server', () => {
    const open = ['--auth', 'open']
    expect(config(open).webhooks).toBe('any')
    expect(config([...open, '--http', 'localhost:1']).webhooks).toBe('any')
    expect(config([...open, '--webhooks', 'public']).webhooks).toBe('public')
    expect(config(open, { DOWNLINK_WEBHOOKS: 'public' }).webhooks).toBe('public')
    expect(config([...open, '--http', '0.0.0.0:1', '--i-know-this-is-open']).webhooks).toBe('public')
    expect(problems(['--webhooks', 'private'])).toEqual([
      '--webhooks (DOWNLINK_WEBHOOKS): "private" is not one of public, any',
    ])
  })

  it('takes TLS as a whole', () => {
    const files = ['--tls-cert', 'c.pem', '--tls-key', 'k.pem']
    const tls = { certFile: 'c.pem', keyFile: 'k.pem', clientCaFile: null }
    expect(config(['--mqtts', '18883', ...files]).mqtts).toEqual({ host: '127.0.0.1', port: 18883, tls })
    const env = {
      DOWNLINK_MQTTS: '1',
      DOWNLINK_TLS_CERT: 'c.pem',
      DOWNLINK_TLS_KEY: 'k.pem',
      DOWNLINK_TLS_CLIENT_CA: 'ca.pem',
    }
    expect(config([], env).mqtts).toEqual({ host: '127.0.0.1', port: 1, tls: { ...tls, clientCaFile: 'ca.pem' } })
    expect(problems(['--mqtts', '18883'])).toEqual([
      '--tls-cert (DOWNLINK_TLS_CERT): is required',
      '--tls-key (DOWNLINK_TLS_KEY): is required',
    ])
    expect(problems(files)).toEqual([
      '--tls-cert (DOWNLINK_TLS_CERT): is for TLS, which is off; add --mqtts (DOWNLINK_MQTTS)',
      '--tls-key (DOWNLINK_TLS_KEY): is for TLS, which is off; add --mqtts (DOWNLINK_MQTTS)',
    ])
  })

  it.each([
    '',
    ':80',
    '80:',
    '65536',
    '-1',
    'a b:80',
    '::1:80',
    '[127.0.0.1]:80',
    '[::1',
    'host:port',
    '1e3',
    '-host:80',
  ])('refuses the address "%s"', text => {
    expect(problems([`--http=${text}`])).toEqual([
      `--http (DOWNLINK_HTTP): "${text}" is not [host:]port, such as 8080, 0.0.0.0:8080 or [::]:8080`,
    ])
  })

  it.each([
    ['node-id', '1024', 'an integer from 0 to 1023'],
    ['queue-cap', '0', 'an integer from 1 to 1000'],
    ['queue-cap', '1.5', 'an integer from 1 to 1000'],
    ['ready-after', '10001', 'an integer from 0 to 10000'],
    ['retention', '0', 'an integer from 1 to 3650'],
    ['max-input', '131073', 'an integer from 1024 to 131072'],
    ['clock-window', '', 'an integer from 1 to 1440'],
    ['clock-window', '0x10', 'an integer from 1 to 1440'],
    ['auth', 'none', 'one of signature, open'],
    ['reactivation', 'Lenient', 'one of strict, lenient'],
    ['log-level', 'INFO', 'one of trace, debug, info, warn, error, fatal, silent'],
  ])('refuses --%s=%s', (name, text, rule) => {
    const [problem, ...more] = problems([`--${name}=${text}`])
    expect(problem).toBe(`--${name} (DOWNLINK_${name.toUpperCase().replaceAll('-', '_')}): "${text}" is not ${rule}`)
    expect(more).toEqual([])
  })

  it.each([
    ['sqlite:', /needs a path/],
    ['sqlite::memory:', /needs a path/],
    ['sqlite://data/x.db', /needs a path/],
    ['data/downlink.db', /none of/],
    ['memory:x', /none of/],
    ['', /none of/],
    ['postgres:u:hunter2@h/db', /is not an address of a database/],
    ['postgres://u:hunter2@h', /is not an address of a database/],
    ['postgresql:///hunter2', /is not an address of a database/],
    ['postgres://u:12/hunter2@h/db', /is not an address of a database.*%2F/],
    ['mysql://u:hunter2@h/db', /none of/],
  ])('refuses the store "%s" and does not repeat it', (url, rule) => {
    const [problem = ''] = problems([`--store=${url}`])
    expect(problem).toMatch(/^--store \(DOWNLINK_STORE\): /)
    expect(problem).toMatch(rule)
    expect(problem).not.toContain('hunter2')
  })

  it('takes the address of a database, with a key that the environment must hold', () => {
    const url = 'postgres://u:hunter2@h:5433/db?sslmode=require'
    expect(config(['--store', url], { DOWNLINK_SECRET_KEY: KEY }).store).toEqual({ type: 'postgres', url })
    const socket = 'postgresql:///db?host=/run/postgresql'
    expect(config(['--store', socket], { DOWNLINK_SECRET_KEY: KEY }).store).toEqual({ type: 'postgres', url: socket })
    expect(problems(['--store', url])).toEqual([
      'DOWNLINK_SECRET_KEY: is needed with PostgreSQL, the same on every node; make one with: openssl rand -hex 32',
    ])
  })

  it('takes the address of NATS where nodes share a store', () => {
    const store = ['--store', 'postgres://h/db']
    const key = { DOWNLINK_SECRET_KEY: KEY }
    expect(config([...store, '--signal', 'nats://h:4222'], key).signal).toBe('nats://h:4222')
    expect(config(store, { ...key, DOWNLINK_SIGNAL: 'tls://u:p@h' }).signal).toBe('tls://u:p@h')
    for (const url of ['http://h', 'nats:h:4222', 'hunter2', ''])
      expect(problems([...store, `--signal=${url}`], key)).toEqual([
        '--signal (DOWNLINK_SIGNAL): is not an address of NATS, such as nats://127.0.0.1:4222 or tls://nats.example:4222/production',
      ])
    expect(problems(['--signal=nats://h'])).toEqual([
      '--signal (DOWNLINK_SIGNAL): is for nodes that share a store; this one has its store to itself',
    ])
  })

  it('takes absolute paths of stores', () => {
    expect(config(['--store', 'sqlite:/var/x.db']).store).toEqual({ type: 'sqlite', path: '/var/x.db' })
    expect(config(['--store', 'sqlite:///var/x.db']).store).toEqual({ type: 'sqlite', path: '///var/x.db' })
  })

  it('expects balancers in front only when told so', () => {
    expect(config(['--proxy-protocol']).proxyProtocol).toBe(true)
    expect(config([], { DOWNLINK_PROXY_PROTOCOL: '1' }).proxyProtocol).toBe(true)
    expect(config([], { DOWNLINK_PROXY_PROTOCOL: 'false' }).proxyProtocol).toBe(false)
    expect(problems(['--proxy-protocol=v2'])).toEqual(['--proxy-protocol: takes no value'])
    expect(problems([], { DOWNLINK_PROXY_PROTOCOL: 'v2' })).toEqual([
      '--proxy-protocol (DOWNLINK_PROXY_PROTOCOL): "v2" is not one of true, 1, false, 0',
    ])
  })

  it('tells every problem at once', () => {
    expect(
      problems(['--htpp', '80', '--queue-cap', 'many', '--auth'], { DOWNLINK_NODE_ID: '5000', DOWNLINK_MQTT: 'x' }),
    ).toEqual([
      'unknown option --htpp, did you mean --http?',
      '--auth: needs a value, write --auth=signature|open',
      expect.stringContaining('--mqtt (DOWNLINK_MQTT): "x"'),
      expect.stringContaining('--node-id (DOWNLINK_NODE_ID): "5000"'),
      expect.stringContaining('--queue-cap (DOWNLINK_QUEUE_CAP): "many"'),
    ])
  })

  it.each([
    [['--mqtt', '--http=1'], ['--mqtt: needs a value, write --mqtt=[host:]port']],
    [['--http=1', '--http=2'], ['--http: given twice']],
    [['--i-know-this-is-open=yes'], ['--i-know-this-is-open: takes no value']],
    [['extra'], ['unexpected argument "extra"']],
    [['postgres://u:hunter2@h/db'], ['unexpected argument "postgres://…@h/db"']],
    [['nats://u:p@ss@h'], ['unexpected argument "nats://…@h"']],
    [['-v'], ['unknown option -v']],
    [['--', '--http'], ['unexpected argument "--http"']],
    [['--zzzzzzzz'], ['unknown option --zzzzzzzz']],
    [['--__proto__', 'x'], ['unknown option --__proto__']],
  ])('refuses %j', (args, expected) => {
    expect(problems(args)).toEqual(expected)
  })

  it('opens to others only when told so twice', () => {
    const [problem = '', ...more] = problems(['--auth', 'open', '--http', '0.0.0.0:8080'])
    expect(more).toEqual([])
    expect(problem).toContain('--auth (DOWNLINK_AUTH): open lets everyone in, and 0.0.0.0 of --http (DOWNLINK_HTTP)')
    expect(problem).toContain('--i-know-this-is-open (DOWNLINK_I_KNOW_THIS_IS_OPEN)')
    expect(problems([], { DOWNLINK_AUTH: 'open', DOWNLINK_HTTP: 'localhost.example:1' })).toHaveLength(1)
    expect(config(['--auth', 'open', '--http', '0.0.0.0:1', '--i-know-this-is-open']).iKnowThisIsOpen).toBe(true)
    const env = { DOWNLINK_AUTH: 'open', DOWNLINK_HTTP: '[::]:1', DOWNLINK_I_KNOW_THIS_IS_OPEN: '1' }
    expect(config([], env).iKnowThisIsOpen).toBe(true)
    expect(problems([], { ...env, DOWNLINK_I_KNOW_THIS_IS_OPEN: 'false' })).toHaveLength(1)
    expect(problems([], { ...env, DOWNLINK_I_KNOW_THIS_IS_OPEN: 'yes' })).toEqual([
      '--i-know-this-is-open (DOWNLINK_I_KNOW_THIS_IS_OPEN): "yes" is not one of true, 1, false, 0',
    ])
    for (const host of ['127.0.0.1:1', '127.9.9.9:1', 'localhost:1', '[::1]:1'])
      expect(config(['--auth', 'open', '--http', host]).auth).toBe('open')
    expect(isLoopback('127.0.0.1.example.org')).toBe(false)
  })

  it('never shows the secret key', () => {
    const read = config([], { DOWNLINK_SECRET_KEY: KEY })
    expect(read.secretKey).not.toBeNull()
    expect(JSON.stringify(read) + inspect(read, { depth: 9, showHidden: true })).not.toContain(KEY)
    const [problem = '', ...more] = problems([], { DOWNLINK_SECRET_KEY: 'hunter2' })
    expect(more).toEqual([])
    expect(problem).toContain('DOWNLINK_SECRET_KEY must hold 32 bytes')
    expect(problem).not.toContain('hunter2')
    expect(problems(['--secret-key', KEY])).toEqual(['unknown option --secret-key'])
  })

  it('cannot be changed', () => {
    const read = config(['--mqtts', '1', '--tls-cert', 'c', '--tls-key', 'k'])
    for (const part of [read, read.http, read.mqtt, read.mqtts, read.mqtts?.tls, read.store])
      expect(Object.isFrozen(part)).toBe(true)
  })

  it('has help for every documented option, its twin and its default', () => {
    const help = helpOf(serveSpec)
    const documented = [
      ['--http [host:]port', 'DOWNLINK_HTTP, default 127.0.0.1:8080'],
      ['--mqtt [host:]port', 'DOWNLINK_MQTT, default 127.0.0.1:11883'],
      ['--mqtts [host:]port', 'DOWNLINK_MQTTS'],
      ['--tls-cert file', 'DOWNLINK_TLS_CERT'],
      ['--tls-key file', 'DOWNLINK_TLS_KEY'],
      ['--tls-client-ca file', 'DOWNLINK_TLS_CLIENT_CA'],
      ['--proxy-protocol', 'DOWNLINK_PROXY_PROTOCOL'],
      ['--store url', 'DOWNLINK_STORE, default sqlite:data/downlink.db'],
      ['--fleet file', 'DOWNLINK_FLEET'],
      ['--codecs dir', 'DOWNLINK_CODECS'],
      ['--auth signature|open', 'DOWNLINK_AUTH, default signature'],
      ['--i-know-this-is-open', 'DOWNLINK_I_KNOW_THIS_IS_OPEN'],
      ['--webhooks public|any', 'DOWNLINK_WEBHOOKS'],
      ['--node-id n', 'DOWNLINK_NODE_ID'],
      ['--signal url', 'DOWNLINK_SIGNAL'],
      ['--queue-cap n', 'DOWNLINK_QUEUE_CAP, default 50'],
      ['--ready-after ms', 'DOWNLINK_READY_AFTER, default 2000'],
      ['--reactivation strict|lenient', 'DOWNLINK_REACTIVATION, default strict'],
      ['--retention days', 'DOWNLINK_RETENTION, default 7'],
      ['--max-input bytes', 'DOWNLINK_MAX_INPUT, default 65536'],
      ['--clock-window minutes', 'DOWNLINK_CLOCK_WINDOW, default 10'],
      ['--log-level level', 'DOWNLINK_LOG_LEVEL, default info'],
    ] as const
    for (const [option, facts] of documented)
      expect(help).toMatch(new RegExp(`${literal(option)}\\s[^[]*\\[${literal(facts)}\\]`))
    expect(help).toContain('DOWNLINK_SECRET_KEY')
    expect(documented).toHaveLength(serveSpec.options.length)
  })
})

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
