-- Agent keys: a secret that is shown once, with what it may do, and its rotation and revocation. identify_agent() (000700) checks them.
--
-- Nobody is told here when a key was last used: confirm_standing() notes that under the lock of a spend, once a minute.

create type billing.created_agent_key as (
  key_id text,
  key text,
  organization_id uuid,
  name text,
  department_id uuid,
  agent_types text[],
  spend_limit numeric,
  spend_window text,
  expires_at timestamptz,
  scopes text[]
);
comment on type billing.created_agent_key is 'An agent key with its secret, shown this once.';

-- Makes a key, new or in a chain of rotations (p_root_key_id; it then shares that chain's cap). `tb_<env>_<key id>_<secret>_<checksum>`: 256 random
-- bits; the SHA-256 of the whole key is kept. The caller has checked rights and holds the lock.
create function billing_private.issue_agent_key(
  p_organization_id uuid, p_name text, p_department_id uuid, p_agent_types text[], p_expires_at timestamptz, p_spend_limit numeric,
  p_spend_window text, p_scopes text[], p_root_key_id text default null
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
    (organization_id, key_id, root_key_id, name, department_id, agent_types, scopes, spend_limit, spend_window, expires_at, created_by)
  values (p_organization_id, v_key_id, coalesce(p_root_key_id, v_key_id), p_name, p_department_id, p_agent_types, p_scopes, p_spend_limit,
    p_spend_window, p_expires_at, billing_private.current_user_id());
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
  return (v_key_id, v_key, p_organization_id, p_name, p_department_id, p_agent_types, p_spend_limit, p_spend_window, p_expires_at, p_scopes)
    ::billing.created_agent_key;
end
$$;
revoke all on function billing_private.issue_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text, text[], text) from public;

-- Refuses the key that was just made when more than 1,000 of the organization's work: 409 conflict. Under the lock.
create function billing_private.require_key_places(p_organization_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if (
    select count(*) from billing.agent_keys as k
    where k.organization_id = p_organization_id and k.revoked_at is null
      and (k.expires_at is null or k.expires_at > billing_private.organization_now(p_organization_id))
  ) > 1000 then
    perform billing_private.fail(409, 'conflict', '{"what": "agent_keys", "max": 1000}', 'revoke keys that nobody needs first');
  end if;
end
$$;
revoke all on function billing_private.require_key_places(uuid) from public;

-- Owner or admin. Locks the organization. Raises 403 not_authorized, 409 conflict (1,000 keys that work), 422 invalid_argument and invalid_amount,
-- 429 rate_limited, 503 busy. Not idempotent: each call makes a key, and the one whose answer was lost should be revoked.
create function billing_private.create_agent_key(
  p_organization_id uuid, p_name text, p_department_id uuid, p_agent_types text[], p_expires_at timestamptz, p_spend_limit numeric,
  p_spend_window text, p_scopes text[], p_reason text
)
returns billing.created_agent_key
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_created billing.created_agent_key;
  v_scopes constant text[] := array(select distinct e.scope from unnest(coalesce(p_scopes, '{check,consume,hold,read}')) as e (scope) order by e.scope);
begin
  perform billing_private.require_text('name', p_name, 200);
  perform billing_private.require_reason(p_reason);
  perform billing_private.require_request_rate('create_agent_key');
  perform billing_private.require_role_under_lock(p_organization_id, '{owner,admin}');
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
    perform billing_private.require_exact_amount('spend_limit', p_spend_limit, true);
  end if;
  if p_spend_window is null or p_spend_window not in ('day', 'week', 'month', 'lifetime') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "spend_window"}', 'day, week, month or lifetime');
  end if;
  if cardinality(v_scopes) = 0 or not v_scopes <@ '{check,consume,hold,read}' or array_position(v_scopes, null) is not null then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "scopes"}', 'some of check, consume, hold and read, or null for all');
  end if;
  v_created := billing_private.issue_agent_key(
    p_organization_id, p_name, p_department_id, p_agent_types, nullif(p_expires_at, 'infinity'), p_spend_limit, p_spend_window, v_scopes);
  perform billing_private.require_key_places(p_organization_id);
  perform billing_private.audit(p_organization_id, 'create_agent_key', 'agent_key', v_created.key_id, p_reason, null, to_jsonb(v_created) - 'key');
  return v_created;
