// The form that sends a device a command, as somebody uses it: every kind of field, what is wrong with it, what the device got, what became of it, and that a lost
// answer sends nothing twice. Not here: the rules of values, without a browser (send-values.test.ts).

import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Downlink } from '../../packages/client/src/index.ts'
import type { TestDevice } from '../../test/rig/server.ts'
import { axeFaults, NOT_THERE, useBrowser } from './rig/browser.ts'
import { FREE, fleetFile, PUMPS, type TestedDevice } from './rig/fleet.ts'
import { TestServer } from './rig/server.ts'

const open = useBrowser()
let server: TestServer
let client: Downlink
beforeAll(async () => {
  server = await TestServer.start({ fleet: fleetWithMore(), args: ['--queue-cap', '300'] })
  client = server.client()
})
afterAll(() => server.stop())

const named = (en: string, zh: string) => ({ defaultValue: en, i18nValue: { en_US: en, zh_CN: zh } })
const schedule = {
  name: named('Schedule', '时间表'),
  dataType: 'STRUCT',
  dataDefinition: {
    items: [
      { identifier: 'from', name: named('From', '开始'), dataType: 'DATE', required: true },
      { identifier: 'limit', dataType: 'INT', dataDefinition: { min: 0, max: 100 } },
      { identifier: 'days', name: named('Days', '日期'), dataType: 'ARRAY', dataDefinition: { itemType: 'STRING' } },
    ],
  },
}
const measure = {
  name: named('Measure', '测量'),
  inputData: [{ identifier: 'file', name: named('Certificate', '证书'), dataType: 'FILE' }],
  outputData: [
    { identifier: 'offset', name: named('Offset', '偏移'), dataType: 'DOUBLE', unit: { unitId: 'bar' } },
    {
      ...{ identifier: 'grade', name: named('Grade', '等级'), dataType: 'ENUM' },
      dataDefinition: { enumType: 'INT', enumDesc: { '1': named('Good', '良好'), '2': named('Poor', '较差') } },
    },
    {
      ...{ identifier: 'ok', name: named('Passed', '通过'), dataType: 'BOOL' },
      dataDefinition: { boolDesc: { true: 'passed', false: 'failed' } },
    },
  ],
}
const TESTED = 60

/** The fleet of all tests, with the kinds of fields that its model lacks, devices of a product of its own, and as many of both products as there are tests. */
function fleetWithMore(): string {
  const fleet = JSON.parse(fleetFile(TESTED))
  const [organization] = fleet.organizations
  const [model] = organization.models
  model.measurepoints.schedule = schedule
  model.services.measure = measure
  const free = organization.devices.find(({ productKey }: TestedDevice) => productKey === FREE)
  organization.devices.push({ ...free, assetId: 'fRe3Two2', deviceKey: 'bench_02', deviceSecret: 'secret-of-bench_02' })
  return JSON.stringify(fleet)
}

let used = 0
/** a device that no other test has */
function another(): TestedDevice {
  used += 1
  const digits = String(used).padStart(5, '0')
  return { assetId: `a${digits}`, productKey: PUMPS, deviceKey: `d${digits}` }
}

const look = (of: TestedDevice, query = '', options = {}) =>
  open(server.page(`/devices/${of.assetId}?tab=send${query}`), options)
/** A device that is there, and its form. */
async function both(query: string, answer?: TestDevice['answer'], options = {}) {
  const of = another()
  const device = await server.connect(of, answer)
  const page = await look(of, query, options)
  return { of, device, page }
}

const box = (page: Page, name: RegExp | string) => page.getByRole('textbox', { name })
const sendNow = (page: Page) => page.getByRole('button', { name: 'Send now' })
const good = (page: Page) => page.getByRole('status').filter({ hasText: 'Command' })
/** The command that the result links to. */
const idIn = async (page: Page, role: 'status' | 'alert'): Promise<string> => {
  const link = page.getByRole(role).getByRole('link', { name: /Command \d{19}/ })
  return /\d{19}/.exec(await link.innerText())?.[0] ?? ''
}
/** What stands at a field: its rule and its fault, as who cannot see it is told. */
const described = (page: Page, name: RegExp | string): Promise<string> =>
  box(page, name).evaluate(field =>
    (field.getAttribute('aria-describedby') ?? '')
      .split(' ')
      .map(id => document.getElementById(id)?.textContent ?? '')
      .join(' '),
  )

