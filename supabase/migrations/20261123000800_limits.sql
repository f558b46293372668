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
language sql
stable
set search_path = ''
return case when p_window = 'lifetime' then '-infinity'::timestamptz
else billing_private.first_instant(date_trunc(p_window, p_at at time zone p_timezone), p_timezone) end;
revoke all on function billing_private.window_start(text, text, timestamptz) from public;
grant execute on function billing_private.window_start(text, text, timestamptz) to authenticated, service_role;

-- The first instant of the next window; null for a lifetime limit.
create function billing_private.window_end(p_window text, p_timezone text, p_at timestamptz)
returns timestamptz
language sql
stable
set search_path = ''
return case when p_window <> 'lifetime' then billing_private.first_instant(
  date_trunc(p_window, p_at at time zone p_timezone) + ('1 ' || p_window)::interval, p_timezone
) end;
revoke all on function billing_private.window_end(text, text, timestamptz) from public;
grant execute on function billing_private.window_end(text, text, timestamptz) to authenticated, service_role;

-- A limit that applies to a spend, with its counter.
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
    l.id, l.subject_type, l.subject_id, l.amount::numeric, l.mode, l.alert_at, w.window_start,
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

-- What the first limit that refuses would answer, or null when all let the amount pass. Hard limits refuse; soft ones never do.
create function billing_private.blocking_limit(p_limits billing_private.applicable_limit[], p_amount numeric)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select jsonb_build_object(
    'limit_id', l.limit_id, 'subject_type', l.subject_type, 'subject_id', l.subject_id, 'limit', l.amount, 'used', l.used,
    'required', p_amount, 'remaining', greatest(l.amount - l.used, 0), 'resets_at', l.resets_at
  )
  from unnest(p_limits) as l
  where l.mode = 'hard' and (l.used + p_amount > l.amount or l.amount = 0)
  order by l.limit_id
  limit 1
$$;
revoke all on function billing_private.blocking_limit(billing_private.applicable_limit[], numeric) from public;

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
    insert into billing_private.credit_limit_counters as c (organization_id, limit_id, window_start, used)
    values (p_organization_id, v_limit.limit_id, v_limit.window_start, p_amount)
    on conflict (organization_id, limit_id, window_start) do update set used = c.used + excluded.used;
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
language sql
immutable
set search_path = ''
return coalesce(p_subject_id = case p_subject_type
  when 'organization' then p_organization_id::text
  when 'department' then p_department_id::text
  when 'member' then p_user_id::text
  when 'agent_type' then p_agent_type
  when 'agent_key' then p_agent_key_id
  when 'run' then p_run_id
end, false);
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
language sql
set search_path = ''
as $$
  update billing_private.credit_limit_counters as c
  set used = c.used + p_delta
  from billing.credit_limits as l
  where l.organization_id = (p_subject).organization_id and c.organization_id = l.organization_id and c.limit_id = l.id
    and billing_private.is_subject(
      l.subject_type, l.subject_id, (p_subject).organization_id, (p_subject).department_id, (p_subject).user_id, p_agent_type,
      (p_subject).agent_key_id, p_run_id)
    and c.window_start = billing_private.window_start(l.limit_window, l.timezone, p_taken_at)
    and (p_open_at is null or p_open_at < coalesce(billing_private.window_end(l.limit_window, l.timezone, p_taken_at), 'infinity'))
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

