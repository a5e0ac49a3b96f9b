// Names as people read them (StringI18n `{defaultValue, i18nValue: {locale: name}}`) and how a search compares them. Not the search grammar.

/** A name that tools print in a line: not blank, and without what moves, hides or turns the text around it (control, format and separator characters). */
export const isPrintedName = (text: string): boolean =>
  text.trim() !== '' && !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text)

/** The two spellings of "the default name" in search expressions. */
const isDefault = (locale: string): boolean => locale === 'default' || locale === 'defaultValue'

/**
 * True when a name contains `text`, ignoring case in every script, or with `exact` is `text` to the letter.
 * `nameJson` is a StringI18n as JSON text. `locale` null looks at all of its names, 'default' or 'defaultValue' at its defaultValue,
 * any other at that locale's name, or at defaultValue where the locale has none or an empty one.
 * Every store uses this very function, so that a search finds the same rows everywhere.
 */
export function nameMatches(nameJson: string, locale: string | null, text: string, exact: boolean): boolean {
  const names = candidates(JSON.parse(nameJson), locale)
  if (exact) return names.includes(text)
  const wanted = text.toLowerCase()
  return names.some(name => name.toLowerCase().includes(wanted))
}

/** The names to look at. Whatever is not text is no name; a record without a default name has an empty one. */
function candidates(name: unknown, locale: string | null): string[] {
  const { defaultValue, i18nValue } = Object(name) as { defaultValue?: unknown; i18nValue?: unknown }
  const fallback = typeof defaultValue === 'string' ? defaultValue : ''
  const isName = (entry: [string, unknown]): entry is [string, string] =>
    typeof entry[1] === 'string' && entry[1] !== ''
  const translated = Object.entries(Object(i18nValue) as Record<string, unknown>).filter(isName)
  if (locale === null) return [fallback, ...translated.map(([, text]) => text)]
  if (isDefault(locale)) return [fallback]
  return [translated.find(([of]) => of === locale)?.[1] ?? fallback]
}
