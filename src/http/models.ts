// Thing models: looked up as the vendor has it; created and changed, which the vendor leaves to its console. Not here: what a thing model is
// (core/model.ts), what it means for commands and reports.

import Type from 'typebox'
import { isKey } from '../core/command.ts'
import { invalid, type Refusal } from '../core/errors.ts'
import { isObject } from '../core/json.ts'
import { FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX, PAGE_MAX_BYTES } from '../core/limits.ts'
import { parseModel } from '../core/model.ts'
import { noModel } from '../fleet/registrar.ts'
import { readModelJson } from '../fleet/rows.ts'
import type { ModelRow } from '../store/store.ts'
import { type Action, type Call, type OrganizationAction, objectBody, type Resource } from './action.ts'
import { type FieldCondition, type Grammar, isMatch, parseFieldExpression } from './field-expression.ts'
import { newThingModel, thingModel } from './fleet-schemas.ts'
import { denied, modelFull, modelRead, modelStruct, nameOr, reach } from './fleet-structs.ts'
import { readPagination } from './pagination.ts'
import { parseProjection } from './projection.ts'
import { key, none, pageRequest, pagination, projected, projection } from './schemas.ts'
import { failure, ok, type Result, refused } from './wire.ts'

const modelId = key('The thing model.')
const scope = Type.Optional(
  Type.Union([Type.Literal('0'), Type.Literal('1')], {
    description:
      'As the vendor has it: 0 only this organization, 1 public models too. There are no public models here.',
  }),
)

const pump = {
  modelId: 'pump',
  name: { defaultValue: 'Pump', i18nValue: { en_US: 'Pump' } },
  tags: { line: 'P7' },
  attributes: { serial: { dataType: 'STRING', dataDefinition: { maxLength: 32 } } },
  measurepoints: { setpoint: { dataType: 'DOUBLE', dataDefinition: { min: 5, max: 35 } } },
  services: { reboot: { inputData: [{ identifier: 'delay', dataType: 'INT' }], outputData: [] } },
}

const get: OrganizationAction = {
  about: 'organization',
  operationId: 'getThingModel',
  summary: 'Get a thing model',
  methods: ['GET', 'POST'],
  needs: modelRead,
  parameters: Type.Object({ modelId, scope }),
  data: thingModel,
  codes: ['modelNotFound'],
  strict: false,
  run: getModel,
  examples: [
    { summary: 'the demo model', query: { modelId: 'demo' } },
    { summary: 'one that does not exist', query: { modelId: 'nothing' }, code: 11699 },
  ],
}

const search: OrganizationAction = {
  about: 'organization',
  operationId: 'searchThingModels',
  summary: 'Search thing models',
  description:
    'Expressions know `modelId` and `tags.KEY` (`=`, `!=`, `in`, `exists`, `not exists`), and `name` (`like`, with a locale or without). By their ids.',
  methods: ['POST'],
  needs: modelRead,
  parameters: Type.Object({ scope }),
  body: Type.Object({
    expression: Type.Optional(Type.String()),
    pagination: Type.Optional(pageRequest(FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX)),
    projection: Type.Optional(projection),
  }),
  data: Type.Array(projected(thingModel)),
  beside: Type.Object({ pagination }),
  strict: false,
  run: searchModels,
  examples: [
    { summary: 'ids and names', body: { projection: ['modelId', 'name.defaultValue'] } },
    { summary: 'two by their ids', body: { expression: "modelId in ('demo', 'pump')" } },
  ],
}

const problems = Type.Object({
  problems: Type.Optional(
    Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
      description: 'With 99400: all that is wrong with the model.',
    }),
  ),
})

