-- Putting derived numbers right: rebuild_ledger(), from what 20261123001310_rebuilt_numbers.sql says they must be.

create type billing.rebuild_result as (
  organization_id uuid,
  kind text,
  changed bigint
);
comment on type billing.rebuild_result is
'How many derived rows of one kind (grants, limit_counters, usage) a rebuild has found wrong in one organization, and put right.';

-- The rollups' rows that differ from what the entries up to the watermark come to: a row that is right is on both sides. So each row that is on one
-- side alone is answered, stored (is_stored) or rebuilt.
create function billing_private.wrong_rollups(p_organization_id uuid)
returns table (rollup text, usage_date date, of_what text, figures text, is_stored boolean)
language sql
stable
set search_path = ''
as $$
  with watermark as (
    select coalesce(max(w.folded_sequence), 0) as folded from billing_private.credit_usage_watermarks as w where w.organization_id = p_organization_id
  ),
  days as (
    select u.*, false as is_stored from watermark as w cross join lateral billing_private.rolled_up_usage(p_organization_id, 0, w.folded) as u
    union all
    select d.*, true from billing.credit_usage_daily as d where d.organization_id = p_organization_id
  ),
  runs as (
    select u.*, false as is_stored from watermark as w cross join lateral billing_private.rolled_up_runs(p_organization_id, 0, w.folded) as u
    union all
    select r.*, true from billing_private.credit_usage_runs as r where r.organization_id = p_organization_id
  )
  select 'credit_usage_daily', d.usage_date, row(d.agent_type, d.action, d.department_id, d.user_id, d.agent_key_id, d.model)::text,
    row(d.amount, d.consumption_count, d.hours, d.hour_amounts, d.hour_counts)::text, bool_or(d.is_stored)
  from days as d
  group by d.usage_date, d.agent_type, d.action, d.department_id, d.user_id, d.agent_key_id, d.model, d.amount, d.consumption_count,
    d.hours, d.hour_amounts, d.hour_counts
  having count(*) <> 2
  union all
  select 'credit_usage_runs', r.usage_date, row(r.run_id, r.department_id, r.user_id)::text,
    row(r.amount, r.consumption_count, r.hours, r.hour_amounts, r.hour_counts)::text, bool_or(r.is_stored)
  from runs as r
  group by r.usage_date, r.run_id, r.department_id, r.user_id, r.amount, r.consumption_count, r.hours, r.hour_amounts, r.hour_counts
  having count(*) <> 2
$$;
revoke all on function billing_private.wrong_rollups(uuid) from public;

create function billing_private.rebuild_grants(p_organization_id uuid)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_changed bigint;
begin
  select count(*) into v_changed
  from billing_private.rebuilt_grants(p_organization_id) as r
  inner join billing_private.stored_grants(p_organization_id) as s on s.grant_id = r.grant_id
  where r is distinct from s;
  update billing_private.credit_grant_lots as g
  set remaining = r.remaining, held = r.held, is_open = r.is_open, closed_reason = r.closed_reason, activated_at = r.activated_at
  from billing_private.rebuilt_grants(p_organization_id) as r
  where g.organization_id = p_organization_id and g.id = r.grant_id
    and (g.remaining, g.held, g.is_open, g.closed_reason, g.activated_at)
    is distinct from (r.remaining, r.held, r.is_open, r.closed_reason, r.activated_at);
  return v_changed;
end
$$;
revoke all on function billing_private.rebuild_grants(uuid) from public;

-- What a counter lets pass unasked (quiet_below) is a hint: of a counter that was wrong it is taken away, and the next spend looks at the limit.
create function billing_private.rebuild_counters(p_organization_id uuid)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_removed bigint;
  v_put bigint;
