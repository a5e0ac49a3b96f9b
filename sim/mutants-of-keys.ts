// Faults of calls that may be repeated: what is kept of the first, and what the others are told. Data only.

import { of } from './mutant.ts'

const rules = of('src/core/queue.ts', [
  {
    name: 'key-never-looked-at',
    find: 'const repeated = step.device.kept.find(kept => isOfKey(kept) && now < kept.expireAt)',
    replace: 'const repeated = step.device.kept.find(() => false)',
    breaks: 'whoever repeats a call whose answer was lost has it carried out twice',
  },
  {
    name: 'key-never-lapses',
    find: 'isOfKey(kept) && now < kept.expireAt)',
    replace: 'isOfKey(kept))',
    breaks: 'an old answer comes again for a key that was to be free',
  },
  {
    name: 'key-lapses-too-early',
    find: 'isOfKey(kept) && now < kept.expireAt)',
    replace: 'isOfKey(kept) && now < kept.expireAt - 1)',
    breaks: 'a call that is repeated in the last moment is carried out twice',
  },
  {
    name: 'key-of-any-application',
    find: 'kept.application === application && kept.key === key',
    replace: 'kept.key === key',
    breaks: 'an application is answered with the command of another',
  },
  {
    name: 'key-of-any-request',
    find: 'if (repeated !== undefined && repeated.requestHash !== requestHash)',
    replace: "if (repeated !== undefined && repeated.requestHash === '')",
    breaks: 'a new request is taken for an old one, and never carried out',
  },
  {
    name: 'key-unknown-until-the-commit',
    find: '  step.device = { ...step.device, kept: [...step.device.kept.filter(kept => !isOfKey(kept)), first] }\n',
    replace: '',
    breaks: 'a call that comes twice at once is carried out twice',
  },
  {
    name: 'key-kept-of-accepted-ones-alone',
    find: '  step.kept.push(first)\n',
    replace: '  if (refusedCode === null) step.kept.push(first)\n',
    breaks: 'a call that was refused, and is repeated, leaves a second record',
  },
  {
    name: 'key-forgets-the-refusal',
    find: 'const refusedCode = command.state === State.failed ? command.code : null',
    replace: 'const refusedCode = command.state === State.cancelled ? command.code : null',
    breaks: 'whoever repeats a call that was refused is told that it was accepted',
  },
  {
    name: 'key-kept-from-now-on',
    find: 'const expireAt = command.createdAt + keepMs',
    replace: 'const expireAt = now + keepMs - 1_000',
    breaks: 'a key is kept for less than was promised',
  },
  {
    name: 'repeat-keeps-its-key-for-longer',
    find: '  if (repeated !== undefined) return { ok: true',
    replace:
      '  if (repeated !== undefined) step.kept.push({ ...repeated, expireAt: now + keepMs })\n  if (repeated !== undefined) return { ok: true',
    breaks: 'a key that is repeated often is never free again',
  },
  {
    name: 'repeat-shows-nothing',
    find: 'command: step.commands.get(repeated.commandId) ?? null }',
    replace: 'command: null }',
    breaks: 'whoever repeats a call that waits is told that it is over',
  },
  {
    name: 'sent-by-nobody',
    find: 'JSON.stringify({ node: situation.node, session })',
    replace: 'JSON.stringify({ node: 0, session })',
    breaks: 'the event log does not tell which node sent a command',
  },
])

const batch = of('src/batch.ts', [
  {
    name: 'keys-not-loaded',
    find: 'of.keys.push({ application, key })',
    replace: 'if (of.keys.length > 0) of.keys.push({ application, key })',
    breaks: 'only what was repeated at once is known to be a repeat',
  },
  {
    name: 'keys-not-written',
    find: 'const kept = queue.deleted ? [] : work.kept',
    replace: 'const kept = queue.deleted || inserts.length > 1 ? [] : work.kept',
    breaks: 'a call that came with others is carried out twice when it is repeated',
  },
  {
    name: 'key-dropped-on-the-way',
    find: "return { type: 'enqueue', id, kind, identifier, timeoutS, pendingTtlS, by, ...once }",
    replace:
      "return { type: 'enqueue', id, kind, identifier, timeoutS, pendingTtlS, by, ...(pendingTtlS > 0 ? once : {}) }",
    breaks: 'instant commands are carried out once for each repeat',
  },
])

