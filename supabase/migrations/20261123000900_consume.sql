-- The spend, the long way: every rule, every case. `consume_credits` (000920) takes a short cut where nothing has changed since the last spend.

-- A validated request to spend.
create type billing_private.spend_request as (
  agent_type text,
  action text,
  quantities jsonb,
  amount numeric,
  run_id text,
  idempotency_key text,
  metadata jsonb
);

-- What became of a request: a receipt, or a refusal (HTTP status, slug, details) that the caller may raise or report.
create type billing_private.spend_outcome as (
  receipt billing.credit_receipt,
  status integer,
  slug text,
  details jsonb
);

create function billing_private.require_spend_request(
  p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_run_id text, p_idempotency_key text, p_metadata jsonb
)
returns billing_private.spend_request
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (
    billing_private.require_text('agent_type', p_agent_type),
    billing_private.require_text('action', p_action),
    nullif(billing_private.require_quantities(p_quantities), '{"call": 1}'), -- which is implied
    p_amount,
    case when p_run_id is not null then billing_private.require_text('run_id', p_run_id) end,
    case when p_idempotency_key is not null then billing_private.require_text('idempotency_key', p_idempotency_key) end,
    nullif(billing_private.require_metadata(p_metadata), '{}')
  )::billing_private.spend_request;
end
$$;
revoke all on function billing_private.require_spend_request(text, text, jsonb, numeric, text, text, jsonb) from public;

-- The answer to a key that is already in the ledger: the first receipt for the same request, a conflict for another one. To a caller
-- who is bound to a department it is no part of the request: their own key is answered after they were moved, too.
create function billing_private.answer_replay(
  p_entry billing.credit_transactions, p_spender billing_private.spender, p_request billing_private.spend_request
)
returns billing_private.spend_outcome
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_entry.kind = 'consume' and p_entry.hold_id is null -- a capture is another request, whatever it charged
    and p_entry.agent_type = p_request.agent_type
    and p_entry.action = p_request.action
    and p_entry.quantities is not distinct from p_request.quantities
    and p_entry.requested_amount is not distinct from p_request.amount
    and (
      p_entry.department_id is not distinct from p_spender.department_id
      or (p_spender.is_bound and p_entry.user_id is not distinct from p_spender.user_id
        and p_entry.agent_key_id is not distinct from p_spender.agent_key_id)
    ) then
    return (billing_private.receipt_of(p_entry, true), null, null, null)::billing_private.spend_outcome;
  end if;
  return (null, 409, 'idempotency_conflict', jsonb_build_object('transaction_id', p_entry.id))::billing_private.spend_outcome;
end
$$;
revoke all on function billing_private.answer_replay(
  billing.credit_transactions, billing_private.spender, billing_private.spend_request
) from public;

create function billing_private.topup_url(p_organization_id uuid)
returns text
language sql
stable
set search_path = ''
return rtrim(billing_private.setting('app_url', 'http://127.0.0.1:5173'), '/')
|| '/organizations/' || p_organization_id::text || '/billing?topup=1';
revoke all on function billing_private.topup_url(uuid) from public;

create function billing_private.refuse_insufficient(
  p_organization_id uuid, p_required numeric, p_available numeric, p_balance numeric, p_held numeric
)
returns billing_private.spend_outcome
language sql
stable
set search_path = ''
return (null, 402, 'insufficient_credits', jsonb_build_object(
  'required', p_required, 'available', p_available, 'shortfall', p_required - p_available,
  'balance', p_balance, 'held', p_held, 'topup_url', billing_private.topup_url(p_organization_id)
))::billing_private.spend_outcome;
revoke all on function billing_private.refuse_insufficient(uuid, numeric, numeric, numeric, numeric) from public;

-- Books one consumption, or says why not. Under the lock. Order: replay, standing of caller and organization, sweep when due (a hold that has
-- ended no longer counts against limits), limits, grants, the row, the counters. A refusal writes nothing of the spend (what had fallen due stays swept).
--
-- The fast path touches no grant: while the tail's head is not stale (now < turn_at), suffices, and was found for this caller's scope, the
-- spend is one inserted row. Otherwise the head turns: it is written back, what fell due is booked, and grants are taken in burn-down order.
create function billing_private.book_consumption(
  p_spender billing_private.spender, p_request billing_private.spend_request, p_quote billing_private.quote
)
returns billing_private.spend_outcome
language plpgsql
set search_path = ''
set enable_sort = off -- burn_down() is read as far as its first rows
set enable_incremental_sort = off
as $$
declare
  v_tail billing.credit_transactions;
  v_entry billing.credit_transactions;
  v_grant billing_private.credit_grant_lots;
  v_organization billing.organizations;
  v_decision billing_private.limit_decision;
  v_now timestamptz;
  v_is_stale boolean;
  v_available numeric;
  v_left numeric := p_quote.amount;
  v_free numeric;
  v_take numeric;
  v_debt numeric;
  v_head_grant_id uuid;
  v_head_available numeric := 0;
  v_turn_at timestamptz;
  v_has_scoped_grants boolean;
  v_grant_ids uuid[] := '{}';
  v_grant_amounts numeric[] := '{}';
  v_receipt billing.credit_receipt;
