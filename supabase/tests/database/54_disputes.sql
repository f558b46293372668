-- A bank takes Acme's money, gives it back, keeps it: credits and the right to spend follow.

begin;
select tests.story(45);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount) values ('story_pack', 'Story pack', 1000, 1000), ('small_pack', 'Small pack', 100, 1000);
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

-- What a worker reads of the session's charge. Disputes: {id: [amount, withdrawn, status]}; refunds: {id: [amount, status]}.
create function pg_temp.sync(p_session text, p_disputes jsonb, p_refunds jsonb default '{}')
returns uuid
language sql
as $$
  select billing_private.sync_reversals(jsonb_populate_record(null::billing_private.reversal_facts, jsonb_build_object(
    'stripe_payment_intent_id', 'pi_' || p_session, 'stripe_charge_id', 'ch_' || p_session, 'stripe_customer_id', 'cus_story',
    'amount', 1000, 'currency', 'usd', 'livemode', false, 'fetched_at', clock_timestamp(),
    'disputes', (
      select coalesce(jsonb_agg(jsonb_build_object('id', 'du_' || d.key, 'amount', d.value -> 0, 'withdrawn', d.value -> 1,
        'status', d.value -> 2, 'reason', 'fraudulent', 'created_at', now())), '[]')
      from jsonb_each(p_disputes) as d
    ),
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

create function pg_temp.balance()
returns numeric
language sql
as $$ select (billing.get_credit_balance(tests.id('Acme'))).balance $$;


create function pg_temp.refused()
returns text
language sql
as $$
  select tests.as_user('Olivia');
  select tests.refusal(format('select billing.consume_credits(''Anything'', ''do'', null, 1, %L)', tests.id('Acme'))) #>> '{details,reason}'
$$;

create function pg_temp.reason()
returns text
language sql
as $$ select o.restricted_reason from billing.organizations as o where o.organization_id = tests.id('Acme') $$;

create function pg_temp.autopilot()
returns text
language sql
as $$ select concat_ws(' ', a.is_enabled, a.paused_reason) from billing.auto_topups as a where a.organization_id = tests.id('Acme') $$;

-- A question is no dispute ------------------------------------------------------------------------------------------

select tests.reset();
select pg_temp.sell('cs_big', 'story_pack');
select pg_temp.pay('cs_big');
select billing.set_auto_topup(tests.id('Acme'), true, 0, 100, package_id => (select c.id from billing.credit_packages as c where c.key = 'small_pack'),
  consent => 'Charge my card without asking.');
select lives_ok($$select pg_temp.sync('cs_big', '{"1": [1000, 0, "warning_needs_response"]}')$$, 'a bank asks');
select is(pg_temp.balance(), 1000::numeric, 'no money moves, and no credits');
select is(pg_temp.reason(), null, 'Acme may spend');
select is(pg_temp.autopilot(), 't', 'automatic top-up is on');
select results_eq($$select n.kind, n.severity from billing.notifications as n where n.organization_id = tests.id('Acme')$$,
  $$values ('dispute_inquiry', 'warning')$$, 'Acme is told');
select is((select p.disputed from billing.payments as p where p.stripe_session_id = 'cs_big'), false, 'the payment is not disputed');
select lives_ok($$select pg_temp.sync('cs_big', '{"1": [1000, 0, "warning_closed"]}')$$, 'the bank is content');
select is(pg_temp.balance(), 1000::numeric, 'nothing has happened');

-- Scenario 38: withdrawn, then reinstated -------------------------------------------------------------------------------

select lives_ok($$select pg_temp.sync('cs_big', '{"1": [1000, 0, "warning_closed"], "2": [1000, 1000, "needs_response"]}')$$, 'the owner of the card disputes');
select is(pg_temp.balance(), 0::numeric, 'the bank takes the money, and the credits go with it');
select is(pg_temp.reason(), 'dispute', 'Acme may not spend');
select tests.grant('Acme', 10, 'a consolation', '{"priority": 200}');
select is(pg_temp.refused(), 'dispute', 'not even what it has');
select tests.reset();
select is(pg_temp.autopilot(), 't dispute', 'automatic top-up rests');
select is((select p.disputed from billing.payments as p where p.stripe_session_id = 'cs_big'), true, 'the payment is disputed');
select results_eq($$select a.kind, a.severity from billing_private.platform_alerts as a where a.organization_id = tests.id('Acme') order by a.created_at$$,
  $$values ('dispute_inquiry', 'warning'), ('dispute_opened', 'critical')$$, 'who runs the platform has to answer it');
select lives_ok($$select pg_temp.sync('cs_big', '{"1": [1000, 0, "warning_closed"], "2": [1000, 0, "won"]}') from generate_series(1, 2)$$, 'the dispute is won');
select is(pg_temp.balance(), 1010::numeric, 'all 1000 come back, once');
select is((select t.reason from billing.credit_transactions as t where t.organization_id = tests.id('Acme') and t.kind = 'reinstate'), 'dispute',
  'as a dispute''s doing');
select is(pg_temp.reason(), null, 'Acme may spend again');
select is(pg_temp.autopilot(), 't', 'and top up');
select is((select g.remaining::numeric from billing.credit_grants as g where g.source_reference = 'cs_big'), 1000::numeric, 'in the grant they were taken from');

-- Scenario 39: spent, then disputed and lost -----------------------------------------------------------------------------

select billing.void_grant(g.id, 'eaten') from billing.credit_grants as g where g.source_reference = 'a consolation';
select is(pg_temp.spend(50), 950::numeric, '50 are spent');
select lives_ok($$select pg_temp.sync('cs_big', '{"3": [1000, 1000, "under_review"]}')$$, 'the whole charge is disputed again');
select is(pg_temp.balance(), -50::numeric, 'Acme owes what it spent');
select is(pg_temp.autopilot(), 't dispute', 'automatic top-up rests');
select lives_ok($$select pg_temp.sync('cs_big', '{"3": [1000, 1000, "lost"]}')$$, 'and it is lost');
select is(pg_temp.balance(), -50::numeric, 'the credits stay gone');
select is(pg_temp.reason(), 'dispute', 'and Acme restricted, for it owes');
select is(pg_temp.autopilot(), 'f dispute', 'automatic top-up is off');
select pg_temp.sell('cs_small', 'small_pack');
select is(pg_temp.pay('cs_small'), 'complete', 'it buys 100');
select is(pg_temp.balance(), 50::numeric, 'which repay the debt first');
select is(pg_temp.reason(), null, 'what was spent is paid for: Acme may spend again');
select is(pg_temp.autopilot(), 'f dispute', 'but must agree anew to automatic top-up');
select lives_ok($$select pg_temp.sync('cs_big', '{"3": [1000, 1000, "lost"]}')$$, 'told of the lost dispute again');
select is(pg_temp.reason(), null, 'it does not restrict again');
select lives_ok($$select pg_temp.sync('cs_big', '{"3": [1000, 1000, "appeal_under_review"]}')$$, 'unless the bank opens it again');
select is(pg_temp.reason(), 'dispute', 'then it does');
select lives_ok($$select pg_temp.sync('cs_big', '{"3": [1000, 0, "won"]}')$$, 'the appeal is won');
select is(pg_temp.balance(), 1050::numeric, 'everything comes back');

-- A refund and a dispute of one charge ----------------------------------------------------------------------------------------

select lives_ok($$select pg_temp.sync('cs_small', '{"4": [1000, 1000, "needs_response"]}', '{"x": [400, "succeeded"]}')$$,
  'a charge is refunded in part, and disputed as a whole');
select is((select r.reversed::numeric from billing_private.grant_reversals as r inner join billing.credit_grants as g on g.id = r.grant_id
  where g.source_reference = 'cs_small'), 100::numeric, 'its credits go once');
select lives_ok($$select pg_temp.sync('cs_small', '{"4": [1000, 0, "won"]}', '{"x": [400, "succeeded"]}')$$, 'the dispute is won');
select is((select r.reversed::numeric from billing_private.grant_reversals as r inner join billing.credit_grants as g on g.id = r.grant_id
  where g.source_reference = 'cs_small'), 40::numeric, 'the refund stands');

select tests.the_ledger_is_whole();
select is_empty($$select * from billing.rebuild_ledger(tests.id('Acme')) as r where r.changed > 0$$, 'and is the same when it is made anew from its entries');
select * from finish();
rollback;
