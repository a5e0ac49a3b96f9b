// A page that is fetched when it is opened, so that the first load stays small. Not here: which pages there are (app.tsx).

import type { ComponentType } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { Icon } from './parts/icon.tsx'
import { Loading } from './parts/notice.tsx'
import { common } from './parts/words.ts'

type Fetched<P> = { readonly Shown: ComponentType<P> } | 'failed' | null

export function later<P extends object>(fetchPage: () => Promise<ComponentType<P>>): ComponentType<P> {
  return props => {
    const [fetched, setFetched] = useState<Fetched<P>>(null)
    useEffect(() => {
      fetchPage().then(
        Shown => setFetched({ Shown }),
        () => setFetched('failed'),
      )
    }, [])
    if (fetched === null) return <Loading />
    // The server has another build by now, or is not there.
    if (fetched === 'failed')
      return (
        <div class="notice bad" role="alert">
          <Icon name="warning" />
          <div>{common().problem.newer}</div>
          <button type="button" onClick={() => window.location.reload()}>
            {common().problem.reload}
          </button>
        </div>
      )
    return <fetched.Shown {...props} />
  }
}
