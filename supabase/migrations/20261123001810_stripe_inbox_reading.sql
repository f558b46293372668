-- Looking into Stripe's inbox, and taking an event out of it to try again.

create type billing.stripe_event_summary as (
  event_id text,
  type text,
  status text,
  attempts integer,
  error text,
  api_version text,
  livemode boolean,
  object_id text,
  organization_id uuid,
  created_at timestamptz,
  received_at timestamptz,
  processed_at timestamptz
);
comment on type billing.stripe_event_summary is 'An event of Stripe''s without its body.';

-- Who calls: operators and the reconciler. Locks: nothing. Raises: nothing. At most 1,000 rows, newest first.
create function billing_private.list_stripe_events(p_status text, p_limit integer)
returns setof billing.stripe_event_summary
language sql
stable
security definer
set search_path = ''
as $$
  select
    e.id, e.type, e.status, e.attempts, e.error, e.api_version, e.livemode, e.object_id, e.organization_id, e.created_at, e.received_at,
    e.processed_at
  from billing_private.stripe_events as e
  where p_status is null or e.status = p_status
  order by e.received_at desc
  limit least(greatest(p_limit, 1), 1000)
$$;
revoke all on function billing_private.list_stripe_events(text, integer) from public;
grant execute on function billing_private.list_stripe_events(text, integer) to service_role;

create function billing.list_stripe_events(status text default null, "limit" integer default 100)
returns setof billing.stripe_event_summary
language sql
stable
set search_path = ''
begin atomic
  select
    l.event_id, l.type, l.status, l.attempts, l.error, l.api_version, l.livemode, l.object_id, l.organization_id, l.created_at,
    l.received_at, l.processed_at
  from billing_private.list_stripe_events(list_stripe_events.status, list_stripe_events."limit") as l;
end;
revoke all on function billing.list_stripe_events(text, integer) from public;
grant execute on function billing.list_stripe_events(text, integer) to service_role;
comment on function billing.list_stripe_events(text, integer) is
'Service only: the newest events of Stripe''s inbox, all or those of one status (received, processed, failed, parked, ignored).';

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
