// Faults around the core: the engine with its upkeep and its waiters, and the stores. Data only.

import { of } from './mutant.ts'

export const engine = of('src/engine.ts', [
  {
    name: 'stop-forgets-callers-in-flight',
    find: "if (this.#stopping) return { ...answer, settlement: Promise.resolve({ type: 'stopping', command }) }\n",
    replace: '',
    breaks: 'a caller whose command is committed while the server stops gets no answer',
  },
  {
    name: 'read-without-settling',
    find: "return due ? this.apply(deviceId, { type: 'tick' }) : { ok: true }",
    replace: 'return { ok: true }',
    breaks: 'a search shows a command as created after its expiry',
  },
  {
    name: 'publish-before-commit',
    find: 'plan = await this.#plan(entries)\n',
    replace:
      "plan = await this.#plan(entries)\n      for (const { deviceId, effects } of plan.works) for (const effect of effects.splice(0)) if (effect.type === 'publish') this.#links.get(deviceId)?.link.publish({ ...effect, inputJson: String(plan.inputs.get(effect.commandId)) })\n      else effects.push(effect)\n",
    breaks: 'after a crash a command that the device carried out is sent again, or can be cancelled',
  },
  {
    name: 'callers-told-before-commit',
    find: 'plan = await this.#plan(entries)\n',
    replace:
      "plan = await this.#plan(entries)\n      for (const { effects } of plan.works) for (const effect of effects) if (effect.type === 'settled') this.#waiters.written(effect.command, null)\n",
    breaks: 'a caller is told of a success that a crash takes back',
  },
  {
    name: 'cancel-answered-before-commit',
    find: 'add(work, entry, decision)\n',
    replace: "add(work, entry, decision)\n    if (input.type === 'cancel') entry.resolve(decision.answer)\n",
    breaks: 'a cancel is confirmed, the commit fails, and the command is sent',
  },
  {
    name: 'accepted-before-commit',
    find: 'add(work, entry, decision)\n',
    replace:
      "add(work, entry, decision)\n    if (entry.input.type === 'new' && !entry.input.wait) entry.resolve({ ...decision.answer, settlement: null } as Accepted)\n",
    breaks: 'a command is accepted, and lost in a crash',
  },
  {
    name: 'stale-taken-for-committed',
    find: 'if (stale.has(work.deviceId)) this.#again(work)\n      else',
    replace: '',
    breaks: 'a caller is told that a command is accepted which is nowhere on record',
  },
  {
    name: 'batch-again-after-partial-success',
    find: 'if (stale.has(work.deviceId)) this.#again(work)',
    replace: 'if (stale.size > 0) this.#again(work)',
    breaks: 'one call puts two commands on record, and the device carries out both',
  },
  {
    name: 'batch-fails-as-a-whole',
    find: 'if (only && entries.length === 1) return this.#fail(only, error)',
    replace: 'if (only) { for (const entry of entries) this.#fail(entry, error); return }',
    breaks: 'one bad input takes those of other devices with it',
  },
  {
    name: 'failed-step-never-made-up-for',
    find: "if (input.type !== 'new' && input.type !== 'cancel' && input.type !== 'tick') this.#goOnLater(deviceId)",
    replace: 'void 0',
    breaks: 'after a hiccup of the store a device that is connected gets nothing any more',
  },
  {
    name: 'old-connection-left-open',
    find: 'before?.link.takenOver()',
    replace: '',
    breaks: 'a device has two connections, and the old one is never closed',
  },
  {
    name: 'suspect-not-told-to-the-link',
    find: 'if (here?.session === effect.session) here.link.suspect()',
    replace: '',
    breaks: 'the queue is poured into a connection that is dead',
  },
  {
    name: 'evicted-link-kept',
    find: '    this.#links.delete(deviceId)\n    here.link.evicted(why)\n',
    replace: '    here.link.evicted(why)\n',
    breaks: 'a device that was disabled counts as online',
  },
  {
    name: 'evicted-link-not-told',
    find: '    this.#links.delete(deviceId)\n    here.link.evicted(why)\n',
    replace: '    this.#links.delete(deviceId)\n',
    breaks: 'the connection of a disabled device stays open',
  },
  {
    name: 'unsent-dropped',
    find: "else void this.apply(work.deviceId, { type: 'unsent', commandId, session, reason })",
    replace: '',
    breaks: 'a command that never left is reported as timed out, and its device waits for nothing',
  },
  {
    name: 'unsent-to-the-tail',
    find: "if (input.type === 'unsent') this.#pending.unshift(entry)",
    replace: "if (input.type === 'unsent') this.#pending.push(entry)",
    breaks: 'a command that never left is taken for sent by what was decided meanwhile',
  },
  {
    name: 'nothing-arms-the-timer',
    find: 'this.#upkeep.arm(lapsesAt(command))\n',
    replace: '',
    breaks: 'a command expires only when somebody looks',
  },
])

