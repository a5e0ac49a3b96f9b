// What each part of the bench of several nodes is given.

import type { NatsServer } from '../../test/rig/nats.ts'
import type { PostgresServer } from '../../test/rig/postgres.ts'

export interface Bench {
  /** for stores and files; gone at the end */
  readonly folder: string
  readonly postgres: PostgresServer
  readonly postmaster: number
  /** null where there is none on this machine */
  readonly nats: NatsServer | null
  /** how often each way is measured, in turn with the others */
  readonly rounds: number
  /** that one measurement takes, without its warm-up */
  readonly measuredMs: number
  readonly warmUpMs: number
  /** Says how far it is. */
  progress(text: string): void
}
