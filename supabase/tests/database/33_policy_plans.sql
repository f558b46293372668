-- Policies cost an index step, not a walk over everybody's ledger: plans are read and may not contain a sequential scan of a ledger table.

begin;
select tests.story(9);
select tests.cast();

-- Two thousand organizations of ten entries, written straight into the tables: only their number matters here.
insert into billing.organizations (organization_id, name) select md5('crowd ' || o)::uuid, 'Crowd ' || o from generate_series(1, 2000) as o;
insert into billing.credit_transactions (organization_id, sequence, created_at, turn_at, id, has_scoped_grants, kind, amount, balance_after, agent_type, action, user_id)
select md5('crowd ' || o)::uuid, s, now(), '-infinity', gen_random_uuid(), false, 'consume', -1, 0, 'Anything', 'do', gen_random_uuid()
from generate_series(1, 2000) as o, generate_series(1, 10) as s;
insert into billing_private.credit_grant_lots (organization_id, source, source_reference, amount, remaining, effective_at, created_at)
select md5('crowd ' || o)::uuid, 'promotion', s::text, 1, 0, now(), now() from generate_series(1, 2000) as o, generate_series(1, 10) as s;
insert into billing.credit_usage_daily (organization_id, usage_date, agent_type, action, amount, consumption_count)
select md5('crowd ' || o)::uuid, date '2020-01-01' + s, 'Anything', 'do', 1, 1 from generate_series(1, 2000) as o, generate_series(1, 10) as s;
insert into billing.payments (organization_id, kind, status, amount, currency)
select md5('crowd ' || o)::uuid, 'package', 'succeeded', 1, 'usd' from generate_series(1, 2000) as o, generate_series(1, 10) as s;
analyze billing.organizations, billing.credit_transactions, billing_private.credit_grant_lots, billing.credit_usage_daily, billing.payments,
  billing.organization_members;

create function pg_temp.scans(p_sql text) returns setof text language plpgsql as $$
declare
  v_line text;
begin
  for v_line in execute 'explain ' || p_sql loop
    if v_line ~ 'Seq Scan on (credit_transactions|credit_grant_lots|credit_usage_daily|payments)' then
      return next v_line;
    end if;
  end loop;
end $$;
grant execute on function pg_temp.scans(text) to public;

select isnt_empty($$select pg_temp.scans('select * from billing.credit_transactions')$$, 'past the policies a scan is a scan');
select tests.as_user('Max');
select is_empty(format('select pg_temp.scans(%L)', q.query), format('a member reads %s by index', q.name))
from (values
  ('the ledger', 'select * from billing.credit_transactions'),
  ('usage', 'select * from billing.credit_usage order by created_at desc limit 20'),
  ('rollups', 'select * from billing.credit_usage_daily')
) as q (name, query);
select tests.as_user('Bella');
select is_empty(format('select pg_temp.scans(%L)', q.query), format('Bella reads %s by index', q.name))
from (values
  ('the ledger', 'select * from billing.credit_transactions'),
  ('grants', 'select * from billing.credit_grants'),
  ('rollups', 'select * from billing.credit_usage_daily'),
  ('payments', 'select * from billing.payments order by created_at desc limit 20'),
  ('balances', 'select * from billing.credit_balances')
) as q (name, query);

select tests.reset();
select * from finish();
rollback;
