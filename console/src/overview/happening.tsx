// The card of what happens now. It stands still while somebody points at it or has tabbed into it, and for as long as they pause it.
// Not here: where its events come from (feed.ts).

import { useState } from 'preact/hooks'
import type { Live } from '../live.ts'
import { Icon } from '../parts/icon.tsx'
import { Empty, Loading } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { number } from '../words.ts'
import { useFeed } from './feed.ts'
import { Happened } from './happened.tsx'
import { words } from './words.ts'

export const Happening = ({ live }: { live: Live }) => {
  const say = words()
  const [isPaused, setPaused] = useState(false)
  const [isPointed, setPointed] = useState(false)
  const [isEntered, setEntered] = useState(false)
  const isHeld = isPaused || isPointed || isEntered
  const { events, hasGap, newer } = useFeed(live, isHeld)
  return (
    <Card
      class="happening"
      title={say.feed}
      beside={
        <div class="row">
          <span class="small faint">{isHeld && (newer > 0 ? say.newer(number(newer)) : isPaused ? '' : say.held)}</span>
          <button type="button" class="quiet" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
            <Icon name={isPaused ? 'right' : 'stop'} size={14} />
            {isPaused ? say.resume : say.pause}
          </button>
        </div>
      }
    >
      {events === null ? (
        <Loading />
      ) : events.length === 0 ? (
        <Empty icon="overview" title={hasGap ? say.feedSince : say.feedQuiet} hint={say.feedQuietHint} />
      ) : (
        // A finger stays nowhere: only what can leave again holds it.
        <ol
          class="feed"
          onPointerEnter={({ pointerType }) => setPointed(pointerType === 'mouse')}
          onPointerLeave={() => setPointed(false)}
          onFocusIn={() => setEntered(true)}
          onFocusOut={() => setEntered(false)}
        >
          {events.map(event => (
            <Happened key={event.id} event={event} />
          ))}
        </ol>
      )}
    </Card>
  )
}
