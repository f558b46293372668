-- Agents and members spend: charged exactly, refused whole, and told why.

begin;
select tests.story(50);
select tests.cast();
select tests.grant('Acme', 100, 'start');
create temporary table topup as select billing_private.topup_url(tests.id('Acme')) as url;
grant select on topup to public;

-- Prices ------------------------------------------------------------------------------------------------------

select tests.as_user('Max');
select is((billing.consume_credits('Writer', 'write')).amount, 5::numeric, 'an action has its price a call');
select is((billing.consume_credits('Writer', 'write', '{"input_tokens": 2000}')).amount, 6::numeric, 'plus what is counted');
select is((billing.consume_credits('Writer', 'write', '{"call": 2, "input_tokens": 1}')).amount, 10.0005::numeric, 'a call can be many');
select is(
  (billing.consume_credits('Writer', 'write', '{"input_tokens": 2}')).price #- '{rows,0,effective_from}' #- '{rows,1,effective_from}'
    #- '{rows,0,price_id}' #- '{rows,1,price_id}',
  '{"rows": [{"metric": "call", "credit_cost": 5, "quantity": 1, "amount": 5, "caller_priced": false},
    {"metric": "input_tokens", "credit_cost": 0.0005, "quantity": 2, "amount": 0.0010, "caller_priced": false}],
    "quantities": {"call": 1, "input_tokens": 2}, "exact_amount": 5.0010}',
  'the receipt tells how the price came about');
select throws_ok($$select billing.consume_credits('Writer', 'read')$$, 'PT422', 'unknown_action', 'an action without a price is unknown');
select throws_ok($$select billing.consume_credits('Nobody', 'write')$$, 'PT422', 'unknown_action', 'and so is an agent');
select throws_ok($$select billing.consume_credits('Writer', 'write', '{"pages": 3}')$$, 'PT422', 'invalid_argument', 'a metric without a price is an error');
select throws_ok($$select billing.consume_credits('Writer', 'write', amount => 1)$$, 'PT422', 'invalid_argument', 'the caller does not set a fixed price');
select throws_ok($$select billing.consume_credits('Writer', 'write', '{"input_tokens": -1}')$$, 'PT422', 'invalid_argument', 'nothing is counted backwards');
select throws_ok($$select billing.consume_credits('Writer', 'write', '{"input_tokens": "7"}')$$, 'PT422', 'invalid_argument', 'or in words');
select throws_ok($$select billing.consume_credits('Writer', 'write', '{"input_tokens": 1e400}')$$, 'PT422', 'invalid_argument', 'or without end');
select throws_ok($$select billing.consume_credits('Writer', 'write', '[1]')$$, 'PT422', 'invalid_argument', 'quantities have names');
select throws_ok($$select billing.consume_credits('Anything', 'do')$$, 'PT422', 'invalid_amount', 'a caller-priced action needs an amount');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => 0)$$, 'PT422', 'invalid_amount', 'that is not 0');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => -5)$$, 'PT422', 'invalid_amount', 'not negative, which would be a gift');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => 'NaN')$$, 'PT422', 'invalid_amount', 'a number');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => '-Infinity')$$, 'PT422', 'invalid_amount', 'and finite');
select is(
  tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 1e400)$$) -> 'details', '{"argument": "amount"}', 'the refusal names the argument');
select is((billing.consume_credits('Anything', 'do', amount => 0.0000001)).amount, 0.000001::numeric, 'rounding is up, at the sixth decimal, at the end');

select tests.as_service();
select lives_ok($$select billing.set_agent_action_cost('Writer', 'write', 1, organization_id => tests.id('Acme'))$$, 'Acme gets a price of its own');
select lives_ok($$select billing.set_agent_action_cost('Painter', 'paint', 30)$$, 'and painting becomes dearer for everybody');
select throws_ok($$select billing.set_agent_action_cost('Painter', 'paint', 'NaN')$$, 'PT422', 'invalid_amount', 'a price is a number');
select throws_ok($$select billing.set_agent_action_cost('Painter', 'paint', -1)$$, 'PT422', 'invalid_amount', 'and not negative');
select tests.as_user('Max');
select is((billing.consume_credits('Writer', 'write')).amount, 1::numeric, 'an organization''s own price wins');
select is((billing.consume_credits('Painter', 'paint')).amount, 30::numeric, 'the price in force is charged');
select throws_ok($$select billing.set_agent_action_cost('Painter', 'paint', 0)$$, '42501', null, 'Max cannot set it');
select throws_ok($$update billing.agent_action_costs set credit_cost = 0$$, '42501', null, 'nor write it');

