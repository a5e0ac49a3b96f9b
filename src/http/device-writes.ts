// Devices that applications create, change and replace. Not here: what becomes of their commands (manage.ts, the engine), names and secrets
// (fleet/registrar.ts), devices that a gateway registers (uplink/registration.ts).

import Type, { type Static } from 'typebox'
import { errors, invalid, type Refusal, refuse } from '../core/errors.ts'
import { ATTRIBUTES_MAX_PER_DEVICE, REGISTER_MAX_DEVICES } from '../core/limits.ts'
import type { Model } from '../core/model.ts'
import { checkReportedAttribute } from '../core/report.ts'
import { type DeviceDraft, type DeviceWithSecret, noProduct, type StoredProduct } from '../fleet/registrar.ts'
import { StoreUnavailable } from '../store/nodes.ts'
import type { DataChange, Device } from '../store/store.ts'
import { remembered } from '../uplink/items.ts'
import type { Call, DeviceAction, DeviceCall, OrganizationAction } from './action.ts'
import { bodyReader, firstOf, nameFault, nameOf, tagsFault, textFault, timezoneFault } from './body.ts'
import { createdDevice, deviceChanges, newDevice } from './fleet-schemas.ts'
import { coversProduct, denied, fleetFull, reach } from './fleet-structs.ts'
import { key, none } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

const demoDevice = {
  productKey: 'bXuuAiku',
  deviceName: { defaultValue: 'Pump four', i18nValue: { en_US: 'Pump four' } },
  timezone: '+08:00',
  deviceTags: { hall: 'north' },
  deviceDesc: 'behind the boiler',
}

export const createDevice: OrganizationAction = {
  about: 'organization',
  operationId: 'createDevice',
  summary: 'Create a device',
  description: [
    '`data` has its keys and its secret. Attributes are checked against the thing model of its product: those that it requires must be there, or have a default.',
    'Where the store is lost after the device was created and before its attributes and tags were saved, the answer is 99504 with the device in `data`: update it.',
  ].join('\n'),
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  body: newDevice,
  data: createdDevice,
  codes: ['productNotFound', 'deviceKeyTaken', 'noDeviceKey', 'tooManyDevices', 'outcomeUnknown'],
  strict: false,
  run: createOne,
  examples: [
    { summary: 'with a key of its own', body: { ...demoDevice, deviceKey: 'mqtt_04' } },
    { summary: 'with a key that is drawn', body: demoDevice },
    { summary: 'with a key that is taken', body: { ...demoDevice, deviceKey: 'mqtt_01' }, code: 11702 },
  ],
}

const batchItem = Type.Object({
  code: Type.Integer(),
  msg: Type.String(),
  data: Type.Union([createdDevice, Type.Null()]),
})

/** The vendor has it below v2.0, and in samples below v2.1. */
export const batchCreateDevices = (operationId: string): OrganizationAction => ({
  about: 'organization',
  operationId,
  summary: 'Create many devices',
  description: [
    'Each by itself: `data` has a code for each, in the order of `deviceList`, and the device where that is 0. What stands beside it says how many there are of those.',
    'The code of the answer is 0 wherever the list could be read.',
  ].join('\n'),
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  body: Type.Object({ deviceList: Type.Array(newDevice, { minItems: 1, maxItems: REGISTER_MAX_DEVICES }) }),
  data: Type.Array(batchItem),
  beside: Type.Object({ successSize: Type.Integer(), totalSize: Type.Integer() }),
  codes: ['productNotFound', 'deviceKeyTaken', 'noDeviceKey', 'tooManyDevices', 'outcomeUnknown'],
  strict: false,
  run: createMany,
  examples: [
    {
      summary: 'one that can be, and one whose key is taken',
      body: {
        deviceList: [
          { ...demoDevice, deviceKey: 'mqtt_05' },
          { ...demoDevice, deviceKey: 'mqtt_01' },
        ],
      },
    },
  ],
})

