// The emulator: a clock that leaps and devices with faults, and the paths under /emulator by which other people's tests move both.
// Not here: the server that all this is part of (cli/emulate.ts).

import { Type } from 'typebox'
import { State } from '../core/command.ts'
import { errors, invalid, refuse } from '../core/errors.ts'
import { EMULATOR_DELAY_MAX_MS, EMULATOR_LEAP_MAX_MS, EMULATOR_REST_MAX_MS, INT32_MAX } from '../core/limits.ts'
import type { Engine } from '../engine.ts'
import { type AdminRoute, adminRoute } from '../http/action.ts'
import { failure, ok, type Result } from '../http/wire.ts'
import type { Store } from '../store/store.ts'
import type { VirtualClock } from './clock.ts'
import { type Devices, type Faults, noFaults } from './devices.ts'

const nothing = Type.Object({}, { additionalProperties: false })
const described = <const M extends AdminRoute['method']>(
  method: M,
  path: string,
  operationId: string,
  summary: string,
) => ({
  ...{ method, path, operationId, summary, tag: 'Emulator' },
})

const LeapBody = Type.Object(
  { advanceMs: Type.Integer({ minimum: 0, maximum: EMULATOR_LEAP_MAX_MS, description: 'ms' }) },
  { additionalProperties: false },
)
const ClockData = Type.Object({ now: Type.Integer({ description: 'epoch ms' }) })
const FaultsData = Type.Object({
  offline: Type.Boolean({ description: 'it is away' }),
  delayMs: Type.Integer({
    minimum: 0,
    maximum: EMULATOR_DELAY_MAX_MS,
    description: 'from a command to its answer, by the clock of the emulator',
  }),
  mute: Type.Boolean({ description: 'it takes commands and never answers' }),
  errorCode: Type.Union([Type.Integer({ minimum: -INT32_MAX, maximum: INT32_MAX }), Type.Null()], {
    description: 'it answers with this code',
  }),
  answersTwice: Type.Boolean({ description: 'it gives each answer twice' }),
})
const DeviceData = Type.Object({
  assetId: Type.String(),
  productKey: Type.String(),
  deviceKey: Type.String(),
  connected: Type.Boolean(),
  faults: FaultsData,
})

/** The server that is emulated. */
export interface Emulated {
  readonly engine: Pick<Engine, 'idle'>
  readonly store: Store
}

export class Emulator {
  readonly #clock: VirtualClock
  readonly #devices: Devices
  #server: Emulated | null = null
  #leaping: Promise<void> = Promise.resolve()

  constructor(clock: VirtualClock, devices: Devices) {
    this.#clock = clock
    this.#devices = devices
  }

  /** The server is there: from now on time may leap. */
  watch(server: Emulated): void {
    this.#server = server
  }

  /** Resolves when that time has passed and all that it brought is done. Leaps that are asked for at once are made one after the other. */
  async advance(ms: number): Promise<void> {
    const leap = this.#leaping.then(() => this.#clock.leap(ms, { next: () => this.#next(), rest: () => this.#rest() }))
    this.#leaping = leap.catch(() => undefined)
    await leap
  }

  /** What lapses next, or which device answers next. */
  async #next(): Promise<number | null> {
    const due = (await this.#server?.store.nextDue()) ?? null
    const answer = this.#devices.nextAnswerAt()
    return due === null ? answer : Math.min(due, answer ?? due)
  }

  /** Nothing is under way in the server, and devices that answer promptly have answered: they speak over sockets, which takes real time. */
  async #rest(): Promise<void> {
    const server = this.#server
    if (server === null) return
    const until = performance.now() + EMULATOR_REST_MAX_MS
    do {
      await server.engine.idle()
      await new Promise(resolve => setImmediate(resolve))
    } while (performance.now() < until && (await this.#awaited(server)))
  }

  async #awaited({ store }: Emulated): Promise<boolean> {
    const counts = await store.countByState()
    if ((counts.get(State.sent) ?? 0) === 0) return false
    for (const assetId of this.#devices.prompt()) {
      const device = await store.deviceByAsset(assetId)
      const [queue] = device === null ? [] : await store.load([{ deviceId: device.id, commandIds: [] }])
      if (queue?.open.some(({ state }) => state === State.sent)) return true
    }
    return false
  }

  readonly routes: readonly AdminRoute[] = [
    adminRoute({
      ...described('GET', '/emulator/clock', 'getEmulatorClock', 'What time it is in the emulator'),
      parameters: nothing,
      data: ClockData,
      examples: [{ summary: 'Ask for the time' }],
      run: async () => ok({ now: this.#clock.now() }),
    }),
    adminRoute({
      ...described('POST', '/emulator/clock', 'advanceEmulatorClock', 'Let time pass in a moment'),
      description:
        'Moves the clock on. What lapses on the way lapses at its instant and in its order, and slow devices answer at theirs; the answer comes when all of it is done.',
      parameters: nothing,
      body: LeapBody,
      data: ClockData,
      examples: [{ summary: 'Half a minute later', body: { advanceMs: 30_000 } }],
      run: async ({ body }) => {
        await this.advance(body.advanceMs)
        return ok({ now: this.#clock.now() })
      },
    }),
    adminRoute({
      ...described('GET', '/emulator/devices', 'listEmulatedDevices', 'The simulated devices, with their faults'),
      parameters: nothing,
      data: Type.Array(DeviceData),
      examples: [{ summary: 'All of them' }],
      run: async () =>
        ok(
          this.#devices.all().map(({ device: { assetId, productKey, deviceKey }, faults, connected }) => ({
            ...{ assetId, productKey, deviceKey, connected },
            faults: { ...faults },
          })),
        ),
    }),
    adminRoute({
      ...described(
        'PUT',
        '/emulator/devices/{assetId}/faults',
        'setEmulatedFaults',
        'What is wrong with a device from now on',
      ),
      description:
        'All faults at once: what is left out is off. The answer comes when the device is away, or connected again.',
      names: Type.Object({ assetId: Type.String() }),
      parameters: nothing,
      body: Type.Partial(FaultsData, { additionalProperties: false }),
      data: FaultsData,
      codes: ['notFound'],
      examples: [
        { summary: 'It is away', path: { assetId: 'oxWwM9i5' }, body: { offline: true } },
        { summary: 'All is well', path: { assetId: 'oxWwM9i5' }, body: {} },
      ],
      run: ({ path, body }) => this.#setFaults(path.assetId, body),
    }),
  ]

  async #setFaults(assetId: string, some: Partial<Faults>): Promise<Result> {
    const faults = { ...noFaults, ...some }
    if (faults.errorCode === 0 || faults.errorCode === 200)
      return failure(invalid('body.errorCode', '0 and 200 mean success; leave it out, or null'))
    const found = await this.#devices.setFaults(assetId, faults)
    return found ? ok({ ...faults }) : failure(refuse(errors.notFound, 'no such simulated device'))
  }
}
