// A rig for tests of what a call names: calls that are right but for one thing, and a look at the record after every test, so that none stores
// anything unless it says so.

import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { expectRefused, httpFleet, recorder } from './http.ts'
import { jsonOf, rawCall, request } from './raw.ts'
import { type Answer, type DeviceCalls, ORG, type Rig, startRig } from './server.ts'

export type Params = Readonly<Record<string, string>>
/** undefined leaves a name out */
export type Changes = Readonly<Record<string, string | undefined>>

const a1 = { orgId: ORG, assetId: 'a1' }
export const set: Params = { action: 'setMeasurepoint', ...a1, measurepointId: 'Int_value', pendingTtl: '600' }
export const invoke: Params = { action: 'invokeService', ...a1, serviceId: 'reboot', pendingTtl: '600' }
export const get: Params = { action: 'get', ...a1 }
export const search: Params = { action: 'search', ...a1 }
export const cancel: Params = { action: 'cancel', ...a1 }

const bodies: Readonly<Record<string, unknown>> = {
  setMeasurepoint: { value: 1 },
  invokeService: { inputData: { delay: 1 } },
  search: {},
}

export class Contract {
  rig!: Rig
  /** two commands of a1 that stay created */
  queued: string[] = []
  /** set by a test that stores something on purpose, and looks at it itself */
  stores = false

  /** The hooks of a test file. */
  constructor() {
    let record: () => Promise<unknown>
    let recorded: unknown
    beforeAll(async () => {
      this.rig = await startRig([], httpFleet())
      this.queued = await this.on('a1').queue(2, { pendingTtl: '6000' })
      record = recorder(this.rig.app)
      recorded = await record()
    })
    afterEach(async () => {
      const now = await record()
      if (!this.stores) expect(now).toEqual(recorded)
      recorded = now
      this.stores = false
    })
    afterAll(() => this.rig.stop())
  }

  on(assetId: string): DeviceCalls {
    return this.rig.app.on({ assetId })
  }

  /** The action as it would be right, but for what `changes` says. */
  call(params: Params, changes: Changes = {}): Promise<Answer> {
    const entries = Object.entries({ ...params, ...changes })
    const given = entries.filter((entry): entry is [string, string] => entry[1] !== undefined)
    const method = params.action === 'get' ? 'GET' : 'POST'
    return this.rig.app.call(Object.fromEntries(given), { method, body: bodies[params.action ?? ''] })
  }

  /** That call, which must be refused with this code and these words. */
  async refused(params: Params, changes: Changes, says: string | RegExp, code = 99400): Promise<Answer> {
    const answer = await this.call(params, changes)
    expectRefused(answer, code, says)
    return answer
  }

  /** A query or parameters as they are, signed, with a body whatever the verb. */
  async raw(method: string, query: string | Params, body = ''): Promise<Answer> {
    const signed = await this.rig.app.sign(query, body)
    const answer = await rawCall(this.rig.server.httpUrl, request(method, signed.path, signed.headers, body))
    return { ...jsonOf(answer), status: answer.status }
  }
}
