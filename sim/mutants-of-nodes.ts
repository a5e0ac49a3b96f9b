// Faults of what several nodes have between them: leases, clocks, who holds a device, and what a lost signal leaves. Tried with three nodes. Data only.
// Not among them: a signal that is not sent. Signals only make it quicker, and worlds in which none arrives show that nothing else depends on them.

import { type Mutant, of } from './mutant.ts'

const NODES = 3
const ofThree = (file: string, faults: Parameters<typeof of>[1]): Mutant[] => of(file, faults, 'memory', NODES)

const steps = ofThree('src/core/step.ts', [
  {
    name: 'nodes-others-devices-are-away',
    find: 'return this.presence === null && this.elsewhere === null',
    replace: 'return this.presence === null',
    breaks: 'a call fails when the node that takes it is not the one of the device',
  },
  {
    name: 'nodes-new-ones-are-unknown',
    find: 'return others.alive.has(sessionNode) || isNew || isOld ? sessionNode : null',
    replace: 'return others.alive.has(sessionNode) || isOld ? sessionNode : null',
    breaks: 'after a node has started, devices that come to it count as away for a second',
  },
])

const rules = ofThree('src/core/queue.ts', [
  {
    name: 'nodes-lapse-without-slack',
    find: 'command.state === State.sent && !isHere ? NODE_MARGIN_MS : 0',
    replace: '0',
    breaks: 'a command is called timed out, and then sent by a node whose clock is a little behind',
  },
  {
    name: 'nodes-end-of-an-older-session',
    find: 'if (input.session !== step.device.sessionNo) return\n',
    replace: 'if (input.session !== step.device.sessionNo && step.device.sessionNode === step.situation.node) return\n',
    breaks: 'a device that has moved to another node is said to be gone when its old connection ends',
  },
  {
    name: 'nodes-session-without-its-node',
    find: '    sessionNode: node,\n',
    replace: '    sessionNode: step.device.sessionNode ?? node,\n',
    breaks: 'a device that moves from one node to another gets nothing any more',
  },
  {
    name: 'nodes-disabled-keeps-its-session',
    find: 'disabled: true, sessionNode: null, lastOfflineAt',
    replace: 'disabled: true, lastOfflineAt',
    breaks: 'a device that was disabled on one node stays connected to another',
  },
])

const engine = ofThree('src/engine.ts', [
  {
    name: 'nodes-publish-without-a-look-at-the-lease',
    find: 'return this.#options.cluster.mayPublish()',
    replace: 'return true',
    breaks: 'a node that was paused sends what another has given up, or sends',
  },
  {
    name: 'nodes-batch-without-its-life',
    find: 'cluster.epoch === null ? {} : { epoch: cluster.epoch }',
    replace: '{}',
    breaks: 'a process whose number is another’s goes on writing',
  },
  {
    name: 'nodes-old-link-stays',
    find: 'if (record?.sessionNo === here.session && record.sessionNode === this.#options.ids.node) return\n',
    replace: 'if (record !== null) return\n',
    breaks: 'a device that has moved, or was disabled elsewhere, keeps its old connection',
  },
])

const batch = ofThree('src/batch.ts', [
  {
    name: 'nodes-moving-is-going',
    find: "const begins = done.some(({ answer }) => answer.ok && 'session' in answer && answer.session === queue.sessionNo)",
    replace: 'const begins = done.length < 0 && queue.sessionNo === 0',
    breaks: 'instant commands fail as a device moves from one node to another',
  },
])

const session = ofThree('src/mqtt/session.ts', [
  {
    name: 'nodes-held-leaves-without-a-look-at-the-lease',
    find: 'if (this.#terms.mayPublish()) this.#write(held, now)',
    replace: 'if (now >= 0) this.#write(held, now)',
    breaks: 'what waited for room leaves a node that was paused',
  },
])

