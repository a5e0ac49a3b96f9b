// Pages for people and the files that they are made of: what a browser may do with them, and how they are kept and sent. Nothing in them comes from anywhere
// else. Not here: which there are and what is in them (console.ts, reference.ts).

import { createHash } from 'node:crypto'
import type { FastifyReply, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Of a route: what it sends is a page, or leads to one, the same whoever asks. So in open mode a link of another site may lead to it. */
    readonly isPage?: boolean
  }
}

/** The options of a route that sends a page. */
export const page = { config: { isPage: true } } as const

/** Content as it is sent, with the tag that it is known by. */
export interface PageFile {
  /** Content-Type */
  readonly type: string
  readonly content: string | Buffer
  /** another one for any other content: `"…"` */
  readonly tag: string
}

export interface Sending {
  /** Content-Security-Policy, of which {@link policyOf} makes one */
  readonly policy: string
  /** absent: kept by the browser, and asked for again each time */
  readonly cacheControl?: string
  /** Content-Encoding; absent: none */
  readonly encoding?: string
}

/** Scripts are files of ours, and so is all that is asked of; icons may stand in a style sheet. Nobody shows the page within another one. */
export const policyOf = (...more: readonly string[]): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    ...more,
  ].join('; ')

export const pageFile = (type: string, content: string | Buffer): PageFile => ({
  type,
  content,
  tag: `"${createHash('sha256').update(content).digest('base64url')}"`,
})

/** Answers with the file, or with 304 and nothing where the caller has it already. */
export function sendPageFile(
  request: FastifyRequest,
  reply: FastifyReply,
  { type, content, tag }: PageFile,
  { policy, cacheControl = 'no-cache', encoding }: Sending,
): FastifyReply {
  reply.headers({
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cache-control': cacheControl,
    etag: tag,
  })
  if (hasTag(request.headers['if-none-match'] ?? '', tag)) return reply.code(304).send()
  if (encoding !== undefined) reply.header('content-encoding', encoding)
  return reply.type(type).send(content)
}

/** Whether an If-None-Match names the tag. Proxies that compress make it a weak one, `W/"…"`, which is as good here [RFC9110-13.1.2]. */
const hasTag = (list: string, tag: string): boolean =>
  list.split(',').some(one => ['*', tag].includes(one.trim().replace(/^W\//, '')))

/** A browser that goes to a page, as whoever follows a link does: no part of a page, and no script, looks like that. */
export const isNavigationToPage = ({ method, headers, routeOptions }: FastifyRequest): boolean =>
  method === 'GET' &&
  routeOptions.config.isPage === true &&
  headers['sec-fetch-mode'] === 'navigate' &&
  headers['sec-fetch-dest'] === 'document'
