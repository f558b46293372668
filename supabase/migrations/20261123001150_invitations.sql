-- Invitations: a token that is shown once, for one address. The worker send_invitation mails it (docs/how-to/invitation-mails.md).

create type billing.created_invitation as (
  invitation_id uuid,
  organization_id uuid,
  email text,
  role text,
  department_id uuid,
  expires_at timestamptz,
  token text
);
comment on type billing.created_invitation is 'An invitation with its token, shown this once.';

-- Owner or admin; only an owner invites an owner, or replaces an invitation that is to make one. A new invitation for the same address replaces the
-- open one, so a retry is safe. Locks the organization. Raises 403 not_authorized, 409 conflict (mirrored), 422 invalid_argument,
-- 429 rate_limited, 503 busy.
create function billing_private.invite_member(p_organization_id uuid, p_email text, p_role text, p_department_id uuid, p_reason text)
returns billing.created_invitation
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_token constant text := encode(extensions.gen_random_bytes(32), 'hex');
  v_replaced billing.invitations;
  v_invitation billing.invitations;
begin
  if p_role is null or p_role not in ('owner', 'admin', 'billing', 'member') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "role"}', 'owner, admin, billing or member');
  end if;
  if p_email is null or length(p_email) > 320 or p_email !~ '^[^@[:space:][:cntrl:]<>,;"\\]+@[^@[:space:][:cntrl:]<>,;"\\]+$' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "email"}');
  end if;
  perform billing_private.require_reason(p_reason);
  perform billing_private.require_request_rate('invite_member');
  perform billing_private.require_role_under_lock(
    p_organization_id, case when p_role = 'owner' then '{owner}'::text[] else '{owner,admin}' end);
  perform billing_private.require_own_members(p_organization_id);
  perform billing_private.require_department(p_organization_id, p_department_id);
  select i.* into v_replaced from billing.invitations as i
  where i.organization_id = p_organization_id and i.email = lower(p_email) and i.accepted_at is null and i.revoked_at is null;
  if found then
    if v_replaced.role = 'owner' and v_replaced.expires_at > billing_private.organization_now(p_organization_id) then
      perform billing_private.require_role(p_organization_id, '{owner}');
    end if;
    perform billing_private.withdraw_invitation(v_replaced, 'revoke_invitation', 'a newer invitation replaces it');
  end if;
  insert into billing.invitations (organization_id, email, role, department_id, invited_by, expires_at)
  values (p_organization_id, lower(p_email), p_role, p_department_id, billing_private.current_user_id(),
    billing_private.organization_now(p_organization_id) + interval '7 days')
  returning * into v_invitation;
  insert into billing_private.invitation_tokens (token_hash, organization_id, invitation_id)
  values (sha256(convert_to(v_token, 'UTF8')), p_organization_id, v_invitation.id);
  perform billing_private.audit(p_organization_id, 'invite_member', 'invitation', v_invitation.id::text, p_reason, null,
    to_jsonb(v_invitation) - 'email'); -- an address is personal, and the log is for ever
  return (v_invitation.id, p_organization_id, v_invitation.email, p_role, p_department_id, v_invitation.expires_at, v_token)
    ::billing.created_invitation;
end
$$;
revoke all on function billing_private.invite_member(uuid, text, text, uuid, text) from public;
grant execute on function billing_private.invite_member(uuid, text, text, uuid, text) to authenticated, service_role;

create function billing.invite_member(
  organization_id uuid, email text, role text, department_id uuid default null, reason text default null
)
returns billing.created_invitation
language sql
volatile
set search_path = ''
return billing_private.invite_member(organization_id, email, role, department_id, reason);
revoke all on function billing.invite_member(uuid, text, text, uuid, text) from public;
grant execute on function billing.invite_member(uuid, text, text, uuid, text) to authenticated, service_role;
comment on function billing.invite_member(uuid, text, text, uuid, text) is
'Owner, admin: invites an e-mail address; the token is returned this once and is good for 7 days.';

-- When a user is deleted, the foreign key forgets who invited, before or after the membership is gone: then the open invitation ends.
create function billing_private.end_orphaned_invitation()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.revoked_at := clock_timestamp();
  return new;
end
$$;
revoke all on function billing_private.end_orphaned_invitation() from public;
create trigger invitations_end_with_their_maker before update of invited_by on billing.invitations
for each row when (old.invited_by is not null and new.invited_by is null and new.accepted_at is null and new.revoked_at is null)
execute function billing_private.end_orphaned_invitation();

