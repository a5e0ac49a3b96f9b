// What devices ask for and report: who may ask for what, who answers it, and the answer's payload. Not here: where requests come from (mqtt/, http/), what
// each of them does (measurepoints.ts, events.ts, …), the logins of sub-devices (mqtt/members.ts).

import { REQUEST_ANSWER_MAX_BYTES, TOLD_MODEL_MAX_CHARS } from '../core/limits.ts'
import type { Answer, Asker, Request } from './asker.ts'
import {
  deleteAttributes,
  deleteTags,
  queryAttributes,
  queryTags,
  updateAttributes,
  updateAttributesByChannel,
  updateTags,
} from './attributes.ts'
import { type Call, type Desk, type DeviceCall, done, type Outcome, refused } from './call.ts'
import { type CodeEntry, codes } from './codes.ts'
import { eventIdOf, reportEvent, reportEventsByChannel } from './events.ts'
import { logFailed } from './failed.ts'
import { reportBatch, reportPoints, reportPointsByChannel } from './measurepoints.ts'
import { answerText, type RequestPayload, readRequest } from './payload.ts'
import { registerDevices } from './registration.ts'
import { templateOf } from './template.ts'
import { CHANNEL_KEY, type DeviceKeys, isSame } from './topics.ts'
import { addToTopology, getTopology, removeFromTopology } from './topology.ts'

type ByDevice = (call: DeviceCall) => Promise<Outcome>
type ByChannel = (call: Call) => Promise<Outcome>
/** Some requests say nothing in their params, or nothing that matters here. */
type Params = 'needed' | 'ignored'

/** Who may make a request, and how it is answered. */
type Entry =
  | { readonly by: 'device'; readonly params: Params; readonly answer: ByDevice }
  /** for the session's own device only, whose product must be a gateway; `otherwise`: what it is told where it is none */
  | { readonly by: 'gateway'; readonly params: Params; readonly answer: ByDevice; readonly otherwise: CodeEntry }
  | { readonly by: 'channel'; readonly params: Params; readonly answer: ByChannel }

const device = (answer: ByDevice, params: Params = 'needed'): Entry => ({ by: 'device', params, answer })
const gateway = (answer: ByDevice, otherwise: CodeEntry, params: Params = 'needed'): Entry => {
  return { by: 'gateway', params, answer, otherwise }
}
const channel = (answer: ByChannel): Entry => ({ by: 'channel', params: 'needed', answer })

/** Taken note of by being answered: nothing is kept of it. */
const acknowledge = async (): Promise<Outcome> => done()
const EVENT = 'thing/event/{id}/post'

/** By what comes after the keys in the topic. */
const requests: ReadonlyMap<string, Entry> = new Map(
  Object.entries({
    'thing/measurepoint/post': device(reportPoints),
    'thing/measurepoint/resume': device(reportPoints),
    'thing/measurepoint/post/batch': device(reportBatch),
    'thing/measurepoint/resume/batch': device(reportBatch),
    [EVENT]: device(reportEvent),
    'thing/attribute/query': device(queryAttributes),
    'thing/attribute/update': device(updateAttributes),
    'thing/attribute/delete': device(deleteAttributes),
    'thing/tag/query': device(queryTags),
    'thing/tag/update': device(updateTags),
    'thing/tag/delete': device(deleteTags),
    'thing/tsltemplate/get': device(tellModel, 'ignored'),
    'thing/device/register': gateway(registerDevices, codes.noPermission),
    'thing/topo/add': gateway(addToTopology, codes.topologyNotAdded),
    'thing/topo/delete': gateway(removeFromTopology, codes.topologyNotRemoved),
    'thing/topo/get': gateway(getTopology, codes.notAGateway, 'ignored'),
    'thing/log/post': device(acknowledge, 'ignored'),
    'network/status/report': device(acknowledge, 'ignored'),
    'connection/state/post': device(acknowledge, 'ignored'),
    'ota/device/inform': device(acknowledge, 'ignored'),
    'ota/device/progress': device(acknowledge, 'ignored'),
    'ota/device/request': device(acknowledge, 'ignored'),
    // A list of firmware: there is never a newer one here.
    'ota/device/getversion': device(async () => done('[]'), 'ignored'),
    'measurepoint/post': channel(reportPointsByChannel),
    'event/post': channel(reportEventsByChannel),
    'attribute/post': channel(updateAttributesByChannel),
    'attributes/post': channel(updateAttributesByChannel),
  } satisfies Record<string, Entry>),
)

