-- Limits of requests: how often one caller may do what succeeds.
--
-- What is refused is rolled back and leaves no count, so only successes are counted, and nothing is written for it: a spend is a row of the
-- ledger, everything else a row of the audit log. Floods of refused calls, replays and reads are the business of the gateway in front.
-- The service is not limited. docs/concepts/limits-of-requests.md says what each limit is for.

create table billing_private.request_limits (
  name text not null,
  organization_id uuid,
  requests integer not null,
  per interval not null,
  updated_at timestamptz not null default now(),
  constraint request_limits_name_unique unique nulls not distinct (organization_id, name),
  constraint request_limits_name_known check (name in (
    'spend_by_agent_key', 'spend_by_member',
    'create_organization', 'invite_member', 'accept_invitation', 'redeem_promotion_code', 'create_agent_key'
  )),
  constraint request_limits_of_organization_only_where_there_is_one check (
    organization_id is null or name in ('spend_by_agent_key', 'spend_by_member')
  ),
  constraint request_limits_requests_bounded check (requests between 1 and 100000),
  constraint request_limits_per_bounded check (per between interval '1 second' and interval '1 day'),
  constraint request_limits_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
alter table billing_private.request_limits enable row level security;
revoke all on table billing_private.request_limits from public, anon, authenticated, service_role;
comment on table billing_private.request_limits is
'How many successful requests one agent key or person may make in a sliding window. No row: no limit. An organization''s own row wins.';
comment on column billing_private.request_limits.name is
'spend_by_agent_key and spend_by_member: entries of the ledger, where a batch is one; otherwise the function, counted a person.';
comment on column billing_private.request_limits.organization_id is 'The organization whose keys and members it is for; null: all.';
comment on column billing_private.request_limits.requests is 'So many,';
comment on column billing_private.request_limits.per is 'in so long.';
comment on column billing_private.request_limits.updated_at is 'When it was last set.';

insert into billing_private.request_limits (name, requests, per) values
('spend_by_agent_key', 10000, '1 second'),
('spend_by_member', 1000, '1 second'),
('create_organization', 20, '1 hour'),
('invite_member', 100, '1 hour'),
('accept_invitation', 20, '1 hour'),
('redeem_promotion_code', 20, '1 hour'),
('create_agent_key', 100, '1 hour');

-- The limit of a name that holds for an organization, or none.
create function billing_private.request_limit(p_name text, p_organization_id uuid)
returns billing_private.request_limits
language plpgsql
stable
set search_path = ''
as $$
declare
  v_limit billing_private.request_limits;
begin
  select l.* into v_limit
  from billing_private.request_limits as l
  where l.name = p_name and (l.organization_id is null or l.organization_id = p_organization_id)
  order by l.organization_id nulls last limit 1;
  return v_limit;
end
$$;
revoke all on function billing_private.request_limit(text, uuid) from public;

-- Refuses a person who has called p_action too often: 429 rate_limited. Called by the functions that it names, before they do anything, and they
-- must audit their success as p_action. Locks the person's calls of this action, so that a burst counts as a sequence: exact, and only theirs;
-- 503 busy when that lock was not had within 2 s.
create function billing_private.require_request_rate(p_action text)
returns void
language plpgsql
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_user_id constant uuid := billing_private.current_user_id();
  v_limit constant billing_private.request_limits := billing_private.request_limit(p_action, null);
  v_earliest timestamptz;
begin
  if v_user_id is null or v_limit.requests is null then
    return;
  end if;
  begin
    -- Below 0, where no organization's lock key is.
    perform pg_catalog.pg_advisory_xact_lock(hashtextextended(p_action || ':' || v_user_id::text, 0) | (-9223372036854775808));
  exception when lock_not_available then
    perform billing_private.fail(503, 'busy', null, 'You are doing this several times at once.');
  end;
  select a.created_at into v_earliest
  from billing.audit_log as a
  where a.actor_id = v_user_id::text and a.action = p_action and a.created_at > clock_timestamp() - v_limit.per
  order by a.created_at desc offset v_limit.requests - 1 limit 1;
  if found then
    perform billing_private.fail_rate_limited(p_action, v_limit.requests, v_limit.per,
      greatest(ceil(extract(epoch from v_earliest + v_limit.per - clock_timestamp()))::integer, 1));
  end if;
end
$$;
revoke all on function billing_private.require_request_rate(text) from public;

-- Refuses an agent or a member whose entries come too fast: 429 rate_limited. Called by announce_ledger(), that is once a second an organization
-- and not at every spend: what is refused announces nothing, so the next spend is looked at again, and none passes until the rate has fallen.
-- So a limit is exceeded by no more than what can be spent in a second, and a spend costs nothing more for it. Under the organization's lock.
-- One probe answers most: if the entry so many places back is old enough, nobody has been too fast. Otherwise at most four times as many entries
-- are counted; entries of one instant are one batch. Not for organizations with a test clock, whose entries are dated as that says.
create function billing_private.require_spend_rate(p_organization_id uuid, p_sequence bigint)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_user_id constant uuid := billing_private.current_user_id();
  v_is_agent constant boolean := billing_private.caller_role() = 'anon';
  v_limit billing_private.request_limits;
  v_since timestamptz;
  v_root_key_id text;
  v_earliest timestamptz;
begin
  if not v_is_agent and v_user_id is null then
    return;
  end if;
  v_limit := billing_private.request_limit(case when v_is_agent then 'spend_by_agent_key' else 'spend_by_member' end, p_organization_id);
  if v_limit.requests is null then
    return;
  end if;
  v_since := clock_timestamp() - v_limit.per;
  if not exists (
    select 1 from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.sequence = p_sequence - v_limit.requests and t.created_at > v_since
  ) or exists (
    select 1 from billing.organizations as o where o.organization_id = p_organization_id and o.test_clock is not null
  ) then
    return;
  end if;
  if v_is_agent then
    select k.root_key_id into v_root_key_id from billing.agent_keys as k
    where k.organization_id = p_organization_id and k.key_id = billing_private.presented_key_id();
  end if;
  select r.created_at into v_earliest
  from (
    select distinct t.created_at
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.sequence < p_sequence and t.sequence >= p_sequence - 4 * v_limit.requests
      and t.created_at > v_since and (t.agent_key_id = v_root_key_id or t.user_id = v_user_id)
  ) as r
  order by r.created_at desc offset v_limit.requests - 1 limit 1;
  if found then
    perform billing_private.fail_rate_limited(v_limit.name, v_limit.requests, v_limit.per,
      greatest(ceil(extract(epoch from v_earliest + v_limit.per - clock_timestamp()))::integer, 1));
  end if;
end
$$;
revoke all on function billing_private.require_spend_rate(uuid, bigint) from public;

create type billing.request_limit as (
  name text,
  organization_id uuid,
  requests integer,
  per interval
);
comment on type billing.request_limit is 'How many successful requests one agent key or person may make in a sliding window. requests null: no limit.';

-- The service. requests null takes the limit away: for everybody, or an organization's own, after which it has everybody's. A limit of one
-- organization is audited there. Raises 404 not_found, 422 invalid_argument. Idempotent.
create function billing_private.set_request_limit(p_name text, p_requests integer, p_per interval, p_organization_id uuid, p_reason text)
returns billing.request_limit
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before billing_private.request_limits;
  v_after billing_private.request_limits;
begin
  perform billing_private.require_service();
  perform billing_private.require_reason(p_reason);
  if p_name is null or p_name not in ('spend_by_agent_key', 'spend_by_member', 'create_organization', 'invite_member', 'accept_invitation',
    'redeem_promotion_code', 'create_agent_key') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "name"}', 'no request limit has this name');
  elsif p_requests not between 1 and 100000 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "requests"}', '1 to 100,000, or null for no limit');
  elsif p_requests is not null and (p_per is null or p_per not between interval '1 second' and interval '1 day') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "per"}', '1 second to 1 day');
  elsif p_organization_id is not null and p_name not in ('spend_by_agent_key', 'spend_by_member') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "organization_id"}', 'this limit is a person''s, in no organization');
  end if;
  if p_organization_id is not null then
    perform billing_private.lock_organization(p_organization_id);
  end if;
  delete from billing_private.request_limits as l
  where l.name = p_name and l.organization_id is not distinct from p_organization_id
  returning * into v_before;
  if p_requests is not null then
    insert into billing_private.request_limits (name, organization_id, requests, per)
    values (p_name, p_organization_id, p_requests, p_per)
    returning * into v_after;
  end if;
  if p_organization_id is not null then
    perform billing_private.audit(p_organization_id, 'set_request_limit', 'request_limit', p_name, p_reason,
      case when v_before.name is not null then to_jsonb(v_before) end, case when v_after.name is not null then to_jsonb(v_after) end);
  end if;
  return (p_name, p_organization_id, p_requests, case when p_requests is not null then p_per end)::billing.request_limit;
end
$$;
revoke all on function billing_private.set_request_limit(text, integer, interval, uuid, text) from public;
grant execute on function billing_private.set_request_limit(text, integer, interval, uuid, text) to service_role;

create function billing.set_request_limit(
  name text, requests integer, per interval default '1 hour', organization_id uuid default null, reason text default null
)
returns billing.request_limit
language sql
volatile
set search_path = ''
return billing_private.set_request_limit(name, requests, per, organization_id, reason);
revoke all on function billing.set_request_limit(text, integer, interval, uuid, text) from public;
grant execute on function billing.set_request_limit(text, integer, interval, uuid, text) to service_role;
comment on function billing.set_request_limit(text, integer, interval, uuid, text) is
'Service: sets how many successful requests one agent key or person may make in a sliding window; requests null: no limit.';
