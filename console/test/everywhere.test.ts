// What holds on every page: nothing that axe finds to hinder anybody, in both themes and both languages; no page wider than a narrow screen; choices that stay
// over a reload; and no call to anybody but the server. Not here: what a page is for, which its own tests have.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { axeFaults, useBrowser } from './rig/browser.ts'
import { devices } from './rig/fleet.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
let server: TestServer
const paths = new Map<string, string>()

beforeAll(async () => {
  server = await TestServer.start()
  const client = server.client()
  const device = { assetId: devices.two.assetId }
  const sent = await client.setMeasurepoint(device, 'setpoint', 21, { pendingTtl: 600 })
  await client.invokeService(device, 'calibrate', { reference: 20.5, passes: 3 }, { pendingTtl: 3_600 })
  const cancellation = await client.cancellations.create({ all: true }, { dryRun: true })
  const jobId = await client.jobs.create({
    name: { defaultValue: 'Setback', i18nValue: { zh_CN: '夜间回调' } },
    desc: '',
    targetScope: { targetType: 'device_list', targetDevices: [device] },
    commandInfo: { commandType: 'MEASUREPOINT_SET', setMeasurepointInfo: { measurepointId: 'setpoint', value: 18 } },
    schedulePolicy: { scheduleType: 'DISPOSABLE' },
    timeoutPolicy: { ttlTimeoutInSeconds: 3_600 },
  })
  const of = `/devices/${device.assetId}`
  for (const [name, path] of Object.entries({
    overview: '/',
    devices: '/devices',
    queue: of,
    history: `${of}?tab=history`,
    send: `${of}?tab=send&invoke=calibrate`,
    command: `/commands/${sent.commandId}`,
    jobs: '/fleet',
    job: `/fleet/jobs/${jobId}`,
    cancellations: '/fleet?tab=cancellations',
    'new cancellation': '/fleet/cancellations/new',
    cancellation: `/fleet/cancellations/${cancellation.cancellationId}`,
    nothing: '/nothing/here',
  }))
    paths.set(name, path)
})
afterAll(() => server.stop())

const names = [
  ...['overview', 'devices', 'queue', 'history', 'send', 'command', 'jobs', 'job'],
  ...['cancellations', 'new cancellation', 'cancellation', 'nothing'],
]

describe.each(names)('%s', name => {
  const look = async (options: Parameters<typeof open>[1]) => {
    const page = await open(server.page(paths.get(name)), options)
    await page.locator('main h1, main .empty').first().waitFor()
    await page.locator('.spinner').first().waitFor({ state: 'detached' })
    return page
  }

  it('hinders nobody, light and in English, and calls nobody else', async () => {
    const page = await look({ colorScheme: 'light' })
    const calls = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name))
    for (const call of calls) expect(call.startsWith(server.url), call).toBe(true)
    expect(await axeFaults(page)).toEqual([])
  })

  it('hinders nobody, dark and in Chinese', async () => {
    const page = await look({ colorScheme: 'dark', locale: 'zh-CN' })
    expect(await page.locator('html').getAttribute('lang')).toMatch(/^zh/)
    expect(await page.locator('main').innerText()).toMatch(/[\u4e00-\u9fff]/)
    // Words that every page in English has some of, and a Chinese one none.
    expect(await page.locator('main').innerText()).not.toMatch(
      /\b(the|Devices|Waiting|Cancel|Loading|of the|nothing)\b/,
    )
    expect(await axeFaults(page)).toEqual([])
  })

  it('fits a narrow screen', async () => {
    const page = await look({ viewport: { width: 390, height: 844 } })
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth)
    expect(beyond).toBeLessThanOrEqual(0)
  })
})

it.each(['en-US', 'zh-CN'])('the way to each page stands in one row on a narrow screen, whole: %s', async locale => {
  const page = await open(server.page('/devices'), { locale, viewport: { width: 390, height: 844 } })
  const links = page.locator('nav.side li a')
  await links.first().waitFor()
  const boxes = await links.evaluateAll(all =>
    all.map(link => {
      const { top, right } = link.getBoundingClientRect()
      const text = document.createRange()
      text.selectNodeContents(link.querySelector('span') ?? link)
      return { top, right, lines: new Set([...text.getClientRects()].map(line => line.top)).size }
    }),
  )
  expect(boxes).toHaveLength(3)
  for (const { top, right, lines } of boxes) {
    expect([top, lines]).toEqual([boxes[0]?.top, 1])
    expect(right).toBeLessThanOrEqual(390)
  }
})

it('durations read as they are spoken, in Chinese too', async () => {
  const page = await open(server.page(paths.get('command')), { locale: 'zh-CN' })
  await page.getByText('10 分钟 (600 秒)').waitFor()
})

describe('what the reader chooses', () => {
  it('stays over a reload', async () => {
    const page = await open(server.page('/devices'))
    await page.getByLabel('Theme').selectOption('dark')
    await page.getByLabel('Times').selectOption('device')
    await page.getByLabel('Language').selectOption('zh')
    await page.getByRole('heading', { level: 1, name: '设备' }).waitFor()
    await page.reload()
    await page.getByRole('heading', { level: 1, name: '设备' }).waitFor()
    expect(await page.locator('html').getAttribute('data-theme')).toBe('dark')
    expect(await page.getByLabel('时间', { exact: true }).inputValue()).toBe('device')
    await page.getByText('二号水泵').waitFor()
  })

  it('is reached by keyboard alone, and the focus is seen', async () => {
    const page = await open(server.page(`/devices/${devices.two.assetId}`))
    const button = page.getByRole('button', { name: /^Cancel all/ })
    await button.waitFor()
    for (let n = 0; n < 60 && !(await button.evaluate(at => at === document.activeElement)); n += 1) {
      await page.keyboard.press('Tab')
      const outline = await page.evaluate(() => {
        const at = document.activeElement
        if (at === null || at === document.body) return 'none needed'
        const own = [at, at.parentElement, at.closest('label')].filter(found => found !== null)
        return own.map(found => getComputedStyle(found).outlineStyle).find(style => style !== 'none') ?? 'missing'
      })
      expect(outline).not.toBe('missing')
    }
    expect(await button.evaluate(at => at === document.activeElement)).toBe(true)
    await page.keyboard.press('Enter')
    await page.getByRole('dialog').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
  })
})
