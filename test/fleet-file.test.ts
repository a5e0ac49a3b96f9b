// The fleet file: what a good one says, what every bad one is told and at which line, and what hostile YAML cannot do.
import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { FLEET_FILE_MAX_BYTES, FLEET_PROBLEMS_MAX } from '../src/core/limits.ts'
import { locate, pathOf, plain, readDocument } from '../src/fleet/document.ts'
import { describeProblem, type FleetFile, type Problem, parseFleetFile } from '../src/fleet/file.ts'

const example = `organizations:
  - orgId: o15541858646501
    name: Demo
    applications:
      - appKey: 5acb82e7-a11e-4300-9164-c8b20b638e8b
        appSecret: 65417473-2da3-40cc-b235-513b9123aefb
        grants: [{ resource: Asset, actions: [Control, Read], scope: all }]
    models:
      - modelId: demo
        measurepoints: { Int_value: { name: {defaultValue: Int_value, i18nValue: {en_US: Int_value}}, dataType: INT } }
        services: { reboot: { name: {defaultValue: reboot}, inputData: [{identifier: delay, dataType: INT}], outputData: [{identifier: ok, dataType: BOOL}] } }
    products:
      - { productKey: bXuuAiku, productSecret: k2vEY1LRMJl, productName: {defaultValue: Demo}, modelId: demo, productType: Device, dynamicActivateEnabled: false, biDirectionalAuth: false }
    devices:
      - { assetId: oxWwM9i5, productKey: bXuuAiku, deviceKey: mqtt_01, deviceSecret: Z5YtZaQpK5IWocakV7zQ, deviceName: {defaultValue: mqtt_01}, timezone: "+08:00" }
`

function good(text: string, name = 'fleet.yaml'): FleetFile {
  const parsed = parseFleetFile(text, name)
  if (!parsed.ok) throw new Error(parsed.problems.map(describeProblem).join('\n'))
  return parsed.file
}

function problems(text: string): readonly Problem[] {
  const parsed = parseFleetFile(text, 'fleet.yaml')
  if (parsed.ok) throw new Error('the file was taken')
  expect(parsed.problems.length).toBeGreaterThan(0)
  return parsed.problems
}

/** The one problem of the text, as `line:path message`. */
function only(text: string): string {
  const list = problems(text)
  expect(list.map(describeProblem)).toHaveLength(1)
  return list.map(({ line, path, message }) => `${line}:${path} ${message}`).join()
}

/** A file with one device per line from line 4 on; `{a1, p1, d1}` and so on unless the line says otherwise. */
const withDevices = (...devices: string[]): string =>
  `organizations:\n  - orgId: o1\n    devices:\n${devices.map(line => `      - ${line}\n`).join('')}`
const device = (n: number, more = ''): string =>
  `{ assetId: a${n}, productKey: p1, deviceKey: d${n}, deviceSecret: s3cret${n}${more} }`

const withApplication = (fields: string): string =>
  `organizations:\n  - orgId: o1\n    applications:\n      - { appKey: k1, appSecret: s3cret, ${fields} }\n`

