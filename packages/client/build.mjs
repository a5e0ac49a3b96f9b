// Builds the package into dist/: one module, its types as the compiler tells them, nothing else. `npm pack` runs it.
// Another folder may be named as the argument; the tests do, so that they never share one.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { build } from 'esbuild'

const here = import.meta.dirname
const [, , given] = process.argv
const outdir = given === undefined ? join(here, 'dist') : resolve(given)
// Only the folder that is this script's own is emptied first.
if (given === undefined) rmSync(outdir, { recursive: true, force: true })

await build({
  entryPoints: [join(here, 'src/index.ts')],
  outfile: join(outdir, 'index.js'),
  bundle: true,
  // Node and browsers take the same module; what only one of them has would fail here.
  platform: 'neutral',
  format: 'esm',
  target: 'es2022',
  logLevel: 'warning',
})
const typescript = dirname(createRequire(import.meta.url).resolve('typescript/package.json'))
execFileSync(process.execPath, [join(typescript, 'bin/tsc'), '-p', join(here, 'tsconfig.json'), '--outDir', outdir], {
  stdio: 'inherit',
})
// The types name each other as sources do; who has the types only, has no sources.
for (const name of readdirSync(outdir).filter(name => name.endsWith('.d.ts'))) {
  const text = readFileSync(join(outdir, name), 'utf8')
  writeFileSync(join(outdir, name), text.replace(/(from '\.\/[\w-]+)\.ts'/g, "$1.js'"))
}
