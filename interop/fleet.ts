// What the scenarios need of fleet.yaml: who the devices are and what they log in with. Not here: what a fleet file may say (src/fleet).

import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { Credentials } from '../src/cli/client.ts'

export interface Device {
  readonly assetId: string
  readonly productKey: string
  readonly deviceKey: string
  readonly deviceSecret: string
}

interface Document {
  readonly organizations: readonly {
    readonly orgId: string
    readonly applications: readonly Credentials[]
    readonly products: readonly { readonly productKey: string; readonly productSecret: string }[]
    readonly devices: readonly Device[]
  }[]
}

export class Fleet {
  readonly orgId: string
  readonly application: Credentials
  readonly #devices: ReadonlyMap<string, Device>
  readonly #productSecrets: ReadonlyMap<string, string>

  constructor(file: string) {
    const document: Document = parse(readFileSync(file, 'utf8'))
    const [organization] = document.organizations
    const [application] = organization?.applications ?? []
    if (!organization || !application) throw new Error(`${file} has no organization with an application`)
    this.orgId = organization.orgId
    this.application = application
    this.#devices = new Map(organization.devices.map(device => [device.deviceKey, device]))
    this.#productSecrets = new Map(organization.products.map(product => [product.productKey, product.productSecret]))
  }

  device(deviceKey: string): Device {
    const device = this.#devices.get(deviceKey)
    if (device === undefined) throw new Error(`fleet.yaml has no device ${deviceKey}`)
    return device
  }

  productSecret(device: Device): string {
    const secret = this.#productSecrets.get(device.productKey)
    if (secret === undefined) throw new Error(`fleet.yaml has no product ${device.productKey}`)
    return secret
  }
}
