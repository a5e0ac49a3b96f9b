// Who asks: the session that a request of a device came over, as the requests see it. Types only.
// Not here: what they do (requests.ts), sessions themselves (mqtt/, http/).

import type { Device } from '../store/store.ts'
import type { DeviceKeys } from './topics.ts'

/** A request of a device, its payload uncompressed and in JSON. */
export interface Request {
  /** the device that its topic names: the session's own, a sub-device of it, or another one altogether */
  readonly keys: DeviceKeys
  /** what comes after the keys in the topic: `thing/measurepoint/post` */
  readonly path: string
  readonly payload: Buffer
}

/** What is sent back on the request's topic with `_reply` behind it. */
export interface Answer {
  readonly code: number
  /** the whole payload */
  readonly json: string
}

/** The session that a request came over. Its requests are answered one at a time, in the order in which they came. */
export interface Asker {
  /** The session's own device; null: the session is a channel of its product, for devices that it names in the payload. */
  readonly device: Device | null
  readonly productKey: string
  /** The device with these keys if it may speak here: the session's own, or a sub-device that is logged in over it. */
  speaker(keys: DeviceKeys): Device | null
  /** Devices that came into the topology of the session's device. */
  joined(devices: readonly Device[]): void
  /** Devices that left it: whoever of them is logged in over this session is logged out. */
  left(devices: readonly Device[]): void
}
