// How many there are now, in large figures; each leads to where one can act on what it counts. Not here: what happened over time (over-time.tsx).

import type { DeviceLine, DeviceStatus, Stats } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { Link } from 'wouter-preact'
import { DeviceName } from '../parts/device-name.tsx'
import { Card } from '../parts/page.tsx'
import { Age } from '../parts/time.tsx'
import { number } from '../words.ts'
import { words } from './words.ts'

const Tile = ({
  href,
  name,
  tone,
  figure,
  note,
}: {
  href: string
  name: string
  /** of a state: its colour beside the name */
  tone?: 'created' | 'sent'
  figure: ComponentChildren
  note?: ComponentChildren
}) => (
  <li>
    <Link href={href} class="tile">
      <span class={tone === undefined ? 'tile-name' : `tile-name tone-${tone}`}>{name}</span>
      <span class="tile-figure">{figure}</span>
      {note !== undefined && <span class="tile-note">{note}</span>}
    </Link>
  </li>
)

/** The one that has waited longest, of all devices that the reader sees, and a link to where it waits. */
const Oldest = ({ device }: { device: DeviceLine | undefined }) => {
  const say = words()
  const at = device?.oldestWaitingAt ?? null
  if (device === undefined || at === null)
    return <Tile href="/devices" name={say.oldest} figure={<span class="faint">–</span>} note={say.nothingWaits} />
  return (
    <Tile
      href={`/devices/${encodeURIComponent(device.assetId)}`}
      name={say.oldest}
      figure={<Age at={at} zone={device.timezone} />}
      note={<DeviceName device={device} />}
    />
  )
}

/** `stats` null: they are not for the reader. */
export const CommandsNow = ({ stats, oldest }: { stats: Stats['now'] | null; oldest: DeviceLine | undefined }) => {
  const say = words()
  return (
    <Card title={say.commandsNow} class="commands-now">
      <ul class="tiles">
        {stats !== null && (
          <>
            <Tile
              href="/devices?waiting=true"
              name={say.waiting}
              tone="created"
              figure={number(stats.waiting)}
              note={say.waitingHint}
            />
            <Tile
              // A device that is away has nothing in flight for longer than an answer may take.
              href="/devices?status=online"
              name={say.inFlight}
              tone="sent"
              figure={number(stats.inFlight)}
              note={say.inFlightHint}
            />
          </>
        )}
        <Oldest device={oldest} />
      </ul>
    </Card>
  )
}

const statuses: readonly DeviceStatus[] = ['online', 'offline', 'inactive', 'disabled']

export const DevicesNow = ({ stats }: { stats: Stats['now'] }) => {
  const say = words()
  const { devices } = stats
  return (
    <Card
      title={say.devicesNow}
      class="devices-now"
      beside={<span class="small faint">{say.shareOf(number(devices), devices === 1)}</span>}
    >
      <ul class="tiles">
        {statuses.map(status => (
          <Tile
            key={status}
            href={`/devices?status=${status}`}
            name={say.statuses[status]}
            figure={number(stats[status])}
          />
        ))}
      </ul>
      <div class="bar" aria-hidden="true">
        {statuses.map(status => (
          <span
            key={status}
            class={`share-${status}`}
            style={{ width: `${devices === 0 ? 0 : (100 * stats[status]) / devices}%` }}
          />
        ))}
      </div>
    </Card>
  )
}
