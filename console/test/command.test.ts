// The page of one command, as who looks at it sees it: the command's life as it happens, in a page that is never reloaded; its ends; what is offered to whom;
// and what stands there for an id that leads nowhere. Not here: lengths and conclusions of the drawing (command-life.test.ts).

import type { Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { TestDevice } from '../../test/rig/server.ts'
import { axeFaults, NOT_THERE, useBrowser } from './rig/browser.ts'
import { Emulator } from './rig/emulator.ts'
import { ADMIN, devices, NARROW, ORG, PUMPS, READER, type TestedDevice } from './rig/fleet.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
const at = ({ assetId }: TestedDevice) => ({ assetId })
const HOUR = 3_600_000

const card = (page: Page, title: string): Locator =>
  page.locator('section').filter({ has: page.getByRole('heading', { name: title, exact: true }) })
const outcome = (page: Page): Locator => page.getByRole('region', { name: 'Now' })
const state = (page: Page, name: string) => outcome(page).getByRole('status').first().getByText(name).waitFor()
const says = (page: Page, text: string | RegExp) => outcome(page).getByText(text).waitFor()
/** What the drawing says to who cannot see it. */
const told = (page: Page) => page.getByRole('img', { name: /^Its life/ }).getAttribute('aria-label')
/** The stations of the drawing, in order. */
const stops = (page: Page) =>
  page.locator('[data-stop]').evaluateAll(all => all.map(stop => stop.getAttribute('data-stop')))
/** What happened, in order, by the reasons that events carry. */
const happened = (page: Page, own = true) =>
  page.locator(own ? 'tr.own' : 'tr.meanwhile').evaluateAll(rows => rows.map(row => row.getAttribute('data-reason')))

/** Answers the last of so many commands that it gets, as late as the test wants. */
async function answer(device: TestDevice, count: number, data: object = {}): Promise<void> {
  await device.count(count)
  const { topic, payload } = device.received[count - 1] ?? {}
  await device.client.publishAsync(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200, data }), { qos: 1 })
}
const silent = () => undefined

