-- What is sold at Stripe, and what Stripe says that we do not: reported, never mended.

begin;
select tests.story(28);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount, currency, is_active) values ('yen', 'Yen', 100, 300, 'jpy', false);
insert into billing.subscription_plans (key, name, unit_amount, credits_per_period) values ('story_free', 'Free', 0, 10);
grant select on billing.credit_packages to public;

-- The catalogue -------------------------------------------------------------------------------------------------------------

select is((select count(*)::integer from billing.list_catalogue(false) as l where l.key = 'story_free'), 0, 'what is free is no business of Stripe''s');
select results_eq($$select l.subject_type, l.is_active, l.unit_amount, l.currency, l.billing_interval, l.stripe_price_id from billing.list_catalogue(false) as l where l.key = 'yen'$$,
  $$values ('package', false, 300::bigint, 'jpy', null, null)$$, 'what is withdrawn is listed, too');
select billing.record_stripe_price('package', c.id, false, 'prod_story', 'price_story', 300, 'jpy', null) from billing.credit_packages as c where c.key = 'yen';
select is((select l.stripe_price_id from billing.list_catalogue(false) as l where l.key = 'yen'), 'price_story', 'with its price in test mode');
select is((select l.stripe_price_id from billing.list_catalogue(true) as l where l.key = 'yen'), null, 'and none in live mode');
update billing.credit_packages set is_active = true where key = 'yen';
select is(billing_private.apply_stripe_facts('catalogue_object', '{"stripe_object_id": "price_story", "object": "price", "is_usable": true}'), null,
  'somebody renames the price at Stripe');
select is((select l.stripe_price_id from billing.list_catalogue(false) as l where l.key = 'yen'), 'price_story', 'nothing happens');
select billing_private.apply_stripe_facts('catalogue_object', '{"stripe_object_id": "price_story", "object": "price", "is_usable": false}');
select results_eq($$select l.stripe_product_id, l.stripe_price_id from billing.list_catalogue(false) as l where l.key = 'yen'$$,
  $$values ('prod_story', null)$$, 'archived, it is no longer used');
select is((select count(*)::integer from billing_private.platform_alerts as a where a.kind = 'catalogue_drift'), 1, 'and who runs the platform is told');
select billing_private.apply_stripe_facts('catalogue_object', '{"stripe_object_id": "prod_story", "object": "product", "is_usable": false}');
select is((select l.stripe_product_id from billing.list_catalogue(false) as l where l.key = 'yen'), null, 'nor is a deleted product');

-- Events that never came ------------------------------------------------------------------------------------------------------

select is((billing.open_reconciliation(false)).is_comparison, true, 'the first run of the day compares');
select is((billing.open_reconciliation(false)).is_comparison, false, 'a second one beside it does not');
select is((billing.open_reconciliation(true)).is_comparison, true, 'live mode is another matter');
select is((billing.open_reconciliation(false, true)).is_comparison, true, 'unless somebody asks for it');
insert into billing_private.stripe_events (id, type, livemode, status, payload, created_at)
select 'evt_' || s, 'x', false, s, '{}', now() from unnest('{received,failed,processed,ignored,parked}'::text[]) as s;
select results_eq($$select * from billing.missed_stripe_events('{evt_parked,evt_failed,evt_new,evt_processed,evt_received,evt_ignored}')$$,
  $$values ('evt_failed'), ('evt_new'), ('evt_received')$$, 'missed is what is new, received or failed');

-- Differences --------------------------------------------------------------------------------------------------------------------

select billing.open_customer(tests.id('Acme'), tests.id('Olivia'), null, false);
select billing.record_customer(tests.id('Acme'), 'cus_drift', null, 'Acme', false);
select is(billing.compare_with_stripe('invoice', '[
  {"id": "in_foreign", "customer": "cus_other", "facts": {"status": "paid", "amount_paid": 1}},
  {"id": "in_drift", "customer": "cus_drift", "facts": {"status": "paid", "amount_paid": 900}}]', false), 1, 'an invoice of Acme''s is missing here');
select results_eq($$select r.kind, r.stripe_object_id, r.problem, r.ours, r.settled_at is null from billing.reconciliation_reports as r where r.organization_id = tests.id('Acme')$$,
  $$values ('invoice', 'in_drift', 'missing', null::jsonb, true)$$, 'that is reported');
insert into billing.invoices (organization_id, stripe_invoice_id, status, currency, amount_due, amount_paid, total)
values (tests.id('Acme'), 'in_drift', 'open', 'usd', 900, 0, 900);
select is(billing.compare_with_stripe('invoice', '[{"id": "in_drift", "customer": "cus_drift", "facts": {"status": "paid", "amount_paid": 900}}]', false), 1, 'then it is open here');
select results_eq($$select r.problem, r.ours from billing.reconciliation_reports as r where r.organization_id = tests.id('Acme')$$,
  $$values ('different', '{"status": "open", "amount_paid": 0}'::jsonb)$$, 'and paid at Stripe');
select is((select i.status from billing.invoices as i where i.stripe_invoice_id = 'in_drift'), 'open', 'our row is not touched');
select is_empty($$select 1 from billing.credit_grants as g where g.organization_id = tests.id('Acme')$$, 'and nothing is granted');
select is((select count(*)::integer from billing_private.platform_alerts as a where a.kind = 'reconciliation_drift'), 0, 'nobody is told before the end');
select billing.close_reconciliation((billing.open_reconciliation(false, true)).run_id, '{"differing": 1}');
select is((select (a.details ->> 'open')::integer >= 1 from billing_private.platform_alerts as a where a.kind = 'reconciliation_drift' and a.resolved_at is null), true, 'then the platform is');
update billing.invoices set status = 'paid', amount_paid = 900 where stripe_invoice_id = 'in_drift';
select is(billing.compare_with_stripe('invoice', '[{"id": "in_drift", "customer": "cus_drift", "facts": {"status": "paid", "amount_paid": 900}}]', false), 0, 'the event comes after all');
select is((select r.settled_at is null from billing.reconciliation_reports as r where r.stripe_object_id = 'in_drift'), false, 'the difference is settled');
select tests.as_user('Max');
select is_empty($$select 1 from billing.reconciliation_reports$$, 'Max sees none of it');
select is(tests.refusal('select billing.list_reconciliation_reports()') ->> 'message', 'not_authorized', 'nor may he ask');
select tests.as_service();
select is((select r.problem from billing.list_reconciliation_reports(false) as r where r.stripe_object_id = 'in_drift'), 'different', 'the service may');
select is_empty($$select 1 from billing.list_reconciliation_reports() as r where r.stripe_object_id = 'in_drift'$$, 'and sees by default what stands');

select * from finish();
rollback;
