-- Asking what a spend would be answered.

-- What consume_credits would answer now, without side effects. Raises only for a caller who may not ask; a spend that would be refused is
-- an answer: {allowed: false, reason: slug, limit}. Of what limits ask about, the answer is that of a spend without a key: a decision on this very
-- call counts, one on a call with a key does not.
create function billing_private.check_credits(
  p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_organization_id uuid, p_department_id uuid,
  p_run_id text, p_metadata jsonb
)
returns billing.credit_check
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_spender billing_private.spender;
  v_request billing_private.spend_request;
  v_quote billing_private.quote;
  v_tail billing.credit_transactions;
  v_organization billing.organizations;
  v_balance billing_private.wallet;
  v_limits billing_private.applicable_limit[];
  v_decision billing_private.limit_decision;
  v_check billing.credit_check;
  v_now timestamptz;
begin
  v_spender := billing_private.identify_spender(p_organization_id, p_department_id, p_agent_type);
  v_request := billing_private.require_spend_request(p_agent_type, p_action, p_quantities, p_amount, p_run_id, null, p_metadata);
  v_now := billing_private.ledger_now(v_spender.test_clock);
  v_quote := billing_private.quote_action(
    v_spender.organization_id, v_request.agent_type, v_request.action, v_request.quantities, v_request.amount, v_now);
  select o.* into v_organization from billing.organizations as o where o.organization_id = v_spender.organization_id;
  v_tail := billing_private.ledger_tail(v_spender.organization_id);
  v_now := greatest(v_now, v_tail.created_at);
  v_balance := billing_private.wallet_at(v_tail, v_now);
  v_limits := billing_private.without_ended_holds(
    billing_private.applicable_limits(v_spender, v_request.agent_type, v_request.run_id, v_now), v_spender.organization_id, v_now);

  v_check.amount := v_quote.amount;
  v_check.available := greatest(0, least(
    v_balance.balance - v_balance.held + v_organization.overdraft_limit,
    billing_private.eligible_credits(v_tail, v_spender.department_id, v_request.agent_type, v_now)
    + greatest(v_organization.overdraft_limit - v_balance.debt, 0)
  ));
  if v_limits is not null then
    v_decision := billing_private.decide_limits(
      v_spender.organization_id, v_spender.ledger_number, v_limits, v_quote.amount,
      billing_private.request_fingerprint(
        null, v_request.agent_type, v_request.action, v_request.quantities, v_request.amount, v_spender.department_id, v_request.run_id));
    v_check.limit := v_decision.details - 'approval_id';
  end if;
  v_check.reason := case
    when v_organization.restricted_reason is not null and coalesce(v_organization.restricted_from <= v_now, true) then 'billing_restricted'
    when v_decision.slug is not null then v_decision.slug
    when v_quote.amount > v_check.available then 'insufficient_credits'
  end;
  v_check.allowed := v_check.reason is null;
  if v_check.reason = 'insufficient_credits' then
    v_check.topup_url := billing_private.topup_url(v_spender.organization_id);
  end if;
  return v_check;
end
$$;
revoke all on function billing_private.check_credits(text, text, jsonb, numeric, uuid, uuid, text, jsonb) from public;
grant execute on function billing_private.check_credits(text, text, jsonb, numeric, uuid, uuid, text, jsonb) to anon, authenticated, service_role;

create function billing.check_credits(
  agent_type text, action text, quantities jsonb default null, amount numeric default null, organization_id uuid default null,
  department_id uuid default null, run_id text default null, metadata jsonb default '{}'
)
returns billing.credit_check
language plpgsql -- a function in SQL that pins its search_path is planned at every call
stable
set search_path = ''
as $$
begin
  return billing_private.check_credits(agent_type, action, quantities, amount, organization_id, department_id, run_id, metadata);
end
$$;
revoke all on function billing.check_credits(text, text, jsonb, numeric, uuid, uuid, text, jsonb) from public;
grant execute on function billing.check_credits(text, text, jsonb, numeric, uuid, uuid, text, jsonb) to anon, authenticated, service_role;
comment on function billing.check_credits(text, text, jsonb, numeric, uuid, uuid, text, jsonb) is
'What consume_credits would answer now, without side effects: {allowed, amount, available, reason, limit, topup_url}.';
