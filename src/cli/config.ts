// `downlink serve`: its table of options, and what they say as one frozen value, checked once. Pure: arguments and environment come in.
// Not here: opening anything that the configuration names.

import { isIP } from 'node:net'
import { readNatsUrl } from '../cluster/nats-url.ts'
import {
  ADMIN_TOKEN_MAX_CHARS,
  ADMIN_TOKEN_MIN_CHARS,
  CLOCK_WINDOW_MAX_MIN,
  CLOCK_WINDOW_MIN,
  INPUT_MAX_BYTES,
  INPUT_OPTION_MAX_BYTES,
  INPUT_OPTION_MIN_BYTES,
  NODE_MAX,
  QUEUE_CAP,
  QUEUE_CAP_MAX,
  READY_AFTER_MS,
  READY_AT_LATEST_MS,
  RETENTION_DAYS,
  RETENTION_MAX_DAYS,
} from '../core/limits.ts'
import { ClearSecret, keyFromEnvironment, SecretError, type SecretKey } from '../fleet/secrets.ts'
import type { Reachable } from '../stream/address.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'

export interface Address {
  /** a name, an IPv4 or an IPv6 address without brackets */
  readonly host: string
  /** 0 = any free port */
  readonly port: number
}

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certFile: string
  readonly keyFile: string
  /** with it, clients are asked for a certificate that it signed; those of products with biDirectionalAuth must have one */
  readonly clientCaFile: string | null
}

export type StoreConfig =
  | { readonly type: 'memory' }
  | { readonly type: 'sqlite'; readonly path: string }
  /** the whole address, which may hold a password: never printed */
  | { readonly type: 'postgres'; readonly url: string }

const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof logLevels)[number]

/** All that a server is told from outside. */
export interface ServeConfig {
  readonly http: Address
  readonly mqtt: Address
  /** null: no TLS endpoint */
  readonly mqtts: (Address & { readonly tls: TlsFiles }) | null
  /** every connection comes from a balancer, and begins with a PROXY protocol header that says where it really comes from */
  readonly proxyProtocol: boolean
  readonly store: StoreConfig
  /** path of the fleet file that is applied at start */
  readonly fleetFile: string | null
  /** folder of the modules that translate for products with a format of their own */
  readonly codecsDir: string | null
  readonly auth: 'signature' | 'open'
  /** the operator accepts that with auth open everyone who reaches the port may do everything */
  readonly iKnowThisIsOpen: boolean
  /** where webhooks may go */
  readonly webhooks: Reachable
  /** null: 0, or on PostgreSQL the lowest that is free */
  readonly nodeId: number | null
  /** address of the NATS that carries signals between nodes; null: PostgreSQL does */
  readonly signal: string | null
  readonly queueCap: number
  readonly readyAfterMs: number
  /** whether an active device may log in with its product's secret again, and is told its own again */
  readonly reactivation: 'strict' | 'lenient'
  readonly retentionDays: number
  readonly maxInputBytes: number
  readonly clockWindowMinutes: number
  /** The key that encrypts secrets at rest; it cannot be printed. null: not given, so a key file beside the database is used. */
  readonly secretKey: SecretKey | null
  /** What whoever administers organizations and applications sends; it cannot be printed. null: nobody may, but with auth open. */
  readonly adminToken: ClearSecret | null
  readonly logLevel: LogLevel
}

/** The key of secrets comes by the environment alone: what stands in a command line is seen by every process of the machine. */
export const SECRET_KEY_ENV = 'DOWNLINK_SECRET_KEY'
/** The administrator's token, for the same reason. */
export const ADMIN_TOKEN_ENV = 'DOWNLINK_ADMIN_TOKEN'

export const storeOption = option(
  'store',
  'DOWNLINK_STORE',
  'url',
  'sqlite:data/downlink.db',
  'Where everything is kept: sqlite:PATH, postgres://…, or memory: (lost at the end).',
)

