// The server's log on stderr: JSON, one object per line, for machines; short lines where a person looks at a terminal.

import { type Logger, pino } from 'pino'
import type { LogLevel } from './config.ts'
import { printable } from './terminal.ts'

const STDERR = 2

/** Writes synchronously, so that the last words of a process that ends are not lost. */
export function makeLog(level: LogLevel): Logger {
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  if (process.stderr.isTTY !== true) return pino(options, pino.destination({ dest: STDERR, sync: true }))
  return pino(options, { write: (line: string) => void process.stderr.write(`${shortLine(line)}\n`) })
}

/** `12:00:01 warn  batch failed {"inputs":3}`; an error's stack below it. */
export function shortLine(json: string): string {
  const { level, time, msg, err, ...rest } = JSON.parse(json)
  const fields = Object.keys(rest).length > 0 ? ` ${printable(JSON.stringify(rest))}` : ''
  const name = pino.levels.labels[level] ?? String(level)
  const stack = typeof err?.stack === 'string' ? `\n${err.stack.split('\n').map(printableLine).join('\n')}` : ''
  return `${String(time).slice(11, 19)} ${name.padEnd(5)} ${printable(String(msg ?? ''))}${fields}${stack}`
}

const printableLine = (line: string): string => printable(line)
