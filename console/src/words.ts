// The language: which one is spoken, words in both, numbers, and names of devices and commands in the reader's own. Words stand where they are used, in a
// words.ts per folder. Not here: times (clock.ts), what an error says (problem.tsx).

import type { StringI18n } from '@downlink/client'
import { computed } from '@preact/signals'
import { preferences } from './preferences.ts'

export type Language = 'en' | 'zh'

const ofBrowser = (): Language => (navigator.languages.some(tag => /^zh\b/i.test(tag)) && !leadsEnglish() ? 'zh' : 'en')
/** Which of the two comes first in the browser's order: a reader of French who has English before Chinese is shown English. */
const leadsEnglish = (): boolean => /^en\b/i.test(navigator.languages.find(tag => /^(en|zh)\b/i.test(tag)) ?? 'en')

/** The language of the console: the chosen one, or the browser's. */
export const language = computed<Language>(() => preferences.language.value ?? ofBrowser())

/** Words in both languages, of one shape. In a component `words()` is those of the language, and changes with it. */
export const inBoth =
  <W>(en: W, zh: NoInfer<W>) =>
  (): W =>
    language.value === 'zh' ? zh : en

/** The tag for Intl: with the browser's own region where it speaks the language. */
export const locale = computed(
  () =>
    navigator.languages.find(tag => tag.toLowerCase().startsWith(language.value)) ??
    (language.value === 'zh' ? 'zh-CN' : 'en'),
)

const numbers = computed(() => new Intl.NumberFormat(locale.value, { maximumFractionDigits: 1 }))
/** `12,345`; at most one digit after the point. */
export const number = (value: number): string => numbers.value.format(value)

/**
 * A name in the reader's language: the chosen language's, else by the browser's order, else the default. Keys are the vendor's (`zh_CN`, `en_US`); one of
 * the same language and another region is better than none.
 */
export function nameOf({ defaultValue, i18nValue }: StringI18n): string {
  const wanted = [...(preferences.language.value === null ? [] : [language.value]), ...navigator.languages]
  const names = Object.entries(i18nValue ?? {}).map(
    ([tag, name]) => [tag.replace('_', '-').toLowerCase(), name] as const,
  )
  for (const tag of wanted.map(tag => tag.toLowerCase())) {
    const exact = names.find(([name]) => name === tag)
    const near = names.find(([name]) => name.split('-')[0] === tag.split('-')[0])
    const found = exact ?? near
    if (found !== undefined && found[1] !== '') return found[1]
  }
  return defaultValue
}