describe('what can be sent', () => {
  it('is offered by its name in the reader’s language, what cannot be set is not, and the address leads to it again', async () => {
    const page = await look(another(), '', { locale: 'zh-CN' })
    await page.getByRole('radio', { name: /^模式/ }).waitFor()
    expect(await page.getByRole('radio', { name: /温度 temperature/ }).count()).toBe(0)
    await page.getByPlaceholder('按名称或标识符查找').fill('Reboot')
    expect(await page.getByRole('radio', { name: /^模式/ }).count()).toBe(0)
    await page.getByRole('radio', { name: /^重启/ }).check()
    await box(page, /^延时/).waitFor()
    expect(new URL(page.url()).search).toBe('?tab=send&invoke=reboot')
    await page.reload()
    await box(page, /^延时/).waitFor()
  })

  it('can be chosen and sent by the keyboard alone', async () => {
    const { device, page } = await both('')
    await page.getByRole('radio', { name: /^Setpoint/ }).focus()
    await page.keyboard.press('ArrowDown')
    await box(page, /^Int value/).waitFor()
    await page.keyboard.press('Tab')
    await page.keyboard.type('12')
    await page.keyboard.press('Enter')
    await good(page).getByText('The device has set it').waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([{ Int_value: 12 }])
  })

  it('says what the model does not have', async () => {
    const page = await look(another(), '&set=temperature')
    await page.getByText('The model has no temperature, or it cannot be set.').waitFor()
  })
})

describe('a value', () => {
  it('that is wrong is told at its field when that is left, and again when it is to be sent; nothing goes out', async () => {
    const { of, device, page } = await both('&set=setpoint')
    const field = box(page, /^Setpoint/)
    await field.fill('36')
    expect(await field.getAttribute('aria-invalid')).toBe('false')
    await field.blur()
    await page.getByText('Must be 5 to 35.').waitFor()
    expect(await field.getAttribute('aria-invalid')).toBe('true')
    expect(await described(page, /^Setpoint/)).toContain('Must be 5 to 35.')
    await sendNow(page).click()
    await page.getByText('One field needs your attention.').waitFor()
    expect(await field.evaluate(element => element === document.activeElement)).toBe(true)
    await field.fill('warm')
    await page.getByText('A number, such as 12 or -0.5.').waitFor()
    expect((await client.searchPage({ assetId: of.assetId })).commands).toEqual([])
    expect(device.received).toEqual([])
  })

  it('that fits goes out as it was typed, and the result leads to the command', async () => {
    const { device, page } = await both('&set=setpoint')
    await box(page, /^Setpoint/).fill('21.50')
    await sendNow(page).click()
    await good(page).getByText('The device has set it').waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([{ setpoint: 21.5 }])
    const id = await idIn(page, 'status')
    expect(await client.record(id)).toMatchObject({ state: 5, inputData: 21.5, pendingTtl: 0, timeout: 30 })
    await page.getByRole('status').getByRole('link', { name: id }).click()
    expect(new URL(page.url()).pathname).toBe(`/console/commands/${id}`)
  })

  it('that would be rounded on its way is refused at its field', async () => {
    const page = await look(another(), '&set=Int_value')
    await box(page, /^Int value/).fill('9007199254740993')
    await box(page, /^Int value/).blur()
    await page.getByText('this one would be rounded').waitFor()
  })

  it('of a choice is sent as the model says, whatever its name', async () => {
    const { device, page } = await both('&set=mode', undefined, { locale: 'zh-CN' })
    await page.getByRole('combobox', { name: /^模式/ }).selectOption('手动 (2)')
    await page.getByRole('button', { name: '立即下发' }).click()
    await page.getByText('设备已完成设置').waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([{ mode: 2 }])
  })

  it('of true or false has to be chosen', async () => {
    const { device, page } = await both('&set=enabled')
    await sendNow(page).click()
    await page.getByText('Choose one of them.').waitFor()
    expect(
      await page.getByRole('radio', { name: 'true' }).evaluate(element => element === document.activeElement),
    ).toBe(true)
    await page.getByRole('radio', { name: 'false' }).check()
    await sendNow(page).click()
    await good(page).waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([{ enabled: false }])
  })

  it('of a text counts its characters, and may be empty where that is meant', async () => {
    const { device, page } = await both('&set=label')
    await box(page, /^Label/).fill('🙂'.repeat(33))
    await box(page, /^Label/).blur()
    await page.getByText('33 characters; at most 32.').waitFor()
    await box(page, /^Label/).fill('')
    await page.getByText('This is needed.').waitFor()
    await page.getByLabel('Send it as an empty text').check()
    await sendNow(page).click()
    await good(page).waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([{ label: '' }])
  })

  it('of a struct has its fields, with a day that the device reads by its own clock', async () => {
    const { device, page } = await both('&set=schedule')
    await box(page, /^From/).fill('2026-02-30')
    await box(page, /^limit/).fill('101')
    await sendNow(page).click()
    await page.getByText('There is no such day or time.').waitFor()
    await page.getByText('Must be 0 to 100.').waitFor()
    await box(page, /^From/).fill('2026-02-28 08:00:00')
    await box(page, /^limit/).fill('')
    await page.getByText('Sent as "2026-02-28 08:00:00"').waitFor()
    await page.getByLabel('Send Days').check()
    // A new item has the focus: one types on.
    for (const value of ['周一', 'Fri']) {
      await page.getByRole('button', { name: 'Add an item' }).click()
      await page.keyboard.type(value)
    }
    await sendNow(page).click()
    await good(page).waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([
      { schedule: { from: '2026-02-28 08:00:00', days: ['周一', 'Fri'] } },
    ])
  })
})