export const updateDevice: DeviceAction = {
  about: 'device',
  operationId: 'updateDevice',
  summary: 'Change a device',
  description: [
    'What the body does not say stays as it is. Attributes that it names are set, and removed where they are `null`; tags are replaced as a whole.',
    'It may be repeated: where the store is lost in between, some of it may have been done.',
  ].join('\n'),
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  body: deviceChanges,
  data: Type.Null(),
  codes: ['notFound'],
  strict: false,
  run: update,
  examples: [
    {
      summary: 'its name and a tag',
      query: { assetId: 'k3TzVb7Q' },
      body: { deviceName: { defaultValue: 'Pump two' }, deviceTags: { hall: 'south' } },
    },
  ],
}

const replacement = Type.Object({ newDeviceKey: key('The key of the device that takes its place.') })

export const replaceDevice: DeviceAction = {
  about: 'device',
  operationId: 'replaceDevice',
  summary: 'Put another device in its place',
  description: [
    'It gets a new deviceKey and a new deviceSecret; its assetId, its data and its commands stay, and what waits goes to the new one. It is inactive until it',
    'connects. The connection of the old one ends, and its gateway, if it is behind one, is told that the old one is deleted.',
  ].join('\n'),
  methods: ['POST'],
  needs: fleetFull,
  parameters: none,
  body: replacement,
  data: createdDevice,
  codes: ['deviceKeyTaken', 'sameDeviceKey', 'notFound'],
  strict: false,
  run: replace,
  examples: [
    { summary: 'with a new key', query: { assetId: 'u9LmFh6S' }, body: { newDeviceKey: 'bench_02' } },
    {
      summary: 'with the key that it has',
      query: { assetId: 'pN4cYd1E' },
      body: { newDeviceKey: 'mqtt_03' },
      code: 11704,
    },
  ],
}

// --- create --------------------------------------------------------------------------------------------------------

/** A device that could be created, with what is to be saved of it afterwards. */
interface Wanted {
  readonly draft: DeviceDraft
  readonly attributes: readonly (readonly [id: string, json: string])[]
  readonly tags: readonly (readonly [key: string, text: string])[]
}

type Outcome = { readonly refusal: Refusal | null; readonly device: DeviceWithSecret | null }

const readNew = bodyReader(newDevice)
const readList = bodyReader(
  Type.Object({ deviceList: Type.Array(Type.Unknown(), { minItems: 1, maxItems: REGISTER_MAX_DEVICES }) }),
)

async function createOne(call: Call): Promise<Result> {
  const [outcome] = await create(call, [call.body])
  const { refusal = null, device = null } = outcome ?? {}
  if (refusal === null) return ok(device === null ? null : shown(device))
  return device === null ? refused(refusal) : failure(refusal, shown(device), 503)
}

async function createMany(call: Call): Promise<Result> {
  const body = readList(call.body)
  if (!body.ok) return failure(body)
  const outcomes = await create(call, body.value.deviceList)
  const data = outcomes.map(({ refusal, device }) => ({
    code: refusal?.code ?? 0,
    msg: refusal?.message ?? 'OK',
    data: device === null ? null : shown(device),
  }))
  return ok(data, { successSize: data.filter(({ code }) => code === 0).length, totalSize: data.length })
}

const shown = ({ assetId, productKey, deviceKey, deviceSecret }: DeviceWithSecret) => ({
  assetId,
  productKey,
  deviceKey,
  deviceSecret,
})

async function create(call: Call, items: readonly unknown[]): Promise<Outcome[]> {
  const productOf = remembered(productKey => call.fleet.registrar.product(call.orgId, productKey))
  const modelOf = remembered(modelId => call.fleet.modelById(call.orgId, modelId))
  const named = new Set<string>()
  const read: (Wanted | Refusal)[] = []
  for (const item of items) read.push(await readWanted(call, item, named, productOf, modelOf))
  const wanted = read.filter((each): each is Wanted => 'draft' in each)
  const made = await call.fleet.registrar.createDevices(
    wanted.map(({ draft }) => draft),
    call.clock.now(),
  )
  const madeOf = new Map(wanted.map((each, index) => [each, made[index]]))
  const unsaved = await saveAll(call, madeOf)
  return read.map(each => {
    if ('ok' in each) return { refusal: each, device: null }
    const device = madeOf.get(each)
    if (!device?.ok) return { refusal: device ?? null, device: null }
    return { refusal: unsaved.has(each) ? notSaved : null, device }
  })
}

