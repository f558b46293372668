-- Plan credits: when periods begin, that each is granted once, what the grant remembers of its plan, and that an end that moves is in the ledger.

begin;
select tests.story(31);
select tests.cast();
select billing.advance_test_clock(tests.id('Acme'), '2030-01-31 00:00:00+00');
insert into billing.subscription_plans (key, name, unit_amount, credits_per_period, rollover_cap, grace_days) values
('story_free', 'Free', 0, 100, 40, 3),
('story_paid', 'Paid', 900, 1000, 100, 2);

-- The calendar --------------------------------------------------------------------------------------

select results_eq(
  $$select billing_private.period_start('2030-01-31 10:00+00', 'month', n, 'UTC') from generate_series(-1, 4) as n$$,
  $$values ('2029-12-31 10:00+00'::timestamptz), ('2030-01-31 10:00+00'), ('2030-02-28 10:00+00'), ('2030-03-31 10:00+00'),
    ('2030-04-30 10:00+00'), ('2030-05-31 10:00+00')$$,
  'a month''s end is counted from the anchor, not from the month before');
select results_eq(
  $$select billing_private.period_start('2032-02-29 00:00+00', 'year', n, 'UTC') from generate_series(0, 4) as n$$,
  $$values ('2032-02-29 00:00+00'::timestamptz), ('2033-02-28 00:00+00'), ('2034-02-28 00:00+00'), ('2035-02-28 00:00+00'), ('2036-02-29 00:00+00')$$,
  'a leap day comes back in leap years');
select results_eq(
  $$select billing_private.period_start('2030-03-09 00:00 America/New_York', 'day', n, 'America/New_York') from generate_series(0, 2) as n$$,
  $$values ('2030-03-09 05:00+00'::timestamptz), ('2030-03-10 05:00+00'), ('2030-03-11 04:00+00')$$,
  'local midnight stays local midnight');
select is_empty(
  $$select i.name, z.name, a.at from unnest('{day,week,month,year}'::text[]) as i (name), unnest('{UTC,America/New_York,Australia/Lord_Howe}'::text[]) as z (name),
      generate_series('2027-01-01 03:17+00'::timestamptz, '2033-01-01', interval '1000 hours') as a (at)
    cross join lateral (select billing_private.period_number_at('2030-01-31 02:30+00', i.name, z.name, a.at) as n) as p
    where not (billing_private.period_start('2030-01-31 02:30+00', i.name, p.n, z.name) <= a.at
      and billing_private.period_start('2030-01-31 02:30+00', i.name, p.n + 1, z.name) > a.at)$$,
  'every instant lies in one period, whatever the interval and the zone');

-- A free plan -----------------------------------------------------------------------------------------

select tests.as_user('Max');
select throws_ok($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free')$$, 'PT403', 'not_authorized',
  'a member does not choose the plan');
select tests.as_user('Otto');
select throws_ok($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free')$$, 'PT403', 'not_authorized',
  'nor does the owner of another organization');
select tests.as_user('Bella');
select throws_ok($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_paid')$$, 'PT422', 'invalid_argument',
  'a plan with a price is not free');
select throws_ok($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free', anchor => '2030-01-31 00:01+00')$$,
  'PT403', 'not_authorized', 'who could choose the anchor would have two grants in a minute');
