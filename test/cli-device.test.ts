// `downlink device simulate` against a real server, as a process; and the simulated device against servers that misbehave.

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import mqtt from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { plausible, plausibleOutputs } from '../src/cli/outputs.ts'
import { type Behaviour, SimulatedDevice, type Witness } from '../src/cli/simulator.ts'
import { State } from '../src/core/command.ts'
import { SIMULATED_PACKET_MAX_BYTES } from '../src/core/limits.ts'
import { parseModel } from '../src/core/model.ts'
import { checkValue, type Definition } from '../src/core/value.ts'
import { Program, runHere } from './rig/program.ts'
import { fleetFile, PRODUCT, type Rig, startRig } from './rig/server.ts'

let rig: Rig
let program: Program
beforeAll(async () => {
  program = new Program()
  rig = await startRig([], fleetFile(20))
})
afterAll(async () => {
  await rig.stop()
  await program.remove()
})

const calls = (deviceKey: string) => rig.app.on({ productKey: PRODUCT, deviceKey })
const args = (deviceKey: string, ...more: string[]) => [
  ...['device', 'simulate', '--mqtt', rig.server.mqttUrl, '--fleet', join(rig.folder, 'fleet.json')],
  ...['--product-key', PRODUCT, '--device-key', deviceKey, ...more],
]
const instant = { timeout: '20' }

