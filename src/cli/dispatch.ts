// From arguments to a subcommand: `--help`, `--version`, and the one that is named. The list of all of them.

import { nearest } from '../core/nearest.ts'
import * as app from './app.ts'
import { cancelMany, cancelManySpec } from './cancel-many.ts'
import {
  cancel,
  cancelSpec,
  explain,
  explainSpec,
  get,
  getSpec,
  list,
  listSpec,
  send,
  sendSpec,
  timeline,
  timelineSpec,
} from './command.ts'
import { serveSpec } from './config.ts'
import * as operators from './console.ts'
import { demo, demoSpec } from './demo.ts'
import { simulate, simulateSpec } from './device.ts'
import { emulate, emulateSpec } from './emulate.ts'
import { apply, applySpec } from './fleet.ts'
import { helpOf, overview } from './help.ts'
import { migrate, migrateSpec } from './migrate.ts'
import type { CommandSpec, Environment } from './options.ts'
import { serve } from './serving.ts'
import { Exit, type Terminal } from './terminal.ts'

export interface Subcommand {
  readonly spec: CommandSpec
  run(args: readonly string[], env: Environment, terminal: Terminal): Promise<Exit>
}

export const subcommands: readonly Subcommand[] = [
  { spec: serveSpec, run: serve },
  { spec: demoSpec, run: demo },
  { spec: emulateSpec, run: emulate },
  { spec: sendSpec, run: send },
  { spec: getSpec, run: get },
  { spec: listSpec, run: list },
  { spec: cancelSpec, run: cancel },
  { spec: cancelManySpec, run: cancelMany },
  { spec: explainSpec, run: explain },
  { spec: timelineSpec, run: timeline },
  { spec: simulateSpec, run: simulate },
  { spec: applySpec, run: apply },
  { spec: app.createSpec, run: app.create },
  { spec: app.listSpec, run: app.list },
  { spec: app.rotateSpec, run: app.rotate },
  { spec: app.grantSpec, run: app.grant },
  { spec: app.revokeSpec, run: app.revoke },
  { spec: app.removeSpec, run: app.remove },
  { spec: operators.tokenSpec, run: operators.token },
  { spec: migrateSpec, run: migrate },
]

/** Runs what the arguments say and returns the exit code. */
export async function dispatch(
  args: readonly string[],
  env: Environment,
  terminal: Terminal,
  version: string,
): Promise<Exit> {
  const found = subcommands.find(({ spec }) => spec.name.split(' ').every((word, index) => args[index] === word))
  if (found) {
    const rest = args.slice(found.spec.name.split(' ').length)
    if (!asksForHelp(rest)) return found.run(rest, env, terminal)
    terminal.line(helpOf(found.spec))
    return Exit.ok
  }
  const [first = '', ...rest] = args
  if (first === '--version') {
    terminal.line(version)
    return Exit.ok
  }
  if (first === 'help') return help(rest, terminal)
  if (asksForHelp(args)) {
    const group = groupOf(first)
    terminal.line(overview(group.length > 0 ? group : subcommands.map(({ spec }) => spec)))
    return Exit.ok
  }
  terminal.problem(unknown(args))
  return Exit.usage
}

/** `downlink help [command]`: the same as `--help` behind it. */
function help(words: readonly string[], terminal: Terminal): Exit {
  const asked = words.filter(word => word !== '--help' && word !== '-h').join(' ')
  const found = subcommands.find(({ spec }) => spec.name === asked)
  const group = asked === '' ? subcommands.map(({ spec }) => spec) : groupOf(asked)
  if (found === undefined && group.length === 0) {
    terminal.problem(unknown(words))
    return Exit.usage
  }
  terminal.line(found === undefined ? overview(group) : helpOf(found.spec))
  return Exit.ok
}

const groupOf = (first: string): CommandSpec[] =>
  subcommands.map(({ spec }) => spec).filter(({ name }) => name.startsWith(`${first} `))

/** Words after `--` are arguments, whatever they look like. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  const options = end < 0 ? args : args.slice(0, end)
  return options.includes('--help') || options.includes('-h')
}

function unknown(args: readonly string[]): string {
  const [first, second] = args
  if (first === undefined) return 'downlink: name a command. See: downlink --help'
  const group = groupOf(first)
  if (group.length > 0 && second === undefined)
    return `downlink: name one of: ${group.map(({ name }) => name).join(', ')}. See: downlink ${first} --help`
  const names = subcommands.map(({ spec }) => spec.name)
  const meant = nearest(second === undefined ? first : `${first} ${second}`, names) ?? nearest(first, names)
  const hint = meant === null ? '.' : `, did you mean "downlink ${meant}"?`
  const typed = group.length > 0 ? `${first} ${second}` : first
  return `downlink: unknown command "${typed}"${hint} See: downlink --help`
}
