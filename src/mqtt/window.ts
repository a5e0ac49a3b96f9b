// The window of one connection: commands that were written and have no PUBACK yet, in number and in bytes, and the packet ids that they have. Pure.
// Not here: what waits for room (session.ts).

import { INFLIGHT_MAX, UNACKED_MAX_BYTES } from '../core/limits.ts'

const PACKET_ID_MAX = 65_535

export class Window {
  readonly #size: number
  /** bytes by packet id */
  readonly #unacked = new Map<number, number>()
  #bytes = 0
  #lastId = 0

  /** `receiveMaximum`: what the client takes. */
  constructor(receiveMaximum: number) {
    this.#size = Math.min(receiveMaximum, INFLIGHT_MAX)
  }

  /** Whether so many bytes more may go out. One command always may, however large it is. */
  hasRoom(bytes: number): boolean {
    if (this.#unacked.size === 0) return true
    return this.#unacked.size < this.#size && this.#bytes + bytes <= UNACKED_MAX_BYTES
  }

  /** The packet id of a command that is written now; none that is still in use. */
  take(bytes: number): number {
    do this.#lastId = (this.#lastId % PACKET_ID_MAX) + 1
    while (this.#unacked.has(this.#lastId))
    this.#unacked.set(this.#lastId, bytes)
    this.#bytes += bytes
    return this.#lastId
  }

  /** False: nothing waits for this PUBACK. */
  acknowledge(id: number): boolean {
    this.#bytes -= this.#unacked.get(id) ?? 0
    return this.#unacked.delete(id)
  }
}