async function tellModel({ fleet, device }: DeviceCall): Promise<Outcome> {
  const json = await fleet.modelJson(device.productKey)
  return json !== null && json.length > TOLD_MODEL_MAX_CHARS ? tooLarge : done(templateOf(json))
}

const tooLarge = refused(codes.tooLarge, 'ask for less')

export class Requests {
  readonly #desk: Desk

  constructor(desk: Desk) {
    this.#desk = desk
  }

  /**
   * Does what is asked for, and answers when that is durable. Null where there is nobody to answer, because the payload cannot be read as far as its id.
   * Never rejects: what fails in here is logged and answered with 500, since some SDKs wait without end.
   */
  async answer(request: Request, asker: Asker): Promise<Answer | null> {
    const { turns } = this.#desk
    while (turns?.isOver()) await turns.ended
    const read = readRequest(request.payload)
    if (read === null) return null
    let outcome: Outcome
    try {
      outcome = await this.#answer(request, read, asker)
    } catch (error) {
      logFailed(this.#desk.log, error, { ...request.keys, path: request.path }, 'a request of a device failed')
      outcome = refused(codes.internal, 'try again later')
    }
    const json = payloadOf(read, outcome)
    if (Buffer.byteLength(json) <= REQUEST_ANSWER_MAX_BYTES) return { code: outcome.of.code, json }
    return { code: codes.tooLarge.code, json: payloadOf(read, tooLarge) }
  }

  async #answer({ keys, path }: Request, read: RequestPayload, asker: Asker): Promise<Outcome> {
    const entry = requests.get(eventIdOf(path) === null ? path : EVENT)
    const call = { ...this.#desk, ...read, path, asker }
    if (asker.device === null) {
      if (!isSame(keys, channelKeys(asker))) return refused(codes.noPermission)
      return entry?.by === 'channel' ? (paramsFault(entry, read) ?? entry.answer(call)) : refused(codes.unsupported)
    }
    const speaker = asker.speaker(keys)
    if (speaker === null) return refused(codes.noPermission)
    if (entry === undefined || entry.by === 'channel') return refused(codes.unsupported)
    if (entry.by === 'gateway') {
      if (speaker.id !== asker.device.id) return refused(codes.noPermission, 'only the gateway itself may ask for this')
      const product = await this.#desk.fleet.product(speaker.productKey)
      if (product?.productType !== 'Gateway') return refused(entry.otherwise, "the device's product is no gateway")
    }
    return paramsFault(entry, read) ?? entry.answer({ ...call, device: speaker })
  }
}

const channelKeys = ({ productKey }: Asker): DeviceKeys => ({ productKey, deviceKey: CHANNEL_KEY })

/** What is wrong with the params whatever they say: JSON that would not be kept as it is, or nothing at all. */
function paramsFault({ params: need }: Entry, { params, fault }: RequestPayload): Outcome | null {
  if (need === 'ignored') return null
  if (fault !== null) return refused(codes.misfit, `params ${fault}`)
  return params === undefined ? refused(codes.empty, 'params are missing') : null
}

function payloadOf({ idJson }: RequestPayload, { of, detail, dataJson }: Outcome): string {
  const message = [of.message, detail].filter(text => text !== '').join(': ')
  return answerText(idJson, of.code, dataJson, message)
}
