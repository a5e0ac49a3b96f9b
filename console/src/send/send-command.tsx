// Sending a device a command: what is chosen, the form for it, and what became of it. Which one is chosen stands in the address (`set` or `invoke`), so that a link
// shows the same; `like` fills it in as an earlier command was. Not here: fields (field.tsx), times (when.tsx), sending (sending.ts).

import type { CommandRecord, DeviceLine, ThingModel } from '@downlink/client'
import { useMemo, useState } from 'preact/hooks'
import { Link, useSearchParams } from 'wouter-preact'
import { zoneOf } from '../clock.ts'
import { useLook } from '../live.ts'
import { Empty, Notice, Seen } from '../parts/notice.tsx'
import { Card } from '../parts/page.tsx'
import { useSession } from '../signed-in.tsx'
import { nameOf } from '../words.ts'
import { Choose } from './choose.tsx'
import { filledIn } from './filled.ts'
import type { Form } from './form.ts'
import { Like } from './like.tsx'
import { OrderForm } from './order-form.tsx'
import './send.css'
import { keyOf, type Sendable, sendablesOf } from './sendable.ts'
import { formOf } from './sending.ts'
import { words } from './words.ts'

export interface SendCommandProps {
  readonly device: DeviceLine
  /** The command is on record, and for one that goes out now the device has done it. What failed is told by the form alone. */
  readonly onSent: (commandId: string) => void
}

export const SendCommand = (props: SendCommandProps) => {
  const { assetId } = props.device
  // In an object, since null says that there is no model.
  const look = useLook(async (client, signal) => ({ model: await client.thingModel(assetId, { signal }) }), [assetId])
  return (
    <Card class="send">
      {/* What leads here says so already, to who sees it. */}
      <h2 class="unseen">{words().title}</h2>
      <Seen look={look}>{({ model }) => <WithModel key={assetId} {...props} model={model} />}</Seen>
    </Card>
  )
}

const WithModel = ({ device, onSent, model }: SendCommandProps & { model: ThingModel | null }) => {
  const { client } = useSession()
  const form = useMemo(() => formOf(client, device.assetId), [client, device.assetId])
  const all = useMemo(() => (model === null ? null : sendablesOf(model)), [model])
  const [params, setParams] = useSearchParams()
  const [filled, setFilled] = useState<FilledFrom | null>(null)
  const zone = zoneOf(device.timezone)
  const go = (choice: Form['choice']) => setParams(before => withChoice(before, choice), { replace: true })
  const like = params.get('like')
  const onFound = (record: CommandRecord) => {
    const { form: next, isKnown, leftOut } = filledIn(form.peek(), record, all, zone)
    form.value = next
    setFilled({ record, isKnown, leftOut })
    go(next.choice)
  }
  if (like !== null) return <Like key={like} commandId={like} onFound={onFound} />

  const onChoose = (chosen: Sendable) => {
    setFilled(null)
    const { kind, identifier } = chosen
    form.value = { ...form.peek(), choice: { kind, identifier }, touched: new Set(), isChecked: false }
    go(chosen)
  }
  const choice = choiceOf(params) ?? form.value.choice
  const about = all?.find(thing => choice !== null && keyOf(thing) === keyOf(choice)) ?? null
  if (all?.length === 0) return <Empty title={words().empty} hint={words().emptyHint} />
  const sending = { device, onSent, form, zone, filled: filled === null ? null : <FilledNotice {...filled} /> }
  if (all === null) return <OrderForm key="raw" {...sending} about={null} />
  return (
    <div class="send-both">
      <Choose all={all} choice={choice} onChoose={onChoose} />
      {about === null ? (
        <div>
          <NothingChosen choice={choice} filled={filled} />
        </div>
      ) : (
        <OrderForm key={keyOf(about)} {...sending} about={about} />
      )}
    </div>
  )
}

interface FilledFrom {
  readonly record: CommandRecord
  readonly isKnown: boolean
  readonly leftOut: readonly string[]
}

const NothingChosen = ({ choice, filled }: { choice: Form['choice']; filled: FilledFrom | null }) => {
  const say = words()
  if (filled !== null) return <FilledNotice {...filled} />
  if (choice !== null) return <Notice kind="bad">{say.gone(choice.identifier)}</Notice>
  return <Empty icon="send" title={say.nothingChosen} hint={say.nothingChosenHint} />
}

const FilledNotice = ({ record, isKnown, leftOut }: FilledFrom) => {
  const say = words()
  if (!isKnown) return <Notice kind="bad">{say.likeGone(nameOf(record.commandName) || record.tslIdentifier)}</Notice>
  return (
    <Notice kind="info">
      <Link href={`/commands/${record.commandId}`}>{say.like(record.commandId)}</Link>
      {leftOut.length > 0 && <p>{say.likeLeftOut(leftOut.join(', '))}</p>}
    </Notice>
  )
}

function choiceOf(params: URLSearchParams): Form['choice'] {
  for (const kind of ['set', 'invoke'] as const) {
    const identifier = params.get(kind)
    if (identifier !== null) return { kind, identifier }
  }
  return null
}

/** The address of the form of another thing. */
function withChoice(before: URLSearchParams, choice: Form['choice']): URLSearchParams {
  const params = new URLSearchParams(before)
  for (const name of ['set', 'invoke', 'like']) params.delete(name)
  if (choice !== null) params.set(choice.kind, choice.identifier)
  return params
}