end
$$;
revoke all on function billing_private.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text, text[], text) from public;
grant execute on function billing_private.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text, text[], text) to authenticated, service_role;

create function billing.create_agent_key(
  organization_id uuid, name text, department_id uuid default null, agent_types text[] default null, expires_at timestamptz default null,
  spend_limit numeric default null, spend_window text default 'month', scopes text[] default null, reason text default null
)
returns billing.created_agent_key
language sql
volatile
set search_path = ''
return billing_private.create_agent_key(
  organization_id, name, department_id, agent_types, expires_at, spend_limit, spend_window, scopes, reason
);
revoke all on function billing.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text, text[], text) from public;
grant execute on function billing.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text, text[], text) to authenticated, service_role;
comment on function billing.create_agent_key(uuid, text, uuid, text[], timestamptz, numeric, text, text[], text) is
'Owner, admin: makes an agent key, optionally bound to a department, agent types and scopes (check, consume, hold, read), with an expiry and a cap a window. The key is returned this once.';

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
create function billing_private.revoke_agent_key(p_key_id text, p_reason text)
returns billing.agent_keys
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before billing.agent_keys;
  v_after billing.agent_keys;
begin
  perform billing_private.require_reason(p_reason);
  v_before := billing_private.manageable_agent_key(p_key_id);
  perform billing_private.require_role_under_lock(v_before.organization_id, '{owner,admin}');
  update billing.agent_keys as k set revoked_at = clock_timestamp()
  where k.organization_id = v_before.organization_id and k.key_id = p_key_id and k.revoked_at is null
  returning * into v_after;
  if v_after.key_id is null then
    select k.* into v_after from billing.agent_keys as k
    where k.organization_id = v_before.organization_id and k.key_id = p_key_id;
    return v_after;
  end if;
  perform billing_private.audit(v_before.organization_id, 'revoke_agent_key', 'agent_key', p_key_id, p_reason, to_jsonb(v_before),
    to_jsonb(v_after));
  return v_after;
end
$$;
revoke all on function billing_private.revoke_agent_key(text, text) from public;
grant execute on function billing_private.revoke_agent_key(text, text) to authenticated, service_role;

create function billing.revoke_agent_key(key_id text, reason text default null)
returns billing.agent_keys
language sql
volatile
set search_path = ''
return billing_private.revoke_agent_key(key_id, reason);
revoke all on function billing.revoke_agent_key(text, text) from public;
grant execute on function billing.revoke_agent_key(text, text) to authenticated, service_role;
comment on function billing.revoke_agent_key(text, text) is 'Owner, admin: ends a key at once.';

-- Owner or admin: a new key with the same rights, cap and end; the old one ends after `overlap` (0: at once). Locks the organization. Raises
-- 403 not_authorized, 409 conflict (a key that is revoked or has expired; 1,000 keys that work, unless the overlap is 0), 422 invalid_argument,
-- 503 busy. Not idempotent: each call makes a key.
create function billing_private.rotate_agent_key(p_key_id text, p_overlap interval, p_reason text)
returns billing.created_agent_key
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_old billing.agent_keys;
  v_end timestamptz;
  v_after billing.agent_keys;
  v_created billing.created_agent_key;
