// The overview, as who looks at it sees it: figures that follow what happens and lead to where one can act, charts with the numbers behind them, the feed, and
// what stands there before there is anything, or where the grants do not reach. Not here: what the charts are made of (overview-figures.test.ts).

import type { Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { axeFaults, NOT_THERE, useBrowser } from './rig/browser.ts'
import { devices, PUMPS } from './rig/fleet.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
const of = ({ assetId }: { assetId: string }) => ({ assetId })
const WAITS = { pendingTtl: 600 }
/** Until it is so: what a page shows follows what happens within two seconds, and a busy machine takes longer. */
const soon = <T>(look: () => T) => expect.poll(look, { timeout: 15_000 })

const card = (page: Page, title: string | RegExp): Locator =>
  page.locator('section.card').filter({ has: page.getByRole('heading', { name: title, exact: true }) })
const tile = (page: Page, name: string): Locator =>
  page
    .getByRole('listitem')
    .getByRole('link')
    .filter({ has: page.getByText(name, { exact: true }) })
const figure = (page: Page, name: string) => tile(page, name).locator('.tile-figure').textContent()
const figures = async (page: Page, ...names: string[]) => Promise.all(names.map(name => figure(page, name)))
/** What the legend of a chart says. */
const legend = (page: Page, chart: string | RegExp) =>
  card(page, chart)
    .locator('dl > div')
    .evaluateAll(rows =>
      Object.fromEntries(
        rows.map(row => [row.querySelector('dt')?.textContent ?? '', row.querySelector('dd')?.textContent ?? '']),
      ),
    )
const SETTLED = 'Settled, by outcome'
const RATES = /^Accepted, sent and cancelled per/
const names = (page: Page, title: string) => card(page, title).locator('tbody th code').allTextContents()
const feed = (page: Page): Locator => card(page, 'Happening now').locator('ol > li')
const newest = (page: Page) => feed(page).first().textContent()

describe('a fresh installation', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start()
    await server.connect(devices.two)
  })
  afterAll(() => server.stop())

  it('says what to do next, and becomes the overview with the first command', async () => {
    const page = await open(server.page())
    await page.getByRole('heading', { name: 'No command has been sent yet' }).waitFor()
    expect(await page.locator('.plot').count()).toBe(0)
    // Of all devices the one that is there is offered.
    const offered = page.getByRole('link', { name: /Pump/ })
    expect(await offered.count()).toBe(1)
    expect(await offered.getAttribute('href')).toBe(`/console/devices/${devices.two.assetId}`)
    expect(await axeFaults(page)).toEqual([])

    const client = server.client()
    const { commandId } = await client.setMeasurepoint(of(devices.two), 'Int_value', 5, WAITS)
    await client.waitFor(commandId)
    await soon(() => legend(page, SETTLED)).toMatchObject({ succeeded: '1', failed: '0' })
    expect(await page.getByRole('heading', { name: 'No command has been sent yet' }).count()).toBe(0)
    await soon(() => newest(page)).toMatch(/succeeded.*set Int_value on mqtt_02.*answered in \d+ ms/)
    await feed(page).first().getByRole('link', { name: 'Int_value' }).click()
    await page.waitForURL(server.page(`/commands/${commandId}`))
  })
})

