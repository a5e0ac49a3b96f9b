// The list as it was left, in memory: who looks at a device and comes back finds the same rows at the same place, at once, until they are looked at again.
// Only of the last list, and only for who had it. Not here: what a list is (pages.ts).

import type { Downlink } from '@downlink/client'
import type { DevicePages } from './pages.ts'

interface Kept {
  /** the query of its address */
  readonly search: string
  readonly pages: DevicePages
  readonly scrolledPx: number
}

const lists = new WeakMap<Downlink, Kept>()

/** When it is left. */
export function keep(client: Downlink, kept: Kept): void {
  kept.pages.leave()
  lists.set(client, kept)
}

/** When it is come back to: from now on it is another's to change. */
export function take(client: Downlink, search: string): Kept | null {
  const kept = lists.get(client)
  lists.delete(client)
  return kept?.search === search ? kept : null
}

/** Back to the list, as it was left. */
export const devicesHref = (client: Downlink): string => `/devices${lists.get(client)?.search ?? ''}`
