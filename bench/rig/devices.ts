// Devices that stay connected and answer each command: the simulated ones of the command line, spread over nodes.

import { type Behaviour, SimulatedDevice, type Witness } from '../../src/cli/simulator.ts'
import { DEVICE_SECRET, deviceKeyOf, PRODUCT } from './server.ts'

const BEHAVIOUR: Behaviour = { answer: 'ok', code: 200, delayMs: 0, leave: null, outputs: () => ({}) }

interface Wait {
  readonly resolve: (commandId: string) => void
  readonly reject: (error: Error) => void
}

export class Devices {
  readonly #devices: SimulatedDevice[]
  readonly #waits = new Map<string, Wait>()
  /** the first thing that no device of a bench should see; whoever waits is told */
  #trouble: Error | null = null
  #isStopping = false

  private constructor(mqttUrls: readonly URL[], count: number, connected: () => void) {
    const witness: Witness = {
      connected,
      received: () => undefined,
      answered: () => undefined,
      acknowledged: ({ deviceKey }, { commandId }) => {
        this.#waits.get(deviceKey)?.resolve(commandId)
        this.#waits.delete(deviceKey)
      },
      refused: ({ deviceKey }, code) => this.#fail(`device ${deviceKey} was refused with ${code}`),
      disconnected: ({ deviceKey }, reason) => this.#fail(`device ${deviceKey} lost its connection: ${reason}`),
      ignored: ({ deviceKey }, topic) => this.#fail(`device ${deviceKey} was sent something else on ${topic}`),
    }
    this.#devices = Array.from({ length: count }, (_, i) => {
      const { hostname: host, port } = mqttUrls[i % mqttUrls.length]!
      const login = { host, port: Number(port), productKey: PRODUCT, deviceKey: deviceKeyOf(i) }
      return new SimulatedDevice({ ...login, deviceSecret: DEVICE_SECRET }, BEHAVIOUR, witness)
    })
  }

  /** Devices 0 to count - 1, each at the node after that of the one before. Resolves when all are logged in and subscribed. */
  static async connect(mqttUrls: readonly URL[], count: number): Promise<Devices> {
    let left = count
    let arrived = (): void => undefined
    const all = new Promise<void>(resolve => {
      arrived = resolve
    })
    const devices = new Devices(mqttUrls, count, () => {
      left -= 1
      if (left === 0) arrived()
    })
    for (const device of devices.#devices) device.start()
    await Promise.race([all, devices.#troubled()])
    return devices
  }

  /**
   * The command whose answer the server acknowledges next, which it does when the outcome is durable. One wait per device. Rejects where any device is
   * not served as it should be.
   */
  answered(device: number): Promise<string> {
    if (this.#trouble !== null) return Promise.reject(this.#trouble)
    return new Promise((resolve, reject) => this.#waits.set(deviceKeyOf(device), { resolve, reject }))
  }

  async stop(): Promise<void> {
    this.#isStopping = true
    await Promise.all(this.#devices.map(device => device.stop()))
  }

  #troubled(): Promise<never> {
    return new Promise((_, reject) => this.#waits.set('', { resolve: () => undefined, reject }))
  }

  #fail(what: string): void {
    if (this.#isStopping) return
    const error = new Error(what)
    this.#trouble ??= error
    for (const { reject } of this.#waits.values()) reject(error)
    this.#waits.clear()
  }
}
