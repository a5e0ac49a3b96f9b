// A peer's connection to the broker, behind which its devices are: it hears who is there, sends commands, and hears the answers.
// Not here: which command is sent when, and what is kept of it (pgboss.ts, bullmq.ts, broker.ts).

import type { Packet } from 'mqtt-packet'
import {
  APPLICATION,
  deviceOfPresence,
  deviceOfReply,
  PRESENCE_FILTER,
  REPLY_FILTER,
  setMessage,
  setTopicOf,
} from '../rig/contender.ts'
import { RawClient } from '../rig/raw-client.ts'

/** ms for which an answer is waited for: Downlink's default */
const ANSWER_WAIT_MS = 30_000

/** What a device says to a command. */
export interface Answer {
  readonly code: number
  readonly data: unknown
}

interface Wait {
  readonly resolve: (answer: Answer) => void
  readonly late: NodeJS.Timeout
}

export class Link {
  readonly #came: (device: number) => void
  readonly #there = new Set<number>()
  /** by device and command */
  readonly #waits = new Map<string, Wait>()
  /** by packet id: what waits for the broker */
  readonly #unacknowledged = new Map<number, () => void>()
  #client: RawClient | null = null
  #hearsAnswers: Promise<void> | null = null

  private constructor(came: (device: number) => void) {
    this.#came = came
  }

  /** `came`: a device is there that was not. The process ends where the broker goes. */
  static async open(url: URL, came: (device: number) => void): Promise<Link> {
    const link = new Link(came)
    link.#client = await RawClient.open(
      url,
      { clientId: APPLICATION, clean: true },
      (packet, from) => link.#packet(packet, from),
      reason => {
        throw new Error(`the broker is gone: ${reason}`)
      },
    )
    await link.#subscribe(PRESENCE_FILTER)
    return link
  }

  isThere(device: number): boolean {
    return this.#there.has(device)
  }

  /** Sends the command; what its device answers. Rejects where no answer comes. A device may be asked one thing of that id at a time. */
  async ask(device: number, commandId: string, inputJson: string): Promise<Answer> {
    // Not before somebody asks: a broker that nobody listens to has less to do.
    this.#hearsAnswers ??= this.#subscribe(REPLY_FILTER)
    await this.#hearsAnswers
    const key = `${device}/${commandId}`
    return new Promise<Answer>((resolve, reject) => {
      const fail = (): void => {
        this.#waits.delete(key)
        reject(new Error(`device ${device} has not answered ${commandId} within ${ANSWER_WAIT_MS} ms`))
      }
      this.#waits.set(key, { resolve, late: setTimeout(fail, ANSWER_WAIT_MS) })
      this.#connected().publish(setTopicOf(device), setMessage(commandId, inputJson), 1)
    })
  }

  /** Sends the command; resolves when the broker has taken it. */
  hand(device: number, commandId: string, inputJson: string): Promise<void> {
    return this.#acknowledgement(this.#connected().publish(setTopicOf(device), setMessage(commandId, inputJson), 1))
  }

  async close(): Promise<void> {
    for (const { late } of this.#waits.values()) clearTimeout(late)
    await this.#connected().close()
  }

  #connected(): RawClient {
    if (this.#client === null) throw new Error('it is not connected yet')
    return this.#client
  }

  #subscribe(filter: string): Promise<void> {
    return this.#acknowledgement(this.#connected().subscribe([filter]))
  }

  #acknowledgement(packetId: number): Promise<void> {
    return new Promise(resolve => this.#unacknowledged.set(packetId, resolve))
  }

  #packet(packet: Packet, from: RawClient): void {
    switch (packet.cmd) {
      case 'puback':
      case 'suback': {
        const packetId = packet.messageId ?? 0
        this.#unacknowledged.get(packetId)?.()
        this.#unacknowledged.delete(packetId)
        break
      }
      case 'publish':
        // At once, whatever becomes of it: the broker has acknowledged it to the device already.
        if (packet.messageId !== undefined) from.send({ cmd: 'puback', messageId: packet.messageId })
        this.#heard(packet.topic, String(packet.payload))
        break
      default:
        throw new Error(`the broker sent ${packet.cmd}`)
    }
  }

  #heard(topic: string, payload: string): void {
    const answering = deviceOfReply(topic)
    const device = deviceOfPresence(topic)
    if (answering !== null) this.#answered(answering, payload)
    else if (device === null) throw new Error(`the broker sent ${payload} on ${topic}`)
    else if (payload !== '1') this.#there.delete(device)
    else if (!this.#there.has(device)) {
      this.#there.add(device)
      this.#came(device)
    }
  }

  #answered(device: number, payload: string): void {
    const { id, code, data } = JSON.parse(payload)
    const key = `${device}/${id}`
    const wait = this.#waits.get(key)
    // Nobody waits where it is late, or where the command was handed over only.
    if (wait === undefined) return
    this.#waits.delete(key)
    clearTimeout(wait.late)
    wait.resolve({ code, data })
  }
}
