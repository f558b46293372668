-- Organizations and departments: creating them, and who belongs to them.

-- A first-party person creates an organization and owns it; the service names the owner. Raises 403 not_authorized (an anonymous or third-party
-- session, or a person naming somebody else), 404 not_found (unknown owner), 422 invalid_argument.
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

-- Owner or admin. Raises 403 not_authorized, 409 conflict (the name is taken), 422 invalid_argument.
create function billing_private.create_department(p_organization_id uuid, p_name text)
returns billing.departments
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_department billing.departments;
begin
  perform billing_private.require_text('name', p_name, 200);
  perform billing_private.require_role(p_organization_id, '{owner,admin}');
  insert into billing.departments (organization_id, name) values (p_organization_id, btrim(p_name))
  on conflict (organization_id, name) do nothing
  returning * into v_department;
  if v_department.id is null then
    perform billing_private.fail(409, 'conflict', '{"argument": "name"}', 'the organization has a department of this name');
  end if;
  perform billing_private.audit(p_organization_id, 'create_department', 'department', v_department.id::text, null, null, to_jsonb(v_department));
  return v_department;
end
$$;
revoke all on function billing_private.create_department(uuid, text) from public;
grant execute on function billing_private.create_department(uuid, text) to authenticated, service_role;

create function billing.create_department(organization_id uuid, name text)
returns billing.departments
language sql
volatile
set search_path = ''
return billing_private.create_department(organization_id, name);
revoke all on function billing.create_department(uuid, text) from public;
grant execute on function billing.create_department(uuid, text) to authenticated, service_role;
comment on function billing.create_department(uuid, text) is 'Owner, admin: adds a department.';

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

-- An organization always has an owner. Under the organization's lock, after the change: raises 409 conflict when the last one would be gone.
create function billing_private.require_an_owner(p_organization_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if not exists (
    select 1 from billing.organization_members as m where m.organization_id = p_organization_id and m.role = 'owner'
  ) then
    perform billing_private.fail(409, 'conflict', '{"what": "last_owner"}', 'an organization keeps at least one owner');
  end if;
end
$$;
revoke all on function billing_private.require_an_owner(uuid) from public;

-- Whoever deletes a user (an auth server, say) takes their memberships along: the last owner's stays, and with it the user.
create function billing_private.keep_an_owner()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  perform billing_private.lock_organization(old.organization_id);
  perform billing_private.require_an_owner(old.organization_id);
  return null;
end
$$;
revoke all on function billing_private.keep_an_owner() from public;
create trigger organization_members_keep_an_owner after delete on billing.organization_members
for each row when (old.role = 'owner') execute function billing_private.keep_an_owner();

-- The part of role and department changes and removals that they share. Owner or admin; only an owner makes, changes or removes an owner.
-- Locks the organization, so that a spend sees the member either as before or as after, and two last owners cannot leave at once.
create function billing_private.change_member(
  p_organization_id uuid, p_user_id uuid, p_role text, p_department_id uuid, p_remove boolean, p_action text
)
returns billing.organization_members
language plpgsql
set search_path = ''
as $$
declare
  v_before billing.organization_members;
  v_after billing.organization_members;
begin
  perform billing_private.lock_organization(p_organization_id);
  select m.* into v_before from billing.organization_members as m
  where m.organization_id = p_organization_id and m.user_id = p_user_id;
  if v_before.user_id is null then
    perform billing_private.fail(404, 'not_found', '{"what": "member"}');
  end if;
  -- Again under the lock: the caller may have lost the role while waiting for it.
  if p_action <> 'leave_organization' then
    perform billing_private.require_role(
      p_organization_id,
      case when v_before.role = 'owner' or coalesce(p_role = 'owner', false) then '{owner}'::text[] else '{owner,admin}' end);
  end if;
  if p_remove then
    delete from billing.organization_members as m where m.organization_id = p_organization_id and m.user_id = p_user_id;
  else
    update billing.organization_members as m set role = p_role, department_id = p_department_id
    where m.organization_id = p_organization_id and m.user_id = p_user_id
    returning * into v_after;
  end if;
  perform billing_private.require_an_owner(p_organization_id);
  perform billing_private.audit(p_organization_id, p_action, 'member', p_user_id::text, null, to_jsonb(v_before),
    case when not p_remove then to_jsonb(v_after) end);
  return v_before;
end
$$;
revoke all on function billing_private.change_member(uuid, uuid, text, uuid, boolean, text) from public;

create function billing_private.set_member_role(p_organization_id uuid, p_user_id uuid, p_role text, p_department_id uuid)
returns billing.organization_members
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_member billing.organization_members;
begin
  if p_role is null or p_role not in ('owner', 'admin', 'billing', 'member') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "role"}', 'owner, admin, billing or member');
  end if;
  perform billing_private.require_role(p_organization_id, '{owner,admin}');
  perform billing_private.require_department(p_organization_id, p_department_id);
  perform billing_private.change_member(p_organization_id, p_user_id, p_role, p_department_id, false, 'set_member_role');
  select m.* into v_member from billing.organization_members as m
  where m.organization_id = p_organization_id and m.user_id = p_user_id;
  return v_member;
end
$$;
revoke all on function billing_private.set_member_role(uuid, uuid, text, uuid) from public;
grant execute on function billing_private.set_member_role(uuid, uuid, text, uuid) to authenticated, service_role;

create function billing.set_member_role(organization_id uuid, user_id uuid, role text, department_id uuid default null)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.set_member_role(organization_id, user_id, role, department_id);
revoke all on function billing.set_member_role(uuid, uuid, text, uuid) from public;
grant execute on function billing.set_member_role(uuid, uuid, text, uuid) to authenticated, service_role;
comment on function billing.set_member_role(uuid, uuid, text, uuid) is
'Owner, admin: sets a member''s role and department (null: not bound to one). Only an owner makes or changes an owner.';

create function billing_private.remove_member(p_organization_id uuid, p_user_id uuid)
returns billing.organization_members
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform billing_private.require_role(p_organization_id, '{owner,admin}');
  return billing_private.change_member(p_organization_id, p_user_id, null, null, true, 'remove_member');
end
$$;
revoke all on function billing_private.remove_member(uuid, uuid) from public;
grant execute on function billing_private.remove_member(uuid, uuid) to authenticated, service_role;

create function billing.remove_member(organization_id uuid, user_id uuid)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.remove_member(organization_id, user_id);
revoke all on function billing.remove_member(uuid, uuid) from public;
grant execute on function billing.remove_member(uuid, uuid) to authenticated, service_role;
comment on function billing.remove_member(uuid, uuid) is 'Owner, admin: removes a member; the last owner stays. Returns the membership as it was.';

create function billing_private.leave_organization(p_organization_id uuid)
returns billing.organization_members
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not billing_private.caller_is_first_party()
    or not billing_private.user_has_role(billing_private.current_user_id(), p_organization_id, '{owner,admin,billing,member}') then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  return billing_private.change_member(
    p_organization_id, billing_private.current_user_id(), null, null, true, 'leave_organization');
end
$$;
revoke all on function billing_private.leave_organization(uuid) from public;
grant execute on function billing_private.leave_organization(uuid) to authenticated;

create function billing.leave_organization(organization_id uuid)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.leave_organization(organization_id);
revoke all on function billing.leave_organization(uuid) from public;
grant execute on function billing.leave_organization(uuid) to authenticated;
comment on function billing.leave_organization(uuid) is 'Any member: leaves; the last owner cannot.';