export const serveSpec = {
  name: 'serve',
  summary: 'Run the server: HTTP for applications, MQTT for devices.',
  operand: null,
  options: [
    option(
      'http',
      'DOWNLINK_HTTP',
      '[host:]port',
      '127.0.0.1:8080',
      'Address of the HTTP API; port 0 takes a free one.',
    ),
    option('mqtt', 'DOWNLINK_MQTT', '[host:]port', '127.0.0.1:11883', 'Address for devices; port 0 takes a free one.'),
    option('mqtts', 'DOWNLINK_MQTTS', '[host:]port', null, 'Address for devices over TLS; the vendor uses 18883.'),
    option('tls-cert', 'DOWNLINK_TLS_CERT', 'file', null, 'Certificate chain of --mqtts, PEM.'),
    option('tls-key', 'DOWNLINK_TLS_KEY', 'file', null, 'Private key of --mqtts, PEM.'),
    option(
      'tls-client-ca',
      'DOWNLINK_TLS_CLIENT_CA',
      'file',
      null,
      'CA of client certificates, PEM; products with biDirectionalAuth require one.',
    ),
    option(
      'proxy-protocol',
      'DOWNLINK_PROXY_PROTOCOL',
      null,
      null,
      'Behind TCP balancers: connections must begin with a PROXY protocol header; its source address counts.',
    ),
    storeOption,
    option('fleet', 'DOWNLINK_FLEET', 'file', null, 'Fleet file, YAML or JSON, applied at start; nothing is deleted.'),
    option('codecs', 'DOWNLINK_CODECS', 'dir', null, 'Codecs of products with dataFormat Custom: dir/productKey.mjs.'),
    option('auth', 'DOWNLINK_AUTH', 'signature|open', 'signature', 'open: no credentials are checked (emulator mode).'),
    option(
      'i-know-this-is-open',
      'DOWNLINK_I_KNOW_THIS_IS_OPEN',
      null,
      null,
      'Let --auth open listen on more than loopback: everyone who reaches it may do everything.',
    ),
    option(
      'webhooks',
      'DOWNLINK_WEBHOOKS',
      'public|any',
      null,
      'Where webhooks may go: https at public addresses, or anywhere; any is the default of --auth open on loopback.',
    ),
    option(
      'node-id',
      'DOWNLINK_NODE_ID',
      'n',
      null,
      `Number of this node in command ids, 0 to ${NODE_MAX}; default 0, or on PostgreSQL a free one on lease.`,
    ),
    option(
      'signal',
      'DOWNLINK_SIGNAL',
      'url',
      null,
      'NATS for signals between nodes, such as nats://host:4222/name; without it PostgreSQL carries them.',
    ),
    option('queue-cap', 'DOWNLINK_QUEUE_CAP', 'n', QUEUE_CAP, 'Created commands that one device may have.'),
    option(
      'ready-after',
      'DOWNLINK_READY_AFTER',
      'ms',
      READY_AFTER_MS,
      'Quiet time after which a device that does not subscribe is sent to.',
    ),
    option(
      'reactivation',
      'DOWNLINK_REACTIVATION',
      'strict|lenient',
      'strict',
      'lenient: an active device may log in with its product secret again.',
    ),
    option('retention', 'DOWNLINK_RETENTION', 'days', RETENTION_DAYS, 'How long final commands stay on record.'),
    option(
      'max-input',
      'DOWNLINK_MAX_INPUT',
      'bytes',
      INPUT_MAX_BYTES,
      'Largest request body, and so input of a command.',
    ),
    option(
      'clock-window',
      'DOWNLINK_CLOCK_WINDOW',
      'minutes',
      CLOCK_WINDOW_MIN,
      "How far a signed timestamp may be from the server's clock.",
    ),
    option('log-level', 'DOWNLINK_LOG_LEVEL', 'level', 'info', 'trace, debug, info, warn, error, fatal or silent.'),
  ],
  notes: [
    `${SECRET_KEY_ENV} (environment only) encrypts secrets at rest; without it a key file is made beside the database.`,
    `${ADMIN_TOKEN_ENV} (environment only, at least ${ADMIN_TOKEN_MIN_CHARS} characters) lets whoever has it administer applications: downlink app --help.`,
    'Addresses are printed on stdout, one line each; logs go to stderr. SIGTERM or SIGINT stops within 10 s, a second one at once.',
  ],
} as const satisfies CommandSpec