begin
  -- A statement of its own after the lock, so that it sees what the lock's last holder committed.
  select o.* into v_organization from billing.organizations as o where o.organization_id = p_spender.organization_id;
  if p_request.idempotency_key is not null then
    select t.* into v_entry from billing.credit_transactions as t
    where t.organization_id = p_spender.organization_id and t.idempotency_key = p_request.idempotency_key;
    if found then
      return billing_private.answer_replay(v_entry, p_spender, p_request);
    end if;
  end if;
  -- Revocation and removal take the same lock: no success after their commit.
  if not billing_private.confirm_standing(p_spender) then
    return (
      null, case p_spender.kind when 'agent' then 401 else 403 end,
      case p_spender.kind when 'agent' then 'agent_key_invalid' else 'not_authorized' end, null
    )::billing_private.spend_outcome;
  end if;
  v_tail := billing_private.ledger_tail(p_spender.organization_id);
  v_now := greatest(billing_private.ledger_now(v_organization.test_clock), v_tail.created_at);
  if v_organization.restricted_reason is not null and coalesce(v_organization.restricted_from <= v_now, true) then
    return (null, 402, 'billing_restricted', jsonb_build_object('reason', v_organization.restricted_reason))::billing_private.spend_outcome;
  end if;

  v_is_stale := v_tail.head_grant_id is null or v_now >= v_tail.turn_at;
  if v_is_stale then
    v_tail := billing_private.settle(v_tail, v_now);
  end if;

  v_decision.limits := billing_private.applicable_limits(p_spender, p_request.agent_type, p_request.run_id, v_now);
  if v_decision.limits is not null then
    v_decision := billing_private.decide_limits(
      p_spender.organization_id, p_spender.ledger_number, v_decision.limits, p_quote.amount,
      billing_private.request_fingerprint(
        p_request.idempotency_key, p_request.agent_type, p_request.action, p_request.quantities, p_request.amount, p_spender.department_id,
        p_request.run_id));
    if v_decision.slug is not null then
      return (null, 402, v_decision.slug, v_decision.details)::billing_private.spend_outcome;
    end if;
  end if;

  v_debt := v_tail.debt_after;
  if not v_is_stale and v_tail.head_available >= v_left
    and v_tail.balance_after - v_tail.held_after + v_organization.overdraft_limit >= v_left
    and (
      not v_tail.has_scoped_grants
      or (v_tail.agent_type = p_request.agent_type and v_tail.department_id is not distinct from p_spender.department_id)
    ) then
    v_head_grant_id := v_tail.head_grant_id;
    v_head_available := v_tail.head_available - v_left;
    v_turn_at := v_tail.turn_at;
    v_has_scoped_grants := v_tail.has_scoped_grants;
    v_grant_ids := null;
    v_grant_amounts := null;
  else
    -- Decide before anything is written: walk the grants, remember what each would pay, stop at the first that has something left. A refusal
    -- inside a batch leaves the head as the tail names it.
    for v_grant in
      select g.* from billing_private.burn_down(p_spender.organization_id, p_spender.department_id, p_request.agent_type) as g
    loop
      v_free := case when v_grant.id = v_tail.head_grant_id then v_tail.head_available else v_grant.remaining - v_grant.held end;
      v_take := least(v_free, v_left);
      if v_take > 0 then
        v_grant_ids := v_grant_ids || v_grant.id;
        v_grant_amounts := v_grant_amounts || -v_take;
        v_left := v_left - v_take;
      end if;
      if v_free > v_take then
        v_head_grant_id := v_grant.id;
        v_head_available := v_free - v_take;
        exit;
      end if;
    end loop;
    v_available := v_tail.balance_after - v_tail.held_after + v_organization.overdraft_limit;
    -- What no grant pays is debt, and only an overdraft allows it: unscoped credits first, then the organization's overdraft.
    if p_quote.amount > 0 and (
      v_available < p_quote.amount
      or v_left > greatest(v_organization.overdraft_limit - v_debt, 0)
    ) then
      v_available := greatest(0, least(
        v_available,
        billing_private.eligible_credits(v_tail, p_spender.department_id, p_request.agent_type, v_now)
        + greatest(v_organization.overdraft_limit - v_debt, 0)
      ));
      return billing_private.refuse_insufficient(
        p_spender.organization_id, p_quote.amount, v_available, v_tail.balance_after, v_tail.held_after);
    end if;
    v_debt := v_debt + v_left;
    v_tail := billing_private.write_back_head(v_tail);
    perform billing_private.take_from_grants(p_spender.organization_id, v_grant_ids, v_grant_amounts, v_head_grant_id);
    v_turn_at := billing_private.next_turn_at(p_spender.organization_id);
    v_has_scoped_grants := exists (
      select 1 from billing_private.credit_grant_lots as g
      where g.organization_id = p_spender.organization_id and g.is_open and g.is_scoped
    );
    if p_quote.amount = 0 or (v_left = 0 and cardinality(v_grant_ids) = 1 and v_grant_ids[1] is not distinct from v_head_grant_id) then
      v_grant_ids := null; -- the head paid all: said once
      v_grant_amounts := null;
    end if;
  end if;

  if v_decision.limits is not null then
    perform billing_private.use_approvals(p_spender.organization_id, v_decision);
    perform billing_private.count_against_limits(p_spender.organization_id, v_decision.limits, p_quote.amount);
  end if;
  insert into billing.credit_transactions (
    organization_id, sequence, created_at, turn_at, id, head_grant_id, department_id, user_id, announced_at, has_scoped_grants,
    kind, amount, balance_after, held_after, debt_after, head_available, requested_amount, agent_type, action, agent_key_id, run_id,
    idempotency_key, quantities, price_ids, grant_ids, grant_amounts, limits, metadata
  ) values (
    p_spender.organization_id, v_tail.sequence + 1, v_now, v_turn_at,
    billing_private.transaction_id(p_spender.ledger_number, v_tail.sequence + 1), v_head_grant_id,
    p_spender.department_id, p_spender.user_id,
    billing_private.announce_ledger(p_spender.organization_id, v_tail.sequence + 1, v_tail.announced_at),
    v_has_scoped_grants, 'consume', -p_quote.amount, v_tail.balance_after - p_quote.amount, v_tail.held_after, v_debt,
    v_head_available, p_quote.requested_amount, p_request.agent_type, p_request.action, p_spender.agent_key_id, p_request.run_id,
    p_request.idempotency_key, p_request.quantities, p_quote.price_ids, v_grant_ids, v_grant_amounts,
    case when v_decision.limits is not null then (
      select jsonb_agg(jsonb_build_object(
        'limit_id', l.limit_id, 'subject', l.subject_type || ':' || l.subject_id,
        'remaining', greatest(l.amount - l.used - p_quote.amount, 0), 'resets_at', l.resets_at
      ) order by l.limit_id)
      from unnest(v_decision.limits) as l
    ) end,
    p_request.metadata
  )
  returning * into v_entry;
  v_receipt := billing_private.receipt_of(v_entry, false);
  return (v_receipt, null, null, null)::billing_private.spend_outcome;
