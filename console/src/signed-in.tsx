// The session for whatever stands within it. Not here: how it comes to be (session.ts).

import { type ComponentChildren, createContext } from 'preact'
import { useContext } from 'preact/hooks'
import type { Session } from './session.ts'

const Context = createContext<Session | null>(null)

export const SignedIn = ({ session, children }: { session: Session; children: ComponentChildren }) => (
  <Context.Provider value={session}>{children}</Context.Provider>
)

/** Of a component that is shown to who is signed in. */
export function useSession(): Session {
  const session = useContext(Context)
  if (session === null) throw new Error('shown to nobody')
  return session
}
