// What the administrator does with applications: makes them, gives them new secrets, grants and revokes, removes them. Not here: what a grant covers
// (grants.ts), who is the administrator (http/), tokens (http/tokens.ts).

import { errors, invalid, overloaded, type Refusal, refuse } from '../core/errors.ts'
import { APPLICATIONS_MAX, CHANGE_ATTEMPTS, GRANTS_MAX } from '../core/limits.ts'
import { type ApplicationRow, FleetConflict, type Grant, type Registry, type Scope } from '../store/store.ts'
import { permissions } from './grants.ts'
import { newUuid, type RandomBytes } from './names.ts'
import { operatorGrants, operatorKey } from './operators.ts'
import { applicationRow } from './rows.ts'
import { ClearSecret, type Secrets } from './secrets.ts'

/** An application as the administrator sees it: never its secret. */
export type Listed = Pick<ApplicationRow, 'appKey' | 'orgId' | 'grants'>

/** The one time that a secret is told. */
export interface WithSecret {
  readonly ok: true
  readonly application: Listed
  readonly appSecret: ClearSecret
}

/** What is granted or revoked. */
export interface GrantChange {
  readonly resource: string
  readonly actions: readonly string[]
  readonly scope: Scope
}

/** `actions` absent: all of the resource; `scope` absent: whatever the scope. */
export type Revocation = Pick<GrantChange, 'resource'> & Partial<Pick<GrantChange, 'actions' | 'scope'>>

const listed = ({ appKey, orgId, grants }: ApplicationRow): Listed => ({ appKey, orgId, grants })
const noSuch = (appKey: string): Refusal => refuse(errors.notFound, `application ${appKey} not found`)

export class Applications {
  readonly #registry: Registry
  readonly #secrets: Secrets
  readonly #randomBytes: RandomBytes

  constructor(registry: Registry, secrets: Secrets, randomBytes: RandomBytes) {
    this.#registry = registry
    this.#secrets = secrets
    this.#randomBytes = randomBytes
  }

