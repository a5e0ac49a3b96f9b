// Writes the OpenAPI document, to the file named or else to standard output. With --lint it is judged as well, by the linter of the development dependencies
// under redocly.yaml; nothing is asked of the network. Not here: what is in the document (src/http/openapi.ts).

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openapi } from '../src/http/openapi.ts'
import { resources, routes } from '../src/http/routes.ts'

/** What the linter says of a file, and its exit code. It tells nobody that it ran, and does not ask for a newer one. */
export function lint(file: string): { readonly status: number | null; readonly output: string } {
  const root = fileURLToPath(new URL('..', import.meta.url))
  const quiet = {
    REDOCLY_TELEMETRY: 'off',
    REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true',
    REDOCLY_SUPPRESS_NOTIFICATIONS: 'true',
  }
  const { status, stdout, stderr, error } = spawnSync(
    join(root, 'node_modules/.bin/redocly'),
    ['lint', '--config', join(root, 'redocly.yaml'), '--format', 'stylish', '--max-problems', '1000', file],
    { encoding: 'utf8', cwd: root, env: { ...process.env, ...quiet } },
  )
  if (error) throw error
  return { status, output: stdout + stderr }
}

export const documentText = (): string => `${JSON.stringify(openapi(resources, routes), null, 2)}\n`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const args = process.argv.slice(2)
  const folder = mkdtempSync(join(tmpdir(), 'downlink-openapi-'))
  const [file = null] = args.filter(arg => !arg.startsWith('--'))
  const written = file ?? join(folder, 'openapi.json')
  if (args.includes('--lint')) {
    writeFileSync(written, documentText())
    const { status, output } = lint(written)
    console.log(output)
    process.exitCode = status ?? 1
  } else if (file === null) process.stdout.write(documentText())
  else writeFileSync(file, documentText())
  rmSync(folder, { recursive: true })
}
