// What a fleet file says: organizations with their applications, models, products and devices. Text in, checked data or problems with their lines out.
// Not here: how the text becomes a tree (document.ts), what is in the store already and how a file gets there (fleet.ts).

import { isKey } from '../core/command.ts'
import { quote } from '../core/json.ts'
import { NAME_MAX_CHARS, SECRET_MAX_CHARS } from '../core/limits.ts'
import { parseModel, parseStringI18n, type StringI18n } from '../core/model.ts'
import { isPrintedName } from '../core/name.ts'
import { nearest } from '../core/nearest.ts'
import { normalSerial } from '../core/serial.ts'
import { isTimezone } from '../core/time.ts'
import type { Grant, Scope } from '../store/store.ts'
import {
  locate,
  type MapPlace,
  type Place,
  type Problem,
  type Problems,
  pathOf,
  plain,
  readDocument,
} from './document.ts'
import { permissions } from './grants.ts'
import { operatorOf } from './operators.ts'
import { ClearSecret } from './secrets.ts'

export type { Problem } from './document.ts'

export interface FileApplication {
  readonly appKey: string
  readonly appSecret: ClearSecret
  /** required, and may be empty: an application without grants can do nothing */
  readonly grants: readonly Grant[]
}
export interface FileModel {
  readonly modelId: string
  /** the ThingModel as JSON text, as the file has it */
  readonly json: string
}
export interface FileProduct {
  readonly productKey: string
  readonly productSecret: ClearSecret
  /** default: the productKey */
  readonly productName: StringI18n
  /** default null: the product's devices take any JSON */
  readonly modelId: string | null
  /** default Device */
  readonly productType: 'Device' | 'Gateway'
  /** default Json; Custom: its devices speak a format of their own */
  readonly dataFormat: 'Json' | 'Custom'
  /** default false */
  readonly dynamicActivateEnabled: boolean
  /** default false */
  readonly biDirectionalAuth: boolean
}
export interface FileDevice {
  readonly assetId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly deviceSecret: ClearSecret
  /** default: the deviceKey */
  readonly deviceName: StringI18n
  /** `+08:00` or an IANA name; default `+00:00` */
  readonly timezone: string
  /** assetId of the gateway whose topology it is in; null: not said, and then a device that is on record stays where it is */
  readonly gateway: string | null
  /** null: not said; then a device that is on record stays as it is, and a new one is not disabled */
  readonly disabled: boolean | null
  /** serial number of its client certificate, normalised; default null: its certificate is known by its name */
  readonly certificateSerial: string | null
}
export interface FileOrganization {
  readonly orgId: string
  /** default: the orgId */
  readonly name: string
  /** these four lists may be left out */
  readonly applications: readonly FileApplication[]
  readonly models: readonly FileModel[]
  readonly products: readonly FileProduct[]
  readonly devices: readonly FileDevice[]
}
export interface FleetFile {
  readonly organizations: readonly FileOrganization[]
}

/** A text's rule, and the words for whoever broke it. */
interface Rule {
  readonly holds: (text: string) => boolean
  readonly words: string
  /** never shown, not even where it is malformed */
  readonly secret?: true
}
const KEY: Rule = { holds: isKey, words: 'must be 1 to 64 characters of A-Z a-z 0-9 _ . -' }
const printable = (text: string): boolean => text.length <= SECRET_MAX_CHARS && /^[\x21-\x7e]+$/.test(text)
const CREDENTIAL: Rule = {
  holds: printable,
  words: `must be 1 to ${SECRET_MAX_CHARS} printable ASCII characters without blanks`,
}
const SECRET: Rule = { ...CREDENTIAL, secret: true }
const NAME: Rule = {
  holds: text => text.length <= NAME_MAX_CHARS && text.trim() !== '' && !/[\p{Cc}\p{Cs}]/u.test(text),
  words: `must be 1 to ${NAME_MAX_CHARS} characters, not only blanks`,
}
/** Tools print it in a line; names of devices are shown as what they are. */
const ORGANIZATION_NAME: Rule = {
  holds: text => text.length <= NAME_MAX_CHARS && isPrintedName(text),
  words: `must be 1 to ${NAME_MAX_CHARS} characters, not only blanks, and no control or format characters`,
}
const TIMEZONE: Rule = {
  holds: isTimezone,
  words: 'is no timezone: write an offset such as "+08:00" or an IANA name such as Europe/Berlin',
}