-- Arguments ---------------------------------------------------------------------------------------------------

select throws_ok($$select billing.consume_credits('', 'write')$$, 'PT422', 'invalid_argument', 'an agent type has a name');
select throws_ok($$select billing.consume_credits(null, null)$$, 'PT422', 'invalid_argument', 'which is not null');
select throws_ok($$select billing.consume_credits('Writer', 'write', idempotency_key => '')$$, 'PT422', 'invalid_argument', 'a key is not empty');
select throws_ok($$select billing.consume_credits('Writer', 'write', idempotency_key => repeat('k', 256))$$, 'PT422', 'invalid_argument', 'nor longer than 255');
select throws_ok($$select billing.consume_credits('Writer', 'write', idempotency_key => E'a\tb')$$, 'PT422', 'invalid_argument', 'and can be printed');
select lives_ok($$select billing.consume_credits('Writer', 'write', idempotency_key => repeat('ß', 255))$$, '255 characters may be any');
select throws_ok($$select billing.consume_credits('Writer', 'write', metadata => '[]')$$, 'PT422', 'invalid_argument', 'metadata is an object');
select throws_ok($$select billing.consume_credits('Writer', 'write', metadata => jsonb_build_object('x', repeat('x', 8192)))$$, 'PT413', 'metadata_too_large',
  'of at most 8 kB');
select is(tests.refusal($$select billing.consume_credits('Writer', 'write', metadata => '{"x": 1e100000}')$$) ->> 'message', 'metadata_too_large',
  'as it is written out');

-- Refusals ------------------------------------------------------------------------------------------------------

select is((billing.get_credit_balance()).balance, 41.998499::numeric, 'so far Max has spent 58.001501');
select is(
  tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 42)$$),
  jsonb_build_object('sqlstate', 'PT402', 'message', 'insufficient_credits', 'hint', '', 'details', jsonb_build_object(
    'required', 42.000000, 'available', 41.998499, 'shortfall', 0.001501, 'balance', 41.998499, 'held', 0.000000,
    'topup_url', (select url from topup))),
  'too much is refused whole, with what is missing and where to get it');
select is((billing.get_credit_balance()).balance, 41.998499::numeric, 'and takes nothing');
select is((billing.consume_credits('Anything', 'do', amount => 41.998499)).balance, 0::numeric, 'exactly all is not too much');
select is((billing.check_credits('Writer', 'write')).reason, 'insufficient_credits', 'after which check_credits tells beforehand');
select is((billing.get_credit_balance()).is_blocked, true, 'and the organization is blocked');
select tests.grant('Acme', 10, 'again');
select tests.reset();
update billing.organizations set restricted_reason = 'past_due' where organization_id = tests.id('Acme');
select tests.as_user('Max');
select is(tests.refusal($$select billing.consume_credits('Writer', 'write')$$) - 'hint',
  '{"sqlstate": "PT402", "message": "billing_restricted", "details": {"reason": "past_due"}}', 'a restricted organization spends nothing');

-- For whom ------------------------------------------------------------------------------------------------------

select tests.reset();
update billing.organizations set restricted_reason = null where organization_id = tests.id('Acme');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.consume_credits('Writer', 'write', organization_id => tests.id('Acme'))$$),
  tests.refusal($$select billing.consume_credits('Writer', 'write', organization_id => gen_random_uuid())$$), 'Otto spends nothing of Acme''s');
select tests.as_user('Mona');
select throws_ok($$select billing.consume_credits('Writer', 'write', department_id => tests.id('Support'))$$, 'PT403', 'not_authorized',
  'Mona spends for Marketing alone');
select lives_ok($$select billing.consume_credits('Writer', 'write')$$, 'and for Marketing even if she says nothing');
select is((select department_id from billing.credit_usage), tests.id('Marketing'), 'as her own usage shows');
select tests.as_user('Max');
select throws_ok($$select billing.consume_credits('Writer', 'write', department_id => tests.id('Research'))$$, 'PT403', 'not_authorized',
  'Max names no department of Globex');
select tests.as_user('Max', '{"client_id": "some-app"}');
select throws_ok($$select billing.consume_credits('Writer', 'write')$$, 'PT403', 'not_authorized', 'an app on his behalf does not spend');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