type ServeName = NameOf<typeof serveSpec>

/** Reads and checks everything at once. Problems name the option and its environment twin, and never a secret. */
export function readServeConfig(
  args: readonly string[],
  env: Environment,
): { readonly ok: true; readonly config: ServeConfig } | { readonly ok: false; readonly problems: readonly string[] } {
  const given = new Given<ServeName>(serveSpec, args, env)
  const config: ServeConfig = {
    http: address(given, 'http', given.text('http') ?? ''),
    mqtt: address(given, 'mqtt', given.text('mqtt') ?? ''),
    mqtts: tlsAddress(given),
    proxyProtocol: given.flag('proxy-protocol'),
    store: readStore(given.text('store') ?? '', detail => given.problem('store', detail)),
    fleetFile: given.text('fleet'),
    codecsDir: given.text('codecs'),
    auth: given.choice('auth', ['signature', 'open']),
    iKnowThisIsOpen: given.flag('i-know-this-is-open'),
    webhooks: given.choice('webhooks', ['public', 'any']),
    nodeId: given.integer('node-id', 0, NODE_MAX),
    signal: signalAddress(given),
    queueCap: given.integer('queue-cap', 1, QUEUE_CAP_MAX) ?? QUEUE_CAP,
    readyAfterMs: given.integer('ready-after', 0, READY_AT_LATEST_MS) ?? READY_AFTER_MS,
    reactivation: given.choice('reactivation', ['strict', 'lenient']),
    retentionDays: given.integer('retention', 1, RETENTION_MAX_DAYS) ?? RETENTION_DAYS,
    maxInputBytes: given.integer('max-input', INPUT_OPTION_MIN_BYTES, INPUT_OPTION_MAX_BYTES) ?? INPUT_MAX_BYTES,
    clockWindowMinutes: given.integer('clock-window', 1, CLOCK_WINDOW_MAX_MIN) ?? CLOCK_WINDOW_MIN,
    secretKey: readSecretKey(env, detail => given.problems.push(detail)),
    adminToken: readAdminToken(env, detail => given.problems.push(detail)),
    logLevel: given.choice('log-level', logLevels),
  }
  if (config.auth === 'open' && !config.iKnowThisIsOpen && !isLoopback(config.http.host))
    given.problem(
      'auth',
      `open lets everyone in, and ${config.http.host} of ${given.label('http')} is not loopback; ` +
        `listen on 127.0.0.1, use signature, or add ${given.label('i-know-this-is-open')}`,
    )
  if (config.signal !== null && config.store.type !== 'postgres')
    given.problem('signal', 'is for nodes that share a store; this one has its store to itself')
  if (config.store.type === 'postgres' && config.secretKey === null && given.problems.length === 0)
    given.problems.push(
      `${SECRET_KEY_ENV}: is needed with PostgreSQL, the same on every node; make one with: openssl rand -hex 32`,
    )
  if (given.problems.length > 0) return { ok: false, problems: given.problems }
  // Whoever reaches an open server on loopback is on this machine, and reaches all that it does.
  const isLocal = config.auth === 'open' && isLoopback(config.http.host) && !given.has('webhooks')
  return { ok: true, config: frozen(isLocal ? { ...config, webhooks: 'any' } : config) }
}

/** `sqlite:PATH` or `memory:`. The text is never repeated in a problem: a database address may hold a password. */
export function readStore(text: string, problem: (detail: string) => void): StoreConfig {
  const [, scheme = '', rest = ''] = /^([a-z]+):(.*)$/s.exec(text) ?? []
  if (scheme === 'memory' && rest === '') return { type: 'memory' }
  if (scheme === 'sqlite' && rest !== '' && rest !== ':memory:' && (!rest.startsWith('//') || rest.startsWith('///')))
    return { type: 'sqlite', path: rest }
  if (scheme === 'sqlite') problem('needs a path: sqlite:data/downlink.db, or sqlite:/var/lib/downlink/downlink.db')
  else if (scheme === 'postgres' || scheme === 'postgresql') {
    if (isPostgresUrl(text)) return { type: 'postgres', url: text }
    problem(
      'is not an address of a database, such as postgres://user:password@host:5432/downlink (a / in the password is %2F)',
    )
  } else problem('is none of sqlite:PATH, postgres://user:password@host:5432/database and memory:')
  return { type: 'memory' }
}

