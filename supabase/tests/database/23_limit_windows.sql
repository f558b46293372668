-- Windows begin in the limit's own zone: a local day may have 23 or 25 hours, and no instant lies between two windows or in both.

begin;
select tests.story(24);
select tests.cast();
select tests.grant('Acme', 5000, 'start');

create function pg_temp.clock(p_to timestamptz) returns void language plpgsql as $$
begin
  perform tests.reset();
  perform billing.advance_test_clock(tests.id('Acme'), p_to);
  perform tests.as_user('Mona');
end $$;
create function pg_temp.spend(p_amount numeric) returns text language plpgsql as $$
begin
  perform billing.consume_credits('Anything', 'do', amount => p_amount);
  return 'ok';
exception when sqlstate 'PT402' then
  return sqlerrm;
end $$;
grant execute on function pg_temp.spend(numeric), pg_temp.clock(timestamptz) to public;

-- In Berlin 31 March 2030 has 23 hours (from 23:00 to 22:00 UTC), and 27 October 25.
select pg_temp.clock('2030-03-30 22:59:59+00');
select tests.as_user('Bella');
select is((billing.set_credit_limit('department', tests.id('Marketing')::text, 10, 'day', timezone => 'Europe/Berlin')).timezone, 'Europe/Berlin',
  'Marketing may spend 10 a day of Berlin');
select tests.as_user('Mona');
select is(pg_temp.spend(10), 'ok', 'a second before midnight there, the 30th is used up');
select is(pg_temp.spend(1), 'limit_exceeded', 'as it says');
select pg_temp.clock('2030-03-30 23:00:00+00');
select is(pg_temp.spend(10), 'ok', 'at midnight there the short 31st begins');
select is(tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 1)$$) #>> '{details,resets_at}', '2030-03-31T22:00:00+00:00',
  'and ends 23 hours later');
select pg_temp.clock('2030-03-31 21:59:59.999999+00');
select is(pg_temp.spend(1), 'limit_exceeded', 'not a microsecond earlier');
select pg_temp.clock('2030-03-31 22:00:00+00');
select is(pg_temp.spend(10), 'ok', 'nor later');
select pg_temp.clock('2030-10-26 22:00:00+00');
select is(pg_temp.spend(10), 'ok', 'the long 27th of October begins');
select pg_temp.clock('2030-10-27 22:30:00+00');
select is(pg_temp.spend(1), 'limit_exceeded', 'and is not over after 24 hours');
select pg_temp.clock('2030-10-27 23:00:00+00');
select is(pg_temp.spend(10), 'ok', 'but after 25');

-- A limit of another kind of window beside it, each at its own boundary.
select tests.as_user('Bella');
select lives_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 15, 'week', timezone => 'Asia/Kolkata')$$,
  '15 a week of Kolkata');
select is((select used from billing.department_credit_limits where limit_window = 'week'), 10::numeric,
  'which is Monday there already, so that what Mona spent on Monday counts, and not what she spent on Sunday');
select pg_temp.clock('2030-10-28 23:00:00+00');
select is(pg_temp.spend(6), 'limit_exceeded', 'a new day in Berlin, the same week in Kolkata');
select is(pg_temp.spend(5), 'ok', 'in which 5 were left');
select tests.as_user('Bella');
select lives_ok($$select billing.set_credit_limit('organization', tests.id('Acme')::text, 60, 'lifetime')$$, 'and 60 in a lifetime');
select tests.as_user('Max');
select is(tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 6)$$) #>> '{details,remaining}', '5.000000',
  'of which 55 have been lived');
select is(tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 6)$$) #>> '{details,resets_at}', null, 'and which never resets');

-- Any zone, any window, any hour of a year: the end of a window is the beginning of the next, and every instant lies in its own.
select tests.reset();
create temporary view moments as
select z.name as zone, w.name as window_name, t.at
from pg_timezone_names as z
cross join (values ('day'), ('week'), ('month')) as w (name)
cross join lateral generate_series('2030-01-01 00:30:00+00'::timestamptz, '2030-12-31'::timestamptz, interval '7 hours 30 minutes') as t (at)
where z.name in ('UTC', 'Europe/Berlin', 'America/New_York', 'America/St_Johns', 'America/Havana', 'Atlantic/Azores', 'America/Asuncion', 'Asia/Kolkata', 'Asia/Kathmandu',
  'Asia/Beirut', 'Africa/Cairo', 'Australia/Lord_Howe', 'Pacific/Chatham', 'Pacific/Kiritimati', 'Pacific/Niue');
create temporary table windows as
select m.*, billing_private.window_start(m.window_name, m.zone, m.at) as starts, billing_private.window_end(m.window_name, m.zone, m.at) as ends from moments as m;
select ok((select count(*) from windows) > 50000, 'tens of thousands of moments in zones with every kind of clock change');
select is_empty($$select zone, window_name, at, starts, ends from windows where not (starts <= at and at < ends)$$, 'lie in their windows');
select is_empty($$select zone, window_name, at, ends from windows where billing_private.window_start(window_name, zone, ends) <> ends
  or billing_private.window_start(window_name, zone, ends - interval '1 microsecond') <> starts$$, 'which follow one another without a gap');

-- Moving a limit to another zone in the middle of its day.
select pg_temp.clock('2030-11-05 12:00:00+00');
select is(pg_temp.spend(5), 'ok', 'Mona spends 5, the last of the lifetime');
select tests.as_user('Bella');
select lives_ok($$select billing.set_credit_limit('department', tests.id('Marketing')::text, 10, 'day', timezone => 'America/New_York')$$,
  'and Bella moves her daily limit to New York');
select results_eq($$select used, window_start from billing.department_credit_limits where limit_window = 'day'$$,
  $$values (5::numeric, '2030-11-05 05:00:00+00'::timestamptz)$$, 'where it is still the 5th, of which 5 are used');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
