// How the command line reads a fleet file: bounded, and with its problems as lines for a person. Not here: what a fleet file says (fleet/file.ts).

import { open } from 'node:fs/promises'
import { FLEET_FILE_MAX_BYTES } from '../core/limits.ts'
import { describeProblem, type FleetFile, parseFleetFile } from '../fleet/file.ts'
import { printable } from './terminal.ts'

const HOW_TO_NAME_ONE =
  'there is no such file; give the path of a fleet file (--fleet FILE, or fleet apply FILE), examples/fleet.yaml is one to begin with'

/** A fleet file that was read, or a line for each problem with it: `FILE:line:column: path: message`. */
export type LoadedFleet =
  | { readonly ok: true; readonly file: FleetFile }
  | { readonly ok: false; readonly problems: readonly string[] }

/** Reads and checks a fleet file. Never rejects for what is wrong with the file. */
export async function loadFleetFile(path: string): Promise<LoadedFleet> {
  let text: string
  try {
    text = await readText(path)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    const isGone = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    return { ok: false, problems: [printable(`${path}: cannot be read: ${isGone ? HOW_TO_NAME_ONE : why}`)] }
  }
  const parsed = parseFleetFile(text, path)
  if (parsed.ok) return parsed
  return { ok: false, problems: parsed.problems.map(problem => printable(describeProblem(problem))) }
}

async function readText(path: string): Promise<string> {
  const file = await open(path)
  try {
    const stat = await file.stat()
    if (!stat.isFile()) throw new Error('it is not a file')
    if (stat.size > FLEET_FILE_MAX_BYTES) throw new Error(`it is larger than ${FLEET_FILE_MAX_BYTES} bytes`)
    return new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile())
  } finally {
    await file.close()
  }
}
