// What the reader has chosen, kept by the browser: language, light or dark, whose time. Not here: who is signed in (session.ts).

import { effect, type Signal, signal } from '@preact/signals'

export type Theme = 'light' | 'dark'
export type Zone = 'viewer' | 'device'

/** One choice of several, as the browser has kept it; null: none, and what the browser itself prefers holds. */
function kept<T extends string>(name: string, choices: readonly T[]): Signal<T | null> {
  const key = `downlink.${name}`
  const choice = signal<T | null>(choices.find(choice => choice === read(key)) ?? null)
  effect(() => write(key, choice.value))
  return choice
}

/** A browser may refuse storage altogether; then a choice holds until the page is closed. */
function read(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}
function write(key: string, value: string | null): void {
  try {
    if (value === null) localStorage.removeItem(key)
    else localStorage.setItem(key, value)
  } catch {
    // As above.
  }
}

export const preferences = {
  language: kept('language', ['en', 'zh'] as const),
  theme: kept<Theme>('theme', ['light', 'dark']),
  zone: kept<Zone>('zone', ['viewer', 'device']),
}

/** Styles go by it, and it is what a screenshot shows. */
effect(() => {
  const { theme } = preferences
  if (theme.value === null) document.documentElement.removeAttribute('data-theme')
  else document.documentElement.setAttribute('data-theme', theme.value)
})
