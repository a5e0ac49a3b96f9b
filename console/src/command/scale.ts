// How long things are drawn that last from milliseconds to days. Lengths are a power of the durations, and of all powers the one nearest to 1 with which the
// shortest can still be read: what can be to scale is to scale, what is longer is always drawn longer, and nothing jumps while time passes. Pure.

/** ms; what is shorter is drawn as this long: several things happen within one tick of the clock */
const SHORTEST_MS = 1
/** a part is cut where a length of it stands for so many times the time that it stands for where the drawing is widest */
const CUT_RATIO = 10
/** halvings of the range in which the power lies: less than a pixel is left of it */
const HALVINGS = 24

export interface Scale {
  /** where each part begins, and where the last one ends: from 0 to 1 */
  readonly places: readonly number[]
  readonly isToScale: boolean
  /** of each part: whether it is drawn so much shorter than the widest ones that its line is to be broken */
  readonly cut: readonly boolean[]
}

/** Of parts one after the other, in ms. Each gets the share `least` of the whole, at least, or an equal one where there are too many for that. */
export function scaleOf(durations: readonly number[], least: number): Scale {
  const lengths = durations.map(ms => Math.max(SHORTEST_MS, ms))
  const enough = Math.min(least, 1 / lengths.length)
  const power = powerFor(lengths, enough)
  const shares = sharesOf(lengths, power)
  let end = 0
  const places = [0, ...shares.map(share => (end += share))]
  const widths = shares.map((share, part) => share / (lengths[part] ?? 1))
  const widest = Math.max(...widths)
  return { places, isToScale: power === 1, cut: widths.map(width => width * CUT_RATIO < widest) }
}

const sharesOf = (lengths: readonly number[], power: number): number[] => {
  const weights = lengths.map(length => length ** power)
  const whole = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map(weight => weight / whole)
}

/** The smaller the power, the larger the smallest share. */
function powerFor(lengths: readonly number[], enough: number): number {
  const isEnough = (power: number) => Math.min(...sharesOf(lengths, power)) >= enough
  if (isEnough(1)) return 1
  let [good, bad] = [0, 1]
  for (let n = 0; n < HALVINGS; n += 1) {
    const middle = (good + bad) / 2
    if (isEnough(middle)) good = middle
    else bad = middle
  }
  return good
}

/** Where an instant lies between others that have places; before the first and after the last it is drawn there. */
export function placeOf(at: number, instants: readonly number[], places: readonly number[]): number {
  const next = instants.findIndex(instant => instant >= at)
  if (next === -1) return places[instants.length - 1] ?? 1
  if (next === 0) return places[0] ?? 0
  const [from = at, to = at] = [instants[next - 1], instants[next]]
  const [begin = 0, end = 1] = [places[next - 1], places[next]]
  return to === from ? end : begin + ((at - from) / (to - from)) * (end - begin)
}
