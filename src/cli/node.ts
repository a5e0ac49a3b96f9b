// What a process is to those who share its store: a node on lease among others, or alone. Not here: the lease (cluster/membership.ts), the server (serve.ts).

import type { Logger } from 'pino'
import { type Clock, machine, SystemClock, type Timers } from '../clock.ts'
import type { Carrier } from '../cluster/carrier.ts'
import { Membership } from '../cluster/membership.ts'
import { openNats } from '../cluster/nats.ts'
import { openNotify } from '../cluster/notify.ts'
import { alone, type Cluster, type Tidings } from '../cluster/signal.ts'
import { assert } from '../core/errors.ts'
import type { Store } from '../store/store.ts'
import type { ServeConfig } from './config.ts'

export interface Node {
  readonly node: number
  readonly lastCommandId: string | null
  readonly clock: Clock & Timers
  readonly cluster: Cluster
  /** null where there are no others */
  readonly signals: Carrier | null
  /** Resolves where this life is over before it was ended: another process has the number. */
  readonly ended: Promise<void>
  /** Listens to the others. */
  start(heard: (tidings: Tidings) => void): Promise<void>
  /** Gives the number back. After everything that writes. */
  leave(): Promise<void>
}

/** cutOff: no heartbeat has succeeded for a minute, so whoever is connected here may be better off elsewhere. */
export async function openNode(config: ServeConfig, log: Logger, store: Store, cutOff: () => void): Promise<Node> {
  const { store: of, signal, nodeId, secretKey } = config
  if (of.type !== 'postgres') return openAlone(store, nodeId ?? 0)
  assert(secretKey !== null, 'a store that is shared has its key in the environment')
  const key = secretKey.derive('signals')
  const signals = await (signal === null ? openNotify(of.url, { log, key }) : openNats(signal, { log, key }))
  let end = (): void => undefined
  const ended = new Promise<void>(resolve => {
    end = resolve
  })
  let membership: Membership
  try {
    membership = await Membership.join({ nodes: store, signals, machine, log, ended: end, cutOff }, nodeId)
  } catch (error) {
    await signals.close()
    throw error
  }
  const { node, epoch, lastCommandId, clock } = membership
  try {
    await store.endSessions(node, epoch)
  } catch (error) {
    await membership.leave()
    throw error
  }
  log.info({ node, epoch }, 'joined')
  const start = (heard: (tidings: Tidings) => void): Promise<void> => membership.start(heard)
  return { node, lastCommandId, clock, cluster: membership, signals, ended, start, leave: () => membership.leave() }
}

async function openAlone(store: Store, node: number): Promise<Node> {
  await store.endSessions(node)
  const { lastCommandId, clockFloor } = await store.node(node)
  const clock = new SystemClock(clockFloor)
  const nothing = async (): Promise<void> => undefined
  const ended = new Promise<void>(() => undefined)
  return { node, lastCommandId, clock, cluster: alone, signals: null, ended, start: nothing, leave: nothing }
}
