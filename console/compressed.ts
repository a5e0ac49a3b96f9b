// A step of the console's build: beside each file that compresses well its .br and .gz, and a line with what the first page load takes over the wire.
// The build fails where that is beyond its bound. Not here: which of them a browser is sent (src/http/console.ts).

import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { createLogger, type Logger, type Plugin, type Rolldown } from 'vite'

/** bytes of what is fetched until the first page, the overview, is drawn, gzipped as browsers get it over plain HTTP: the bound of the first load */
const FIRST_LOAD_MAX_BYTES = 150_000
const FIRST_PAGE = '/overview/page.tsx'

const compressible = /\.(html|js|css|svg|json)$/

export function compressed(): Plugin {
  let outdir = ''
  let logger: Logger = createLogger()
  let first: readonly string[] = []
  return {
    name: 'compressed',
    apply: 'build',
    configResolved(config) {
      outdir = resolve(config.root, config.build.outDir)
      logger = config.logger
    },
    generateBundle(_options, bundle) {
      first = ['index.html', ...firstLoad(bundle)]
    },
    closeBundle: {
      order: 'post',
      handler() {
        if (first.length === 0) return
        const sizes = new Map<string, { readonly plain: number; readonly gzip: number; readonly brotli: number }>()
        for (const name of readdirSync(outdir, { recursive: true, encoding: 'utf8' })) {
          if (!compressible.test(name)) continue
          sizes.set(name, compress(join(outdir, name)))
        }
        const sum = (of: 'plain' | 'gzip' | 'brotli', names: Iterable<string>) =>
          [...names].reduce((bytes, name) => bytes + (sizes.get(name)?.[of] ?? 0), 0)
        const kB = (bytes: number) => `${(bytes / 1000).toFixed(1)} kB`
        const line = (what: string, names: readonly string[]) =>
          `${what}: ${kB(sum('brotli', names))} brotli, ${kB(sum('gzip', names))} gzip, ${kB(sum('plain', names))} plain, ${names.length} files`
        logger.info(line('console, first load', first))
        logger.info(line('console, all of it', [...sizes.keys()]))
        const bytes = sum('gzip', first)
        if (bytes > FIRST_LOAD_MAX_BYTES)
          throw new Error(`the console's first load has ${bytes} bytes, and may have ${FIRST_LOAD_MAX_BYTES}`)
      },
    },
  }
}

/** The scripts of the entry and of the first page, what they import at once, and the styles of those. Other pages are fetched when they are opened. */
function firstLoad(bundle: Rolldown.OutputBundle): string[] {
  const found = new Set<string>()
  const add = (name: string): void => {
    const part = bundle[name]
    if (part === undefined || found.has(name)) return
    found.add(name)
    if (part.type !== 'chunk') return
    for (const style of part.viteMetadata?.importedCss ?? []) found.add(style)
    for (const other of part.imports) add(other)
  }
  for (const part of Object.values(bundle))
    if (part.type === 'chunk' && (part.isEntry || part.facadeModuleId?.endsWith(FIRST_PAGE))) add(part.fileName)
  return [...found]
}

function compress(file: string) {
  const content = readFileSync(file)
  const brotli = brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } })
  const gzip = gzipSync(content, { level: 9 })
  writeFileSync(`${file}.br`, brotli)
  writeFileSync(`${file}.gz`, gzip)
  return { plain: content.length, gzip: gzip.length, brotli: brotli.length }
}