describe('device simulate', () => {
  it('takes commands, prints a line for each and for its answer, and ends after as many as told', async () => {
    const ids = await calls('d1').queue(2)
    const { code, stdout, stderr } = await program.run(args('d1', '--exit-after', '2'))
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const time = '\\d\\d:\\d\\d:\\d\\d d1'
    expect(stdout).toMatch(
      new RegExp(
        `^${time} connected\n${time} received ${ids[0]} set {"Int_value":1}\n${time} answered ${ids[0]} 200\n` +
          `${time} received ${ids[1]} set {"Int_value":2}\n${time} answered ${ids[1]} 200\n${time} disconnected left\n$`,
      ),
    )
    for (const id of ids) expect((await calls('d1').until(id, State.succeeded)).code).toBe(0)
  })

  it('gives back outputs that fit the model', async () => {
    const running = program.start(args('d2'))
    await running.printed(/connected/)
    const { code, data } = await calls('d2').invoke({ delay: 4 }, instant)
    expect({ code, outputData: data.outputData }).toEqual({ code: 0, outputData: { ok: true } })
    expect((await calls('d2').set(3, instant)).code).toBe(0)
    expect((await running.stop('SIGINT')).code).toBe(0)
    expect(running.stdout).toContain(' invoke reboot {"delay":4}\n')
  })

  it('answers an error, with a code of its own', async () => {
    const running = program.start(args('d3', '--answer', 'error', '--code', '2044', '--exit-after', '1'))
    await running.printed(/connected/)
    const { code, msg, data } = await calls('d3').set(1, instant)
    expect({ code, msg, data }).toMatchObject({
      code: 2044,
      msg: 'simulated failure',
      data: { deviceCode: 2044, state: State.failed },
    })
    expect((await running.ended).code).toBe(0)
  })

  it('never answers, and the command times out', async () => {
    const running = program.start(args('d4', '--answer', 'never'))
    await running.printed(/connected/)
    expect((await calls('d4').set(1, { timeout: '1' })).code).toBe(11915)
    await running.stop()
    expect(running.stdout).toContain('received')
    expect(running.stdout).not.toContain('answered')
  })

  it('answers late', async () => {
    const running = program.start(args('d5', '--delay', '300', '--exit-after', '1'))
    await running.printed(/connected/)
    const askedAt = performance.now()
    expect((await calls('d5').set(1, instant)).code).toBe(0)
    expect(performance.now() - askedAt).toBeGreaterThanOrEqual(295)
    await running.ended
  })

  it('leaves together with its last answer, and takes no command along', async () => {
    const ids = await calls('d6').queue(3)
    expect((await program.run(args('d6', '--exit-after', '1'))).code).toBe(0)
    await calls('d6').until(ids[0] ?? '', State.succeeded)
    expect(await calls('d6').states(ids)).toEqual([State.succeeded, State.created, State.created])
  })

  it('goes away and comes back, one command at a time', async () => {
    const ids = await calls('d7').queue(3)
    const running = program.start(args('d7', '--away-after', '1', '--offline-for', '50'))
    for (const id of ids) await calls('d7').until(id, State.succeeded)
    await running.stop()
    expect(running.stdout.match(/received \d+/g)).toEqual(ids.map(id => `received ${id}`))
    expect(running.stdout.match(/ connected/g)?.length).toBeGreaterThanOrEqual(3)
    expect(running.stdout).toContain('disconnected left, again in 0.1 s')
  })

  it('is many devices by a pattern, and ends after a time', async () => {
    const numbered = ['d11', 'd12', 'd13', 'd14', 'd15']
    // d1{n} is d11 to d15
    const running = program.start(args('d1{n}', '--count', '5', '--for', '60', '--exit-after', '1'))
    const answers = await Promise.all(
      numbered.map(key =>
        calls(key)
          .queue(1)
          .then(([id = '']) => calls(key).until(id, State.succeeded)),
      ),
    )
    expect(answers).toHaveLength(5)
    expect((await running.ended).code).toBe(0)
    for (const key of numbered) expect(running.stdout).toMatch(new RegExp(` ${key} answered `))
    const idle = await program.run(args('d8', '--for', '1'))
    expect(idle).toMatchObject({ code: 0, stderr: '' })
    expect(idle.stdout).toMatch(/ d8 disconnected stopped\n$/)
  })

  it('gives up where it is not let in, and says why', async () => {
    const refused = await program.run([...args('d9').slice(0, 4), ...args('d9').slice(6), '--device-secret', 'hunter2'])
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toBe('d9 refused with 4: the secret is wrong; check --device-secret or the fleet file\n')
    const nobody = await program.run([...args('nobody').slice(0, 4), ...args('nobody').slice(6)], {
      DOWNLINK_DEVICE_SECRET: 'x',
    })
    expect(nobody.code).toBe(1)
    expect(nobody.stderr).toMatch(/^nobody refused with [45]: /)
  })

  it.each([
    [['--device-key', 'x'], '--product-key: is required'],
    [
      ['--product-key', 'p', '--device-key', 'x'],
      'give --device-secret (DOWNLINK_DEVICE_SECRET) or --fleet (DOWNLINK_FLEET)',
    ],
    [['--product-key', 'p', '--device-key', 'x', '--count', '2'], '--device-key: needs a place for the number'],
    [['--product-key', 'p', '--device-key', 'x/y'], '--device-key: is not a key'],
    [['--product-key', 'p', '--device-key', 'x', '--answer', 'maybe'], '"maybe" is not one of ok, error, never'],
    [['--product-key', 'p', '--device-key', 'x', '--code', '5'], '--code: of --answer ok is 0 or 200'],
    [
      ['--product-key', 'p', '--device-key', 'x', '--answer=error', '--code=200'],
      '--code: of --answer error is neither',
    ],
    [
      ['--product-key', 'p', '--device-key', 'x', '--away-after', '1', '--exit-after', '2'],
      '--away-after and --exit-after: give only one',
    ],
    [['--product-key', 'p', '--device-key', 'x', '--mqtt', 'http://x'], '"http://x" is not mqtt://host:port'],
    [['--product-key', 'p', '--device-key', 'x', '--count', '0'], '"0" is not an integer from 1 to 10000'],
  ])('refuses %j', async (more, said) => {
    const { code, stdout, stderr } = await runHere(['device', 'simulate', ...more])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(said)
  })

  it('says which device its fleet file does not have', async () => {
    const { code, stderr } = await runHere(args('d{n}', '--count', '22'))
    expect(code).toBe(2)
    expect(stderr).toContain('--fleet (DOWNLINK_FLEET): the file has no device bXuuAiku/d21 nor 1 more')
    expect((await runHere([...args('d1').slice(0, 4), '--fleet', 'none.json', ...args('d1').slice(6)])).code).toBe(1)
  })
})

