-- How often one caller may do what succeeds. The numbers are small here; the rules are the same.

begin;
do $$ begin perform tests.take_ledger(); end $$;
select tests.story(39);
select tests.cast();
create temporary table keys (name text primary key, key text);
grant select, insert on keys to public;
select tests.grant('Acme', 1000, 'start');
insert into keys values ('quick', tests.agent_key('Acme', 'quick')), ('calm', tests.agent_key('Acme', 'calm'));

create function tests.retry_after(p_sql text)
returns integer
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_refusal constant jsonb := tests.refusal(p_sql);
begin
  if v_refusal ->> 'sqlstate' is distinct from 'PGRST' or v_refusal ->> 'message' not like '%"rate_limited"%' then
    return null;
  end if;
  return ((v_refusal ->> 'message')::jsonb ->> 'details')::jsonb ->> 'retry_after';
end
$$;
grant execute on function tests.retry_after(text) to public;

-- A spend whose announcement is due: a second has passed since the last one.
create function tests.a_second_passes()
returns void
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  alter table billing.credit_transactions disable trigger credit_transactions_append_only;
  update billing.credit_transactions set announced_at = announced_at - interval '1 second' where organization_id = tests.id('Acme');
  alter table billing.credit_transactions enable trigger credit_transactions_append_only;
end
$$;
grant execute on function tests.a_second_passes() to public;

-- Who sets them ----------------------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
select throws_ok($$select billing.set_request_limit('spend_by_member', null)$$, '42501', null, 'people set no limits of requests');
select tests.as_service();
select throws_ok($$select billing.set_request_limit('nothing', 5)$$, 'PT422', 'invalid_argument', 'a limit has a known name');
select throws_ok($$select billing.set_request_limit('invite_member', 0)$$, 'PT422', 'invalid_argument', 'at least one request');
select throws_ok($$select billing.set_request_limit('invite_member', 5, '1 year')$$, 'PT422', 'invalid_argument', 'a day at most');
select throws_ok($$select billing.set_request_limit('invite_member', 5, null)$$, 'PT422', 'invalid_argument', 'and not never');
select throws_ok($$select billing.set_request_limit('invite_member', 5, '1 hour', tests.id('Acme'))$$, 'PT422', 'invalid_argument',
  'what a person does is counted wherever they do it');
select throws_ok($$select billing.set_request_limit('spend_by_member', 5, '1 minute', gen_random_uuid())$$, 'PT404', 'not_found', 'for an organization that exists');

-- What people do ----------------------------------------------------------------------------------------------------------

select is((billing.set_request_limit('create_organization', 2, '1 hour')).requests, 2, 'two organizations an hour');
select tests.as_user('Sam');
select lives_ok($$select billing.create_organization('One')$$, 'Sam makes one');
select lives_ok($$select billing.create_organization('Two')$$, 'and another');
select ok(tests.retry_after($$select billing.create_organization('Three')$$) between 3590 and 3600, 'the third has to wait an hour, and is told so');
select is(
  (tests.refusal($$select billing.create_organization('Three')$$) ->> 'message')::jsonb - 'hint',
  jsonb_build_object('code', 'PT429', 'message', 'rate_limited', 'details',
    (tests.refusal($$select billing.create_organization('Three')$$) ->> 'message')::jsonb ->> 'details'),
  'in the body that every refusal has');
select tests.as_user('Max');
select lives_ok($$select billing.create_organization('Max''s')$$, 'Max has not made any');
select tests.as_service();
select lives_ok($$select billing.create_organization('x', tests.id('Sam')), billing.create_organization('y', tests.id('Sam'))$$, 'the service is not limited');
select lives_ok($$select billing.set_request_limit('invite_member', 2, '1 hour')$$, 'two invitations an hour');
select tests.as_user('Olivia');
select lives_ok($$select billing.invite_member(tests.id('Acme'), 'a@b.test', 'member')$$, 'one');
select is(tests.refusal($$select billing.invite_member(tests.id('Acme'), 'a@b.test', 'king')$$) ->> 'message', 'invalid_argument', 'a mistake');
select lives_ok($$select billing.invite_member(tests.id('Acme'), 'c@d.test', 'member')$$, 'does not count, for it left no trace');
select ok(tests.retry_after($$select billing.invite_member(tests.id('Acme'), 'e@f.test', 'member')$$) > 0, 'the third is refused');
select tests.as_service();
select lives_ok($$select billing.set_request_limit('redeem_promotion_code', 1, '1 hour'), billing.create_promotion_code('FIRST', 5),
  billing.create_promotion_code('SECOND', 5)$$, 'one code an hour');
