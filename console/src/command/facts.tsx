// What else is on record of a command: ids to copy, when it came and from whom, and how long it may take. Not here: its input and output (exchange.tsx).

import type { CommandRecord, DeviceLine } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { Link } from 'wouter-preact'
import { durationText } from '../clock.ts'
import { Id } from '../parts/copy.tsx'
import { DeviceName } from '../parts/device-name.tsx'
import { Card } from '../parts/page.tsx'
import { Time } from '../parts/time.tsx'
import { Who } from '../parts/who.tsx'
import { common } from '../parts/words.ts'
import { number } from '../words.ts'
import { words } from './words.ts'

/** s from which a duration is also told in larger units */
const PLAIN_S = 60

export const Facts = ({ command, device }: { command: CommandRecord; device: DeviceLine | null }) => {
  const say = words()
  const zone = device?.timezone
  const { pendingTtl, timeout, expireAt, deadlineAt, settledAt } = command
  const when = (at: number | null) => at !== null && <Time at={at} zone={zone} />
  return (
    <Card title={say.facts}>
      <dl class="facts inner">
        <Fact name={common().device}>
          {device !== null && (
            <Link href={`/devices/${command.assetId}`}>
              <DeviceName device={device} />
            </Link>
          )}
        </Fact>
        <Fact name="commandId">
          <Id text={command.commandId} />
        </Fact>
        <Fact name="assetId">
          <Id text={command.assetId} />
        </Fact>
        <Fact name="deviceKey">
          <Id text={command.deviceKey} />
        </Fact>
        <Fact name="productKey">
          <Id text={command.productKey} />
        </Fact>
        <Fact name={say.kind}>{say.kinds[command.commandType]}</Fact>
        <Fact name={say.createdBy}>
          <span class="row">
            <Who isFull by={command.createdBy} />
          </span>
        </Fact>
        <Fact name={say.createdAt}>{when(Number(command.createTime))}</Fact>
        <Fact name={say.pendingTtl}>
          {pendingTtl === 0 ? say.instant : <Allowed s={pendingTtl} until={expireAt} zone={zone} />}
        </Fact>
        <Fact name={say.sentAt}>{when(command.sentAt)}</Fact>
        <Fact name={say.timeout}>
          <Allowed s={timeout} until={deadlineAt} zone={zone} />
        </Fact>
        <Fact name={say.settledAt}>{when(settledAt)}</Fact>
        <Fact name={say.deviceCode}>{command.deviceCode !== null && <code>{command.deviceCode}</code>}</Fact>
        <Fact name={say.deviceMessage}>{command.deviceMessage}</Fact>
        <Fact name={say.lateReplies}>{command.lateReplies > 0 && number(command.lateReplies)}</Fact>
      </dl>
    </Card>
  )
}

/** Nothing where there is nothing to tell. */
const Fact = ({ name, children }: { name: string; children: ComponentChildren }) =>
  children === null || children === false || children === '' ? null : (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  )

/** How long something may take; and until when that is, once it has begun. */
const Allowed = ({ s, until, zone }: { s: number; until: number | null; zone: string | undefined }) => (
  <>
    {secondsText(s)}
    {until !== null && (
      <>
        {words().until}
        <Time at={until} zone={zone} />
      </>
    )}
  </>
)

const secondsText = (s: number): string =>
  s > PLAIN_S ? `${durationText(s * 1_000)} (${words().seconds(String(s))})` : words().seconds(String(s))