describe('a good file', () => {
  it('says what it says', () => {
    const file = good(example)
    const [organization] = file.organizations
    expect(organization).toMatchObject({
      orgId: 'o15541858646501',
      name: 'Demo',
      applications: [
        {
          appKey: '5acb82e7-a11e-4300-9164-c8b20b638e8b',
          grants: [{ resource: 'Asset', actions: ['Control', 'Read'], scope: 'all' }],
        },
      ],
      models: [{ modelId: 'demo' }],
      products: [
        {
          productKey: 'bXuuAiku',
          modelId: 'demo',
          productType: 'Device',
          dataFormat: 'Json',
          dynamicActivateEnabled: false,
        },
      ],
      devices: [
        {
          assetId: 'oxWwM9i5',
          productKey: 'bXuuAiku',
          deviceKey: 'mqtt_01',
          deviceName: { defaultValue: 'mqtt_01', i18nValue: {} },
          timezone: '+08:00',
          gateway: null,
          disabled: null,
          certificateSerial: null,
        },
      ],
    })
    expect(organization?.applications[0]?.appSecret.reveal()).toBe('65417473-2da3-40cc-b235-513b9123aefb')
    expect(organization?.products[0]?.productSecret.reveal()).toBe('k2vEY1LRMJl')
    expect(organization?.devices[0]?.deviceSecret.reveal()).toBe('Z5YtZaQpK5IWocakV7zQ')
    expect(JSON.parse(organization?.models[0]?.json ?? '')).toMatchObject({
      modelId: 'demo',
      measurepoints: { Int_value: { dataType: 'INT' } },
      services: { reboot: { inputData: [{ identifier: 'delay', dataType: 'INT' }] } },
    })
  })

  it('does not show its secrets', () => {
    const file = good(example)
    for (const text of [JSON.stringify(file), inspect(file, { depth: 20, showHidden: true })]) {
      expect(text).toContain('mqtt_01')
      for (const secret of ['65417473', 'k2vEY1LRMJl', 'Z5YtZaQpK5IWocakV7zQ']) expect(text).not.toContain(secret)
    }
  })

  it('may be JSON, with tabs or on one line, and null for what is not set', () => {
    const value = {
      organizations: [
        {
          orgId: 'o1',
          name: null,
          models: [],
          products: [{ productKey: 'p1', productSecret: 'x', modelId: null, productName: null }],
          devices: [
            { assetId: 'a1', productKey: 'p1', deviceKey: 'd1', deviceSecret: 'y', gateway: null, disabled: null },
          ],
        },
      ],
    }
    for (const space of ['', ' ', '\t', 2]) {
      const [organization] = good(JSON.stringify(value, null, space), 'fleet.json').organizations
      expect(organization?.name).toBe('o1')
      expect(organization?.applications).toEqual([])
      expect(organization?.products[0]).toMatchObject({
        modelId: null,
        productName: { defaultValue: 'p1', i18nValue: {} },
        productType: 'Device',
        dataFormat: 'Json',
        dynamicActivateEnabled: false,
        biDirectionalAuth: false,
      })
      expect(organization?.devices[0]).toMatchObject({
        deviceName: { defaultValue: 'd1', i18nValue: {} },
        timezone: '+00:00',
        gateway: null,
        disabled: null,
        certificateSerial: null,
      })
    }
    expect(good(`\ufeff${JSON.stringify(value)}`).organizations).toHaveLength(1)
    expect(good('organizations: []').organizations).toEqual([])
  })

  it('may name products, models and gateways that are in the store already', () => {
    const file = good(withDevices(device(1, ', gateway: elsewhere')))
    expect(file.organizations[0]?.devices[0]).toMatchObject({ productKey: 'p1', gateway: 'elsewhere' })
    good('organizations: [{orgId: o1, products: [{productKey: p1, productSecret: x, modelId: stored}]}]')
    good(withApplication('grants: [{resource: Asset, actions: [Read], scope: {productKeys: [stored], }}]'))
  })

  it('takes timezones and names as people write them', () => {
    const file = good(
      withDevices(device(1, ', timezone: +08:00, deviceName: Pump 1'), device(2, ', timezone: Europe/Berlin')),
    )
    expect(file.organizations[0]?.devices.map(({ timezone }) => timezone)).toEqual(['+08:00', 'Europe/Berlin'])
    expect(file.organizations[0]?.devices[0]?.deviceName).toEqual({ defaultValue: 'Pump 1', i18nValue: {} })
  })

  it('takes serial numbers of certificates as tools print them', () => {
    const written = ['"4A:01:F3"', '4a01f3', '"004A01F3"', '"0"', '"00:00"', '"12"', `"${'f'.repeat(64)}"`, 'null']
    const file = good(withDevices(...written.map((text, n) => device(n, `, certificateSerial: ${text}`))))
    expect(file.organizations[0]?.devices.map(({ certificateSerial }) => certificateSerial)).toEqual([
      '4a01f3',
      '4a01f3',
      '4a01f3',
      '0',
      '0',
      '12',
      'f'.repeat(64),
      null,
    ])
  })

  it('may have products with a format of their own', () => {
    const product = (format: string) =>
      `organizations: [{orgId: o1, products: [{productKey: p, productSecret: s, dataFormat: ${format}}]}]`
    for (const format of ['Json', 'Custom'] as const)
      expect(good(product(format)).organizations[0]?.products[0]?.dataFormat).toBe(format)
    for (const format of ['json', 'Raw', '5', '{}'])
      expect(only(product(format))).toContain('dataFormat must be Json or Custom')
  })

  it('may repeat itself by alias', () => {
    const file = good(`organizations:
  - orgId: o1
    applications:
      - { appKey: k1, appSecret: s1, grants: &all [{ resource: Asset, actions: [Control], scope: all }] }
      - { appKey: k2, appSecret: s2, grants: *all }
`)
    const grants = file.organizations[0]?.applications.map(application => application.grants)
    expect(grants?.[1]).toEqual([{ resource: 'Asset', actions: ['Control'], scope: 'all' }])
    expect(grants?.[1]).toEqual(grants?.[0])
  })

  it('has scopes by product or by asset', () => {
    const file = good(
      withApplication(
        'grants: [{resource: Asset, actions: [Read], scope: {productKeys: [p1]}}, {resource: Asset, actions: [Read, Read], scope: {assetIds: [a1, a2]}}]',
      ),
    )
    expect(file.organizations[0]?.applications[0]?.grants).toEqual([
      { resource: 'Asset', actions: ['Read'], scope: { productKeys: ['p1'] } },
      { resource: 'Asset', actions: ['Read'], scope: { assetIds: ['a1', 'a2'] } },
    ])
  })
})

