-- What a key may be used for, and a short-lived token in its place. PostgREST says in request.path which function was asked for; here the story does.

begin;
select tests.story(66);
select tests.cast();
create temporary table keys (name text primary key, key text, key_id text generated always as (split_part(key, '_', 3)) stored);
grant select, insert on keys to public;
select tests.grant('Acme', 1000, 'start');

-- An agent asks PostgREST for a function.
create function tests.calls(p_key text, p_function text)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform tests.as_agent(p_key);
  perform set_config('request.path', '/rpc/' || p_function, true);
end
$$;
grant execute on function tests.calls(text, text) to public;

-- A verified token of an agent asks for one.
create function tests.calls_by_token(p_claims jsonb, p_function text, p_headers jsonb default '{}')
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform tests.speak('billing_agent', '{"role": "billing_agent"}'::jsonb || p_claims, p_headers);
  perform set_config('request.path', '/rpc/' || p_function, true);
end
$$;
grant execute on function tests.calls_by_token(jsonb, text, jsonb) to public;
grant usage on schema tests, extensions to billing_agent;
grant execute on all functions in schema tests to billing_agent;

-- Scopes -------------------------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
insert into keys select 'all', k.key from billing.create_agent_key(tests.id('Acme'), 'all') as k;
insert into keys select 'spender', k.key from billing.create_agent_key(tests.id('Acme'), 'spender', scopes => '{consume}') as k;
insert into keys select 'holder', k.key from billing.create_agent_key(tests.id('Acme'), 'holder', scopes => '{hold,hold}') as k;
insert into keys select 'reader', k.key from billing.create_agent_key(tests.id('Acme'), 'reader', scopes => '{read,check}') as k;
select results_eq($$select name, scopes from billing.agent_keys order by name$$,
  $$values ('all', '{check,consume,hold,read}'::text[]), ('holder', '{hold}'), ('reader', '{check,read}'), ('spender', '{consume}')$$,
  'a key says what it may be used for; by default for everything');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', scopes => '{}')$$, 'PT422', 'invalid_argument', 'for nothing is no scope');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', scopes => '{admin}')$$, 'PT422', 'invalid_argument', 'a scope is a known word');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', scopes => array['consume', null])$$, 'PT422', 'invalid_argument', 'and no null');

select tests.calls((select key from keys where name = 'spender'), 'consume_credits');
select is((billing.consume_credits('Painter', 'paint')).amount, 25::numeric, 'the spender spends');
select is((billing.consume_credits('Painter', 'paint')).amount, 25::numeric, 'and again, by the terms that are remembered now');
select tests.calls((select key from keys where name = 'spender'), 'consume_credits_batch');
select lives_ok($$select billing.consume_credits_batch('[{"agent_type": "Painter", "action": "paint"}]')$$, 'in a batch, too');
select tests.calls((select key from keys where name = 'spender'), 'check_credits');
select throws_ok($$select billing.check_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'it does not check');
select tests.calls((select key from keys where name = 'spender'), 'hold_credits');
select throws_ok($$select billing.hold_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'nor hold, though its terms are remembered');
select tests.calls((select key from keys where name = 'spender'), 'get_credit_balance');
select throws_ok($$select billing.get_credit_balance()$$, 'PT403', 'not_authorized', 'nor ask for the balance');
select tests.calls((select key from keys where name = 'spender'), 'describe_agent_key');
select is((billing.describe_agent_key()).scopes, '{consume}', 'it may ask what it is');

