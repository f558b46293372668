-- Stripe's inbox: each event once, with its effect or not at all; and our copies of what Stripe says.

begin;
select tests.story(44);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount) values ('story_pack', 'Story pack', 500, 1000);

create function pg_temp.event(p_id text, p_type text, p_more jsonb default '{}')
returns jsonb
language sql
as $$
  select jsonb_build_object('id', p_id, 'type', p_type, 'created', 1795000000, 'livemode', false, 'api_version', '2026-10-28.endive',
    'data', '{"object": {"id": "obj_1"}}'::jsonb) || p_more
$$;
grant execute on function pg_temp.event(text, text, jsonb) to service_role;

create temporary table shop (id uuid);
grant select, insert on shop to public;
select tests.as_service();
insert into shop select (billing.prepare_checkout(tests.id('Acme'), tests.id('Olivia'), null, false, null, 'story_pack', null, 'hosted_page', 'a', 'b')).checkout_session_id;
select billing.record_customer(tests.id('Acme'), 'cus_story', null, 'Acme', false);
select billing.attach_checkout_session(tests.id('Acme'), shop.id, 'cs_story', 'https://pay.test', now() + interval '1 day') from shop;

select tests.reset();
create function pg_temp.checkout_facts(p_more jsonb default '{}')
returns jsonb
language sql
as $$
  select jsonb_build_object('kind', 'checkout_session', 'object', jsonb_build_object(
    'stripe_session_id', 'cs_story', 'livemode', false, 'mode', 'payment', 'status', 'complete', 'payment_status', 'paid', 'currency', 'usd',
    'amount_subtotal', 1000, 'amount_discount', 0, 'amount_total', 1000, 'stripe_customer_id', 'cus_story', 'is_payment_link', false,
    'client_reference_id', shop.id, 'checkout_session_id', shop.id, 'organization_id', tests.id('Acme'), 'fetched_at', clock_timestamp(),
    'payment', '{"stripe_payment_intent_id": "pi_story", "status": "succeeded"}'::jsonb) || p_more)
  from shop
$$;
grant execute on function pg_temp.checkout_facts(jsonb) to service_role;

create function pg_temp.intent_facts(p_status text, p_more jsonb default '{}')
returns jsonb
language sql
as $$
  select jsonb_build_object('kind', 'payment_intent', 'object', jsonb_build_object(
    'stripe_payment_intent_id', 'pi_story', 'status', p_status, 'amount', 1000, 'currency', 'usd', 'stripe_customer_id', 'cus_story',
    'organization_id', tests.id('Acme'), 'checkout_session_id', shop.id, 'livemode', false, 'fetched_at', clock_timestamp()) || p_more)
  from shop
$$;
grant execute on function pg_temp.intent_facts(text, jsonb) to service_role;

create function pg_temp.row_of(p_event_id text)
returns jsonb
language sql
security definer
as $$ select to_jsonb(e) from billing_private.stripe_events as e where e.id = p_event_id $$;
grant execute on function pg_temp.row_of(text) to service_role;

select tests.as_service();

-- Stored only ---------------------------------------------------------------------------------------------------

select results_eq($$select status, is_duplicate, attempts from billing.process_stripe_event(pg_temp.event('evt_1', 'product.created'), null, false)$$,
  $$values ('ignored', false, 1)$$, 'what does nothing is stored');
select results_eq($$select status, is_duplicate from billing.process_stripe_event(pg_temp.event('evt_1', 'product.created'), null, false)$$,
  $$values ('ignored', true)$$, 'once');
select is(pg_temp.row_of('evt_1') -> 'payload' ->> 'api_version', '2026-10-28.endive', 'with its whole body');
select results_eq($$select status, is_duplicate from billing.process_stripe_event(pg_temp.event('evt_live', 'customer.updated', '{"livemode": true}'), null, false)$$,
  $$values ('parked', false)$$, 'an event of the other mode is parked');
select matches(pg_temp.row_of('evt_live') ->> 'error', '^foreign_livemode', 'and says why');
select throws_ok($$select billing.process_stripe_event('{}', null, false)$$, 'PT422', 'invalid_argument', 'what is no event is refused');

-- A declined card, then another -----------------------------------------------------------------------------------------

select is((billing.process_stripe_event(pg_temp.event('evt_pi_1', 'payment_intent.created'),
  pg_temp.intent_facts('requires_payment_method'), false)).organization_id,
  tests.id('Acme'), 'an intent is Acme''s by its customer and our mark');
