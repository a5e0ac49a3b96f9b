// The codec of product rAwPump1, made to be copied: a pump that speaks a small binary format of its own. docs/codecs.md says what a codec must do.
//
//   offset  bytes
//   0       1      kind of frame, see `kinds`
//   1       1      number of the service or event, see `services` and `events`; else 0
//   2       8      id, unsigned, big-endian: what an answer is matched by
//   10      2      code of an answer; else 0
//   12      n      fields, one after the other: tag (1), length (1), value; see `fields`
//   12 + n  2      CRC-16/MODBUS of all before, big-endian

const kinds = { set: 1, invoke: 2, answer: 3, measurepoints: 4, event: 5 }
const services = new Map([
  [1, 'reboot'],
  [2, 'calibrate'],
])
const events = new Map([[1, 'overheated']])

const HEADER_BYTES = 12
const CRC_BYTES = 2

/** Buffer's own methods throw where a value does not fit, and a call that throws fails with that message: nothing is cut or rounded in silence. */
const int32 = { size: 4, write: (bytes, value) => bytes.writeInt32BE(value), read: bytes => bytes.readInt32BE() }
const double = { size: 8, write: (bytes, value) => bytes.writeDoubleBE(value), read: bytes => bytes.readDoubleBE() }
const flag = {
  size: 1,
  write: (bytes, value) => bytes.writeUInt8(Number(value)),
  read: bytes => bytes.readUInt8() === 1,
}
/** ms since 1970: below 2^53, so that a number holds it. What may be larger must become a string, for JSON would round it. */
const time = {
  size: 8,
  write: (bytes, value) => bytes.writeBigInt64BE(BigInt(value)),
  read: bytes => Number(bytes.readBigInt64BE()),
}

/** Tag, identifier in the thing model, type; null: text, as long as it is. One table for points, inputs and outputs keeps the format small. */
const fields = [
  [1, 'Int_value', int32],
  [2, 'setpoint', double],
  [3, 'mode', int32],
  [4, 'label', null],
  [5, 'temperature', double],
  [16, 'delay', int32],
  [17, 'reference', double],
  [18, 'passes', int32],
  [32, 'ok', flag],
  [33, 'offset', double],
  [34, 'finishedAt', time],
].map(([tag, name, type]) => ({ tag, name, type }))

/** A message of the server's as bytes: a command, which has a method, or an answer to what the pump sent, which has a code. */
export function encode({ id, method, params, code }) {
  if (method === undefined) return frame(kinds.answer, 0, id, code, {})
  if (method === 'thing.service.measurepoint.set') return frame(kinds.set, 0, id, 0, params)
  const service = method.slice('thing.service.'.length)
  for (const [number, name] of services) if (name === service) return frame(kinds.invoke, number, id, 0, params)
  throw new Error(`the pump has no service ${service}`)
}

/** Bytes of the pump's as a message: the answer to a command, or what it sends by itself. */
export function decode(bytes) {
  if (bytes.length < HEADER_BYTES + CRC_BYTES)
    throw new Error(`a frame has at least 14 bytes, this one ${bytes.length}`)
  const end = bytes.length - CRC_BYTES
  if (crcOf(bytes.subarray(0, end)) !== bytes.readUInt16BE(end)) throw new Error('the checksum does not fit')
  const [kind, number] = bytes
  // Ids of commands have 19 digits, more than a number holds.
  const id = String(bytes.readBigUInt64BE(2))
  const values = unpack(bytes.subarray(HEADER_BYTES, end))
  if (kind === kinds.answer) return { id, code: bytes.readUInt16BE(10), data: values }
  const version = '1.0'
  if (kind === kinds.measurepoints)
    return { id, version, method: 'thing.measurepoint.post', params: { measurepoints: values } }
  const event = events.get(number)
  if (kind === kinds.event && event !== undefined)
    return { id, version, method: `thing.event.${event}.post`, params: { events: values } }
  throw new Error(`there is no frame of kind ${kind} and number ${number}`)
}

function frame(kind, number, id, code, values) {
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt8(kind, 0)
  header.writeUInt8(number, 1)
  header.writeBigUInt64BE(BigInt(id), 2)
  header.writeUInt16BE(code, 10)
  const body = Buffer.concat([header, ...Object.entries(values).map(([name, value]) => pack(name, value))])
  const crc = Buffer.alloc(CRC_BYTES)
  crc.writeUInt16BE(crcOf(body))
  return Buffer.concat([body, crc])
}

function pack(name, value) {
  const field = fields.find(field => field.name === name)
  if (field === undefined) throw new Error(`the pump knows no ${name}`)
  const bytes = field.type === null ? Buffer.from(String(value)) : Buffer.alloc(field.type.size)
  field.type?.write(bytes, value)
  const head = Buffer.alloc(2)
  head.writeUInt8(field.tag, 0)
  head.writeUInt8(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** Lengths come from outside: each is held against what is really there before anything is read by it. */
function unpack(bytes) {
  const values = {}
  for (let at = 0; at < bytes.length; ) {
    const [tag, length] = bytes.subarray(at, at + 2)
    const field = fields.find(field => field.tag === tag)
    if (field === undefined) throw new Error(`there is no field with tag ${tag}`)
    const value = bytes.subarray(at + 2, at + 2 + length)
    if (value.length !== length || (field.type !== null && field.type.size !== length))
      throw new Error(`the field ${field.name} has a wrong length`)
    values[field.name] = field.type === null ? value.toString() : field.type.read(value)
    at += 2 + length
  }
  return values
}

function crcOf(bytes) {
  let crc = 0xffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1
  }
  return crc
}
