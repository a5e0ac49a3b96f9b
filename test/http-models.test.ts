// Thing models over HTTP: looked up, searched, created and changed, and what a change means for commands and reports.

import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { MODELS_MAX } from '../src/core/limits.ts'
import { FleetCalls, newProduct } from './rig/fleet-calls.ts'
import { type AppRig, BY_ASSET, BY_PRODUCT, expectRefused, NOBODY, startApp } from './rig/http.ts'
import { APP, Application, ORG, PRODUCT, READER, STRANGER } from './rig/server.ts'

let rig: AppRig
let app: FleetCalls
beforeEach(async () => {
  rig = await startApp()
  app = new FleetCalls(rig.app)
})
afterEach(() => rig.stop())

const as = (credentials: typeof APP, orgId = ORG) =>
  new FleetCalls(new Application(rig.url, credentials, () => rig.clock.now()), orgId)

const pump = {
  modelId: 'pump',
  name: { defaultValue: 'Pump', i18nValue: { en_US: 'Pump', zh_CN: '泵' } },
  tags: { line: 'P7' },
  measurepoints: { power: { name: 'Power', dataType: 'INT', unit: { unitId: 'W', multiplier: 'KILO' } } },
  services: { reboot: { inputData: [{ identifier: 'delay', dataType: 'INT' }] } },
}

describe('get', () => {
  it('shows a model whole: what was left out is there, and everything has a name', async () => {
    expect(await app.models('create', pump)).toMatchObject({ code: 0, data: 'pump' })
    const { data } = await app.call(
      '/model-service/v2.1/thing-models',
      'get',
      undefined,
      { modelId: 'pump', scope: '0' },
      'GET',
    )
    const notes = { desc: '', tags: {} }
    const named = (text: string) => ({ defaultValue: text, i18nValue: {} })
    expect(data).toEqual({
      ...{ modelId: 'pump', modelIdPath: '/pump', orgId: ORG, name: pump.name, desc: '', tags: { line: 'P7' } },
      attributes: {},
      measurepoints: {
        power: {
          identifier: 'power',
          name: named('Power'),
          dataType: 'INT',
          unit: { unitId: 'W', multiplier: 'KILO' },
          ...notes,
        },
      },
      services: {
        reboot: {
          identifier: 'reboot',
          name: named('reboot'),
          inputData: [{ identifier: 'delay', dataType: 'INT', name: named('delay'), ...notes }],
          outputData: [],
          ...notes,
        },
      },
      events: {},
    })
  })

  it('shows those of the fleet file, and none of another organization', async () => {
    const { data } = await app.models('get', undefined, { modelId: 'demo' })
    expect(Object.keys(data.measurepoints)).toEqual(['Int_value', 'Text', 'Fixed'])
    expectRefused(
      await as(STRANGER, 'oOther').models('get', undefined, { modelId: 'demo' }),
      11699,
      'modelId demo not found',
    )
    expectRefused(await app.models('get'), 99400, 'modelId:modelId is missing')
    expectRefused(await app.models('get', undefined, { modelId: 'demo', scope: '2' }), 99400, 'scope:must be 0 or 1')
  })

  it('needs a grant for models', async () => {
    expect((await as(READER).models('get', undefined, { modelId: 'demo' })).code).toBe(0)
    expectRefused(await as(BY_PRODUCT).models('get', undefined, { modelId: 'demo' }), 99403, 'Model')
    expectRefused(await as(READER).models('create', pump), 99403, 'Model: FullAccess')
    expectRefused(await as(READER).models('update', pump, { modelId: 'demo' }), 99403, 'Model: FullAccess')
  })
})

describe('of a device', () => {
  const of = (assetId: string, credentials = APP, orgId = ORG) => {
    const caller = new Application(rig.url, credentials, () => rig.clock.now())
    return caller.call({ orgId }, { method: 'GET', resource: `/v1/devices/${assetId}/thing-model` })
  }

  it('is the model of its product, as the API of models shows it, and as it is by now', async () => {
    for (const [assetId, modelId] of [
      ['a1', 'demo'],
      ['t1', 'typed'],
    ] as const)
      expect((await of(assetId)).data).toEqual((await app.models('get', undefined, { modelId })).data)
    await app.models('update', { measurepoints: { Other: { dataType: 'INT' } } }, { modelId: 'demo' })
    expect(Object.keys((await of('a1')).data.measurepoints)).toEqual(['Other'])
  })

  it('is null where the product has none', async () => {
    expect(await of('free1')).toMatchObject({ code: 0, data: null })
  })

  it('is for whoever may see the device, without a grant for models', async () => {
    expectRefused(await as(BY_ASSET).models('get', undefined, { modelId: 'demo' }), 99403, 'Model')
    for (const assetId of ['a1', 'a2']) expect((await of(assetId, BY_ASSET)).data.modelId).toBe('demo')
    expectRefused(await of('a3', BY_ASSET), 99403, 'Asset a3 needs Read')
    expectRefused(await of('a1', NOBODY), 99403, 'Asset: Read')
    expectRefused(await of('other1'), 99404, 'device not found')
    expectRefused(await of('a1', STRANGER, 'oOther'), 99404, 'device not found')
    expectRefused(await of('nothing'), 99404, 'device not found')
  })
})

