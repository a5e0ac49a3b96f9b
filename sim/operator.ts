// Whoever runs the fleet: edits devices under the engine, moves them from one gateway to another, disables, enables and deletes them. What is told of that
// is checked as what callers are told is.

import type { Refusal } from '../src/core/errors.ts'
import { Fleet } from '../src/fleet/fleet.ts'
import type { Notice } from '../src/uplink/topics.ts'
import { editOf, type Kin, secrets } from './fleet.ts'
import type { Incarnation, Moment } from './incarnation.ts'
import type { Surroundings } from './units.ts'

/** sooner or later between a load and its commit */
const EDIT_MEANWHILE = 0.04
/** as something comes from a device, or goes to it */
const AT_THE_MOMENT = 0.02
const AT_LOGIN = 0.06
/** of these: rather deleted than disabled, in a world in which devices are deleted */
const DELETED = 0.5

export class Operator {
  readonly #around: Surroundings
  /** devices that something is being done to, and by whom */
  readonly #busy = new Map<number, Incarnation>()

  constructor(around: Surroundings) {
    this.#around = around
    around.site.onDeath.push(process => {
      for (const [deviceId, by] of this.#busy) if (by === process) this.#busy.delete(deviceId)
    })
    const { strikes } = around.world.faults
    if (strikes.disable > 0) around.site.onMoment.push((moment, deviceId) => this.#atTheMoment(moment, deviceId))
    if (strikes['fleet edit'] > 0) around.site.onLoad.push(loaded => this.#editMeanwhile(loaded))
  }

  get #fleet(): Fleet {
    return new Fleet(this.#around.site.store, secrets)
  }

  #failed(deviceId: number, what: string): (error: unknown) => void {
    return error => this.#around.ledger.broken(20, deviceId, `${what}: ${String(error)}`)
  }

  #atTheMoment(moment: Moment, deviceId: number): void {
    const { world, site } = this.#around
    const { random, faults } = world
    if (world.calm || moment === 'stop' || !random.chance(moment === 'login' ? AT_LOGIN : AT_THE_MOMENT)) return
    const kin = site.kin(deviceId)
    if (kin === null) return
    world.count('operator acts at the moment')
    const act = (): void => {
      if (faults.strikes.delete > 0 && random.chance(DELETED)) this.delete(kin)
      else this.toggle(kin)
    }
    // Before what is about to be decided, or behind it.
    if (random.chance(0.5)) act()
    else world.after(0, 'actor', act)
  }

  // --- behind the engine's back --------------------------------------------------------------------------------------

  #editMeanwhile(loaded: readonly number[]): void {
    const { world, site } = this.#around
    if (world.calm || !world.random.chance(EDIT_MEANWHILE)) return
    const kin = site.kin(loaded[0] ?? 0)
    if (kin !== null) world.after(world.random.int(0, 10), 'actor', () => this.edit(kin))
  }

  /** The version of the device is raised under the engine. */
  edit(kin: Kin): void {
    const { site, world, ledger } = this.#around
    if (site.processes.length === 0 || ledger.log(kin.id).deleted) return
    world.note(kin.id, 'is edited')
    void this.#edit(kin).catch(this.#failed(kin.id, 'the fleet cannot be edited'))
  }

  async #edit(kin: Kin): Promise<void> {
    const { site, world } = this.#around
    const said = await site.store.deviceByAsset(kin.assetId)
    if (said === null) return
    const { gatewayAssetId: gateway, disabled } = said
    await this.#fleet.apply(editOf(kin, { gateway, disabled, name: `edited ${world.steps}` }), world.now)
  }

  /** The device is rewired: it is behind another gateway, and neither of the two is told. */
  move(kin: Kin): void {
    const { site, world, units, ledger } = this.#around
    const { random } = world
    const from = site.topology.get(kin.id)
    const to = [...units.values()].filter(
      ({ kin: { id, isGateway } }) => isGateway && id !== from && !ledger.log(id).deleted,
    )
    if (from === undefined || to.length === 0 || site.processes.length === 0) return
    const other = random.pick(to)
    const unit = units.get(kin.id)
    if (unit !== undefined) other.home.gateway?.welcome(unit)
    const move = { assetId: kin.assetId, from: site.kin(from)?.assetId ?? null, to: other.kin.assetId }
    void site.store
      .moveDevices([move])
      .then(() => site.moved([move]))
      .catch(this.#failed(kin.id, 'the device cannot be moved'))
  }

  // --- through the engine ----------------------------------------------------------------------------------------------

  /** Disables it, or enables it where it is disabled. */
  toggle(kin: Kin): void {
    const { checks, ledger } = this.#around
    const what = ledger.log(kin.id).disabled ? 'enable' : 'disable'
    if (what === 'enable') checks.unbar(kin.id)
    this.#ask(
      kin,
      what,
      process => process.engine[what](kin.id, 'operator'),
      ({ changed }, process) => {
        if (!changed) ledger.broken(33, kin.id, `is ${what}d, and it was so already`)
        if (what === 'disable') checks.bar(kin.id, process.number, process.engine.isOnline(kin.id))
      },
    )
  }

  delete(kin: Kin): void {
    const { checks } = this.#around
    this.#ask(
      kin,
      'delete',
      process => process.engine.deleteDevice(kin.id, 'operator'),
      (answer, process) => {
        checks.deleted(kin.id, answer)
        checks.bar(kin.id, process.number, process.engine.isOnline(kin.id))
      },
    )
  }

  /** One thing at a time is done to a device. Its gateway is told of it, as the server does it. */
  #ask<Answer extends { readonly ok: true }>(
    kin: Kin,
    what: Notice,
    run: (process: Incarnation) => Promise<Answer | Refusal>,
    done: (answer: Answer, process: Incarnation) => void,
  ): void {
    const { site, ledger } = this.#around
    const process = site.pick()
    if (process === null || this.#busy.has(kin.id) || ledger.log(kin.id).deleted) return
    const gateway = site.topology.get(kin.id)
    this.#busy.set(kin.id, process)
    process.ask(
      kin.id,
      what,
      () =>
        run(process).finally(() => {
          this.#busy.delete(kin.id)
        }),
      answer => {
        done(answer, process)
        process.notify(gateway ?? 0, what, kin.keys)
      },
    )
  }
}
