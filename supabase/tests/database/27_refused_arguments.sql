-- What is no argument is said by name, in every call that takes it, and nothing happens. One line a check: with the check left out, its line fails.

begin;
create function pg_temp.refused(p_sql text) returns text language sql as $$
  select concat_ws(' ', r ->> 'message', r -> 'details' ->> 'argument', r -> 'details' ->> 'what', r -> 'details' ->> 'row') from tests.refusal(p_sql) as r
$$;
grant execute on function pg_temp.refused(text) to public;
create temporary table made (name text, id uuid);
grant all on made to public;
create function pg_temp.made(p_name text) returns uuid language sql as $$ select m.id from made as m where m.name = p_name $$;
grant execute on function pg_temp.made(text) to public;

select tests.story(209);
select tests.cast();
select tests.grant('Acme', 5000, 'start');
select tests.grant('Globex', 5000, 'start');

-- Spends and holds --------------------------------------------------------------------------------------------

select tests.as_service();
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint')$$), 'invalid_argument organization_id', 'a service names the organization');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', organization_id => gen_random_uuid())$$), 'not_found organization', 'which is there');
select is(pg_temp.refused($$select billing.check_credits('Painter', 'paint', organization_id => gen_random_uuid())$$), 'not_found organization', 'a check says so, too');
select is(pg_temp.refused($$select billing.check_credits('Anything', 'do', amount => 1e14, organization_id => tests.id('Acme'))$$), 'invalid_amount amount', 'and what no amount is');
select is(pg_temp.refused($$select billing.hold_credits('Painter', 'dance', organization_id => tests.id('Acme'))$$), 'unknown_action action', 'a hold is of an action with a price');
select is(pg_temp.refused($$select billing.hold_credits('Anything', 'do', amount => 1000000, organization_id => tests.id('Acme'))$$), 'insufficient_credits', 'for what there is');
select is(pg_temp.refused($$select billing.hold_credits('Writer', 'write', '{"pages": 2}', organization_id => tests.id('Acme'))$$), 'invalid_argument quantities', 'of metrics with one');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'dance', organization_id => tests.id('Acme'))$$), 'unknown_action action', 'the action has a price');
select is(pg_temp.refused($$select billing.consume_credits('Anything', 'do', amount => 'NaN', organization_id => tests.id('Acme'))$$), 'invalid_amount amount', 'an amount is a number');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', amount => -1, organization_id => tests.id('Acme'))$$), 'invalid_amount amount', 'even where it is not asked for');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', amount => 1, organization_id => tests.id('Acme'))$$), 'invalid_argument amount', 'as it is not here');
select is(pg_temp.refused($$select billing.consume_credits('Writer', 'write', '{"pages": 2}', organization_id => tests.id('Acme'))$$), 'invalid_argument quantities', 'a metric has a price');
select is(pg_temp.refused($$select billing.consume_credits('Writer', 'write', '[1]', organization_id => tests.id('Acme'))$$), 'invalid_argument quantities', 'quantities are an object');
select is(pg_temp.refused($$select billing.consume_credits('Writer', 'write', '{"input_tokens": -1}', organization_id => tests.id('Acme'))$$), 'invalid_argument quantities', 'of numbers from 0 on');
select is(pg_temp.refused($$select billing.check_credits('Writer', 'write', '{"pages": 2}', organization_id => tests.id('Acme'))$$), 'invalid_argument quantities', 'a check says the same of a metric');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', organization_id => tests.id('Acme'), metadata => '[]')$$), 'invalid_argument metadata', 'metadata is an object');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', organization_id => tests.id('Acme'), metadata => jsonb_build_object('x', repeat('x', 8200)))$$),
  'metadata_too_large', 'of at most 8 kB');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', organization_id => tests.id('Acme'), idempotency_key => ' ')$$),
  'invalid_argument idempotency_key', 'a key has printable characters');
select is(pg_temp.refused($$select billing.consume_credits_batch('[{"agent_type": "Painter", "action": "paint", "price": 1}]', organization_id => tests.id('Acme'))$$),
  'invalid_argument events', 'an event has the arguments of a spend and no others');
select is(pg_temp.refused($$select billing.consume_credits_batch(jsonb_build_array(jsonb_build_object('agent_type', 'Painter', 'action', 'paint', 'organization_id', tests.id('Globex'))),
  organization_id => tests.id('Acme'))$$), 'invalid_argument organization_id', 'and is of the batch''s organization');
select is(pg_temp.refused($$select billing.hold_credits('Painter', 'paint', organization_id => tests.id('Acme'), expires_in => '0')$$), 'invalid_argument expires_in', 'a hold lasts');
select is(pg_temp.refused($$select billing.hold_credits('Painter', 'paint', organization_id => tests.id('Acme'), expires_in => '31 days')$$), 'invalid_argument expires_in', 'for 30 days at most');
insert into made select 'hold', (billing.hold_credits('Anything', 'do', amount => 5, organization_id => tests.id('Acme'), idempotency_key => 'hold')).hold_id;
select is(pg_temp.refused($$select billing.hold_credits('Anything', 'do', amount => 6, organization_id => tests.id('Acme'), idempotency_key => 'hold')$$), 'idempotency_conflict',
  'its key is for one amount');
