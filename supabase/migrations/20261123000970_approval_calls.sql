-- Asking for an approval, and deciding on it.

-- Leaves the row by which people find a parked spend. Called as consume_credits is, with the arguments of the refused spend; the refusal's
-- approval_id is the row's id. A spend that would pass by now is 409 conflict; one that is refused for another reason raises that. Idempotent;
-- asked for again at another price while nobody has decided, the row shows that price.
-- Locks the organization. Tells owner, admin and billing once.
create function billing_private.request_approval(
  p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_organization_id uuid, p_department_id uuid,
  p_run_id text, p_idempotency_key text, p_metadata jsonb
)
returns billing.credit_approvals
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_spender billing_private.spender;
  v_request billing_private.spend_request;
  v_quote billing_private.quote;
  v_tail billing.credit_transactions;
  v_decision billing_private.limit_decision;
  v_approval billing.credit_approvals;
  v_now timestamptz;
begin
  v_spender := billing_private.identify_spender(p_organization_id, p_department_id, p_agent_type);
  v_request := billing_private.require_spend_request(
    p_agent_type, p_action, p_quantities, p_amount, p_run_id, p_idempotency_key, p_metadata);
  v_quote := billing_private.quote_action(
    v_spender.organization_id, v_request.agent_type, v_request.action, v_request.quantities, v_request.amount,
    billing_private.ledger_now(v_spender.test_clock));
  perform billing_private.lock_organization(v_spender.organization_id);
  if not billing_private.confirm_standing(v_spender) then
    perform billing_private.identify_spender(p_organization_id, p_department_id, p_agent_type); -- raises what it raises now
  end if;
  v_tail := billing_private.ledger_tail(v_spender.organization_id);
  v_now := greatest(billing_private.ledger_now(v_spender.test_clock), v_tail.created_at);
  v_tail := billing_private.settle(v_tail, v_now);
  v_decision := billing_private.decide_limits(
    v_spender.organization_id, v_spender.ledger_number,
    billing_private.applicable_limits(v_spender, v_request.agent_type, v_request.run_id, v_now), v_quote.amount,
    billing_private.request_fingerprint(
      v_request.idempotency_key, v_request.agent_type, v_request.action, v_request.quantities, v_request.amount, v_spender.department_id,
      v_request.run_id));
  if v_decision.slug is null then
    perform billing_private.fail(409, 'conflict', '{"what": "approval"}', 'no limit asks about this spend now: send it');
  elsif v_decision.slug <> 'approval_required' then
    perform billing_private.fail(402, v_decision.slug, v_decision.details);
  end if;
  insert into billing.credit_approvals as a (
    organization_id, id, limit_id, required, window_start, idempotency_key, agent_type, action, department_id, user_id, agent_key_id, run_id,
    created_at
  )
  select
    v_spender.organization_id, (v_decision.details ->> 'approval_id')::uuid, l.limit_id, v_quote.amount, l.window_start,
    v_request.idempotency_key, v_request.agent_type, v_request.action, v_spender.department_id, v_spender.user_id, v_spender.agent_key_id,
    v_request.run_id, v_now
  from unnest(v_decision.limits) as l
  where l.limit_id = (v_decision.details ->> 'limit_id')::uuid
  on conflict (organization_id, id) do update -- asked for again at another price
  set required = excluded.required
  where a.status = 'pending' and a.required <> excluded.required;
  if found then
    perform billing_private.announce(v_spender.organization_id, 'approval_requested', jsonb_build_object('approval_id', v_decision.details ->> 'approval_id'));
  end if;
  select a.* into v_approval from billing.credit_approvals as a
  where a.organization_id = v_spender.organization_id and a.id = (v_decision.details ->> 'approval_id')::uuid;
  perform billing_private.notify_organization(
    v_spender.organization_id, 'approval_requested', 'warning', 'approval_requested:' || v_approval.id::text, 'approval', v_approval.id::text,
    v_decision.details || jsonb_build_object('agent_type', v_approval.agent_type, 'action', v_approval.action, 'run_id', v_approval.run_id));
  return v_approval;
end
$$;
revoke all on function billing_private.request_approval(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb) from public;
grant execute on function billing_private.request_approval(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb)
to anon, authenticated, service_role;

create function billing.request_approval(
  agent_type text, action text, quantities jsonb default null, amount numeric default null, organization_id uuid default null,
  department_id uuid default null, run_id text default null, idempotency_key text default null, metadata jsonb default '{}'
)
returns billing.credit_approvals
language sql
volatile
set search_path = ''
return billing_private.request_approval(
  agent_type, action, quantities, amount, organization_id, department_id, run_id, idempotency_key, metadata
);
revoke all on function billing.request_approval(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb) from public;
grant execute on function billing.request_approval(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb)
to anon, authenticated, service_role;
comment on function billing.request_approval(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb) is
'After a spend was refused with approval_required: the same arguments again, and people see that it waits for them. Returns the approval.';

