// In the place of a device that is not there: whether it has been deleted, and what last happened to its commands, as far as events are kept.

import {
  type ChangeEvent,
  codes,
  type DeviceLine,
  type Downlink,
  DownlinkError,
  State,
  type StateName,
} from '@downlink/client'
import { Link } from 'wouter-preact'
import { devicesHref } from '../devices/kept.ts'
import { useLook } from '../live.ts'
import { Id } from '../parts/copy.tsx'
import { DeviceName } from '../parts/device-name.tsx'
import { Empty, Seen } from '../parts/notice.tsx'
import { Card, Page } from '../parts/page.tsx'
import { StateBadge } from '../parts/state.tsx'
import { Time } from '../parts/time.tsx'
import { common } from '../parts/words.ts'
import { useSession } from '../signed-in.tsx'
import { words } from './words.ts'

/** pages of events that are read for it, oldest first: a device with more has too long a story to tell here */
const PAGES_MAX = 10
/** commands that are told of: the last ones */
const COMMANDS_MAX = 100

interface Last {
  readonly commandId: string
  readonly tslIdentifier: string
  readonly state: StateName
  readonly at: number
}
interface Story {
  /** ms since 1970; null: nothing is known of such a device */
  readonly deletedAt: number | null
  /** the last first */
  readonly commands: readonly Last[]
}

/** `device`: as it was last seen by this page, if it was. */
export const NoDevice = ({ assetId, device }: { assetId: string; device: DeviceLine | null }) => {
  const say = words()
  const { client } = useSession()
  const look = useLook((client, signal) => storyOf(client, assetId, signal), [assetId])
  return (
    <Page
      class="device-page"
      title={device?.deviceKey ?? assetId}
      name={device === null ? assetId : <DeviceName device={device} />}
      above={{ href: devicesHref(client), text: common().devices }}
    >
      <Seen look={look}>
        {({ deletedAt, commands }) => {
          const isDeleted = deletedAt !== null || device !== null
          return (
            <div class="stack">
              <Card>
                <Empty
                  icon="warning"
                  title={isDeleted ? say.deleted : say.unknown}
                  hint={
                    <>
                      {deletedAt !== null && (
                        <p class="faint">
                          <Time at={deletedAt} zone={device?.timezone} />
                        </p>
                      )}
                      {isDeleted ? say.deletedHint : say.unknownHint}
                      <p>
                        <Id text={assetId} />
                      </p>
                    </>
                  }
                />
              </Card>
              {commands.length > 0 && <LastOf commands={commands} zone={device?.timezone} />}
            </div>
          )
        }}
      </Seen>
    </Page>
  )
}

const LastOf = ({ commands, zone }: { commands: readonly Last[]; zone: string | undefined }) => (
  <Card title={words().lastKnown}>
    <div class="scroll-x">
      <table>
        <thead>
          <tr>
            <th scope="col">{common().command}</th>
            <th scope="col">{common().state}</th>
            <th scope="col">{words().when}</th>
          </tr>
        </thead>
        <tbody>
          {commands.map(({ commandId, tslIdentifier, state, at }) => (
            <tr key={commandId} data-command-id={commandId} data-state={state}>
              <td>
                <Link href={`/commands/${commandId}`}>{tslIdentifier}</Link> <code class="faint">{commandId}</code>
              </td>
              <td>
                <StateBadge state={State[state]} />
              </td>
              <td>
                <Time at={at} zone={zone} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  </Card>
)

/** The server refuses to follow a device that it does not have, unless it has events of it still. */
async function storyOf(client: Downlink, assetId: string, signal: AbortSignal): Promise<Story> {
  const commands = new Map<string, Last>()
  let deletedAt: number | null = null
  let after: string | undefined
  for (let page = 0; page < PAGES_MAX; page += 1) {
    const from = after === undefined ? ({ from: 'oldest' } as const) : { after }
    const found = await client.changes({ assetId, ...from, signal }).catch(unknown)
    if (found === null) break
    for (const event of found.events) {
      if (event.commandId === null && event.reason === 'deleted') deletedAt = event.at
      note(commands, event)
    }
    if (!found.more) break
    after = found.next
  }
  return { deletedAt, commands: [...commands.values()].reverse().slice(0, COMMANDS_MAX) }
}

function note(commands: Map<string, Last>, { commandId, command, from, state, to, at }: ChangeEvent): void {
  if (commandId === null || command === null || state === null || from === to) return
  commands.delete(commandId)
  commands.set(commandId, { commandId, tslIdentifier: command.tslIdentifier, state, at })
}

function unknown(error: unknown): null {
  if (error instanceof DownlinkError && error.code === codes.notFound) return null
  throw error
}
