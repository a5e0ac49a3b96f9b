// One device: how it is, its queue as it is now, its history, and the form that sends it a command. The queue is looked at as long as the page is open,
// whatever part is shown. Not here: the parts.

import { codes, type DeviceLine, type DeviceQueue, DownlinkError } from '@downlink/client'
import { useEffect, useLayoutEffect, useState } from 'preact/hooks'
import { Link, useSearchParams } from 'wouter-preact'
import { heardAt } from '../clock.ts'
import { devicesHref } from '../devices/kept.ts'
import { may } from '../grants.ts'
import { type Live, type Look, useLive, useLook } from '../live.ts'
import { DeviceName } from '../parts/device-name.tsx'
import { Icon } from '../parts/icon.tsx'
import { Seen } from '../parts/notice.tsx'
import { Page } from '../parts/page.tsx'
import { StatusBadge } from '../parts/state.tsx'
import { common } from '../parts/words.ts'
import { SendCommand } from '../send/send-command.tsx'
import { useSession } from '../signed-in.tsx'
import { nameOf, number } from '../words.ts'
import { lookAgain } from './cancelling.ts'
import './device.css'
import { Facts, firstWaiting, Why } from './facts.tsx'
import { History } from './history.tsx'
import { useLeaving } from './leaving.ts'
import { NoDevice } from './no-device.tsx'
import { Queue } from './queue.tsx'
import { words } from './words.ts'

/** ms between two looks at why the first one waits: a device that is busy changes its reasons many times a second */
const WHY_LEAST_MS = 500

export const DevicePage = ({ assetId }: { assetId: string }) => {
  const [gone, setGone] = useState<{ readonly device: DeviceLine | null } | null>(null)
  return gone === null ? (
    <ThereIs assetId={assetId} onGone={device => setGone({ device })} />
  ) : (
    <NoDevice assetId={assetId} device={gone.device} />
  )
}

const ThereIs = ({ assetId, onGone }: { assetId: string; onGone: (device: DeviceLine | null) => void }) => {
  const { client } = useSession()
  const live = useLive({ assetId })
  const queue = useLook(
    async (client, signal) => {
      const seen = await client.queue(assetId, { signal })
      heardAt(seen.now)
      return seen
    },
    [assetId],
    { live },
  )
  const { data, error } = queue
  // Before it is painted: that it is not there is told in its place, and not as an error first.
  useLayoutEffect(() => {
    if (error instanceof DownlinkError && error.code === codes.notFound) onGone(data?.device ?? null)
  }, [error])
  useEffect(
    () =>
      live.heed(({ commandId }) => {
        if (commandId !== null) void lookAgain(client, commandId)
      }),
    [live],
  )
  const device = data?.device ?? null
  return (
    <Page
      class="device-page"
      title={device === null ? assetId : nameOf(device.deviceName) || device.deviceKey}
      name={device === null ? assetId : <Heading device={device} isCurrent={queue.isCurrent} />}
      above={{ href: devicesHref(client), text: common().devices }}
    >
      <Seen look={queue}>{data => <Head queue={data} live={live} />}</Seen>
      {data !== null && <Parts queue={queue} data={data} live={live} />}
    </Page>
  )
}

const Heading = ({ device, isCurrent }: { device: DeviceLine; isCurrent: boolean }) => (
  <span class="device-heading">
    <DeviceName device={device} />
    <span class={isCurrent ? 'now' : 'now seen stale'}>
      <StatusBadge status={device.status} />
    </span>
  </span>
)

const Head = ({ queue, live }: { queue: DeviceQueue; live: Live }) => {
  const first = firstWaiting(queue)
  const why = useLook(
    async (client, signal) => (first === null ? null : client.explain(first, { signal }).catch(unlessGone)),
    [first],
    { live, leastMs: WHY_LEAST_MS },
  )
  return (
    <>
      <Facts device={queue.device} />
      <Why queue={queue} explanation={why.data} />
    </>
  )
}

/** It may have been purged, or its device deleted, since the queue was looked at: the next look at the queue tells. */
function unlessGone(error: unknown): null {
  const isGone =
    error instanceof DownlinkError && (error.code === codes.notFound || error.code === codes.commandNotFound)
  if (isGone) return null
  throw error
}

type Tab = 'queue' | 'history' | 'send'
const tabs: readonly Tab[] = ['queue', 'history', 'send']

const Parts = ({ queue, data, live }: { queue: Look<DeviceQueue>; data: DeviceQueue; live: Live }) => {
  const say = words()
  const { grants } = useSession()
  const [given] = useSearchParams()
  const { device } = data
  const offered = may(grants, 'Asset', 'Control', device) ? tabs : tabs.filter(tab => tab !== 'send')
  const shown = offered.find(tab => tab === given.get('tab')) ?? 'queue'
  const leaving = useLeaving(queue, live)
  const path = `/devices/${encodeURIComponent(device.assetId)}`
  return (
    <>
      <nav class="tabs" aria-label={say.tabs}>
        {offered.map(tab => (
          <Link
            key={tab}
            href={tab === 'queue' ? path : `${path}?tab=${tab}`}
            aria-current={tab === shown ? 'page' : undefined}
          >
            {tab === 'send' && <Icon name="send" size={14} />}
            {say[tab]}
            {tab === 'queue' && <span class="count">{number(data.commands.length)}</span>}
          </Link>
        ))}
      </nav>
      {shown === 'queue' && <Queue data={data} look={queue} leaving={leaving} />}
      {shown === 'history' && <History device={device} live={live} />}
      {shown === 'send' && <SendCommand device={device} onSent={queue.again} />}
    </>
  )
}
