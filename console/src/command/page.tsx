// One command: how it stands and why, its life as it happens, what the device was told and answered. It begins with the command's id alone, which says of
// which device it is; from then on the page follows the events of that device. Not here: what each part shows.

import {
  type ChangeEvent,
  type CommandRecord,
  codes,
  type DeviceLine,
  DownlinkError,
  type Explanation,
  isFinal,
  type Timeline,
} from '@downlink/client'
import { useEffect } from 'preact/hooks'
import { Link } from 'wouter-preact'
import { heardAt } from '../clock.ts'
import { devicesHref } from '../devices/kept.ts'
import { may } from '../grants.ts'
import { type Live, type Look, useLive, useLook } from '../live.ts'
import { CopyButton } from '../parts/copy.tsx'
import { Icon } from '../parts/icon.tsx'
import { Empty, Loading, Notice, Seen } from '../parts/notice.tsx'
import { Card, Page } from '../parts/page.tsx'
import { Problem } from '../parts/problem.tsx'
import { common } from '../parts/words.ts'
import { useSession } from '../signed-in.tsx'
import { nameOf } from '../words.ts'
import './command.css'
import { Events } from './events.tsx'
import { Exchange } from './exchange.tsx'
import { Facts } from './facts.tsx'
import { LifeDrawing } from './life.tsx'
import { Outcome } from './outcome.tsx'
import { words } from './words.ts'

/** What the server takes as an id; anything else is not asked for. */
const COMMAND_ID = /^[0-9]{1,19}$/
/** ms between two looks: the queue before it may move many times a second */
const LEAST_MS = 200

export const CommandPage = ({ commandId }: { commandId: string }) =>
  COMMAND_ID.test(commandId) ? (
    <Known key={commandId} commandId={commandId} />
  ) : (
    <Nothing title={words().missing} hint={words().malformed} />
  )

interface Found {
  readonly record: CommandRecord
  /** null: it has been deleted */
  readonly device: DeviceLine | null
}

const Known = ({ commandId }: { commandId: string }) => {
  const { client } = useSession()
  const found = useLook<Found>(
    async (client, signal) => {
      const record = await client.record(commandId, { signal })
      const device = await client.device(record.assetId, { signal }).catch((error: unknown) => {
        if (isCode(error, codes.notFound)) return null
        throw error
      })
      return { record, device }
    },
    [commandId],
  )
  const { data, error, again } = found
  if (data !== null)
    return data.device === null ? (
      <Shown found={data} live={undefined} />
    ) : (
      <Followed found={data} onDevice={again} assetId={data.record.assetId} />
    )
  if (isCode(error, codes.commandNotFound))
    return <Nothing title={words().missing} hint={words().missingHint} commandId={commandId} />
  if (isCode(error, codes.denied)) return <Nothing title={words().denied} commandId={commandId} />
  return (
    <Page
      class="command-page"
      title={`${common().command} ${commandId}`}
      above={{ href: devicesHref(client), text: common().devices }}
    >
      {error === null ? <Loading /> : <Problem error={error} onAgain={again} />}
    </Page>
  )
}

/** Of a device that is there, whose events are heard. With those of the device itself it is looked at anew: it may be deleted. */
const Followed = ({ assetId, found, onDevice }: { assetId: string; found: Found; onDevice: () => void }) => {
  const live = useLive({ assetId })
  useEffect(() => live.heed(({ commandId }) => commandId === null && onDevice()), [live])
  return <Shown found={found} live={live} />
}

const Shown = ({ found: { record, device }, live }: { found: Found; live: Live | undefined }) => {
  const { client, grants } = useSession()
  const { commandId, assetId } = record
  const name = nameOf(record.commandName)
  const above =
    device === null
      ? { href: devicesHref(client), text: common().devices }
      : { href: `/devices/${assetId}`, text: nameOf(device.deviceName) || device.deviceKey }
  const again = device !== null && may(grants, 'Asset', 'Control', record)
  return (
    <Page
      class="command-page"
      title={`${name} ${commandId}`}
      name={
        <span class="command-name">
          {name} {name !== record.tslIdentifier && <code>{record.tslIdentifier}</code>}
        </span>
      }
      above={above}
      beside={
        <>
          <CopyButton text={`${window.location.origin}/console/commands/${commandId}`} label={common().copyLink} />
          {again && (
            <Link class="button" href={`/devices/${assetId}?tab=send&like=${commandId}`}>
              <Icon name="retry" size={15} />
              {words().sendAgain}
            </Link>
          )}
        </>
      }
    >
      {device === null && <Notice kind="info">{words().deleted}</Notice>}
      <Present commandId={commandId} device={device} live={live} />
    </Page>
  )
}

interface Now {
  readonly timeline: Timeline
  readonly explanation: Explanation
}

const Present = ({
  commandId,
  device,
  live,
}: {
  commandId: string
  device: DeviceLine | null
  live: Live | undefined
}) => {
  const look: Look<Now> = useLook<Now>(
    async (client, signal) => {
      const [timeline, explanation] = await Promise.all([
        client.timeline(commandId, { signal }),
        client.explain(commandId, { signal }),
      ])
      heardAt(explanation.now)
      return { timeline, explanation }
    },
    [commandId],
    {
      ...(live === undefined ? {} : { live }),
      heeds: event => concerns(event, commandId, look.data?.timeline.command),
      leastMs: LEAST_MS,
    },
  )
  const zone = device?.timezone
  return (
    <Seen look={look}>
      {({ timeline, explanation }) => (
        <div class="stack">
          <Outcome timeline={timeline} explanation={explanation} zone={zone} />
          <Card title={words().life} class="life-card">
            <LifeDrawing {...{ timeline, explanation, device, zone }} isCurrent={look.isCurrent} />
            <Events timeline={timeline} zone={zone} />
          </Card>
          <div class="command-parts">
            <Exchange command={timeline.command} hasDevice={device !== null} zone={zone} />
            <Facts command={timeline.command} device={device} />
          </div>
        </div>
      )}
    </Seen>
  )
}

/** What happens to it; to its device; and to those before it, as long as it waits for them. Ids of one device are in the order of its queue. */
const concerns = (event: ChangeEvent, commandId: string, command: CommandRecord | undefined): boolean =>
  event.commandId === null ||
  event.commandId === commandId ||
  (event.commandId < commandId && (command === undefined || !isFinal(command.state)))

const Nothing = ({ title, hint, commandId }: { title: string; hint?: string; commandId?: string }) => {
  const { client } = useSession()
  const devices = devicesHref(client)
  return (
    <Page class="command-page" title={title} name={common().command} above={{ href: devices, text: common().devices }}>
      <Card>
        <Empty
          icon="search"
          title={title}
          hint={
            <div class="nothing">
              {commandId !== undefined && <code>{commandId}</code>}
              {hint !== undefined && <span>{hint}</span>}
              <Link class="button" href={devices}>
                {words().toDevices}
              </Link>
            </div>
          }
        />
      </Card>
    </Page>
  )
}

const isCode = (error: unknown, code: number): boolean => error instanceof DownlinkError && error.code === code
