// Operators: people who look and act in the console. Each is an application named NAME@ORG that signs nothing: whoever has one of its tokens calls as it. So all
// that holds of applications (grants, who did what, removal) holds of people. Pure. Not here: their tokens (http/tokens.ts), how one is made (applications.ts).

import { OPERATOR_NAME_MAX_CHARS } from '../core/limits.ts'
import type { Grant } from '../store/store.ts'

/** What a name must be, as a regular expression and in words. It stands in addresses, logs and on the command line, so it needs no quoting anywhere. */
export const OPERATOR_NAME = `^[a-z0-9][a-z0-9._-]{0,${OPERATOR_NAME_MAX_CHARS - 1}}$`
export const operatorNameRule = `must be 1 to ${OPERATOR_NAME_MAX_CHARS} of a-z 0-9 . _ -, beginning with a letter or a digit`

const NAME = new RegExp(OPERATOR_NAME)

export const operatorKey = (name: string, orgId: string): string => `${name}@${orgId}`

/** The name of the operator that an application is; null: it is an application like any other. */
export function operatorOf({ appKey, orgId }: { readonly appKey: string; readonly orgId: string }): string | null {
  const name = appKey.slice(0, -orgId.length - 1)
  return appKey === operatorKey(name, orgId) && NAME.test(name) ? name : null
}

/** Of a new one, unless others are given: to see everything, and to send and cancel. */
export const operatorGrants: readonly Grant[] = [
  { resource: 'Asset', actions: ['Control'], scope: 'all' },
  { resource: 'Device', actions: ['Read'], scope: 'all' },
  { resource: 'Model', actions: ['Read'], scope: 'all' },
  { resource: 'Organization', actions: ['Read'], scope: 'all' },
]
