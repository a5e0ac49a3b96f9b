// Somebody looks while the server is killed and comes back: what is on the page is never an old queue as if it were now, and nobody has to reload.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NOT_THERE, useBrowser } from './rig/browser.ts'
import { devices } from './rig/fleet.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
let server: TestServer
beforeAll(async () => {
  server = await TestServer.start()
})
afterAll(() => server.stop())

/** ms that a page may take to see something, on a machine that does other things too */
const SEEN = { timeout: 20_000 }
const device = { assetId: devices.three.assetId }

describe('a restart of the server', () => {
  it('greys the queue, and shows the new one without a reload', async () => {
    const client = server.client()
    const sent: string[] = []
    for (const value of [1, 2, 3])
      sent.push((await client.setMeasurepoint(device, 'Int_value', value, { pendingTtl: 600 })).commandId)
    const page = await open(server.page(`/devices/${device.assetId}`), { expected: NOT_THERE })
    const rows = page.locator('[data-current="true"] [data-command-id]')
    const shown = () => rows.evaluateAll(found => found.map(row => row.getAttribute('data-command-id')))
    await expect.poll(shown, SEEN).toEqual(sent)
    // A mark that a reload would take away.
    await page.evaluate(() => document.body.setAttribute('data-seen', 'before'))

    await server.kill()
    await page.getByText('Not connected to the server').first().waitFor()
    expect(await shown()).toEqual([])
    expect(await page.locator('[data-command-id]').count()).toBe(3)
    expect(await page.locator('[data-current="false"][inert]').count()).toBeGreaterThan(0)

    // Whoever looks on sees each queue that is told as current: it must be one that the server has had since.
    await page.evaluate(() => {
      const seen = new Set<string>()
      const look = () => {
        const found = [...document.querySelectorAll('[data-current="true"] [data-command-id]:not([data-leaving])')]
        if (document.querySelector('[data-current="true"]'))
          seen.add(found.map(row => row.getAttribute('data-command-id')).join())
        requestAnimationFrame(look)
      }
      requestAnimationFrame(look)
      Object.assign(window, { seen })
    })
    await server.begin()
    const again = server.client()
    await again.cancel(device, sent[1] ?? '')
    const { commandId } = await again.setMeasurepoint(device, 'Int_value', 4, { pendingTtl: 600 })
    const [first = '', , third = ''] = sent
    await expect.poll(shown, SEEN).toEqual([first, third, commandId])
    expect(await page.evaluate(() => document.body.getAttribute('data-seen'))).toBe('before')
    const seen = await page.evaluate(() => [...(window as unknown as { seen: Set<string> }).seen])
    const had = [sent.join(), [first, third].join(), [first, third, commandId].join()]
    for (const queue of seen) expect(had).toContain(queue)
    expect(await page.locator('header [data-connection="live"]').count()).toBe(1)
  })

  it('brings the overview and the devices back as well', async () => {
    const pages = await Promise.all(['/', '/devices'].map(path => open(server.page(path), { expected: NOT_THERE })))
    for (const page of pages) await page.locator('header [data-connection="live"]').waitFor()
    await server.kill()
    for (const page of pages) await page.locator('header [data-connection="lost"]').waitFor()
    await server.begin()
    for (const page of pages) await page.locator('header [data-connection="live"]').waitFor()
    const { commandId } = await server.client().setMeasurepoint(device, 'Int_value', 5, { pendingTtl: 600 })
    const waiting = (await server.client().queue(device.assetId)).commands.length
    expect(commandId).not.toBe('')
    const row = pages[1]?.getByRole('row', { name: /Pump three/ })
    await expect.poll(() => row?.innerText(), SEEN).toMatch(new RegExp(`\\b${waiting}\\b`))
  })
})
