// What an instant round trip is compared with: an application that speaks MQTT itself and waits for what the device answers, through Mosquitto, and through a
// server that does nothing but hand on. No HTTP, no signature, nothing on the disk. And what the disk takes for the two records that Downlink makes of one.
// Not here: the round trips of those that take calls (../scenarios/round-trip.ts).

import { randomUUID } from 'node:crypto'
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Packet } from 'mqtt-packet'
import { APPLICATION, deviceOfReply, REPLY_FILTER, setMessage, setTopicOf } from '../rig/contender.ts'
import { median } from '../rig/figures.ts'
import { closedLoop, twoEach } from '../rig/loops.ts'
import { mosquittoVersion, startMosquitto } from '../rig/mosquitto.ts'
import { type Program, startScript } from '../rig/programs.ts'
import { RawClient } from '../rig/raw-client.ts'
import { RawDevices } from '../rig/raw-devices.ts'
import { measured, type Row, type Settings } from '../rig/scenario.ts'
import { deviceKeyOf, POINT } from '../rig/server.ts'

/** ms without an answer after which a baseline has failed */
const ANSWER_WAIT_MS = 30_000
const INPUT_JSON = JSON.stringify({ [POINT]: 222 })

type Started = Program & { readonly url: URL }

/** An application of the broker: a command to a device, one at a time to each, and what it answers. */
class Application {
  readonly #waits = new Map<string, () => void>()
  #client: RawClient | null = null
  #trouble: Error | null = null

  static async open(url: URL): Promise<Application> {
    const application = new Application()
    await new Promise<void>((resolve, reject) => {
      const packet = (received: Packet, from: RawClient): void => {
        if (received.cmd === 'suback') resolve()
        if (received.cmd !== 'publish') return
        if (received.messageId !== undefined) from.send({ cmd: 'puback', messageId: received.messageId })
        application.#heard(received.topic, String(received.payload))
      }
      const lost = (reason: string): void => {
        application.#trouble ??= new Error(`the application lost its connection: ${reason}`)
      }
      const subscribe = (client: RawClient): void => {
        application.#client = client
        client.subscribe([REPLY_FILTER])
      }
      RawClient.open(url, { clientId: APPLICATION, clean: true }, packet, lost).then(subscribe, reject)
    })
    return application
  }

  ask(device: number): Promise<void> {
    const commandId = randomUUID()
    return new Promise((resolve, reject) => {
      const fail = (): void => reject(this.#trouble ?? new Error(`device ${device} has not answered`))
      const late = setTimeout(fail, ANSWER_WAIT_MS)
      this.#waits.set(`${device}/${commandId}`, () => {
        clearTimeout(late)
        resolve()
      })
      this.#client?.publish(setTopicOf(device), setMessage(commandId, INPUT_JSON), 1)
    })
  }

  async close(): Promise<void> {
    await this.#client?.close()
  }

  #heard(topic: string, payload: string): void {
    const { id } = JSON.parse(payload)
    const key = `${deviceOfReply(topic)}/${id}`
    this.#waits.get(key)?.()
    this.#waits.delete(key)
  }
}

/** Round trips of an MQTT application, so many at a time, each worker with two devices in turn. */
async function roundTrips(server: Started, role: string, outstanding: number, { warmUpMs, measuredMs }: Settings) {
  const devices = new RawDevices({
    url: server.url,
    login: device => ({ clean: true, clientId: deviceKeyOf(device) }),
  })
  const application = await Application.open(server.url)
  try {
    await devices.connect(0, outstanding * 2)
    const deviceOf = twoEach(outstanding)
    const figures = await measured({ [role]: server.pid }, mark =>
      closedLoop({ workers: outstanding, warmUpMs, measuredMs, mark }, worker => application.ask(deviceOf(worker))),
    )
    devices.check()
    return figures
  } finally {
    await application.close()
    await devices.disconnect()
  }
}

interface Baseline {
  readonly name: string
  readonly what: string
  readonly role: string
  readonly start: (folder: string) => Promise<Started>
  readonly missing: () => Promise<string | null>
  readonly versions: () => Promise<string>
  readonly more?: (folder: string) => Readonly<Record<string, number>>
}

const rowOf = (baseline: Baseline, outstanding: number): Row => {
  const { name, what, role, start, missing, versions, more } = baseline
  return {
    name,
    what,
    missing,
    versions,
    measure: async settings => {
      const server = await start(settings.folder)
      try {
        const figures = await roundTrips(server, role, outstanding, settings)
        return more === undefined ? figures : { ...figures, more: more(settings.folder) }
      } finally {
        await server.stop()
      }
    },
  }
}

export const PLAIN_MQTT = 'plain MQTT'
export const RAW_ECHO = 'raw echo'

/** From an application through Mosquitto to the device and back. */
export const plainMqtt = (outstanding: number): Row =>
  rowOf(
    {
      name: PLAIN_MQTT,
      what: 'An application that speaks MQTT itself publishes the command to its device and has its answer, through Mosquitto, QoS 1. No HTTP, no signature, and nothing is kept.',
      role: 'Mosquitto',
      start: startMosquitto,
      missing: async () =>
        (await mosquittoVersion()) === null ? 'Mosquitto is not installed: run bench/setup.sh' : null,
      versions: async () => (await mosquittoVersion()) ?? '',
    },
    outstanding,
  )

/** A server that hands on and does nothing else. */
export const echoServer = {
  start: () => startScript(['--import', 'tsx', 'bench/peers/echo.ts']),
  missing: () => Promise.resolve(null),
  versions: async () => {
    const { default: codec } = await import('mqtt-packet/package.json', { with: { type: 'json' } })
    return `mqtt-packet ${codec.version}`
  },
}

/** The same through sockets and mqtt-packet alone; beside it, what two records on the disk take. */
export const rawEcho = (outstanding: number): Row =>
  rowOf(
    {
      name: RAW_ECHO,
      what: 'The same through a server in Node that only hands on: mqtt-packet and bare sockets. Beside it, what two writes take in the same folder, each with its fdatasync.',
      role: 'server',
      ...echoServer,
      more: folder => ({ twoFsyncsMs: twoFsyncsMs(folder) }),
    },
    outstanding,
  )

const PAIRS = 200
/** bytes: a page of SQLite, which is the least that its log grows by */
const RECORD_BYTES = 4_096

/** p50 in ms of two writes in a row at the end of a file, each with its fdatasync: what the disk alone adds to a command that is on record before and after. */
export function twoFsyncsMs(folder: string): number {
  const file = openSync(join(folder, 'fsyncs'), 'a')
  const record = Buffer.alloc(RECORD_BYTES)
  try {
    const took = Array.from({ length: PAIRS }, () => {
      const beganAt = performance.now()
      for (let n = 0; n < 2; n++) {
        writeSync(file, record)
        fdatasyncSync(file)
      }
      return performance.now() - beganAt
    })
    return median(took)
  } finally {
    closeSync(file)
  }
}
