// Commands as the server tells them and as people see them: the Command struct read from an answer, and its table. Pure.

import { Kind, type State, stateName } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import { CallFailed } from './client.ts'
import { type Cell, printable, type Style, type Terminal, table } from './terminal.ts'

/** The fields of a Command struct that the command line shows. */
export interface ShownCommand {
  readonly commandId: string
  readonly state: State
  readonly verb: 'set' | 'invoke'
  readonly identifier: string
  readonly input: unknown
  readonly output: unknown
  /** in the device's timezone */
  readonly created: string
  readonly pendingTtl: number
  readonly timeout: number
}

export const styles: Readonly<Record<State, Style>> = {
  1: 'cyan',
  2: 'gray',
  3: 'gray',
  4: 'yellow',
  5: 'green',
  6: 'red',
  7: 'red',
}

/** characters of an input in a table; `command get` shows all of it */
const INPUT_SHOWN_CHARS = 40

export const isState = (value: unknown): value is State => typeof value === 'number' && Object.hasOwn(stateName, value)

export const notUnderstood = (field: string): CallFailed =>
  new CallFailed(`the answer has no proper ${field}; is --server a Downlink of this version?`)

/** Throws CallFailed, naming the field, where it is not a Command struct. */
export function readCommand(value: unknown): ShownCommand {
  const fields = isObject(value) ? value : {}
  const text = (name: string): string => {
    const field = fields[name]
    if (typeof field !== 'string') throw notUnderstood(name)
    return printable(field)
  }
  const number = (name: string): number => {
    const field = fields[name]
    if (typeof field !== 'number') throw notUnderstood(name)
    return field
  }
  const { state, commandType, inputData, outputData } = fields
  if (!isState(state)) throw notUnderstood('state')
  return {
    commandId: text('commandId'),
    state,
    verb: commandType === Kind.invoke ? 'invoke' : 'set',
    identifier: text('tslIdentifier'),
    input: inputData,
    output: outputData,
    created: text('createLocalTime'),
    pendingTtl: number('pendingTtl'),
    timeout: number('timeout'),
  }
}

export function readCommands(data: unknown): ShownCommand[] {
  if (!Array.isArray(data)) throw notUnderstood('data')
  return data.map(readCommand)
}

/** What stands beside the cancelled ones: commands that could not be cancelled, and the state they are in. */
export function readNotCancelled(value: unknown): { readonly commandId: string; readonly state: State }[] {
  const list: unknown[] = Array.isArray(value) ? value : []
  return list.map(item => {
    const { commandId, state } = isObject(item) ? item : {}
    if (typeof commandId !== 'string' || !isState(state)) throw notUnderstood('notCancelled')
    return { commandId: printable(commandId), state }
  })
}

/** One line per command below a heading; one line that says so where there are none. */
export function commandTable(terminal: Terminal, commands: readonly ShownCommand[]): string[] {
  if (commands.length === 0) return ['no commands']
  const rows = commands.map(({ commandId, created, state, verb, identifier, input }): (string | Cell)[] => [
    commandId,
    created,
    { text: stateName[state], style: styles[state] },
    `${verb} ${identifier}`,
    json(input, INPUT_SHOWN_CHARS),
  ])
  return table(terminal, [['COMMAND', 'CREATED', 'STATE', 'WHAT', 'INPUT'], ...rows])
}

/** Why a command waits, in words. */
export function readExplanation(value: unknown): {
  readonly commandId: string
  readonly state: State
  readonly explanation: string
} {
  const { commandId, state, explanation } = isObject(value) ? value : {}
  if (typeof commandId !== 'string') throw notUnderstood('commandId')
  if (!isState(state)) throw notUnderstood('state')
  if (typeof explanation !== 'string') throw notUnderstood('explanation')
  return { commandId: printable(commandId), state, explanation: printable(explanation) }
}

/** What happened to a command, and below it what it waited for: one line per event, times in UTC. What happened without another state has none. */
export function timelineTable(terminal: Terminal, data: unknown): string[] {
  const { events, waitedFor } = isObject(data) ? data : {}
  if (!Array.isArray(events)) throw notUnderstood('events')
  if (!Array.isArray(waitedFor)) throw notUnderstood('waitedFor')
  const lines = eventTable(terminal, ['AT', 'STATE', 'BY', 'WHY', ''], events, () => [])
  if (waitedFor.length === 0) return lines
  const of = (commandId: unknown) => [typeof commandId === 'string' ? printable(commandId) : 'the device']
  const waited = eventTable(terminal, ['AT', 'OF', 'STATE', 'BY', 'WHY', ''], waitedFor, of)
  return [...lines, '', 'Meanwhile, before it:', ...waited]
}

function eventTable(
  terminal: Terminal,
  heading: readonly string[],
  events: readonly unknown[],
  of: (commandId: unknown) => readonly string[],
): string[] {
  const rows = events.map((event): (string | Cell)[] => {
    const { commandId, at, from, to, by, reason, detail } = isObject(event) ? event : {}
    if (typeof at !== 'number' || typeof by !== 'string' || typeof reason !== 'string') throw notUnderstood('event')
    return [
      new Date(at).toISOString(),
      ...of(commandId),
      isState(to) && to !== from ? { text: stateName[to], style: styles[to] } : '',
      printable(by),
      printable(reason),
      detail === null || detail === undefined ? '' : json(detail, INPUT_SHOWN_CHARS),
    ]
  })
  return table(terminal, [heading, ...rows]).map(line => line.trimEnd())
}

/** JSON on one line, safe to print. */
export const json = (value: unknown, max?: number): string => printable(JSON.stringify(value) ?? 'null', max)
