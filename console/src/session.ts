// Who is signed in: the client that asks on their behalf, and what they may do. Signing in, out, and what ends a session. An application's secret stays in
// memory and is gone with the page; an operator's token is kept for the tab (sessionStorage). Not here: the form (signin/), what is asked (the pages).

import {
  Downlink,
  DownlinkError,
  type DownlinkOptions,
  type Grant,
  NoToken,
  type WhoAmI,
  whoAmI,
} from '@downlink/client'
import { signal } from '@preact/signals'
import { heardAt } from './clock.ts'

/** With what somebody signs in. */
export type Credentials =
  | { readonly kind: 'application'; readonly appKey: string; readonly appSecret: string }
  | { readonly kind: 'operator'; readonly operatorToken: string }

export interface Session {
  readonly client: Downlink
  readonly orgId: string
  readonly orgName: string
  /** appKey under which what is done stands in the record */
  readonly appKey: string
  readonly operator: string | null
  readonly grants: readonly Grant[]
  /** when the operator's token ends */
  readonly expireAt: number | null
  /** nobody is asked for credentials: whoever reaches the server may do anything */
  readonly isOpen: boolean
  /** of a server in open mode, to change between */
  readonly organizations: WhoAmI['organizations']
}

export type Entry =
  | { readonly state: 'asking' }
  /** the server is not heard of; it is asked again */
  | { readonly state: 'unreachable'; readonly error: unknown }
  /** `ended`: a session was there, and the server takes its credentials no more */
  | { readonly state: 'out'; readonly ended: boolean }
  | { readonly state: 'in'; readonly session: Session }

export const entry = signal<Entry>({ state: 'asking' })

const server = window.location.origin
const TOKEN = 'downlink.operatorToken'
const ORGANIZATION = 'downlink.orgId'
/** ms after which a server that was not heard of is asked again */
const ASK_AGAIN_MS = 2_000
/** ms that pauses between repeats are at most: somebody is looking at the page */
const PAUSE_MAX_MS = 2_000
const RETRIES = 2

/** Straight in where nobody is asked for credentials, or the tab has an operator's token still; else to the form. */
export async function begin(): Promise<void> {
  try {
    const token = sessionStorage.getItem(TOKEN)
    if (token !== null && (await signInKept(token))) return
    const found = await whoAmI({ server, open: true })
    heardAt(found.now)
    enterOpen(found, sessionStorage.getItem(ORGANIZATION))
  } catch (error) {
    if (isRejected(error)) entry.value = { state: 'out', ended: false }
    else {
      entry.value = { state: 'unreachable', error }
      setTimeout(begin, ASK_AGAIN_MS)
    }
  }
}

async function signInKept(operatorToken: string): Promise<boolean> {
  try {
    await signIn({ kind: 'operator', operatorToken })
    return true
  } catch (error) {
    if (!isRejected(error)) throw error
    sessionStorage.removeItem(TOKEN)
    return false
  }
}

/** Throws what the server refuses; then nobody is signed in. */
export async function signIn(credentials: Credentials): Promise<void> {
  const { kind, ...proof } = credentials
  const found = await whoAmI({ server, ...proof })
  heardAt(found.now)
  const { caller } = found
  if (caller === null) return enterOpen(found, sessionStorage.getItem(ORGANIZATION))
  if (kind === 'operator') sessionStorage.setItem(TOKEN, credentials.operatorToken)
  const { orgId, orgName, appKey, operator, grants, expireAt } = caller
  entry.value = {
    state: 'in',
    session: {
      ...{ client: clientOf({ orgId, ...proof }), orgId, orgName, appKey, operator, grants },
      ...{ expireAt: kind === 'operator' ? expireAt : null, isOpen: false, organizations: [] },
    },
  }
}

function enterOpen({ organizations }: WhoAmI, wanted: string | null): void {
  const [first] = organizations
  const chosen = organizations.find(({ orgId }) => orgId === wanted) ?? first
  const { orgId = '', name = '', appKey = null, grants = [] } = chosen ?? {}
  entry.value = {
    state: 'in',
    session: {
      ...{
        client: clientOf({ orgId: orgId === '' ? '-' : orgId, open: true }),
        orgId,
        orgName: name,
        appKey: appKey ?? '',
      },
      ...{ operator: null, grants, expireAt: null, isOpen: true, organizations },
    },
  }
}

/** Of a server in open mode. */
export function changeOrganization(orgId: string): void {
  const { value } = entry
  if (value.state !== 'in' || !value.session.isOpen) return
  sessionStorage.setItem(ORGANIZATION, orgId)
  void begin()
}

export function signOut(): void {
  sessionStorage.removeItem(TOKEN)
  entry.value = { state: 'out', ended: false }
}

/** Whether it is the client of who is signed in now: what others are told no longer concerns anybody. */
export function isSignedIn(client: Downlink): boolean {
  const entered = entry.peek()
  return entered.state === 'in' && entered.session.client === client
}

/**
 * Whether it says that the credentials of this client are good no more; then its session is over. Pages need do nothing: the form is shown instead of them. An
 * answer that comes late, for a session before, leaves alone who is signed in now.
 */
export function endsSession(error: unknown, client: Downlink): boolean {
  if (!isRejected(error)) return false
  if (isSignedIn(client)) {
    sessionStorage.removeItem(TOKEN)
    entry.value = { state: 'out', ended: true }
  }
  return true
}

const UNAUTHORIZED = 401
/** By the status, since a device may answer with any code; a token that is not given for another reason than a busy server is the same. */
const isRejected = (error: unknown): boolean =>
  (error instanceof NoToken && !error.retriable) ||
  (error instanceof DownlinkError && error.httpStatus === UNAUTHORIZED)

function clientOf(options: Omit<DownlinkOptions, 'server' | 'retries' | 'sleep'>): Downlink {
  return new Downlink({
    ...options,
    server,
    retries: RETRIES,
    sleep: (ms, signal) => pause(Math.min(ms, PAUSE_MAX_MS), signal),
  })
}

/** A pause that its signal ends, and that is over at once when the browser is online again or the page is looked at again. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = (run: () => void) => () => {
      clearTimeout(timer)
      window.removeEventListener('online', wake)
      document.removeEventListener('visibilitychange', seen)
      signal?.removeEventListener('abort', stop)
      run()
    }
    const wake = over(resolve)
    const seen = () => {
      if (!document.hidden) wake()
    }
    const stop = over(() => reject(signal?.reason))
    const timer = setTimeout(wake, ms)
    if (signal?.aborted) return stop()
    window.addEventListener('online', wake)
    document.addEventListener('visibilitychange', seen)
    signal?.addEventListener('abort', stop)
  })
}