select tests.calls((select key from keys where name = 'holder'), 'hold_credits');
insert into keys select 'hold', h.hold_id::text from billing.hold_credits('Painter', 'paint') as h;
select isnt((select key from keys where name = 'hold'), null, 'the holder holds');
select tests.calls((select key from keys where name = 'holder'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'it does not consume');
select tests.calls((select key from keys where name = 'holder'), 'consume_credits_batch');
select throws_ok($$select billing.consume_credits_batch('[{"agent_type": "Painter", "action": "paint"}]')$$, 'PT403', 'not_authorized', 'nor in a batch');
select tests.calls((select key from keys where name = 'holder'), 'request_approval');
select throws_ok($$select billing.request_approval('Painter', 'paint')$$, 'PT403', 'not_authorized', 'nor ask for leave to');
select tests.calls((select key from keys where name = 'holder'), 'extend_hold');
select is((billing.extend_hold((select key from keys where name = 'hold')::uuid, 5)).amount, 30::numeric, 'it extends its hold');
select tests.calls((select key from keys where name = 'holder'), 'capture_hold');
select is((billing.capture_hold((select key from keys where name = 'hold')::uuid, 7)).amount, 7::numeric, 'and captures it');

select tests.calls((select key from keys where name = 'reader'), 'check_credits');
select is((billing.check_credits('Painter', 'paint')).allowed, true, 'the reader checks');
select tests.calls((select key from keys where name = 'reader'), 'get_credit_balance');
select is((billing.get_credit_balance()).balance, 918::numeric, 'and reads');
select tests.calls((select key from keys where name = 'reader'), 'release_hold');
select throws_ok($$select billing.release_hold((select key from keys where name = 'hold')::uuid)$$, 'PT403', 'not_authorized', 'it releases nothing');
select tests.calls((select key from keys where name = 'spender'), 'explain_transaction');
select throws_ok($$select billing.explain_transaction(gen_random_uuid())$$, 'PT403', 'not_authorized', 'without the scope nothing is explained');
select tests.calls((select key from keys where name = 'spender'), 'graphql');
select throws_ok($$select billing.consume_credits('Painter', 'do', amount => 1)$$, 'PT403', 'not_authorized', 'by a way that nobody thought of, nothing');
select tests.calls((select key from keys where name = 'all'), 'graphql');
select lives_ok($$select billing.check_credits('Painter', 'paint')$$, 'but for a key that may do all');

select tests.as_user('Olivia');
insert into keys select 'next', k.key from billing.rotate_agent_key((select key_id from keys where name = 'spender')) as k;
select is((select scopes from billing.agent_keys where key_id = (select key_id from keys where name = 'next')), '{consume}', 'a successor has the same scopes');
select tests.calls((select key from keys where name = 'next'), 'hold_credits');
select throws_ok($$select billing.hold_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'and they bind it');

-- Rotation ------------------------------------------------------------------------------------------------------------

select tests.reset();
update billing.agent_keys set expires_at = clock_timestamp() - interval '1 second' where key_id = (select key_id from keys where name = 'reader');
select tests.as_user('Olivia');
select is(tests.refusal($$select billing.rotate_agent_key((select key_id from keys where name = 'reader'))$$) -> 'details' ->> 'what', 'expired',
  'a key that has expired has no successor: it would have expired, too');
select is(
  (select k.expires_at between clock_timestamp() + interval '23 hours' and clock_timestamp() + interval '1 day'
    from billing.agent_keys as k where k.key_id = (select key_id from keys where name = 'spender')), true, 'the old key ends after the overlap');
insert into keys select 'long', k.key from billing.create_agent_key(tests.id('Acme'), 'long', expires_at => '2999-01-01') as k;
select is((billing.rotate_agent_key((select key_id from keys where name = 'long'), '1 hour')).expires_at, '2999-01-01', 'the new key ends when the old one was to');
select is((billing.rotate_agent_key((select key_id from keys where name = 'long'), '1 day')).expires_at, '2999-01-01',
  'also when the old one is rotated again, because the first answer was lost');
select is((select expires_at <= clock_timestamp() + interval '1 hour' from billing.agent_keys where key_id = (select key_id from keys where name = 'long')), true,
  'which gives the old one no more time');
select is((billing.rotate_agent_key((select key_id from keys where name = 'spender'))).expires_at, null, 'and a key without end has successors without end');
select is((billing.create_agent_key(tests.id('Acme'), 'ever', expires_at => 'infinity')).expires_at, null, 'an end that never comes is none');
insert into keys select 'longer', k.key from billing.rotate_agent_key((select key_id from keys where name = 'long')) as k;
select is((billing.set_credit_limit('agent_key', (select key_id from keys where name = 'longer'), 3, 'day', 'hard')).subject_id,
  (select key_id from keys where name = 'long'), 'a limit of a successor is one of all its rotations');
select tests.calls((select key from keys where name = 'longer'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Anything', 'do', amount => 4)$$, 'PT402', 'limit_exceeded', 'and it holds for the key that it was set for');

select tests.reset();
insert into billing.agent_keys (organization_id, key_id, root_key_id, name)
select tests.id('Acme'), k.id, k.id, 'one of many' from (select lpad(to_hex(n), 16, '0') as id from generate_series(1, 1000) as n) as k
limit 1000 - (
  select count(*) from billing.agent_keys as k
  where k.organization_id = tests.id('Acme') and k.revoked_at is null and coalesce(k.expires_at, 'infinity') > clock_timestamp());
select tests.as_user('Olivia');
select is(tests.refusal($$select billing.create_agent_key(tests.id('Acme'), 'one more')$$) -> 'details' ->> 'what', 'agent_keys', 'a thousand keys are enough');
select is(tests.refusal($$select billing.rotate_agent_key((select key_id from keys where name = 'longer'))$$) -> 'details' ->> 'what', 'agent_keys',
  'and no rotation makes more of them');
select lives_ok($$select billing.rotate_agent_key((select key_id from keys where name = 'longer'), '0')$$, 'but for one that replaces the old key at once');

-- Last used ------------------------------------------------------------------------------------------------------------

select tests.reset();
update billing.agent_keys set last_used_at = clock_timestamp() - interval '30 seconds' where key_id = (select key_id from keys where name = 'all');
create temporary table versions as select k.ctid as place from billing.agent_keys as k where k.key_id = (select key_id from keys where name = 'all');
select tests.calls((select key from keys where name = 'all'), 'consume_credits');
select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 1) from generate_series(1, 20)$$, 'a key spends twenty times in a minute');
select tests.reset();
select is((select k.ctid from billing.agent_keys as k where k.key_id = (select key_id from keys where name = 'all')), (select place from versions),
  'and no spend writes its row');
delete from billing_private.spend_terms;
update billing.agent_keys set last_used_at = clock_timestamp() - interval '61 seconds' where key_id = (select key_id from keys where name = 'all');
select tests.calls((select key from keys where name = 'all'), 'consume_credits');
select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 1)$$, 'a spend after more than a minute');
select tests.reset();
select is((select k.last_used_at > clock_timestamp() - interval '5 seconds' from billing.agent_keys as k where k.key_id = (select key_id from keys where name = 'all')),
  true, 'says that the key is in use');

