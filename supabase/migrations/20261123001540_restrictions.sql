-- Why an organization may not spend: one row a cause, and the one that counts on the organization itself, where the spend reads it.
--
-- A cause may lie ahead (the end of a grace period): it then holds exactly from that instant, whether or not any job runs.

create table billing_private.organization_restrictions (
  organization_id uuid not null,
  reason text not null,
  restricted_from timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint organization_restrictions_pkey primary key (organization_id, reason),
  constraint organization_restrictions_reason_known check (reason in ('past_due', 'dispute', 'paused')),
  constraint organization_restrictions_organization_fkey foreign key (organization_id)
  references billing.organizations (organization_id)
);
alter table billing_private.organization_restrictions enable row level security;
revoke all on table billing_private.organization_restrictions from public, anon, authenticated, service_role;
comment on table billing_private.organization_restrictions is
'Causes for which an organization may not spend; organizations.restricted_reason and restricted_from show the earliest.';
comment on column billing_private.organization_restrictions.organization_id is 'The tenant.';
comment on column billing_private.organization_restrictions.reason is 'past_due, dispute or paused.';
comment on column billing_private.organization_restrictions.restricted_from is 'First instant at which it holds, by the organization''s clock.';
comment on column billing_private.organization_restrictions.created_at is 'When it was recorded.';

-- Writes the earliest cause onto the organization. Under the organization's lock.
create function billing_private.show_restriction(p_organization_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_cause billing_private.organization_restrictions;
begin
  select r.* into v_cause from billing_private.organization_restrictions as r
  where r.organization_id = p_organization_id
  order by r.restricted_from, array_position('{dispute,past_due,paused}', r.reason)
  limit 1;
  update billing.organizations as o
  set restricted_reason = v_cause.reason, restricted_from = v_cause.restricted_from
  where o.organization_id = p_organization_id
    and (o.restricted_reason, o.restricted_from) is distinct from (v_cause.reason, v_cause.restricted_from);
  if found then
    perform billing_private.announce(p_organization_id, 'money_changed', '{"table": "organizations"}');
  end if;
end
$$;
revoke all on function billing_private.show_restriction(uuid) from public;

-- Restricts spending for a reason from an instant on (null: from now, or since when it already holds). Called from bodies.
-- Locks: the organization. Raises: 404 not_found, 503 busy. Retry: safe.
create function billing_private.set_restriction(p_organization_id uuid, p_reason text, p_restricted_from timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform billing_private.lock_organization(p_organization_id);
  insert into billing_private.organization_restrictions as r (organization_id, reason, restricted_from)
  select o.organization_id, p_reason, coalesce(p_restricted_from, billing_private.ledger_now(o.test_clock))
  from billing.organizations as o where o.organization_id = p_organization_id
  on conflict (organization_id, reason) do update set
    restricted_from = case when p_restricted_from is null then r.restricted_from else excluded.restricted_from end;
  perform billing_private.show_restriction(p_organization_id);
end
$$;
revoke all on function billing_private.set_restriction(uuid, text, timestamptz) from public;

-- Lifts one cause; others stay. As above.
create function billing_private.lift_restriction(p_organization_id uuid, p_reason text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform billing_private.lock_organization(p_organization_id);
  delete from billing_private.organization_restrictions as r
  where r.organization_id = p_organization_id and r.reason = p_reason;
  perform billing_private.show_restriction(p_organization_id);
end
$$;
revoke all on function billing_private.lift_restriction(uuid, text) from public;
