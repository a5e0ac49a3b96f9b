// What the subcommands write to: plain lines, aligned tables, colour only where it is wanted. Texts of strangers lose their control characters.
// Not here: logs (log.ts).

import { escapeInvisible } from '../core/json.ts'
import type { CommandSpec, Environment } from './options.ts'

/** SGR codes of ECMA-48: on, off. */
const styles = {
  green: [32, 39],
  red: [31, 39],
  yellow: [33, 39],
  cyan: [36, 39],
  gray: [90, 39],
  bold: [1, 22],
} as const
export type Style = keyof typeof styles

export interface Terminal {
  /** a line of the result, on stdout */
  line(text: string): void
  /** a line about a failure, on stderr */
  problem(text: string): void
  readonly colour: boolean
}

/** Exit codes of every subcommand. */
export const Exit = { ok: 0, failure: 1, usage: 2 } as const
export type Exit = (typeof Exit)[keyof typeof Exit]

/** Colour only where a person looks at it and has not said no (no-color.org). */
export function processTerminal(environment: Environment): Terminal {
  // `… | head` closes the pipe early; the reader has what it wanted, which is no failure.
  process.stdout.on('error', error => process.exit('code' in error && error.code === 'EPIPE' ? Exit.ok : Exit.failure))
  return {
    line: text => void process.stdout.write(`${text}\n`),
    problem: text => void process.stderr.write(`${text}\n`),
    colour: process.stdout.isTTY === true && !environment.NO_COLOR,
  }
}

/** Says what is wrong with the command line and where to read on. Returns the exit code. */
export function usageError(terminal: Terminal, spec: CommandSpec, problems: readonly string[]): Exit {
  for (const problem of problems) terminal.problem(`downlink ${spec.name}: ${problem}`)
  terminal.problem(`See: downlink ${spec.name} --help`)
  return Exit.usage
}

/** Errors whose message is written for whoever started the program: what is wrong, and what to do. */
const explained: ReadonlySet<string> = new Set([
  'CannotJoin',
  'CannotOpen',
  'CodecsFolderWrong',
  'FleetConflict',
  'FleetFileWrong',
  'SecretError',
  'StoreUnavailable',
  'TlsFileWrong',
])

/** The message can be printed as it is. */
export const isExplained = (error: unknown): error is Error => error instanceof Error && explained.has(error.name)

export function paint(terminal: Terminal, style: Style, text: string): string {
  const [on, off] = styles[style]
  return terminal.colour ? `\u001b[${on}m${text}\u001b[${off}m` : text
}

/** Text of a server, a device or a file, safe to print: control, format and separator characters become escapes, and it is cut at `max` characters. */
export function printable(text: string, max = Number.POSITIVE_INFINITY): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text
  return escapeInvisible(cut)
}

export interface Cell {
  readonly text: string
  readonly style: Style
}

/** Columns as wide as their widest cell, two blanks between them, nothing after the last. */
export function table(terminal: Terminal, rows: readonly (readonly (string | Cell)[])[]): string[] {
  const textOf = (cell: string | Cell): string => (typeof cell === 'string' ? cell : cell.text)
  const widths: number[] = []
  for (const row of rows)
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, textOf(cell).length)
  return rows.map(row =>
    row
      .map((cell, column) => {
        const text = textOf(cell)
        const padding = column === row.length - 1 ? '' : ' '.repeat((widths[column] ?? 0) - text.length + 2)
        return (typeof cell === 'string' ? text : paint(terminal, cell.style, text)) + padding
      })
      .join(''),
  )
}