describe('keys', () => {
  it('that are unknown are named, with their line and the nearest known one', () => {
    expect(only('organisations: []\norganizations: []')).toBe(
      '1:organisations unknown key "organisations"; did you mean organizations?',
    )
    expect(only(withDevices(device(1), device(2, ', timeZone: "+08:00"')))).toBe(
      '5:organizations[0].devices[1].timeZone unknown key "timeZone"; did you mean timezone?',
    )
    expect(only(withDevices(device(1, ', device_secret: x')))).toContain('did you mean deviceSecret?')
    expect(only(withDevices(device(1, ', colour: red')))).toMatch(
      /unknown key "colour"; known here: assetId, productKey, /,
    )
    expect(only(withApplication('grants: [{resource: Asset, action: [Read], actions: [Read], scope: all}]'))).toContain(
      'did you mean actions?',
    )
    expect(
      only(withApplication('grants: [{resource: Asset, actions: [Read], scope: {products: [p1], productKeys: [p1]}}]')),
    ).toContain('4:organizations[0].applications[0].grants[0].scope.products unknown key')
    expect(only(withDevices(device(1, ', <<: {disabled: true}')))).toContain('unknown key "<<"')
    expect(only(withDevices(device(1, ', constructor: x')))).toContain('unknown key "constructor"')
  })

  it('that are missing are named with the thing that lacks them', () => {
    expect(only('{}')).toBe('1: organizations is missing')
    expect(only('organizations:\n  - name: x')).toBe('2:organizations[0] orgId is missing')
    expect(problems('organizations: [{orgId: o1, devices: [{}]}]').map(({ message }) => message)).toEqual([
      'assetId is missing',
      'productKey is missing',
      'deviceKey is missing',
      'deviceSecret is missing',
    ])
    expect(only(withApplication(''))).toBe('4:organizations[0].applications[0] grants is missing')
    expect(only('organizations: [{orgId: o1, models: [{services: {}}]}]')).toContain('modelId is missing')
  })

  it('that come twice are refused, also where YAML thinks them different', () => {
    expect(only('organizations: []\norganizations: []')).toBe('2:organizations this key is here twice')
    const model = (map: string) => `organizations: [{orgId: o1, models: [{modelId: m, measurepoints: ${map}}]}]`
    const point = '{dataType: INT}'
    expect(only(model(`{1: ${point}, "1": ${point}}`))).toContain('this key is here twice')
    expect(only(model(`{007: ${point}}`))).toContain('put it in quotes')
    expect(only(model(`{1e1: ${point}}`))).toContain('put it in quotes')
    expect(only(model(`{~: ${point}}`))).toContain('a key is empty here')
    expect(only(model(`{[a]: ${point}}`))).toContain('a key must be a text')
    expect(only(model(`{__proto__: ${point}}`))).toContain('no key can have this name')
  })
})

