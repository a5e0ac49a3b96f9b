// Faults of the core: the rules of a device's queue, and the ids. Data only.

import { of } from './mutant.ts'

export const steps = of('src/core/step.ts', [
  {
    name: 'event-seq-gap',
    find: 'const seq = this.device.eventSeq + 1',
    replace: 'const seq = this.device.eventSeq + (of.commandId === null ? 2 : 1)',
    breaks: 'a reader of the event log cannot tell a gap from a loss',
  },
  {
    name: 'event-missing-on-expiry',
    find: 'this.event({ commandId: command.id, from: command.state, to, by, reason, detail })',
    replace:
      'if (to !== State.expired) this.event({ commandId: command.id, from: command.state, to, by, reason, detail })',
    breaks: 'a command is expired and its history does not say when or why',
  },
  {
    name: 'settled-effect-missing-on-reply',
    find: "if (!isOpen(to)) this.effects.push({ type: 'settled', command: next })",
    replace: "if (!isOpen(to) && reason !== 'reply') this.effects.push({ type: 'settled', command: next })",
    breaks: 'the device answers, and the caller of an instant command hangs',
  },
])

export const rules = of('src/core/queue.ts', [
  {
    name: 'unsent-after-lapse',
    find: "if (input.type === 'unsent') unsent(step, input)",
    replace: "if (input.type === 'unsent') [lapse(step), unsent(step, input)]",
    breaks: 'a command of which not a byte left is reported as sent and timed out',
  },
  {
    name: 'lapse-on-tick-only',
    find: '  lapse(step)\n',
    replace: "  if (input.type === 'tick') lapse(step)\n",
    breaks: 'a command is sent, answered or cancelled after its time was over, if the timer is late',
  },
  {
    name: 'instants-survive-offline',
    find: 'if (step.isAway) failInstants(step)',
    replace: '',
    breaks: 'the caller of an instant command waits for a device that is gone',
  },
  {
    name: 'advance-missing-after-reply',
    find: '  advance(step)\n',
    replace: "  if (input.type !== 'reply') advance(step)\n",
    breaks: 'the queue of a device that answers stops until something else happens',
  },
  {
    name: 'advance-missing-after-timeout',
    find: 'const answer = apply(step, input)\n  advance(step)\n',
    replace: "const answer = apply(step, input)\n  if (input.type !== 'tick') advance(step)\n",
    breaks: 'the queue of a device that did not answer once stops',
  },
  {
    name: 'advance-missing-after-ready',
    find: 'advance(step)\n  return',
    replace: "if (input.type !== 'ready') advance(step)\n  return",
    breaks: 'a device comes back and what was kept for it is not sent',
  },
  {
    name: 'advance-missing-after-unsent',
    find: '  const answer = apply(step, input)\n  advance(step)\n',
    replace: "  const answer = apply(step, input)\n  if (input.type !== 'unsent') advance(step)\n",
    breaks: 'a command that could not be handed over once is stuck',
  },
  {
    name: 'due-late-by-one-for-reads',
    find: 'return queue.open.some(command => now >= lapsesAt(command))',
    replace: 'return queue.open.some(command => now > lapsesAt(command))',
    breaks: 'at the instant of its expiry a command is shown as created',
  },
  {
    name: 'lapse-late-by-one',
    find: 'now < lapsesAt(command) + slackMs) continue',
    replace: 'now <= lapsesAt(command) + slackMs) continue',
    breaks: 'at the instant of its expiry a command is still sent, and the timer spins',
  },
  {
    name: 'lapse-early-by-one',
    find: 'now < lapsesAt(command) + slackMs) continue',
    replace: 'now < lapsesAt(command) + slackMs - 1) continue',
    breaks: 'a command expires before the time that its caller gave it',
  },
  {
    name: 'suspect-ignored-by-the-rules',
    find: 'step.presence = { ...presence, ready: false }',
    replace: 'step.presence = { ...presence }',
    breaks: 'the whole queue is poured, a command per timeout, into a connection that is dead',
  },
  {
    name: 'instant-taken-while-away',
    find: 'if (step.isAway) return errors.offline',
    replace: 'if (step.isAway && step.device.disabled) return errors.offline',
    breaks: 'the caller of an instant command waits its whole timeout for a device that is known to be away',
  },
  {
    name: 'cap-one-too-many',
    find: 'step.inState(State.created).length >= step.situation.queueCap',
    replace: 'step.inState(State.created).length > step.situation.queueCap',
    breaks: 'a queue holds one command more than its cap',
  },
  {
    name: 'cap-counts-sent',
    find: 'return step.inState(State.created).length >=',
    replace: 'return step.inState(State.created).length + step.inState(State.sent).length >=',
    breaks: 'a command is refused as "queue full" while there is room',
  },
  {
    name: 'cancel-takes-sent',
    find: 'const targets = step.inState(State.created).filter(',
    replace:
      'const targets = [...step.inState(State.sent).map(c => ({ ...c, state: State.created })), ...step.inState(State.created)].filter(',
    breaks: 'a command is reported cancelled, and the device carries it out',
  },
  {
    name: 'cancel-one-takes-the-next',
    find: 'filter(command => commandId === null || command.id === commandId)',
    replace:
      'filter(command => commandId === null || command.id >= commandId).slice(0, commandId === null ? undefined : 2)',
    breaks: 'a command that nobody cancelled is cancelled',
  },
  {
    name: 'cancel-one-takes-all',
    find: 'filter(command => commandId === null || command.id === commandId)',
    replace: 'filter(() => true)',
    breaks: 'commands that nobody cancelled are cancelled',
  },
  {
    name: 'cancel-all-forgets-the-last',
    find: 'filter(command => commandId === null || command.id === commandId)',
    replace:
      'filter((command, i, all) => command.id === commandId || (commandId === null && (i === 0 || i < all.length - 1)))',
    breaks: 'after a cancel of all a command is still sent',
  },
  {
    name: 'cancelled-left-in-queue',
    find: "cancelled: targets.map(command => step.move(command, State.cancelled, by, 'cancel', {}, detail)),",
    replace: 'cancelled: targets.map(command => ({ ...command, state: State.cancelled })),',
    breaks: 'a command is reported cancelled, and is sent later',
  },
  {
    name: 'takeover-counted-as-offline',
    find: 'const session = step.device.sessionNo + 1',
    replace: 'if (step.presence !== null) failInstants(step)\n  const session = step.device.sessionNo + 1',
    breaks: 'a device that merely reconnects makes instant commands fail',
  },
  {
    name: 'session-number-used-again',
    find: 'const session = step.device.sessionNo + 1',
    replace: 'const session = Math.max(1, step.device.sessionNo)',
    breaks: 'an old connection passes for the new one',
  },
  {
    name: 'old-disconnect-on-record',
    find: 'if (input.session !== step.device.sessionNo) return\n',
    replace: 'if (input.session > step.device.sessionNo) return\n',
    breaks: 'a device that is connected is on record as offline',
  },
  {
    name: 'reply-matched-by-topic',
    find: "function reply(step: Step, input: Reply): Answers['reply'] {\n",
    replace:
      "function reply(step: Step, said: Reply): Answers['reply'] {\n  const input = { ...said, commandId: step.inState(State.sent)[0]?.id ?? said.commandId }\n",
    breaks: 'the late answer to one command settles the next',
  },
  {
    name: 'reply-200-is-an-error',
    find: 'const success = input.code === 0 || input.code === 200',
    replace: 'const success = input.code === 0',
    breaks: 'a command that the device carried out is reported as failed',
  },
  {
    name: 'late-reply-overwrites-final',
    find: 'step.put({ ...command, lateReplies: command.lateReplies + 1 })',
    replace: 'step.put({ ...command, state: State.succeeded, lateReplies: command.lateReplies + 1 })',
    breaks: 'a command that was reported timed out is succeeded on the next look',
  },
  {
    name: 'unsent-keeps-its-deadline',
    find: 'const back = { sentAt: null, deadlineAt: null, sentSession: null }',
    replace: 'const back = { sentAt: null, sentSession: null }',
    breaks: 'a command that was never sent has a deadline on record',
  },
  {
    name: 'unsent-cached-fails',
    find: 'else if (isInstant(command))\n    step.move',
    replace: "else if (isInstant(command) || input.reason === 'sessionGone')\n    step.move",
    breaks: 'a command that its caller wanted kept is given up because a connection broke at the wrong moment',
  },
  {
    name: 'session-fence-dropped-in-the-rules',
    find: '!presence?.ready || presence.session !== device.sessionNo)',
    replace: '!presence?.ready)',
    breaks: 'a command is sent to a connection that has been taken over',
  },
  {
    name: 'sends-while-stopping',
    find: '!situation.dispatch || !presence?.ready',
    replace: '!presence?.ready',
    breaks: 'a server that stops sends commands whose answers it will not hear',
  },
  {
    name: 'two-sent-at-once',
    find: 'if (head === undefined || step.inState(State.sent).length > 0) return',
    replace: 'if (head === undefined || step.inState(State.sent).length > 1) return',
    breaks: 'a device gets a command while it works on another',
  },
  {
    name: 'redelivers-what-is-sent',
    find: 'if (head === undefined || step.inState(State.sent).length > 0) return',
    replace:
      "if (head === undefined || !presence?.ready) return\n  const [stuck] = step.inState(State.sent)\n  if (stuck) return void (stuck.sentSession === presence.session || step.effects.push({ type: 'publish', commandId: stuck.id, kind: stuck.kind, identifier: stuck.identifier, session: presence.session, notAfter: Number(stuck.deadlineAt) }))",
    breaks: 'after a restart or reconnect the device carries out a command a second time',
  },
  {
    name: 'newest-first',
    find: 'const [head] = step.inState(State.created)',
    replace: 'const [head] = step.inState(State.created).reverse()',
    breaks: '"open" and "close" arrive as "close" and "open"',
  },
  {
    name: 'soonest-expiry-first',
    find: 'const [head] = step.inState(State.created)',
    replace: 'const [head] = step.inState(State.created).sort((a, b) => a.expireAt - b.expireAt)',
    breaks: '"open" and "close" arrive as "close" and "open" where the later one has the shorter life',
  },
  {
    name: 'deadline-from-creation',
    find: ': situation.now + head.timeoutS * 1000',
    replace: ': head.createdAt + head.timeoutS * 1000',
    breaks: 'a command that waited for its device is timed out before the device can answer',
  },
  {
    name: 'instant-deadline-from-sending',
    find: 'const deadlineAt = isInstant(head) ? head.expireAt :',
    replace: 'const deadlineAt = isInstant(head) && head.deadlineAt !== null ? head.expireAt :',
    breaks: 'the caller of an instant command is answered later than the timeout that it gave',
  },
  {
    name: 'disabled-device-let-in',
    find: "if (step.device.disabled) return refuse(errors.denied, 'the device is disabled')",
    replace: '',
    breaks: 'a device that was disabled while it logged in is connected all the same',
  },
  {
    name: 'disable-does-not-evict',
    find: "step.effects.push({ type: 'evict', why: 'disabled', session: step.device.sessionNo })",
    replace: '',
    breaks: 'a device that was disabled stays connected until it goes by itself',
  },
  {
    name: 'instants-survive-disabling',
    find: "if (changed) deviceEvent(step, by, 'disabled')\n  failInstants(step)\n",
    replace: "if (changed) deviceEvent(step, by, 'disabled')\n",
    breaks: 'the caller of an instant command waits for a device that was disabled',
  },
  {
    name: 'activates-ignored',
    find: '(input.activates ? now : null)',
    replace: 'now',
    breaks: 'a device that has no secret yet passes for active, and its instant commands time out',
  },
  {
    name: 'delete-leaves-created',
    find: "const cancelled = created.map(command => step.move(command, State.cancelled, by, 'device deleted', { code }))",
    replace: 'const cancelled = created.filter(() => false)',
    breaks: 'the caller of a command for a deleted device hangs',
  },
  {
    name: 'delete-leaves-sent',
    find: 'const failed = sent === undefined ? null :',
    replace: 'const failed = sent === undefined || isInstant(sent) ? null :',
    breaks: 'the caller of a command that was sent to a deleted device hangs',
  },
  {
    name: 'not-after-ignores-expiry',
    find: 'const notAfter = Math.min(deadlineAt, head.expireAt)',
    replace: 'const notAfter = deadlineAt',
    breaks: 'a command whose time was over reaches the device',
  },
])

export const ids = of('src/core/ids.ts', [
  {
    name: 'ids-from-the-clock-alone',
    find: 'this.#ms = idMs(highWater)',
    replace: 'this.#ms = 0',
    breaks: 'after a restart a new command gets the id of an old one',
  },
  {
    name: 'ids-ignore-the-floor',
    find: 'if (floor !== null && makeId(ms, this.node, sequence) <= floor) {',
    replace: 'if (floor !== null && this.node < 0) {',
    breaks: "a device's later command has the smaller id, and overtakes the earlier one",
  },
])
