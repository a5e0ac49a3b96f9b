// Which devices are listed, and in which order: as the address of the page says it, so that a link shows the same. Pure. Not here: the fields (filters.tsx).

import type { DeviceQuery, DeviceStatus } from '@downlink/client'

/** By the number of commands that wait, or by the one that has waited longest; null: as they were added. */
export type Order = 'waiting' | 'oldest'

export interface Asked {
  readonly text: string
  readonly status: DeviceStatus | null
  readonly product: string
  /** only those that something waits for */
  readonly waiting: boolean
  readonly order: Order | null
}

export const statuses: readonly DeviceStatus[] = ['online', 'offline', 'inactive', 'disabled']
export const orders: readonly Order[] = ['waiting', 'oldest']
/** characters of a text or a productKey: the server takes no more */
export const ASKED_MAX_CHARS = 64

export const everything: Asked = { text: '', status: null, product: '', waiting: false, order: null }

/** What the query of an address asks for; what it says wrong counts as not said. */
export function askedIn(search: string): Asked {
  const given = new URLSearchParams(search)
  const text = (name: string) => (given.get(name) ?? '').trim().slice(0, ASKED_MAX_CHARS)
  const oneOf = <T extends string>(name: string, choices: readonly T[]) =>
    choices.find(choice => choice === given.get(name)) ?? null
  return orderable({
    text: text('text'),
    status: oneOf('status', statuses),
    product: text('product'),
    waiting: given.get('waiting') === 'true',
    order: oneOf('order', orders),
  })
}

/** The server orders all devices that wait, or those of one product, and looks for nothing else at the same time: then what is looked for counts. */
const orderable = (asked: Asked): Asked =>
  asked.text !== '' || asked.status !== null ? { ...asked, order: null } : asked

/** With something else asked for: an order takes the place of what cannot be looked for within it, and the other way round. */
export const askedWith = (asked: Asked, change: Partial<Asked>): Asked => {
  const ordered = typeof change.order === 'string' ? { text: '', status: null, waiting: false } : {}
  return orderable({ ...asked, ...change, ...ordered })
}

/** The query of an address: `?text=pump&waiting=true`; of everything none at all. */
export function searchOf({ text, status, product, waiting, order }: Asked): string {
  const given = Object.entries({ text, status, product, waiting: waiting ? 'true' : '', order })
  const told = given.filter((entry): entry is [string, string] => entry[1] !== null && entry[1] !== '')
  return told.length === 0 ? '' : `?${new URLSearchParams(told)}`
}

/** Of a list in the order of adding. */
export const queryOf = ({ text, status, product, waiting }: Asked): DeviceQuery => ({
  ...(text === '' ? {} : { text }),
  ...(status === null ? {} : { status }),
  ...(product === '' ? {} : { productKey: product }),
  ...(waiting ? { waiting } : {}),
})

export const isFiltered = (asked: Asked): boolean => searchOf({ ...asked, order: null }) !== ''
