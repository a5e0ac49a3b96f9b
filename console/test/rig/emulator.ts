// The emulator as a process of its own: a server with simulated devices, whose clock leaps and whose devices have faults when a test says so.
// Not here: a server that keeps what it has, with devices that a test answers for itself (server.ts).

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Downlink } from '../../../packages/client/src/index.ts'
import { fleetFile, ORG, type TestedDevice } from './fleet.ts'

const root = resolve(import.meta.dirname, '../../..')
const main = join(resolve(root, process.env.DOWNLINK_DIST ?? 'dist'), 'main.js')

/** What docs/emulator.md lists; what is left out is off. */
export interface Faults {
  readonly offline?: boolean
  readonly delayMs?: number
  readonly mute?: boolean
  readonly errorCode?: number
  readonly answersTwice?: boolean
}

export class Emulator {
  readonly client: Downlink

  private constructor(
    readonly url: string,
    private readonly folder: string,
    private readonly child: ChildProcess,
  ) {
    this.client = new Downlink({ server: url, orgId: ORG, open: true })
  }

  /** Resolves when all of its devices are connected. */
  static async start(): Promise<Emulator> {
    const folder = mkdtempSync(join(tmpdir(), 'downlink-console-'))
    writeFileSync(join(folder, 'fleet.json'), fleetFile())
    const args = ['emulate', '--http', '0', '--mqtt', '0', '--fleet', join(folder, 'fleet.json')]
    const child = spawn(process.execPath, [main, ...args, '--log-level', 'error'], {
      cwd: folder,
      env: { PATH: process.env.PATH ?? '' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const url = await new Promise<string>((resolve, reject) => {
      let http = ''
      createInterface({ input: child.stdout }).on('line', line => {
        http = /^listening http (\S+)$/.exec(line)?.[1] ?? http
        if (line === 'ready') resolve(http)
      })
      child.once('exit', code => reject(new Error(`the emulator ended with ${code}`)))
    })
    return new Emulator(url, folder, child)
  }

  /** The address of a page of the console: `/commands/123`. */
  page(path = '/'): string {
    return `${this.url}/console${path}`
  }

  /** Resolves when the device is away, or connected again. */
  async faults({ assetId }: TestedDevice, faults: Faults): Promise<void> {
    await this.#call('PUT', `devices/${assetId}/faults`, faults)
  }

  /** Resolves when all that happens in that time has happened. */
  async advance(ms: number): Promise<void> {
    await this.#call('POST', 'clock', { advanceMs: ms })
  }

  async #call(method: string, path: string, body: object): Promise<void> {
    const response = await fetch(`${this.url}/emulator/${path}`, { method, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
  }

  async stop(): Promise<void> {
    if (this.child.exitCode === null) {
      this.child.kill('SIGKILL')
      await once(this.child, 'exit')
    }
    rmSync(this.folder, { recursive: true, force: true })
  }
}
