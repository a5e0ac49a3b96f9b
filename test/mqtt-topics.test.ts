// What goes into a command's PUBLISH, what an uplink means, which filters a device may have, and how its dirty payloads are read.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Downlink, Kind } from '../src/core/command.ts'
import { DEVICE_CODE_MAX_CHARS, DEVICE_MESSAGE_MAX_CHARS, JSON_MAX_DEPTH, TOPIC_MAX_CHARS } from '../src/core/limits.ts'
import { Coverage, isFilter, isShared, isTopicName, keysOfFilter, matches } from '../src/mqtt/filters.ts'
import { answerTo, commandPayload, readReply, readRequest } from '../src/uplink/payload.ts'
import { commandTopic, methodOf, readTopic } from '../src/uplink/topics.ts'

const keys = { productKey: 'pk', deviceKey: 'dk.1' }
const ID = '3513370000000000001'

const downlink = (over: Partial<Downlink>): Downlink => ({
  commandId: ID,
  kind: Kind.set,
  identifier: 'Int_value',
  inputJson: '1',
  session: 1,
  notAfter: 0,
  ...over,
})

describe('a command', () => {
  it('that sets a measurepoint', () => {
    const command = downlink({ inputJson: '{"a": 12345678901234567890}' })
    expect(commandTopic(keys, command)).toBe('/sys/pk/dk.1/thing/service/measurepoint/set')
    expect(commandPayload(command, methodOf(command))).toBe(
      `{"id":"${ID}","version":"1.0","params":{"Int_value":{"a": 12345678901234567890}},"method":"thing.service.measurepoint.set"}`,
    )
  })

  it('that invokes a service', () => {
    const command = downlink({ kind: Kind.invoke, identifier: 'INV.Control', inputJson: '{"delay":1}' })
    expect(commandTopic(keys, command)).toBe('/sys/pk/dk.1/thing/service/INV.Control')
    expect(commandPayload(command, methodOf(command))).toBe(
      `{"id":"${ID}","version":"1.0","params":{"delay":1},"method":"thing.service.INV.Control"}`,
    )
  })

  it('is JSON whatever the input, and carries it unchanged', () => {
    fc.assert(
      fc.property(fc.jsonValue(), input => {
        const command = downlink({ inputJson: JSON.stringify(input) })
        const said = JSON.parse(commandPayload(command, 'm'))
        expect(Object.keys(said)).toEqual(['id', 'version', 'params', 'method'])
        expect(JSON.stringify(said.params.Int_value)).toBe(JSON.stringify(input))
      }),
    )
  })
})

describe('an uplink topic', () => {
  it.each<[string, string, string?]>([
    ['/sys/pk/dk.1/thing/service/measurepoint/set_reply', 'reply'],
    ['/sys/pk/dk.1/thing/service/reboot_reply', 'reply'],
    ['/sys/pk/dk.1/thing/service/INV.Control_reply', 'reply'],
    ['/sys/pk/dk.1/thing/service/measurepoint/get_reply', 'answer'],
    ['/sys/pk/dk.1/thing/service/_reply', 'answer'],
    ['/sys/pk/dk.1/thing/disable_reply', 'answer'],
    ['/sys/pk/dk.1/thing/model/down_raw_reply', 'rawReply'],
    ['/sys/pk/dk.1/thing/activate/info_reply', 'answer'],
    ['/ext/session/pk/dk.1/thing/activate/info_reply', 'activated'],
    ['/ext/session/pk/dk.1/combine/disable_reply', 'answer'],
    ['/ext/session/pk/dk.1/thing/service/reboot_reply', 'answer'],
    ['/sys/pk/dk.1/thing/measurepoint/post', 'request', 'thing/measurepoint/post'],
    ['/sys/pk/dk.1/thing/service/reboot', 'request', 'thing/service/reboot'],
    ['/ext/session/pk/dk.1/combine/login/batch', 'request', 'combine/login/batch'],
  ])('%s is a %s of the device that it names', (topic, type, path) => {
    expect(readTopic(topic)).toEqual({ type, keys, ...(path === undefined ? {} : { path }) })
  })

  it.each([
    '/sys/pk/dk.1',
    '/sys/pk/dk.1/',
    '/sys//dk.1/x',
    '/sys/pk/d k/x',
    'sys/pk/dk.1/thing/measurepoint/post',
    '/ext/pk/dk.1/x',
    '$SYS/broker',
    '',
  ])('%s is of no device', topic => expect(readTopic(topic)).toBeNull())

  it('of one SDK names the wrong device, in an answer that nobody waits for', () => {
    expect(readTopic('/ext/session/session/pk/combine/disable_reply')).toMatchObject({ type: 'answer' })
  })

  it.each(['', 'a/+', 'a/#', '#', 'a\0b', 'a\ufffdb'])('%j is no topic name', topic =>
    expect(isTopicName(topic)).toBe(false),
  )
  it.each(['a', '/', '/sys/pk/dk.1/x', 'ü'])('%j is one', topic => expect(isTopicName(topic)).toBe(true))
})

