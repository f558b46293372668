-- Acme's money goes back, in parts, at once, twice, too early, and comes again: credits follow it exactly.

begin;
select tests.story(77);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount, credit_expiry) values
('story_pack', 'Story pack', 500, 1000, '1 year'), ('odd_pack', 'Odd pack', 100, 300, null);
grant select on billing.credit_packages to public;
create temporary table sold (session text primary key, id uuid);
grant select, insert on sold to public;

-- A checkout of a pack that waits for payment at Stripe.
create function pg_temp.sell(p_session text, p_package text)
returns void
language plpgsql
as $$
declare
  v_prepared billing.checkout_preparation;
begin
  v_prepared := billing.prepare_checkout(tests.id('Acme'), tests.id('Olivia'), 'olivia@story.test', false, null, p_package, null,
    'hosted_page', 'https://app.test/' || p_session, 'https://app.test/no');
  perform billing.record_customer(tests.id('Acme'), 'cus_story', null, 'Acme', false);
  perform billing.attach_checkout_session(tests.id('Acme'), v_prepared.checkout_session_id, p_session, 'https://pay.test', now() + interval '1 day');
  insert into sold values (p_session, v_prepared.checkout_session_id);
end
$$;

-- It is paid, by the PaymentIntent pi_<session>.
create function pg_temp.pay(p_session text)
returns text
language sql
as $$
  select (billing.fulfil_checkout(jsonb_build_object(
    'stripe_session_id', p_session, 'livemode', false, 'mode', 'payment', 'status', 'complete', 'payment_status', 'paid', 'currency', 'usd',
    'amount_subtotal', c.unit_amount, 'amount_discount', 0, 'amount_total', c.unit_amount, 'stripe_customer_id', 'cus_story',
    'is_payment_link', false, 'client_reference_id', s.id, 'checkout_session_id', s.id, 'organization_id', c.organization_id,
    'fetched_at', clock_timestamp(), 'payment', jsonb_build_object(
      'stripe_payment_intent_id', 'pi_' || p_session, 'stripe_charge_id', 'ch_' || p_session, 'status', 'succeeded', 'amount', c.unit_amount)
  ))).status
  from sold as s
  inner join billing.checkout_sessions as c on c.id = s.id
  where s.session = p_session
$$;

-- What a worker reads of the session's charge. Refunds: {id: [amount, status]}.
create function pg_temp.sync(p_session text, p_amount bigint, p_refunds jsonb, p_disputes jsonb default '[]', p_fetched_at timestamptz default clock_timestamp())
returns uuid
language sql
as $$
  select billing_private.sync_reversals(jsonb_populate_record(null::billing_private.reversal_facts, jsonb_build_object(
    'stripe_payment_intent_id', 'pi_' || p_session, 'stripe_charge_id', 'ch_' || p_session, 'stripe_customer_id', 'cus_story',
    'amount', p_amount, 'currency', 'usd', 'livemode', false, 'disputes', p_disputes, 'fetched_at', p_fetched_at,
    'refunds', (
      select coalesce(jsonb_agg(jsonb_build_object('id', 're_' || r.key, 'amount', r.value -> 0, 'status', r.value -> 1, 'created_at', now())), '[]')
      from jsonb_each(p_refunds) as r
    )
  )))
$$;

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

create function pg_temp.entries(p_kind text)
returns table (amount numeric, debt_after numeric, reason text)
language sql
as $$
  select t.amount::numeric, t.debt_after::numeric, t.reason from billing.credit_transactions as t
  where t.organization_id = tests.id('Acme') and t.kind = p_kind order by t.sequence
$$;

create function pg_temp.balance()
returns numeric
language sql
as $$ select (billing.get_credit_balance(tests.id('Acme'))).balance $$;

create function pg_temp.left_of(p_session text)
returns numeric
language sql
as $$ select g.remaining::numeric from billing.credit_grants as g where g.organization_id = tests.id('Acme') and g.source_reference = p_session $$;

-- In parts ----------------------------------------------------------------------------------------------------------

select tests.reset();
select pg_temp.sell('cs_parts', 'story_pack');
select pg_temp.pay('cs_parts');
select tests.grant('Acme', 70, 'a gift', '{"priority": 200}');
select is(pg_temp.balance(), 570::numeric, 'a pack of 500 for 1000, and a gift of 70');
select is(pg_temp.sync('cs_parts', 1000, '{"a": [250, "succeeded"]}'), tests.id('Acme'), 'a quarter is refunded');
select is(pg_temp.balance(), 445::numeric, 'and a quarter of the credits with it');
select results_eq($$select p.amount_refunded, p.status from billing.payments as p where p.stripe_session_id = 'cs_parts'$$,
  $$values (250::bigint, 'partially_refunded')$$, 'the payment says so');
