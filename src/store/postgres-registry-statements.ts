// The SQL of the registry on PostgreSQL, as part of that of the store (postgres-statements.ts). Where a row may be one of many, all of them come at once: one
// array per column.

import { DEVICE_COLUMNS } from './rows.ts'

const APPLICATION_COLUMNS = 'app_key, org_id, secret, grants_json'
const PRODUCT_COLUMNS = 'product_key, org_id, secret, model_id, json'
const DEVICES = 'device d left join device g on g.id = d.gateway_id'

/** advisory: the first key of the store's own locks */
export const registryStatements = (advisory: number) =>
  ({
    organization: 'select org_id, name from organization where org_id = any($1::text[])',
    organizations: 'select org_id, name from organization order by org_id',
    application: `select ${APPLICATION_COLUMNS} from application where app_key = any($1::text[])`,
    applications: `select ${APPLICATION_COLUMNS} from application where org_id = $1 order by id`,
    firstApplication: `select ${APPLICATION_COLUMNS} from application where org_id = $1 order by id limit 1`,
    removeApplication: 'delete from application where app_key = $1',
    removeTokens: 'delete from token where app_key = $1',
    model: `select m.org_id, m.model_id, m.json from unnest($1::text[], $2::text[]) as k (org_id, model_id)
    join model m on m.org_id = k.org_id and m.model_id = k.model_id`,
    models: 'select org_id, model_id, json from model where org_id = $1 order by model_id',
    product: `select ${PRODUCT_COLUMNS} from product where product_key = any($1::text[])`,
    products: `select ${PRODUCT_COLUMNS} from product where org_id = $1 order by product_key`,
    removeProduct: 'delete from product where product_key = $1',
    deviceById: `select ${DEVICE_COLUMNS} from ${DEVICES} where d.id = $1::bigint`,
    deviceByKeys: `select ${DEVICE_COLUMNS} from unnest($1::text[], $2::text[]) as k (product_key, device_key)
    join device d on d.product_key = k.product_key and d.device_key = k.device_key left join device g on g.id = d.gateway_id`,
    deviceByAsset: `select ${DEVICE_COLUMNS} from ${DEVICES} where d.asset_id = any($1::text[])`,
    countDevices: 'select count(*) as count from device where product_key = $1',
    subDevices: `select ${DEVICE_COLUMNS} from device g join device d on d.gateway_id = g.id where g.asset_id = $1 order by d.id`,
    countSubDevices:
      'select count(*) as count from device g join device d on d.gateway_id = g.id where g.asset_id = $1',
    /** Whoever writes the registry does so alone, so that what he read is still so when he writes; for as long, he may take $1 ms for a statement. */
    registryLock: `select pg_advisory_xact_lock(${advisory}, 3), set_config('statement_timeout', $1, true),
    set_config('idle_in_transaction_session_timeout', $1, true)`,
    lockAssets: 'select id from device where asset_id = any($1::text[]) order by id for update',
    putOrganization: `insert into organization (org_id, name) select * from unnest($1::text[], $2::text[])
    on conflict (org_id) do update set name = excluded.name`,
    /** in the order in which they are given: the first one stays the first */
    putApplication: `insert into application (app_key, org_id, secret, grants_json)
    select app_key, org_id, secret, grants_json from unnest($1::text[], $2::text[], $3::text[], $4::text[])
      with ordinality as a (app_key, org_id, secret, grants_json, place) order by place
    on conflict (app_key) do update set secret = excluded.secret, grants_json = excluded.grants_json`,
    putModel: `insert into model (org_id, model_id, json) select * from unnest($1::text[], $2::text[], $3::text[])
    on conflict (org_id, model_id) do update set json = excluded.json`,
    putProduct: `insert into product (product_key, org_id, secret, model_id, json)
    select * from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    on conflict (product_key) do update set secret = excluded.secret, model_id = excluded.model_id, json = excluded.json`,
    /** Out of the way for a device that takes these keys in the same fleet; `~` is in no key. */
    parkDeviceKey: "update device set device_key = '~' || id where asset_id = any($1::text[])",
    /** The description only where the row says something of it. */
    updateDevice: `update device d set version = d.version + 1, product_key = n.product_key, device_key = n.device_key, secret = n.secret,
      name_json = n.name_json, timezone = n.timezone, disabled = n.disabled, certificate_serial = n.certificate_serial,
      description = case when n.describes then n.description else d.description end
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[], $9::text[], $10::boolean[])
      as n (product_key, device_key, secret, name_json, timezone, disabled, certificate_serial, description, asset_id, describes)
    where d.asset_id = n.asset_id`,
    /** one that is disabled has no session any more */
    endSession: 'update device set session_node = null, wanting = false where asset_id = any($1::text[]) and disabled',
    /** in the order in which they are given: so are their numbers */
    insertDevice: `insert into device (product_key, device_key, secret, name_json, timezone, disabled, certificate_serial, description, asset_id, org_id,
      created_at)
    select product_key, device_key, secret, name_json, timezone, disabled, certificate_serial, description, asset_id, org_id, $11::bigint
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::boolean[], $7::text[], $8::text[], $9::text[], $10::text[]) with ordinality
      as n (product_key, device_key, secret, name_json, timezone, disabled, certificate_serial, description, asset_id, org_id, place) order by place`,
    /** $6: it goes by another key, so who is connected is not it */
    changeDevice: `update device set version = version + 1, device_key = $1, secret = $2, name_json = $3, timezone = $4, description = $5,
      session_node = case when $6 then null else session_node end, active_at = case when $6 then null else active_at end,
      wanting = wanting and not $6
    where asset_id = $7`,
    /** After all devices are in, because a file may list a gateway after its sub-devices. */
    setGateway: `update device d set gateway_id = (select g.id from device g where g.asset_id = n.gateway)
    from unnest($1::text[], $2::text[]) as n (gateway, asset_id) where d.asset_id = n.asset_id`,
    moveDevice: `update device d set version = d.version + 1, gateway_id = (select g.id from device g where g.asset_id = n.gateway)
    from unnest($1::text[], $2::text[]) as n (gateway, asset_id) where d.asset_id = n.asset_id`,
    setting: 'select value from setting where key = $1',
    /** the first value stays */
    addSetting: 'insert into setting (key, value) values ($1, $2) on conflict (key) do nothing',
  }) as const
