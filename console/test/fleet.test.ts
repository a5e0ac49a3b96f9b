// Fleet commands: jobs with what becomes of each task, retrying and cancelling some of them; cancelling by filter, where a dry run is seen before anything is
// cancelled. Not here: the calls behind it, which the server's own tests have.

import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Downlink, JobOrder, JobTarget } from '../../packages/client/src/index.ts'
import type { TestDevice } from '../../test/rig/server.ts'
import { axeFaults, NOT_THERE, useBrowser } from './rig/browser.ts'
import { devices, PUMPS } from './rig/fleet.ts'
import { beginHalfway } from './rig/halfway.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
const { one, two, three } = devices
const WITHIN = { timeout: 20_000, interval: 50 }
/** devices beyond the named ones, for what has to take a while */
const MANY = 1_000

const order = (target: JobTarget, over: Partial<JobOrder> = {}): JobOrder => ({
  name: { defaultValue: 'Reboot hall 3', i18nValue: { en_US: 'Reboot hall 3', zh_CN: '重启三号厅' } },
  desc: 'after the update',
  targetScope: target,
  commandInfo: { commandType: 'SERVICE_INVOKE', serviceInvokeInfo: { serviceId: 'reboot', inputData: { delay: 5 } } },
  schedulePolicy: { scheduleType: 'DISPOSABLE' },
  timeoutPolicy: { inProgressTimeoutInSeconds: 60, ttlTimeoutInSeconds: 600 },
  ...over,
})
const listed = (...of: readonly { readonly assetId: string }[]): JobTarget => ({
  targetType: 'device_list',
  targetDevices: of.map(({ assetId }) => ({ assetId })),
})

const collected = async <T>(of: AsyncIterable<T>): Promise<T[]> => {
  const all: T[] = []
  for await (const each of of) all.push(each)
  return all
}
const tasksOf = (client: Downlink, jobId: string) => collected(client.jobs.tasks(jobId))
const row = (page: Page, text: string) => page.getByRole('row').filter({ hasText: text })
const states = (page: Page) => page.getByRole('navigation', { name: 'Tasks by state' })
const dialog = (page: Page) => page.getByRole('dialog')

