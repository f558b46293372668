-- What the stories share: schema `tests` with a cast of named people, a way to speak as each of them, and a way to read a refusal.
-- This is the only file that commits: the others run in one transaction each and roll back. It may be run again at any time.
--
-- The cast (tests.cast()): Acme has Olivia (owner), Adam (admin), Bella (billing), Max (member), Mona (member, bound to Marketing) and the
-- departments Marketing and Support. Globex has Otto (owner), Mia (member) and the department Research. Sam belongs to nobody.

begin;

drop schema if exists tests cascade;
create schema tests;
grant usage on schema tests to anon, authenticated, service_role;

-- The id of a person, organization or department of the cast, by name. Read with the owner's rights, so that everybody can name everybody.
create function tests.id(p_name text)
returns uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_id uuid;
begin
  select s.id into v_id from (
    select u.id from auth.users as u where u.email = lower(p_name) || '@story.test'
    union all
    select o.organization_id from billing.organizations as o where o.name = p_name || ' (story)'
    union all
    select d.id from billing.departments as d
    inner join billing.organizations as o on o.organization_id = d.organization_id and o.name like '% (story)'
    where d.name = p_name
  ) as s;
  if v_id is null then
    raise exception 'nobody and nothing in the cast is called %', p_name;
  end if;
  return v_id;
end
$$;