describe('a service', () => {
  it('begins with the defaults of its model, takes lists and times, and leaves out what is blank', async () => {
    const { device, page } = await both('&invoke=calibrate', undefined, { timezoneId: 'Europe/Berlin' })
    await page.getByText('default', { exact: true }).waitFor()
    await sendNow(page).click()
    expect(await box(page, /^Reference/).evaluate(element => element === document.activeElement)).toBe(true)
    await box(page, /^Reference/).fill('1.5')
    await box(page, /^Begin at/).fill('2026-03-29 02:30')
    await page.getByLabel('Send Points').check()
    for (const value of ['1', '2.5', '3'])
      await page
        .getByRole('button', { name: 'Add an item' })
        .click()
        .then(() => page.keyboard.type(value))
    await page.getByRole('button', { name: 'Remove item 1' }).click()
    await page.getByText('Clocks skip this time on that day').waitFor()
    await box(page, /^Begin at/).fill('2026-03-29 03:30')
    const at = Date.UTC(2026, 2, 29, 1, 30)
    await page.getByText(`Sent as ${at}`).waitFor()
    await sendNow(page).click()
    await good(page).getByText('The device has answered').waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([
      { reference: 1.5, passes: 3, at, points: [2.5, 3] },
    ])
  })

  it('shows what the device answered by its names', async () => {
    const data = { offset: 0.25, grade: 2, ok: true, more: [1] }
    const answer: TestDevice['answer'] = ({ payload }) => ({ id: payload.id, code: 200, data })
    const { page } = await both('&invoke=measure', answer, { locale: 'zh-CN' })
    await page.getByRole('button', { name: '立即下发' }).click()
    const outputs = page.locator('dl.send-outputs')
    await outputs.waitFor()
    const lines = await outputs.locator('dt, dd').allInnerTexts()
    expect(lines.map(line => line.replace(/\s+/g, ' '))).toEqual([
      ...['偏移 offset', '0.25 bar', '等级 grade', '较差 2', '通过 ok', 'passed true', 'more', '[1]'],
    ])
  })

  it('that the device refuses is told with its code and its words', async () => {
    const answer: TestDevice['answer'] = ({ payload }) => ({ id: payload.id, code: 1407, message: 'valve is stuck' })
    const { page } = await both('&invoke=reboot', answer)
    await sendNow(page).click()
    const told = page.getByRole('alert')
    await told.getByText('The device refused it with code 1407').waitFor()
    await told.getByText('valve is stuck').waitFor()
    expect((await client.record(await idIn(page, 'alert'))).state).toBe(6)
  })

  it('that the device does not answer is waited for as long as was said, and may have been carried out', async () => {
    const { page } = await both('&invoke=reboot', () => undefined)
    await box(page, 'Time to answer').fill('61')
    await sendNow(page).click()
    await page.getByText('Must be 1 to 60.').waitFor()
    await box(page, 'Time to answer').fill('2')
    await sendNow(page).click()
    await page.getByText('Waiting for the device’s answer').waitFor()
    await page.getByRole('alert').getByText('The device has not answered in time').waitFor()
    expect((await client.record(await idIn(page, 'alert'))).state).toBe(7)
  })
})

