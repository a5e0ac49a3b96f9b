// The search expression for devices: the fields that the vendor has. How it is read is in field-expression.ts, how devices are found in the stores.

import type { Refusal } from '../core/errors.ts'
import { type DeviceCondition, deviceStatuses } from '../store/views.ts'
import { type Grammar, parseFieldExpression } from './field-expression.ts'

const one = (texts: readonly string[]): ReadonlyMap<string, string> => new Map(texts.map(text => [text, text]))

type Field = (DeviceCondition & { readonly op: 'in' })['field']

const grammar: Grammar<Field, 'attributes' | 'tags'> = {
  fields: {
    modelId: null,
    productKey: null,
    deviceKey: null,
    assetId: null,
    productType: one(['Device', 'Gateway']),
    // The vendor's devices are `disabled`, and searched for as `disable`.
    status: new Map([...one(deviceStatuses), ['disable', 'disabled']]),
  },
  name: 'deviceName',
  labels: { deviceAttributes: { of: 'attributes', isJson: true }, deviceTags: { of: 'tags', isJson: false } },
}

export const parseDeviceExpression = (
  text: unknown,
): { readonly ok: true; readonly condition: DeviceCondition | null } | Refusal => parseFieldExpression(text, grammar)