const create: OrganizationAction = {
  about: 'organization',
  operationId: 'createThingModel',
  summary: 'Create a thing model',
  description:
    'The body is a ThingModel. `data` is its modelId. Not of the vendor, who has a console for that. Larger than a body may be, a model comes by a fleet file.',
  methods: ['POST'],
  needs: modelFull,
  parameters: none,
  body: newThingModel,
  data: Type.String({ description: 'The modelId.' }),
  beside: problems,
  codes: ['exists'],
  strict: false,
  run: createModel,
  examples: [
    { summary: 'a pump', body: pump, data: 'pump' },
    {
      summary: 'a type that does not exist',
      body: { modelId: 'odd', measurepoints: { p: { dataType: 'NUMBER' } } },
      code: 99400,
    },
    { summary: 'one that is there', body: { modelId: 'demo' }, code: 99412 },
  ],
}

const update: OrganizationAction = {
  about: 'organization',
  operationId: 'updateThingModel',
  summary: 'Change a thing model',
  description: [
    'The body is a whole ThingModel, in the place of the one that there is. Products may use it: what is sent to their devices and reported by them from now on must fit the',
    'new one; commands that were accepted, and values that were reported, stay as they are. Not of the vendor, who has a console for that.',
  ].join('\n'),
  methods: ['POST'],
  needs: modelFull,
  parameters: Type.Object({ modelId }),
  body: newThingModel,
  data: Type.String({ description: 'The modelId.' }),
  beside: problems,
  codes: ['modelNotFound'],
  strict: false,
  run: updateModel,
  examples: [
    {
      summary: 'one point less',
      query: { modelId: 'pump' },
      body: { ...pump, measurepoints: {} },
      before: [{ operationId: 'createThingModel', example: 'a pump' }],
      data: 'pump',
    },
  ],
}

export const thingModels: Resource = {
  path: '/model-service/v2.1/thing-models',
  label: 'models ',
  tag: 'Thing models',
  actions: new Map<string, Action>([
    ['get', get],
    ['search', search],
    ['create', create],
    ['update', update],
  ]),
}

const scopeFault = (call: Call): Refusal | null =>
  ['0', '1', ''].includes(call.query.get('scope') ?? '') ? null : invalid('scope', 'must be 0 or 1')

/** A model is of the organization, and not of any product: a grant for some of those does not reach it. */
const refusedBy = (call: Call, need: typeof modelRead | typeof modelFull): Refusal | null =>
  reach(call, need) === 'all' ? null : denied(`orgId ${call.orgId}`, need)

function namedModel(call: Call): string | Refusal {
  const modelId = call.query.get('modelId') ?? ''
  return modelId === '' ? invalid('modelId', 'modelId is missing') : modelId
}
const isRefusal = (thing: string | Refusal): thing is Refusal => typeof thing !== 'string'

async function getModel(call: Call): Promise<Result> {
  const fault = scopeFault(call) ?? refusedBy(call, modelRead)
  if (fault !== null) return failure(fault)
  const named = namedModel(call)
  if (isRefusal(named)) return failure(named)
  const row = await call.fleet.registrar.model(call.orgId, named)
  return row === null ? failure(noModel(named)) : ok(modelStruct(row))
}

const grammar: Grammar<'modelId', 'tags'> = {
  fields: { modelId: null },
  name: 'name',
  labels: { tags: { of: 'tags', isJson: false } },
}

async function searchModels(call: Call): Promise<Result> {
  const body = objectBody(call.body)
  if ('ok' in body) return failure(body)
  const fault = scopeFault(call) ?? refusedBy(call, modelRead)
  if (fault !== null) return failure(fault)
  const read = parseFieldExpression(body.fields.get('expression'), grammar)
  if (!read.ok) return failure(read)
  const fields = parseProjection(body.fields.get('projection'))
  if (!fields.ok) return failure(fields)
  const page = readPagination(body.fields.get('pagination'), FLEET_PAGE_DEFAULT, FLEET_PAGE_MAX)
  if ('ok' in page) return failure(page)
  const rows = await wanted(await call.fleet.registrar.models(call.orgId), read.condition)
  const { pageNo, pageSize, offset } = page
  const shown = rows.slice(offset, offset + pageSize)
  const bytes = shown.reduce((sum, { json }) => sum + Buffer.byteLength(json), 0)
  if (bytes > PAGE_MAX_BYTES) {
    const megabytes = (bytes / 1_000_000).toFixed(1)
    return failure(invalid('pagination.pageSize', `the page would be ${megabytes} MB; ask for fewer`))
  }
  const data = shown.map(row => fields.project(modelStruct(row)))
  return ok(data, { pagination: { sortedBy: null, pageNo, pageSize, totalSize: rows.length } })
}

