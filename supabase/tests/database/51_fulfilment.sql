-- Acme's checkout is paid, twice reported, late, wrongly, or not at all: credits come once, and only for what was sold.

begin;
select tests.story(44);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount, credit_expiry) values ('story_pack', 'Story pack', 500, 1000, '1 year');
grant select on billing.credit_packages to public;
create temporary table sold (session text primary key, id uuid);
grant select, insert on sold to public;

-- A checkout that waits for payment at Stripe.
create function pg_temp.sell(p_session text)
returns void
language plpgsql
as $$
declare
  v_prepared billing.checkout_preparation;
begin
  perform tests.as_service();
  v_prepared := billing.prepare_checkout(tests.id('Acme'), tests.id('Olivia'), 'olivia@story.test', false, null, 'story_pack', null,
    'hosted_page', 'https://app.test/' || p_session, 'https://app.test/no');
  perform billing.record_customer(tests.id('Acme'), 'cus_story', null, 'Acme', false);
  perform billing.attach_checkout_session(tests.id('Acme'), v_prepared.checkout_session_id, p_session, 'https://pay.test', now() + interval '1 day');
  insert into sold values (p_session, v_prepared.checkout_session_id);
end
$$;
grant execute on function pg_temp.sell(text) to service_role;

-- What a worker reads at Stripe about it.
create function pg_temp.facts(p_session text, p_more jsonb default '{}')
returns jsonb
language sql
as $$
  select jsonb_build_object(
    'stripe_session_id', p_session, 'livemode', false, 'mode', 'payment', 'status', 'complete', 'payment_status', 'paid', 'currency', 'usd',
    'amount_subtotal', 1000, 'amount_discount', 0, 'amount_total', 1000, 'stripe_customer_id', 'cus_story', 'is_payment_link', false,
    'client_reference_id', (select s.id from sold as s where s.session = p_session),
    'checkout_session_id', (select s.id from sold as s where s.session = p_session),
    'organization_id', tests.id('Acme'), 'fetched_at', clock_timestamp()
  ) || p_more
$$;
grant execute on function pg_temp.facts(text, jsonb) to service_role;

-- Paid ------------------------------------------------------------------------------------------------------------

select pg_temp.sell('cs_paid');
select is((billing.fulfil_checkout(pg_temp.facts('cs_paid', '{"status": "open", "payment_status": "unpaid"}'))).status, 'open', 'an open session changes nothing');
select is_empty($$select id from billing.payments where organization_id = tests.id('Acme')$$, 'nobody has paid');
select results_eq(
  $$select o.status, o.credits, o.amount, o.payment_status from billing.fulfil_checkout(pg_temp.facts('cs_paid')) as o$$,
  $$values ('complete', '500', 1000::bigint, 'succeeded')$$, 'a paid one is complete');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 500::numeric, 'and the credits are there');
select results_eq(
  $$select g.amount::numeric, g.unit_cost::numeric, g.source_reference, g.expires_at between now() + interval '364 days' and now() + interval '367 days'
    from billing.credit_grants as g where g.organization_id = tests.id('Acme')$$,
  $$values (500::numeric, 2::numeric, 'cs_paid', true)$$, 'with their cost, their key and their expiry');
select lives_ok($$select billing.fulfil_checkout(pg_temp.facts('cs_paid')) from generate_series(1, 5)$$, 'told again five times');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 500::numeric, 'nothing is added');
select is((select count(*) from billing.payments where organization_id = tests.id('Acme'))::integer, 1, 'and the payment stays one');
select is((billing.fulfil_checkout(pg_temp.facts('cs_paid', '{"status": "expired", "payment_status": "unpaid"}'))).status, 'complete',
  'what is complete stays complete, whatever an old reading says');
select is((billing.fulfil_checkout(pg_temp.facts('cs_paid', '{"payment_status": "unpaid", "fetched_at": "2020-01-01T00:00:00Z"}'))).payment_status,
  'succeeded', 'and paid stays paid');

-- What contradicts what was sold --------------------------------------------------------------------------------------

select pg_temp.sell('cs_wrong');
select is(
  (tests.refusal(format('select billing.fulfil_checkout(pg_temp.facts(%L, %L))', 'cs_wrong', w.more))) -> 'details' ->> 'field', w.field,
  'facts that contradict our row in ' || w.field || ' grant nothing')
