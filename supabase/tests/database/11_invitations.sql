-- Adam invites Sam. The token is shown once, is good for the holder of the address alone, and is taken once.

begin;
select tests.story(31);
select tests.cast();
create temporary table notes (name text primary key, value text);
grant select, insert, update on notes to authenticated, service_role;

select tests.as_user('Adam');
insert into notes select 'sam', i.token from billing.invite_member(tests.id('Acme'), 'Sam@Story.test', 'billing') as i;
select matches((select value from notes where name = 'sam'), '^[0-9a-f]{64}$', 'Adam invites Sam and is shown a token of 256 bits');
select is((select email from billing.invitations), 'sam@story.test', 'addresses are kept in lower case');
select throws_ok($$select billing.invite_member(tests.id('Acme'), 'king@story.test', 'owner')$$, 'PT403', 'not_authorized', 'an admin invites no owner');
select throws_ok($$select billing.invite_member(tests.id('Acme'), 'no address', 'member')$$, 'PT422', 'invalid_argument', 'an address is an address');
select throws_ok($$select billing.invite_member(tests.id('Acme'), 'a@b.test', 'king')$$, 'PT422', 'invalid_argument', 'a role is a role');
select throws_ok($$select billing.invite_member(tests.id('Acme'), 'a@b.test', 'member', tests.id('Research'))$$, 'PT403', 'not_authorized',
  'a department is one''s own');
select tests.as_user('Bella');
select throws_ok($$select billing.invite_member(tests.id('Acme'), 'a@b.test', 'member')$$, 'PT403', 'not_authorized', 'Bella invites nobody');
select is_empty($$select id from billing.invitations$$, 'and sees no invitations');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.invite_member(tests.id('Acme'), 'otto@story.test', 'member')$$),
  tests.refusal($$select billing.invite_member(gen_random_uuid(), 'otto@story.test', 'member')$$),
  'Otto does not invite himself to Acme');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'sam'))$$, 'PT404', 'not_found',
  'Otto, who found the token, has another address');

select tests.reset();
select is_empty(
  $$select t.token_hash from billing_private.invitation_tokens as t, notes as n
    where encode(t.token_hash, 'hex') = n.value or encode(t.token_hash, 'escape') = n.value$$,
  'the token is stored nowhere');
update auth.users set email_confirmed_at = null where id = tests.id('Sam');
select tests.as_user('Sam');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'sam'))$$, 'PT404', 'not_found',
  'an address that was never verified accepts nothing');
select tests.reset();
update auth.users set email_confirmed_at = now() where id = tests.id('Sam');
select tests.as_user('Sam', '{"is_anonymous": true}');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'sam'))$$, 'PT403', 'not_authorized', 'nor does an anonymous session');
select tests.as_user('Sam');
select throws_ok($$select billing.accept_invitation('nonsense')$$, 'PT404', 'not_found', 'an unknown token');
select throws_ok($$select billing.accept_invitation('')$$, 'PT404', 'not_found', 'an empty one');
select throws_ok($$select billing.accept_invitation(null)$$, 'PT404', 'not_found', 'and none at all have the same answer');
select is((billing.accept_invitation((select value from notes where name = 'sam'))).role, 'billing', 'Sam joins, as was offered');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'sam'))$$, 'PT404', 'not_found', 'a token is taken once');
select is((select role from billing.organization_members where user_id = tests.id('Sam')), 'billing', 'and Sam is what he was made');

select tests.as_user('Olivia');
insert into notes select 'first', i.token from billing.invite_member(tests.id('Acme'), 'mia@story.test', 'member') as i;
insert into notes select 'second', i.token from billing.invite_member(tests.id('Acme'), 'mia@story.test', 'owner') as i;
select tests.as_user('Mia');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'first'))$$, 'PT404', 'not_found',
  'a newer invitation replaces the older');
select tests.reset();
update billing.invitations set expires_at = now() - interval '1 second' where email = 'mia@story.test' and role = 'owner';
select tests.as_user('Mia');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'second'))$$, 'PT404', 'not_found', 'an old one has expired');
select tests.reset();
update billing.invitations set expires_at = now() + interval '1 day' where email = 'mia@story.test' and role = 'owner';
select tests.as_user('Mia');
select is((billing.accept_invitation((select value from notes where name = 'second'))).role, 'owner', 'an owner''s invitation makes an owner');
select set_eq($$select name from billing.organizations$$, array['Acme (story)', 'Globex (story)'], 'and Mia belongs to both organizations');

-- What is to make an owner is an owner's affair.
select tests.as_user('Olivia');
insert into notes select 'heir', i.token from billing.invite_member(tests.id('Acme'), 'otto@story.test', 'owner') as i;
select tests.as_user('Adam');
select throws_ok($$select billing.revoke_invitation((select id from billing.invitations where email = 'otto@story.test'))$$, 'PT403', 'not_authorized',
  'an admin withdraws no invitation of an owner');
select throws_ok($$select billing.invite_member(tests.id('Acme'), 'Otto@story.test', 'member')$$, 'PT403', 'not_authorized', 'nor replaces it by a lesser one');
select tests.reset();
update billing.invitations set expires_at = now() - interval '1 second' where email = 'otto@story.test';
select tests.as_user('Adam');
insert into notes select 'otto', i.token from billing.invite_member(tests.id('Acme'), 'otto@story.test', 'member') as i;
select is((select count(*) from billing.invitations where email = 'otto@story.test' and revoked_at is null)::integer, 1, 'when it has expired, he does');
select results_eq(
  $$select actor_id, reason, before ->> 'role', before ->> 'revoked_at', after ->> 'revoked_at' is not null, after ? 'email'
    from billing.audit_log where action = 'revoke_invitation' order by id desc limit 1$$,
  $$select tests.id('Adam')::text, 'a newer invitation replaces it', 'owner', null::text, true, false$$, 'which is audited');
select tests.as_user('Otto');
select is((billing.accept_invitation((select value from notes where name = 'otto'))).role, 'member', 'Otto joins Acme as a member');
select tests.reset();
select results_eq(
  $$select a.reason from billing.audit_log as a where a.action = 'accept_invitation' and a.subject_id = tests.id('Otto')::text$$,
  $$select 'invitation ' || i.id::text from billing.invitations as i where i.email = 'otto@story.test' and i.accepted_at is not null$$,
  'and the audit log says by which invitation');

select tests.reset();
select is_empty(
  $$select a.id from billing.audit_log as a, notes as n where a::text like '%' || n.value || '%'$$, 'no token is in the audit log');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
