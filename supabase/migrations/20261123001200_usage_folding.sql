-- Folding usage behind the ledger, up to a watermark in its gap-free sequence. A refund counts against the agent and department of what it refunds,
-- on the day on which it was given, so that a rollup is the net of its day and no closed day changes.

-- What entries (p_after, p_up_to] of an organization come to, by day and everything that can be grouped by, with their hours.
create function billing_private.rolled_up_usage(p_organization_id uuid, p_after bigint, p_up_to bigint)
returns setof billing.credit_usage_daily
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  with hourly as (
    select
      (t.created_at at time zone 'UTC')::date as usage_date, extract(hour from t.created_at at time zone 'UTC')::smallint as usage_hour,
      t.agent_type, t.action, t.department_id, t.user_id, t.agent_key_id, t.metadata ->> 'model' as model,
      -sum(t.amount) as amount, count(*) filter (where t.kind = 'consume') as consumption_count
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.sequence > p_after and t.sequence <= p_up_to
      and t.kind in ('consume', 'refund') and t.agent_type is not null
    group by 1, 2, 3, 4, 5, 6, 7, 8
  )
  select
    p_organization_id, h.usage_date, h.agent_type, h.action, h.department_id, h.user_id, h.agent_key_id, h.model,
    sum(h.amount)::billing.credit_delta, sum(h.consumption_count)::bigint,
    array_agg(h.usage_hour order by h.usage_hour), array_agg(h.amount order by h.usage_hour),
    array_agg(h.consumption_count order by h.usage_hour)
  from hourly as h
  group by h.usage_date, h.agent_type, h.action, h.department_id, h.user_id, h.agent_key_id, h.model;
end
$$;
revoke all on function billing_private.rolled_up_usage(uuid, bigint, bigint) from public;

-- The same by run.
create function billing_private.rolled_up_runs(p_organization_id uuid, p_after bigint, p_up_to bigint)
returns setof billing_private.credit_usage_runs
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  with hourly as (
    select
      (t.created_at at time zone 'UTC')::date as usage_date, extract(hour from t.created_at at time zone 'UTC')::smallint as usage_hour,
      t.run_id, t.department_id, t.user_id, -sum(t.amount) as amount, count(*) filter (where t.kind = 'consume') as consumption_count
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.sequence > p_after and t.sequence <= p_up_to
      and t.kind in ('consume', 'refund') and t.agent_type is not null
    group by 1, 2, 3, 4, 5
  )
  select
    p_organization_id, h.usage_date, h.run_id, h.department_id, h.user_id, sum(h.amount)::billing.credit_delta, sum(h.consumption_count)::bigint,
    array_agg(h.usage_hour order by h.usage_hour), array_agg(h.amount order by h.usage_hour),
    array_agg(h.consumption_count order by h.usage_hour)
  from hourly as h
  group by h.usage_date, h.run_id, h.department_id, h.user_id;
end
$$;
revoke all on function billing_private.rolled_up_runs(uuid, bigint, bigint) from public;

-- The hours of a rollup, as arrays side by side.
create type billing_private.hourly_usage as (
  hours smallint[],
  amounts numeric[],
  counts bigint[]
);

-- Two rollups of one day as one.
create function billing_private.merged_hours(p_one billing_private.hourly_usage, p_other billing_private.hourly_usage)
returns billing_private.hourly_usage
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_merged billing_private.hourly_usage;
begin
  if (p_one).hours[cardinality((p_one).hours)] < (p_other).hours[1] then -- the usual case: later usage is of later hours
    return (
      (p_one).hours || (p_other).hours, (p_one).amounts || (p_other).amounts, (p_one).counts || (p_other).counts
    )::billing_private.hourly_usage;
  end if;
  select array_agg(h.hour order by h.hour), array_agg(h.amount order by h.hour), array_agg(h.total order by h.hour)
  into v_merged.hours, v_merged.amounts, v_merged.counts
  from (
    select u.hour, sum(u.amount) as amount, sum(u.total)::bigint as total
    from (
      select a.hour, a.amount, a.total from unnest((p_one).hours, (p_one).amounts, (p_one).counts) as a (hour, amount, total)
      union all
      select b.hour, b.amount, b.total from unnest((p_other).hours, (p_other).amounts, (p_other).counts) as b (hour, amount, total)
    ) as u
    group by u.hour
  ) as h;
  return v_merged;
end
$$;
revoke all on function billing_private.merged_hours(billing_private.hourly_usage, billing_private.hourly_usage) from public;