-- Tokens: off by default -----------------------------------------------------------------------------------------------

create temporary table claims as
select k.name, jsonb_build_object('agent_key_id', k.key_id, 'scopes', '["check", "consume", "hold", "read"]'::jsonb,
  'exp', extract(epoch from clock_timestamp())::bigint + 300) as claims
from keys as k where k.key_id <> '';
grant select on claims to public;

select tests.calls_by_token((select claims from claims where name = 'all'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT401', 'agent_key_invalid', 'a token is worth nothing');
select tests.calls_by_token((select claims from claims where name = 'all'), 'describe_agent_key');
select throws_ok($$select billing.describe_agent_key()$$, 'PT401', 'agent_key_invalid', 'not even that, unless the installation wants tokens');

-- Tokens: on -------------------------------------------------------------------------------------------------------------

select tests.reset();
insert into billing_private.settings (name, value) values ('agent_tokens', 'on') on conflict (name) do update set value = 'on';
select throws_ok($$insert into billing_private.settings (name, value) values ('agent_tokens', 'yes') on conflict (name) do update set value = 'yes'$$,
  '23514', null, 'on or off');
select tests.calls_by_token((select claims from claims where name = 'all'), 'consume_credits');
select is((billing.consume_credits('Painter', 'paint')).amount, 25::numeric, 'a token spends for its key');
select is((billing.consume_credits('Painter', 'paint')).amount, 25::numeric, 'and again');
select tests.reset();
select is((select agent_key_id from billing.credit_transactions where organization_id = tests.id('Acme') order by sequence desc limit 1),
  (select key_id from keys where name = 'all'), 'in its name');
select is((select count(*) from billing_private.spend_terms where caller <> sha256(convert_to((select key from keys where name = 'all'), 'UTF8')))::integer, 0,
  'no terms are remembered for a token');
select tests.calls_by_token((select claims from claims where name = 'all'), 'hold_credits');
insert into keys select 'token hold', h.hold_id::text from billing.hold_credits('Painter', 'paint') as h;
select tests.calls_by_token((select claims from claims where name = 'all'), 'capture_hold');
select is((billing.capture_hold((select key from keys where name = 'token hold')::uuid, 1)).amount, 1::numeric, 'what it holds it captures');
select tests.calls_by_token((select claims from claims where name = 'all'), 'get_credit_balance');
select is((billing.get_credit_balance()).organization_id, tests.id('Acme'), 'it reads its balance');

select tests.calls_by_token((select claims || '{"scopes": ["read"]}' from claims where name = 'all'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'a token may be good for less than its key');
select tests.calls_by_token((select claims from claims where name = 'spender'), 'hold_credits');
select throws_ok($$select billing.hold_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'and never for more');
select tests.calls_by_token((select claims - 'scopes' from claims where name = 'all'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'without scopes it is good for none');
select tests.calls_by_token((select claims || '{"scopes": "consume"}' from claims where name = 'all'), 'get_credit_balance');
select throws_ok($$select billing.get_credit_balance()$$, 'PT403', 'not_authorized', 'a list is a list');
select tests.calls_by_token((select claims || jsonb_build_object('exp', extract(epoch from clock_timestamp())::bigint - 1) from claims where name = 'all'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT401', 'agent_key_invalid', 'it expires, whatever any cache remembers');
select tests.calls_by_token((select claims - 'exp' from claims where name = 'all'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT401', 'agent_key_invalid', 'one that never expires is none');
select tests.calls_by_token('{"exp": 99999999999, "scopes": ["consume"], "agent_key_id": "0123456789abcdef"}', 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT401', 'agent_key_invalid', 'nor is one of an unknown key');
select tests.calls_by_token('{"exp": 99999999999, "scopes": ["consume"]}', 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT401', 'agent_key_invalid', 'or of none');
select tests.calls_by_token((select claims from claims where name = 'all'), 'consume_credits', '{"x-agent-key": "tb_test_0123456789abcdef_a_b"}');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT401', 'agent_key_invalid',
  'a token beside a key is refused: nothing must be remembered under a key that nobody has checked');
select tests.calls_by_token((select claims from claims where name = 'all'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint', organization_id => tests.id('Globex'))$$, 'PT403', 'not_authorized', 'it stays in its organization');
select throws_ok($$select key_id from billing.agent_keys$$, '42501', null, 'it reads no table');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'child')$$, '42501', null, 'makes no keys');
select throws_ok($$select billing.run_due_jobs()$$, '42501', null, 'and is no service');

select tests.as_user('Olivia');
select lives_ok($$select billing.revoke_agent_key((select key_id from keys where name = 'all'), 'over')$$, 'Olivia revokes the key');
select tests.calls_by_token((select claims from claims where name = 'all'), 'consume_credits');
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT401', 'agent_key_invalid', 'and its tokens end with it, in the very next statement');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
