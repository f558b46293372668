-- Stripe's inbox tells people what it could not apply, tries it again by itself, and tells organizations what an event means for them.

-- Alerts to those who run the platform. The same key is one alert, however often it happens, until it is resolved.
create table billing_private.platform_alerts (
  id uuid not null default gen_random_uuid(),
  kind text not null,
  severity text not null,
  dedupe_key text not null,
  subject_type text,
  subject_id text,
  organization_id uuid,
  details jsonb not null default '{}',
  occurrences integer not null default 1,
  created_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  resolved_at timestamptz,
  constraint platform_alerts_pkey primary key (id),
  constraint platform_alerts_severity_known check (severity in ('info', 'warning', 'critical'))
);
create unique index platform_alerts_open_unique on billing_private.platform_alerts (dedupe_key) where resolved_at is null;
create index platform_alerts_newest on billing_private.platform_alerts (created_at desc);
alter table billing_private.platform_alerts enable row level security;
revoke all on table billing_private.platform_alerts from public, anon, authenticated, service_role;
comment on table billing_private.platform_alerts is 'What those who run the platform should look at: Stripe events that cannot be applied, drift.';
comment on column billing_private.platform_alerts.id is 'The alert''s id.';
comment on column billing_private.platform_alerts.kind is 'What happened, such as stripe_event_parked.';
comment on column billing_private.platform_alerts.severity is 'info, warning or critical.';
comment on column billing_private.platform_alerts.dedupe_key is 'What happens again under the same key is counted on the open alert.';
comment on column billing_private.platform_alerts.subject_type is 'What it is about, such as stripe_event.';
comment on column billing_private.platform_alerts.subject_id is 'Which one, as text.';
comment on column billing_private.platform_alerts.organization_id is 'The organization that it concerns; null: unknown, or none.';
comment on column billing_private.platform_alerts.details is 'The figures, by kind.';
comment on column billing_private.platform_alerts.occurrences is 'How often it happened.';
comment on column billing_private.platform_alerts.created_at is 'When it first happened.';
comment on column billing_private.platform_alerts.last_seen_at is 'When it last happened.';
comment on column billing_private.platform_alerts.resolved_at is 'When it was settled, by itself or by a person; null: open.';

create function billing_private.alert_platform(
  p_kind text, p_severity text, p_dedupe_key text, p_subject_type text, p_subject_id text, p_organization_id uuid, p_details jsonb
)
returns void
language sql
set search_path = ''
as $$
  insert into billing_private.platform_alerts as a (kind, severity, dedupe_key, subject_type, subject_id, organization_id, details)
  values (p_kind, p_severity, p_dedupe_key, p_subject_type, p_subject_id, p_organization_id, coalesce(p_details, '{}'))
  on conflict (dedupe_key) where resolved_at is null do update set
    kind = excluded.kind, severity = excluded.severity, details = excluded.details, occurrences = a.occurrences + 1,
    organization_id = coalesce(excluded.organization_id, a.organization_id), last_seen_at = clock_timestamp()
$$;
revoke all on function billing_private.alert_platform(text, text, text, text, text, uuid, jsonb) from public;

create function billing_private.resolve_platform_alert(p_dedupe_key text)
returns void
language sql
set search_path = ''
as $$
  update billing_private.platform_alerts as a set resolved_at = clock_timestamp()
  where a.dedupe_key = p_dedupe_key and a.resolved_at is null
$$;
revoke all on function billing_private.resolve_platform_alert(text) from public;

-- Whom an event concerns, by the customer that its body names; for alerts only, never for money.
create function billing_private.organization_of_stripe_event(p_event jsonb)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  v_object constant jsonb := p_event #> '{data,object}';
  v_customer constant jsonb := v_object -> 'customer';
begin
  return (
    select c.organization_id from billing.customers as c
    where c.stripe_customer_id = coalesce(
      case when v_object ->> 'object' = 'customer' then v_object ->> 'id' end,
      case jsonb_typeof(v_customer) when 'string' then v_customer #>> '{}' else v_customer ->> 'id' end
    )
  );
end
$$;
revoke all on function billing_private.organization_of_stripe_event(jsonb) from public;