const notSaved = refuse(
  errors.outcomeUnknown,
  'the device was created, as data says; the store was lost before its attributes and tags were saved: update it',
)

async function readWanted(
  call: Call,
  item: unknown,
  named: Set<string>,
  productOf: (productKey: string) => Promise<StoredProduct | null>,
  modelOf: (modelId: string) => Promise<Model | null>,
): Promise<Wanted | Refusal> {
  const body = readNew(item)
  if (!body.ok) return body
  const { productKey, timezone, deviceName, deviceKey = null, deviceDesc = null } = body.value
  const { deviceAttributes, deviceTags } = body.value
  const fault = firstOf(
    nameFault('deviceName', deviceName),
    timezoneFault('timezone', timezone),
    textFault('deviceDesc', deviceDesc),
    tagsFault('deviceTags', deviceTags ?? {}),
  )
  if (fault !== null) return fault
  const stored = await productOf(productKey)
  if (stored === null) return noProduct(productKey)
  if (!coversProduct(reach(call, fleetFull), productKey)) return denied(`product ${productKey}`, fleetFull)
  const { modelId } = stored.product
  const model = modelId === null ? null : await modelOf(modelId)
  const attributes = readAttributes(deviceAttributes ?? {}, model)
  if ('ok' in attributes) return attributes
  const missing = missingAttributes(attributes, model)
  if ('ok' in missing) return missing
  const name = `${productKey}/${deviceKey}`
  if (deviceKey !== null && named.has(name)) return refuse(errors.deviceKeyTaken, `${name} is there twice`)
  named.add(name)
  const draft = { orgId: call.orgId, productKey, timezone, deviceKey, deviceName: nameOf(deviceName) }
  return {
    draft: { ...draft, description: deviceDesc },
    attributes: [...attributes.set, ...missing.set],
    tags: Object.entries(deviceTags ?? {}),
  }
}

interface AttributeChanges {
  readonly set: readonly (readonly [id: string, json: string])[]
  readonly remove: readonly string[]
}

/** null removes: no attribute has it as a value. */
function readAttributes(given: Static<typeof deviceChanges>['deviceAttributes'], model: Model | null) {
  const set: [string, string][] = []
  const remove: string[] = []
  for (const [id, value] of Object.entries(given ?? {})) {
    if (value === null) {
      remove.push(id)
      continue
    }
    const check = checkReportedAttribute(model, id, value)
    if (!check.ok) return invalid('deviceAttributes', check.problem())
    set.push([id, check.json])
  }
  return { set, remove }
}

/** What the model requires of every device and was not said: its defaults, or a refusal where it has none. */
function missingAttributes({ set }: AttributeChanges, model: Model | null): Pick<AttributeChanges, 'set'> | Refusal {
  const said = new Set(set.map(([id]) => id))
  const defaults: [string, string][] = []
  for (const [id, { required, defaultValue }] of model?.attributes ?? []) {
    if (!required || said.has(id)) continue
    if (defaultValue === undefined) return invalid(`deviceAttributes.${id}`, `${id} is missing; the model requires it`)
    defaults.push([id, JSON.stringify(defaultValue)])
  }
  return { set: defaults }
}

