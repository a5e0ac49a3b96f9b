// `npm run test:interop`: the vendor's own, unmodified SDKs against a real server process. A line for each scenario, `N passed, N failed` at the end.
// Not here: what is tried (suites.ts), how (perform.ts).

import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Outcome, perform } from './perform.ts'
import { suites } from './suites.ts'

const root = resolve(import.meta.dirname, '..')
const print = (line: string): void => void process.stdout.write(`${line}\n`)

async function main(args: readonly string[]): Promise<number> {
  const isRequired = args.includes('--require')
  const names = args.filter(arg => arg !== '--require')
  const unknown = names.filter(name => !suites.some(suite => suite.name === name))
  if (unknown.length > 0) {
    print(
      `unknown: ${unknown.join(' ')}. Suites: ${suites.map(suite => suite.name).join(' ')}; --require makes a suite that cannot be run a failure`,
    )
    return 2
  }
  const built = resolve(process.env.DOWNLINK_BIN || join(root, 'dist', 'main.js'))
  if (!existsSync(built)) {
    print(`there is no ${built}: build it with npm run build, or name another with DOWNLINK_BIN`)
    return 2
  }
  let [passed, failed] = [0, 0]
  const performances: Promise<Outcome>[] = []
  // Made one after the other, since they share what was downloaded; performed side by side, since they mostly wait.
  for (const suite of suites) {
    if (names.length > 0 && !names.includes(suite.name)) continue
    const made = await suite.make()
    if (made.ok) performances.push(perform(suite, built, made.launch, print))
    else if ('missing' in made && !isRequired) print(`skipped ${suite.name}: ${made.missing}`)
    else {
      failed += 1
      print(`not ok ${suite.name}: ${'missing' in made ? made.missing : made.broken}`)
    }
  }
  for (const outcome of await Promise.all(performances)) {
    passed += outcome.passed
    failed += outcome.failed
  }
  print(`${passed} passed, ${failed} failed`)
  return failed === 0 ? 0 : 1
}

process.exit(await main(process.argv.slice(2)))
