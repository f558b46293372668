-- Invitations and agent keys: secrets that are shown once.

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

-- Owner or admin; only an owner invites an owner. A new invitation for the same address replaces the open one.
-- Raises 403 not_authorized, 422 invalid_argument.
create function billing_private.invite_member(p_organization_id uuid, p_email text, p_role text, p_department_id uuid)
returns billing.created_invitation
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_token constant text := encode(extensions.gen_random_bytes(32), 'hex');
  v_invitation billing.invitations;
begin
  if p_role is null or p_role not in ('owner', 'admin', 'billing', 'member') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "role"}', 'owner, admin, billing or member');
  end if;
  if p_email is null or length(p_email) > 320 or p_email !~ '^[^@[:space:]]+@[^@[:space:]]+$' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "email"}');
  end if;
  perform billing_private.require_role(p_organization_id, case when p_role = 'owner' then '{owner}'::text[] else '{owner,admin}' end);
  perform billing_private.require_department(p_organization_id, p_department_id);
  perform billing_private.lock_organization(p_organization_id);
  update billing.invitations as i set revoked_at = clock_timestamp()
  where i.organization_id = p_organization_id and i.email = lower(p_email) and i.accepted_at is null and i.revoked_at is null;
  insert into billing.invitations (organization_id, email, role, department_id, invited_by, expires_at)
  values (p_organization_id, lower(p_email), p_role, p_department_id, billing_private.current_user_id(),
    billing_private.organization_now(p_organization_id) + interval '7 days')
  returning * into v_invitation;
  insert into billing_private.invitation_tokens (token_hash, organization_id, invitation_id)
  values (sha256(convert_to(v_token, 'UTF8')), p_organization_id, v_invitation.id);
  perform billing_private.audit(p_organization_id, 'invite_member', 'invitation', v_invitation.id::text, null, null,
    to_jsonb(v_invitation) - 'email'); -- an address is personal, and the log is for ever
  return (v_invitation.id, p_organization_id, v_invitation.email, p_role, p_department_id, v_invitation.expires_at, v_token)
    ::billing.created_invitation;
end
$$;
revoke all on function billing_private.invite_member(uuid, text, text, uuid) from public;
grant execute on function billing_private.invite_member(uuid, text, text, uuid) to authenticated, service_role;

create function billing.invite_member(organization_id uuid, email text, role text, department_id uuid default null)
returns billing.created_invitation
language sql
volatile
set search_path = ''
return billing_private.invite_member(organization_id, email, role, department_id);
revoke all on function billing.invite_member(uuid, text, text, uuid) from public;
grant execute on function billing.invite_member(uuid, text, text, uuid) to authenticated, service_role;
comment on function billing.invite_member(uuid, text, text, uuid) is
'Owner, admin: invites an e-mail address; the token is returned this once and is good for 7 days.';

-- The invited person, signed in with the invited and verified address. One UPDATE takes the invitation, so it is taken once.
-- Raises 403 not_authorized (an anonymous session), 404 not_found: the same for unknown, used, revoked, expired and somebody else's invitations.
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
  insert into billing.organization_members (organization_id, user_id, role, department_id)
  values (v_invitation.organization_id, v_user_id, v_invitation.role, v_invitation.department_id)
  on conflict (organization_id, user_id) do nothing;
  select m.* into v_member from billing.organization_members as m
  where m.organization_id = v_invitation.organization_id and m.user_id = v_user_id;
  perform billing_private.audit(v_invitation.organization_id, 'accept_invitation', 'member', v_user_id::text, null, null, to_jsonb(v_member));
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

create type billing.created_agent_key as (
  key_id text,
  key text,
  organization_id uuid,
  name text,
  department_id uuid,
  agent_types text[],
  spend_limit numeric,
  spend_window text,
  expires_at timestamptz
);
comment on type billing.created_agent_key is 'An agent key with its secret, shown this once.';

