// What a job does, in words: the command by its name in the reader's language, for which devices, when, how long it waits, what is tried again.
// Not here: how far it is (job.tsx).

import type { Job, StringI18n, ThingModel } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { durationText } from '../clock.ts'
import { may } from '../grants.ts'
import { useLook } from '../live.ts'
import { Id } from '../parts/copy.tsx'
import { Left, Time } from '../parts/time.tsx'
import { Value } from '../parts/value.tsx'
import { Who } from '../parts/who.tsx'
import { common } from '../parts/words.ts'
import { useSession } from '../signed-in.tsx'
import { nameOf, number } from '../words.ts'
import { modelOf, productNameOf, told } from './names.ts'
import { words } from './words.ts'

export const JobFacts = ({ job }: { job: Job }) => {
  const say = words()
  const { desc, timeoutPolicy, retryPolicy, createBy, createTimestamp, endTimestamp, jobId } = job
  const { ttlTimeoutInSeconds: ttlS = 0, inProgressTimeoutInSeconds: timeoutS = 0 } = timeoutPolicy
  const { enableRetry, retryIntervalInSeconds: everyS = 0, retryCount = 0 } = retryPolicy
  const names = useNames(job)
  return (
    <dl class="facts inner">
      <Fact name={say.what}>
        <Doing job={job} model={names.model} />
      </Fact>
      <Fact name={say.targets}>
        <Targets job={job} productName={names.productName} />
      </Fact>
      <Fact name={say.begins}>
        <Beginning job={job} />
      </Fact>
      <Fact name={say.waits}>
        {ttlS === 0 ? say.instant : say.waitsUpTo(durationText(ttlS * 1_000))}
        {say.answerWithin(durationText(timeoutS * 1_000))}
      </Fact>
      <Fact name={say.retries}>
        {enableRetry === true
          ? say.retriesText(number(retryCount), retryCount === 1, durationText(everyS * 1_000))
          : say.noRetries}
      </Fact>
      {desc !== '' && <Fact name={say.description}>{desc}</Fact>}
      <Fact name={say.madeBy}>
        <Who by={createBy} /> · <Time at={createTimestamp} />
      </Fact>
      {endTimestamp !== null && (
        <Fact name={say.ended}>
          <Time at={endTimestamp} />{' '}
          <span class="faint">{say.endedAfter(durationText(endTimestamp - createTimestamp, true))}</span>
        </Fact>
      )}
      <Fact name={say.id}>
        <Id text={jobId} />
      </Fact>
    </dl>
  )
}

export const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </>
)

const Doing = ({ job: { commandInfo }, model }: { job: Job; model: ThingModel | null }) => {
  const say = words()
  if (commandInfo.commandType === 'SERVICE_INVOKE') {
    const { serviceId, inputData = {} } = commandInfo.serviceInvokeInfo
    const isEmpty = Object.keys(inputData).length === 0
    return (
      <>
        {say.invokes} <Named name={model?.services[serviceId]?.name} identifier={serviceId} />{' '}
        {isEmpty ? say.withNothing : say.with} {!isEmpty && <Value value={inputData} />}
      </>
    )
  }
  const { measurepointId, value } = commandInfo.setMeasurepointInfo
  return (
    <>
      {say.sets} <Named name={model?.measurepoints[measurepointId]?.name} identifier={measurepointId} /> {say.to}{' '}
      <Value value={value} />
    </>
  )
}

/** By its name, and by the identifier that engineers know it by where that is another. */
export const Named = ({ name, identifier }: { name: StringI18n | undefined; identifier: string }) => {
  const shown = name === undefined ? '' : nameOf(name)
  return (
    <>
      {shown !== '' && shown !== identifier && <strong>{shown}</strong>}{' '}
      <code class={shown === '' ? '' : 'faint'}>{identifier}</code>
    </>
  )
}

const Targets = ({ job: { targetScope }, productName }: { job: Job; productName: StringI18n | null }) => {
  const say = words()
  const { targetType, targetDevices } = targetScope
  if (targetType === 'DEVICE_LIST') return <>{say.listed(number(targetDevices.length), targetDevices.length === 1)}</>
  return (
    <>
      {say.everyDeviceOf} <Named name={productName ?? undefined} identifier={targetDevices[0]?.productKey ?? ''} />
    </>
  )
}

/** One without a time of its own begins when it is made, and its time is that. */
const Beginning = ({ job: { schedulePolicy, createTimestamp, status } }: { job: Job }) => {
  const at = schedulePolicy.disposableSchedulePolicy?.triggerTs ?? createTimestamp
  if (at <= createTimestamp) return <>{words().atOnce}</>
  const [before = '', after = ''] = common().inTime('\n').split('\n')
  return (
    <>
      <Time at={at} />
      {status === 'SCHEDULED' && (
        <span class="faint">
          {' '}
          {before}
          <Left at={at} />
          {after}
        </span>
      )}
    </>
  )
}

interface Names {
  readonly model: ThingModel | null
  readonly productName: StringI18n | null
}

/** Names of what the job is about, from the model of one of its devices; without them the identifiers stand alone. */
function useNames(job: Job): Names {
  const { grants } = useSession()
  const { targetType, targetDevices } = job.targetScope
  const [first] = targetDevices
  const isForProduct = targetType === 'PRODUCT_KEY'
  const look = useLook(
    async (client, signal): Promise<Names> => {
      const productKey = first?.productKey ?? null
      const [model, productName] = await Promise.all([
        may(grants, 'Asset', 'Read') ? told(modelOf(client, first?.assetId ?? null, productKey, signal)) : null,
        isForProduct && productKey !== null ? told(productNameOf(client, productKey, signal)) : null,
      ])
      return { model, productName }
    },
    [job.jobId],
  )
  return look.data ?? { model: null, productName: null }
}
