// Bundles the server into dist/main.js and puts beside it what is no part of the bundle: the migrations, the program of the codecs' processes, and the
// files of the reference page. Then builds the console into dist/console, as console/vite.config.ts says.
// Not a type check: that is `npm run check`.
// Another folder may be named as the argument; the tests do, so that they never share one. The server alone is built then.
import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const [, , given] = process.argv
const outdir = given ?? 'dist'
// Only the folder that is this script's own is emptied first.
if (given === undefined) rmSync(outdir, { recursive: true, force: true })
await build({
  entryPoints: { main: 'src/main.ts' },
  outdir,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  sourcemap: true,
  banner: { js: '#!/usr/bin/env node' },
  logLevel: 'warning',
})
cpSync('src/codec/codec-process.mjs', join(outdir, 'codec-process.mjs'))
cpSync('src/store/migrations', join(outdir, 'migrations'), { recursive: true })
cpSync('src/http/reference', join(outdir, 'reference'), { recursive: true })
// With their licences: they are distributed with the build.
const drawing = [
  'swagger-ui-bundle.js',
  'swagger-ui-bundle.js.LICENSE.txt',
  'swagger-ui.css',
  'favicon-32x32.png',
  'LICENSE',
  'NOTICE',
]
for (const name of drawing) cpSync(join('node_modules/swagger-ui-dist', name), join(outdir, 'reference', name))

/** npm run … --silent: somebody wants to see what comes after the build */
const isQuiet = process.env.npm_config_loglevel === 'silent'
if (given === undefined) {
  // Loaded here, since whoever builds the server alone need not wait for it.
  const { build: buildConsole } = await import('vite')
  await buildConsole({ configFile: 'console/vite.config.ts', logLevel: isQuiet ? 'error' : 'info' })
}