/** characters of models that are read in one turn of the loop: about a ms of it */
const CHARS_PER_TURN = 262_144

async function wanted(
  rows: readonly ModelRow[],
  condition: FieldCondition<'modelId', 'tags'> | null,
): Promise<readonly ModelRow[]> {
  if (condition === null) return rows
  const found: ModelRow[] = []
  let chars = 0
  for (const row of rows) {
    const labelled = new LazyModel(row)
    if (isMatch(condition, labelled)) found.push(row)
    chars += labelled.charsRead
    if (chars < CHARS_PER_TURN) continue
    chars = 0
    await new Promise(resolve => setImmediate(resolve))
  }
  return found
}

/** A model whose text is read only where its name or its tags are asked for. */
class LazyModel {
  readonly #row: ModelRow
  #said: Record<string, unknown> | null = null

  constructor(row: ModelRow) {
    this.#row = row
  }

  get charsRead(): number {
    return this.#said === null ? 0 : this.#row.json.length
  }

  field(): string {
    return this.#row.modelId
  }

  nameJson(): string {
    return JSON.stringify(nameOr(this.#fields().name, this.#row.modelId))
  }

  label(_of: 'tags', key: string): string | null {
    const { tags } = this.#fields()
    const value = isObject(tags) && Object.hasOwn(tags, key) ? tags[key] : null
    return typeof value === 'string' ? value : null
  }

  #fields(): Record<string, unknown> {
    const { orgId, modelId, json } = this.#row
    const read = this.#said ?? readModelJson(`${orgId}/${modelId}`, json)
    this.#said = isObject(read) ? read : {}
    return this.#said
  }
}

/** The model that a body is, or all that is wrong with it. */
function readModel(
  body: unknown,
): { readonly ok: true; readonly model: Record<string, unknown> } | { ok: false; result: Result } {
  if (!isObject(body)) return { ok: false, result: failure(invalid('body', 'must be a ThingModel, a JSON object')) }
  const parsed = parseModel(body)
  if (parsed.ok) return { ok: true, model: body }
  const [first] = parsed.problems
  const more = parsed.problems.length > 1 ? `; ${parsed.problems.length - 1} more in problems` : ''
  const refusal = invalid(first?.path || 'body', `${first?.message}${more}`)
  return { ok: false, result: { ...failure(refusal), beside: { problems: parsed.problems } } }
}

async function createModel(call: Call): Promise<Result> {
  const fault = refusedBy(call, modelFull)
  if (fault !== null) return failure(fault)
  const read = readModel(call.body)
  if (!read.ok) return read.result
  const { modelId } = read.model
  if (typeof modelId !== 'string') return failure(invalid('modelId', 'modelId is missing'))
  if (!isKey(modelId)) return failure(invalid('modelId', 'must be 1 to 64 of A-Z a-z 0-9 _ . -'))
  const refusal = await call.fleet.registrar.createModel(
    call.orgId,
    modelId,
    JSON.stringify(read.model),
    call.clock.now(),
  )
  return refusal === null ? ok(modelId) : refused(refusal)
}

async function updateModel(call: Call): Promise<Result> {
  const fault = refusedBy(call, modelFull)
  if (fault !== null) return failure(fault)
  const named = namedModel(call)
  if (isRefusal(named)) return failure(named)
  const read = readModel(call.body)
  if (!read.ok) return read.result
  const modelId = read.model.modelId ?? named
  if (modelId !== named) return failure(invalid('modelId', 'of the body is another than that of the query'))
  const json = JSON.stringify({ ...read.model, modelId: named })
  const refusal = await call.fleet.registrar.updateModel(call.orgId, named, json, call.clock.now())
  return refusal === null ? ok(named) : refused(refusal)
}
