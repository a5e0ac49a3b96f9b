// What grants allow, and which devices they cover. Not here: that the HTTP surface asks (http-callers.test.ts).

import { describe, expect, it } from 'vitest'
import { allows, type Need, permissions, reachOf } from '../src/fleet/grants.ts'
import type { Grant } from '../src/store/store.ts'

const grant = (actions: string[], scope: Grant['scope'] = 'all', resource = 'Asset'): Grant => ({
  resource,
  actions,
  scope,
})

describe('allows', () => {
  const device = { orgId: 'o1', productKey: 'p1', assetId: 'a1' }
  const may = (grants: readonly Grant[], orgId = 'o1') =>
    (['Control', 'Read'] as const).map(action => allows({ orgId, grants }, { resource: 'Asset', action }, device))

  it('goes by action: Control implies Read, not the other way', () => {
    expect(may([])).toEqual([false, false])
    expect(may([grant(['Read'])])).toEqual([false, true])
    expect(may([grant(['Control'])])).toEqual([true, true])
    expect(may([grant(['Control', 'Read'])])).toEqual([true, true])
    expect(may([grant([])])).toEqual([false, false])
    expect(may([grant(['Full Access'])])).toEqual([false, false])
  })

  it('goes by scope', () => {
    expect(may([grant(['Control'], { productKeys: ['p0', 'p1'] })])).toEqual([true, true])
    expect(may([grant(['Control'], { productKeys: ['p0'] })])).toEqual([false, false])
    expect(may([grant(['Control'], { assetIds: ['a1'] })])).toEqual([true, true])
    expect(may([grant(['Control'], { assetIds: ['p1', 'a2'] })])).toEqual([false, false])
    expect(may([grant(['Control'], { assetIds: [] })])).toEqual([false, false])
  })

  it('needs action and scope in one grant', () => {
    expect(may([grant(['Read']), grant(['Control'], { assetIds: ['a2'] })])).toEqual([false, true])
    expect(may([grant(['Read'], { assetIds: ['a2'] }), grant(['Control'], { productKeys: ['p1'] })])).toEqual([
      true,
      true,
    ])
  })

  it('never crosses organizations, and knows no other resource', () => {
    expect(may([grant(['Control'])], 'o2')).toEqual([false, false])
    expect(may([grant(['Control'], 'all', 'Model Management')])).toEqual([false, false])
  })

  it('keeps the resources apart: the full access to one is nothing to another', () => {
    const resources = Object.keys(permissions) as (keyof typeof permissions)[]
    for (const has of resources)
      for (const wants of resources) {
        const needs = { resource: wants, action: permissions[wants][1] } as Need
        expect(allows({ orgId: 'o1', grants: [grant([permissions[has][0]], 'all', has)] }, needs, device)).toBe(
          has === wants,
        )
      }
  })
})

describe('reachOf', () => {
  const read: Need = { resource: 'Device', action: 'Read' }
  const reach = (...grants: Grant[]) => reachOf({ orgId: 'o1', grants }, read)

  it('is null without any grant of the kind', () => {
    expect(reach()).toBeNull()
    expect(reach(grant(['Read']))).toBeNull()
    expect(reach(grant([], 'all', 'Device'))).toBeNull()
    expect(
      reachOf({ orgId: 'o1', grants: [grant(['Read'], 'all', 'Device')] }, { ...read, action: 'FullAccess' }),
    ).toBeNull()
  })

  it('is all as soon as one grant says so', () => {
    expect(reach(grant(['Read'], { assetIds: ['a1'] }, 'Device'), grant(['FullAccess'], 'all', 'Device'))).toBe('all')
  })

  it('is what the grants name together, each once', () => {
    const products = (...productKeys: string[]) => grant(['Read'], { productKeys }, 'Device')
    const assets = (...assetIds: string[]) => grant(['FullAccess'], { assetIds }, 'Device')
    expect(reach(products('p1', 'p2'), assets('a1'), products('p2'), assets('a1', 'a2'))).toEqual({
      productKeys: ['p1', 'p2'],
      assetIds: ['a1', 'a2'],
    })
    expect(reach(assets())).toEqual({ productKeys: [], assetIds: [] })
  })
})
