// Help, written from the same tables that are parsed, so that it is complete by construction. Pure.

import type { CommandSpec, OptionSpec } from './options.ts'

const NAME_COLUMN_CHARS = 32

/** `downlink <subcommand> --help`. */
export function helpOf(spec: CommandSpec): string {
  const operand =
    spec.operand === null ? '' : ` ${spec.operand.required ? spec.operand.name : `[${spec.operand.name}]`}`
  const lines = [`Usage: downlink ${spec.name}${operand} [options]`, '', spec.summary, '', 'Options:']
  for (const option of spec.options) lines.push(...optionLines(option))
  lines.push(row('--help', 'Show this.'))
  if (spec.notes.length > 0) lines.push('', ...spec.notes)
  return lines.join('\n')
}

/** `downlink --help`, and `downlink command --help` with the subcommands of that group. */
export function overview(specs: readonly CommandSpec[]): string {
  return [
    'Durable, cancellable command delivery for devices that are not always online.',
    '',
    'Usage: downlink <command> [options]',
    '',
    'Commands:',
    ...specs.map(({ name, summary }) => row(name, summary)),
    '',
    'downlink <command> --help, or downlink help <command>, shows the options; downlink --version the version.',
    'Exit codes: 0 done, 1 failed or refused, 2 wrong usage.',
  ].join('\n')
}

function optionLines({ name, value, env, help, ...option }: OptionSpec): string[] {
  const facts = [env === null ? '' : env, option.default === null ? '' : `default ${option.default}`]
  const said = facts.filter(fact => fact !== '').join(', ')
  const first = row(value === null ? `--${name}` : `--${name} ${value}`, help)
  return said === '' ? [first] : [first, `${' '.repeat(NAME_COLUMN_CHARS)}[${said}]`]
}

function row(name: string, help: string): string {
  const left = `  ${name}`
  if (left.length + 2 > NAME_COLUMN_CHARS) return `${left}\n${' '.repeat(NAME_COLUMN_CHARS)}${help}`
  return left.padEnd(NAME_COLUMN_CHARS) + help
}
