// The way from one node to PostgreSQL, over a port of the harness, so that it can be cut while everybody else's is whole.
// Not here: when it is cut (strikes.ts).

import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The message that commits, as a simple query of the protocol: its kind, its length, its text. */
const COMMIT = Buffer.from('Q\0\0\0\x0bcommit\0', 'latin1')

/**
 * `refused`: what there is is reset, and so is whatever comes. `lost commit` and `lost answer`: the same, but not before the next COMMIT, which does not
 * arrive, or whose answer does not; so that whether it was done is in doubt. `silent`: nothing arrives on either side, and nobody is told; what was written meanwhile
 * arrives when it is over, as it would behind a switch that was out of order.
 */
export type Cut = 'refused' | 'lost commit' | 'lost answer' | 'silent'

interface Pair {
  readonly node: Socket
  /** null: not connected yet, since the cable is silent */
  store: Socket | null
  /** what the store says next does not arrive */
  isAnswerLost: boolean
}

export class Cable {
  readonly #socketPath: string
  readonly #listener: Server
  readonly #pairs = new Set<Pair>()
  #cut: Cut | null = null

  private constructor(socketPath: string, listener: Server) {
    this.#socketPath = socketPath
    this.#listener = listener
  }

  /** @param socketPath of PostgreSQL */
  static async lay(socketPath: string): Promise<Cable> {
    const listener = createServer({ allowHalfOpen: true, noDelay: true })
    const cable = new Cable(socketPath, listener)
    listener.on('connection', node => cable.#accept(node))
    listener.listen(0, '127.0.0.1')
    await once(listener, 'listening')
    return cable
  }

  get port(): number {
    const address = this.#listener.address() as AddressInfo | null
    return address?.port ?? 0
  }

  cut(how: Cut): void {
    this.#cut = how
    if (how === 'refused') {
      for (const pair of this.#pairs) reset(pair)
    } else if (how === 'silent') {
      for (const { node, store } of this.#pairs) {
        node.pause()
        store?.pause()
      }
    }
  }

  mend(): void {
    this.#cut = null
    for (const pair of this.#pairs) {
      pair.isAnswerLost = false
      if (pair.store === null) this.#join(pair)
      pair.node.resume()
      pair.store?.resume()
    }
  }

  async close(): Promise<void> {
    this.cut('refused')
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  #accept(node: Socket): void {
    const pair: Pair = { node, store: null, isAnswerLost: false }
    // The end of the one is the end of the other, which is all that is to be done about an error.
    node.on('error', () => undefined)
    if (this.#cut === 'refused') {
      reset(pair)
      return
    }
    this.#pairs.add(pair)
    node.on('data', chunk => this.#toStore(pair, chunk))
    node.on('end', () => pair.store?.end())
    node.on('close', () => {
      this.#pairs.delete(pair)
      pair.store?.destroySoon()
    })
    if (this.#cut === 'silent') node.pause()
    else this.#join(pair)
  }

  #toStore(pair: Pair, chunk: Buffer): void {
    const isCommit = chunk.includes(COMMIT)
    if (isCommit && this.#cut === 'lost commit') {
      this.cut('refused')
      return
    }
    if (isCommit && this.#cut === 'lost answer') pair.isAnswerLost = true
    pair.store?.write(chunk)
  }

  #join(pair: Pair): void {
    const { node } = pair
    const store = connect({ path: this.#socketPath, allowHalfOpen: true })
    pair.store = store
    store.on('error', () => undefined)
    store.on('data', chunk => {
      if (pair.isAnswerLost) this.cut('refused')
      else node.write(chunk)
    })
    store.on('end', () => node.end())
    store.on('close', hadError => {
      if (hadError) node.destroy()
      else node.destroySoon()
    })
  }
}

/** A reset on both sides, as far as there is somebody: one that is being ended in order already can only be closed. */
function reset({ node, store }: Pair): void {
  if (node.writableEnded) node.destroy()
  else node.resetAndDestroy()
  store?.destroy()
}