const SERIAL: Rule = {
  holds: text => normalSerial(text) !== null,
  words: "must be a certificate's serial number in hexadecimal, such as 4A:01:F3 or 4a01f3",
}

/** A thing together with where it stands, until everything that needs its line has been checked. */
interface Found<T> {
  readonly item: T
  readonly place: Place
}
interface FoundOrganization {
  readonly orgId: string
  readonly name: string
  readonly place: Place
  readonly applications: readonly Found<FileApplication>[]
  readonly models: readonly Found<FileModel>[]
  readonly products: readonly Found<FileProduct>[]
  readonly devices: readonly Found<FileDevice>[]
}

function unknownKey(key: string, known: readonly string[]): string {
  const meant = nearest(key, known)
  return `unknown key ${quote(key)}; ${meant === null ? `known here: ${known.join(', ')}` : `did you mean ${meant}?`}`
}

const what = (place: Place): string => {
  if (place.kind !== 'scalar') return place.kind === 'map' ? 'a map' : 'a list'
  return place.value === null ? 'nothing' : `a ${typeof place.value}`
}

/** Reads values out of places; what does not fit becomes a problem, and the caller goes on, so that one run shows them all. */
class Reader {
  constructor(readonly problems: Problems) {}

  /** A map with no other keys than these. */
  map(place: Place, known: readonly string[]): MapPlace | null {
    if (place.kind !== 'map') {
      this.problems.value(place, `must be a map with ${known.join(', ')}; it is ${what(place)}`)
      return null
    }
    for (const [key, entry] of place.entries) {
      if (!known.includes(key)) this.problems.key(entry, unknownKey(key, known))
    }
    return place
  }

  /** The value of a key; null where it is left out or empty (JSON writers print null for what is not set). */
  entry(map: MapPlace, key: string): Place | null {
    const place = map.entries.get(key)
    return place === undefined || (place.kind === 'scalar' && place.value === null) ? null : place
  }

  required(map: MapPlace, key: string): Place | null {
    const place = this.entry(map, key)
    if (place === null) this.problems.key(map.entries.get(key) ?? map, `${key} is missing`)
    return place
  }

  textAt(place: Place, rule: Rule): string | null {
    if (place.kind !== 'scalar' || typeof place.value !== 'string') {
      const quoted = rule.secret || place.kind !== 'scalar' ? '' : `: ${quote(place.source)}`
      const cure = place.kind === 'scalar' ? `; put it in quotes${quoted}` : ''
      this.problems.value(place, `must be a text; it is ${what(place)}${cure}`)
      return null
    }
    if (rule.holds(place.value)) return place.value
    this.problems.value(place, rule.words)
    return null
  }

  text(map: MapPlace, key: string, rule: Rule): string | null {
    const place = this.required(map, key)
    return place === null ? null : this.textAt(place, rule)
  }

  textOr<T>(map: MapPlace, key: string, rule: Rule, otherwise: T): string | T {
    const place = this.entry(map, key)
    return place === null ? otherwise : (this.textAt(place, rule) ?? otherwise)
  }

  secret(map: MapPlace, key: string): ClearSecret | null {
    const text = this.text(map, key, SECRET)
    return text === null ? null : new ClearSecret(text)
  }

  /** One of these words; the first where it is left out. */
  wordOr<W extends string>(map: MapPlace, key: string, words: readonly [W, ...W[]]): W {
    const place = this.entry(map, key)
    if (place === null) return words[0]
    const word = words.find(one => place.kind === 'scalar' && place.value === one)
    if (word === undefined) this.problems.value(place, `must be ${words.join(' or ')}`)
    return word ?? words[0]
  }

  flag(map: MapPlace, key: string): boolean {
    const place = this.entry(map, key)
    if (place === null) return false
    if (place.kind === 'scalar' && typeof place.value === 'boolean') return place.value
    this.problems.value(place, `must be true or false; it is ${what(place)}`)
    return false
  }

  list(place: Place | null): readonly Place[] {
    if (place === null) return []
    if (place.kind === 'list') return place.items
    this.problems.value(place, `must be a list; it is ${what(place)}`)
    return []
  }

