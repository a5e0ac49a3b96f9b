// Words of sending a command, its faults among them. Not here: names of points and services, which the model has.

import { durationText } from '../clock.ts'
import { inBoth, type Language, language } from '../words.ts'
import type { NumberFault } from './exact.ts'
import type { JsonFault } from './json-text.ts'
import type { Definition } from './sendable.ts'
import type { Fault } from './values.ts'

export const words = inBoth(
  {
    title: 'Send a command',
    choose: 'What to send',
    search: 'Find by name or identifier',
    points: 'Measurepoints',
    services: 'Services',
    noneFound: 'Nothing is called that.',
    moreFound: (n: string) => `${n} more. Search for them.`,
    nothingChosen: 'Choose what to send',
    nothingChosenHint: 'The fields for it come from the device’s thing model.',
    gone: (id: string) => `The model has no ${id}, or it cannot be set.`,
    empty: 'The thing model has nothing that could be sent',
    emptyHint: 'It has no services, and no measurepoint that can be set.',
    noInputs: 'This service takes no inputs.',
    set: 'Set a measurepoint',
    invoke: 'Invoke a service',
    noModel: 'The product of this device has no thing model: any identifier and any JSON goes out as it is.',
    kind: 'Kind',
    pointId: 'Measurepoint',
    serviceId: 'Service',
    identifierHint: '1 to 64 letters, digits or _ . -',
    valueJson: 'Value, as JSON',
    inputsJson: 'Inputs, as a JSON object',
    valueJsonHint: 'Such as 21.5, true, "text" or {"low": 1}. A text stands in quotes.',
    inputsJsonHint: 'Such as {"delay": 5}. Blank: no inputs.',
    required: 'required',
    requiredMark: 'must be filled in',
    defaultIs: 'default',
    defaultTaken: (value: string) => `Blank: the default ${value} is taken`,
    leftOut: 'Blank: left out',
    leaveOut: 'leave out',
    give: (name: string) => `Send ${name}`,
    emptyText: 'Send it as an empty text',
    item: (n: number) => `Item ${n}`,
    items: (n: string, one: boolean) => (one ? '1 item' : `${n} items`),
    addItem: 'Add an item',
    removeItem: (n: number) => `Remove item ${n}`,
    noItems: 'No items: an empty list is sent.',
    showItems: (n: string) => `Show ${n} more`,
    chooseOne: 'Choose …',
    nowButton: 'Now',
    pick: 'Pick a day and time',
    sentAs: 'Sent as',
    repeated: 'Clocks show this time twice on that day; the earlier one is meant.',
    dateHint: 'Without a timezone: the device reads it by its own clock.',
    zoneIs: (zone: string) => `In ${zone}, or with an offset of its own`,
    zoneViewer: 'your timezone',
    characters: (n: string, max: string) => `${n} of ${max} characters`,
    when: 'When',
    now: 'Now',
    nowHint: (timeout: string) =>
      `Waits here for the device’s answer, up to ${timeout}. Refused while the device is offline.`,
    queued: 'Queued',
    queuedHint: 'Waits in the queue until the device is there, and expires if it is not sent in time.',
    wait: 'Keep it for up to',
    hours: (n: string) => `${n} h`,
    otherWait: 'other',
    otherWaitLabel: 'Time that it is kept',
    unit: 'Unit',
    units: { s: 'seconds', min: 'minutes', h: 'hours' },
    timeout: 'Time to answer',
    timeoutHint: {
      now: '1 to 60 s, waiting in the queue included',
      queued: '1 to 60 s, from when it is sent',
    },
    away: {
      offline: 'The device is offline, so a command for now would be refused and recorded as failed.',
      inactive: 'The device has never connected, so a command for now would be refused and recorded as failed.',
      disabled: 'The device is disabled, so a command for now would be refused and recorded as failed.',
    },
    waits: {
      offline: 'The device is offline: the command waits for it.',
      inactive: 'The device has never connected: the command waits for it.',
      disabled: 'The device is disabled: the command waits until it is enabled and connects.',
    },
    queueInstead: 'Queue it instead',
    preview: 'The request',
    previewIncomplete: 'It stands here once the form is filled in.',
    asRequest: 'HTTP',
    asCli: 'Command line',
    asCurl: 'curl',
    previewKey:
      'It carries an Idempotency-Key of its own: if the answer is lost and you send again, the command is not sent twice.',
    sendNow: 'Send now',
    sendQueued: (wait: string) => `Queue for ${wait}`,
    sendQueuedPlain: 'Queue it',
    sendAgain: 'Ask again',
    sending: 'Sending …',
    waiting: 'Waiting for the device’s answer …',
    left: 'left',
    faulty: (n: string, one: boolean) => (one ? 'One field needs your attention.' : `${n} fields need your attention.`),
    done: { set: 'The device has set it', invoke: 'The device has answered' },
    onRecord: 'It is in the queue',
    onRecordHint: (wait: string) => `It is kept for up to ${wait}.`,
    commandIs: 'Command',
    output: 'Output',
    noOutput: 'The device answered without outputs.',
    unknown: 'It is not known whether it was sent',
    unknownHint:
      'Look at the queue, or ask again. As long as the form stays as it is, asking again has the same Idempotency-Key, so nothing is sent twice.',
    stillOpen: 'The command is on record, and was not over when the server answered',
    timedOut: 'The device has not answered in time',
    timedOutHint: 'The command was sent. Find out from the device whether it was carried out before you send it again.',
    refusedByDevice: (code: string) => `The device refused it with code ${code}`,
    notSent: {
      offline: 'Not sent: the device is offline',
      inactive: 'Not sent: the device has never connected',
      queueFull: 'Not sent: the queue of the device is full',
      waited: 'Not sent: it waited behind others for too long, or was cancelled',
    },
    recordedFailed: 'It is on record as failed.',
    like: (id: string) => `Filled in as in command ${id}.`,
    likeLeftOut: (names: string) => `The model does not take this of it any more: ${names}.`,
    likeGone: (id: string) => `The model has no ${id} any more, so the form could not be filled in.`,
    serverSays: 'The server:',
  },
  {
    title: '下发指令',
    choose: '下发内容',
    search: '按名称或标识符查找',
    points: '测点',
    services: '服务',
    noneFound: '没有匹配的项。',
    moreFound: n => `还有 ${n} 项，请搜索。`,
    nothingChosen: '请选择要下发的内容',
    nothingChosenHint: '表单字段来自设备的物模型。',
    gone: id => `物模型中没有 ${id}，或该测点不可写。`,
    empty: '物模型中没有可下发的内容',
    emptyHint: '该物模型没有服务，也没有可写的测点。',
    noInputs: '此服务没有输入参数。',
    set: '设置测点',
    invoke: '调用服务',
    noModel: '此设备的产品没有物模型：任何标识符和 JSON 都会原样下发。',
    kind: '类型',
    pointId: '测点',
    serviceId: '服务',
    identifierHint: '1 到 64 个字母、数字或 _ . -',
    valueJson: '值（JSON）',
    inputsJson: '输入参数（JSON 对象）',
    valueJsonHint: '例如 21.5、true、"text" 或 {"low": 1}。文本须加双引号。',
    inputsJsonHint: '例如 {"delay": 5}。留空表示无输入参数。',
    required: '必填',
    requiredMark: '为必填项',
    defaultIs: '默认值',
    defaultTaken: value => `留空则使用默认值 ${value}`,
    leftOut: '留空则不下发此项',
    leaveOut: '不下发',
    give: name => `下发${name}`,
    emptyText: '作为空文本下发',
    item: n => `第 ${n} 项`,
    items: n => `${n} 项`,
    addItem: '添加一项',
    removeItem: n => `删除第 ${n} 项`,
    noItems: '没有任何项：将下发空数组。',
    showItems: n => `再显示 ${n} 项`,
    chooseOne: '请选择……',
    nowButton: '当前时间',
    pick: '选择日期和时间',
    sentAs: '实际下发',
    repeated: '由于夏令时切换，该时间在当天出现两次，取较早的一次。',
    dateHint: '不含时区：由设备按其本地时钟解释。',
    zoneIs: zone => `按 ${zone}，也可自带时区偏移`,
    zoneViewer: '您的时区',
    characters: (n, max) => `${n} / ${max} 个字符`,
    when: '下发时机',
    now: '立即',
    nowHint: timeout => `在此等待设备响应，最长 ${timeout}。设备离线时会被拒绝。`,
    queued: '排队',
    queuedHint: '在队列中等待设备上线，超过有效期仍未下发则过期。',
    wait: '有效期',
    hours: n => `${n} 小时`,
    otherWait: '自定义',
    otherWaitLabel: '自定义有效期',
    unit: '单位',
    units: { s: '秒', min: '分钟', h: '小时' },
    timeout: '响应时限',
    timeoutHint: { now: '1 到 60 秒，包含排队时间', queued: '1 到 60 秒，自下发时起算' },
    away: {
      offline: '设备离线，立即下发会被拒绝，并记录为失败。',
      inactive: '设备从未上线，立即下发会被拒绝，并记录为失败。',
      disabled: '设备已禁用，立即下发会被拒绝，并记录为失败。',
    },
    waits: {
      offline: '设备离线：指令将等待设备上线。',
      inactive: '设备从未上线：指令将等待设备上线。',
      disabled: '设备已禁用：指令将等待设备启用并上线。',
    },
    queueInstead: '改为排队',
    preview: '请求预览',
    previewIncomplete: '填写完表单后在此显示。',
    asRequest: 'HTTP',
    asCli: '命令行',
    asCurl: 'curl',
    previewKey: '请求带有专属的 Idempotency-Key：即使响应丢失后再次发送，指令也不会重复下发。',
    sendNow: '立即下发',
    sendQueued: wait => `加入队列（${wait}）`,
    sendQueuedPlain: '加入队列',
    sendAgain: '再次确认',
    sending: '正在发送……',
    waiting: '正在等待设备响应……',
    left: '剩余',
    faulty: n => `有 ${n} 个字段需要修改。`,
    done: { set: '设备已完成设置', invoke: '设备已响应' },
    onRecord: '指令已加入队列',
    onRecordHint: wait => `有效期 ${wait}。`,
    commandIs: '指令',
    output: '输出参数',
    noOutput: '设备响应中没有输出参数。',
    unknown: '无法确定指令是否已发送',
    unknownHint: '请查看队列，或再次确认。只要表单不变，再次确认会使用同一个 Idempotency-Key，不会重复下发。',
    stillOpen: '指令已被记录，服务器响应时尚未结束',
    timedOut: '设备未在规定时间内响应',
    timedOutHint: '指令已下发。再次下发之前，请先确认设备是否已执行。',
    refusedByDevice: code => `设备拒绝了该指令，返回码 ${code}`,
    notSent: {
      offline: '未下发：设备离线',
      inactive: '未下发：设备从未上线',
      queueFull: '未下发：设备的队列已满',
      waited: '未下发：排队时间过长，或已被取消',
    },
    recordedFailed: '已记录为失败。',
    like: id => `已按指令 ${id} 填写。`,
    likeLeftOut: names => `物模型已不再接受其中的：${names}。`,
    likeGone: id => `物模型中已没有 ${id}，无法填写表单。`,
    serverSays: '服务器：',
  },
)

