// What every carrier of signals must do, as one suite: the tests of each say what it runs on. Also the pieces that those tests share.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Carrier, type SignalBearing, signed } from '../../src/cluster/carrier.ts'
import type { Tidings } from '../../src/cluster/signal.ts'
import { makeId } from '../../src/core/command.ts'
import type { Log } from '../../src/log.ts'
import { T0 } from './store.ts'

/** What carriers run on, for one test. */
export interface Ground {
  open(log: Log, bearing: Partial<SignalBearing>): Promise<Carrier>
  /** Connections are cut and none is taken; and again as before. */
  down(): Promise<void>
  up(): Promise<void>
  /** The connections that there are hear and say nothing any more, without an end; new ones neither, until it is over. */
  stall(): Promise<void>
  stallOver(): void
  /** Somebody who is none of us says this to the node. */
  say(node: number, text: string): Promise<void>
  stop(): Promise<void>
}

export const KEY = Buffer.alloc(32, 7)

/** Short enough for tests to wait for. */
export const brisk: Partial<SignalBearing> = { lookMs: 50, answerMs: 300, connectMs: 300, closeMs: 300 }

export class LogRecord implements Log {
  readonly lines: string[] = []
  readonly #of =
    (level: string) =>
    (fields: object, message: string): void => {
      const { reason, err, leftOut } = fields as { reason?: string; err?: Error; leftOut?: number }
      const parts = [`${level} ${message}`, reason ?? err?.message ?? '', leftOut ? `${leftOut} left out` : '']
      this.lines.push(parts.filter(part => part !== '').join(' | '))
    }
  readonly info = this.#of('info')
  readonly warn = this.#of('warn')
  readonly error = this.#of('error')

  matching(pattern: RegExp): string[] {
    return this.lines.filter(line => pattern.test(line))
  }
}

/** As soon as it holds; a machine that is busy may take its time. */
export const soon = (holds: () => unknown) => vi.waitFor(holds, { timeout: 10_000, interval: 10 })

export const look = (...deviceIds: number[]): Tidings => ({ look: deviceIds, settled: [] })
export const settled = (...commands: (readonly [number, string])[]): Tidings => ({
  look: [],
  settled: commands.map(([deviceId, commandId]) => ({ deviceId, commandId })),
})
export const idOf = (n: number): string => makeId(T0 + n, 7, 0)
export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, index) => from + index)

/** What a node has heard, whatever the order and however often. */
export class Ears {
  readonly devices = new Set<number>()
  readonly commands = new Set<string>()
  times = 0
  readonly heard = ({ look, settled }: Tidings): void => {
    this.times += 1
    for (const deviceId of look) this.devices.add(deviceId)
    for (const { deviceId, commandId } of settled) this.commands.add(`${deviceId} ${commandId}`)
  }
}

