// Words of why a command is where it is. Times, durations and links stand within the sentences, so a sentence is a function of them.

import type { StateName } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { inBoth } from '../words.ts'

type Part = ComponentChildren
/** A sentence with parts of the page in it. */
const said = (texts: TemplateStringsArray, ...parts: readonly Part[]): Part[] =>
  texts.flatMap((text, place) => [text, parts[place]])

type Over = Readonly<Record<Exclude<StateName, 'created' | 'sent'>, (at: Part) => Part>>

export const reasonWords = inBoth(
  {
    /** between two sentences */
    between: ' ',
    deviceDisabled: 'The device is disabled: nothing is sent to it before somebody enables it.',
    deviceInactive: 'The device has never connected.',
    deviceOffline: 'The device is offline.',
    offlineSince: (since: Part, duration: Part) => said`The device has been offline since ${since}, for ${duration}.`,
    deviceNotReady:
      'The device is connected, but not ready for commands: it has not subscribed yet, or has been silent since the last one.',
    deviceElsewhere: (node: string) => `The device is connected to node ${node}, which sends to it.`,
    behind: (ahead: string, isOne: boolean, first: Part) =>
      isOne ? said`It is behind one command, ${first}.` : said`It is behind ${ahead} commands, the first is ${first}.`,
    beforeIsSent: (sentAt: Part, deadlineAt: Part) =>
      said`That one was sent at ${sentAt}, and the device has until ${deadlineAt} to answer it.`,
    next: 'It is next, and nothing is in its way.',
    waitsUntil: (expireAt: Part, left: Part) =>
      said`It waits until ${expireAt} at most, ${left} from now, and can be cancelled as long as it waits.`,
    waitedLongEnough: 'Its time is up: it is not sent any more.',
    awaitingAnswer: (sentAt: Part) => said`It was sent at ${sentAt}, and the device has not answered yet.`,
    answerUntil: (deadlineAt: Part, left: Part) =>
      said`Without an answer it times out at ${deadlineAt}, ${left} from now. What is sent cannot be recalled.`,
    answerLate: 'The time to answer is up.',
    over: {
      cancelled: at => said`It was cancelled at ${at}, and will never be sent.`,
      expired: at => said`It expired at ${at}: the time that it may wait was over before it could be sent.`,
      succeeded: at => said`The device carried it out, and answered at ${at}.`,
      failed: at => said`It failed at ${at}.`,
      timedOut: at => said`It was sent, and timed out at ${at}: the device did not answer in time.`,
    } as Over,
  },
  {
    between: '',
    deviceDisabled: '设备已禁用，启用之前不会向其下发任何指令。',
    deviceInactive: '设备从未上线。',
    deviceOffline: '设备离线。',
    offlineSince: (since, duration) => said`设备自 ${since} 起离线，已离线 ${duration}。`,
    deviceNotReady: '设备已连接，但尚未就绪：还没有订阅主题，或者自上一条指令以来没有任何响应。',
    deviceElsewhere: node => `设备连接在节点 ${node} 上，由该节点下发。`,
    behind: (ahead, isOne, first) =>
      isOne ? said`前面还有 1 条指令：${first}。` : said`前面还有 ${ahead} 条指令，第一条是 ${first}。`,
    beforeIsSent: (sentAt, deadlineAt) => said`该指令已于 ${sentAt} 下发，设备须在 ${deadlineAt} 之前响应。`,
    next: '下一条就是它，没有任何阻碍。',
    waitsUntil: (expireAt, left) => said`最多等待到 ${expireAt}（还剩 ${left}），等待期间可以取消。`,
    waitedLongEnough: '等待时间已到，不会再下发。',
    awaitingAnswer: sentAt => said`已于 ${sentAt} 下发，设备尚未响应。`,
    answerUntil: (deadlineAt, left) =>
      said`若到 ${deadlineAt}（还剩 ${left}）仍无响应，则响应超时。已下发的指令无法撤回。`,
    answerLate: '响应时间已到。',
    over: {
      cancelled: at => said`已于 ${at} 取消，不会再下发。`,
      expired: at => said`已于 ${at} 过期：在允许的等待时间内未能下发。`,
      succeeded: at => said`设备已执行，并于 ${at} 响应。`,
      failed: at => said`已于 ${at} 失败。`,
      timedOut: at => said`已下发，但设备未及时响应，已于 ${at} 响应超时。`,
    },
  },
)
