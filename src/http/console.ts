// The files of the web console at /console/, as its build left them, and what leads there. They are known by their names and read once: what a caller sends
// is looked up, and never becomes a path. Not here: the console itself (console/, a client like any other), how files of pages are sent (pages.ts).

import { readdir, readFile } from 'node:fs/promises'
import { extname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { errors, refuse } from '../core/errors.ts'
import { CONSOLE_FILES_MAX_BYTES } from '../core/limits.ts'
import { type PageFile, page, pageFile, policyOf, sendPageFile } from './pages.ts'
import { envelope, failure, JSON_TYPE } from './wire.ts'

/** where people find it */
export const CONSOLE = '/console'
/** What is below has a digest of its content in its name, so it never changes. */
const ASSETS = 'assets/'
const INDEX = 'index.html'
const YEAR_S = 31_536_000

/** Beside the server where that is built; the sources of the server take the same one. */
const BUILT = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/console/' : './console/', import.meta.url),
)

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.txt': 'text/plain; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
}

/** What the build made beside a file `X`: `X.br` and `X.gz`. The one that is preferred comes first. */
const codings = [
  { encoding: 'br', ending: '.br' },
  { encoding: 'gzip', ending: '.gz' },
] as const

/** One of the forms that a file is kept in; without an encoding it is as it is. */
interface Form {
  readonly encoding?: (typeof codings)[number]['encoding']
  readonly file: PageFile
}
/** By path within the folder: the forms of each file, the one without an encoding last. */
type Files = ReadonlyMap<string, readonly Form[]>

// A script that makes markup or code of text stops at trusted types, so that nothing that a device or an application wrote can become either.
const policy = policyOf("font-src 'self'", "require-trusted-types-for 'script'")

/**
 * Registers the console, which is the same for everybody: nobody is asked for credentials. It has paths of its own, so what is no file is its page. Where it
 * was not built everything of it is answered 404, which says how it is. `folder`: another one than that of the build.
 */
export function registerConsole(app: FastifyInstance, folder: string = BUILT): void {
  let kept: Promise<Files> | null = null
  /** Read when they are first asked for. What cannot be read, or is not there yet, may be the next time. */
  const all = async (): Promise<Files> => {
    kept ??= readFiles(folder)
    const reading = kept
    try {
      const files = await reading
      if (!files.has(INDEX) && kept === reading) kept = null
      return files
    } catch (error) {
      if (kept === reading) kept = null
      throw error
    }
  }
  app.get(`${CONSOLE}/*`, page, async (request, reply) => {
    const files = await all()
    const { '*': path } = request.params as { readonly '*': string }
    const index = files.get(INDEX)
    if (index === undefined) return notFound(request, reply, 'the console was not built: run npm run build')
    const forms = files.get(path)
    if (forms !== undefined) return sendForm(request, reply, forms, path.startsWith(ASSETS))
    if (path.startsWith(ASSETS)) return notFound(request, reply, 'the console has no such file; load its page anew')
    return sendForm(request, reply, index, false)
  })
  // Relative, for proxies that serve it under another path.
  app.get(CONSOLE, page, (_request, reply) => reply.redirect('console/'))
  app.get('/', page, (request, reply) => {
    reply.header('vary', 'accept')
    return /\btext\/html\b/i.test(request.headers.accept ?? '') ? reply.redirect('console/') : reply.callNotFound()
  })
}

function notFound(request: FastifyRequest, reply: FastifyReply, message: string): FastifyReply {
  const result = failure(refuse(errors.notFound, message), null, 404)
  return reply.code(404).type(JSON_TYPE).send(envelope(result, request.id))
}

function sendForm(
  request: FastifyRequest,
  reply: FastifyReply,
  forms: readonly Form[],
  isForEver: boolean,
): FastifyReply {
  const accepted = request.headers['accept-encoding'] ?? ''
  const form = forms.find(({ encoding }) => encoding === undefined || accepts(String(accepted), encoding))
  if (form === undefined) throw new Error('a file of the console has no form without an encoding')
  reply.header('vary', 'accept-encoding')
  return sendPageFile(request, reply, form.file, {
    policy,
    ...(isForEver && { cacheControl: `public, max-age=${YEAR_S}, immutable` }),
    ...(form.encoding && { encoding: form.encoding }),
  })
}

/** Whether an Accept-Encoding names the encoding, and not with a weight of zero. */
export const accepts = (header: string, encoding: string): boolean =>
  header
    .toLowerCase()
    .split(',')
    .some(one => {
      const [name = '', ...parameters] = one.split(';').map(part => part.trim())
      return name === encoding && !parameters.some(parameter => /^q\s*=\s*0(\.0*)?$/.test(parameter))
    })

/** All that the folder has; nothing where there is none. */
async function readFiles(folder: string): Promise<Files> {
  const contents = new Map<string, Buffer>()
  let bytes = 0
  for (const path of await pathsIn(folder)) {
    const content = await readFile(join(folder, path))
    bytes += content.length
    if (bytes > CONSOLE_FILES_MAX_BYTES)
      throw new Error(`the files in ${folder} have more than ${CONSOLE_FILES_MAX_BYTES} bytes`)
    contents.set(path.split(sep).join('/'), content)
  }
  const isForm = (path: string): boolean =>
    codings.some(({ ending }) => path.endsWith(ending) && contents.has(path.slice(0, -ending.length)))
  return new Map(
    [...contents].filter(([path]) => !isForm(path)).map(([path, content]) => [path, formsOf(path, content, contents)]),
  )
}

function formsOf(path: string, content: Buffer, contents: ReadonlyMap<string, Buffer>): Form[] {
  const type = types[extname(path)] ?? 'application/octet-stream'
  const encoded = codings.flatMap(({ encoding, ending }): Form[] => {
    const form = contents.get(path + ending)
    return form === undefined ? [] : [{ encoding, file: pageFile(type, form) }]
  })
  return [...encoded, { file: pageFile(type, content) }]
}

/** Links are left out: they lead to where nobody has looked. */
async function pathsIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    return entries
      .filter(entry => entry.isFile())
      .map(entry => relative(folder, join(entry.parentPath, entry.name)))
      .sort()
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
