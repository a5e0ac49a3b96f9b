// A command as it will be asked for: what makes it the same command again, how it looks on the wire and on a command line, and which field a refusal of the
// server is about. Pure. Not here: what makes it (values.ts), sending it (sending.ts).

import type { Kind } from './sendable.ts'

/** s that a command may wait for its device; what the server takes at most */
export const PENDING_TTL_MAX_S = 172_800
/** s that a device may take to answer; what the server takes at most, and where nothing is said */
export const TIMEOUT_MAX_S = 60
export const TIMEOUT_DEFAULT_S = 30

export interface Order {
  readonly kind: Kind
  readonly identifier: string
  /** the value of a point, or the inputs of a service */
  readonly input: unknown
  /** s; 0: now or never */
  readonly pendingTtl: number
  /** s */
  readonly timeout: number
}

/** Equal for orders that ask for the same. */
export const contentOf = ({ kind, identifier, input, pendingTtl, timeout }: Order): string =>
  JSON.stringify([kind, identifier, input, pendingTtl, timeout])

/** To whom and by whom. */
export interface Target {
  readonly server: string
  readonly orgId: string
  readonly assetId: string
  /** `signed`: by an application, whose signature no command line makes by itself */
  readonly proof: 'open' | 'operator' | 'signed'
}

export interface Preview {
  readonly request: string
  readonly cli: string
  /** null: a signature would have to be computed */
  readonly curl: string | null
}

export function previewOf(order: Order, { server, orgId, assetId, proof }: Target): Preview {
  const { kind, identifier, input, pendingTtl, timeout } = order
  const named = kind === 'set' ? { measurepointId: identifier } : { serviceId: identifier }
  const action = kind === 'set' ? 'setMeasurepoint' : 'invokeService'
  const query = new URLSearchParams({
    ...{ action, orgId, assetId, ...named },
    ...{ pendingTtl: String(pendingTtl), timeout: String(timeout) },
  })
  const body = kind === 'set' ? { value: input } : { inputData: input }
  const target = `/connect-service/v2.1/commands?${query}`
  const what = kind === 'set' ? ['--set', `${identifier}=${line(input)}`] : ['--invoke', identifier]
  const inputs = kind === 'invoke' ? ['--input', line(input)] : []
  return {
    request: `POST ${target}\n\n${JSON.stringify(body, null, 2)}`,
    cli: shell([
      ['downlink', 'command', 'send'],
      ['--server', server, '--org', orgId, '--asset-id', assetId],
      [...what, ...inputs],
      ['--pending-ttl', String(pendingTtl), '--timeout', String(timeout)],
    ]),
    curl:
      proof === 'signed'
        ? null
        : shell([
            ['curl', '-X', 'POST', `${server}${target}`],
            ...(proof === 'operator' ? [['-H', BEARER]] : []),
            ['-H', 'content-type: application/json'],
            ['-d', line(body)],
          ]),
  }
}

const line = (value: unknown): string => JSON.stringify(value)

/** the one word in which a variable of the shell is meant as such */
const BEARER = 'authorization: Bearer $DOWNLINK_OPERATOR_TOKEN'

/** Words of a shell, on several lines. Nothing that somebody typed means anything to it. */
const shell = (lines: readonly (readonly string[])[]): string =>
  lines.map(words => words.map(quoted).join(' ')).join(' \\\n  ')
function quoted(word: string): string {
  if (/^[\w./:=@%+-]+$/.test(word)) return word
  if (word === BEARER) return `"${word}"`
  return `'${word.replaceAll("'", "'\\''")}'`
}

/** What a refusal is about: an input by its path, one of the times, which point or service it is, or nothing that stands in the form. */
export type Place =
  | { readonly about: 'input'; readonly path: string; readonly said: string }
  | { readonly about: 'pendingTtl' | 'timeout' | 'identifier'; readonly said: string }
  | null

/** Of the server's message, `Invalid Argument inputData:limits.low must be …`. `paths` are those of the form's fields. */
export function placeOf(message: string, paths: readonly string[]): Place {
  const [, parameter, said = ''] = /^Invalid Argument ([A-Za-z]+):\s*([\s\S]*)$/.exec(message) ?? []
  if (parameter === 'pendingTtl' || parameter === 'timeout') return { about: parameter, said }
  if (parameter === 'measurepointId' || parameter === 'serviceId') return { about: 'identifier', said }
  if (parameter !== 'value' && parameter !== 'inputData') return null
  // The longest, since one path may begin like another; identifiers may have dots in them too.
  const named = paths.filter(path => path !== '' && said.startsWith(`${path} `)).sort((a, b) => b.length - a.length)
  const [path] = named
  if (path !== undefined) return { about: 'input', path, said: said.slice(path.length + 1) }
  return paths.includes('') ? { about: 'input', path: '', said } : null
}
