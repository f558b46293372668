-- Acme is given credits: once per reference, spent in the one burn-down order, never where they do not belong.

begin;
select tests.story(49);
select tests.cast();

-- Who grants ------------------------------------------------------------------------------------------------

select tests.as_service();
select is((billing.grant_credits(tests.id('Acme'), 100, 'promotion', 'welcome')).balance, 100::numeric, 'the service grants 100 credits');
select is((billing.grant_credits(tests.id('Acme'), 100, 'promotion', 'welcome')).replayed, true, 'the same reference again is a replay');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 100::numeric, 'and grants nothing more');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 101, 'promotion', 'welcome')$$, 'PT409', 'idempotency_conflict',
  'another amount under it is a conflict');
select is((billing.grant_credits(tests.id('Acme'), 100, 'referral', 'welcome')).replayed, false, 'another source has references of its own');
select is((billing.grant_credits(tests.id('Globex'), 7, 'promotion', 'welcome')).replayed, false, 'and so has another organization');
select tests.as_user('Olivia');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1000, 'promotion', 'mine')$$, 'PT403', 'not_authorized', 'an owner grants herself nothing');
select tests.as_anon();
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1000, 'promotion', 'mine')$$, '42501', null, 'nor does a visitor');
select tests.reset();
insert into billing_private.platform_admins (user_id) values (tests.id('Sam'));
select tests.as_user('Sam');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1, 'adjustment', 'by Sam')$$, 'PT422', 'invalid_argument', 'a platform admin says why');
select is((billing.grant_credits(tests.id('Acme'), 1, 'adjustment', 'by Sam', metadata => '{"reason": "sorry"}')).amount, 1::numeric, 'a platform admin may');
select tests.reset();
select results_eq(
  $$select actor_type, actor_id, reason from billing.audit_log where action = 'grant_credits' and actor_type = 'platform_admin'$$,
  $$select 'platform_admin', tests.id('Sam')::text, 'sorry'$$, 'which is written down, with the reason');
select tests.as_user('Sam', '{"client_id": "some-app"}');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1, 'adjustment', 'by an app')$$, 'PT403', 'not_authorized', 'an app on their behalf may not');

-- What is no grant ------------------------------------------------------------------------------------------

select tests.as_service();
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 0, 'promotion')$$, 'PT422', 'invalid_amount', 'nothing');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), -5, 'promotion')$$, 'PT422', 'invalid_amount', 'less than nothing');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), null, 'promotion')$$, 'PT422', 'invalid_amount', 'no amount');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 'NaN', 'promotion')$$, 'PT422', 'invalid_amount', 'what is no number');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 'Infinity', 'promotion')$$, 'PT422', 'invalid_amount', 'everything');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1e400, 'promotion')$$, 'PT422', 'invalid_amount', 'almost everything');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 0.0000001, 'promotion')$$, 'PT422', 'invalid_amount', 'less than a millionth');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1, 'theft')$$, 'PT422', 'invalid_argument', 'an unknown source');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', 'x', '2026-01-01', '2026-02-01')$$, 'PT422', 'invalid_argument',
  'an end before the beginning');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', department_id => tests.id('Research'))$$, 'PT404', 'not_found',
  'a department of somebody else');
select throws_ok($$select billing.grant_credits(gen_random_uuid(), 1, 'promotion')$$, 'PT404', 'not_found', 'an organization that is not');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', metadata => jsonb_build_object('x', repeat('x', 9000)))$$,
  'PT413', 'metadata_too_large', 'metadata without end');

-- Burn-down order ---------------------------------------------------------------------------------------------
-- Globex has 7 without an expiry. Everything below has an order that differs from the order of making.

select tests.reset();
create temporary table lots (name text primary key, id uuid);
insert into lots select 'never', g.id from billing.credit_grants as g where g.organization_id = tests.id('Globex');
insert into lots values ('paid, 20 days', tests.grant('Globex', 10, 'b', jsonb_build_object('expires_at', now() + interval '20 days', 'unit_cost', 2)));
insert into lots values ('free, 20 days', tests.grant('Globex', 10, 'c', jsonb_build_object('expires_at', date_trunc('day', now()) + interval '20 days')));
insert into lots values ('10 days', tests.grant('Globex', 10, 'd', jsonb_build_object('expires_at', now() + interval '10 days')));
insert into lots values ('late', tests.grant('Globex', 10, 'e', jsonb_build_object('priority', 200, 'expires_at', now() + interval '1 day')));
insert into lots values ('first', tests.grant('Globex', 10, 'f', '{"priority": 50}'));
insert into lots values ('research', tests.grant('Globex', 10, 'g', jsonb_build_object('department_id', tests.id('Research'))));
insert into lots values ('painters', tests.grant('Globex', 10, 'h', '{"agent_types": ["Painter"]}'));

create function pg_temp.pays(p_agent_type text, p_department text) returns setof text language sql as $$
  select l.name
  from billing_private.burn_down(tests.id('Globex'), case when p_department is not null then tests.id(p_department) end, p_agent_type)
    with ordinality as g
  inner join lots as l on l.id = g.id
  order by g.ordinality
