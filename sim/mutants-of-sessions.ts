// Faults of connections: a session with all its members, their coming and going, the logins of sub-devices. Data only.

import { of } from './mutant.ts'

export const session = of('src/mqtt/session.ts', [
  {
    name: 'held-forgotten-on-leave',
    find: '    this.#turnedAway.delete(lane)\n    this.#giveBack(lane)\n',
    replace: '    this.#turnedAway.delete(lane)\n',
    breaks: 'a command that waited for room as its sub-device logged out is reported as sent and timed out',
  },
  {
    name: 'left-member-still-sent-to',
    find: '    this.#lanes.delete(deviceId)\n    this.#lanesByKeys',
    replace: '    this.#lanesByKeys',
    breaks: 'a sub-device that logged out passes for present',
  },
  {
    name: 'left-member-still-heard',
    find: '    this.#lanesByKeys.delete(nameOf(lane.keys))\n',
    replace: '',
    breaks: 'a gateway settles commands of a sub-device that is logged in elsewhere',
  },
  {
    name: 'turned-away-not-noted',
    find: 'if (isFull) this.#turnedAway.add(lane)',
    replace: '',
    breaks: 'a device that was passed over for a full window gets nothing any more',
  },
  {
    name: 'ready-before-it-listens',
    find: 'ready: lane.listens && !this.#suspect && !isFull',
    replace: 'ready: !this.#suspect && !isFull',
    breaks: 'a sub-device is sent commands before its gateway listens for it, and some SDKs drop them',
  },
  {
    name: 'full-window-not-told',
    find: 'ready: lane.listens && !this.#suspect && !isFull',
    replace: 'ready: lane.listens && !this.#suspect',
    breaks: 'commands pile up in a session, and instant ones run out of time there',
  },
  {
    name: 'silence-of-a-session-that-does-not-read',
    find: 'return lane.sentAfter === this.#received && this.reads',
    replace: 'return lane.sentAfter === this.#received',
    breaks: 'a device whose answers wait to be read is taken for dead',
  },
  {
    name: 'not-heard-again',
    find: '      this.#suspect = false\n      this.#stirred = true\n',
    replace: '      this.#stirred = true\n',
    breaks: 'a device that was silent once gets nothing until it reconnects',
  },
  {
    name: 'heard-again-and-not-told',
    find: '      this.#suspect = false\n      this.#stirred = true\n',
    replace: '      this.#suspect = false\n',
    breaks: 'what waits for a device that was silent once is not sent',
  },
  {
    name: 'acknowledged-before-commit',
    find: 'input: reply, uplink })\n    return this.#queue(acks, null, false)',
    replace: 'input: reply, uplink })\n    return this.#queue(acks, null, true)',
    breaks: "a device's answer is acknowledged and lost in a crash",
  },
  {
    name: 'suspect-ignored-by-the-session',
    find: '      this.#suspect = true\n',
    replace: '',
    breaks: 'the queue is poured into a connection that is dead',
  },
  {
    name: 'suspicion-of-one-member-only',
    find: 'for (const each of this.#lanes.values()) each.told = false',
    replace: 'lane.told = false',
    breaks: 'after a gateway was silent once, only one of the devices behind it is sent to again',
  },
  {
    name: 'held-forgotten-on-close',
    find: '      for (const lane of this.#lanes.values()) this.#giveBack(lane)\n',
    replace: '',
    breaks: 'what waited for room when a gateway was lost is reported as sent and timed out',
  },
  {
    name: 'filters-of-before-the-login-ignored',
    find: '    for (const filter of this.#subscriptions.of(member.keys)) coverage.add(filter)\n',
    replace: '',
    breaks: 'a sub-device whose topics are subscribed waits for the quiet time at each login',
  },
  {
    name: 'hold-ignores-the-window',
    find: 'held && this.#window.hasRoom(held.payload.length)',
    replace: 'held',
    breaks: 'a client gets more than its Receive Maximum, and must close the connection',
  },
  {
    name: 'held-written-too-late',
    find: 'const late = this.#held.filter(held => now >= held.until)\n    this.#held = this.#held.filter(held => now < held.until)',
    replace: 'const late: Held[] = []',
    breaks: 'a command whose time was over while it waited for room reaches the device',
  },
  {
    name: 'written-though-it-may-be-dead',
    find: 'else if (!this.#suspect && this.#held.length === 0',
    replace: 'else if (this.#held.length === 0',
    breaks: 'a command goes into a connection that was found dead as it was decided on',
  },
  {
    name: 'heard-again-and-not-let-out',
    find: '      this.#stirred = true\n      this.#letOut(now)\n',
    replace: '      this.#stirred = true\n',
    breaks: 'what waited while a gateway was silent waits on when it speaks again',
  },
  {
    name: 'codec-may-take-for-ever',
    find: 'if (now < until) continue',
    replace: 'if (encoding === null || now >= encoding.until) continue',
    breaks: 'a command that its codec never finished is reported as sent and timed out',
  },
  {
    name: 'held-too-long-is-dropped',
    find: "for (const { lane, downlink } of late) this.#unsent(lane, downlink, 'late')",
    replace: 'void late',
    breaks: 'a command that waited too long for room is reported as sent and timed out',
  },
  {
    name: 'silence-not-noticed',
    find: '    lane.sentAfter = this.#received\n',
    replace: '',
    breaks: 'the queue is poured, a command per timeout, into a connection that is dead',
  },
  {
    name: 'held-goes-to-the-head',
    find: 'else this.#held.push({ ...message, until: until(downlink, now) })',
    replace: 'else this.#held.unshift({ ...message, until: until(downlink, now) })',
    breaks: 'what waits longest for room waits on, and runs out of time',
  },
  {
    name: 'encoding-forgotten-when-its-device-goes',
    find: "    if (encoding) this.#unsent(lane, encoding.downlink, 'sessionGone')\n",
    replace: '',
    breaks: 'a command that its codec was at work on when the connection broke is reported as sent and timed out',
  },
  {
    name: 'held-of-everybody-given-back',
    find: "for (const held of this.#held) if (held.lane === lane) this.#unsent(lane, held.downlink, 'sessionGone')\n    this.#held = this.#held.filter(held => held.lane !== lane)",
    replace:
      "for (const held of this.#held) this.#unsent(held.lane, held.downlink, 'sessionGone')\n    if (this.#lanes.size === 0) this.#held = []",
    breaks: 'a sub-device logs out, and a command for another one is carried out twice',
  },
  {
    name: 'puback-does-not-let-out',
    find: '        this.#letOut(now)\n        this.#fullSince',
    replace: '        this.#fullSince',
    breaks: 'a command waits for room though there is some',
  },
  {
    name: 'turned-away-never-told',
    find: 'for (const lane of this.#turnedAway) if (lane.listens) this.#tell(lane)',
    replace: '',
    breaks: 'a device that was passed over for a full window gets nothing any more',
  },
  {
    name: 'told-before-it-listens',
    find: 'for (const lane of this.#turnedAway) if (lane.listens) this.#tell(lane)',
    replace: 'for (const lane of this.#turnedAway) this.#tell(lane)',
    breaks: 'a sub-device that is passed over before it listens is never told to be ready',
  },
  {
    name: 'ready-not-told',
    find: "this.#inputs.push({ deviceId: lane.deviceId, input: { type: 'ready' }, uplink: null })",
    replace: '',
    breaks: 'a device comes back and what was kept for it is not sent',
  },
])

