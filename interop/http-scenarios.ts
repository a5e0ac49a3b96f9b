// What a device of the vendor's HTTP SDK must be able to do here: log in, post, and take a cached invocation along with an answer.
// Not here: the program (java/http), devices that speak MQTT (device-scenarios.ts).

import type { Device } from './fleet.ts'
import type { Program } from './program.ts'
import { field, invoke, onRecord, type Scenario, type Stage, same } from './scenario.ts'

export const httpScenarios: readonly Scenario[] = [
  { name: 'login', run: login },
  { name: 'post measurepoints', run: post },
  { name: 'a cached invocation comes with an answer', run: invocation },
]

/** for what follows at once on a loopback connection */
const SOON_MS = 10_000
const OK = 200

const device = (stage: Stage): Device => stage.fleet.device('http_posts')

async function connect(stage: Stage): Promise<Program> {
  const program = stage.begin()
  same('the login', await program.ask('connect', { url: stage.server.httpUrl, ...device(stage) }), {
    code: OK,
    connected: true,
  })
  return program
}

async function login(stage: Stage): Promise<void> {
  const given = { url: stage.server.httpUrl, ...device(stage), deviceSecret: 'wrong' }
  // The SDK throws where the answer is a refusal, and returns the HTTP status where that is one.
  const isIn = await stage
    .begin()
    .ask('connect', given)
    .then(
      ({ connected }) => connected,
      () => false,
    )
  same('connected with a wrong secret', isIn, false)
  await connect(stage)
}

async function post(stage: Stage): Promise<void> {
  const program = await connect(stage)
  same('the code', (await program.ask('post', { points: { speed: 12, setpoint: 20.5 } })).code, OK)
}

async function invocation(stage: Stage): Promise<void> {
  const who = device(stage)
  const program = await connect(stage)
  const inputs = { left: 4, right: 4 }
  const commandId = field(await invoke(stage, who, 'multiply', inputs, true), 'commandId')
  const deadline = Date.now() + SOON_MS
  while (program.commands.length === 0 && Date.now() < deadline)
    same('the code of a post', (await program.ask('post', { points: { speed: 1 } })).code, OK)
  const { productKey, deviceKey } = who
  const got = { kind: 'invoke', commandId, productKey, deviceKey, service: 'multiply', params: inputs }
  same('what the device got', program.commands, [got])
  const { state, outputData } = await onRecord(stage, who, commandId)
  same('what is on record', [state, outputData], [5, { result: 16 }])
}
