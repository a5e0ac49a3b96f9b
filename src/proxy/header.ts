// The header of the PROXY protocol, in which a balancer says where a connection comes from: version 1, a line of text, and version 2, binary, as HAProxy's
// proxy-protocol.txt has them. Pure. Not here: taking it off a socket (intake.ts).

import { isIP, SocketAddress } from 'node:net'
import { PROXY_HEADER_MAX_BYTES, PROXY_LINE_MAX_BYTES } from '../core/limits.ts'

/** What is wrong with bytes that are no header: a fixed vocabulary, since it is counted. */
export type HeaderFault = 'missing' | 'malformed' | 'too long'

/**
 * What the first bytes of a connection are. `unfinished`: the beginning of a header, so far. `whole`: a header of `length` bytes; `source` is the address
 * that it names, null where it leaves the connection the address that it has (a check of the balancer's own, or a client without an IP address).
 */
export type Header =
  | { readonly type: 'unfinished' }
  | { readonly type: 'wrong'; readonly fault: HeaderFault; readonly detail: string }
  | { readonly type: 'whole'; readonly length: number; readonly source: string | null }

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const WORD = Buffer.from('PROXY ', 'latin1')

/**
 * Reads the header at the beginning of `bytes`, which may hold more than that, or less. Once it is whole or wrong, further bytes do not change that;
 * it is one of the two after PROXY_HEADER_MAX_BYTES at the latest.
 */
export function readHeader(bytes: Buffer): Header {
  if (agrees(bytes, SIGNATURE)) return readBinary(bytes)
  if (agrees(bytes, WORD)) return readLine(bytes)
  return wrong('missing', 'it begins with something else')
}

/** As far as both go. */
const agrees = (bytes: Buffer, mark: Buffer): boolean =>
  bytes.subarray(0, mark.length).equals(mark.subarray(0, bytes.length))

const UNFINISHED: Header = { type: 'unfinished' }
const wrong = (fault: HeaderFault, detail: string): Header => ({ type: 'wrong', fault, detail })
const malformed = (detail: string): Header => wrong('malformed', detail)

// --- version 1 ---------------------------------------------------------------------------------------------------

const END = '\r\n'
const PORT = /^(0|[1-9][0-9]{0,4})$/

function readLine(bytes: Buffer): Header {
  const end = bytes.subarray(0, PROXY_LINE_MAX_BYTES).indexOf(END)
  if (end < 0 && bytes.length < PROXY_LINE_MAX_BYTES) return UNFINISHED
  if (end < 0) return wrong('too long', `its line has no end in ${PROXY_LINE_MAX_BYTES} bytes`)
  const [, protocol, ...fields] = bytes.toString('latin1', 0, end).split(' ')
  const length = end + END.length
  // What stands behind it is to be passed over.
  if (protocol === 'UNKNOWN') return { type: 'whole', length, source: null }
  if (protocol !== 'TCP4' && protocol !== 'TCP6') return malformed('its protocol is none of TCP4, TCP6 and UNKNOWN')
  if (fields.length !== 4) return malformed('its line is not two addresses and two ports, with one blank before each')
  const [source = '', destination = '', ...ports] = fields
  const family = protocol === 'TCP4' ? 4 : 6
  if (!isAddress(source, family)) return malformed(`its source is no address of ${protocol}`)
  if (!isAddress(destination, family)) return malformed(`its destination is no address of ${protocol}`)
  if (!ports.every(port => PORT.test(port) && Number(port) <= 65_535)) return malformed('its ports are not two numbers')
  return { type: 'whole', length, source: family === 6 ? canonical(source) : source }
}

/** node's check lets the zone of an IPv6 address pass, which is of one machine only. */
const isAddress = (text: string, family: 4 | 6): boolean => isIP(text) === family && !text.includes('%')

/** As the operating system writes it, so that one address has one name, however the balancer spells it. */
const canonical = (address: string): string => new SocketAddress({ address, family: 'ipv6' }).address

// --- version 2 ---------------------------------------------------------------------------------------------------

/** bytes up to the length of the rest, that included */
const FIXED_BYTES = 16
const VERSION = 2
const LOCAL = 0
const PROXY = 1
/** family and protocol in one byte: TCP over IPv4 and over IPv6 */
const TCP4 = 0x11
const TCP6 = 0x21
/** the last of those that there are: UNIX, and datagrams */
const FAMILY_MAX = 3
const TRANSPORT_MAX = 2

/** What follows the addresses, up to the length that the header says it has, is passed over. */
function readBinary(bytes: Buffer): Header {
  if (bytes.length < FIXED_BYTES) return UNFINISHED
  const version = bytes.readUInt8(12) >> 4
  const command = bytes.readUInt8(12) & 0xf
  const kind = bytes.readUInt8(13)
  const rest = bytes.readUInt16BE(14)
  const length = FIXED_BYTES + rest
  if (version !== VERSION) return malformed(`its signature is that of version 2, and then it says ${version}`)
  if (command !== LOCAL && command !== PROXY) return malformed(`its command ${command} is neither LOCAL nor PROXY`)
  if (length > PROXY_HEADER_MAX_BYTES)
    return wrong('too long', `it says that it has ${length} bytes, and may have ${PROXY_HEADER_MAX_BYTES}`)
  // The balancer's own connection: whatever it says of addresses does not count.
  if (command === PROXY && (kind >> 4 > FAMILY_MAX || (kind & 0xf) > TRANSPORT_MAX))
    return malformed(`there is no family and protocol 0x${kind.toString(16).padStart(2, '0')}`)
  const octets = command === LOCAL ? 0 : kind === TCP4 ? 4 : kind === TCP6 ? 16 : 0
  const addresses = octets === 0 ? 0 : 2 * octets + 4
  if (rest < addresses) return malformed(`it is shorter than its addresses: ${rest} bytes instead of ${addresses}`)
  if (bytes.length < length) return UNFINISHED
  const source = octets === 0 ? null : addressOf(bytes.subarray(FIXED_BYTES, FIXED_BYTES + octets))
  return { type: 'whole', length, source }
}

function addressOf(octets: Buffer): string {
  if (octets.length === 4) return octets.join('.')
  return canonical((octets.toString('hex').match(/.{4}/g) ?? []).join(':'))
}
