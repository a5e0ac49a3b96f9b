// The list of devices as its readers have it: thousands of rows that scroll, what is looked for, what changes while one looks, and the way back to where one
// was. Not here: how pages fit together while devices come and go (devices-pages.test.ts).

import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { axeFaults, NOT_THERE, useBrowser } from './rig/browser.ts'
import { devices, FREE, fleetFile } from './rig/fleet.ts'
import { type ServerOptions, TestServer } from './rig/server.ts'

const open = useBrowser()
const MORE = 5_000
/** ms within which the page shows what an event tells: a second where it was looked at just before. Less than that after which it looks by itself */
const SOON = { timeout: 5_000 }

const servers: TestServer[] = []
const start = async (options?: ServerOptions) => {
  const server = await TestServer.start(options)
  servers.push(server)
  return server
}
let many: TestServer
beforeAll(async () => {
  many = await start({ more: MORE })
})
// After the pages, which would miss them.
afterAll(() => Promise.all(servers.map(server => server.stop())))

/** Commands that wait: the devices of these tests are mostly away. */
const queue = (server: TestServer, assetId: string, count = 1) =>
  Promise.all(
    Array.from({ length: count }, (_, n) =>
      server.client().setMeasurepoint({ assetId }, 'Int_value', n, { pendingTtl: 3_600, timeout: 60 }),
    ),
  )
const empty = (server: TestServer, assetId: string) => server.client().cancelAll({ assetId })

const row = (page: Page, name: string | RegExp) => page.getByRole('row', { name })
const cell = (page: Page, name: string, n: number) => row(page, name).getByRole('cell').nth(n)
/** columns after the first, which is the row's header */
const [STATUS, WAITING, IN_FLIGHT, OLDEST, SEEN] = [0, 1, 2, 3, 4]
const names = (page: Page) => page.locator('tbody th a').allTextContents()
const current = (page: Page) => page.locator('[data-current="true"]').waitFor()

/** Scrolls, lets the browser draw, and tells what is there then. */
const scroll = (page: Page, byPx: number) =>
  page.evaluate(async byPx => {
    window.scrollBy(0, byPx)
    for (let n = 0; n < 2; n += 1) await new Promise(resolve => requestAnimationFrame(resolve))
    const middle = document.elementFromPoint(window.innerWidth / 2, window.innerHeight / 2)
    return { rows: document.querySelectorAll('tbody tr').length, isRow: middle?.closest('tr[aria-rowindex]') != null }
  }, byPx)
const topOf = async (page: Page, name: string) => (await row(page, name).boundingBox())?.y