describe('jobs', () => {
  let server: TestServer
  let client: Downlink
  let jobId: string
  let first: TestDevice
  let second: TestDevice
  /** what the first device was asked and has not answered yet */
  let asked: { readonly topic: string; readonly id: unknown } | null = null

  beforeAll(async () => {
    server = await TestServer.start()
    client = server.client()
    first = await server.connect(one, ({ topic, payload }) => {
      asked = { topic, id: payload.id }
      return undefined
    })
    second = await server.connect(two, ({ payload }) => ({ id: payload.id, code: 4031, message: 'valve stuck' }))
    jobId = await client.jobs.create(order(listed(one, two, three)))
    await first.count(1)
    await vi.waitFor(async () => expect((await client.jobs.statistics(jobId)).failed).toBe(1), WITHIN)
  })
  afterAll(() => server.stop())

  it('are listed with how far each is, and lead to what each does in words', async () => {
    const page = await open(server.page('/fleet'))
    const line = row(page, 'Reboot hall 3')
    await line.getByText('running').waitFor()
    expect(await line.getByRole('listitem').allTextContents()).toEqual(['3 tasks', '1 failed', '1 sent', '1 waiting'])
    await line.getByRole('link', { name: 'Reboot hall 3' }).click()
    await page.getByRole('heading', { level: 1, name: /Reboot hall 3/ }).waitFor()
    await page.getByText('Invokes the service Reboot reboot with {"delay":5}').waitFor()
    await page.getByText('waits for its device for up to 10 min; the device has 1 min to answer').waitFor()
    await page.getByText('none by itself').waitFor()
    expect(await axeFaults(page)).toEqual([])
  })

  it('tell what came of each task, by state, in an address of its own', async () => {
    const page = await open(server.page(`/fleet/jobs/${jobId}`))
    await states(page).getByRole('link', { name: '1 failed' }).click()
    await expect.poll(() => new URL(page.url()).searchParams.get('state'), WITHIN).toBe('FAILED')
    const line = row(page, two.deviceKey)
    await line.getByText('valve stuck').waitFor()
    await line.getByText('code 4031').waitFor()
    await expect.poll(() => row(page, one.deviceKey).count(), WITHIN).toBe(0)
    const [task] = (await tasksOf(client, jobId)).filter(({ assetId }) => assetId === two.assetId)
    await page.reload()
    await line.getByRole('link', { name: String(task?.commandId) }).click()
    await expect.poll(() => page.url(), WITHIN).toBe(server.page(`/commands/${task?.commandId}`))
  })

  it('follow a device that answers, without anybody doing anything', async () => {
    const page = await open(server.page(`/fleet/jobs/${jobId}`))
    const line = row(page, one.deviceKey)
    await line.getByText('sent').waitFor()
    first.client.publish(`${asked?.topic}_reply`, JSON.stringify({ id: asked?.id, code: 200, data: { ok: true } }))
    await line.getByText('succeeded').waitFor()
    await line.getByText('{"ok":true}').waitFor()
    await states(page).getByRole('link', { name: '1 succeeded' }).waitFor()
    await page.getByText('2 of 3 have an outcome').waitFor()
    // There is nothing to do to what has succeeded.
    expect(await line.getByRole('checkbox').count()).toBe(0)
  })

  it('leave alone what has become better before it is retried, and say why', async () => {
    const page = await open(server.page(`/fleet/jobs/${jobId}`))
    await row(page, two.deviceKey).getByRole('checkbox').check()
    await page.getByRole('button', { name: 'Retry 1' }).click()
    await dialog(page).getByText('Each gets a new attempt at once').waitFor()
    const [task] = (await tasksOf(client, jobId)).filter(({ assetId }) => assetId === two.assetId)
    second.answer = ({ payload }) => ({ id: payload.id, code: 200, data: {} })
    expect(await client.jobs.retry(jobId, [String(task?.taskId)])).toMatchObject([{ code: 0 }])
    await expect.poll(async () => (await client.jobs.statistics(jobId)).succeed, WITHIN).toBe(2)
    await dialog(page).getByRole('button', { name: 'Retry' }).click()
    await dialog(page).getByText('0 tasks are tried again.').waitFor()
    await dialog(page).getByText(`${two.deviceKey} is not over, or has succeeded code 99413`).waitFor()
    await dialog(page).getByRole('button', { name: 'Close' }).last().click()
    await row(page, two.deviceKey).getByText('1 by hand').waitFor()
  })

  it('are cancelled where they wait, and retried though somebody cancelled them', async () => {
    const page = await open(server.page(`/fleet/jobs/${jobId}`))
    await page.getByRole('button', { name: 'Cancel all that wait' }).click()
    await dialog(page).getByText('What has been sent cannot be recalled').waitFor()
    expect(await axeFaults(page)).toEqual([])
    await dialog(page).getByRole('button', { name: 'Cancel the tasks' }).click()
    await dialog(page).getByText('1 task is cancelled.').waitFor()
    await dialog(page).getByRole('button', { name: 'Close' }).last().click()
    const line = row(page, three.deviceKey)
    await line.locator('[data-state=cancelled]').waitFor()
    expect((await client.jobs.statistics(jobId)).canceled).toBe(1)
    await page.getByRole('heading', { level: 1 }).getByText('over').waitFor()

    await line.getByRole('checkbox').check()
    await page.getByRole('button', { name: 'Retry 1' }).click()
    await dialog(page).getByRole('button', { name: 'Retry' }).click()
    await dialog(page).getByText('1 task is tried again.').waitFor()
    await dialog(page).getByRole('button', { name: 'Close' }).last().click()
    await line.getByText('waiting').waitFor()
    // A job that was over runs again, and is looked at again each second.
    await page.getByRole('heading', { level: 1 }).getByText('running').waitFor()
    await server.connect(three)
    await line.getByText('succeeded').waitFor()
    await page.getByRole('heading', { level: 1 }).getByText('over').waitFor()
  })

  it('retry by themselves, which the page counts down to', async () => {
    const disabled = devices.disabled
    const retryPolicy = { enableRetry: true, retryIntervalInSeconds: 600, retryCount: 3 }
    const timeoutPolicy = { ttlTimeoutInSeconds: 0 }
    const id = await client.jobs.create(order(listed(disabled), { retryPolicy, timeoutPolicy }))
    const page = await open(server.page(`/fleet/jobs/${id}`))
    await page.getByText('failed ones up to 3 times, 10 min after each failure').waitFor()
    await page.getByText('now or never').waitFor()
    await row(page, disabled.deviceKey)
      .getByText(/Again in 9 min \d+ s/)
      .waitFor()
    await page.getByRole('button', { name: 'Cancel all that wait' }).click()
    await dialog(page).getByRole('button', { name: 'Cancel the tasks' }).click()
    await dialog(page).getByText('1 task is cancelled.').waitFor()
    expect(await tasksOf(client, id)).toMatchObject([{ status: 'CANCELLED', retryTimestamp: null }])
  })

  it('are deleted only after the page has said what that does', async () => {
    const timeoutPolicy = { ttlTimeoutInSeconds: 600 }
    const id = await client.jobs.create(order(listed(devices.disabled, one), { timeoutPolicy }))
    await expect.poll(async () => (await client.jobs.statistics(id)).published, WITHIN).toBe(1)
    const page = await open(server.page(`/fleet/jobs/${id}`))
    await page.getByRole('button', { name: 'Delete the job' }).click()
    await dialog(page).getByText('What has been sent cannot be recalled').waitFor()
    await dialog(page).getByRole('button', { name: 'Leave it' }).click()
    expect((await client.jobs.get(id)).status).toBe('RUNNING')
    await page.getByRole('button', { name: 'Delete the job' }).click()
    await dialog(page).getByRole('button', { name: 'Delete it' }).click()
    await page.getByText('The job is deleted.').waitFor()
    await page.getByText('1 waiting command was cancelled.').waitFor()
    await page.getByText('1 had been sent, and goes on by itself.').waitFor()
    await expect(client.jobs.get(id)).rejects.toMatchObject({ code: 99404 })
    await page.getByRole('link', { name: 'To the jobs' }).click()
    await page.getByRole('heading', { level: 1, name: 'Fleet commands' }).waitFor()
  })

  it('are found by name and by status', async () => {
    await client.jobs.create(
      order(listed(one), {
        name: { defaultValue: "Ana's job", i18nValue: {} },
        schedulePolicy: {
          scheduleType: 'DISPOSABLE',
          disposableSchedulePolicy: { triggerTs: Date.now() + 3_600_000 },
        },
      }),
    )
    const page = await open(server.page('/fleet'))
    await page.getByLabel('Search by name').fill("ana's")
    await page.getByLabel('Search by name').press('Enter')
    await row(page, "Ana's job").getByText('scheduled').waitFor()
    await expect.poll(() => row(page, 'Reboot hall 3').count(), WITHIN).toBe(0)
    await page.getByRole('combobox', { name: 'Status' }).selectOption('over')
    await page.getByText('No job is like that').waitFor()
    await page.getByRole('link', { name: 'Show all jobs' }).click()
    await row(page, 'Reboot hall 3').first().waitFor()
  })

  it('speak the language and fit the window of whoever looks', async () => {
    const page = await open(server.page(`/fleet/jobs/${jobId}`), {
      locale: 'zh-CN',
      colorScheme: 'dark',
      viewport: { width: 390, height: 800 },
    })
    await page.getByRole('heading', { level: 1, name: /重启三号厅/ }).waitFor()
    await page.getByText('调用服务 重启 reboot').waitFor()
    expect(await axeFaults(page)).toEqual([])
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    )
    expect(overflow).toBe(0)
  })

  it('are not shown as they were once the server is away, and go on by themselves when it is back', async () => {
    const timeoutPolicy = { ttlTimeoutInSeconds: 600 }
    const id = await client.jobs.create(order(listed(devices.disabled), { timeoutPolicy }))
    const page = await open(server.page(`/fleet/jobs/${id}`), { expected: NOT_THERE })
    const line = row(page, devices.disabled.deviceKey)
    await line.locator('[data-state=created]').waitFor()
    await server.kill()
    await page.getByRole('alert').getByText('The server cannot be reached').first().waitFor()
    await page.locator('[data-current=false]').first().waitFor()
    expect(await page.getByRole('button', { name: 'Delete the job' }).count()).toBe(0)
    await server.begin()
    await client.cancelAll({ assetId: devices.disabled.assetId })
    await line.locator('[data-state=cancelled]').waitFor()
    await expect.poll(() => page.locator('[data-current=false]').count(), WITHIN).toBe(0)
    await page.getByRole('heading', { level: 1 }).getByText('over').waitFor()
  })

  it('say how one is made where there is none', async () => {
    const empty = await TestServer.start()
    try {
      const page = await open(empty.page('/fleet'))
      await page.getByText('No jobs yet').waitFor()
      await page.getByText('downlink.jobs.create').waitFor()
      await page.getByRole('link', { name: 'Cancellations' }).click()
      await page.getByText('Nothing was cancelled by filter yet').waitFor()
      expect(await axeFaults(page)).toEqual([])
    } finally {
      await empty.stop()
    }
  })
})