select is(pg_temp.refused($$select billing.extend_hold(pg_temp.made('hold'), expires_in => '-1 second')$$), 'invalid_argument expires_in', 'an extension lasts, too');
select is(pg_temp.refused($$select billing.extend_hold(pg_temp.made('hold'), metered => 6)$$), 'invalid_amount metered', 'and no more is metered than is held');
select is(pg_temp.refused($$select billing.capture_hold(pg_temp.made('hold'), 1, idempotency_key => '')$$), 'invalid_argument idempotency_key', 'a capture has a key or none');
select is(pg_temp.refused($$select billing.capture_hold(pg_temp.made('hold'), 1, '{"call": 1}')$$), 'invalid_argument amount', 'and an amount or quantities');
insert into made select 'taken', (billing.hold_credits('Anything', 'do', amount => 5, organization_id => tests.id('Acme'))).hold_id;
select is(pg_temp.refused($$select billing.capture_hold(pg_temp.made('taken'), 1, idempotency_key => 'take')$$), '', 'one hold is captured');
select is(pg_temp.refused($$select billing.capture_hold(pg_temp.made('hold'), 1, idempotency_key => 'take')$$), 'idempotency_conflict', 'which is no capture of another');
select tests.reset();
create temporary table policies as select over_capture_policy from billing.organizations where organization_id = tests.id('Acme');
update billing.organizations set over_capture_policy = 'allow_debt' where organization_id = tests.id('Acme');
select billing.set_credit_limit('run', 'over', 6, 'lifetime', organization_id => tests.id('Acme'));
insert into made select 'over', (billing.hold_credits('Anything', 'do', amount => 5, organization_id => tests.id('Acme'), run_id => 'over')).hold_id;
select is(pg_temp.refused($$select billing.capture_hold(pg_temp.made('over'), 8)$$), 'limit_exceeded', 'who may owe stays within limits all the same');
update billing.organizations set over_capture_policy = p.over_capture_policy from policies as p where organization_id = tests.id('Acme');
select tests.as_service();
select tests.as_user('Max');
select is(pg_temp.refused($$select billing.release_hold(pg_temp.made('hold'))$$), 'not_found hold', 'the hold of another is not there for Max');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', department_id => tests.id('Research'))$$), 'not_authorized', 'nor is a department of elsewhere');
select tests.as_user('Max', '{"client_id": "some-app"}');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint')$$), 'not_authorized', 'an application spends nothing of his');
select tests.as_user('Max');
select tests.reset();
update billing.organizations set restricted_reason = 'paused', restricted_from = now() where organization_id = tests.id('Globex');
select tests.as_user('Mia');
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint')$$), 'billing_restricted', 'who is paused spends nothing');
select is(pg_temp.refused($$select billing.hold_credits('Painter', 'paint')$$), 'billing_restricted', 'and holds nothing');

-- Grants --------------------------------------------------------------------------------------------------------

select tests.as_service();
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 0, 'promotion', 'x')$$), 'invalid_amount amount', 'a grant is above 0');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 0.0000001, 'promotion', 'x')$$), 'invalid_amount amount', 'in millionths');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 1, 'luck', 'x')$$), 'invalid_argument source', 'from a known source');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', '')$$), 'invalid_argument source_reference', 'with a reference');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', 'x', unit_cost => -1)$$), 'invalid_amount unit_cost', 'at a cost of at least 0');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', 'x', agent_types => '{}')$$), 'invalid_argument agent_types', 'for some agent types');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', 'x', expires_at => now() + interval '1 day', effective_at => now() + interval '2 days')$$),
  'invalid_argument expires_at', 'ending after it begins');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 1, 'promotion', 'x', department_id => tests.id('Research'))$$), 'not_found department', 'in a department of its own');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Acme'), 4999, 'promotion', 'start')$$), 'idempotency_conflict', 'its reference is for one amount');
select is(pg_temp.refused($$select billing.grant_credits_bulk('', '[{}]')$$), 'invalid_argument batch_key', 'a batch has a key');
select is(pg_temp.refused($$select billing.grant_credits_bulk('b', '{}')$$), 'invalid_argument grants', 'and is an array');
select is(pg_temp.refused($$select billing.grant_credits_bulk('b', '[{"nonsense": 1}]')$$), 'invalid_argument grants 0', 'of the arguments of a grant');
select is(pg_temp.refused($$select billing.grant_credits_bulk('b', '[{"organization_id": "nobody"}]')$$), 'invalid_argument grants 0', 'each of its type');
create function pg_temp.bulk(p_more jsonb) returns text language sql as $$
  select pg_temp.refused(format('select billing.grant_credits_bulk(%L, %L)', 'more' || p_more::text, jsonb_build_array(jsonb_build_object(
    'organization_id', tests.id('Acme'), 'amount', 1, 'source', 'promotion', 'source_reference', p_more::text) || p_more)))
$$;
grant execute on function pg_temp.bulk(jsonb) to public;
select is(pg_temp.bulk('{"amount": 0}'), 'invalid_amount amount 0', 'a row is judged like a grant: its amount');
select is(pg_temp.bulk('{"metadata": []}'), 'invalid_argument metadata 0', 'its metadata');
select is(pg_temp.bulk('{"effective_at": "2031-01-01", "expires_at": "2030-01-01"}'), 'invalid_argument expires_at 0', 'and its time');
create function pg_temp.bulk_of_two(p_first text, p_second text, p_more jsonb) returns text language sql as $$
  select pg_temp.refused(format('select billing.grant_credits_bulk(%L, %L)', p_first || p_more::text, (
    select jsonb_agg(jsonb_build_object('organization_id', tests.id(o.name), 'amount', 1, 'source', 'promotion') || p_more order by o.place)
    from (values (1, p_first), (2, p_second)) as o (place, name))))
