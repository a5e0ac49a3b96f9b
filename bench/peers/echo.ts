// A baseline as a process of its own: what an application publishes goes to its device, and the device's answer back to the application, through mqtt-packet
// and bare sockets. No sessions, no filters, no retained messages: less than this no server between the two can do.
// It knows the topics of the bench and nothing else; what it does not know ends it.

import { createServer, type Socket } from 'node:net'
import mqtt, { type IPublishPacket } from 'mqtt-packet'
import { APPLICATION, deviceOfReply, deviceOfSet } from '../rig/contender.ts'
import { deviceKeyOf } from '../rig/server.ts'

const sockets = new Map<string, Socket>()
let packetId = 0

/** Acknowledges it to who has sent it, and sends it on. */
function pass({ topic, payload, messageId }: IPublishPacket, from: Socket): void {
  const device = deviceOfSet(topic)
  const to = sockets.get(device === null ? APPLICATION : deviceKeyOf(device))
  if (to === undefined || (device === null && deviceOfReply(topic) === null))
    throw new Error(`nobody is there for ${topic}`)
  packetId = (packetId % 65_535) + 1
  from.write(mqtt.generate({ cmd: 'puback', messageId: messageId ?? 0 }))
  to.write(mqtt.generate({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false, messageId: packetId }))
}

const server = createServer({ noDelay: true }, socket => {
  const parser = mqtt.parser({ protocolVersion: 4 })
  parser.on('packet', packet => {
    switch (packet.cmd) {
      case 'connect':
        sockets.set(packet.clientId, socket)
        socket.write(mqtt.generate({ cmd: 'connack', returnCode: 0, sessionPresent: false }))
        break
      case 'subscribe': {
        const granted = packet.subscriptions.map(() => 1)
        socket.write(mqtt.generate({ cmd: 'suback', messageId: packet.messageId ?? 0, granted }))
        break
      }
      case 'publish':
        pass(packet, socket)
        break
      case 'puback':
        break
      case 'disconnect':
        socket.end()
        break
      default:
        throw new Error(`it was sent ${packet.cmd}`)
    }
  })
  parser.on('error', error => {
    throw error
  })
  // Whoever started it looks whether it listens, and may cut the connection.
  socket.on('error', () => socket.destroy())
  socket.on('data', chunk => parser.parse(chunk))
})
server.listen(0, '127.0.0.1', () => {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it listens on no port')
  console.log(`listening mqtt mqtt://127.0.0.1:${address.port}`)
})
process.on('SIGTERM', () => process.exit(0))