-- Makes a key, new or in a chain of rotations (p_root_key_id; it then shares that chain's cap). `tb_<env>_<key id>_<secret>_<checksum>`: 256 random bits; the SHA-256 of the whole key is kept. The caller has checked rights.
create function billing_private.issue_agent_key(
  p_organization_id uuid, p_name text, p_department_id uuid, p_agent_types text[], p_expires_at timestamptz, p_spend_limit numeric,
  p_spend_window text, p_root_key_id text default null
)
returns billing.created_agent_key
language plpgsql
set search_path = ''
as $$
declare
  v_key_id constant text := encode(extensions.gen_random_bytes(8), 'hex');
  v_body constant text := concat_ws('_', 'tb', billing_private.setting('environment', 'test'), v_key_id,
    encode(extensions.gen_random_bytes(32), 'hex'));
  v_key constant text := v_body || '_' || left(encode(sha256(convert_to(v_body, 'UTF8')), 'hex'), 8);
begin
  insert into billing.agent_keys
    (organization_id, key_id, root_key_id, name, department_id, agent_types, spend_limit, spend_window, expires_at, created_by)
  values (p_organization_id, v_key_id, coalesce(p_root_key_id, v_key_id), p_name, p_department_id, p_agent_types, p_spend_limit, p_spend_window, p_expires_at,
    billing_private.current_user_id());
  insert into billing_private.agent_key_secrets (key_id, organization_id, key_hash)
  values (v_key_id, p_organization_id, sha256(convert_to(v_key, 'UTF8')));
  if p_spend_limit is not null and p_root_key_id is null then
    with made as (
      insert into billing.credit_limits (organization_id, subject_type, subject_id, amount, limit_window, mode, counted_from)
      select p_organization_id, 'agent_key', v_key_id, p_spend_limit, p_spend_window, 'hard',
        nullif(billing_private.window_start(p_spend_window, 'UTC', billing_private.ledger_now(o.test_clock)), '-infinity')
      from billing.organizations as o where o.organization_id = p_organization_id
      returning organization_id, id, counted_from
    )
    insert into billing_private.credit_limit_counters (organization_id, limit_id, window_start, used)
    select m.organization_id, m.id, coalesce(m.counted_from, '-infinity'), 0 from made as m;
  end if;
  return (v_key_id, v_key, p_organization_id, p_name, p_department_id, p_agent_types, p_spend_limit, p_spend_window, p_expires_at)
    ::billing.created_agent_key;
end
$$;
revoke all on function billing_private.issue_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text, text) from public;

-- Owner or admin. Raises 403 not_authorized, 422 invalid_argument and invalid_amount. Not idempotent: each call makes a key.
create function billing_private.create_agent_key(
  p_organization_id uuid, p_name text, p_department_id uuid, p_agent_types text[], p_expires_at timestamptz, p_spend_limit numeric,
  p_spend_window text
)
returns billing.created_agent_key
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_created billing.created_agent_key;
begin
  perform billing_private.require_text('name', p_name, 200);
  perform billing_private.require_role(p_organization_id, '{owner,admin}');
  perform billing_private.require_department(p_organization_id, p_department_id);
  if cardinality(p_agent_types) not between 1 and 100 or exists (
    select 1 from unnest(p_agent_types) as a (name) where a.name is null or length(a.name) not between 1 and 255
  ) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "agent_types"}', '1 to 100 names, or null for all');
  end if;
  if p_expires_at <= billing_private.organization_now(p_organization_id) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "expires_at"}', 'expires_at must be in the future');
  end if;
  if p_spend_limit is not null then
    perform billing_private.require_amount('spend_limit', p_spend_limit, true);
  end if;
  if p_spend_window is null or p_spend_window not in ('day', 'week', 'month', 'lifetime') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "spend_window"}', 'day, week, month or lifetime');
  end if;
  v_created := billing_private.issue_agent_key(
    p_organization_id, p_name, p_department_id, p_agent_types, p_expires_at, p_spend_limit, p_spend_window);
  perform billing_private.audit(p_organization_id, 'create_agent_key', 'agent_key', v_created.key_id, null, null, to_jsonb(v_created) - 'key');
  return v_created;
end
$$;
revoke all on function billing_private.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text) from public;
grant execute on function billing_private.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text) to authenticated, service_role;

create function billing.create_agent_key(
  organization_id uuid, name text, department_id uuid default null, agent_types text[] default null, expires_at timestamptz default null,
  spend_limit numeric default null, spend_window text default 'month'
)
returns billing.created_agent_key
language sql
volatile
set search_path = ''
return billing_private.create_agent_key(organization_id, name, department_id, agent_types, expires_at, spend_limit, spend_window);
revoke all on function billing.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text) from public;
grant execute on function billing.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text) to authenticated, service_role;
comment on function billing.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text) is
'Owner, admin: makes an agent key, optionally bound to a department and agent types, with an expiry and a cap a window. The key is returned this once.';

