-- Who sees what of a ledger. Money and people: those who manage them. A member: their own usage, or their department's, and no more.

begin;
select tests.story(44);
select tests.cast();
select tests.grant('Acme', 1000, 'start');
select tests.grant('Globex', 1000, 'start');
select billing.set_credit_limit('department', tests.id('Marketing')::text, 500, 'month');
select billing.set_credit_limit('department', tests.id('Support')::text, 500, 'month');
select billing.set_credit_limit('organization', tests.id('Acme')::text, 5000, 'month');
select billing.set_credit_limit('member', tests.id('Max')::text, 400, 'month');
select tests.as_user('Max');
select billing.consume_credits('Anything', 'do', amount => 1);
select billing.consume_credits('Anything', 'do', amount => 2, department_id => tests.id('Marketing'));
select tests.as_user('Mona');
select billing.consume_credits('Anything', 'do', amount => 4);
select tests.as_user('Adam');
select billing.consume_credits('Anything', 'do', amount => 8, department_id => tests.id('Marketing'));
select billing.consume_credits('Anything', 'do', amount => 16, department_id => tests.id('Support'));
select tests.as_agent(tests.agent_key('Acme', 'bound', jsonb_build_object('department_id', tests.id('Marketing'))));
select billing.consume_credits('Anything', 'do', amount => 32);
select tests.as_agent(tests.agent_key('Acme', 'free'));
select billing.consume_credits('Anything', 'do', amount => 64);
select tests.as_user('Mia');
select billing.consume_credits('Anything', 'do', amount => 128);
select tests.reset();
select billing.run_due_jobs();
create temporary table days as select date_trunc('day', now(), 'UTC') as today;
grant select on days to public;

create function pg_temp.usage() returns numeric language sql as $$ select coalesce(sum(amount), 0) from billing.credit_usage $$;
create function pg_temp.entries() returns numeric language sql as $$ select coalesce(-sum(amount) filter (where kind = 'consume'), 0) from billing.credit_transactions $$;
create function pg_temp.rollup() returns numeric language sql as $$ select coalesce(sum(amount), 0)::numeric from billing.credit_usage_daily $$;
create function pg_temp.series(p_organization text) returns numeric language sql as $$
  select coalesce(sum(t.amount), 0) from days, billing.get_usage_timeseries(tests.id(p_organization), today, today + interval '1 day') as t
$$;
create function pg_temp.series_by_instant(p_organization text) returns numeric language sql as $$
  select coalesce(sum(t.amount), 0) from days,
    billing.get_usage_timeseries(tests.id(p_organization), today - interval '1 hour', today + interval '2 days', 'hour', 'Asia/Tokyo', 'run') as t
$$;
create function pg_temp.breakdown(p_organization text) returns numeric language sql as $$
  select coalesce(sum(b.amount), 0) from days, billing.get_usage_breakdown(tests.id(p_organization), today, today + interval '1 day', 'member') as b
$$;
grant execute on function pg_temp.usage(), pg_temp.entries(), pg_temp.rollup(), pg_temp.series(text), pg_temp.series_by_instant(text), pg_temp.breakdown(text)
to public;
create function pg_temp.every_way(p_organization text) returns numeric[] language sql as $$
  select array[pg_temp.usage(), pg_temp.entries(), pg_temp.rollup(), pg_temp.series(p_organization), pg_temp.series_by_instant(p_organization),
    pg_temp.breakdown(p_organization)]
$$;
grant execute on function pg_temp.every_way(text) to public;

