-- The same key is the same spend, for ever: charged once, answered again, and in conflict with anything else that is sent under it.

begin;
select tests.story(25);
select tests.cast();
select tests.grant('Acme', 50, 'start');
select tests.grant('Globex', 50, 'start');
create temporary table receipts (name text primary key, receipt billing.credit_receipt);
grant select, insert on receipts to public;

select tests.as_user('Max');
insert into receipts select 'first', r from billing.consume_credits('Writer', 'write', '{"input_tokens": 2000}', idempotency_key => 'run-1') as r;
insert into receipts select 'again', r from billing.consume_credits('Writer', 'write', '{"input_tokens": 2000}', idempotency_key => 'run-1') as r;
select is((select (receipt).replayed from receipts where name = 'first'), false, 'Max spends 6 under a key');
select is((select (receipt).replayed from receipts where name = 'again'), true, 'a retry is known as one');
select is(
  (select to_jsonb(receipt) - 'replayed' from receipts where name = 'again'), (select to_jsonb(receipt) - 'replayed' from receipts where name = 'first'),
  'and is answered with the first receipt');
select is((billing.get_credit_balance()).balance, 44::numeric, 'it was charged once');

select is(tests.refusal($$select billing.consume_credits('Writer', 'write', idempotency_key => 'run-1')$$) - 'hint',
  jsonb_build_object('sqlstate', 'PT409', 'message', 'idempotency_conflict', 'details',
    jsonb_build_object('transaction_id', (select (receipt).transaction_id from receipts where name = 'first'))),
  'other quantities under the key are a conflict, which names the first');
select throws_ok($$select billing.consume_credits('Painter', 'paint', idempotency_key => 'run-1')$$, 'PT409', 'idempotency_conflict', 'another action is one');
select throws_ok($$select billing.consume_credits('Writer', 'write', '{"input_tokens": 2000}', department_id => tests.id('Support'), idempotency_key => 'run-1')$$,
  'PT409', 'idempotency_conflict', 'another department is one');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => 6, idempotency_key => 'run-1')$$, 'PT409', 'idempotency_conflict',
  'the same amount by other means is one');
select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 7, idempotency_key => 'run-2')$$, 'another key is another spend');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => 8, idempotency_key => 'run-2')$$, 'PT409', 'idempotency_conflict',
  'whose amount is fixed too');
select is((billing.consume_credits('Anything', 'do', amount => 7.0, idempotency_key => 'run-2')).replayed, true, '7 and 7.0 are the same amount');

-- A key before a balance ----------------------------------------------------------------------------------------------

select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 37)$$, 'the rest is spent without a key');
select is((billing.get_credit_balance()).balance, 0::numeric, 'and nothing is left');
select is((billing.consume_credits('Writer', 'write', '{"input_tokens": 2000}', idempotency_key => 'run-1')).replayed, true,
  'a known key is answered nevertheless');
select throws_ok($$select billing.consume_credits('Writer', 'write', idempotency_key => 'run-3')$$, 'PT402', 'insufficient_credits', 'a new one is refused');
select tests.grant('Acme', 10, 'topup');
select is((billing.consume_credits('Writer', 'write', idempotency_key => 'run-3')).replayed, false, 'and may succeed later: a refusal is not remembered');
select tests.as_service();
select billing.set_agent_action_cost('Writer', 'write', 500);
select tests.as_user('Max');
select is((billing.consume_credits('Writer', 'write', idempotency_key => 'run-3')).amount, 5::numeric, 'a replay tells the price of its day');
select is((billing.explain_transaction((select (receipt).transaction_id from receipts where name = 'first'))).price,
  (select (receipt).price from receipts where name = 'first'), 'and so does explain_transaction');

-- Two organizations -------------------------------------------------------------------------------------------------

select tests.as_user('Mia');
select is((billing.consume_credits('Anything', 'do', amount => 10, idempotency_key => 'run-1')).replayed, false, 'Globex has a run-1 of its own');
select is((billing.get_credit_balance()).balance, 40::numeric, 'which it pays itself');

-- In a batch ----------------------------------------------------------------------------------------------------------

select results_eq(
  $$select b.index, b.ok, (b.receipt).replayed::text, b.error ->> 'message' from billing.consume_credits_batch('[
    {"agent_type": "Anything", "action": "do", "amount": 1, "idempotency_key": "b-1"},
    {"agent_type": "Anything", "action": "do", "amount": 1, "idempotency_key": "b-1"},
    {"agent_type": "Anything", "action": "do", "amount": 2, "idempotency_key": "b-1"},
    {"agent_type": "Anything", "action": "do", "amount": -1},
    {"agent_type": "Anything", "action": "do", "amount": 1000},
    {"agent_type": "Anything", "action": "do", "amount": "NaN"},
    {"agent_type": "Anything", "action": "do", "amount": 1, "role": "owner"}]', false) as b$$,
  $$values (0, true, 'false', null), (1, true, 'true', null), (2, false, null, 'idempotency_conflict'), (3, false, null, 'invalid_amount'),
    (4, false, null, 'insufficient_credits'), (5, false, null, 'invalid_amount'), (6, false, null, 'invalid_argument')$$,
  'a batch answers each of its spends as the single call would');
select is((billing.get_credit_balance()).balance, 39::numeric, 'of which one was charged');
select is(tests.refusal($$select * from billing.consume_credits_batch('[{"agent_type": "Anything", "action": "do", "amount": 1},
  {"agent_type": "Anything", "action": "do", "amount": 1000}]')$$) #>> '{details,index}', '1', 'all or nothing says which one failed');
select is((billing.get_credit_balance()).balance, 39::numeric, 'and charges nothing');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