select lives_ok($$select pg_temp.sync('cs_parts', 1000, '{"a": [250, "succeeded"]}') from generate_series(1, 3)$$, 'told again');
select is(pg_temp.balance(), 445::numeric, 'it changes nothing');
select is(pg_temp.spend(300), 145::numeric, '300 are spent, of the pack, since the gift comes last');
select lives_ok($$select pg_temp.sync('cs_parts', 1000, '{"a": [250, "succeeded"], "b": [333, "pending"]}')$$, 'a third more goes back, still pending');
select results_eq($$select * from pg_temp.entries('clawback')$$, $$values (-125.000000, 0.000000, 'refund'), (-166.500000, 91.500000, 'refund')$$,
  'what the pack still had is taken, the rest is debt');
select is(pg_temp.left_of('a gift'), 70::numeric, 'the gift is not touched');
select is(pg_temp.balance(), -21.5::numeric, 'though the balance is below 0');
select lives_ok($$select pg_temp.sync('cs_parts', 1000, '{"a": [250, "succeeded"], "b": [333, "failed"]}')$$, 'the second refund fails');
select results_eq($$select * from pg_temp.entries('reinstate')$$, $$values (166.500000, 0.000000, 'refund')$$, 'exactly what was taken comes back');
select is(pg_temp.left_of('cs_parts'), 75::numeric, 'to the pack what came from it, and the debt is undone');
select lives_ok($$select pg_temp.sync('cs_parts', 1000, '{"a": [250, "succeeded"]}', '[]', '2020-01-01')$$, 'an older reading');
select results_eq($$select r.stripe_refund_id, r.status from billing.refunds as r where r.organization_id = tests.id('Acme') order by 1$$,
  $$values ('re_a', 'succeeded'), ('re_b', 'failed')$$, 'is not believed');
select results_eq($$select n.kind from billing.notifications as n where n.organization_id = tests.id('Acme') order by n.created_at$$,
  $$values ('payment_refunded'), ('payment_refunded'), ('refund_failed')$$, 'Acme is told of each refund once, and of its failure');
select lives_ok($$select pg_temp.sync('cs_parts', 1000, '{"a": [250, "succeeded"], "b": [333, "failed"], "c": [750, "succeeded"]}')$$, 'the rest goes back');
select results_eq($$select p.amount_refunded, p.status from billing.payments as p where p.stripe_session_id = 'cs_parts'$$,
  $$values (1000::bigint, 'refunded')$$, 'all of it');
select is(pg_temp.balance(), -230::numeric, '570 granted, 300 spent, 500 taken back');
select is((select r.reversed::numeric from billing_private.grant_reversals as r where r.organization_id = tests.id('Acme')), 500::numeric,
  'never more than was granted');
select is((billing.get_credit_balance(tests.id('Acme'))).debt, 300::numeric, 'what was spent is owed');
select tests.grant('Acme', 1000, 'a big gift', '{"priority": 300}');
select is((billing.get_credit_balance(tests.id('Acme'))).debt, 0::numeric, 'the next grant repays it');
select is(pg_temp.balance(), 770::numeric, 'and keeps the rest');
select lives_ok($$select pg_temp.sync('cs_parts', 1000, '{"a": [250, "succeeded"], "b": [333, "failed"], "c": [750, "failed"]}')$$, 'that refund fails, too');
select is(pg_temp.balance(), 1145::numeric, '375 come back');
select results_eq($$select g.amount::numeric, g.unit_cost::numeric, g.expires_at from billing.credit_grants as g
    where g.organization_id = tests.id('Acme') and g.source = 'refund'$$,
  $$values (300.000000, 2::numeric, null::timestamptz)$$, 'what another grant has repaid meanwhile as a grant of its own, at the cost that was paid');
select is(pg_temp.left_of('cs_parts'), 75::numeric, 'the rest where it was taken');

-- Cut off, never rounded up -----------------------------------------------------------------------------------------

