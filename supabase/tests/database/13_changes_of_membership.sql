-- People come and go. Every change says who made it, why, and what was there before; whoever goes keeps no way back; and an organization whose
-- members another application keeps is changed by that application alone.

begin;
select tests.story(66);
select tests.cast();
create temporary table notes (name text primary key, value text);
grant select, insert, update on notes to authenticated, service_role;

-- Every change is audited with its reason ---------------------------------------------------------------------------

select tests.as_user('Olivia');
select lives_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'billing', tests.id('Support'), 'Max keeps the books now')$$,
  'Olivia moves Max to Support and says why');
select results_eq(
  $$select actor_type, actor_id, subject_type, subject_id, reason, before ->> 'role', before ->> 'department_id', after ->> 'role', after ->> 'department_id'
    from billing.audit_log where action = 'set_member_role'$$,
  $$select 'user', tests.id('Olivia')::text, 'member', tests.id('Max')::text, 'Max keeps the books now', 'member', null::text, 'billing',
    tests.id('Support')::text$$,
  'the audit log says who, what, why, before and after');
select lives_ok($$select billing.remove_member(tests.id('Acme'), tests.id('Max'), 'Max has left the company')$$, 'she removes him');
select results_eq(
  $$select reason, before ->> 'role', after from billing.audit_log where action = 'remove_member'$$,
  $$select 'Max has left the company', 'billing', null::jsonb$$, 'of a removal there is a before and no after');
select lives_ok($$select billing.create_department(tests.id('Acme'), 'Sales', 'we sell')$$, 'a department has a reason');
select is((select reason from billing.audit_log where action = 'create_department' and after ->> 'name' = 'Sales'), 'we sell', 'which is kept');
select lives_ok($$select billing.create_agent_key(tests.id('Acme'), 'crew', reason => 'for the crew')$$, 'so has a key');
insert into notes select 'key', key_id from billing.agent_keys where name = 'crew';
select lives_ok($$select billing.rotate_agent_key((select value from notes where name = 'key'), '1 hour', 'it is May')$$, 'its rotation');
select lives_ok($$select billing.revoke_agent_key((select value from notes where name = 'key'), 'it leaked')$$, 'and its end');
select results_eq(
  $$select action, reason, before is null, after ? 'successor', after ? 'key', after #> '{successor}' ? 'key'
    from billing.audit_log where subject_type = 'agent_key' order by id$$,
  $$values ('create_agent_key', 'for the crew', true, false, false, null::boolean), ('rotate_agent_key', 'it is May', false, true, false, false),
    ('revoke_agent_key', 'it leaked', false, false, false, null)$$,
  'with the values before and after, and never the key');
select throws_ok($$select billing.create_department(tests.id('Acme'), 'x', repeat('a', 1001))$$, 'PT422', 'invalid_argument', 'a reason has an end');
select throws_ok($$select billing.remove_member(tests.id('Acme'), tests.id('Mona'), E'line\nbreak')$$, 'PT422', 'invalid_argument',
  'and no line breaks, which would forge lines in a log');

-- Handing over ------------------------------------------------------------------------------------------------------

select throws_ok($$select billing.transfer_ownership(tests.id('Acme'), tests.id('Olivia'))$$, 'PT422', 'invalid_argument', 'nobody hands over to themselves');
select throws_ok($$select billing.transfer_ownership(tests.id('Acme'), null)$$, 'PT422', 'invalid_argument', 'nor to nobody');
select throws_ok($$select billing.transfer_ownership(tests.id('Acme'), tests.id('Sam'))$$, 'PT404', 'not_found', 'nor to a stranger');
select is((select role from billing.organization_members where user_id = tests.id('Olivia')), 'owner', 'a failed transfer changes nothing');
select tests.as_user('Adam');
select throws_ok($$select billing.transfer_ownership(tests.id('Acme'), tests.id('Adam'))$$, 'PT403', 'not_authorized', 'an admin takes nothing over');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.transfer_ownership(tests.id('Acme'), tests.id('Otto'))$$),
  tests.refusal($$select billing.transfer_ownership(gen_random_uuid(), tests.id('Otto'))$$), 'and Otto learns nothing');
