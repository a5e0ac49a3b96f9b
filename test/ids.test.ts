// Command ids: the vendor's captured ids decode as documented, and one generator never goes backwards.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { idMs, isCommandId, isKey, makeId } from '../src/core/command.ts'
import { Ids } from '../src/core/ids.ts'
import { ID_AHEAD_MAX_MS, IDS_PER_MS } from '../src/core/limits.ts'

const NOW = 1_700_000_000_000

describe('command ids', () => {
  it('decode to the createTime of the vendor captures', () => {
    expect(idMs('2278935391225618432')).toBe(1_560_505_243_577)
    expect(idMs('2322417636630765568')).toBe(1_565_688_731_159)
    expect(idMs('2242591201245044736')).toBe(1_556_172_678_510)
  })
  it('grow under any clock, and above any floor', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -50, max: 50 }), fc.option(fc.integer({ min: 0, max: 4000 }))), {
          maxLength: 60,
        }),
        moves => {
          const ids = new Ids(7, null)
          let now = NOW
          let last = ''
          for (const [move, floorAhead] of moves) {
            now += move
            const floor = floorAhead === null ? null : makeId(NOW + floorAhead, 900, 5)
            const id = ids.next(now, floor)
            if (id === null) continue
            expect(id > last).toBe(true)
            if (floor) expect(id > floor).toBe(true)
            last = id
          }
        },
      ),
    )
  })
  it('go on above the high-water mark of the last process', () => {
    const mark = makeId(NOW + 100, 3, 17)
    expect((new Ids(3, mark).next(NOW, null) ?? '') > mark).toBe(true)
  })
  it('run into the next millisecond when one is used up', () => {
    const ids = new Ids(0, null)
    const all = Array.from({ length: IDS_PER_MS + 2 }, () => ids.next(NOW, null) ?? '')
    expect(new Set(all).size).toBe(all.length)
    expect(idMs(all.at(-1) ?? '')).toBe(NOW + 1)
  })
  it('are refused when they would run more than 5 s ahead of the clock, and come again when it has caught up', () => {
    const ids = new Ids(0, makeId(NOW + ID_AHEAD_MAX_MS + 1, 0, 0))
    expect(ids.next(NOW, null)).toBeNull()
    expect(ids.next(NOW + 2, null)).not.toBeNull()
  })
  it('have ten node bits', () => {
    expect(() => new Ids(1024, null)).toThrow('ten bits')
  })
  it('and keys are recognised as text', () => {
    expect(['1', '2278935391225618432'].every(isCommandId)).toBe(true)
    expect(['', '-1', '1a', '22789353912256184321', ' 1'].some(isCommandId)).toBe(false)
    expect(['mqtt_01', 'INV.Control', 'a-b'].every(isKey)).toBe(true)
    expect(['', 'a/b', '+', '#', 'a b', 'ä', 'x'.repeat(65)].some(isKey)).toBe(false)
  })
})
