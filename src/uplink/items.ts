// Requests that are lists, each item about a device that it names: a gateway's batches, and everything that a channel sends. Which device is meant, and
// whether whoever asks may speak for it. Not here: what an item says of its device (measurepoints.ts, events.ts, attributes.ts).

import { isKey } from '../core/command.ts'
import { isObject, quote } from '../core/json.ts'
import { REQUEST_ITEMS_MAX } from '../core/limits.ts'
import type { Model } from '../core/model.ts'
import type { Device } from '../store/store.ts'
import { type Call, type DeviceCall, isMissing, isOutcome, type Outcome, refused } from './call.ts'
import { type CodeEntry, codes } from './codes.ts'
import type { DeviceKeys } from './topics.ts'

type Fields = Record<string, unknown>

/** The device that an item names, or why it must not. */
export type FindDevice = (item: Fields) => Promise<Device | Outcome>

/** What an item says of its device, or what is wrong with it. */
export type ReadItem<T> = (item: Fields, device: Device, model: Model | null) => T | Outcome

/** Reads all items, or refuses the request for the first one that is wrong. `format` is the code for what is not built as it should be. */
export async function readItems<T extends object>(
  call: Call,
  find: FindDevice,
  format: CodeEntry,
  read: ReadItem<T>,
): Promise<T[] | Outcome> {
  const { params } = call
  if (!Array.isArray(params) || params.length > REQUEST_ITEMS_MAX)
    return refused(format, `params must be a list of at most ${REQUEST_ITEMS_MAX}, got ${quote(params)}`)
  const modelOf = remembered(productKey => call.fleet.model(productKey))
  const items: T[] = []
  for (const [index, item] of params.entries()) {
    while (call.turns?.isOver()) await call.turns.ended
    const outcome = isObject(item) ? await readItem(item, find, modelOf, read) : refused(format, 'must be an object')
    if (isOutcome(outcome)) return refused(outcome.of, `params[${index}]: ${outcome.detail}`)
    items.push(outcome)
  }
  return items
}

async function readItem<T extends object>(
  item: Fields,
  find: FindDevice,
  modelOf: (productKey: string) => Promise<Model | null>,
  read: ReadItem<T>,
): Promise<T | Outcome> {
  const device = await find(item)
  return isOutcome(device) ? device : read(item, device, await modelOf(device.productKey))
}

/** Asks once for each key: a request names few products, and often one device many times. */
export function remembered<T>(ask: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const answers = new Map<string, Promise<T>>()
  return key => {
    const answer = answers.get(key) ?? ask(key)
    answers.set(key, answer)
    return answer
  }
}

/**
 * Of a batch: the publisher where the item names no device, or one that is logged in on the same connection; with `allowOfflineSubDevice` also one that
 * is not, but is in the topology of the connection's gateway and could log in there: not disabled, and of a product that wants no certificate.
 */
export function batchDevices({ device, asker, fleet, allowOfflineSubDevice }: DeviceCall): FindDevice {
  const gateway = asker.device?.assetId
  const wantsCertificate = remembered(
    async (productKey: string) => (await fleet.product(productKey))?.biDirectionalAuth !== false,
  )
  const behind = async ({ productKey, deviceKey }: DeviceKeys): Promise<Device | null> => {
    const found = await fleet.deviceByKeys(productKey, deviceKey)
    if (found === null || found.gatewayAssetId !== gateway || found.disabled) return null
    return (await wantsCertificate(productKey)) ? null : found
  }
  return async item => {
    const productKey = isMissing(item.productKey) ? device.productKey : item.productKey
    const deviceKey = isMissing(item.deviceKey) ? device.deviceKey : item.deviceKey
    if (!isKeyText(productKey) || !isKeyText(deviceKey))
      return refused(codes.noSubDevice, 'these are no keys of a device')
    const keys = { productKey, deviceKey }
    const found = asker.speaker(keys) ?? (allowOfflineSubDevice ? await behind(keys) : null)
    return found ?? refused(codes.noSubDevice, `${productKey}/${deviceKey} is not logged in on this connection`)
  }
}

/** Of a channel: any device of its product. */
export function channelDevices({ asker, fleet }: Call): FindDevice {
  const deviceOf = remembered(deviceKey => fleet.deviceByKeys(asker.productKey, deviceKey))
  return async ({ deviceKey }) => {
    if (!isKeyText(deviceKey)) return refused(codes.unknownDevice, `this is no deviceKey: ${quote(deviceKey)}`)
    const device = await deviceOf(deviceKey)
    if (device === null) return refused(codes.unknownDevice, `the product has no device ${deviceKey}`)
    return device.disabled ? refused(codes.deviceDisabled, deviceKey) : device
  }
}

const isKeyText = (value: unknown): value is string => typeof value === 'string' && isKey(value)
