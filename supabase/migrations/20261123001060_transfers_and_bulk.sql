-- Moving credits between scopes, and granting to many at once.

-- Moves remaining, unheld credits from one scope to another (null: the organization's pool), keeping expiry, cost basis, priority and agent types:
-- each source grant's part becomes a grant of source `transfer` whose parent is the source; a plan's credits stay its period's, and their
-- rollover cap goes with them as far as what stays behind has no use for it. The balance does not change; the entry says who lent
-- what to whom. Owner, admin, billing, or the service. Replays by idempotency_key. Raises 402 insufficient_credits, 403 not_authorized, 409
-- idempotency_conflict, 422 invalid_amount and invalid_argument.
create function billing_private.transfer_credits(
  p_from_department_id uuid, p_to_department_id uuid, p_amount numeric, p_idempotency_key text
)
returns billing.credit_receipt
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_organization_id uuid;
  v_first billing.credit_transactions;
  v_tail billing.credit_transactions;
  v_entry billing.credit_transactions;
  v_grant billing_private.credit_grant_lots;
  v_outcome billing_private.spend_outcome;
  v_detail jsonb;
  v_now timestamptz;
  v_left numeric := p_amount;
  v_take numeric;
  v_new_id uuid;
  v_taken_ids uuid[] := '{}';
  v_taken_amounts numeric[] := '{}';
  v_given_ids uuid[] := '{}';
begin
  perform billing_private.require_amount('amount', p_amount);
  perform billing_private.require_text('idempotency_key', p_idempotency_key);
  if scale(trim_scale(p_amount)) > 6 then
    perform billing_private.fail(422, 'invalid_amount', '{"argument": "amount"}', 'at most six decimals');
  end if;
  if p_from_department_id is not distinct from p_to_department_id then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "to_department_id"}', 'two different scopes');
  end if;
  select d.organization_id into v_organization_id
  from billing.departments as d where d.id = coalesce(p_from_department_id, p_to_department_id);
  perform billing_private.require_role(
    coalesce(v_organization_id, '00000000-0000-0000-0000-000000000000'), '{owner,admin,billing}');
  perform billing_private.require_department(v_organization_id, p_from_department_id);
  perform billing_private.require_department(v_organization_id, p_to_department_id);
  perform billing_private.lock_organization(v_organization_id);

  v_detail := jsonb_build_object(
    'from_department_id', p_from_department_id, 'to_department_id', p_to_department_id, 'amount', trim_scale(p_amount));
  select t.* into v_first from billing.credit_transactions as t
  where t.organization_id = v_organization_id and t.idempotency_key = p_idempotency_key;
  if found then
    if v_first.kind <> 'transfer' or v_first.metadata <> v_detail then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('transaction_id', v_first.id));
    end if;
    return billing_private.correction_receipt(v_first, true);
  end if;

  v_tail := billing_private.ledger_tail(v_organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = v_organization_id;
  v_tail := billing_private.settle(v_tail, v_now);
  for v_grant in
    select g.* from billing_private.credit_grant_lots as g
    where g.organization_id = v_organization_id and g.is_open and g.activated_at is not null
      and g.department_id is not distinct from p_from_department_id
    order by g.organization_id, g.priority, g.is_scoped desc, g.burn_by, g.unit_cost, g.effective_at, g.id
  loop
    exit when v_left = 0;
    v_take := least(v_grant.remaining - v_grant.held, v_left);
    continue when v_take = 0;
    v_left := v_left - v_take;
    v_new_id := gen_random_uuid();
    insert into billing_private.credit_grant_lots (
      organization_id, id, source, source_reference, amount, remaining, priority, department_id, agent_types, unit_cost, currency,
      effective_at, expires_at, activated_at, parent_grant_id, created_at,
      subscription_id, period_start, period_ends_at, grace_ends_at, rollover_cap
    ) values (
      v_organization_id, v_new_id, 'transfer', v_new_id::text, v_take, v_take, v_grant.priority, p_to_department_id, v_grant.agent_types,
      v_grant.unit_cost, v_grant.currency, v_grant.effective_at, v_grant.expires_at, v_now, v_grant.id, v_now,
      v_grant.subscription_id, v_grant.period_start, v_grant.period_ends_at, v_grant.grace_ends_at,
      v_grant.rollover_cap - least(v_grant.rollover_cap, v_grant.remaining - v_take)
    );
    update billing_private.credit_grant_lots as g
    set rollover_cap = least(v_grant.rollover_cap, v_grant.remaining - v_take)
    where g.organization_id = v_organization_id and g.id = v_grant.id and g.rollover_cap is not null;
    v_taken_ids := v_taken_ids || v_grant.id;
    v_taken_amounts := v_taken_amounts || -v_take;
    v_given_ids := v_given_ids || v_new_id;
  end loop;
  -- The pool cannot lend what the organization owes.
  if v_left > 0 or v_tail.balance_after - v_tail.held_after < p_amount then
    v_outcome := billing_private.refuse_insufficient(
      v_organization_id, p_amount, greatest(0, least(p_amount - v_left, v_tail.balance_after - v_tail.held_after)),
      v_tail.balance_after, v_tail.held_after);
    perform billing_private.fail(v_outcome.status, v_outcome.slug, v_outcome.details);
  end if;
  perform billing_private.take_from_grants(v_organization_id, v_taken_ids, v_taken_amounts);
  v_entry := billing_private.append_entry(
    v_tail, 'transfer', 0, v_now, v_taken_ids || v_given_ids,
    v_taken_amounts || (select array_agg(-a.amount order by a.place) from unnest(v_taken_amounts) with ordinality as a (amount, place)),
    p_detail => jsonb_build_object('idempotency_key', p_idempotency_key, 'reason', 'transfer', 'metadata', v_detail));
  update billing_private.credit_grant_lots as g set transaction_id = v_entry.id
  where g.organization_id = v_organization_id and g.id = any(v_given_ids);
  perform billing_private.audit(v_organization_id, 'transfer_credits', 'transaction', v_entry.id::text, null, null, v_detail);
  return billing_private.correction_receipt(v_entry, false);
end
$$;
revoke all on function billing_private.transfer_credits(uuid, uuid, numeric, text) from public;
grant execute on function billing_private.transfer_credits(uuid, uuid, numeric, text) to authenticated, service_role;

create function billing.transfer_credits(from_department_id uuid, to_department_id uuid, amount numeric, idempotency_key text)
returns billing.credit_receipt
language sql
volatile
set search_path = ''
return billing_private.transfer_credits(from_department_id, to_department_id, amount, idempotency_key);
revoke all on function billing.transfer_credits(uuid, uuid, numeric, text) from public;
grant execute on function billing.transfer_credits(uuid, uuid, numeric, text) to authenticated, service_role;
comment on function billing.transfer_credits(uuid, uuid, numeric, text) is
'Owner, admin, billing: moves credits between a department and another or the pool (null), with their expiry and cost basis.';

-- Bulk grants ---------------------------------------------------------------------------------------

create table billing_private.grant_batches (
  batch_key text not null primary key,
  request_hash bytea not null,
  grant_count integer not null,
  total_amount numeric not null,
  created_at timestamptz not null default clock_timestamp()
);
alter table billing_private.grant_batches enable row level security;
revoke all on table billing_private.grant_batches from public, anon, authenticated, service_role;
comment on table billing_private.grant_batches is 'Bulk grants that were booked, by the key under which they replay. They span organizations.';
comment on column billing_private.grant_batches.batch_key is 'The caller''s key, unique everywhere.';
comment on column billing_private.grant_batches.request_hash is
'SHA-256 of the grants as they were sent; other grants under the key are a conflict.';
comment on column billing_private.grant_batches.grant_count is 'Number of grants booked.';
comment on column billing_private.grant_batches.total_amount is 'Credits granted in all.';
comment on column billing_private.grant_batches.created_at is 'When it was booked.';

create type billing.grant_batch as (
  batch_key text,
  grant_count integer,
  total_amount numeric,
  replayed boolean
);
comment on type billing.grant_batch is 'What a bulk grant booked: how many grants, and credits in all.';

-- One row of a bulk grant, as grant_credits takes it.
create type billing_private.grant_row as (
  organization_id uuid,
  amount numeric,
  source text,
  source_reference text,
  expires_at timestamptz,
  effective_at timestamptz,
  priority integer,
  department_id uuid,
  agent_types text[],
  unit_cost numeric,
  currency text,
  metadata jsonb
);

create function billing_private.read_grant_row(p_batch_key text, p_number bigint, p_value jsonb)
returns billing_private.grant_row
language plpgsql
stable
set search_path = ''
as $$
begin
  if jsonb_typeof(p_value) is distinct from 'object' or exists (
    select 1 from jsonb_object_keys(p_value) as k (name) where k.name not in (
      'organization_id', 'amount', 'source', 'source_reference', 'expires_at', 'effective_at', 'priority', 'department_id', 'agent_types',
      'unit_cost', 'currency', 'metadata')
  ) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "grants"}', 'a row is an object with the arguments of grant_credits');
  end if;
  return (
    (p_value ->> 'organization_id')::uuid, (p_value ->> 'amount')::numeric, p_value ->> 'source',
    coalesce(p_value ->> 'source_reference', p_batch_key || ':' || p_number), (p_value ->> 'expires_at')::timestamptz,
    (p_value ->> 'effective_at')::timestamptz, (p_value ->> 'priority')::integer, (p_value ->> 'department_id')::uuid,
    case when p_value -> 'agent_types' <> 'null' then array(select a.name from jsonb_array_elements_text(p_value -> 'agent_types') as a (name)) end,
    (p_value ->> 'unit_cost')::numeric, p_value ->> 'currency', nullif(p_value -> 'metadata', 'null')
  )::billing_private.grant_row;
