// The way in: straight in where nobody is asked for credentials; else with an application's secret or an operator's token, which the tab keeps and the server
// may end. Not here: what is offered once in (the pages' own tests).

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { axeFaults, useBrowser } from './rig/browser.ts'
import { ADMIN, devices, ORG } from './rig/fleet.ts'
import { ADMIN_TOKEN, TestServer } from './rig/server.ts'

const open = useBrowser()
let signed: TestServer
let server: TestServer
beforeAll(async () => {
  ;[signed, server] = await Promise.all([TestServer.start({ auth: 'signature' }), TestServer.start()])
})
afterAll(() => Promise.all([signed.stop(), server.stop()]))

/** a browser's own line of a call that was answered with HTTP 401 */
const REFUSED = /status of 401/

describe('in open mode', () => {
  it('lets in whoever comes, and says so', async () => {
    const page = await open(server.page())
    await page.getByRole('note').getByText('Open mode').waitFor()
    await page.getByRole('heading', { level: 1 }).waitFor()
    expect(await page.getByRole('button', { name: 'Sign out' }).count()).toBe(0)
  })

  it('leads from the root to the console, and from any of its paths to its page', async () => {
    const page = await open(server.url)
    expect(page.url()).toBe(server.page('/'))
    await page.goto(server.page('/devices/oxWwM9i5'))
    await page.getByRole('heading', { level: 1, name: /Pump one/ }).waitFor()
  })
})

describe('with an application', () => {
  const enter = async (secret: string) => {
    const page = await open(signed.page('/devices'), { expected: REFUSED })
    await page.getByLabel('Application key').check()
    await page.getByLabel('appKey').fill(ADMIN.appKey)
    await page.getByLabel('appSecret').fill(secret)
    await page.getByRole('button', { name: 'Sign in' }).click()
    return page
  }

  it('signs in the page itself, shows the page that was asked for, and keeps the secret nowhere', async () => {
    const page = await enter(ADMIN.appSecret)
    await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor()
    await page.getByText('Pump one').first().waitFor()
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
    )
    expect(kept).not.toContain(ADMIN.appSecret)
    await page.reload()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
  })

  it('says what is wrong with a secret', async () => {
    const page = await enter('wrong')
    await page.getByRole('alert').getByText(/1003/).first().waitFor()
    expect(await axeFaults(page)).toEqual([])
  })

  it('signs out', async () => {
    const page = await enter(ADMIN.appSecret)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByLabel('Operator token', { exact: true }).last().waitFor()
  })
})

describe('with an operator token', () => {
  const enter = async (token: string) => {
    const page = await open(signed.page(`/devices/${devices.one.assetId}`), { expected: REFUSED })
    await page.locator('input[name=operatorToken]').fill(token)
    await page.getByRole('button', { name: 'Sign in' }).click()
    return page
  }

  it('stays in over a reload, under the name of who it is', async () => {
    const page = await enter(await signed.operatorToken('anna'))
    await page.getByRole('heading', { level: 1, name: /Pump one/ }).waitFor()
    await page.getByText('anna', { exact: true }).waitFor()
    await page.reload()
    await page.getByRole('heading', { level: 1, name: /Pump one/ }).waitFor()
  })

  it('what is done stands in the record under that name', async () => {
    const { client } = { client: signed.client() }
    const page = await enter(await signed.operatorToken('ben'))
    await page.getByRole('heading', { level: 1, name: /Pump one/ }).waitFor()
    const { commandId } = await client.setMeasurepoint({ assetId: devices.one.assetId }, 'Int_value', 7, {
      pendingTtl: 600,
    })
    await page
      .locator(`[data-command-id="${commandId}"]`)
      .getByRole('button', { name: /Cancel/ })
      .click()
    await page
      .getByRole('dialog')
      .getByRole('button', { name: /Cancel (it|command|this)/i })
      .click()
    await expect.poll(async () => (await client.record(commandId)).state).toBe(2)
    const { events } = await client.timeline(commandId)
    expect(events.at(-1)?.by).toBe(`ben@${ORG}`)
  })

  it('an answer that comes late for who has left does not throw out who came after', async () => {
    const page = await enter(await signed.operatorToken('dora'))
    await page.getByRole('heading', { level: 1, name: /Pump one/ }).waitFor()
    const at = { assetId: devices.one.assetId }
    const { commandId } = await signed.client().setMeasurepoint(at, 'Int_value', 7, { pendingTtl: 600 })
    let answer: () => void = () => undefined
    const held = new Promise<void>(resolve => {
      answer = resolve
    })
    let isAsked = false
    await page.route(/action=cancel/, async route => {
      isAsked = true
      await held
      const body = { code: 1203, status: 1203, msg: 'ended', requestId: 'r', data: null }
      await route.fulfill({ status: 401, contentType: 'application/json', body: JSON.stringify(body) })
    })
    const row = page.locator(`[data-command-id="${commandId}"]`)
    await row.getByRole('button', { name: /^Cancel/ }).click()
    await page.getByRole('button', { name: /^Cancel it/ }).click()
    await expect.poll(() => isAsked).toBe(true)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.locator('input[name=operatorToken]').fill(await signed.operatorToken('emil'))
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('emil', { exact: true }).waitFor()
    const refused = page.waitForResponse(response => response.status() === 401)
    answer()
    await (await refused).finished()
    // Whatever follows from that answer has followed when the next one has come.
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
    expect(await page.getByText('emil', { exact: true }).count()).toBe(1)
    await page.reload()
    await page.getByText('emil', { exact: true }).waitFor()
    await signed.client().cancel(at, commandId)
  })

  it('is shown the door when the token ends, and told why', async () => {
    const page = await enter(await signed.operatorToken('carla'))
    await page.getByRole('heading', { level: 1, name: /Pump one/ }).waitFor()
    const removed = await fetch(`${signed.url}/v1/admin/organizations/${ORG}/applications/carla@${ORG}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${ADMIN_TOKEN}` },
    })
    expect(((await removed.json()) as { code: number }).code).toBe(0)
    await page.getByRole('link', { name: 'Overview' }).click()
    await page.getByText('Your session is over').waitFor()
    await page.reload()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
  })

  it('refuses one that was never given', async () => {
    const page = await enter(`dlo_${'x'.repeat(43)}`)
    await page.getByRole('alert').waitFor()
  })
})
