// The list that is had by pages, against a list that changes under it: whatever comes and goes, what is in view becomes what is there, each device once and in
// order. Not here: how it is scrolled and shown (devices.test.ts).

import type { DeviceLine } from '@downlink/client'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Ask, DevicePages, LISTED_MAX, PAGE_DEVICES } from '../src/devices/pages.ts'

const line = (n: number, waiting = 0): DeviceLine => ({
  ...{
    assetId: `a${n}`,
    productKey: 'p',
    deviceKey: `d${n}`,
    deviceName: { defaultValue: '', i18nValue: {} },
    description: null,
  },
  ...{ timezone: 'UTC', gateway: null, status: 'offline', waiting, oldestWaitingAt: null, inFlight: false },
  ...{ createdAt: 0, activeAt: null, lastOnlineAt: null, lastOfflineAt: null },
})
const eventOf = (n: number) => ({ device: { orgId: 'o', productKey: 'p', deviceKey: `d${n}`, assetId: `a${n}` } })

/** Devices by their numbers, as the server pages them: a page may be full of nothing, since it looks at so many devices only. */
class Server {
  readonly there = new Map<number, number>()
  asked = 0
  readonly pageSize: number
  readonly scanned: number

  constructor(pageSize: number, scanned = Number.POSITIVE_INFINITY) {
    this.pageSize = pageSize
    this.scanned = scanned
  }

  readonly ask: Ask = async after => {
    this.asked += 1
    const found = [...this.there].filter(([n]) => n > after && n <= after + this.scanned).sort(([a], [b]) => a - b)
    const page = found.slice(0, this.pageSize)
    const last = page.at(-1)?.[0] ?? after
    const newest = Math.max(0, ...this.there.keys())
    const isMore = found.length > page.length
    const end = isMore ? last : after + this.scanned
    return { devices: page.map(([n, waiting]) => line(n, waiting)), next: end < newest ? end : null }
  }
}

const told = (pages: DevicePages): [string, number][] =>
  pages.listed().rows.map(({ device: { assetId, waiting } }) => [assetId, waiting])
const lines = (server: Server): [string, number][] =>
  [...server.there].sort(([a], [b]) => a - b).map(([n, waiting]) => [`a${n}`, waiting])

/** Looks until nothing is due any more; time goes on little. */
async function settle(pages: DevicePages, server: Server, opening = 1, from = 0): Promise<void> {
  for (let looks = 0, now = from; looks === 0 || pages.isDue(opening); looks += 1, now += 10) {
    expect(looks).toBeLessThan(1_000)
    await pages.look(server.ask, opening, now)
  }
}

