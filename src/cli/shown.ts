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

/** JSON on one line, safe to print. */
export const json = (value: unknown, max?: number): string => printable(JSON.stringify(value) ?? 'null', max)
