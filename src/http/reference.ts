// The OpenAPI document and the page that people read it on: its files, and what the page may load. Nothing comes from anywhere else. Not here: what the document
// says (openapi.ts), the drawing of the page (reference/ and the swagger-ui-dist package).

import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { DOCUMENT, REFERENCE } from './openapi-fixed.ts'
import { JSON_TYPE } from './wire.ts'

/** The files of the page by name. Those of swagger-ui-dist are beside ours where the server is built, else in its package. */
const files: Readonly<Record<string, { readonly type: string; readonly isOurs: boolean }>> = {
  'initialize.js': { type: 'text/javascript; charset=utf-8', isOurs: true },
  'reference.css': { type: 'text/css; charset=utf-8', isOurs: true },
  'swagger-ui-bundle.js': { type: 'text/javascript; charset=utf-8', isOurs: false },
  'swagger-ui.css': { type: 'text/css; charset=utf-8', isOurs: false },
  'favicon-32x32.png': { type: 'image/png', isOurs: false },
}

/** Scripts are files of ours, and so is all that is asked of; the drawing sets styles, and has icons in its style sheet. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const guarded = (reply: FastifyReply): FastifyReply =>
  reply.headers({
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
  })

/** Registers the document, made when it is first asked for, and the page. Nobody is asked for credentials: it says what is in the repository as well. */
export function registerReference(app: FastifyInstance, makeDocument: () => object, auth: 'signature' | 'open'): void {
  let text: string | null = null
  app.get(DOCUMENT, (request, reply) => {
    text ??= JSON.stringify(makeDocument())
    return sendTagged(request, reply, JSON_TYPE, text)
  })
  app.get(REFERENCE, async (request, reply) => {
    const page = (await contentOf('index.html', true)).toString('utf8').replace('{{auth}}', auth)
    return sendTagged(request, reply, 'text/html; charset=utf-8', page)
  })
  app.get(`${REFERENCE}/`, (_request, reply) => reply.redirect(`..${REFERENCE}`, 308))
  for (const [name, { type, isOurs }] of Object.entries(files))
    app.get(`${REFERENCE}/${name}`, async (request, reply) =>
      sendTagged(request, reply, type, await contentOf(name, isOurs)),
    )
}

/** Kept by the browser, and asked for again each time: what has not changed is not sent. */
function sendTagged(
  request: FastifyRequest,
  reply: FastifyReply,
  type: string,
  content: string | Buffer,
): FastifyReply {
  const tag = `"${createHash('sha256').update(content).digest('base64url')}"`
  guarded(reply).headers({ etag: tag, 'cache-control': 'no-cache' })
  if (request.headers['if-none-match'] === tag) return reply.code(304).send()
  return reply.type(type).send(content)
}

const contents = new Map<string, Promise<Buffer>>()

/** Read once, when it is first asked for: there are as many as {@link files}. */
function contentOf(name: string, isOurs: boolean): Promise<Buffer> {
  const present = contents.get(name)
  if (present !== undefined) return present
  const content = read(name, isOurs)
  contents.set(name, content)
  // What could not be read may be there the next time.
  content.catch(() => contents.delete(name))
  return content
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
