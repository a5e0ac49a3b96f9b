// What a session is told and what it tells: its terms, its members, the steps that it takes, why it ends. Types and codes only.
// Not here: the rules (session.ts), who carries a step out (connection.ts).

import type { Packet } from 'mqtt-packet'
import type { Downlink } from '../core/command.ts'
import type { Activated, Ready, Reply, Unsent } from '../core/queue.ts'
import type { DeviceKeys } from '../uplink/topics.ts'
import type { Compression } from './compression.ts'
import type { Version } from './frame.ts'

/** What the CONNECT settled. */
export interface SessionTerms {
  /** of the connection's own device; of a channel, its productKey and `integration`, as in its topics */
  readonly keys: DeviceKeys
  /** a channel has no queue of its own: it speaks for the devices of its product, which its payloads name */
  readonly kind: 'device' | 'gateway' | 'channel'
  readonly version: Version
  /** s; 0 = none */
  readonly keepAliveS: number
  readonly receiveMaximum: number
  /** bytes of a packet that the client takes; Infinity where it set no limit */
  readonly maximumPacketSize: number
  /** ms of quiet that make a device ready which does not subscribe to its command topics */
  readonly readyAfterMs: number
  /** of every payload in both directions */
  readonly compression: Compression
  /** set where the device logged in with its product's secret: it is given its own */
  readonly activation: { readonly deviceSecret: string; readonly assetId: string } | null
  /** looked at right before a command is written: whether this node may still send to its devices (Engine.mayPublish) */
  readonly mayPublish: () => boolean
}

/** A device that commands are sent to over this connection: its own, or a sub-device that logged in over it. */
export interface Member {
  readonly deviceId: number
  readonly keys: DeviceKeys
  /** services of its model; null without one */
  readonly services: readonly string[] | null
  /** its product has a format of its own, which a codec translates */
  readonly raw: boolean
}

/** Why a session ended. Stored with the device's history and counted: a fixed vocabulary. */
export type CloseReason =
  | 'client disconnected'
  | 'connection lost'
  | 'keep-alive timeout'
  | 'silent after a command'
  | 'command not acknowledged'
  | 'protocol error'
  | 'QoS 2'
  | 'malformed packet'
  | 'packet too large'
  | 'slow reader'
  | 'kicked'
  | 'logged out'
  | 'taken over'
  | 'server stopping'
  | 'server error'

/** The end. `code` is the reason of the DISCONNECT that an MQTT 5 client gets; null: it gets none. */
export interface Close {
  readonly reason: CloseReason
  readonly code: number | null
  /** what exactly was wrong, for the log */
  readonly detail?: string
}

/** Something odd and harmless that a device did; counted, and logged a few times. */
export type Oddity =
  | 'garbage reply'
  | 'garbage payload'
  | 'stray answer'
  | 'unsupported request'
  | 'foreign topic'
  | 'refused filter'
  | 'answer too large'
  | 'not encoded'

/** An input for the engine. After the commit of one with an uplink number, `committed` is called with it, whatever the answer was. */
export type SessionInput =
  | { readonly deviceId: number; readonly input: Ready | Unsent; readonly uplink: null }
  | { readonly deviceId: number; readonly input: Reply | Activated; readonly uplink: number }

/** Something that a device asks for, or an answer in its product's own format. `answered` is called with its uplink number when it is done. */
export interface SessionRequest {
  readonly type: 'request' | 'rawReply'
  readonly uplink: number
  /** the device that the topic names; of a gateway's request it may be any */
  readonly keys: DeviceKeys
  /** what comes after the keys in the topic; empty for an answer */
  readonly path: string
  /** as it came, compressed where the session is: until its turn comes it takes no more memory than that */
  readonly payload: Buffer
}

/** A command to be put into its product's own format: `encoded` is called with what came of it. */
export interface ToEncode {
  readonly deviceId: number
  readonly keys: DeviceKeys
  readonly downlink: Downlink
}

/** What one call brings about, to be done in this order: packets written, inputs and the rest handed on, then closed. */
export interface Step {
  readonly packets: readonly Packet[]
  readonly inputs: readonly SessionInput[]
  readonly requests: readonly SessionRequest[]
  readonly toEncode: readonly ToEncode[]
  readonly oddities: readonly { readonly kind: Oddity; readonly topic: string }[]
  readonly close: Close | null
}

/** DISCONNECT and CONNACK reasons of MQTT 5 */
export const reasonCode = {
  malformed: 0x81,
  protocolError: 0x82,
  /** implementation specific */
  unacknowledged: 0x83,
  notAuthorized: 0x87,
  shuttingDown: 0x8b,
  keepAlive: 0x8d,
  takenOver: 0x8e,
  topicName: 0x90,
  topicAlias: 0x94,
  packetTooLarge: 0x95,
  quota: 0x97,
  administrative: 0x98,
  qos: 0x9b,
  subscriptionIds: 0xa1,
} as const
