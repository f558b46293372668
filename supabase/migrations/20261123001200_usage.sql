-- Usage over time: rollups by UTC day, folded behind the ledger up to a watermark in its gap-free sequence, plus the tail not folded yet.
-- Refunds count against the day, agent and department of what they refund, so that a rollup is the net of its day.

-- Folds an organization's next entries, at most p_most; returns how many. Safe to run twice and beside spends: the watermark row is locked,
-- and every entry up to the tail is committed before it can be seen (sequences are gap-free in commit order).
create function billing_private.fold_usage(p_organization_id uuid, p_most bigint default 100000)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_from bigint;
  v_to bigint;
begin
  insert into billing_private.credit_usage_watermarks (organization_id, folded_sequence) values (p_organization_id, 0)
  on conflict (organization_id) do nothing;
  select w.folded_sequence into v_from from billing_private.credit_usage_watermarks as w
  where w.organization_id = p_organization_id for update;
  select least(max(t.sequence), v_from + p_most) into v_to from billing.credit_transactions as t
  where t.organization_id = p_organization_id;
  if v_to is null or v_to <= v_from then
    return 0;
  end if;
  insert into billing.credit_usage_daily as d
    (organization_id, usage_date, agent_type, action, department_id, user_id, agent_key_id, model, amount, consumption_count)
  select
    t.organization_id, (t.created_at at time zone 'UTC')::date, t.agent_type, t.action, t.department_id, t.user_id, t.agent_key_id,
    t.metadata ->> 'model', -sum(t.amount), count(*) filter (where t.kind = 'consume')
  from billing.credit_transactions as t
  where t.organization_id = p_organization_id and t.sequence > v_from and t.sequence <= v_to
    and t.kind in ('consume', 'refund') and t.agent_type is not null
  group by 1, 2, 3, 4, 5, 6, 7, 8
  on conflict (organization_id, usage_date, agent_type, action, department_id, user_id, agent_key_id, model) do update
  set amount = d.amount + excluded.amount, consumption_count = d.consumption_count + excluded.consumption_count;
  update billing_private.credit_usage_watermarks as w set folded_sequence = v_to where w.organization_id = p_organization_id;
  return v_to - v_from;
end
$$;
revoke all on function billing_private.fold_usage(uuid, bigint) from public;

-- Usage in [p_from, p_to), by instant for what the rollup cannot tell (parts of days, other zones, runs) and by day for whole UTC days. The
-- caller's own rights apply: both sources are read through row level security.
create function billing_private.usage_rows(p_organization_id uuid, p_from timestamptz, p_to timestamptz, p_by_instant boolean)
returns table (
  used_at timestamptz, agent_type text, action text, department_id uuid, user_id uuid, agent_key_id text, model text, run_id text,
  amount numeric, consumption_count bigint
)
language sql
stable
set search_path = ''
as $$
  with watermark as (
    select coalesce(max(w.folded_sequence), 0) as folded_sequence
    from billing_private.credit_usage_watermarks as w
    where w.organization_id = p_organization_id and not p_by_instant
  )
  select
    d.usage_date::timestamp at time zone 'UTC', d.agent_type, d.action, d.department_id, d.user_id, d.agent_key_id, d.model, null,
    d.amount::numeric, d.consumption_count
  from billing.credit_usage_daily as d
  where not p_by_instant and d.organization_id = p_organization_id
    and d.usage_date >= (p_from at time zone 'UTC')::date and d.usage_date < (p_to at time zone 'UTC')::date
  union all
  select
    t.created_at, t.agent_type, t.action, t.department_id, t.user_id, t.agent_key_id, t.metadata ->> 'model', t.run_id,
    -t.amount::numeric, (t.kind = 'consume')::integer::bigint
  from billing.credit_transactions as t
  where t.organization_id = p_organization_id and t.kind in ('consume', 'refund') and t.agent_type is not null
    and t.created_at >= p_from and t.created_at < p_to
    and t.sequence > (select w.folded_sequence from watermark as w)
$$;
revoke all on function billing_private.usage_rows(uuid, timestamptz, timestamptz, boolean) from public;
grant execute on function billing_private.usage_rows(uuid, timestamptz, timestamptz, boolean) to authenticated, service_role;
grant select on table billing_private.credit_usage_watermarks to authenticated, service_role;
create policy credit_usage_watermarks_read on billing_private.credit_usage_watermarks for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids())));