describe('a filter', () => {
  it.each([
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/c', false],
    ['a/b/c', 'a/b', false],
    ['a/+', 'a/b', true],
    ['a/+', 'a', false],
    ['a/+', 'a/', true],
    ['a/+', 'a/b/c', false],
    ['+', 'a', true],
    ['+', '/a', false],
    ['/+', '/a', true],
    ['+/+', '/a', true],
    ['#', '/a/b', true],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['a/+/c', 'a/b/c', true],
    ['a/+/c', 'a/b/d', false],
  ])('%s against %s: %s', (filter, topic, expected) => expect(matches(filter, topic)).toBe(expected))

  it('matches what a pattern made from it matches', () => {
    const level = fc.constantFrom('', 'a', 'b', 'ab')
    const filterLevel = fc.oneof(level, fc.constant('+'))
    const filter = fc
      .tuple(fc.array(filterLevel, { minLength: 1, maxLength: 4 }), fc.boolean())
      .map(([levels, open]) => [...levels, ...(open ? ['#'] : [])].join('/'))
    const topic = fc.array(level, { minLength: 1, maxLength: 5 }).map(levels => levels.join('/'))
    fc.assert(
      fc.property(filter, topic, (filter, topic) => {
        const pattern = filter.replace(/\+/g, '[^/]*').replace(/\/#$/, '(/.*)?')
        expect(matches(filter, topic)).toBe(new RegExp(`^${pattern}$`).test(topic))
      }),
      { numRuns: 500 },
    )
  })

  it.each(['', 'a+', 'a/+b', '#/a', 'a#', 'a/#/b', 'a\0', '\ufffd', `/${'a'.repeat(TOPIC_MAX_CHARS)}`])(
    '%j is malformed',
    filter => expect(isFilter(filter)).toBe(false),
  )

  it.each([
    ['/sys/pk/dk.1/thing/service/+', true],
    ['/sys/pk/dk.1/#', true],
    ['/ext/session/pk/dk.1/#', true],
    ['/sys/pk/dk.1/+/+/+', true],
    ['/sys/pk/dk.1', false],
    ['/sys/pk/+/thing/service/+', false],
    ['/sys/+/dk.1/#', false],
    ['/sys/#', false],
    ['+/pk/dk.1/#', false],
    ['#', false],
    ['$share/g/sys/pk/dk.1/#', false],
  ])('%s names a device: %s', (filter, may) => expect(keysOfFilter(filter) !== null).toBe(may))

  it('shared subscriptions are known by their prefix', () => {
    expect(isShared('$share/group//sys/pk/dk.1/#')).toBe(true)
    expect(isShared('/sys/pk/dk.1/$share/x')).toBe(false)
  })
})

describe('coverage of the command topics', () => {
  const S = '/sys/pk/dk.1/thing/service'
  const complete = (services: string[] | null, ...filters: string[]) => {
    const coverage = new Coverage(keys, services)
    for (const filter of filters) coverage.add(filter)
    return coverage.complete
  }

  it.each<[string[] | null, string[], boolean]>([
    [null, [], false],
    [null, [`${S}/measurepoint/set`], false],
    [null, [`${S}/+`], false],
    [null, [`${S}/measurepoint/set`, `${S}/+`], true],
    [null, [`${S}/+`, `${S}/+/+`], true],
    [null, [`${S}/measurepoint/set`, `${S}/reboot`], false],
    [null, ['/sys/pk/dk.1/#'], true],
    [null, [`${S}/#`], true],
    [null, ['/ext/session/pk/dk.1/#'], false],
    [['reboot'], [`${S}/measurepoint/set`], false],
    [['reboot'], [`${S}/measurepoint/set`, `${S}/reboot`], true],
    [['reboot'], [`${S}/measurepoint/set`, '/sys/pk/dk.1/+/+/reboot'], true],
    [['reboot'], [`${S}/reboot`], false],
    [['reboot', 'stop'], [`${S}/measurepoint/set`, `${S}/reboot`], false],
    [['reboot', 'stop'], [`${S}/stop`, `${S}/measurepoint/+`, `${S}/reboot`], true],
    [['reboot', 'stop'], [`${S}/measurepoint/set`, `${S}/+`], true],
    [[], [`${S}/measurepoint/set`], true],
    [[], [], false],
  ])('services %j with %j: %s', (services, filters, expected) => expect(complete(services, ...filters)).toBe(expected))
})

describe('a reply', () => {
  const reply = (text: string | Buffer) => readReply(Buffer.from(text as string))

  it.each([
    ['Node', `{"id":"${ID}","code":200,"data":{"r":12}}`, { code: 200, deviceCode: '200', outputJson: '{"r":12}' }],
    [
      'Java',
      `{"code":200,"data":{"result":3},"id":"${ID}","message":""}`,
      { code: 200, message: '', outputJson: '{"result":3}' },
    ],
    ['Java set', `{"code":200,"id":"${ID}","message":""}`, { code: 200, outputJson: null }],
    ['Python set', `{"id":"${ID}","code":0,"data":null,"message":""}`, { code: 0, outputJson: null }],
    [
      'Python error',
      `{"id":"${ID}","code":"1101","message":"not registered"}`,
      { code: 1101, deviceCode: '1101', message: 'not registered' },
    ],
    ['C', `{"id":"${ID}","code":200,"data":{"Result": 7}}`, { code: 200, outputJson: '{"Result": 7}' }],
  ])('of the %s SDK', (_sdk, text, expected) => {
    expect(reply(text)).toMatchObject({ type: 'reply', commandId: ID, ...expected })
  })

  it.each<[string, number | null, string]>([
    ['405', 405, '405'],
    ['-1', -1, '-1'],
    ['2e2', 200, '2e2'],
    ['200.0', 200, '200.0'],
    ['"0200"', 200, '0200'],
    ['" 7 "', 7, ' 7 '],
    ['1.5', null, '1.5'],
    ['9007199254740993', null, '9007199254740993'],
    ['"0x10"', null, '0x10'],
    ['"OK"', null, 'OK'],
    ['""', null, ''],
    ['"Infinity"', null, 'Infinity'],
    ['true', null, 'true'],
    ['null', null, 'null'],
    ['[200]', null, '[200]'],
    ['{"a":1}', null, '{"a":1}'],
    [`"${'9'.repeat(200)}"`, null, '9'.repeat(DEVICE_CODE_MAX_CHARS)],
  ])('code %s is %s, as sent %s', (code, number, text) => {
    expect(reply(`{"id":"${ID}","code":${code}}`)).toMatchObject({ code: number, deviceCode: text })
  })

  it('without a code has none', () => {
    expect(reply(`{"id":"${ID}"}`)).toMatchObject({ code: null, deviceCode: '', message: null, outputJson: null })
  })

  it('keeps the id when it comes as a number too large for one', () => {
    expect(reply(`{"id": ${ID} ,"code":200}`)).toMatchObject({ commandId: ID })
  })

  it.each<[string, string | null]>([
    ['"ok"', '"ok"'],
    ['[1,{"a":"}"}]', '[1,{"a":"}"}]'],
    ['12345678901234567890', '12345678901234567890'],
    ['0', '0'],
    ['false', 'false'],
    ['""', '""'],
    ['null', null],
    [' {"a" : "\\"," } ', '{"a" : "\\"," }'],
  ])('data %s is kept as %s', (data, kept) => {
    expect(reply(`{"data":${data},"id":"${ID}","code":200}`)).toMatchObject({ outputJson: kept })
  })

  it('keeps the outputs as they came, whatever they are', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string(), (data, name) => {
        fc.pre(data !== null && !['id', 'data', 'code', 'message'].includes(name))
        const text = JSON.stringify({ [name]: data, code: 200, data, id: ID })
        const expected = JSON.stringify(data).replaceAll('\\u0000', '\\ufffd')
        fc.pre(!JSON.stringify(data).includes('\\\\u0000'))
        expect(reply(text)).toMatchObject({ code: 200, outputJson: expected })
      }),
    )
  })

  it('has its message cut, and nothing in it that a database refuses', () => {
    const long = reply(`{"id":"${ID}","code":1,"message":"${'m'.repeat(5000)}"}`)
    expect(long?.message).toBe('m'.repeat(DEVICE_MESSAGE_MAX_CHARS))
    expect(reply(`{"id":"${ID}","code":1,"message":"a\\u0000b\\ud800c"}`)?.message).toBe('a\ufffdb\ufffdc')
    const split = reply(`{"id":"${ID}","code":1,"message":"${'m'.repeat(DEVICE_MESSAGE_MAX_CHARS - 1)}😀"}`)
    expect(split?.message).toBe(`${'m'.repeat(DEVICE_MESSAGE_MAX_CHARS - 1)}\ufffd`)
    expect(reply(`{"id":"${ID}","code":1,"message":{"a":1}}`)?.message).toBeNull()
    expect(reply(`{"id":"${ID}","code":1,"data":{"a":"x\\u0000y","b":"\\\\u0000"}}`)?.outputJson).toBe(
      '{"a":"x\\ufffdy","b":"\\\\u0000"}',
    )
  })

  it('may end in NUL, hold NUL and bytes that are not UTF-8', () => {
    expect(reply(`{"id":"${ID}","code":200}\0\0`)).toMatchObject({ commandId: ID })
    const dirty = Buffer.concat([
      Buffer.from(`{"id":"${ID}","code":1,"message":"a`),
      Buffer.from([0x00, 0xff, 0xfe]),
      Buffer.from('b"}'),
    ])
    expect(readReply(dirty)?.message).toBe('a\ufffd\ufffd\ufffdb')
  })

  it.each([
    '',
    '\0',
    'null',
    '[]',
    '[{"id":"1"}]',
    '"text"',
    '12',
    '{}',
    '{"code":200}',
    `{"id":"${ID}"`,
    `{"id":"${ID}"} x`,
    '{"id":""}',
    '{"id":"abc-3"}',
    '{"id":"-1"}',
    '{"id":1.5}',
    '{"id":null}',
    '{"id":{"a":1}}',
    '{"id":"12345678901234567890"}',
    '{"id":"9999999999999999999"}',
    `{"x":{"id":"${ID}"}}`,
    `{"id":"${ID}","data":${'['.repeat(JSON_MAX_DEPTH)}${']'.repeat(JSON_MAX_DEPTH)}}`,
    `{"id":"${'1'.repeat(1000)}"}`,
  ])('%s is none', text => expect(reply(text)).toBeNull())

  it('of a key that comes twice takes the last, as JSON.parse does', () => {
    expect(reply(`{"id":"1","code":500,"id":"${ID}","c\\u006fde":200}`)).toMatchObject({ commandId: ID, code: 200 })
  })

  it('is read in time linear in its length', () => {
    const started = performance.now()
    for (const filler of ['\0', '{"a":', '"\\"', '[', '\\', ' '])
      reply(`{"id":"${ID}","data":"${filler.repeat(100_000 / filler.length)}x"}`)
    for (const filler of ['\0', '{', '[', '"']) reply(`${filler.repeat(100_000)}x`)
    expect(performance.now() - started).toBeLessThan(1_000)
  })
})

describe('a request', () => {
  const requestId = (text: string) => readRequest(Buffer.from(text))?.idJson ?? null
  it.each([
    ['{"id":"1","params":{}}', '"1"'],
    ['{"id":1}', '1'],
    ['{"id":-1.50}', '-1.50'],
    ['{"id": "a\\u0041" }', '"a\\u0041"'],
    ['{"params":{"id":"2"},"id":"1"}', '"1"'],
  ])('%s has the id %s, which comes back as it is', (text, id) => {
    expect(requestId(text)).toBe(id)
    const answer = answerTo(Buffer.from(text), 501, 'why') ?? ''
    expect(JSON.parse(answer)).toEqual({ id: JSON.parse(id), code: 501, data: {}, message: 'why' })
    expect(answer.startsWith(`{"id":${id},`)).toBe(true)
  })
  it.each([
    '',
    'x',
    '[]',
    '{}',
    '{"id":null}',
    '{"id":true}',
    '{"id":[1]}',
    `{"id":"${'1'.repeat(1000)}"}`,
    '{"id":"1"',
  ])('%s has none, and no answer', text => {
    expect(requestId(text)).toBeNull()
    expect(answerTo(Buffer.from(text), 501, 'why')).toBeNull()
  })
})
