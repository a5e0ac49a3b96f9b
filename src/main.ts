// The program `downlink`: hands its arguments to a subcommand and its exit code to the shell. Nobody imports it.

import { readFileSync } from 'node:fs'
import { dispatch } from './cli/dispatch.ts'
import { processTerminal } from './cli/terminal.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
// The code is set rather than exited with, so that what was written to a pipe still arrives.
process.exitCode = await dispatch(process.argv.slice(2), process.env, processTerminal(process.env), version)