export const upkeep = of('src/upkeep.ts', [
  {
    name: 'start-forgets-what-is-due',
    find: 'if (next !== null) this.arm(next)\n',
    replace: '',
    breaks: 'after a restart nothing expires and nothing times out',
  },
  {
    name: 'an-earlier-instant-is-ignored',
    find: 'if (this.#stopping || instant >= this.#armedAt) return',
    replace: 'if (this.#stopping || this.#armedAt < Number.POSITIVE_INFINITY) return',
    breaks: 'a command with a short life lapses with the long ones',
  },
  {
    name: 'wake-up-lost-while-sweeping',
    find: 'this.#sweepAgain = true',
    replace: 'this.#sweepAgain = this.#sweeping === null',
    breaks: 'a deadline that falls into a running sweep is missed',
  },
  {
    name: 'next-due-ignored',
    find: 'if (next !== null) this.arm(failed',
    replace: 'if (next !== null && failed) this.arm(failed',
    breaks: 'after the first command nothing expires any more',
  },
  {
    name: 'sweep-gives-up-after-a-failure',
    find: 'this.arm(clock.now() + RETRY_AFTER_MS)\n',
    replace: '',
    breaks: 'one hiccup of the store, and nothing expires any more',
  },
])

export const waiters = of('src/waiters.ts', [
  {
    name: 'stop-forgets-the-callers',
    find: "for (const waiting of this.#waiting.values()) this.#tell(waiting, { type: 'stopping', command: waiting.command })",
    replace: '',
    breaks: 'callers who wait when the server stops get no answer',
  },
  {
    name: 'waiter-registered-too-late',
    find: 'this.#waiting.set(command.id, { deviceId, command, callers })\n',
    replace: 'queueMicrotask(() => this.#waiting.set(command.id, { deviceId, command, callers }))\n',
    breaks: 'the caller of an instant command that settles at once hangs',
  },
  {
    name: 'waiter-dropped-on-cancel',
    find: "this.#tell(waiting, { type: 'settled', command, outcome })",
    replace: "if (command.state !== 2) this.#tell(waiting, { type: 'settled', command, outcome })",
    breaks: 'who waits for a command that somebody cancels hangs',
  },
  {
    name: 'waiter-dropped-on-offline',
    find: "this.#tell(waiting, { type: 'settled', command, outcome })",
    replace: "if (command.code !== 11900) this.#tell(waiting, { type: 'settled', command, outcome })",
    breaks: 'who waits for a command whose device goes away hangs',
  },
  {
    name: 'waiter-told-an-old-state',
    find: "this.#tell(waiting, { type: 'settled', command, outcome })",
    replace: "this.#tell(waiting, { type: 'settled', command: waiting.command, outcome })",
    breaks: 'the caller is told "created" of a command that is done',
  },
])

export const batch = of('src/batch.ts', [
  {
    name: 'suspect-forgotten-within-a-batch',
    find: "effect.type === 'suspect' && effect.session === linked?.session",
    replace: "effect.type === 'suspect' && effect.session === -1",
    breaks: 'a second command goes into a connection that was just found dead',
  },
  {
    name: 'evicted-last',
    find: "effects.filter(({ type }) => type === 'evict'),\n  ...effects.filter(({ type }) => type !== 'evict'),",
    replace: 'effects,',
    breaks: 'a command leaves for a device that is on record as disabled',
  },
])

const memoryEntry = of('src/store/memory-entry.ts', [
  {
    name: 'memory-purge-takes-open-ones',
    find: 'return command === undefined || isOpen(command.state) ? null : command.settledAt',
    replace: 'return command === undefined ? null : (command.settledAt ?? command.createdAt)',
    breaks: 'a command that waits for its device for long is deleted',
  },
  {
    name: 'memory-queue-unordered',
    find: 'filter(command => command !== undefined).sort(byId)',
    replace: 'filter(command => command !== undefined).sort((a, b) => a.timeoutS - b.timeoutS)',
    breaks: '"open" and "close" arrive as "close" and "open"',
  },
])

const memoryDevices = of('src/store/memory-devices.ts', [
  {
    name: 'memory-records-go-with-the-device',
    find: '    this.byId.delete(id)\n',
    replace: '    this.byId.delete(id)\n    this.recorded.delete(id)\n',
    breaks: 'what a deleted device was sent cannot be looked up any more',
  },
])

const memoryStore = of('src/store/memory.ts', [
  {
    name: 'memory-disabled-not-written',
    find: 'if (entry.row.disabled !== disabled) entry.row = keep({ ...entry.row, disabled })',
    replace: '',
    breaks: 'a device that was disabled comes back at once',
  },
  {
    name: 'memory-version-guard',
    find: 'if (entry?.queue.version === change.queue.version) staged.push',
    replace: 'if (entry) staged.push',
    breaks: 'what was decided on an old picture of a device is written over the new one',
  },
  {
    name: 'memory-due-late-by-one',
    find: 'some(command => now >= lapsesAt(command))',
    replace: 'some(command => now > lapsesAt(command))',
    breaks: 'the sweep comes too early, finds nothing, and spins',
  },
  {
    name: 'memory-cancelled-stays-open',
    find: 'if (isOpen(row.command.state)) entry.open.add(id)',
    replace: 'if (isOpen(row.command.state) || row.command.state === State.cancelled) entry.open.add(id)',
    breaks: 'the sweep finds a cancelled command due, again and again',
  },
])

