// What a call wants done: point, service, value, inputs, times. Whatever does not fit is refused by name, and nothing is stored.
// Not here: every rule of every data type (model.test.ts).

import { describe, expect, it } from 'vitest'
import { Contract, invoke, set } from './rig/contract.ts'
import { expectRefused } from './rig/http.ts'

const contract = new Contract()
/** what a message says where no id of the model comes near */
const POINTS = 'it has 3'
const SERVICES = 'it has 1'

describe('measurepointId and serviceId', () => {
  it.each(['a b', 'a/b', '+', '#', 'ä', 'x'.repeat(65), '$SYS/x', 'a\0', "a'b"])('%j is malformed', async id => {
    await contract.refused(
      set,
      { measurepointId: id },
      'Invalid Argument measurepointId:must be 1 to 64 of A-Z a-z 0-9 _ . -',
    )
    await contract.refused(invoke, { serviceId: id }, 'Invalid Argument serviceId:must be 1 to 64 of A-Z a-z 0-9 _ . -')
    await contract.refused(set, { assetId: 'free1', measurepointId: id }, 'Invalid Argument measurepointId')
  })

  it.each([undefined, '', ' '])('%j is missing', async id => {
    await contract.refused(set, { measurepointId: id }, 'Invalid Argument measurepointId:measurepointId is missing')
    await contract.refused(invoke, { serviceId: id }, 'Invalid Argument serviceId:serviceId is missing')
  })

  it('must be in the model, as what they are', async () => {
    for (const [measurepointId, hint] of [
      ['Nothing', POINTS],
      ['int_value', 'did you mean "Int_value"?'],
      ['reboot', POINTS],
      ['constructor', POINTS],
      ['__proto__', POINTS],
    ] as const)
      await contract.refused(
        set,
        { measurepointId },
        `Invalid Argument measurepointId:the product's model has no measurepoint "${measurepointId}"; ${hint}`,
      )
    for (const [serviceId, hint] of [
      ['Nothing', SERVICES],
      ['Reboot', 'did you mean "reboot"?'],
      ['Int_value', SERVICES],
      ['toString', SERVICES],
    ] as const)
      await contract.refused(
        invoke,
        { serviceId },
        `Invalid Argument serviceId:the product's model has no service "${serviceId}"; ${hint}`,
      )
    await contract.refused(
      set,
      { measurepointId: 'Fixed' },
      'Invalid Argument measurepointId:.*not writable'.replace('.*', `the product's model has "Fixed" as `),
    )
  })

  it('are free where the product has no model, and so is the value', async () => {
    contract.stores = true
    const free = contract.on('free1')
    const value = { deep: [1, { x: null }], text: '\0', n: 0.1, big: 1e300 }
    const { data } = await free.set(value, { pendingTtl: '600' }, 'a.-_Z')
    expect((await free.get(data.commandId)).data).toMatchObject({
      inputData: value,
      commandName: { defaultValue: 'a.-_Z', i18nValue: {} },
    })
    const invoked = await free.invoke(undefined, { pendingTtl: '600' }, '__proto__')
    expect((await free.get(invoked.data.commandId)).data).toMatchObject({ tslIdentifier: '__proto__', inputData: {} })
  })
})