select tests.as_user('Bella');
select is((billing.redeem_promotion_code('FIRST', tests.id('Acme'))).replayed, false, 'Bella redeems a code');
select ok(tests.retry_after($$select billing.redeem_promotion_code('SECOND', tests.id('Acme'))$$) > 0, 'and waits for the next');
select tests.as_service();
select lives_ok($$select billing.set_request_limit('invite_member', 100, '1 hour'), billing.set_request_limit('accept_invitation', 1, '1 hour')$$,
  'an invitation accepted an hour');
create temporary table tokens (organization text primary key, token text);
grant all on tokens to public;
select tests.as_user('Adam');
insert into tokens select 'Acme', i.token from billing.invite_member(tests.id('Acme'), 'sam@story.test', 'member') as i;
select tests.as_user('Otto');
insert into tokens select 'Globex', i.token from billing.invite_member(tests.id('Globex'), 'sam@story.test', 'member') as i;
select tests.as_user('Sam');
select lives_ok($$select billing.accept_invitation(token) from tokens where organization = 'Acme'$$, 'Sam joins Acme');
select ok(tests.retry_after($$select billing.accept_invitation(token) from tokens where organization = 'Globex'$$) > 0, 'and waits before he joins Globex');
select tests.as_service();
select lives_ok($$select billing.set_request_limit('create_agent_key', 1, '1 hour')$$, 'a key an hour');
select tests.as_user('Adam');
select lives_ok($$select billing.create_agent_key(tests.id('Acme'), 'first')$$, 'Adam makes one');
select ok(tests.retry_after($$select billing.create_agent_key(tests.id('Acme'), 'second')$$) > 0, 'and waits for the next');

-- Spending ------------------------------------------------------------------------------------------------------------------

select tests.as_service();
select lives_ok($$select billing.set_request_limit('spend_by_agent_key', 5, '1 minute', tests.id('Acme'), 'they flooded us')$$, 'five spends a minute, for Acme');
select is((select after ->> 'requests' || ' ' || reason from billing.audit_log where organization_id = tests.id('Acme') and action = 'set_request_limit'),
  '5 they flooded us', 'which its owners can read');
select tests.as_agent((select key from keys where name = 'quick'));
select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 1) from generate_series(1, 7)$$, 'within one second, nobody looks');
select tests.a_second_passes();
select ok(tests.retry_after($$select billing.consume_credits('Anything', 'do', amount => 1)$$) between 55 and 60, 'then the key has to wait');
select ok(tests.retry_after($$select billing.consume_credits('Anything', 'do', amount => 1)$$) between 55 and 60, 'and goes on waiting: a refusal does not open the gate');
select ok(tests.retry_after($$select billing.hold_credits('Anything', 'do', amount => 1)$$) between 55 and 60, 'a hold is a request, too');
select tests.as_agent((select key from keys where name = 'calm'));
select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 1)$$, 'another key of the organization is not in the way');
select tests.a_second_passes();
select tests.as_service();
select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 1, organization_id => tests.id('Acme'))$$, 'nor is the service');
select lives_ok($$select billing.set_request_limit('spend_by_agent_key', null, organization_id => tests.id('Acme'))$$, 'without its own limit');
select tests.a_second_passes();
select tests.as_agent((select key from keys where name = 'quick'));
select lives_ok($$select billing.consume_credits('Anything', 'do', amount => 1)$$, 'Acme has everybody''s, and the key spends');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
