// One event in words: what became of which command, on which device, by whom and how long it took. Not here: which events are shown (feed.ts).

import { type ChangeEvent, isFinal, State } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { Link } from 'wouter-preact'
import { durationText } from '../clock.ts'
import { StateBadge, StatusBadge } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { whoText } from '../parts/who.tsx'
import { useSession } from '../signed-in.tsx'
import { words } from './words.ts'

export const Happened = ({ event }: { event: ChangeEvent }) => {
  const say = words()
  const { device, commandId, command, at } = event
  const who = whoText(event.by, useSession())
  const deviceLink = <Link href={`/devices/${encodeURIComponent(device.assetId)}`}>{device.deviceKey}</Link>
  const about = () => {
    if (commandId === null) return deviceLink
    const link = <Link href={`/commands/${commandId}`}>{command?.tslIdentifier ?? commandId}</Link>
    return command?.commandType === 2 ? say.invoke(link, deviceLink) : say.set(link, deviceLink)
  }
  return (
    <li class="feed-line">
      <span class="feed-badge">{badgeOf(event)}</span>
      <span class="feed-what">{about()}</span>
      <Time at={at} />
      <span class="feed-how">{commandId === null ? deviceText(event, who) : commandText(event, who)}</span>
    </li>
  )
}

function badgeOf({ from, to, reason }: ChangeEvent): ComponentChildren {
  const say = words()
  if (to !== null) return from === to ? <span class="badge plain">{say.late}</span> : <StateBadge state={to} />
  if (reason === 'connected') return <StatusBadge status="online" />
  if (reason === 'disconnected') return <StatusBadge status="offline" />
  if (reason === 'disabled') return <StatusBadge status="disabled" />
  const { activatedBadge: activated, enabledBadge: enabled, deletedBadge: deleted } = say.happened
  const badges: Readonly<Record<string, string>> = { activated, enabled, deleted }
  return <span class="badge plain">{wordOf(badges, reason)}</span>
}

/** Of a reason that is newer than this console, the reason itself. */
const wordOf = (words: Readonly<Record<string, string>>, reason: string): string =>
  (Object.hasOwn(words, reason) ? words[reason] : undefined) ?? reason

function deviceText({ reason }: ChangeEvent, who: string): string {
  const { happened } = words()
  const texts: Readonly<Record<string, string>> = {
    connected: happened.connected,
    disconnected: happened.disconnected,
    activated: happened.activated,
    disabled: happened.disabledBy(who),
    enabled: happened.enabledBy(who),
    deleted: happened.deletedBy(who),
  }
  return wordOf(texts, reason)
}

const took = (ms: number | null | undefined): string => durationText(ms ?? 0, true)

function commandText({ from, to, reason, latency, command }: ChangeEvent, who: string): string {
  const { happened } = words()
  if (from === to) return reason === 'late reply' ? happened.late : reason
  if (reason === 'device deleted') return happened.gone
  if (to === State.created) return from === null ? happened.acceptedBy(who) : happened.waitsAgain
  if (to === State.sent) return latency?.waitedMs ? happened.sentAfter(took(latency.waitedMs)) : happened.sentAtOnce
  if (to === State.succeeded) return happened.answered(took(latency?.answeredMs))
  if (to === State.timedOut) return happened.unanswered(took(latency?.answeredMs))
  if (to === State.expired) return happened.expiredAfter(took(latency?.totalMs))
  if (to === State.cancelled) return happened.cancelledBy(who, took(latency?.totalMs))
  if (to === null || !isFinal(to)) return reason
  if (from === null) return wordOf(happened.refused, reason)
  if (reason === 'reply') return happened.answeredError(String(command?.code ?? '?'), took(latency?.answeredMs))
  return neverSentText(reason)
}

/** What is too large, or in no form that the device takes, would fail the next time as well. */
const UNSENDABLE = /^unsent: (tooLarge|codec|unsupported)$/

function neverSentText(reason: string): string {
  const { happened } = words()
  if (reason === 'offline') return happened.away
  if (reason === 'timeout') return happened.notSent
  if (UNSENDABLE.test(reason)) return happened.unsendable
  return reason.startsWith('unsent: ') ? happened.notLeft : reason
}
