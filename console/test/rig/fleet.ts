// The fleet of the console's tests and screenshots: pumps with names in two languages and a model with every kind of field, a product without a model, and as
// many plain devices as a test asks for. Not here: the server that has it (server.ts).

export const ORG = 'o15541858646501'
export const PUMPS = 'bXuuAiku'
export const FREE = 'fR33form'
const uuid = (digit: string) => `00000000-0000-4000-8000-${digit.repeat(12)}`
/** may do everything */
export const ADMIN = {
  appKey: '5acb82e7-a11e-4300-9164-c8b20b638e8b',
  appSecret: '65417473-2da3-40cc-b235-513b9123aefb',
}
/** may look at all assets, and do nothing */
export const READER = { appKey: uuid('a'), appSecret: uuid('b') }
/** may command one device, and look at nothing else */
export const NARROW = { appKey: uuid('c'), appSecret: uuid('d') }

export const secretOf = (deviceKey: string): string => `secret-of-${deviceKey}`

const named = (defaultValue: string, zh?: string, en = defaultValue) => ({
  defaultValue,
  i18nValue: { en_US: en, ...(zh === undefined ? {} : { zh_CN: zh }) },
})

const model = {
  modelId: 'pump',
  name: named('Pump', '水泵'),
  measurepoints: {
    setpoint: {
      name: named('Setpoint', '设定温度'),
      dataType: 'DOUBLE',
      unit: { unitId: '°C' },
      dataDefinition: { min: 5, max: 35 },
    },
    Int_value: { name: named('Int value', '整数值'), dataType: 'INT' },
    mode: {
      name: named('Mode', '模式'),
      dataType: 'ENUM',
      dataDefinition: {
        enumType: 'INT',
        enumDesc: { '0': named('Off', '关闭'), '1': named('Auto', '自动'), '2': named('Manual', '手动') },
      },
    },
    label: { name: named('Label', '标签'), dataType: 'STRING', dataDefinition: { maxLength: 32 } },
    enabled: { name: named('Enabled', '启用'), dataType: 'BOOL' },
    temperature: { name: named('Temperature', '温度'), dataType: 'DOUBLE', writable: false },
  },
  services: {
    reboot: {
      name: named('Reboot', '重启'),
      inputData: [{ identifier: 'delay', name: named('Delay', '延时'), dataType: 'INT' }],
      outputData: [{ identifier: 'ok', name: named('Done', '完成'), dataType: 'BOOL' }],
    },
    calibrate: {
      name: named('Calibrate', '校准'),
      inputData: [
        { identifier: 'reference', name: named('Reference', '参考值'), dataType: 'DOUBLE', isRequired: true },
        { identifier: 'passes', name: named('Passes', '次数'), dataType: 'INT', isRequired: true, defaultValue: 3 },
        { identifier: 'at', name: named('Begin at', '开始时间'), dataType: 'TIMESTAMP' },
        {
          identifier: 'points',
          name: named('Points', '测量点'),
          dataType: 'ARRAY',
          dataDefinition: { itemType: 'DOUBLE' },
        },
      ],
      outputData: [{ identifier: 'offset', name: named('Offset', '偏移'), dataType: 'DOUBLE' }],
    },
  },
}

export interface TestedDevice {
  readonly assetId: string
  readonly productKey: string
  readonly deviceKey: string
}
const device = (assetId: string, deviceKey: string, name: ReturnType<typeof named>, over: object = {}) => ({
  ...{ assetId, productKey: PUMPS, deviceKey, deviceSecret: secretOf(deviceKey), deviceName: name, timezone: '+08:00' },
  ...over,
})
/** Named ones, in the order in which they are listed. */
export const devices = {
  one: device('oxWwM9i5', 'mqtt_01', named('Pump one', '一号水泵')),
  two: device('k3TzVb7Q', 'mqtt_02', named('Pump two', '二号水泵'), { timezone: 'Europe/Berlin' }),
  three: device('pN4cYd1E', 'mqtt_03', named('Pump three', '三号水泵')),
  free: device('u9LmFh6S', 'bench_01', named('Test bench', '测试台'), { productKey: FREE }),
  disabled: device('dIsAbL3d', 'mqtt_09', named('Pump nine', '九号水泵'), { disabled: true }),
} satisfies Record<string, TestedDevice>

/** A fleet file; with `more`, so many devices d00001, d00002, … after the named ones, with assets a00001, … */
export function fleetFile(more = 0): string {
  const all = (['Asset', 'Device', 'Model', 'Organization'] as const).map(resource => ({
    resource,
    actions: [resource === 'Asset' ? 'Control' : 'FullAccess', 'Read'],
    scope: 'all',
  }))
  const extra = Array.from({ length: more }, (_, n) => {
    const digits = String(n + 1).padStart(5, '0')
    return device(`a${digits}`, `d${digits}`, named(`Plain ${digits}`, `普通 ${digits}`))
  })
  const organization = {
    ...{ orgId: ORG, name: 'Demo' },
    applications: [
      { ...ADMIN, grants: all },
      { ...READER, grants: [{ resource: 'Asset', actions: ['Read'], scope: 'all' }] },
      { ...NARROW, grants: [{ resource: 'Asset', actions: ['Control'], scope: { assetIds: [devices.one.assetId] } }] },
    ],
    models: [model],
    products: [
      { productKey: PUMPS, productSecret: 'k2vEY1LRMJl', productName: named('Pump', '水泵'), modelId: 'pump' },
      { productKey: FREE, productSecret: 'Wq7LrT0pXz4', productName: named('Free form', '无模型') },
    ],
    devices: [...Object.values(devices), ...extra],
  }
  return JSON.stringify({ organizations: [organization] })
}