export const window = of('src/mqtt/window.ts', [
  {
    name: 'window-without-bytes',
    find: 'this.#unacked.size < this.#size && this.#bytes + bytes <= UNACKED_MAX_BYTES',
    replace: 'this.#unacked.size < this.#size',
    breaks:
      'large commands for many sub-devices overrun the socket of their gateway, which is closed as one that does not read',
  },
  {
    name: 'acknowledged-bytes-still-count',
    find: '    this.#bytes -= this.#unacked.get(id) ?? 0\n',
    replace: '',
    breaks: 'a connection that lasts gets one command at a time in the end',
  },
])

export const members = of('src/mqtt/members.ts', [
  {
    name: 'taken-over-while-it-came-in',
    find: "    if (link.isOver) return refuse(errors.denied, 'the device logged in elsewhere, or was disabled, in the same moment')\n",
    replace: '',
    breaks: 'a session that was taken over as it began stays open and gets nothing',
  },
  {
    name: 'came-in-after-the-end',
    find: "    if (this.#isOver) this.#leave(device, 'connection lost')\n",
    replace: '',
    breaks: 'a sub-device whose gateway is lost while it logs in is online for ever',
  },
  {
    name: 'sub-devices-outlive-their-gateway',
    find: 'for (const { device } of this.#here.values()) this.#leave(device, reason)',
    replace: 'if (this.device !== null) this.#leave(this.device.id, reason)',
    breaks: 'sub-devices of a gateway that is gone are online, and instant commands for them time out',
  },
  {
    name: 'given-back-after-the-end-is-told',
    find: '    if (session !== null) this.#carrier.carryOut(session.leave(here.device.id, this.#endpoint.clock.now()))\n    const farewell = this.#endpoint.engine.disconnect(here.device.id, here.session, reason)\n',
    replace:
      '    const farewell = this.#endpoint.engine.disconnect(here.device.id, here.session, reason)\n    if (session !== null) this.#carrier.carryOut(session.leave(here.device.id, this.#endpoint.clock.now()))\n',
    breaks: 'a command that never left is decided on as if it had',
  },
  {
    name: 'logout-not-told',
    find: 'const farewell = this.#endpoint.engine.disconnect(here.device.id, here.session, reason)',
    replace: 'const farewell: Promise<unknown> = Promise.resolve()',
    breaks: 'who logs out or is lost stays online',
  },
  {
    name: 'sub-device-takes-its-gateway-along',
    find: '    if (device.id === this.device?.id) {\n      this.#carrier.end(reason, code)',
    replace: '    {\n      this.#carrier.end(reason, code)',
    breaks: 'a sub-device that logs in elsewhere, or is disabled, cuts off all devices behind its gateway',
  },
  {
    name: 'gateway-stays-when-it-is-taken-over',
    find: '      this.#carrier.end(reason, code)\n      return\n',
    replace: '      return\n',
    breaks: 'a gateway has two connections, and the old one is never closed',
  },
  {
    name: 'taken-over-sub-device-stays-in-the-session',
    find: '    const session = this.#carrier.session()\n    if (session !== null) this.#carrier.carryOut(session.leave(device.id, this.#endpoint.clock.now()))\n  }\n\n  // --- who asks',
    replace: '  }\n\n  // --- who asks',
    breaks: 'answers of the old gateway settle commands that the new one was sent',
  },
  {
    name: 'out-of-the-topology-and-still-here',
    find: "for (const device of devices) if (device.id !== this.device?.id) this.#leave(device, 'logged out')",
    replace: '',
    breaks: 'a gateway gets commands for a device that it gave away',
  },
  {
    name: 'logout-ignored',
    find: "if (device !== null && device.id !== this.device?.id) this.#leave(device, 'logged out')",
    replace: '',
    breaks: 'a sub-device that was logged out gets commands',
  },
  {
    name: 'member-not-entered',
    find: 'if (session !== null) this.#carrier.carryOut(session.enter(member, this.#endpoint.clock.now()))',
    replace: '',
    breaks: 'a sub-device logs in and gets nothing',
  },
])

export const gateway = of('src/mqtt/gateway.ts', [
  {
    name: 'anybody-behind-any-gateway',
    find: 'if (device.gatewayAssetId !== gateway.assetId)',
    replace: "if (device.gatewayAssetId === 'nobody')",
    breaks: "a gateway takes the devices of another one over, with nothing but one device's secret",
  },
  {
    name: 'any-sign-will-do',
    find: "const byOwn = login.secureMode !== '3' && fits(deviceSecret)",
    replace: "const byOwn = login.secureMode !== '3' || fits(deviceSecret)",
    breaks: 'whoever has a gateway can pass for any device behind it',
  },
])