select is_empty($$select id from billing.payments where organization_id = tests.id('Acme')$$, 'nobody has tried to pay yet');
select is((billing.process_stripe_event(pg_temp.event('evt_pi_2', 'payment_intent.canceled'),
  pg_temp.intent_facts('canceled'), false)).status, 'processed',
  'an intent that nobody tried to pay');
select is_empty($$select id from billing.payments where organization_id = tests.id('Acme')$$, 'is no payment');
select lives_ok(
  $$select billing.process_stripe_event(pg_temp.event('evt_pi_3', 'payment_intent.payment_failed'),
    pg_temp.intent_facts('requires_payment_method', '{"failure_code": "generic_decline", "failure_message": "No."}'), false)$$, 'a card is declined');
select results_eq($$select status, failure_code, credits::numeric from billing.payments where organization_id = tests.id('Acme')$$,
  $$values ('failed', 'generic_decline', 500::numeric)$$, 'the payment says so');
select results_eq($$select kind from billing.notifications where organization_id = tests.id('Acme')$$,
  $$values ('payment_failed')$$, 'and Acme is told');
select lives_ok($$select billing.process_stripe_event(pg_temp.event('evt_pi_4', 'payment_intent.requires_action'),
  pg_temp.intent_facts('requires_action'), false)$$,
  'the next card asks for 3-D Secure');
select results_eq($$select status, failure_code from billing.payments where organization_id = tests.id('Acme')$$,
  $$values ('requires_action', null)$$, 'the same payment waits');
select lives_ok(
  $$select billing.process_stripe_event(pg_temp.event('evt_pi_5', 'payment_intent.payment_failed'),
    pg_temp.intent_facts('requires_payment_method', '{"failure_code": "late", "fetched_at": "2020-01-01T00:00:00Z"}'), false)$$,
      'an old reading comes late');
select is((select status from billing.payments where organization_id = tests.id('Acme')), 'requires_action', 'and moves nothing');
select is((billing.process_stripe_event(pg_temp.event('evt_pi_6', 'payment_intent.succeeded'),
  pg_temp.intent_facts('succeeded'), false)).status, 'processed',
  'the intent succeeds');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 0::numeric, 'which grants nothing by itself');
select is(
  (billing.process_stripe_event(pg_temp.event('evt_pi_x', 'payment_intent.payment_failed'),
    pg_temp.intent_facts('requires_payment_method', '{"failure_code": "x", "stripe_customer_id": "cus_forged"}'), false)).status,
  'ignored', 'our marks under another customer mean nothing');

-- The session ----------------------------------------------------------------------------------------------------------------

select throws_ok($$select billing.process_stripe_event(pg_temp.event('evt_cs', 'checkout.session.completed'),
  pg_temp.checkout_facts('{"amount_subtotal": 1}'), false)$$,
  'PT409', 'checkout_mismatch', 'facts that contradict what was sold are refused');
select is(pg_temp.row_of('evt_cs'), null, 'and nothing is left of the event');
select results_eq($$select status, attempts from billing.record_stripe_event_failure(pg_temp.event('evt_cs', 'checkout.session.completed'), 'checkout_mismatch', 3)$$,
  $$values ('failed', 1)$$, 'the failure is remembered on its own');
select results_eq(
  $$select status, is_duplicate, attempts, organization_id from billing.process_stripe_event(pg_temp.event('evt_cs', 'checkout.session.completed'),
    pg_temp.checkout_facts(), false)$$,
  $$values ('processed', false, 2, tests.id('Acme'))$$, 'a failed event is no duplicate: it is applied when it comes again');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 500::numeric, 'and grants');
select results_eq(
  $$select status, is_duplicate from billing.process_stripe_event(pg_temp.event('evt_cs', 'checkout.session.completed'),
    pg_temp.checkout_facts(), false)$$,
  $$values ('processed', true)$$, 'then it is one');
select lives_ok($$select billing.process_stripe_event(pg_temp.event('evt_cs_' || n, 'checkout.session.completed'),
  pg_temp.checkout_facts(), false) from generate_series(1, 3) as n$$,
  'from three more endpoints');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 500::numeric, 'it adds nothing');
