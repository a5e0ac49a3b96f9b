// What the engine holds of a member: its real link, and beside it somebody who looks at what the engine asks of it and at what it says. Here the process
// may crash between two effects. Not here: what must hold (line.ts, checks.ts).

import type { Downlink } from '../src/core/command.ts'
import type { Unsent } from '../src/core/queue.ts'
import type { Link } from '../src/engine.ts'
import type { Session } from '../src/mqtt/session.ts'
import type { Incarnation, Moment } from './incarnation.ts'
import type { Line } from './line.ts'

export class WatchedLink implements Link {
  readonly #process: Incarnation
  readonly #line: Line
  readonly #deviceId: number
  readonly #link: Link
  readonly #machine: () => Session | null
  isOver = false
  session = 0

  constructor(process: Incarnation, line: Line, deviceId: number, link: Link, machine: () => Session | null) {
    this.#process = process
    this.#line = line
    this.#deviceId = deviceId
    this.#link = link
    this.#machine = machine
  }

  get #reads(): boolean {
    return this.#machine()?.reads ?? false
  }

  presence(): ReturnType<Link['presence']> {
    const said = this.#link.presence()
    if (this.#process.alive) this.#line.asked(this.#deviceId, said, this.#reads)
    return said
  }

  publish(downlink: Downlink): Unsent['reason'] | null {
    const process = this.#process
    process.crashAt('between effects, before the PUBLISH')
    if (!process.alive) return 'sessionGone'
    this.#line.handedOver(this.#deviceId, downlink)
    const refusal = this.#link.publish(downlink)
    this.#line.answered(downlink, refusal)
    if (refusal === null) process.moment(this.#moment(downlink), this.#deviceId)
    process.crashAt('after the PUBLISH, before answers')
    return refusal
  }

  #moment({ commandId }: Downlink): Moment {
    if (this.#line.keeps(commandId)) return 'held'
    return this.#reads ? 'published' : 'published unread'
  }

  suspect(): void {
    if (!this.#process.alive) return
    this.#process.world.count('session suspect')
    this.#line.suspected(this.#deviceId, this.#reads)
    this.#link.suspect()
  }

  takenOver(): void {
    if (!this.#process.alive) return
    this.#process.world.count(this.#line.isOf(this.#deviceId) ? 'session takeover' : 'session takeover of a sub-device')
    this.#over('taken over', () => this.#link.takenOver())
  }

  evicted(why: 'disabled' | 'deleted'): void {
    if (!this.#process.alive) return
    this.#process.world.count(`session evicted, ${why}${this.#line.isOf(this.#deviceId) ? '' : ', of a sub-device'}`)
    this.#over('kicked', () => this.#link.evicted(why))
  }

  #over(how: 'taken over' | 'kicked', tell: () => void): void {
    this.isOver = true
    this.#line.ending(this.#deviceId, this.session, how)
    tell()
    this.#line.ends(this.#deviceId, this.session)
  }
}
