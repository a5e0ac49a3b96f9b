// The OpenAPI document and the page that people read it on. Not here: what the document says (openapi.ts), the drawing of the page (reference/ and the
// swagger-ui-dist package), how files of pages are sent (pages.ts).

import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { FastifyInstance } from 'fastify'
import { DOCUMENT, REFERENCE } from './openapi-fixed.ts'
import { type PageFile, page, pageFile, policyOf, sendPageFile } from './pages.ts'
import { JSON_TYPE } from './wire.ts'

/** The files of the page by name. Those of swagger-ui-dist are beside ours where the server is built, else in its package. */
const files: Readonly<Record<string, { readonly type: string; readonly isOurs: boolean }>> = {
  'initialize.js': { type: 'text/javascript; charset=utf-8', isOurs: true },
  'reference.css': { type: 'text/css; charset=utf-8', isOurs: true },
  'swagger-ui-bundle.js': { type: 'text/javascript; charset=utf-8', isOurs: false },
  'swagger-ui.css': { type: 'text/css; charset=utf-8', isOurs: false },
  'favicon-32x32.png': { type: 'image/png', isOurs: false },
}

const sending = { policy: policyOf() }

/** Registers the document, made when it is first asked for, and the page. Nobody is asked for credentials: it says what is in the repository as well. */
export function registerReference(app: FastifyInstance, makeDocument: () => object, auth: 'signature' | 'open'): void {
  let document: PageFile | null = null
  app.get(DOCUMENT, (request, reply) => {
    document ??= pageFile(JSON_TYPE, JSON.stringify(makeDocument()))
    return sendPageFile(request, reply, document, sending)
  })
  app.get(REFERENCE, page, async (request, reply) => {
    const { type, content } = await fileOf('index.html', { type: 'text/html; charset=utf-8', isOurs: true })
    const filled = String(content).replace('{{auth}}', auth)
    return sendPageFile(request, reply, pageFile(type, filled), sending)
  })
  app.get(`${REFERENCE}/`, page, (_request, reply) => reply.redirect(`..${REFERENCE}`, 308))
  for (const [name, known] of Object.entries(files))
    app.get(`${REFERENCE}/${name}`, async (request, reply) =>
      sendPageFile(request, reply, await fileOf(name, known), sending),
    )
}

const kept = new Map<string, Promise<PageFile>>()

/** Read once, when it is first asked for: there are as many as {@link files}. */
function fileOf(name: string, { type, isOurs }: (typeof files)[string]): Promise<PageFile> {
  const present = kept.get(name)
  if (present !== undefined) return present
  const file = read(name, isOurs).then(content => pageFile(type, content))
  kept.set(name, file)
  // What could not be read may be there the next time.
  file.catch(() => kept.delete(name))
  return file
}

async function read(name: string, isOurs: boolean): Promise<Buffer> {
  try {
    return await readFile(new URL(`./reference/${name}`, import.meta.url))
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    if (isOurs || !isMissing) throw error
    return readFile(createRequire(import.meta.url).resolve(`swagger-ui-dist/${name}`))
  }
}
