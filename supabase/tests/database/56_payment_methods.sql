-- Acme's cards: which one is charged when nobody is there, and what becomes of it.

begin;
select tests.story(36);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount) values ('refill', 'Refill', 100, 1000);

-- What a worker reads of a card.
create function pg_temp.card(p_id text, p_more jsonb default '{}')
returns jsonb
language sql
as $$
  select jsonb_build_object('stripe_payment_method_id', p_id, 'stripe_customer_id', 'cus_cards', 'type', 'card', 'brand', 'visa', 'last4', '4242',
    'exp_month', 12, 'exp_year', 2040, 'livemode', false, 'fetched_at', clock_timestamp()) || p_more
$$;

create function pg_temp.sync(p_id text, p_more jsonb default '{}')
returns uuid
language sql
as $$ select billing_private.apply_stripe_facts('payment_method', pg_temp.card(p_id, p_more)) $$;

create function pg_temp.cards()
returns text
language sql
as $$
  select string_agg(m.stripe_payment_method_id || case when m.is_default then '*' else '' end || case when m.detached_at is null then '' else '-' end, ' '
    order by m.stripe_payment_method_id)
  from billing.payment_methods as m where m.organization_id = tests.id('Acme')
$$;

create function pg_temp.autopilot()
returns text
language sql
as $$ select concat_ws(' ', a.is_enabled, a.paused_reason) from billing.auto_topups as a where a.organization_id = tests.id('Acme') $$;

create function pg_temp.customer_prefers(p_id text)
returns uuid
language sql
as $$
  select billing_private.apply_stripe_facts('customer', jsonb_build_object('stripe_customer_id', 'cus_cards', 'email', 'a@story.test',
    'default_payment_method_id', p_id, 'is_deleted', false, 'livemode', false, 'fetched_at', clock_timestamp()))
$$;

-- The first, another, none ----------------------------------------------------------------------------------------------

select is(pg_temp.sync('pm_a'), null, 'a card of nobody we know is none of our business');
select billing.open_customer(tests.id('Acme'), tests.id('Olivia'), null, false);
select billing.record_customer(tests.id('Acme'), 'cus_cards', null, 'Acme', false);
select billing.set_auto_topup(tests.id('Acme'), true, 10, 100, package_id => (select c.id from billing.credit_packages as c where c.key = 'refill'), consent => 'yes');
select is(pg_temp.sync('pm_a', '{"livemode": true}'), null, 'nor is one of the other mode');
select is(pg_temp.sync('pm_a'), tests.id('Acme'), 'Acme saves a card');
select is(pg_temp.cards(), 'pm_a*', 'which becomes the default');
select lives_ok($$select pg_temp.sync('pm_b')$$, 'and another');
select is(pg_temp.cards(), 'pm_a* pm_b', 'which does not');
select lives_ok($$select pg_temp.sync('pm_b', '{"exp_year": 2041, "fetched_at": "2020-01-01"}')$$, 'an older reading');
select is((select m.exp_year from billing.payment_methods as m where m.stripe_payment_method_id = 'pm_b'), 2040, 'is left alone');
select lives_ok($$select pg_temp.sync('pm_b', '{"exp_year": 2045}')$$, 'the network renews it');
select is((select m.exp_year from billing.payment_methods as m where m.stripe_payment_method_id = 'pm_b'), 2045, 'that is copied');
select is(pg_temp.customer_prefers('pm_b'), tests.id('Acme'), 'Acme prefers the second on Stripe''s page');
select is(pg_temp.cards(), 'pm_a pm_b*', 'so it is the default here');
select lives_ok($$select pg_temp.customer_prefers(null)$$, 'Stripe names none any more');
select is(pg_temp.cards(), 'pm_a pm_b*', 'ours stays');
select is((billing.record_payment_method(pg_temp.card('pm_a'), true)).is_default, true, 'Acme chooses the first here');
select is(pg_temp.cards(), 'pm_a* pm_b', 'there is always one');
select is(pg_temp.autopilot(), 't', 'automatic top-up is on');
select lives_ok($$select pg_temp.sync('pm_a', '{"stripe_customer_id": null}') from generate_series(1, 2)$$, 'the default is removed');
select is(pg_temp.cards(), 'pm_a- pm_b', 'no other steps in by itself');
select is(pg_temp.autopilot(), 't no_payment_method', 'automatic top-up rests');
select is(pg_temp.sync('pm_unknown', '{"stripe_customer_id": null}'), null, 'a removed card that we never saw is nothing');
select is(tests.refusal(format('select billing.record_payment_method(%L)', pg_temp.card('pm_x', '{"stripe_customer_id": "cus_nobody"}'))) ->> 'message', 'not_found',
  'a card of another''s customer cannot be recorded');
