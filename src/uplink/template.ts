// The thing model of a device's product, as the device may ask for it. Pure. Not here: what the model means (core/model.ts).

import { isObject } from '../core/json.ts'

/** The four maps of a ThingModel under the names that devices know them by, as JSON text; empty where it has none, and without a model. */
export function templateOf(modelJson: string | null): string {
  const model: unknown = modelJson === null ? {} : JSON.parse(modelJson)
  const mapOf = (name: string): object => {
    const map = isObject(model) ? model[name] : undefined
    return isObject(map) ? map : {}
  }
  return JSON.stringify({
    tslAttributeMap: mapOf('attributes'),
    tslMeasurepointMap: mapOf('measurepoints'),
    tslServiceMap: mapOf('services'),
    tslEventMap: mapOf('events'),
  })
}
