-- Looking into Stripe's inbox, and taking events out of it to try again: for the service (workers, jobs, command line) and for platform admins.

-- The service, or a platform admin. Raises 403 not_authorized.
create function billing_private.require_operator()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not billing_private.caller_is_platform_admin() then
    perform billing_private.require_service();
  end if;
end
$$;
revoke all on function billing_private.require_operator() from public;

-- Who calls: the page, once after sign-in, to know whether to show what only platform admins may read. A yes grants nothing: each call asks again.
-- Locks: nothing. Raises: nothing. It only reads.
create function billing_private.am_i_platform_admin()
returns boolean
language sql
stable
security definer
set search_path = ''
return billing_private.caller_is_platform_admin();
revoke all on function billing_private.am_i_platform_admin() from public;
grant execute on function billing_private.am_i_platform_admin() to authenticated, service_role;

create function billing.am_i_platform_admin()
returns boolean
language sql
stable
set search_path = ''
return billing_private.am_i_platform_admin();
revoke all on function billing.am_i_platform_admin() from public;
grant execute on function billing.am_i_platform_admin() to authenticated, service_role;
comment on function billing.am_i_platform_admin() is 'Whether the caller is one of those who run the platform. False for the service, which may all the same.';

create type billing.stripe_event_summary as (
  event_id text,
  type text,
  status text,
  attempts integer,
  error text,
  next_attempt_at timestamptz,
  api_version text,
  livemode boolean,
  object_id text,
  organization_id uuid,
  created_at timestamptz,
  received_at timestamptz,
  processed_at timestamptz
);
comment on type billing.stripe_event_summary is 'An event of Stripe''s without its body.';

-- Who calls: operators, the dashboard of platform admins, the reconciler. Locks: nothing. Raises: 403 not_authorized. At most 1,000 rows, newest first.
create function billing_private.list_stripe_events(p_status text, p_limit integer)
returns setof billing.stripe_event_summary
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform billing_private.require_operator();
  return query
  select
    e.id, e.type, e.status, e.attempts, e.error, e.next_attempt_at, e.api_version, e.livemode, e.object_id, e.organization_id, e.created_at,
    e.received_at, e.processed_at
  from billing_private.stripe_events as e
  where p_status is null or e.status = p_status
  order by e.received_at desc
  limit least(greatest(p_limit, 1), 1000);
end
$$;
revoke all on function billing_private.list_stripe_events(text, integer) from public;
grant execute on function billing_private.list_stripe_events(text, integer) to authenticated, service_role;

create function billing.list_stripe_events(status text default null, "limit" integer default 100)
returns setof billing.stripe_event_summary
language sql
stable
set search_path = ''
begin atomic
  select
    l.event_id, l.type, l.status, l.attempts, l.error, l.next_attempt_at, l.api_version, l.livemode, l.object_id, l.organization_id,
    l.created_at, l.received_at, l.processed_at
  from billing_private.list_stripe_events(list_stripe_events.status, list_stripe_events."limit") as l;
end;
revoke all on function billing.list_stripe_events(text, integer) from public;
grant execute on function billing.list_stripe_events(text, integer) to authenticated, service_role;
comment on function billing.list_stripe_events(text, integer) is
'Service or platform admin: the newest events of Stripe''s inbox, all or those of one status (received, processed, failed, parked, ignored).';

-- Who calls: an operator or a job, before it runs the event through the webhook's ingest again. Locks: the event's row.
-- Raises: 404 not_found. Retry: safe; a processed event is answered and stays processed.
create function billing_private.reopen_stripe_event(p_event_id text)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_payload jsonb;
begin
  update billing_private.stripe_events as e
  set
    status = case when e.status = 'processed' then e.status else 'received' end,
    attempts = case when e.status = 'processed' then e.attempts else 0 end
  where e.id = p_event_id
  returning e.payload into v_payload;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "stripe_event"}');
  end if;
  return v_payload;
end
$$;
revoke all on function billing_private.reopen_stripe_event(text) from public;
grant execute on function billing_private.reopen_stripe_event(text) to service_role;

create function billing.reopen_stripe_event(event_id text)
returns jsonb
language sql
set search_path = ''
return billing_private.reopen_stripe_event(event_id);
revoke all on function billing.reopen_stripe_event(text) from public;
grant execute on function billing.reopen_stripe_event(text) to service_role;
comment on function billing.reopen_stripe_event(text) is
'Service only: takes a failed, parked or ignored event back into work and answers its body, to be run through the ingest again.';