from (values
  ('{"livemode": true}', 'livemode'), ('{"mode": "subscription"}', 'mode'), ('{"is_payment_link": true}', 'payment_link'),
  ('{"client_reference_id": "somebody else"}', 'client_reference_id'),
  ('{"organization_id": "00000000-0000-4000-8000-000000000000"}', 'organization_id'),
  ('{"checkout_session_id": "00000000-0000-4000-8000-000000000000"}', 'checkout_session_id'),
  ('{"currency": "jpy"}', 'currency'), ('{"amount_subtotal": 1}', 'amount_subtotal'), ('{"amount_subtotal": null}', 'amount_subtotal')
) as w (more, field);
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 500::numeric, 'the balance is what it was');
select throws_ok($$select billing.fulfil_checkout(pg_temp.facts('cs_unknown', '{"checkout_session_id": "00000000-0000-4000-8000-000000000000"}'))$$,
  'PT404', 'not_found', 'a session with our mark that we do not know is an error');
select is((billing.fulfil_checkout(pg_temp.facts('cs_of_another_product'))).status, null, 'one without our mark is none of our business');

-- Found again by its marks ------------------------------------------------------------------------------------------------

insert into sold select 'cs_lost', (billing.prepare_checkout(tests.id('Acme'), tests.id('Olivia'), null, false, null, 'story_pack', null, 'hosted_page',
  'https://app.test/lost', 'https://app.test/no')).checkout_session_id;
select is(tests.refusal(format('select billing.fulfil_checkout(pg_temp.facts(%L, %L))', 'cs_lost', w.more)) ->> 'message', 'not_found',
  'a session whose attachment was lost is not recognised ' || w.why)
from (values
  ('{"stripe_customer_id": "cus_other"}', 'for another customer'), ('{"is_payment_link": true}', 'when a payment link made it'),
  ('{"client_reference_id": null}', 'by half of its marks'), ('{"livemode": true}', 'from the other mode')
) as w (more, why);
select is((billing.fulfil_checkout(pg_temp.facts('cs_lost'))).status, 'complete', 'it is, when all marks and the customer agree');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 1000::numeric, 'and what was paid is granted');

-- Money that takes its time -------------------------------------------------------------------------------------------------

select pg_temp.sell('cs_slow');
select is((billing.fulfil_checkout(pg_temp.facts('cs_slow', '{"payment_status": "unpaid",
  "payment": {"stripe_payment_intent_id": "pi_slow", "status": "processing"}}'))).status,
  'processing', 'agreed to, not paid');
select is((select status from billing.payments where stripe_session_id = 'cs_slow'), 'processing', 'the payment is on its way');
select is((billing.fulfil_checkout(pg_temp.facts('cs_slow'))).status, 'complete', 'then it arrives');
select is((select status from billing.payments where stripe_session_id = 'cs_slow'), 'succeeded', 'in the same row');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 1500::numeric, 'with its credits');

select pg_temp.sell('cs_failed');
select is((billing.fulfil_checkout(pg_temp.facts('cs_failed',
  '{"payment_status": "unpaid",
    "payment": {"stripe_payment_intent_id": "pi_failed", "status": "requires_payment_method", "failure_code": "refused"}}'))).status,
  'failed', 'another never arrives');
select results_eq($$select n.kind, n.severity from billing.notifications as n where n.organization_id = tests.id('Acme')$$,
  $$values ('payment_failed', 'warning')$$, 'Acme is told');
select is((billing.fulfil_checkout(pg_temp.facts('cs_failed',
  '{"payment_status": "unpaid", "fetched_at": "2020-01-01T00:00:00Z",
    "payment": {"stripe_payment_intent_id": "pi_failed", "status": "processing"}}'))).status,
  'failed', 'an older reading does not bring it back');

select pg_temp.sell('cs_expired');
select is((billing.fulfil_checkout(pg_temp.facts('cs_expired', '{"status": "expired", "payment_status": "unpaid"}'))).status, 'expired', 'a third nobody pays');
select is((select url from billing.checkout_sessions where stripe_session_id = 'cs_expired'), null, 'its page leads nowhere');
select is((billing.fulfil_checkout(pg_temp.facts('cs_expired'))).status, 'complete', 'unless it was paid after all: money wins');

-- For free -------------------------------------------------------------------------------------------------------------------

select pg_temp.sell('cs_free');
select is((billing.fulfil_checkout(pg_temp.facts('cs_free',
  '{"payment_status": "no_payment_required", "amount_total": 0, "amount_discount": 1000,
    "payment": null}'))).status, 'complete', 'a discount of 100 % is paid too');
select is((select g.unit_cost::numeric from billing.credit_grants as g where g.source_reference = 'cs_free'), 0::numeric, 'its credits cost nothing');

-- Who may ask ----------------------------------------------------------------------------------------------------------------------

select is((billing.find_checkout('cs_paid', tests.id('Bella'))).status, 'complete', 'Bella learns how it went');
select is(tests.refusal($$select billing.find_checkout('cs_paid', tests.id('Otto'))$$), tests.refusal($$select billing.find_checkout('cs_none', tests.id('Otto'))$$),
  'Otto does not, not even whether there is such a session');
select tests.reset();

select tests.the_ledger_is_whole();
select * from finish();
rollback;