select tests.as_user('Olivia', '{"client_id": "an app"}');
select throws_ok($$select billing.transfer_ownership(tests.id('Acme'), tests.id('Adam'))$$, 'PT403', 'not_authorized', 'a third party''s token may not');
select tests.as_user('Olivia');
select is((billing.transfer_ownership(tests.id('Acme'), tests.id('Mona'), 'Mona runs it now')).role, 'owner', 'Olivia hands over to Mona');
select results_eq(
  $$select user_id, role, department_id from billing.organization_members where user_id in (tests.id('Olivia'), tests.id('Mona')) order by role$$,
  $$values (tests.id('Olivia'), 'admin', null::uuid), (tests.id('Mona'), 'owner', null)$$, 'and is an admin; Mona is bound to no department any more');
select is((select count(*) from billing.audit_log where action = 'transfer_ownership' and reason = 'Mona runs it now')::integer, 2, 'both halves are audited');
select throws_ok($$select billing.transfer_ownership(tests.id('Acme'), tests.id('Adam'))$$, 'PT403', 'not_authorized', 'she cannot hand over twice');

-- Who goes keeps no way back -----------------------------------------------------------------------------------------

select tests.as_user('Adam');
insert into notes select 'friend', i.token from billing.invite_member(tests.id('Acme'), 'otto@story.test', 'admin') as i;
select tests.as_user('Mona');
insert into notes select 'adam', i.token from billing.invite_member(tests.id('Acme'), 'adam@story.test', 'admin') as i;
insert into notes select 'mia', i.token from billing.invite_member(tests.id('Acme'), 'mia@story.test', 'owner') as i;
insert into notes select 'sam', i.token from billing.invite_member(tests.id('Acme'), 'sam@story.test', 'member') as i;
select tests.as_user('Adam');
select is(tests.refusal($$select billing.accept_invitation((select value from notes where name = 'adam'))$$) -> 'details' ->> 'what', 'member',
  'a member accepts no invitation: it would change nothing');
select tests.as_user('Mona');
select lives_ok($$select billing.remove_member(tests.id('Acme'), tests.id('Adam'), 'a bad year')$$, 'Mona removes Adam');
select tests.as_user('Adam');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'adam'))$$, 'PT404', 'not_found',
  'Adam does not come back by an older invitation');
select tests.as_user('Otto');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'friend'))$$, 'PT404', 'not_found',
  'nor by one that he made for a friend');
select tests.as_user('Mona');
select is((select count(*) from billing.audit_log where action = 'revoke_invitation')::integer, 2, 'both withdrawals are audited');
select lives_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Olivia'), 'owner')$$, 'Olivia owns it again');
select tests.as_user('Olivia');
select lives_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Mona'), 'admin')$$, 'and makes Mona an admin');
select tests.as_user('Mia');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'mia'))$$, 'PT404', 'not_found',
  'an owner''s invitation ends with its maker''s ownership');
select tests.as_user('Sam');
select is((billing.accept_invitation((select value from notes where name = 'sam'))).role, 'member', 'an invitation that an admin may make stays good');

-- Withdrawing an invitation --------------------------------------------------------------------------------------------

select tests.as_user('Mona');
insert into notes select 'late', i.token from billing.invite_member(tests.id('Acme'), 'mia@story.test', 'member', reason => 'a new writer') as i;
insert into notes select 'late_id', i.id::text from billing.invitations as i where i.email = 'mia@story.test' and i.revoked_at is null;
select is((select reason from billing.audit_log where action = 'invite_member' order by id desc limit 1), 'a new writer', 'an invitation has a reason');
select tests.as_user('Bella');
select throws_ok($$select billing.revoke_invitation((select value from notes where name = 'late_id')::uuid)$$, 'PT403', 'not_authorized', 'Bella withdraws none');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.revoke_invitation((select value from notes where name = 'late_id')::uuid)$$),
  tests.refusal($$select billing.revoke_invitation(gen_random_uuid())$$), 'Otto does not learn that it exists');
