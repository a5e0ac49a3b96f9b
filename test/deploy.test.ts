// What is in deploy/: that it names nothing which the server does not have, and leaves out nothing which it needs. Images are not built here, and nothing
// is put on a cluster: deploy/README.md says what was looked at with what. Not here: the balancer (deploy-balancer.test.ts).

import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { readServeConfig, SECRET_KEY_ENV, type ServeConfig, serveSpec } from '../src/cli/config.ts'
import {
  CONNECTIONS_MAX,
  HTTP_CONNECTIONS_MAX,
  HTTP_LIFETIME_MAX_MS,
  POSTGRES_LEASE_CONNECTIONS,
  POSTGRES_MIGRATION_STATEMENT_MAX_MS,
  POSTGRES_OTHER_CONNECTIONS,
  POSTGRES_STEP_CONNECTIONS,
  STOP_AT_LATEST_MS,
} from '../src/core/limits.ts'
import { compose, msOf, needing, nodes, programOf, read, services, type Yaml } from './rig/deploy.ts'
import { root } from './rig/program.ts'
import { startRig } from './rig/server.ts'

const known: ReadonlySet<string> = new Set([SECRET_KEY_ENV, ...serveSpec.options.flatMap(({ env }) => env ?? [])])
const KEY = 'c0'.repeat(32)
const { engines, bin } = JSON.parse(read('package.json')) as { engines: { node: string }; bin: { downlink: string } }

/** What a server that is given this environment goes by. */
function configOf(env: Record<string, string>): ServeConfig {
  const answer = readServeConfig([], env)
  if (!answer.ok) throw new Error(answer.problems.join('\n'))
  return answer.config
}

// --- image -----------------------------------------------------------------------------------------------------------

interface Step {
  readonly name: string
  readonly rest: string
}

