-- Usage over time: exact at every instant, from rollups where they can tell and from entries where they cannot. Whole UTC days come from the
-- days' totals, days that something cuts from their hours, hours that something cuts (a zone of half hours, a `from` within an hour) and what is
-- not folded yet from the entries. All are read under the caller's own rights, through row level security.

-- Sequence of an organization's last entry dated before p_at, 0 when there is none: entries are dated in the order of their sequence, so a
-- bisection finds it. With the owner's rights, since row level security would hide entries from the search; it tells a number alone, and only to
-- those who belong to the organization.
create function billing_private.last_sequence_before(p_organization_id uuid, p_at timestamptz)
returns bigint
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_low bigint := 0;
  v_high bigint;
  v_middle bigint;
  v_created_at timestamptz;
begin
  if not (
    billing_private.caller_is_service() or p_organization_id = any(array(select billing_private.my_organization_ids()))
  ) then
    return 0;
  end if;
  -- Not max(): without statistics, as in a young partition, the planner may read every entry for it.
  select t.sequence into v_high from billing.credit_transactions as t
  where t.organization_id = p_organization_id
  order by t.sequence desc limit 1;
  while v_low < v_high loop
    v_middle := (v_low + v_high + 1) / 2;
    select t.created_at into v_created_at from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.sequence = v_middle;
    if v_created_at < p_at then
      v_low := v_middle;
    else
      v_high := v_middle - 1;
    end if;
  end loop;
  return v_low;
end
$$;
revoke all on function billing_private.last_sequence_before(uuid, timestamptz) from public;
grant execute on function billing_private.last_sequence_before(uuid, timestamptz) to authenticated, service_role;

-- Where the buckets of [p_from, p_to) begin, ascending, the first at or before p_from. A local day begins when the zone's clocks first show it,
-- and may have 23 or 25 hours; a bucket of null is the whole range.
create function billing_private.bucket_starts(p_bucket text, p_timezone text, p_from timestamptz, p_to timestamptz)
returns timestamptz[]
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_bucket is null then
    return array[p_from];
  elsif p_bucket = 'hour' then
    -- No zone is off by less than a quarter of an hour, so every local hour begins on one.
    return (
      select array_agg(q.at order by q.at)
      from generate_series(date_trunc('hour', p_from, 'UTC') - interval '1 hour', p_to, '15 minutes') as q (at)
      where date_trunc('hour', q.at, p_timezone) = q.at and q.at < p_to
    );
  end if;
  return (
    select array_agg(distinct b.at)
    from generate_series(
      date_trunc(p_bucket, p_from at time zone p_timezone), p_to at time zone p_timezone, ('1 ' || p_bucket)::interval
    ) as l (local_start)
    cross join lateral (select billing_private.first_instant(l.local_start, p_timezone)) as b (at)
    where b.at < p_to
  );
end
$$;
revoke all on function billing_private.bucket_starts(text, text, timestamptz, timestamptz) from public;
grant execute on function billing_private.bucket_starts(text, text, timestamptz, timestamptz) to authenticated, service_role;

-- Refuses arguments that no reading can answer. Raises 403 not_authorized (not a member), 422 invalid_argument.
create function billing_private.require_usage_window(
  p_organization_id uuid, p_from timestamptz, p_to timestamptz, p_bucket text, p_timezone text, p_group_by text
)
returns void
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
end
$$;
revoke all on function billing_private.require_usage_window(uuid, timestamptz, timestamptz, text, text, text) from public;
grant execute on function billing_private.require_usage_window(uuid, timestamptz, timestamptz, text, text, text) to authenticated, service_role;

-- Entries to be read one by one, as spans of the sequence: within folded hours that p_cuts cut, and, the last span, all that is not folded yet.
create function billing_private.unrolled_spans(
  p_organization_id uuid, p_from timestamptz, p_to timestamptz, p_cut_hours timestamptz[], p_folded bigint
)
returns table (first_sequence bigint, last_sequence bigint)
language plpgsql
stable
set search_path = ''
as $$
declare
  v_span tstzrange;
