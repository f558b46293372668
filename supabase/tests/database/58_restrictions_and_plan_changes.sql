-- What stops an organization's spending, from which instant on; and how a change of plan is asked of Stripe.

begin;
select tests.story(23);
select tests.cast();
insert into billing.subscription_plans (id, key, name, unit_amount, credits_per_period, billing_interval) values
('58000000-0000-4000-8000-000000000001', 'story_small', 'Small', 1000, 100, 'month'),
('58000000-0000-4000-8000-000000000002', 'story_large', 'Large', 5000, 1000, 'month'),
('58000000-0000-4000-8000-000000000003', 'story_yearly', 'Yearly', 50000, 12000, 'year');

-- One cause after the other ---------------------------------------------------------------------------------------------

create function pg_temp.shown()
returns text
language sql
as $$ select coalesce(o.restricted_reason, 'none') from billing.organizations as o where o.organization_id = tests.id('Acme') $$;

select is(pg_temp.shown(), 'none', 'nothing is in the way');
select lives_ok($$select billing_private.set_restriction(tests.id('Acme'), 'past_due', now() + interval '3 days')$$, 'an invoice is open');
select is(pg_temp.shown(), 'past_due', 'which is shown');
select ok((select o.restricted_from > now() + interval '2 days' from billing.organizations as o where o.organization_id = tests.id('Acme')),
  'and holds from the end of the grace on');
select lives_ok($$select billing_private.set_restriction(tests.id('Acme'), 'dispute', null)$$, 'a dispute is opened');
select is(pg_temp.shown(), 'dispute', 'which holds at once, and so comes first');
select lives_ok($$select billing_private.set_restriction(tests.id('Acme'), 'dispute', null)$$, 'said again');
select is((select count(*) from billing_private.organization_restrictions as r where r.organization_id = tests.id('Acme')), 2::bigint,
  'it is the same cause');
select lives_ok($$select billing_private.lift_restriction(tests.id('Acme'), 'dispute')$$, 'the dispute is won');
select is(pg_temp.shown(), 'past_due', 'the invoice is still open');
select lives_ok($$select billing_private.lift_restriction(tests.id('Acme'), 'past_due')$$, 'it is paid');
select is(pg_temp.shown(), 'none', 'nothing is in the way any more');

-- How a change is made ----------------------------------------------------------------------------------------------------

insert into billing.subscriptions (organization_id, stripe_subscription_id, stripe_customer_id, plan_id, status, current_period_start,
  current_period_end, stripe_fetched_at)
values (tests.id('Acme'), 'sub_story', 'cus_story', '58000000-0000-4000-8000-000000000001', 'active', now(), now() + interval '1 month', now());

create function pg_temp.mode_to(p_plan integer, p_asked text default null)
returns text
language sql
as $$
  select (billing.prepare_plan_change(
    tests.id('Acme'), tests.id('Olivia'), ('58000000-0000-4000-8000-00000000000' || p_plan)::uuid, p_asked, false
  )).mode
$$;
grant execute on function pg_temp.mode_to(integer, text) to service_role;
select tests.as_service();
select is(pg_temp.mode_to(2), 'prorate_delta', 'an upgrade is prorated');
select is(pg_temp.mode_to(2, 'next_period'), 'next_period', 'unless it is to wait');
select is(pg_temp.mode_to(3), 'full_restart', 'another interval restarts');
select is(pg_temp.mode_to(3, 'next_period'), 'full_restart', 'always');
select throws_ok($$select pg_temp.mode_to(1)$$, 'PT409', 'plan_unchanged', 'the same plan is no change');
select throws_ok($$select pg_temp.mode_to(2, 'sometimes')$$, 'PT422', 'invalid_argument', 'modes have names');
select tests.reset();
update billing.subscriptions set plan_id = '58000000-0000-4000-8000-000000000002' where stripe_subscription_id = 'sub_story';
select tests.as_service();
select is(pg_temp.mode_to(1), 'next_period', 'a downgrade waits, so that no money comes back for credits already spent');
select is(pg_temp.mode_to(1, 'full_restart'), 'full_restart', 'unless the period restarts, which carries the usage');
select tests.reset();
update billing.subscriptions set status = 'past_due' where stripe_subscription_id = 'sub_story';
select tests.as_service();
select throws_ok($$select pg_temp.mode_to(1)$$, 'PT409', 'subscription_not_active', 'an open invoice comes first');
select tests.reset();
select is((select count(*) from billing.audit_log as a where a.organization_id = tests.id('Acme') and a.action = 'change_plan'), 6::bigint,
  'what was asked for is in the audit log');
select isnt_empty($$select 1 from billing.subscriptions where stripe_subscription_id = 'sub_story'$$, 'and nothing else has changed');

select * from finish();
rollback;
