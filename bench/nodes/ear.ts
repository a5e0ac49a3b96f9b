// The other end of the signals bench, a process of its own: it listens, and says how long what it heard was on its way.
// Started by signals.ts, and ends when that lets go of it.

import { quantile } from '../rig/figures.ts'
import { agesMs, carriers, EAR, type Heard, openCarrier } from './carrier.ts'

/** ms after which what was not heard is taken for lost */
const LATE_MS = 2_000

const [, , name, url] = process.argv
const which = carriers.find(carrier => carrier === name)
if (which === undefined || url === undefined) throw new Error('ear.ts is started by signals.ts')

let heard: number[] = []
let wanted = Number.POSITIVE_INFINITY
let late: NodeJS.Timeout | undefined

function report(): void {
  clearTimeout(late)
  const said: Heard = { count: heard.length, p50Ms: quantile(heard, 0.5), p99Ms: quantile(heard, 0.99) }
  heard = []
  wanted = Number.POSITIVE_INFINITY
  process.send?.(said)
}

const carrier = await openCarrier(which, url)
await carrier.listen(EAR, tidings => {
  for (const age of agesMs(tidings)) heard.push(age)
  if (heard.length >= wanted) report()
})
// How many were told: it reports once it has heard as many, or when no more can be expected.
process.on('message', count => {
  wanted = Number(count)
  if (heard.length >= wanted) report()
  else late = setTimeout(report, LATE_MS)
})
process.once('disconnect', () => void carrier.close())
process.send?.('listening')
