// The codes that requests of devices are answered with: what the answer says, and what it means. docs/mqtt.md prints this table and a test keeps both equal.
// Not here: the codes of devices' own answers to commands, which are theirs to choose; the codes of the HTTP interface (core/errors.ts).

export interface CodeEntry {
  readonly code: number
  /** how the answer's `message` begins; what is wrong in particular follows */
  readonly message: string
  /** `vendor`: documented by the vendor; `ours`: a choice of this project */
  readonly origin: 'vendor' | 'ours'
  readonly meaning: string
}

const vendor = (code: number, message: string, meaning: string): CodeEntry => ({
  code,
  message,
  origin: 'vendor',
  meaning,
})
const ours = (code: number, message: string, meaning: string): CodeEntry => ({ code, message, origin: 'ours', meaning })

export const codes = {
  ok: vendor(200, '', 'Done.'),
  internal: ours(
    500,
    'internal error',
    'The server could not do it. Nothing is known to have been changed: try again later.',
  ),
  unsupported: ours(501, 'not supported by this server', 'There is no such request.'),
  overloaded: ours(503, 'too busy', 'Too many changes wait to be saved. Nothing was changed: try again after a pause.'),
  noProduct: ours(
    611,
    'productKey does not exist',
    "A device to register is of a product that the gateway's organization does not have.",
  ),
  notRegistrable: ours(
    612,
    'product not allowed',
    'A device to register is of a product of gateways: those are in the fleet file.',
  ),
  deviceKeyExists: vendor(
    702,
    'DeviceKey existed',
    'A device to register has a deviceKey that its product has already, or twice in the request.',
  ),
  deviceNotFound: vendor(705, 'Device not found', 'The sub-device does not exist.'),
  noDeviceKey: vendor(714, 'Generate deviceKey failed', 'No free deviceKey or assetId was found. Try again.'),
  deviceDisabled: vendor(
    723,
    'Device is disabled',
    'The device is disabled; of a batch login: some of the sub-devices are not logged in.',
  ),
  tooManyDevices: vendor(
    739,
    'Exceed the max device size',
    'More than 1,000 devices in one request, or a product that has 100,000 already.',
  ),
  notThisGateway: vendor(
    740,
    'Not a sub-device of this gateway',
    'The sub-device is not in the topology of the gateway.',
  ),
  badSign: vendor(
    742,
    'Sign check failed',
    'The sign of the sub-device does not fit, or its sign method is not known.',
  ),
  needsCertificate: vendor(
    746,
    'The device must login by ssl',
    'The product wants a client certificate, which a sub-device cannot show.',
  ),
  noActivation: vendor(
    770,
    'Dynamic activation not allowed',
    'The sub-device signed with the secret of its product, whose devices may not.',
  ),
  tooLarge: vendor(1008, 'Msg size is too large', 'The answer would be larger than 240 KiB: ask for less.'),
  noPermission: vendor(
    1009,
    'no write permission on this topic',
    'The topic is that of a device that is not logged in on this connection; or only a gateway may ask for this.',
  ),
  notAGateway: vendor(1200, 'Parse error', "The device's product is no gateway."),
  misfit: vendor(
    1204,
    'Model validate failed',
    'A value does not fit the thing model, is not in it, is larger than it may be, or holds an integer beyond 2^53 or a name twice; or the request has more of them than it may, or the device would have. Nothing was changed.',
  ),
  pointsFormat: vendor(
    1206,
    'Measurepoint post data format error',
    'The request is not built as a report of measurepoints is.',
  ),
  attributesFormat: vendor(
    1207,
    'Attribute update data format error',
    'The request is not built as an update of attributes is, or has more than 200.',
  ),
  queryFormat: vendor(
    1208,
    'Attribute query data format error',
    'The request is not built as a query of attributes is, or has more than 200.',
  ),
  deleteFormat: vendor(
    1209,
    'Attribute delete data format error',
    'The request is not built as a deletion of attributes is, or has more than 200.',
  ),
  noSubDevice: vendor(
    1212,
    'No sub-device permission',
    'A batch names a device that is not logged in on this connection, and not one that the gateway may speak for while it is offline.',
  ),
  badFormat: vendor(1220, 'Payload format error', 'The request is not built as one of its kind is.'),
  empty: vendor(1251, 'Payload is empty', 'The request has no params.'),
  topologyNotAdded: vendor(
    1255,
    'add topo failure',
    'At least one of the devices cannot be in the topology of this gateway, or too many of its signs were wrong, so that none was added; or the asking device is no gateway.',
  ),
  topologyNotRemoved: vendor(
    1256,
    'Remove topo failure',
    'None of the devices is in the topology of this gateway; or the asking device is no gateway.',
  ),
  unknownDevice: vendor(1257, 'Device not found', 'A channel named a device that its product does not have.'),
} as const satisfies Record<string, CodeEntry>
