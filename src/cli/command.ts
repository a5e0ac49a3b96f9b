// `downlink command send|get|list|cancel|explain|timeline`: one call each, its answer as a table or as it came, and an exit code that a script can trust.
// Not here: who calls (calling.ts), how a call is signed and sent (client.ts).

import { isCommandId, isKey, State, stateName } from '../core/command.ts'
import { isJson, isObject, readJson } from '../core/json.ts'
import {
  LIST_LIMIT_DEFAULT,
  PAGE_SIZE_MAX,
  PENDING_TTL_MAX_S,
  TIMEOUT_DEFAULT_S,
  TIMEOUT_MAX_S,
} from '../core/limits.ts'
import { accountOptions, answered, callerOptions, readAccount, readCaller } from './calling.ts'
import { type CommandSpec, type Environment, Given, type NameOf, option } from './options.ts'
import {
  commandTable,
  json,
  notUnderstood,
  readCommand,
  readCommands,
  readExplanation,
  readNotCancelled,
  styles,
  timelineTable,
} from './shown.ts'
import { type Cell, Exit, paint, printable, type Terminal, table, usageError } from './terminal.ts'

export const sendSpec = {
  name: 'command send',
  summary: 'Set a measurepoint or invoke a service: at once, or cached until the device is there.',
  operand: null,
  options: [
    option('set', null, 'point=value', null, 'Set this measurepoint; the value is JSON, or else a text.'),
    option('invoke', null, 'service', null, 'Invoke this service.'),
    option('input', null, 'JSON', null, 'Inputs of the service, a JSON object.'),
    option(
      'pending-ttl',
      null,
      's',
      0,
      `Keep it for the device for up to this long, at most ${PENDING_TTL_MAX_S}; 0: now or never.`,
    ),
    option('timeout', null, 's', TIMEOUT_DEFAULT_S, `How long the device may take to answer, 1 to ${TIMEOUT_MAX_S}.`),
    ...callerOptions,
  ],
  notes: [
    'With --pending-ttl 0 the call waits for the answer, --timeout in all, and fails if the device is offline; otherwise it returns at once.',
    'Example: downlink command send --org o1 --asset-id a1 --set Int_value=5 --pending-ttl 600',
  ],
} as const satisfies CommandSpec

export const getSpec = {
  name: 'command get',
  summary: 'Show one command of a device.',
  operand: { name: 'COMMAND_ID', required: true },
  options: callerOptions,
  notes: [],
} as const satisfies CommandSpec

export const listSpec = {
  name: 'command list',
  summary: 'Show the commands of a device, newest first.',
  operand: null,
  options: [
    option('state', null, 'states', null, 'Only these: names or numbers with commas, such as created,sent.'),
    option('expression', null, 'text', null, 'Only what this matches, such as: createTime >= "2026-01-31 08:00:00"'),
    option('limit', null, 'n', LIST_LIMIT_DEFAULT, `At most this many, 1 to ${PAGE_SIZE_MAX}.`),
    ...callerOptions,
  ],
  notes: [
    `States: ${Object.entries(stateName)
      .map(([number, name]) => `${number} ${name}`)
      .join(', ')}.`,
  ],
} as const satisfies CommandSpec

export const cancelSpec = {
  name: 'command cancel',
  summary: 'Cancel one queued command of a device, or with --all every one.',
  operand: { name: 'COMMAND_ID', required: false },
  options: [option('all', null, null, null, 'Cancel all that is queued for the device.'), ...callerOptions],
  notes: [
    'What is reported as cancelled is never sent. A command that was sent already is not cancelled; then the exit code is 1.',
    'Cancelling a cancelled command again is no failure.',
  ],
} as const satisfies CommandSpec

export const explainSpec = {
  name: 'command explain',
  summary: 'Say why a command is still waiting, or how it ended.',
  operand: { name: 'COMMAND_ID', required: true },
  options: accountOptions,
  notes: [],
} as const satisfies CommandSpec

export const timelineSpec = {
  name: 'command timeline',
  summary: 'Show the life of a command: what happened to it, when, by whom.',
  operand: { name: 'COMMAND_ID', required: true },
  options: accountOptions,
  notes: [],
} as const satisfies CommandSpec