describe('search', () => {
  const ids = async (body: object) => {
    const { code, msg, data } = await app.models('search', body)
    expect([code, msg]).toEqual([0, 'OK'])
    return data.map(({ modelId }: { modelId: string }) => modelId)
  }

  it('finds by id, tags and names, by their ids', async () => {
    await app.models('create', pump)
    await app.models('create', { modelId: 'bare' })
    expect(await ids({})).toEqual(['bare', 'demo', 'pump', 'typed'])
    expect(await ids({ expression: "modelId in ('pump', 'bare', 'nothing')" })).toEqual(['bare', 'pump'])
    expect(await ids({ expression: "tags.line = 'P7'" })).toEqual(['pump'])
    expect(await ids({ expression: "not exists(tags.line) and modelId != 'demo'" })).toEqual(['bare', 'typed'])
    expect(await ids({ expression: "name.zh_CN like '泵'" })).toEqual(['pump'])
    expect(await ids({ expression: "name like 'BAR'" })).toEqual(['bare'])
    const { data, pagination } = await app.models('search', {
      projection: ['modelId', 'name.defaultValue'],
      pagination: { pageNo: 2, pageSize: 3 },
    })
    expect(data).toEqual([{ modelId: 'typed', name: { defaultValue: 'typed' } }])
    expect(pagination).toEqual({ sortedBy: null, pageNo: 2, pageSize: 3, totalSize: 4 })
    expectRefused(await app.models('search', { expression: "desc = 'x'" }), 99400, 'expected modelId, name, tags.KEY')
  })

  it('refuses a page that is too large', async () => {
    const text = 'x'.repeat(1_000_000)
    const models = Array.from({ length: 5 }, (_, n) => ({
      modelId: `large-${n}`,
      orgId: ORG,
      json: JSON.stringify({ desc: text }),
    }))
    await rig.store.addFleet({ organizations: [], applications: [], models, products: [], devices: [] }, 1)
    expectRefused(await app.models('search', {}), 99400, 'pagination.pageSize:the page would be 5.0 MB')
    expect(await ids({ expression: 'exists(tags.x)' })).toEqual([])
  })
})

describe('create', () => {
  it('makes a model that products can be of', async () => {
    await app.models('create', pump)
    expect((await app.products('create', { ...newProduct, modelId: 'pump' })).code).toBe(0)
    expectRefused(await app.models('create', pump), 99412, 'modelId pump exists already')
  })

  it('twice at once makes it once', async () => {
    const answers = await Promise.all([1, 2, 3].map(() => app.models('create', pump)))
    expect(answers.map(({ code }) => code).sort()).toEqual([0, 99412, 99412])
  })

  it.each([
    [undefined, 'body:must be a ThingModel'],
    [{}, 'modelId:modelId is missing'],
    [{ modelId: 'two words' }, 'modelId:must be 1 to 64'],
    [{ modelId: 'm', measurepoint: {} }, 'measurepoint:unknown key'],
    [{ modelId: 'm', measurepoints: { p: { dataType: 'NUMBER' } } }, 'measurepoints.p.dataType:must be one of'],
    [{ modelId: 'm', measurepoints: { 'a b': { dataType: 'INT' } } }, 'an identifier is 1 to 64'],
    [{ modelId: 'm', services: { s: { inputData: {} } } }, 'services.s.inputData:must be an array'],
  ])('refuses %j and names the path', async (body, text) => {
    const answer = await app.models('create', body)
    expectRefused(answer, 99400, text)
    expect((await app.models('get', undefined, { modelId: 'm' })).code).toBe(11699)
  })

  it('lists all that is wrong', async () => {
    const answer = await app.models('create', {
      modelId: 'm',
      measurepoints: { p: {}, q: { dataType: 'INT', min: 'low' } },
    })
    expect(answer).toMatchObject({
      code: 99400,
      problems: [{ path: 'measurepoints.p.dataType' }, { path: 'measurepoints.q.min' }],
    })
    expect(answer.msg).toContain('1 more in problems')
  })

  it('stops at as many as an organization may have', async () => {
    const { length } = await rig.store.models(ORG)
    const models = Array.from({ length: MODELS_MAX - length }, (_, n) => ({ modelId: `m${n}`, orgId: ORG, json: '{}' }))
    await rig.store.addFleet({ organizations: [], applications: [], models, products: [], devices: [] }, 1)
    expectRefused(await app.models('create', pump), 99400, `has ${MODELS_MAX} models, more are not taken`)
  })
})

describe('update', () => {
  it('counts from the next command on; those that were accepted stay as they are', async () => {
    const calls = rig.app.on({ assetId: 'a1' })
    const queued = await calls.set(5)
    const model = { measurepoints: { Int_value: { dataType: 'STRING' } } }
    expect(await app.models('update', model, { modelId: 'demo' })).toMatchObject({ code: 0, data: 'demo' })
    expectRefused(await calls.set(6), 99400, 'value:must be')
    expect((await calls.set('six')).code).toBe(0)
    expectRefused(await calls.invoke({}), 99400, 'serviceId')
    expect((await calls.get(queued.data.commandId)).data).toMatchObject({ state: 1, inputData: 5 })
    expect((await app.products('get', undefined, { productKey: PRODUCT })).data.modelId).toBe('demo')
  })

  it('refuses what is not there, another modelId, and what is no model', async () => {
    expectRefused(await app.models('update', pump, { modelId: 'pump' }), 11699, 'pump not found')
    expectRefused(await app.models('update', pump, { modelId: 'demo' }), 99400, 'modelId:of the body is another')
    expectRefused(await app.models('update', { events: [] }, { modelId: 'demo' }), 99400, 'events:must be a map')
    expectRefused(await app.models('update', {}), 99400, 'modelId:modelId is missing')
    expect((await app.models('get', undefined, { modelId: 'demo' })).data.services).toHaveProperty('reboot')
  })
})