-- After every attempt. Parked: told at once, to the platform and to the organization that it concerns. Failed: told to the platform from the third
-- attempt on, for the first ones pass by themselves. Applied: what was told is settled.
create function billing_private.tell_of_stripe_event(p_event billing_private.stripe_events)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_event.status in ('processed', 'ignored') then
    -- Whatever the number of attempts: who reopens an event has them counted anew.
    perform billing_private.resolve_platform_alert('stripe_event:' || p_event.id);
    return;
  end if;
  if p_event.status = 'failed' and p_event.attempts < 3 then
    return;
  end if;
  perform billing_private.alert_platform(
    'stripe_event_' || p_event.status, case p_event.status when 'parked' then 'critical' else 'warning' end, 'stripe_event:' || p_event.id,
    'stripe_event', p_event.id, p_event.organization_id,
    jsonb_build_object('type', p_event.type, 'attempts', p_event.attempts, 'error', p_event.error, 'next_attempt_at', p_event.next_attempt_at)
  );
  if p_event.status = 'parked' and p_event.organization_id is not null then
    perform billing_private.notify_organization(
      p_event.organization_id, 'payment_event_delayed', 'warning', 'payment_event_delayed:' || p_event.id, 'stripe_event', p_event.id,
      jsonb_build_object('type', p_event.type)
    );
  end if;
end
$$;
revoke all on function billing_private.tell_of_stripe_event(billing_private.stripe_events) from public;

-- What an applied event means to the people of its organization. p_notice is the matrix's word (workers/billing/events.py); told once a subject, and
-- only while it is true: a failure that has been mended meanwhile is not told any more.
create function billing_private.notify_of_stripe_event(p_organization_id uuid, p_notice text, p_object_id text, p_payload jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_subject_id constant text := coalesce(p_object_id, p_payload ->> 'id');
  v_invoice billing.invoices;
begin
  select i.* into v_invoice from billing.invoices as i
  where i.organization_id = p_organization_id and i.stripe_invoice_id = p_object_id;
  if p_notice in ('invoice_payment_failed', 'invoice_action_required', 'invoice_overdue', 'invoice_finalization_failed')
    and v_invoice.status in ('paid', 'void') then
    return;
  end if;
  perform billing_private.notify_organization(
    p_organization_id, p_notice,
    case
      when p_notice in ('invoice_payment_failed', 'invoice_action_required', 'invoice_overdue', 'invoice_finalization_failed') then 'warning'
      else 'info'
    end,
    p_notice || ':' || v_subject_id, split_part(p_payload ->> 'type', '.', 1), v_subject_id,
    jsonb_strip_nulls(jsonb_build_object(
      'amount', v_invoice.amount_remaining, 'currency', v_invoice.currency, 'hosted_invoice_url', v_invoice.hosted_invoice_url
    ))
  );
  if p_notice = 'invoice_finalization_failed' then
    perform billing_private.alert_platform(
      p_notice, 'warning', p_notice || ':' || v_subject_id, 'invoice', v_subject_id, p_organization_id, null
    );
  end if;
end
$$;
revoke all on function billing_private.notify_of_stripe_event(uuid, text, text, jsonb) from public;

-- Tries failed and parked events again with what was read of them; a reading stays true, because older ones never overwrite newer ones. A step of
-- run_due_jobs. Locks: each event's row (skipping those that somebody else has), the organization. Raises: nothing; what fails stays due.
create function billing_private.retry_stripe_events(p_now timestamptz)
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_event billing_private.stripe_events;
  v_result billing.job_result := ('retry_stripe_events', 0, 0);
begin
  for v_event in
    select e.* from billing_private.stripe_events as e
    where e.status in ('failed', 'parked') and e.next_attempt_at <= p_now
    order by e.created_at, e.id limit 500
    for update skip locked
  loop
    if (billing_private.retry_stripe_event(v_event)).status in ('processed', 'ignored') then
      v_result.processed := v_result.processed + 1;
    else
      v_result.failed := v_result.failed + 1;
    end if;
  end loop;
  return v_result;
end
$$;
revoke all on function billing_private.retry_stripe_events(timestamptz) from public;

-- One event again, with its stored facts; its row is locked by the caller.
create function billing_private.retry_stripe_event(p_event billing_private.stripe_events)
returns billing.stripe_event_outcome
language plpgsql
set search_path = ''
as $$
begin
  return billing_private.process_stripe_event(p_event.payload, p_event.facts, p_event.livemode);
exception when others then
  return billing_private.close_stripe_event(p_event.id, p_event.status, null, sqlerrm, p_event.facts);
end
$$;
revoke all on function billing_private.retry_stripe_event(billing_private.stripe_events) from public;
