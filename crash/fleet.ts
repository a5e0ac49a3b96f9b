// The fleet that the crash harness works with, as a fleet file, and the names and secrets in it.

export const ORG = 'oCrash'
export const APP = { appKey: '6f0c2f1e-0000-4000-8000-00000000c4a5', appSecret: 'secret-of-the-crash-harness' }
export const PRODUCT = 'pkCrash'
/** Every command carries the number of the call that asked for it, here or as the input of the service: that is how a call without an answer is recognised. */
export const POINT = 'call'
export const SERVICE = 'work'
export const SERVICE_INPUT = 'call'

export interface DeviceName {
  readonly assetId: string
  readonly deviceKey: string
  readonly deviceSecret: string
}

export const deviceNames = (count: number): DeviceName[] =>
  Array.from({ length: count }, (_, i) => ({
    assetId: `a${i + 1}`,
    deviceKey: `d${i + 1}`,
    deviceSecret: `secret-of-d${i + 1}`,
  }))

/** Without a model, so that commands of any size are taken. */
export const fleetFile = (devices: readonly DeviceName[]): string =>
  JSON.stringify({
    organizations: [
      {
        orgId: ORG,
        name: 'Crash',
        applications: [{ ...APP, grants: [{ resource: 'Asset', actions: ['Control', 'Read'], scope: 'all' }] }],
        products: [
          { productKey: PRODUCT, productSecret: 'secret-of-the-product', productName: { defaultValue: 'Crash' } },
        ],
        devices: devices.map(device => ({ ...device, productKey: PRODUCT })),
      },
    ],
  })