select is(pg_temp.sync('pm_c'), tests.id('Acme'), 'a new card is saved');
select is(pg_temp.cards(), 'pm_a- pm_b pm_c*', 'and becomes the default');
select is(pg_temp.autopilot(), 't', 'which ends the rest');

-- Set-up ------------------------------------------------------------------------------------------------------------------

select is(billing_private.apply_stripe_facts('setup_intent', jsonb_build_object('stripe_setup_intent_id', 'seti_1', 'status', 'succeeded',
  'stripe_customer_id', 'cus_cards', 'payment_method', pg_temp.card('pm_d'), 'livemode', false, 'fetched_at', clock_timestamp())), tests.id('Acme'),
  'a set-up saves a card');
select is(pg_temp.cards(), 'pm_a- pm_b pm_c* pm_d', 'like any other');
select lives_ok($$select billing_private.apply_stripe_facts('setup_intent', jsonb_build_object('stripe_setup_intent_id', 'seti_2',
  'status', 'requires_payment_method', 'failure_code', 'card_declined', 'stripe_customer_id', 'cus_cards', 'livemode', false, 'fetched_at', clock_timestamp()))$$,
  'another is declined');
select results_eq($$select n.kind from billing.notifications as n where n.organization_id = tests.id('Acme') and n.subject_type = 'setup_intent'$$,
  $$values ('card_not_saved')$$, 'Acme is told');

-- Cards end -----------------------------------------------------------------------------------------------------------------

update billing.payment_methods set exp_month = 3, exp_year = 2031 where stripe_payment_method_id in ('pm_c', 'pm_d');
select results_eq(
  $$select w.at::date, (billing_private.notify_expiring_cards(w.at)).processed from (values ('2031-02-28'::timestamptz), ('2031-03-03'), ('2031-03-31 12:00Z'), ('2031-04-01 12:00Z')) as w (at)$$,
  $$values ('2031-02-28'::date, 0::bigint), ('2031-03-03'::date, 1::bigint), ('2031-03-31'::date, 0::bigint), ('2031-04-01'::date, 1::bigint)$$,
  'told once within 30 days of the end of its month, and once when it is over; of the default alone');
select results_eq($$select n.kind from billing.notifications as n where n.organization_id = tests.id('Acme') and n.subject_type = 'payment_method' order by n.created_at$$,
  $$values ('card_expiring'), ('card_expired')$$, 'in these words');

select is(billing.find_payment_method(tests.id('Acme'), tests.id('Bella'), (select m.id from billing.payment_methods as m where m.stripe_payment_method_id = 'pm_c')),
  'pm_c', 'Bella may change it');
select is(tests.refusal(format('select billing.find_payment_method(%L, %L, %L)', tests.id('Acme'), tests.id('Otto'),
  (select m.id from billing.payment_methods as m where m.stripe_payment_method_id = 'pm_c'))) ->> 'message', 'not_authorized', 'Otto may not');
select is(tests.refusal(format('select billing.find_payment_method(%L, %L, %L)', tests.id('Acme'), tests.id('Bella'),
  (select m.id from billing.payment_methods as m where m.stripe_payment_method_id = 'pm_a'))) ->> 'message', 'not_found', 'a removed one is gone');

select billing_private.apply_stripe_facts('customer', jsonb_build_object('stripe_customer_id', 'cus_cards', 'is_deleted', true, 'livemode', false,
  'fetched_at', clock_timestamp()));
select is(pg_temp.cards(), 'pm_a- pm_b- pm_c- pm_d-', 'with the customer all its cards are gone');
select is(pg_temp.autopilot(), 't no_payment_method', 'and automatic top-up rests');

select * from finish();
rollback;