describe('5,005 devices', () => {
  it('shows the first of them soon, and scrolls to the last with few of them in the document', async () => {
    const page = await open(many.page('/devices'))
    await row(page, /Pump one/).waitFor()
    expect(await page.evaluate(() => performance.now())).toBeLessThan(5_000)
    await page.getByText('The first 200 devices').waitFor()
    expect(await page.getByRole('table').getAttribute('aria-rowcount')).toBe('-1')

    const seen: { rows: number; isRow: boolean }[] = []
    const isAll = async () => {
      seen.push(await scroll(page, 3_000))
      return page.getByText('5,005 devices', { exact: true }).isVisible()
    }
    await expect.poll(isAll, { timeout: 50_000, interval: 0 }).toBe(true)
    await scroll(page, 1e6)
    await row(page, /Plain 05000/).waitFor()
    expect(Math.max(...seen.map(({ rows }) => rows))).toBeLessThanOrEqual(100)
    expect(seen.filter(({ isRow }) => !isRow)).toEqual([])
    expect(await page.getByRole('table').getAttribute('aria-rowcount')).toBe('5006')
    expect(await row(page, /Plain 05000/).getAttribute('aria-rowindex')).toBe('5006')

    // In the middle, on a page that was not looked at for a while.
    await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight / 2))
    await row(page, /Plain 02500/).waitFor()
    const place = await topOf(page, 'Plain 02500')
    for (const waiting of ['1', '2', '3', '4', '5']) {
      await queue(many, 'a02500')
      await expect.poll(() => cell(page, 'Plain 02500', WAITING).textContent(), SOON).toBe(waiting)
    }
    expect(await topOf(page, 'Plain 02500')).toBe(place)
    await empty(many, 'a02500')
    await expect.poll(() => cell(page, 'Plain 02500', WAITING).textContent(), SOON).toBe('0')
  })

  it('the head of the table stays in view, and rows are as high as they are counted', async () => {
    for (const width of [1280, 390]) {
      const page = await open(many.page('/devices'), { viewport: { width, height: 800 } })
      await row(page, /Plain 00003/).waitFor()
      await scroll(page, 4_000)
      const head = await page.getByRole('columnheader', { name: 'Device' }).boundingBox()
      expect(head?.y).toBeGreaterThanOrEqual(0)
      expect(head?.y).toBeLessThan(60)
      const heights = await page.evaluate(() => {
        const rows = [...document.querySelectorAll('tr[aria-rowindex]')].slice(1)
        return rows.map(row => [row.getBoundingClientRect().height, (row as HTMLElement).style.height])
      })
      expect(heights.filter(([height, given]) => `${height}px` !== given)).toEqual([])
      expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)).toBe(0)
    }
  })

  it('finds one by its key, and shows all again', async () => {
    const page = await open(many.page('/devices'))
    await page.getByRole('searchbox', { name: 'Search', exact: true }).fill('d04321')
    await page.getByText('1 device matches').waitFor()
    expect(await names(page)).toEqual(['Plain 04321d04321'])
    expect(new URL(page.url()).search).toBe('?text=d04321')
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await page.getByText('The first 200 devices').waitFor()
    expect(new URL(page.url()).search).toBe('')
    expect(await page.getByRole('searchbox', { name: 'Search', exact: true }).inputValue()).toBe('')
  })

  it('finds one from anywhere, by its name', async () => {
    const page = await open(many.page('/devices?status=offline'))
    await page.getByRole('searchbox', { name: 'Find a device or command' }).fill('Pump thr')
    await page.keyboard.press('Enter')
    await page.getByText('1 device matches').waitFor()
    expect(await page.getByRole('searchbox', { name: 'Search', exact: true }).inputValue()).toBe('Pump thr')
    await page.getByRole('link', { name: /Pump three/ }).waitFor()
  })

  it('filters by status, product, and whether something waits, and a link shows the same', async () => {
    await queue(many, devices.free.assetId, 2)
    const page = await open(many.page('/devices'))
    await page.getByLabel('Status').selectOption('disabled')
    await page.getByText('1 device matches').waitFor()
    expect(await names(page)).toEqual(['Pump ninemqtt_09'])
    await page.getByLabel('Status').selectOption('inactive')
    await page.getByLabel('Product').selectOption({ label: 'Free form' })
    await page.getByLabel('With commands waiting').check()
    await page.getByText('1 device matches').waitFor()
    expect(await names(page)).toEqual(['Test benchbench_01'])
    expect(new URL(page.url()).search).toBe(`?status=inactive&product=${FREE}&waiting=true`)
    const link = await open(page.url())
    await link.getByText('1 device matches').waitFor()
    expect(await link.getByLabel('Product').inputValue()).toBe(FREE)
    expect(await link.getByLabel('Status').inputValue()).toBe('inactive')
    expect(await link.getByLabel('With commands waiting').isChecked()).toBe(true)
    await empty(many, devices.free.assetId)
  })

  it('offers to look for something else where nothing matches, whatever the address says', async () => {
    const page = await open(many.page('/devices?text=nobody&status=asleep&order=random&waiting=1'))
    await page.getByText('No device matches').waitFor()
    expect(await page.getByLabel('Status').inputValue()).toBe('')
    await page.locator('.empty').getByRole('button', { name: 'Clear filters' }).click()
    await page.getByText('The first 200 devices').waitFor()
  })

  it('puts the deepest queues or the longest waits first, as they change', async () => {
    await queue(many, devices.three.assetId, 1)
    await queue(many, 'a04000', 3)
    const page = await open(many.page('/devices'))
    await page.getByLabel('Order').selectOption('waiting')
    await page.getByText('2 devices with commands waiting').waitFor()
    expect(await names(page)).toEqual(['Plain 04000d04000', 'Pump threemqtt_03'])
    await queue(many, devices.three.assetId, 4)
    await expect.poll(() => names(page), SOON).toEqual(['Pump threemqtt_03', 'Plain 04000d04000'])
    await page.getByLabel('Order').selectOption('oldest')
    expect(new URL(page.url()).search).toBe('?order=oldest')
    await empty(many, devices.three.assetId)
    await expect.poll(() => names(page), SOON).toEqual(['Plain 04000d04000'])
    // What cannot be had within an order takes its place.
    await page.getByLabel('Status').selectOption('disabled')
    await page.getByText('1 device matches').waitFor()
    expect(await page.getByLabel('Order').inputValue()).toBe('')
    await empty(many, 'a04000')
    await page.goto(many.page('/devices?order=waiting'))
    await page.getByText('No device has commands waiting').waitFor()
  })

  it('comes back from a device to the same row at the same place', async () => {
    const page = await open(many.page('/devices?status=inactive'))
    await row(page, /Plain 00003/).waitFor()
    await scroll(page, 6_000)
    await page.getByText('The first 400').waitFor()
    await scroll(page, 10_000)
    await page.getByText('The first 600').waitFor()
    await row(page, /Plain 00400/).scrollIntoViewIfNeeded()
    const place = await topOf(page, 'Plain 00400')
    await page.getByRole('link', { name: /Plain 00400/ }).click()
    await page.getByRole('heading', { level: 1, name: /00400/ }).waitFor()
    expect(await page.evaluate(() => window.scrollY)).toBe(0)
    await queue(many, 'a00400')
    await page.goBack()
    await current(page)
    expect(await topOf(page, 'Plain 00400')).toBe(place)
    expect(await page.getByLabel('Status').inputValue()).toBe('inactive')
    await expect.poll(() => cell(page, 'Plain 00400', WAITING).textContent(), SOON).toBe('1')
    await empty(many, 'a00400')
  })

  it('is where the links above a device and a command lead, with its filters', async () => {
    await queue(many, 'a00400')
    const page = await open(many.page('/devices?status=inactive&text=0040'))
    await page.getByRole('link', { name: /Plain 00400/ }).click()
    await page.locator('.waiting').getByRole('link').first().click()
    await page.getByRole('link', { name: 'Plain 00400' }).first().click()
    await page.locator('.page-head').getByRole('link', { name: 'Devices' }).click()
    await current(page)
    expect(new URL(page.url()).search).toBe('?text=0040&status=inactive')
    expect(await page.getByLabel('Status').inputValue()).toBe('inactive')
    for (const [gone, heading] of [
      ['/devices/nothing', 'nothing'],
      ['/commands/123', 'Command'],
    ] as const) {
      // Within the page: with another address the browser would begin anew, and know of no list.
      await page.evaluate(path => window.history.pushState(null, '', `/console${path}`), gone)
      await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor()
      const above = page.locator('.page-head').getByRole('link', { name: 'Devices' })
      await expect.poll(() => above.getAttribute('href')).toBe('/console/devices?text=0040&status=inactive')
    }
    await empty(many, 'a00400')
  })

  it('with another search it begins at the top', async () => {
    const page = await open(many.page('/devices'))
    await row(page, /Plain 00003/).waitFor()
    await scroll(page, 5_000)
    await page.getByRole('searchbox', { name: 'Find a device or command' }).fill('plain 0')
    await page.keyboard.press('Enter')
    await page.getByText('The first 200 that match').waitFor()
    await row(page, /Plain 00001/).waitFor()
    expect(await page.evaluate(() => window.scrollY)).toBe(0)
  })

  it('what comes and goes above the window leaves the window where it is', async () => {
    const waiting = Array.from({ length: 60 }, (_, n) => `a${String(n + 1_001).padStart(5, '0')}`)
    for (const assetId of waiting) await queue(many, assetId)
    const page = await open(many.page('/devices?waiting=true'))
    await page.getByText('60 devices match').waitFor()
    await scroll(page, 40 * 40)
    const place = await topOf(page, 'Plain 01045')
    for (const assetId of waiting.slice(0, 7)) await empty(many, assetId)
    await page.getByText('53 devices match').waitFor()
    expect(await topOf(page, 'Plain 01045')).toBe(place)
    await queue(many, 'a00999')
    await page.getByText('54 devices match').waitFor()
    expect(await topOf(page, 'Plain 01045')).toBe(place)
    for (const assetId of ['a00999', ...waiting]) await empty(many, assetId)
    await page.getByText('No device has commands waiting').waitFor()
    // Who was not listed is, as soon as something waits.
    await queue(many, 'a04711')
    await row(page, /Plain 04711/).waitFor()
    await empty(many, 'a04711')
  })

  it('a row shows what happens to its device', async () => {
    const page = await open(many.page('/devices'))
    await expect.poll(() => cell(page, 'Pump two', STATUS).textContent(), SOON).toBe('never connected')
    expect(await cell(page, 'Pump two', SEEN).textContent()).toBe('never')
    await queue(many, devices.two.assetId, 2)
    await expect.poll(() => cell(page, 'Pump two', WAITING).textContent(), SOON).toBe('2')
    await expect.poll(() => cell(page, 'Pump two', OLDEST).textContent(), SOON).toMatch(/^[1-9]\d* s$/)
    const device = await many.connect(devices.two, () => undefined)
    await expect.poll(() => cell(page, 'Pump two', STATUS).textContent(), SOON).toBe('online')
    await expect.poll(() => cell(page, 'Pump two', IN_FLIGHT).textContent(), SOON).toContain('sent')
    await expect.poll(() => cell(page, 'Pump two', WAITING).textContent(), SOON).toBe('1')
    expect(await cell(page, 'Pump two', SEEN).textContent()).toBe('now')
    await device.end()
    await expect.poll(() => cell(page, 'Pump two', STATUS).textContent(), SOON).toBe('offline')
    await expect.poll(() => cell(page, 'Pump two', SEEN).textContent(), SOON).toMatch(/ago$/)
    await empty(many, devices.two.assetId)
    await expect.poll(() => cell(page, 'Pump two', WAITING).textContent(), SOON).toBe('0')
    // It comes back within ten seconds, of which no event tells: the list looks by itself.
    await many.connect(devices.two)
    await expect.poll(() => cell(page, 'Pump two', STATUS).textContent(), { timeout: 20_000 }).toBe('online')
  })

  it('is gone through by keyboard', async () => {
    const page = await open(many.page('/devices?text=Pump'))
    await page.getByText('4 devices match').waitFor()
    await page.getByLabel('With commands waiting').focus()
    for (let n = 0; n < 2; n += 1) await page.keyboard.press('Tab')
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe('Pump twomqtt_02')
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1 }).waitFor()
    expect(new URL(page.url()).pathname).toBe(`/console/devices/${devices.two.assetId}`)
  })

  it('hinders nobody, in both themes and both languages, wide and narrow', async () => {
    await queue(many, devices.one.assetId)
    for (const [colorScheme, locale, width] of [
      ['light', 'en-US', 1440],
      ['dark', 'zh-CN', 1280],
      ['dark', 'en-US', 390],
    ] as const) {
      const page = await open(many.page('/devices'), { colorScheme, locale, viewport: { width, height: 800 } })
      await row(page, locale === 'zh-CN' ? /一号水泵/ : /Pump one/).waitFor()
      await current(page)
      expect(await axeFaults(page)).toEqual([])
    }
    await empty(many, devices.one.assetId)
  })
})