-- Validates the common arguments; returns whether the rows must be read by instant: a group or bucket that days cannot tell, or an end that
-- is not a UTC midnight.
create function billing_private.usage_by_instant(
  p_organization_id uuid, p_from timestamptz, p_to timestamptz, p_bucket text, p_timezone text, p_group_by text
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_organization_id is null
    or not (billing_private.caller_is_service() or p_organization_id = any(array(select billing_private.my_organization_ids()))) then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  if p_from is null or p_to is null or p_to <= p_from or not isfinite(p_from) or not isfinite(p_to) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "to"}', 'from and to are finite instants, to after from');
  end if;
  if p_bucket not in ('hour', 'day', 'week', 'month') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "bucket"}', 'hour, day, week or month');
  end if;
  if p_group_by not in ('agent_type', 'action', 'department', 'member', 'model', 'agent_key', 'run') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "group_by"}',
      'agent_type, action, department, member, model, agent_key or run');
  end if;
  if billing_private.is_timezone(p_timezone) is not true then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "timezone"}', 'the name of an IANA time zone');
  end if;
  if p_to - p_from > interval '3660 days' or (p_bucket = 'hour' and p_to - p_from > interval '92 days') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "to"}', 'at most 92 days by the hour, ten years otherwise');
  end if;
  return p_bucket = 'hour' or p_timezone <> 'UTC' or coalesce(p_group_by = 'run', false)
    or p_from <> date_trunc('day', p_from, 'UTC')
    or (p_to <> date_trunc('day', p_to, 'UTC') and p_to < clock_timestamp());
end
$$;
revoke all on function billing_private.usage_by_instant(uuid, timestamptz, timestamptz, text, text, text) from public;
grant execute on function billing_private.usage_by_instant(uuid, timestamptz, timestamptz, text, text, text) to authenticated, service_role;

-- The buckets that have usage; clients fill the gaps. Rights as for reading usage: a plain member's answer holds their own and their
-- department's. Raises 403 not_authorized, 422 invalid_argument.
create function billing.get_usage_timeseries(
  organization_id uuid, "from" timestamptz, "to" timestamptz, bucket text default 'day', timezone text default 'UTC',
  group_by text default null
)
returns table (bucket_start timestamptz, group_key text, amount numeric, consumption_count bigint)
language sql
stable
set search_path = ''
as $$
  select
    date_trunc($4, u.used_at, $5),
    case $6
      when 'agent_type' then u.agent_type when 'action' then u.agent_type || '.' || u.action
      when 'department' then u.department_id::text when 'member' then u.user_id::text when 'model' then u.model
      when 'agent_key' then u.agent_key_id when 'run' then u.run_id
    end,
    sum(u.amount), sum(u.consumption_count)::bigint
  from billing_private.usage_rows($1, $2, $3, billing_private.usage_by_instant($1, $2, $3, $4, $5, $6)) as u
  group by 1, 2
  order by 1, 3 desc, 2
$$;
revoke all on function billing.get_usage_timeseries(uuid, timestamptz, timestamptz, text, text, text) from public;
grant execute on function billing.get_usage_timeseries(uuid, timestamptz, timestamptz, text, text, text) to authenticated, service_role;
comment on function billing.get_usage_timeseries(uuid, timestamptz, timestamptz, text, text, text) is
'Credits consumed (net of refunds) in [from, to) by hour, day, week or month of a time zone, optionally by agent_type, action, department, member, model, agent_key or run.';

-- The top_n groups by amount, the largest first, and one row for all others together (is_other).
create function billing.get_usage_breakdown(
  organization_id uuid, "from" timestamptz, "to" timestamptz, group_by text default 'agent_type', top_n integer default 10
)
returns table (group_key text, is_other boolean, amount numeric, consumption_count bigint)
language sql
stable
set search_path = ''
as $$
  with grouped as (
    select t.group_key, sum(t.amount) as amount, sum(t.consumption_count)::bigint as consumption_count
    from billing.get_usage_timeseries($1, $2, $3, 'month', 'UTC', coalesce($4, 'agent_type')) as t
    group by t.group_key
  ),
  ranked as (
    select g.*, row_number() over (order by g.amount desc, g.group_key) > greatest(1, least(coalesce($5, 10), 100)) as is_other
    from grouped as g
  )
  select case when not r.is_other then r.group_key end, r.is_other, sum(r.amount), sum(r.consumption_count)::bigint
  from ranked as r
  group by 1, 2
  order by 2, 3 desc, 1
$$;
revoke all on function billing.get_usage_breakdown(uuid, timestamptz, timestamptz, text, integer) from public;
grant execute on function billing.get_usage_breakdown(uuid, timestamptz, timestamptz, text, integer) to authenticated, service_role;
comment on function billing.get_usage_breakdown(uuid, timestamptz, timestamptz, text, integer) is
'Credits consumed (net of refunds) in [from, to) by group: the top_n (at most 100), and the rest as one row with is_other.';
