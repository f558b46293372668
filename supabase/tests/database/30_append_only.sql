-- What is booked stays booked: nobody changes a ledger entry, not even the owner of the table; nobody else writes anything at all.

begin;
select tests.story(17);
select tests.cast();
select tests.grant('Acme', 100, 'start');
select billing.consume_credits('Writer', 'write', organization_id => tests.id('Acme'));

select throws_ok($$update billing.credit_transactions set amount = 0 where organization_id = tests.id('Acme')$$, '23001', null,
  'the owner of the schema changes no entry');
select throws_ok($$delete from billing.credit_transactions where organization_id = tests.id('Acme')$$, '23001', null, 'and deletes none');
select throws_ok($$truncate billing.credit_transactions$$, '23001', null, 'nor all');
select throws_ok(format('truncate billing_private.credit_transactions_%s', n), '23001', null, format('nor all of partition %s', n)) from generate_series(0, 3) as n;
select throws_ok($$update billing_private.credit_transactions_0 set amount = 0$$, null, null, 'by way of a partition, either')
where exists (select 1 from billing_private.credit_transactions_0)
union all
select pass('by way of a partition, either (this one is empty)') where not exists (select 1 from billing_private.credit_transactions_0);
select throws_ok($$truncate billing.audit_log$$, '23001', null, 'the audit log is as safe');

-- Every other principal, every money table, every verb.
create function pg_temp.writes(p_table text) returns setof text language plpgsql as $$
declare
  v_statement text;
  v_column text;
  v_views constant text[] := array(select c.oid::regclass::text from pg_class as c where c.relnamespace = 'billing'::regnamespace and c.relkind = 'v');
begin
  select quote_ident(a.attname) into v_column from pg_attribute as a
  where a.attrelid = p_table::regclass and a.attnum > 0 and not a.attisdropped and a.attidentity = '' and a.attgenerated = '' limit 1;
  foreach v_statement in array array[
    format('insert into %s default values', p_table), format('update %s set %s = %2$s where true', p_table, v_column),
    format('delete from %s where true', p_table), format('truncate %s', p_table), format('lock table %s in access exclusive mode', p_table)
  ] loop
    -- A view that cannot be written by anybody says so first.
    if tests.refusal(v_statement) ->> 'sqlstate' <> all(case when p_table = any(v_views) then '{42501,55000,42809}' else '{42501}'::text[] end)
      or tests.refusal(v_statement) = '{}' then
      return next v_statement;
    end if;
  end loop;
end $$;
grant execute on function pg_temp.writes(text) to public;
create temporary table everything as
select c.oid::regclass::text as name from pg_class as c
where c.relnamespace in ('billing'::regnamespace, 'billing_private'::regnamespace) and c.relkind in ('r', 'p', 'v');
grant select on everything to public;
select ok((select count(*) from everything) > 35, 'of all the tables and views');
select tests.as_user('Olivia');
select is_empty($$select w.* from everything as e, pg_temp.writes(e.name) as w$$, 'an owner writes none');
select tests.as_service();
select is_empty($$select w.* from everything as e, pg_temp.writes(e.name) as w$$, 'the service writes none');
select tests.as_anon();
select is_empty($$select w.* from everything as e, pg_temp.writes(e.name) as w$$, 'a visitor writes none');
select throws_ok($$select setval('billing.audit_log_id_seq', 1)$$, '42501', null, 'and turns no sequence');
select throws_ok($$create table billing.mine (a integer)$$, '42501', null, 'nor makes one of their own');
select throws_ok($$create function billing_private.mine() returns integer language sql as 'select 1'$$, '42501', null, 'nor a function');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