-- The organization in whose ledger an approval's id lies, or null.
create function billing_private.organization_of_approval(p_approval_id uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select o.organization_id from billing.organizations as o
    where o.ledger_number = ('x' || substr(replace(p_approval_id::text, '-', ''), 1, 12))::bit(48)::bigint
  );
end
$$;
revoke all on function billing_private.organization_of_approval(uuid) from public;

-- Decides on a parked spend, whether or not its approval was asked for. Owner and admin, or the service. Approved with `additional`: the limit is
-- so much wider for its window, for everybody. Approved without: this one request passes, once. Rejected: it stays refused. The same decision
-- again is a replay, another one 409 conflict. Locks the organization. Audited.
-- Raises 403 not_authorized (also for ids of nobody), 404 not_found (no limit asks under this id, or its window is over), 422 invalid_amount.
create function billing_private.resolve_approval(p_approval_id uuid, p_approve boolean, p_additional numeric)
returns billing.credit_approvals
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_organization_id constant uuid := billing_private.organization_of_approval(p_approval_id);
  v_limit billing_private.applicable_limit;
  v_before billing.credit_approvals;
  v_approval billing.credit_approvals;
  v_status text;
  v_now timestamptz;
begin
  perform billing_private.require_role(coalesce(v_organization_id, '00000000-0000-0000-0000-000000000000'), '{owner,admin}');
  if p_approve is null then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "approve"}', 'true or false');
  end if;
  if p_additional is not null then
    perform billing_private.require_amount('additional', p_additional);
    if not p_approve or scale(trim_scale(p_additional)) > 6 then
      perform billing_private.fail(422, 'invalid_amount', '{"argument": "additional"}', 'at most six decimals, and only with an approval');
    end if;
  end if;
  v_status := case when p_approve then 'approved' else 'rejected' end;
  perform billing_private.lock_organization(v_organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), (billing_private.ledger_tail(o.organization_id)).created_at) into v_now
  from billing.organizations as o where o.organization_id = v_organization_id;
  select a.* into v_approval from billing.credit_approvals as a
  where a.organization_id = v_organization_id and a.id = p_approval_id;
  if v_approval.status <> 'pending' then
    if v_approval.status <> v_status or (p_additional is not null and v_approval.additional is distinct from p_additional) then
      perform billing_private.fail(409, 'conflict', jsonb_build_object('what', v_approval.status), 'this approval has been decided otherwise');
    end if;
    return v_approval;
  end if;
  v_before := v_approval;
  v_limit := billing_private.limit_of_approval(v_organization_id, p_approval_id, v_now);
  if v_limit.limit_id is null then
    perform billing_private.fail(404, 'not_found', '{"what": "approval"}', 'no limit asks under this id, or its window is over');
  end if;
  insert into billing.credit_approvals as a
    (organization_id, id, limit_id, status, additional, window_start, resolved_by, resolved_at, created_at)
  values (
    v_organization_id, p_approval_id, v_limit.limit_id, v_status, p_additional, v_limit.window_start, billing_private.current_user_id(), v_now, v_now)
  on conflict (organization_id, id) do update
  set status = excluded.status, additional = excluded.additional, resolved_by = excluded.resolved_by, resolved_at = excluded.resolved_at
  returning * into v_approval;
  if p_additional is not null then
    perform billing_private.add_to_window(v_organization_id, v_limit, p_additional);
  end if;
  perform billing_private.audit(v_organization_id, 'resolve_approval', 'credit_approval', p_approval_id::text, null, to_jsonb(v_before),
    to_jsonb(v_approval));
  perform billing_private.announce(v_organization_id, 'approval_resolved', jsonb_build_object('approval_id', p_approval_id, 'status', v_status));
  return v_approval;
end
$$;
revoke all on function billing_private.resolve_approval(uuid, boolean, numeric) from public;
grant execute on function billing_private.resolve_approval(uuid, boolean, numeric) to authenticated, service_role;

create function billing.resolve_approval(id uuid, approve boolean, additional numeric default null)
returns billing.credit_approvals
language sql
volatile
set search_path = ''
return billing_private.resolve_approval(id, approve, additional);
revoke all on function billing.resolve_approval(uuid, boolean, numeric) from public;
grant execute on function billing.resolve_approval(uuid, boolean, numeric) to authenticated, service_role;
comment on function billing.resolve_approval(uuid, boolean, numeric) is
'Owner, admin: decides on a spend that a limit parked. additional: credits by which the limit is wider for its window; null: this one spend passes.';
