// An earlier command whose kind, inputs and times the form is filled in with: `?like=<commandId>`. Not here: how that is done (filled.ts).

import type { CommandRecord } from '@downlink/client'
import { useEffect } from 'preact/hooks'
import { useLook } from '../live.ts'
import { Loading } from '../parts/notice.tsx'
import { Problem } from '../parts/problem.tsx'

/** Looks for the command, and gives it away once. */
export const Like = ({ commandId, onFound }: { commandId: string; onFound: (record: CommandRecord) => void }) => {
  const { data, error, again } = useLook((client, signal) => client.record(commandId, { signal }), [commandId])
  useEffect(() => {
    if (data !== null) onFound(data)
  }, [data])
  return error === null ? <Loading /> : <Problem error={error} onAgain={again} />
}