/** A user, a host and a database, as the driver needs them; a socket's folder may stand as `?host=/run/postgresql`. */
function isPostgresUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { hostname, pathname, searchParams } = new URL(text)
  // An @ in the path is the end of a password with a slash in it, which would be shown with the name of the database.
  return (hostname !== '' || searchParams.has('host')) && pathname.length > 1 && !pathname.includes('@')
}

/** The key in the environment; null where there is none, or after a problem. */
export function readSecretKey(env: Environment, problem: (detail: string) => void): SecretKey | null {
  const text = env[SECRET_KEY_ENV]
  if (!text) return null
  try {
    return keyFromEnvironment(text)
  } catch (error) {
    if (!(error instanceof SecretError)) throw error
    problem(error.message)
    return null
  }
}

/** The administrator's token in the environment; null where there is none, or after a problem, which never shows it. */
export function readAdminToken(env: Environment, problem: (detail: string) => void): ClearSecret | null {
  const text = env[ADMIN_TOKEN_ENV]
  if (!text) return null
  const fits =
    text.length >= ADMIN_TOKEN_MIN_CHARS && text.length <= ADMIN_TOKEN_MAX_CHARS && /^[\x21-\x7e]+$/.test(text)
  if (fits) return new ClearSecret(text)
  problem(
    `${ADMIN_TOKEN_ENV}: must be ${ADMIN_TOKEN_MIN_CHARS} to ${ADMIN_TOKEN_MAX_CHARS} printable ASCII characters without blanks; make one with: openssl rand -hex 32`,
  )
  return null
}

/** `[host:]port`; an IPv6 host stands in brackets. */
function address(given: Given<ServeName>, name: ServeName, text: string): Address {
  const [, bracketed, plain, portText = ''] = /^(?:(?:\[([^\]]*)\]|([^:[\]]*)):)?([0-9]{1,5})$/.exec(text) ?? []
  const host = bracketed ?? plain ?? '127.0.0.1'
  const port = portText === '' ? Number.NaN : Number(portText)
  const hostOk = bracketed === undefined ? isHost(host) : isIP(bracketed) === 6
  if (hostOk && port <= 65_535) return { host, port }
  given.problem(name, `"${text}" is not [host:]port, such as 8080, 0.0.0.0:8080 or [::]:8080`)
  return { host: '127.0.0.1', port: 0 }
}

/** Of NATS. It may hold a password, so it is never repeated in a problem. */
function signalAddress(given: Given<ServeName>): string | null {
  const text = given.text('signal')
  if (text === null) return null
  const read = readNatsUrl(text)
  if (!read.ok) given.problem('signal', read.problem)
  return text
}

function tlsAddress(given: Given<ServeName>): ServeConfig['mqtts'] {
  const text = given.text('mqtts')
  if (text === null) {
    for (const name of ['tls-cert', 'tls-key', 'tls-client-ca'] as const)
      if (given.has(name)) given.problem(name, `is for TLS, which is off; add ${given.label('mqtts')}`)
    return null
  }
  const tls = {
    certFile: given.required('tls-cert'),
    keyFile: given.required('tls-key'),
    clientCaFile: given.text('tls-client-ca'),
  }
  return { ...address(given, 'mqtts', text), tls }
}

const isHost = (host: string): boolean =>
  isIP(host) !== 0 || /^[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$/.test(host)

/** Whether only this machine can reach it. A name other than localhost may resolve to anything, so it counts as open to others. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

function frozen(config: ServeConfig): ServeConfig {
  for (const part of [config.http, config.mqtt, config.mqtts?.tls, config.mqtts, config.store]) Object.freeze(part)
  return Object.freeze(config)
}
