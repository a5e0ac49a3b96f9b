// Which pictures there are, in the order in which they are taken: from states that change nothing to those that do, and last of all a server that is gone.
// Not here: how they are taken (../screenshots.ts), the fleet that is on them (present.ts).

import type { Page } from 'playwright-core'
import { byKey } from './fleet.ts'
import { parts, type Scene } from './present.ts'

/** In which form a picture is taken: as it is, in Chinese, or as narrow as a telephone. */
export type Form = 'wide' | 'chinese' | 'narrow'

export interface Shot {
  /** of the file, before its form and its theme */
  readonly name: string
  /** as the index has it */
  readonly caption: string
  readonly path: string
  /** default: wide alone */
  readonly forms?: readonly Form[]
  /** what must have happened before the page is opened */
  readonly before?: () => Promise<unknown>
  /** what is done on the page, until it looks as it should */
  readonly on?: (page: Page) => Promise<unknown>
  readonly isSignedOut?: boolean
}

/** What waits behind the command in flight. */
const orders = [
  { set: 'speed', value: 1_800 },
  { set: 'setpoint', value: 21.5 },
  { invoke: 'calibrate', inputs: { reference: 20.5, passes: 3 } },
  { set: 'mode', value: 1 },
  { set: 'setpoint', value: 22 },
  { set: 'enabled', value: true },
]
const setpoints = [18.5, 19, 19.5, 20].map(value => ({ set: 'setpoint', value }))

const button = (page: Page, name: RegExp) => page.getByRole('button', { name })

export async function shotsOf(scene: Scene): Promise<readonly Shot[]> {
  const { busy, second, form, away } = parts
  const { operator } = scene
  const doneId = await scene.done()
  const [jobId] = await scene.jobIds('Night setback')
  const waitingId = (await operator.queue(away.assetId)).commands[3]?.commandId
  const queue = `/devices/${busy.assetId}`
  // Found and not done: what the dry run shows is still there for the real one.
  const filter = { measurepointId: 'setpoint', states: [1, 4] as const }
  const dryRun = await operator.cancellations.create({ ...filter, olderThanS: 60 }, { dryRun: true })
  const cancelled = { cancellationId: '' }
  return [
    { name: 'sign-in', caption: 'Sign in', path: '/', isSignedOut: true },
    { name: 'overview', caption: 'Overview', path: '/', forms: ['wide', 'chinese', 'narrow'], on: drawn },
    {
      ...{ name: 'overview-below', caption: 'Overview, further down', path: '/' },
      on: async page => {
        await drawn(page)
        // Traffic goes on by itself; a few steps of it, so that the feed shows what it is for.
        await page.locator('.feed-line').nth(7).waitFor({ timeout: 60_000 })
        await page.getByRole('heading', { name: 'Deepest queues' }).evaluate(found => found.scrollIntoView())
        await page.mouse.wheel(0, -80)
      },
    },
    { name: 'devices', caption: 'Devices', path: '/devices', forms: ['wide', 'narrow'] },
    { name: 'devices-waiting', caption: 'Devices with the deepest queues', path: '/devices?order=waiting' },
    {
      ...{ name: 'device-queue', caption: 'One device: its queue, live', path: queue },
      ...{ before: () => scene.fill(busy, orders), forms: ['wide', 'chinese', 'narrow'] },
    },
    {
      ...{ name: 'cancel-all', caption: 'Cancel all: before it is done', path: queue },
      on: page => button(page, /^Cancel all/).click(),
    },
    {
      ...{ name: 'cancel-all-result', caption: 'Cancel all: what came of it', path: queue },
      on: async page => {
        await button(page, /^Cancel all/).click()
        await button(page, /^Cancel \d/).click()
        await page.getByText('What came of it').waitFor()
      },
    },
    {
      ...{ name: 'device-away', caption: 'One device that is away', path: `/devices/${away.assetId}` },
    },
    {
      ...{ name: 'history', caption: 'One device: its history', forms: ['wide', 'chinese'] },
      path: `/devices/${byKey('nt-ahu-05').assetId}?tab=history`,
    },
    {
      ...{ name: 'send', caption: 'Send a command, with a fault at its field', forms: ['wide', 'chinese'] },
      path: `/devices/${form.assetId}?tab=send&invoke=calibrate`,
      on: async page => {
        const field = page.getByRole('textbox', { name: /^(Passes|次数)/ })
        await field.fill('12')
        await page.locator('.send-form button[type=submit]').click()
      },
    },
    {
      ...{ name: 'command-waiting', caption: 'A command that waits, and why', path: `/commands/${waitingId}` },
      forms: ['wide', 'chinese', 'narrow'],
    },
    { name: 'command-done', caption: 'A command that is done', path: `/commands/${doneId}` },
    { name: 'jobs', caption: 'Jobs', path: '/fleet', forms: ['wide', 'chinese'] },
    { name: 'job', caption: 'One job with its tasks', path: `/fleet/jobs/${jobId}` },
    {
      ...{ name: 'cancel-by-filter', caption: 'Cancel by filter: which commands' },
      path: '/fleet/cancellations/new?measurepointId=setpoint&olderThanS=60',
    },
    {
      ...{ name: 'dry-run', caption: 'Cancel by filter: the dry run' },
      path: `/fleet/cancellations/new?dryRun=${dryRun.cancellationId}`,
      on: page => button(page, /^Cancel (these|this)/).waitFor(),
    },
    {
      ...{ name: 'cancellation', caption: 'Cancel by filter: what came of it' },
      before: async () => {
        await scene.fill(second, setpoints)
        Object.assign(cancelled, await operator.cancellations.create(filter))
      },
      get path() {
        return `/fleet/cancellations/${cancelled.cancellationId}`
      },
    },
    {
      ...{ name: 'disconnected', caption: 'The server is gone', path: queue },
      before: () => scene.fill(busy, orders),
      on: async page => {
        await page.locator('[data-command-id]').first().waitFor()
        await scene.goAway()
        await page.locator('header [data-connection=lost]').waitFor()
      },
    },
  ]
}

/** Both charts, whose code comes after the page. */
const drawn = (page: Page) => page.locator('canvas').nth(1).waitFor()