end
$$;
revoke all on function billing_private.read_grant_row(text, bigint, jsonb) from public;

-- Refuses, without any lock, what the ledger as it stands would refuse: so that a bulk grant can name its first bad row, though it books in the
-- order of the locks. Raises as grant_credits does.
create function billing_private.require_grant_row(p_row billing_private.grant_row)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_grant_id uuid;
  v_granted numeric;
begin
  perform billing_private.require_grant_terms(p_row.amount, p_row.source, p_row.source_reference, p_row.agent_types, p_row.unit_cost);
  perform billing_private.require_metadata(p_row.metadata);
  select billing_private.ledger_now(o.test_clock) into v_now from billing.organizations as o where o.organization_id = p_row.organization_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "organization"}');
  elsif p_row.department_id is not null and not exists (
    select 1 from billing.departments as d where d.organization_id = p_row.organization_id and d.id = p_row.department_id
  ) then
    perform billing_private.fail(404, 'not_found', '{"what": "department"}');
  end if;
  select g.id, g.amount into v_grant_id, v_granted from billing_private.credit_grant_lots as g
  where g.organization_id = p_row.organization_id and g.source = p_row.source and g.source_reference = p_row.source_reference;
  if not found then
    perform billing_private.require_grant_time(coalesce(p_row.effective_at, v_now), p_row.expires_at);
  elsif v_granted <> p_row.amount then
    perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('grant_id', v_grant_id));
  end if;