$$;
grant execute on function pg_temp.bulk_of_two(text, text, jsonb) to public;
select is(pg_temp.bulk_of_two('Acme', 'Globex', '{"amount": 0}'), 'invalid_amount amount 0', 'of two bad rows the first is named');
select is(pg_temp.bulk_of_two('Globex', 'Acme', '{"amount": 0}'), 'invalid_amount amount 0', 'whichever organization it is of');
select is(pg_temp.bulk_of_two('Acme', 'Globex', '{"expires_at": "2001-01-01"}'), 'invalid_argument expires_at 0', 'also for its time');
select is(pg_temp.bulk_of_two('Globex', 'Acme', '{"expires_at": "2001-01-01"}'), 'invalid_argument expires_at 0', 'in either order');
select is(pg_temp.bulk_of_two('Acme', 'Globex', '{"metadata": []}'), 'invalid_argument metadata 0', 'and for its metadata');
select is(pg_temp.bulk_of_two('Globex', 'Acme', '{"metadata": []}'), 'invalid_argument metadata 0', 'in either, too');
select is(pg_temp.bulk('{"priority": 5}'), '', 'a good one is granted');
select is(pg_temp.refused($$select billing.grant_credits_bulk('more{"priority": 5}', jsonb_build_array(jsonb_build_object(
  'organization_id', tests.id('Acme'), 'amount', 2, 'source', 'promotion', 'source_reference', 'other')))$$), 'idempotency_conflict', 'once under its key');
select is(pg_temp.refused($$select billing.grant_trial(tests.id('Acme'), 0, now() + interval '1 day', 'trial')$$), 'invalid_amount amount', 'a trial is above 0');
select is(pg_temp.refused($$select billing.grant_trial(tests.id('Acme'), 5, now() + interval '1 day', '')$$), 'invalid_argument reference', 'has a reference');
select is(pg_temp.refused($$select billing.grant_trial(tests.id('Acme'), 5, now() + interval '1 day', 'trial', '')$$), 'invalid_argument card_fingerprint', 'a card or none');
select is(pg_temp.refused($$select billing.grant_trial(tests.id('Acme'), 5, 'infinity', 'trial')$$), 'invalid_argument ends_at', 'and an end');
select is(pg_temp.refused($$select billing.grant_trial(tests.id('Acme'), 5, now() + interval '1 day', 'trial')$$), '', 'such a one is granted');
select is(pg_temp.refused($$select billing.grant_trial(tests.id('Acme'), 6, now() + interval '1 day', 'trial')$$), 'idempotency_conflict', 'and is no other');
select is(pg_temp.refused($$select billing.void_grant(gen_random_uuid(), 'x')$$), 'not_found grant', 'a grant that is voided is there');
select is(pg_temp.refused($$select billing.void_grant(g.id, '') from billing.credit_grants as g where g.source_reference = 'start' limit 1$$), 'invalid_argument reason', 'for a reason');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Globex'), 60000000000000, 'promotion', 'later', effective_at => now() + interval '1 day')$$), '', 'much may come later');
select is(pg_temp.refused($$select billing.grant_credits(tests.id('Globex'), 60000000000000, 'promotion', 'latest', effective_at => now() + interval '2 days')$$),
  'invalid_amount amount', 'but no more than a balance holds');
select is(pg_temp.refused($$select billing.adjust_credits(tests.id('Acme'), 0, 'x', 'adjust')$$), 'invalid_amount delta', 'a correction is not 0');
select is(pg_temp.refused($$select billing.adjust_credits(tests.id('Acme'), -0.0000001, 'x', 'adjust')$$), 'invalid_amount delta', 'and in millionths');
select is(pg_temp.refused($$select billing.adjust_credits(tests.id('Acme'), 5, 'x', '')$$), 'invalid_argument idempotency_key', 'with a key');
insert into made select 'clocked', (billing.create_organization('Clocked', tests.id('Otto'))).organization_id;
select is(pg_temp.refused($$select billing.grant_credits(pg_temp.made('clocked'), 60000000000000, 'promotion')$$), '', 'much may be there');
select is(pg_temp.refused($$select billing.adjust_credits(pg_temp.made('clocked'), 60000000000000, 'x', 'k')$$), 'invalid_amount delta', 'and is not corrected to more than a balance holds');
select is(pg_temp.refused($$select billing.create_promotion_code('STORY', 5, 10, now() + interval '1 day')$$), '', 'a code');
select is(pg_temp.refused($$select billing.create_promotion_code('STORY', 6, 10, now() + interval '1 day')$$), 'conflict code', 'has one set of terms');
select is(pg_temp.refused($$select billing.erase_user(gen_random_uuid())$$), 'not_found user', 'and so is a person who is erased');
select is(pg_temp.refused($$select billing.erase_user(gen_random_uuid(), '')$$), 'invalid_argument reason', 'with a reason or without');
select is(pg_temp.refused($$select billing.erase_address('')$$), 'invalid_argument email', 'an address is something');
select is(pg_temp.refused($$select billing.erase_address('a@b.test', '')$$), 'invalid_argument reason', 'and its reason, too');

