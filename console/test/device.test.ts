// The page of one device, as somebody uses it: the queue in order, stopping one and all of it, what came of that, the history. What the page says is held
// against what the device has received and what the server has on record. Not here: the form that sends (send.test.ts), a command's page (command.test.ts).

import type { Locator, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Downlink } from '../../packages/client/src/index.ts'
import { axeFaults, NOT_THERE, useBrowser } from './rig/browser.ts'
import { devices, PUMPS, READER, type TestedDevice } from './rig/fleet.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
let server: TestServer
let client: Downlink
beforeAll(async () => {
  server = await TestServer.start({ more: 40, args: ['--queue-cap', '300'] })
  client = server.client()
})
afterAll(() => server.stop())

/** Polls for longer than by default: others may be busy on this machine. */
const soon = <T>(ask: () => T | Promise<T>) => expect.poll(ask, { timeout: 20_000 })

let used = 0
/** a device that no other test has */
function another(): TestedDevice {
  used += 1
  const digits = String(used).padStart(5, '0')
  return { assetId: `a${digits}`, productKey: PUMPS, deviceKey: `d${digits}` }
}

/** so many values for a measurepoint, queued one after the other; the ids, in order */
async function queueUp({ assetId }: TestedDevice, count: number, pendingTtl = 600): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < count; n += 1)
    ids.push((await client.setMeasurepoint({ assetId }, 'Int_value', n, { pendingTtl, timeout: 60 })).commandId)
  return ids
}

const look = (of: TestedDevice, query = '', options = {}) =>
  open(server.page(`/devices/${of.assetId}${query}`), options)
const row = (page: Page, commandId: string): Locator => page.locator(`[data-command-id="${commandId}"]`)
/** ids of what waits, as the page numbers it */
const waiting = (page: Page): Promise<(string | null)[]> =>
  page.locator('tr[data-place]').evaluateAll(rows => rows.map(row => row.getAttribute('data-command-id')))
const stateOf = async (commandId: string): Promise<number> => (await client.record(commandId)).state
/** Presses Cancel in its row, and answers the question. */
async function cancelIn(page: Page, commandId: string): Promise<void> {
  await row(page, commandId)
    .getByRole('button', { name: /^Cancel Int value/ })
    .click()
  await page
    .getByRole('dialog')
    .getByRole('button', { name: /^Cancel it/ })
    .click()
}
const NOT_THERE_OR_NOT_IN = new RegExp(`${NOT_THERE.source}|status of 401`)
const CANCEL = /action=cancel/

/** Asks for all to be cancelled; the dialog in which that is confirmed. */
async function ask(page: Page): Promise<Locator> {
  await page.getByRole('button', { name: /^Cancel all/ }).click()
  return page.getByRole('dialog', { name: 'Cancel all that waits?' })
}