  /** A name in several languages, or a bare text for its defaultValue; without one, the key stands for it. */
  name(map: MapPlace, key: string, otherwise: string): StringI18n {
    const fallback: StringI18n = { defaultValue: otherwise, i18nValue: {} }
    const place = this.entry(map, key)
    if (place === null) return fallback
    const inner = place.kind === 'map' ? this.map(place, ['defaultValue', 'i18nValue']) : null
    const text = inner === null ? this.textAt(place, NAME) : this.text(inner, 'defaultValue', NAME)
    if (text === null) return fallback
    const name = parseStringI18n(plain(place))
    if (name === null && inner !== null) {
      this.problems.value(locate(inner, 'i18nValue'), 'must be a map of names by locale, such as {en_US: "Pump"}')
    }
    return name ?? fallback
  }
}

function readScope(reader: Reader, place: Place): Scope | null {
  if (place.kind === 'scalar' && place.value === 'all') return 'all'
  if (place.kind !== 'map') {
    reader.problems.value(place, 'must be all, {productKeys: [ … ]} or {assetIds: [ … ]}')
    return null
  }
  reader.map(place, ['productKeys', 'assetIds'])
  const products = reader.entry(place, 'productKeys')
  const assets = reader.entry(place, 'assetIds')
  const named = products ?? assets
  if (named === null || (products !== null && assets !== null)) {
    reader.problems.value(place, 'must have either productKeys or assetIds; for both write two grants')
    return null
  }
  const items = reader.list(named)
  if (named.kind === 'list' && items.length === 0) {
    reader.problems.value(named, 'is empty; name at least one, or remove the grant')
  }
  const keys = items.flatMap(item => reader.textAt(item, KEY) ?? [])
  if (keys.length < items.length) return null
  return products === null ? { assetIds: keys } : { productKeys: keys }
}

function readGrant(reader: Reader, place: Place): Grant | null {
  const map = reader.map(place, ['resource', 'actions', 'scope'])
  if (map === null) return null
  const known = Object.keys(permissions)
  const resource = reader.text(map, 'resource', {
    holds: text => known.includes(text),
    words: `must be ${known.join(' or ')}`,
  })
  const byResource: Readonly<Record<string, readonly string[]>> = permissions
  const allowed = byResource[resource ?? ''] ?? Object.values(permissions).flat()
  const actions = reader.required(map, 'actions')
  const rule: Rule = { holds: text => allowed.includes(text), words: `must be ${allowed.join(' or ')}` }
  const read = reader.list(actions).flatMap(item => reader.textAt(item, rule) ?? [])
  if (actions?.kind === 'list' && actions.items.length === 0)
    reader.problems.value(actions, 'is empty; name at least one action')
  const scopePlace = reader.required(map, 'scope')
  const scope = scopePlace === null ? null : readScope(reader, scopePlace)
  return resource === null || scope === null ? null : { resource, actions: [...new Set(read)], scope }
}

function readApplication(reader: Reader, place: Place): FileApplication | null {
  const map = reader.map(place, ['appKey', 'appSecret', 'grants'])
  if (map === null) return null
  const appKey = reader.text(map, 'appKey', CREDENTIAL)
  const appSecret = reader.secret(map, 'appSecret')
  const places = reader.list(reader.required(map, 'grants'))
  const grants = places.flatMap(item => readGrant(reader, item) ?? [])
  const whole = grants.length === places.length
  return appKey === null || appSecret === null || !whole ? null : { appKey, appSecret, grants }
}

/** The shape of a ThingModel is core/model.ts's to judge; its problems get their lines here. */
function readModel(reader: Reader, place: Place): FileModel | null {
  if (place.kind !== 'map') {
    reader.problems.value(place, `must be a map with modelId and a thing model; it is ${what(place)}`)
    return null
  }
  const modelId = reader.text(place, 'modelId', KEY)
  if (modelId === null) return null
  const value = plain(place)
  const parsed = parseModel(value)
  if (parsed.ok) return { modelId, json: JSON.stringify(value) }
  for (const { path, message } of parsed.problems) {
    const { at } = locate(place, path)
    const dot = path === '' || path.startsWith('[') ? '' : '.'
    reader.problems.at(at, `${pathOf(place)}${dot}${path}`, message)
  }
  return null
}

const PRODUCT_KEYS = [
  'productKey',
  'productSecret',
  'productName',
  'modelId',
  'productType',
  'dataFormat',
  'dynamicActivateEnabled',
  'biDirectionalAuth',
]