-- Credit ------------------------------------------------------------------------------------------------------

select is(pg_temp.refused($$select billing.set_spending_policy(tests.id('Acme'), '', 5)$$), 'invalid_argument reason', 'credit is given for a reason');
select is(pg_temp.refused($$select billing.set_spending_policy(tests.id('Acme'), 'x', -1)$$), 'invalid_amount overdraft_limit', 'of 0 or more');
select is(pg_temp.refused($$select billing.set_spending_policy(tests.id('Acme'), 'x', 0.0000001)$$), 'invalid_amount overdraft_limit', 'in millionths');
select is(pg_temp.refused($$select billing.set_spending_policy(tests.id('Acme'), 'x', 5, 'allow')$$), 'invalid_argument over_capture_policy', 'by a known policy');
select is(pg_temp.refused($$select billing.set_spending_policy(gen_random_uuid(), 'x', 5)$$), 'not_found organization', 'to an organization that is there');

-- Refunds, transfers, approvals -------------------------------------------------------------------------------

insert into made select 'spent', (billing.consume_credits('Painter', 'paint', organization_id => tests.id('Acme'))).transaction_id;
select is(pg_temp.refused($$select billing.refund_consumption(pg_temp.made('spent'), 5, 'customer')$$), 'invalid_argument idempotency_key', 'a refund has a key');
select is(pg_temp.refused($$select billing.refund_consumption(pg_temp.made('spent'), 5, 'mood', 'k')$$), 'invalid_argument reason', 'and a known reason');
select is(pg_temp.refused($$select billing.refund_consumption(pg_temp.made('spent'), 0.0000001, 'customer', 'k')$$), 'invalid_amount amount', 'is in millionths');
select is(pg_temp.refused($$select billing.refund_consumption(pg_temp.made('spent'), 26, 'customer', 'k')$$), 'refund_exceeds_consumption', 'and not above what was spent');
select is(pg_temp.refused($$select billing.refund_consumption(pg_temp.made('spent'), 5, 'customer', 'k')$$), '', 'one of 5');
select is(pg_temp.refused($$select billing.refund_consumption(pg_temp.made('spent'), 6, 'customer', 'k')$$), 'idempotency_conflict', 'is none of 6 under its key');
select tests.as_user('Olivia');
select is(pg_temp.refused($$select billing.transfer_credits(null, tests.id('Marketing'), 0, 't')$$), 'invalid_amount amount', 'a transfer is above 0');
select is(pg_temp.refused($$select billing.transfer_credits(null, tests.id('Marketing'), 0.0000001, 't')$$), 'invalid_amount amount', 'in millionths');
select is(pg_temp.refused($$select billing.transfer_credits(null, tests.id('Marketing'), 5, '')$$), 'invalid_argument idempotency_key', 'has a key');
select is(pg_temp.refused($$select billing.transfer_credits(tests.id('Marketing'), tests.id('Marketing'), 5, 't')$$), 'invalid_argument to_department_id', 'goes elsewhere');
select is(pg_temp.refused($$select billing.transfer_credits(tests.id('Marketing'), tests.id('Research'), 5, 't')$$), 'not_authorized', 'but not out of the organization');
select is(pg_temp.refused($$select billing.transfer_credits(tests.id('Research'), tests.id('Marketing'), 5, 't')$$), 'not_authorized', 'nor into it');
select is(pg_temp.refused($$select billing.transfer_credits(null, tests.id('Marketing'), 5, 't')$$), '', 'one of 5');
select is(pg_temp.refused($$select billing.transfer_credits(null, tests.id('Marketing'), 6, 't')$$), 'idempotency_conflict', 'is none of 6 under its key');
insert into made select 'limit', l.id from billing.set_credit_limit('run', 'asks', 1, 'lifetime', 'ask', organization_id => tests.id('Acme')) as l;
select is(pg_temp.refused($$select billing.consume_credits('Painter', 'paint', run_id => 'asks')$$), 'approval_required', 'a limit asks');
select is(pg_temp.refused($$select billing.hold_credits('Painter', 'paint', run_id => 'asks')$$), 'approval_required', 'before a hold, too');
select is(pg_temp.refused($$select billing.check_credits('Painter', 'paint', run_id => 'asks')$$), '', 'which a check answers');
insert into made
select 'approval', ((tests.refusal($$select billing.consume_credits('Painter', 'paint', run_id => 'asks')$$) -> 'details') ->> 'approval_id')::uuid;
select is(pg_temp.refused($$select billing.resolve_approval(pg_temp.made('approval'), null)$$), 'invalid_argument approve', 'yes or no');
select is(pg_temp.refused($$select billing.resolve_approval(pg_temp.made('approval'), true, -1)$$), 'invalid_amount additional', 'more is above 0');
select is(pg_temp.refused($$select billing.resolve_approval(pg_temp.made('approval'), false, 5)$$), 'invalid_amount additional', 'and comes with a yes');
select is(pg_temp.refused($$select billing.resolve_approval(pg_temp.made('approval'), true, 25)$$), '', 'a yes');
select is(pg_temp.refused($$select billing.resolve_approval(pg_temp.made('approval'), false)$$), 'conflict approved', 'is no no');
select is(pg_temp.refused(format('select billing.resolve_approval(%L, true)', overlay(pg_temp.made('approval')::text
  placing translate(substr(pg_temp.made('approval')::text, 16, 3), '0123456789abcdef', '123456789abcdef0') from 16))), 'not_found approval',
  'where no limit asks, nothing is decided');

