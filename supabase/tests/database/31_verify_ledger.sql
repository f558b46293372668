-- verify_ledger says nothing of a whole ledger, and names what is broken in a broken one. Each sabotage is planted behind the triggers' backs and
-- taken back.

begin;
do $$ begin perform tests.take_ledger(); end $$;
select tests.story(23);
select tests.cast();
select tests.grant('Acme', 100, 'first', jsonb_build_object('expires_at', now() + interval '10 days'));
select tests.grant('Acme', 100, 'second');
select billing.set_credit_limit('organization', tests.id('Acme')::text, 500, 'month');
select tests.as_user('Max');
select billing.consume_credits('Writer', 'write', metadata => '{"model": "m-1"}');
select billing.consume_credits('Anything', 'do', amount => 120);
select tests.reset();
select billing.run_due_jobs();
select tests.as_user('Max');
select billing.consume_credits('Writer', 'write');
select tests.reset();
select is_empty('select * from billing.verify_ledger()', 'a whole ledger has no violations');

create function pg_temp.finds(p_sabotage text) returns setof text language plpgsql as $$
declare
  v_found text[];
begin
  begin
    alter table billing.credit_transactions disable trigger credit_transactions_append_only;
    alter table billing_private.credit_grant_lots drop constraint credit_grants_held_bounded, drop constraint credit_grants_remaining_bounded;
    execute p_sabotage;
    select array_agg(distinct v.invariant) into v_found from billing.verify_ledger() as v;
    raise exception using errcode = 'TB000';
  exception when sqlstate 'TB000' then
    return query select unnest(v_found);
  end;
end $$;
create temporary view acme as select * from billing.credit_transactions where organization_id = tests.id('Acme') order by sequence;
create function pg_temp.planted(p_invariant text, p_sabotage text, p_description text) returns text language sql as $$
  select ok(p_invariant in (select pg_temp.finds(p_sabotage)), p_description)
$$;

select is_empty($$select pg_temp.finds('select 1')$$, 'taking the guards away breaks nothing by itself');
select pg_temp.planted('balance_is_sum_of_transactions',
  $$update billing.credit_transactions set balance_after = balance_after + 1 where organization_id = tests.id('Acme') and sequence = 3$$,
  'a balance that was written over');
select pg_temp.planted('balance_is_sum_of_transactions',
  $$update billing.credit_transactions set amount = amount + 0.000001 where organization_id = tests.id('Acme') and sequence = 3$$,
  'an amount that is off by a millionth');
select pg_temp.planted('sequence_is_gap_free', $$delete from billing.credit_transactions where organization_id = tests.id('Acme') and sequence = 3$$,
  'an entry that was deleted');
select pg_temp.planted('sequence_is_gap_free',
  $$update billing.credit_transactions set sequence = 99 where organization_id = tests.id('Acme') and sequence = 5$$, 'an entry that was moved');
select pg_temp.planted('entries_are_dated_in_order',
  $$update billing.credit_transactions set created_at = created_at - interval '1 day' where organization_id = tests.id('Acme') and sequence = 3$$,
  'an entry that was dated back');
select pg_temp.planted('transaction_id_names_its_place',
  $$update billing.credit_transactions set id = gen_random_uuid() where organization_id = tests.id('Acme') and sequence = 3$$, 'an entry with a foreign id');
select pg_temp.planted('consumption_is_paid_by_its_grants',
  $$update billing.credit_transactions set grant_amounts = array[-95, -24] where organization_id = tests.id('Acme') and sequence = 4$$,
  'a consumption that its grants did not pay');
select pg_temp.planted('consumption_is_paid_by_its_grants',
  $$update billing.credit_transactions set debt_after = 7 where organization_id = tests.id('Acme') and sequence = 4$$, 'a debt out of nowhere');
select pg_temp.planted('grants_are_balance_plus_debt',
  $$update billing_private.credit_grant_lots set remaining = remaining + 1, amount = amount + 1 where organization_id = tests.id('Acme') and source_reference = 'first'$$,
  'a grant that was topped up');
select pg_temp.planted('grants_are_balance_plus_debt',
  $$delete from billing_private.credit_grant_lots where organization_id = tests.id('Acme') and source_reference = 'second'$$, 'a grant that was deleted');
select pg_temp.planted('grants_are_balance_plus_debt',
  $$update billing.credit_transactions set head_available = head_available + 1 where organization_id = tests.id('Acme') and sequence = 5$$,
  'a head that has more than is left');
select pg_temp.planted('grant_is_rebuilt_from_transactions',
  $$update billing_private.credit_grant_lots as g set remaining = case source_reference when 'first' then 1 else remaining end
    where organization_id = tests.id('Acme')$$, 'a grant whose remainder does not follow from the entries');
select pg_temp.planted('grant_is_rebuilt_from_transactions',
  $$update billing.credit_transactions set grant_ids = array[grant_ids[2], grant_ids[1]] where organization_id = tests.id('Acme') and sequence = 4$$,
  'a consumption that names the wrong grants');
select pg_temp.planted('no_grant_is_below_zero',
  $$update billing_private.credit_grant_lots set held = 5 where organization_id = tests.id('Acme') and source_reference = 'first'$$,
  'a grant of which more is held than it has');
select pg_temp.planted('held_is_sum_of_open_holds',
  $$update billing.credit_transactions set held_after = 3 where organization_id = tests.id('Acme') and sequence = 5$$, 'held credits without a hold');
select pg_temp.planted('counters_are_sums_of_their_windows',
  $$update billing_private.credit_limit_counters set used = 0 where organization_id = tests.id('Acme')$$, 'a counter that was reset');
select pg_temp.planted('rollups_are_usage',
  $$update billing.credit_usage_daily set amount = amount + 1 where organization_id = tests.id('Acme')$$, 'a rollup that was written over');
select pg_temp.planted('rollups_are_usage', $$delete from billing.credit_usage_daily where organization_id = tests.id('Acme')$$, 'a rollup that is gone');
select pg_temp.planted('rollups_are_usage',
  $$insert into billing.credit_usage_daily (organization_id, usage_date, agent_type, action, amount, consumption_count)
    values (tests.id('Acme'), '2020-01-01', 'Ghost', 'haunt', 5, 1)$$, 'usage that never was');
select is(
  (select array_agg(distinct o.organization_id) from (select tests.id('Globex') as organization_id) as o
    where exists (select 1 from billing.verify_ledger(tests.id('Globex')))), null, 'none of which concerns Globex');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