describe('the queue', () => {
  it('is shown in the order in which it goes out, with who sent it, and why the first one waits', async () => {
    const device = another()
    const ids = await queueUp(device, 3)
    const page = await look(device)
    await soon(() => waiting(page)).toEqual(ids)
    await page.getByText('The device has never connected.').waitFor()
    expect(await page.locator('tr[data-place] td:first-child').allTextContents()).toEqual(['1', '2', '3'])
    await row(page, ids[1] as string)
      .getByRole('link', { name: 'Int value' })
      .click()
    await page.waitForURL(`**/commands/${ids[1]}`)
  })

  it('moves on by itself: what is new joins the tail, what leaves is seen with its outcome and then gone', async () => {
    const device = another()
    const [first, second] = (await queueUp(device, 2)) as [string, string]
    const page = await look(device)
    await soon(() => waiting(page)).toEqual([first, second])
    const [third] = (await queueUp(device, 1)) as [string]
    await soon(() => waiting(page)).toEqual([first, second, third])
    await client.cancel({ assetId: device.assetId }, second)
    await page.locator(`[data-leaving][data-command-id="${second}"][data-state="cancelled"]`).waitFor()
    expect(await waiting(page)).toEqual([first, third])
    await row(page, second).waitFor({ state: 'detached' })
    expect(await waiting(page)).toEqual([first, third])
  })

  it('shows what is in flight on top, and the time left to answer running down', async () => {
    const device = another()
    const real = await server.connect(device, () => undefined)
    const [sent, next] = (await queueUp(device, 2)) as [string, string]
    const page = await look(device)
    await page.locator(`[data-command-id="${sent}"][data-state="sent"]`).waitFor()
    expect(await waiting(page)).toEqual([next])
    await page.getByText('It is behind one command').waitFor()
    const bar = page.getByRole('progressbar', { name: /time that the device has left/i })
    const left = async () => Number(await bar.getAttribute('aria-valuenow'))
    const before = await left()
    expect(before).toBeGreaterThan(40)
    expect(before).toBeLessThanOrEqual(60)
    await soon(left).toBeLessThan(before - 1)
    expect(await row(page, sent).getByRole('button').count()).toBe(0)
    // It answers late, and the next one is in flight.
    const { topic, payload } = real.received[0] as (typeof real.received)[0]
    real.client.publish(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200, data: {} }), { qos: 1 })
    await page.locator(`[data-command-id="${next}"][data-state="sent"]`).waitFor()
    await soon(() => waiting(page)).toEqual([])
  })

  it('says when one is about to expire, and drops it when it has', async () => {
    const device = another()
    const [short] = (await queueUp(device, 1, 4)) as [string]
    const [long] = (await queueUp(device, 1, 600)) as [string]
    const page = await look(device)
    await row(page, short).getByText('soon').waitFor()
    expect(await row(page, long).getByText('soon').count()).toBe(0)
    await page.locator(`[data-leaving][data-command-id="${short}"][data-state="expired"]`).waitFor()
    await soon(() => waiting(page)).toEqual([long])
  })

  it('stays quick with 300 commands', async () => {
    const device = another()
    const ids = await queueUp(device, 300)
    const page = await look(device)
    await soon(() => waiting(page)).toEqual(ids)
    const [gone] = ids.splice(150, 1) as [string]
    await client.cancel({ assetId: device.assetId }, gone)
    await soon(() => waiting(page)).toEqual(ids)
    // By the page's own processor time, since others may be busy on this machine: for three seconds of ticking it needs less than a fifth of a core.
    const session = await page.context().newCDPSession(page)
    await session.send('Performance.enable', { timeDomain: 'threadTicks' })
    const busyS = async () => {
      const { metrics } = await session.send('Performance.getMetrics')
      return metrics.find(({ name }) => name === 'TaskDuration')?.value ?? Number.NaN
    }
    const before = await busyS()
    const began = await page.evaluate(() => performance.now())
    await page.waitForFunction(began => performance.now() - began > 3_000, began, { polling: 500 })
    expect((await busyS()) - before).toBeLessThan(0.6)
  })

  it('says what an empty queue means, of a device that is away, never came, is disabled, or is there', async () => {
    const [there, away] = [another(), another()]
    await server.connect(there)
    const page = await look(there)
    await page.getByText('what is sent now goes out at once').waitFor()
    const real = await server.connect(away)
    await real.end()
    await page.goto(server.page(`/devices/${away.assetId}`))
    await page.getByText('waits here until it is back').waitFor()
    await page.getByText('offline for').waitFor()
    await page.goto(server.page(`/devices/${another().assetId}`))
    await page.getByText('Check that it exists in the field').waitFor()
    await page.goto(server.page(`/devices/${devices.disabled.assetId}`))
    await page.getByText('until somebody enables it').waitFor()
    await page.goto(server.page('/devices/nosuch'))
    await page.getByText('There is no such device').waitFor()
  })
})

