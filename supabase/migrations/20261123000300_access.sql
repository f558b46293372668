-- Who is calling, and what a membership allows: the helpers behind every policy and every function, and the tenancy policies.
--
-- The role comes from the session (`set role`, which PostgREST does from a verified token and nobody can do from inside an RPC); it is
-- unchanged inside SECURITY DEFINER bodies. The person comes from the verified claims, and only for role `authenticated`. Memberships are
-- rows; claims are never the authority. `user_metadata` is never read.
--
-- Helpers on the way of a spend are plpgsql, whose plans a session keeps; a SQL function with a pinned search_path is planned at every call.

-- Role billing_agent (20261123001410) counts as anon: both are somebody who has only what their agent credential gives.
create function billing_private.caller_role()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_role constant text := coalesce(nullif(nullif(current_setting('role', true), 'none'), ''), session_user::text);
begin
  return case v_role when 'billing_agent' then 'anon' else v_role end;
end
$$;
revoke all on function billing_private.caller_role() from public;
grant execute on function billing_private.caller_role() to anon, authenticated, service_role;

-- The service: a secret key, or a session of the schema's owner (scheduled jobs, migrations, psql).
create function billing_private.caller_is_service()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return billing_private.caller_role() in ('service_role', 'postgres', 'supabase_admin');
end
$$;
revoke all on function billing_private.caller_is_service() from public;
grant execute on function billing_private.caller_is_service() to anon, authenticated, service_role;

-- The signed-in person, or null. Null is never trusted: nothing below treats it as "no restriction".
create function billing_private.current_user_id()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  if billing_private.caller_role() <> 'authenticated' then
    return null;
  end if;
  return (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid;
end
$$;
revoke all on function billing_private.current_user_id() from public;
grant execute on function billing_private.current_user_id() to anon, authenticated, service_role;

-- A person acting for themselves in a first-party session: neither an anonymous sign-in nor a third party's OAuth token.
create function billing_private.caller_is_first_party()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_claims constant jsonb := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
begin
  return billing_private.caller_role() = 'authenticated'
    and v_claims ->> 'sub' is not null
    and not coalesce((v_claims ->> 'is_anonymous')::boolean, false)
    and v_claims ->> 'client_id' is null;
end
$$;
revoke all on function billing_private.caller_is_first_party() from public;

-- The organizations in which the caller has one of the roles (any role by default). For policies, always in the form
-- `organization_id = any (array (select billing_private.my_organization_ids()))`, which is evaluated once a statement.
create function billing_private.my_organization_ids(p_roles text[] default null)
returns setof uuid
language plpgsql -- every reading asks this, and a function in SQL that pins its search_path is planned at every call
stable
security definer
set search_path = ''
as $$
begin
  return query
  select m.organization_id
  from billing.organization_members as m
  where m.user_id = (select billing_private.current_user_id())
    and (p_roles is null or m.role = any(p_roles));
end
$$;
revoke all on function billing_private.my_organization_ids(text[]) from public;
-- The service belongs to none; it reads past the policies, but functions that run with the caller's rights ask this too.
grant execute on function billing_private.my_organization_ids(text[]) to authenticated, service_role;

-- The departments to which the caller is bound.
create function billing_private.my_department_ids()
returns setof uuid
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return query
  select m.department_id
  from billing.organization_members as m
  where m.user_id = (select billing_private.current_user_id())
    and m.department_id is not null;
end
$$;
revoke all on function billing_private.my_department_ids() from public;
grant execute on function billing_private.my_department_ids() to authenticated;

create function billing_private.user_has_role(p_user_id uuid, p_organization_id uuid, p_roles text[])
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select 1 from billing.organization_members as m
    where m.user_id = p_user_id and m.organization_id = p_organization_id and m.role = any(p_roles)
  );
end
$$;
revoke all on function billing_private.user_has_role(uuid, uuid, text[]) from public;

