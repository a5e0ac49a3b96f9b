// docs/events.md is what integrators copy from: its code for receivers is run against what is really sent, and its event has the fields of a real one.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { eventOf } from '../src/stream/event.ts'
import { signatureOf } from '../src/stream/post.ts'
import { root } from './rig/program.ts'

const page = readFileSync(join(root, 'docs/events.md'), 'utf8')
const block = (language: string): string => {
  const [, code] = new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'm').exec(page) ?? []
  if (code === undefined) throw new Error(`docs/events.md has no ${language}`)
  return code
}
const folder = mkdtempSync(join(tmpdir(), 'downlink-docs-'))
afterAll(() => rmSync(folder, { recursive: true }))

const secret = 'whsec_é中-of-a-test'
const body = '{"webhookId":"w","events":[{"detail":"größer, 更大, \\u0000"}]}'
const at = 1_795_423_371
const good = signatureOf(secret, at, body)
const [t = '', v1 = ''] = good.split(',')
/** secret, header, body, now in s, whether it is genuine */
const cases: readonly (readonly [string, string | null, string, number, boolean])[] = [
  [secret, good, body, at, true],
  [secret, good, body, at + 299, true],
  [secret, good, body, at - 299, true],
  [secret, good, body, at + 301, false],
  [secret, good, body, at - 301, false],
  [secret, good, `${body} `, at, false],
  ['whsec_other', good, body, at, false],
  [secret, `t=${at + 1},${v1}`, body, at, false],
  [secret, `${t},v1=${'0'.repeat(64)}`, body, at, false],
  [secret, `${good},v1=${'0'.repeat(64)}`, body, at, false],
  [secret, v1, body, at, false],
  [secret, '', body, at, false],
  [secret, null, body, at, false],
]
const expected = cases.map(([, , , , isGenuine]) => isGenuine)

const run = (program: string, args: string[]): { status: number | null; stdout: string; stderr: string } =>
  spawnSync(program, args, { encoding: 'utf8', cwd: folder })

describe('the code of docs/events.md that checks a signature', () => {
  test('in Node tells what is genuine from what is not', () => {
    writeFileSync(join(folder, 'genuine.mjs'), block('js'))
    writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases))
    const script = `import { readFileSync } from 'node:fs'
      import { isGenuine } from './genuine.mjs'
      const cases = JSON.parse(readFileSync('cases.json', 'utf8'))
      console.log(JSON.stringify(cases.map(([s, h, b, now]) => isGenuine(s, h ?? undefined, Buffer.from(b), now * 1000))))`
    writeFileSync(join(folder, 'run.mjs'), script)
    const { stdout, stderr } = run(process.execPath, ['run.mjs'])
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual(expected)
    expect(block('js').trim().split('\n').length).toBeLessThanOrEqual(10)
  })

  test('in Python does the same', ({ skip }) => {
    skip(run('python3', ['--version']).status !== 0, 'there is no python3 on this machine')
    writeFileSync(join(folder, 'genuine.py'), block('python'))
    writeFileSync(join(folder, 'cases.json'), JSON.stringify(cases))
    const script = `import json
from genuine import is_genuine
print(json.dumps([is_genuine(s, h, b.encode(), now) for s, h, b, now, _ in json.load(open('cases.json'))]))
`
    writeFileSync(join(folder, 'run.py'), script)
    const { stdout, stderr } = run('python3', ['run.py'])
    expect(stderr).toBe('')
    expect(JSON.parse(stdout)).toEqual(expected)
    expect(block('python').trim().split('\n').length).toBeLessThanOrEqual(10)
  })
})

test('the event of docs/events.md has the fields of a real one, in their order', () => {
  const shown = JSON.parse(block('json'))
  const device = {
    deviceId: 1,
    orgId: 'o',
    productKey: 'p',
    deviceKey: 'd',
    assetId: 'a',
    timezone: '+00:00',
    deletedAt: null,
  }
  const event = { seq: 1, commandId: '1', from: 4, to: 5, at: 2, by: 'device', reason: 'reply', detail: null } as const
  const command = { kind: 1, identifier: 'x', createdAt: 0, createdBy: 'a', sentAt: 1, settledAt: 2, code: 0 } as const
  const real = { id: '', ...eventOf(device, event, command) }
  const keys = (value: object): unknown =>
    Object.entries(value).map(([name, inner]) => (typeof inner === 'object' && inner ? [name, keys(inner)] : name))
  expect(keys(shown)).toEqual(keys(real))
})
