// Every store does what the memory store does: the same random history of steps, stale commits, purges, fleet changes and reports of devices on
// both, and the same answers. The changes come from the rules themselves, so that what is tried is what the engine writes.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Kind, State } from '../src/core/command.ts'
import { Ids } from '../src/core/ids.ts'
import { decide, type Input, type Queue } from '../src/core/queue.ts'
import type { Nodes } from '../src/store/nodes.ts'
import type { Condition, DataChange, DeviceChange, Store } from '../src/store/store.ts'
import type { ChangeFilter } from '../src/store/stream.ts'
import { bodyRow, deviceRow, event, ORG, smallFleet, stores, T0 } from './rig/store.ts'

const [reference, ...others] = stores

const DEVICES = 3

/** One of the values, as often as its weight says. */
const weighted = <T>(...choices: readonly (readonly [weight: number, value: T])[]) =>
  fc.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })))

const mostly = weighted([6, true], [1, false])

/** What is drawn for one device in one batch; numbers pick among what is there when it runs. */
const stepArbitrary = fc.record({
  device: fc.nat(DEVICES - 1),
  input: weighted(
    [5, 'enqueue' as const],
    [4, 'reply' as const],
    [1, 'cancel' as const],
    [1, 'cancelAll' as const],
    [1, 'connected' as const],
    [1, 'disconnected' as const],
    [1, 'unsent' as const],
    [1, 'ready' as const],
    [1, 'tick' as const],
    [1, 'activated' as const],
    [1, 'disable' as const],
    [1, 'enable' as const],
    [1, 'delete' as const],
  ),
  pick: fc.nat(5),
  instant: fc.boolean(),
  present: mostly,
  ready: mostly,
  silent: fc.boolean(),
  success: fc.boolean(),
  /** the key of a call that may be repeated, and what was asked under it */
  key: weighted<string | null>([2, null], [1, 'k0'], [1, 'k1']),
  /** decide on the queue as it was loaded before the last commit */
  stale: weighted([9, false], [1, true]),
})
type Step = typeof stepArbitrary extends fc.Arbitrary<infer T> ? T : never

const label = fc.constantFrom('a', 'b', 'c', '', 'ä')
const json = fc.constantFrom('1', '[]', '{"n":"\\u0000"}')
/** What a device reports, without the device. */
const reportArbitrary = fc.oneof(
  fc.record({
    type: fc.constant('measurepoints' as const),
    values: fc.array(
      fc.record({ pointId: label, valueJson: json, quality: fc.constantFrom(null, 1, 0.5), at: fc.nat(5) }),
      { maxLength: 4 },
    ),
  }),
  fc.record({
    type: fc.constant('event' as const),
    event: fc.record({ eventId: label, outputJson: json, at: fc.nat(5) }),
  }),
  fc.record({
    type: fc.constantFrom('attributes' as const, 'tags' as const),
    set: fc.array(fc.tuple(label, json), { maxLength: 4 }),
    remove: fc.array(label, { maxLength: 3 }),
  }),
)

const moveArbitrary = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      type: fc.constant('batch' as const),
      passMs: weighted([2, 0], [2, 1], [3, 1_000], [1, 20_000], [1, 90_000]),
      steps: fc.uniqueArray(stepArbitrary, { minLength: 1, maxLength: DEVICES, selector: step => step.device }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('purge' as const),
      agoMs: fc.nat(100_000),
      limit: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('fleet' as const), device: fc.nat(DEVICES - 1), disabled: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('broken' as const), device: fc.nat(DEVICES - 1) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('report' as const),
      device: fc.nat(DEVICES - 1),
      changes: fc.array(reportArbitrary, { minLength: 1, maxLength: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('forget' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('place' as const), limit: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('endSessions' as const), node: fc.constantFrom(0, 7) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('add' as const), device: fc.nat(DEVICES - 1) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('gateway' as const),
      device: fc.nat(DEVICES - 1),
      from: fc.option(fc.nat(DEVICES - 1)),
      to: fc.option(fc.nat(DEVICES - 1)),
    }),
  },
)
type Move = typeof moveArbitrary extends fc.Arbitrary<infer T> ? T : never

const KEYS = ['k0', 'k1', 'k2'].map(key => ({ application: 'app1', key }))