const HOUR_S = 3_600
/** How long a command is kept, as the console speaks of it: a day is 24 h, since it is no day of the calendar. */
export const waitText = (s: number): string =>
  s % HOUR_S === 0 ? words().hours(String(s / HOUR_S)) : durationText(s * 1_000)

/** `5 to 35`; empty: there is none */
export function rangeText(min: number | null, max: number | null): string {
  const say = ranges[language.value]
  if (min !== null && max !== null) return say.both(String(min), String(max))
  if (min !== null) return say.least(String(min))
  return max === null ? '' : say.most(String(max))
}
const ranges: Readonly<
  Record<Language, { both(min: string, max: string): string; least(min: string): string; most(max: string): string }>
> = {
  en: { both: (min, max) => `${min} to ${max}`, least: min => `at least ${min}`, most: max => `at most ${max}` },
  zh: { both: (min, max) => `${min} 到 ${max}`, least: min => `不小于 ${min}`, most: max => `不大于 ${max}` },
}

/** What stands beside a field before anything is wrong with it: its range, in the model's own figures. */
export const ruleText = (definition: Definition): string =>
  'min' in definition ? rangeText(definition.min, definition.max) : ''

const faults = inBoth(
  {
    required: 'This is needed.',
    choose: 'Choose one of them.',
    number: 'A number, such as 12 or -0.5.',
    whole: 'A whole number, such as 12.',
    range: (rule: string) => `Must be ${rule}.`,
    wholeTooLarge: 'Whole numbers go out exactly up to 9007199254740992 only; this one would be rounded.',
    intTooLarge: 'Whole numbers go out exactly up to 9007199254740991 only; this one would be rounded.',
    tooLarge: 'Larger than any number that can be sent.',
    rounded: (nearest: string) => `More digits than go out exactly. The nearest number is ${nearest}.`,
    tooLong: (length: string, max: string) => `${length} characters; at most ${max}.`,
    date: 'A date such as 2026-01-31, or with a time: 2026-01-31 08:00:00.',
    time: 'A time such as 2026-01-31 08:00:00, or ms since 1970.',
    noSuchTime: 'There is no such day or time.',
    skipped: 'Clocks skip this time on that day (daylight saving).',
    tooEarly: 'Not before 1970.',
    uri: 'A URI without blanks, such as https://example.com/file.bin.',
    object: 'Must be a JSON object: {"name": value}.',
    list: 'Must be a JSON list: [1, 2, 3].',
    mixed: 'All items must be of one kind.',
    null: 'null cannot be sent.',
    identifier: 'Letters, digits and _ . - only; at most 64.',
    json: (said: string) => `Not JSON: ${said}`,
    jsonNumber: (literal: string, why: string) => `${literal}: ${why}`,
    jsonKey: (key: string) => `“${key}” is given twice.`,
  },
  {
    required: '此项必填。',
    choose: '请选择一项。',
    number: '请输入数字，例如 12 或 -0.5。',
    whole: '请输入整数，例如 12。',
    range: rule => `取值范围：${rule}。`,
    wholeTooLarge: '整数最大只能精确到 9007199254740992，此数会被舍入。',
    intTooLarge: '整数最大只能精确到 9007199254740991，此数会被舍入。',
    tooLarge: '超出可下发数字的范围。',
    rounded: nearest => `位数过多，无法精确下发。最接近的数是 ${nearest}。`,
    tooLong: (length, max) => `共 ${length} 个字符，最多 ${max} 个。`,
    date: '请输入日期，例如 2026-01-31 或 2026-01-31 08:00:00。',
    time: '请输入时间，例如 2026-01-31 08:00:00，或 1970 年以来的毫秒数。',
    noSuchTime: '不存在这样的日期或时间。',
    skipped: '由于夏令时切换，当天没有这个时间。',
    tooEarly: '不能早于 1970 年。',
    uri: '请输入不含空格的 URI，例如 https://example.com/file.bin。',
    object: '必须是 JSON 对象：{"name": value}。',
    list: '必须是 JSON 数组：[1, 2, 3]。',
    mixed: '所有项必须是同一类型。',
    null: '不能下发 null。',
    identifier: '只能包含字母、数字和 _ . -，最多 64 个字符。',
    json: said => `不是有效的 JSON：${said}`,
    jsonNumber: (literal, why) => `${literal}：${why}`,
    jsonKey: key => `“${key}” 重复出现。`,
  },
)

/** What is wrong, and the rule. */
export function faultText(fault: Fault | NumberFault | JsonFault): string {
  const say = faults()
  switch (fault.fault) {
    case 'range':
      return say.range(rangeText(fault.min, fault.max))
    case 'rounded':
      return say.rounded(fault.nearest)
    case 'tooLong':
      return say.tooLong(String(fault.length), String(fault.max))
    case 'json':
      return say.json(fault.said)
    case 'jsonNumber':
      return say.jsonNumber(fault.literal, faultText(fault.why))
    case 'jsonKey':
      return say.jsonKey(fault.key)
    default:
      return say[fault.fault]
  }
}