function readProduct(reader: Reader, place: Place): FileProduct | null {
  const map = reader.map(place, PRODUCT_KEYS)
  if (map === null) return null
  const productKey = reader.text(map, 'productKey', KEY)
  const productSecret = reader.secret(map, 'productSecret')
  const rest = {
    productName: reader.name(map, 'productName', productKey ?? ''),
    modelId: reader.textOr(map, 'modelId', KEY, null),
    productType: reader.wordOr(map, 'productType', ['Device', 'Gateway']),
    dataFormat: reader.wordOr(map, 'dataFormat', ['Json', 'Custom']),
    dynamicActivateEnabled: reader.flag(map, 'dynamicActivateEnabled'),
    biDirectionalAuth: reader.flag(map, 'biDirectionalAuth'),
  }
  return productKey === null || productSecret === null ? null : { productKey, productSecret, ...rest }
}

const DEVICE_KEYS = [
  'assetId',
  'productKey',
  'deviceKey',
  'deviceSecret',
  'deviceName',
  'timezone',
  'gateway',
  'disabled',
  'certificateSerial',
]

function readDevice(reader: Reader, place: Place): FileDevice | null {
  const map = reader.map(place, DEVICE_KEYS)
  if (map === null) return null
  const assetId = reader.text(map, 'assetId', KEY)
  const productKey = reader.text(map, 'productKey', KEY)
  const deviceKey = reader.text(map, 'deviceKey', KEY)
  const deviceSecret = reader.secret(map, 'deviceSecret')
  const serial = reader.textOr(map, 'certificateSerial', SERIAL, null)
  const rest = {
    deviceName: reader.name(map, 'deviceName', deviceKey ?? ''),
    timezone: reader.textOr(map, 'timezone', TIMEZONE, '+00:00'),
    gateway: reader.textOr(map, 'gateway', KEY, null),
    disabled: reader.entry(map, 'disabled') === null ? null : reader.flag(map, 'disabled'),
    certificateSerial: serial === null ? null : normalSerial(serial),
  }
  if (assetId === null || productKey === null || deviceKey === null || deviceSecret === null) return null
  return { assetId, productKey, deviceKey, deviceSecret, ...rest }
}

function readOrganization(reader: Reader, place: Place): FoundOrganization | null {
  const map = reader.map(place, ['orgId', 'name', 'applications', 'models', 'products', 'devices'])
  if (map === null) return null
  const orgId = reader.text(map, 'orgId', KEY)
  const name = reader.textOr(map, 'name', ORGANIZATION_NAME, orgId ?? '')
  const each = <T>(key: string, read: (reader: Reader, item: Place) => T | null): Found<T>[] =>
    reader.list(reader.entry(map, key)).flatMap(itemPlace => {
      const item = read(reader, itemPlace)
      return item === null ? [] : [{ item, place: itemPlace }]
    })
  const found = {
    name,
    place: map,
    applications: each('applications', readApplication),
    models: each('models', readModel),
    products: each('products', readProduct),
    devices: each('devices', readDevice),
  }
  return orgId === null ? null : { orgId, ...found }
}

/** Reports every thing whose `field` (or two fields together) another one above it has already. */
function checkUnique<T>(
  problems: Problems,
  found: readonly Found<T>[],
  field: keyof T & string,
  keyOf: (item: T) => string,
): void {
  const first = new Map<string, Place>()
  for (const { item, place } of found) {
    const earlier = first.get(keyOf(item))
    if (earlier === undefined) first.set(keyOf(item), place)
    else problems.value(locate(place, field), `this ${field} is taken by what is on line ${problems.lineOf(earlier)}`)
  }
}

/** What the references of one file can be held against. What is not in the file may be in the store, so only contradictions are problems. */
class References {
  readonly #products = new Map<string, { readonly orgId: string; readonly type: FileProduct['productType'] }>()
  readonly #devices = new Map<string, { readonly orgId: string; readonly productKey: string }>()

  constructor(
    organizations: readonly FoundOrganization[],
    private readonly problems: Problems,
  ) {
    for (const { orgId, products, devices } of organizations) {
      for (const { item } of products) this.#products.set(item.productKey, { orgId, type: item.productType })
      for (const { item } of devices) this.#devices.set(item.assetId, { orgId, productKey: item.productKey })
    }
  }

  product(orgId: string, productKey: string, place: Place): void {
    this.#same(orgId, this.#products.get(productKey)?.orgId, place)
  }

  asset(orgId: string, assetId: string, place: Place): void {
    this.#same(orgId, this.#devices.get(assetId)?.orgId, place)
  }