-- Prices and limits ---------------------------------------------------------------------------------------------

select tests.as_service();
select is(pg_temp.refused($$select billing.set_agent_action_cost('', 'paint', 1)$$), 'invalid_argument agent_type', 'a price is of an agent type');
select is(pg_temp.refused($$select billing.set_agent_action_cost('Painter', '', 1)$$), 'invalid_argument action', 'an action');
select is(pg_temp.refused($$select billing.set_agent_action_cost('Painter', 'paint', 1, '')$$), 'invalid_argument metric', 'and a metric');
select is(pg_temp.refused($$select billing.set_agent_action_cost('Painter', 'paint', -1)$$), 'invalid_amount credit_cost', 'of at least 0');
select is(pg_temp.refused($$select billing.set_agent_action_cost('Painter', 'paint', 0.000000000000000000001)$$), 'invalid_amount credit_cost', 'in twenty decimals at most');
select is(pg_temp.refused($$select billing.set_agent_action_cost('Painter', 'paint', 5, effective_from => 'infinity')$$), 'invalid_argument effective_from', 'from an instant on');
select is(pg_temp.refused($$select billing.set_agent_action_cost('Painter', 'paint', 5, caller_priced => true)$$), 'invalid_argument caller_priced', 'or the caller''s');
select is(pg_temp.refused($$select billing.set_agent_action_cost('Painter', 'paint', 5, organization_id => gen_random_uuid())$$), 'not_found organization', 'an organization''s own is of one that is there');
select is(pg_temp.refused($$select billing.set_credit_limit('run', '', 1, 'day', organization_id => tests.id('Acme'))$$), 'invalid_argument subject_id', 'a limit has a subject');
select is(pg_temp.refused($$select billing.set_credit_limit('planet', 'x', 1, 'day', organization_id => tests.id('Acme'))$$), 'invalid_argument subject_type', 'of a known type');
select is(pg_temp.refused($$select billing.set_credit_limit('run', 'x', -1, 'day', organization_id => tests.id('Acme'))$$), 'invalid_amount amount', 'is at least 0');
select is(pg_temp.refused($$select billing.set_credit_limit('run', 'x', 1, 'hour', organization_id => tests.id('Acme'))$$), 'invalid_argument window', 'in a window');
select is(pg_temp.refused($$select billing.set_credit_limit('run', 'x', 1, 'day', 'polite', organization_id => tests.id('Acme'))$$), 'invalid_argument mode', 'in a mode');
select is(pg_temp.refused($$select billing.set_credit_limit('run', 'x', 1, 'day', timezone => 'Mars/Olympus', organization_id => tests.id('Acme'))$$), 'invalid_argument timezone', 'in a zone');
select is(pg_temp.refused($$select billing.set_credit_limit('run', 'x', 1, 'day', alert_at => '{2}', organization_id => tests.id('Acme'))$$), 'invalid_argument alert_at', 'and tells at shares');
select is(pg_temp.refused($$select billing.set_request_limit('invite_member', 5, reason => '')$$), 'invalid_argument reason', 'a limit of requests has a reason or none');
select is(pg_temp.refused($$select billing.set_subscription_plan('No plan', '{}')$$), 'invalid_argument key', 'a plan has a key');
select is(pg_temp.refused($$select billing.set_subscription_plan('plan', '{"name": "x", "unit_amount": 0, "credits_per_period": 1, "price": 5}')$$),
  'invalid_argument terms', 'and known terms');

-- Reading -------------------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
select is(pg_temp.refused($$select billing.get_credit_balance(tests.id('Acme'), 'infinity')$$), 'invalid_argument as_of', 'a balance is of an instant');
select is(pg_temp.refused($$select billing.get_usage_timeseries(tests.id('Acme'), '2026-02-01', '2026-01-01')$$), 'invalid_argument to', 'time goes on');
select is(pg_temp.refused($$select billing.get_usage_timeseries(tests.id('Acme'), '2026-01-01', '2027-01-01', 'hour')$$), 'invalid_argument to', 'hours are for 92 days');
select is(pg_temp.refused($$select billing.get_usage_timeseries(tests.id('Acme'), '2026-01-01', '2026-02-01', 'year')$$), 'invalid_argument bucket', 'buckets are known');
select is(pg_temp.refused($$select billing.get_usage_timeseries(tests.id('Acme'), '2026-01-01', '2026-02-01', 'day', 'Mars/Olympus')$$), 'invalid_argument timezone', 'and zones');
select is(pg_temp.refused($$select billing.get_usage_breakdown(tests.id('Acme'), '2026-01-01', '2026-02-01', 'colour')$$), 'invalid_argument group_by', 'and groups');
select is(pg_temp.refused($$select * from billing.verify_ledger()$$), 'not_authorized', 'the service alone verifies everybody');

-- People and keys -----------------------------------------------------------------------------------------------