describe('a device that is not there', () => {
  it('has its command queued for an hour, unless somebody chooses otherwise', async () => {
    const page = await look(another(), '&set=Int_value')
    await page.getByText('The device has never connected: the command waits for it.').waitFor()
    await box(page, /^Int value/).fill('5')
    await page.getByRole('button', { name: 'Queue for 1 h' }).click()
    await page.getByText('It is in the queue').waitFor()
    expect(await client.record(await idIn(page, 'status'))).toMatchObject({ state: 1, pendingTtl: 3600, inputData: 5 })
    await page.getByRole('radio', { name: 'other' }).check()
    await box(page, 'Time that it is kept').fill('90')
    await page.getByRole('combobox', { name: 'Unit' }).selectOption('minutes')
    await page.getByRole('button', { name: 'Queue for 1 h 30 min' }).click()
    await expect
      .poll(() =>
        idIn(page, 'status')
          .then(id => client.record(id))
          .then(({ pendingTtl }) => pendingTtl),
      )
      .toBe(5400)
  })

  it('refuses what is to go out now, which is on record, and is queued instead with one click', async () => {
    const of = another()
    const device = await server.connect(of)
    await device.end()
    const page = await look(of, '&set=Int_value')
    await page.getByText('The device is offline: the command waits for it.').waitFor()
    await page.getByRole('radio', { name: /^Now/ }).check()
    await page.getByText('would be refused and recorded as failed').waitFor()
    await box(page, /^Int value/).fill('5')
    await sendNow(page).click()
    await page.getByRole('alert').getByText('Not sent: the device is offline').waitFor()
    expect((await client.record(await idIn(page, 'alert'))).state).toBe(6)
    await page.getByRole('button', { name: 'Queue it instead' }).click()
    await page.getByRole('button', { name: 'Queue for 1 h' }).click()
    await page.getByText('It is in the queue').waitFor()
  })
})