-- Folds an organization's next entries, at most p_most; returns how many. Safe to run twice and beside spends: the watermark row is locked,
-- and every entry up to the tail is committed before it can be seen (sequences are gap-free in commit order). Takes no organization's lock.
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
  select least(t.sequence, v_from + p_most) into v_to from billing.credit_transactions as t
  where t.organization_id = p_organization_id
  order by t.sequence desc limit 1;
  if not found or v_to <= v_from then
    return 0;
  end if;
  insert into billing.credit_usage_daily as d (
    organization_id, usage_date, agent_type, action, department_id, user_id, agent_key_id, model, amount, consumption_count,
    hours, hour_amounts, hour_counts
  )
  select
    u.organization_id, u.usage_date, u.agent_type, u.action, u.department_id, u.user_id, u.agent_key_id, u.model, u.amount, u.consumption_count,
    u.hours, u.hour_amounts, u.hour_counts
  from billing_private.rolled_up_usage(p_organization_id, v_from, v_to) as u
  on conflict (organization_id, usage_date, agent_type, action, department_id, user_id, agent_key_id, model) do update
  set
    amount = d.amount + excluded.amount,
    consumption_count = d.consumption_count + excluded.consumption_count,
    (hours, hour_amounts, hour_counts) = (
      select m.hours, m.amounts, m.counts
      from billing_private.merged_hours(
        (d.hours, d.hour_amounts, d.hour_counts)::billing_private.hourly_usage,
        (excluded.hours, excluded.hour_amounts, excluded.hour_counts)::billing_private.hourly_usage) as m
    );
  insert into billing_private.credit_usage_runs as r
    (organization_id, usage_date, run_id, department_id, user_id, amount, consumption_count, hours, hour_amounts, hour_counts)
  select
    u.organization_id, u.usage_date, u.run_id, u.department_id, u.user_id, u.amount, u.consumption_count, u.hours, u.hour_amounts, u.hour_counts
  from billing_private.rolled_up_runs(p_organization_id, v_from, v_to) as u
  on conflict (organization_id, usage_date, run_id, department_id, user_id) do update
  set
    amount = r.amount + excluded.amount,
    consumption_count = r.consumption_count + excluded.consumption_count,
    (hours, hour_amounts, hour_counts) = (
      select m.hours, m.amounts, m.counts
      from billing_private.merged_hours(
        (r.hours, r.hour_amounts, r.hour_counts)::billing_private.hourly_usage,
        (excluded.hours, excluded.hour_amounts, excluded.hour_counts)::billing_private.hourly_usage) as m
    );
  update billing_private.credit_usage_watermarks as w set folded_sequence = v_to where w.organization_id = p_organization_id;
  return v_to - v_from;
end
$$;
revoke all on function billing_private.fold_usage(uuid, bigint) from public;

-- Makes the months of credit_usage_runs from p_at's to three months later that are not there yet, and moves in what has waited for them in the
-- last partition. Returns how many were made. The names of tables to be made cannot be written down beforehand: this is the one place where
-- text is run as SQL, and it is built from a date alone. Locks credit_usage_runs against other such changes, and its last partition.
create function billing_private.make_partitions(p_at timestamptz)
returns bigint
language plpgsql
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_month date;
  v_name text;
  v_made bigint := 0;
begin
  for v_month in
    select m.month::date
    from generate_series(date_trunc('month', p_at at time zone 'UTC'), (p_at at time zone 'UTC') + interval '3 months', '1 month') as m (month)
  loop
    v_name := 'credit_usage_runs_' || to_char(v_month, 'YYYYMM');
    continue when to_regclass('billing_private.' || v_name) is not null;
    execute format('create table billing_private.%I (like billing_private.credit_usage_runs including defaults)', v_name);
    execute format('alter table billing_private.%I enable row level security', v_name);
    execute format('revoke all on table billing_private.%I from public, anon, authenticated, service_role', v_name);
    execute format(
      'with waiting as (
        delete from billing_private.credit_usage_runs_other as o where o.usage_date >= $1 and o.usage_date < $2 returning o.*
      )
      insert into billing_private.%I select w.* from waiting as w', v_name) using v_month, (v_month + interval '1 month')::date;
    execute format('alter table billing_private.credit_usage_runs attach partition billing_private.%I for values from (%L) to (%L)',
      v_name, v_month, (v_month + interval '1 month')::date);
    v_made := v_made + 1;
  end loop;
  return v_made;
end
$$;
revoke all on function billing_private.make_partitions(timestamptz) from public;

do $$
begin
  perform billing_private.make_partitions(clock_timestamp());
end
$$;
