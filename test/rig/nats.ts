// A real nats-server for tests, as the system has it installed: started on a free port of loopback, gone with the test file, and also where the tests
// themselves are killed.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Where packages put it that is no longer in the PATH of everyone. */
const CANDIDATES = ['nats-server', '/usr/sbin/nats-server', '/usr/local/bin/nats-server']
const program = CANDIDATES.find(name => spawnSync(name, ['--version']).status === 0)

/** Why tests of NATS cannot run here; null where they can. */
export const whyNoNats = program === undefined ? 'nats-server is not installed' : null

/** The server ends with its keeper, which ends when nobody holds its input open any more. */
const KEEPER = '"$@" & pid=$!; echo "$pid"; read -r _; kill -KILL "$pid"; wait "$pid"'

export interface NatsServer {
  readonly port: number
  /** `nats://127.0.0.1:PORT` */
  readonly url: string
  /** Ends it as a crash does. */
  kill(): Promise<void>
  /** Starts it again, on the same port. */
  start(): Promise<void>
  /** It says and reads nothing any more, while its machine still takes connections; and goes on. */
  stall(): Promise<void>
  stallOver(): void
  /** Ends it, and removes all that it had. */
  stop(): Promise<void>
}

/** config: in the server's own language, beside the port */
export async function startNats(config = ''): Promise<NatsServer> {
  if (program === undefined) throw new Error(`${whyNoNats}; where it is not, tests of NATS are to be skipped`)
  const folder = mkdtempSync(join(tmpdir(), 'downlink-nats-'))
  const port = await freePort()
  writeFileSync(join(folder, 'nats.conf'), `listen: "127.0.0.1:${port}"\n${config}\n`)
  const server = new Server(program, folder, port)
  await server.start()
  return server
}

class Server implements NatsServer {
  readonly port: number
  readonly url: string
  readonly #program: string
  readonly #folder: string
  #keeper: ChildProcess | null = null
  #pid = 0

  constructor(program: string, folder: string, port: number) {
    this.#program = program
    this.#folder = folder
    this.port = port
    this.url = `nats://127.0.0.1:${port}`
  }

  async start(): Promise<void> {
    const args = ['-c', KEEPER, 'keeper', this.#program, '-c', join(this.#folder, 'nats.conf')]
    const keeper = spawn('sh', args, { stdio: ['pipe', 'pipe', 'pipe'] })
    let words = ''
    keeper.stderr.setEncoding('utf8').on('data', (said: string) => {
      words = (words + said).slice(-4_000)
    })
    this.#keeper = keeper
    const [pid] = await once(keeper.stdout.setEncoding('utf8'), 'data')
    this.#pid = Number(pid)
    const until = performance.now() + 15_000
    while (!(await greets(this.port))) {
      if (performance.now() > until) throw new Error(`nats-server did not start: ${words}`)
      await new Promise(resolve => setTimeout(resolve, 10))
    }
  }

  async kill(): Promise<void> {
    const keeper = this.#keeper
    this.#keeper = null
    if (keeper === null || keeper.exitCode !== null) return
    keeper.stdin!.end()
    await once(keeper, 'exit')
  }

  async stall(): Promise<void> {
    process.kill(this.#pid, 'SIGSTOP')
    while (!isStopped(this.#pid)) await new Promise(resolve => setTimeout(resolve, 1))
  }

  stallOver(): void {
    process.kill(this.#pid, 'SIGCONT')
  }

  async stop(): Promise<void> {
    await this.kill()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** The signal only begins it: on a busy machine some threads go on for a moment. Where the system does not tell, that is taken for done. */
function isStopped(pid: number): boolean {
  const tasks = `/proc/${pid}/task`
  return (
    !existsSync(tasks) || readdirSync(tasks).every(task => / T /.test(readFileSync(`${tasks}/${task}/stat`, 'latin1')))
  )
}

/** The server speaks first: a port that merely takes connections is not one. */
async function greets(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    const [words] = await once(socket, 'data')
    return String(words).startsWith('INFO')
  } catch {
    // Refused: not yet.
    return false
  } finally {
    socket.destroy()
  }
}

export async function freePort(): Promise<number> {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  listener.close()
  await once(listener, 'close')
  return port
}