describe('cancel one', () => {
  it('asks first, and stops it for good', async () => {
    const device = another()
    const [first, second] = (await queueUp(device, 2)) as [string, string]
    const page = await look(device)
    const button = row(page, first).getByRole('button', { name: /^Cancel Int value/ })
    await button.click()
    await page.getByRole('button', { name: 'Keep' }).click()
    await button.click()
    await page.keyboard.press('Escape')
    // One press too many is no answer.
    await button.dblclick()
    await page.getByRole('button', { name: 'Keep' }).or(button).first().waitFor()
    expect(await stateOf(first)).toBe(1)
    await page.keyboard.press('Escape')
    await cancelIn(page, first)
    await page.getByText('Cancelled. It will never be sent.').waitFor()
    await soon(() => waiting(page)).toEqual([second])
    expect(await stateOf(first)).toBe(2)
    const real = await server.connect(device)
    await real.count(1)
    await soon(() => stateOf(second)).toBe(5)
    expect(real.ids()).toEqual([second])
  })

  it('works by keyboard alone', async () => {
    const device = another()
    const [only] = (await queueUp(device, 1)) as [string]
    const page = await look(device)
    await row(page, only)
      .getByRole('button', { name: /^Cancel Int value/ })
      .focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: /^Cancel it/ }).waitFor()
    await page.keyboard.press('Enter')
    await page.getByText('Cancelled. It will never be sent.').waitFor()
    expect(await stateOf(only)).toBe(2)
  })

  it('says that it came too late, and what has become of the command', async () => {
    const device = another()
    const real = await server.connect(device, () => undefined)
    const [sent, next] = (await queueUp(device, 2)) as [string, string]
    const page = await look(device)
    await soon(() => waiting(page)).toEqual([next])
    // The cancel is on its way while the device answers the one before, so that the next one is sent.
    await page.route(CANCEL, async route => {
      const { topic } = real.received[0] as (typeof real.received)[0]
      real.client.publish(`${topic}_reply`, JSON.stringify({ id: sent, code: 200, data: {} }), { qos: 1 })
      await real.count(2)
      await route.continue()
    })
    await cancelIn(page, next)
    const notice = page.locator('.attempts [data-attempt=tooLate]')
    await notice.getByText('Too late: it was not cancelled.').waitFor()
    await notice.getByText('What is sent cannot be recalled.').waitFor()
    await notice.locator('[data-state=sent]').waitFor()
    const { topic } = real.received[1] as (typeof real.received)[0]
    real.client.publish(`${topic}_reply`, JSON.stringify({ id: next, code: 200, data: {} }), { qos: 1 })
    await notice.locator('[data-state=succeeded]').waitFor()
    await notice.getByRole('button', { name: 'Dismiss' }).click()
    await notice.waitFor({ state: 'detached' })
  })

  it('finds out what is on record where no answer was heard', async () => {
    const device = another()
    const [first, second] = (await queueUp(device, 2)) as [string, string]
    const page = await look(device, '', { expected: NOT_THERE })
    await page.route(CANCEL, async route => {
      // The first is carried out and its answer lost; the second never arrives.
      if (route.request().url().includes(first)) await route.fetch()
      await route.abort()
    })
    await cancelIn(page, first)
    await page.getByText('Cancelled. It will never be sent.').waitFor()
    expect(await stateOf(first)).toBe(2)
    await cancelIn(page, second)
    await page.getByText('it is not cancelled so far').waitFor()
    expect(await stateOf(second)).toBe(1)
    await page.unroute(CANCEL)
    await cancelIn(page, second)
    await soon(() => stateOf(second)).toBe(2)
    await soon(() => page.getByText('Cancelled. It will never be sent.').count()).toBe(2)
  })

  it('does not leave it at what was so, where the cancel was only late', async () => {
    const device = another()
    const [id] = (await queueUp(device, 1)) as [string]
    const page = await look(device, '', { expected: NOT_THERE })
    await page.route(CANCEL, route => route.abort())
    await cancelIn(page, id)
    await page.getByText('it is not cancelled so far').waitFor()
    await client.cancel({ assetId: device.assetId }, id)
    await page.getByText('Cancelled. It will never be sent.').waitFor()
    expect(await page.getByText('it is not cancelled so far').count()).toBe(0)
  })
})

