// What a device does with commands, whatever connection they come over, its own or its gateway's: it answers rightly, wrongly, twice, late, not at all,
// or in the name of somebody else.

import type { IPublishPacket } from 'mqtt-packet'
import { replyTopic } from '../src/uplink/topics.ts'
import { type Checks, READING } from './checks.ts'
import type { Client } from './client.ts'
import { fromRaw, toRaw } from './codecs.ts'
import type { Kin } from './fleet.ts'
import type { Ledger } from './ledger.ts'
import type { Site } from './site.ts'
import type { World } from './world.ts'

/** What every device has around it. */
export interface Surroundings {
  readonly world: World
  readonly site: Site
  readonly ledger: Ledger
  readonly checks: Checks
  /** by number */
  readonly units: Map<number, Unit>
}

/** Where a device is: its own connections, or those of the gateway that it is wired to. */
export interface Home {
  readonly kin: Kin
  /** the newest connection that is up */
  readonly current: Client | null
  readonly gateway: { welcome(unit: Unit): void } | null
}

type Answer =
  | 'success'
  | 'error'
  | 'not integer'
  | 'never'
  | 'twice'
  | 'wrong id'
  | 'foreign id'
  | 'foreign device'
  | 'garbage'
  | 'late'
  | 'at the deadline'

export const QUICK_MAX_MS = 300
const FLOOD = 80

export class Unit {
  readonly #around: Surroundings
  readonly kin: Kin
  home: Home
  /** answers that wait for a connection */
  #backlog: (() => void)[] = []
  #reading = 0

  constructor(around: Surroundings, kin: Kin, home: Home) {
    this.#around = around
    this.kin = kin
    this.home = home
    around.units.set(kin.id, this)
  }

