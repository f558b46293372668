-- Holds: credits reserved for a run of unknown cost. A hold claims parts of grants (`held` in their rows), so that nobody else can spend them and a
-- grant that expires meanwhile can still be captured. Open -> captured | released | expired, once.

create type billing.credit_hold as (
  hold_id uuid,
  organization_id uuid,
  status text,
  amount numeric,
  metered numeric,
  captured_amount numeric,
  uncollected_amount numeric,
  agent_type text,
  action text,
  department_id uuid,
  run_id text,
  idempotency_key text,
  transaction_id uuid,
  balance numeric,
  available numeric,
  replayed boolean,
  expires_at timestamptz,
  created_at timestamptz
);
comment on type billing.credit_hold is
'A hold as its taker sees it: amount reserved, metered so far, and, once resolved, what was captured and what could not be collected.';

-- Parts of grants that a hold has claimed.
create type billing_private.claim as (
  grant_ids uuid[],
  amounts numeric[]
);

create function billing_private.hold_answer(p_hold billing.credit_holds, p_tail billing.credit_transactions, p_replayed boolean)
returns billing.credit_hold
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    p_hold.id, p_hold.organization_id, p_hold.status, p_hold.amount, p_hold.metered, p_hold.captured_amount, p_hold.uncollected_amount,
    p_hold.agent_type, p_hold.action, p_hold.department_id, p_hold.run_id, p_hold.idempotency_key, p_hold.capture_transaction_id,
    p_tail.balance_after, p_tail.balance_after - p_tail.held_after, p_replayed, p_hold.expires_at, p_hold.created_at
  )::billing.credit_hold;
end
$$;
revoke all on function billing_private.hold_answer(billing.credit_holds, billing.credit_transactions, boolean) from public;

-- The price rows in force for an action, all metrics: what a hold fixes. 422 unknown_action when there are none.
create function billing_private.prices_in_force(p_organization_id uuid, p_agent_type text, p_action text, p_at timestamptz)
returns bigint[]
language plpgsql
stable
set search_path = ''
as $$
declare
  v_price_ids bigint[];
begin
  select array_agg(p.id order by p.metric) into v_price_ids
  from (
    select distinct on (c.metric) c.id, c.metric
    from billing.agent_action_costs as c
    where c.agent_type = p_agent_type and c.action = p_action
      and (c.organization_id = p_organization_id or c.organization_id is null)
      and c.effective_from <= p_at and (c.effective_to is null or c.effective_to > p_at)
    order by c.metric, c.organization_id nulls last
  ) as p;
  if v_price_ids is null then
    perform billing_private.fail(422, 'unknown_action', jsonb_build_object('argument', 'action', 'agent_type', p_agent_type, 'action', p_action),
      'no price is in force for this agent type and action');
  end if;
  return v_price_ids;
end
$$;
revoke all on function billing_private.prices_in_force(uuid, text, text, timestamptz) from public;

-- What quantities cost at given price rows, rounded up; the call itself is implied. 422 invalid_argument for a metric without a price.
create function billing_private.price_quantities(p_price_ids bigint[], p_quantities jsonb)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
declare
  v_exact numeric;
  v_metrics text[];
begin
  select coalesce(sum(c.credit_cost * coalesce((p_quantities ->> c.metric)::numeric, case when c.metric = 'call' then 1 else 0 end)), 0),
    array_agg(c.metric)
  into v_exact, v_metrics
  from billing.agent_action_costs as c where c.id = any(p_price_ids);
  if exists (select 1 from jsonb_object_keys(p_quantities) as k (metric) where k.metric <> all(v_metrics) and k.metric <> 'call') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "quantities"}', 'a metric in quantities has no price');
  end if;
  return billing_private.require_amount('amount', billing_private.round_up(v_exact), true);
end
$$;
revoke all on function billing_private.price_quantities(bigint[], jsonb) from public;

-- An amount that a hold may be taken, extended or captured with: finite, at least 0, rounded up to six decimals.
create function billing_private.require_hold_amount(p_argument text, p_amount numeric)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
begin
  return billing_private.require_amount(
    p_argument, billing_private.round_up(billing_private.require_amount(p_argument, p_amount, true)), true);
end
$$;
revoke all on function billing_private.require_hold_amount(text, numeric) from public;

create function billing_private.require_hold_duration(p_expires_in interval)
returns interval
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_expires_in is null or p_expires_in <= interval '0' or p_expires_in > interval '30 days' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "expires_in"}', 'above 0 and at most 30 days');
  end if;
  return p_expires_in;
end
$$;
revoke all on function billing_private.require_hold_duration(interval) from public;