/** Everything in the stream by device, where only the order of each device is the same on every store. */
async function streamOf(store: Store, filter: ChangeFilter | null) {
  const byDevice = new Map<number, unknown[]>()
  let last = 0
  for (let after = 0; ; ) {
    const { changes, upTo, isFull } = await store.changesAfter(after, filter, 5, 7)
    for (const { position, ...change } of changes) {
      expect(position).toBeGreaterThan(last)
      last = position
      byDevice.set(change.device.deviceId, [...(byDevice.get(change.device.deviceId) ?? []), change])
    }
    if (!isFull) return [...byDevice].sort(([a], [b]) => a - b)
    after = upTo
  }
}

/** One history on two stores, compared at each move. */
class History {
  /** numbers of the devices by their place; of one that was deleted its last */
  readonly ids: number[] = []
  /** all that ever were */
  readonly everyId = new Set<number>()
  readonly commandIds: string[] = []
  #now = T0
  readonly #generator = new Ids(0, null)
  readonly #before = new Map<number, Queue>()

  constructor(
    readonly memory: Store & Nodes,
    readonly store: Store & Nodes,
  ) {}

  /** The same question to both, who must answer alike. */
  async both<T>(ask: (store: Store & Nodes) => Promise<T>): Promise<T> {
    const expected = await ask(this.memory)
    expect(await ask(this.store)).toEqual(expected)
    return expected
  }

