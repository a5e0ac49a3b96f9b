// `downlink serve` as a process: addresses on stdout, logs on stderr, signals, exit codes. Not here: what a server is made of (serve.ts).

import type { Logger } from 'pino'
import { STOP_AT_LATEST_MS } from '../core/limits.ts'
import { readServeConfig, type ServeConfig, serveSpec } from './config.ts'
import { makeLog } from './log.ts'
import type { Environment } from './options.ts'
import { startServer } from './serve.ts'
import { aborted, stopSignals } from './signals.ts'
import { Exit, isExplained, type Terminal, usageError } from './terminal.ts'

/** Runs until SIGTERM or SIGINT. Exit 0 after an orderly stop; 1 if it cannot start, loses its lease, a second signal comes, or stopping takes too long. */
export async function serve(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const read = readServeConfig(args, env)
  if (!read.ok) return usageError(terminal, serveSpec, read.problems)
  const log = makeLog(read.config.logLevel)
  const { signal } = stopSignals(() => process.exit(Exit.failure))
  const starting = startServer(read.config, log)
  let server: Awaited<typeof starting>
  try {
    // A start may wait for long, such as for another node's migration.
    await Promise.race([starting, aborted(signal)])
    if (signal.aborted) leaveInTime(log)
    server = await starting
  } catch (error) {
    terminal.problem(startFailure(error, read.config))
    return Exit.failure
  }
  terminal.line(`listening http ${server.httpUrl}`)
  terminal.line(`listening mqtt ${server.mqttUrl}`)
  if (server.mqttsUrl !== null) terminal.line(`listening mqtts ${server.mqttsUrl}`)
  // Besides the log, which may be silent: nobody may run this without having been told.
  if (read.config.auth === 'open')
    terminal.problem(
      `downlink serve: OPEN MODE: no credentials are checked, whoever reaches ${server.httpUrl} may do everything`,
    )
  const isOver = await Promise.race([aborted(signal).then(() => false), server.ended.then(() => true)])
  leaveInTime(log)
  await server.stop()
  if (!isOver) return Exit.ok
  terminal.problem('downlink serve: this node has lost its lease to another process; start it again')
  return Exit.failure
}

/** Not holding the process: it is for a stop, or a start, that hangs, and for whatever would keep the process alive after it. */
export function leaveInTime(log: Logger): void {
  setTimeout(() => {
    log.error({ afterMs: STOP_AT_LATEST_MS }, 'stop took too long, leaving')
    process.exit(Exit.failure)
  }, STOP_AT_LATEST_MS).unref()
}

/** What went wrong and what to do next. A cause that nobody foresaw keeps its stack. */
export function startFailure(error: unknown, config: ServeConfig): string {
  if (!(error instanceof Error)) return `downlink serve: ${String(error)}`
  // Its lines begin with file, line and column, as editors read them.
  if (error.name === 'FleetFileWrong') return error.message
  const { code, syscall }: NodeJS.ErrnoException = error
  const failure = syscall === 'listen' || syscall === 'getaddrinfo' ? listenFailures.get(code ?? '') : undefined
  if (failure !== undefined)
    return `downlink serve: ${failure} (${error.message}); choose another with ${optionsAt(error, config)} [host:]port`
  const { message, stack } = error
  return `downlink serve: ${isExplained(error) ? message : (stack ?? message)}`
}

const listenFailures: ReadonlyMap<string, string> = new Map([
  ['EADDRINUSE', 'the port is taken'],
  ['EACCES', 'listening on this port is not allowed to this user'],
  ['EADDRNOTAVAIL', 'this machine does not have that address'],
  ['ENOTFOUND', 'that host has no address'],
])

/** The options that named what could not be listened on: by its port, or by its host where the error has no port (it was to be any, or was not come to). */
function optionsAt(error: Error, config: ServeConfig): string {
  const { port, address, hostname }: { port?: number; address?: string; hostname?: string } & Error = error
  const given = (['http', 'mqtt', 'mqtts'] as const).filter(name => config[name] !== null)
  const meant = given.filter(name =>
    port === undefined ? config[name]?.host === (hostname ?? address) : config[name]?.port === port,
  )
  return (meant.length > 0 ? meant : given).map(name => `--${name}`).join(' or ')
}