-- Usage: rows, entries, rollups, both ways of the series, the breakdown. All agree.
select tests.as_user('Olivia');
select is(pg_temp.every_way('Acme'), array_fill(127::numeric, array[6]), 'Olivia sees all 127 of Acme''s usage, and none of Globex'', whichever way she asks');
select tests.as_user('Bella');
select is(pg_temp.every_way('Acme'), array_fill(127::numeric, array[6]), 'and so does Bella');
select tests.as_user('Max');
select is(pg_temp.every_way('Acme'), array_fill(3::numeric, array[6]), 'Max sees his own 3');
select tests.as_user('Mona');
select is(pg_temp.every_way('Acme'), array_fill(46::numeric, array[6]), 'Mona sees Marketing''s 46, whoever spent it');
select tests.as_user('Mia');
select is(pg_temp.every_way('Globex'), array_fill(128::numeric, array[6]), 'Mia sees her own 128 at Globex');
select tests.as_user('Otto');
select throws_ok($$select pg_temp.series('Acme')$$, 'PT403', 'not_authorized', 'Otto gets no series of Acme');
select throws_ok($$select pg_temp.breakdown('Acme')$$, 'PT403', 'not_authorized', 'and no breakdown');
select is(
  tests.refusal($$select * from billing.get_usage_timeseries(tests.id('Acme'), now() - interval '1 day', now())$$),
  tests.refusal($$select * from billing.get_usage_timeseries(gen_random_uuid(), now() - interval '1 day', now())$$), 'as of nowhere');
select tests.as_user('Sam');
select is(array[pg_temp.usage(), pg_temp.entries(), pg_temp.rollup()], array[0, 0, 0]::numeric[], 'Sam, who belongs to nobody, sees nothing');
select tests.as_service();
select is(pg_temp.series('Acme'), 127::numeric, 'the service sees all');
select tests.as_anon();
select throws_ok($$select * from billing.get_usage_timeseries(tests.id('Acme'), now() - interval '1 day', now())$$, '42501', null, 'a visitor asks nothing');

-- Arguments of the series: refused with their names, whether or not there are rows.
select tests.as_user('Olivia');
select is(tests.refusal(format($$select * from billing.get_usage_timeseries(tests.id('Acme'), now() - interval '1 day', now(), %s)$$, a.arguments)) #>> '{details,argument}',
  a.argument, format('a bad %s is refused by name', a.argument))
from (values ('bucket', $$'second'$$), ('timezone', $$'day', 'Mars/Olympus'$$), ('group_by', $$'day', 'UTC', 'password'$$)) as a (argument, arguments);
select is(tests.refusal($$select * from billing.get_usage_timeseries(tests.id('Acme'), '-infinity', 'infinity')$$) ->> 'message', 'invalid_argument',
  'so is the whole of time');
select is(tests.refusal($$select * from billing.get_usage_timeseries(tests.id('Acme'), now(), now() - interval '1 day')$$) ->> 'message', 'invalid_argument',
  'and time backwards');

-- Receipts.
select tests.reset();
create temporary table one as
select (select transaction_id from billing.credit_usage where amount = 1) as max, (select transaction_id from billing.credit_usage where amount = 4) as mona,
  (select transaction_id from billing.credit_usage where amount = 128) as mia;
grant select on one to public;
select tests.as_user('Max');
select is((select (billing.explain_transaction(max)).amount from one), 1::numeric, 'Max explains what he spent');
select throws_ok($$select billing.explain_transaction(mona) from one$$, 'PT404', 'not_found', 'not what Mona did');
select is(tests.refusal($$select billing.explain_transaction(mia) from one$$), tests.refusal($$select billing.explain_transaction(gen_random_uuid())$$),
  'and of Globex nothing exists');
select tests.as_user('Bella');
select is((select (billing.explain_transaction(mona)).amount from one), 4::numeric, 'Bella explains anybody''s');

-- Limits, balances, grants, people.
select tests.as_user('Max');
select set_eq($$select subject_type from billing.credit_limits$$, array['organization', 'member'], 'Max sees the limits that concern him');
select is_empty($$select limit_id from billing.department_credit_limits$$, 'and no department''s');
select is((select balance from billing.credit_balances), 873::numeric, 'he sees the balance');
select is_empty($$select id from billing.credit_grants$$, 'but not where it came from');
select is_empty($$select kind from billing.credit_transactions where kind <> 'consume'$$, 'nor what was granted');
select tests.as_user('Mona');
select results_eq($$select department_name, used from billing.department_credit_limits$$, $$values ('Marketing', 46::numeric)$$, 'Mona sees Marketing''s limit');
select tests.as_user('Bella');
select is((select count(*) from billing.department_credit_limits), 2::bigint, 'Bella sees both departments''');
select is((select sum(remaining) from billing.credit_grants), 873::numeric, 'and what is left of each grant');
select is((select count(*) from billing.organization_members), 5::bigint, 'and who belongs to Acme');
select is_empty($$select id from billing.audit_log$$, 'but not the audit log');
select tests.as_user('Adam');
select isnt_empty($$select id from billing.audit_log$$, 'which Adam reads');

