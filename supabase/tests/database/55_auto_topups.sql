-- Acme agrees to be topped up by itself: once at a time, once a need, never beyond what was agreed.

begin;
select tests.story(78);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount, credit_expiry) values ('refill', 'Refill', 100, 1000, '1 year');
insert into billing.credit_packages (key, name, credits, unit_amount) values ('cheap', 'Cheap', 10000, 100);
grant select on billing.credit_packages to public;

create function pg_temp.pack(p_key text)
returns uuid
language sql
as $$ select c.id from billing.credit_packages as c where c.key = p_key $$;

create function pg_temp.agree(p_more text)
returns billing.auto_topups
language plpgsql
as $$
declare
  v_row billing.auto_topups;
begin
  execute format('select * from billing.set_auto_topup(%L, true, package_id => %L, consent => %L, %s)',
    tests.id('Acme'), pg_temp.pack('refill'), 'Charge my card without asking.', p_more) into v_row;
  return v_row;
end
$$;

create function pg_temp.begin()
returns billing.auto_topup_call
language sql
as $$ select billing.begin_auto_topup(tests.id('Acme'), false) $$;

-- What a worker reads of the newest attempt's PaymentIntent.
create function pg_temp.facts(p_status text, p_failure_code text default null, p_more jsonb default '{}')
returns jsonb
language sql
as $$
  select jsonb_build_object(
    'stripe_payment_intent_id', coalesce(t.stripe_payment_intent_id, 'pi_' || t.id), 'stripe_charge_id', 'ch_' || t.id, 'status', p_status,
    'amount', t.amount, 'currency', t.currency, 'stripe_customer_id', t.stripe_customer_id, 'organization_id', t.organization_id,
    'topup_id', t.id, 'failure_code', p_failure_code, 'livemode', false, 'fetched_at', clock_timestamp()) || p_more
  from billing.auto_topup_attempts as t
  where t.organization_id = tests.id('Acme') order by t.recorded_at desc limit 1
$$;

create function pg_temp.record(p_status text, p_failure_code text default null)
returns text
language sql
as $$ select (billing.record_auto_topup(pg_temp.facts(p_status, p_failure_code))).status $$;

create function pg_temp.spend(p_amount numeric)
returns numeric
language plpgsql
as $$
declare
  v_balance numeric;
begin
  perform tests.as_user('Olivia');
  v_balance := (billing.consume_credits('Anything', 'do', null, p_amount, tests.id('Acme'))).balance;
  perform tests.reset();
  return v_balance;
end
$$;

create function pg_temp.balance()
returns numeric
language sql
as $$ select (billing.get_credit_balance(tests.id('Acme'))).balance $$;

create function pg_temp.state()
returns text
language sql
as $$ select concat_ws(' ', a.consecutive_declines, a.paused_reason) from billing.auto_topups as a where a.organization_id = tests.id('Acme') $$;

create function pg_temp.wait(p_by interval)
returns void
language sql
as $$ select billing.advance_test_clock(tests.id('Acme'), (select coalesce(o.test_clock, clock_timestamp()) + p_by
  from billing.organizations as o where o.organization_id = tests.id('Acme'))) $$;

do $$ begin execute format('grant execute on all functions in schema %s to public', pg_my_temp_schema()::regnamespace); end $$;

-- The consent ---------------------------------------------------------------------------------------------------------