describe('a simulated device', () => {
  const quiet: Witness = {
    connected: () => undefined,
    refused: () => undefined,
    disconnected: () => undefined,
    received: () => undefined,
    answered: () => undefined,
    acknowledged: () => undefined,
    ignored: () => undefined,
  }
  const behaviour: Behaviour = { answer: 'ok', code: 200, delayMs: 0, leave: null, outputs: () => ({}) }
  const login = (port: number) => ({
    host: '127.0.0.1',
    port,
    productKey: PRODUCT,
    deviceKey: 'd10',
    deviceSecret: 'secret-of-d10',
  })

  /** A server that does to each connection what it is told; resolves with why the device left it. */
  async function leftBecause(serve: (socket: Socket) => void): Promise<string> {
    const sockets = new Set<Socket>()
    const server = createServer(socket => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      serve(socket)
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const left: { reason: string; againInMs: number | null }[] = []
    const device = await new Promise<SimulatedDevice>(resolve => {
      const disconnected = (_: unknown, reason: string, againInMs: number | null) => {
        left.push({ reason, againInMs })
        resolve(simulated)
      }
      const simulated = new SimulatedDevice(login(port), behaviour, { ...quiet, disconnected })
      simulated.start()
    })
    await device.stop()
    for (const socket of sockets) socket.destroy()
    server.close()
    const [{ reason, againInMs } = { reason: '', againInMs: null }] = left
    expect(againInMs).toBeGreaterThanOrEqual(800)
    expect(againInMs).toBeLessThanOrEqual(1200)
    return reason
  }

  it('leaves a server that does not speak MQTT', async () => {
    const reason = await leftBecause(socket => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    expect(reason).toMatch(/^what the server sent is not MQTT|^the server sent /)
  })

  it('leaves a server that sends more than any command has', async () => {
    const reason = await leftBecause(socket => {
      // CONNACK, then the head of a PUBLISH of 268,435,455 bytes, the most that MQTT can say.
      socket.write(Buffer.from([0x20, 2, 0, 0, 0x30, 0xff, 0xff, 0xff, 0x7f]))
      socket.write(Buffer.alloc(SIMULATED_PACKET_MAX_BYTES + 10))
    })
    expect(reason).toBe('the server sent a packet that is too large')
  })

  it('comes back when the server closes the connection', async () => {
    expect(await leftBecause(socket => socket.end())).toBe('the server closed the connection')
  })

  it('ignores what is no command to it, and acknowledges it', async () => {
    const ignored: string[] = []
    const acknowledged: number[] = []
    const server = createServer(socket => {
      const parser = mqtt.parser({ protocolVersion: 4 })
      socket.on('error', () => undefined)
      socket.on('data', chunk => parser.parse(chunk))
      parser.on('packet', packet => {
        if (packet.cmd === 'puback') acknowledged.push(packet.messageId ?? 0)
        if (packet.cmd !== 'connect') return
        socket.write(mqtt.generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }))
        for (const [index, [topic, payload]] of strange.entries()) {
          const rest = { qos: 1, dup: false, retain: false, messageId: index + 1 } as const
          socket.write(mqtt.generate({ cmd: 'publish', topic, payload, ...rest }))
        }
      })
      socket.on('end', () => over())
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const prefix = `/sys/${PRODUCT}/d10/thing/service/`
    const strange: [string, string][] = [
      [`/sys/${PRODUCT}/d11/thing/service/measurepoint/set`, '{"id":"1","params":{}}'],
      [`${prefix}a/b`, '{"id":"1","params":{}}'],
      [`${prefix}measurepoint/set`, 'not json'],
      [`${prefix}measurepoint/set`, '{"id":1,"params":{}}'],
      [`${prefix}measurepoint/set`, '{"id":"1","params":[1]}'],
      [`${prefix}measurepoint/set`, 'null'],
    ]
    let over = (): void => undefined
    const ended = new Promise<void>(resolve => {
      over = resolve
    })
    const { port } = server.address() as { port: number }
    const device = new SimulatedDevice(login(port), behaviour, {
      ...quiet,
      received: () => expect.fail('none of these is a command'),
      ignored: (_, topic) => {
        ignored.push(topic)
        if (ignored.length === strange.length) void device.stop()
      },
    })
    device.start()
    await device.ended
    await ended
    server.close()
    expect(ignored).toEqual(strange.map(([topic]) => topic))
    expect(acknowledged).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('finds its server again after a restart', async () => {
    const connections: string[] = []
    const before = await startRig([], fleetFile(10))
    const { port } = new URL(before.server.mqttUrl)
    let wake = (): void => undefined
    const witness = {
      ...quiet,
      connected: () => {
        connections.push('connected')
        wake()
      },
      disconnected: () => connections.push('disconnected'),
    }
    const device = new SimulatedDevice(login(Number(port)), behaviour, witness)
    const connected = () => new Promise<void>(resolve => (wake = resolve))
    const first = connected()
    device.start()
    await first
    await before.stop()
    const second = connected()
    const again = await startRigOn(port)
    await second
    await device.stop()
    await again.stop()
    expect(connections[0]).toBe('connected')
    expect(connections.slice(1, -2)).toContain('disconnected')
    expect(connections.at(-2)).toBe('connected')
  })
})

/** A server on that MQTT port, with the fleet of the tests. */
async function startRigOn(port: string): Promise<{ stop(): Promise<void> }> {
  const options = ['--http', '0', '--mqtt', port, '--store', 'memory:', '--fleet', join(rig.folder, 'fleet.json')]
  const running = program.start(['serve', ...options])
  await running.printed(/listening mqtt/)
  return { stop: async () => void (await running.stop()) }
}

describe('plausible values', () => {
  const text: Definition = { dataType: 'STRING', maxLength: 1 }
  const definitions: Definition[] = [
    ...(['BOOL', 'DATE', 'TIMESTAMP', 'FILE'] as const).map(dataType => ({ dataType })),
    ...(['INT', 'FLOAT', 'DOUBLE'] as const).flatMap(dataType => [
      { dataType, min: null, max: null },
      { dataType, min: 10, max: 20 },
      { dataType, min: null, max: -3 },
      { dataType, min: 7.5, max: null },
    ]),
    text,
    { dataType: 'STRING', maxLength: 0 },
    { dataType: 'ENUM', enumType: 'INT', keys: new Set(['3', '4']) },
    { dataType: 'ENUM', enumType: 'STRING', keys: new Set(['on', 'off']) },
    { dataType: 'ENUM', enumType: 'INT', keys: null },
    { dataType: 'ENUM', enumType: null, keys: null },
    { dataType: 'ARRAY', item: null },
    { dataType: 'ARRAY', item: text },
    { dataType: 'STRUCT', items: null },
    { dataType: 'STRUCT', items: new Map([['a', { definition: text, required: true, defaultValue: undefined }]]) },
  ]
  it.each(definitions.map(definition => [JSON.stringify(definition), definition] as const))(
    'fit %s',
    (_, definition) => {
      const value = plausible(definition, 1_560_505_243_577)
      expect(checkValue(definition, value), JSON.stringify(value)).toMatchObject({ ok: true })
    },
  )

  it('say back an input where the output has its name and takes it', () => {
    const outputData = [
      { identifier: 'same', dataType: 'INT' },
      { identifier: 'other', dataType: 'INT' },
      { identifier: 'toString', dataType: 'BOOL' },
    ]
    const parsed = parseModel({ services: { s: { inputData: [], outputData } } })
    if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems))
    const service = parsed.model.services.get('s')
    expect(plausibleOutputs(service, { same: 42, other: 'text', unknown: 1 }, 0)).toEqual({
      same: 42,
      other: 1,
      toString: true,
    })
    expect(plausibleOutputs(undefined, { a: 1 }, 0)).toEqual({})
  })
})
