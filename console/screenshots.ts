// The pictures of docs/console: each page and state in both themes, some in Chinese and on a narrow screen too, of a fleet with an hour behind it; and the page
// that lists them. `npm run screenshots` makes them anew; look at each afterwards. Not here: which there are (scene/shots.ts), the fleet (scene/present.ts).
// Chinese needs a font that has it, such as Debian's fonts-wqy-microhei.

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { Scene } from './scene/present.ts'
import { type Form, type Shot, shotsOf } from './scene/shots.ts'
import { launch } from './test/rig/browser.ts'

const folder = join(import.meta.dirname, '../docs/console')
const themes = ['light', 'dark'] as const
type Theme = (typeof themes)[number]
const forms: Readonly<
  Record<Form, { readonly suffix: string; readonly words: string; readonly locale: string; readonly width: number }>
> = {
  wide: { suffix: '', words: '', locale: 'en-GB', width: 1280 },
  chinese: { suffix: '-zh', words: ', in Chinese', locale: 'zh-CN', width: 1280 },
  narrow: { suffix: '-narrow', words: ', narrow', locale: 'en-GB', width: 390 },
}
const HEIGHT = 800
/** bytes of all pictures, which everybody who clones gets, in each version that they ever had */
const ALL_MAX_BYTES = 6_000_000

const fileOf = ({ name }: Shot, form: Form, theme: Theme): string => `${name}${forms[form].suffix}-${theme}.png`

/** Somebody who is signed in, or not. */
async function reader(browser: Browser, form: Form, operatorToken: string | null): Promise<BrowserContext> {
  const { locale, width } = forms[form]
  const viewport = { width, height: HEIGHT }
  const context = await browser.newContext({ locale, viewport, timezoneId: 'Asia/Shanghai', reducedMotion: 'reduce' })
  if (operatorToken !== null)
    await context.addInitScript(token => sessionStorage.setItem('downlink.operatorToken', token), operatorToken)
  return context
}

/** Nothing is on its way any more, and what has come has been painted. */
async function settled(page: Page): Promise<void> {
  await page.getByRole('heading', { level: 1 }).first().waitFor()
  await page.waitForFunction(() => document.querySelector('.spinner, .loading') === null)
  await page.evaluate(() => document.fonts.ready)
  await page.evaluate(() => new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve))))
}

/** Both themes of one moment: the page is asked for once, and drawn twice. */
async function take(context: BrowserContext, scene: Scene, shot: Shot, form: Form): Promise<number> {
  const page = await context.newPage()
  try {
    await page.goto(scene.server.page(shot.path))
    await settled(page)
    await shot.on?.(page)
    await page.mouse.move(0, 0)
    let bytes = 0
    for (const theme of themes) {
      await page.emulateMedia({ colorScheme: theme })
      await settled(page)
      const file = fileOf(shot, form, theme)
      bytes += (await page.screenshot({ path: join(folder, file), animations: 'disabled' })).length
      console.log(file)
    }
    return bytes
  } finally {
    await page.close()
  }
}

function index(shots: readonly Shot[]): string {
  const rows = shots.flatMap(shot =>
    (shot.forms ?? ['wide']).map(form => {
      const links = themes.map(theme => `[${theme}](${fileOf(shot, form, theme)})`)
      return `| ${shot.caption}${forms[form].words} | ${links.join(' | ')} |`
    }),
  )
  return `# Pictures of the console

Made by \`npm run screenshots\`, which writes this page too: a fleet of 63 devices with an hour behind it, real devices that answer, fail and are away, and an operator who is signed in. Each in light and in dark.

| page | light | dark |
| --- | --- | --- |
${rows.join('\n')}
`
}

async function run(): Promise<void> {
  const scene = await Scene.set()
  const browser = await launch()
  try {
    const shots = await shotsOf(scene)
    mkdirSync(folder, { recursive: true })
    // What is not taken any more goes.
    for (const name of readdirSync(folder)) if (name.endsWith('.png')) rmSync(join(folder, name))
    const readers = new Map<string, BrowserContext>()
    let bytes = 0
    for (const shot of shots) {
      await shot.before?.()
      for (const form of shot.forms ?? ['wide']) {
        const key = `${form} ${shot.isSignedOut === true}`
        const token = shot.isSignedOut === true ? null : scene.operatorToken
        const context = readers.get(key) ?? (await reader(browser, form, token))
        readers.set(key, context)
        bytes += await take(context, scene, shot, form)
      }
    }
    writeFileSync(join(folder, 'README.md'), index(shots))
    console.log(`${(bytes / 1_000_000).toFixed(1)} MB in all`)
    if (bytes > ALL_MAX_BYTES) throw new Error(`the pictures have ${bytes} bytes, and may have ${ALL_MAX_BYTES}`)
  } finally {
    await browser.close()
    await scene.strike()
  }
}

await run()
