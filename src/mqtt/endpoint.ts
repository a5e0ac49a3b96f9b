// What the endpoint gives each of its connections, and hears from them. Types only: listener.ts makes it.

import type { Clock, Timers } from '../clock.ts'
import type { Codecs } from '../codec/codec.ts'
import type { Engine } from '../engine.ts'
import type { Log } from '../log.ts'
import type { LoginLimit } from '../uplink/login-limit.ts'
import type { Requests } from '../uplink/requests.ts'
import type { DeviceKeys } from '../uplink/topics.ts'
import type { Connack, DeviceDirectory } from './connect.ts'
import type { Connection } from './connection.ts'
import type { CloseReason, Oddity } from './step.ts'

/** The logger's face with the level that devices' slips are logged at; pino has it. */
export interface MqttLog extends Log {
  debug(fields: object, message: string): void
}

/** What is counted: a fixed vocabulary. */
export type MqttEvent = 'login' | 'refused login' | 'dropped before login' | Oddity | CloseReason

/** A refused login as it is logged. The keys are what the client claims to be, and absent where it says nothing that can be read. */
export interface Refusal extends Partial<DeviceKeys> {
  readonly connack: Connack
  readonly reason: string
  readonly remote: string
}

/** What a connection needs of the endpoint that it belongs to. */
export interface Endpoint {
  readonly engine: Pick<Engine, 'connect' | 'disconnect' | 'apply' | 'mayPublish'>
  readonly fleet: DeviceDirectory
  /** answers what devices ask for */
  readonly requests: Pick<Requests, 'answer'>
  /** formats of products that have their own */
  readonly codecs: Pick<Codecs, 'encode' | 'decode'>
  readonly limit: LoginLimit
  /** whether an active device may log in with its product's secret again */
  readonly reactivation: 'strict' | 'lenient'
  readonly clock: Clock & Timers
  readonly log: MqttLog
  readonly readyAfterMs: number
  /** Runs it in the next turn of the loop: setImmediate. */
  defer(run: () => void): void
  count(event: MqttEvent): void
  /**
   * No connection is let in any more, except of a device that has one and comes again. `deviceId` null: a channel, of which each product has its bound
   * besides.
   */
  isFullFor(deviceId: number | null, productKey: string): boolean
  /** A login is refused: counted, and logged within bounds. */
  refused(refusal: Refusal): void
  /** A codec could not do what was asked: logged within bounds. */
  codecFailed(fields: object, message: string): void
  /** it has become this device's connection, or a channel */
  opened(connection: Connection, deviceId: number | null, productKey: string): void
  /** it is no device's connection any more, and no channel; the socket may live on for a moment */
  closed(connection: Connection, deviceId: number | null, productKey: string): void
  /** nothing is left of it */
  gone(connection: Connection): void
}