-- Claims an amount of the grants that would pay for it, in burn-down order; what no grant covers must be covered by the overdraft. Raises 402
-- insufficient_credits. Returns what was claimed. Under the lock, after settle().
create function billing_private.claim_from_grants(
  p_tail billing.credit_transactions, p_spender billing_private.spender, p_agent_type text, p_amount numeric
)
returns billing_private.claim
language plpgsql
set search_path = ''
set enable_sort = off -- burn_down() is read as far as its first rows
set enable_incremental_sort = off
as $$
declare
  v_claim billing_private.claim := ('{}', '{}');
  v_grant billing_private.credit_grant_lots;
  v_left numeric := p_amount;
  v_take numeric;
  v_overdraft numeric;
  v_available numeric;
  v_outcome billing_private.spend_outcome;
begin
  for v_grant in
    select g.* from billing_private.burn_down(p_spender.organization_id, p_spender.department_id, p_agent_type) as g
  loop
    exit when v_left = 0;
    v_take := least(v_grant.remaining - v_grant.held, v_left);
    continue when v_take = 0;
    v_claim.grant_ids := v_claim.grant_ids || v_grant.id;
    v_claim.amounts := v_claim.amounts || v_take;
    v_left := v_left - v_take;
  end loop;
  select o.overdraft_limit into v_overdraft from billing.organizations as o where o.organization_id = p_spender.organization_id;
  v_available := p_tail.balance_after - p_tail.held_after + v_overdraft;
  if p_amount > 0 and (v_available < p_amount or v_left > greatest(v_overdraft - p_tail.debt_after, 0)) then
    v_available := greatest(0, least(v_available, p_amount - v_left + greatest(v_overdraft - p_tail.debt_after, 0)));
    v_outcome := billing_private.refuse_insufficient(
      p_spender.organization_id, p_amount, v_available, p_tail.balance_after, p_tail.held_after);
    perform billing_private.fail(v_outcome.status, v_outcome.slug, v_outcome.details);
  end if;
  for v_place in 1 .. cardinality(v_claim.grant_ids) loop -- by primary key, whatever the planner thinks of organizations with many grants
    update billing_private.credit_grant_lots as g
    set held = g.held + v_claim.amounts[v_place]
    where g.organization_id = p_spender.organization_id and g.id = v_claim.grant_ids[v_place];
  end loop;
  return v_claim;
end
$$;
revoke all on function billing_private.claim_from_grants(
  billing.credit_transactions, billing_private.spender, text, numeric
) from public;

-- Raises when the organization's standing or a limit refuses an amount at the instant the hold was taken; books the approvals that let it pass.
-- Under the lock.
create function billing_private.require_room(
  p_spender billing_private.spender, p_agent_type text, p_run_id text, p_amount numeric, p_taken_at timestamptz, p_fingerprint text
)
returns billing_private.applicable_limit[]
language plpgsql
set search_path = ''
as $$
declare
  v_reason text;
  v_decision billing_private.limit_decision;
begin
  select o.restricted_reason into v_reason from billing.organizations as o
  where o.organization_id = p_spender.organization_id
    and coalesce(o.restricted_from <= greatest(p_taken_at, billing_private.ledger_now(o.test_clock)), true);
  if v_reason is not null then
    perform billing_private.fail(402, 'billing_restricted', jsonb_build_object('reason', v_reason));
  end if;
  v_decision.limits := billing_private.applicable_limits(p_spender, p_agent_type, p_run_id, p_taken_at);
  if v_decision.limits is not null then
    v_decision := billing_private.decide_limits(
      p_spender.organization_id, (select o.ledger_number from billing.organizations as o where o.organization_id = p_spender.organization_id),
      v_decision.limits, p_amount, p_fingerprint);
    if v_decision.slug is not null then
      perform billing_private.fail(402, v_decision.slug, v_decision.details);
    end if;
    perform billing_private.use_approvals(p_spender.organization_id, v_decision);
  end if;
  return v_decision.limits;
end
$$;
revoke all on function billing_private.require_room(billing_private.spender, text, text, numeric, timestamptz, text) from public;

-- Takes a hold. Called as consume_credits is. Same key, same request: the same hold again, whatever became of it; another request: 409
-- idempotency_conflict. Locks and refusals as for a spend.
create function billing_private.hold_credits(
  p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_organization_id uuid, p_department_id uuid, p_run_id text,
  p_expires_in interval, p_idempotency_key text, p_metadata jsonb
)
returns billing.credit_hold
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- as for a spend: with hash partitions the planner would otherwise plan anew at every call
set enable_seqscan = off
as $$
declare
  v_spender billing_private.spender;
  v_request billing_private.spend_request;
  v_hold billing.credit_holds;
  v_tail billing.credit_transactions;
  v_limits billing_private.applicable_limit[];
  v_claim billing_private.claim;
  v_price_ids bigint[];
  v_amount numeric;
  v_now timestamptz;
