// What a long run must have come across: a fault that never strikes proves nothing, and a rule that is never put to the test neither.

import { strikes } from './faults.ts'
import { crashPoints } from './gate.ts'

/** worlds after which every one of these has happened, by a wide margin */
export const LONG_RUN_SEEDS = 200

const always: readonly string[] = [
  'published',
  'cancel succeeds',
  'session takeover',
  'event sent > timedOut (timeout)',
  'stale device',
  'sub-device gets a command',
  'command is held',
  'held command is written',
  'session suspect',
  'session evicted, disabled',
  'session evicted, deleted',
  'graceful stop',
  'store fault commit',
  'store fault load',
  'fault connection lost during a commit',
  'gateway goes with commands of several devices on their way',
  'key used',
  'key used again after it had lapsed',
  'call answered as a repeat, open',
  'call answered as a repeat, over',
  'call refused 99409',
  'caller joins those who wait',
  'caller repeats, at once',
  'caller repeats, after a lost answer',
  'caller repeats, after its end',
  'caller repeats, as its key lapses',
  'caller repeats, another request',
  'caller repeats, another device',
  'caller repeats, another application',
  'change followed',
  'stream read again',
]

/** Faults that are only there where several nodes share the store. */
const ofNodes: ReadonlySet<string> = new Set([
  'pause',
  'sleep',
  'cut off from the store',
  'cut off from signals',
] satisfies (typeof strikes)[number][])

const ofMany: readonly string[] = [
  ...[...ofNodes].map(strike => `fault ${strike}`),
  'fault signal lost',
  'fault signal doubled',
  'fault signal late',
  'fault signal cut off',
  'fault signal dropped, as all are',
  'signal heard',
  'fault store cannot be reached',
  'fault commit in doubt',
  'fault commit whose end cannot be learned',
  'fault look at the store’s clock that took too long',
  'fault paused until just before a deadline',
  'fault paused while a command is held',
  'still, then timers first',
  'still, then packets first',
  'clocks of nodes far apart',
  'crash starting',
  'crash while it stands still',
  'crash it does not come to its end',
  'node number taken over',
  'life of a node ended',
  'process cannot join',
  'node cut off lets its devices go',
  'settlement by another node',
  'call answered: not known whether it was done',
  'event sent > created (unsent: fenced)',
  'event placed',
]

/** Of several processes each comes to less of them. */
const ofOne: readonly string[] = [...crashPoints.map(point => `crash ${point}`), 'stream purged before it was read']

/** What a run with so many nodes should have come across, and has not. */
export function unseen(coverage: ReadonlyMap<string, number>, nodes: number): string[] {
  const struck = strikes.filter(strike => !ofNodes.has(strike)).map(strike => `fault ${strike}`)
  const wanted = [...always, ...struck, ...(nodes > 1 ? ofMany : ofOne)]
  return wanted.filter(what => !coverage.has(what))
}
