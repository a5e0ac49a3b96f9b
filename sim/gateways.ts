// What a gateway does for the devices behind it: it logs them in one by one or together, rightly or with a wrong proof, logs them out, subscribes for them
// early, late or never, gives them away, takes them in. What they do with commands is units.ts.

import type { Client } from './client.ts'
import { type Proof, proofOf } from './fleet.ts'
import type { Home, Surroundings, Unit } from './units.ts'

/** codes of answers, see src/uplink/codes.ts */
const OK = 200
const NOT_THIS_GATEWAY = 740
const LATE_MAX_MS = 8_000
const WELCOME_MAX_MS = 2_000
const OUT_AS_IT_WAITS = 0.15
/** what all devices of a batch sign, as the vendor's SDKs do */
const BATCH = { clientId: 'login.batch', timestamp: '1795383687.0505488' }

interface Keys {
  readonly productKey: string
  readonly deviceKey: string
}

export class Gateway {
  readonly #around: Surroundings
  readonly #home: Home
  /** devices that it believes to be logged in, on which connection */
  readonly #here = new Map<Unit, Client>()

  constructor(around: Surroundings, home: Home) {
    this.#around = around
    this.#home = home
    around.site.onMoment.push((moment, deviceId) => {
      if (moment === 'held') this.#holds(deviceId)
    })
  }

  /** A command for one behind it waits for room, or its codec: it may be logged out meanwhile. */
  #holds(deviceId: number): void {
    const { world, units } = this.#around
    const [unit, client] = [units.get(deviceId), this.#home.current]
    if (unit === undefined || client === null || world.calm || !this.#units.includes(unit)) return
    if (world.random.chance(OUT_AS_IT_WAITS)) this.#logout(client, unit)
  }

  /** Those that are wired to it. */
  get #units(): Unit[] {
    return [...this.#around.units.values()].filter(unit => unit.home === this.#home && unit.kin !== this.#home.kin)
  }

  get #session(): string {
    const { productKey, deviceKey } = this.#home.kin.keys
    return `/ext/session/${productKey}/${deviceKey}/combine/`
  }

