// Who did something, as the record has it: the reader, a person with an operator's token, an application; the device, the clock, the server.

import type { Session } from '../session.ts'
import { useSession } from '../signed-in.tsx'
import { common } from './words.ts'

/** characters of an appKey that tell it from others at a glance: keys are mostly random, and the whole is on a pointer's hover */
const KEY_CHARS = 8

/** An operator's application is called `name@organization`. */
const OPERATOR = /^([a-z0-9][a-z0-9._-]*)@(.+)$/
const operatorIn = (by: string): string | undefined => OPERATOR.exec(by)?.[1]
const shortKey = (by: string): string => (by.length > KEY_CHARS ? `${by.slice(0, KEY_CHARS)}…` : by)

/** In open mode everybody is the same application, so it says nothing of who sits here. */
const isReader = (by: string, { appKey, isOpen }: Session): boolean => !isOpen && by === appKey

/** Who is no application at all; null: it is one. */
function otherwise(by: string): string | null {
  const { device, time, server } = common().who
  return by === 'device' ? device : by === 'time' ? time : by === 'server' ? server : null
}

/** For a sentence: `you`, `anna`, or the beginning of a key. */
export const whoText = (by: string, session: Session): string =>
  isReader(by, session) ? common().who.you : (otherwise(by) ?? operatorIn(by) ?? shortKey(by))

/** `isFull`: also of which kind; a cell of a table has no room for it. */
export const Who = ({ by, isFull = false }: { by: string; isFull?: boolean }) => {
  const session = useSession()
  const say = common().who
  const name = operatorIn(by)
  if (otherwise(by) !== null) return <span>{otherwise(by)}</span>
  const isOwn = isReader(by, session)
  if (!isFull)
    return <span title={by}>{isOwn || name !== undefined ? whoText(by, session) : <code>{shortKey(by)}</code>}</span>
  return (
    <span title={by}>
      <span class="faint">{name === undefined ? say.application : say.operator}</span>{' '}
      {name === undefined ? <code>{shortKey(by)}</code> : <b>{name}</b>}
      {isOwn && say.isYou}
    </span>
  )
}
