// Mosquitto as a process of the bench, on a free port, with its data in a folder of its own. Not here: who speaks through it (../peers, ../contenders).

import { writeFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort, type Program, saidBy, startProgram } from './programs.ts'

/**
 * As it comes, but for what a comparison needs: no delay in TCP as with everybody here, and no bound on what waits for a client, because beyond its bound it
 * drops messages in silence. It keeps its own bound of 20 messages in flight to each client.
 */
const SETTINGS = `allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
persistence true
`

export async function startMosquitto(folder: string): Promise<Program & { readonly url: URL }> {
  const port = await freePort()
  const file = join(folder, 'mosquitto.conf')
  // Started by root it would become another user, whom the folder does not let in.
  const own = `listener ${port} 127.0.0.1\nuser ${userInfo().username}\npersistence_location ${folder}/\n`
  writeFileSync(file, SETTINGS + own)
  const program = await startProgram('mosquitto', ['-c', file], port)
  return { ...program, url: new URL(`mqtt://127.0.0.1:${port}`) }
}

/** `mosquitto version 2.0.11`; null: it is not installed. */
export const mosquittoVersion = (): Promise<string | null> => saidBy('mosquitto', '-h')
