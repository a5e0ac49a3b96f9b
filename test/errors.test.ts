// The error table of the code and the one in docs/errors.md are the same, and codes are unique.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { assert, authErrors, Bug, type ErrorEntry, errors, invalid } from '../src/core/errors.ts'

const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')
const row = ({ code, name, origin, retriable, meaning, next }: ErrorEntry) =>
  `| ${code} | ${name} | ${origin} | ${retriable ? 'yes' : 'no'} | ${meaning} | ${next} |`

describe('errors', () => {
  it('are printed in docs/errors.md exactly as the code has them', () => {
    for (const table of [errors, authErrors]) {
      const rows = Object.values(table).map(row)
      expect(page).toContain(rows.join('\n'))
    }
  })
  it('have one code each', () => {
    const codes = [...Object.values(errors), ...Object.values(authErrors)].map(({ code }) => code)
    expect(new Set(codes).size).toBe(codes.length)
  })
  it('name the parameter in the vendor wording', () => {
    expect(invalid('action', 'action is missing')).toEqual({
      ok: false,
      code: 99400,
      message: 'Invalid Argument action:action is missing',
    })
  })
  it('keep bugs apart from inputs', () => {
    expect(() => assert(false, 'this cannot be')).toThrow(Bug)
    expect(() => assert(true, 'fine')).not.toThrow()
  })
})
