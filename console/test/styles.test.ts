// Style files stay in the window once a page has brought them, so what one folder calls by a name must not change what another calls by the same. Read as
// texts. Not here: what anything looks like.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'

const root = join(import.meta.dirname, '../src')
const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.css'))
  .map(file => ({ file, text: readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '') }))
  .sort((one, other) => (one.file < other.file ? -1 : 1))

/** Selectors that stand within no other one; those in `@media` and its like count as if they stood outside of it. */
function outermost(text: string): readonly string[] {
  const found: string[] = []
  const open: ('at' | 'rule')[] = []
  for (const [, before = '', brace] of text.matchAll(/([^{};]*)([{};])/g)) {
    if (brace === '}') open.pop()
    if (brace !== '{') continue
    const head = before.trim()
    const isRule = !head.startsWith('@')
    if (isRule && !open.includes('rule') && !/^((from|to)\b|\d+%)/.test(head)) found.push(...selectorsIn(head))
    open.push(isRule ? 'rule' : 'at')
  }
  expect(open).toEqual([])
  return found
}

/** `a, :is(b, c) d` is `a` and `:is(b, c) d`. */
const selectorsIn = (head: string): readonly string[] => head.split(/,(?![^(]*\))/).map(one => one.trim())
const classesIn = (selector: string): readonly string[] => selector.match(/(?<=\.)[a-z][\w-]*/gi) ?? []
/** What a selector is for is narrowed to within this: its first class, or classes. */
const scopeOf = (selector: string): readonly string[] =>
  classesIn(/^[^ >+~]*(\([^)]*\))?[^ >+~]*/.exec(selector)?.[0] ?? '')

/** Of elements as such, and of parts of pages: whoever names these narrows them by a name of their own. */
const isShared = (file: string) => dirname(file) === 'style'
/** Cancelling stands on two pages, and its styles say so. */
const ON_TWO_PAGES = 'device/cancel.css'

it('there are styles to look at', () => {
  expect(files.length).toBeGreaterThan(10)
  expect(
    outermost('.a { .b { } @media print { .c { } } } @media print { .d, .e:is(.f, .g) p { } } @keyframes k { to { } }'),
  ).toEqual(['.a', '.d', '.e:is(.f, .g) p'])
})

describe.each(files)('$file', ({ file, text }) => {
  const own = [...new Set(outermost(text).flatMap(scopeOf))]

  it.skipIf(isShared(file))('is narrowed by names', () => {
    for (const selector of outermost(text)) expect(scopeOf(selector), selector).not.toEqual([])
  })

  it.skipIf(file === ON_TWO_PAGES)('has these names for itself', () => {
    const others = files.filter(other => other.file !== file && other.file !== ON_TWO_PAGES)
    const theirs = new Set(others.flatMap(other => outermost(other.text).flatMap(scopeOf)))
    expect(own.filter(name => theirs.has(name))).toEqual([])
  })
})
