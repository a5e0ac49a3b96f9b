// A real browser: one for each test file, a context of its own for each page. Whatever a page prints as an error, or is refused by its policy, fails the test
// that opened it. Not here: the server (server.ts).

import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { delimiter, join } from 'node:path'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect } from 'vitest'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
/** Debian's chromium, or what stands in its place; undefined: there is none, and nothing of the console can be tested. */
export const chromiumPath = (): string | undefined =>
  process.env.CHROMIUM ??
  (process.env.PATH ?? '')
    .split(delimiter)
    .flatMap(folder => names.map(name => join(folder, name)))
    .find(existsSync)

export async function launch(): Promise<Browser> {
  const executablePath = chromiumPath()
  if (executablePath === undefined) throw new Error('there is no chromium on this machine: apt-get install chromium')
  // As root, chromium runs without its sandbox only. Nothing but our own pages is opened.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })
}

export interface PageOptions extends BrowserContextOptions {
  /** lines that the page may print as errors: what a browser says by itself of a call that fails */
  readonly expected?: RegExp
}

/** Pages for the tests of a file. Call it at the file's top level. */
export function useBrowser(): (url: string, options?: PageOptions) => Promise<Page> {
  let browser: Browser | null = null
  const faults: string[] = []
  beforeAll(async () => {
    browser = await launch()
  })
  afterAll(async () => browser?.close())
  afterEach(async () => {
    await Promise.all((browser?.contexts() ?? []).map(context => context.close()))
    expect(faults.splice(0), 'errors of pages').toEqual([])
  })
  return async (url, { expected, ...options } = {}) => {
    if (browser === null) throw new Error('there is no browser yet')
    const defaults = { locale: 'en-US', colorScheme: 'light', viewport: { width: 1280, height: 800 } } as const
    const page = await (await browser.newContext({ ...defaults, ...options })).newPage()
    page.on('pageerror', error => faults.push(String(error.stack)))
    page.on('console', message => {
      if (message.type() === 'error' && !expected?.test(message.text())) faults.push(message.text())
    })
    await page.goto(url)
    return page
  }
}

/** What a browser says of calls while the server is not there. */
export const NOT_THERE = /net::ERR_|status of 50[0-9]/

const axe = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** What axe finds on the page that hinders somebody, in a line each. */
export async function axeFaults(page: Page): Promise<string[]> {
  // Through the debugger's own channel, which no policy of the page forbids.
  await page.evaluate(await axe)
  const violations = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(options: object): Promise<{ violations: Violation[] }> } }
    return (await axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }))
      .violations
  })
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) =>
      nodes.map(({ html, failureSummary = '' }) => `${id}: ${help}: ${html} ${failureSummary}`),
    )
}
interface Violation {
  readonly id: string
  readonly help: string
  readonly impact: string | null
  readonly nodes: readonly { readonly html: string; readonly failureSummary?: string }[]
}
