// What both ends of the signals bench share: the carriers, and a tiding that says when it was told.

import type { Carrier } from '../../src/cluster/carrier.ts'
import { openNats } from '../../src/cluster/nats.ts'
import { openNotify } from '../../src/cluster/notify.ts'
import type { Tidings } from '../../src/cluster/signal.ts'
import type { Log } from '../../src/log.ts'

/** any will do, as long as both have it */
const KEY = Buffer.alloc(32, 7)

/** the node that listens */
export const EAR = 1

/** What goes wrong is said; that a connection is there is not. */
const log: Log = {
  info: () => undefined,
  warn: (fields, message) => console.error(message, fields),
  error: (fields, message) => console.error(message, fields),
}

export const carriers = ['NOTIFY', 'NATS'] as const
export type CarrierName = (typeof carriers)[number]

export const openCarrier = (name: CarrierName, url: string): Promise<Carrier> =>
  name === 'NOTIFY' ? openNotify(url, { log, key: KEY }) : openNats(url, { log, key: KEY })

/** One tiding: a command whose id is 1 and the ns of the machine's clock, which all its processes share, in 18 digits. */
export const toldNow = (): Tidings => {
  const commandId = `1${String(process.hrtime.bigint()).padStart(18, '0')}`
  return { look: [], settled: [{ deviceId: 1, commandId }] }
}

/** ms since each was told */
export function agesMs({ settled }: Tidings): number[] {
  const now = Number(process.hrtime.bigint())
  return settled.map(({ commandId }) => (now - Number(commandId.slice(1))) / 1e6)
}

/** What the ear has heard since it was last asked. */
export interface Heard {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
}
