-- Olivia buys for Acme: what a worker is told when it opens a checkout for her, and what happens when things go wrong on the way.

begin;
select tests.story(51);
select tests.cast();
insert into billing.credit_packages (key, name, credits, unit_amount, credit_expiry, is_active) values
('story_pack', 'Story pack', 500, 1000, '1 year', true), ('story_old', 'Old pack', 5, 10, null, false);
insert into billing.subscription_plans (key, name, unit_amount, credits_per_period) values ('story_plan', 'Story plan', 1900, 1000), ('story_free', 'Free plan', 0, 10);
create temporary table prepared (name text primary key, p billing.checkout_preparation);
grant select, insert on prepared to public;

create function pg_temp.prepare(p_person text, p_organization uuid, p_more jsonb default '{}')
returns billing.checkout_preparation
language sql
as $$
  select billing.prepare_checkout(
    p_organization, tests.id(p_person), lower(p_person) || '@story.test', coalesce((p_more ->> 'livemode')::boolean, false),
    null, case when p_more ? 'plan' then null else coalesce(p_more ->> 'pack', 'story_pack') end,
    (select s.id from billing.subscription_plans as s where s.key = p_more ->> 'plan'),
    'hosted_page', coalesce(p_more ->> 'success_url', 'https://app.test/ok'), 'https://app.test/no'
  )
$$;
grant execute on function pg_temp.prepare(text, uuid, jsonb) to service_role;

-- Who may -----------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
select throws_ok($$select billing.prepare_checkout(tests.id('Acme'), tests.id('Olivia'), null, false, null, 'story_pack', null, 'hosted_page', 'a', 'b')$$,
  '42501', null, 'people do not prepare checkouts: workers do');
select throws_ok($$select billing.record_customer(tests.id('Acme'), 'cus_1', null, 'Acme', false)$$, '42501', null, 'nor record customers');
select tests.as_service();
select throws_ok($$select pg_temp.prepare('Max', tests.id('Acme'))$$, 'PT403', 'not_authorized', 'a worker prepares none for Max, a member');
select is(
  tests.refusal($$select pg_temp.prepare('Otto', tests.id('Acme'))$$), tests.refusal($$select pg_temp.prepare('Otto', gen_random_uuid())$$),
  'for Otto, Acme is as good as nobody');
select throws_ok($$select pg_temp.prepare('Sam', null)$$, 'PT403', 'not_authorized', 'no organization is no organization');

-- What is for sale -----------------------------------------------------------------------------------------

select throws_ok($$select pg_temp.prepare('Olivia', tests.id('Acme'), '{"pack": "story_old"}')$$,
  'PT404', 'not_found', 'an old pack is not for sale');
select throws_ok($$select pg_temp.prepare('Olivia', tests.id('Acme'), '{"plan": "story_free"}')$$, 'PT404', 'not_found', 'nor is a free plan');
select throws_ok(
  $$select billing.prepare_checkout(tests.id('Acme'), tests.id('Olivia'), null, false, gen_random_uuid(), 'story_pack', null, 'hosted_page', 'a', 'b')$$,
  'PT422', 'invalid_argument', 'one buys one thing');

-- The double click -----------------------------------------------------------------------------------------

insert into prepared select 'first', pg_temp.prepare('Olivia', tests.id('Acme'));
select results_eq(
  $$select (p).is_reused, (p).status, (p).attempts, (p).mode, (p).name, (p).description, (p).unit_amount, (p).currency from prepared$$,
  $$values (false, 'creating', 0, 'payment', 'Story pack', '500 credits', 1000::bigint, 'usd')$$, 'our row is written first, with the terms');
select is((pg_temp.prepare('Olivia', tests.id('Acme'))).checkout_session_id, (select (p).checkout_session_id from prepared),
  'a second click finds it');
select ok((pg_temp.prepare('Olivia', tests.id('Acme'))).is_reused, 'and says so');
select isnt((pg_temp.prepare('Bella', tests.id('Acme'))).checkout_session_id, (select (p).checkout_session_id from prepared),
  'Bella''s click is her own');
