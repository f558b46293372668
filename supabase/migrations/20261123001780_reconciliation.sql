-- The reconciler's memory: what of Stripe's events we have missed, and where Stripe's objects and our rows differ.
--
-- Differences are reported, never mended: no credits move here. What was missed is caught up with by running its event through the inbox again,
-- or by a person. A difference that a later comparison no longer finds is settled.

create table billing_private.reconciliation_runs (
  id uuid not null default gen_random_uuid(),
  livemode boolean not null,
  is_comparison boolean not null,
  counts jsonb not null default '{}',
  started_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  constraint reconciliation_runs_pkey primary key (id)
);
create index reconciliation_runs_newest on billing_private.reconciliation_runs (livemode, is_comparison, started_at desc);
alter table billing_private.reconciliation_runs enable row level security;
revoke all on table billing_private.reconciliation_runs from public, anon, authenticated, service_role;
comment on table billing_private.reconciliation_runs is 'When Stripe was last asked for what we may have missed, and how much it was.';
comment on column billing_private.reconciliation_runs.id is 'The run''s id.';
comment on column billing_private.reconciliation_runs.livemode is 'Whether it looked at Stripe''s live mode.';
comment on column billing_private.reconciliation_runs.is_comparison is 'Whether it compared objects with our rows, besides looking for events.';
comment on column billing_private.reconciliation_runs.counts is 'How many events were caught up with, objects compared, differences found.';
comment on column billing_private.reconciliation_runs.started_at is 'When it began.';
comment on column billing_private.reconciliation_runs.finished_at is 'When it ended; null: it has not, or it broke off.';

create table billing.reconciliation_reports (
  organization_id uuid not null,
  kind text not null,
  stripe_object_id text not null,
  problem text not null,
  ours jsonb,
  stripes jsonb not null,
  livemode boolean not null,
  first_seen_at timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  settled_at timestamptz,
  constraint reconciliation_reports_pkey primary key (organization_id, kind, stripe_object_id),
  constraint reconciliation_reports_kind_known check (kind in ('checkout_session', 'refund', 'dispute', 'invoice', 'subscription')),
  constraint reconciliation_reports_problem_known check (problem in ('missing', 'different')),
  constraint reconciliation_reports_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create index reconciliation_reports_open on billing.reconciliation_reports (last_seen_at desc) where settled_at is null;
comment on table billing.reconciliation_reports is
'Where what Stripe says of an object and what our row says differ. Reported only: nothing is mended or granted by it.';
comment on column billing.reconciliation_reports.organization_id is 'The tenant.';
comment on column billing.reconciliation_reports.kind is 'checkout_session, refund, dispute, invoice or subscription.';
comment on column billing.reconciliation_reports.stripe_object_id is 'Stripe''s id of the object.';
comment on column billing.reconciliation_reports.problem is 'missing: we have no row of it. different: our row says something else.';
comment on column billing.reconciliation_reports.ours is 'What our row says; null: there is none.';
comment on column billing.reconciliation_reports.stripes is 'What Stripe says, of the same facts.';
comment on column billing.reconciliation_reports.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.reconciliation_reports.first_seen_at is 'When the difference was first found.';
comment on column billing.reconciliation_reports.last_seen_at is 'When it was last found.';
comment on column billing.reconciliation_reports.settled_at is 'When it was found no more; null: it stands.';
alter table billing.reconciliation_reports enable row level security;
revoke all on table billing.reconciliation_reports from public, anon, authenticated, service_role;
grant select on table billing.reconciliation_reports to authenticated, service_role;
create policy reconciliation_reports_read_as_billing on billing.reconciliation_reports for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

create type billing.reconciliation_run as (
  run_id uuid,
  is_comparison boolean
);
comment on type billing.reconciliation_run is 'A run of the reconciler: whether this one also compares objects, which is due once a day.';

-- Who calls: the worker reconcile_stripe at its beginning. p_comparison: true, false, or null: when none was begun for 23 hours. Locks: the newest
-- runs, so that two callers do not both compare. Raises: nothing.
create function billing_private.open_reconciliation(p_livemode boolean, p_comparison boolean)
returns billing.reconciliation_run
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_run billing.reconciliation_run;
begin
  perform pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('tallybase.reconciliation', 0));
  v_run.is_comparison := coalesce(p_comparison, not exists (
    select 1 from billing_private.reconciliation_runs as r
    where r.livemode = p_livemode and r.is_comparison and r.started_at > clock_timestamp() - interval '23 hours'
      and (r.finished_at is not null or r.started_at > clock_timestamp() - interval '1 hour')
  ));
  insert into billing_private.reconciliation_runs (livemode, is_comparison) values (p_livemode, v_run.is_comparison)
  returning id into v_run.run_id;
  return v_run;
end
$$;
revoke all on function billing_private.open_reconciliation(boolean, boolean) from public;
grant execute on function billing_private.open_reconciliation(boolean, boolean) to service_role;