begin
  v_spender := billing_private.identify_spender(p_organization_id, p_department_id, p_agent_type);
  v_request := billing_private.require_spend_request(
    p_agent_type, p_action, p_quantities, p_amount, p_run_id, p_idempotency_key, p_metadata);
  perform billing_private.require_hold_duration(p_expires_in);
  perform billing_private.lock_organization(v_spender.organization_id);
  if not billing_private.confirm_standing(v_spender) then
    perform billing_private.identify_spender(p_organization_id, p_department_id, p_agent_type); -- raises what it raises now
  end if;
  v_tail := billing_private.ledger_tail(v_spender.organization_id);
  v_now := greatest(billing_private.ledger_now(v_spender.test_clock), v_tail.created_at);
  v_tail := billing_private.settle(v_tail, v_now); -- before the replay, too: a hold that has run out says so
  if p_idempotency_key is not null then
    select h.* into v_hold from billing.credit_holds as h
    where h.organization_id = v_spender.organization_id and h.idempotency_key = p_idempotency_key;
    if found then
      if v_hold.agent_type <> p_agent_type or v_hold.action <> p_action
        or v_hold.requested_amount is distinct from p_amount or v_hold.quantities is distinct from v_request.quantities
        or (v_hold.department_id is distinct from v_spender.department_id and not (
          v_spender.is_bound and v_hold.user_id is not distinct from v_spender.user_id
          and v_hold.agent_key_id is not distinct from v_spender.agent_key_id
        )) then
        perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('hold_id', v_hold.id));
      end if;
      return billing_private.hold_answer(v_hold, v_tail, true);
    end if;
  end if;
  v_price_ids := billing_private.prices_in_force(v_spender.organization_id, p_agent_type, p_action, v_now);
  v_amount := case
    when p_amount is not null then billing_private.require_hold_amount('amount', p_amount)
    else billing_private.price_quantities(v_price_ids, coalesce(v_request.quantities, '{}'))
  end;
  v_limits := billing_private.require_room(
    v_spender, p_agent_type, p_run_id, v_amount, v_now,
    billing_private.request_fingerprint(
      p_idempotency_key, p_agent_type, p_action, v_request.quantities, v_amount, v_spender.department_id, p_run_id));
  v_claim := billing_private.claim_from_grants(v_tail, v_spender, p_agent_type, v_amount);
  insert into billing.credit_holds (
    organization_id, amount, requested_amount, agent_type, action, quantities, price_ids, grant_ids, grant_amounts, department_id, user_id,
    agent_key_id, run_id, idempotency_key, metadata, expires_at, created_at
  ) values (
    v_spender.organization_id, v_amount, p_amount, p_agent_type, p_action, v_request.quantities, v_price_ids, v_claim.grant_ids, v_claim.amounts,
    v_spender.department_id, v_spender.user_id, v_spender.agent_key_id, p_run_id, p_idempotency_key, coalesce(v_request.metadata, '{}'),
    v_now + p_expires_in, v_now
  )
  returning * into v_hold;
  if v_limits is not null then
    perform billing_private.count_against_limits(v_spender.organization_id, v_limits, v_amount);
  end if;
  v_tail := billing_private.append_entry(
    v_tail, 'hold', 0, v_now, null, null, p_held_after => v_tail.held_after + v_amount, p_detail => billing_private.hold_detail(v_hold));
  return billing_private.hold_answer(v_hold, v_tail, false);
end
$$;
revoke all on function billing_private.hold_credits(text, text, jsonb, numeric, uuid, uuid, text, interval, text, jsonb) from public;
grant execute on function billing_private.hold_credits(text, text, jsonb, numeric, uuid, uuid, text, interval, text, jsonb)
to anon, authenticated, service_role;

create function billing.hold_credits(
  agent_type text, action text, quantities jsonb default null, amount numeric default null, organization_id uuid default null,
  department_id uuid default null, run_id text default null, expires_in interval default '15 minutes', idempotency_key text default null,
  metadata jsonb default '{}'
)
returns billing.credit_hold
language plpgsql -- a function in SQL that pins its search_path is planned at every call
volatile
set search_path = ''
as $$
begin
  return billing_private.hold_credits(
    agent_type, action, quantities, amount, organization_id, department_id, run_id, expires_in, idempotency_key, metadata);
end
$$;
revoke all on function billing.hold_credits(text, text, jsonb, numeric, uuid, uuid, text, interval, text, jsonb) from public;
grant execute on function billing.hold_credits(text, text, jsonb, numeric, uuid, uuid, text, interval, text, jsonb)
to anon, authenticated, service_role;
comment on function billing.hold_credits(text, text, jsonb, numeric, uuid, uuid, text, interval, text, jsonb) is
'Reserves credits for a run of unknown cost (an amount, or the price of quantities); capture_hold or release_hold ends it, or its expiry does.';

-- The facts of a hold that its ledger entries repeat.
create function billing_private.hold_detail(p_hold billing.credit_holds)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return jsonb_strip_nulls(jsonb_build_object(
    'hold_id', p_hold.id, 'agent_type', p_hold.agent_type, 'action', p_hold.action, 'department_id', p_hold.department_id,
    'user_id', p_hold.user_id, 'agent_key_id', p_hold.agent_key_id, 'run_id', p_hold.run_id
  ));
end
$$;
revoke all on function billing_private.hold_detail(billing.credit_holds) from public;
