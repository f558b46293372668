-- The balance of any instant, from the ledger alone: what was true then, whatever was booked since.

begin;
select tests.story(17);
select tests.cast();

-- A 10 granted on day 1 until day 10; 5 spent on day 2; B 15 granted on day 5 until day 15; 10 spent on day 6.
create function pg_temp.day(p_day integer) returns timestamptz language sql as $$ select '2030-01-01 00:00:00+00'::timestamptz + (p_day - 1) * interval '1 day' $$;
create function pg_temp.clock(p_day integer) returns void language sql as $$ select billing.advance_test_clock(tests.id('Acme'), pg_temp.day(p_day)) $$;
create function pg_temp.spend(p_amount numeric) returns void language sql as $$
  select billing.consume_credits('Anything', 'do', amount => p_amount, organization_id => tests.id('Acme'))
$$;
create function pg_temp.as_of(p_at timestamptz) returns numeric language sql as $$ select (billing.get_credit_balance(tests.id('Acme'), p_at)).balance $$;
grant execute on function pg_temp.as_of(timestamptz), pg_temp.day(integer) to public;
select pg_temp.clock(1);
select tests.grant('Acme', 10, 'A', jsonb_build_object('expires_at', pg_temp.day(10)));
select pg_temp.clock(2);
select pg_temp.spend(5);
select pg_temp.clock(5);
select tests.grant('Acme', 15, 'B', jsonb_build_object('expires_at', pg_temp.day(15)));
select pg_temp.clock(6);
select pg_temp.spend(10);
select pg_temp.clock(7);

select is((billing.get_credit_balance(tests.id('Acme'))).balance, 10::numeric, 'on day 7 there are 10 left, all of the second grant');
select is((billing.get_credit_balance(tests.id('Acme'))).expiring, jsonb_build_array(jsonb_build_object('amount', 10.000000, 'expires_at', pg_temp.day(15))),
  'which will be lost on day 15, and nothing before');
select pg_temp.clock(20);
select is(pg_temp.as_of(pg_temp.day(1) - interval '1 day'), 0::numeric, 'seen from day 20: nothing before the first grant');
select is(pg_temp.as_of(pg_temp.day(1)), 10::numeric, '10 from its first instant');
select is(pg_temp.as_of(pg_temp.day(2) - interval '1 microsecond'), 10::numeric, '10 until the first spend');
select is(pg_temp.as_of(pg_temp.day(2)), 5::numeric, '5 from that spend on');
select is(pg_temp.as_of(pg_temp.day(4)), 5::numeric, '5 on day 4');
select is(pg_temp.as_of(pg_temp.day(5)), 20::numeric, '20 on day 5');
select is(pg_temp.as_of(pg_temp.day(6)), 10::numeric, '10 on day 6');
select is(pg_temp.as_of(pg_temp.day(10)), 10::numeric, '10 on day 10, when the first grant ended with nothing left');
select is(pg_temp.as_of(pg_temp.day(15) - interval '1 microsecond'), 10::numeric, '10 up to the end of the second');
select is(pg_temp.as_of(pg_temp.day(15)), 0::numeric, 'and 0 from then on');
select results_eq(
  $$select kind::text, amount::numeric, created_at from billing.credit_transactions where organization_id = tests.id('Acme') and kind = 'expire'$$,
  $$values ('expire', -10::numeric, pg_temp.day(15))$$, 'one expiry was booked, of what was left');
select tests.as_user('Max');
select is((select (billing.get_credit_balance(as_of => pg_temp.day(5))).balance), 20::numeric, 'members may look back');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.get_credit_balance(tests.id('Acme'), '2030-01-05')$$),
  tests.refusal($$select billing.get_credit_balance(gen_random_uuid(), '2030-01-05')$$), 'strangers may not');
select is((billing.get_credit_balance(as_of => '1999-01-01')).balance, 0::numeric, 'and at home, long ago, there was nothing');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
