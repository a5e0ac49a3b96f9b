// The address of NATS, as `--signal` has it. Pure. Not here: connecting (nats.ts).
//
//   nats://[user:password@ | token@]host[:port][,host[:port]…][/name]
//   tls://…[?ca=/etc/ssl/nats-ca.pem]
//
// With nats:// TLS is used where the server has it; with tls:// there is no connection without. The name is the installation's: its nodes talk under
// `name.node.7`, so that two installations on one NATS do not hear each other. What is heard by mistake is refused, for its signature.

import { NATS_NAME_MAX_CHARS, NATS_SERVERS_MAX } from '../core/limits.ts'

export interface NatsAddress {
  /** `host:port`, in the order in which they are tried; an IPv6 host has its brackets */
  readonly servers: readonly string[]
  readonly login:
    | { readonly user: string; readonly password: string }
    | { readonly token: string }
    | Readonly<Record<string, never>>
  readonly tls: 'required' | 'offered'
  /** path of a PEM file with the authorities to trust in place of the well-known ones */
  readonly caFile: string | null
  /** what subjects begin with */
  readonly name: string
}

/** Problems say what to write instead, and repeat nothing of the text: it may hold a password. */
export type NatsUrl =
  | { readonly ok: true; readonly address: NatsAddress }
  | { readonly ok: false; readonly problem: string }

const NAME = 'downlink'
const PORT = 4_222

export function readNatsUrl(text: string): NatsUrl {
  const parts = /^(nats|tls):\/\/(?:([^@/?#]*)@)?([^@/?#]+)(?:\/([^?#]*))?(?:\?([^#]*))?$/.exec(text)
  if (parts === null)
    return bad('is not an address of NATS, such as nats://127.0.0.1:4222 or tls://nats.example:4222/production')
  const [, scheme, userInfo = '', hosts = '', path = '', query = ''] = parts
  const servers = hosts.split(',').map(readServer)
  const login = readLogin(userInfo)
  const name = path === '' ? NAME : path
  const params = new URLSearchParams(query)
  const caFile = params.get('ca')
  if (servers.length > NATS_SERVERS_MAX) return bad(`has more than ${NATS_SERVERS_MAX} servers; a few tell of the rest`)
  if (!servers.every(server => server !== null))
    return bad('has a server that is not host or host:port; several are separated by commas, IPv6 stands in brackets')
  if (login === null)
    return bad('has a login that is neither user:password nor a token; write other characters as %40 for @')
  if (name.length > NATS_NAME_MAX_CHARS || !/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(name))
    return bad(`has a name that is not up to ${NATS_NAME_MAX_CHARS} letters, digits, - and _, with single dots between`)
  if ([...params.keys()].some(key => key !== 'ca') || params.getAll('ca').length > 1 || caFile === '')
    return bad('has parameters other than one ca=FILE')
  if (caFile !== null && scheme !== 'tls') return bad('has a ca, which is for tls://')
  return { ok: true, address: { servers, login, tls: scheme === 'tls' ? 'required' : 'offered', caFile, name } }
}

const bad = (problem: string): NatsUrl => ({ ok: false, problem })

function readServer(text: string): string | null {
  const [, host, port = String(PORT)] = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/.exec(text) ?? []
  return host === undefined || Number(port) < 1 || Number(port) > 65_535 ? null : `${host}:${Number(port)}`
}

function readLogin(text: string): NatsAddress['login'] | null {
  if (text === '') return {}
  const [first, second, ...more] = text.split(':').map(decoded)
  if (!first || more.length > 0 || second === null) return null
  return second === undefined ? { token: first } : { user: first, password: second }
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}