end
$$;
revoke all on function billing_private.book_consumption(
  billing_private.spender, billing_private.spend_request, billing_private.quote
) from public;

-- The whole way: caller, replay, price, lock, and the rest under it. Returns the outcome; remembers the terms for the short cut if asked to.
create function billing_private.consume_at_length(
  p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_organization_id uuid, p_department_id uuid,
  p_run_id text, p_idempotency_key text, p_metadata jsonb, p_remember boolean
)
returns billing_private.spend_outcome
language plpgsql
set search_path = ''
as $$
declare
  v_spender billing_private.spender;
  v_request billing_private.spend_request;
  v_quote billing_private.quote;
  v_entry billing.credit_transactions;
  v_outcome billing_private.spend_outcome;
begin
  v_spender := billing_private.identify_spender(p_organization_id, p_department_id, p_agent_type);
  v_request := billing_private.require_spend_request(
    p_agent_type, p_action, p_quantities, p_amount, p_run_id, p_idempotency_key, p_metadata);
  if v_request.idempotency_key is not null then
    select t.* into v_entry from billing.credit_transactions as t
    where t.organization_id = v_spender.organization_id and t.idempotency_key = v_request.idempotency_key;
    if found then
      return billing_private.answer_replay(v_entry, v_spender, v_request);
    end if;
  end if;
  v_quote := billing_private.quote_action(
    v_spender.organization_id, v_request.agent_type, v_request.action, v_request.quantities, v_request.amount,
    billing_private.ledger_now(v_spender.test_clock));
  perform billing_private.lock_organization(v_spender.organization_id);
  v_outcome := billing_private.book_consumption(v_spender, v_request, v_quote);
  if p_remember and v_outcome.slug is null and not (v_outcome.receipt).replayed then
    perform billing_private.remember_terms(v_spender, v_request.agent_type, v_request.action, p_department_id);
  end if;
  return v_outcome;
end
$$;
revoke all on function billing_private.consume_at_length(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb, boolean) from public;