begin
  perform billing_private.require_reason(p_reason);
  v_old := billing_private.manageable_agent_key(p_key_id);
  if p_overlap is null or p_overlap < interval '0' or p_overlap > interval '90 days' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "overlap"}', 'between 0 and 90 days');
  end if;
  perform billing_private.require_role_under_lock(v_old.organization_id, '{owner,admin}');
  select k.* into v_old from billing.agent_keys as k -- again: two may rotate it at once, or one revoke it
  where k.organization_id = v_old.organization_id and k.key_id = p_key_id;
  if v_old.revoked_at is not null then
    perform billing_private.fail(409, 'conflict', '{"what": "revoked"}', 'a revoked key cannot be rotated');
  elsif v_old.expires_at <= billing_private.organization_now(v_old.organization_id) then
    perform billing_private.fail(409, 'conflict', '{"what": "expired"}', 'a key that has expired cannot be rotated');
  end if;
  -- A key that was rotated before ends with its overlap; the end that its chain was made with is that of its successors.
  select nullif(max(coalesce(k.expires_at, 'infinity')), 'infinity') into v_end
  from billing.agent_keys as k where k.organization_id = v_old.organization_id and k.root_key_id = v_old.root_key_id;
  v_created := billing_private.issue_agent_key(
    v_old.organization_id, v_old.name, v_old.department_id, v_old.agent_types, v_end, v_old.spend_limit, v_old.spend_window,
    v_old.scopes, v_old.root_key_id);
  update billing.agent_keys as k
  set
    revoked_at = case when p_overlap = interval '0' then clock_timestamp() end,
    expires_at = least(k.expires_at, billing_private.organization_now(k.organization_id) + p_overlap)
  where k.organization_id = v_old.organization_id and k.key_id = p_key_id
  returning * into v_after;
  perform billing_private.require_key_places(v_old.organization_id);
  perform billing_private.audit(v_old.organization_id, 'rotate_agent_key', 'agent_key', p_key_id, p_reason, to_jsonb(v_old),
    to_jsonb(v_after) || jsonb_build_object('successor', to_jsonb(v_created) - 'key'));
  return v_created;
end
$$;
revoke all on function billing_private.rotate_agent_key(text, interval, text) from public;
grant execute on function billing_private.rotate_agent_key(text, interval, text) to authenticated, service_role;

create function billing.rotate_agent_key(key_id text, overlap interval default '1 day', reason text default null)
returns billing.created_agent_key
language sql
volatile
set search_path = ''
return billing_private.rotate_agent_key(key_id, overlap, reason);
revoke all on function billing.rotate_agent_key(text, interval, text) from public;
grant execute on function billing.rotate_agent_key(text, interval, text) to authenticated, service_role;
comment on function billing.rotate_agent_key(text, interval, text) is
'Owner, admin: a new key with the same rights; the old one goes on working for the overlap.';

create type billing.agent_key_facts as (
  key_id text,
  organization_id uuid,
  name text,
  department_id uuid,
  agent_types text[],
  scopes text[],
  spend_limit numeric,
  spend_window text,
  expires_at timestamptz
);
comment on type billing.agent_key_facts is 'What an agent key is: what it is bound to and may be used for. Nulls: bound to no department or type, no cap, no end.';

-- The agent itself, whatever its scopes: what its key (or the token that stands for it, with the token's scopes) may do. Raises
-- 401 agent_key_invalid. Reads only.
create function billing_private.describe_agent_key()
returns billing.agent_key_facts
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_key constant billing.agent_keys := billing_private.identify_agent(
    nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key');
begin
  return (v_key.key_id, v_key.organization_id, v_key.name, v_key.department_id, v_key.agent_types, v_key.scopes, v_key.spend_limit,
    v_key.spend_window, v_key.expires_at)::billing.agent_key_facts;
end
$$;
revoke all on function billing_private.describe_agent_key() from public;
grant execute on function billing_private.describe_agent_key() to anon;

create function billing.describe_agent_key()
returns billing.agent_key_facts
language sql
stable
set search_path = ''
return billing_private.describe_agent_key();
revoke all on function billing.describe_agent_key() from public;
grant execute on function billing.describe_agent_key() to anon;
comment on function billing.describe_agent_key() is 'An agent: what its own key is bound to and may be used for.';
