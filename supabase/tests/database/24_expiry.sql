-- A grant is spendable from effective_at up to, and not at, expires_at: decided in the spend itself. Whether the jobs run each minute, once or
-- never, the ledger comes out the same.

begin;
select tests.story(26);
select tests.cast();
select billing.advance_test_clock(tests.id('Acme'), '2030-01-01 00:00:00+00');
select tests.grant('Acme', 100, 'ends', '{"expires_at": "2030-01-10T00:00:00Z"}');
select tests.grant('Acme', 50, 'begins', '{"effective_at": "2030-01-05T00:00:00Z", "expires_at": "2030-01-20T00:00:00Z"}');

-- Time as the spends see it, with no job between them: the clock is moved under the organization, not through advance_test_clock.
create function pg_temp.clock(p_to timestamptz) returns void language plpgsql as $$
begin
  perform tests.reset();
  update billing.organizations set test_clock = p_to where organization_id = tests.id('Acme');
  perform tests.as_user('Max');
end $$;
create function pg_temp.spend(p_amount numeric) returns text language plpgsql as $$
begin
  perform billing.consume_credits('Anything', 'do', amount => p_amount);
  return 'ok';
exception when sqlstate 'PT402' then
  return sqlerrm;
end $$;
grant execute on function pg_temp.spend(numeric), pg_temp.clock(timestamptz) to public;

select pg_temp.clock('2030-01-04 23:59:59.999999+00');
select is((billing.get_credit_balance()).pending, 50::numeric, 'what is still to come is pending');
select is(pg_temp.spend(100.000001), 'insufficient_credits', 'and cannot be spent, not even a microsecond early');
select is(pg_temp.spend(10), 'ok', 'what is there can');
select pg_temp.clock('2030-01-05 00:00:00+00');
select is((billing.get_credit_balance()).balance, 140::numeric, 'from its first instant it counts');
select is((billing.get_credit_balance()).pending, 0::numeric, 'and is pending no more');
select is((billing.check_credits('Anything', 'do', amount => 140)).allowed, true, 'for check_credits');
select is(pg_temp.spend(1), 'ok', 'and for spends, though no job has run');
select is((billing.get_credit_balance()).expiring, '[{"amount": 89.000000, "expires_at": "2030-01-10T00:00:00+00:00"},
  {"amount": 50.000000, "expires_at": "2030-01-20T00:00:00+00:00"}]', 'what will be lost is told beforehand, by date');
select pg_temp.clock('2030-01-09 23:59:59.999999+00');
select is(pg_temp.spend(10), 'ok', 'a microsecond before its end a grant is spent');
select pg_temp.clock('2030-01-10 00:00:00+00');
select is((billing.get_credit_balance()).balance, 50::numeric, 'at its end nothing of it is left');
select is((billing.check_credits('Anything', 'do', amount => 51)).available, 50::numeric, 'to be promised');
select is(pg_temp.spend(51), 'insufficient_credits', 'or to be spent');
select is(pg_temp.spend(1), 'ok', 'the other grant goes on');
select tests.reset();
select results_eq(
  $$select amount::numeric, created_at from billing.credit_transactions where organization_id = tests.id('Acme') and kind = 'expire'$$,
  $$values (-79::numeric, '2030-01-10 00:00:00+00'::timestamptz)$$, 'one entry books what was lost, dated at the end of the grant');
select results_eq(
  $$select amount::numeric, created_at from billing.credit_transactions
    where organization_id = tests.id('Acme') and kind = 'grant' and reason = 'promotion' order by sequence$$,
  $$values (100::numeric, '2030-01-01 00:00:00+00'::timestamptz), (50::numeric, '2030-01-05 00:00:00+00'::timestamptz)$$,
  'and a grant that was to come is booked at its beginning');

-- Jobs ------------------------------------------------------------------------------------------------------------
-- Globex has the same grants, and a job at every turn. In the end both ledgers read the same.

select billing.advance_test_clock(tests.id('Globex'), '2030-01-01 00:00:00+00');
select tests.grant('Globex', 100, 'ends', '{"expires_at": "2030-01-10T00:00:00Z"}');
select tests.grant('Globex', 50, 'begins', '{"effective_at": "2030-01-05T00:00:00Z", "expires_at": "2030-01-20T00:00:00Z"}');
create function pg_temp.tick(p_to timestamptz, p_amount numeric default null) returns void language plpgsql as $$
begin
  update billing.organizations set test_clock = p_to where organization_id = tests.id('Globex');
  perform billing.run_due_jobs();
  perform billing.run_due_jobs();
  if p_amount is not null then
    perform billing.consume_credits('Anything', 'do', amount => p_amount, organization_id => tests.id('Globex'));
  end if;
  perform billing.run_due_jobs();
end $$;
select pg_temp.tick('2030-01-04 23:59:59.999999+00', 10);
select pg_temp.tick('2030-01-05 00:00:00+00', 1);
select pg_temp.tick('2030-01-09 23:59:59.999999+00', 10);
select pg_temp.tick('2030-01-10 00:00:00+00', 1);
select pg_temp.clock('2030-01-25 00:00:00+00');
select is((billing.get_credit_balance()).balance, 0::numeric, 'Acme''s balance is right before any job has booked it');
select tests.reset();
select pg_temp.tick('2030-01-25 00:00:00+00');
select results_eq(
  $$select sequence, kind, amount::numeric, balance_after::numeric, created_at from billing.credit_transactions
    where organization_id = tests.id('Acme') order by sequence$$,
  $$select sequence, kind, amount::numeric, balance_after::numeric, created_at from billing.credit_transactions
    where organization_id = tests.id('Globex') order by sequence$$,
  'one job at the end, or one at every turn: the ledgers are equal');
select is((select count(*) from billing.credit_transactions where organization_id = tests.id('Acme') and kind = 'expire'), 2::bigint, 'each grant expired once');
select is_empty($$select id from billing_private.credit_grant_lots where organization_id = tests.id('Acme') and (is_open or remaining <> 0)$$,
  'and nothing of any is left');

-- Who runs them -----------------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
select throws_ok($$select billing.run_due_jobs()$$, '42501', null, 'an owner runs no jobs');
select throws_ok($$select billing.advance_test_clock(tests.id('Acme'), '2031-01-01')$$, '42501', null, 'and does not turn the clock');
select tests.as_service();
select throws_ok($$select billing.advance_test_clock(tests.id('Acme'), '2029-01-01')$$, 'PT422', 'invalid_argument', 'the service turns it forwards only');
select throws_ok($$select billing.advance_test_clock(tests.id('Acme'), 'infinity')$$, 'PT422', 'invalid_argument', 'and not to the end of time');
select tests.reset();
insert into billing.customers (organization_id, stripe_customer_id, livemode) values (tests.id('Acme'), 'cus_story', true);
select throws_ok($$select billing.advance_test_clock(tests.id('Acme'), '2031-01-01')$$, 'PT409', 'conflict', 'nor for who pays real money');
select is((select sum(processed) from billing.run_due_jobs('2999-01-01')), (select sum(processed) from billing.run_due_jobs()),
  'jobs cannot be sent into the future');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
