// What the device was told, and what it answered. Not here: how values are shown (values.tsx), what came after the end (events.tsx).

import { type CommandRecord, isFinal, type ThingModel } from '@downlink/client'
import type { ComponentChildren } from 'preact'
import { useMemo } from 'preact/hooks'
import { useLook } from '../live.ts'
import { Card } from '../parts/page.tsx'
import { Value } from '../parts/value.tsx'
import { type Field, fieldOf } from '../send/sendable.ts'
import { Values } from './values.tsx'
import { words } from './words.ts'

const POINT = 1
/** characters of JSON from which it is scrolled in a place of its own, so that what stands below can be reached; inputs may have 64 KiB */
const LONG_CHARS = 1_200

interface Props {
  readonly command: CommandRecord
  /** false: it has been deleted, and what its product can be told is not asked for */
  readonly hasDevice: boolean
  readonly zone: string | undefined
}

export const Exchange = ({ command, hasDevice, zone }: Props) => {
  const say = words()
  const { assetId, commandType, tslIdentifier, inputData, outputData } = command
  const look = useLook(
    async (client, signal) => ({ model: hasDevice ? await client.thingModel(assetId, { signal }) : null }),
    [assetId, hasDevice],
  )
  const model = look.data?.model ?? null
  const names = useMemo(() => namesOf(model, command), [model, commandType, tslIdentifier])
  const show = (values: Readonly<Record<string, unknown>> | null, fields: readonly Field[], otherwise: unknown) =>
    values === null || fields.length === 0 ? (
      <Value value={otherwise} />
    ) : (
      <Values values={values} fields={fields} zone={zone} />
    )
  const inputs = commandType === POINT ? { [tslIdentifier]: inputData } : objectOf(inputData)
  const isEmpty = commandType !== POINT && (inputs === null || isEmptyObject(inputs))
  return (
    <div class="stack">
      <Part title={say.input} value={inputData}>
        {isEmpty ? <Faint>{say.noInput}</Faint> : show(inputs, names.inputs, inputData)}
      </Part>
      <Part title={say.output} value={outputData}>
        {outputData === null || isEmptyObject(outputData) ? (
          <NoOutput command={command} />
        ) : (
          show(outputData, names.outputs, outputData)
        )}
      </Part>
      {look.error !== null && <Faint>{say.withoutNames}</Faint>}
    </div>
  )
}

const Part = ({ title, value, children }: { title: string; value: unknown; children: ComponentChildren }) => {
  const isLong = useMemo(() => (JSON.stringify(value) ?? '').length > LONG_CHARS, [value])
  return (
    <Card title={title}>
      {isLong ? (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it is scrolled with the keyboard, too
        <section class="inner exchange-long" tabIndex={0} aria-label={title}>
          {children}
        </section>
      ) : (
        <div class="inner">{children}</div>
      )}
    </Card>
  )
}

const Faint = ({ children }: { children: ComponentChildren }) => <p class="faint">{children}</p>

const NoOutput = ({ command: { state, commandType, deviceCode } }: { command: CommandRecord }) => {
  const say = words()
  if (commandType === POINT) return <Faint>{say.noOutputOfPoint}</Faint>
  if (!isFinal(state)) return <Faint>{say.outputLater}</Faint>
  return <Faint>{deviceCode === null ? say.noOutputEver : say.noOutput}</Faint>
}

const isEmptyObject = (value: object): boolean => Object.keys(value).length === 0

const objectOf = (value: unknown): Readonly<Record<string, unknown>> | null =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null

/** What the model has of the command by now; nothing where it has lost it since. */
function namesOf(model: ThingModel | null, { commandType, tslIdentifier }: CommandRecord) {
  const nothing: readonly Field[] = []
  if (commandType === POINT) {
    const point = own(model?.measurepoints, tslIdentifier)
    return { inputs: point === undefined ? nothing : [fieldOf(point)], outputs: nothing }
  }
  const service = own(model?.services, tslIdentifier)
  return {
    inputs: service?.inputData.map(fieldOf) ?? nothing,
    outputs: service?.outputData.map(fieldOf) ?? nothing,
  }
}

/** An identifier may be any word, also one that every object has. */
const own = <T,>(all: Readonly<Record<string, T>> | undefined, identifier: string): T | undefined =>
  all !== undefined && Object.hasOwn(all, identifier) ? all[identifier] : undefined