describe('with commands', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start()
    const client = server.client()
    await server.connect(devices.one)
    await server.connect(devices.free, ({ payload }) => ({ id: payload.id, code: 405, message: 'not now' }))
    const settle = async (device: { assetId: string }, point: string, n: number) => {
      for (let value = 0; value < n; value += 1)
        await client.waitFor((await client.setMeasurepoint(of(device), point, value, WAITS)).commandId)
    }
    await settle(devices.one, 'Int_value', 4)
    await settle(devices.free, 'anything', 2)
    const { commandId } = await client.setMeasurepoint(of(devices.three), 'mode', 1, WAITS)
    await client.cancel(of(devices.three), commandId)
    await client.setMeasurepoint(of(devices.three), 'mode', 1, WAITS)
    for (const value of [10, 20, 30]) await client.setMeasurepoint(of(devices.two), 'setpoint', value, WAITS)
  })
  afterAll(() => server.stop())

  it('counts what there is now, and follows it', async () => {
    const page = await open(server.page())
    await soon(() => figures(page, 'Waiting', 'In flight')).toEqual(['4', '0'])
    expect(await figures(page, 'Online', 'Offline', 'Never connected', 'Disabled')).toEqual(['2', '0', '2', '1'])

    const client = server.client()
    const { commandId } = await client.setMeasurepoint(of(devices.two), 'setpoint', 31, WAITS)
    await soon(() => figure(page, 'Waiting')).toBe('5')
    await client.cancel(of(devices.two), commandId)
    await soon(() => figure(page, 'Waiting')).toBe('4')

    // One that its device has and does not answer.
    const device = await server.connect(devices.three, () => undefined)
    await soon(() => figures(page, 'Waiting', 'In flight', 'Online')).toEqual(['3', '1', '3'])
    const [received] = device.received
    if (received === undefined) throw new Error('the device has got nothing')
    const { topic, payload } = received
    await device.client.publishAsync(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200 }), { qos: 1 })
    await soon(() => figure(page, 'In flight')).toBe('0')
    await device.end()
    await soon(() => figures(page, 'Online', 'Offline')).toEqual(['2', '1'])
  })

  it('leads from each figure to where one can act', async () => {
    const page = await open(server.page())
    const href = (name: string) => tile(page, name).getAttribute('href')
    expect(await href('Waiting')).toBe('/console/devices?waiting=true')
    expect(await href('In flight')).toBe('/console/devices?status=online')
    expect(await href('Online')).toBe('/console/devices?status=online')
    expect(await href('Offline')).toBe('/console/devices?status=offline')
    expect(await href('Never connected')).toBe('/console/devices?status=inactive')
    expect(await href('Disabled')).toBe('/console/devices?status=disabled')
    await tile(page, 'Waiting').click()
    await page.waitForURL(server.page('/devices?waiting=true'))
  })

  it('shows the oldest waiting command, older every second, and leads to its device', async () => {
    const page = await open(server.page())
    const oldest = tile(page, 'Oldest waiting')
    await oldest.getByText('Pump two').waitFor()
    const age = await figure(page, 'Oldest waiting')
    expect(age).toMatch(/^(\d+ min )?\d+ s$/)
    await soon(() => figure(page, 'Oldest waiting')).not.toBe(age)
    await oldest.click()
    await page.waitForURL(server.page(`/devices/${devices.two.assetId}`))
  })

  it('lists the deepest queues and the longest waits', async () => {
    const client = server.client()
    const ids = []
    for (let value = 0; value < 5; value += 1)
      ids.push((await client.setMeasurepoint(of(devices.disabled), 'Int_value', value, WAITS)).commandId)
    const page = await open(server.page())
    await soon(() => names(page, 'Deepest queues')).toEqual(['mqtt_09', 'mqtt_02'])
    await soon(() => names(page, 'Longest waits')).toEqual(['mqtt_02', 'mqtt_09'])
    const row = card(page, 'Deepest queues').getByRole('row', { name: /mqtt_09/ })
    expect(await row.getByRole('cell').first().textContent()).toBe('disabled')
    expect(await row.getByRole('cell').nth(1).textContent()).toBe('5')
    await client.cancelAll(of(devices.disabled))
    await soon(() => names(page, 'Deepest queues')).toEqual(['mqtt_02'])
    await card(page, 'Deepest queues')
      .getByRole('link', { name: /Pump two/ })
      .click()
    await page.waitForURL(server.page(`/devices/${devices.two.assetId}`))
  })

  it('sums up what commands came to, as the server counts it, and lists it by time', async () => {
    const page = await open(server.page())
    const { total } = await server.client().stats()
    expect(total).toMatchObject({ failed: 2 })
    await expect
      .poll(() => legend(page, SETTLED))
      .toEqual({
        succeeded: String(total.succeeded),
        failed: String(total.failed),
        'timed out': String(total.timedOut),
        expired: String(total.expired),
        cancelled: String(total.cancelled),
      })
    await expect
      .poll(() => legend(page, RATES))
      .toEqual({
        accepted: String(total.accepted),
        sent: String(total.sent),
        cancelled: String(total.cancelled),
      })
    const numbers = card(page, SETTLED)
    await numbers.getByText('Numbers').click()
    const listed = () =>
      numbers
        .locator('tbody tr')
        .evaluateAll(rows => rows.reduce((sum, row) => sum + Number(row.querySelector('td')?.textContent), 0))
    await soon(listed).toBe(total.succeeded)
    const said = await numbers.getByRole('img').getAttribute('aria-label')
    expect(said).toContain(`succeeded ${total.succeeded}, failed 2`)
    expect(await axeFaults(page)).toEqual([])
  })

  it('names the numbers of the step that the pointer is over, in both charts', async () => {
    const page = await open(server.page())
    const plot = card(page, SETTLED).locator('.u-over')
    await plot.waitFor()
    const box = await plot.boundingBox()
    if (box === null) throw new Error('there is no plot')
    await page.mouse.move(box.x + 5, box.y + 40)
    for (const chart of [SETTLED, RATES])
      await card(page, chart)
        .getByText(/^\d\d:\d\d – \d\d:\d\d$/)
        .waitFor()
    expect(await legend(page, SETTLED)).toMatchObject({ succeeded: '0', failed: '0' })
    await page.mouse.move(box.x + box.width / 2, 5)
    await card(page, SETTLED).getByText('Last hour, in all').waitFor()
  })

  it('keeps the range in the address', async () => {
    const page = await open(server.page())
    await card(page, SETTLED).getByText('Last hour, in all').waitFor()
    for (const [range, title] of [
      ['6 h', 'Last 6 hours, in all'],
      ['24 h', 'Last 24 hours, in all'],
      ['7 d', 'Last 7 days, in all'],
    ] as const) {
      await page.getByRole('navigation', { name: 'Time range' }).getByRole('link', { name: range }).click()
      await card(page, SETTLED).getByText(title).waitFor()
      await soon(() => legend(page, SETTLED)).toMatchObject({ failed: '2' })
    }
    expect(page.url()).toBe(server.page('/?range=7d'))
    await page.reload()
    await card(page, SETTLED).getByText('Last 7 days, in all').waitFor()
    expect(await page.getByRole('link', { name: '7 d' }).getAttribute('aria-current')).toBe('true')
    await page.goBack()
    await card(page, SETTLED).getByText('Last 24 hours, in all').waitFor()
  })

  it('draws its charts in the colours of the theme, and anew with another', async () => {
    const page = await open(server.page())
    const has = (property: string) =>
      page.evaluate(property => {
        const probe = document.createElement('span')
        probe.style.color = `var(${property})`
        document.body.append(probe)
        const wanted = getComputedStyle(probe).color.match(/\d+/g)?.map(Number) ?? []
        probe.remove()
        const canvas = document.querySelector<HTMLCanvasElement>('.plot canvas')
        const context = canvas?.getContext('2d')
        if (!canvas || !context) return false
        const { data } = context.getImageData(0, 0, canvas.width, canvas.height)
        for (let i = 0; i < data.length; i += 4)
          if (data[i + 3] === 255 && wanted.every((part, n) => data[i + n] === part)) return true
        return false
      }, property)
    await soon(() => has('--succeeded-strong')).toBe(true)
    const light = await page.evaluate(() => getComputedStyle(document.body).getPropertyValue('--succeeded-strong'))
    await page.getByLabel('Theme').selectOption('dark')
    const dark = await page.evaluate(() => getComputedStyle(document.body).getPropertyValue('--succeeded-strong'))
    expect(dark).not.toBe(light)
    await soon(() => has('--succeeded-strong')).toBe(true)
    await page.getByLabel('Theme').selectOption('system')
    await soon(() => has('--succeeded-strong')).toBe(true)
    await page.emulateMedia({ colorScheme: 'dark' })
    await soon(() => has('--succeeded-strong')).toBe(true)
  })

  it('fits into a narrow window, and its charts shrink with it', async () => {
    const page = await open(server.page())
    const canvas = card(page, SETTLED).locator('canvas')
    await canvas.waitFor()
    await page.setViewportSize({ width: 390, height: 800 })
    await soon(async () => (await canvas.boundingBox())?.width).toBeLessThan(390)
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(390)
  })

  it('has no serious finding of axe in the dark and in Chinese', async () => {
    const page = await open(server.page(), { colorScheme: 'dark', locale: 'zh-CN' })
    await page.getByRole('heading', { name: '已结束的指令（按结果）' }).waitFor()
    await soon(() => page.getByText('二号水泵').count()).toBeGreaterThan(0)
    expect(await axeFaults(page)).toEqual([])
  })
})

