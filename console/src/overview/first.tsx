// Where no command has ever been sent: what to do next. Not here: sending (send/), which stands on the page of a device.

import type { DeviceLine, Downlink } from '@downlink/client'
import { Link } from 'wouter-preact'
import { may } from '../grants.ts'
import { DeviceName } from '../parts/device-name.tsx'
import { Icon } from '../parts/icon.tsx'
import { Card } from '../parts/page.tsx'
import { StatusBadge } from '../parts/state.tsx'
import { useSession } from '../signed-in.tsx'
import { words } from './words.ts'

/** devices that are offered: enough to have a choice, few enough to have none to make */
const OFFERED_MAX = 3

/** Those that are there now would answer at once; else any. */
export async function offered(client: Downlink, signal: AbortSignal): Promise<readonly DeviceLine[]> {
  const { devices: online } = await client.devicePage({ status: 'online', limit: OFFERED_MAX, signal })
  if (online.length > 0) return online
  return (await client.devicePage({ limit: OFFERED_MAX, signal })).devices
}

export const FirstSteps = ({ devices }: { devices: readonly DeviceLine[] }) => {
  const { grants } = useSession()
  return (
    <Card class="first">
      <div class="inner">
        {devices.length === 0 ? (
          <NoDevices />
        ) : may(grants, 'Asset', 'Control') ? (
          <Steps devices={devices} />
        ) : (
          <LookOnly />
        )}
      </div>
    </Card>
  )
}

const LookOnly = () => {
  const say = words().first
  return (
    <>
      <h2>{say.title}</h2>
      <p class="faint">{say.readOnly}</p>
    </>
  )
}

const Steps = ({ devices }: { devices: readonly DeviceLine[] }) => {
  const say = words().first
  return (
    <>
      <h2>{say.title}</h2>
      <p class="faint">{say.lead}</p>
      <ol class="first-steps">
        <li class="first-step">
          <p>{say.choose}</p>
          <ul class="offered">
            {devices.map(device => (
              <li key={device.assetId}>
                <Link class="button" href={`/devices/${encodeURIComponent(device.assetId)}`}>
                  <DeviceName device={device} />
                  <StatusBadge status={device.status} />
                  <Icon name="right" size={14} />
                </Link>
              </li>
            ))}
            <li>
              <Link href="/devices">{say.others}</Link>
            </li>
          </ul>
        </li>
        <li class="first-step">
          <p>{say.send}</p>
        </li>
        <li class="first-step">
          <p>{say.watch}</p>
        </li>
      </ol>
    </>
  )
}

const NoDevices = () => {
  const say = words().first
  return (
    <>
      <h2>{say.noDevices}</h2>
      <p class="faint">{say.noDevicesHint}</p>
      <pre class="value">downlink fleet apply fleet.yaml</pre>
      <p class="faint">
        {say.noDevicesMore} <a href="/docs">{say.reference}</a>
      </p>
    </>
  )
}
