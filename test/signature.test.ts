// Queries as they are read and as they are signed; the vendor’s golden vectors.
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encryption, isSignedBy, parseQuery, type Query, sameDigest, signature } from '../src/http/signature.ts'

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const noBody = Buffer.alloc(0)

function query(raw: string): Query {
  const parsed = parseQuery(raw)
  if (!parsed.ok) throw new Error(parsed.message)
  return parsed
}

describe('golden vectors', () => {
  it('the vendor documents a POST with a body', () => {
    const body = Buffer.from('{\n  "count": 20,\n  "page": 1,\n  "desc": "描述"\n}')
    const { signed } = query('k3=v3&k1=v1&k2=v2')
    expect(signature('xxxxaaaxxxx', signed, body, '1572574909697', 'xxxappSecretxxx')).toBe(
      '59828328f6c1f9771015dc74e4929ae30f518a35a3d2353972c2ea46556fc981',
    )
  })

  const appKey = '5acb82e7-a11e-4300-9164-c8b20b638e8b'
  const appSecret = '65417473-2da3-40cc-b235-513b9123aefg'
  const timestamp = '1572574909697'

  it('the proof for a token', () => {
    expect(encryption(appKey, timestamp, appSecret)).toBe(
      '9be399e5c31ed54fbbc535ba56fbefce39b0cee949540f18903df0231a69413c',
    )
  })

  it('cancel without a body', () => {
    const { signed } = query(
      'action=cancel&deviceKey=yourDeviceKey&productKey=yourProductKey&orgId=yourOrgId&commandId=2278935391225618432',
    )
    expect(signature('TOKEN', signed, noBody, timestamp, appSecret)).toBe(
      '7ecc993b7e7501bf7d8eb3d2322b0f04065df679576d3f740c2b979e874d04f0',
    )
  })

  it('set with a body', () => {
    const { signed } = query(
      'action=setMeasurepoint&orgId=yourOrgId&assetId=yourAssetId&measurepointId=Int_value&pendingTtl=600&timeout=30',
    )
    expect(signature('TOKEN', signed, Buffer.from('{"value":1.0}'), timestamp, appSecret)).toBe(
      '774b4c2d09ddc888c4b9e1c0cb65b11113ff90187fa0e7be140954000cfcd1ac',
    )
  })
})

