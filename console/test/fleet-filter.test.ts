// The filter of a cancellation in its three shapes, each of which must say the same: one condition lost on the way would cancel more than was meant.

import { describe, expect, it } from 'vitest'
import { State } from '../../packages/client/src/index.ts'
import { csvOf } from '../src/fleet/csv.ts'
import { draftOf, exactly, filterOf, queryOf, type Said, saidIn } from '../src/fleet/filter.ts'

const filters: readonly Said[] = [
  { all: true },
  { productKeys: ['p1'] },
  { productKeys: ['p1', 'p&2'], assetIds: ['a1', 'a2'], serviceId: 'reboot' },
  { measurepointId: 'set point' },
  { olderThanS: 0 },
  { olderThanS: 90 },
  { olderThanS: 7_200, applications: ['anna@o1'] },
  { createdBefore: Date.UTC(2026, 0, 31, 8, 0, 0, 250) },
  { assetIds: ['a1'], states: [State.created, State.sent] },
]
const bare = { ...draftOf({ assetIds: ['a1'] }) }

describe('a filter', () => {
  it.each(filters)('says in the address and in the form what it said: %j', said => {
    const again = saidIn(new URLSearchParams(queryOf(said)))
    expect(filterOf(draftOf(again))).toEqual({ filter: said })
  })

  it.each([
    ['nothing', { ...bare, assetIds: [] }, 'noCondition'],
    ['that only what is sent is listed too', { ...bare, assetIds: [], withSent: true }, 'noCondition'],
    ['a service without its name', { ...bare, what: 'service' as const, identifier: ' ' }, 'identifier'],
    ['no age', { ...bare, age: 'older' as const, older: '' }, 'older'],
    ['an age that is no number', { ...bare, age: 'older' as const, older: 'an hour' }, 'older'],
    ['more than anything waits', { ...bare, age: 'older' as const, older: '49', unit: 'h' as const }, 'older'],
    ['no instant', { ...bare, age: 'before' as const, before: '' }, 'before'],
  ])('is none where it says %s', (_, draft, fault) => {
    expect(filterOf(draft)).toEqual({ fault })
  })

  it('of the real one has the conditions of its dry run, and the instant before which that looked', () => {
    const createdBefore = 1_795_000_000_000
    const ofReal = (filter: Said) => exactly({ filter, createdBefore } as Parameters<typeof exactly>[0])
    expect(ofReal({ all: true })).toEqual({ createdBefore })
    expect(ofReal({ productKeys: ['p1'], olderThanS: 60 })).toEqual({ productKeys: ['p1'], createdBefore })
    expect(ofReal({ serviceId: 'reboot', createdBefore: 5 })).toEqual({ serviceId: 'reboot', createdBefore })
    expect(ofReal({ assetIds: ['a1'], states: [1, 4] })).toEqual({ assetIds: ['a1'], states: [1, 4], createdBefore })
  })
})

it('a file has no cell that a spreadsheet takes for a formula or for two', () => {
  const device = { orgId: 'o1', productKey: 'p1', deviceKey: '=HYPERLINK("x")', assetId: 'a,1' }
  const text = csvOf([
    { commandId: '1', device, outcome: 'notCancelled', state: State.sent },
    { commandId: '2', device: null, outcome: 'notCancelled', state: null },
  ])
  expect(text.split('\r\n').slice(1)).toEqual([
    `"1","a,1","p1","'=HYPERLINK(""x"")","notCancelled","sent"`,
    '"2","","","","notCancelled",""',
    '',
  ])
})