select tests.as_user('Mona');
select isnt((billing.revoke_invitation((select value from notes where name = 'late_id')::uuid, 'no budget')).revoked_at, null, 'Mona withdraws it');
select isnt((billing.revoke_invitation((select value from notes where name = 'late_id')::uuid)).revoked_at, null, 'twice, if she likes');
select is((select count(*) from billing.audit_log where action = 'revoke_invitation' and reason = 'no budget')::integer, 1, 'which is one change');
select is(
  tests.refusal($$select billing.revoke_invitation((select id from billing.invitations where email = 'sam@story.test' and accepted_at is not null))$$)
    -> 'details' ->> 'what', 'accepted', 'what was accepted cannot be withdrawn');
select tests.as_user('Mia');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'late'))$$, 'PT404', 'not_found', 'and Mia comes too late');
select tests.as_user('Mona');
select is_empty(
  $$select a from unnest(array['a@b.test, c@d.test', '<a@b.test>', E'a@b.test\nBcc: c@d.test', '"a b"@c.test', 'a@b;c']) as a
    where tests.refusal(format('select billing.invite_member(tests.id(''Acme''), %L, ''member'')', a)) ->> 'message' is distinct from 'invalid_argument'$$,
  'an address is one address, and nothing that a mail program reads as two');

-- Mirrored ---------------------------------------------------------------------------------------------------------------

select tests.as_service();
create temporary table app (id uuid);
grant select, insert on app to service_role, authenticated;
insert into app values (gen_random_uuid());
select is(
  (billing.sync_organization((select id from app), 'Team One', jsonb_build_array(
    jsonb_build_object('user_id', tests.id('Sam'), 'role', 'owner'), jsonb_build_object('user_id', tests.id('Max'), 'role', 'member')))).is_mirrored, true,
  'an application''s team is an organization, under its own id');
select is(
  (billing.sync_organization((select id from app), 'Team One', jsonb_build_array(
    jsonb_build_object('user_id', tests.id('Max'), 'role', 'member'), jsonb_build_object('user_id', tests.id('Sam'), 'role', 'owner')))).name, 'Team One',
  'the same again');
select is((select count(*) from billing.audit_log where organization_id = (select id from app))::integer, 3, 'changes nothing and writes nothing');
select lives_ok(
  $$select billing.sync_organization((select id from app), 'Team 1', jsonb_build_array(jsonb_build_object('user_id', tests.id('Max'), 'role', 'owner')),
    'Sam left')$$, 'the last owner leaves and another comes, in one call');
select set_eq($$select user_id::text || ' ' || role from billing.organization_members where organization_id = (select id from app)$$,
  $$select tests.id('Max')::text || ' owner'$$, 'the members are those of the list');
select set_eq(
  $$select subject_type || coalesce(' ' || (before ->> 'role'), '') || ' > ' || coalesce(after ->> 'role', after ->> 'name', 'gone')
    from billing.audit_log where organization_id = (select id from app) and reason = 'Sam left'$$,
  array['organization > Team 1', 'member member > owner', 'member owner > gone'], 'and each change is audited');
select tests.reset();
insert into billing.invitations (organization_id, email, role, expires_at) select id, 'king@story.test', 'admin', now() + interval '1 day' from app;
select tests.as_service();
select lives_ok(
  $$select billing.sync_organization((select id from app), 'Team 1', jsonb_build_array(jsonb_build_object('user_id', tests.id('Max'), 'role', 'owner')),
    'no more guests')$$, 'an invitation that is still open');
select results_eq(
  $$select action, before ->> 'role', after ->> 'revoked_at' is not null from billing.audit_log
    where organization_id = (select id from app) and subject_type = 'invitation' and reason = 'no more guests'$$,
  $$values ('sync_organization', 'admin', true)$$, 'is withdrawn, and that is audited, too');
select is(tests.refusal($$select billing.sync_organization((select id from app), 'Team 1', '[]')$$) -> 'details' ->> 'what', 'last_owner',
  'a list without an owner is refused');