select results_eq($$select status, failure_code, stripe_payment_intent_id from billing.payments where organization_id = tests.id('Acme')$$,
  $$values ('succeeded', null, 'pi_story')$$, 'the one payment has succeeded');
select lives_ok(
  $$select billing.process_stripe_event(pg_temp.event('evt_pi_7', 'payment_intent.payment_failed'),
    pg_temp.intent_facts('requires_payment_method', '{"failure_code": "later"}'), false)$$, 'a failure reported afterwards');
select is((select status from billing.payments where organization_id = tests.id('Acme')), 'succeeded', 'does not undo it');
select results_eq($$select status from billing.record_stripe_event_failure(pg_temp.event('evt_cs', 'checkout.session.completed'), 'too late', 1)$$,
  $$values ('processed')$$, 'what is processed cannot fail any more');

-- Charges and customers ----------------------------------------------------------------------------------------------------------

select tests.reset();
create function pg_temp.charge(p_refunded bigint)
returns jsonb
language sql
as $$
  select jsonb_build_object('kind', 'charge', 'object', jsonb_build_object('stripe_payment_intent_id', 'pi_story', 'stripe_charge_id', 'ch_story', 'status', 'succeeded',
    'amount', 1000, 'amount_refunded', p_refunded, 'currency', 'usd', 'card_brand', 'visa', 'card_last4', '4242', 'receipt_url', 'https://r.test', 'livemode', false,
    'fetched_at', clock_timestamp()))
$$;
grant execute on function pg_temp.charge(bigint) to service_role;
select tests.as_service();
select billing.process_stripe_event(pg_temp.event('evt_ch_' || n, 'charge.updated'),
  pg_temp.charge(n), false) from unnest(array[0, 400, 100]::bigint[]) as n;
select results_eq($$select status, amount_refunded, card_brand, card_last4, receipt_url from billing.payments where organization_id = tests.id('Acme')$$,
  $$values ('succeeded', 0::bigint, 'visa', '4242', 'https://r.test')$$,
    'a charge adds card and receipt; what was given back comes with its refunds');
select results_eq(
  $$select status from billing.process_stripe_event(pg_temp.event('evt_cus', 'customer.updated'), '{"kind": "customer", "object": {"stripe_customer_id": "cus_story",
    "email": "new@story.test", "name": "Acme", "is_deleted": false, "livemode": false, "fetched_at": "2999-01-01T00:00:00Z"}}', false)$$,
  $$values ('processed')$$, 'a customer is copied');
select is((select email from billing.customers where stripe_customer_id = 'cus_story'), 'new@story.test', 'as it is at Stripe');
select billing.process_stripe_event(pg_temp.event('evt_cus_gone', 'customer.deleted'), '{"kind": "customer", "object": {"stripe_customer_id": "cus_story",
  "is_deleted": true, "livemode": false}}', false);
select isnt((select deleted_at from billing.customers where stripe_customer_id = 'cus_story'), null, 'and marked when it is gone');
select throws_ok($$select billing.process_stripe_event(pg_temp.event('evt_odd', 'a.b'), '{"kind": "odd", "object": {}}', false)$$,
  'PT422', 'invalid_argument',
  'facts of an unknown kind are refused');

-- Parked, listed, taken up again ------------------------------------------------------------------------------------------------------

select results_eq($$select (billing.record_stripe_event_failure(pg_temp.event('evt_lost', 'checkout.session.completed'), 'not_found', 3)).status from generate_series(1, 3)$$,
  $$values ('failed'), ('failed'), ('parked')$$, 'what waiting cannot mend is parked after some attempts');
select results_eq($$select (billing.record_stripe_event_failure(pg_temp.event('evt_down', 'checkout.session.completed'), 'down', null)).status from generate_series(1, 3)$$,
  $$values ('failed'), ('failed'), ('failed')$$, 'what passes never is');
select set_has($$select event_id from billing.list_stripe_events('parked')$$, $$values ('evt_lost'), ('evt_live')$$, 'parked events are listed');
select is(billing.reopen_stripe_event('evt_lost') ->> 'id', 'evt_lost', 'and taken up again with their body');
select is(pg_temp.row_of('evt_lost') ->> 'status', 'received', 'as if they had just come');
select throws_ok($$select billing.reopen_stripe_event('evt_none')$$, 'PT404', 'not_found', 'what never came is not there');
select tests.reset();

select tests.the_ledger_is_whole();
select * from finish();
rollback;
