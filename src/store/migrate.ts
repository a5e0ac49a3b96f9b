// Numbered plain-SQL migrations: reading them, and deciding which ones a database still needs or why this program must not touch it.
// Not here: running them, which each store does in its own dialect, one transaction per migration, its row in schema_version first.

import { readdirSync, readFileSync } from 'node:fs'
import { assert } from '../core/errors.ts'

export interface Applied {
  readonly number: number
  readonly name: string
  /** A program that does not know this migration must not work with the database. */
  readonly breaking: boolean
}
export interface Migration extends Applied {
  readonly sql: string
}

/** The table that remembers what was applied; the same in every dialect. */
export const SCHEMA_VERSION_TABLE =
  'create table if not exists schema_version (number integer primary key, name text not null, breaking integer not null)'

/** The database's schema is not one that this program can work with. The message says what to do. */
export class SchemaMismatch extends Error {
  override readonly name = 'SchemaMismatch'
}

/**
 * The migrations of one dialect, in order: files `0001_name.sql` in `migrations/<dialect>/` beside this module, numbered without gaps.
 * A comment line `-- breaking: yes` or `-- breaking: no` in each says whether a program that does not know it can still use the database.
 */
export function readMigrations(dialect: 'sqlite' | 'postgres'): Migration[] {
  const folder = new URL(`./migrations/${dialect}/`, import.meta.url)
  const files = readdirSync(folder).filter(file => file.endsWith('.sql'))
  return files.sort().map((file, index) => {
    const migration = parseMigration(file, readFileSync(new URL(file, folder), 'utf8'))
    assert(migration.number === index + 1, `migration ${file} should have number ${index + 1}`)
    return migration
  })
}

/** One migration from its file name and text. */
export function parseMigration(file: string, sql: string): Migration {
  const [, digits, name] = /^(\d{4})_([a-z0-9_]+)\.sql$/.exec(file) ?? []
  assert(digits !== undefined && name !== undefined, `migration file ${file} should be named like 0001_initial.sql`)
  const breaking = /^-- breaking: (yes|no)$/m.exec(sql)?.[1]
  assert(breaking !== undefined, `migration ${file} needs a line "-- breaking: yes" or "-- breaking: no"`)
  return { number: Number(digits), name, breaking: breaking === 'yes', sql }
}

/**
 * Which of the known migrations the database still needs, in order. Throws SchemaMismatch where a newer program applied a breaking one, or where
 * the database has a history of its own; a newer migration that is not breaking is accepted.
 */
export function pendingMigrations(known: readonly Migration[], applied: readonly Applied[]): Migration[] {
  const inOrder = [...applied].sort((a, b) => a.number - b.number)
  for (const [index, { number, name, breaking }] of inOrder.entries()) {
    const label = `${String(number).padStart(4, '0')}_${name}`
    const own = known[index]
    if (number !== index + 1 || (own !== undefined && own.name !== name))
      throw new SchemaMismatch(
        `its schema has migration ${label} where this program has ${own === undefined ? 'none' : own.name}: it was made by another program or a ` +
          'development version. Use a database of its own for this program.',
      )
    if (own === undefined && breaking)
      throw new SchemaMismatch(
        `its schema was changed by a newer version of Downlink (migration ${label}; this program knows ${known.length}). ` +
          'Start that newer version again, or restore the backup made before the upgrade.',
      )
  }
  return known.slice(inOrder.length)
}