describe('a form that is being filled in', () => {
  it('keeps what was typed, and when it goes out, while the device comes and goes and somebody looks elsewhere', async () => {
    const { device, page } = await both('&set=label')
    await box(page, /^Label/).fill('half a wo')
    await device.end()
    await page.getByText('The device is offline, so a command for now would be refused').waitFor()
    expect(await box(page, /^Label/).inputValue()).toBe('half a wo')
    await sendNow(page).waitFor()
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.goBack()
    await expect.poll(() => box(page, /^Label/).inputValue()).toBe('half a wo')
    await page.getByRole('radio', { name: /^Setpoint/ }).check()
    await page.getByRole('radio', { name: /^Label/ }).check()
    expect(await box(page, /^Label/).inputValue()).toBe('half a wo')
  })

  it('shows the answer to who looked elsewhere meanwhile', async () => {
    const answers: (() => void)[] = []
    const { device, page } = await both('&invoke=reboot', ({ topic, payload }) => {
      answers.push(() =>
        device.client.publish(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200, data: { ok: true } }), {
          qos: 1,
        }),
      )
      return undefined
    })
    await sendNow(page).click()
    await page.getByText('Waiting for the device’s answer').waitFor()
    await page.getByRole('link', { name: 'Overview' }).click()
    await device.count(1)
    for (const answer of answers) answer()
    await page.goBack()
    await good(page).getByText('The device has answered').waitFor()
  })

  it('shows the request, and command lines that make the same', async () => {
    const page = await look(another(), '&invoke=reboot')
    await page.getByText('The request', { exact: true }).click()
    await box(page, /^Delay/).fill('5')
    await page.getByText(/^POST \/connect-service\/v2\.1\/commands\?action=invokeService&/).waitFor()
    await page.getByText(`--invoke reboot --input '{"delay":5}'`).waitFor()
  })

  it('is filled in as an earlier command was', async () => {
    const of = another()
    const { commandId } = await client.invokeService(
      { assetId: of.assetId },
      'calibrate',
      { reference: 2.5, passes: 7, points: [1, 2] },
      { pendingTtl: 5400, timeout: 9 },
    )
    const page = await look(of, `&like=${commandId}`)
    await page.getByText(`Filled in as in command ${commandId}.`).waitFor()
    expect(await box(page, /^Reference/).inputValue()).toBe('2.5')
    expect(await box(page, /^Passes/).inputValue()).toBe('7')
    expect(await box(page, 'Item 2').inputValue()).toBe('2')
    expect(await box(page, 'Time to answer').inputValue()).toBe('9')
    expect(new URL(page.url()).search).toBe('?tab=send&invoke=calibrate')
    await page.getByRole('button', { name: 'Queue for 1 h 30 min' }).click()
    await page.getByText('It is in the queue').waitFor()
    const [again, first] = (await client.queue(of.assetId)).commands.map(({ inputData, pendingTtl, timeout }) => ({
      inputData,
      pendingTtl,
      timeout,
    }))
    expect(again).toEqual(first)
  })

  it('is filled in as far as the model takes it, and says of what it does not', async () => {
    const free = { assetId: 'fRe3Two2' }
    const inputs = { reference: 2, passes: 'many', gone: true }
    const { commandId } = await client.invokeService(free, 'calibrate', inputs, { pendingTtl: 600 })
    const page = await look(another(), `&like=${commandId}`)
    await page.getByText('The model does not take this of it any more: gone, passes.').waitFor()
    expect(await box(page, /^Reference/).inputValue()).toBe('2')
    expect(await box(page, /^Passes/).inputValue()).toBe('')
    const unknown = await client.invokeService(free, 'dance', {}, { pendingTtl: 600 })
    await page.goto(server.page(`/devices/${another().assetId}?tab=send&like=${unknown.commandId}`))
    await page.getByText('The model has no dance any more').waitFor()
    await client.cancelAll(free)
  })
})

describe('an answer that is lost', () => {
  it('leaves it open what became of the command; asking again sends nothing twice, and sending it once more does', async () => {
    const { device, page } = await both('&set=Int_value', undefined, { expected: NOT_THERE })
    await page.route(/action=setMeasurepoint/, async route => {
      await route.fetch()
      await route.abort('connectionreset')
    })
    await box(page, /^Int value/).fill('5')
    await sendNow(page).click()
    await page.getByRole('alert').getByText('It is not known whether it was sent').waitFor({ timeout: 20_000 })
    await page.unroute(/action=setMeasurepoint/)
    await page.getByRole('button', { name: 'Ask again' }).click()
    await good(page).getByText('The device has set it').waitFor()
    const id = await idIn(page, 'status')
    expect(device.ids()).toEqual([id])
    // What is known to have been done is a new command when it is sent again.
    await sendNow(page).click()
    await expect.poll(() => device.ids().length).toBe(2)
    await expect.poll(() => idIn(page, 'status')).not.toBe(id)
  })
})

describe('an answer that is lost while the device goes away', () => {
  it('is asked for again, and no other command goes out, though nobody has chosen when', async () => {
    const { device, page } = await both('&invoke=reboot', undefined, { expected: NOT_THERE })
    const keys: (string | undefined)[] = []
    await page.route(/action=invokeService/, async route => {
      keys.push(route.request().headers()['idempotency-key'])
      await route.fetch()
      await route.abort('connectionreset')
    })
    await sendNow(page).click()
    await page.getByRole('alert').getByText('It is not known whether it was sent').waitFor({ timeout: 20_000 })
    await page.unroute(/action=invokeService/)
    await device.end()
    await page.getByText('The device is offline').first().waitFor()
    const again = page.waitForRequest(/action=invokeService/)
    await page.getByRole('button', { name: 'Ask again' }).click()
    expect(new Set([...keys, (await again).headers()['idempotency-key']]).size).toBe(1)
    await good(page).getByText('The device has answered').waitFor()
    expect(device.ids()).toEqual([await idIn(page, 'status')])
  })
})