select pg_temp.sell('cs_odd', 'odd_pack');
select pg_temp.pay('cs_odd');
select lives_ok($$select pg_temp.sync('cs_odd', 300, '{"odd1": [100, "succeeded"]}')$$, 'a third of 100 credits');
select is(pg_temp.left_of('cs_odd'), 66.666667, 'is 33.333333');
select lives_ok($$select pg_temp.sync('cs_odd', 300, '{"odd1": [100, "succeeded"], "odd2": [200, "succeeded"]}')$$, 'and three thirds');
select is(pg_temp.left_of('cs_odd'), 0::numeric, 'are all of them');

-- Too early -----------------------------------------------------------------------------------------------------------

select pg_temp.sell('cs_early', 'story_pack');
select is(pg_temp.sync('cs_early', 1000, '{"early": [600, "succeeded"]}'), tests.id('Acme'), 'a refund is told before its purchase');
select is(pg_temp.balance(), 1145::numeric, 'it waits');
select is(pg_temp.pay('cs_early'), 'complete', 'the purchase lands');
select is(pg_temp.left_of('cs_early'), 200::numeric, 'and what was waiting is applied at once');
select results_eq($$select p.amount_refunded, p.status from billing.payments as p where p.stripe_session_id = 'cs_early'$$,
  $$values (600::bigint, 'partially_refunded')$$, 'the payment says so');
select is((select count(*)::integer from billing_private.charge_reversals as c where c.is_waiting), 0, 'nothing waits any more');
select is(pg_temp.sync('cs_nobody', 1000, '{}'), tests.id('Acme'), 'a charge of Acme''s without any refund leaves nothing behind');
select is((select count(*)::integer from billing_private.charge_reversals as c where c.stripe_payment_intent_id = 'pi_cs_nobody'), 0, 'no row');
update billing.customers set stripe_customer_id = 'cus_other' where organization_id = tests.id('Acme');
select is(pg_temp.sync('cs_foreign', 1000, '{"foreign": [600, "succeeded"]}'), null, 'a charge of another product''s customer is none of our business');
update billing.customers set stripe_customer_id = 'cus_story' where organization_id = tests.id('Acme');

-- Held, moved, given back -----------------------------------------------------------------------------------------------

select pg_temp.sell('cs_held', 'story_pack');
select pg_temp.pay('cs_held');
select billing.void_grant(g.id, 'clearing the table') from billing.credit_grants as g
where g.organization_id = tests.id('Acme') and g.source_reference is distinct from 'cs_held' and g.remaining > 0;
select is(pg_temp.balance(), 500::numeric, 'only a new pack of 500 is left');
create temporary table held as
select (billing.hold_credits('Anything', 'do', null, 200, tests.id('Acme'))).hold_id as id;
select billing.transfer_credits(null, tests.id('Marketing'), 100, 'lend');
select is(pg_temp.spend(40), 460::numeric, '200 are held, 100 lent to Marketing, 40 spent');
select lives_ok($$select pg_temp.sync('cs_held', 1000, '{"held": [1000, "succeeded"]}')$$, 'all is refunded');
select results_eq($$select * from pg_temp.entries('clawback') offset 6$$, $$values (-500.000000, 240.000000, 'refund')$$,
  'the pack''s 160 and Marketing''s 100 are taken; what is held or spent is debt');
select is(pg_temp.balance(), -40::numeric, 'Acme owes what it spent');
select billing.release_hold((select id from held));
select is((billing.get_credit_balance(tests.id('Acme'))).debt, 240::numeric, 'the hold lets go');
select results_eq($$select j.processed, j.failed from billing_private.apply_due_reversals() as j$$, $$values (1::bigint, 0::bigint)$$, 'the job sees it');
select results_eq($$select * from pg_temp.entries('clawback') offset 7$$, $$values (0.000000, 40.000000, 'debt_settled')$$,
  'and moves what came back onto the debt');
select is(pg_temp.balance(), -40::numeric, 'the balance is the same');
select results_eq($$select j.processed, j.failed from billing_private.apply_due_reversals() as j$$, $$values (0::bigint, 0::bigint)$$, 'then it rests');
select lives_ok($$select pg_temp.sync('cs_held', 1000, '{"held": [1000, "failed"]}')$$, 'the refund fails after all');
select is(pg_temp.balance(), 460::numeric, 'everything is as it was');
select is(pg_temp.left_of('cs_held'), 360::numeric, 'in the pack');
select is((select sum(g.remaining)::numeric from billing.credit_grants as g where g.organization_id = tests.id('Acme') and g.source = 'transfer'), 100::numeric,
  'and at Marketing''s');

