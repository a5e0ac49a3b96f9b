// For the tests of the fleet's actions: what an application calls, by resource and action, each with its body and its query.

import { type Answer, type Application, ORG } from './server.ts'

type Query = Record<string, string>

/** An application that manages a fleet; `orgId` is the demo's unless said otherwise. */
export class FleetCalls {
  constructor(
    readonly app: Application,
    readonly orgId = ORG,
  ) {}

  call(resource: string, action: string, body?: unknown, query: Query = {}, method = 'POST'): Promise<Answer> {
    return this.app.call({ action, orgId: this.orgId, ...query }, { resource, method, body })
  }

  products(action: string, body?: unknown, query: Query = {}): Promise<Answer> {
    return this.call('products', action, body, query)
  }

  devices(action: string, body?: unknown, query: Query = {}): Promise<Answer> {
    return this.call('devices', action, body, query)
  }

  topos(action: string, body: unknown): Promise<Answer> {
    return this.call('device-topos', action, body)
  }

  models(action: string, body?: unknown, query: Query = {}): Promise<Answer> {
    return this.call('/model-service/v2.1/thing-models', action, body, query)
  }
}

export const newProduct = {
  productName: { defaultValue: 'Pump', i18nValue: { en_US: 'Pump', zh_CN: '泵' } },
  modelId: 'demo',
  productType: 'Device',
  dataFormat: 'Json',
  biDirectionalAuth: false,
}

export const newDevice = (productKey: string, over: object = {}) => ({
  productKey,
  deviceName: { defaultValue: 'A pump', i18nValue: {} },
  timezone: '+08:00',
  ...over,
})
