-- Organizations and departments: creating them. Who belongs to them: 20261123001110_members.sql.

-- A first-party person creates an organization and owns it; the service names the owner. Raises 403 not_authorized (an anonymous or third-party
-- session, or a person naming somebody else), 404 not_found (unknown owner), 422 invalid_argument, 429 rate_limited. Not idempotent.
create function billing_private.create_organization(p_name text, p_owner_user_id uuid)
returns billing.organizations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_organization billing.organizations;
  v_owner constant uuid := coalesce(p_owner_user_id, billing_private.current_user_id());
begin
  perform billing_private.require_text('name', p_name, 200);
  if not billing_private.caller_is_service() then
    if not billing_private.caller_is_first_party() or v_owner <> billing_private.current_user_id() then
      perform billing_private.fail(403, 'not_authorized');
    end if;
  elsif v_owner is null then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "owner_user_id"}', 'a service names the owner');
  end if;
  perform billing_private.require_request_rate('create_organization');
  if not exists (select 1 from auth.users as u where u.id = v_owner) then
    perform billing_private.fail(404, 'not_found', '{"what": "user"}');
  end if;
  insert into billing.organizations (name) values (btrim(p_name)) returning * into v_organization;
  insert into billing.organization_members (organization_id, user_id, role) values (v_organization.organization_id, v_owner, 'owner');
  perform billing_private.audit(v_organization.organization_id, 'create_organization', 'organization',
    v_organization.organization_id::text, null, null, to_jsonb(v_organization));
  return v_organization;
end
$$;
revoke all on function billing_private.create_organization(text, uuid) from public;
grant execute on function billing_private.create_organization(text, uuid) to authenticated, service_role;

create function billing.create_organization(name text, owner_user_id uuid default null)
returns billing.organizations
language sql
volatile
set search_path = ''
return billing_private.create_organization(name, owner_user_id);
revoke all on function billing.create_organization(text, uuid) from public;
grant execute on function billing.create_organization(text, uuid) to authenticated, service_role;
comment on function billing.create_organization(text, uuid) is
'Creates an organization owned by the caller; a service names the owner.';

-- Owner or admin. Locks the organization. Raises 403 not_authorized, 409 conflict (the name is taken), 422 invalid_argument, 503 busy.
create function billing_private.create_department(p_organization_id uuid, p_name text, p_reason text)
returns billing.departments
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_department billing.departments;
begin
  perform billing_private.require_text('name', p_name, 200);
  perform billing_private.require_reason(p_reason);
  perform billing_private.require_role_under_lock(p_organization_id, '{owner,admin}');
  insert into billing.departments (organization_id, name) values (p_organization_id, btrim(p_name))
  on conflict (organization_id, name) do nothing
  returning * into v_department;
  if v_department.id is null then
    perform billing_private.fail(409, 'conflict', '{"argument": "name"}', 'the organization has a department of this name');
  end if;
  perform billing_private.audit(p_organization_id, 'create_department', 'department', v_department.id::text, p_reason, null,
    to_jsonb(v_department));
  return v_department;
end
$$;
revoke all on function billing_private.create_department(uuid, text, text) from public;
grant execute on function billing_private.create_department(uuid, text, text) to authenticated, service_role;

create function billing.create_department(organization_id uuid, name text, reason text default null)
returns billing.departments
language sql
volatile
set search_path = ''
return billing_private.create_department(organization_id, name, reason);
revoke all on function billing.create_department(uuid, text, text) from public;
grant execute on function billing.create_department(uuid, text, text) to authenticated, service_role;
comment on function billing.create_department(uuid, text, text) is 'Owner, admin: adds a department.';

-- A department of the organization, or 403 not_authorized: the same answer for a foreign department and for none.
create function billing_private.require_department(p_organization_id uuid, p_department_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_department_id is not null and not exists (
    select 1 from billing.departments as d where d.organization_id = p_organization_id and d.id = p_department_id
  ) then
    perform billing_private.fail(403, 'not_authorized');
  end if;
end
$$;
revoke all on function billing_private.require_department(uuid, uuid) from public;
