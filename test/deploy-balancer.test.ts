// The balancer in front of several nodes: that deploy/haproxy.cfg fits them, and, where HAProxy is installed, that devices and callers come through it
// to real servers.

import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MqttClient } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Server } from '../src/cli/serve.ts'
import {
  CONNECTIONS_MAX,
  HTTP_COMMAND_MAX_BYTES,
  HTTP_CONNECTIONS_MAX,
  KEEP_ALIVE_MS,
  LOGIN_PAIR_BURST,
  TIMEOUT_MAX_S,
} from '../src/core/limits.ts'
import { compose, msOf, needing, nodes, programOf, read } from './rig/deploy.ts'
import { startNode } from './rig/node.ts'
import { databaseFor, stopSharedPostgres } from './rig/postgres.ts'
import { root } from './rig/program.ts'
import { APP, Application, credentials, fleetFile, PRODUCT, TestDevice } from './rig/server.ts'

const haproxy = programOf('haproxy')
/** Of the nodes in containers: the image says so, and deploy.test.ts that it does. */
const [HTTP_PORT, MQTT_PORT] = [8_080, 11_883]
const config = read('deploy/haproxy.cfg').replace(/^\s*#.*\n/gm, '')
/** Lines of each section, by its first line. */
const sections = new Map(
  config.split(/^(?=\S)/m).map(text => {
    const [title = '', ...lines] = text.trim().split('\n')
    return [title, lines.map(line => line.trim()).filter(line => line !== '')] as const
  }),
)
const section = (title: string): readonly string[] => sections.get(title) ?? expect.fail(`there is no ${title}`)
const timeoutOf = (title: string, name: string): number =>
  msOf(
    section(title)
      .find(line => line.startsWith(`timeout ${name} `))
      ?.split(' ')
      .at(-1) ?? '',
  )

describe('the balancer', () => {
  const backends = ['backend callers', 'backend http_devices', 'backend mqtt_devices']
  const serversOf = (title: string): { name: string; at: string; maxconn: number; line: string }[] =>
    section(title).flatMap(line => {
      const [, name = '', at = '', max] = /^server (\S+) (\S+) maxconn (\d+)/.exec(line) ?? []
      return name === '' ? [] : [{ name, at, maxconn: Number(max), line }]
    })

  test('knows every node, at its ports, and goes by its readiness', () => {
    for (const title of backends) {
      const port = title === 'backend mqtt_devices' ? MQTT_PORT : HTTP_PORT
      expect(serversOf(title).map(({ name, at }) => `${name} ${at}`)).toEqual(
        nodes.map(([name]) => `${name} ${name}:${port}`),
      )
      expect(section(title)).toContain('option httpchk GET /readyz')
    }
    expect(section('defaults').find(line => line.startsWith('default-server'))).toContain(`check port ${HTTP_PORT} `)
    expect(section('backend nodes').filter(line => line.startsWith('server '))).toEqual(
      nodes.map(([name]) => `server ${name} ${name}:${HTTP_PORT}`),
    )
    const binds = [...config.matchAll(/^\s*bind :(\d+)/gm)].map(([, port]) => port)
    const published = compose.services.balancer.ports.map((port: string) => port.split(':')[1])
    expect(binds.sort()).toEqual(published.sort())
  })

  test('says where each connection comes from, also where it only looks', () => {
    const all = section('defaults').find(line => line.startsWith('default-server'))
    expect(all).toMatch(/ send-proxy-v2 check-send-proxy /)
    expect(config).not.toContain('no-send-proxy')
  })

  test('is more patient than the slowest answer, and less than the nodes where that matters', () => {
    for (const title of ['backend callers', 'backend http_devices'])
      expect(timeoutOf(title, 'server')).toBeGreaterThan(TIMEOUT_MAX_S * 1_000)
    expect(timeoutOf('frontend http', 'client')).toBeGreaterThan(TIMEOUT_MAX_S * 1_000)
    expect(timeoutOf('frontend http', 'http-keep-alive')).toBeLessThan(KEEP_ALIVE_MS)
    // The longest keep-alive of MQTT has 16 bits.
    expect(timeoutOf('frontend mqtt', 'client')).toBeGreaterThan(65_535 * 1_000)
    expect(timeoutOf('backend mqtt_devices', 'server')).toBeGreaterThan(65_535 * 1_000)
    expect(section('defaults')).toContain('retry-on conn-failure')
  })

  test('sends no node more than it takes, and has room for all of that', () => {
    const most = (title: string): number => Math.max(...serversOf(title).map(({ maxconn }) => maxconn))
    expect(most('backend mqtt_devices')).toBe(CONNECTIONS_MAX)
    expect(most('backend callers') + most('backend http_devices')).toBeLessThan(HTTP_CONNECTIONS_MAX)
    const all = backends.flatMap(serversOf).reduce((sum, { maxconn }) => sum + maxconn, 0)
    const maxconn = Number(
      section('global')
        .find(line => line.startsWith('maxconn'))
        ?.split(' ')[1],
    )
    expect(maxconn).toBeGreaterThanOrEqual(all)
    expect(compose.services.balancer.ulimits.nofile).toBeGreaterThan(2 * maxconn)
    // A command comes in a header, and HAProxy's buffer of 16 KiB has 1 KiB in reserve.
    expect(HTTP_COMMAND_MAX_BYTES + 4_096).toBeLessThan(15_360)
    expect(config).not.toContain('tune.')
  })
})

describe.skipIf(haproxy === null)(needing('haproxy', haproxy, 'through HAProxy'), { timeout: 60_000 }, () => {
  const undo: (() => unknown)[] = []
  let servers: Server[]
  let httpUrl: string
  let mqttUrl: string
  let operatorUrl: string

  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'downlink-deploy-'))
    undo.push(() => rmSync(folder, { recursive: true }))
    undo.push(stopSharedPostgres)
    const [fleet, file] = [join(folder, 'fleet.json'), join(folder, 'haproxy.cfg')]
    writeFileSync(fleet, fleetFile(20))
    const store = await databaseFor(folder)
    const start = (): Promise<Server> => startNode(store, ['--proxy-protocol', '--fleet', fleet])
    servers = await Promise.all(nodes.map(start))
    undo.push(() => Promise.all(servers.map(server => server.stop())))
    const [http, mqtt, operator] = await Promise.all([freePort(), freePort(), freePort()])
    writeFileSync(file, onLoopback(servers, { http, mqtt, operator }))
    operatorUrl = `http://127.0.0.1:${operator}`
    const child = spawn(haproxy ?? '', ['-db', '-f', file], { stdio: ['ignore', 'ignore', 'pipe'] })
    const ended = once(child, 'exit')
    let words = ''
    child.stderr.setEncoding('utf8').on('data', text => {
      words += text
    })
    undo.push(async () => {
      child.kill('SIGKILL')
      await ended
    })
    ;[httpUrl, mqttUrl] = [`http://127.0.0.1:${http}`, `mqtt://127.0.0.1:${mqtt}`]
    const soon = { timeout: 10_000, interval: 20 }
    await vi.waitFor(async () => {
      if (child.exitCode !== null) throw new Error(words)
      expect((await fetch(`${httpUrl}/healthz`)).status).toBe(200)
    }, soon)
  }, 60_000)
  afterAll(async () => {
    for (const step of undo.reverse()) await step()
  })

  /** How many devices a node has. */
  async function online(name: string): Promise<number> {
    const text = await (await fetch(`${operatorUrl}/${name}/metrics`)).text()
    return Number(/^downlink_devices_online (\d+)$/m.exec(text)?.[1])
  }
  const onlineAll = (): Promise<number[]> => Promise.all(nodes.map(([name]) => online(name)))

  test('the file is taken as it is', () => {
    execFileSync(haproxy ?? '', ['-c', '-f', join(root, 'deploy/haproxy.cfg')], { stdio: 'pipe' })
  })

  test('what is for the operator is not for callers', async () => {
    const statusOf = async (url: string): Promise<number> => (await fetch(url)).status
    const statuses = ['metrics', 'readyz', 'healthz'].map(path => statusOf(`${httpUrl}/${path}`))
    expect(await Promise.all(statuses)).toEqual([404, 404, 200])
    for (const [name] of nodes) expect(await statusOf(`${operatorUrl}/${name}/readyz`)).toBe(200)
    for (const path of ['metrics', '%6detrics', '%72eadyz', 'node4/metrics', 'node1/connect-service/v2.1/commands'])
      expect(await statusOf(`${operatorUrl}/${path}`)).toBe(404)
  })

  test('a device that speaks HTTP finds its session again, and such devices are spread over the nodes', async () => {
    const post = async (path: string, body: object): Promise<{ code: number; data: { sessionId: string } }> => {
      const response = await fetch(httpUrl + path, { method: 'POST', body: JSON.stringify(body) })
      return (await response.json()) as { code: number; data: { sessionId: string } }
    }
    for (let n = 1; n <= 20; n++) {
      const [keys, slash] = [`${PRODUCT}/d${n}`, n % 2 === 0 ? '/' : '']
      const content = `deviceKeyd${n}lifetime60000productKey${PRODUCT}signMethodsha256secret-of-d${n}`
      const sign = createHash('sha256').update(content).digest('hex')
      const login = await post(`${slash}/auth/${keys}`, { signMethod: 'sha256', lifetime: 60_000, sign })
      expect(login.code).toBe(200)
      const topics = [`/sys/${keys}/thing/measurepoint/post`, `/ext/session/${keys}/thing/tag/query`]
      for (const topic of [...topics, ...topics]) {
        const params = { measurepoints: { Int_value: n } }
        const answer = await post(`${slash}/topic${topic}?sessionId=${login.data.sessionId}`, { id: '1', params })
        expect(answer.code, topic).not.toBe(401)
      }
    }
    const each = await onlineAll()
    expect(each.reduce((sum, n) => sum + n, 0)).toBe(20)
    expect(Math.min(...each)).toBeGreaterThan(0)
  })

  test('a caller and a device need not be at the same node', async () => {
    const app = new Application(httpUrl, APP)
    const devices = await Promise.all([1, 2, 3].map(n => new TestDevice(mqttUrl, `d${n}`).connected()))
    undo.push(() => Promise.all(devices.map(device => device.end())))
    for (let i = 0; i < 4; i++)
      for (const n of [1, 2, 3]) {
        const answer = await app.on({ assetId: `a${n}` }).set(i, { pendingTtl: '0' })
        expect(answer.code).toBe(0)
      }
    expect(devices.map(device => device.received.length)).toEqual([4, 4, 4])
  })

  test('a device has its own address: who guesses keeps out only who shares his', async () => {
    const from = (localAddress: string, secret: string): Promise<unknown> => {
      const { port } = new URL(mqttUrl)
      const line = (): Socket => connect({ host: '127.0.0.1', port: Number(port), localAddress })
      const client = new MqttClient(line, { ...credentials('d9', secret), reconnectPeriod: 0 })
      return new Promise(resolve => {
        client.once('connect', () => resolve('in'))
        client.once('error', error => resolve((error as { code?: unknown }).code))
        client.once('close', () => resolve('closed'))
      }).finally(() => client.end(true))
    }
    // Each node counts for itself.
    const guesses = Array.from({ length: nodes.length * LOGIN_PAIR_BURST * 2 }, () => from('127.0.0.2', 'guessed'))
    expect(new Set(await Promise.all(guesses))).not.toContain('in')
    expect(await from('127.0.0.2', 'secret-of-d9')).toBe(3)
    expect(await from('127.0.0.1', 'secret-of-d9')).toBe('in')
  })

  test('a node that stops is left, its devices come back elsewhere, and calls go on', async () => {
    const app = new Application(httpUrl, APP)
    app.token = await app.getToken()
    const device = await new TestDevice(mqttUrl, 'd12').connected()
    const before = await onlineAll()
    const holder = before.indexOf(Math.max(...before))
    let isOver = false
    const outcomes = new Set<number | 'cut'>()
    const search = async (): Promise<number | 'cut'> => {
      try {
        return (await app.on({ assetId: 'a13' }).search()).code
      } catch (error) {
        if (error instanceof TypeError) return 'cut'
        throw error
      }
    }
    const calling = (async () => {
      while (!isOver) outcomes.add(await search())
    })()
    await servers[holder]?.stop()
    isOver = true
    await calling
    // A stopping node refuses what may be tried again. What is just on its way over a connection that was idle is cut.
    expect([...outcomes].filter(outcome => ![0, 99503, 'cut'].includes(outcome))).toEqual([])
    expect(outcomes).toContain(0)

    const back = await new TestDevice(mqttUrl, 'd12').connected()
    undo.push(() => Promise.all([device.end(), back.end()]))
    for (let i = 0; i < 10; i++) expect(await search()).toBe(0)
    expect((await app.on({ assetId: 'a12' }).set(1, { pendingTtl: '0' })).code).toBe(0)
    const rest = await Promise.all(nodes.filter((_, i) => i !== holder).map(([name]) => online(name)))
    expect(rest.reduce((sum, n) => sum + n, 0)).toBeGreaterThan(0)
  })
})

