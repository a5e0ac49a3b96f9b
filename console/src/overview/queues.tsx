// The devices where most waits, and those where something has waited longest, with a link to each queue. Not here: all devices (devices/).

import type { DeviceLine } from '@downlink/client'
import { Link } from 'wouter-preact'
import { DeviceName } from '../parts/device-name.tsx'
import { Empty } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { StatusBadge } from '../parts/state.tsx'
import { Age } from '../parts/time.tsx'
import { common } from '../parts/words.ts'
import { number } from '../words.ts'
import { words } from './words.ts'

export const Queues = ({ title, devices }: { title: string; devices: readonly DeviceLine[] }) => {
  const say = words()
  const most = Math.max(1, ...devices.map(({ waiting }) => waiting))
  return (
    <Card
      title={title}
      beside={
        devices.length > 0 && (
          <Link class="small" href="/devices?waiting=true">
            {say.allWaiting}
          </Link>
        )
      }
    >
      {devices.length === 0 ? (
        <Empty icon="check" title={say.noQueue} hint={say.noQueueHint} />
      ) : (
        <div class="scroll-x">
          <table class="queues">
            <thead>
              <tr>
                <th scope="col">{common().device}</th>
                <th scope="col" class="status-column">
                  {common().state}
                </th>
                <th scope="col" class="number">
                  {say.depth}
                </th>
                <th scope="col" class="number">
                  {say.since}
                </th>
              </tr>
            </thead>
            <tbody>
              {devices.map(device => (
                <Row key={device.assetId} device={device} most={most} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Card>
  )
}

/** The bar beside the number is as long as its share of the deepest queue that is shown. */
const Row = ({ device, most }: { device: DeviceLine; most: number }) => (
  <tr>
    <th scope="row">
      <Link href={`/devices/${encodeURIComponent(device.assetId)}`}>
        <DeviceName device={device} />
      </Link>
    </th>
    <td class="status-column">
      <StatusBadge status={device.status} />
    </td>
    <td class="number depth">
      <span>{number(device.waiting)}</span>
      <span class="bar" aria-hidden="true">
        <span class="share-waiting" style={{ width: `${(100 * device.waiting) / most}%` }} />
      </span>
    </td>
    <td class="number">
      {device.oldestWaitingAt === null ? '–' : <Age at={device.oldestWaitingAt} zone={device.timezone} />}
    </td>
  </tr>
)