describe('a server that goes and comes', () => {
  it('is told of, and nothing old is shown as if it were now', async () => {
    const server = await start()
    const page = await open(server.page('/devices'), { expected: NOT_THERE })
    await page.getByText('5 devices', { exact: true }).waitFor()
    await queue(server, devices.one.assetId, 2)
    await expect.poll(() => cell(page, 'Pump one', WAITING).textContent(), SOON).toBe('2')
    await server.kill()
    await page.locator('[data-current="false"]').waitFor()
    await page
      .getByText(/Not connected to the server|cannot be reached/)
      .first()
      .waitFor()
    await server.begin()
    await current(page)
    expect(await cell(page, 'Pump one', WAITING).textContent()).toBe('2')
    await queue(server, devices.one.assetId)
    await expect.poll(() => cell(page, 'Pump one', WAITING).textContent(), SOON).toBe('3')
  })
})

describe('other fleets', () => {
  const gateway = () => {
    const { organizations } = JSON.parse(fleetFile())
    const [{ products, devices: listed }] = organizations
    const productName = { defaultValue: 'Gateway' }
    products.push({ productKey: 'gAteWay1', productSecret: 'Xc3MhYt6PdL9', productName, productType: 'Gateway' })
    listed.push({ assetId: 'gW1rTe5Y', productKey: 'gAteWay1', deviceKey: 'gateway_01', deviceSecret: 'F9sDlJ3mRzV7' })
    listed[0].gateway = 'gW1rTe5Y'
    return JSON.stringify({ organizations })
  }

  it('a device behind a gateway leads to it', async () => {
    const server = await start({ fleet: gateway() })
    const page = await open(server.page('/devices'), { viewport: { width: 1440, height: 800 } })
    await row(page, /Pump one/)
      .getByRole('link', { name: 'gW1rTe5Y' })
      .click()
    await page.getByRole('heading', { level: 1 }).waitFor()
    expect(new URL(page.url()).pathname).toBe('/console/devices/gW1rTe5Y')
  })

  it('says how devices come to be where there are none', async () => {
    const { organizations } = JSON.parse(fleetFile())
    const fleet = JSON.stringify({ organizations: [{ ...organizations[0], devices: [] }] })
    const server = await start({ fleet })
    const page = await open(server.page('/devices'))
    await page.getByText('There are no devices yet').waitFor()
    await page.getByText('downlink fleet apply').waitFor()
  })

  it('whose grants do not have products types their keys', async () => {
    const server = await start({ auth: 'signature' })
    const grants = [{ resource: 'Asset', actions: ['Read'], scope: 'all' }]
    const token = await server.operatorToken('dora', { grants })
    const page = await open(server.page('/devices'), { expected: /status of 401/ })
    await page.locator('input[name=operatorToken]').fill(token)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('5 devices', { exact: true }).waitFor()
    await page.getByRole('searchbox', { name: 'Product' }).fill(FREE)
    await page.keyboard.press('Enter')
    await page.getByText('1 device matches').waitFor()
    expect(await names(page)).toEqual(['Test benchbench_01'])
  })
})