-- A key that the caller may manage. 403 not_authorized for a foreign key and for an unknown one alike; the service learns 404 not_found.
create function billing_private.manageable_agent_key(p_key_id text)
returns billing.agent_keys
language plpgsql
stable
set search_path = ''
as $$
declare
  v_key billing.agent_keys;
begin
  select k.* into v_key
  from billing_private.agent_key_secrets as s
  inner join billing.agent_keys as k on k.organization_id = s.organization_id and k.key_id = s.key_id
  where s.key_id = p_key_id;
  if v_key.key_id is null then
    if billing_private.caller_is_service() then
      perform billing_private.fail(404, 'not_found', '{"what": "agent_key"}');
    end if;
    perform billing_private.fail(403, 'not_authorized');
  end if;
  perform billing_private.require_role(v_key.organization_id, '{owner,admin}');
  return v_key;
end
$$;
revoke all on function billing_private.manageable_agent_key(text) from public;

-- Owner or admin. Takes the organization's lock: a spend that waits for it sees the revocation, so none succeeds after this commits. Idempotent.
create function billing_private.revoke_agent_key(p_key_id text)
returns billing.agent_keys
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before constant billing.agent_keys := billing_private.manageable_agent_key(p_key_id);
  v_after billing.agent_keys;
begin
  perform billing_private.lock_organization(v_before.organization_id);
  update billing.agent_keys as k set revoked_at = clock_timestamp()
  where k.organization_id = v_before.organization_id and k.key_id = p_key_id and k.revoked_at is null
  returning * into v_after;
  if v_after.key_id is null then
    select k.* into v_after from billing.agent_keys as k
    where k.organization_id = v_before.organization_id and k.key_id = p_key_id;
    return v_after;
  end if;
  perform billing_private.audit(v_before.organization_id, 'revoke_agent_key', 'agent_key', p_key_id, null, to_jsonb(v_before), to_jsonb(v_after));
  return v_after;
end
$$;
revoke all on function billing_private.revoke_agent_key(text) from public;
grant execute on function billing_private.revoke_agent_key(text) to authenticated, service_role;

create function billing.revoke_agent_key(key_id text)
returns billing.agent_keys
language sql
volatile
set search_path = ''
return billing_private.revoke_agent_key(key_id);
revoke all on function billing.revoke_agent_key(text) from public;
grant execute on function billing.revoke_agent_key(text) to authenticated, service_role;
comment on function billing.revoke_agent_key(text) is 'Owner, admin: ends a key at once.';

-- Owner or admin: a new key with the same rights; the old one ends after `overlap` (0: at once).
create function billing_private.rotate_agent_key(p_key_id text, p_overlap interval)
returns billing.created_agent_key
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_old constant billing.agent_keys := billing_private.manageable_agent_key(p_key_id);
  v_created billing.created_agent_key;
begin
  if p_overlap is null or p_overlap < interval '0' or p_overlap > interval '90 days' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "overlap"}', 'between 0 and 90 days');
  end if;
  if v_old.revoked_at is not null then
    perform billing_private.fail(409, 'conflict', '{"what": "revoked"}', 'a revoked key cannot be rotated');
  end if;
  perform billing_private.lock_organization(v_old.organization_id);
  v_created := billing_private.issue_agent_key(
    v_old.organization_id, v_old.name, v_old.department_id, v_old.agent_types, v_old.expires_at, v_old.spend_limit, v_old.spend_window,
    v_old.root_key_id);
  update billing.agent_keys as k
  set
    revoked_at = case when p_overlap = interval '0' then clock_timestamp() end,
    expires_at = least(k.expires_at, billing_private.organization_now(k.organization_id) + p_overlap)
  where k.organization_id = v_old.organization_id and k.key_id = p_key_id;
  perform billing_private.audit(v_old.organization_id, 'rotate_agent_key', 'agent_key', p_key_id, null, to_jsonb(v_old), to_jsonb(v_created) - 'key');
  return v_created;
end
$$;
revoke all on function billing_private.rotate_agent_key(text, interval) from public;
grant execute on function billing_private.rotate_agent_key(text, interval) to authenticated, service_role;

create function billing.rotate_agent_key(key_id text, overlap interval default '1 day')
returns billing.created_agent_key
language sql
volatile
set search_path = ''
return billing_private.rotate_agent_key(key_id, overlap);
revoke all on function billing.rotate_agent_key(text, interval) from public;
grant execute on function billing.rotate_agent_key(text, interval) to authenticated, service_role;
comment on function billing.rotate_agent_key(text, interval) is
'Owner, admin: a new key with the same rights; the old one goes on working for the overlap.';
