// Who did something, as the record has it: a person with an operator's token, an application, the device, the clock, the server.

import { useSession } from '../signed-in.tsx'
import { words } from './words.ts'

/** characters of an appKey that tell it from others: the whole is on a pointer's hover */
const KEY_CHARS = 8

/** An operator's application is called `name@organization`. */
const OPERATOR = /^([a-z0-9][a-z0-9._-]*)@(.+)$/

export const Who = ({ by }: { by: string }) => {
  const { appKey, isOpen } = useSession()
  const say = words().who
  if (by === 'device' || by === 'time' || by === 'server') return <span>{say[by]}</span>
  const name = OPERATOR.exec(by)?.[1]
  // In open mode everybody is the same application, so it says nothing of who sits here.
  const isReader = !isOpen && by === appKey
  return (
    <span class="who-did" title={by}>
      <span class="faint">{name === undefined ? say.application : say.operator}</span>{' '}
      {name === undefined ? <code>{by.length > KEY_CHARS ? `${by.slice(0, KEY_CHARS)}…` : by}</code> : <b>{name}</b>}
      {isReader && ` (${say.you})`}
    </span>
  )
}