describe('pages of devices', () => {
  it('asks for one page at first, and for the next where somebody comes near the end', async () => {
    const server = new Server(PAGE_DEVICES)
    for (let n = 1; n <= 500; n += 1) server.there.set(n, 0)
    const pages = new DevicePages('atEnd')
    pages.view(0, 20)
    await settle(pages, server)
    expect([server.asked, pages.listed().rows.length, pages.listed().isAll]).toEqual([1, 200, false])
    pages.view(110, 130)
    await settle(pages, server)
    expect([server.asked, pages.listed().rows.length]).toEqual([2, 400])
    pages.view(380, 399)
    await settle(pages, server)
    expect([pages.listed().rows.length, pages.listed().isAll]).toEqual([500, true])
  })

  it('asks again for pages in view that events mark, and for others when they come into view', async () => {
    const server = new Server(200)
    for (let n = 1; n <= 600; n += 1) server.there.set(n, 0)
    const pages = new DevicePages('atEnd')
    pages.view(0, 599)
    await settle(pages, server)
    pages.view(0, 20)
    expect(server.asked).toBe(3)
    server.there.set(450, 7)
    expect(pages.mark(eventOf(450))).toBe(false)
    expect(pages.isDue(1)).toBe(false)
    server.there.set(5, 1)
    expect(pages.mark(eventOf(5))).toBe(true)
    await settle(pages, server)
    expect(server.asked).toBe(4)
    expect(told(pages)[4]).toEqual(['a5', 1])
    expect(told(pages)[449]).toEqual(['a450', 0])
    pages.view(440, 460)
    expect(pages.isDue(1)).toBe(true)
    await settle(pages, server)
    expect(server.asked).toBe(5)
    expect(told(pages)[449]).toEqual(['a450', 7])
  })

  it('an event that comes while its page is asked for marks it again', async () => {
    const server = new Server(200)
    server.there.set(1, 0)
    const pages = new DevicePages('atEnd')
    await settle(pages, server)
    pages.mark(eventOf(1))
    const late: Ask = async after => {
      const answer = await server.ask(after)
      server.there.set(1, 9)
      pages.mark(eventOf(1))
      return answer
    }
    await pages.look(late, 1, 5_000)
    expect(told(pages)).toEqual([['a1', 0]])
    expect(pages.isDue(1)).toBe(true)
    await settle(pages, server)
    expect(told(pages)).toEqual([['a1', 9]])
  })

  it('a page that could not be had stays marked', async () => {
    const server = new Server(200)
    server.there.set(1, 0)
    const pages = new DevicePages('atEnd')
    await settle(pages, server)
    pages.mark(eventOf(1))
    await expect(pages.look(() => Promise.reject(new Error('away')), 1, 5_000)).rejects.toThrow('away')
    expect(pages.isDue(1)).toBe(true)
    expect(pages.listed().rows.length).toBe(1)
  })

  it('with another opening of the stream all of it is old, and what is in view is asked for', async () => {
    const server = new Server(200)
    for (let n = 1; n <= 400; n += 1) server.there.set(n, 0)
    const pages = new DevicePages('atEnd')
    pages.view(0, 399)
    await settle(pages, server)
    pages.view(0, 20)
    await settle(pages, server, 2)
    expect(server.asked).toBe(3)
    const { rows } = pages.listed(2)
    expect([rows[0]?.isOld, rows[399]?.isOld]).toEqual([false, true])
    pages.leave()
    expect(pages.isDue(2)).toBe(true)
  })

  it('whom an event does not let join is not looked for', async () => {
    const server = new Server(200)
    server.there.set(1, 0)
    const marked = async (joining: ConstructorParameters<typeof DevicePages>[0]) => {
      const pages = new DevicePages(joining)
      await settle(pages, server)
      return pages.mark(eventOf(2))
    }
    expect([await marked('anywhere'), await marked('atEnd'), await marked('never')]).toEqual([true, true, false])
  })

  it('what is empty is in view, wherever somebody had scrolled to', async () => {
    const server = new Server(200)
    for (let n = 1; n <= 50; n += 1) server.there.set(n, 1)
    const pages = new DevicePages('anywhere')
    pages.view(30, 49)
    await settle(pages, server)
    server.there.clear()
    expect(pages.mark(eventOf(1))).toBe(true)
    await settle(pages, server)
    expect(pages.listed().rows).toEqual([])
    server.there.set(7, 1)
    expect(pages.mark(eventOf(7))).toBe(true)
    await settle(pages, server)
    expect(told(pages)).toEqual([['a7', 1]])
  })

  it('stops where there are more than anybody scrolls through', async () => {
    const server = new Server(200)
    for (let n = 1; n <= LISTED_MAX + 500; n += 1) server.there.set(n, 0)
    const pages = new DevicePages('atEnd')
    pages.view(0, LISTED_MAX)
    await settle(pages, server)
    const { rows, isAll, isFull } = pages.listed()
    expect([rows.length, isAll, isFull]).toEqual([LISTED_MAX, false, true])
  })

  it('becomes what is there, whatever has come and gone', async () => {
    const number = fc.integer({ min: 1, max: 60 })
    const change = fc.record({ n: number, waiting: fc.option(fc.integer({ min: 0, max: 3 })), first: number })
    const lists = fc.record({
      pageSize: fc.integer({ min: 1, max: 9 }),
      scanned: fc.constantFrom(5, 20, Number.POSITIVE_INFINITY),
      at: fc.uniqueArray(number),
      rounds: fc.array(fc.array(change, { maxLength: 8 }), { minLength: 1, maxLength: 5 }),
    })
    await fc.assert(
      fc.asyncProperty(lists, async ({ pageSize, scanned, at, rounds }) => {
        const server = new Server(pageSize, scanned)
        for (const n of at) server.there.set(n, 0)
        const pages = new DevicePages('anywhere')
        pages.view(0, 100)
        await settle(pages, server)
        for (const [round, changes] of rounds.entries()) {
          for (const { n, waiting, first } of changes) {
            if (waiting === null) server.there.delete(n)
            else server.there.set(n, waiting)
            pages.view(first, first + 5)
            pages.mark(eventOf(n))
            await pages.look(server.ask, 1, round * 100_000)
            // At no moment is one listed twice, or out of order.
            const numbers = told(pages).map(([assetId]) => Number(assetId.slice(1)))
            expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b))
          }
          pages.view(0, 100)
          await settle(pages, server, 1, round * 100_000 + 10_000)
          expect(told(pages)).toEqual(lines(server))
        }
      }),
    )
  })
})