  get #topology(): string {
    const { productKey, deviceKey } = this.#home.kin.keys
    return `/sys/${productKey}/${deviceKey}/thing/topo/`
  }

  connected(client: Client): void {
    const { world } = this.#around
    const units = this.#units
    const { logsIn, listensFor } = client.manner
    world.count(`gateway logs in ${logsIn}`)
    if (listensFor === 'before login') for (const unit of units) client.subscribe(unit.filters(false))
    if (logsIn === 'batch') this.#loginBatch(client, units, 'own')
    if (logsIn === 'each') for (const unit of units) this.#login(client, unit, 'own')
    if (logsIn === 'some') for (const unit of units) if (world.random.chance(0.5)) this.#login(client, unit, 'product')
  }

  /** A device has been wired to it, and is logged in a moment later. */
  welcome(unit: Unit): void {
    const { world } = this.#around
    unit.home = this.#home
    world.after(world.random.int(10, WELCOME_MAX_MS), 'actor', () => {
      const client = this.#home.current
      if (client !== null && unit.home === this.#home) this.#login(client, unit, 'own')
    })
  }

  /** One of the things that it does by itself. */
  act(client: Client): void {
    const { world, units } = this.#around
    const { random } = world
    const [own, all] = [this.#units, [...units.values()]]
    const unit = random.pick(own.length > 0 ? own : all)
    const does = random.weighted({
      login: 10,
      'login batch': 4,
      'login twice at once': 2,
      'login with a wrong proof': 3,
      'login of anybody': 3,
      logout: 6,
      'logout of anybody': 1,
      report: 3,
      'report for anybody': 2,
      stray: 2,
      unsubscribe: 1,
      'give away': 2,
      'take in anybody': 1,
    })
    world.count(`gateway ${does}`)
    const acts: Record<typeof does, () => void> = {
      login: () => this.#login(client, unit, random.pick(['own', 'product'])),
      'login batch': () => this.#loginBatch(client, own, 'own'),
      'login twice at once': () => this.#loginBatch(client, [unit, unit], 'own'),
      'login with a wrong proof': () => this.#login(client, unit, 'wrong'),
      'login of anybody': () => this.#login(client, random.pick(all), 'own'),
      logout: () => this.#logout(client, unit),
      'logout of anybody': () => this.#logout(client, random.pick(all)),
      report: () => unit.report(client),
      'report for anybody': () => random.pick(all).report(client),
      stray: () => unit.stray(client),
      unsubscribe: () => this.#unsubscribe(client, unit),
      'give away': () => this.#giveAway(client, unit),
      'take in anybody': () => this.#takeIn(client, random.pick(all)),
    }
    acts[does]()
  }

  /** Without faults: everybody who is wired to it is logged in, and stays so. */
  behave(client: Client): void {
    const { site, units, ledger } = this.#around
    for (const unit of units.values()) if (site.topology.get(unit.kin.id) === this.#home.kin.id) unit.home = this.#home
    const isBarred = ({ kin }: Unit): boolean => ledger.log(kin.id).disabled || ledger.log(kin.id).deleted
    if (client.asked.size > 0) return
    for (const unit of this.#units)
      if (this.#here.get(unit) !== client && !isBarred(unit)) this.#login(client, unit, 'own')
  }

  // --- logins ------------------------------------------------------------------------------------------------------------

  #login(client: Client, unit: Unit, proof: Proof): void {
    client.ask(`${this.#session}login`, proofOf(unit.kin.keys, proof, null), code => {
      this.#around.world.count(`login of a sub-device is answered ${code}`)
      if (code === NOT_THIS_GATEWAY && unit.home === this.#home) this.#takeIn(client, unit)
      if (code !== OK) return
      if (proof === 'wrong')
        this.#around.ledger.broken(34, unit.kin.id, 'is logged in with a proof that is not its own')
      this.#isHere(client, unit)
    })
  }

  #loginBatch(client: Client, units: readonly Unit[], proof: Proof): void {
    const subDevices = units.map(({ kin }) => proofOf(kin.keys, proof, BATCH))
    client.ask(`${this.#session}login/batch`, { ...BATCH, signMethod: 'sha256', subDevices }, (code, data) => {
      this.#around.world.count(`batch login is answered ${code}`)
      const { loginedSubDevices = [] } = data as { loginedSubDevices?: readonly Keys[] }
      for (const keys of loginedSubDevices) {
        const unit = units.find(({ kin }) => kin.keys.deviceKey === keys.deviceKey)
        if (unit !== undefined) this.#isHere(client, unit)
      }
    })
  }

  #isHere(client: Client, unit: Unit): void {
    const { world } = this.#around
    this.#here.set(unit, client)
    unit.connected()
    const { listensFor } = client.manner
    if (listensFor === 'never' || listensFor === 'before login') return
    const listen = (): void => client.subscribe(unit.filters(listensFor === 'set only'))
    if (listensFor === 'late') world.after(world.random.int(200, LATE_MAX_MS), 'actor', listen)
    else listen()
  }

  #logout(client: Client, unit: Unit): void {
    this.#here.delete(unit)
    client.ask(`${this.#session}logout`, unit.kin.keys, code => {
      this.#around.world.count(`logout is answered ${code}`)
    })
  }

  #unsubscribe(client: Client, unit: Unit): void {
    client.send({ cmd: 'unsubscribe', messageId: client.nextId(), unsubscriptions: unit.filters(false) })
  }

  // --- topology ----------------------------------------------------------------------------------------------------------

  /** It leaves this gateway, and is wired to another one, which will find out when it logs it in. */
  #giveAway(client: Client, unit: Unit): void {
    const { world, units } = this.#around
    const others = [...units.values()].filter(({ kin }) => kin.isGateway && kin !== this.#home.kin)
    const other = others.length > 0 && world.random.chance(0.7) ? world.random.pick(others) : null
    client.ask(`${this.#topology}delete`, [unit.kin.keys], code => world.count(`topo/delete is answered ${code}`))
    if (other !== null && this.#units.includes(unit)) other.home.gateway?.welcome(unit)
  }

  #takeIn(client: Client, unit: Unit): void {
    const { world } = this.#around
    client.ask(`${this.#topology}add`, [proofOf(unit.kin.keys, 'own', null)], code =>
      world.count(`topo/add is answered ${code}`),
    )
  }
}
