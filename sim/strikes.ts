// What strikes from outside, one thing after another: connections, processes, the store, the clock, whoever runs the fleet, and among several nodes their
// machines. Which of it strikes in a world, and how often, is faults.ts.

import type { SimDevice } from './devices.ts'
import type { Strike } from './faults.ts'
import { crashPoints } from './gate.ts'
import type { Operator } from './operator.ts'
import type { Surroundings } from './units.ts'

/** What can be struck. */
export interface Struck extends Surroundings {
  readonly devices: readonly SimDevice[]
  readonly operator: Operator
}

const STRIKE_MAX_MS = 1_500
const STALL_MAX_MS = 15_000
/** a lease is over long before */
const STILL_MAX_MS = 20_000
const CUT_MAX_MS = 15_000
/** long enough for a node to let its devices go */
const LONG_CUT_MAX_MS = 90_000
const CUT_FOR_LONG = 0.1
/** share of crashes that come from outside, whatever the process does */
const KILLED = 0.5
const SHORT_JUMP_MAX_MS = 60_000
const JUMP_MAX_MS = 3 * 3_600_000

/** Something goes wrong in a moment, and again, until the faults end. */
export function strikeLater(struck: Struck): void {
  const { world } = struck
  world.after(world.random.int(50, STRIKE_MAX_MS), 'actor', () => {
    if (world.calm) return
    const { strikes } = world.faults
    if (Object.values(strikes).some(weight => weight > 0)) strike(struck, world.random.weighted(strikes))
    strikeLater(struck)
  })
}

function strike(struck: Struck, what: Strike): void {
  const { world, site, devices, operator } = struck
  const { random } = world
  world.count(`fault ${what}`)
  const host = random.pick(site.hosts)
  const clients = devices.flatMap(device => device.open)
  switch (what) {
    case 'half-open':
      if (clients.length > 0) random.pick(clients).goHalfOpen()
      break
    case 'drop':
      if (clients.length > 0) random.pick(clients).drop()
      break
    case 'stall':
      if (clients.length > 0) random.pick(clients).stall(random.int(1_000, STALL_MAX_MS))
      break
    case 'crash':
      if (site.isMany && random.chance(KILLED)) host.kill()
      else host.crashDue = random.pick(crashPoints)
      break
    case 'stop':
      host.stop()
      break
    case 'commit fails':
      host.faultsDue.set('commit', random.int(1, 3))
      break
    case 'read fails':
      host.faultsDue.set(
        random.pick(['load', 'bodies', 'due', 'nextDue', 'read', 'purge', 'save', 'move']),
        random.int(1, 3),
      )
      break
    case 'clock jump': {
      const [short, long] = [random.int(1_000, SHORT_JUMP_MAX_MS), random.int(SHORT_JUMP_MAX_MS, JUMP_MAX_MS)]
      const ms = site.isMany ? short : random.pick([short, short, long])
      world.note(null, `everything stands still for ${ms} ms`)
      world.jump(ms, random.chance(0.5))
      site.jumped(ms)
      break
    }
    case 'fleet edit':
      operator.edit(random.pick(site.family))
      break
    case 'disable':
      operator.toggle(random.pick(site.family))
      break
    case 'delete':
      operator.delete(random.pick(site.family))
      break
    case 'move': {
      const behind = site.family.filter(({ id }) => site.topology.has(id))
      if (behind.length > 0) operator.move(random.pick(behind))
      break
    }
    case 'pause':
      host.pause(random.int(100, STILL_MAX_MS))
      break
    case 'sleep':
      host.sleep(random.int(1_000, STILL_MAX_MS))
      break
    case 'cut off from the store':
      host.cut(random.chance(CUT_FOR_LONG) ? random.int(CUT_MAX_MS, LONG_CUT_MAX_MS) : random.int(100, CUT_MAX_MS))
      break
    case 'cut off from signals':
      host.deafen(random.int(1_000, CUT_MAX_MS))
  }
}
