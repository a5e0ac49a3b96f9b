// A device as the vendor's SDKs speak: log in, subscribe, take commands, answer them, come back after a lost connection.
// It shares nothing with the server's own MQTT code, so that a misreading there is not repeated here. Not here: options and printing (device.ts).

import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import mqtt, { type Packet } from 'mqtt-packet'
import { isKey } from '../core/command.ts'
import { isObject } from '../core/json.ts'
import {
  RECONNECT_MAX_MS,
  RECONNECT_MIN_MS,
  SIMULATED_KEEPALIVE_S,
  SIMULATED_PACKET_MAX_BYTES,
  SIMULATED_PATIENCE_MS,
} from '../core/limits.ts'

/** How the device takes commands. */
export interface Behaviour {
  readonly answer: 'ok' | 'error' | 'never'
  /** the code in its answers */
  readonly code: number
  /** from the command to the answer */
  readonly delayMs: number
  /** it says everything twice, as some do whose acknowledgements get lost */
  readonly twice?: boolean
  /** After this many commands of one connection it leaves, and comes back after a while or, with null, never. Null: it stays. */
  readonly leave: { readonly afterCommands: number; readonly backAfterMs: number | null } | null
  /** outputs of a service that was invoked with these inputs */
  outputs(serviceId: string, inputs: Readonly<Record<string, unknown>>): Record<string, unknown>
}

export interface Login {
  readonly host: string
  readonly port: number
  readonly productKey: string
  readonly deviceKey: string
  readonly deviceSecret: string
  /** s; 0: it promises nothing, and need not be heard of. Default: SIMULATED_KEEPALIVE_S */
  readonly keepAliveS?: number
}

/** The time that a device lives in: runs once, so many ms from now, and returns what calls it off. */
export type Pace = (ms: number, run: () => void) => () => void

const ordinaryPace: Pace = (ms, run) => {
  const timer = setTimeout(run, ms)
  return () => clearTimeout(timer)
}

export interface ReceivedCommand {
  readonly commandId: string
  readonly verb: 'set' | 'invoke'
  /** service id; for a set, `measurepoint/set` */
  readonly service: string
  readonly params: Readonly<Record<string, unknown>>
}

/** What happens to a device, told as it happens. */
export interface Witness {
  /** logged in and subscribed */
  connected(login: Login): void
  /** final: it was never let in before, so it does not try again */
  refused(login: Login, returnCode: number, final: boolean): void
  /** againInMs null: it does not come back */
  disconnected(login: Login, reason: string, againInMs: number | null): void
  received(login: Login, command: ReceivedCommand): void
  /** the answer was written */
  answered(login: Login, command: ReceivedCommand, code: number): void
  /** the server has the answer for good; the next command may well arrive before this */
  acknowledged(login: Login, command: ReceivedCommand): void
  /** a message that is no command it understands */
  ignored(login: Login, topic: string): void
}

/** CONNACK code of a server that may take the login later [MQTT-3.2.2-6]. */
const SERVER_UNAVAILABLE = 3

export class SimulatedDevice {
  /** resolves when it was stopped, has left for good, or was refused at its first login */
  readonly ended: Promise<void>
  readonly #login: Login
  readonly #behaviour: Behaviour
  readonly #witness: Witness
  #end: () => void = () => undefined
  readonly #pace: Pace
  #connection: Connection | null = null
  #again: NodeJS.Timeout | undefined
  #failures = 0
  #wasConnected = false
  #stopped = false

  /** pace: of its answers; coming back and waiting for the server go by real time, whatever time the device lives in */
  constructor(login: Login, behaviour: Behaviour, witness: Witness, pace: Pace = ordinaryPace) {
    this.#login = login
    this.#behaviour = behaviour
    this.#witness = witness
    this.#pace = pace
    this.ended = new Promise(resolve => {
      this.#end = resolve
    })
  }

  start(): void {
    const opened = (): void => {
      this.#failures = 0
      this.#wasConnected = true
    }
    const closed = (how: Closed, reason: string): void => this.#closed(how, reason)
    this.#connection = new Connection(this.#login, this.#behaviour, this.#witness, { opened, closed, pace: this.#pace })
  }