select isnt((pg_temp.prepare('Olivia', tests.id('Acme'), '{"success_url": "https://app.test/other"}')).checkout_session_id,
  (select (p).checkout_session_id from prepared), 'so is one that leads elsewhere');
select isnt((pg_temp.prepare('Olivia', tests.id('Acme'), '{"livemode": true}')).checkout_session_id, (select (p).checkout_session_id from prepared),
  'and one in the other mode');
select tests.reset();
update billing.credit_packages set unit_amount = 1200 where key = 'story_pack';
select tests.as_service();
select isnt((pg_temp.prepare('Olivia', tests.id('Acme'))).checkout_session_id, (select (p).checkout_session_id from prepared),
  'at a new price it is another purchase');
select tests.reset();
update billing.credit_packages set unit_amount = 1000 where key = 'story_pack';
select tests.as_service();

select is(billing.attach_checkout_session(tests.id('Acme'), (p).checkout_session_id, 'cs_story_1', 'https://pay.test/1', now() + interval '1 day'),
  'cs_story_1', 'the worker attaches Stripe''s session') from prepared;
select is(billing.attach_checkout_session(tests.id('Acme'), (p).checkout_session_id, 'cs_story_2', 'https://pay.test/2', now() + interval '1 day'),
  'cs_story_1', 'a slower worker learns that another was faster') from prepared;
select is((pg_temp.prepare('Olivia', tests.id('Acme'))).stripe_session_id, 'cs_story_1', 'a third click is sent to the same page');
select throws_ok($$select billing.attach_checkout_session(tests.id('Globex'), (p).checkout_session_id, 'cs_x', null, null) from prepared$$,
  'PT404', 'not_found', 'a row is found in its own organization alone');
select tests.reset();
update billing.checkout_sessions set expires_at = now() + interval '1 minute' where stripe_session_id = 'cs_story_1';
select tests.as_service();
select isnt((pg_temp.prepare('Olivia', tests.id('Acme'))).checkout_session_id, (select (p).checkout_session_id from prepared),
  'nobody is sent to a page that is about to close');

-- Failed calls to Stripe -------------------------------------------------------------------------------------

insert into prepared select 'second', pg_temp.prepare('Olivia', tests.id('Acme'), '{"success_url": "https://app.test/second"}');
select lives_ok($$select billing.record_checkout_error(tests.id('Acme'), (p).checkout_session_id, 'timeout', false) from prepared where name = 'second'$$,
  'Stripe did not answer');
select is((pg_temp.prepare('Olivia', tests.id('Acme'), '{"success_url": "https://app.test/second"}')).attempts, 1,
  'the next click takes the row up again, under a new key');
select billing.record_checkout_error(tests.id('Acme'), (p).checkout_session_id, 'refused', true) from prepared where name = 'second';
select is((select status from billing.checkout_sessions, prepared where id = (p).checkout_session_id and prepared.name = 'second'), 'failed',
  'a definite refusal closes it');
select isnt((pg_temp.prepare('Olivia', tests.id('Acme'), '{"success_url": "https://app.test/second"}')).checkout_session_id,
  (select (p).checkout_session_id from prepared where name = 'second'), 'and the next click begins anew');
select tests.reset();
update billing.checkout_sessions set created_at = now() - interval '2 hours' where status = 'creating';
select tests.as_service();
select is((pg_temp.prepare('Olivia', tests.id('Acme'))).is_reused, false, 'an attempt that nobody finished within the hour is left alone');

-- One customer --------------------------------------------------------------------------------------------------

select is((pg_temp.prepare('Olivia', tests.id('Acme'))).customer, (pg_temp.prepare('Bella', tests.id('Acme'))).customer,
  'whoever asks first names the customer; everybody gets the same claim');