describe('parseQuery', () => {
  it('decodes as a form does, once', () => {
    const { values } = query('a=x%20y+z&b=%E6%8F%8F&c=%252B&d=1%2B1&e==%3D=&%66=g')
    expect([...values]).toEqual([
      ['a', 'x y z'],
      ['b', '描'],
      ['c', '%2B'],
      ['d', '1+1'],
      ['e', '==='],
      ['f', 'g'],
    ])
  })

  it('reads what URLSearchParams reads wherever both take the query', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
    const pairs = fc.uniqueArray(fc.tuple(name, fc.string({ unit: 'grapheme', maxLength: 12 })), {
      selector: ([key]) => key.trim(),
      maxLength: 6,
    })
    fc.assert(
      fc.property(pairs, given => {
        const kept = given.filter(([key]) => key.trim() !== '')
        const raw = new URLSearchParams(given).toString()
        expect(query(raw).signed).toEqual(kept.map(([key, value]) => ({ name: key, value })))
        expect([...query(raw).values]).toEqual(kept.map(([key, value]) => [key.trim(), value.trim()]))
      }),
      { numRuns: 100 },
    )
  })

  it('trims what the actions read and keeps what was signed', () => {
    const { values, signed } = query('commandId=%202278935391225618432&%20orgId+=+o1+')
    expect(values.get('commandId')).toBe('2278935391225618432')
    expect(values.get('orgId')).toBe('o1')
    expect(signed).toEqual([
      { name: 'commandId', value: ' 2278935391225618432' },
      { name: ' orgId ', value: ' o1 ' },
    ])
  })

  it('ignores pairs without a name', () => {
    for (const raw of ['', '&', '&&&', '=', '=x&=y', '+=1&%20=2']) {
      expect([...query(raw).values]).toEqual([])
      expect(query(raw).signed).toEqual([])
    }
    expect([...query('&a=1&&=x&b=2&').values.keys()]).toEqual(['a', 'b'])
  })

  it('reads a name without = as empty, and tells it from one with', () => {
    const { values, signed } = query('commandId&orgId=')
    expect([...values]).toEqual([
      ['commandId', ''],
      ['orgId', ''],
    ])
    expect(signed.map(({ value }) => value)).toEqual([null, ''])
  })

  it('refuses a repeated name, whatever its values, blanks or spelling', () => {
    for (const raw of [
      'commandId=1&commandId=1',
      'commandId=1&orgId=o&+commandId=2',
      'commandId&commandId=',
      'commandI%64=1&commandId=2',
    ]) {
      expect(parseQuery(raw)).toEqual({
        ok: false,
        code: 99400,
        message: 'Invalid Argument commandId:is given more than once',
      })
    }
    expect(query('a=1&A=2').values.size).toBe(2)
  })

  it('refuses what is not percent-encoded UTF-8, naming the parameter', () => {
    for (const value of [
      '%',
      '%1',
      '%zz',
      'a%',
      '%ff',
      '%c3%28',
      '%ed%a0%80',
      '%f4%90%80%80',
      '\u00e9',
      '描',
      '\u0000',
      'a\nb',
    ]) {
      expect(parseQuery(`orgId=o&x=${value}`)).toEqual({
        ok: false,
        code: 99400,
        message: 'Invalid Argument x:the value is not valid percent-encoded UTF-8',
      })
      expect(parseQuery(`${value}=1`)).toMatchObject({ ok: false, code: 99400 })
      // Even where the pair would be ignored: it is part of what was sent.
      expect(parseQuery(`=${value}`)).toMatchObject({ ok: false, code: 99400 })
    }
  })

  it('keeps hostile names out of messages as they are', () => {
    const parsed = parseQuery('%0d%0aSet-Cookie=1&%0d%0aSet-Cookie=2')
    expect(parsed.ok).toBe(false)
    if (!parsed.ok) expect(parsed.message).not.toMatch(/[\r\n]/)
  })

  it('answers any text, and never throws', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('%', '=', '&', '+', 'a', '2', 'F', '\u00ff'), maxLength: 40 }),
        raw => {
          expect(typeof parseQuery(raw).ok).toBe('boolean')
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('signature', () => {
  it('sorts upper case before lower case, whatever the order in the URL', () => {
    expect(signature('T', query('b=1&Za=0&B=2').signed, noBody, '7', 'S')).toBe(sha256('TB2Za0b17S'))
    const orders = ['b=1&Za=0&B=2', 'B=2&b=1&Za=0', 'Za=0&B=2&b=1']
    expect(new Set(orders.map(raw => signature('T', query(raw).signed, noBody, 'ts', 'S'))).size).toBe(1)
  })

  it('does not reorder the pairs it is given', () => {
    const { signed } = query('b=1&a=2')
    signature('T', signed, noBody, 'ts', 'S')
    expect(signed.map(({ name }) => name)).toEqual(['b', 'a'])
  })

  it('covers blanks as sent, and bytes that are no UTF-8', () => {
    expect(signature('T', query('commandId=%20227').signed, noBody, '1', 'S')).toBe(sha256('TcommandId 2271S'))
    const bytes = Buffer.from([0xff, 0x00, 0xfe])
    const expected = createHash('sha256').update('T').update(bytes).update('1S').digest('hex')
    expect(signature('T', [], bytes, '1', 'S')).toBe(expected)
  })

  it('changes with every part', () => {
    const of = (token: string, raw: string, body: string, timestamp: string, secret: string) =>
      signature(token, query(raw).signed, Buffer.from(body), timestamp, secret)
    const all = [
      of('T', 'a=1', '{}', '1', 'S'),
      of('U', 'a=1', '{}', '1', 'S'),
      of('T', 'a=2', '{}', '1', 'S'),
      of('T', 'b=1', '{}', '1', 'S'),
      of('T', 'a=1', '{} ', '1', 'S'),
      of('T', 'a=1', '{}', '2', 'S'),
      of('T', 'a=1', '{}', '1', 'R'),
    ]
    expect(new Set(all).size).toBe(all.length)
  })
})

describe('isSignedBy', () => {
  const check = (given: string, raw: string) => isSignedBy(given, 'T', query(raw).signed, noBody, '1', 'S')

  it('takes either case of hex', () => {
    expect(check(sha256('Ta11S'), 'a=1')).toBe(true)
    expect(check(sha256('Ta11S').toUpperCase(), 'a=1')).toBe(true)
    expect(check(sha256('Ta21S'), 'a=1')).toBe(false)
  })

  it('takes a name without = signed as nothing or as null, and one with = only as nothing', () => {
    expect(check(sha256('Ta1commandId1S'), 'commandId&a=1')).toBe(true)
    expect(check(sha256('Ta1commandIdnull1S'), 'commandId&a=1')).toBe(true)
    expect(check(sha256('Ta1commandIdnil1S'), 'commandId&a=1')).toBe(false)
    expect(check(sha256('Ta1commandId1S'), 'commandId=&a=1')).toBe(true)
    expect(check(sha256('Ta1commandIdnull1S'), 'commandId=&a=1')).toBe(false)
    expect(check(sha256('Tabnull1S'), 'a&b')).toBe(false)
    expect(check(sha256('Tanullbnull1S'), 'a&b')).toBe(true)
  })
})

describe('sameDigest', () => {
  it('compares digests, and texts of any length without throwing', () => {
    const digest = sha256('x')
    expect(sameDigest(digest, digest.toUpperCase())).toBe(true)
    for (const other of ['', digest.slice(1), `${digest}0`, sha256('y'), `${digest.slice(0, 63)}é`]) {
      expect(sameDigest(digest, other)).toBe(false)
    }
  })
})
