// Who made something, by the appKey on record: the reader, a person with an operator's token, or an application.

import { useSession } from '../signed-in.tsx'
import { words } from './words.ts'

/** characters of an application's key that are shown: keys are mostly random, and the whole is on a pointer's hover */
const KEY_CHARS = 8

export const Who = ({ appKey }: { appKey: string }) => {
  const session = useSession()
  if (appKey === session.appKey && !session.isOpen) return <span title={appKey}>{words().you}</span>
  const at = appKey.indexOf('@')
  const short = at > 0 ? appKey.slice(0, at) : appKey.length > KEY_CHARS ? `${appKey.slice(0, KEY_CHARS)}…` : appKey
  return <span title={appKey}>{at > 0 ? short : <code>{short}</code>}</span>
}