describe('values', () => {
  it('that YAML reads as numbers are to be quoted', () => {
    const keyed = (key: string) => withDevices(`{ assetId: a1, productKey: p1, deviceKey: ${key}, deviceSecret: s }`)
    for (const [key, kind] of [
      ['0123', 'number'],
      ['1e3', 'number'],
      ['0x1F', 'number'],
      ['1.0', 'number'],
      ['true', 'boolean'],
    ]) {
      expect(only(keyed(key ?? ''))).toBe(
        `4:organizations[0].devices[0].deviceKey must be a text; it is a ${kind}; put it in quotes: "${key}"`,
      )
      expect(good(keyed(`"${key}"`)).organizations[0]?.devices[0]?.deviceKey).toBe(key)
    }
    expect(only(keyed('~'))).toContain('deviceKey is missing')
    expect(problems(keyed('12345678901234567890'))[0]?.message).toContain('cannot be kept exactly')
    expect(only(withDevices(device(1, ', deviceName: {defaultValue: 12}')))).toContain('put it in quotes: "12"')
    expect(only(withDevices(device(1, ', deviceName: {defaultValue: x, i18nValue: {en_US: 12}}')))).toBe(
      '4:organizations[0].devices[0].deviceName.i18nValue must be a map of names by locale, such as {en_US: "Pump"}',
    )
  })

  it('of the wrong type or form are named', () => {
    const cases: [string, string][] = [
      ['organizations: {}', 'organizations must be a list; it is a map'],
      ['organizations: [x]', 'organizations[0] must be a map with orgId, name,'],
      ['[]', ' must be a map with organizations; it is a list'],
      ['just text', ' must be a map with organizations; it is a string'],
      ['organizations: [{orgId: "o 1"}]', 'orgId must be 1 to 64 characters of A-Z'],
      [`organizations: [{orgId: ${'x'.repeat(65)}}]`, 'orgId must be 1 to 64 characters'],
      ['organizations: [{orgId: o1, name: " "}]', 'name must be 1 to 256 characters'],
      ['organizations: [{orgId: o1, name: "a\\0b"}]', 'name must be 1 to 256 characters'],
      ['organizations: [{orgId: o1, name: "a\\u202Eb"}]', 'and no control or format characters'],
      ['organizations: [{orgId: o1, devices: 5}]', 'devices must be a list; it is a number'],
      ['organizations: [{orgId: o1, models: [5]}]', 'models[0] must be a map with modelId and a thing model'],
      [withDevices(device(1, ', disabled: yes')), 'disabled must be true or false; it is a string'],
      [withDevices(device(1, ', timezone: Mars/Olympus')), 'timezone is no timezone'],
      [withDevices(device(1, ', timezone: "+25:00"')), 'timezone is no timezone'],
      [withDevices(device(1, ', gateway: "a/b"')), 'gateway must be 1 to 64 characters'],
      ...['0x4A', '4A:', ':4A', '4A::01', '4A 01', 'xyz', '', 'f'.repeat(65)].map((serial): [string, string] => [
        withDevices(device(1, `, certificateSerial: "${serial}"`)),
        "certificateSerial must be a certificate's serial number in hexadecimal, such as 4A:01:F3",
      ]),
      // YAML reads these as numbers, and not as the ones that are meant.
      [withDevices(device(1, ', certificateSerial: 4096')), 'certificateSerial must be a text; it is a number'],
      [withDevices(device(1, ', certificateSerial: 4e10')), 'put it in quotes: "4e10"'],
      [withDevices(device(1, ', certificateserial: x')), 'did you mean certificateSerial?'],
      [
        'organizations: [{orgId: o1, products: [{productKey: p, productSecret: s, productType: device}]}]',
        'productType must be Device or Gateway',
      ],
      [withApplication('grants: [{resource: Assets, actions: [Read], scope: all}]'), 'resource must be Asset'],
      [withApplication('grants: [{resource: constructor, actions: [Read], scope: all}]'), 'resource must be Asset'],
      [
        withApplication('grants: [{resource: Asset, actions: [Write], scope: all}]'),
        'actions[0] must be Control or Read',
      ],
      [withApplication('grants: [{resource: Asset, actions: [], scope: all}]'), 'actions is empty'],
      [withApplication('grants: [{resource: Asset, actions: [Read]}]'), 'grants[0] scope is missing'],
      [withApplication('grants: [{resource: Asset, actions: [Read], scope: none}]'), 'scope must be all, {productKeys'],
      [
        withApplication('grants: [{resource: Asset, actions: [Read], scope: {}}]'),
        'scope must have either productKeys or assetIds',
      ],
      [
        withApplication('grants: [{resource: Asset, actions: [Read], scope: {productKeys: [], }}]'),
        'productKeys is empty',
      ],
      [
        withApplication('grants: [{resource: Asset, actions: [Read], scope: {productKeys: [a], assetIds: [b]}}]'),
        'scope must have either',
      ],
      [
        withApplication('grants: [{resource: Asset, actions: [Read], scope: {assetIds: ["a b"]}}]'),
        'assetIds[0] must be 1 to 64',
      ],
    ]
    for (const [text, expected] of cases) expect(only(text)).toContain(expected)
  })

  it('that are secret are never shown, however wrong they are', () => {
    const secret = 'hunter2'
    const cases = [
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: "${secret} ${secret}" }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: [${secret}] }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: !${secret} }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: *${secret} }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: @${secret} }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: "\\q${secret}" }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: | ${secret}\n }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: "x" ${secret} }`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: ${secret}`),
      withDevices('assetId: a1', `  deviceSecret: |${secret}`),
      withDevices(`{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: ${'é'.repeat(3)}${secret} }`),
      `organizations:\n  - orgId: o1\n${secret}\n`,
    ]
    for (const text of cases) {
      for (const problem of problems(text)) expect(describeProblem(problem)).not.toContain(secret)
    }
    const number = withDevices('{ assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: 8675309 }')
    expect(only(number)).toMatch(/deviceSecret must be a text; it is a number; put it in quotes$/)
  })
})