  /** Says goodbye and closes. Resolves when the connection is gone. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#again)
    if (this.#connection) this.#connection.leave('stopped')
    else this.#end()
    await this.ended
  }

  #closed(how: Closed, reason: string): void {
    this.#connection = null
    const refusal = how.type === 'refused' ? how.returnCode : 0
    const final = refusal !== 0 && refusal !== SERVER_UNAVAILABLE && !this.#wasConnected
    if (refusal !== 0) this.#witness.refused(this.#login, refusal, final)
    const againInMs = this.#stopped || final ? null : how.type === 'left' ? how.backAfterMs : this.#backOffMs()
    if (refusal === 0) this.#witness.disconnected(this.#login, reason, againInMs)
    if (againInMs === null) this.#end()
    else this.#again = setTimeout(() => this.start(), againInMs)
  }

  /** Doubles with each failure in a row; spread, so that many devices do not come back as one flood. */
  #backOffMs(): number {
    const base = Math.min(RECONNECT_MAX_MS, RECONNECT_MIN_MS * 2 ** this.#failures)
    this.#failures += 1
    return Math.round(base * (0.8 + 0.4 * Math.random()))
  }
}

type Closed =
  | { readonly type: 'lost' }
  | { readonly type: 'left'; readonly backAfterMs: number | null }
  | { readonly type: 'refused'; readonly returnCode: number }

/** What the device itself has to know of its connection. */
interface Turns {
  readonly pace: Pace
  opened(): void
  closed(how: Closed, reason: string): void
}

/** One connection from CONNECT to its end; `closed` is called once, last. */
class Connection {
  readonly #login: Login
  readonly #behaviour: Behaviour
  readonly #witness: Witness
  readonly #turns: Turns
  readonly #socket: Socket
  readonly #parser = mqtt.parser({ protocolVersion: 4 })
  readonly #timers = new Set<() => void>()
  /** answers that the server has not acknowledged, by packet id */
  readonly #unacknowledged = new Map<number, ReceivedCommand>()
  readonly #patience: () => void
  #lastPacketId = 0
  /** received on this connection, and how many of them wait for their answer's time */
  #commands = 0
  #toAnswer = 0
  #left = false
  #pinged = false
  #how: Closed = { type: 'lost' }
  #reason = 'the server closed the connection'