begin
  for v_span in
    select unnest(range_agg(tstzrange(greatest(h.at, p_from), least(h.at + interval '1 hour', p_to)))) from unnest(p_cut_hours) as h (at)
  loop
    first_sequence := billing_private.last_sequence_before(p_organization_id, lower(v_span)) + 1;
    last_sequence := least(billing_private.last_sequence_before(p_organization_id, upper(v_span)), p_folded);
    if first_sequence <= last_sequence then
      return next;
    end if;
  end loop;
  first_sequence := p_folded + 1;
  last_sequence := 9223372036854775807;
  return next;
end
$$;
revoke all on function billing_private.unrolled_spans(uuid, timestamptz, timestamptz, timestamptz[], bigint) from public;
grant execute on function billing_private.unrolled_spans(uuid, timestamptz, timestamptz, timestamptz[], bigint) to authenticated, service_role;

-- Net consumption in [p_from, p_to) by bucket and group; p_group_by null: all together. The caller's rights apply. Arguments are checked.
create function billing_private.usage_between(
  p_organization_id uuid, p_from timestamptz, p_to timestamptz, p_bucket text, p_timezone text, p_group_by text
)
returns table (bucket_start timestamptz, group_key text, amount numeric, consumption_count bigint)
language plpgsql
stable
set search_path = ''
as $$
declare
  v_starts constant timestamptz[] := billing_private.bucket_starts(p_bucket, p_timezone, p_from, p_to);
  v_by_run constant boolean := p_group_by is not distinct from 'run';
  v_folded bigint;
  v_cut_off timestamptz;
  v_cut_days date[];
  v_cut_hours timestamptz[];
  v_first_sequences bigint[];
  v_last_sequences bigint[];
begin
  select coalesce(max(w.folded_sequence), 0) into v_folded
  from billing_private.credit_usage_watermarks as w where w.organization_id = p_organization_id;
  -- A cut is an instant on whose two sides usage goes to different answers: the ends of the range, and the starts of buckets within it. Behind the
  -- last folded entry there is nothing to be cut off: who asks up to now reads the hour's total, not the hour's entries.
  if billing_private.last_sequence_before(p_organization_id, p_to) < v_folded then
    v_cut_off := p_to;
  end if;
  select
    coalesce(array_agg(distinct (c.at at time zone 'UTC')::date) filter (where c.at <> date_trunc('day', c.at, 'UTC')), '{}'),
    coalesce(array_agg(distinct date_trunc('hour', c.at, 'UTC')) filter (where c.at <> date_trunc('hour', c.at, 'UTC')), '{}')
  into v_cut_days, v_cut_hours
  from unnest(v_starts || p_from || v_cut_off) as c (at)
  where c.at >= p_from;
  select array_agg(s.first_sequence), array_agg(s.last_sequence) into v_first_sequences, v_last_sequences
  from billing_private.unrolled_spans(p_organization_id, p_from, p_to, v_cut_hours, v_folded) as s;
  return query
  with rollups as (
    select d.usage_date, d.amount::numeric as amount, d.consumption_count, d.hours, d.hour_amounts, d.hour_counts,
      case p_group_by
        when 'agent_type' then d.agent_type when 'action' then d.agent_type || '.' || d.action
        when 'department' then d.department_id::text when 'member' then d.user_id::text
        when 'model' then d.model when 'agent_key' then d.agent_key_id
      end as key
    from billing.credit_usage_daily as d
    where not v_by_run and d.organization_id = p_organization_id
      and d.usage_date >= (p_from at time zone 'UTC')::date and d.usage_date <= (p_to at time zone 'UTC')::date
    union all
    select r.usage_date, r.amount::numeric, r.consumption_count, r.hours, r.hour_amounts, r.hour_counts, r.run_id
    from billing_private.credit_usage_runs as r
    where v_by_run and r.organization_id = p_organization_id
      and r.usage_date >= (p_from at time zone 'UTC')::date and r.usage_date <= (p_to at time zone 'UTC')::date
  ),
  pieces as (
    select u.usage_date::timestamp at time zone 'UTC' as at, u.key, u.amount, u.consumption_count
    from rollups as u
    left join unnest(v_cut_days) as c (day) on c.day = u.usage_date
    where c.day is null and u.usage_date::timestamp at time zone 'UTC' < p_to
    union all
    select i.at, u.key, h.amount, h.consumption_count
    from rollups as u
    inner join unnest(v_cut_days) as c (day) on c.day = u.usage_date
    cross join lateral unnest(u.hours, u.hour_amounts, u.hour_counts) as h (hour, amount, consumption_count)
    cross join lateral (select (u.usage_date + make_interval(hours => h.hour)) at time zone 'UTC') as i (at)
    where i.at >= p_from and i.at < p_to and i.at <> all(v_cut_hours)
    union all
    select t.created_at, t.key, t.amount, t.consumption_count
    from unnest(v_first_sequences, v_last_sequences) as s (first_sequence, last_sequence)
    cross join lateral (
      select e.created_at, -e.amount::numeric as amount, (e.kind = 'consume')::integer::bigint as consumption_count,
        case p_group_by
          when 'agent_type' then e.agent_type when 'action' then e.agent_type || '.' || e.action
          when 'department' then e.department_id::text when 'member' then e.user_id::text
          when 'model' then e.metadata ->> 'model' when 'agent_key' then e.agent_key_id when 'run' then e.run_id
        end as key
      from billing.credit_transactions as e
      where e.organization_id = p_organization_id and e.sequence >= s.first_sequence and e.sequence <= s.last_sequence
        and e.kind in ('consume', 'refund') and e.agent_type is not null and e.created_at >= p_from and e.created_at < p_to
      offset 0 -- planned by itself: a span is read along the primary key, where a join would read the whole ledger
    ) as t
  )
  select v_starts[width_bucket(p.at, v_starts)], p.key, sum(p.amount), sum(p.consumption_count)::bigint
  from pieces as p
  group by 1, 2
  order by 1, 3 desc, 2;
