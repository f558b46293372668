-- Stripe's inbox by itself: what cannot be applied is told and tried again with what was read, until it can.

begin;
select tests.story(17);
select tests.cast();

create function pg_temp.event(p_id text)
returns jsonb
language sql
as $$
  select jsonb_build_object('id', p_id, 'type', 'customer.subscription.updated', 'created', 1795000000, 'livemode', false,
    'api_version', '2026-10-28.endive', 'data', '{"object": {"id": "sub_early", "object": "subscription", "customer": "cus_early"}}'::jsonb)
$$;
create function pg_temp.facts()
returns jsonb
language sql
as $$
  select jsonb_build_object('kind', 'subscription', 'object', jsonb_build_object(
    'stripe_subscription_id', 'sub_early', 'stripe_customer_id', 'cus_early', 'organization_id', tests.id('Acme'), 'status', 'active',
    'quantity', 1, 'currency', 'usd', 'cancel_at_period_end', false, 'livemode', false, 'fetched_at', now(), 'invoices', '[]'::jsonb))
$$;
create function pg_temp.row_of(p_event_id text)
returns billing_private.stripe_events
language sql
as $$ select e from billing_private.stripe_events as e where e.id = p_event_id $$;

select throws_ok($$select billing.process_stripe_event(pg_temp.event('evt_early'), pg_temp.facts(), false)$$, 'PT404', 'not_found',
  'our mark, and a customer that we do not know yet');
select is((billing.record_stripe_event_failure(pg_temp.event('evt_early'), 'not_found', 2, pg_temp.facts())).status, 'failed', 'is recorded');
select is_empty($$select 1 from billing.list_platform_alerts() as a where a.subject_id = 'evt_early'$$, 'the first failures pass by themselves');
select is((billing.record_stripe_event_failure(pg_temp.event('evt_early'), 'not_found', 2, pg_temp.facts())).status, 'parked', 'then parked');
select results_eq($$select a.kind, a.severity from billing.list_platform_alerts() as a where a.subject_id = 'evt_early'$$,
  $$values ('stripe_event_parked', 'critical')$$, 'and told');
select ok((pg_temp.row_of('evt_early')).next_attempt_at > clock_timestamp(), 'it will be tried again');
select is((billing_private.retry_stripe_events(clock_timestamp())).processed, 0::bigint, 'not before its time');
select is((billing_private.retry_stripe_events(clock_timestamp() + interval '1 day')).failed, 1::bigint, 'then again, in vain');
select is((pg_temp.row_of('evt_early')).attempts, 3, 'which is counted');

insert into billing.customers (organization_id, stripe_customer_id) values (tests.id('Acme'), 'cus_early');
select is((billing_private.retry_stripe_events(clock_timestamp() + interval '1 day')).processed, 1::bigint, 'once the customer is known');
select is((pg_temp.row_of('evt_early')).status, 'processed', 'it is applied');
select is((select s.status from billing.subscriptions as s where s.stripe_subscription_id = 'sub_early'), 'active', 'with all its effect');
select is_empty($$select 1 from billing.list_platform_alerts() as a where a.subject_id = 'evt_early'$$, 'and the alert is settled');
select ok((pg_temp.row_of('evt_early')).facts is null, 'what was read is not kept');

select is((billing.record_stripe_event_failure(pg_temp.event('evt_again'), 'not_found', 1, pg_temp.facts())).status, 'parked', 'another is parked');
select billing.reopen_stripe_event('evt_again');
select is((billing.process_stripe_event(pg_temp.event('evt_again'), pg_temp.facts(), false)).status, 'processed', 'reopened, it is applied at once');
select is_empty($$select 1 from billing.list_platform_alerts() as a where a.subject_id = 'evt_again'$$, 'and its alert is settled, too');

select * from finish();
rollback;