-- The organization to which a limit's subject belongs, or null: the subject must exist, except agent types and runs, which are only names.
create function billing_private.limit_organization(p_subject_type text, p_subject_id text, p_organization_id uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  v_organization_id uuid;
begin
  case p_subject_type
    when 'organization' then
      select o.organization_id into v_organization_id from billing.organizations as o where o.organization_id::text = lower(p_subject_id);
    when 'department' then
      select d.organization_id into v_organization_id from billing.departments as d where d.id::text = lower(p_subject_id)
        and (p_organization_id is null or d.organization_id = p_organization_id);
    when 'member' then
      select min(m.organization_id::text)::uuid into v_organization_id from billing.organization_members as m
      where m.user_id::text = lower(p_subject_id) and (p_organization_id is null or m.organization_id = p_organization_id)
      having count(*) = 1;
    when 'agent_key' then
      select s.organization_id into v_organization_id from billing_private.agent_key_secrets as s where s.key_id = p_subject_id;
    else
      v_organization_id := p_organization_id;
      if v_organization_id is null then
        select min(i::text)::uuid into v_organization_id from billing_private.my_organization_ids() as i having count(*) = 1;
      end if;
  end case;
  if p_organization_id is not null and v_organization_id <> p_organization_id then
    return null;
  end if;
  return v_organization_id;
end
$$;
revoke all on function billing_private.limit_organization(text, text, uuid) from public;

-- Sets or edits a limit. Owner, admin and billing, or the service. Takes the organization's lock, so that a spend sees either the old limit or
-- the new. Editing never resets a counter; a counter that starts within a window starts with what the ledger says. Idempotent.
-- Raises 403 not_authorized, 422 invalid_argument and invalid_amount.
create function billing_private.set_credit_limit(
  p_subject_type text, p_subject_id text, p_amount numeric, p_window text, p_mode text, p_timezone text, p_alert_at numeric[],
  p_organization_id uuid
)
returns billing.credit_limits
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_organization_id uuid;
  v_before billing.credit_limits;
  v_limit billing.credit_limits;
  v_start timestamptz;
begin
  if p_subject_type is null or p_subject_type not in ('organization', 'department', 'member', 'agent_type', 'agent_key', 'run') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "subject_type"}');
  end if;
  perform billing_private.require_text('subject_id', p_subject_id);
  perform billing_private.require_amount('amount', p_amount, true);
  if p_window is null or p_window not in ('day', 'week', 'month', 'lifetime') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "window"}', 'day, week, month or lifetime');
  end if;
  if p_mode is null or p_mode not in ('hard', 'soft') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "mode"}', 'hard or soft');
  end if;
  if billing_private.is_timezone(p_timezone) is not true then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "timezone"}', 'the name of an IANA time zone');
  end if;
  if cardinality(p_alert_at) > 10 or exists (select 1 from unnest(p_alert_at) as a (share) where a.share is null or not a.share between 0 and 1) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "alert_at"}', 'at most 10 shares between 0 and 1');
  end if;
  if p_subject_type in ('organization', 'department', 'member') then
    p_subject_id := lower(p_subject_id); -- a uuid, as it reads in the ledger
  end if;
  v_organization_id := billing_private.limit_organization(p_subject_type, p_subject_id, p_organization_id);
  perform billing_private.require_role(coalesce(v_organization_id, '00000000-0000-0000-0000-000000000000'), '{owner,admin,billing}');
  perform billing_private.lock_organization(v_organization_id);

  select l.* into v_before from billing.credit_limits as l
  where l.organization_id = v_organization_id and l.subject_type = p_subject_type
    and l.subject_id = p_subject_id and l.limit_window = p_window;
  insert into billing.credit_limits as l
    (organization_id, subject_type, subject_id, amount, limit_window, mode, timezone, alert_at)
  values (v_organization_id, p_subject_type, p_subject_id, p_amount, p_window, p_mode, p_timezone, coalesce(p_alert_at, '{}'))
  on conflict (organization_id, subject_type, subject_id, limit_window) do update
  set amount = excluded.amount, mode = excluded.mode, timezone = excluded.timezone, alert_at = excluded.alert_at,
    updated_at = clock_timestamp()
  returning * into v_limit;

  if v_before.id is null or v_before.timezone <> v_limit.timezone then
    select billing_private.window_start(p_window, p_timezone, billing_private.ledger_now(o.test_clock)) into v_start
    from billing.organizations as o where o.organization_id = v_organization_id;
    -- Windows of the old zone are no windows of this limit any more; the new zone's open one counts what the ledger says.
    delete from billing_private.credit_limit_counters as c where c.organization_id = v_organization_id and c.limit_id = v_limit.id;
    insert into billing_private.credit_limit_counters as c (organization_id, limit_id, window_start, used)
    values (v_organization_id, v_limit.id, v_start, billing_private.used_in_window(v_limit, v_start))
    on conflict (organization_id, limit_id, window_start) do update set used = excluded.used;
  end if;
  perform billing_private.audit(v_organization_id, 'set_credit_limit', 'credit_limit', v_limit.id::text, null,
    to_jsonb(v_before), to_jsonb(v_limit));
  return v_limit;
end
$$;
revoke all on function billing_private.set_credit_limit(text, text, numeric, text, text, text, numeric[], uuid) from public;
grant execute on function billing_private.set_credit_limit(text, text, numeric, text, text, text, numeric[], uuid) to authenticated, service_role;

create function billing.set_credit_limit(
  subject_type text, subject_id text, amount numeric, "window" text, mode text default 'hard', timezone text default 'UTC',
  alert_at numeric[] default '{0.8}', organization_id uuid default null
)
returns billing.credit_limits
language sql
volatile
set search_path = ''
return billing_private.set_credit_limit(subject_type, subject_id, amount, "window", mode, timezone, alert_at, organization_id);
revoke all on function billing.set_credit_limit(text, text, numeric, text, text, text, numeric[], uuid) from public;
grant execute on function billing.set_credit_limit(text, text, numeric, text, text, text, numeric[], uuid) to authenticated, service_role;
comment on function billing.set_credit_limit(text, text, numeric, text, text, text, numeric[], uuid) is
'Owner, admin, billing: caps what a subject may consume in a window (day, week from Monday, month, lifetime) of an IANA time zone. 0 blocks.';