/** The file with these servers in place of the nodes, and these ports in front. Everything else stays. */
function onLoopback(servers: readonly Server[], ports: { http: number; mqtt: number; operator: number }): string {
  const portOf = (url: string): string => new URL(url).port
  const front = config
    .replace(`bind :${HTTP_PORT}`, `bind 127.0.0.1:${ports.http}`)
    .replace(`bind :${MQTT_PORT}`, `bind 127.0.0.1:${ports.mqtt}`)
    .replace('bind :8404', `bind 127.0.0.1:${ports.operator}`)
    // Each connection takes two files of the process, and a test may not have so many.
    .replace(/^ {4}maxconn \d+$/m, '    maxconn 1000')
    .replace(
      'check port 8080 inter 1s fastinter 500ms fall 2 rise 2',
      'check inter 100ms fastinter 100ms fall 3 rise 1',
    )
    .replace(' resolvers docker init-addr last,libc,none', '')
  return servers.reduce((text, { httpUrl, mqttUrl }, i) => {
    const name = nodes[i]?.[0] ?? ''
    const checked = `127.0.0.1:${portOf(mqttUrl)} port ${portOf(httpUrl)}`
    return text
      .replaceAll(`${name}:${HTTP_PORT}`, `127.0.0.1:${portOf(httpUrl)}`)
      .replaceAll(`${name}:${MQTT_PORT}`, checked)
  }, front)
}

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
