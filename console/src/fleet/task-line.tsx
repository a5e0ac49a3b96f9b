// One task of a job, as a line: which device, how it stands, what came of it, and how often it was tried.

import type { Task } from '@downlink/client'
import { Link } from 'wouter-preact'
import { Age, Left } from '../parts/time.tsx'
import { ShortValue } from '../parts/value.tsx'
import { number } from '../words.ts'
import { TaskBadge } from './job-status.tsx'
import { words } from './words.ts'

export const TaskLine = ({
  task,
  hasProduct,
  box,
  onChoose,
}: {
  task: Task
  /** its product is told: there are several on the page */
  hasProduct: boolean
  /** whether it is chosen; none: it cannot be; null: nothing on the page can be */
  box: boolean | 'none' | null
  onChoose: (isChosen: boolean) => void
}) => {
  const say = words()
  const { assetId, productKey, deviceKey, status, commandId, updateTimestamp } = task
  return (
    <tr data-task={task.taskId}>
      {box !== null && (
        <td class="box">
          {box !== 'none' && (
            <input
              type="checkbox"
              aria-label={say.select(deviceKey)}
              checked={box}
              onChange={event => onChoose(event.currentTarget.checked)}
            />
          )}
        </td>
      )}
      <th scope="row" class="row-head">
        <Link href={`/devices/${encodeURIComponent(assetId)}`} title={assetId}>
          {deviceKey}
        </Link>
        {hasProduct && <code class="faint small"> {productKey}</code>}
      </th>
      <td>
        <TaskBadge status={status} />
      </td>
      <td class="result">
        <Came task={task} />
      </td>
      <td>
        <Retries task={task} />
      </td>
      <td>
        {commandId !== null && (
          <Link href={`/commands/${commandId}`} class="id">
            {commandId}
          </Link>
        )}
      </td>
      <td class="when">
        <Age at={updateTimestamp} isAgo />
      </td>
    </tr>
  )
}

/** What came of it: in the server's or the device's own words, with its code; and what an output it has. */
const Came = ({ task: { taskResult, status } }: { task: Task }) => {
  const say = words()
  if (taskResult === null) return null
  const { code, desc, outputData } = taskResult
  const gloss = code === null ? undefined : say.gloss[code]
  const isPlain = status === 'SUCCEED' && desc === 'OK'
  const hasOutput = outputData !== null && Object.keys(outputData).length > 0
  return (
    <>
      {gloss !== undefined && <span>{gloss} </span>}
      {!(isPlain && (gloss !== undefined || hasOutput)) && (
        <span lang="en" class={gloss === undefined ? '' : 'faint small'}>
          {desc}
        </span>
      )}
      {code !== null && code !== 0 && (
        <code class="faint small">
          {' '}
          {say.code} {code}
        </code>
      )}
      {hasOutput && (
        <>
          {' '}
          <ShortValue value={outputData} />
        </>
      )}
    </>
  )
}

const Retries = ({ task: { autoRetryCount, manualRetryCount, retryTimestamp } }: { task: Task }) => {
  const say = words()
  const counts = [
    ...(autoRetryCount > 0 ? [say.autoRetries(number(autoRetryCount))] : []),
    ...(manualRetryCount > 0 ? [say.manualRetries(number(manualRetryCount))] : []),
  ]
  return (
    <>
      {counts.join(', ')}
      {retryTimestamp !== null && (
        <div class="small again">
          {say.againIn} <Left at={retryTimestamp} />
        </div>
      )}
    </>
  )
}