const upkeep = ofThree('src/upkeep.ts', [
  {
    name: 'nodes-nobody-looks-for-work',
    find: 'const looks = [this.#lookForWork(), ',
    replace: 'const looks = [',
    breaks: 'where a signal is lost, a command waits though its device is ready',
  },
  {
    name: 'nodes-nobody-looks-for-answers',
    find: 'this.#lookForAnswers(), ',
    replace: '',
    breaks: 'where a signal is lost, a caller waits for ever',
  },
  {
    name: 'nodes-nobody-looks-for-old-links',
    find: ', this.#lookForOldLinks()]',
    replace: ']',
    breaks: 'where a signal is lost, a device has two connections',
  },
  {
    name: 'nodes-overdue-callers-are-forgotten',
    find: 'await Promise.all(this.#engine.overdue(clock.now()).map(deviceId => this.#engine.tick(deviceId)))',
    replace: 'void clock',
    breaks: 'a caller waits for a command of a device whose node hangs, long after its deadline',
  },
  {
    name: 'nodes-only-the-own-timer',
    find: 'if (!this.#isAlone) return this.arm(isFull && !failed ? clock.now() + SWEEP_SOON_MS : soon)\n',
    replace: '',
    breaks: 'what a node that died has left lapses only when somebody looks',
  },
])

const membership = ofThree('src/cluster/membership.ts', [
  {
    name: 'nodes-lease-outlived',
    find: 'passedMs < NODE_LEASE_MS - NODE_MARGIN_MS',
    replace: 'passedMs < 4 * NODE_LEASE_MS - NODE_MARGIN_MS',
    breaks: 'a node that cannot reach the store goes on sending what others have taken over',
  },
  {
    name: 'nodes-sends-without-the-time',
    find: 'isKept && this.#knowsTheTime()',
    replace: 'isKept',
    breaks: 'a machine that slept sends what is long over, before it has learned the time',
  },
  {
    name: 'nodes-clock-is-never-set',
    find: 'const isGood = this.clock.steer(time)',
    replace: 'const isGood = time.answeredAt >= 0',
    breaks: 'the clock of a node goes wrong for good after its machine has slept',
  },
  {
    name: 'nodes-first-look-is-believed',
    find: 'const askedAt = isGood ? asked.mono : answeredAt\n',
    replace: 'const askedAt = isGood ? asked.mono : asked.mono + 0\n',
    breaks: 'a node that starts while the store is slow is seconds ahead, and has commands lapse early',
  },
  {
    name: 'nodes-the-dead-are-never-forgotten',
    find: 'this.#others = { alive, asOf',
    replace: 'this.#others = { alive: new Set([...this.#others.alive, ...alive]), asOf',
    breaks: 'instant commands wait for devices of a node that is gone, instead of failing at once',
  },
  {
    name: 'nodes-lost-lease-goes-unheard',
    find: 'if (wasIn) this.#options.ended()\n',
    replace: 'void wasIn\n',
    breaks: 'a process that has lost its number stays, takes calls, and does nothing for them',
  },
])

const store = ofThree('src/store/memory-nodes.ts', [
  {
    name: 'nodes-anybody-may-write',
    find: 'if (epoch !== undefined && epoch !== this.#entry(node).epoch)',
    replace: 'if (epoch !== undefined && epoch > this.#entry(node).epoch)',
    breaks: 'a process whose number is another’s goes on writing',
  },
  {
    name: 'nodes-number-taken-too-early',
    find: 'return until === null || until <= this.#now()',
    replace: 'return until === null || until - 2_500 <= this.#now()',
    breaks: 'two processes have one number, and give the same ids',
  },
  {
    name: 'nodes-lost-lease-renewed',
    find: 'if (before.epoch !== epoch) return null',
    replace: 'if (before.epoch < epoch) return null',
    breaks: 'two processes have one number, and give the same ids',
  },
  {
    name: 'nodes-nobody-inherits',
    find: 'return until === null || until + marginMs < storeNow',
    replace: 'return until === null && marginMs < storeNow',
    breaks: 'what a node that died had sent never times out',
  },
])

export const ofNodes: readonly Mutant[] = [
  ...steps,
  ...rules,
  ...engine,
  ...batch,
  ...session,
  ...upkeep,
  ...membership,
  ...store,
]
