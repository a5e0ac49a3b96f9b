// The fleet over real stores: what a file puts in is read back, sealed, cached and granted as it says. Not here: the file’s text (fleet-file.test.ts).
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MODELS_CACHED_MAX } from '../src/core/limits.ts'
import { describeProblem, type FleetFile, parseFleetFile } from '../src/fleet/file.ts'
import { BrokenFleet, Fleet } from '../src/fleet/fleet.ts'
import { randomKey, SecretError, Secrets } from '../src/fleet/secrets.ts'
import { openMemory } from '../src/store/memory.ts'
import { openSqlite } from '../src/store/sqlite.ts'
import { FleetConflict, type FleetRows, type Store } from '../src/store/store.ts'

const NOW = 1_760_000_000_000

const text = `organizations:
  - orgId: o1
    name: One
    applications:
      - { appKey: app-1, appSecret: app-secret-1, grants: [{ resource: Asset, actions: [Control], scope: all }] }
      - { appKey: app-2, appSecret: app-secret-2, grants: [{ resource: Asset, actions: [Read], scope: {productKeys: [p1]} }] }
    models:
      - modelId: m1
        measurepoints: { Int_value: { name: {defaultValue: Integer}, dataType: INT } }
    products:
      - { productKey: p1, productSecret: product-secret-1, modelId: m1 }
      - { productKey: gw, productSecret: product-secret-2, productName: {defaultValue: Gateway, i18nValue: {de_DE: Torweg}}, productType: Gateway, dataFormat: Custom, dynamicActivateEnabled: true, biDirectionalAuth: true }
    devices:
      - { assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: device-secret-1, timezone: "+08:00", gateway: g1, certificateSerial: "0A:1B" }
      - { assetId: g1, productKey: gw, deviceKey: d1, deviceSecret: device-secret-2, disabled: true }
  - orgId: o2
`

function read(yaml: string): FleetFile {
  const parsed = parseFleetFile(yaml, 'fleet.yaml')
  if (!parsed.ok) throw new Error(parsed.problems.map(describeProblem).join('\n'))
  return parsed.file
}

const noRows: FleetRows = { organizations: [], applications: [], models: [], products: [], devices: [] }