create function tests.person(p_name text)
returns uuid
language sql
volatile
set search_path = ''
as $$
  insert into auth.users (id, aud, role, email, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
  values (gen_random_uuid(), 'authenticated', 'authenticated', lower(p_name) || '@story.test', now(), '{}',
    jsonb_build_object('role', 'owner', 'name', p_name), now(), now())
  returning id
$$;

create function tests.member(p_organization text, p_name text, p_role text, p_department_id uuid default null)
returns void
language sql
volatile
set search_path = ''
as $$
  insert into billing.organization_members (organization_id, user_id, role, department_id)
  values (tests.id(p_organization), tests.person(p_name), p_role, p_department_id)
$$;

-- Brings the cast on stage, in the running transaction. Called as the owner of the schema.
create function tests.cast()
returns void
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_acme uuid;
  v_globex uuid;
  v_marketing uuid;
begin
  v_acme := (billing.create_organization('Acme (story)', tests.person('Olivia'))).organization_id;
  v_globex := (billing.create_organization('Globex (story)', tests.person('Otto'))).organization_id;
  v_marketing := (billing.create_department(v_acme, 'Marketing')).id;
  perform billing.create_department(v_acme, 'Support');
  perform billing.create_department(v_globex, 'Research');
  perform tests.member('Acme', 'Adam', 'admin');
  perform tests.member('Acme', 'Bella', 'billing');
  perform tests.member('Acme', 'Max', 'member');
  perform tests.member('Acme', 'Mona', 'member', v_marketing);
  perform tests.member('Globex', 'Mia', 'member');
  perform tests.person('Sam');
  perform billing.set_agent_action_cost('Painter', 'paint', 25);
  perform billing.set_agent_action_cost('Writer', 'write', 5);
  perform billing.set_agent_action_cost('Writer', 'write', 0.0005, 'input_tokens');
  perform billing.set_agent_action_cost('Anything', 'do', 0, 'call', true);
end
$$;

-- Who speaks from here on, to the end of the transaction. As PostgREST does it: role, verified claims, headers.
create function tests.speak(p_role text, p_claims jsonb, p_headers jsonb)
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  perform set_config('request.jwt.claims', coalesce(p_claims::text, ''), true);
  perform set_config('request.headers', coalesce(p_headers::text, ''), true);
  perform set_config('role', p_role, true);
end
$$;

-- A signed-in person. p_more changes or adds claims, for sessions of other kinds.
create function tests.as_user(p_name text, p_more jsonb default '{}')
returns void
language sql
volatile
set search_path = ''
as $$
  select tests.speak('authenticated',
    jsonb_build_object('sub', tests.id(p_name), 'role', 'authenticated', 'is_anonymous', false, 'user_metadata', '{"role": "owner"}'::jsonb)
    || p_more, '{}')
$$;

create function tests.as_anon()
returns void
language sql
volatile
set search_path = ''
return tests.speak('anon', '{"role": "anon"}', '{}');

create function tests.as_agent(p_key text)
returns void
language sql
volatile
set search_path = ''
return tests.speak('anon', '{"role": "anon"}', jsonb_build_object('x-agent-key', p_key));

create function tests.as_service()
returns void
language sql
volatile
set search_path = ''
return tests.speak('service_role', '{"role": "service_role"}', '{}');

-- The owner of the schema again.
create function tests.reset()
returns void
language sql
volatile
set search_path = ''
return tests.speak('none', null, null);

-- Takes the ledger's tables for this transaction alone, for stories that change them: the instance's jobs run beside, and whoever asked for the tables
-- later, holding rows already, would wait for them in a circle. Before anything else; without waiting, which would be a circle of its own.
create function tests.take_ledger()
returns void
language plpgsql
volatile
set search_path = ''
as $$
begin
  loop
    begin
      lock table billing.credit_transactions, billing_private.credit_grant_lots in access exclusive mode nowait;
      return;
    exception when lock_not_available then
      perform pg_catalog.pg_sleep(0.05);
    end;
  end loop;
end
$$;

-- A key of an agent of the cast's organization; made with the owner's rights, whoever speaks.
create function tests.agent_key(p_organization text, p_name text, p_more jsonb default '{}')
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_role constant text := current_setting('role');
  v_claims constant text := current_setting('request.jwt.claims', true);
  v_headers constant text := current_setting('request.headers', true);
  v_key text;
begin
  perform tests.reset();
  v_key := (billing.create_agent_key(
    tests.id(p_organization), p_name, (p_more ->> 'department_id')::uuid,
    case when p_more ? 'agent_types' then array(select jsonb_array_elements_text(p_more -> 'agent_types')) end,
    (p_more ->> 'expires_at')::timestamptz, (p_more ->> 'spend_limit')::numeric, coalesce(p_more ->> 'spend_window', 'month')
  )).key;
  perform tests.speak(v_role, nullif(v_claims, '')::jsonb, nullif(v_headers, '')::jsonb);
  return v_key;
end
$$;

-- Grants credits with the owner's rights, whoever speaks; p_more holds further arguments of grant_credits. Answers the grant's id.
create function tests.grant(p_organization text, p_amount numeric, p_reference text, p_more jsonb default '{}')
returns uuid
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_role constant text := current_setting('role');
  v_claims constant text := current_setting('request.jwt.claims', true);
  v_headers constant text := current_setting('request.headers', true);
  v_grant_id uuid;
begin
  perform tests.reset();
  v_grant_id := (billing.grant_credits(
    tests.id(p_organization), p_amount, coalesce(p_more ->> 'source', 'promotion'), p_reference,
    (p_more ->> 'expires_at')::timestamptz, (p_more ->> 'effective_at')::timestamptz, coalesce((p_more ->> 'priority')::integer, 100),
    (p_more ->> 'department_id')::uuid,
    case when p_more ? 'agent_types' then array(select jsonb_array_elements_text(p_more -> 'agent_types')) end,
    coalesce((p_more ->> 'unit_cost')::numeric, 0)
  )).grant_id;
  perform tests.speak(v_role, nullif(v_claims, '')::jsonb, nullif(v_headers, '')::jsonb);
  return v_grant_id;
end
$$;

-- What a call is refused with, as whoever speaks: {sqlstate, message, details, hint}; {} when it is not refused.
create function tests.refusal(p_sql text)
returns jsonb
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_state text;
  v_message text;
  v_details text;
  v_hint text;
begin
  execute p_sql;
  return '{}';
exception when others then
  get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_details = pg_exception_detail, v_hint = pg_exception_hint;
  return jsonb_build_object('sqlstate', v_state, 'message', v_message, 'hint', v_hint,
    'details', case when v_state like 'PT%' then nullif(v_details, '')::jsonb end);
end
$$;

-- Opens a story of p_count assertions. pgTAP's functions are given to everybody for the transaction, so that people can assert as themselves
-- (our first migration takes EXECUTE from PUBLIC for whatever the owner creates).
create function tests.story(p_count integer)
returns setof text
language plpgsql
volatile
set search_path = extensions, pg_catalog
as $$
begin
  grant execute on all functions in schema extensions to public;
  return query select extensions.plan(p_count);
end
$$;

-- The end of every story: the ledger of everybody is whole, and derived numbers equal rebuilt ones.
create function tests.the_ledger_is_whole()
returns text
language plpgsql
volatile
set search_path = extensions, pg_catalog
as $$
begin
  perform tests.reset();
  return extensions.is_empty('select * from billing.verify_ledger()', 'verify_ledger finds nothing');
end
$$;

grant execute on all functions in schema tests to anon, authenticated, service_role;

commit;

begin;
select tests.story(8);
select tests.cast();

select is(current_user::text, 'postgres', 'a story begins as the owner of the schema');
select tests.as_user('Max');
select is(current_user::text, 'authenticated', 'a person speaks as authenticated');
select is(billing_private.current_user_id(), tests.id('Max'), 'and is who they say');
select tests.as_agent('some key');
select is(current_user::text, 'anon', 'an agent speaks as anon');
select is(billing_private.current_user_id(), null, 'and is no person');
select tests.as_service();
select is(current_user::text, 'service_role', 'the service speaks as itself');
select is(tests.refusal('select 1 / 0') ->> 'sqlstate', '22012', 'a refusal can be read');
select tests.reset();
select is(current_user::text, 'postgres', 'the owner speaks again');

select * from finish();
rollback;