-- Owner or admin: withdraws an open invitation, that of an owner only an owner; idempotent. Locks the organization. Raises 403 not_authorized for a
-- foreign invitation and for an unknown one alike (the service: 404 not_found), 409 conflict (it was accepted), 503 busy.
create function billing_private.revoke_invitation(p_invitation_id uuid, p_reason text)
returns billing.invitations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before billing.invitations;
  v_after billing.invitations;
begin
  perform billing_private.require_reason(p_reason);
  select i.* into v_before from billing.invitations as i where i.id = p_invitation_id;
  if v_before.id is null then
    if billing_private.caller_is_service() then
      perform billing_private.fail(404, 'not_found', '{"what": "invitation"}');
    end if;
    perform billing_private.fail(403, 'not_authorized');
  end if;
  perform billing_private.require_role_under_lock(
    v_before.organization_id, case when v_before.role = 'owner' then '{owner}'::text[] else '{owner,admin}' end);
  perform billing_private.withdraw_invitation(v_before, 'revoke_invitation', p_reason);
  select i.* into v_after from billing.invitations as i
  where i.organization_id = v_before.organization_id and i.id = p_invitation_id;
  if v_after.accepted_at is not null then
    perform billing_private.fail(409, 'conflict', '{"what": "accepted"}', 'the invitation was accepted: remove the member instead');
  end if;
  return v_after;
end
$$;
revoke all on function billing_private.revoke_invitation(uuid, text) from public;
grant execute on function billing_private.revoke_invitation(uuid, text) to authenticated, service_role;

create function billing.revoke_invitation(invitation_id uuid, reason text default null)
returns billing.invitations
language sql
volatile
set search_path = ''
return billing_private.revoke_invitation(invitation_id, reason);
revoke all on function billing.revoke_invitation(uuid, text) from public;
grant execute on function billing.revoke_invitation(uuid, text) to authenticated, service_role;
comment on function billing.revoke_invitation(uuid, text) is 'Owner, admin: withdraws an open invitation.';

-- The invited person, signed in with the invited and verified address. One UPDATE takes the invitation, so it is taken once.
-- Raises 403 not_authorized (an anonymous session), 404 not_found: the same for unknown, used, revoked, expired and somebody else's invitations;
-- 409 conflict (already a member, whom an invitation does not change; it stays open; or mirrored), 429 rate_limited. Locks the
-- invitation's row alone: who removes a member or mirrors the organization meanwhile waits for it, and then sees the new member.
create function billing_private.accept_invitation(p_token text)
returns billing.organization_members
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_user_id constant uuid := billing_private.current_user_id();
  v_invitation billing.invitations;
  v_member billing.organization_members;
begin
  if not billing_private.caller_is_first_party() then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  perform billing_private.require_request_rate('accept_invitation');
  update billing.invitations as i set accepted_at = clock_timestamp()
  from billing_private.invitation_tokens as t, auth.users as u
  where t.token_hash = sha256(convert_to(coalesce(p_token, ''), 'UTF8'))
    and i.organization_id = t.organization_id and i.id = t.invitation_id
    and i.accepted_at is null and i.revoked_at is null and i.expires_at > billing_private.organization_now(i.organization_id)
    and u.id = v_user_id and lower(u.email) = i.email and u.email_confirmed_at is not null
  returning i.* into v_invitation;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "invitation"}');
  end if;
  perform billing_private.require_own_members(v_invitation.organization_id);
  insert into billing.organization_members (organization_id, user_id, role, department_id)
  values (v_invitation.organization_id, v_user_id, v_invitation.role, v_invitation.department_id)
  on conflict (organization_id, user_id) do nothing
  returning * into v_member;
  if not found then
    perform billing_private.fail(409, 'conflict', '{"what": "member"}', 'you belong to this organization already');
  end if;
  perform billing_private.audit(v_invitation.organization_id, 'accept_invitation', 'member', v_user_id::text,
    'invitation ' || v_invitation.id::text, null, to_jsonb(v_member));
  return v_member;
end
$$;
revoke all on function billing_private.accept_invitation(text) from public;
grant execute on function billing_private.accept_invitation(text) to authenticated;

create function billing.accept_invitation(token text)
returns billing.organization_members
language sql
volatile
set search_path = ''
return billing_private.accept_invitation(token);
revoke all on function billing.accept_invitation(text) from public;
grant execute on function billing.accept_invitation(text) to authenticated;
comment on function billing.accept_invitation(text) is 'The invited person, signed in with the invited address: joins the organization.';
