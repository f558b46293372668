-- Setting and editing limits.

-- What approvals have added to a limit for the window that starts at p_start. The first value of a counter's `additional`, and its proof.
create function billing_private.approved_in_window(p_organization_id uuid, p_limit_id uuid, p_start timestamptz)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(sum(a.additional), 0)
    from billing.credit_approvals as a
    where a.organization_id = p_organization_id and a.limit_id = p_limit_id and a.window_start = p_start and a.status = 'approved'
  );
end
$$;
revoke all on function billing_private.approved_in_window(uuid, uuid, timestamptz) from public;

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
  v_counted_from timestamptz;
begin
  p_subject_type := case p_subject_type when 'agent' then 'agent_type' when 'key' then 'agent_key' else p_subject_type end; -- the short names
  if p_subject_type is null or p_subject_type not in ('organization', 'department', 'member', 'agent_type', 'agent_key', 'run') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "subject_type"}');
  end if;
  perform billing_private.require_text('subject_id', p_subject_id);
  perform billing_private.require_exact_amount('amount', p_amount, true);
  if p_window is null or p_window not in ('day', 'week', 'month', 'lifetime') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "window"}', 'day, week, month or lifetime');
  end if;
  if p_mode is null or p_mode not in ('hard', 'soft', 'ask') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "mode"}', 'hard, soft or ask');
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
  if p_subject_type = 'agent_key' then -- the first of its rotations: what spends are counted by
    p_subject_id := (
      select k.root_key_id from billing.agent_keys as k where k.organization_id = v_organization_id and k.key_id = p_subject_id);
  end if;

  select l.* into v_before from billing.credit_limits as l
  where l.organization_id = v_organization_id and l.subject_type = p_subject_type
    and l.subject_id = p_subject_id and l.limit_window = p_window;
  select billing_private.window_start(p_window, p_timezone, billing_private.ledger_now(o.test_clock)) into v_start
  from billing.organizations as o where o.organization_id = v_organization_id;
  -- What an extension adds, or a capture, counts where the hold was taken: the limit counts from the first window with a hold that is open still.
  select least(v_start, min(billing_private.window_start(p_window, p_timezone, h.created_at))) into v_counted_from
  from billing.credit_holds as h
  where h.organization_id = v_organization_id and h.status = 'open' and billing_private.is_subject(
    p_subject_type, p_subject_id, h.organization_id, h.department_id, h.user_id, h.agent_type, h.agent_key_id, h.run_id);
  insert into billing.credit_limits as l
    (organization_id, subject_type, subject_id, amount, limit_window, mode, timezone, alert_at, counted_from)
  values (v_organization_id, p_subject_type, p_subject_id, p_amount, p_window, p_mode, p_timezone, coalesce(p_alert_at, '{}'),
    nullif(v_counted_from, '-infinity'))
  on conflict (organization_id, subject_type, subject_id, limit_window) do update
  set amount = excluded.amount, mode = excluded.mode, timezone = excluded.timezone, alert_at = excluded.alert_at,
    counted_from = case when l.timezone = excluded.timezone then l.counted_from else excluded.counted_from end,
    updated_at = clock_timestamp()
  returning * into v_limit;

  if v_before.id is null or v_before.timezone <> v_limit.timezone then
    -- Windows of the old zone are no windows of this limit any more; those of the new zone count what the ledger says.
    delete from billing_private.credit_limit_counters as c where c.organization_id = v_organization_id and c.limit_id = v_limit.id;
    insert into billing_private.credit_limit_counters as c (organization_id, limit_id, window_start, window_end, used, additional)
    select
      v_organization_id, v_limit.id, w.window_start, coalesce(billing_private.window_end(p_window, p_timezone, w.window_start), 'infinity'),
      billing_private.used_in_window(v_limit, w.window_start),
      billing_private.approved_in_window(v_organization_id, v_limit.id, w.window_start)
    from (
      select v_start as window_start
      union
      select billing_private.first_instant(s.local_start, p_timezone)
      from generate_series( -- nothing for a lifetime, which has one window
        date_trunc(nullif(p_window, 'lifetime'), v_counted_from at time zone p_timezone), v_start at time zone p_timezone,
        ('1 ' || nullif(p_window, 'lifetime'))::interval
      ) as s (local_start)
    ) as w;
  else
    -- Other shares and another amount: the next spend looks at the limit itself.
    update billing_private.credit_limit_counters as c set quiet_below = 0
    where c.organization_id = v_organization_id and c.limit_id = v_limit.id and c.quiet_below <> 0;
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