describe('the server', () => {
  it('is the judge: what it refuses is shown at the field that it names, until that is changed', async () => {
    const fleet = JSON.parse(fleetWithMore())
    const [model] = fleet.organizations[0].models
    const own = await TestServer.start({ fleet: JSON.stringify(fleet) })
    try {
      const of = { assetId: 'a00001', productKey: PUMPS, deviceKey: 'd00001' }
      await own.connect(of)
      const page = await open(own.page(`/devices/${of.assetId}?tab=send&invoke=calibrate`), { expected: NOT_THERE })
      await box(page, /^Reference/).fill('30')
      await box(page, /^Passes/).fill('4')
      // The model becomes narrower while somebody has the form before them.
      model.services.calibrate.inputData[0].dataDefinition = { max: 10 }
      const query = { action: 'update', modelId: model.modelId }
      await own.client().request({ method: 'POST', path: '/model-service/v2.1/thing-models', query, body: model })
      await sendNow(page).click()
      await page.getByText('must be a DOUBLE of at most 10, got 30').waitFor()
      expect(await described(page, /^Reference/)).toContain('The server: must be a DOUBLE of at most 10')
      expect(await box(page, /^Reference/).evaluate(element => element === document.activeElement)).toBe(true)
      await box(page, /^Passes/).fill('5')
      expect(await box(page, /^Reference/).getAttribute('aria-invalid')).toBe('true')
      await box(page, /^Reference/).fill('9')
      expect(await box(page, /^Reference/).getAttribute('aria-invalid')).toBe('false')
      await sendNow(page).click()
      await good(page).waitFor()
    } finally {
      await own.stop()
    }
  })
})

describe('a product without a model', () => {
  it('takes any JSON for any identifier; what is no JSON is told at the field', async () => {
    const of = { assetId: 'fRe3Two2', productKey: FREE, deviceKey: 'bench_02' }
    const device = await server.connect(of)
    const page = await look(of)
    await page.getByText('has no thing model').waitFor()
    await box(page, 'Measurepoint').fill('a b')
    await box(page, 'Value, as JSON').fill('{"low": 1')
    await sendNow(page).click()
    await page.getByText('Letters, digits and _ . - only; at most 64.').waitFor()
    await page.getByText(/^Not JSON: /).waitFor()
    await box(page, 'Measurepoint').fill('limits')
    await box(page, 'Value, as JSON').fill('{"low": 1, "low": 2}')
    await page.getByText('“low” is given twice.').waitFor()
    await box(page, 'Value, as JSON').fill('{"low": 1, "list": [true, null]}')
    await sendNow(page).click()
    await good(page).getByText('The device has set it').waitFor()
    await page.getByRole('radio', { name: 'Invoke a service' }).check()
    await box(page, 'Service').fill('self-test')
    await box(page, 'Inputs, as a JSON object').fill('')
    await sendNow(page).click()
    await good(page).getByText('The device has answered').waitFor()
    expect(device.received.map(({ payload }) => payload.params)).toEqual([
      { limits: { low: 1, list: [true, null] } },
      {},
    ])
  })
})

describe('nobody is hindered', () => {
  it.each([
    ['light', 'en-US', 1280],
    ['dark', 'zh-CN', 390],
  ] as const)('%s, %s, %i px wide', async (colorScheme, locale, width) => {
    const page = await look(another(), '&invoke=calibrate', { colorScheme, locale, viewport: { width, height: 900 } })
    const say =
      locale === 'zh-CN'
        ? { list: '下发测量点', add: '添加一项', send: /^加入队列/, request: '请求预览' }
        : { list: 'Send Points', add: 'Add an item', send: /^Queue/, request: 'The request' }
    await page.getByLabel(say.list).check()
    await page.getByRole('button', { name: say.add }).click()
    await page.getByText(say.request, { exact: true }).click()
    await page.getByRole('button', { name: say.send }).click()
    await page.locator('[aria-invalid=true]').first().waitFor()
    expect(await axeFaults(page)).toEqual([])
    const isWide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth)
    expect(isWide, 'the page scrolls sideways').toBe(false)
  })
})
