// What the measurement runs within the page that it watches: which rows each frame shows, and when events arrive. Functions of this file are sent to the
// browser as they stand, so each is whole in itself. Not here: what is made of it (../latency.ts).

/** What the queue shows from a frame on. */
export interface Frame {
  /** epoch ms, right after the frame that was the first to show it */
  readonly paintedAt: number
  /** commandId and state of each row */
  readonly rows: readonly (readonly [string, string])[]
}
/** id of an event, and when it was there, epoch ms */
export type Told = readonly [string, number]

declare global {
  var downlinkWatched: { readonly frames: Frame[]; readonly told: Told[] }
}

/**
 * Keeps what each frame shows. A change of the document is followed by a frame; what stands there when the frame begins is what it paints, and a message that
 * is sent at that moment arrives when it has been painted.
 */
export function watch(): void {
  const frames: Frame[] = []
  globalThis.downlinkWatched = { frames, told: [] }
  let isAwaited = false
  let last = ''
  const look = () => {
    isAwaited = false
    const found = document.querySelectorAll<HTMLElement>('[data-current=true] [data-command-id][data-state]')
    const rows = [...found].map(
      ({ dataset: { commandId = '', state = '' } }) => [commandId, state] as readonly [string, string],
    )
    const text = JSON.stringify(rows)
    if (text === last) return
    last = text
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      frames.push({ paintedAt: Date.now(), rows })
      port1.close()
    }
    port2.postMessage(null)
  }
  new MutationObserver(() => {
    if (isAwaited) return
    isAwaited = true
    requestAnimationFrame(look)
  }).observe(document.body, { subtree: true, childList: true, attributes: true })
}

/** Reads the device's events over a stream of its own, beside the page's, and keeps when each was there. */
export async function follow(of: { assetId: string; orgId: string; operatorToken: string }): Promise<void> {
  const { operatorToken, ...query } = of
  const headers = { authorization: `Bearer ${operatorToken}` }
  const response = await fetch(`/v1/events?${new URLSearchParams(query)}`, { headers })
  if (!response.ok || response.body === null) throw new Error(`no stream: ${response.status}`)
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  const { told } = globalThis.downlinkWatched
  const read = async () => {
    let rest = ''
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      const lines = (rest + value).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (!line.startsWith('data: ')) continue
        const { id, commandId } = JSON.parse(line.slice('data: '.length))
        if (typeof commandId === 'string') told.push([id, Date.now()])
      }
    }
  }
  void read()
}