/** The steps of each stage, in order. */
function stagesOf(dockerfile: string): Step[][] {
  const text = dockerfile.replace(/^#.*\n/gm, '').replace(/\\\n/g, ' ')
  const steps = text
    .split('\n')
    .map(line => line.trim())
    .filter(line => line !== '')
    .map(line => ({ name: line.split(' ', 1)[0] ?? '', rest: line.slice(line.indexOf(' ') + 1).trim() }))
  const stages: Step[][] = []
  for (const step of steps) {
    if (step.name === 'FROM') stages.push([])
    stages.at(-1)?.push(step)
  }
  return stages
}

const stages = stagesOf(read('deploy/Dockerfile'))
const image = stages.at(-1) ?? []
const stepsOf = (of: readonly Step[], name: string): string[] =>
  of.filter(step => step.name === name).map(({ rest }) => rest)
const imageEnv = Object.fromEntries(
  stepsOf(image, 'ENV').flatMap(rest => [...rest.matchAll(/([A-Z_]+)=(\S+)/g)].map(([, name, value]) => [name, value])),
) as Record<string, string>

describe('the image', () => {
  test('has a node that is pinned, the same in each stage, and new enough', () => {
    const bases = new Set(stages.map(([from]) => from?.rest.split(' ')[0]))
    expect(bases.size).toBe(1)
    const [, major, minor] = /^node:(\d+)\.(\d+)\.\d+-[a-z]+-slim$/.exec([...bases][0] ?? '') ?? []
    const [, least, leastMinor] = /^>=(\d+)\.(\d+)$/.exec(engines.node) ?? []
    expect(Number(major) * 1_000 + Number(minor)).toBeGreaterThanOrEqual(Number(least) * 1_000 + Number(leastMinor))
  })

  test('runs the program of package.json without a shell, and not as root', () => {
    const [workdir] = stepsOf(image, 'WORKDIR')
    expect(JSON.parse(stepsOf(image, 'ENTRYPOINT')[0] ?? '')).toEqual(['node', `${workdir}/${bin.downlink}`])
    expect(JSON.parse(stepsOf(image, 'CMD')[0] ?? '')).toEqual([serveSpec.name])
    expect(stepsOf(image, 'USER')).toEqual([expect.stringMatching(/^[1-9][0-9]*:[1-9][0-9]*$/)])
    expect(stepsOf(image, 'STOPSIGNAL')).toEqual([])
  })

  test('has what the build makes and production dependencies, of which no script has run', () => {
    const copied = stepsOf(image, 'COPY')
    expect(copied.filter(rest => !rest.startsWith('--from='))).toEqual(['package.json LICENSE deploy/health.mjs ./'])
    const dependencies = stages.find(([from]) => from?.rest.endsWith(' AS dependencies')) ?? []
    expect(stepsOf(dependencies, 'RUN')).toEqual(['npm ci --omit=dev --ignore-scripts'])
    expect(stages.flatMap(stage => stepsOf(stage, 'RUN')).filter(run => /npm (install|i|add)\b/.test(run))).toEqual([])
  })

  test('is built from what is there, of which .dockerignore lets through that and nothing else', () => {
    const sources = stages
      .flatMap(stage => stepsOf(stage, 'COPY'))
      .filter(rest => !rest.startsWith('--from='))
      .flatMap(rest => rest.split(' ').slice(0, -1))
    for (const source of sources) expect(existsSync(join(root, source)), source).toBe(true)
    const [first, ...through] = read('.dockerignore')
      .replace(/^#.*\n/gm, '')
      .trim()
      .split('\n')
    expect(first).toBe('*')
    expect(through.map(line => line.replace(/^!/, '')).sort()).toEqual([...new Set(sources)].sort())
  })

  test('tells the server where to listen, and others the same ports', () => {
    const { http, mqtt } = configOf({ ...imageEnv, DOWNLINK_STORE: 'memory:' })
    expect([http.host, mqtt.host]).toEqual(['0.0.0.0', '0.0.0.0'])
    expect(stepsOf(image, 'EXPOSE')).toEqual([`${http.port} ${mqtt.port}`])
    for (const name of Object.keys(imageEnv)) if (name !== 'NODE_ENV') expect(known).toContain(name)
  })

  test.each([{ args: [] }, { args: ['--proxy-protocol'] }])(
    'is healthy while a server with $args is up',
    async ({ args }) => {
      const rig = await startRig(args)
      const env = {
        DOWNLINK_HTTP: `0.0.0.0:${new URL(rig.server.httpUrl).port}`,
        DOWNLINK_PROXY_PROTOCOL: String(args.length > 0),
      }
      const [, check] = /CMD (\[.*\])$/.exec(stepsOf(image, 'HEALTHCHECK')[0] ?? '') ?? []
      expect(JSON.parse(check ?? '')).toEqual(['node', `${stepsOf(image, 'WORKDIR')[0]}/health.mjs`])
      const exitCode = async (): Promise<unknown> =>
        (await once(execFile(process.execPath, [join(root, 'deploy/health.mjs')], { env }), 'exit'))[0]
      expect(await exitCode()).toBe(0)
      // The other way round it is not answered.
      const wrong = { ...env, DOWNLINK_PROXY_PROTOCOL: String(args.length === 0) }
      expect(
        (await once(execFile(process.execPath, [join(root, 'deploy/health.mjs')], { env: wrong }), 'exit'))[0],
      ).toBe(1)
      await rig.stop()
      expect(await exitCode()).toBe(1)
    },
  )
})

// --- compose ---------------------------------------------------------------------------------------------------------

/** As `docker compose` does with a file of secrets. */
const filledIn = (text: string): string => text.replace(/\$\{([A-Z_]+):\?[^}]*\}/g, (_, name) => secretsOf[name] ?? '')
const secretsOf: Record<string, string> = {
  POSTGRES_PASSWORD: 'ab12',
  NATS_PASSWORD: 'cd34',
  [SECRET_KEY_ENV]: KEY,
  FLEET_FILE: '../examples/fleet.yaml',
}

describe('the compose file', () => {
  const environmentOf = (service: Yaml): Record<string, string> =>
    Object.fromEntries(Object.entries<string>(service.environment).map(([name, value]) => [name, filledIn(value)]))
  const argument = (service: Yaml, name: string): string =>
    service.command.find((text: string) => text.startsWith(`-c${name}=`)).split('=')[1]

  test('has three nodes that a server can be started as, on the ports of the image', () => {
    expect(nodes.length).toBe(3)
    for (const [name, service] of nodes) {
      const env = environmentOf(service)
      for (const variable of Object.keys(env)) expect(known, name).toContain(variable)
      const { http, mqtt, store, signal, secretKey, fleetFile, proxyProtocol } = configOf({ ...imageEnv, ...env })
      expect([http, mqtt]).toEqual([configOf(imageEnv).http, configOf(imageEnv).mqtt])
      expect([secretKey === null, proxyProtocol]).toEqual([false, true])
      const database = new URL(store.type === 'postgres' ? store.url : '')
      expect(database.pathname).toBe(`/${compose.services[database.hostname].environment.POSTGRES_DB}`)
      expect(database.username).toBe(compose.services[database.hostname].environment.POSTGRES_USER)
      expect(Object.keys(compose.services)).toContain(new URL(signal ?? '').hostname)
      expect(service.volumes.map(filledIn)).toContain(`${secretsOf.FLEET_FILE}:${fleetFile}:ro`)
    }
  })

  test('lets nodes end in time and come back, and none of them write or gain rights', () => {
    for (const [name, service] of nodes) {
      expect(service, name).toMatchObject({ restart: 'always', read_only: true, cap_drop: ['ALL'] })
      expect(service.security_opt, name).toContain('no-new-privileges:true')
      expect(msOf(service.stop_grace_period)).toBeGreaterThan(STOP_AT_LATEST_MS)
      expect(service.ulimits.nofile).toBeGreaterThan(CONNECTIONS_MAX + HTTP_CONNECTIONS_MAX)
      expect(join(root, 'deploy', service.build.context, service.build.dockerfile)).toBe(
        join(root, 'deploy/Dockerfile'),
      )
    }
  })

  test('pins every image, and shows nothing but the balancer, on loopback', () => {
    for (const [name, service] of services) {
      expect(service.image, name).toMatch(/^[a-z]+:\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$/)
      if (name === 'balancer') for (const port of service.ports) expect(port).toMatch(/^127\.0\.0\.1:(\d+):\1$/)
      else expect(service.ports, name).toBeUndefined()
    }
  })

  test('asks for every secret, and its example names them all', () => {
    const asked = new Set([...read('deploy/compose.yaml').matchAll(/\$\{([^}:]+)/g)].map(([, name]) => name))
    const given = [...read('deploy/.env.example').matchAll(/^([A-Z_]+)=(.*)$/gm)]
    expect(given.map(([, name]) => name).sort()).toEqual([...asked].sort())
    for (const [, name, value] of given) if (name !== 'FLEET_FILE') expect(value, name).toBe('')
    expect(Object.keys(secretsOf).sort()).toEqual([...asked].sort())
    expect(existsSync(join(root, 'deploy', given.find(([, name]) => name === 'FLEET_FILE')?.[2] ?? ''))).toBe(true)
    expect(read('.gitignore').split('\n')).toContain('.env')
  })

  test('gives PostgreSQL connections for all nodes, their signals, migrations and the operator', () => {
    const { postgres } = compose.services
    const each = POSTGRES_LEASE_CONNECTIONS + POSTGRES_STEP_CONNECTIONS + POSTGRES_OTHER_CONNECTIONS + 2
    expect(Number(argument(postgres, 'max_connections'))).toBeGreaterThanOrEqual(nodes.length * each + 10)
    expect(postgres.command.join(' ')).not.toMatch(/fsync|synchronous_commit|full_page_writes/)
    // Of the image from version 18 on.
    expect(postgres.volumes).toEqual(['postgres:/var/lib/postgresql'])
  })
})

// --- Kubernetes ------------------------------------------------------------------------------------------------------

const folder = 'deploy/kubernetes'
const manifests: Yaml[] = readdirSync(join(root, folder)).flatMap(name =>
  parseAllDocuments(read(`${folder}/${name}`)).map(document => ({ file: name, ...document.toJS() })),
)
const manifest = (kind: string, name?: string): Yaml =>
  manifests.find(each => each.kind === kind && (name === undefined || each.metadata.name === name))

describe('the manifests for Kubernetes', () => {
  const deployment = manifest('Deployment')
  const pod = deployment.spec.template.spec
  const [container] = pod.containers
  const labels = deployment.spec.template.metadata.labels

  test('are all applied, but for the example of secrets', () => {
    const files = readdirSync(join(root, folder)).filter(
      name => !['kustomization.yaml', 'secret.example.yaml'].includes(name),
    )
    expect([...manifest('Kustomization').resources].sort()).toEqual(files.sort())
  })

  test('start a server with what it knows, on the ports of the image', () => {
    const env: Record<string, string> = {}
    for (const { name, value, valueFrom } of container.env) {
      if (name !== 'NODE_OPTIONS') expect(known).toContain(name)
      if (value !== undefined) env[name] = value
      else {
        const { name: secret, key } = valueFrom.secretKeyRef
        expect(Object.keys(manifest('Secret', secret).stringData)).toContain(key)
        env[name] = manifest('Secret', secret).stringData[key].replace('64 hexadecimal digits', KEY)
      }
    }
    const { http, mqtt, store, fleetFile, proxyProtocol } = configOf(env)
    expect(store.type).toBe('postgres')
    // The probes of Kubernetes begin without its header, and devices keep their addresses by other means.
    expect(proxyProtocol).toBe(false)
    expect([http, mqtt]).toEqual([configOf(imageEnv).http, configOf(imageEnv).mqtt])
    const ports = Object.fromEntries(container.ports.map((port: Yaml) => [port.name, port.containerPort]))
    expect(ports).toEqual({ http: http.port, mqtt: mqtt.port })
    const [mount] = container.volumeMounts
    const [volume] = pod.volumes
    expect(mount.name).toBe(volume.name)
    const keys = Object.keys(manifest('Secret', volume.secret.secretName).stringData)
    expect(keys.map(key => `${mount.mountPath}/${key}`)).toContain(fleetFile)
    // Else the variables of services named downlink-… would look like options.
    expect(pod.enableServiceLinks).toBe(false)
    expect(container.image).toBe(nodes[0]?.[1].image)
  })

  test('let it do nothing beyond its work', () => {
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } })
    expect(`${pod.securityContext.runAsUser}:${pod.securityContext.runAsGroup}`).toBe(stepsOf(image, 'USER')[0])
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(pod.automountServiceAccountToken).toBe(false)
  })

  test('ask what the server answers, and wait for as long as it may take', async () => {
    const { startupProbe, livenessProbe, readinessProbe } = container
    const rig = await startRig()
    for (const { httpGet } of [startupProbe, livenessProbe, readinessProbe]) {
      expect(container.ports.map(({ name }: Yaml) => name)).toContain(httpGet.port)
      expect((await fetch(rig.server.httpUrl + httpGet.path)).status).toBe(200)
    }
    await rig.stop()
    expect(livenessProbe.httpGet.path).toBe('/healthz')
    expect(readinessProbe.httpGet.path).toBe('/readyz')
    const startupMs = startupProbe.periodSeconds * startupProbe.failureThreshold * 1_000
    expect(startupMs).toBeGreaterThanOrEqual(POSTGRES_MIGRATION_STATEMENT_MAX_MS)
  })

  test('give it the time to end, and take one node at a time', () => {
    const [sleep, seconds] = container.lifecycle.preStop.exec.command
    expect(sleep).toBe('sleep')
    expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(Number(seconds) * 1_000 + STOP_AT_LATEST_MS)
    expect(deployment.spec.replicas).toBeGreaterThanOrEqual(3)
    expect(deployment.spec.strategy.rollingUpdate).toEqual({ maxUnavailable: 1, maxSurge: 0 })
    const budget = manifest('PodDisruptionBudget').spec
    expect(budget.maxUnavailable).toBe(1)
    for (const selector of [
      budget.selector,
      deployment.spec.selector,
      ...pod.topologySpreadConstraints.map((each: Yaml) => each.labelSelector),
    ])
      expect(labels).toMatchObject(selector.matchLabels)
    const heapMib = Number(
      /--max-old-space-size=(\d+)/.exec(container.env.find(({ name }: Yaml) => name === 'NODE_OPTIONS').value)?.[1],
    )
    expect(heapMib).toBeLessThan(Number.parseInt(container.resources.limits.memory, 10) * 1_024 * 0.75)
    expect(container.resources.limits.memory).toMatch(/^\d+Gi$/)
    // Held back in the middle of a heartbeat it would lose its lease.
    expect(container.resources.limits.cpu).toBeUndefined()
  })

  test('have services that lead to it, keep devices of HTTP at one node, and devices of MQTT their addresses', () => {
    const names = new Set(container.ports.map(({ name }: Yaml) => name))
    const all = manifests.filter(({ kind }) => kind === 'Service')
    expect(all.length).toBe(3)
    for (const { metadata, spec } of all) {
      expect(labels, metadata.name).toMatchObject(spec.selector)
      for (const { port, targetPort } of spec.ports) {
        expect(names).toContain(targetPort)
        expect(container.ports.find(({ name }: Yaml) => name === targetPort).containerPort).toBe(port)
      }
    }
    const { sessionAffinity, sessionAffinityConfig } = manifest('Service', 'downlink-devices').spec
    expect(sessionAffinity).toBe('ClientIP')
    expect(sessionAffinityConfig.clientIP.timeoutSeconds * 1_000).toBeGreaterThanOrEqual(HTTP_LIFETIME_MAX_MS)
    expect(manifest('Service', 'downlink-mqtt').spec.externalTrafficPolicy).toBe('Local')
  })
})

// --- all -------------------------------------------------------------------------------------------------------------

test('nothing names a variable that the server does not have', () => {
  const files = readdirSync(join(root, 'deploy'), { recursive: true, encoding: 'utf8' }).filter(name =>
    /\.[a-z]+$|Dockerfile/.test(name),
  )
  for (const file of files)
    for (const [name] of read(`deploy/${file}`).matchAll(/\bDOWNLINK_[A-Z_]+\b/g)) expect(known, file).toContain(name)
})

const nats = programOf('nats-server')
test.skipIf(nats === null)(needing('nats-server', nats, 'NATS takes its file'), () => {
  const env = { NATS_PASSWORD: secretsOf.NATS_PASSWORD }
  execFileSync(nats ?? '', ['-t', '-c', join(root, 'deploy/nats.conf')], { env, stdio: 'pipe' })
})