/** `downlink command send`. Exit 0 when it is cached, or for an instant one when the device has answered with success. */
export async function send(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof sendSpec>>(sendSpec, args, env)
  const caller = readCaller(given)
  const { query, body } = readOrder(given)
  const pendingTtl = given.integer('pending-ttl', 0, PENDING_TTL_MAX_S) ?? 0
  const timeout = given.integer('timeout', 1, TIMEOUT_MAX_S) ?? TIMEOUT_DEFAULT_S
  if (given.problems.length > 0) return usageError(terminal, sendSpec, given.problems)
  const times = { pendingTtl: String(pendingTtl), timeout: String(timeout) }
  const waitMs = pendingTtl > 0 ? 0 : timeout * 1_000
  const call = () => caller.client.call('POST', { ...query, ...caller.device, ...times }, body, waitMs)
  return answered(terminal, caller, call, (answer, out) => {
    if (!isObject(answer.data) || typeof answer.data.commandId !== 'string') throw notUnderstood('data.commandId')
    const { commandId, outputData } = answer.data
    const state = pendingTtl > 0 ? State.created : State.succeeded
    const more = pendingTtl > 0 ? `, expires in ${pendingTtl} s if it is not sent until then` : ''
    out.line(`${printable(commandId)} ${paint(out, styles[state], stateName[state])}${more}`)
    if (isObject(outputData) && Object.keys(outputData).length > 0) out.line(`output ${json(outputData)}`)
    return Exit.ok
  })
}

/** `downlink command get COMMAND_ID`. */
export async function get(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof getSpec>>(getSpec, args, env)
  const caller = readCaller(given)
  const commandId = readCommandId(given)
  if (given.problems.length > 0) return usageError(terminal, getSpec, given.problems)
  const call = () => caller.client.call('GET', { action: 'get', ...caller.device, commandId }, null, 0)
  return answered(terminal, caller, call, (answer, out) => {
    const command = readCommand(answer.data)
    const rows: (string | Cell)[][] = [
      ['command', command.commandId],
      ['state', { text: stateName[command.state], style: styles[command.state] }],
      ['created', `${command.created} (time of the device)`],
      [command.verb, command.identifier],
      ['input', json(command.input)],
      ['output', json(command.output)],
      ['pending ttl', command.pendingTtl === 0 ? '0 s, instant' : `${command.pendingTtl} s`],
      ['timeout', `${command.timeout} s`],
    ]
    for (const line of table(out, rows)) out.line(line)
    return Exit.ok
  })
}

/** `downlink command list`. */
export async function list(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof listSpec>>(listSpec, args, env)
  const caller = readCaller(given)
  const limit = given.integer('limit', 1, PAGE_SIZE_MAX) ?? LIST_LIMIT_DEFAULT
  const expression = readFilter(given)
  if (given.problems.length > 0) return usageError(terminal, listSpec, given.problems)
  const body = JSON.stringify({ ...expression, pagination: { pageNo: 1, pageSize: limit } })
  const call = () => caller.client.call('POST', { action: 'search', ...caller.device }, body, 0)
  return answered(terminal, caller, call, (answer, out) => {
    const commands = readCommands(answer.data)
    for (const line of commandTable(out, commands)) out.line(line)
    const { pagination } = answer.fields
    const total = isObject(pagination) ? Number(pagination.totalSize) : commands.length
    if (total > commands.length) out.line(`${commands.length} of ${total}; more with --limit`)
    return Exit.ok
  })
}

