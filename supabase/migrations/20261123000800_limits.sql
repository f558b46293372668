-- Limits: windowed caps, checked inside the spend. A counter belongs to its window's start in the limit's own zone, so no job resets it, and
-- a local day may have 23 or 25 hours.

-- The instant at which a zone's clocks first show a local time. Where they are set back over midnight (Havana, the Azores) it comes twice, and
-- Postgres takes the second; the day begins with the first.
create function billing_private.first_instant(p_local timestamp, p_timezone text)
returns timestamptz
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_at constant timestamptz := p_local at time zone p_timezone;
begin
  return case when (v_at - interval '1 hour') at time zone p_timezone = p_local then v_at - interval '1 hour' else v_at end;
end
$$;
revoke all on function billing_private.first_instant(timestamp, text) from public;
grant execute on function billing_private.first_instant(timestamp, text) to authenticated, service_role;

create function billing_private.window_start(p_window text, p_timezone text, p_at timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_window = 'lifetime' then
    return '-infinity'::timestamptz;
  elsif p_timezone = 'UTC' then
    return date_trunc(p_window, p_at, 'UTC');
  end if;
  return billing_private.first_instant(date_trunc(p_window, p_at at time zone p_timezone), p_timezone);
end
$$;
revoke all on function billing_private.window_start(text, text, timestamptz) from public;
grant execute on function billing_private.window_start(text, text, timestamptz) to authenticated, service_role;

-- The first instant of the next window; null for a lifetime limit.
create function billing_private.window_end(p_window text, p_timezone text, p_at timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_window = 'lifetime' then
    return null;
  end if;
  return billing_private.first_instant(
    date_trunc(p_window, p_at at time zone p_timezone) + ('1 ' || p_window)::interval, p_timezone);
end
$$;
revoke all on function billing_private.window_end(text, text, timestamptz) from public;
grant execute on function billing_private.window_end(text, text, timestamptz) to authenticated, service_role;

-- A limit that applies to a spend, with its counter. `amount` includes what approvals have added for the window.
create type billing_private.applicable_limit as (
  limit_id uuid,
  subject_type text,
  subject_id text,
  amount numeric,
  mode text,
  alert_at numeric[],
  window_start timestamptz,
  resets_at timestamptz,
  used numeric
);

-- The limits on a spend's organization, department, member, agent type, key and run, by id; null when there are none.
create function billing_private.applicable_limits(
  p_spender billing_private.spender, p_agent_type text, p_run_id text, p_at timestamptz
)
returns billing_private.applicable_limit[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return (select array_agg((
    l.id, l.subject_type, l.subject_id, l.amount::numeric + coalesce(c.additional, 0)::numeric, l.mode, l.alert_at, w.window_start,
    billing_private.window_end(l.limit_window, l.timezone, p_at), coalesce(c.used, 0)::numeric
  )::billing_private.applicable_limit order by l.id)
  from (values
    ('organization', (p_spender).organization_id::text), ('department', (p_spender).department_id::text),
    ('member', (p_spender).user_id::text), ('agent_type', p_agent_type),
    ('agent_key', (p_spender).agent_key_id), ('run', p_run_id)
  ) as s (subject_type, subject_id)
  inner join billing.credit_limits as l
    on l.organization_id = (p_spender).organization_id and l.subject_type = s.subject_type and l.subject_id = s.subject_id
  cross join lateral (select billing_private.window_start(l.limit_window, l.timezone, p_at)) as w (window_start)
  left join billing_private.credit_limit_counters as c
    on c.organization_id = l.organization_id and c.limit_id = l.id and c.window_start = w.window_start);
end
$$;
revoke all on function billing_private.applicable_limits(billing_private.spender, text, text, timestamptz) from public;

-- The amount that holds which have ended, and no sweep has booked yet, still count for in a subject's window: what they will give back.
create function billing_private.ended_holds(
  p_organization_id uuid, p_subject_type text, p_subject_id text, p_window_start timestamptz, p_window_end timestamptz, p_at timestamptz
)
returns numeric
language sql
stable
set search_path = ''
as $$
  select coalesce(sum(h.amount - h.metered), 0)
  from billing.credit_holds as h
  where h.organization_id = p_organization_id and h.status = 'open' and h.expires_at <= p_at
    and h.created_at >= p_window_start and (p_window_end is null or h.created_at < p_window_end)
    and coalesce(p_subject_id = case p_subject_type
      when 'organization' then h.organization_id::text
      when 'department' then h.department_id::text
      when 'member' then h.user_id::text
      when 'agent_type' then h.agent_type
      when 'agent_key' then h.agent_key_id
      when 'run' then h.run_id
    end, false)
$$;
revoke all on function billing_private.ended_holds(uuid, text, text, timestamptz, timestamptz, timestamptz) from public;
grant execute on function billing_private.ended_holds(uuid, text, text, timestamptz, timestamptz, timestamptz) to authenticated, service_role;

-- Limits as they are at p_at, whether or not a sweep has booked the holds that ended: for reads, which may not book them.
create function billing_private.without_ended_holds(
  p_limits billing_private.applicable_limit[], p_organization_id uuid, p_at timestamptz
)
returns billing_private.applicable_limit[]
language plpgsql
stable
set search_path = ''
as $$
declare
  v_place integer;
begin
  for v_place in 1 .. coalesce(cardinality(p_limits), 0) loop
    p_limits[v_place].used := p_limits[v_place].used - billing_private.ended_holds(
      p_organization_id, p_limits[v_place].subject_type, p_limits[v_place].subject_id, p_limits[v_place].window_start,
      p_limits[v_place].resets_at, p_at);
  end loop;
  return p_limits;
end
$$;
revoke all on function billing_private.without_ended_holds(billing_private.applicable_limit[], uuid, timestamptz) from public;

-- What the first limit of one of the modes that refuses would answer, or null when all let the amount pass. Soft limits never refuse.
create function billing_private.blocking_limit(
  p_limits billing_private.applicable_limit[], p_amount numeric, p_modes text[] default '{hard,ask}'
)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_limit billing_private.applicable_limit;
begin
  foreach v_limit in array coalesce(p_limits, '{}') loop -- by id
    if v_limit.mode = any(p_modes) and (v_limit.used + p_amount > v_limit.amount or v_limit.amount = 0) then
      return jsonb_build_object(
        'limit_id', v_limit.limit_id, 'subject_type', v_limit.subject_type, 'subject_id', v_limit.subject_id, 'limit', v_limit.amount,
        'used', v_limit.used, 'required', p_amount, 'remaining', greatest(v_limit.amount - v_limit.used, 0), 'resets_at', v_limit.resets_at);
    end if;
  end loop;
  return null;
end
$$;
revoke all on function billing_private.blocking_limit(billing_private.applicable_limit[], numeric, text[]) from public;

-- One notification a limit, window and share, however often it is asked for.
create function billing_private.tell_of_limit(
  p_organization_id uuid, p_limit billing_private.applicable_limit, p_amount numeric, p_kind text, p_share numeric
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into billing.notifications (organization_id, kind, severity, dedupe_key, subject_type, subject_id, details)
  values (
    p_organization_id, p_kind, 'warning', concat_ws(':', p_kind, p_limit.limit_id, p_limit.window_start, trim_scale(p_share)),
    p_limit.subject_type, p_limit.subject_id,
    jsonb_build_object('limit_id', p_limit.limit_id, 'limit', p_limit.amount, 'used', p_limit.used + p_amount,
      'share', p_share, 'resets_at', p_limit.resets_at)
  )
  on conflict (organization_id, dedupe_key) do nothing;
end
$$;
revoke all on function billing_private.tell_of_limit(uuid, billing_private.applicable_limit, numeric, text, numeric) from public;

-- Below which figure a counter may move without a look at its limit: the next share of alert_at, or the first amount that is refused or told of.
create function billing_private.quiet_below(p_limit billing_private.applicable_limit, p_used numeric)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_quiet_below numeric := case when p_limit.mode = 'soft' and p_used > p_limit.amount then 'infinity' else p_limit.amount + 0.000001 end;
  v_share numeric;
begin
  if p_limit.amount = 0 then
    return case when p_limit.mode = 'soft' then v_quiet_below else 0 end;
  end if;
  foreach v_share in array p_limit.alert_at loop
    if p_limit.amount * v_share > p_used then
      v_quiet_below := least(v_quiet_below, p_limit.amount * v_share);
    end if;
  end loop;
  return v_quiet_below;
end
$$;
revoke all on function billing_private.quiet_below(billing_private.applicable_limit, numeric) from public;

-- Adds a booked amount to the counters, by limit id, and tells people once a window when a share of alert_at is reached or a soft limit passed.
-- Under the lock.
create function billing_private.count_against_limits(
  p_organization_id uuid, p_limits billing_private.applicable_limit[], p_amount numeric
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_limit billing_private.applicable_limit;
  v_share numeric;
begin
  foreach v_limit in array p_limits loop
    insert into billing_private.credit_limit_counters as c (organization_id, limit_id, window_start, window_end, used, quiet_below)
    values (
      p_organization_id, v_limit.limit_id, v_limit.window_start, coalesce(v_limit.resets_at, 'infinity'), p_amount,
      billing_private.quiet_below(v_limit, v_limit.used + p_amount))
    on conflict (organization_id, limit_id, window_start) do update
    set used = c.used + excluded.used, window_end = excluded.window_end, quiet_below = excluded.quiet_below;
    foreach v_share in array v_limit.alert_at loop
      if v_limit.used <= v_limit.amount * v_share and v_limit.used + p_amount >= v_limit.amount * v_share then
        perform billing_private.tell_of_limit(p_organization_id, v_limit, p_amount, 'limit_nearly_reached', v_share);
      end if;
    end loop;
    if v_limit.mode = 'soft' and v_limit.used + p_amount > v_limit.amount then
      perform billing_private.tell_of_limit(p_organization_id, v_limit, p_amount, 'limit_passed', 1);
    end if;
  end loop;
end
$$;
revoke all on function billing_private.count_against_limits(uuid, billing_private.applicable_limit[], numeric) from public;

-- Whether a movement falls under a limit's subject.
create function billing_private.is_subject(
  p_subject_type text, p_subject_id text, p_organization_id uuid, p_department_id uuid, p_user_id uuid, p_agent_type text,
  p_agent_key_id text, p_run_id text
)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return coalesce(p_subject_id = case p_subject_type
    when 'organization' then p_organization_id::text
    when 'department' then p_department_id::text
    when 'member' then p_user_id::text
    when 'agent_type' then p_agent_type
    when 'agent_key' then p_agent_key_id
    when 'run' then p_run_id
  end, false);
end
$$;
revoke all on function billing_private.is_subject(text, text, uuid, uuid, uuid, text, text, text) from public;

-- What a limit has used in the window that starts at p_start, from the ledger alone: consumptions and open holds, each in the window in which it
-- (or the hold it settles) was taken, less what was refunded before the window closed. The first value of a counter, and its proof.
create function billing_private.used_in_window(p_limit billing.credit_limits, p_start timestamptz)
returns numeric
language sql
stable
set search_path = ''
as $$
  with edge as (
    select coalesce(billing_private.window_end(p_limit.limit_window, p_limit.timezone, p_start), 'infinity') as ends_at
  ),
  movements as (
    select coalesce(h.created_at, t.created_at) as taken_at, -t.amount::numeric as amount, t.organization_id, t.department_id, t.user_id,
      t.agent_type, t.agent_key_id, t.run_id
    from billing.credit_transactions as t
    left join billing.credit_holds as h on h.organization_id = t.organization_id and h.id = t.hold_id
    where t.organization_id = p_limit.organization_id and t.kind = 'consume' and t.created_at >= p_start
    union all
    select h.created_at, h.amount::numeric, h.organization_id, h.department_id, h.user_id, h.agent_type, h.agent_key_id, h.run_id
    from billing.credit_holds as h
    where h.organization_id = p_limit.organization_id and h.status = 'open'
    union all
    select coalesce(h.created_at, c.created_at), -r.amount::numeric, r.organization_id, r.department_id, r.user_id, r.agent_type,
      r.agent_key_id, r.run_id
    from billing.credit_transactions as r
    inner join billing.credit_transactions as c
      on c.organization_id = r.organization_id and c.sequence = billing_private.transaction_sequence(r.source_transaction_id)
    left join billing.credit_holds as h on h.organization_id = c.organization_id and h.id = c.hold_id
    cross join edge
    where r.organization_id = p_limit.organization_id and r.kind = 'refund' and r.created_at >= p_start and r.created_at < edge.ends_at
  )
  select coalesce(sum(m.amount), 0)
  from movements as m
  cross join edge
  where m.taken_at >= p_start and m.taken_at < edge.ends_at
    and billing_private.is_subject(
      p_limit.subject_type, p_limit.subject_id, m.organization_id, m.department_id, m.user_id, m.agent_type, m.agent_key_id, m.run_id)
$$;
revoke all on function billing_private.used_in_window(billing.credit_limits, timestamptz) from public;

-- Moves the counters of the windows that were open at p_taken_at by p_delta, where a counter exists and (for refunds) its window is open still
-- at p_open_at. Under the lock, by limit id.
create function billing_private.move_counters(
  p_subject billing_private.spender, p_agent_type text, p_run_id text, p_taken_at timestamptz, p_delta numeric,
  p_open_at timestamptz default null
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update billing_private.credit_limit_counters as c
  set used = c.used + p_delta
  from billing.credit_limits as l
  where l.organization_id = (p_subject).organization_id and c.organization_id = l.organization_id and c.limit_id = l.id
    and billing_private.is_subject(
      l.subject_type, l.subject_id, (p_subject).organization_id, (p_subject).department_id, (p_subject).user_id, p_agent_type,
      (p_subject).agent_key_id, p_run_id)
    and c.window_start = billing_private.window_start(l.limit_window, l.timezone, p_taken_at)
    and (p_open_at is null or p_open_at < coalesce(billing_private.window_end(l.limit_window, l.timezone, p_taken_at), 'infinity'));
end
$$;
revoke all on function billing_private.move_counters(
  billing_private.spender, text, text, timestamptz, numeric, timestamptz
) from public;

-- A refund gives its amount back to the windows that are still open. Under the lock.
create function billing_private.give_back_to_limits(p_entry billing.credit_transactions, p_amount numeric, p_now timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_subject billing_private.spender;
begin
  v_subject.organization_id := p_entry.organization_id;
  v_subject.department_id := p_entry.department_id;
  v_subject.user_id := p_entry.user_id;
  v_subject.agent_key_id := p_entry.agent_key_id;
  perform billing_private.move_counters(
    v_subject, p_entry.agent_type, p_entry.run_id,
    coalesce((
      select h.created_at from billing.credit_holds as h where h.organization_id = p_entry.organization_id and h.id = p_entry.hold_id
    ), p_entry.created_at),
    -p_amount, p_now);
end
$$;
revoke all on function billing_private.give_back_to_limits(billing.credit_transactions, numeric, timestamptz) from public;
