// The fleet of the screenshots: a district cooling company with sixty-odd devices on five sites, named in two languages. Not here: what happens to them
// (hour.ts, present.ts).

import { ADMIN, ORG, secretOf, type TestedDevice } from '../test/rig/fleet.ts'

const PUMP = 'pUmP7c2x'
const AIR = 'aIrH4nd1'
const CHARGER = 'eVcH9r3q'
const METER = 'mEtEr5gw'
/** of another team: what it sends stands in the record under its own key */
export const PLANNER = {
  appKey: '7c1d0f52-96c4-4d0e-8f3a-2b6e51a9d804',
  appSecret: 'e3b7f1c2-5a94-4f0b-9d68-1c2f7a8b9e01',
}

const named = (en: string, zh: string) => ({ defaultValue: en, i18nValue: { en_US: en, zh_CN: zh } })
const of = (dataType: string, en: string, zh: string, more: object = {}) => ({
  name: named(en, zh),
  dataType,
  ...more,
})
const degrees = { unit: { unitId: '°C' } }
const between = (min: number, max: number) => ({ dataDefinition: { min, max } })
/** of an ENUM by its numbers, from 0 */
const choice = (...names: readonly (readonly [string, string])[]) => ({
  dataDefinition: {
    enumType: 'INT',
    enumDesc: Object.fromEntries(names.map(([en, zh], n) => [String(n), named(en, zh)])),
  },
})
const input = (identifier: string, dataType: string, en: string, zh: string, more: object = {}) => ({
  identifier,
  ...of(dataType, en, zh, more),
})
const reboot = {
  name: named('Reboot', '重启'),
  inputData: [input('delay', 'INT', 'Delay', '延时', { unit: { unitId: 's' }, ...between(0, 600) })],
  outputData: [input('ok', 'BOOL', 'Done', '完成')],
}

const models = [
  {
    modelId: 'pump',
    name: named('Circulation pump', '循环水泵'),
    measurepoints: {
      setpoint: of('DOUBLE', 'Flow temperature', '供水温度', { ...degrees, ...between(5, 35) }),
      speed: of('INT', 'Speed', '转速', { unit: { unitId: 'rpm' }, ...between(0, 3000) }),
      mode: of('ENUM', 'Mode', '运行模式', choice(['Off', '关闭'], ['Auto', '自动'], ['Manual', '手动'])),
      enabled: of('BOOL', 'Enabled', '启用'),
    },
    services: {
      reboot,
      calibrate: {
        name: named('Calibrate sensor', '校准传感器'),
        inputData: [
          input('reference', 'DOUBLE', 'Reference', '参考值', { ...degrees, isRequired: true }),
          input('passes', 'INT', 'Passes', '次数', { isRequired: true, defaultValue: 3, ...between(1, 9) }),
          input('at', 'TIMESTAMP', 'Begin at', '开始时间'),
        ],
        outputData: [input('offset', 'DOUBLE', 'Offset', '偏移', degrees), input('passes', 'INT', 'Passes', '次数')],
      },
    },
  },
  {
    modelId: 'air',
    name: named('Air handling unit', '空气处理机组'),
    measurepoints: {
      fan: of('INT', 'Fan stage', '风机档位', between(0, 5)),
      damper: of('INT', 'Damper position', '风阀开度', { unit: { unitId: '%' }, ...between(0, 100) }),
      supply: of('DOUBLE', 'Supply air temperature', '送风温度', { ...degrees, ...between(12, 30) }),
    },
    services: { reboot },
  },
  {
    modelId: 'charger',
    name: named('EV charger', '电动汽车充电桩'),
    measurepoints: { limit: of('DOUBLE', 'Power limit', '功率上限', { unit: { unitId: 'kW' }, ...between(0, 120) }) },
    services: {
      reboot,
      unlock: {
        name: named('Unlock connector', '解锁充电枪'),
        inputData: [input('connector', 'INT', 'Connector', '枪号', { isRequired: true, ...between(1, 4) })],
        outputData: [input('unlocked', 'BOOL', 'Unlocked', '已解锁')],
      },
    },
  },
]
const sites = [
  { key: 'nt', en: 'North tower', zh: '北塔楼', timezone: 'Asia/Shanghai' },
  { key: 'st', en: 'South tower', zh: '南塔楼', timezone: 'Asia/Shanghai' },
  { key: 'hs', en: 'Harbour station', zh: '港口站', timezone: 'Asia/Shanghai' },
  { key: 'lab', en: 'Laboratory', zh: '实验楼', timezone: 'Europe/Berlin' },
  { key: 'dep', en: 'Depot', zh: '停车场', timezone: 'Asia/Shanghai' },
] as const
export type Site = (typeof sites)[number]['key']
const kinds = [
  { key: 'pump', productKey: PUMP, en: 'pump', zh: '水泵', at: { nt: 6, st: 6, hs: 4, lab: 2, dep: 0 } },
  { key: 'ahu', productKey: AIR, en: 'air handler', zh: '空气处理机组', at: { nt: 8, st: 8, hs: 2, lab: 4, dep: 0 } },
  { key: 'ev', productKey: CHARGER, en: 'charger', zh: '充电桩', at: { nt: 0, st: 4, hs: 0, lab: 2, dep: 12 } },
  { key: 'meter', productKey: METER, en: 'meter gateway', zh: '电表网关', at: { nt: 1, st: 1, hs: 1, lab: 1, dep: 1 } },
] as const
export type Kind = (typeof kinds)[number]['key']