-- Ended unused ------------------------------------------------------------------------------------------------------------

select billing.advance_test_clock(tests.id('Acme'), clock_timestamp());
select pg_temp.sell('cs_voided', 'odd_pack');
select pg_temp.pay('cs_voided');
select is(pg_temp.balance(), 560::numeric, 'a pack of 100');
select pg_temp.spend(395);
select is(pg_temp.left_of('cs_voided'), 65::numeric, 'of which 35 are spent');
select billing.void_grant(g.id, 'by hand') from billing.credit_grants as g where g.source_reference = 'cs_voided';
select is(pg_temp.balance(), 100::numeric, 'is voided by hand');
select lives_ok($$select pg_temp.sync('cs_voided', 300, '{"v1": [150, "succeeded"]}')$$, 'half of it is refunded');
select is(pg_temp.balance(), 100::numeric, 'what was voided counts as taken: nothing is taken twice');
select lives_ok($$select pg_temp.sync('cs_voided', 300, '{"v1": [150, "succeeded"], "v2": [150, "succeeded"]}')$$, 'then all of it');
select is(pg_temp.balance(), 65::numeric, 'only what was used is owed');
select lives_ok($$select pg_temp.sync('cs_voided', 300, '{"v1": [150, "succeeded"], "v2": [150, "failed"]}')$$, 'the second half fails');
select is(pg_temp.balance(), 100::numeric, 'and is not owed any more');

select pg_temp.sell('cs_expired', 'story_pack');
select pg_temp.pay('cs_expired');
select billing.advance_test_clock(tests.id('Acme'), clock_timestamp() + interval '2 years');
select is(pg_temp.left_of('cs_expired'), 0::numeric, 'another expires unused');
create temporary table before_late_refund as select pg_temp.balance() as balance;
select lives_ok($$select pg_temp.sync('cs_expired', 1000, '{"late": [1000, "succeeded"]}')$$, 'and is refunded years later');
select is(pg_temp.balance(), (select b.balance from before_late_refund as b), 'nobody owes what they never used');
select results_eq($$select r.reversed::numeric, r.ended::numeric, r.debt::numeric from billing_private.grant_reversals as r
    inner join billing.credit_grants as g on g.id = r.grant_id where g.source_reference = 'cs_expired'$$,
  $$values (500::numeric, 500::numeric, 0::numeric)$$, 'it is reversed all the same');

select pg_temp.sell('cs_claimed', 'story_pack');
select pg_temp.pay('cs_claimed');
select billing.void_grant(g.id, 'clearing the table') from billing.credit_grants as g
where g.organization_id = tests.id('Acme') and g.source_reference is distinct from 'cs_claimed' and g.remaining > 0;
select billing.advance_test_clock(tests.id('Acme'), (select g.expires_at - interval '1 hour' from billing.credit_grants as g where g.source_reference = 'cs_claimed'));
create temporary table claimed as
select (billing.hold_credits('Anything', 'do', null, 200, tests.id('Acme'), expires_in => '2 hours')).hold_id as id;
select lives_ok($$select pg_temp.sync('cs_claimed', 1000, '{"claimed": [1000, "succeeded"]}')$$, 'a pack is refunded while a hold claims 200 of it');
select is((billing.get_credit_balance(tests.id('Acme'))).debt, 200::numeric, 'which are debt');
select billing.advance_test_clock(tests.id('Acme'), (select g.expires_at from billing.credit_grants as g where g.source_reference = 'cs_claimed'));
select billing.release_hold(c.id) from claimed as c;
select is(pg_temp.balance(), -200::numeric, 'the hold lets go of them after their end: they expire');
select results_eq($$select j.processed, j.failed from billing_private.apply_due_reversals() as j$$, $$values (1::bigint, 0::bigint)$$, 'the job sees it');
select is(pg_temp.balance(), 0::numeric, 'and nobody owes what was never used');

select tests.as_user('Bella');
select is((select count(*)::integer from billing.refunds), 11, 'Bella sees the refunds');
select tests.as_user('Max');
select is_empty($$select 1 from billing.refunds$$, 'Max does not');

select tests.the_ledger_is_whole();
select is_empty($$select * from billing.rebuild_ledger(tests.id('Acme')) as r where r.changed > 0$$, 'and is the same when it is made anew from its entries');
select * from finish();
rollback;
