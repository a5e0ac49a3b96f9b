// Runs the scenarios of a suite, one after the other, each bounded in time, and ends what they have started. Not here: what they try (scenarios).

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import type { Client } from '../src/cli/client.ts'
import { Child } from './child.ts'
import { Fleet } from './fleet.ts'
import { type Launch, Program } from './program.ts'
import type { Scenario, Stage } from './scenario.ts'
import { Server, type ServerPlan } from './server.ts'
import type { Suite } from './suites.ts'

const fleetFile = join(import.meta.dirname, 'fleet.yaml')
/** the longest has an SDK find a server that went away, and its sub-devices log in again */
const SCENARIO_WITHIN_MS = 75_000
/** lines of what programs and server said that a failure shows, each */
const SAID_LINES = 15

/** removed at the end, an interrupt's too */
const folders = new Set<string>()
process.once('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

export interface Outcome {
  readonly passed: number
  readonly failed: number
}

/**
 * Performs a suite on a server of its own, with a line for each scenario. `built` is the server's program, `launch` starts the suite's. Never throws:
 * what keeps the suite from going on is a failure with a line too.
 */
export async function perform(
  suite: Suite,
  built: string,
  launch: Launch,
  print: (line: string) => void,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'downlink-interop-'))
  folders.add(folder)
  const server = new Server({ program: built, fleetFile, folder, auth: suite.auth })
  let [passed, failed] = [0, 0]
  try {
    const versions = await about(launch)
    for (const scenario of suite.scenarios) {
      if (!server.isUp) await server.start()
      const before = server.said
      const stage = new Performance({ server, folder, built, launch, auth: suite.auth })
      const began = performance.now()
      const why = await outcome(scenario, stage)
      const seconds = ((performance.now() - began) / 1000).toFixed(1)
      const title = `${suite.name} ${scenario.name} (${versions}, ${seconds} s)`
      if (why === null) passed += 1
      else failed += 1
      print(why === null ? `ok ${title}` : `not ok ${title}: ${why}`)
      if (why === null) continue
      const since = server.said.startsWith(before) ? server.said.slice(before.length) : server.said
      for (const said of [...tail(stage.said), ...tail(since)]) print(`  | ${said}`)
    }
    await server.stop()
  } catch (error) {
    failed += 1
    print(`not ok ${suite.name}: ${reason(error)}`)
  }
  return { passed, failed }
}

/** null where all was well, else why not */
async function outcome(scenario: Scenario, stage: Performance): Promise<string | null> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${SCENARIO_WITHIN_MS / 1000} s`)), SCENARIO_WITHIN_MS)
  })
  let why: string | null = null
  try {
    await Promise.race([scenario.run(stage), late])
  } catch (error) {
    why = reason(error)
  }
  clearTimeout(timer)
  try {
    await stage.end()
  } catch (error) {
    why ??= reason(error)
  }
  return why
}

const reason = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).replaceAll('\n', ' ')
const tail = (said: string): string[] => said.split('\n').filter(Boolean).slice(-SAID_LINES)

/** The versions that are tried, as the program itself tells them. */
async function about(launch: Launch): Promise<string> {
  const program = new Program(launch)
  const { sdk, runtime } = await program.ask('about')
  await program.stop()
  return `${sdk}, ${runtime}`
}

interface Props {
  readonly server: Server
  readonly folder: string
  readonly built: string
  readonly launch: Launch
  readonly auth: ServerPlan['auth']
}

/** One scenario's stage: what it has started ends with it, whichever way it ends. */
class Performance implements Stage {
  readonly fleet = new Fleet(fleetFile)
  readonly server: Server
  readonly client: Client
  readonly folder: string
  readonly built: string
  readonly #launch: Launch
  readonly #programs: Program[] = []
  readonly #children: Child[] = []
  readonly #servers: Server[] = []

  constructor({ server, folder, built, launch, auth }: Props) {
    this.server = server
    this.folder = folder
    this.built = built
    this.#launch = launch
    this.client = server.client(auth === 'open' ? null : this.fleet.application)
  }

  begin(): Program {
    const program = new Program(this.#launch)
    this.#programs.push(program)
    return program
  }

  async serve(auth: ServerPlan['auth']): Promise<Server> {
    const folder = mkdtempSync(join(this.folder, 'other-'))
    const server = new Server({ program: this.built, fleetFile, folder, auth })
    this.#servers.push(server)
    await server.start()
    return server
  }

  keep(launch: Launch): void {
    this.#children.push(new Child(launch))
  }

  get said(): string {
    return [...this.#programs, ...this.#children].map(each => each.said).join('\n')
  }

  async end(): Promise<void> {
    await Promise.all(this.#programs.map(program => program.kill()))
    await Promise.all(this.#children.map(child => child.stop('SIGTERM')))
    await Promise.all(this.#servers.map(server => server.stop()))
  }
}