begin
  with rebuilt as (select r.* from billing_private.rebuilt_counters(p_organization_id) as r)
  delete from billing_private.credit_limit_counters as c
  where c.organization_id = p_organization_id
    and not exists (select 1 from rebuilt as r where r.limit_id = c.limit_id and r.window_start = c.window_start);
  get diagnostics v_removed = row_count;
  insert into billing_private.credit_limit_counters as c (organization_id, limit_id, window_start, window_end, used, additional)
  select p_organization_id, r.limit_id, r.window_start, r.window_end, r.used, r.additional
  from billing_private.rebuilt_counters(p_organization_id) as r
  on conflict (organization_id, limit_id, window_start) do update
  set used = excluded.used, additional = excluded.additional, window_end = excluded.window_end, quiet_below = 0
  where (c.used, c.additional, coalesce(c.window_end, excluded.window_end)) <> (excluded.used, excluded.additional, excluded.window_end)
    or c.limit_id in (select q.limit_id from billing_private.loud_counters(p_organization_id) as q where q.window_start = c.window_start);
  get diagnostics v_put = row_count;
  return v_removed + v_put;
end
$$;
revoke all on function billing_private.rebuild_counters(uuid) from public;

-- Rollups up to the watermark are compared; if a row is wrong, all are made anew. Then what is not folded yet is folded.
create function billing_private.rebuild_usage(p_organization_id uuid)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_tail_sequence constant bigint := (billing_private.ledger_tail(p_organization_id)).sequence;
  v_folded bigint;
  v_changed bigint;
begin
  select w.folded_sequence into v_folded from billing_private.credit_usage_watermarks as w
  where w.organization_id = p_organization_id for update;
  select count(distinct (w.rollup, w.usage_date, w.of_what)) into v_changed from billing_private.wrong_rollups(p_organization_id) as w;
  if v_changed > 0 or v_folded > v_tail_sequence then
    delete from billing.credit_usage_daily as d where d.organization_id = p_organization_id;
    delete from billing_private.credit_usage_runs as r where r.organization_id = p_organization_id;
    update billing_private.credit_usage_watermarks as w set folded_sequence = 0 where w.organization_id = p_organization_id;
    v_changed := greatest(v_changed, 1);
  end if;
  perform billing_private.fold_usage(p_organization_id, 9000000000000000000);
  return v_changed;
end
$$;
revoke all on function billing_private.rebuild_usage(uuid) from public;

-- Puts every derived number of an organization right: from the entries, holds and limits. Locks the organization for as long as it takes (seconds a
-- million entries; spends wait, or are answered 503 busy). The entries themselves are facts: no rebuild changes them. Safe to repeat.
create function billing_private.rebuild_organization(p_organization_id uuid)
returns setof billing.rebuild_result
language plpgsql
set search_path = ''
as $$
begin
  perform billing_private.lock_organization(p_organization_id);
  return next (p_organization_id, 'grants', billing_private.rebuild_grants(p_organization_id))::billing.rebuild_result;
  return next (p_organization_id, 'limit_counters', billing_private.rebuild_counters(p_organization_id))::billing.rebuild_result;
  return next (p_organization_id, 'usage', billing_private.rebuild_usage(p_organization_id))::billing.rebuild_result;
end
$$;
revoke all on function billing_private.rebuild_organization(uuid) from public;

-- The service. Null: every organization, in the order of the lock key, in one transaction: on an installation in use, call it for one at a time.
create function billing_private.rebuild_ledger(p_organization_id uuid)
returns setof billing.rebuild_result
language plpgsql
security definer
set search_path = ''
set work_mem = '64MB' -- millions of entries are sorted and hashed
as $$
declare
  v_id uuid;
begin
  perform billing_private.require_service();
  if p_organization_id is not null then
    return query select r.* from billing_private.rebuild_organization(p_organization_id) as r;
    return;
  end if;
  for v_id in select o.organization_id from billing.organizations as o order by o.ledger_number loop
    return query select r.* from billing_private.rebuild_organization(v_id) as r;
  end loop;
end
$$;
revoke all on function billing_private.rebuild_ledger(uuid) from public;
grant execute on function billing_private.rebuild_ledger(uuid) to service_role;

create function billing.rebuild_ledger(organization_id uuid default null)
returns setof billing.rebuild_result
language sql
volatile
set search_path = ''
as $$
  select * from billing_private.rebuild_ledger($1)
$$;
revoke all on function billing.rebuild_ledger(uuid) from public;
grant execute on function billing.rebuild_ledger(uuid) to service_role;
comment on function billing.rebuild_ledger(uuid) is
'Service: makes every derived number (grants'' remainders, limit counters, rollups) anew from the entries, and tells how many rows of each were wrong.';