describe('a command whose life goes on', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start()
  })
  afterAll(() => server.stop())
  const see = (commandId: string) => open(server.page(`/commands/${commandId}`))

  it('is followed from waiting to its answer, without a reload', async () => {
    const client = server.client()
    const first = await client.setMeasurepoint(at(devices.one), 'setpoint', 20.5, { pendingTtl: 600 })
    const { commandId } = await client.invokeService(
      at(devices.one),
      'calibrate',
      { reference: 20.5 },
      { pendingTtl: 600 },
    )
    const page = await see(commandId)
    await page.evaluate(() => Object.assign(window, { isStillThisPage: true }))
    await page.getByRole('heading', { level: 1, name: 'Calibrate' }).waitFor()
    await state(page, 'waiting')
    await says(page, /The device has never connected\. It is behind one command/)
    await says(
      page,
      /It waits until .* at most, (10 min|9 min \d+ s) from now, and can be cancelled as long as it waits/,
    )
    await outcome(page)
      .getByRole('button', { name: /Cancel/ })
      .waitFor()
    expect(await stops(page)).toEqual(['created', 'now', 'willExpire'])
    await page.getByText(/device offline/).waitFor()
    // It ticks: what it has waited is told anew each second.
    const waited = await told(page)
    expect(waited).toMatch(/^Its life: accepted .*, has waited \d+ s, now .*, left .*, expires/)
    await expect.poll(() => told(page)).not.toBe(waited)
    await card(page, 'Output').getByText('What the device answers stands here.').waitFor()

    const device = await server.connect(devices.one, silent)
    await says(page, /It is behind one command, .* That one was sent at/)
    await answer(device, 1)
    await state(page, 'sent')
    await says(page, /the device has not answered yet\. Without an answer it times out at .*cannot be recalled/)
    expect(
      await outcome(page)
        .getByRole('button', { name: /Cancel/ })
        .count(),
    ).toBe(0)
    expect(await stops(page)).toEqual(['created', 'sent', 'now', 'willTimeOut'])
    expect(await happened(page, false)).toEqual(['connected', 'sent', 'reply'])

    await answer(device, 2, { offset: 1.5 })
    await state(page, 'succeeded')
    await says(page, /carried it out, and answered at/)
    expect(await stops(page)).toEqual(['created', 'sent', 'succeeded'])
    expect(await happened(page)).toEqual(['accepted', 'sent', 'reply'])
    expect(await told(page)).toMatch(/waited .* sent .* answered after .* succeeded/)
    await card(page, 'Input').getByText('Reference').waitFor()
    await card(page, 'Output').getByText('Offset').waitFor()
    await card(page, 'Output').getByText('1.5').waitFor()
    expect(await page.evaluate(() => 'isStillThisPage' in window)).toBe(true)
    expect(await axeFaults(page)).toEqual([])

    // The one that was before it is a step away.
    await page.getByRole('table').getByRole('link', { name: first.commandId }).first().click()
    await page.getByRole('heading', { level: 1, name: 'Setpoint' }).waitFor()
    await card(page, 'Input').getByText('°C').waitFor()
    await device.end()
  })

  it('is cancelled from here, and that is all that happens to it', async () => {
    const client = server.client()
    const { commandId } = await client.setMeasurepoint(at(devices.two), 'mode', 1, { pendingTtl: 600 })
    const page = await see(commandId)
    await card(page, 'Input').getByText('Auto').waitFor()
    await outcome(page)
      .getByRole('button', { name: /Cancel/ })
      .click()
    await outcome(page)
      .getByRole('button', { name: /Cancel it/ })
      .click()
    await state(page, 'cancelled')
    await says(page, /It was cancelled at .*, and will never be sent\./)
    await says(page, 'application')
    expect((await client.record(commandId)).state).toBe(2)
    expect(await stops(page)).toEqual(['created', 'cancelled'])
    expect(await happened(page)).toEqual(['accepted', 'cancel'])
    expect(await outcome(page).getByRole('button').count()).toBe(0)
  })

  it('that times out has its late answers after the end', async () => {
    const client = server.client()
    const device = await server.connect(devices.three, silent)
    const { commandId } = await client.invokeService(at(devices.three), 'reboot', {}, { pendingTtl: 600, timeout: 1 })
    const page = await see(commandId)
    await state(page, 'timed out')
    await says(page, 'Find out before you send it again.')
    expect(await stops(page)).toEqual(['created', 'sent', 'timedOut'])
    await answer(device, 1, { ok: true })
    await page.getByRole('table').getByText('late answer').waitFor()
    expect(await stops(page)).toEqual(['created', 'sent', 'timedOut', 'late'])
    await answer(device, 1, { ok: true })
    await page.getByText('2 late answers').waitFor()
    await state(page, 'timed out')
    await device.end()
  })

  it('that the device refuses has the words of the device', async () => {
    const client = server.client()
    const device = await server.connect(devices.free, ({ payload }) => ({
      id: payload.id,
      code: 1712,
      message: 'valve stuck',
    }))
    const { commandId } = await client.setMeasurepoint(at(devices.free), 'anything', { a: [1, 2] }, { pendingTtl: 600 })
    const page = await see(commandId)
    await state(page, 'failed')
    await says(page, /The device answered with code 1712/)
    await says(page, 'valve stuck')
    // Its product has no model, so nothing has a name.
    await card(page, 'Input').getByText('{"a":[1,2]}').waitFor()
    await device.end()
  })

  it('that fails the moment it comes has no life to draw', async () => {
    const refused = await server
      .client()
      .setMeasurepoint(at(devices.disabled), 'Int_value', 1)
      .catch(error => error)
    const page = await see(refused.commandId)
    await state(page, 'failed')
    await says(page, /Code 11888/)
    await page.getByText('it was over the moment it came').waitFor()
    expect(await stops(page)).toEqual([])
    expect(await happened(page)).toEqual(['inactive'])
  })

  it('is dimmed while the server is away, and goes on where it is when it comes back', async () => {
    const { commandId } = await server.client().setMeasurepoint(at(devices.two), 'Int_value', 3, { pendingTtl: 600 })
    const page = await open(server.page(`/commands/${commandId}`), { expected: NOT_THERE })
    await state(page, 'waiting')
    await server.kill()
    await page.locator('[data-current=false]').waitFor()
    await server.begin()
    await page.locator('[data-current=true]').waitFor()
    await server.client().cancel(at(devices.two), commandId)
    await state(page, 'cancelled')
  })

  it('stays on record when its device is deleted, and says so', async () => {
    const client = server.client()
    await client.call('devices', 'create', {
      body: { productKey: PUMPS, deviceKey: 'gone_01', deviceName: { defaultValue: 'Gone' }, timezone: '+08:00' },
    })
    const { assetId = '' } = (await client.devicePage({ text: 'gone_01' })).devices[0] ?? {}
    const { commandId } = await client.setMeasurepoint({ assetId }, 'Int_value', 3, { pendingTtl: 600 })
    const page = await see(commandId)
    await state(page, 'waiting')
    await page.getByRole('link', { name: 'Send again' }).waitFor()
    await client.call('devices', 'delete', { device: { assetId } })
    await page.getByText('The device has been deleted.').waitFor()
    await state(page, 'cancelled')
    await page.getByRole('table').getByText('the device was deleted').waitFor()
    expect(await page.getByRole('link', { name: 'Send again' }).count()).toBe(0)
    await page.reload()
    await page.getByText('The device has been deleted.').waitFor()
    await state(page, 'cancelled')
  })
})