  /** Below it are the topics of its commands. */
  get #things(): string {
    const { productKey, deviceKey } = this.kin.keys
    return `/sys/${productKey}/${deviceKey}/thing/`
  }

  #later(ms: number, run: () => void): void {
    this.#around.world.after(ms, 'actor', run)
  }

  /** What it listens to, or its gateway for it. */
  filters(setOnly: boolean): string[] {
    const services = `${this.#things}service/`
    return [`${services}measurepoint/set`, ...(setOnly ? [] : [`${services}+`])]
  }

  /** There is a connection again. */
  connected(): void {
    for (const answer of this.#backlog.splice(0)) this.#later(this.#around.world.random.int(1, QUICK_MAX_MS), answer)
  }

  // --- commands ----------------------------------------------------------------------------------------------------------

  got(client: Client, packet: IPublishPacket, payload: Buffer): void {
    const { world, checks } = this.#around
    const text = this.kin.raw ? fromRaw(payload) : payload.toString()
    const said: { id: string; params: Record<string, unknown>; method: string } = JSON.parse(text)
    const isSet = said.method === 'thing.service.measurepoint.set'
    world.note(this.kin.id, `device gets ${said.id}`)
    world.count(this.home.kin === this.kin ? 'device gets a command' : 'sub-device gets a command')
    checks.received(this.kin.id, said.id, JSON.stringify(isSet ? said.params.point : said.params))
    const isCalm = world.calm || client.manner.answers === 'always'
    // Where the window is small, the others wait for it.
    const slow = client.manner.receiveMaximum < 4 ? 5 : 2
    const puback = isCalm ? 'before' : world.random.weighted({ before: 7, after: slow, never: 0.7 })
    const acknowledge = (): void => client.send({ cmd: 'puback', messageId: packet.messageId ?? 0 })
    if (puback === 'before') acknowledge()
    const delay = this.#answer(packet.topic, said.id, isCalm ? 'success' : this.#drawAnswer())
    if (puback === 'after') this.#later(delay + world.random.int(0, 50), acknowledge)
  }

  #drawAnswer(): Answer {
    return this.#around.world.random.weighted({
      success: 50,
      error: 10,
      'not integer': 4,
      never: 10,
      twice: 6,
      'wrong id': 3,
      'foreign id': 3,
      'foreign device': 3,
      garbage: 2,
      late: 6,
      'at the deadline': 6,
    })
  }

  /** Returns in how many ms it answers. */
  #answer(topic: string, id: string, answer: Answer): number {
    const { world, ledger } = this.#around
    const { random } = world
    world.count(`device answers ${answer}`)
    const quick = random.int(1, QUICK_MAX_MS)
    const timeoutMs = (ledger.log(this.kin.id).commands.get(id)?.timeoutS ?? 1) * 1_000
    const say = (ms: number, of: string, code: unknown): void => this.#later(ms, () => this.#reply(topic, of, code))
    switch (answer) {
      case 'success':
        say(quick, id, random.pick([200, 0, '200']))
        return quick
      case 'error':
        say(quick, id, random.pick([405, -1, 500]))
        return quick
      case 'not integer':
        say(quick, id, random.pick(['broken', 1.5, null]))
        return quick
      case 'twice':
        say(quick, id, random.pick([200, 405]))
        say(quick + random.int(0, 500), id, random.pick([200, 405]))
        return quick
      case 'wrong id':
        say(quick, random.pick(['1', '9223372036854775807', `${id.slice(0, -1)}0`]), 200)
        return quick
      case 'foreign id':
        say(quick, this.#otherId(id), 200)
        return quick
      case 'foreign device':
        this.#later(quick, () => this.#replyForAnother(id))
        return quick
      case 'garbage':
        this.#later(quick, () => this.#send(topic, '{"id":'))
        return quick
      case 'late':
        say(timeoutMs + random.int(1, 5_000), id, 200)
        return timeoutMs
      case 'at the deadline':
        say(Math.max(1, timeoutMs - random.int(-60, 60)), id, 200)
        return timeoutMs
      case 'never':
        return quick
    }
  }

  /** The id of a command of some other device, or an old one of its own. */
  #otherId(id: string): string {
    const others = this.#around.ledger.logs
      .flatMap(({ commands }) => [...commands.keys()])
      .filter(other => other !== id)
    return others.length === 0 ? '1' : this.#around.world.random.pick(others)
  }

  /** On a topic of a device that may be anywhere: what is sent to it, or was sent to this one. */
  #replyForAnother(id: string): void {
    const { world, units, ledger } = this.#around
    const other = world.random.pick([...units.values()])
    const [sent] = ledger.inState(other.kin.id, 4)
    const of = sent !== undefined && world.random.chance(0.7) ? sent.id : id
    this.#reply(other.topic, of, 200)
  }

  /** One of those that its commands come on. */
  get topic(): string {
    return this.kin.raw ? `${this.#things}model/down_raw` : `${this.#things}service/reboot`
  }

  #reply(topic: string, id: string, code: unknown): void {
    this.#send(topic, `{"id":"${id}","code":${JSON.stringify(code)},"data":{"of":"${id}"},"message":"m"}`)
  }

  /** Over whatever connection it has by now; without one it keeps the answer for the next, or forgets it. */
  #send(topic: string, json: string): void {
    const { random } = this.#around.world
    const client = this.home.current
    if (client === null) {
      if (random.chance(0.5)) this.#backlog.push(() => this.#send(topic, json))
      return
    }
    client.publish(replyTopic(topic), topic.endsWith('down_raw') ? toRaw(json) : json, random.chance(0.8) ? 1 : 0)
  }

  // --- what it says unasked ------------------------------------------------------------------------------------------------

  /** More answers at once than may wait for their commit, perhaps behind a request: the process must stop reading, and go on. */
  flood(client: Client): void {
    if (this.#around.world.random.chance(0.7)) this.report(client)
    const topic = replyTopic(`${this.#things}service/reboot`)
    for (let i = 0; i < FLOOD; i += 1) {
      const id = this.#otherId('')
      client.publish(topic, `{"id":"${id}","code":200,"data":{"of":"${id}"}}`, 1)
    }
  }

  stray(client: Client): void {
    const { random } = this.#around.world
    const own = this.#things
    const topic = random.pick([
      `${own}service/reboot_reply`,
      `${own}event/post`,
      '/sys/other/device/thing/event/post',
      `${own}model/down_raw_reply`,
    ])
    client.publish(topic, `{"id":"${random.pick([this.#otherId(''), '7'])}","code":200}`, 0)
  }

  /** Says how it is. What it is told to be saved must be on record. */
  report(client: Client): void {
    const { checks, world, site } = this.#around
    this.#reading += 1
    const reading = this.#reading
    const [asked, knewTheTime] = [world.now, site.knowsTheTime]
    const params = { measurepoints: { [READING]: reading } }
    client.ask(`${this.#things}measurepoint/post`, params, code => {
      world.count(`report answered ${code}`)
      // A node that does not know how long it slept dates it wrongly, and an older date does not take the place of a newer one.
      if (code === 200 && knewTheTime && site.knowsTheTime) checks.saved(this.kin.id, reading, asked)
    })
  }
}
