-- Olivia owns Acme and runs it with Adam and Bella. Max may look, and not touch. Otto, next door, sees nothing and gets the same answer as
-- for an organization that does not exist.

begin;
select tests.story(46);
select tests.cast();

-- Creating organizations ----------------------------------------------------------------------------------

select tests.as_user('Sam');
select is((billing.create_organization('  Sam & Co  ')).name, 'Sam & Co', 'Sam founds an organization');
select results_eq(
  $$select m.role from billing.organization_members as m inner join billing.organizations as o using (organization_id) where o.name = 'Sam & Co'$$,
  $$values ('owner')$$, 'and owns it');
select throws_ok($$select billing.create_organization('For Otto', tests.id('Otto'))$$, 'PT403', 'not_authorized', 'but not in the name of Otto');
select throws_ok($$select billing.create_organization('')$$, 'PT422', 'invalid_argument', 'an organization has a name');
select throws_ok($$select billing.create_organization(repeat('x', 201))$$, 'PT422', 'invalid_argument', 'of at most 200 characters');
select throws_ok($$select billing.create_organization(E'a\nb')$$, 'PT422', 'invalid_argument', 'that can be printed');
select tests.as_user('Sam', '{"is_anonymous": true}');
select throws_ok($$select billing.create_organization('Ghosts')$$, 'PT403', 'not_authorized', 'an anonymous sign-in founds nothing');
select tests.as_user('Sam', '{"client_id": "some-app"}');
select throws_ok($$select billing.create_organization('By an app')$$, 'PT403', 'not_authorized', 'nor does an app on behalf of Sam');
select tests.as_service();
select throws_ok($$select billing.create_organization('Ownerless')$$, 'PT422', 'invalid_argument', 'the service names an owner');
select throws_ok($$select billing.create_organization('Nobody''s', gen_random_uuid())$$, 'PT404', 'not_found', 'who exists');
select lives_ok($$select billing.create_organization('Gift', tests.id('Sam'))$$, 'and then may');
select tests.as_anon();
select throws_ok($$select billing.create_organization('Free for all')$$, '42501', null, 'a visitor may not even try');

-- Departments -----------------------------------------------------------------------------------------------

select tests.as_user('Adam');
select lives_ok($$select billing.create_department(tests.id('Acme'), 'Sales')$$, 'Adam, an admin, adds a department');
select is(tests.refusal($$select billing.create_department(tests.id('Acme'), 'Sales')$$) ->> 'message', 'conflict', 'once');
select tests.as_user('Bella');
select throws_ok($$select billing.create_department(tests.id('Acme'), 'Bella''s')$$, 'PT403', 'not_authorized', 'Bella, of billing, does not');
select tests.as_user('Otto');
select is(
  tests.refusal($$select billing.create_department(tests.id('Acme'), 'Spies')$$),
  tests.refusal($$select billing.create_department(gen_random_uuid(), 'Spies')$$),
  'Otto gets the same answer for Acme as for nowhere');
select lives_ok($$select billing.create_department(tests.id('Globex'), 'Spies')$$, 'though he may add one at home');

-- Roles -----------------------------------------------------------------------------------------------------

select tests.as_user('Adam');
select is((billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'billing')).role, 'billing', 'Adam makes Max responsible for billing');
select is((billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'member')).role, 'member', 'and takes it back');
select throws_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'owner')$$, 'PT403', 'not_authorized', 'he makes no owners');
select throws_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Adam'), 'owner')$$, 'PT403', 'not_authorized', 'least of all himself');
select throws_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Olivia'), 'member')$$, 'PT403', 'not_authorized', 'nor unmakes one');
select throws_ok($$select billing.remove_member(tests.id('Acme'), tests.id('Olivia'))$$, 'PT403', 'not_authorized', 'nor removes one');
select throws_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'king')$$, 'PT422', 'invalid_argument', 'roles are known words');
select throws_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Otto'), 'member')$$, 'PT404', 'not_found', 'who is no member has no role');
select throws_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'member', tests.id('Research'))$$, 'PT403', 'not_authorized',
  'nobody is bound to a department of another organization');
select is((billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'member', tests.id('Support'))).department_id, tests.id('Support'),
  'Max is bound to Support');

select tests.as_user('Max');
select throws_ok($$select billing.set_member_role(tests.id('Acme'), tests.id('Max'), 'admin')$$, 'PT403', 'not_authorized', 'Max cannot promote himself');
select throws_ok($$select billing.remove_member(tests.id('Acme'), tests.id('Mona'))$$, 'PT403', 'not_authorized', 'nor remove Mona');
select throws_ok($$update billing.organization_members set role = 'owner' where user_id = tests.id('Max')$$, '42501', null, 'nor write his row himself');
select throws_ok($$insert into billing.organization_members (organization_id, user_id, role) values (tests.id('Globex'), tests.id('Max'), 'owner')$$,
  '42501', null, 'nor write one elsewhere');
select results_eq($$select user_id from billing.organization_members$$, $$select tests.id('Max')$$, 'of the memberships he sees his own');

-- The last owner ----------------------------------------------------------------------------------------------

select tests.as_user('Olivia');
select is(tests.refusal($$select billing.leave_organization(tests.id('Acme'))$$) -> 'details' ->> 'what', 'last_owner', 'the last owner cannot leave');
select is(tests.refusal($$select billing.set_member_role(tests.id('Acme'), tests.id('Olivia'), 'admin')$$) ->> 'message', 'conflict', 'nor step down');
select is(tests.refusal($$select billing.remove_member(tests.id('Acme'), tests.id('Olivia'))$$) ->> 'message', 'conflict', 'nor remove herself');
select is((billing.set_member_role(tests.id('Acme'), tests.id('Adam'), 'owner')).role, 'owner', 'she makes Adam an owner');
select is((billing.leave_organization(tests.id('Acme'))).role, 'owner', 'and may leave now');
select is_empty($$select organization_id from billing.organizations$$, 'after which she sees nothing of it');
select throws_ok($$select billing.leave_organization(tests.id('Acme'))$$, 'PT403', 'not_authorized', 'and is as foreign as anybody');
select tests.as_user('Adam');
select lives_ok($$select billing.remove_member(tests.id('Acme'), tests.id('Max'))$$, 'Adam removes Max');
select tests.as_user('Max');
select throws_ok($$select billing.get_credit_balance(tests.id('Acme'))$$, 'PT403', 'not_authorized', 'who at once may ask nothing more');

-- What is left of it --------------------------------------------------------------------------------------------

select tests.reset();
select set_eq(
  $$select action from billing.audit_log where organization_id = tests.id('Acme') and actor_type = 'user'$$,
  array['create_department', 'set_member_role', 'leave_organization', 'remove_member'],
  'every change is in the audit log');
select is(
  (select a.before ->> 'role' || ' > ' || (a.after ->> 'role') from billing.audit_log as a
    where a.organization_id = tests.id('Acme') and a.action = 'set_member_role' and a.actor_id = tests.id('Olivia')::text),
  'admin > owner', 'with the values before and after, and who did it');
select throws_ok($$delete from billing.audit_log where organization_id = tests.id('Acme')$$, '23001', null, 'not even the owner of the schema deletes from it');
select throws_ok($$update billing.audit_log set reason = 'x' where organization_id = tests.id('Acme')$$, '23001', null, 'or rewrites it');

select tests.the_ledger_is_whole();
select * from finish();
rollback;
