// What a device is and how it is, and why the first command that waits for it does. Not here: its queue.

import type { DeviceLine, DeviceQueue, Explanation } from '@downlink/client'
import { State } from '@downlink/client'
import { Link } from 'wouter-preact'
import { Reasons } from '../command/reasons.tsx'
import { Id } from '../parts/copy.tsx'
import { Age, Time } from '../parts/time.tsx'
import { common } from '../parts/words.ts'
import { words } from './words.ts'

export const Facts = ({ device }: { device: DeviceLine }) => {
  const say = words()
  const { assetId, productKey, gateway, timezone, description } = device
  return (
    <>
      {description !== null && description !== '' && <p class="faint description">{description}</p>}
      <dl class="device-facts">
        <div>
          <dt>{say.lastSeen}</dt>
          <dd>
            <LastSeen device={device} />
          </dd>
        </div>
        <div>
          <dt>{common().product}</dt>
          <dd>
            <Link href={`/devices?product=${encodeURIComponent(productKey)}`}>{productKey}</Link>
          </dd>
        </div>
        {gateway !== null && (
          <div>
            <dt>{say.gateway}</dt>
            <dd>
              <Link href={`/devices/${encodeURIComponent(gateway)}`}>{gateway}</Link>
            </dd>
          </div>
        )}
        <div>
          <dt>{say.timezone}</dt>
          <dd>{timezone}</dd>
        </div>
        <div>
          <dt>{say.asset}</dt>
          <dd>
            <Id text={assetId} />
          </dd>
        </div>
      </dl>
    </>
  )
}

const LastSeen = ({ device: { status, timezone, lastOnlineAt, lastOfflineAt } }: { device: DeviceLine }) => {
  const say = words()
  const at = status === 'online' ? lastOnlineAt : (lastOfflineAt ?? lastOnlineAt)
  if (at === null) return <>{status === 'inactive' ? say.neverConnected : say.neverSeen}</>
  return (
    <>
      <Time at={at} zone={timezone} />{' '}
      <span class="faint">
        ({status === 'online' ? say.connectedFor : say.offlineFor} <Age at={at} zone={timezone} />)
      </span>
    </>
  )
}

/** Always there, so that nothing moves when the queue empties or fills. An explanation that is older than the queue is not shown. */
export const Why = ({ queue, explanation }: { queue: DeviceQueue; explanation: Explanation | null }) => {
  const say = words()
  const first = firstWaiting(queue)
  const isOfFirst = explanation?.commandId === first && explanation?.state === State.created
  return (
    <div class="why">
      {first === null ? (
        <p class="faint">{queue.commands.length === 0 ? say.nothingWaits : say.onlyInFlight}</p>
      ) : (
        <div>
          <strong>{say.first}</strong>
          {isOfFirst && explanation !== null && <Reasons explanation={explanation} zone={queue.device.timezone} />}
        </div>
      )}
    </div>
  )
}

/** The commandId of the first that waits; null: none does. */
export const firstWaiting = ({ commands }: DeviceQueue): string | null =>
  commands.find(({ state }) => state === State.created)?.commandId ?? null