-- Who calls: an operator, without a worker at hand: one event, or all of a status (failed, parked), again with what was read of them last. An event of
-- which nothing was read is answered as it is; the worker replay_stripe_events reads it at Stripe. Locks: each event's row, its organization.
-- Raises: 403 not_authorized, 404 not_found, 422 invalid_argument. Retry: safe. At most 500 events a call, oldest first.
create function billing_private.replay_stripe_events(p_event_id text, p_status text)
returns setof billing.stripe_event_outcome
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_event billing_private.stripe_events;
begin
  perform billing_private.require_operator();
  if num_nonnulls(p_event_id, p_status) <> 1 or p_status not in ('failed', 'parked') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "status"}', 'name an event_id, or the status failed or parked');
  end if;
  if p_event_id is not null and not exists (select 1 from billing_private.stripe_events as e where e.id = p_event_id) then
    perform billing_private.fail(404, 'not_found', '{"what": "stripe_event"}');
  end if;
  for v_event in
    select e.* from billing_private.stripe_events as e
    where e.id = p_event_id or e.status = p_status
    order by e.created_at, e.id limit 500
    for update
  loop
    if v_event.facts is null then
      return next (
        v_event.id, v_event.status, v_event.status = 'processed', v_event.attempts, v_event.organization_id, v_event.error
      )::billing.stripe_event_outcome;
    else
      return next billing_private.retry_stripe_event(v_event);
    end if;
  end loop;
end
$$;
revoke all on function billing_private.replay_stripe_events(text, text) from public;
grant execute on function billing_private.replay_stripe_events(text, text) to authenticated, service_role;

create function billing.replay_stripe_events(event_id text default null, status text default null)
returns setof billing.stripe_event_outcome
language sql
set search_path = ''
begin atomic
  select r.event_id, r.status, r.is_duplicate, r.attempts, r.organization_id, r.error
  from billing_private.replay_stripe_events(replay_stripe_events.event_id, replay_stripe_events.status) as r;
end;
revoke all on function billing.replay_stripe_events(text, text) from public;
grant execute on function billing.replay_stripe_events(text, text) to authenticated, service_role;
comment on function billing.replay_stripe_events(text, text) is
'Service or platform admin: tries one event, or all failed or parked ones, again with what was last read of them at Stripe.';

create type billing.platform_alert as (
  id uuid,
  kind text,
  severity text,
  subject_type text,
  subject_id text,
  organization_id uuid,
  details jsonb,
  occurrences integer,
  created_at timestamptz,
  last_seen_at timestamptz,
  resolved_at timestamptz
);
comment on type billing.platform_alert is 'Something that those who run the platform should look at.';

-- Who calls: the dashboard of platform admins, the command line. Locks: nothing. Raises: 403 not_authorized. At most 500, newest first.
create function billing_private.list_platform_alerts(p_include_resolved boolean)
returns setof billing.platform_alert
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  perform billing_private.require_operator();
  return query
  select
    a.id, a.kind, a.severity, a.subject_type, a.subject_id, a.organization_id, a.details, a.occurrences, a.created_at, a.last_seen_at,
    a.resolved_at
  from billing_private.platform_alerts as a
  where p_include_resolved or a.resolved_at is null
  order by a.last_seen_at desc limit 500;
end
$$;
revoke all on function billing_private.list_platform_alerts(boolean) from public;
grant execute on function billing_private.list_platform_alerts(boolean) to authenticated, service_role;

create function billing.list_platform_alerts(include_resolved boolean default false)
returns setof billing.platform_alert
language sql
stable
set search_path = ''
begin atomic
  select
    a.id, a.kind, a.severity, a.subject_type, a.subject_id, a.organization_id, a.details, a.occurrences, a.created_at, a.last_seen_at,
    a.resolved_at
  from billing_private.list_platform_alerts(list_platform_alerts.include_resolved) as a;
end;
revoke all on function billing.list_platform_alerts(boolean) from public;
grant execute on function billing.list_platform_alerts(boolean) to authenticated, service_role;
comment on function billing.list_platform_alerts(boolean) is
'Service or platform admin: what should be looked at (Stripe events that cannot be applied, drift), newest first.';

-- Who calls: a platform admin or the service, when an alert has been dealt with. Locks: its row. Raises: 403 not_authorized, 404 not_found.
-- Retry: safe.
create function billing_private.close_platform_alert(p_alert_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform billing_private.require_operator();
  update billing_private.platform_alerts as a set resolved_at = coalesce(a.resolved_at, clock_timestamp()) where a.id = p_alert_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "platform_alert"}');
  end if;
end
$$;
revoke all on function billing_private.close_platform_alert(uuid) from public;
grant execute on function billing_private.close_platform_alert(uuid) to authenticated, service_role;

create function billing.close_platform_alert(alert_id uuid)
returns void
language sql
set search_path = ''
return billing_private.close_platform_alert(alert_id);
revoke all on function billing.close_platform_alert(uuid) from public;
grant execute on function billing.close_platform_alert(uuid) to authenticated, service_role;
comment on function billing.close_platform_alert(uuid) is 'Service or platform admin: an alert has been dealt with.';
