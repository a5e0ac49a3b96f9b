// The items of a cancellation as a file for a spreadsheet. Pure but for the last step, by which the browser keeps a text as a file.

import { type CancellationItem, stateName } from '@downlink/client'

const COLUMNS = ['commandId', 'assetId', 'productKey', 'deviceKey', 'outcome', 'state'] as const

export function csvOf(items: readonly CancellationItem[]): string {
  const lines = items.map(({ commandId, device, outcome, state }) => [
    commandId,
    device?.assetId ?? '',
    device?.productKey ?? '',
    device?.deviceKey ?? '',
    outcome,
    state === null ? '' : stateName[state],
  ])
  return [COLUMNS, ...lines].map(line => `${line.map(cell).join(',')}\r\n`).join('')
}

/** In quotes; and so that no spreadsheet takes it for a formula, which a deviceKey might look like. */
const cell = (text: string): string => `"${(/^[=+\-@\t\r]/.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`

/** ms after which the browser has taken the text, and its address is given up */
const TAKEN_MS = 10_000

export function keepAsFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'text/csv;charset=utf-8' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), TAKEN_MS)
}
