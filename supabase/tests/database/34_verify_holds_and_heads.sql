-- What else verify_ledger names: heads, holds, keys, refunds, completeness of entries. Each sabotage is planted behind the triggers' backs and taken
-- back, as in 31.

begin;
do $$ begin perform tests.take_ledger(); end $$;
select tests.story(20);
select tests.cast();
select tests.grant('Acme', 100, 'first', jsonb_build_object('expires_at', now() + interval '10 days'));
select tests.grant('Acme', 100, 'second');
select tests.grant('Acme', 5, 'later', jsonb_build_object('effective_at', now() + interval '5 days'));
select tests.as_user('Max');
select billing.hold_credits('Anything', 'do', amount => 20, idempotency_key => 'open');
select billing.capture_hold((billing.hold_credits('Anything', 'do', amount => 10, idempotency_key => 'captured')).hold_id, 4);
select billing.consume_credits('Anything', 'do', amount => 3, idempotency_key => 'a');
select billing.consume_credits('Anything', 'do', amount => 2, idempotency_key => 'b');
select tests.reset();
select billing.refund_consumption(
  (select t.id from billing.credit_transactions as t where t.organization_id = tests.id('Acme') and t.idempotency_key = 'b'), 1, 'customer', 'refund');
select tests.as_user('Max');
select billing.consume_credits('Anything', 'do', amount => 1, idempotency_key => 'c');
select billing.consume_credits('Anything', 'do', amount => 1, idempotency_key => 'd');
select tests.reset();
insert into billing.credit_approvals (organization_id, limit_id, status, window_start, created_at, resolved_at)
select l.organization_id, l.id, 'rejected', '-infinity', now(), now()
from billing.set_credit_limit('organization', tests.id('Acme')::text, 500, 'lifetime') as l;
select is_empty('select * from billing.verify_ledger()', 'a whole ledger has no violations');

create function pg_temp.finds(p_sabotage text) returns setof text language plpgsql as $$
declare
  v_found text[];
begin
  begin
    alter table billing.credit_transactions disable trigger credit_transactions_append_only;
    drop index billing.credit_transactions_idempotency_key_unique;
    execute replace(p_sabotage, ':acme', quote_literal(tests.id('Acme')));
    select array_agg(distinct v.invariant) into v_found from billing.verify_ledger() as v;
    raise exception using errcode = 'TB000';
  exception when sqlstate 'TB000' then
    return query select unnest(v_found);
  end;
end $$;
create function pg_temp.planted(p_invariant text, p_sabotage text, p_description text) returns text language sql as $$
  select ok(p_invariant in (select pg_temp.finds(p_sabotage)), p_description)
$$;

select is_empty($$select pg_temp.finds('select 1')$$, 'taking the guards away breaks nothing by itself');
select pg_temp.planted('head_follows_its_spends',
  $$update billing.credit_transactions set head_available = head_available + 1 where organization_id = :acme and idempotency_key = 'd'$$,
  'a head that did not pay');
select pg_temp.planted('head_is_used_before_it_turns',
  $$update billing.credit_transactions set turn_at = created_at where organization_id = :acme and idempotency_key = 'd'$$,
  'a head that was used after its time');
select pg_temp.planted('head_turns_in_time',
  $$update billing.credit_transactions set turn_at = 'infinity' where organization_id = :acme and idempotency_key = 'd'$$,
  'a tail that would not notice a grant''s end');
select pg_temp.planted('head_is_an_open_grant',
  $$update billing_private.credit_grant_lots set is_open = false where organization_id = :acme and source_reference = 'first'$$,
  'a head that is closed');
select pg_temp.planted('head_is_for_all_when_none_is_scoped',
  $$update billing_private.credit_grant_lots set agent_types = '{Writer}' where organization_id = :acme and source_reference = 'second'$$,
  'a scoped grant that spends would pass by');
select pg_temp.planted('held_moves_with_its_hold',
  $$update billing.credit_transactions set held_after = held_after + 1 where organization_id = :acme and idempotency_key = 'a'$$,
  'held credits that no hold has moved');
select pg_temp.planted('hold_is_booked',
  $$update billing.credit_holds set amount = amount + 1 where organization_id = :acme and idempotency_key = 'open'$$, 'a hold of more than was booked');
select pg_temp.planted('hold_is_booked',
  $$delete from billing.credit_holds where organization_id = :acme and idempotency_key = 'captured'$$, 'a hold that is gone');
select pg_temp.planted('capture_is_booked_once',
  $$update billing.credit_holds set captured_amount = 9 where organization_id = :acme and idempotency_key = 'captured'$$,
  'a capture of another amount');
select pg_temp.planted('claims_are_within_the_hold',
  $$update billing.credit_holds set metered = 21 where organization_id = :acme and idempotency_key = 'open'$$, 'a hold that metered more than it is');
select pg_temp.planted('claims_are_those_of_open_holds',
  $$update billing.credit_holds set grant_amounts = '{19}' where organization_id = :acme and idempotency_key = 'open'$$, 'a hold that forgot a claim');
select pg_temp.planted('a_key_has_one_effect',
  $$update billing.credit_transactions set idempotency_key = 'a' where organization_id = :acme and idempotency_key = 'b'$$, 'a key with two effects');
select pg_temp.planted('a_grant_begins_once',
  $$update billing.credit_transactions set grant_ids = (select t.grant_ids from billing.credit_transactions as t
      where t.organization_id = :acme and t.sequence = 1) where organization_id = :acme and sequence = 2$$, 'a grant that was given twice');
select pg_temp.planted('refunds_are_within_their_consumption',
  $$update billing.credit_transactions set amount = 5 where organization_id = :acme and kind = 'refund'$$, 'a refund of more than was spent');
select pg_temp.planted('amount_has_its_kinds_sign',
  $$update billing.credit_transactions set amount = 3 where organization_id = :acme and idempotency_key = 'a'$$, 'a consumption that gives');
select pg_temp.planted('consumption_names_agent_and_action',
  $$update billing.credit_transactions set action = null where organization_id = :acme and idempotency_key = 'a'$$, 'a consumption of nothing');
select pg_temp.planted('an_approval_is_decided_once',
  $$update billing.credit_approvals set resolved_at = null where organization_id = :acme$$, 'a decision without a date');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
