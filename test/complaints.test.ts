// What users of other systems complain about, each as a test against the whole server: signed HTTP, SQLite, a device on the real mqtt client.
// The threads are named, so that whoever comes from there finds the answer.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type DeviceCalls, fleetFile, type Rig, startRig, TestDevice } from './rig/server.ts'

let rig: Rig
let devices = 0
beforeAll(async () => {
  rig = await startRig([], fleetFile(30))
})
afterAll(() => rig.stop())

interface Subject {
  calls: DeviceCalls
  come: (options?: object) => Promise<TestDevice>
}

function fresh(): Subject {
  devices += 1
  const key = `d${devices}`
  const come = (options = {}) => new TestDevice(rig.server.mqttUrl, key, options).connected()
  return { calls: rig.app.on({ assetId: `a${devices}` }), come }
}

/** A device that takes commands and lets the test answer them. */
async function silentDevice({ come }: Subject): Promise<TestDevice> {
  const device = await come()
  device.answer = () => undefined
  return device
}
const reply = (device: TestDevice, nth: number, over: object = {}) => {
  const { topic, payload } = device.received[nth]!
  return device.client.publishAsync(`${topic}_reply`, JSON.stringify({ id: payload.id, code: 200, ...over }), {
    qos: 1,
  })
}

describe('complaints about other systems', () => {
  it('thingsboard#11642: the queue is stuck for ever after a server restart', async () => {
    const subject = fresh()
    const ids = await subject.calls.queue(3)
    const n = devices
    rig = await rig.restart()
    const calls = rig.app.on({ assetId: `a${n}` })
    const device = await new TestDevice(rig.server.mqttUrl, `d${n}`).connected()
    await calls.until(ids[2]!, 5)
    expect(device.ids()).toEqual(ids)
    await device.end()
  })

  it('thingsboard#8712: a device that answers before its PUBACK stops the ordered queue', async () => {
    const subject = fresh()
    const ids = await subject.calls.queue(3)
    const device = await silentDevice(subject)
    // The client's own acknowledgements are held back, so that every answer overtakes them.
    const inner = device.client as unknown as { _sendPacket(packet: { cmd: string }, done?: () => void): void }
    const send = inner._sendPacket.bind(device.client)
    const held: (() => void)[] = []
    inner._sendPacket = (packet, done) => {
      if (packet.cmd !== 'puback') {
        send(packet, done)
        return
      }
      held.push(() => send(packet))
      done?.()
    }
    device.answer = ({ payload }) => ({ id: payload.id, code: 200 })
    await subject.calls.until(ids[2]!, 5)
    expect(held).toHaveLength(3)
    for (const release of held) release()
    expect(device.ids()).toEqual(ids)
    await device.end()
  })

  it('thingsboard#5071: a deleted command is still sent', async () => {
    const subject = fresh()
    const ids = await subject.calls.queue(3)
    await subject.calls.cancel(ids[1])
    const device = await subject.come()
    await subject.calls.until(ids[2]!, 5)
    expect(device.ids()).toEqual([ids[0], ids[2]])
    expect((await subject.calls.get(ids[1]!)).data.state).toBe(2)
    await device.end()
  })

  it('thingsboard#9026: an acknowledgement is not an answer; the next must wait for the answer', async () => {
    const subject = fresh()
    const device = await silentDevice(subject)
    const ids = await subject.calls.queue(2)
    await device.count(1)
    // Acknowledged, and alive: a round trip on the same connection says that nothing more was on its way.
    await device.client.subscribeAsync(`/sys/bXuuAiku/d${devices}/thing/service/+`, { qos: 1 })
    expect(device.ids()).toEqual([ids[0]])
    await reply(device, 0)
    await device.count(2)
    expect(device.ids()).toEqual(ids)
    await reply(device, 1)
    await subject.calls.until(ids[1]!, 5)
    await device.end()
  })

  it('azure-docs#31378, iot-middleware-freertos-samples#397: queued messages are lost between CONNECT and SUBSCRIBE', async () => {
    const subject = fresh()
    const ids = await subject.calls.queue(2)
    const device = await subject.come()
    await device.client.subscribeAsync(
      [`/sys/bXuuAiku/d${devices}/thing/service/measurepoint/set`, `/sys/bXuuAiku/d${devices}/thing/service/+`],
      { qos: 1 },
    )
    await subject.calls.until(ids[1]!, 5)
    expect(device.ids()).toEqual(ids)
    await device.end()
  })

  it('azure-iot-sdks#994: queued commands come out of order, a new one overtakes old ones', async () => {
    const subject = fresh()
    const ids = await subject.calls.queue(10)
    const device = await subject.come()
    const { data } = await subject.calls.set(11, { pendingTtl: '0', timeout: '30' })
    expect(device.ids()).toEqual([...ids, data.commandId])
    await device.end()
  })

  it('azure-iot-sdk-csharp#157: one message that is never acknowledged blocks the rest', async () => {
    const subject = fresh()
    const device = await silentDevice(subject)
    const [lost] = await subject.calls.queue(1, { pendingTtl: '600', timeout: '1' })
    const [next] = await subject.calls.queue(1)
    await device.count(1)
    // It is alive, or the connection would be suspect: it just does not answer this one.
    device.client.publish(`/sys/bXuuAiku/d${devices}/thing/service/x_reply`, '{"id":"1","code":200}')
    await device.count(2)
    await reply(device, 1)
    expect((await subject.calls.get(lost!)).data.state).toBe(7)
    await subject.calls.until(next!, 5)
    await device.end()
  })

  it('lorawan-stack#1645: one expired entry blocks every new push', async () => {
    const subject = fresh()
    const [old] = await subject.calls.queue(1, { pendingTtl: '1' })
    await subject.calls.until(old!, 3)
    const [next] = await subject.calls.queue(1)
    const device = await subject.come()
    await subject.calls.until(next!, 5)
    expect(device.ids()).toEqual([next])
    await device.end()
  })

  it('thin-edge.io#3721: the same operation is executed twice', async () => {
    const subject = fresh()
    const n = devices
    const device = await silentDevice(subject)
    const [id] = await subject.calls.queue(1, { pendingTtl: '600', timeout: '2' })
    await device.count(1)
    await device.end()
    rig = await rig.restart()
    const calls = rig.app.on({ assetId: `a${n}` })
    const again = await new TestDevice(rig.server.mqttUrl, `d${n}`).connected()
    await calls.until(id!, 7)
    const [next] = await calls.queue(1)
    await calls.until(next!, 5)
    expect(again.ids()).toEqual([next])
    await again.end()
  })

  it('emqx#6528, vernemq#136: an offline message cannot be withdrawn', async () => {
    const subject = fresh()
    const ids = await subject.calls.queue(2)
    const { data } = await subject.calls.cancel()
    expect(data.map((command: { commandId: string }) => command.commandId)).toEqual(ids)
    const device = await subject.come()
    const [marker] = await subject.calls.queue(1)
    await subject.calls.until(marker!, 5)
    expect(device.ids()).toEqual([marker])
    await device.end()
  })

  it('hawkbit#1318, hawkbit#952: a cancel never ends, or is refused and stuck', async () => {
    const subject = fresh()
    const device = await silentDevice(subject)
    const [sent, waiting] = await subject.calls.queue(2)
    await device.count(1)
    expect(await subject.calls.cancel(sent)).toMatchObject({
      code: 0,
      data: [],
      notCancelled: [{ commandId: sent, state: 4 }],
    })
    expect(await subject.calls.cancel(waiting)).toMatchObject({ code: 0, data: [{ commandId: waiting, state: 2 }] })
    await reply(device, 0)
    await subject.calls.until(sent!, 5)
    expect(await subject.calls.cancel(sent)).toMatchObject({ code: 0, data: [], notCancelled: [{ state: 5 }] })
    await device.end()
  })

  it('term-llm#918: a cancel overwrites what has just started, a late success overwrites the cancel', async () => {
    const subject = fresh()
    const device = await silentDevice(subject)
    const [sent, cancelled] = await subject.calls.queue(2)
    await device.count(1)
    await subject.calls.cancel()
    expect(await subject.calls.states([sent!, cancelled!])).toEqual([4, 2])
    const { topic } = device.received[0]!
    await device.client.publishAsync(`${topic}_reply`, JSON.stringify({ id: cancelled, code: 200 }), { qos: 1 })
    await reply(device, 0)
    expect(await subject.calls.states([sent!, cancelled!])).toEqual([5, 2])
    await device.end()
  })

  it('ttn#492: the pending command of a device in a reboot loop cannot be cleared', async () => {
    const subject = fresh()
    await subject.calls.queue(5)
    let looping = true
    const loop = (async () => {
      while (looping) {
        const device = await silentDevice(subject)
        await device.end()
      }
    })()
    const { code } = await subject.calls.cancel()
    expect(code).toBe(0)
    looping = false
    await loop
    const { data } = await subject.calls.search({ expression: 'state = 1' })
    expect(data).toEqual([])
    expect((await subject.calls.search({ expression: 'state = 2' })).pagination.totalSize).toBeGreaterThanOrEqual(4)
  })

  it('lorawan-stack-docs#644, vernemq#453: dropped at the limit without a word', async () => {
    const subject = fresh()
    await subject.calls.queue(50)
    const refused = await subject.calls.set(51)
    expect(refused).toMatchObject({ code: 11902, data: { state: 6 } })
    expect((await subject.calls.get(refused.data.commandId)).data.state).toBe(6)
    expect((await subject.calls.search({ expression: 'state = 1' })).pagination.totalSize).toBe(50)
  })
})
