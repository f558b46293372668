-- Olivia gives her agents keys: shown once, revoked at once, bound to what she says. An agent without a good key has one answer, whatever is wrong.

begin;
select tests.story(44);
select tests.cast();
create temporary table keys (name text primary key, key text, key_id text generated always as (split_part(key, '_', 3)) stored);
grant select, insert on keys to public;
select tests.grant('Acme', 1000, 'start');
select tests.grant('Globex', 1000, 'start');

-- Making them -----------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
insert into keys select 'plain', k.key from billing.create_agent_key(tests.id('Acme'), 'plain') as k;
select matches((select key from keys), '^tb_[a-z]+_[0-9a-f]{16}_[0-9a-f]{64}_[0-9a-f]{8}$', 'a key says what it is, and holds 256 random bits');
select results_eq($$select key_id, name, created_by from billing.agent_keys$$, $$select key_id, 'plain', tests.id('Olivia') from keys$$,
  'its public part is listed');
select tests.reset();
select results_eq($$select key_hash from billing_private.agent_key_secrets where organization_id = tests.id('Acme')$$,
  $$select sha256(convert_to(key, 'UTF8')) from keys$$, 'its hash alone is kept');
select is_empty($$select a.id from billing.audit_log as a, keys as k where a::text like '%' || split_part(k.key, '_', 4) || '%'$$,
  'the audit log has no secret');
select tests.as_user('Adam');
insert into keys select 'bound', k.key from billing.create_agent_key(tests.id('Acme'), 'bound', tests.id('Marketing'), '{Painter}') as k;
insert into keys select 'capped', k.key from billing.create_agent_key(tests.id('Acme'), 'capped', spend_limit => 60, spend_window => 'day') as k;
insert into keys select 'brief', k.key from billing.create_agent_key(tests.id('Acme'), 'brief', expires_at => clock_timestamp() + interval '1 hour') as k;
select is((select count(*) from billing.agent_keys)::integer, 4, 'Adam, an admin, makes three more');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), '')$$, 'PT422', 'invalid_argument', 'a key has a name');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', agent_types => '{}')$$, 'PT422', 'invalid_argument', 'a scope names something');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', expires_at => now() - interval '1 hour')$$, 'PT422', 'invalid_argument',
  'an expiry is to come');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', spend_limit => -5)$$, 'PT422', 'invalid_amount', 'a cap is no negative number');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', spend_limit => 'NaN')$$, 'PT422', 'invalid_amount', 'and is a number');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', spend_limit => 5, spend_window => 'hour')$$, 'PT422', 'invalid_argument',
  'a window is known');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x', tests.id('Research'))$$, 'PT403', 'not_authorized', 'a department is one''s own');
select tests.as_user('Bella');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'x')$$, 'PT403', 'not_authorized', 'Bella makes none');
select is((select count(*) from billing.agent_keys)::integer, 4, 'though she sees them');
select tests.as_user('Max');
select is_empty($$select key_id from billing.agent_keys$$, 'Max does not');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.create_agent_key(tests.id('Acme'), 'x')$$), tests.refusal($$select billing.create_agent_key(gen_random_uuid(), 'x')$$),
  'Otto makes none for Acme');
select is(
  tests.refusal($$select billing.revoke_agent_key((select key_id from keys where name = 'plain'))$$),
  tests.refusal($$select billing.revoke_agent_key('0123456789abcdef')$$), 'and revokes none of Acme''s, as if it did not exist');

-- Using them -----------------------------------------------------------------------------------------------

select tests.as_agent((select key from keys where name = 'plain'));
select is((billing.consume_credits('Painter', 'paint')).organization_id, tests.id('Acme'), 'an agent spends for the organization of its key');
select throws_ok($$select billing.consume_credits('Painter', 'paint', organization_id => tests.id('Globex'))$$, 'PT403', 'not_authorized', 'for no other');
select is((billing.get_credit_balance()).balance, 975::numeric, 'and may ask what is left');
select throws_ok($$select balance from billing.credit_balances$$, '42501', null, 'it reads no table');
select throws_ok($$select billing.grant_credits(tests.id('Acme'), 5, 'promotion')$$, '42501', null, 'and grants nothing');
select throws_ok($$select billing.create_agent_key(tests.id('Acme'), 'child')$$, '42501', null, 'nor makes keys');

select tests.as_agent((select key from keys where name = 'bound'));
select is((billing.consume_credits('Painter', 'paint')).amount, 25::numeric, 'a bound key spends within its scope');
select tests.reset();
select is((select department_id from billing.credit_usage where agent_key_id = (select key_id from keys where name = 'bound')), tests.id('Marketing'),
  'charged to its department, though it named none');