describe('cancelling by filter', () => {
  let server: TestServer
  let client: Downlink
  const reboot = async (device: { readonly assetId: string }) =>
    (await client.invokeService({ assetId: device.assetId }, 'reboot', {}, { pendingTtl: 3_600 })).commandId
  const set = async (device: { readonly assetId: string }) =>
    (await client.setMeasurepoint({ assetId: device.assetId }, 'Int_value', 1, { pendingTtl: 3_600 })).commandId
  const stateOf = async (commandId: string) => (await client.record(commandId)).state
  /** The id that the page's address has at this place, once it has. */
  const idIn = async (page: Page, pattern: RegExp): Promise<string> => {
    await page.waitForURL(pattern)
    return pattern.exec(page.url())?.[1] ?? ''
  }
  const dryRunId = (page: Page) => idIn(page, /new\?dryRun=([0-9a-f]{24})$/)
  const realId = (page: Page) => idIn(page, /cancellations\/([0-9a-f]{24})\?dryRun=/)

  beforeAll(async () => {
    server = await TestServer.start({ more: MANY })
    client = server.client()
  })
  afterAll(() => server.stop())

  it('shows what it would cancel, then cancels just that: not what was sent to the devices since', async () => {
    const shown = [await reboot(one), await reboot(one), await reboot(one), await reboot(two), await reboot(two)]
    const other = await set(two)
    const page = await open(server.page('/fleet?tab=cancellations'))
    await page.getByRole('link', { name: 'Cancel by filter' }).first().click()
    await page.getByRole('combobox', { name: 'Command' }).selectOption('invokes a service')
    await page.getByLabel('serviceId').fill('reboot')
    // By its name, as the model has it.
    await page.locator('strong').getByText('Reboot', { exact: true }).waitFor()
    expect(await axeFaults(page)).toEqual([])
    await page.getByRole('button', { name: 'Look what it would cancel' }).click()

    await page.getByText('5 commands on 2 devices would be cancelled').waitFor()
    for (const commandId of shown) await page.getByRole('link', { name: commandId }).waitFor()
    expect(await page.getByRole('link', { name: other }).count()).toBe(0)
    const dry = await client.cancellations.get(await dryRunId(page))
    expect(dry).toMatchObject({ dryRun: true, matched: 5, devices: { matched: 2 } })
    expect(await Promise.all(shown.map(stateOf))).toEqual([1, 1, 1, 1, 1])
    expect(await axeFaults(page)).toEqual([])

    const since = await reboot(one)
    await client.cancel({ assetId: two.assetId }, shown[4] ?? '')
    await page.getByRole('button', { name: 'Cancel these 5 commands' }).click()
    await dialog(page).getByText('5 commands on 2 devices, as the dry run found them.').waitFor()
    await dialog(page).getByText('What has been sent by then cannot be recalled').waitFor()
    await dialog(page).getByRole('button', { name: 'Cancel 5 commands' }).click()

    await page.getByText('4 commands were cancelled').waitFor()
    await page.getByText('1 that the dry run had found was sent or over before it was its turn.').waitFor()
    const real = await client.cancellations.get(await realId(page))
    expect(real).toMatchObject({ dryRun: false, status: 'ended', cancelled: 4, createdBefore: dry.createdBefore })
    expect(await Promise.all(shown.map(stateOf))).toEqual([2, 2, 2, 2, 2])
    expect(await Promise.all([since, other].map(stateOf))).toEqual([1, 1])
    expect(
      await page
        .getByRole('row')
        .filter({ hasText: /^\d{15,}/ })
        .count(),
    ).toBe(4)
    expect(await axeFaults(page)).toEqual([])
  })

  it('gives the list as a file', async () => {
    const [last] = await collected(client.cancellations.list())
    const page = await open(server.page(`/fleet/cancellations/${last?.cancellationId}`))
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download CSV' }).click(),
    ])
    const lines = (await readFile(await download.path(), 'utf8')).trimEnd().split('\r\n')
    expect(lines[0]).toBe('"commandId","assetId","productKey","deviceKey","outcome","state"')
    expect(lines.slice(1).map(line => line.split(',').slice(1).join(','))).toEqual([
      ...Array(3).fill(`"${one.assetId}","${PUMPS}","${one.deviceKey}","cancelled","cancelled"`),
      `"${two.assetId}","${PUMPS}","${two.deviceKey}","cancelled","cancelled"`,
    ])
  })

  it('takes a pasted list and a product, and says at the field what the server does not know', async () => {
    await client.cancelAll({ assetId: two.assetId })
    await set(two)
    const page = await open(server.page('/fleet/cancellations/new'))
    await page.getByRole('button', { name: 'Look what it would cancel' }).click()
    await page.getByRole('alert').getByText('Say at least one condition').waitFor()
    await page.getByLabel('Products', { exact: true }).fill('nothing')
    await page.getByRole('button', { name: 'Look what it would cancel' }).click()
    await page.getByText(/productKeys\[0\].*has no product nothing/).waitFor()
    await page.getByRole('button', { name: 'Remove nothing' }).click()
    await page.getByLabel('Devices', { exact: true }).focus()
    await page.evaluate(text => {
      const clipboardData = new DataTransfer()
      clipboardData.setData('text', text)
      document.activeElement?.dispatchEvent(
        new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }),
      )
    }, `${two.assetId}\n${three.assetId}\n`)
    await page.getByRole('button', { name: `Remove ${three.assetId}` }).waitFor()
    await page.getByRole('button', { name: 'Look what it would cancel' }).click()
    await page.getByText('1 command on 1 device would be cancelled').waitFor()
    const { filter } = await client.cancellations.get(await dryRunId(page))
    expect(filter).toEqual({ assetIds: [two.assetId, three.assetId] })
    // The way back has the same filter.
    await page.getByRole('link', { name: 'Change the filter' }).click()
    await page.getByRole('button', { name: `Remove ${two.assetId}` }).waitFor()
  })

  it('finds a device by its name', async () => {
    const page = await open(server.page('/fleet/cancellations/new'))
    await page.getByLabel('Devices', { exact: true }).fill('Pump two')
    await page.locator(`datalist option[value="${two.assetId}"]`).waitFor({ state: 'attached' })
    await page.getByLabel('Devices', { exact: true }).press('Enter')
    await page.getByRole('button', { name: `Remove ${two.assetId}` }).waitFor()
  })

  it('lists what is sent as not cancelled, and counts only what waits', async () => {
    const device = await server.connect(three, () => undefined)
    const sent = await reboot(three)
    await device.count(1)
    const waiting = [await reboot(three), await reboot(three)]
    const page = await open(server.page(`/fleet/cancellations/new?assetId=${three.assetId}`))
    await page.getByLabel(/List also what is sent/).check()
    await page.getByRole('button', { name: 'Look what it would cancel' }).click()
    await page.getByText('2 commands on 1 device would be cancelled').waitFor()
    await page.getByText('1 is sent already, and is not cancelled.').waitFor()
    await page.getByRole('button', { name: 'Cancel these 2 commands' }).click()
    await dialog(page).getByRole('button', { name: 'Cancel 2 commands' }).click()
    await page.getByText('2 commands were cancelled').waitFor()
    await page.getByText('These are exactly those that the dry run had found.').waitFor()
    await page.getByRole('link', { name: '1 not cancelled' }).click()
    await row(page, sent).getByText('sent', { exact: false }).waitFor()
    await expect.poll(() => row(page, waiting[0] ?? '').count(), WITHIN).toBe(0)
    expect(await Promise.all([sent, ...waiting].map(stateOf))).toEqual([4, 2, 2])
  })

  it('says loudly that everything is everything, and asks once more', async () => {
    for (const { assetId } of [one, two, three]) await client.cancelAll({ assetId })
    await Promise.all([reboot(one), set(two)])
    const page = await open(server.page('/fleet/cancellations/new'))
    await page.getByLabel('Everything that waits').check()
    await page.getByText('Every command that waits, on every device that you may command.').waitFor()
    expect(await axeFaults(page)).toEqual([])
    await page.getByRole('button', { name: 'Look what it would cancel' }).click()
    await page.getByText('2 commands on 2 devices would be cancelled').waitFor()
    await page.getByRole('button', { name: 'Cancel these 2 commands' }).click()
    const yes = dialog(page).getByRole('button', { name: 'Cancel 2 commands' })
    expect(await yes.isDisabled()).toBe(true)
    await dialog(page).getByLabel('I mean every command of the whole fleet').check()
    await yes.click()
    await page.getByText('2 commands were cancelled').waitFor()
    expect((await client.cancellations.get(await realId(page))).cancelled).toBe(2)
    expect((await client.stats()).now.waiting).toBe(0)
    // And then there is nothing more.
    await page.goto(server.page('/fleet/cancellations/new?all=true'))
    await page.getByRole('button', { name: 'Look what it would cancel' }).click()
    await page.getByText('Nothing that waits is like that').waitFor()
    expect(await page.getByRole('button', { name: /^Cancel th/ }).count()).toBe(0)
  })

  it('stops in the middle, after a question, and says what was done till then', async () => {
    for (const { assetId } of [one, two, three]) await client.cancelAll({ assetId })
    const found = [await reboot(one), await reboot(one), await reboot(two), await reboot(two), await reboot(three)]
    const { cancellationId: dryRunId } = await client.cancellations.create({ serviceId: 'reboot' }, { dryRun: true })
    await expect.poll(async () => (await client.cancellations.get(dryRunId)).status, WITHIN).toBe('ended')
    const cancellationId = await server.whileAway(folder => beginHalfway(folder, dryRunId, 2))
    const page = await open(server.page(`/fleet/cancellations/${cancellationId}`))
    await page.getByRole('heading', { level: 1 }).getByText('running').waitFor()
    await page.getByRole('button', { name: 'Stop' }).click()
    await dialog(page).getByRole('button', { name: 'Stop it' }).click()
    await page.getByRole('heading', { level: 1 }).getByText('stopped').waitFor()
    await page.getByText('2 commands were cancelled').waitFor()
    expect(await page.getByRole('button', { name: 'Stop' }).count()).toBe(0)
    const real = await client.cancellations.get(cancellationId)
    expect(real).toMatchObject({ status: 'stopped', matched: 5, cancelled: 2, notCancelled: 3, undecided: 0 })
    // What it had not come to waits still.
    expect((await Promise.all(found.map(stateOf))).sort()).toEqual([1, 1, 1, 2, 2])
  })

  it('lists thousands by page, to the last one', async () => {
    const jobIds = await Promise.all(
      Array.from({ length: 3 }, () =>
        client.jobs.create(order({ targetType: 'product_key', targetDevices: [{ productKey: PUMPS }] })),
      ),
    )
    const begun = async () => {
      const all = await Promise.all(jobIds.map(jobId => client.jobs.statistics(jobId)))
      return all.every(({ init, queued }) => init === 0 && queued >= MANY)
    }
    await expect.poll(begun, { timeout: 50_000, interval: 500 }).toBe(true)
    const dry = await client.cancellations.create({ serviceId: 'reboot' }, { dryRun: true })
    await expect.poll(async () => (await client.cancellations.get(dry.cancellationId)).endedAt, WITHIN).not.toBe(null)
    const { matched } = await client.cancellations.get(dry.cancellationId)
    const pages = Math.ceil(matched / 50)
    const page = await open(server.page(`/fleet/cancellations/${dry.cancellationId}?page=${pages}`))
    await page.getByText(`Page ${pages.toLocaleString('en-US')} of ${pages.toLocaleString('en-US')}`).waitFor()
    const items = await collected(client.cancellations.items(dry.cancellationId))
    await page.getByRole('link', { name: items.at(-1)?.commandId ?? 'none' }).waitFor()
    expect(await page.getByRole('link', { name: 'Next' }).count()).toBe(0)
    await page.getByRole('link', { name: 'Previous' }).click()
    await page.getByRole('link', { name: items[(pages - 2) * 50]?.commandId ?? 'none' }).waitFor()
    expect(matched).toBeGreaterThan(3 * MANY)
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.setViewportSize({ width: 390, height: 800 })
    expect(await axeFaults(page)).toEqual([])
    const overflow = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    )
    expect(overflow).toBe(0)
  })
})

