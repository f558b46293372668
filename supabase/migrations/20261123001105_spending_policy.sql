-- How an organization may spend beyond what it has.

-- The service or a platform admin, who give the credit: up to how much may be owed, and what a capture above its hold does; null leaves the one or
-- the other as it is. Holds from the next spend on: a lower overdraft refuses new debt and collects none. Locks the organization. Audited.
-- Raises 403 not_authorized, 404 not_found, 422 invalid_amount (overdraft_limit: credits, at most six decimals) and invalid_argument, 503 busy.
create function billing_private.set_spending_policy(
  p_organization_id uuid, p_reason text, p_overdraft_limit numeric, p_over_capture_policy text
)
returns billing.organizations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before billing.organizations;
  v_after billing.organizations;
begin
  if not billing_private.caller_is_platform_admin() then
    perform billing_private.require_service();
  end if;
  perform billing_private.require_text('reason', p_reason, 1000);
  if p_overdraft_limit is not null then
    perform billing_private.require_exact_amount('overdraft_limit', p_overdraft_limit, true);
  end if;
  if p_over_capture_policy not in ('deny', 'up_to_available', 'allow_debt') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "over_capture_policy"}', 'deny, up_to_available or allow_debt');
  end if;
  perform billing_private.lock_organization(p_organization_id);
  select o.* into v_before from billing.organizations as o where o.organization_id = p_organization_id;
  update billing.organizations as o
  set
    overdraft_limit = coalesce(p_overdraft_limit, o.overdraft_limit),
    over_capture_policy = coalesce(p_over_capture_policy, o.over_capture_policy)
  where o.organization_id = p_organization_id
  returning * into v_after;
  if v_after is distinct from v_before then
    perform billing_private.audit(p_organization_id, 'set_spending_policy', 'organization', p_organization_id::text, p_reason,
      to_jsonb(v_before), to_jsonb(v_after));
  end if;
  return v_after;
end
$$;
revoke all on function billing_private.set_spending_policy(uuid, text, numeric, text) from public;
grant execute on function billing_private.set_spending_policy(uuid, text, numeric, text) to authenticated, service_role;

create function billing.set_spending_policy(
  organization_id uuid, reason text, overdraft_limit numeric default null, over_capture_policy text default null
)
returns billing.organizations
language sql
volatile
set search_path = ''
return billing_private.set_spending_policy(organization_id, reason, overdraft_limit, over_capture_policy);
revoke all on function billing.set_spending_policy(uuid, text, numeric, text) from public;
grant execute on function billing.set_spending_policy(uuid, text, numeric, text) to authenticated, service_role;
comment on function billing.set_spending_policy(uuid, text, numeric, text) is
'Service, platform admin: how much an organization may owe, and what a capture above its hold does.';
