// The pictures of docs/console: each page and state in both themes, some in Chinese and one on a narrow screen, of a fleet with an hour behind it.
// `npm run screenshots` makes them anew; look at each afterwards. Not here: the fleet and what happens in it (scene/).
// Chinese needs a font that has it, such as Debian's fonts-wqy-microhei.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { byKey } from './scene/fleet.ts'
import { parts, Scene } from './scene/present.ts'
import { launch } from './test/rig/browser.ts'

const folder = join(import.meta.dirname, '../docs/console')
mkdirSync(folder, { recursive: true })

interface Shot {
  readonly name: string
  readonly path: string
  /** what is done before, until it looks as it should */
  readonly set?: (page: Page) => Promise<unknown>
  readonly signedOut?: boolean
  readonly chinese?: boolean
  readonly narrow?: boolean
}

const settled = (page: Page) => page.locator('.spinner').first().waitFor({ state: 'detached' })

async function shoot(browser: Browser, scene: Scene, shot: Shot, theme: 'light' | 'dark'): Promise<void> {
  const { name, path, set, signedOut = false, chinese = false, narrow = false } = shot
  const viewport = narrow ? { width: 390, height: 844 } : { width: 1280, height: 800 }
  const locale = chinese ? 'zh-CN' : 'en-GB'
  const context = await browser.newContext({ colorScheme: theme, locale, timezoneId: 'Europe/Berlin', viewport })
  try {
    const page = await context.newPage()
    if (!signedOut)
      await page.addInitScript(token => sessionStorage.setItem('downlink.operatorToken', token), scene.operatorToken)
    await page.goto(scene.server.page(path))
    await page.getByRole('heading', { level: 1 }).waitFor()
    await settled(page)
    await set?.(page)
    // The charts and what they are drawn with come a moment after the page.
    await within(page.waitForLoadState('networkidle'))
    await page.screenshot({ path: join(folder, `${name}-${theme}.png`), animations: 'disabled' })
    console.log(`${name}-${theme}.png`)
  } finally {
    await context.close()
  }
}

/** The wait of Playwright for a quiet network would be for ever, where a stream is open. */
const within = <T>(what: Promise<T>): Promise<T | undefined> =>
  Promise.race([what, new Promise<undefined>(resolve => setTimeout(resolve, 1_500))])

async function shots(scene: Scene): Promise<Shot[]> {
  const { busy, form, away } = parts
  await scene.fill(busy, [
    { set: 'speed', value: 1_800 },
    { set: 'setpoint', value: 21.5 },
    { invoke: 'calibrate', inputs: { reference: 20.5, passes: 3 } },
    { set: 'mode', value: 1 },
    { set: 'setpoint', value: 22 },
    { set: 'speed', value: 1_200 },
  ])
  const doneId = await scene.done()
  const jobId = await scene.jobs()
  const { commands } = await scene.admin.queue(away.assetId)
  const waitingId = commands[3]?.commandId ?? ''
  const narrowed = { productKeys: [byKey('hs-ahu-01').productKey], olderThanS: 60 }
  const real = await scene.admin.cancellations.create({ ...narrowed, assetIds: [byKey('hs-ahu-01').assetId] })
  const filter = '/fleet/cancellations/new?measurepointId=setpoint&olderThanS=60'
  const ask = (page: Page) => page.getByRole('button', { name: /^Cancel all/ }).click()
  return [
    { name: 'sign-in', path: '/', signedOut: true },
    { name: 'overview', path: '/', set: page => within(page.locator('canvas').nth(1).waitFor()) },
    { name: 'devices', path: '/devices' },
    { name: 'device-queue', path: `/devices/${busy.assetId}` },
    { name: 'cancel-all', path: `/devices/${away.assetId}`, set: ask },
    { name: 'history', path: `/devices/${byKey('nt-ahu-05').assetId}?tab=history` },
    {
      name: 'send',
      path: `/devices/${form.assetId}?tab=send&set=setpoint`,
      set: async page => {
        await page
          .getByLabel(/Flow temperature/)
          .last()
          .fill('99')
        await page.getByRole('button', { name: /Send now|Queue for/ }).click()
      },
    },
    { name: 'command-waiting', path: `/commands/${waitingId}` },
    { name: 'command-done', path: `/commands/${doneId}` },
    { name: 'jobs', path: '/fleet' },
    { name: 'job', path: `/fleet/jobs/${jobId}` },
    {
      name: 'dry-run',
      path: filter,
      set: async page => {
        await page.getByRole('button', { name: 'Look what it would cancel' }).click()
        await page.getByRole('button', { name: /^Cancel (these|this)/ }).waitFor()
      },
    },
    { name: 'cancellation', path: `/fleet/cancellations/${real.cancellationId}` },
    { name: 'overview-zh', path: '/', chinese: true },
    { name: 'device-queue-zh', path: `/devices/${busy.assetId}`, chinese: true },
    { name: 'device-queue-narrow', path: `/devices/${busy.assetId}`, narrow: true },
  ]
}

const scene = await Scene.set()
const browser = await launch()
const failed: string[] = []
try {
  for (const shot of await shots(scene))
    for (const theme of ['light', 'dark'] as const)
      await shoot(browser, scene, shot, theme).catch(error => {
        failed.push(shot.name)
        console.error(`${shot.name}: ${error}`)
      })
} finally {
  await browser.close()
  await scene.strike()
}
if (failed.length > 0) process.exitCode = 1