  constructor(login: Login, behaviour: Behaviour, witness: Witness, turns: Turns) {
    this.#login = login
    this.#behaviour = behaviour
    this.#witness = witness
    this.#turns = turns
    // Without noDelay an acknowledgement and an answer in two small writes wait 40 ms for each other.
    this.#socket = connect({ host: login.host, port: login.port, noDelay: true })
    this.#socket.on('connect', () => this.#send(connectPacket(login)))
    this.#socket.on('data', chunk => this.#feed(chunk))
    this.#socket.on('error', error => {
      this.#reason = error.message
    })
    this.#socket.on('close', () => {
      for (const callOff of this.#timers) callOff()
      turns.closed(this.#how, this.#reason)
    })
    this.#parser.on('packet', packet => this.#packet(packet))
    this.#parser.on('error', error => this.#fail(`what the server sent is not MQTT: ${String(error)}`))
    this.#patience = this.#after(SIMULATED_PATIENCE_MS, () => this.#fail('the server did not answer the login'))
  }

  /** DISCONNECT, then the socket; nothing is sent after it, and what still arrives is not looked at. */
  leave(reason: string, how: Closed = { type: 'lost' }): void {
    this.#left = true
    this.#how = how
    this.#reason = reason
    if (this.#socket.connecting) {
      this.#socket.destroy()
      return
    }
    if (this.#socket.writable) this.#send({ cmd: 'disconnect' })
    this.#socket.destroySoon()
  }

  #fail(reason: string): void {
    this.#reason = reason
    this.#socket.destroy()
  }

  #send(packet: Packet): void {
    this.#socket.write(mqtt.generate(packet))
  }

  #after(waitMs: number, run: () => void, pace: Pace = ordinaryPace): () => void {
    const callOff = pace(waitMs, () => {
      this.#timers.delete(callOff)
      run()
    })
    this.#timers.add(callOff)
    return callOff
  }

  #feed(chunk: Buffer): void {
    if (this.#parser.parse(chunk) > SIMULATED_PACKET_MAX_BYTES) this.#fail('the server sent a packet that is too large')
  }

  #packet(packet: Packet): void {
    if (this.#left) return
    switch (packet.cmd) {
      case 'connack':
        this.#connack(packet.returnCode ?? SERVER_UNAVAILABLE)
        break
      case 'suback':
        this.#patience()
        this.#turns.opened()
        this.#witness.connected(this.#login)
        break
      case 'publish':
        if (packet.qos === 1 && packet.messageId !== undefined)
          this.#send({ cmd: 'puback', messageId: packet.messageId })
        this.#publish(packet.topic, String(packet.payload))
        break
      case 'puback':
        this.#acknowledged(packet.messageId ?? 0)
        break
      case 'pingresp':
        this.#pinged = false
        break
      default:
        this.#fail(`the server sent ${packet.cmd}, which no device expects`)
    }
  }

  #connack(returnCode: number): void {
    if (returnCode !== 0) {
      this.#how = { type: 'refused', returnCode }
      this.#socket.destroySoon()
      return
    }
    const prefix = servicePrefix(this.#login)
    // With both filters the server knows at once that nothing will be missed; without them it waits.
    const topics = [`${prefix}measurepoint/set`, `${prefix}+`]
    const subscriptions = topics.map(topic => ({ topic, qos: 1 as const }))
    this.#send({ cmd: 'subscribe', messageId: this.#packetId(), subscriptions })
    this.#keepAlive()
  }

  #keepAlive(): void {
    const keepAliveS = keepAliveOf(this.#login)
    if (keepAliveS === 0) return
    this.#after((keepAliveS * 1_000) / 2, () => {
      if (this.#pinged) return this.#fail('the server went silent')
      this.#pinged = true
      this.#send({ cmd: 'pingreq' })
      this.#keepAlive()
    })
  }

  #publish(topic: string, payload: string): void {
    const command = readCommand(this.#login, topic, payload)
    if (command === null) {
      this.#witness.ignored(this.#login, topic)
      return
    }
    this.#commands += 1
    this.#witness.received(this.#login, command)
    if (this.#behaviour.answer === 'never') {
      this.#leaves()
      return
    }
    this.#toAnswer += 1
    this.#after(this.#behaviour.delayMs, () => this.#answer(topic, command), this.#turns.pace)
  }

  #answer(topic: string, command: ReceivedCommand): void {
    const { answer, code, outputs } = this.#behaviour
    const data = answer === 'ok' && command.verb === 'invoke' ? outputs(command.service, command.params) : {}
    const message = answer === 'error' ? { message: 'simulated failure' } : {}
    const payload = JSON.stringify({ id: command.commandId, code, data, ...message })
    this.#toAnswer -= 1
    // One write for the answer and, if it leaves now, the goodbye: the next command, which the server sends at an answer, would else go to waste.
    this.#socket.cork()
    for (let times = this.#behaviour.twice ? 2 : 1; times > 0; times -= 1) {
      const messageId = this.#packetId()
      this.#unacknowledged.set(messageId, command)
      this.#send({ cmd: 'publish', topic: `${topic}_reply`, payload, qos: 1, dup: false, retain: false, messageId })
    }
    this.#witness.answered(this.#login, command, code)
    this.#leaves()
    this.#socket.uncork()
  }

  #acknowledged(messageId: number): void {
    const command = this.#unacknowledged.get(messageId)
    if (command === undefined) return
    this.#unacknowledged.delete(messageId)
    this.#witness.acknowledged(this.#login, command)
  }

  /** Leaves if it has had all the commands that it stays for and owes no answer. */
  #leaves(): void {
    const { leave } = this.#behaviour
    if (leave === null || this.#commands < leave.afterCommands || this.#toAnswer > 0) return
    this.leave('left', { type: 'left', backAfterMs: leave.backAfterMs })
  }

  #packetId(): number {
    this.#lastPacketId = (this.#lastPacketId % 65_535) + 1
    return this.#lastPacketId
  }
}

const keepAliveOf = ({ keepAliveS = SIMULATED_KEEPALIVE_S }: Login): number => keepAliveS

const servicePrefix = ({ productKey, deviceKey }: Login): string => `/sys/${productKey}/${deviceKey}/thing/service/`

/** The vendor's login: the digest over the names in alphabetical order with their values, then the secret, nothing in between. */
function connectPacket(login: Login): Packet {
  const { productKey, deviceKey, deviceSecret } = login
  const timestamp = String(Date.now())
  const signed = `clientId${deviceKey}deviceKey${deviceKey}productKey${productKey}timestamp${timestamp}${deviceSecret}`
  return {
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: keepAliveOf(login),
    clientId: `${deviceKey}|securemode=2,signmethod=sha256,timestamp=${timestamp}|`,
    username: `${deviceKey}&${productKey}`,
    password: Buffer.from(createHash('sha256').update(signed).digest('hex').toUpperCase()),
  }
}

/** Null where the message is not a command to this device. */
function readCommand(login: Login, topic: string, payload: string): ReceivedCommand | null {
  const prefix = servicePrefix(login)
  if (!topic.startsWith(prefix)) return null
  const service = topic.slice(prefix.length)
  const verb = service === 'measurepoint/set' ? 'set' : 'invoke'
  if (verb === 'invoke' && !isKey(service)) return null
  let message: unknown
  try {
    message = JSON.parse(payload)
  } catch (error) {
    if (error instanceof SyntaxError) return null
    throw error
  }
  if (!isObject(message) || typeof message.id !== 'string' || !isObject(message.params)) return null
  return { commandId: message.id, verb, service, params: message.params }
}