select is(pg_temp.refused($$select billing.create_department(tests.id('Acme'), ' ')$$), 'invalid_argument name', 'a department has a name');
select is(pg_temp.refused($$select billing.invite_member(tests.id('Acme'), 'a@story.test', 'member', reason => '')$$), 'invalid_argument reason', 'a reason is said or not');
select is(pg_temp.refused($$select billing.invite_member(tests.id('Acme'), 'a@story.test', 'king')$$), 'invalid_argument role', 'roles are known');
select is(pg_temp.refused($$select billing.invite_member(tests.id('Acme'), 'a@story.test', 'member', tests.id('Research'))$$), 'not_authorized', 'departments are one''s own');
select is(pg_temp.refused($$select billing.invite_member(tests.id('Acme'), 'nobody', 'member')$$), 'invalid_argument email', 'an address has two sides');
select is(pg_temp.refused($$select billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'king')$$), 'invalid_argument role', 'a changed role is known');
select is(pg_temp.refused($$select billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'member', tests.id('Research'))$$), 'not_authorized', 'in a department of one''s own');
select is(pg_temp.refused($$select billing.transfer_ownership(tests.id('Acme'), tests.id('Olivia'))$$), 'invalid_argument user_id', 'ownership goes to another');
select is(pg_temp.refused($$select billing.transfer_ownership(tests.id('Acme'), null)$$), 'invalid_argument user_id', 'and to somebody');
insert into made select 'invitation', i.invitation_id from billing.invite_member(tests.id('Acme'), 'sam@story.test', 'member') as i;
select is(pg_temp.refused($$select billing.revoke_invitation(pg_temp.made('invitation'), '')$$), 'invalid_argument reason', 'an invitation is withdrawn with a reason or without');
create temporary table keys as select k.key_id from billing.create_agent_key(tests.id('Acme'), 'painter') as k;
grant all on keys to public;
select is(pg_temp.refused($$select billing.rotate_agent_key(k.key_id, '91 days') from keys as k$$), 'invalid_argument overlap', 'two keys are good for 90 days at most');
select is(pg_temp.refused($$select billing.rotate_agent_key(k.key_id, '1 day', '') from keys as k$$), 'invalid_argument reason', 'with a reason or without');
select is(pg_temp.refused($$select billing.revoke_agent_key(k.key_id, '') from keys as k$$), 'invalid_argument reason', 'as a key is revoked');
select is(pg_temp.refused($$select billing.create_agent_key(tests.id('Acme'), 'x', reason => '')$$), 'invalid_argument reason', 'or made');
select tests.as_service();
select is(pg_temp.refused($$select billing.revoke_agent_key('nokey')$$), 'not_found agent_key', 'the service hears that there is none');
select is(pg_temp.refused($$select billing.revoke_invitation(gen_random_uuid())$$), 'not_found invitation', 'and of no invitation');
select tests.reset();
update billing.invitations set accepted_at = now() where id = pg_temp.made('invitation');
select tests.as_user('Olivia');
select is(pg_temp.refused($$select billing.revoke_invitation(pg_temp.made('invitation'))$$), 'conflict accepted', 'one that was accepted is a member');
select tests.as_service();
create function pg_temp.sync(p_members text, p_name text default 'Mirror', p_reason text default null) returns text language sql as $$
  select pg_temp.refused(format('select billing.sync_organization(%L, %L, %L, %L)', '00000000-0000-4000-8000-00000000002a', p_name, p_members, p_reason))
$$;
grant execute on function pg_temp.sync(text, text, text) to public;
select is(pg_temp.sync(jsonb_build_array(jsonb_build_object('user_id', tests.id('Sam'), 'role', 'owner'))::text, ''), 'invalid_argument name', 'a mirrored organization has a name');
select is(pg_temp.sync(jsonb_build_array(jsonb_build_object('user_id', tests.id('Sam'), 'role', 'owner'))::text, 'Mirror', ''), 'invalid_argument reason', 'a reason or none');
select is(pg_temp.sync('{}'), 'invalid_argument members', 'an array of members');
select is(pg_temp.sync('[{"user_id": "x", "role": "owner"}]'), 'invalid_argument members', 'who are people');
select is(pg_temp.sync(jsonb_build_array(jsonb_build_object('user_id', tests.id('Sam'), 'role', 'owner'), jsonb_build_object('user_id', tests.id('Sam'), 'role', 'member'))::text),
  'invalid_argument members', 'named once');
select is(pg_temp.sync(jsonb_build_array(jsonb_build_object('user_id', tests.id('Sam'), 'role', 'member'))::text), 'conflict last_owner', 'one of whom owns it');
select is(pg_temp.sync(jsonb_build_array(jsonb_build_object('user_id', gen_random_uuid(), 'role', 'owner'))::text), 'not_found user', 'and who are there');
select is(pg_temp.refused($$select billing.sync_organization(null, 'Mirror', '[]')$$), 'invalid_argument organization_id', 'it has the application''s id');
select is(pg_temp.sync(jsonb_build_array(jsonb_build_object('user_id', tests.id('Sam'), 'role', 'owner', 'department_id', tests.id('Research')))::text), 'not_authorized',
  'and departments of its own');