describe('cancel all', () => {
  /** What the result says: ids that are cancelled, and states of those that are not. */
  const told = async (page: Page) => {
    await page.getByRole('dialog', { name: 'What came of it' }).getByRole('button', { name: 'Close' }).last().waitFor()
    const cancelled = await page
      .locator('[data-cancelled]')
      .evaluateAll(items => items.map(item => item.getAttribute('data-cancelled') ?? ''))
    const left = await page
      .locator('[data-left]')
      .evaluateAll(rows =>
        rows.map(row => [
          row.getAttribute('data-left') ?? '',
          row.querySelector('[data-state]')?.getAttribute('data-state'),
        ]),
      )
    return { cancelled, left: Object.fromEntries(left) as Record<string, string> }
  }

  it('says how many as long as it asks, and then of each what became of it', async () => {
    const device = another()
    const ids = await queueUp(device, 4)
    const page = await look(device)
    const dialog = await ask(page)
    await dialog.getByText('4 commands', { exact: true }).waitFor()
    ids.push(...(await queueUp(device, 1)))
    await dialog.getByText('5 commands', { exact: true }).waitFor()
    await dialog.getByText('There were 4 when you opened this.').waitFor()
    await dialog.getByText('cannot be recalled').waitFor()
    expect(await axeFaults(page)).toEqual([])
    await dialog.getByRole('button', { name: 'Cancel 5 commands' }).click()
    await page.getByText('5 commands are cancelled. They will never be sent.').waitFor()
    expect(await told(page)).toEqual({ cancelled: ids, left: {} })
    for (const id of ids) expect(await stateOf(id)).toBe(2)
    await page.getByRole('button', { name: 'Close' }).last().click()
    await page.getByText('The queue is empty').waitFor()
    expect(await page.getByRole('button', { name: /^Cancel all/ }).count()).toBe(0)
  })

  it('tells what was sent before it arrived from what it has stopped', async () => {
    const device = another()
    const ids = await queueUp(device, 8)
    const page = await look(device)
    const dialog = await ask(page)
    // The device comes back while the cancel is on its way: it does three, and takes the fourth.
    await page.route(CANCEL, async route => {
      const real = await server.connect(device, ({ payload }) =>
        ids.indexOf(payload.id) < 3 ? { id: payload.id, code: 200, data: {} } : undefined,
      )
      await real.count(4)
      await soon(() => stateOf(ids[2] as string)).toBe(5)
      await route.continue()
    })
    await dialog.getByRole('button', { name: 'Cancel 8 commands' }).click()
    await page.getByText('4 commands are cancelled. They will never be sent.').waitFor()
    expect(await told(page)).toEqual({
      cancelled: ids.slice(4),
      left: Object.fromEntries(ids.slice(0, 4).map((id, n) => [id, n < 3 ? 'succeeded' : 'sent'])),
    })
  })

  it('races a device that comes back, and what it says is what the device and the record say', async () => {
    // The cancel sets out with the device, and when the device has received one, three, and six.
    for (const head of [0, 1, 3, 6]) {
      const device = another()
      const ids = await queueUp(device, 12)
      const page = await look(device)
      const dialog = await ask(page)
      const button = await dialog.getByRole('button', { name: 'Cancel 12 commands' }).elementHandle()
      const back = server.connect(device)
      if (head > 0) await back.then(real => real.count(head))
      const [real] = await Promise.all([back, button?.evaluate(found => (found as HTMLElement).click())])
      const { cancelled, left } = await told(page)
      expect([...cancelled, ...Object.keys(left)].sort()).toEqual(ids)
      for (const id of cancelled) expect(await stateOf(id)).toBe(2)
      for (const id of Object.keys(left)) await soon(() => stateOf(id)).toBe(5)
      expect(real.ids()).toEqual(Object.keys(left).sort())
      await page.close()
    }
  })

  it('counts what somebody else has cancelled in that moment among what is cancelled', async () => {
    const device = another()
    const ids = (await queueUp(device, 3)) as [string, string, string]
    const page = await look(device)
    const dialog = await ask(page)
    await client.cancel({ assetId: device.assetId }, ids[1])
    await dialog.getByRole('button', { name: 'Cancel 2 commands' }).click()
    await page.getByText('3 commands are cancelled. They will never be sent.').waitFor()
    expect(await told(page)).toEqual({ cancelled: ids, left: {} })
  })

  it('is not repeated where no answer was heard: the records tell', async () => {
    const device = another()
    const ids = await queueUp(device, 3)
    const page = await look(device, '', { expected: NOT_THERE })
    const dialog = await ask(page)
    let calls = 0
    await page.route(CANCEL, async route => {
      calls += 1
      await route.fetch()
      await route.abort()
    })
    await dialog.getByRole('button', { name: 'Cancel 3 commands' }).click()
    await page.getByText('This is what stood on record at').waitFor()
    expect(await told(page)).toEqual({ cancelled: ids, left: {} })
    expect(calls).toBe(1)
  })

  it('says what still waits where the cancel never arrived', async () => {
    const device = another()
    const ids = await queueUp(device, 2)
    const page = await look(device, '', { expected: NOT_THERE })
    const dialog = await ask(page)
    await page.route(CANCEL, route => route.abort())
    await dialog.getByRole('button', { name: 'Cancel 2 commands' }).click()
    await page.getByText('Nothing was cancelled.').waitFor()
    expect((await told(page)).left).toEqual(Object.fromEntries(ids.map(id => [id, 'created'])))
    await client.cancelAll({ assetId: device.assetId })
    await page.getByRole('button', { name: 'Look again' }).click()
    await page.getByText('2 commands are cancelled. They will never be sent.').waitFor()
  })
})