select tests.grant('Acme', 100, 'a start');
select tests.as_user('Max');
select is(tests.refusal(format('select billing.set_auto_topup(%L, false)', tests.id('Acme'))) ->> 'message', 'not_authorized', 'Max may not agree for Acme');
select tests.as_user('Bella');
select is(tests.refusal(format('select billing.set_auto_topup(%L, true, %s, package_id => %L, consent => %L)',
  tests.id('Acme'), r.terms, pg_temp.pack(r.pack), r.consent)) #>> '{details,argument}', r.argument, 'refused: ' || r.why)
from (values
  ('threshold => 10', 'refill', 'yes', 'amount', 'neither amount nor target'),
  ('threshold => 10, amount => 100, target => 200', 'refill', 'yes', 'amount', 'both'),
  ('threshold => -1, amount => 100', 'refill', 'yes', 'threshold', 'a threshold below 0'),
  ('threshold => 10, amount => 0', 'refill', 'yes', 'amount', 'nothing'),
  ('threshold => 10, amount => 0.0000001', 'refill', 'yes', 'amount', 'seven decimals'),
  ('threshold => 10, target => 10', 'refill', 'yes', 'target', 'a target that is the threshold'),
  ('threshold => 10, amount => 100, monthly_cap => 0', 'refill', 'yes', 'monthly_cap', 'a cap of nothing'),
  ('threshold => 10, amount => 100', 'refill', '', 'consent', 'no words'),
  ('threshold => 10, amount => 4.9', 'refill', 'yes', 'amount', 'so few that Stripe would not charge for them'),
  ('threshold => 10, target => 4000', 'cheap', 'yes', 'target', 'the same by a target')
) as r (terms, pack, consent, argument, why);
select is(tests.refusal(format('select billing.set_auto_topup(%L, true, 10, 100, consent => %L)', tests.id('Acme'), 'yes')) ->> 'message', 'not_found',
  'without a pack there is no price');
select is((pg_temp.agree('threshold => 50, amount => 100')).is_enabled, true, 'Bella agrees');
select results_eq($$select a.consented_by, a.consent_text, a.consented_at is not null, a.currency from billing.auto_topups as a$$,
  $$values (tests.id('Bella'), 'Charge my card without asking.', true, 'usd')$$, 'who, to what and when is kept');
select tests.reset();
select is((select count(*)::integer from billing.audit_log as l where l.organization_id = tests.id('Acme') and l.action = 'set_auto_topup'), 1, 'and audited');

-- Currencies whose smallest unit nobody can pay ---------------------------------------------------------------------------

insert into billing.credit_packages (key, name, credits, unit_amount, currency) values ('dinars', 'Dinars', 300, 10000, 'kwd'), ('crowns', 'Crowns', 300, 50000, 'isk');
select is(billing_private.price_of_credits(100, p), 3340::bigint, '3.33333 dinars are charged as 3.340') from billing.credit_packages as p where p.key = 'dinars';
select is(billing_private.price_of_credits(100, p), 16700::bigint, '166.67 crowns are charged as 167') from billing.credit_packages as p where p.key = 'crowns';
select throws_ok($$insert into billing.credit_packages (key, name, credits, unit_amount, currency) values ('no', 'No', 1, 1234, 'kwd')$$, '23514', null,
  'nobody can pay 1.234 dinars for a pack');
select throws_ok($$insert into billing.subscription_plans (key, name, credits_per_period, unit_amount, currency) values ('no', 'No', 1, 1050, 'isk')$$, '23514', null,
  'nor 10.50 crowns for a plan');

-- Scenario 40: the threshold counts as reached, and one need is one charge -----------------------------------------------

select is((pg_temp.begin()).step, null, 'at 100 nothing is due');
select is_empty($$select billing.due_auto_topups()$$, 'nobody is due');
select pg_temp.spend(50);
select results_eq($$select billing.due_auto_topups()$$, $$values (tests.id('Acme'))$$, 'at 50, the threshold, Acme is');
select is((pg_temp.begin()).step, null, 'but there is no card');
select is(pg_temp.state(), '0 no_payment_method', 'so it rests');
select billing.open_customer(tests.id('Acme'), tests.id('Olivia'), null, false);
select billing.record_customer(tests.id('Acme'), 'cus_topup', null, 'Acme', false);
select is((billing.record_payment_method('{"stripe_payment_method_id": "pm_1", "stripe_customer_id": "cus_topup", "type": "card", "brand": "visa",
  "last4": "4242", "exp_month": 12, "exp_year": 2040, "livemode": false, "fetched_at": "2026-01-01"}')).is_default, true, 'the first card is the default');
select is(pg_temp.state(), '0', 'and ends the rest');
select results_eq($$select c.step, c.amount, c.currency, c.credits, c.stripe_payment_method_id, c.must_look_up from pg_temp.begin() as c$$,
  $$values ('charge', 1000::bigint, 'usd', '100', 'pm_1', false)$$, 'an attempt begins: 100 credits for 1000');
select is((pg_temp.begin()).step, null, 'another worker finds it open and leaves it alone');
update billing.auto_topup_attempts set called_at = clock_timestamp() - interval '1 minute';
select results_eq($$select c.step, c.attempt_id = t.id, c.must_look_up from pg_temp.begin() as c cross join billing.auto_topup_attempts as t$$,
  $$values ('charge', true, true)$$, 'without an answer the same attempt is taken up again, looking first');
select is(tests.refusal(format('select billing.record_auto_topup(pg_temp.facts(''succeeded'', null, %L))', w.more)) ->> 'message', w.slug,
  'what contradicts the attempt grants nothing: ' || w.more)
from (values ('{"amount": 1}', 'payment_mismatch'), ('{"currency": "eur"}', 'payment_mismatch'), ('{"livemode": true}', 'payment_mismatch'),
  ('{"stripe_customer_id": "cus_other"}', 'not_found'), ('{"topup_id": "00000000-0000-4000-8000-000000000000"}', 'not_found')) as w (more, slug);
select is(pg_temp.record('processing'), 'processing', 'the money is under way');
select is(pg_temp.balance(), 50::numeric, 'nothing is granted yet');
select is(pg_temp.record('succeeded'), 'succeeded', 'it arrives');
select is(pg_temp.record('succeeded'), 'succeeded', 'told by webhook, too');
select is(pg_temp.record('canceled'), 'succeeded', 'a success is final');
select is(pg_temp.balance(), 150::numeric, '100 are granted, once');
select results_eq($$select g.source, g.unit_cost::numeric, g.expires_at > now() + interval '364 days' from billing.credit_grants as g
    where g.organization_id = tests.id('Acme') and g.source = 'purchase'$$,
  $$values ('purchase', 10::numeric, true)$$, 'at what they cost, with the pack''s expiry');
select results_eq($$select p.kind, p.status, p.amount, p.grant_id is not null from billing.payments as p where p.organization_id = tests.id('Acme')$$,
  $$values ('auto_topup', 'succeeded', 1000::bigint, true)$$, 'with a payment of its own');
select pg_temp.spend(120);
select is((pg_temp.begin()).step, null, 'at 30 it is due again, but not so soon');
select is_empty($$select billing.due_auto_topups()$$, 'nobody is due within the cool-down');

-- Scenario 41: the whole gap in one charge -------------------------------------------------------------------------------

select pg_temp.wait('6 minutes');
select billing.adjust_credits(tests.id('Acme'), -380, 'a deep hole', 'hole');
select tests.as_user('Bella');
select is((pg_temp.agree('threshold => 0, amount => 100')).threshold::numeric, 0::numeric, 'the threshold is 0 now');
select tests.reset();
select is(pg_temp.balance(), -350::numeric, 'and the balance -350');
select results_eq($$select c.credits, c.amount from pg_temp.begin() as c$$, $$values ('400', 4000::bigint)$$, 'one charge for 400');
select is(pg_temp.record('succeeded'), 'succeeded', 'which is paid');
select is(pg_temp.balance(), 50::numeric, 'leaves 50');
select is((select billing_private.topup_credits(a, -300) from billing.auto_topups as a), 400::numeric, 'from -300 it is 400, too: 0 would be due again');
select pg_temp.wait('6 minutes');
select tests.as_user('Bella');
select pg_temp.agree('threshold => 60, target => 75.5');
select tests.reset();
select results_eq($$select c.credits, c.amount from pg_temp.begin() as c$$, $$values ('25.5', 255::bigint)$$, 'up to a target it is what is missing');

-- Declined, confirmed by a person, given up --------------------------------------------------------------------------------

select is(pg_temp.record('requires_payment_method', 'authentication_required'), 'needs_action', 'the bank wants a person to confirm');
select is((pg_temp.begin()).step, null, 'no other attempt is made');
select results_eq($$select n.severity from billing.notifications as n where n.organization_id = tests.id('Acme') and n.kind = 'auto_topup_needs_action'$$,
  $$values ('critical')$$, 'people are called');
select is((billing.find_auto_topup_action(tests.id('Acme'), tests.id('Bella'))).status, 'needs_action', 'Bella finds it');
select is(tests.refusal(format('select billing.find_auto_topup_action(%L, %L)', tests.id('Acme'), tests.id('Max'))) ->> 'message', 'not_authorized', 'Max does not');
select is(pg_temp.record('requires_payment_method', 'payment_intent_authentication_failure'), 'needs_action', 'she fails, and may try again');
update billing.auto_topup_attempts set recorded_at = now() - interval '25 hours', called_at = now() - interval '25 hours' where status = 'needs_action';
select is((pg_temp.begin()).step, 'cancel', 'after a day it is given up');
update billing.auto_topup_attempts set recorded_at = clock_timestamp() where status = 'needs_action';
select is(pg_temp.record('canceled'), 'canceled', 'at Stripe, too');
select is(pg_temp.state(), '0', 'that is no decline');

create function pg_temp.decline()
returns text
language plpgsql
as $$
begin
  perform pg_temp.wait('6 minutes');
  perform pg_temp.begin();
  return pg_temp.record('requires_payment_method', 'insufficient_funds');
end
$$;
select is(pg_temp.decline(), 'failed', 'a card is declined');
select is(pg_temp.record('requires_payment_method', 'insufficient_funds'), 'failed', 'told twice');
select is(pg_temp.state(), '1', 'counts once');
select pg_temp.wait('6 minutes');
select pg_temp.begin();
select is((billing.fail_auto_topup(tests.id('Acme'), (select t.id from billing.auto_topup_attempts as t where t.status = 'pending'), 'resource_missing', 'x')).status,
  'failed', 'a call that Stripe refuses fails, too');
select is(pg_temp.decline(), 'failed', 'the third');
select is(pg_temp.state(), '3 declined', 'trips the breaker');
select is(pg_temp.decline(), 'failed', 'later');
select is((select count(*)::integer from billing.auto_topup_attempts), 6, 'nothing is tried');
select tests.as_user('Bella');
select is((pg_temp.agree('threshold => 60, target => 75.5')).paused_reason, 'declined', 'agreeing again does not help');
select tests.reset();
select is((billing.record_payment_method('{"stripe_payment_method_id": "pm_2", "stripe_customer_id": "cus_topup", "type": "card", "brand": "visa",
  "last4": "1111", "exp_month": 12, "exp_year": 2040, "livemode": false, "fetched_at": "2026-01-01"}', true)).is_default, true, 'another card');
select is(pg_temp.state(), '0', 'does');
select is(pg_temp.record('succeeded'), 'succeeded', 'money that comes after a decline counts');
select is(pg_temp.balance(), 75.5, 'and is granted');

-- The cap and the leash ---------------------------------------------------------------------------------------------------------

select tests.as_user('Bella');
select pg_temp.agree('threshold => 75.5, amount => 100, monthly_cap => 6254');
select tests.reset();
select pg_temp.wait('6 minutes');
select is((pg_temp.begin()).step, null, '1000 + 4000 + 255 charged this month, and 1000 more would be 6255: one too many');
select is((select count(*)::integer from billing.notifications as n where n.organization_id = tests.id('Acme') and n.kind = 'auto_topup_cap_reached'), 1, 'Acme is told once');
select billing_private.set_restriction(tests.id('Acme'), 'paused', null);
update billing.auto_topups set monthly_cap = null;
select is((pg_temp.begin()).step, null, 'who is restricted is not charged');
select billing_private.lift_restriction(tests.id('Acme'), 'paused');
select is((pg_temp.begin()).step, 'charge', 'who is not, is');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