  gateway(orgId: string, device: FileDevice, place: Place): void {
    if (device.gateway === null) return
    this.asset(orgId, device.gateway, place)
    const own = this.#products.get(device.productKey)
    const gateway = this.#devices.get(device.gateway)
    const over = this.#products.get(gateway?.productKey ?? '')
    if (device.gateway === device.assetId) this.problems.value(place, 'a device cannot be its own gateway')
    else if (own?.type === 'Gateway')
      this.problems.value(place, 'this device is a gateway itself; gateways do not nest')
    else if (over?.type === 'Device') {
      this.problems.value(place, `is no gateway; the product ${gateway?.productKey} would need productType Gateway`)
    }
  }

  #same(orgId: string, other: string | undefined, place: Place): void {
    if (other !== undefined && other !== orgId)
      this.problems.value(place, `belongs to another organization, ${other}, in this file`)
  }
}

function checkReferences(organizations: readonly FoundOrganization[], problems: Problems): void {
  const references = new References(organizations, problems)
  for (const { orgId, applications, devices } of organizations) {
    for (const { item, place } of devices) {
      references.product(orgId, item.productKey, locate(place, 'productKey'))
      references.gateway(orgId, item, locate(place, 'gateway'))
    }
    for (const { item, place } of applications) {
      if (operatorOf({ orgId, appKey: item.appKey }) !== null)
        problems.value(
          locate(place, 'appKey'),
          `is an operator's name, NAME@${orgId}: downlink console token makes those`,
        )
      for (const [index, { scope }] of item.grants.entries()) {
        if (scope === 'all') continue
        const at = (key: string, inner: number) => locate(place, `grants[${index}].scope.${key}[${inner}]`)
        if ('productKeys' in scope)
          for (const [i, key] of scope.productKeys.entries()) references.product(orgId, key, at('productKeys', i))
        else for (const [i, id] of scope.assetIds.entries()) references.asset(orgId, id, at('assetIds', i))
      }
    }
  }
}

function checkTogether(organizations: readonly FoundOrganization[], problems: Problems): void {
  const orgs = organizations.map(item => ({ item, place: item.place }))
  checkUnique(problems, orgs, 'orgId', ({ orgId }) => orgId)
  checkUnique(
    problems,
    organizations.flatMap(({ applications }) => applications),
    'appKey',
    ({ appKey }) => appKey,
  )
  for (const { models } of organizations) checkUnique(problems, models, 'modelId', ({ modelId }) => modelId)
  checkUnique(
    problems,
    organizations.flatMap(({ products }) => products),
    'productKey',
    ({ productKey }) => productKey,
  )
  const devices = organizations.flatMap(organization => organization.devices)
  checkUnique(problems, devices, 'assetId', ({ assetId }) => assetId)
  checkUnique(problems, devices, 'deviceKey', ({ productKey, deviceKey }) => `${productKey}&${deviceKey}`)
  checkReferences(organizations, problems)
}

/**
 * Reads a fleet file: YAML or JSON text, `name` as problems shall call it. It is good as a whole or not at all; up to FLEET_PROBLEMS_MAX
 * problems are listed, none of which quotes a secret. References to what the file does not hold are left to the store.
 */
export function parseFleetFile(
  text: string,
  name: string,
): { readonly ok: true; readonly file: FleetFile } | { readonly ok: false; readonly problems: readonly Problem[] } {
  const { root, problems } = readDocument(text, name)
  const reader = new Reader(problems)
  const map = root === null ? null : reader.map(root, ['organizations'])
  const list = map === null ? null : reader.required(map, 'organizations')
  const organizations = reader.list(list).flatMap(place => readOrganization(reader, place) ?? [])
  checkTogether(organizations, problems)
  if (problems.list.length > 0) return { ok: false, problems: problems.list }
  const items = <T>(found: readonly Found<T>[]): T[] => found.map(({ item }) => item)
  const file: FleetFile = {
    organizations: organizations.map(({ orgId, name: orgName, applications, models, products, devices }) => ({
      orgId,
      name: orgName,
      applications: items(applications),
      models: items(models),
      products: items(products),
      devices: items(devices),
    })),
  }
  return { ok: true, file }
}

/** One line for a terminal or a log: `fleet.yaml:12:5: organizations[0].devices[2].deviceKey: is missing`. */
export const describeProblem = ({ file, line, column, path, message }: Problem): string =>
  `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${message}`