describe('a value that does not fit its type', () => {
  const typed = { ...set, assetId: 't1' }
  const wrong: [string, unknown, string][] = [
    ['Int', '1', 'must be an INT, got "1"'],
    ['Int', 1.5, 'must be an INT, got 1.5'],
    ['Float', 'x', 'must be a FLOAT'],
    ['Double', 1.01, 'must be a DOUBLE from -1 to 1'],
    ['Bool', 2, 'must be a BOOL'],
    ['Text', '123456', 'must be a STRING of at most 5 characters'],
    ['Enum', 3, 'must be an ENUM value'],
    ['Date', '2026-02-30', 'must be a DATE'],
    ['Timestamp', -1, 'must be a TIMESTAMP'],
    ['Array', [1, '2'], '[1] must be an INT'],
    ['Struct', { b: 'x' }, 'a is required'],
    ['Struct', { a: 1, c: 2 }, 'has no "c"'],
    ['File', 'no uri', 'must be a FILE'],
  ]
  it.each(wrong)('%s %j', async (measurepointId, value, says) => {
    const answer = await contract.rig.app.call({ ...typed, measurepointId }, { body: { value } })
    expectRefused(answer, 99400, /^Invalid Argument value:/)
    expect(answer.msg).toContain(says)
  })

  it('fits for each type', async () => {
    contract.stores = true
    const right: [string, unknown][] = [
      ['Int', -5],
      ['Float', 0.5],
      ['Double', 1],
      ['Bool', true],
      ['Text', '泵泵泵泵泵'],
      ['Enum', 1],
      ['Date', '2026-02-28'],
      ['Timestamp', 0],
      ['Array', []],
      ['Struct', { a: 1 }],
      ['File', 'http://x/y'],
      ['Int', 2 ** 53 - 1],
    ]
    const calls = contract.on('t1')
    for (const [measurepointId, value] of right) {
      const { code, data } = await calls.set(value, { pendingTtl: '600' }, measurepointId)
      expect(code).toBe(0)
      expect((await calls.get(data.commandId)).data.inputData).toEqual(value)
    }
    await calls.cancel()
  })

  it('is refused among the inputs of a service', async () => {
    const bad = async (inputData: unknown, serviceId: string, says: string) => {
      const answer = await contract.on('t1').invoke(inputData, { pendingTtl: '600' }, serviceId)
      expectRefused(answer, 99400, 'Invalid Argument inputData:')
      expect(answer.msg).toContain(says)
    }
    await bad({}, 'needy', 'n is required')
    await bad(undefined, 'needy', 'n is required')
    await bad({ n: null }, 'needy', 'n is required')
    await bad({ n: '1' }, 'needy', 'n must be an INT')
    await bad({ n: 1, m: 1 }, 'needy', 'has no "m"')
    await bad([1], 'needy', 'must be an object of inputs')
    await bad('x', 'plain', 'must be an object of inputs')
  })

  it('is none where a required input has a default: that is filled in', async () => {
    contract.stores = true
    for (const inputData of [undefined, {}, { n: null }]) {
      const { data } = await contract.on('t1').invoke(inputData, { pendingTtl: '600' }, 'defaulted')
      expect((await contract.on('t1').get(data.commandId)).data.inputData).toEqual({ n: 7 })
    }
  })
})

describe('pendingTtl and timeout', () => {
  const odd = [
    '-1',
    '1.5',
    '1.0',
    '1e3',
    '',
    ' ',
    '0x10',
    '+1',
    '1_000',
    '٣',
    'NaN',
    'null',
    '9'.repeat(400),
    '1 2',
    '1;2',
  ]
  it.each(odd)('%j is no number of seconds', async text => {
    for (const params of [set, invoke]) {
      await contract.refused(
        params,
        { pendingTtl: text },
        /^Invalid Argument pendingTtl:must be an integer from 0 to 172800 \(seconds\)$/,
      )
      await contract.refused(
        params,
        { timeout: text },
        /^Invalid Argument timeout:must be an integer from 1 to 60 \(seconds\)$/,
      )
    }
  })

  it.each([
    ['pendingTtl', '172801'],
    ['pendingTtl', '999999999'],
    ['timeout', '0'],
    ['timeout', '61'],
  ])('%s %s is out of range', async (name, text) => {
    for (const params of [set, invoke])
      await contract.refused(params, { [name]: text }, `Invalid Argument ${name}:must be an integer from`)
  })

  it.each([
    ['172800', '60', 172_800, 60],
    ['1', '1', 1, 1],
    [' 0010 ', '007', 10, 7],
    ['600', undefined, 600, 30],
  ])('pendingTtl %j and timeout %j are %d and %d', async (pendingTtl, timeout, ttl, wait) => {
    contract.stores = true
    const calls = contract.on('a3')
    const { data } = await contract.call(set, { assetId: 'a3', pendingTtl, timeout })
    const { data: command } = await calls.get(data.commandId)
    expect(command).toMatchObject({ pendingTtl: ttl, timeout: wait })
  })

  it('0 and none are instant: to a device that never came, 11888, and on record as failed', async () => {
    contract.stores = true
    for (const pendingTtl of ['0', '000', undefined]) {
      const answer = await contract.call(set, { assetId: 'a2', pendingTtl })
      expect(answer).toMatchObject({ status: 200, code: 11888, data: { state: 6 } })
      expect(Object.keys(answer.data)).toEqual(['commandId', 'state'])
      const { data } = await contract.on('a2').get(answer.data.commandId)
      expect(data).toMatchObject({ state: 6, pendingTtl: 0, timeout: 30, outputData: null })
    }
  })
})
