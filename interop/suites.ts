// The suites: one for each of the vendor's SDKs, with what is tried of it. Not here: the scenarios themselves, and how a suite is run (perform.ts).

import { join } from 'node:path'
import { applicationScenarios } from './application-scenarios.ts'
import { deviceScenarios, type Language } from './device-scenarios.ts'
import { httpScenarios } from './http-scenarios.ts'
import type { Scenario } from './scenario.ts'
import type { ServerPlan } from './server.ts'
import { type Made, makeJava, makePython } from './toolchain.ts'

export interface Suite {
  readonly name: string
  /** how its server lets callers in */
  readonly auth: ServerPlan['auth']
  readonly scenarios: readonly Scenario[]
  /** Gets and builds what it needs. */
  make(): Promise<Made>
}

const java = join(import.meta.dirname, 'java')
const python = join(import.meta.dirname, 'python')
const cache = join(import.meta.dirname, '.cache')

const notRegistered = 'downstream command handler not registered'

const javaDevice: Language = {
  prefix: 'java',
  unhandled: { code: 1101, msg: notRegistered },
  broken: { code: 1102, msg: 'command handler execution failed, valve stuck' },
  compresses: true,
  // It waits 8 s before it tries for the first time, and twice as long each time after.
  backWithinMs: 30_000,
}

const pythonDevice: Language = {
  prefix: 'python',
  unhandled: { code: 1101, msg: notRegistered },
  broken: { code: 500, msg: 'command handler execution failedvalve stuck' },
  compresses: false,
  backWithinMs: 15_000,
}

export const suites: readonly Suite[] = [
  {
    name: 'java-application',
    auth: 'open',
    scenarios: applicationScenarios,
    make: () => makeJava(java, 'application', 'interop.Application'),
  },
  {
    name: 'java-device',
    auth: 'signature',
    scenarios: deviceScenarios(javaDevice),
    make: () => makeJava(java, 'device', 'interop.Device'),
  },
  {
    name: 'java-http',
    auth: 'signature',
    scenarios: httpScenarios,
    make: () => makeJava(java, 'http', 'interop.HttpDevice'),
  },
  {
    name: 'python-device',
    auth: 'signature',
    scenarios: deviceScenarios(pythonDevice),
    make: () => makePython(python, cache),
  },
]