describe('while the server is away', () => {
  it('offers nothing, and comes back with the queue as it is', async () => {
    const own = await TestServer.start()
    try {
      const at = { assetId: devices.one.assetId }
      const sendOne = async () =>
        (await own.client().setMeasurepoint(at, 'Int_value', 1, { pendingTtl: 600 })).commandId
      const [first, second] = [await sendOne(), await sendOne()]
      const page = await open(own.page(`/devices/${at.assetId}`), { expected: NOT_THERE })
      await soon(() => waiting(page)).toEqual([first, second])
      const asking = await ask(page)
      const confirm = asking.getByRole('button', { name: 'Cancel 2 commands' })
      expect(await confirm.isEnabled()).toBe(true)
      await own.kill()
      await page.locator('[data-current=false]').first().waitFor()
      await asking.getByText('nothing can be cancelled now').waitFor()
      expect(await confirm.isEnabled()).toBe(false)
      await asking.getByRole('button', { name: 'Keep them' }).click()
      await asking.waitFor({ state: 'detached' })
      await page.locator('button.ask').first().waitFor()
      // What is inert cannot be pressed, nor reached by keys.
      expect(await page.locator('main button.ask:not([inert] *), main [data-cancel-all]').count()).toBe(0)
      await own.begin()
      await own.client().cancel(at, first)
      await soon(() => waiting(page)).toEqual([second])
      await page.locator('[data-current=true]').first().waitFor()
      await page.getByRole('button', { name: /^Cancel Int value/ }).waitFor()
    } finally {
      await own.stop()
    }
  })
})