describe.each(['memory', 'sqlite'])('the fleet on %s', kind => {
  let store: Store
  let fleet: Fleet
  let directory = ''
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'downlink-fleet-'))
    store = kind === 'memory' ? openMemory() : openSqlite(join(directory, 'fleet.db'))
    fleet = new Fleet(store, new Secrets(randomKey()))
  })
  afterEach(async () => {
    await store.close()
    rmSync(directory, { recursive: true })
  })

  it('is applied, counted and read back', async () => {
    const applied = await fleet.apply(read(text), NOW)
    expect(applied).toEqual({ organizations: 2, applications: 2, models: 1, products: 2, devices: 2 })
    expect(await fleet.organization('o1')).toEqual({ orgId: 'o1', name: 'One' })
    expect(await fleet.organization('o2')).toEqual({ orgId: 'o2', name: 'o2' })
    expect(await fleet.organization('o3')).toBeNull()

    const application = await fleet.application('app-2')
    expect(application).toMatchObject({
      appKey: 'app-2',
      orgId: 'o1',
      grants: [{ resource: 'Asset', actions: ['Read'], scope: { productKeys: ['p1'] } }],
    })
    expect(application?.secret.reveal()).toBe('app-secret-2')
    expect(await fleet.application('app-3')).toBeNull()
    expect((await fleet.firstApplication('o1'))?.appKey).toBe('app-1')
    expect(await fleet.firstApplication('o2')).toBeNull()

    const device = await fleet.deviceByKeys('p1', 'd1')
    expect(device).toMatchObject({
      assetId: 'a1',
      orgId: 'o1',
      timezone: '+08:00',
      gatewayAssetId: 'g1',
      disabled: false,
      certificateSerial: 'a1b',
    })
    expect(device?.nameJson).toBe('{"defaultValue":"d1","i18nValue":{}}')
    expect(await fleet.deviceByAsset('g1')).toMatchObject({
      productKey: 'gw',
      disabled: true,
      timezone: '+00:00',
      certificateSerial: null,
    })
    expect(await fleet.deviceByAsset('a9')).toBeNull()
    expect(await fleet.deviceByKeys('p1', 'd9')).toBeNull()

    expect(await fleet.product('gw')).toEqual({
      productKey: 'gw',
      orgId: 'o1',
      modelId: null,
      productName: { defaultValue: 'Gateway', i18nValue: { de_DE: 'Torweg' } },
      productType: 'Gateway',
      dataFormat: 'Custom',
      dynamicActivateEnabled: true,
      biDirectionalAuth: true,
    })
    expect(await fleet.product('p1')).toMatchObject({
      modelId: 'm1',
      productType: 'Device',
      dataFormat: 'Json',
      dynamicActivateEnabled: false,
    })
    expect(await fleet.product('p9')).toBeNull()
  })

  it('knows the topology of a gateway', async () => {
    await fleet.apply(read(text), NOW)
    const more =
      'organizations: [{orgId: o1, devices: [{assetId: a2, productKey: p1, deviceKey: d2, deviceSecret: s, gateway: g1}, {assetId: a3, productKey: p1, deviceKey: d3, deviceSecret: s}]}]'
    await fleet.apply(read(more), NOW)
    expect((await fleet.subDevices({ assetId: 'g1' })).map(({ assetId }) => assetId)).toEqual(['a1', 'a2'])
    expect(await fleet.subDevices({ assetId: 'a1' })).toEqual([])
    expect(await fleet.countSubDevices({ assetId: 'g1' })).toBe(2)
    expect(await fleet.countSubDevices({ assetId: 'a1' })).toBe(0)
  })

  it('takes a product that was stored without a format for one of JSON', async () => {
    await fleet.apply(read(text), NOW)
    const row = await store.product('gw')
    if (row === null) throw new Error('no product')
    const { dataFormat, ...before } = JSON.parse(row.json)
    expect(dataFormat).toBe('Custom')
    await store.applyFleet({ ...noRows, products: [{ ...row, json: JSON.stringify(before) }] }, NOW)
    expect(await fleet.product('gw')).toMatchObject({ productType: 'Gateway', dataFormat: 'Json' })
  })

  it('keeps secrets sealed in the store and hidden in what it hands out', async () => {
    await fleet.apply(read(text), NOW)
    const device = await fleet.deviceByAsset('a1')
    const rows = [device, await store.product('p1'), await store.application('app-1')]
    expect(rows.every(row => row?.secret.startsWith('v1:'))).toBe(true)
    const shown = [rows, await fleet.application('app-1'), await fleet.product('p1'), fleet]
    for (const form of [JSON.stringify(shown), inspect(shown, { depth: 9, showHidden: true })])
      expect(form).not.toMatch(/-secret-\d/)
    if (device === null) throw new Error('no device')
    expect(fleet.deviceSecret(device)).toBe('device-secret-1')
    expect(await fleet.productSecret('p1')).toBe('product-secret-1')
    expect(await fleet.productSecret('p9')).toBeNull()
  })

  it('does not open a secret that was moved to another row, or under another key', async () => {
    await fleet.apply(read(text), NOW)
    const one = await fleet.deviceByAsset('a1')
    const other = await fleet.deviceByAsset('g1')
    if (one === null || other === null) throw new Error('no device')
    expect(() => fleet.deviceSecret({ assetId: 'a1', secret: other.secret })).toThrow(SecretError)
    const stranger = new Fleet(store, new Secrets(randomKey()))
    expect(() => stranger.deviceSecret(one)).toThrow(SecretError)
    await expect(stranger.application('app-1')).rejects.toThrow(SecretError)
    await expect(stranger.productSecret('p1')).rejects.toThrow(/product:p1/)
  })

  it('changes nothing when a file is applied again', async () => {
    await fleet.apply(read(text), NOW)
    const all = async () => [
      await store.application('app-1'),
      await store.product('p1'),
      await store.deviceByAsset('a1'),
      await store.model('o1', 'm1'),
      ...(await store.load([{ deviceId: (await store.deviceByAsset('a1'))?.id ?? 0, commandIds: [] }])),
    ]
    const before = await all()
    await fleet.apply(read(text), NOW + 1)
    expect(await all()).toEqual(before)
  })

  it('seals anew exactly what has changed, and what is damaged', async () => {
    await fleet.apply(read(text), NOW)
    const before = await store.deviceByAsset('a1')
    const product = await store.product('p1')
    if (product === null) throw new Error('no product')
    await store.applyFleet({ ...noRows, products: [{ ...product, secret: 'v1:damaged' }] }, NOW)
    await expect(fleet.productSecret('p1')).rejects.toThrow(SecretError)

    await fleet.apply(read(text.replace('device-secret-1', 'device-secret-9')), NOW)
    const after = await fleet.deviceByAsset('a1')
    if (after === null) throw new Error('no device')
    expect(after.secret).not.toBe(before?.secret)
    expect(after.id).toBe(before?.id)
    expect(fleet.deviceSecret(after)).toBe('device-secret-9')
    expect(await fleet.productSecret('p1')).toBe('product-secret-1')
  })

  it('deletes nothing, and lets later files stand on earlier ones', async () => {
    await fleet.apply(read(text), NOW)
    const more = `organizations: [{orgId: o1, devices: [{assetId: a2, productKey: p1, deviceKey: d2, deviceSecret: s, gateway: g1}]}]`
    expect(await fleet.apply(read(more), NOW)).toEqual({
      organizations: 1,
      applications: 0,
      models: 0,
      products: 0,
      devices: 1,
    })
    expect(await fleet.deviceByAsset('a1')).not.toBeNull()
    expect(await fleet.deviceByAsset('a2')).toMatchObject({ productKey: 'p1', gatewayAssetId: 'g1' })
    expect((await fleet.model('p1'))?.measurepoints.has('Int_value')).toBe(true)
  })

  it('applies a file whole or not at all', async () => {
    await fleet.apply(read(text), NOW)
    const bad = (device: string) => `organizations:
  - orgId: o9
  - orgId: o2
    devices: [{assetId: new, productKey: p1, deviceKey: d7, deviceSecret: s}, ${device}]
`
    await expect(
      fleet.apply(read(bad('{assetId: x, productKey: none, deviceKey: d, deviceSecret: s}')), NOW),
    ).rejects.toThrow(FleetConflict)
    await expect(
      fleet.apply(read(bad('{assetId: x, productKey: p1, deviceKey: d1, deviceSecret: s}')), NOW),
    ).rejects.toThrow(FleetConflict)
    expect(await fleet.organization('o9')).toBeNull()
    expect(await fleet.deviceByAsset('new')).toBeNull()
  })

  describe('models', () => {
    const point = (identifier: string) =>
      `organizations: [{orgId: o1, models: [{modelId: m1, measurepoints: {${identifier}: {dataType: INT}}}]}]`

    it('are those of the product, and none where it has none', async () => {
      await fleet.apply(read(text), NOW)
      const device = await fleet.deviceByAsset('a1')
      if (device === null) throw new Error('no device')
      const model = await fleet.model(device)
      expect([...(model?.measurepoints.keys() ?? [])]).toEqual(['Int_value'])
      expect(await fleet.model('p1')).toBe(model)
      expect(await fleet.model('gw')).toBeNull()
    })

    it('are parsed again when they change, by whoever changes them', async () => {
      await fleet.apply(read(text), NOW)
      await fleet.model('p1')
      await fleet.apply(read(point('second')), NOW)
      expect([...((await fleet.model('p1'))?.measurepoints.keys() ?? [])]).toEqual(['second'])
      const anotherNode = new Fleet(store, new Secrets(randomKey()))
      await anotherNode.apply(read(point('third')), NOW)
      expect([...((await fleet.model('p1'))?.measurepoints.keys() ?? [])]).toEqual(['third'])
    })

    it('that cannot be read are an error, never "none"', async () => {
      await fleet.apply(read(text), NOW)
      await expect(fleet.model('p9')).rejects.toThrow(BrokenFleet)
      for (const json of ['{"measurepoints":{"x":{"dataType":"NONE"}}}', '{', '[]', 'null']) {
        await store.applyFleet({ ...noRows, models: [{ orgId: 'o1', modelId: 'm1', json }] }, NOW)
        await expect(fleet.model('p1')).rejects.toThrow(/the stored model o1\/m1 is not/)
      }
      await fleet.apply(read(text), NOW)
      expect(await fleet.model('p1')).not.toBeNull()
    })

    it('are kept up to a bound, the least used going first', async () => {
      const count = MODELS_CACHED_MAX + 1
      const numbers = Array.from({ length: count }, (_, n) => n)
      const models = numbers.map(n => `{modelId: m${n}, measurepoints: {point${n}: {dataType: INT}}}`)
      const products = numbers.map(n => `{productKey: p${n}, productSecret: s, modelId: m${n}}`)
      await fleet.apply(
        read(`organizations: [{orgId: o1, models: [${models.join(', ')}], products: [${products.join(', ')}]}]`),
        NOW,
      )
      const first = await fleet.model('p0')
      for (const n of numbers.slice(1, -1)) await fleet.model(`p${n}`)
      const second = await fleet.model('p1')
      expect(await fleet.model('p0')).toBe(first)
      // One more than fits: p1 and p0 were read last, so p2 makes room.
      const third = await fleet.model('p2')
      await fleet.model('p1')
      await fleet.model('p0')
      for (const n of numbers.slice(3)) await fleet.model(`p${n}`)
      expect(await fleet.model('p1')).toBe(second)
      expect(await fleet.model('p2')).not.toBe(third)
      expect(await fleet.model('p2')).toEqual(third)
    })
  })

  it('says so where a stored product makes no sense', async () => {
    await fleet.apply(read(text), NOW)
    const row = await store.product('p1')
    if (row === null) throw new Error('no product')
    const good = JSON.parse(row.json)
    const bad = ['{', '[]', 'null', '{}', ...Object.keys(good).map(key => JSON.stringify({ ...good, [key]: 7 }))]
    expect(bad).toHaveLength(9)
    for (const json of bad) {
      await store.applyFleet({ ...noRows, products: [{ ...row, json }] }, NOW)
      await expect(fleet.product('p1')).rejects.toThrow(/the stored product p1 /)
    }
  })
})