select is_empty(
  $$select m from unnest(array['null', '{}', '"x"', '[1]', '[{"user_id": "x", "role": "owner"}]', '[{"role": "owner"}]',
      '[{"user_id": "00000000-0000-0000-0000-000000000000", "role": "king"}]',
      format('[{"user_id": "%1$s", "role": "owner"}, {"user_id": "%1$s", "role": "member"}]', tests.id('Max'))]) as m
    where tests.refusal(format('select billing.sync_organization((select id from app), ''x'', %L)', m)) ->> 'message' is distinct from 'invalid_argument'$$,
  'nonsense is refused');
select throws_ok(
  $$select billing.sync_organization((select id from app), 'x', '[{"user_id": "00000000-0000-0000-0000-000000000000", "role": "owner"}]')$$,
  'PT404', 'not_found', 'so is somebody who does not exist');
select tests.as_user('Max');
select is(
  tests.refusal($$select billing.invite_member((select id from app), 'a@b.test', 'member')$$) -> 'details' ->> 'what', 'mirrored',
  'its owner invites nobody here');
select is(tests.refusal($$select billing.leave_organization((select id from app))$$) -> 'details' ->> 'what', 'mirrored', 'nor leaves here');
select throws_ok($$select billing.sync_organization((select id from app), 'x', '[]')$$, '42501', null, 'and people do not sync');
select isnt((billing.create_agent_key((select id from app), 'crew')).key, null, 'all else is theirs as ever: a key, for one');
select tests.reset();

-- Platform admins ------------------------------------------------------------------------------------------------------------

insert into billing_private.platform_admins (user_id) values (tests.id('Otto'));
select tests.as_user('Otto');
select lives_ok(
  $$select billing.grant_credits_bulk('spring', jsonb_build_array(
    jsonb_build_object('organization_id', tests.id('Acme'), 'amount', 5, 'source', 'promotion'),
    jsonb_build_object('organization_id', tests.id('Acme'), 'amount', 7, 'source', 'promotion')))$$, 'Otto, who runs the platform, gives to many');
select throws_ok($$select billing.adjust_credits(tests.id('Acme'), 5, null, 'k')$$, 'PT422', 'invalid_argument', 'a correction has a reason');
select throws_ok($$select billing.remove_member(tests.id('Acme'), tests.id('Bella'))$$, 'PT403', 'not_authorized', 'he manages nobody else''s people');
select is_empty($$select user_id from billing.organization_members where organization_id = tests.id('Acme')$$, 'and does not see them');
select tests.reset();
select results_eq(
  $$select actor_type, actor_id, reason, after ->> 'amount' from billing.audit_log where action = 'grant_credits_bulk' and organization_id = tests.id('Acme')$$,
  $$select 'platform_admin', tests.id('Otto')::text, 'batch spring', '12'$$, 'each organization can read what was done to it, and by whom');

-- A user that is deleted ---------------------------------------------------------------------------------------------------

select throws_ok($$delete from auth.users where id = tests.id('Olivia')$$, 'PT409', 'conflict', 'the last owner is not deleted with their account');
select tests.as_user('Mona');
insert into notes select 'orphan', i.token from billing.invite_member(tests.id('Acme'), 'mia@story.test', 'admin') as i;
select tests.reset();
insert into notes values ('mona', tests.id('Mona')::text);
select lives_ok($$delete from auth.users where id = tests.id('Mona')$$, 'an admin is, and her membership with her');
select results_eq(
  $$select a.action, a.reason, a.before ->> 'role' from billing.audit_log as a
    where a.subject_type = 'member' and a.subject_id = (select value from notes where name = 'mona') order by a.id desc limit 1$$,
  $$values ('delete_user', 'the user was deleted', 'admin')$$, 'which is written down');
select tests.as_user('Mia');
select throws_ok($$select billing.accept_invitation((select value from notes where name = 'orphan'))$$, 'PT404', 'not_found', 'and her invitations end');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