/** Saves what was said of devices that have been created; those of which it is not known whether it was saved. */
async function saveAll(
  { store }: Call,
  made: ReadonlyMap<Wanted, DeviceWithSecret | Refusal | undefined>,
): Promise<ReadonlySet<Wanted>> {
  const having = [...made].filter(([{ attributes, tags }, device]) => device?.ok && attributes.length + tags.length > 0)
  try {
    const changes: DataChange[] = []
    for (const [{ attributes, tags }, device] of having) {
      const stored = device?.ok ? await store.deviceByAsset(device.assetId) : null
      // Deleted again in the same moment: then it needs none.
      if (stored === null) continue
      const deviceId = stored.id
      if (attributes.length > 0) changes.push({ type: 'attributes', deviceId, set: attributes, remove: [] })
      if (tags.length > 0) changes.push({ type: 'tags', deviceId, set: tags, remove: [] })
    }
    if (changes.length > 0) await store.saveData(changes)
    return new Set()
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    return new Set(having.map(([wanted]) => wanted))
  }
}

// --- change --------------------------------------------------------------------------------------------------------

const readChanges = bodyReader(deviceChanges)
const gone = refuse(errors.notFound, 'device not found')

async function update(call: DeviceCall): Promise<Result> {
  const body = readChanges(call.body)
  if (!body.ok) return failure(body)
  const { timezone, deviceName, deviceDesc, deviceAttributes, deviceTags } = body.value
  const fault = firstOf(
    deviceName ? nameFault('deviceName', deviceName) : null,
    typeof timezone === 'string' ? timezoneFault('timezone', timezone) : null,
    textFault('deviceDesc', deviceDesc),
    tagsFault('deviceTags', deviceTags ?? {}),
  )
  if (fault !== null) return failure(fault)
  const attributes = readAttributes(deviceAttributes, await call.fleet.model(call.device))
  if ('ok' in attributes) return failure(attributes)
  // First what may be refused: then nothing has been changed yet.
  const refusal = await saveLabels(call, attributes, deviceTags ?? null)
  if (refusal !== null) return failure(refusal)
  const isThere = await call.fleet.registrar.updateDevice(call.device, {
    ...(deviceName ? { nameJson: JSON.stringify(nameOf(deviceName)) } : {}),
    ...(typeof timezone === 'string' ? { timezone } : {}),
    ...(typeof deviceDesc === 'string' ? { description: deviceDesc } : {}),
  })
  return isThere ? ok(null) : failure(gone)
}

async function saveLabels(
  { store, device: { id: deviceId } }: DeviceCall,
  { set, remove }: AttributeChanges,
  tags: Readonly<Record<string, string>> | null,
): Promise<Refusal | null> {
  const changes: DataChange[] = []
  if (set.length + remove.length > 0) changes.push({ type: 'attributes', deviceId, set, remove })
  if (tags !== null) {
    const others = [...(await store.tags(deviceId)).keys()].filter(key => !Object.hasOwn(tags, key))
    changes.push({ type: 'tags', deviceId, set: Object.entries(tags), remove: others })
  }
  for (const change of changes) {
    const [applied] = await store.saveData([change])
    if (applied) continue
    if ((await store.deviceById(deviceId)) === null) return gone
    const field = change.type === 'tags' ? 'deviceTags' : 'deviceAttributes'
    return invalid(field, `the device would have more than ${ATTRIBUTES_MAX_PER_DEVICE}`)
  }
  return null
}

const readReplacement = bodyReader(replacement)

async function replace(call: DeviceCall): Promise<Result> {
  const { engine, fleet, device, notify } = call
  const body = readReplacement(call.body)
  if (!body.ok) return failure(body)
  const gateway = await gatewayOf(call)
  const replaced = await fleet.registrar.replaceDevice(device, body.value.newDeviceKey)
  if (!replaced.ok) return refused(replaced)
  // Whoever is connected as the old one is not the newest session any more: a look at the queue ends that here, and other nodes look for themselves.
  await engine.apply(device.id, { type: 'tick' })
  if (gateway !== null) await notify(gateway.id, 'delete', device)
  return ok(shown(replaced))
}

/** Looked for before anything is done: what was done must not be told as failed because this did. */
export const gatewayOf = async ({ fleet, device }: DeviceCall): Promise<Device | null> =>
  device.gatewayAssetId === null ? null : fleet.deviceByAsset(device.gatewayAssetId)