describe('the feed', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start()
    await server.connect(devices.one)
  })
  afterAll(() => server.stop())

  it('tells each step in words, newest first', async () => {
    const page = await open(server.page())
    await soon(() => newest(page)).toMatch(/online.*mqtt_01.*connected/)
    const client = server.client()
    const { commandId } = await client.setMeasurepoint(of(devices.two), 'setpoint', 20, WAITS)
    await soon(() => newest(page)).toMatch(/waiting.*set setpoint on mqtt_02.*accepted, from 5acb82e7…/)
    await client.cancel(of(devices.two), commandId)
    await soon(() => newest(page)).toMatch(/cancelled.*set setpoint on mqtt_02.*by 5acb82e7…, after/)
    const refused = await client.invokeService(of(devices.two), 'reboot').catch(error => error)
    expect(refused.code).toBe(11888)
    await soon(() => newest(page)).toMatch(/failed.*invoke reboot on mqtt_02.*the device has never connected/)
    await client.invokeService(of(devices.one), 'reboot')
    await soon(() => newest(page)).toMatch(/succeeded.*invoke reboot on mqtt_01.*answered in/)
    expect(await feed(page).nth(1).textContent()).toMatch(/sent.*invoke reboot on mqtt_01/)
  })

  it('is there again when one comes back to the page', async () => {
    const page = await open(server.page())
    const client = server.client()
    const { commandId } = await client.setMeasurepoint(of(devices.three), 'label', 'first', WAITS)
    await soon(() => newest(page)).toMatch(/waiting.*set label on mqtt_03/)
    const shown = await feed(page).count()
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Devices' }).click()
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor({ state: 'detached' })
    await client.cancel(of(devices.three), commandId)
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Overview' }).click()
    await soon(() => newest(page)).toMatch(/cancelled.*set label on mqtt_03/)
    expect(await feed(page).nth(1).textContent()).toMatch(/waiting.*set label on mqtt_03/)
    expect(await feed(page).count(), 'each once').toBe(shown + 1)
  })

  it('stands still while somebody points at it or has paused it', async () => {
    const page = await open(server.page())
    const client = server.client()
    const send = (value: number) => client.setMeasurepoint(of(devices.two), 'Int_value', value, WAITS)
    await soon(() => feed(page).count()).toBeGreaterThan(2)
    const before = await newest(page)
    await feed(page).first().hover()
    await send(1)
    const happening = card(page, 'Happening now')
    await happening.getByText('1 new').waitFor()
    expect(await newest(page)).toBe(before)
    await page.getByRole('heading', { level: 1 }).hover()
    await soon(() => newest(page)).toMatch(/waiting.*set Int_value on mqtt_02/)

    await happening.getByRole('button', { name: 'Pause' }).click()
    const paused = await feed(page).count()
    await send(2)
    await send(3)
    await happening.getByText('2 new').waitFor()
    expect(await feed(page).count()).toBe(paused)
    await happening.getByRole('button', { name: 'Resume' }).click()
    await soon(() => feed(page).count()).toBe(paused + 2)
  })

  it('keeps fifty, however much happens, and the page goes on', async () => {
    const page = await open(server.page())
    const client = server.client()
    await Promise.all(
      Array.from({ length: 40 }, (_, value) => client.setMeasurepoint(of(devices.one), 'Int_value', value, WAITS)),
    )
    await soon(() => feed(page).count()).toBe(50)
    await soon(() => legend(page, SETTLED)).toMatchObject({ succeeded: '41' })
    await soon(() => newest(page)).toMatch(/succeeded.*mqtt_01/)
    expect(await feed(page).count()).toBe(50)
  })
})