end
$$;
revoke all on function billing_private.require_grant_row(billing_private.grant_row) from public;

-- Up to 10,000 grants, all or nothing. Each row: organization_id, amount, source, and optionally source_reference (default <batch_key>:<row>),
-- expires_at, effective_at, priority, department_id, agent_types, unit_cost, metadata. Organizations are taken in the order of their lock keys.
-- The refusal of a row carries its number (from 0) in details.row. The service, or a platform admin. The same batch_key replays; with other
-- grants it is 409 idempotency_conflict.
create function billing_private.grant_credits_bulk(p_batch_key text, p_grants jsonb)
returns billing.grant_batch
language plpgsql
security definer
set search_path = ''
set enable_seqscan = off -- plans are kept: one made while a table was small must serve when it is not
as $$
declare
  v_batch billing_private.grant_batches;
  v_hash bytea;
  v_row billing_private.grant_row;
  v_number bigint; -- of the row at hand
  v_value jsonb;
  v_status text;
  v_slug text;
  v_details text;
  v_hint text;
begin
  if not billing_private.caller_is_platform_admin() then
    perform billing_private.require_service();
  end if;
  perform billing_private.require_text('batch_key', p_batch_key, 200);
  if jsonb_typeof(p_grants) is distinct from 'array' or jsonb_array_length(p_grants) not between 1 and 10000 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "grants", "max": 10000}', 'grants is an array of 1 to 10,000 rows');
  end if;
  v_hash := sha256(convert_to(p_grants::text, 'UTF8'));
  insert into billing_private.grant_batches (batch_key, request_hash, grant_count, total_amount)
  values (p_batch_key, v_hash, jsonb_array_length(p_grants), 0)
  on conflict (batch_key) do nothing
  returning * into v_batch;
  if v_batch.batch_key is null then
    select b.* into v_batch from billing_private.grant_batches as b where b.batch_key = p_batch_key;
    if v_batch.request_hash <> v_hash then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('batch_key', p_batch_key));
    end if;
    return (p_batch_key, v_batch.grant_count, v_batch.total_amount, true)::billing.grant_batch;
  end if;
  begin -- one block for all rows: one a row would be thousands of subtransactions
    for v_number, v_value in
      select e.place - 1, e.value from jsonb_array_elements(p_grants) with ordinality as e (value, place) order by e.place
    loop
      perform billing_private.require_grant_row(billing_private.read_grant_row(p_batch_key, v_number, v_value));
    end loop;
    for v_number, v_value in
      select e.place - 1, e.value
      from jsonb_array_elements(p_grants) with ordinality as e (value, place)
      inner join billing.organizations as o on o.organization_id = (e.value ->> 'organization_id')::uuid
      order by o.ledger_number, e.place
    loop
      v_row := billing_private.read_grant_row(p_batch_key, v_number, v_value);
      perform billing_private.grant_credits(
        v_row.organization_id, v_row.amount, v_row.source, v_row.source_reference, v_row.expires_at, v_row.effective_at, v_row.priority,
        v_row.department_id, v_row.agent_types, v_row.unit_cost, v_row.currency, v_row.metadata);
    end loop;
  exception when others then
    get stacked diagnostics v_status = returned_sqlstate, v_slug = message_text, v_details = pg_exception_detail, v_hint = pg_exception_hint;
    if v_status !~ '^PT[0-9]{3}$' then
      perform billing_private.fail(422, 'invalid_argument', jsonb_build_object('argument', 'grants', 'row', v_number), v_slug);
    end if;
    perform billing_private.fail(substr(v_status, 3)::integer, v_slug,
      coalesce(nullif(v_details, '')::jsonb, '{}') || jsonb_build_object('row', v_number), nullif(v_hint, ''));
  end;
  update billing_private.grant_batches as b
  set total_amount = (select sum((e.value ->> 'amount')::numeric) from jsonb_array_elements(p_grants) as e (value))
  where b.batch_key = p_batch_key
  returning * into v_batch;
  perform billing_private.audit(g.organization_id, 'grant_credits_bulk', 'organization', g.organization_id::text, 'batch ' || p_batch_key, null,
    jsonb_build_object('batch_key', p_batch_key, 'grants', g.grant_count, 'amount', g.amount))
  from (
    select (e.value ->> 'organization_id')::uuid as organization_id, count(*) as grant_count, sum((e.value ->> 'amount')::numeric) as amount
    from jsonb_array_elements(p_grants) as e (value) group by 1
  ) as g;
  return (p_batch_key, v_batch.grant_count, v_batch.total_amount, false)::billing.grant_batch;
end
$$;
revoke all on function billing_private.grant_credits_bulk(text, jsonb) from public;
grant execute on function billing_private.grant_credits_bulk(text, jsonb) to authenticated, service_role;

create function billing.grant_credits_bulk(batch_key text, grants jsonb)
returns billing.grant_batch
language sql
volatile
set search_path = ''
return billing_private.grant_credits_bulk(batch_key, grants);
revoke all on function billing.grant_credits_bulk(text, jsonb) from public;
grant execute on function billing.grant_credits_bulk(text, jsonb) to authenticated, service_role;
comment on function billing.grant_credits_bulk(text, jsonb) is
'Service or platform admin: up to 10,000 grants, all or nothing; a refusal names the row. The same batch_key replays.';