create function billing.open_reconciliation(livemode boolean, comparison boolean default null)
returns billing.reconciliation_run
language sql
volatile
set search_path = ''
return billing_private.open_reconciliation(livemode, comparison);
revoke all on function billing.open_reconciliation(boolean, boolean) from public;
grant execute on function billing.open_reconciliation(boolean, boolean) to service_role;
comment on function billing.open_reconciliation(boolean, boolean) is 'Workers only: begins a run of the reconciler.';

-- Who calls: the doctor: when Stripe was last asked and all that it said was looked at; null: never.
create function billing_private.last_reconciliation(p_livemode boolean)
returns timestamptz
language sql
stable
security definer
set search_path = ''
return (select max(r.finished_at) from billing_private.reconciliation_runs as r where r.livemode = p_livemode);
revoke all on function billing_private.last_reconciliation(boolean) from public;
grant execute on function billing_private.last_reconciliation(boolean) to service_role;

create function billing.last_reconciliation(livemode boolean)
returns timestamptz
language sql
stable
set search_path = ''
return billing_private.last_reconciliation(livemode);
revoke all on function billing.last_reconciliation(boolean) from public;
grant execute on function billing.last_reconciliation(boolean) to service_role;
comment on function billing.last_reconciliation(boolean) is 'Workers only: when the reconciler last came to its end; null: never.';

-- Who calls: the reconciler: which of these events were never applied (new to us, received or failed). Parked ones wait for a person.
create function billing_private.missed_stripe_events(p_event_ids text[])
returns setof text
language sql
stable
security definer
set search_path = ''
as $$
  select i.id
  from unnest(p_event_ids) with ordinality as i (id, place)
  left join billing_private.stripe_events as e on e.id = i.id
  where e.status is null or e.status in ('received', 'failed')
  order by i.place
$$;
revoke all on function billing_private.missed_stripe_events(text[]) from public;
grant execute on function billing_private.missed_stripe_events(text[]) to service_role;

create function billing.missed_stripe_events(event_ids text[])
returns setof text
language sql
stable
set search_path = ''
as $$
  select * from billing_private.missed_stripe_events($1)
$$;
revoke all on function billing.missed_stripe_events(text[]) from public;
grant execute on function billing.missed_stripe_events(text[]) to service_role;
comment on function billing.missed_stripe_events(text[]) is 'Workers only: which of these Stripe events were never applied, in the order given.';

-- Each object that is ours, with the facts that both sides know. An object of another product (no customer or payment of ours) is none.
create function billing_private.reconciliation_pairs(p_kind text, p_objects jsonb, p_livemode boolean)
returns table (organization_id uuid, stripe_object_id text, ours jsonb, stripes jsonb)
language sql
stable
set search_path = ''
as $$
  with objects as (
    select o ->> 'id' as id, o ->> 'customer' as customer, o ->> 'payment_intent' as payment_intent, o -> 'facts' as facts
    from jsonb_array_elements(p_objects) as o
  ),
  -- Whose each is: by the payment, else by the customer.
  owned as (
    select
      coalesce(p.organization_id, r.organization_id, c.organization_id) as organization_id, o.id, o.facts
    from objects as o
    left join billing.payments as p on p.stripe_payment_intent_id = o.payment_intent and p.livemode = p_livemode
    left join billing_private.charge_reversals as r on r.stripe_payment_intent_id = o.payment_intent and r.livemode = p_livemode
    left join billing.customers as c on c.stripe_customer_id = o.customer and c.livemode = p_livemode
  )
  select w.organization_id, w.id,
    case p_kind
      when 'checkout_session' then (
        select jsonb_build_object('status', case s.status when 'processing' then 'complete' when 'failed' then 'complete' else s.status end,
          'is_paid', s.status = 'complete')
        from billing.checkout_sessions as s where s.stripe_session_id = w.id
      )
      when 'refund' then (select jsonb_build_object('amount', r.amount, 'status', r.status) from billing.refunds as r where r.stripe_refund_id = w.id)
      when 'dispute' then (
        select jsonb_build_object('amount', d.amount, 'status', d.status, 'withdrawn', d.withdrawn)
        from billing.disputes as d where d.stripe_dispute_id = w.id
      )
      when 'invoice' then (
        select jsonb_build_object('status', i.status, 'amount_paid', i.amount_paid) from billing.invoices as i where i.stripe_invoice_id = w.id
      )
      when 'subscription' then (
        select jsonb_build_object('status', s.status, 'current_period_end', extract(epoch from s.current_period_end)::bigint)
        from billing.subscriptions as s where s.stripe_subscription_id = w.id
      )
    end,
    w.facts
  from owned as w
  where w.organization_id is not null
$$;
revoke all on function billing_private.reconciliation_pairs(text, jsonb, boolean) from public;