-- Raises 403 not_authorized unless the caller is the service or a first-party person with one of the roles. The answer is the same for an
-- organization that is not theirs and one that does not exist; the service, to whom none is foreign, learns 404 not_found.
create function billing_private.require_role(p_organization_id uuid, p_roles text[])
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if billing_private.caller_is_service() then
    if not exists (select 1 from billing.organizations as o where o.organization_id = p_organization_id) then
      perform billing_private.fail(404, 'not_found', '{"what": "organization"}');
    end if;
    return;
  end if;
  if not billing_private.caller_is_first_party()
    or not billing_private.user_has_role(billing_private.current_user_id(), p_organization_id, p_roles) then
    perform billing_private.fail(403, 'not_authorized');
  end if;
end
$$;
revoke all on function billing_private.require_role(uuid, text[]) from public;

-- The same, under the organization's lock, which it takes: whoever lost the role while waiting is refused. The first look keeps strangers out of
-- the queue. Raises 403 not_authorized, 404 not_found, 503 busy.
create function billing_private.require_role_under_lock(p_organization_id uuid, p_roles text[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform billing_private.require_role(p_organization_id, p_roles);
  perform billing_private.lock_organization(p_organization_id);
  perform billing_private.require_role(p_organization_id, p_roles);
end
$$;
revoke all on function billing_private.require_role_under_lock(uuid, text[]) from public;

create function billing_private.require_service()
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not billing_private.caller_is_service() then
    perform billing_private.fail(403, 'not_authorized');
  end if;
end
$$;
revoke all on function billing_private.require_service() from public;

create function billing_private.caller_is_platform_admin()
returns boolean
language sql
stable
set search_path = ''
return billing_private.caller_is_first_party()
and exists (select 1 from billing_private.platform_admins as a where a.user_id = billing_private.current_user_id());
revoke all on function billing_private.caller_is_platform_admin() from public;

-- One row in the audit log: who (from the session), what, why, before and after. A row of nothing but nulls, which a variable is that found none,
-- did not exist.
create function billing_private.audit(
  p_organization_id uuid, p_action text, p_subject_type text, p_subject_id text,
  p_reason text default null, p_before jsonb default null, p_after jsonb default null
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_user_id constant uuid := billing_private.current_user_id();
begin
  insert into billing.audit_log
    (organization_id, action, subject_type, subject_id, actor_type, actor_id, reason, before, after)
  values (
    p_organization_id, p_action, p_subject_type, p_subject_id,
    case
      when v_user_id is null then 'service'
      when billing_private.caller_is_platform_admin() then 'platform_admin'
      else 'user'
    end,
    coalesce(v_user_id::text, billing_private.caller_role()), p_reason,
    case when jsonb_strip_nulls(p_before) <> '{}' then p_before end, case when jsonb_strip_nulls(p_after) <> '{}' then p_after end
  );
end
$$;
revoke all on function billing_private.audit(uuid, text, text, text, text, jsonb, jsonb) from public;

-- Policies of the tenancy tables -------------------------------------------------------------------

alter table billing.organizations enable row level security;
revoke all on table billing.organizations from public, anon, authenticated, service_role;
grant select on table billing.organizations to authenticated, service_role;
create policy organizations_read_own on billing.organizations for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids())));

alter table billing.departments enable row level security;
revoke all on table billing.departments from public, anon, authenticated, service_role;
grant select on table billing.departments to authenticated, service_role;
create policy departments_read_own_organization on billing.departments for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids())));

-- A plain member sees their own membership; those who manage people or money see all of them.
alter table billing.organization_members enable row level security;
revoke all on table billing.organization_members from public, anon, authenticated, service_role;
grant select on table billing.organization_members to authenticated, service_role;
create policy organization_members_read on billing.organization_members for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
  or user_id = (select billing_private.current_user_id())
);

alter table billing.invitations enable row level security;
revoke all on table billing.invitations from public, anon, authenticated, service_role;
grant select on table billing.invitations to authenticated, service_role;
create policy invitations_read_as_admin on billing.invitations for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin}'))));

alter table billing.agent_keys enable row level security;
revoke all on table billing.agent_keys from public, anon, authenticated, service_role;
grant select on table billing.agent_keys to authenticated, service_role;
create policy agent_keys_read_as_manager on billing.agent_keys for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

alter table billing.audit_log enable row level security;
revoke all on table billing.audit_log from public, anon, authenticated, service_role;
grant select on table billing.audit_log to authenticated, service_role;
create policy audit_log_read_as_admin on billing.audit_log for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin}'))));
