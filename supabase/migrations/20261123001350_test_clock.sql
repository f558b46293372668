-- A clock of its own for a test organization: every rule that looks at the time sees it instead of now().

-- Remembered terms of spends rest on the clock that they were read by: another clock, another revision.
create function billing_private.raise_revision_with_clock()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  new.revision := old.revision + 1;
  return new;
end
$$;
revoke all on function billing_private.raise_revision_with_clock() from public;
create trigger organizations_raise_revision_with_clock before update of test_clock on billing.organizations
for each row when (old.test_clock is distinct from new.test_clock) execute function billing_private.raise_revision_with_clock();

-- Moves an organization's test clock forward, booking all that falls due on the way, each at its own instant and in order. The first call starts
-- the clock, anywhere not before the last ledger entry. The service only. Locks the organization. Idempotent for the same instant.
-- Raises 403 not_authorized, 404 not_found, 422 invalid_argument (backwards, or not finite), 409 conflict (the organization has a live Stripe
-- customer: time there is real).
create function billing_private.advance_test_clock(p_organization_id uuid, p_to timestamptz)
returns billing.organizations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_organization billing.organizations;
  v_tail billing.credit_transactions;
begin
  perform billing_private.require_service();
  perform billing_private.lock_organization(p_organization_id);
  select o.* into v_organization from billing.organizations as o where o.organization_id = p_organization_id;
  v_tail := billing_private.ledger_tail(p_organization_id);
  if p_to is null or not isfinite(p_to) or p_to < coalesce(v_organization.test_clock, v_tail.created_at) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "to"}', 'a test clock only moves forward');
  end if;
  if exists (
    select 1 from billing.customers as c
    where c.organization_id = p_organization_id and c.livemode and c.stripe_customer_id is not null and c.deleted_at is null
  ) then
    perform billing_private.fail(409, 'conflict', '{"what": "live_customer"}', 'an organization with a live Stripe customer has no test clock');
  end if;
  update billing.organizations as o set test_clock = p_to
  where o.organization_id = p_organization_id
  returning * into v_organization;
  perform billing_private.settle_organization(p_organization_id, p_to);
  return v_organization;
end
$$;
revoke all on function billing_private.advance_test_clock(uuid, timestamptz) from public;
grant execute on function billing_private.advance_test_clock(uuid, timestamptz) to service_role;

create function billing.advance_test_clock(organization_id uuid, "to" timestamptz)
returns billing.organizations
language sql
volatile
set search_path = ''
return billing_private.advance_test_clock(organization_id, "to");
revoke all on function billing.advance_test_clock(uuid, timestamptz) from public;
grant execute on function billing.advance_test_clock(uuid, timestamptz) to service_role;
comment on function billing.advance_test_clock(uuid, timestamptz) is
'Service: starts or moves forward an organization''s test clock; what falls due on the way is booked at its own instant.';