-- Who calls: the reconciler, with a page of objects [{id, customer, payment_intent, facts}] of one kind. Reports what differs, settles what does
-- not any more. Locks: the reports' rows. Raises: nothing. Returns how many differ. Retry: safe.
create function billing_private.compare_with_stripe(p_kind text, p_objects jsonb, p_livemode boolean)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_differing integer;
begin
  with pairs as materialized (select p.* from billing_private.reconciliation_pairs(p_kind, p_objects, p_livemode) as p),
  settled as (
    update billing.reconciliation_reports as r set settled_at = clock_timestamp()
    from pairs as p
    where r.organization_id = p.organization_id and r.kind = p_kind and r.stripe_object_id = p.stripe_object_id
      and r.settled_at is null and p.ours = p.stripes
  ),
  reported as (
    insert into billing.reconciliation_reports as r (organization_id, kind, stripe_object_id, problem, ours, stripes, livemode)
    select p.organization_id, p_kind, p.stripe_object_id, case when p.ours is null then 'missing' else 'different' end, p.ours, p.stripes, p_livemode
    from pairs as p where p.ours is distinct from p.stripes
    on conflict (organization_id, kind, stripe_object_id) do update set
      problem = excluded.problem, ours = excluded.ours, stripes = excluded.stripes, last_seen_at = clock_timestamp(), settled_at = null,
      first_seen_at = case when r.settled_at is null then r.first_seen_at else clock_timestamp() end
    returning 1
  )
  select count(*) into v_differing from reported;
  return v_differing;
end
$$;
revoke all on function billing_private.compare_with_stripe(text, jsonb, boolean) from public;
grant execute on function billing_private.compare_with_stripe(text, jsonb, boolean) to service_role;

create function billing.compare_with_stripe(kind text, objects jsonb, livemode boolean)
returns integer
language sql
volatile
set search_path = ''
return billing_private.compare_with_stripe(kind, objects, livemode);
revoke all on function billing.compare_with_stripe(text, jsonb, boolean) from public;
grant execute on function billing.compare_with_stripe(text, jsonb, boolean) to service_role;
comment on function billing.compare_with_stripe(text, jsonb, boolean) is
'Workers only: compares a page of Stripe''s objects of one kind with our rows and reports what differs; mends nothing.';

-- Who calls: the reconciler at its end. Differences that stand are one alert to those who run the platform. Raises: 404 not_found. Retry: safe.
create function billing_private.close_reconciliation(p_run_id uuid, p_counts jsonb)
returns integer
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_run billing_private.reconciliation_runs;
  v_open integer;
begin
  update billing_private.reconciliation_runs as r set finished_at = clock_timestamp(), counts = p_counts
  where r.id = p_run_id
  returning r.* into v_run;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "reconciliation_run"}');
  end if;
  select count(*) into v_open from billing.reconciliation_reports as r where r.settled_at is null and r.livemode = v_run.livemode;
  if not v_run.is_comparison then
    return v_open;
  end if;
  if v_open > 0 then
    perform billing_private.alert_platform(
      'reconciliation_drift', 'warning', 'reconciliation_drift:' || v_run.livemode::text, 'reconciliation_run', p_run_id::text, null,
      p_counts || jsonb_build_object('open', v_open));
  else
    perform billing_private.resolve_platform_alert('reconciliation_drift:' || v_run.livemode::text);
  end if;
  return v_open;
end
$$;
revoke all on function billing_private.close_reconciliation(uuid, jsonb) from public;
grant execute on function billing_private.close_reconciliation(uuid, jsonb) to service_role;

create function billing.close_reconciliation(run_id uuid, counts jsonb)
returns integer
language sql
volatile
set search_path = ''
return billing_private.close_reconciliation(run_id, counts);
revoke all on function billing.close_reconciliation(uuid, jsonb) from public;
grant execute on function billing.close_reconciliation(uuid, jsonb) to service_role;
comment on function billing.close_reconciliation(uuid, jsonb) is
'Workers only: ends a run of the reconciler and answers how many differences stand.';

-- Who calls: those who run the platform, and the command line. At most 1,000, newest first. Raises: 403 not_authorized. It only reads.
create function billing_private.list_reconciliation_reports(p_open boolean, p_limit integer)
returns setof billing.reconciliation_reports
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if not billing_private.caller_is_platform_admin() then
    perform billing_private.require_service();
  end if;
  return query
  select r.* from billing.reconciliation_reports as r
  where not p_open or r.settled_at is null
  order by r.last_seen_at desc, r.organization_id, r.kind, r.stripe_object_id
  limit least(greatest(p_limit, 1), 1000);
end
$$;
revoke all on function billing_private.list_reconciliation_reports(boolean, integer) from public;
grant execute on function billing_private.list_reconciliation_reports(boolean, integer) to authenticated, service_role;

create function billing.list_reconciliation_reports(open boolean default true, "limit" integer default 100)
returns setof billing.reconciliation_reports
language sql
stable
set search_path = ''
as $$
  select * from billing_private.list_reconciliation_reports($1, $2)
$$;
revoke all on function billing.list_reconciliation_reports(boolean, integer) from public;
grant execute on function billing.list_reconciliation_reports(boolean, integer) to authenticated, service_role;
comment on function billing.list_reconciliation_reports(boolean, integer) is
'Service or platform admin: where Stripe and our rows differ, in all organizations; those that stand, or all.';
