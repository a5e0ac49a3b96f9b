// The bench: every scenario, every contender, in one run on one machine. `npm run bench -- --help`. What comes out is docs/benchmarks.md with its plots,
// where `--out` names the folder. Not a test: machines are noisy, so what is quoted are medians and ratios within the run.
// Not here: what is measured (scenarios/), of whom (contenders/), how it is printed (rig/report.ts).

import { parseArgs } from 'node:util'
import { type Figures, inFolder, type Scenario } from './rig/scenario.ts'
import { accept, acceptAtRate } from './scenarios/accept.ts'

const scenarios: readonly Scenario[] = [accept, acceptAtRate]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    contenders: { type: 'string' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    out: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const only = values.only?.split(',')
const isQuick = values.quick
const rounds = Number(values.rounds ?? (isQuick ? 1 : 3))
const measuredMs = Number(values.seconds ?? (isQuick ? 1 : 5)) * 1_000
const warmUpMs = isQuick ? 200 : 1_500
const say = (line: string): void => console.log(line)

for (const scenario of scenarios) {
  if (only !== undefined && !only.includes(scenario.name)) continue
  for (let round = 1; round <= rounds; round++) {
    for (const row of scenario.rows) {
      if (values.contenders !== undefined && !values.contenders.split(',').includes(row.name)) continue
      const missing = await row.missing()
      if (missing !== null) {
        say(`${scenario.name}  ${row.name}: skipped, ${missing}`)
        continue
      }
      const figures: Figures = await inFolder(folder => row.measure({ folder, warmUpMs, measuredMs, isQuick, say }))
      say(`${scenario.name}  round ${round}  ${row.name}  ${JSON.stringify(figures)}`)
    }
  }
}