describe('when the server goes away', () => {
  it('dims what it shows and says so, and is true again without a reload', async () => {
    const server = await TestServer.start()
    try {
      const client = server.client()
      for (const value of [1, 2]) await client.setMeasurepoint(of(devices.one), 'Int_value', value, WAITS)
      const page = await open(server.page(), { expected: NOT_THERE })
      await soon(() => figure(page, 'Waiting')).toBe('2')
      await server.kill()
      await page.getByText('Not connected to the server').waitFor()
      expect(await page.locator('[data-current]').first().getAttribute('data-current')).toBe('false')
      expect(await page.locator('.seen').first().getAttribute('inert')).not.toBe(null)
      await server.begin()
      await client.cancelAll(of(devices.one))
      await soon(() => page.locator('[data-current=false]').count()).toBe(0)
      await soon(() => figure(page, 'Waiting')).toBe('0')
      await soon(() => legend(page, SETTLED)).toMatchObject({ cancelled: '2' })
      await page.getByText('No queue has anything in it.').first().waitFor()
      await soon(() => newest(page)).toMatch(/cancelled.*set Int_value on mqtt_01/)
    } finally {
      await server.stop()
    }
  })
})

describe('with fewer grants', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start({ auth: 'signature' })
  })
  afterAll(() => server.stop())

  const enter = async (name: string, grants: readonly object[]) => {
    const page = await open(server.page(), { expected: /status of 401/ })
    await page.locator('input[name=operatorToken]').fill(await server.operatorToken(name, { grants }))
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
    return page
  }
  const control = (scope: unknown) => ({ resource: 'Asset', actions: ['Control'], scope })

  it('for single devices, has their queues and their feed, and says why there are no counts', async () => {
    const page = await enter('dora', [control({ assetIds: [devices.one.assetId] })])
    await page.getByText('There are no counts and charts here').waitFor()
    await page.getByText('No queue has anything in it.').first().waitFor()
    expect(await page.locator('.plot').count()).toBe(0)
    expect(await tile(page, 'Waiting').count()).toBe(0)

    const client = server.client()
    await client.setMeasurepoint(of(devices.two), 'Int_value', 1, WAITS)
    await client.setMeasurepoint(of(devices.one), 'Int_value', 1, WAITS)
    await soon(() => names(page, 'Deepest queues')).toEqual(['mqtt_01'])
    await tile(page, 'Oldest waiting').getByText('Pump one').waitFor()
    await soon(() => newest(page)).toMatch(/waiting.*set Int_value on mqtt_01/)
    expect(await page.getByRole('alert').count()).toBe(0)
    expect(await axeFaults(page)).toEqual([])
  })

  it('for whole products, says which are counted', async () => {
    const page = await enter('emil', [control({ productKeys: [PUMPS] })])
    await page.getByText(`Counts and charts are of the products that your grants cover: ${PUMPS}.`).waitFor()
    await card(page, 'Devices now').getByText('of 4 devices').waitFor()
  })

  it('for reading, offers nothing to send', async () => {
    const fresh = await TestServer.start({ auth: 'signature' })
    try {
      const page = await open(fresh.page(), { expected: /status of 401/ })
      const grants = [{ resource: 'Asset', actions: ['Read'], scope: 'all' }]
      await page.locator('input[name=operatorToken]').fill(await fresh.operatorToken('fay', { grants }))
      await page.getByRole('button', { name: 'Sign in' }).click()
      await page.getByText('Your grants let you look, not send.').waitFor()
      expect(await page.getByRole('link', { name: /Pump/ }).count()).toBe(0)
      await page.close()
    } finally {
      await fresh.stop()
    }
  })

  it('for no devices, says so and asks for nothing', async () => {
    const page = await enter('gus', [{ resource: 'Model', actions: ['Read'], scope: 'all' }])
    await page.getByText('Nothing can be shown to you here').waitFor()
    expect(await page.getByRole('alert').count()).toBe(0)
    expect(await axeFaults(page)).toEqual([])
  })
})

describe('the first load', () => {
  it('has the drawing library only where something is drawn', async () => {
    const server = await TestServer.start()
    try {
      const page = await open('about:blank')
      const scripts: Promise<string>[] = []
      page.on('response', response => {
        if (response.url().endsWith('.js')) scripts.push(response.text())
      })
      const isThere = async () => (await Promise.all(scripts)).some(text => text.includes('u-over'))
      await page.goto(server.page('/devices'))
      await page.getByRole('heading', { level: 1 }).waitFor()
      expect(scripts.length).toBeGreaterThan(0)
      expect(await isThere()).toBe(false)
      await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Overview' }).click()
      await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
      expect(await isThere()).toBe(true)
      await page.close()
    } finally {
      await server.stop()
    }
  })
})