-- Nothing of another organization, in any table or view that may be read, private ones included.
select tests.reset();
create temporary table scoped as
select c.oid::regclass::text as name from pg_class as c
inner join pg_attribute as a on a.attrelid = c.oid and a.attname = 'organization_id'
where c.relnamespace in ('billing'::regnamespace, 'billing_private'::regnamespace) and c.relkind in ('r', 'p', 'v')
  and has_table_privilege('authenticated', c.oid, 'select');
grant select on scoped to public;
create function pg_temp.foreign_rows(p_organization text) returns setof text language plpgsql as $$
declare
  v_name text;
  v_count bigint;
begin
  for v_name in select s.name from scoped as s loop
    execute format('select count(*) from %s where organization_id <> tests.id(%L)', v_name, p_organization) into v_count;
    if v_count > 0 then
      return next v_name;
    end if;
  end loop;
end $$;
grant execute on function pg_temp.foreign_rows(text) to public;
select ok((select count(*) from scoped) >= 22, 'of all the tables and views with an organization');
select ok((select count(*) from pg_temp.foreign_rows('Acme')) >= 6, 'of which several have rows of others');
select tests.as_user('Otto');
select is_empty($$select * from pg_temp.foreign_rows('Globex')$$, 'Otto sees rows of Globex alone');
select tests.as_user('Olivia');
select is_empty($$select * from pg_temp.foreign_rows('Acme')$$, 'Olivia of Acme alone');
select tests.as_user('Sam', jsonb_build_object('app_metadata', jsonb_build_object('organization_id', tests.id('Acme')), 'organization_id', tests.id('Acme'),
  'user_role', 'service_role'));
select is_empty($$select * from pg_temp.foreign_rows('Sam')$$, 'and Sam none, whatever his token says of him');
select tests.as_user('Olivia', '{"client_id": "some-app"}');
select is((select count(*) from billing.organizations), 1::bigint, 'an app on Olivia''s behalf may read');
select tests.reset();
select billing.set_member_role(tests.id('Acme'), tests.id('Mona'), 'member', tests.id('Support'));
select tests.as_user('Mona');
select is(pg_temp.usage(), 20::numeric, 'moved to Support, Mona sees Support''s usage and her own');
select tests.reset();
select billing.remove_member(tests.id('Acme'), tests.id('Mona'));
select tests.as_user('Mona');
select is_empty($$select name from scoped, lateral (select count(*) as n from pg_temp.foreign_rows('Globex')) as r where r.n > 0$$, 'removed, Mona sees nothing at all');

-- A grant that has begun to count and is not booked yet is read as it will be (due_grants()), by the same people.
select tests.grant('Acme', 10, 'begun', jsonb_build_object('effective_at', now() + interval '1 day'));
select tests.reset();
update billing.organizations set test_clock = now() + interval '2 days' where organization_id = tests.id('Acme');
select tests.as_user('Bella');
select is((select g.activated_at is not null from billing.credit_grants as g where g.source_reference = 'begun'), true, 'Bella sees that it counts');
select tests.as_user('Max');
select is_empty($$select * from billing.credit_grants$$, 'Max sees no grant, due or not');

-- Who a token names is a person in a person's session alone.
select tests.speak('anon', jsonb_build_object('role', 'anon', 'sub', tests.id('Olivia')), '{}');
select is(billing_private.current_user_id(), null, 'a visitor''s token that names Olivia is nobody''s');
select tests.speak('service_role', jsonb_build_object('role', 'service_role', 'sub', tests.id('Olivia')), '{}');
select is(billing_private.current_user_id(), null, 'nor is a service''s');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