  async start(): Promise<void> {
    const assetIds = Array.from({ length: DEVICES }, (_, n) => `a${n}`)
    await this.both(store => store.applyFleet(smallFleet(...assetIds), this.#now))
    for (const place of assetIds.keys()) await this.#look(place)
    const connect = { input: 'connected', pick: 0, instant: false, present: true, ready: true, silent: false } as const
    await this.#batch(this.ids.map((_, device) => ({ device, ...connect, success: true, key: null, stale: false })))
  }

  async #look(place: number): Promise<void> {
    const device = await this.both(store => store.deviceByAsset(`a${place}`))
    if (device === null) return
    this.ids[place] = device.id
    this.everyId.add(device.id)
  }

  async move(move: Move): Promise<void> {
    switch (move.type) {
      case 'batch':
        this.#now += move.passMs
        return this.#batch(move.steps)
      case 'purge':
        await this.both(store => store.purge(this.#now - move.agoMs, move.limit))
        return
      case 'fleet': {
        const { disabled } = move
        const row = deviceRow(`a${move.device}`, { disabled })
        await this.both(store => store.applyFleet({ ...smallFleet(), devices: [row] }, this.#now))
        return this.#look(move.device)
      }
      case 'forget':
        await this.both(store => store.purgeTokens(this.#now))
        return
      case 'place':
        // Of each only as many as it needs: memory has none without a place.
        await this.store.placeEvents(move.limit)
        return
      case 'endSessions':
        await this.both(store => store.endSessions(move.node))
        return
      case 'report': {
        const deviceId = this.ids[move.device]!
        const changes: DataChange[] = move.changes.map(change => ({ ...change, deviceId }))
        await this.both(store => store.saveData(changes))
        return
      }
      case 'add': {
        const row = deviceRow(`a${move.device}`)
        await this.both(store => store.addDevices([row], this.#now).then(String, String))
        return this.#look(move.device)
      }
      case 'gateway': {
        const name = (place: number | null): string | null => (place === null ? null : `a${place}`)
        const moves = [{ assetId: `a${move.device}`, from: name(move.from), to: name(move.to) }]
        await this.both(store => store.moveDevices(moves).then(String, String))
        return
      }
      case 'broken':
        return this.#broken(this.ids[move.device]!)
    }
  }

  async #batch(steps: readonly Step[]): Promise<void> {
    const keys = steps.map(({ device, key }) => {
      const named = { deviceId: this.ids[device]!, commandIds: this.commandIds }
      return key === null ? named : { ...named, keys: KEYS }
    })
    const queues = await this.both(store => store.load(keys))
    let lastCommandId: string | null = null
    const changes = steps.flatMap((step, n) => {
      const loaded = queues[n] ?? null
      if (loaded === null) return []
      const queue = step.stale ? (this.#before.get(loaded.deviceId) ?? loaded) : loaded
      this.#before.set(loaded.deviceId, loaded)
      const input = this.#input(step, queue)
      if (input.type === 'enqueue') lastCommandId = input.id
      return [this.#change(step, queue, input)]
    })
    await this.both(store => store.commit({ node: 0, lastCommandId, now: this.#now, changes }))
  }

  #input(step: Step, queue: Queue): Input {
    const known = [...queue.named, ...queue.open]
    const target = known[step.pick % Math.max(known.length, 1)]?.id ?? '1'
    switch (step.input) {
      case 'enqueue': {
        const id = this.#generator.next(this.#now, queue.lastCommandId)!
        this.commandIds.push(id)
        const pendingTtlS = step.instant ? 0 : 60
        const kind = step.success ? Kind.set : Kind.invoke
        const input = { type: 'enqueue', id, kind, identifier: 'point', timeoutS: 30, pendingTtlS, by: 'app1' } as const
        if (step.key === null) return input
        const requestHash = step.instant ? 'aa' : 'bb'
        return { ...input, repeatable: { application: 'app1', key: step.key, requestHash, keepMs: 20_000 } }
      }
      case 'cancel':
        return { type: 'cancel', commandId: target, by: 'app1' }
      case 'cancelAll':
        return { type: 'cancel', commandId: null, by: 'app1' }
      case 'connected':
        return { type: 'connected', activates: step.success }
      case 'disconnected':
        return { type: 'disconnected', session: queue.sessionNo, reason: 'closed' }
      case 'reply': {
        const sent = queue.open.find(({ state }) => state === State.sent)?.id
        const code = step.success ? 200 : 5
        const outputs = { message: 'm', outputJson: '{"ok":"\\u0000"}' }
        return { type: 'reply', commandId: sent ?? target, code, deviceCode: String(code), ...outputs }
      }
      case 'unsent':
        return { type: 'unsent', commandId: target, session: queue.sessionNo, reason: 'sessionGone' }
      case 'disable':
      case 'enable':
      case 'delete':
        return { type: step.input, by: 'app1' }
      case 'ready':
      case 'tick':
      case 'activated':
        return { type: step.input }
    }
  }

  /** What the rules make of the input, as rows: a command that was not loaded is an insert, any other an update. */
  #change(step: Step, queue: Queue, input: Input): DeviceChange {
    const presence = step.present ? { session: queue.sessionNo, ready: step.ready, silent: step.silent } : null
    const decision = decide(queue, input, {
      now: this.#now,
      node: step.instant ? 7 : 0,
      others: null,
      presence,
      dispatch: true,
      queueCap: 5,
    })
    const states = new Map([...queue.named, ...queue.open].map(({ id, state }) => [id, state]))
    const isNew = ({ id }: { id: string }): boolean => !states.has(id)
    return {
      queue: decision.queue,
      inserts: decision.changed.filter(isNew).map(command => ({ command, body: bodyRow() })),
      updates: decision.changed.flatMap(command => {
        const from = states.get(command.id)
        return from === undefined ? [] : [{ command, from }]
      }),
      outcomes: decision.outcomes,
      events: decision.events,
      kept: decision.kept,
    }
  }

  /** A batch whose guard does not hold is refused by both, and leaves nothing behind. */
  async #broken(deviceId: number): Promise<void> {
    const [queue] = await this.both(store => store.load([{ deviceId, commandIds: this.commandIds }]))
    const command = [...(queue?.open ?? []), ...(queue?.named ?? [])][0]
    if (command === undefined) return
    const from = command.state === State.created ? State.sent : State.created
    const change: DeviceChange = {
      queue: { ...queue!, sessionNo: 99 },
      inserts: [],
      updates: [{ command, from }],
      outcomes: [],
      events: [event(queue!.eventSeq + 1, command.id)],
    }
    const batch = { node: 0, lastCommandId: null, now: this.#now + 1, changes: [change] }
    const message = await this.both(store => store.commit(batch).then(String, String))
    expect(message).toMatch(/no longer in state/)
  }

  async compare(): Promise<void> {
    const conditions: readonly (Condition | null)[] = [
      null,
      { op: 'state', states: [State.created, State.sent], negated: false },
      { op: 'created', from: this.#now - 30_000, to: this.#now },
    ]
    await this.both(store =>
      store.load([...this.everyId].map(deviceId => ({ deviceId, commandIds: this.commandIds, keys: KEYS }))),
    )
    await this.both(store => store.bodies(this.commandIds))
    for (let place = 0; place < DEVICES; place += 1) {
      await this.both(store => store.deviceByKeys('pk1', `key-a${place}`))
      await this.both(store => store.subDevices(`a${place}`))
      await this.both(store => store.countSubDevices(`a${place}`))
    }
    for (const deviceId of this.everyId) {
      await this.both(store => store.deviceName(deviceId))
      await this.both(async store => {
        const line = await store.deviceLine(deviceId)
        return [line?.waiting, line?.oldestWaitingAt]
      })
      await this.both(store => store.latestValues(deviceId, null))
      await this.both(store => store.latestValues(deviceId, ['b', 'a', 'x', 'a']))
      await this.both(store => store.latestEvents(deviceId))
      await this.both(async store => [...(await store.attributes(deviceId))])
      await this.both(async store => [...(await store.tags(deviceId, ['b', 'a', 'x', 'a']))])
      await this.both(store => store.reportedBytes('measurepoints', deviceId, null))
      await this.both(store => store.events(deviceId, null, 100))
      await this.both(store => store.events(deviceId, null, 3))
      for (const condition of conditions) await this.both(store => store.search(deviceId, condition, 1, 5))
      for (const commandId of this.commandIds) {
        await this.both(store => store.command(deviceId, commandId))
        await this.both(store => store.events(deviceId, commandId, 100))
      }
    }
    for (const at of [this.#now, this.#now + 45_000])
      await this.both(async store => (await store.due(at, 10_000)).sort((a, b) => a - b))
    await this.both(store => store.nextDue())
    await this.both(store => store.sessions([...this.everyId, 9_999]))
    await this.both(async store => (await store.settledOf(this.commandIds)).sort())
    for (const node of [0, 7]) {
      await this.both(async store => (await store.dueFor(node, this.#now + 45_000, 0, 10_000)).sort((a, b) => a - b))
      await this.both(store => store.wanting(node, 2))
      await this.both(store => store.wanting(node, 2, this.ids[0]))
    }
    await this.both(async store => [...(await store.countByState())].sort())
    await this.both(store => store.node(0))
    await this.#compareChanges()
  }

  async #compareChanges(): Promise<void> {
    while ((await this.store.placeEvents(3)) > 0);
    for (const commandId of this.commandIds) await this.both(store => store.timeline(commandId, 5))
    const all: ChangeFilter = { orgId: ORG, reach: 'all', productKey: null, assetId: null, to: null }
    const filters = [null, all, { ...all, to: [State.sent, State.failed] }, { ...all, assetId: 'a1' }]
    for (const filter of filters) await this.both(store => streamOf(store, filter))
    await this.both(async store => {
      const { given, lost } = await store.streamEnds()
      expect(lost).toBeLessThanOrEqual(given)
      return lost > 0
    })
    await this.both(async store => {
      const tallies = await store.tallies(ORG, null, T0 - (T0 % 60_000), this.#now + 60_000, 60_000)
      return tallies.map(({ at, from, to, n }) => [at, from ?? 0, to, n].join()).sort()
    })
  }
}

describe.each(others)('$name', ({ open, stop }) => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'downlink-agree-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))
  afterAll(stop)

  test('agrees with the memory store on any history', { timeout: 300_000 }, async () => {
    let run = 0
    let [deleted, kept, lost] = [0, 0, 0]
    const reached = new Set<State>()
    await fc.assert(
      fc.asyncProperty(fc.array(moveArbitrary, { minLength: 20, maxLength: 40 }), async moves => {
        const place = join(folder, String(run++))
        mkdirSync(place)
        const store = await open(place)
        try {
          const history = new History(await reference!.open(place), store)
          await history.start()
          for (const move of moves) {
            await history.move(move)
            for (const state of (await store.countByState()).keys()) reached.add(state)
          }
          await history.compare()
          deleted += history.everyId.size - DEVICES
          const keys = [...history.everyId].map(deviceId => ({ deviceId, commandIds: [], keys: KEYS }))
          kept += (await store.load(keys)).flatMap(queue => queue?.kept ?? []).length
          lost += (await store.streamEnds()).lost
        } finally {
          await store.close()
          rmSync(place, { recursive: true })
        }
      }),
      // Not made smaller: that takes minutes here. The seed repeats it.
      { numRuns: 30, endOnFailure: true },
    )
    // The histories went everywhere: otherwise they would agree about nothing.
    expect([...reached].sort()).toEqual([1, 2, 3, 4, 5, 6, 7])
    for (const count of [deleted, kept, lost]) expect(count).toBeGreaterThan(0)
  })
})