$$;
select results_eq($$select pg_temp.pays('Anything', null)$$,
  array['first', '10 days', 'free, 20 days', 'paid, 20 days', 'never', 'late'],
  'priority, then the earliest expiry, then the cheapest basis, and never last within a priority');
select results_eq($$select pg_temp.pays('Anything', 'Research')$$,
  array['first', 'research', '10 days', 'free, 20 days', 'paid, 20 days', 'never', 'late'],
  'a department''s own credits before everybody''s, after a lower priority');
select results_eq($$select (pg_temp.pays('Painter', null))$$,
  array['first', 'painters', '10 days', 'free, 20 days', 'paid, 20 days', 'never', 'late'], 'and an agent type''s own');

-- Spending follows it --------------------------------------------------------------------------------------------

create function pg_temp.spend(p_amount numeric, p_department text default null) returns setof text language sql as $$
  select l.name || ' ' || trim_scale((g.value ->> 'amount')::numeric)
  from billing.consume_credits('Anything', 'do', amount => p_amount, organization_id => tests.id('Globex'),
    department_id => case when p_department is not null then tests.id(p_department) end) as r
  cross join lateral jsonb_array_elements(r.grants) with ordinality as g
  inner join lots as l on l.id = (g.value ->> 'grant_id')::uuid
  order by g.ordinality
$$;
grant execute on function pg_temp.spend(numeric, text) to public;
grant select on lots to public;
select tests.as_user('Mia');
select results_eq($$select * from pg_temp.spend(4)$$, array['first 4'], 'a spend takes from the first grant');
select results_eq($$select * from pg_temp.spend(8)$$, array['first 6', '10 days 2'], 'and goes on with the next');
select results_eq($$select * from pg_temp.spend(1)$$, array['10 days 1'], 'which is where the following one begins');
select results_eq($$select * from pg_temp.spend(12, 'Research')$$, array['research 10', '10 days 2'], 'Research spends its own credits first');
select results_eq($$select * from pg_temp.spend(1)$$, array['10 days 1'], 'and everybody else is where they were');
select tests.grant('Globex', 3, 'new', '{"priority": 10}');
select tests.reset();
insert into lots select 'new', id from billing.credit_grants where source_reference = 'new';
select tests.as_user('Mia');
select results_eq($$select * from pg_temp.spend(5)$$, array['new 3', '10 days 2'], 'a grant that comes before the present one is spent before it');
select results_eq($$select * from pg_temp.spend(39)$$, array['10 days 2', 'free, 20 days 10', 'paid, 20 days 10', 'never 7', 'late 10'],
  'down to the last of the shared credits');
select is(
  tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 0.000001, organization_id => tests.id('Globex'))$$)
    #- '{details,topup_url}' -> 'details',
  '{"required": 0.000001, "available": 0, "shortfall": 0.000001, "balance": 10.000000, "held": 0.000000}',
  'then it is refused, though painters have 10 left');
select is((billing.check_credits('Anything', 'do', amount => 1)).available, 0::numeric, 'and check_credits says the same');
select is((billing.check_credits('Painter', 'paint')).available, 10::numeric, 'painters'' credits are for painters');
select tests.reset();
select tests.grant('Globex', 100, 'more');
select tests.as_user('Mia');
select is((billing.consume_credits('Painter', 'paint')).grants #>> '{0,amount}', '10.000000', 'who take theirs first');
select tests.reset();
select is((select sum(remaining) from billing.credit_grants where organization_id = tests.id('Globex')), 85::numeric, 'what is left is what was not spent');
select is((select balance from billing.credit_balances where organization_id = tests.id('Globex')), 85::numeric, 'as the balance says');

-- Debt ---------------------------------------------------------------------------------------------------------

select tests.as_service();
select is((billing.set_spending_policy(tests.id('Globex'), 'they pay on invoice', 20)).overdraft_limit::numeric, 20::numeric, 'the service gives credit');
select is((billing.set_spending_policy(tests.id('Globex'), 'and trust', over_capture_policy => 'allow_debt')).overdraft_limit::numeric, 20::numeric,
  'what is not named stays');
select is((billing.set_spending_policy(tests.id('Globex'), 'the same again', 20, 'allow_debt')).over_capture_policy, 'allow_debt', 'it is a setting');
select tests.reset();
select is(
  (select array_agg(a.reason || ': ' || (a.before ->> 'overdraft_limit') || ' to ' || (a.after ->> 'overdraft_limit') order by a.id)
    from billing.audit_log as a where a.action = 'set_spending_policy' and a.organization_id = tests.id('Globex')),
  '{"they pay on invoice: 0.000000 to 20.000000","and trust: 20.000000 to 20.000000"}', 'each change is audited, with why, before and after');
select tests.as_user('Mia');
select is((billing.consume_credits('Anything', 'do', amount => 100)).balance, -15::numeric, 'an overdraft lets a spend pass below zero');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => 5.000001)$$, 'PT402', 'insufficient_credits', 'but not below its limit');
select tests.grant('Globex', 10, 'little');
select is((billing.get_credit_balance()).debt, 5::numeric, 'a grant repays debt first');
select tests.grant('Globex', 10, 'enough');
select is((billing.get_credit_balance()).balance, 5::numeric, 'and what is left of it can be spent');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