describe('with a clock that leaps', () => {
  let emulator: Emulator
  beforeAll(async () => {
    emulator = await Emulator.start()
  })
  afterAll(() => emulator.stop())

  it('a command expires while somebody looks', async () => {
    await emulator.faults(devices.one, { offline: true })
    const { commandId } = await emulator.client.setMeasurepoint(at(devices.one), 'label', 'hello', {
      pendingTtl: 3_600,
    })
    const page = await open(emulator.page(`/commands/${commandId}`))
    await says(page, /The device has been offline since .*, for \d+ s\./)
    await emulator.advance(HOUR)
    await state(page, 'expired')
    await says(page, /It expired at .*: the time that it may wait was over before it could be sent\./)
    expect(await stops(page)).toEqual(['created', 'expired'])
    expect(await told(page)).toMatch(/waited 1 h,/)
    expect(await happened(page)).toEqual(['accepted', 'pendingTtl'])
  })

  it('what took milliseconds can be read beside what took two days, on a telephone too', async () => {
    await emulator.faults(devices.two, { offline: true })
    const { commandId } = await emulator.client.invokeService(
      at(devices.two),
      'reboot',
      { delay: 1 },
      { pendingTtl: 172_800 },
    )
    await emulator.advance(47 * HOUR)
    await emulator.faults(devices.two, {})
    await emulator.client.waitFor(commandId, { timeoutMs: 20_000 })
    for (const width of [1280, 390]) {
      const page = await open(emulator.page(`/commands/${commandId}`), { viewport: { width, height: 800 } })
      await page.getByText('1 d 23 h').first().waitFor()
      const sizes = await page.locator('[data-phase]').evaluateAll(phases => {
        const isWide = phases.every(phase => phase.getBoundingClientRect().left >= 0 && window.innerWidth > 600)
        return phases.map(phase => phase.getBoundingClientRect()[isWide ? 'width' : 'height'])
      })
      const [waiting = 0, answering = 0] = sizes
      expect(sizes.length).toBe(2)
      expect(answering).toBeGreaterThan(90)
      expect(waiting).toBeGreaterThan(answering * 2)
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
      expect(overflow).toBeLessThanOrEqual(0)
    }
  })

  it('has all that it waited for behind one press, and holds long names, on a telephone too', async () => {
    await emulator.faults(devices.free, { offline: true })
    const { client } = emulator
    for (let n = 0; n < 8; n += 1) await client.setMeasurepoint(at(devices.free), `p${n}`, n, { pendingTtl: 600 })
    const name = 'constructor'.padEnd(64, '_of_something')
    const input = { [name]: Array.from({ length: 200 }, (_, n) => n) }
    const { commandId } = await client.invokeService(at(devices.free), name, input, { pendingTtl: 600 })
    // Connections that follow each other quickly have one event for all of them.
    await emulator.advance(60_000)
    await emulator.faults(devices.free, {})
    await client.waitFor(commandId, { timeoutMs: 20_000 })
    const page = await open(emulator.page(`/commands/${commandId}`), { viewport: { width: 390, height: 800 } })
    await page.getByRole('heading', { level: 1, name }).waitFor()
    await page.getByText('8 commands before it').waitFor()
    await page.getByRole('button', { name: 'Show 5 more' }).click()
    // The device came, and each of the eight was sent and answered.
    const each = Array.from({ length: 8 }, () => ['sent', 'reply'])
    expect(await happened(page, false)).toEqual(['connected', ...each.flat()])
    expect(await page.getByRole('button', { name: /more$/ }).count()).toBe(0)
    expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)).toBeLessThanOrEqual(0)
    expect(await axeFaults(page)).toEqual([])
  })

  it('speaks Chinese in the dark, and nothing hinders', async () => {
    await emulator.faults(devices.three, { mute: true })
    const { commandId } = await emulator.client.invokeService(
      at(devices.three),
      'reboot',
      { delay: 1 },
      { pendingTtl: 600, timeout: 60 },
    )
    for (const colorScheme of ['dark', 'light'] as const) {
      const page = await open(emulator.page(`/commands/${commandId}`), { locale: 'zh-CN', colorScheme })
      await page.getByRole('heading', { level: 1, name: '重启' }).waitFor()
      await page.getByText(/设备尚未响应。若到 .*仍无响应，则响应超时/).waitFor()
      await page.getByText('三号水泵').first().waitFor()
      expect(await axeFaults(page)).toEqual([])
    }
  })
})