const engine = of('src/engine.ts', [
  {
    name: 'repeats-do-not-wait',
    find: 'const waits = entry.input.wait && command !== null && isOpen(command.state)',
    replace: "const waits = entry.input.wait && command !== null && isOpen(command.state) && !('repeated' in answer)",
    breaks: 'whoever repeats a call that waits is not told how it ends',
  },
])

const waiters = of('src/waiters.ts', [
  {
    name: 'last-caller-alone-waits',
    find: 'return new Promise(resolve => callers.push(resolve))',
    replace: 'return new Promise(resolve => callers.splice(0, 1, resolve))',
    breaks: 'the first caller hangs when another one joins it',
  },
  {
    name: 'first-caller-alone-is-told',
    find: 'for (const resolve of callers) resolve(settlement)',
    replace: 'for (const resolve of callers.slice(0, 1)) resolve(settlement)',
    breaks: 'whoever joins a call hangs when the first one is told',
  },
  {
    name: 'second-caller-told-less',
    find: 'for (const resolve of callers) resolve(settlement)',
    replace:
      'for (const [i, resolve] of callers.entries()) resolve(i > 0 && settlement.type === "settled" ? { ...settlement, outcome: null } : settlement)',
    breaks: 'whoever joins a call that waits gets no outputs',
  },
  {
    name: 'record-without-its-answer',
    find: 'return deviceCode === null ? null :',
    replace: 'return deviceCode === null || command.pendingTtlS === 0 ? null :',
    breaks: 'whoever repeats a call gets no outputs',
  },
])

const upkeep = of('src/upkeep.ts', [
  {
    name: 'keys-purged-too-early',
    find: 'store.purgeTokens(clock.now(), PURGE_MAX_ROWS)',
    replace: 'store.purgeTokens(clock.now() + 60_000, PURGE_MAX_ROWS)',
    breaks: 'a call is carried out twice when it is repeated in the last minute',
  },
])

const memory = of('src/store/memory.ts', [
  {
    name: 'memory-first-key-alone',
    find: 'entry.kept.set(pair(answer.application, answer.key), keep(answer))',
    replace: 'if (entry.kept.size === 0) entry.kept.set(pair(answer.application, answer.key), keep(answer))',
    breaks: 'a call is carried out twice',
  },
])

const sqliteCommit = of(
  'src/store/sqlite-commit.ts',
  [
    {
      name: 'sqlite-keys-not-written',
      find: 'for (const answer of kept ?? []) this.#keep',
      replace: 'for (const answer of (kept ?? []).slice(1)) this.#keep',
      breaks: 'a call is carried out twice',
    },
  ],
  'sqlite',
)

const sqliteStatements = of(
  'src/store/sqlite-statements.ts',
  [
    {
      name: 'sqlite-lapsed-key-stays',
      find: 'insert or replace into idempotency',
      replace: 'insert or ignore into idempotency',
      breaks: 'a key that is used again after it had lapsed protects from nothing',
    },
    {
      name: 'sqlite-key-of-any-device',
      find: 'from idempotency where application = ? and device_id = ? and key = ?',
      replace: 'from idempotency where application = ? and ? > 0 and key = ?',
      breaks: 'a command for one device is not carried out because another has one with its key',
    },
  ],
  'sqlite',
)

const keptRows = of(
  'src/store/kept-rows.ts',
  [
    {
      name: 'sqlite-refusal-forgotten',
      find: 'JSON.stringify({ commandId, refusedCode })',
      replace: 'JSON.stringify({ commandId, refusedCode: null })',
      breaks: 'whoever repeats a call that was refused is told that it was accepted',
    },
  ],
  'sqlite',
)

const stores = [...memory, ...sqliteCommit, ...sqliteStatements, ...keptRows]

export const ofKeys = [...rules, ...batch, ...engine, ...waiters, ...upkeep, ...stores]
