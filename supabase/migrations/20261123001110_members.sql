-- Who belongs to an organization: roles, departments, leaving, being removed, handing over ownership. Joining: 20261123001150_invitations.sql.
--
-- Every change locks the organization and looks at the caller's rights again under the lock, so that no change succeeds after the one that took
-- the right away, and two last owners cannot leave at once. Every change is audited: who, why, before and after.

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

-- Another application keeps the members of a mirrored organization: 409 conflict for who would change them here. Under the lock.
create function billing_private.require_own_members(p_organization_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if exists (select 1 from billing.organizations as o where o.organization_id = p_organization_id and o.is_mirrored) then
    perform billing_private.fail(409, 'conflict', '{"what": "mirrored"}', 'another application keeps the members of this organization');
  end if;
end
$$;
revoke all on function billing_private.require_own_members(uuid) from public;

-- Withdraws one open invitation, audited with why; nothing if it is not open any more. Under the lock.
create function billing_private.withdraw_invitation(p_invitation billing.invitations, p_action text, p_reason text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_after billing.invitations;
begin
  update billing.invitations as i set revoked_at = clock_timestamp()
  where i.organization_id = p_invitation.organization_id and i.id = p_invitation.id and i.accepted_at is null and i.revoked_at is null
  returning * into v_after;
  if found then
    perform billing_private.audit(p_invitation.organization_id, p_action, 'invitation', p_invitation.id::text, p_reason,
      to_jsonb(p_invitation) - 'email', to_jsonb(v_after) - 'email'); -- an address is personal, and the log is for ever
  end if;
end
$$;
revoke all on function billing_private.withdraw_invitation(billing.invitations, text, text) from public;

-- Withdraws the open invitations that a member's change leaves without ground: those that they made and could not make now, so that nobody who
-- is about to be removed keeps a way back in, and, for one who is gone (p_role null), those to their own address. Under the lock.
create function billing_private.withdraw_invitations_of(p_organization_id uuid, p_user_id uuid, p_role text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_invitation billing.invitations;
begin
  for v_invitation in
    select i.* from billing.invitations as i
    where i.organization_id = p_organization_id and i.accepted_at is null and i.revoked_at is null
      and (
        (i.invited_by = p_user_id and (coalesce(p_role not in ('owner', 'admin'), true) or (i.role = 'owner' and p_role <> 'owner')))
        or (p_role is null and i.email = (select lower(u.email) from auth.users as u where u.id = p_user_id))
      )
    order by i.id
    for update
  loop
    perform billing_private.withdraw_invitation(v_invitation, 'revoke_invitation', 'its ground is gone with a change of membership');
  end loop;
end
$$;
revoke all on function billing_private.withdraw_invitations_of(uuid, uuid, text) from public;

-- Whoever deletes a user (an auth server, say) takes their memberships along: the last owner's stays, and with it the user; of any other the
-- invitations end, and the end is audited. change_member() removes members through here, too. SECURITY DEFINER: the auth server's role, as which
-- a cascade fires it, reaches nothing of ours.
create function billing_private.end_membership()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform billing_private.lock_organization(old.organization_id);
  if old.role = 'owner' then
    perform billing_private.require_an_owner(old.organization_id);
  end if;
  perform billing_private.withdraw_invitations_of(old.organization_id, old.user_id, null);
  if not exists (select 1 from auth.users as u where u.id = old.user_id) then
    perform billing_private.audit(
      old.organization_id, 'delete_user', 'member', old.user_id::text, 'the user was deleted', to_jsonb(old), null);
  end if;
  return null;
end
$$;
revoke all on function billing_private.end_membership() from public;
create trigger organization_members_end after delete on billing.organization_members
for each row execute function billing_private.end_membership();

-- The part of role and department changes and removals that they share. Owner or admin; only an owner makes, changes or removes an owner.
-- Locks the organization, so that a spend sees the member either as before or as after. Raises 403 not_authorized, 404 not_found (no member),
-- 409 conflict (last_owner, mirrored), 503 busy. Safe to retry: the same change again changes nothing, and who is gone is 404.
create function billing_private.change_member(
  p_organization_id uuid, p_user_id uuid, p_role text, p_department_id uuid, p_remove boolean, p_action text, p_reason text
)
returns billing.organization_members
language plpgsql
set search_path = ''
as $$
declare
  v_before billing.organization_members;
  v_after billing.organization_members;
begin
  perform billing_private.require_reason(p_reason);
  perform billing_private.lock_organization(p_organization_id);
  select m.* into v_before from billing.organization_members as m
  where m.organization_id = p_organization_id and m.user_id = p_user_id;
  -- Again under the lock: the caller may have lost the role while waiting for it.
  if p_action <> 'leave_organization' then
    perform billing_private.require_role(
      p_organization_id,
      case when v_before.role = 'owner' or coalesce(p_role = 'owner', false) then '{owner}'::text[] else '{owner,admin}' end);
  end if;
  perform billing_private.require_own_members(p_organization_id);
  if v_before.user_id is null then
    perform billing_private.fail(404, 'not_found', '{"what": "member"}');
  end if;
  if p_remove then
    delete from billing.organization_members as m where m.organization_id = p_organization_id and m.user_id = p_user_id;
  else
    update billing.organization_members as m set role = p_role, department_id = p_department_id
    where m.organization_id = p_organization_id and m.user_id = p_user_id
    returning * into v_after;
  end if;
  if not p_remove then
    perform billing_private.require_an_owner(p_organization_id);
    perform billing_private.withdraw_invitations_of(p_organization_id, p_user_id, v_after.role);
  end if;
  perform billing_private.audit(p_organization_id, p_action, 'member', p_user_id::text, p_reason, to_jsonb(v_before),
    case when not p_remove then to_jsonb(v_after) end);
  return case when p_remove then v_before else v_after end;
end
$$;
revoke all on function billing_private.change_member(uuid, uuid, text, uuid, boolean, text, text) from public;

create function billing_private.set_member_role(p_organization_id uuid, p_user_id uuid, p_role text, p_department_id uuid, p_reason text)
returns billing.organization_members
language plpgsql
security definer
set search_path = ''
as $$
begin
  if p_role is null or p_role not in ('owner', 'admin', 'billing', 'member') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "role"}', 'owner, admin, billing or member');
  end if;
  perform billing_private.require_role(p_organization_id, '{owner,admin}');
  perform billing_private.require_department(p_organization_id, p_department_id);
  return billing_private.change_member(p_organization_id, p_user_id, p_role, p_department_id, false, 'set_member_role', p_reason);
end
$$;
revoke all on function billing_private.set_member_role(uuid, uuid, text, uuid, text) from public;
grant execute on function billing_private.set_member_role(uuid, uuid, text, uuid, text) to authenticated, service_role;

create function billing.set_member_role(
  organization_id uuid, user_id uuid, role text, department_id uuid default null, reason text default null
)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.set_member_role(organization_id, user_id, role, department_id, reason);
revoke all on function billing.set_member_role(uuid, uuid, text, uuid, text) from public;
grant execute on function billing.set_member_role(uuid, uuid, text, uuid, text) to authenticated, service_role;
comment on function billing.set_member_role(uuid, uuid, text, uuid, text) is
'Owner, admin: sets a member''s role and department (null: not bound to one). Only an owner makes or changes an owner.';

create function billing_private.remove_member(p_organization_id uuid, p_user_id uuid, p_reason text)
returns billing.organization_members
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform billing_private.require_role(p_organization_id, '{owner,admin}');
  return billing_private.change_member(p_organization_id, p_user_id, null, null, true, 'remove_member', p_reason);
end
$$;
revoke all on function billing_private.remove_member(uuid, uuid, text) from public;
grant execute on function billing_private.remove_member(uuid, uuid, text) to authenticated, service_role;

create function billing.remove_member(organization_id uuid, user_id uuid, reason text default null)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.remove_member(organization_id, user_id, reason);
revoke all on function billing.remove_member(uuid, uuid, text) from public;
grant execute on function billing.remove_member(uuid, uuid, text) to authenticated, service_role;
comment on function billing.remove_member(uuid, uuid, text) is
'Owner, admin: removes a member; the last owner stays. Returns the membership as it was.';

create function billing_private.leave_organization(p_organization_id uuid, p_reason text)
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
    p_organization_id, billing_private.current_user_id(), null, null, true, 'leave_organization', p_reason);
end
$$;
revoke all on function billing_private.leave_organization(uuid, text) from public;
grant execute on function billing_private.leave_organization(uuid, text) to authenticated;

create function billing.leave_organization(organization_id uuid, reason text default null)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.leave_organization(organization_id, reason);
revoke all on function billing.leave_organization(uuid, text) from public;
grant execute on function billing.leave_organization(uuid, text) to authenticated;
comment on function billing.leave_organization(uuid, text) is 'Any member: leaves; the last owner cannot.';

-- An owner makes another member an owner and becomes an admin, in one transaction. Locks the organization. Raises 403 not_authorized,
-- 404 not_found (no member), 409 conflict (mirrored), 422 invalid_argument (to oneself), 503 busy. A second call is 403: the caller owns no more.
create function billing_private.transfer_ownership(p_organization_id uuid, p_user_id uuid, p_reason text)
returns billing.organization_members
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_caller constant uuid := billing_private.current_user_id();
  v_owner billing.organization_members;
  v_department_id uuid;
begin
  perform billing_private.require_role_under_lock(p_organization_id, '{owner}');
  if p_user_id is null or p_user_id = v_caller then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "user_id"}', 'name the member who is to own the organization');
  end if;
  -- Whoever owns an organization is bound to no part of it.
  v_owner := billing_private.change_member(p_organization_id, p_user_id, 'owner', null, false, 'transfer_ownership', p_reason);
  select m.department_id into v_department_id from billing.organization_members as m
  where m.organization_id = p_organization_id and m.user_id = v_caller;
  perform billing_private.change_member(p_organization_id, v_caller, 'admin', v_department_id, false, 'transfer_ownership', p_reason);
  return v_owner;
end
$$;
revoke all on function billing_private.transfer_ownership(uuid, uuid, text) from public;
grant execute on function billing_private.transfer_ownership(uuid, uuid, text) to authenticated;

create function billing.transfer_ownership(organization_id uuid, user_id uuid, reason text default null)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.transfer_ownership(organization_id, user_id, reason);
revoke all on function billing.transfer_ownership(uuid, uuid, text) from public;
grant execute on function billing.transfer_ownership(uuid, uuid, text) to authenticated;
comment on function billing.transfer_ownership(uuid, uuid, text) is
'Owner: makes another member an owner and oneself an admin, at once. Returns the new owner''s membership.';
