// The built server as a process of its own, with its addresses: for crashes, signals and exit codes.

import type { Program, Running } from './program.ts'

export interface ServerProcess {
  readonly httpUrl: string
  readonly mqttUrl: string
  readonly running: Running
  /** kill -9; resolves when the process is gone */
  kill(): Promise<void>
  /** SIGTERM; resolves with the exit code */
  stop(): Promise<number | null>
}

/** Starts `downlink serve` and waits for its addresses. Rejects with what it said if it ends first. */
export async function spawnServer(program: Program, args: string[]): Promise<ServerProcess> {
  const running = program.start(['serve', ...args])
  const [, httpUrl = ''] = await running.printed(/listening http (\S+)\n/)
  const [, mqttUrl = ''] = await running.printed(/listening mqtt (\S+)\n/)
  return {
    httpUrl,
    mqttUrl,
    running,
    kill: async () => void (await running.stop('SIGKILL')),
    stop: async () => (await running.stop()).code,
  }
}
