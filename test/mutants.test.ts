// Every fault that the simulator is tried with still fits the source. Not here: that the simulator finds them, which `npm run sim:mutants` shows.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { mutate } from '../sim/mutant.ts'
import { mutants } from '../sim/mutant-list.ts'

const source = (file: string): string => readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')

describe('mutants', () => {
  it.each(mutants.map(mutant => [mutant.name, mutant] as const))(
    '%s fits its file once, and changes it',
    (_, mutant) => {
      const before = source(mutant.file)
      expect(mutate(before, mutant)).not.toBe(before)
    },
  )

  it('have names of their own, and say what somebody would suffer', () => {
    expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length)
    expect(mutants.length).toBeGreaterThanOrEqual(25)
    for (const { breaks } of mutants) expect(breaks).toMatch(/\w+ \w+/)
  })

  it('are different faults', () => {
    const faulty = mutants.map(mutant => `${mutant.file}\n${mutate(source(mutant.file), mutant)}`)
    expect(new Set(faulty).size).toBe(mutants.length)
  })

  it.each([
    ['is not there any more', 'a b', /0 times/],
    ['is there twice', 'x x', /2 times/],
  ])('are refused where their text %s', (_, text, why) => {
    expect(() => mutate(text, { name: 'n', file: 'f', find: 'x', replace: 'y' })).toThrow(why)
  })

  it('are put in as they are written, also where they look like a pattern', () => {
    expect(mutate('a x b', { name: 'n', file: 'f', find: 'x', replace: '$& $1' })).toBe('a $& $1 b')
  })
})