describe('things that contradict each other', () => {
  it('are taken twice', () => {
    expect(only(withDevices(device(1), device(2).replace('a2', 'a1')))).toBe(
      '5:organizations[0].devices[1].assetId this assetId is taken by what is on line 4',
    )
    expect(only(withDevices(device(1), device(2).replace('d2', 'd1')))).toContain(
      '5:organizations[0].devices[1].deviceKey this deviceKey',
    )
    good(withDevices(device(1), device(2).replace('d2', 'd1').replace('p1', 'p2')))
    const two = (inside: string) => `organizations:\n  - {orgId: o1, ${inside}}\n  - {orgId: o2, ${inside}}\n`
    expect(only(two('').replace('o2', 'o1'))).toContain(
      '3:organizations[1].orgId this orgId is taken by what is on line 2',
    )
    expect(only(two('applications: [{appKey: k, appSecret: s, grants: []}]'))).toContain(
      'organizations[1].applications[0].appKey this appKey',
    )
    expect(only(two('products: [{productKey: p, productSecret: s}]'))).toContain(
      'organizations[1].products[0].productKey this productKey',
    )
    expect(only('organizations: [{orgId: o1, models: [{modelId: m}, {modelId: m}]}]')).toContain(
      'models[1].modelId this modelId',
    )
    good(two('models: [{modelId: m}]'))
  })

  it('belong to another organization of the file', () => {
    const file = (device: string, grants = '[]') => `organizations:
  - orgId: o1
    products: [{productKey: p1, productSecret: s}, {productKey: g1, productSecret: s, productType: Gateway}]
    devices: [{assetId: a1, productKey: p1, deviceKey: d1, deviceSecret: s}, {assetId: gw, productKey: g1, deviceKey: g, deviceSecret: s}]
  - orgId: o2
    applications: [{appKey: k, appSecret: s, grants: ${grants}}]
    devices: [${device}]
`
    const own = '{assetId: a2, productKey: p2, deviceKey: d2, deviceSecret: s'
    good(file(`${own}}`))
    expect(only(file(`${own.replace('p2', 'p1')}}`))).toBe(
      '7:organizations[1].devices[0].productKey belongs to another organization, o1, in this file',
    )
    expect(only(file(`${own}, gateway: gw}`))).toContain(
      'organizations[1].devices[0].gateway belongs to another organization, o1',
    )
    const grant = (scope: string) => `[{resource: Asset, actions: [Read], scope: {${scope}}}]`
    expect(only(file(`${own}}`, grant('productKeys: [p2, p1]')))).toContain(
      '6:organizations[1].applications[0].grants[0].scope.productKeys[1] belongs',
    )
    expect(only(file(`${own}}`, grant('assetIds: [a1]')))).toContain(
      'scope.assetIds[0] belongs to another organization, o1',
    )
  })

  it('make no topology', () => {
    const file = (...devices: string[]) => `organizations:
  - orgId: o1
    products: [{productKey: p1, productSecret: s}, {productKey: g1, productSecret: s, productType: Gateway}]
    devices:
${devices.map(line => `      - ${line}\n`).join('')}`
    const gateway = (more = '') => `{assetId: gw, productKey: g1, deviceKey: g, deviceSecret: s${more}}`
    good(file(device(1, ', gateway: gw'), gateway()))
    expect(only(file(device(1, ', gateway: a1')))).toContain('a device cannot be its own gateway')
    expect(only(file(device(1, ', gateway: a2'), device(2)))).toContain(
      '5:organizations[0].devices[0].gateway is no gateway; the product p1',
    )
    expect(only(file(gateway(', gateway: other')))).toContain('gateways do not nest')
  })
})