select is(pg_temp.sync(jsonb_build_array(jsonb_build_object('user_id', tests.id('Sam'), 'role', 'owner'))::text), '', 'such a one is made');
select tests.as_user('Sam');
select is(pg_temp.refused($$select billing.invite_member('00000000-0000-4000-8000-00000000002a', 'a@story.test', 'member')$$), 'conflict mirrored', 'whose owner invites elsewhere');
select tests.reset();
update billing.organizations set is_mirrored = false where organization_id = '00000000-0000-4000-8000-00000000002a';
select tests.as_user('Sam');
create temporary table tokens as select i.token from billing.invite_member('00000000-0000-4000-8000-00000000002a', 'max@story.test', 'member') as i;
grant select on tokens to public;
select tests.reset();
update billing.organizations set is_mirrored = true where organization_id = '00000000-0000-4000-8000-00000000002a';
select tests.as_user('Max');
select is(pg_temp.refused($$select billing.accept_invitation((select token from tokens))$$), 'conflict mirrored', 'and whose invitation of before lets nobody in');

-- Subscriptions and Stripe ----------------------------------------------------------------------------------------

select tests.reset();
insert into billing.subscription_plans (id, key, name, unit_amount, credits_per_period)
values (gen_random_uuid(), 'story_free', 'Free', 0, 9), (gen_random_uuid(), 'story_paid', 'Paid', 900, 9), (gen_random_uuid(), 'story_other', 'Other', 1900, 9);
insert into billing.subscription_plans (id, key, name, unit_amount, credits_per_period, currency) values (gen_random_uuid(), 'story_euro', 'Euro', 1900, 9, 'eur');
insert into made select p.key, p.id from billing.subscription_plans as p where p.key like 'story_%';
insert into billing.credit_packages (key, name, unit_amount, credits) values ('story_pack', 'Pack', 1000, 100000);
insert into made select p.key, p.id from billing.credit_packages as p where p.key = 'story_pack';
select tests.as_service();
select is(pg_temp.refused($$select billing.start_free_subscription(tests.id('Acme'))$$), 'invalid_argument plan_id', 'a free plan is named');
select is(pg_temp.refused($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'nothing')$$), 'not_found subscription_plan', 'is there');
select is(pg_temp.refused($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_paid')$$), 'invalid_argument plan_id', 'and free');
select is(pg_temp.refused($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free', timezone => 'Mars/Olympus')$$), 'invalid_argument timezone', 'in a zone');
select is(pg_temp.refused($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free', anchor => '1066-10-14')$$), 'invalid_argument anchor', 'of this century');
select tests.as_user('Bella');
select is(pg_temp.refused($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free', anchor => now())$$), 'not_authorized', 'which no person chooses');
select tests.as_service();
select is(pg_temp.refused($$select billing.record_customer(gen_random_uuid(), 'cus_x', null, 'x', false)$$), 'not_found organization', 'a customer is an organization''s');
select is(pg_temp.refused($$select billing.cancel_free_subscription(tests.id('Acme'))$$), 'not_found subscription', 'what is cancelled is there');
select tests.reset();
update billing.organizations set test_clock = now() where organization_id = pg_temp.made('clocked');
select is(pg_temp.refused($$select billing_private.claim_customer(pg_temp.made('clocked'), 'a@b.test', true)$$), 'conflict test_clock', 'who has a clock of their own pays nothing real');
select tests.as_service();
select is(pg_temp.refused($$select billing.open_customer(tests.id('Acme'), tests.id('Max'), null, false)$$), 'not_authorized', 'and opened by who manages its billing');
select is(pg_temp.refused($$select billing.open_subscription(tests.id('Acme'), tests.id('Max'), 'cancel')$$), 'not_authorized', 'as its subscription is');
select is(pg_temp.refused($$select billing.prepare_plan_change(tests.id('Acme'), tests.id('Max'), pg_temp.made('story_paid'), 'prorate_delta', false)$$), 'not_authorized', 'and changed');
select is(pg_temp.refused($$select billing.prepare_plan_change(tests.id('Acme'), tests.id('Bella'), pg_temp.made('story_paid'), 'at_once', false)$$), 'invalid_argument mode', 'in a known way');
select is(pg_temp.refused($$select billing.prepare_checkout(tests.id('Acme'), tests.id('Max'), null, false, null, null, pg_temp.made('story_paid'), 'hosted', 'https://x', 'https://x')$$),
  'not_authorized', 'and bought');
select is(pg_temp.refused($$select billing.reopen_stripe_event('evt_nothing')$$), 'not_found stripe_event', 'an event is there');
select is(pg_temp.refused($$select billing.replay_stripe_events('evt_nothing')$$), 'not_found stripe_event', 'when it is run again');
select is(pg_temp.refused($$select billing.replay_stripe_events(status => 'processed')$$), 'invalid_argument status', 'and was not applied');
select tests.reset();
insert into billing.subscriptions (organization_id, status, stripe_subscription_id, plan_id) values (tests.id('Acme'), 'past_due', 'sub_story', pg_temp.made('story_paid'));
select tests.as_service();
select is(pg_temp.refused($$select billing.start_free_subscription(tests.id('Acme'), plan_key => 'story_free')$$), 'subscription_exists', 'who pays has no free plan beside');
select is(pg_temp.refused($$select billing.prepare_checkout(tests.id('Acme'), tests.id('Bella'), null, false, null, null, pg_temp.made('story_paid'), 'hosted', 'https://x', 'https://x')$$),
  'subscription_exists', 'nor a second paid one');
select is(pg_temp.refused($$select billing.prepare_plan_change(tests.id('Acme'), tests.id('Bella'), pg_temp.made('story_other'), 'prorate_delta', false)$$), 'subscription_not_active',
  'and pays what is due first');
select is(pg_temp.refused($$select billing.prepare_plan_change(tests.id('Acme'), tests.id('Bella'), pg_temp.made('story_free'), 'prorate_delta', false)$$), 'not_found subscription_plan',
  'a free plan is no change');
select tests.reset();
update billing.subscriptions set status = 'active', currency = 'usd' where organization_id = tests.id('Acme');
select tests.as_service();
select is(pg_temp.refused($$select billing.prepare_plan_change(tests.id('Acme'), tests.id('Bella'), pg_temp.made('story_paid'), 'prorate_delta', false)$$), 'plan_unchanged', 'nor is the same');
select is(pg_temp.refused($$select billing.prepare_plan_change(tests.id('Acme'), tests.id('Bella'), pg_temp.made('story_euro'), 'prorate_delta', false)$$), 'currency_unchangeable',
  'nor one in another currency');
select tests.reset();
select is(pg_temp.refused($$select billing_private.organization_of_subscription('sub_x', 'cus_x', tests.id('Acme'), false)$$), 'not_found customer', 'a subscription with our mark waits for its customer');
create function pg_temp.renew(p_to timestamptz, p_reference text default 'period', p_unit_cost numeric default 0, p_subscription text default 'sub_story')
returns text language sql as $$
  select pg_temp.refused(format(
    'select billing_private.renew_subscription(%L, %L, %L, %L, 9, %L, p_unit_cost => %L)', tests.id('Acme'),
    coalesce((select s.id from billing.subscriptions as s where s.stripe_subscription_id = p_subscription), gen_random_uuid()), now(), p_to, p_reference, p_unit_cost))
$$;
select is(pg_temp.renew('infinity'), 'invalid_argument period_end', 'a period that is paid ends');
select is(pg_temp.renew('2020-01-01'), 'invalid_argument period_end', 'after it begins');
select is(pg_temp.renew(now() + interval '1 month', ''), 'invalid_argument reference', 'has a reference');
select is(pg_temp.renew(now() + interval '1 month', 'period', -1), 'invalid_amount unit_cost', 'a cost of at least 0');
select is(pg_temp.renew(now() + interval '1 month', p_subscription => 'sub_none'), 'not_found subscription', 'and a subscription that is there');
create function pg_temp.more(
  p_to timestamptz, p_amount numeric default 9, p_reference text default 'more', p_unit_cost numeric default 0, p_subscription text default 'sub_story'
)
returns text language sql as $$
  select pg_temp.refused(format(
    'select billing_private.add_plan_credits(%L, %L, %L, %L, %L, %L, p_unit_cost => %L)', tests.id('Acme'),
    coalesce((select s.id from billing.subscriptions as s where s.stripe_subscription_id = p_subscription), gen_random_uuid()), now(), p_to,
    p_amount, p_reference, p_unit_cost))
$$;
select is(pg_temp.more('infinity'), 'invalid_argument period_end', 'what a change of plan adds is of a period that ends');
select is(pg_temp.more(now() + interval '1 month', -1), 'invalid_amount amount', 'is above 0');
select is(pg_temp.more(now() + interval '1 month', p_reference => ''), 'invalid_argument reference', 'has a reference');
select is(pg_temp.more(now() + interval '1 month', p_unit_cost => -1), 'invalid_amount unit_cost', 'a cost of at least 0');
select is(pg_temp.more(now() + interval '1 month', p_subscription => 'sub_none'), 'not_found subscription', 'and a subscription that is there, too');
select is(pg_temp.more(now() + interval '1 month'), '', 'one of 9 more');
select is(pg_temp.more(now() + interval '1 month', 8), 'idempotency_conflict', 'is none of 8 under its reference');

select tests.as_user('Bella');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, -1, 100, consent => 'yes')$$), 'invalid_amount threshold', 'a threshold is at least 0');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 5, 0, consent => 'yes')$$), 'invalid_amount amount', 'what is bought above 0');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 0.0000001, 100, consent => 'yes')$$), 'invalid_amount amount', 'in millionths');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 5, 100, 200, consent => 'yes')$$), 'invalid_argument amount', 'an amount or a target');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 5, target => 5, consent => 'yes')$$), 'invalid_argument target', 'above the threshold');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 5, 100)$$), 'invalid_argument consent', 'with a consent');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 5, 100, monthly_cap => 0, consent => 'yes')$$), 'invalid_argument monthly_cap', 'and a cap above 0');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 5, 1, package_id => pg_temp.made('story_pack'), consent => 'yes')$$),
  'invalid_argument amount', 'costing what can be charged');
select is(pg_temp.refused($$select billing.set_auto_topup(tests.id('Acme'), true, 5, 100, package_id => gen_random_uuid(), consent => 'yes')$$), 'not_found credit_package', 'of a pack on offer');
select is(pg_temp.refused($$select billing.redeem_promotion_code('NO-SUCH', tests.id('Acme'))$$), 'not_found promotion_code', 'a code is there');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
