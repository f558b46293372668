-- Bella caps what may be spent. Hard limits refuse, soft ones tell once; a window resets by itself and editing resets nothing.

begin;
select tests.story(49);
select tests.cast();
select tests.grant('Acme', 5000, 'start');
select billing.advance_test_clock(tests.id('Acme'), '2030-03-06 10:00:00+00'); -- a Wednesday

create function pg_temp.clock(p_to timestamptz) returns void language plpgsql as $$
begin
  perform tests.reset();
  perform billing.advance_test_clock(tests.id('Acme'), p_to);
end $$;
create function pg_temp.spend(p_amount numeric, p_department text default null) returns text language plpgsql as $$
begin
  perform billing.consume_credits('Anything', 'do', amount => p_amount, organization_id => tests.id('Acme'),
    department_id => case when p_department is not null then tests.id(p_department) end, run_id => 'run-1');
  return 'ok';
exception when sqlstate 'PT402' then
  return sqlerrm;
end $$;
grant execute on function pg_temp.spend(numeric, text), pg_temp.clock(timestamptz) to public;

-- Who sets them -------------------------------------------------------------------------------------------------

select tests.as_user('Bella');
select is((billing.set_credit_limit('department', tests.id('Marketing')::text, 50, 'day')).mode, 'hard', 'Bella caps Marketing at 50 a day');
select tests.as_user('Olivia');
select is((select before from billing.audit_log where action = 'set_credit_limit'), null, 'before which, says the audit log, there was none');
select tests.as_user('Bella');
select tests.as_user('Max');
select throws_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 5000, 'day')$$, 'PT403', 'not_authorized', 'Max does not');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 1, 'day')$$),
  tests.refusal($$select billing.set_credit_limit('department', gen_random_uuid()::text, 1, 'day')$$), 'Otto gets one answer for Marketing and for nothing');
select is(
  tests.refusal($$select billing.set_credit_limit('organization', tests.id('Acme')::text, 1, 'day', organization_id => tests.id('Globex'))$$) ->> 'message',
  'not_authorized', 'also when he names his own organization with it');
select is(
  tests.refusal($$select billing.set_credit_limit('member', tests.id('Max')::text, 1, 'day')$$),
  tests.refusal($$select billing.set_credit_limit('member', gen_random_uuid()::text, 1, 'day')$$), 'and for Max and for nobody');
select tests.as_anon();
select throws_ok($$select billing.set_credit_limit('run', 'x', 1, 'day')$$, '42501', null, 'a visitor may not try');
select tests.as_user('Bella');
select throws_ok($$select billing.set_credit_limit('run', 'x', -1, 'day')$$, 'PT422', 'invalid_amount', 'a cap is not negative');
select throws_ok($$select billing.set_credit_limit('run', 'x', 'NaN', 'day')$$, 'PT422', 'invalid_amount', 'and a number');
select throws_ok($$select billing.set_credit_limit('run', 'x', 1, 'hour')$$, 'PT422', 'invalid_argument', 'windows are known words');
select throws_ok($$select billing.set_credit_limit('run', 'x', 1, 'day', 'polite')$$, 'PT422', 'invalid_argument', 'and so are modes');
select throws_ok($$select billing.set_credit_limit('planet', 'x', 1, 'day')$$, 'PT422', 'invalid_argument', 'and subjects');
select throws_ok($$select billing.set_credit_limit('run', 'x', 1, 'day', timezone => 'Mars/Olympus')$$, 'PT422', 'invalid_argument', 'and time zones');
select throws_ok($$select billing.set_credit_limit('run', 'x', 1, 'day', alert_at => '{1.5}')$$, 'PT422', 'invalid_argument', 'a share is at most 1');
select throws_ok($$select billing.set_credit_limit('run', '', 1, 'day')$$, 'PT422', 'invalid_argument', 'a subject has a name');
select throws_ok($$insert into billing.credit_limits (organization_id, subject_type, subject_id, amount, limit_window)
  values (tests.id('Acme'), 'run', 'x', 1, 'day')$$, '42501', null, 'limits are not written as rows');

-- Hard, a day -----------------------------------------------------------------------------------------------------

select tests.as_user('Mona');
select is(pg_temp.spend(30), 'ok', 'Mona spends 30');
select is(pg_temp.spend(15), 'ok', 'and 15');
select is(pg_temp.spend(10), 'limit_exceeded', 'but not 10 more: what does not fit is refused, not cut to 5');
select is(
  tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 10)$$) -> 'details' #- '{limit_id}',
  jsonb_build_object('subject_type', 'department', 'subject_id', tests.id('Marketing'), 'limit', 50.000000, 'used', 45.000000, 'required', 10.000000,
    'remaining', 5.000000, 'resets_at', '2030-03-07T00:00:00+00:00'), 'the refusal names the limit, what remains, and when it resets');