select is((billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free')).status, 'active', 'billing puts the organization on the free plan');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 100::numeric, 'and has its credits at once');
select is((billing.get_credit_balance(tests.id('Acme'))).expiring, '[{"amount": 60.000000, "expires_at": "2030-02-28T00:00:00+00:00"}]',
  'what will not roll over is told beforehand');
select is(count(*), 1::bigint, 'starting again starts nothing') from (
  select (billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free')).id
  union select s.id from billing.subscriptions as s where s.organization_id = tests.id('Acme')
) as s;
select tests.reset();
select throws_ok(
  $$insert into billing_private.credit_grant_lots (organization_id, source, source_reference, amount, remaining, effective_at, created_at,
      subscription_id, is_period_grant, period_start)
    select g.organization_id, 'subscription', 'again', 1, 1, g.effective_at, g.created_at, g.subscription_id, true, g.period_start
    from billing_private.credit_grant_lots as g where g.organization_id = tests.id('Acme') and g.is_period_grant$$,
  '23505', null, 'the table itself knows one grant a period');
update billing.subscription_plans set credits_per_period = 500, rollover_cap = 0, grace_days = 0 where key = 'story_free';
select is((select rollover_cap from billing.credit_grants where organization_id = tests.id('Acme')), 40::numeric,
  'the grant remembers what the plan was when it was granted');

-- Two periods pass without a job.
update billing.organizations set test_clock = '2030-03-31 00:00+00' where organization_id = tests.id('Acme');
select is((billing.get_credit_balance(tests.id('Acme'))).balance, 500::numeric, 'a reading counts the periods that nobody has booked');
select is(
  (select array_agg(amount order by amount) from billing.credit_grants where organization_id = tests.id('Acme') and is_open), '{500}',
  'and names their grants');
select is((select sum(processed) > 0 from billing.run_due_jobs() where job = 'settle_organizations'), true, 'the job books them');
select results_eq(
  $$select kind::text, amount::numeric, created_at from billing.credit_transactions where organization_id = tests.id('Acme') order by sequence$$,
  $$values ('grant', 100::numeric, '2030-01-31 00:00+00'::timestamptz),
    ('transfer', 0, '2030-02-28 00:00+00'), ('expire', -60, '2030-02-28 00:00+00'), ('grant', 500, '2030-02-28 00:00+00'),
    ('expire', -40, '2030-03-31 00:00+00'), ('expire', -500, '2030-03-31 00:00+00'), ('grant', 500, '2030-03-31 00:00+00')$$,
  'each at its own instant: what rolled over ends with its period');
select is((select current_period_end from billing.subscriptions where organization_id = tests.id('Acme')), '2030-04-30 00:00+00'::timestamptz,
  'and the subscription is in its third period');
select is((billing.cancel_free_subscription(tests.id('Acme'))).ends_at, '2030-04-30 00:00+00'::timestamptz, 'it is to end with it');
select is((billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free')).ends_at, null, 'or goes on after all');
select results_eq(
  $$select kind::text, reason, amount::numeric from billing.credit_transactions
    where organization_id = tests.id('Acme') order by sequence desc limit 2$$,
  $$values ('schedule', 'subscription_goes_on', 0::numeric), ('schedule', 'subscription_ends', 0)$$,
  'an end that moves is an entry, for the last one says until when it may be trusted');

-- A paid plan -----------------------------------------------------------------------------------------

select lives_ok($$select billing_private.end_free_subscription(tests.id('Acme'))$$, 'a paid plan ends the free one');
insert into billing.subscriptions (organization_id, id, stripe_subscription_id, plan_id, status)
select tests.id('Acme'), '99999999-0000-4000-8000-000000000001', 'sub_story', p.id, 'active' from billing.subscription_plans as p where p.key = 'story_paid';
create function pg_temp.renew(p_from timestamptz, p_to timestamptz, p_amount numeric default null) returns jsonb language sql as $$
  select to_jsonb(billing_private.renew_subscription(tests.id('Acme'), '99999999-0000-4000-8000-000000000001', p_from, p_to, p_amount))
$$;
select is(pg_temp.renew('2030-03-31', '2030-04-30') -> 'balance', '1500.000000', 'its period is granted beside what is left of the free one');
select is(pg_temp.renew('2030-03-31', '2030-04-30') -> 'replayed', 'true', 'once');
select throws_ok($$select pg_temp.renew('2030-03-31', '2030-04-30', 5)$$, 'PT409', 'idempotency_conflict', 'with one amount');
select throws_ok($$select pg_temp.renew('2030-04-30', '2030-04-30')$$, 'PT422', 'invalid_argument', 'and a period has a length');
select is(
  (select expires_at from billing.credit_grants where organization_id = tests.id('Acme') and amount = 1000), '2030-05-02 00:00+00'::timestamptz,
  'its credits wait for the renewal as long as the plan''s grace');

-- Trials ----------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
select throws_ok($$select billing.grant_trial(tests.id('Acme'), 5, '2030-05-01', 'trial')$$, '42501', null, 'an owner gives themselves no trial');
select tests.reset();
select is((billing.grant_trial(tests.id('Globex'), 5, now() + interval '1 day', 'trial', 'card-of-the-story')).granted, true, 'the service does, once a card');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