describe('the history', () => {
  const history = (page: Page): Promise<(string | null)[]> =>
    page.locator('.history [data-command-id]').evaluateAll(rows => rows.map(row => row.getAttribute('data-command-id')))

  it('has all commands newest first, by state, kind, name, identifier and time, as the address says', async () => {
    const device = another()
    const at = { assetId: device.assetId }
    const [done] = (await queueUp(device, 1)) as [string]
    const real = await server.connect(device)
    await soon(() => stateOf(done)).toBe(5)
    await real.end()
    const [stopped] = (await queueUp(device, 1)) as [string]
    await client.cancel(at, stopped)
    const { commandId: waits } = await client.invokeService(at, 'calibrate', { reference: 1 }, { pendingTtl: 600 })
    const page = await look(device, '?tab=history')
    await soon(() => history(page)).toEqual([waits, stopped, done])
    await page.getByRole('checkbox', { name: 'cancelled' }).check()
    await soon(() => history(page)).toEqual([stopped])
    await page.getByRole('checkbox', { name: 'succeeded' }).check()
    await soon(() => history(page)).toEqual([stopped, done])
    await page.reload()
    await soon(() => history(page)).toEqual([stopped, done])
    await page.getByRole('button', { name: 'Clear filters' }).click()
    await page.getByRole('combobox', { name: 'Kind' }).selectOption('invoke')
    await soon(() => history(page)).toEqual([waits])
    await page.getByRole('combobox', { name: 'Kind' }).selectOption('all')
    const text = page.getByRole('searchbox', { name: /identifier/ })
    // In the identifier alone: the name is "Int value".
    await text.fill('t_val')
    await soon(() => history(page)).toEqual([stopped, done])
    await text.fill('校准')
    await soon(() => history(page)).toEqual([waits])
    await text.fill(done)
    await soon(() => history(page)).toEqual([done])
    await text.fill(`" or state = 1 or commandName like "`)
    await page.getByText('No command on record is like that').waitFor()
    await text.fill('')
    await page.getByRole('combobox', { name: 'Accepted' }).selectOption('1h')
    await soon(() => history(page)).toEqual([waits, stopped, done])
    await page.getByRole('combobox', { name: 'Accepted' }).selectOption('between')
    await page.getByLabel('To', { exact: true }).fill('2020-01-01T00:00:00')
    await page.getByText('No command on record is like that').waitFor()
    expect(await axeFaults(page)).toEqual([])
  })

  it('counts what is new, and shows it when asked: rows stay where they are', async () => {
    const device = another()
    const ids = (await queueUp(device, 2)).reverse()
    const page = await look(device, '?tab=history')
    await soon(() => history(page)).toEqual(ids)
    const [new1, new2] = (await queueUp(device, 2)) as [string, string]
    await page.getByRole('button', { name: /2 new commands/ }).waitFor()
    expect(await history(page)).toEqual(ids)
    // A state that changes is shown where the row is.
    await client.cancel({ assetId: device.assetId }, ids[1] as string)
    await page.locator(`.history [data-command-id="${ids[1]}"][data-state="cancelled"]`).waitFor()
    await page.getByRole('button', { name: /2 new commands/ }).click()
    await soon(() => history(page)).toEqual([new2, new1, ...ids])
  })

  it('shows older ones when asked', async () => {
    const device = another()
    const ids = (await queueUp(device, 60)).reverse()
    const page = await look(device, '?tab=history')
    await soon(() => history(page)).toEqual(ids.slice(0, 50))
    await page.getByRole('button', { name: 'Show older ones' }).click()
    await soon(() => history(page)).toEqual(ids)
    await page.getByText('These are all 60.').waitFor()
  })
})

describe('a device that is deleted', () => {
  it('is told of, with what became of its commands', async () => {
    const device = another()
    const [only] = (await queueUp(device, 1)) as [string]
    const page = await look(device)
    await soon(() => waiting(page)).toEqual([only])
    await client.call('devices', 'delete', { device: { assetId: device.assetId } })
    await page.getByText('This device has been deleted').waitFor()
    await page.locator(`[data-command-id="${only}"][data-state="cancelled"]`).waitFor()
    await page.reload()
    await page.getByText('This device has been deleted').waitFor()
  })
})

describe('who may only look', () => {
  it('is offered nothing that cancels or sends', async () => {
    const signed = await TestServer.start({ auth: 'signature' })
    try {
      const at = { assetId: devices.one.assetId }
      const { commandId } = await signed.client().setMeasurepoint(at, 'Int_value', 1, { pendingTtl: 600 })
      const page = await open(signed.page(`/devices/${at.assetId}?tab=send`), { expected: NOT_THERE_OR_NOT_IN })
      await page.getByLabel('Application key').check()
      await page.getByLabel('appKey').fill(READER.appKey)
      await page.getByLabel('appSecret').fill(READER.appSecret)
      await page.getByRole('button', { name: 'Sign in' }).click()
      await soon(() => waiting(page)).toEqual([commandId])
      expect(await page.getByRole('button', { name: /Cancel/ }).count()).toBe(0)
      expect(await page.getByRole('link', { name: 'Send a command' }).count()).toBe(0)
    } finally {
      await signed.stop()
    }
  })
})

describe('both themes and both languages', () => {
  it.each([
    ['light', 'en-US'],
    ['dark', 'zh-CN'],
  ] as const)('%s, %s: nothing hinders anybody', async (colorScheme, locale) => {
    const device = another()
    await server.connect(device, () => undefined)
    const [sent, next] = (await queueUp(device, 2)) as [string, string]
    const page = await look(device, '', { colorScheme, locale })
    await page.locator(`[data-command-id="${sent}"][data-state="sent"]`).waitFor()
    await row(page, next).getByRole('button').click()
    expect(await axeFaults(page)).toEqual([])
  })
})