describe('with grants', () => {
  let server: TestServer
  let jobId: string
  let cancellationId: string
  beforeAll(async () => {
    server = await TestServer.start({ auth: 'signature' })
    const client = server.client()
    jobId = await client.jobs.create(order(listed(one, two)))
    await vi.waitFor(async () => expect((await client.jobs.statistics(jobId)).queued).toBe(2), WITHIN)
    ;({ cancellationId } = await client.cancellations.create({ serviceId: 'reboot' }, { dryRun: true }))
    await vi.waitFor(async () => expect((await client.cancellations.get(cancellationId)).status).toBe('ended'), WITHIN)
  })
  afterAll(() => server.stop())

  const enter = async (name: string, grants: readonly object[], path: string) => {
    const page = await open(server.page(path), { expected: /status of 401/ })
    await page.locator('input[name=operatorToken]').fill(await server.operatorToken(name, { grants }))
    await page.getByRole('button', { name: 'Sign in' }).click()
    return page
  }
  const grant = (resource: string, action: string, scope: unknown = 'all') => ({ resource, actions: [action], scope })

  it('offers nothing to whoever may only look', async () => {
    const page = await enter('eve', [grant('Asset', 'Read'), grant('Device', 'Read')], `/fleet/jobs/${jobId}`)
    await row(page, one.deviceKey).getByText('waiting').waitFor()
    expect(await page.getByRole('checkbox').count()).toBe(0)
    expect(await page.getByRole('button', { name: /Retry|Cancel|Delete/ }).count()).toBe(0)
    await page.goto(server.page(`/fleet/cancellations/${cancellationId}`))
    await page.getByText('2 commands found').waitFor()
    expect(await page.getByRole('link', { name: 'Go on to the real one' }).count()).toBe(0)
    await page.goto(server.page('/fleet'))
    await row(page, 'Reboot hall 3').waitFor()
    expect(await page.getByRole('link', { name: 'Cancel by filter' }).count()).toBe(0)
    await page.goto(server.page('/fleet/cancellations/new?serviceId=reboot'))
    await page.getByText('Your grants do not let you cancel commands.').waitFor()
    expect(await page.getByRole('button', { name: 'Look what it would cancel' }).count()).toBe(0)
  })

  it('shows no list that would be refused', async () => {
    const page = await enter('fay', [grant('Asset', 'Read')], '/fleet')
    await row(page, 'service reboot').waitFor()
    expect(await page.getByRole('link', { name: 'Jobs' }).count()).toBe(0)
  })

  it('lets an operator cancel by filter, but not go on from the dry run of somebody else', async () => {
    const grants = [grant('Asset', 'Control'), grant('Device', 'Read')]
    const page = await enter('gus', grants, `/fleet/jobs/${jobId}`)
    await row(page, one.deviceKey).waitFor()
    expect(await page.getByRole('checkbox').count()).toBe(0)
    await page.goto(server.page(`/fleet/cancellations/new?dryRun=${cancellationId}`))
    await page.getByText('Somebody else has made this dry run').waitFor()
    expect(await page.getByRole('button', { name: /^Cancel these/ }).count()).toBe(0)
    await page.getByRole('button', { name: 'Look again' }).click()
    await page.getByRole('button', { name: 'Cancel these 2 commands' }).waitFor()
  })

  it('lets tasks be touched only where the device may be commanded', async () => {
    const scope = { assetIds: [one.assetId] }
    const grants = [grant('Device', 'FullAccess'), grant('Asset', 'Control', scope), grant('Asset', 'Read')]
    const page = await enter('hal', grants, `/fleet/jobs/${jobId}`)
    await row(page, one.deviceKey).getByRole('checkbox').waitFor()
    expect(await row(page, two.deviceKey).getByRole('checkbox').count()).toBe(0)
    await page.getByRole('button', { name: 'Cancel all that wait' }).click()
    await dialog(page).getByRole('button', { name: 'Cancel the tasks' }).click()
    await dialog(page).getByText('1 task is cancelled.').waitFor()
    const tasks = await tasksOf(server.client(), jobId)
    expect(Object.fromEntries(tasks.map(({ deviceKey, status }) => [deviceKey, status]))).toEqual({
      [one.deviceKey]: 'CANCELLED',
      [two.deviceKey]: 'QUEUED',
    })
  })
})