describe('thing models', () => {
  it('have their problems at their own lines', () => {
    const text = `organizations:
  - orgId: o1
    models:
      - modelId: m
        measurepoints:
          Int_value:
            dataType: INTEGER
          a.b: { dataType: BOOL, dataTyp: INT }
        services:
          reboot:
            inputData:
              - identifier: delay
                dataType: INT
              - identifier: "x y"
                dataType: INT
`
    const found = problems(text).map(({ line, path }) => `${line}:${path}`)
    expect(found).toContain('7:organizations[0].models[0].measurepoints.Int_value.dataType')
    expect(found.some(one => one.startsWith('8:organizations[0].models[0].measurepoints.a.b'))).toBe(true)
    expect(found.some(one => one.startsWith('14:organizations[0].models[0].services.reboot.inputData[1]'))).toBe(true)
    expect(found).toHaveLength(3)
  })

  it('keep enumerations by number', () => {
    const file = good(
      'organizations: [{orgId: o1, models: [{modelId: m, measurepoints: {e: {dataType: ENUM, dataDefinition: {enumType: INT, enumDesc: {1: {defaultValue: on}, 2: {defaultValue: off}}}}}}]}]',
    )
    expect(file.organizations[0]?.models[0]?.json).toContain('"enumDesc":{"1":{"defaultValue":"on"},"2"')
  })
})