describe('applying again', () => {
  it('leaves what applications and gateways decided alone, where the file says nothing about it', async () => {
    const text = (more = '') => `
organizations:
  - orgId: o1
    products: [{ productKey: p1, productSecret: x }, { productKey: gw, productSecret: x, productType: Gateway }]
    devices:
      - { assetId: g1, productKey: gw, deviceKey: g1, deviceSecret: s }
      - { assetId: a1, productKey: p1, deviceKey: a1, deviceSecret: s${more} }
`
    const store = openMemory()
    const fleet = new Fleet(store, new Secrets(randomKey()))
    const apply = async (yaml: string) => {
      const parsed = parseFleetFile(yaml, 'fleet.yaml')
      if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
      await fleet.apply(parsed.file, 1)
      return fleet.deviceByAsset('a1')
    }
    expect(await apply(text())).toMatchObject({ disabled: false, gatewayAssetId: null })
    await fleet.moveDevices([{ assetId: 'a1', from: null, to: 'g1' }])
    expect(await apply(text(', disabled: true'))).toMatchObject({ disabled: true, gatewayAssetId: 'g1' })
    expect(await apply(text())).toMatchObject({ disabled: true, gatewayAssetId: 'g1' })
    expect(await apply(text(', disabled: false, gateway: g1'))).toMatchObject({ disabled: false, gatewayAssetId: 'g1' })
  })
})