select is((billing.check_credits('Anything', 'do', amount => 10)).limit ->> 'remaining', '5.000000', 'check_credits tells it beforehand');
select is(pg_temp.spend(5), 'ok', 'the 5 that remain can be spent');
select is(pg_temp.spend(0.000001), 'limit_exceeded', 'and not a millionth more');
select tests.as_user('Max');
select is(pg_temp.spend(100), 'ok', 'Max, who is not in Marketing, is not concerned');
select is(pg_temp.spend(1, 'Marketing'), 'limit_exceeded', 'unless he charges Marketing');
select tests.reset();
select results_eq($$select used, remaining, resets_at from billing.department_credit_limits where organization_id = tests.id('Acme')$$,
  $$values (50::numeric, 0::numeric, '2030-03-07 00:00:00+00'::timestamptz)$$, 'the view of departments'' limits says the same');
select pg_temp.clock('2030-03-06 23:59:59.999999+00');
select tests.as_user('Mona');
select is(pg_temp.spend(1), 'limit_exceeded', 'a microsecond before midnight the day is still full');
select pg_temp.clock('2030-03-07 00:00:00+00');
select tests.as_user('Mona');
select is(pg_temp.spend(50), 'ok', 'at midnight a new one begins, though no job ran');

-- Editing -----------------------------------------------------------------------------------------------------------

select tests.as_user('Bella');
select is((billing.set_credit_limit('department', tests.id('Marketing')::text, 80, 'day')).amount::numeric, 80::numeric, 'Bella raises the limit to 80');
select tests.as_user('Mona');
select is(pg_temp.spend(31), 'limit_exceeded', 'which leaves 30 of today');
select is(pg_temp.spend(30), 'ok', 'and no more');
select tests.as_user('Bella');
select lives_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 10, 'day')$$, 'she lowers it to 10');
select is((select remaining from billing.department_credit_limits where limit_window = 'day'), 0::numeric, 'nothing remains, and not less than nothing');
select lives_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 140, 'month')$$, 'and adds a limit of 140 a month');
select is((select used from billing.department_credit_limits where limit_window = 'month'), 130::numeric, 'which counts what March has already seen');
select lives_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 1000, 'day')$$, 'the day is generous again');
select tests.as_user('Mona');
select is(tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 11)$$) #>> '{details,resets_at}', '2030-04-01T00:00:00+00:00',
  'now the month refuses');
select tests.as_user('Bella');
select lives_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 0, 'month')$$, 'a limit of 0 blocks');
select tests.as_user('Mona');
select is(pg_temp.spend(0.000001), 'limit_exceeded', 'everything');
select tests.as_user('Bella');
select lives_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 100000, 'month')$$, 'a great one lets pass');

-- Soft --------------------------------------------------------------------------------------------------------------

select lives_ok($$select billing.set_credit_limit('organization', tests.id('Acme')::text, 100, 'week', 'soft', alert_at => '{0.5,0.8}')$$,
  'the organization may spend 100 a week, softly');
select tests.reset();
create function pg_temp.told() returns bigint language sql as $$
  select count(*) from billing.notifications where organization_id = tests.id('Acme') and subject_type = 'organization'
$$;
select pg_temp.clock('2030-03-11 00:00:00+00'); -- Monday
select tests.as_user('Max');
select is(pg_temp.spend(60), 'ok', 'Max spends 60 on Monday');
select is(pg_temp.spend(30), 'ok', 'and 30');
select is(pg_temp.spend(30), 'ok', 'and 30 more, which the soft limit lets pass');
select is(pg_temp.spend(30), 'ok', 'again');
select tests.reset();
select results_eq(
  $$select kind, details ->> 'share' from billing.notifications where organization_id = tests.id('Acme') and subject_type = 'organization'
    order by (details ->> 'share')::numeric$$,
  $$values ('limit_nearly_reached', '0.5'), ('limit_nearly_reached', '0.8'), ('limit_passed', '1')$$, 'people are told once of each share, and once of passing it');
select pg_temp.clock('2030-03-18 00:00:00+00');
select tests.as_user('Max');
select is(pg_temp.spend(120), 'ok', 'the next Monday is a new week');
select tests.reset();
select is(pg_temp.told(), 6::bigint, 'of which they are told anew');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