export function describeCarrier(name: string, start: () => Promise<Ground>): void {
  let ground: Ground
  let opened: Carrier[]
  let log: LogRecord
  const open = async (bearing: Partial<SignalBearing> = {}): Promise<Carrier> => {
    const carrier = await ground.open(log, { ...brisk, ...bearing })
    opened.push(carrier)
    return carrier
  }
  /** One that tells itself: it listens before it tells what was left, so that nothing is lost between two connections. */
  const alone = async (bearing: Partial<SignalBearing> = {}): Promise<[Carrier, Ears]> => {
    const [carrier, ears] = [await open(bearing), new Ears()]
    await carrier.listen(7, ears.heard)
    return [carrier, ears]
  }

  beforeEach(async () => {
    log = new LogRecord()
    opened = []
    ground = await start()
  })
  afterEach(async () => {
    for (const carrier of opened) await carrier.close()
    await ground.stop()
  })

  describe(name, () => {
    test('what one node tells, the node that is meant hears, and no other', async () => {
      const [a, b, c] = [await open(), await open(), await open()]
      const [ofA, ofB, ofC] = [new Ears(), new Ears(), new Ears()]
      await Promise.all([a.listen(0, ofA.heard), b.listen(7, ofB.heard), c.listen(1_023, ofC.heard)])
      a.tell(7, look(1, 2))
      a.tell(1_023, settled([3, idOf(1)]))
      b.tell(0, { look: [4], settled: [{ deviceId: 5, commandId: idOf(2) }] })
      await soon(() => {
        expect([...ofB.devices]).toEqual([1, 2])
        expect([...ofC.commands]).toEqual([`3 ${idOf(1)}`])
        expect([...ofA.devices, ...ofA.commands]).toEqual([4, `5 ${idOf(2)}`])
      })
      expect([ofB.commands.size, ofC.devices.size]).toEqual([0, 0])
      // A node may hear it before the carrier has answered whoever told it.
      await soon(() => {
        expect(a.counts).toEqual({ told: 3, heard: 2, dropped: 0, refused: 0 })
        expect(b.counts).toEqual({ told: 2, heard: 2, dropped: 0, refused: 0 })
      })
    })

    test('thousands of devices and commands arrive whole, each told once however often it comes up', async () => {
      const [teller, [listener, ears]] = [await open(), await alone()]
      for (const n of range(0, 20_000)) {
        teller.tell(7, look((n % 10_000) + 1))
        teller.tell(7, settled([n + 1, idOf(n)]))
      }
      await soon(() => expect(listener.counts.heard).toBe(30_000))
      expect(ears.devices).toEqual(new Set(range(1, 10_001)))
      expect(ears.commands).toEqual(new Set(range(0, 20_000).map(n => `${n + 1} ${idOf(n)}`)))
      await soon(() => expect(teller.counts).toEqual({ told: 30_000, heard: 0, dropped: 0, refused: 0 }))
    })

    test('a node hears again after the connection was cut, and what was to be told meanwhile is told then', async () => {
      // It is told of the cut, and does not have to look.
      const [carrier, ears] = await alone({ lookMs: 60_000 })
      await ground.down()
      await soon(() => expect(log.matching(/connection is lost/)).toHaveLength(1))
      for (const n of range(1, 100)) carrier.tell(7, look(n))
      await ground.up()
      await soon(() => expect(ears.devices).toEqual(new Set(range(1, 100))))
      expect(carrier.counts).toMatchObject({ told: 99, heard: 99, dropped: 0 })
    })

    test('a connection on which nothing arrives any more is noticed, and made anew', async () => {
      const [carrier, ears] = await alone()
      await ground.stall()
      await soon(() => expect(log.matching(/connection is lost.*no answer within 300 ms/)).toHaveLength(1))
      carrier.tell(7, look(1))
      ground.stallOver()
      await soon(() => expect([...ears.devices]).toEqual([1]))
    })

    test('also while it is told something: that is told again', async () => {
      const [carrier, ears] = await alone({ lookMs: 60_000 })
      await ground.stall()
      carrier.tell(7, look(1))
      await soon(() => expect(log.matching(/connection is lost.*no answer within 300 ms/)).toHaveLength(1))
      ground.stallOver()
      await soon(() => expect([...ears.devices]).toEqual([1]))
      expect(carrier.counts).toMatchObject({ told: 1, dropped: 0 })
    })

    test('a node starts where the carrier cannot be reached, says so, and hears as soon as it can', async () => {
      await ground.down()
      // Neither waits for what will not come.
      const [carrier, ears] = await alone({ connectMs: 60_000 })
      expect(log.matching(/no connection/)).toHaveLength(1)
      carrier.tell(7, look(1))
      await ground.up()
      await soon(() => expect([...ears.devices]).toEqual([1]))
      expect(log.matching(/connected/)).toHaveLength(1)
    })

    test('and where it takes connections and says nothing', async () => {
      await ground.stall()
      const [carrier, ears] = await alone()
      carrier.tell(7, look(1))
      ground.stallOver()
      await soon(() => expect([...ears.devices]).toEqual([1]))
    })

    test('no more waits to be told than may: the rest is dropped, counted, and said once', async () => {
      const [carrier, ears] = await alone({ backlogMax: 100 })
      await ground.down()
      await soon(() => expect(log.matching(/connection is lost/)).toHaveLength(1))
      for (const n of range(1, 131)) carrier.tell(7, look(n))
      carrier.tell(7, look(...range(1, 101)))
      expect(carrier.counts.dropped).toBe(30)
      expect(log.matching(/not told.*100 devices and commands wait/)).toHaveLength(1)
      await ground.up()
      await soon(() => expect(ears.devices).toEqual(new Set(range(1, 101))))
      expect(carrier.counts.dropped).toBe(30)
    })

    test('what is none of our words is refused and counted, and is no flood in the log', async () => {
      let now = 0
      const [carrier, ears] = await alone({ now: () => now, logEveryMs: 1_000 })
      const tooLong = `{"l":[5]}${' '.repeat(7_900)}`
      const hostile = ['{"l":[0]}', 'null', '{"s":[[1,"2"]]}', '[', `{"l":[${'1,'.repeat(3_900)}1]}`, ' ', tooLong]
      for (const text of hostile) await ground.say(7, signed(KEY, text))
      // Right, but of nobody, and of another installation.
      for (const text of ['{"l":[3]}', signed(Buffer.alloc(32, 8), '{"l":[4]}')]) await ground.say(7, text)
      await ground.say(7, signed(KEY, '{"l":[9],"later":true}'))
      await soon(() => expect([...ears.devices]).toEqual([1, 9]))
      // The long one says that of device 1, in 7,808 bytes.
      expect(carrier.counts).toMatchObject({ refused: 8, heard: 3_902 })
      expect(log.matching(/refused/)).toHaveLength(1)
      now = 1_000
      await ground.say(7, signed(KEY, '{}}'))
      await soon(() => expect(log.matching(/refused.*7 left out/)).toHaveLength(1))
    })

    test('where what was heard cannot be acted on, that is logged, and the next is heard', async () => {
      const carrier = await open()
      const ears = new Ears()
      await carrier.listen(7, tidings => {
        if (tidings.look.includes(13)) throw new Error('no thirteenth')
        ears.heard(tidings)
      })
      carrier.tell(7, look(13))
      await soon(() => expect(log.matching(/^error.*no thirteenth/)).toHaveLength(1))
      carrier.tell(7, look(14))
      await soon(() => expect([...ears.devices]).toEqual([14]))
      expect(log.matching(/lost/)).toEqual([])
    })

    test('close tells what is left, and after it nothing is told', async () => {
      const [teller, [, ears]] = [await open(), await alone()]
      for (const n of range(1, 5_001)) teller.tell(7, look(n))
      await teller.close()
      teller.tell(7, look(6_000, 6_001))
      expect(teller.counts).toMatchObject({ told: 5_000, dropped: 2 })
      await soon(() => expect(ears.devices).toEqual(new Set(range(1, 5_001))))
      await teller.close()
    })

    test('close ends soon also where nobody answers or is there, and counts what was not told', async () => {
      const [silent, deaf] = [(await alone())[0], await open({ lookMs: 60_000, answerMs: 60_000 })]
      await ground.stall()
      deaf.tell(7, look(1, 2))
      await Promise.all([silent.close(), deaf.close()])
      expect(deaf.counts).toEqual({ told: 0, heard: 0, dropped: 2, refused: 0 })
      const unreached = await open()
      unreached.tell(7, look(3))
      await unreached.close()
      expect(unreached.counts.dropped).toBe(1)
      ground.stallOver()
      await ground.down()
      const refused = await open()
      refused.tell(7, look(4))
      await refused.close()
      expect(refused.counts.dropped).toBe(1)
    })
  })
}