/** `downlink command cancel`. Exit 0 when nothing that was asked for can be sent any more, 1 when the command named was sent already. */
export async function cancel(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> {
  const given = new Given<NameOf<typeof cancelSpec>>(cancelSpec, args, env)
  const caller = readCaller(given)
  const all = given.flag('all')
  // An empty COMMAND_ID is most likely a variable that was never set: it must not become "all".
  if (all && given.operand !== null) given.problems.push('give either COMMAND_ID or --all, not both')
  else if (!all && given.operand === null) given.problems.push('give COMMAND_ID, or --all for all that is queued')
  const commandId: Record<string, string> = all || given.operand === null ? {} : { commandId: readCommandId(given) }
  if (given.problems.length > 0) return usageError(terminal, cancelSpec, given.problems)
  const call = () => caller.client.call('POST', { action: 'cancel', ...caller.device, ...commandId }, null, 0)
  return answered(terminal, caller, call, (answer, out) => {
    const cancelled = readCommands(answer.data)
    const others = readNotCancelled(answer.fields.notCancelled)
    if (cancelled.length > 0) for (const line of commandTable(out, cancelled)) out.line(line)
    else if (others.length === 0) out.line('nothing is queued')
    for (const { commandId, state } of others.filter(({ state }) => state === State.cancelled))
      out.line(`${commandId} was ${paint(out, styles[state], 'cancelled')} before`)
    const tooLate = others.filter(({ state }) => state !== State.cancelled)
    for (const { commandId, state } of tooLate)
      terminal.problem(`downlink: not cancelled: ${commandId} is ${stateName[state]} already`)
    return tooLate.length > 0 ? Exit.failure : Exit.ok
  })
}

/** `downlink command explain COMMAND_ID`. */
export const explain = (args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> =>
  lookAt(explainSpec, 'explain', args, env, terminal, (data, out) => {
    const { commandId, state, explanation } = readExplanation(data)
    out.line(`${commandId} ${paint(out, styles[state], stateName[state])}`)
    out.line(explanation)
  })

/** `downlink command timeline COMMAND_ID`. */
export const timeline = (args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit> =>
  lookAt(timelineSpec, 'timeline', args, env, terminal, (data, out) => {
    for (const line of timelineTable(out, data)) out.line(line)
  })

/** What is asked about a command by its id alone. */
async function lookAt(
  spec: typeof explainSpec | typeof timelineSpec,
  what: 'explain' | 'timeline',
  args: readonly string[],
  env: Environment,
  terminal: Terminal,
  show: (data: unknown, out: Terminal) => void,
): Promise<Exit> {
  const given = new Given<NameOf<typeof explainSpec>>(spec, args, env)
  const account = readAccount(given)
  const commandId = readCommandId(given)
  if (given.problems.length > 0) return usageError(terminal, spec, given.problems)
  const { client, orgId } = account
  const call = () => client.ask({ method: 'GET', path: `/v1/commands/${commandId}/${what}`, query: { orgId } })
  return answered(terminal, account, call, ({ data }, out) => {
    show(data, out)
    return Exit.ok
  })
}

/** What to send: the query's share and the body as JSON text. The caller's JSON goes out as it was typed, since parsing would round its numbers. */
function readOrder(given: Given<NameOf<typeof sendSpec>>): { query: Record<string, string>; body: string } {
  const set = given.text('set')
  const invoke = given.text('invoke')
  const input = given.text('input')
  if ((set === null) === (invoke === null)) given.problems.push('give either --set point=value or --invoke service')
  if (set !== null && input !== null) given.problem('input', 'belongs to --invoke')
  if (set !== null) {
    const [, point = '', value = ''] = /^([^=]*)=(.*)$/s.exec(set) ?? []
    if (!isKey(point)) given.problem('set', 'must be point=value, such as --set Int_value=5')
    const asJson = isJson(value) ? value : JSON.stringify(value)
    return { query: { action: 'setMeasurepoint', measurepointId: point }, body: `{"value":${asJson}}` }
  }
  if (invoke !== null && !isKey(invoke)) given.problem('invoke', 'is not a service id: 1 to 64 of A-Z a-z 0-9 _ . -')
  const parsed = input === null ? null : readJson(input)
  if (parsed?.ok === false) given.problem('input', parsed.fault)
  else if (parsed !== null && !isObject(parsed.value)) given.problem('input', 'must be a JSON object of inputs')
  return { query: { action: 'invokeService', serviceId: invoke ?? '' }, body: `{"inputData":${input ?? '{}'}}` }
}

function readCommandId(given: Given<string>): string {
  const text = given.operand ?? ''
  if (given.operand !== null && !isCommandId(text))
    given.problems.push('COMMAND_ID must be a decimal number of up to 19 digits')
  return text
}

/** `--state` and `--expression` as one search expression; both must hold. */
function readFilter(given: Given<NameOf<typeof listSpec>>): { expression?: string } {
  const states = given.text('state')
  const terms: string[] = []
  if (states !== null) {
    const numbers = states.split(',').map(text => stateNumber(text.trim()))
    if (numbers.includes(null))
      given.problem('state', `must be of ${Object.values(stateName).join(', ')}, or their numbers`)
    terms.push(`state in (${numbers.join(', ')})`)
  }
  const expression = given.text('expression')
  if (expression !== null) terms.push(terms.length > 0 ? `(${expression})` : expression)
  return terms.length > 0 ? { expression: terms.join(' and ') } : {}
}

const stateNumber = (text: string): State | null =>
  Object.values(State).find(state => stateName[state] === text || String(state) === text) ?? null
