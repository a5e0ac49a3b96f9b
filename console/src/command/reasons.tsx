// Why a command is where it is, in the reader's language, out of the reasons that the server gives. A reason that this page does not know is told in the
// server's own words. Not here: whether it can be stopped from here (page.tsx).

import { type Explanation, type Reason, State, stateName } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { Link } from 'wouter-preact'
import { now } from '../clock.ts'
import { Age, Left, Time } from '../parts/time.tsx'
import { number } from '../words.ts'
import { reasonWords } from './reason-words.ts'

interface Props {
  readonly explanation: Explanation
  /** of the device */
  readonly zone?: string | undefined
}

/** A few sentences: what keeps it, or what it waits for, and until when. What is over has one. */
export const Reasons = ({ explanation, zone }: Props) => {
  const { reasons } = explanation
  const names = reasons.map(({ reason }) => reason).join(' ')
  const sentences = reasons.map(reason => sentence(reason, { explanation, zone }))
  // One that is not known may be what matters most: then the server's sentence stands instead of all.
  if (sentences.some(said => said === null) || sentences.length === 0)
    return (
      <p class="reasons" data-reasons={names} lang="en">
        {explanation.explanation}
      </p>
    )
  const all = [...sentences, <Limit key="limit" explanation={explanation} zone={zone} />]
  const { between } = reasonWords()
  return (
    <p class="reasons" data-reasons={names}>
      {all.flatMap((said, place) => (place === 0 ? [said] : [between, said]))}
    </p>
  )
}

/** null: not known here. */
function sentence(reason: Reason, { explanation, zone }: Props): ComponentChildren {
  const words = reasonWords()
  const time = (at: number) => <Time at={at} zone={zone} />
  switch (reason.reason) {
    case 'deviceDisabled':
    case 'deviceInactive':
    case 'deviceNotReady':
    case 'next':
      return words[reason.reason]
    case 'deviceOffline':
      return reason.since === null
        ? words.deviceOffline
        : words.offlineSince(time(reason.since), <Age at={reason.since} zone={zone} />)
    case 'deviceElsewhere':
      return words.deviceElsewhere(String(reason.node))
    case 'behind':
      return words.behind(number(reason.ahead), reason.ahead === 1, <Before commandId={reason.commandId} />)
    case 'awaitingAnswer':
      return explanation.state === State.sent
        ? words.awaitingAnswer(time(reason.sentAt))
        : words.beforeIsSent(time(reason.sentAt), time(reason.deadlineAt))
    case 'over': {
      const name = stateName[explanation.state]
      return name === 'created' || name === 'sent' ? null : words.over[name](time(reason.settledAt))
    }
    default:
      return null
  }
}

const Before = ({ commandId }: { commandId: string }) => (
  <Link href={`/commands/${commandId}`}>
    <code>{commandId}</code>
  </Link>
)

/** Until when it may wait, or be answered. */
const Limit = ({ explanation, zone }: Props) => {
  const { state, expireAt, deadlineAt } = explanation
  const words = reasonWords()
  const isAhead = (at: number) => at > now.value
  const both = (at: number) => [<Time key="at" at={at} zone={zone} />, <Left key="left" at={at} zone={zone} />] as const
  if (state === State.created && expireAt !== null)
    return <>{isAhead(expireAt) ? words.waitsUntil(...both(expireAt)) : words.waitedLongEnough}</>
  if (state === State.sent && deadlineAt !== null)
    return <>{isAhead(deadlineAt) ? words.answerUntil(...both(deadlineAt)) : words.answerLate}</>
  return null
}