select is(((pg_temp.prepare('Bella', tests.id('Acme'))).customer).email, 'olivia@story.test', 'here it was Olivia');
select is(billing.record_customer(tests.id('Acme'), 'cus_story_1', 'olivia@story.test', 'Acme (story)', false), 'cus_story_1', 'it is recorded');
select is(billing.record_customer(tests.id('Acme'), 'cus_story_2', 'olivia@story.test', 'Acme (story)', false), 'cus_story_1', 'the first one stays');
select is(((pg_temp.prepare('Olivia', tests.id('Acme'))).customer).stripe_customer_id, 'cus_story_1', 'from now on it is known');
select is((billing.open_customer(tests.id('Acme'), tests.id('Adam'), null, false)).stripe_customer_id, 'cus_story_1', 'the portal knows it too');
select throws_ok($$select billing.open_customer(tests.id('Acme'), tests.id('Max'), null, false)$$, 'PT403', 'not_authorized', 'but not for Max');
select is((billing.open_customer(tests.id('Acme'), tests.id('Adam'), null, true)).stripe_customer_id, null, 'live mode has a customer of its own to come');
select is(billing.forget_customer('cus_story_1'), tests.id('Acme'), 'a customer deleted at Stripe is forgotten');
insert into prepared select 'anew', pg_temp.prepare('Olivia', tests.id('Acme'));
select is(((select p from prepared where name = 'anew')).customer.stripe_customer_id, null, 'and another will be made');
select isnt((select ((p).customer).claim_id from prepared where name = 'anew'), (select ((p).customer).claim_id from prepared where name = 'first'),
  'under another key');
select lives_ok($$select billing.renew_failed_customer_claim(tests.id('Acme'), ((p).customer).claim_id) from prepared where name = 'anew'$$,
  'Stripe may have made it without telling us');
select ok(((pg_temp.prepare('Olivia', tests.id('Acme'))).customer).must_look_up, 'so the next worker looks first');
select billing.renew_failed_customer_claim(tests.id('Acme'), ((p).customer).claim_id) from prepared where name = 'anew';
select is(((pg_temp.prepare('Olivia', tests.id('Acme'))).customer).claim_id, ((pg_temp.prepare('Bella', tests.id('Acme'))).customer).claim_id,
  'a worker that fails late moves nothing');
select is(billing.record_customer(tests.id('Acme'), 'cus_story_3', null, 'Acme (story)', false), 'cus_story_3', 'the new customer takes the old one''s place');
select throws_ok($$select billing.record_customer(gen_random_uuid(), 'cus_x', null, 'x', false)$$, 'PT404', 'not_found', 'nobody has no customer');
select tests.reset();
update billing_private.customer_claims set renewed_at = now() - interval '1 day' where organization_id = tests.id('Acme');
select tests.as_service();
select billing.forget_customer('cus_story_3');
select ok(((pg_temp.prepare('Olivia', tests.id('Acme'))).customer).must_look_up, 'a key older than Stripe keeps keys is not trusted to be fresh');

-- One plan ------------------------------------------------------------------------------------------------------

select is((pg_temp.prepare('Olivia', tests.id('Acme'), '{"plan": "story_plan"}')).billing_interval, 'month', 'a plan is opened as a subscription');
select tests.reset();
insert into billing.subscriptions (organization_id, stripe_subscription_id, status) values (tests.id('Acme'), 'sub_story', 'past_due');
select tests.as_service();
select throws_ok($$select pg_temp.prepare('Olivia', tests.id('Acme'), '{"plan": "story_plan"}')$$, 'PT409', 'subscription_exists',
  'a second one is refused while one is live');
select lives_ok($$select pg_temp.prepare('Olivia', tests.id('Acme'))$$, 'packs may be bought beside it');

-- Who sees it ------------------------------------------------------------------------------------------------------

select tests.as_user('Bella');
select isnt_empty($$select id from billing.checkout_sessions$$, 'Bella sees the checkouts of Acme');
select throws_ok($$update billing.checkout_sessions set credits = 1000000$$, '42501', null, 'and changes none');
select tests.as_user('Max');
select is_empty($$select id from billing.checkout_sessions$$, 'Max sees none');
select is_empty($$select stripe_customer_id from billing.customers$$, 'and no customer');
select tests.as_user('Otto');
select is_empty($$select id from billing.checkout_sessions$$, 'neither does Otto');
select tests.as_anon();
select throws_ok($$select id from billing.checkout_sessions$$, '42501', null, 'nor a visitor');
select tests.reset();

select * from finish();
rollback;