export interface SceneDevice extends TestedDevice {
  readonly site: Site
  readonly kind: Kind
  readonly deviceName: ReturnType<typeof named>
  readonly timezone: string
}

/** Text of eight characters that looks like what a server draws, and is the same each time. */
function assetIdOf(text: string): string {
  const characters = 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'
  let hash = 2_166_136_261
  return Array.from({ length: 8 }, (_, n) => {
    for (const character of `${text}${n}`) hash = Math.imul(hash ^ character.charCodeAt(0), 16_777_619) >>> 0
    return characters[hash % characters.length]
  }).join('')
}

export const fleet: readonly SceneDevice[] = sites.flatMap(site =>
  kinds.flatMap(kind =>
    Array.from({ length: kind.at[site.key] }, (_, n) => {
      const deviceKey = `${site.key}-${kind.key}-${String(n + 1).padStart(2, '0')}`
      const deviceName = named(`${site.en}, ${kind.en} ${n + 1}`, `${site.zh} ${n + 1} 号${kind.zh}`)
      const { timezone } = site
      const { productKey } = kind
      return {
        assetId: assetIdOf(deviceKey),
        productKey,
        deviceKey,
        deviceName,
        timezone,
        site: site.key,
        kind: kind.key,
      }
    }),
  ),
)

export function byKey(deviceKey: string): SceneDevice {
  const found = fleet.find(device => device.deviceKey === deviceKey)
  if (found === undefined) throw new Error(`the scene has no ${deviceKey}`)
  return found
}

/** Those that nobody has ever connected, and those that are disabled. */
export const never = new Set(['nt-meter-01', 'dep-ev-12'])
export const disabled = new Set(['lab-ahu-04'])

/** The fleet file; with `connectable` only what has ever been connected is in it. */
export function fleetFile(which: 'all' | 'connectable'): string {
  const actions = ['Control', 'FullAccess', 'Read'] as const
  const grants = (['Asset', 'Device', 'Model', 'Organization'] as const).map(resource => ({
    resource,
    actions: actions.filter(action => action !== (resource === 'Asset' ? 'FullAccess' : 'Control')),
    scope: 'all',
  }))
  const product = (productKey: string, productName: object, modelId?: string) => ({
    ...{ productKey, productSecret: `secret-of-${productKey}`, productName },
    ...(modelId === undefined ? {} : { modelId }),
  })
  const devices = fleet
    .filter(({ deviceKey }) => which === 'all' || !(never.has(deviceKey) || disabled.has(deviceKey)))
    .map(({ site: _site, kind: _kind, ...device }) => ({
      ...device,
      deviceSecret: secretOf(device.deviceKey),
      disabled: disabled.has(device.deviceKey),
    }))
  const organization = {
    ...{ orgId: ORG, name: 'Harbour Cooling' },
    applications: [ADMIN, PLANNER].map(application => ({ ...application, grants })),
    models,
    products: [
      product(PUMP, named('Circulation pump', '循环水泵'), 'pump'),
      product(AIR, named('Air handling unit', '空气处理机组'), 'air'),
      product(CHARGER, named('EV charger', '电动汽车充电桩'), 'charger'),
      product(METER, named('Meter gateway', '电表网关')),
    ],
    devices,
  }
  return JSON.stringify({ organizations: [organization] })
}