describe('what is offered', () => {
  let server: TestServer
  const ids: Record<'one' | 'two', string> = { one: '', two: '' }
  beforeAll(async () => {
    server = await TestServer.start({ auth: 'signature' })
    for (const name of ['one', 'two'] as const) {
      const { commandId } = await server
        .client()
        .setMeasurepoint(at(devices[name]), 'Int_value', 1, { pendingTtl: 600 })
      ids[name] = commandId
    }
  })
  afterAll(() => server.stop())

  const enter = async (application: typeof ADMIN, commandId: string) => {
    const page = await open(server.page(`/commands/${commandId}`), {
      expected: /status of 401/,
      permissions: ['clipboard-read', 'clipboard-write'],
    })
    await page.getByLabel('Application key').check()
    await page.getByLabel('appKey').fill(application.appKey)
    await page.getByLabel('appSecret').fill(application.appSecret)
    await page.getByRole('button', { name: 'Sign in' }).click()
    return page
  }

  it('goes by the grants', async () => {
    const reader = await enter(READER, ids.one)
    await state(reader, 'waiting')
    expect(await reader.getByRole('button', { name: /^Cancel/ }).count()).toBe(0)
    expect(await reader.getByRole('link', { name: 'Send again' }).count()).toBe(0)
    const narrow = await enter(NARROW, ids.one)
    await outcome(narrow)
      .getByRole('button', { name: /Cancel/ })
      .waitFor()
    const again = narrow.getByRole('link', { name: 'Send again' })
    expect(await again.getAttribute('href')).toBe(`/console/devices/${devices.one.assetId}?tab=send&like=${ids.one}`)
  })

  it('is nothing for a command of a device that the grants do not cover', async () => {
    const page = await enter(NARROW, ids.two)
    await page.getByText('This command is of a device that your grants do not cover').waitFor()
    expect(await page.getByText('Pump two').count()).toBe(0)
  })

  it('is a link that shows the same to whoever gets it', async () => {
    const page = await enter(ADMIN, ids.one)
    await page.getByRole('button', { name: 'Copy link' }).click()
    await page.getByRole('button', { name: 'Copied' }).waitFor()
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(server.page(`/commands/${ids.one}`))
    await card(page, 'Facts').getByText(ids.one).waitFor()
    await card(page, 'Facts')
      .getByRole('link', { name: /Pump one/ })
      .waitFor()
  })

  it('says of whom it is who cancelled', async () => {
    const page = await enter(ADMIN, ids.two)
    await state(page, 'waiting')
    const token = await server.operatorToken('anna')
    const cancelled = await fetch(
      `${server.url}/connect-service/v2.1/commands?action=cancel&orgId=${ORG}&assetId=${devices.two.assetId}&commandId=${ids.two}`,
      { method: 'POST', headers: { authorization: `Bearer ${token}` } },
    )
    expect(((await cancelled.json()) as { code: number }).code).toBe(0)
    await state(page, 'cancelled')
    await says(page, 'operator')
    await says(page, 'anna')
  })
})

describe('an id that leads nowhere', () => {
  let server: TestServer
  beforeAll(async () => {
    server = await TestServer.start()
  })
  afterAll(() => server.stop())

  it.each([
    ['2278935391225618432', 'Records are kept for some days'],
    ['nonsense', 'A commandId has up to 19 digits.'],
  ])('%s is told of', async (commandId, hint) => {
    const page = await open(server.page(`/commands/${commandId}`))
    await page.getByText('There is no such command').waitFor()
    await page.getByText(hint).waitFor()
    expect(await axeFaults(page)).toEqual([])
    await page.getByRole('link', { name: 'To the devices' }).click()
    await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor()
  })
})