describe('the text itself', () => {
  it('is one YAML 1.2 document without tags', () => {
    expect(only('')).toContain('the file is empty')
    expect(only('# nothing\n')).toContain('the file is empty')
    expect(only('organizations: []\n---\norganizations: []\n')).toMatch(/^2: a fleet file is one document/)
    expect(only('%YAML 1.1\n---\norganizations: []\n')).toContain('YAML 1.2')
    expect(only('organizations: !!set {}\n')).toContain('tags are not used here')
    expect(only('organizations: [{orgId: !!str o1}]\n')).toContain('tags are not used here')
    expect(only('organizations: [{orgId: !mine o1}]\n')).toContain('tags are not used here')
    expect(only('organizations: [\n')).toMatch(/^2: /)
    expect(only('a: b: c')).toMatch(/^1: /)
    expect(problems('organizations:\n\t- orgId: x')[0]?.line).toBe(2)
    expect(only('organizations: *all')).toContain('this alias names no anchor above it')
    expect(only('organizations: &all [*all]')).toContain('this alias names no anchor above it')
  })

  it('is bounded in size, depth, values and problems', () => {
    expect(only(`#${' '.repeat(FLEET_FILE_MAX_BYTES)}`)).toContain('larger than')
    for (const deep of ['['.repeat(50_000), '- '.repeat(50_000), '{a: '.repeat(50_000), '? '.repeat(50_000)]) {
      expect(only(deep)).toContain('nested deeper than')
    }
    expect(readDocument('a: [,,,,,,,,]', 'f', 10).problems.list[0]?.message).toContain('more than 10 tokens')
    expect(readDocument('a: [b]', 'f', 10).root).not.toBeNull()
    const many = withDevices(...Array.from({ length: 50 }, (_, n) => device(n, ', colour: red')))
    expect(problems(many)).toHaveLength(FLEET_PROBLEMS_MAX)
  })

  it('cannot unfold by alias', () => {
    const level = (n: number) =>
      `  l${n}: &l${n} [${Array(10)
        .fill(`*l${n - 1}`)
        .join(', ')}]\n`
    const bomb = `a:\n  l0: &l0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from({ length: 9 }, (_, n) => level(n + 1)).join('')}`
    expect(only(bomb)).toContain('aliases that stand for more than')
    const chain = `a:\n  l0: &l0 [x]\n${Array.from({ length: 200 }, (_, n) => `  l${n + 1}: &l${n + 1} [*l${n}]\n`).join('')}`
    expect(only(chain)).toContain('nested deeper than')
  })

  it('has aliases that stand for the last anchor above them', () => {
    const { root } = readDocument('a: &x [&y 1]\nb: &y 2\nc: *x\nd: *y\n', 'f')
    expect(root === null ? null : plain(root)).toEqual({ a: [1], b: 2, c: [1], d: 2 })
  })

  it('is read in linear time', () => {
    // A map of this many keys takes minutes if each key is compared with every other, or each alias looks for its anchor from the start.
    const keys = Array.from({ length: 20_000 }, (_, n) => `k${n}: *x`).join(', ')
    const started = performance.now()
    problems(`x: &x [1]\nm: {${keys}}\n`)
    expect(performance.now() - started).toBeLessThan(10_000)
  })
})

describe('places', () => {
  it('are found again by the path that names them', () => {
    const { root } = readDocument('a.b: {c: [1, {d: 2}]}\na: {b: 3}\n"x y": {z: 4}\n', 'f')
    if (root === null) throw new Error('unread')
    for (const path of ['', 'a.b', 'a.b.c', 'a.b.c[1]', 'a.b.c[1].d', 'a', '["x y"]', '["x y"].z'])
      expect(pathOf(locate(root, path))).toBe(path)
    expect(pathOf(locate(root, 'a.b.c[9].d'))).toBe('a.b.c')
    expect(pathOf(locate(root, 'a.b.nothing.here'))).toBe('a.b')
    expect(pathOf(locate(root, 'nothing'))).toBe('')
  })
})

it('what the parser quotes of a file shows nothing invisible', () => {
  const read = parseFleetFile('\n%R\u0004x\u001b[2J\norganizations: []', 'fleet.yaml')
  expect(read.ok).toBe(false)
  if (!read.ok) for (const { message } of read.problems) expect(message).toMatch(/^[\x20-\x7e]+$/)
})
