// A closed loop over a list: what was made ready before is worked off, each item once. For what cannot be repeated, such as cancelling, where the loops of
// loops.ts would run out of it. Not here: what is done with an item (scenarios/).

import type { Load, Turns } from './loops.ts'

/** of the items; what is done with them is not measured */
const WARM_UP_PART = 0.1

/** Each worker takes the next item when it is through with the one before. Rejects with the first error of a turn, after the others have ended theirs. */
export async function workOff<Item>(
  items: readonly Item[],
  { workers, mark }: Pick<Load, 'workers' | 'mark'>,
  turn: (item: Item) => Promise<unknown>,
): Promise<Turns> {
  const latenciesMs: number[] = []
  const warmUp = Math.ceil(items.length * WARM_UP_PART)
  let next = 0
  let from = 0
  const run = async (): Promise<void> => {
    while (next < items.length) {
      if (next === warmUp) {
        from = performance.now()
        mark?.('begin')
      }
      const place = next
      next += 1
      const beganAt = performance.now()
      try {
        await turn(items[place]!)
      } catch (error) {
        next = items.length
        throw error
      }
      if (place >= warmUp) latenciesMs.push(performance.now() - beganAt)
    }
  }
  const ends = await Promise.allSettled(Array.from({ length: workers }, run))
  const until = performance.now()
  mark?.('end')
  for (const end of ends) if (end.status === 'rejected') throw end.reason
  if (latenciesMs.length === 0) throw new Error(`${items.length} items are too few to measure anything`)
  const turns = latenciesMs.length
  return { turns, perSecond: (turns * 1_000) / (until - from), latenciesMs }
}