select tests.as_agent((select key from keys where name = 'bound'));
select throws_ok($$select billing.consume_credits('Writer', 'write')$$, 'PT403', 'not_authorized', 'but for no other agent type');
select throws_ok($$select billing.consume_credits('Painter', 'paint', department_id => tests.id('Support'))$$, 'PT403', 'not_authorized', 'nor department');
select is((select b.error ->> 'message' from billing.consume_credits_batch('[{"agent_type": "Writer", "action": "write"}]', false) as b), 'not_authorized',
  'nor by way of a batch');
select is((billing.consume_credits('Painter', 'paint', department_id => tests.id('Marketing'))).amount, 25::numeric, 'it may say where it belongs');

select tests.as_agent((select key from keys where name = 'capped'));
select is((billing.consume_credits('Anything', 'do', amount => 60)).amount, 60::numeric, 'a capped key spends up to its cap');
select is(
  tests.refusal($$select billing.consume_credits('Anything', 'do', amount => 0.000001)$$) #- '{details,limit_id}' #- '{details,resets_at}',
  jsonb_build_object('sqlstate', 'PT402', 'message', 'limit_exceeded', 'hint', '', 'details', jsonb_build_object(
    'subject_type', 'agent_key', 'subject_id', (select key_id from keys where name = 'capped'), 'limit', 60.000000, 'used', 60.000000,
    'required', 0.000001, 'remaining', 0.000000)),
  'and not a millionth more');
select tests.as_agent((select key from keys where name = 'plain'));
select is((billing.consume_credits('Anything', 'do', amount => 1)).amount, 1::numeric, 'which is no other key''s cap');

-- Bad ones ---------------------------------------------------------------------------------------------------

create temporary view bad_keys as
select 'unknown' as what, 'tb_test_0123456789abcdef_' || repeat('0', 64) || '_00000000' as key
union all select 'truncated', left(key, -1) from keys where name = 'plain'
union all select 'lengthened', key || '0' from keys where name = 'plain'
union all select 'wrong secret', regexp_replace(key, '_[0-9a-f]{64}_', '_' || repeat('a', 64) || '_') from keys where name = 'plain'
union all select 'upper case', upper(key) from keys where name = 'plain'
union all select 'padded', ' ' || key from keys where name = 'plain'
union all select 'another key''s id', replace(p.key, p.key_id, b.key_id) from keys as p, keys as b where p.name = 'plain' and b.name = 'bound'
union all select 'empty', ''
union all select 'long', repeat('tb_test_', 1250);
grant select on bad_keys to public;
create function pg_temp.answer(p_key text) returns jsonb language plpgsql as $$
begin
  perform tests.as_agent(p_key);
  return tests.refusal('select billing.consume_credits(''Painter'', ''paint'')');
end $$;
select is_empty(
  $$select what from bad_keys where pg_temp.answer(key) <> '{"sqlstate": "PT401", "message": "agent_key_invalid", "hint": "", "details": null}'$$,
  'unknown, truncated, altered, empty and endless keys have one and the same answer');
select tests.reset();
update billing.agent_keys set expires_at = clock_timestamp() where key_id = (select key_id from keys where name = 'brief');
select is(pg_temp.answer((select key from keys where name = 'brief')) ->> 'message', 'agent_key_invalid', 'and so has an expired one');
select tests.as_anon();
select throws_ok($$select billing.consume_credits('Painter', 'paint')$$, 'PT403', 'not_authorized', 'who shows none is not authorized');
select throws_ok($$select billing.get_credit_balance()$$, 'PT403', 'not_authorized', 'to ask, either');

-- Ending them -------------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
select isnt((billing.revoke_agent_key((select key_id from keys where name = 'plain'))).revoked_at, null, 'Olivia revokes the plain key');
select is(pg_temp.answer((select key from keys where name = 'plain')) ->> 'message', 'agent_key_invalid', 'which at once spends nothing more');
select tests.as_user('Olivia');
select lives_ok($$select billing.revoke_agent_key((select key_id from keys where name = 'plain'))$$, 'revoking twice is one revocation');
select throws_ok($$select billing.rotate_agent_key((select key_id from keys where name = 'plain'))$$, 'PT409', 'conflict', 'a revoked key is not rotated');
insert into keys select 'next', k.key from billing.rotate_agent_key((select key_id from keys where name = 'bound'), '0') as k;
select is(pg_temp.answer((select key from keys where name = 'bound')) ->> 'message', 'agent_key_invalid', 'a rotation without overlap ends the old key');
select tests.as_agent((select key from keys where name = 'next'));
select throws_ok($$select billing.consume_credits('Writer', 'write')$$, 'PT403', 'not_authorized', 'and the new key has no more rights than the old');
select is((billing.consume_credits('Painter', 'paint')).amount, 25::numeric, 'nor fewer');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