  /** In the order in which they were added. */
  async list(orgId: string): Promise<Listed[]> {
    return (await this.#registry.applications(orgId)).map(listed)
  }

  async find(orgId: string, appKey: string): Promise<Listed | null> {
    const row = await this.#row(orgId, appKey)
    return row === null ? null : listed(row)
  }

  /** With `appKey` null one is drawn. Refusals: 99404 there is no such organization, 99412 the appKey is taken, in whatever organization; 99400 too many. */
  async create(
    orgId: string,
    appKey: string | null,
    grants: readonly Grant[],
    now: number,
  ): Promise<WithSecret | Refusal> {
    if ((await this.#registry.organization(orgId)) === null) return noOrganization(orgId)
    const { length } = await this.#registry.applications(orgId)
    if (length >= APPLICATIONS_MAX)
      return invalid('orgId', `the organization has ${length} applications, more are not taken`)
    const key = appKey ?? newUuid(this.#randomBytes)
    const { appSecret, secret } = this.#newSecret(key)
    const row = { appKey: key, orgId, secret, grants: grants.reduce(withGrant, []) }
    try {
      await this.#registry.addFleet(
        { organizations: [], applications: [row], models: [], products: [], devices: [] },
        now,
      )
    } catch (error) {
      if (!(error instanceof FleetConflict)) throw error
      return refuse(errors.exists, `appKey ${key} is taken; use another, or leave it out to be given one`)
    }
    return { ok: true, application: listed(row), appSecret }
  }

  /**
   * The application that an operator is: the one that there is, or a new one, whose secret nobody is told. `grants` in the place of all that it has; null: it keeps
   * its own, and a new one gets the usual ones. Refusals: as those of `create`, and 99404 where it is removed meanwhile.
   */
  async keepOperator(
    orgId: string,
    name: string,
    grants: readonly Grant[] | null,
    now: number,
  ): Promise<Listed | Refusal> {
    const appKey = operatorKey(name, orgId)
    const isThere = (await this.#row(orgId, appKey)) !== null
    const made = isThere ? null : await this.create(orgId, appKey, grants ?? operatorGrants, now)
    if (made?.ok) return made.application
    // What exists now and did not before was made at the same moment, for the same person.
    if (made !== null && made.code !== errors.exists.code) return made
    if (grants !== null) return this.setGrants(orgId, appKey, grants)
    return (await this.find(orgId, appKey)) ?? made ?? noSuch(appKey)
  }

  /** A new secret in the place of the old one, which is good for nothing from now on, and no token that it got either. Refusals: 99404. */
  async rotate(orgId: string, appKey: string): Promise<WithSecret | Refusal> {
    const { appSecret, secret } = this.#newSecret(appKey)
    const changed = await this.#change(orgId, appKey, row => ({ ...row, secret }))
    return 'ok' in changed ? changed : { ok: true, application: changed, appSecret }
  }

  /** These in the place of all that it has. Refusals: 99404. */
  setGrants(orgId: string, appKey: string, grants: readonly Grant[]): Promise<Listed | Refusal> {
    return this.#change(orgId, appKey, row => ({ ...row, grants: grants.reduce(withGrant, []) }))
  }

  /** What it has already it keeps; granting twice is granting once. Refusals: 99404; 99400 it would have too many. */
  grant(orgId: string, appKey: string, change: GrantChange): Promise<Listed | Refusal> {
    return this.#change(orgId, appKey, row => {
      const grants = withGrant(row.grants, change)
      return grants.length > GRANTS_MAX
        ? invalid('grants', `the application would have more than ${GRANTS_MAX}`)
        : { ...row, grants }
    })
  }

  /** What it does not have it does not lose. Refusals: 99404. */
  revoke(orgId: string, appKey: string, what: Revocation): Promise<Listed | Refusal> {
    return this.#change(orgId, appKey, row => ({ ...row, grants: withoutGrant(row.grants, what) }))
  }

  /** Its tokens end with it. Calls that have been let in are still answered. Refusals: 99404. */
  async remove(orgId: string, appKey: string): Promise<Refusal | null> {
    if ((await this.#row(orgId, appKey)) === null) return noSuch(appKey)
    return (await this.#registry.removeApplication(appKey)) ? null : noSuch(appKey)
  }

  async #row(orgId: string, appKey: string): Promise<ApplicationRow | null> {
    const row = await this.#registry.application(appKey)
    return row?.orgId === orgId ? row : null
  }

  /** Made from what is on record and written only where that is so still: two changes at once both count, and one that was removed stays so. */
  async #change(
    orgId: string,
    appKey: string,
    make: (row: ApplicationRow) => ApplicationRow | Refusal,
  ): Promise<Listed | Refusal> {
    for (let attempt = 1; attempt <= CHANGE_ATTEMPTS; attempt += 1) {
      const from = await this.#row(orgId, appKey)
      if (from === null) return noSuch(appKey)
      const to = make(from)
      if ('ok' in to) return to
      if (await this.#registry.changeApplication(from, to)) return listed(to)
    }
    return overloaded('others are changing this application')
  }

  #newSecret(appKey: string): { readonly appSecret: ClearSecret; readonly secret: string } {
    const appSecret = new ClearSecret(newUuid(this.#randomBytes))
    return { appSecret, secret: this.#secrets.seal(applicationRow(appKey), appSecret.reveal()) }
  }
}

export const noOrganization = (orgId: string): Refusal => refuse(errors.notFound, `organization ${orgId} not found`)

const sameScope = (one: Scope, other: Scope): boolean => scopeText(one) === scopeText(other)

/** Whatever the order of its keys. */
function scopeText(scope: Scope): string {
  if (scope === 'all') return 'all'
  const [kind, keys] = 'productKeys' in scope ? ['products', scope.productKeys] : ['assets', scope.assetIds]
  return JSON.stringify([kind, [...new Set(keys)].sort()])
}

/** The grants with one more: its actions are added to the grant of the same resource and scope, where there is one. */
export function withGrant(grants: readonly Grant[], { resource, actions, scope }: GrantChange): Grant[] {
  const isIt = (grant: Grant): boolean => grant.resource === resource && sameScope(grant.scope, scope)
  if (!grants.some(isIt)) return [...grants, { resource, actions: [...new Set(actions)], scope }]
  return grants.map(grant =>
    isIt(grant) ? { ...grant, actions: [...new Set([...grant.actions, ...actions])] } : grant,
  )
}

/** The grants without some actions. What implies a revoked action goes with it: who may control may read. Grants without an action left are gone. */
export function withoutGrant(grants: readonly Grant[], { resource, actions, scope }: Revocation): Grant[] {
  const pairs: readonly (readonly [string, readonly [all: string, read: string]])[] = Object.entries(permissions)
  const [all, read] = pairs.find(([name]) => name === resource)?.[1] ?? ['', '']
  const gone = new Set(actions ?? [all, read])
  if (gone.has(read)) gone.add(all)
  const isMeant = (grant: Grant): boolean =>
    grant.resource === resource && (scope === undefined || sameScope(grant.scope, scope))
  return grants
    .map(grant => (isMeant(grant) ? { ...grant, actions: grant.actions.filter(action => !gone.has(action)) } : grant))
    .filter(grant => grant.actions.length > 0)
}
