// Many devices on lean connections: they log in, subscribe, answer each command, and can leave and come back as the bench says. The same for every contender.
// Not here: devices as people simulate them (devices.ts).

import type { Packet } from 'mqtt-packet'
import { type DeviceLogin, topicsOf } from './contender.ts'
import { RawClient } from './raw-client.ts'

export interface RawDevicesOptions {
  readonly url: URL
  readonly login: (device: number) => DeviceLogin
  /** A command has come. */
  readonly received?: (device: number, commandId: string) => void
  /** Its answer is acknowledged. */
  readonly acknowledged?: (device: number, commandId: string) => void
  /** default: they do */
  readonly answers?: boolean
}

interface Device {
  readonly number: number
  client: RawClient | null
  subscribed: (() => void) | null
  readonly answered: Map<number, string>
}

export class RawDevices {
  readonly #options: RawDevicesOptions
  readonly #devices = new Map<number, Device>()
  /** the first thing that no device of a bench should see */
  #trouble: Error | null = null
  received = 0
  acknowledged = 0

  constructor(options: RawDevicesOptions) {
    this.#options = options
  }

  /** Throws what went wrong with any device since. */
  check(): void {
    if (this.#trouble !== null) throw this.#trouble
  }

  /** Devices `from` to `until` - 1; resolves when all are logged in and subscribed. `atOnce`: how many may be on their way at a time. */
  async connect(from: number, until: number, atOnce = 200): Promise<void> {
    let next = from
    const some = async (): Promise<void> => {
      while (next < until) {
        const device = next
        next += 1
        await this.#connect(device)
      }
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, until - from) }, some))
    this.check()
  }

  async disconnect(how: 'says goodbye' | 'is lost' = 'says goodbye'): Promise<void> {
    const gone = [...this.#devices.values()].map(device => device.client?.close(how))
    this.#devices.clear()
    await Promise.all(gone)
  }

  async #connect(number: number): Promise<void> {
    const { url, login } = this.#options
    const { hello, ...proof } = login(number)
    const device: Device = { number, client: null, subscribed: null, answered: new Map() }
    const client = await RawClient.open(
      url,
      proof,
      (packet, from) => this.#packet(device, packet, from),
      reason => {
        this.#trouble ??= new Error(`device ${number} lost its connection: ${reason}`)
      },
    )
    device.client = client
    this.#devices.set(number, device)
    const subscribed = new Promise<void>(resolve => {
      device.subscribed = resolve
    })
    client.subscribe(topicsOf(number))
    if (hello !== undefined) client.publish(hello.topic, hello.payload, 1, true)
    await subscribed
  }

  #packet(device: Device, packet: Packet, client: RawClient): void {
    switch (packet.cmd) {
      case 'publish':
        this.#command(device, client, packet.topic, String(packet.payload), packet.messageId)
        break
      case 'puback': {
        const commandId = device.answered.get(packet.messageId ?? 0)
        if (commandId === undefined) return
        device.answered.delete(packet.messageId ?? 0)
        this.acknowledged += 1
        this.#options.acknowledged?.(device.number, commandId)
        break
      }
      case 'suback':
        device.subscribed?.()
        break
      default:
        this.#trouble ??= new Error(`device ${device.number} was sent ${packet.cmd}`)
    }
  }

  #command(device: Device, client: RawClient, topic: string, payload: string, messageId: number | undefined): void {
    const [, commandId] = /"id":"([^"]+)"/.exec(payload) ?? []
    if (commandId === undefined) {
      this.#trouble ??= new Error(`device ${device.number} was sent ${payload} on ${topic}`)
      return
    }
    this.received += 1
    this.#options.received?.(device.number, commandId)
    client.together(() => {
      if (messageId !== undefined) client.send({ cmd: 'puback', messageId })
      if (this.#options.answers === false) return
      const answer = `{"id":"${commandId}","code":200,"data":{}}`
      device.answered.set(client.publish(`${topic}_reply`, answer, 1), commandId)
    })
  }
}
