// What the tests of deploy/ have in common: its files as they are read, the nodes of the compose file, and whether a program is installed.

import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { parse } from 'yaml'
import { root } from './program.ts'

// biome-ignore lint/suspicious/noExplicitAny: manifests are looked at field by field in expectations
export type Yaml = any

/** A file of the repository. */
export const read = (path: string): string => readFileSync(join(root, path), 'utf8')

export const compose: Yaml = parse(read('deploy/compose.yaml'), { merge: true })
export const services: [string, Yaml][] = Object.entries(compose.services)
/** Those that are built here are Downlink's. */
export const nodes = services.filter(([, service]) => service.build !== undefined)

/** Where a program is; null: it is not installed. */
export const programOf = (name: string): string | null =>
  [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']
    .map(folder => join(folder, name))
    .find(path => existsSync(path)) ?? null

/** The name of a test that needs it: where it is skipped, the reason stands there. */
export const needing = (program: string, path: string | null, what: string): string =>
  path === null ? `${what}: skipped, since ${program} is not installed` : what

/** `1h`, `5s`, `20ms` */
export function msOf(text: string): number {
  const [, number, unit = ''] = /^([0-9]+)(ms|s|m|h)$/.exec(text) ?? []
  const units: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }
  if (number === undefined) throw new Error(`${text} is no time`)
  return Number(number) * (units[unit] ?? Number.NaN)
}