end
$$;
revoke all on function billing_private.usage_between(uuid, timestamptz, timestamptz, text, text, text) from public;
grant execute on function billing_private.usage_between(uuid, timestamptz, timestamptz, text, text, text) to authenticated, service_role;

-- The buckets that have usage; clients fill the gaps. Rights as for reading usage: a plain member's answer holds their own and their
-- department's. Raises 403 not_authorized, 422 invalid_argument.
create function billing.get_usage_timeseries(
  organization_id uuid, "from" timestamptz, "to" timestamptz, bucket text default 'day', timezone text default 'UTC',
  group_by text default null
)
returns table (bucket_start timestamptz, group_key text, amount numeric, consumption_count bigint)
language plpgsql
stable
set search_path = ''
as $$
begin
  perform billing_private.require_usage_window($1, $2, $3, coalesce($4, 'day'), coalesce($5, 'UTC'), $6);
  return query select u.* from billing_private.usage_between($1, $2, $3, coalesce($4, 'day'), coalesce($5, 'UTC'), $6) as u;
end
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
language plpgsql
stable
set search_path = ''
as $$
begin
  perform billing_private.require_usage_window($1, $2, $3, 'month', 'UTC', coalesce($4, 'agent_type'));
  return query
  with ranked as (
    select u.group_key, u.amount, u.consumption_count,
      row_number() over (order by u.amount desc, u.group_key) > greatest(1, least(coalesce($5, 10), 100)) as is_other
    from billing_private.usage_between($1, $2, $3, null, 'UTC', coalesce($4, 'agent_type')) as u
  )
  select case when not r.is_other then r.group_key end, r.is_other, sum(r.amount), sum(r.consumption_count)::bigint
  from ranked as r
  group by 1, 2
  order by 2, 3 desc, 1;
end
$$;
revoke all on function billing.get_usage_breakdown(uuid, timestamptz, timestamptz, text, integer) from public;
grant execute on function billing.get_usage_breakdown(uuid, timestamptz, timestamptz, text, integer) to authenticated, service_role;
comment on function billing.get_usage_breakdown(uuid, timestamptz, timestamptz, text, integer) is
'Credits consumed (net of refunds) in [from, to) by group: the top_n (at most 100), and the rest as one row with is_other.';
