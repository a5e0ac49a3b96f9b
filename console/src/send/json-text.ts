// JSON that somebody types: what JSON.parse takes, less what it would change unseen: numbers that it rounds, keys that it drops. Pure.
// Not here: how deep or how large it may be, which the server says.

import { type NumberFault, readNumber } from './exact.ts'

export type JsonFault =
  /** `said` by the browser, in its own words */
  | { readonly fault: 'json'; readonly said: string }
  | { readonly fault: 'jsonNumber'; readonly literal: string; readonly why: NumberFault }
  | { readonly fault: 'jsonKey'; readonly key: string }

const TOKEN = /"(?:[^"\\]|\\.)*"|[-\d][-+.\deE]*|[{}[\]:]/g

export function readJson(text: string): { readonly value: unknown } | JsonFault {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return { fault: 'json', said: error instanceof Error ? error.message : String(error) }
  }
  return faultOf(text) ?? { value }
}

/** Of a text that is JSON, so that its grammar need not be looked at again. */
function faultOf(text: string): JsonFault | null {
  /** the keys so far of each object that it is within; null: a list */
  const within: (Set<string> | null)[] = []
  let last = ''
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '{') within.push(new Set())
    else if (token === '[') within.push(null)
    else if (token === '}' || token === ']') within.pop()
    else if (token === ':') {
      const key: string = JSON.parse(last)
      const keys = within.at(-1)
      if (keys?.has(key)) return { fault: 'jsonKey', key }
      keys?.add(key)
    } else if (!token.startsWith('"')) {
      const read = readNumber(token)
      if ('fault' in read) return { fault: 'jsonNumber', literal: token, why: read }
    }
    last = token
  }
  return null
}
