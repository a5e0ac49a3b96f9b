// The stream of a page, and what is looked at by it: how often it is asked for, when it is given back, and when what is shown is not taken for current.
// Not here: restarts of the server, as somebody sees them (restart.test.ts).

import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NOT_THERE, useBrowser } from './rig/browser.ts'
import { devices } from './rig/fleet.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
let server: TestServer
let signed: TestServer
beforeAll(async () => {
  ;[server, signed] = await Promise.all([TestServer.start(), TestServer.start({ auth: 'signature' })])
})
afterAll(() => Promise.all([server.stop(), signed.stop()]))

const DEVICE = `/devices/${devices.two.assetId}`
const isStream = (url: string) => new URL(url).pathname === '/v1/events'
const live = (page: Page) => page.locator('header [data-connection=live]')
const current = (page: Page, is: boolean) => page.locator(`main [data-current=${is}]`).first()

/** When the page has asked for a stream, in ms of this machine. */
function streamsOf(page: Page): number[] {
  const asked: number[] = []
  page.on('request', request => isStream(request.url()) && asked.push(performance.now()))
  return asked
}

describe('a stream', () => {
  it('that may not be had is not asked for again, until somebody wants to know', async () => {
    const page = await open(signed.page(DEVICE), { expected: /status of 40[13]/ })
    await page.clock.install()
    const asked = { stream: 0, queue: 0 }
    page.on('request', request => {
      if (isStream(request.url())) asked.stream += 1
      if (/\/queue$/.test(new URL(request.url()).pathname)) asked.queue += 1
    })
    const grants = [{ resource: 'Model', actions: ['Read'], scope: 'all' }]
    await page.locator('input[name=operatorToken]').fill(await signed.operatorToken('frank', { grants }))
    await page.getByRole('button', { name: 'Sign in' }).click()
    const refusal = page.getByRole('alert').getByText(/99403/)
    await refusal.waitFor()
    // Every timer that is there has its turn, and each answer that it brings.
    const settle = async () => {
      for (let n = 0; n < 10; n += 1) {
        await page.clock.runFor(5_000)
        await page.waitForLoadState('networkidle')
      }
    }
    await settle()
    const before = { ...asked }
    expect(before.stream).toBe(1)
    await settle()
    expect(asked).toEqual(before)
    await page.getByRole('button', { name: 'Try again' }).click()
    await expect.poll(() => asked.stream).toBe(2)
    await settle()
    expect(asked.stream).toBe(2)
    await refusal.waitFor()
  })

  it('is asked for every two seconds while the server is away, and no more often', async () => {
    const own = await TestServer.start()
    try {
      const page = await open(own.page(DEVICE), { expected: NOT_THERE })
      await live(page).waitFor()
      const asked = streamsOf(page)
      await own.kill()
      await expect.poll(() => asked.length, { timeout: 40_000 }).toBeGreaterThanOrEqual(9)
      const gaps = asked.slice(1, 9).map((at, n) => at - (asked[n] ?? 0))
      // The first ones come sooner, each after twice the pause of the one before.
      for (const gap of gaps.slice(-3)) expect(gap).toBeGreaterThan(1_500)
      await own.begin()
      await live(page).waitFor()
    } finally {
      await own.stop()
    }
  })

  it('is not trusted after the machine was asleep: what is shown is old until it is there again', async () => {
    const page = await open(server.page(DEVICE), { expected: NOT_THERE })
    await page.clock.install()
    await page.reload()
    await live(page).waitFor()
    await current(page, true).waitFor()
    let letGo: () => void = () => undefined
    const held = new Promise<void>(resolve => {
      letGo = resolve
    })
    await page.route(
      url => isStream(url.href),
      async route => {
        await held
        await route.continue()
      },
    )
    await page.clock.fastForward(20_000)
    await current(page, false).waitFor()
    expect(await current(page, true).count()).toBe(0)
    letGo()
    await live(page).waitFor()
    await current(page, true).waitFor()
  })

  it('is given back where nobody looks, also by a page that was opened out of sight, and asked for when somebody does', async () => {
    const page = await open('about:blank')
    await page.clock.install()
    await page.addInitScript(() => {
      Object.assign(window, { isHidden: true })
      const get = () => (window as unknown as { isHidden: boolean }).isHidden
      Object.defineProperty(Document.prototype, 'hidden', { configurable: true, get })
    })
    const asked = streamsOf(page)
    const ended: string[] = []
    page.on('requestfailed', request => isStream(request.url()) && ended.push(request.url()))
    await page.goto(server.page(DEVICE))
    await live(page).waitFor()
    expect(asked).toHaveLength(1)
    await page.clock.fastForward(31_000)
    await expect.poll(() => ended.length).toBe(1)
    await page.clock.runFor(60_000)
    expect(asked).toHaveLength(1)
    await page.evaluate(() => {
      Object.assign(window, { isHidden: false })
      document.dispatchEvent(new Event('visibilitychange'))
    })
    await live(page).waitFor()
    await current(page, true).waitFor()
    expect(asked).toHaveLength(2)
  })
})