export const memory = [...memoryEntry, ...memoryDevices, ...memoryStore]

export const sqliteStatements = of(
  'src/store/sqlite-statements.ts',
  [
    {
      name: 'sqlite-load-forgets-sent',
      find: 'where c.device_id = ? and c.state in (1, 4) order by c.id',
      replace: 'where c.device_id = ? and c.state in (1, 4) and c.state = 1 order by c.id',
      breaks: 'a device gets a command while it works on another, and no answer finds its command',
    },
    {
      name: 'sqlite-queue-unordered',
      find: 'c.state in (1, 4) order by c.id',
      replace: 'c.state in (1, 4) order by c.timeout_s',
      breaks: '"open" and "close" arrive as "close" and "open"',
    },
    {
      name: 'sqlite-version-guard',
      find: 'where id = ? and version = ? returning',
      replace: 'where id = ? and ? >= 0 returning',
      breaks: 'what was decided on an old picture of a device is written over the new one',
    },
    {
      name: 'sqlite-high-water-lowered',
      find: 'last_command_id = max(coalesce(',
      replace: 'last_command_id = min(coalesce(',
      breaks: 'after a restart a new command gets the id of an old one',
    },
    {
      name: 'sqlite-clock-floor-lost',
      find: 'clock_at = max(clock_at, excluded.clock_at)',
      replace: 'clock_at = min(clock_at, excluded.clock_at)',
      breaks: 'after a restart with the clock set back, what was expired is alive again',
    },
    {
      name: 'sqlite-due-late-by-one',
      find: 'where state = 4 and deadline_at <= ?',
      replace: 'where state = 4 and deadline_at < ?',
      breaks: 'the sweep comes too early, finds nothing, and spins',
    },
    {
      name: 'sqlite-due-too-early',
      find: 'where state = 1 and expire_at <= ?',
      replace: 'where state = 1 and expire_at <= ? - 60000',
      breaks: 'a command expires a minute late',
    },
  ],
  'sqlite',
)

const sqliteCommit = of(
  'src/store/sqlite-commit.ts',
  [
    {
      name: 'sqlite-write-order',
      find: `if (from === State.sent) this.#updateCommand(queue.deviceId, command, from)
    for (const { queue, updates } of changes)
      for (const { command, from } of updates)
        if (from !== State.sent) this.`,
      replace: `if (from !== State.sent) this.#updateCommand(queue.deviceId, command, from)
    for (const { queue, updates } of changes)
      for (const { command, from } of updates)
        if (from === State.sent) this.`,
      breaks: 'an answer cannot be stored while another command waits',
    },
    {
      name: 'sqlite-disabled-not-written',
      find: 'queue.disabled ? 1 : 0,',
      replace: '0,',
      breaks: 'a device that was disabled comes back at once',
    },
    {
      name: 'sqlite-deleted-stays',
      find: '    this.#sql.deleteDevice.run(deviceId)\n',
      replace: '',
      breaks: 'a deleted device logs in as before',
    },
    {
      name: 'sqlite-settled-at-lost',
      find: '      command.sentAt,\n      command.settledAt,\n      command.sentSession,\n      command.code,',
      replace: '      command.sentAt,\n      null,\n      command.sentSession,\n      command.code,',
      breaks: 'final commands are never purged, and the disk fills',
    },
  ],
  'sqlite',
)

const sqliteChanges = of(
  'src/store/sqlite-changes.ts',
  [
    {
      name: 'sqlite-events-not-written',
      find: 'for (const event of events) this.#insert(deviceId, event)',
      replace: 'for (const event of events.slice(1)) this.#insert(deviceId, event)',
      breaks: 'the event log has holes',
    },
  ],
  'sqlite',
)

const sqliteStore = of(
  'src/store/sqlite.ts',
  [
    {
      name: 'sqlite-deadlines-not-due',
      find: 'const instants = [expiring.at, awaited.at]',
      replace: 'const instants = [expiring.at]',
      breaks: 'after a restart nothing that was sent times out',
    },
  ],
  'sqlite',
)

export const sqlite = [...sqliteCommit, ...sqliteChanges, ...sqliteStore]

export const memoryNodes = of('src/store/memory-nodes.ts', [
  {
    name: 'memory-high-water-lowered',
    find: 'lastCommandId: ids.at(-1) ?? null',
    replace: 'lastCommandId: ids.at(0) ?? null',
    breaks: 'after a restart a new command gets the id of an old one',
  },
  {
    name: 'memory-clock-floor-lost',
    find: 'const clockAt = Math.max(before.clockAt, now)',
    replace: 'const clockAt = 0',
    breaks: 'after a restart with the clock set back, what was expired is alive again',
  },
])
