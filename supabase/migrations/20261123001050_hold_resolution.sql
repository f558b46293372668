-- How a hold ends. Every transition is a compare-and-set under the organization's lock, in the transaction that books it, so a hold is resolved
-- at most once.

-- Lets go of a hold's claims, after taking p_captured of them in their order. What is let go of a grant that has expired or been voided since is
-- lost with it. Returns what was taken (negative amounts) and what was lost. Under the lock, after write_back_head().
create type billing_private.released_claims as (
  taken_ids uuid[],
  taken_amounts numeric[],
  uncovered numeric,
  lost_ids uuid[],
  lost_amounts numeric[],
  lost_kinds text[]
);

create function billing_private.release_claims(p_hold billing.credit_holds, p_captured numeric)
returns billing_private.released_claims
language plpgsql
set search_path = ''
as $$
declare
  v_released billing_private.released_claims := ('{}', '{}', p_captured, '{}', '{}', '{}');
  v_grant billing_private.credit_grant_lots;
  v_claimed numeric;
  v_take numeric;
  v_lost numeric;
  v_index integer;
begin
  for v_index in 1 .. cardinality(p_hold.grant_ids) loop
    select g.* into v_grant from billing_private.credit_grant_lots as g
    where g.organization_id = p_hold.organization_id and g.id = p_hold.grant_ids[v_index];
    v_claimed := p_hold.grant_amounts[v_index];
    v_take := least(v_claimed, v_released.uncovered);
    v_lost := case when v_grant.is_open then 0 else v_claimed - v_take end;
    if v_take > 0 then
      v_released.taken_ids := v_released.taken_ids || v_grant.id;
      v_released.taken_amounts := v_released.taken_amounts || -v_take;
      v_released.uncovered := v_released.uncovered - v_take;
    end if;
    if v_lost > 0 then
      v_released.lost_ids := v_released.lost_ids || v_grant.id;
      v_released.lost_amounts := v_released.lost_amounts || -v_lost;
      v_released.lost_kinds := v_released.lost_kinds || case v_grant.closed_reason when 'voided' then 'void' else 'expire' end;
    end if;
    update billing_private.credit_grant_lots as g
    set
      held = g.held - v_claimed,
      remaining = g.remaining - v_take - v_lost,
      is_open = g.is_open and g.remaining - v_take > 0,
      closed_reason = case when g.is_open and g.remaining = v_take then 'spent' else g.closed_reason end
    where g.organization_id = p_hold.organization_id and g.id = v_grant.id;
  end loop;
  return v_released;
end
$$;
revoke all on function billing_private.release_claims(billing.credit_holds, numeric) from public;

-- Books the end of an open hold: a consumption of p_captured from its claims (and p_extra beyond them), or a plain release, then what was lost.
-- Counters move by the difference, in the window in which the hold was taken. Returns the new tail; the entry that ended the hold is in the
-- hold's row for captures. Under the lock.
create function billing_private.close_hold(
  p_tail billing.credit_transactions, p_hold billing.credit_holds, p_status text, p_captured numeric, p_uncollected numeric,
  p_at timestamptz, p_detail jsonb
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_released billing_private.released_claims;
  v_extra billing_private.claim := ('{}', '{}');
  v_subject billing_private.spender;
  v_detail constant jsonb := billing_private.hold_detail(p_hold) || p_detail;
  v_held_after constant numeric := p_tail.held_after - p_hold.amount;
  v_uncovered numeric;
  v_entry billing.credit_transactions;
  v_index integer;
begin
  v_released := billing_private.release_claims(p_hold, least(p_captured, p_hold.amount));
  -- What the hold was taken for and no claim covers was taken on the overdraft: it is debt. What goes beyond the hold looks for grants first.
  v_uncovered := v_released.uncovered;
  if p_captured > p_hold.amount then
    v_extra := billing_private.pick_from_grants(p_hold, p_captured - p_hold.amount);
    perform billing_private.take_from_grants(p_hold.organization_id, v_extra.grant_ids, v_extra.amounts);
    v_uncovered := v_uncovered + p_captured - p_hold.amount + coalesce((select sum(a) from unnest(v_extra.amounts) as a), 0);
  end if;
  if p_captured > 0 or p_status = 'captured' then
    v_entry := billing_private.append_entry(
      p_tail, 'consume', -p_captured, p_at, v_released.taken_ids || v_extra.grant_ids, v_released.taken_amounts || v_extra.amounts,
      p_debt_after => p_tail.debt_after + v_uncovered, p_held_after => v_held_after, p_detail => v_detail);
  else
    v_entry := billing_private.append_entry(
      p_tail, 'release', 0, p_at, null, null, p_held_after => v_held_after, p_detail => v_detail);
  end if;
  update billing.credit_holds as h
  set
    status = p_status, resolved_at = p_at, captured_amount = p_captured, uncollected_amount = p_uncollected,
    capture_transaction_id = case when v_entry.kind = 'consume' then v_entry.id end
  where h.organization_id = p_hold.organization_id and h.id = p_hold.id and h.status = 'open';
  if p_captured <> p_hold.amount then
    v_subject.organization_id := p_hold.organization_id;
    v_subject.department_id := p_hold.department_id;
    v_subject.user_id := p_hold.user_id;
    v_subject.agent_key_id := p_hold.agent_key_id;
    perform billing_private.move_counters(
      v_subject, p_hold.agent_type, p_hold.run_id, p_hold.created_at, p_captured - p_hold.amount);
  end if;
  for v_index in 1 .. cardinality(v_released.lost_ids) loop
    v_entry := billing_private.append_entry(
      v_entry, v_released.lost_kinds[v_index], v_released.lost_amounts[v_index], p_at, v_released.lost_ids[v_index:v_index],
      v_released.lost_amounts[v_index:v_index], p_detail => '{"reason": "released_after_end"}');
  end loop;
  return v_entry;
end
$$;
revoke all on function billing_private.close_hold(
  billing.credit_transactions, billing.credit_holds, text, numeric, numeric, timestamptz, jsonb
) from public;

-- What unheld grants would pay of an amount for a hold's scope, in burn-down order (negative amounts), as far as they go.
create function billing_private.pick_from_grants(p_hold billing.credit_holds, p_amount numeric)
returns billing_private.claim
language plpgsql
stable
set search_path = ''
set enable_sort = off -- burn_down() is read as far as its first rows
set enable_incremental_sort = off
as $$
declare
  v_claim billing_private.claim := ('{}', '{}');
  v_grant billing_private.credit_grant_lots;
  v_take numeric;
begin
  for v_grant in
    select g.* from billing_private.burn_down(p_hold.organization_id, p_hold.department_id, p_hold.agent_type) as g
  loop
    exit when p_amount = 0;
    v_take := least(v_grant.remaining - v_grant.held, p_amount);
    continue when v_take = 0;
    v_claim.grant_ids := v_claim.grant_ids || v_grant.id;
    v_claim.amounts := v_claim.amounts || -v_take;
    p_amount := p_amount - v_take;
  end loop;
  return v_claim;
end
$$;
revoke all on function billing_private.pick_from_grants(billing.credit_holds, numeric) from public;

-- A hold's time is over: what was metered is captured, the rest released, dated at expires_at. Called by settle().
create function billing_private.expire_hold(p_tail billing.credit_transactions, p_hold_id uuid)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_hold billing.credit_holds;
begin
  select h.* into v_hold from billing.credit_holds as h
  where h.organization_id = p_tail.organization_id and h.id = p_hold_id;
  return billing_private.close_hold(
    p_tail, v_hold, 'expired', v_hold.metered, 0, v_hold.expires_at,
    jsonb_build_object('reason', 'hold_expired', 'requested_amount', v_hold.metered));
end
$$;
revoke all on function billing_private.expire_hold(billing.credit_transactions, uuid) from public;

-- Whether the caller may act on a hold. Agents: their own key's; members: their own, and any as owner or admin; the service: any. Raises 401
-- agent_key_invalid.
create function billing_private.may_resolve(p_hold billing.credit_holds)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  v_user_id constant uuid := billing_private.current_user_id();
begin
  if billing_private.caller_is_service() then
    return p_hold.id is not null;
  elsif billing_private.caller_role() = 'anon' then
    return coalesce((billing_private.identify_agent(
      coalesce(nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key', ''))).root_key_id = p_hold.agent_key_id, false);
  elsif not billing_private.caller_is_first_party() then
    return false;
  end if;
  return coalesce(
    billing_private.user_has_role(v_user_id, p_hold.organization_id, '{owner,admin}')
    or (p_hold.user_id = v_user_id and billing_private.user_has_role(v_user_id, p_hold.organization_id, '{billing,member}')), false);
end
$$;
revoke all on function billing_private.may_resolve(billing.credit_holds) from public;

-- The ledger of a hold that the caller may act on, locked and settled up to now. 404 not_found for unknown and foreign holds alike. Returns the
-- tail; the hold is read again after it, for it may just have expired. Rights are looked at before the lock and, since a key may have been
-- revoked or a member removed meanwhile, again under it.
create function billing_private.open_hold_ledger(p_hold_id uuid)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_hold billing.credit_holds;
  v_tail billing.credit_transactions;
  v_now timestamptz;
begin
  select h.* into v_hold from billing.credit_holds as h where h.id = p_hold_id;
  if not billing_private.may_resolve(v_hold) then
    perform billing_private.fail(404, 'not_found', '{"what": "hold"}');
  end if;
  perform billing_private.lock_organization(v_hold.organization_id);
  if not billing_private.may_resolve(v_hold) then
    perform billing_private.fail(404, 'not_found', '{"what": "hold"}');
  end if;
  v_tail := billing_private.ledger_tail(v_hold.organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = v_hold.organization_id;
  v_tail := billing_private.settle(v_tail, v_now);
  v_tail.recorded_at := v_now; -- in memory only: the instant at which the caller acts
  return v_tail;
end
$$;
revoke all on function billing_private.open_hold_ledger(uuid) from public;

-- Raises the named answer for a hold that is no longer open: 409 hold_captured, hold_released, hold_expired, with the first receipt's id.
create function billing_private.refuse_resolved_hold(p_hold billing.credit_holds)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform billing_private.fail(409, 'hold_' || p_hold.status, jsonb_strip_nulls(jsonb_build_object(
    'hold_id', p_hold.id, 'transaction_id', p_hold.capture_transaction_id)));
end
$$;
revoke all on function billing_private.refuse_resolved_hold(billing.credit_holds) from public;

-- How much of a cost above the hold is collected, by the organization's policy. deny: 422 invalid_amount, the hold stays open.
-- up_to_available: what credits and hard limits leave. allow_debt: all of it, unless a hard limit refuses (402 limit_exceeded).
create function billing_private.collectable_excess(
  p_tail billing.credit_transactions, p_hold billing.credit_holds, p_excess numeric
)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
declare
  v_organization billing.organizations;
  v_subject billing_private.spender;
  v_limits billing_private.applicable_limit[];
  v_room numeric;
begin
  if p_excess <= 0 then
    return 0;
  end if;
  select o.* into v_organization from billing.organizations as o where o.organization_id = p_hold.organization_id;
  if v_organization.over_capture_policy = 'deny' then
    perform billing_private.fail(422, 'invalid_amount', jsonb_build_object('argument', 'amount', 'max', p_hold.amount),
      'more than the hold; the organization''s over_capture_policy is deny');
  end if;
  v_subject.organization_id := p_hold.organization_id;
  v_subject.department_id := p_hold.department_id;
  v_subject.user_id := p_hold.user_id;
  v_subject.agent_key_id := p_hold.agent_key_id;
  v_limits := billing_private.applicable_limits(v_subject, p_hold.agent_type, p_hold.run_id, p_hold.created_at);
  if v_organization.over_capture_policy = 'allow_debt' then
    if v_limits is not null and billing_private.blocking_limit(v_limits, p_excess) is not null then
      perform billing_private.fail(402, 'limit_exceeded', billing_private.blocking_limit(v_limits, p_excess));
    end if;
    return p_excess;
  end if;
  v_room := greatest(0, least(
    p_tail.balance_after - p_tail.held_after,
    -coalesce((select sum(a) from unnest((billing_private.pick_from_grants(p_hold, p_excess)).amounts) as a), 0)
  ));
  if v_limits is not null then
    v_room := least(v_room, coalesce((
      select min(greatest(l.amount - l.used, 0)) from unnest(v_limits) as l where l.mode in ('hard', 'ask')
    ), v_room));
  end if;
  return least(p_excess, v_room);
end
$$;
revoke all on function billing_private.collectable_excess(billing.credit_transactions, billing.credit_holds, numeric) from public;

-- Settles a hold: charges the amount, or the quantities at the prices that the hold fixed (neither: the whole hold), and releases the rest. Same
-- key: the first receipt. Raises 404 not_found, 409 hold_* and idempotency_conflict, 422 invalid_amount and invalid_argument (the hold stays
-- open), 402 limit_exceeded under allow_debt.
create function billing_private.capture_hold(p_hold_id uuid, p_amount numeric, p_quantities jsonb, p_idempotency_key text)
returns billing.credit_receipt
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- see hold_credits
set enable_seqscan = off
as $$
declare
  v_tail billing.credit_transactions;
  v_hold billing.credit_holds;
  v_entry billing.credit_transactions;
  v_quantities constant jsonb := billing_private.require_quantities(p_quantities);
  v_requested numeric; -- the amount as it is stored: rounded up, so that the same call replays
  v_cost numeric;
  v_excess numeric;
begin
  if p_idempotency_key is not null then
    perform billing_private.require_text('idempotency_key', p_idempotency_key);
  end if;
  if p_amount is not null and v_quantities is not null then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "amount"}', 'either amount or quantities');
  end if;
  if p_amount is not null then
    v_requested := billing_private.require_hold_amount('amount', p_amount);
  end if;
  v_tail := billing_private.open_hold_ledger(p_hold_id);
  select h.* into v_hold from billing.credit_holds as h where h.id = p_hold_id;
  if p_idempotency_key is not null then
    select t.* into v_entry from billing.credit_transactions as t
    where t.organization_id = v_hold.organization_id and t.idempotency_key = p_idempotency_key;
    if found then
      if v_entry.hold_id is distinct from p_hold_id or v_entry.quantities is distinct from v_quantities
        or v_entry.requested_amount is distinct from v_requested then
        perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('transaction_id', v_entry.id));
      end if;
      return billing_private.receipt_of(v_entry, true);
    end if;
  end if;
  if v_hold.status <> 'open' then
    perform billing_private.refuse_resolved_hold(v_hold);
  end if;
  v_cost := coalesce(
    v_requested,
    case when v_quantities is not null then billing_private.price_quantities(v_hold.price_ids, v_quantities) end,
    v_hold.amount);
  v_excess := billing_private.collectable_excess(v_tail, v_hold, v_cost - v_hold.amount);
  perform billing_private.close_hold(
    v_tail, v_hold, 'captured', least(v_cost, v_hold.amount) + v_excess, greatest(v_cost - v_hold.amount, 0) - v_excess, v_tail.recorded_at,
    jsonb_strip_nulls(jsonb_build_object(
      'idempotency_key', p_idempotency_key, 'quantities', v_quantities, 'requested_amount', v_requested,
      'price_ids', case when v_quantities is not null then to_jsonb(v_hold.price_ids) end,
      'metadata', nullif(v_hold.metadata, '{}'))));
  select h.* into v_hold from billing.credit_holds as h where h.id = p_hold_id;
  select t.* into v_entry from billing_private.find_transaction(v_hold.capture_transaction_id) as t;
  return billing_private.receipt_of(v_entry, false);
end
$$;
revoke all on function billing_private.capture_hold(uuid, numeric, jsonb, text) from public;
grant execute on function billing_private.capture_hold(uuid, numeric, jsonb, text) to anon, authenticated, service_role;

create function billing.capture_hold(
  hold_id uuid, amount numeric default null, quantities jsonb default null, idempotency_key text default null
)
returns billing.credit_receipt
language plpgsql -- a function in SQL that pins its search_path is planned at every call
volatile
set search_path = ''
as $$
begin
  return billing_private.capture_hold(hold_id, amount, quantities, idempotency_key);
end
$$;
revoke all on function billing.capture_hold(uuid, numeric, jsonb, text) from public;
grant execute on function billing.capture_hold(uuid, numeric, jsonb, text) to anon, authenticated, service_role;
comment on function billing.capture_hold(uuid, numeric, jsonb, text) is
'Charges what a run cost against its hold (an amount, or quantities at the held prices; neither: the whole hold) and releases the rest. Once.';

-- Gives a hold's credits back, once: 409 hold_released, hold_captured or hold_expired when it has ended before. Raises 404 not_found.
create function billing_private.release_hold(p_hold_id uuid)
returns billing.credit_hold
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- see hold_credits
set enable_seqscan = off
as $$
declare
  v_tail billing.credit_transactions;
  v_hold billing.credit_holds;
begin
  v_tail := billing_private.open_hold_ledger(p_hold_id);
  select h.* into v_hold from billing.credit_holds as h where h.id = p_hold_id;
  if v_hold.status <> 'open' then
    perform billing_private.refuse_resolved_hold(v_hold);
  end if;
  v_tail := billing_private.close_hold(v_tail, v_hold, 'released', 0, 0, v_tail.recorded_at, '{"reason": "released"}');
  select h.* into v_hold from billing.credit_holds as h where h.id = p_hold_id;
  return billing_private.hold_answer(v_hold, v_tail, false);
end
$$;
revoke all on function billing_private.release_hold(uuid) from public;
grant execute on function billing_private.release_hold(uuid) to anon, authenticated, service_role;

create function billing.release_hold(hold_id uuid)
returns billing.credit_hold
language plpgsql -- a function in SQL that pins its search_path is planned at every call
volatile
set search_path = ''
as $$
begin
  return billing_private.release_hold(hold_id);
end
$$;
revoke all on function billing.release_hold(uuid) from public;
grant execute on function billing.release_hold(uuid) to anon, authenticated, service_role;
comment on function billing.release_hold(uuid) is 'Gives a hold''s credits back, once; a second call is 409 hold_released.';

-- Keeps a hold alive: reserves p_additional more (counted in the window in which the hold was taken), reports what the run has cost so far
-- (p_metered, cumulative and never falling; captured if the hold expires), and lets it end p_expires_in from now.
-- Raises 402 insufficient_credits and limit_exceeded, 404 not_found, 409 hold_*, 422.
create function billing_private.extend_hold(p_hold_id uuid, p_additional numeric, p_metered numeric, p_expires_in interval)
returns billing.credit_hold
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan' -- see hold_credits
set enable_seqscan = off
as $$
declare
  v_tail billing.credit_transactions;
  v_hold billing.credit_holds;
  v_subject billing_private.spender;
  v_claim billing_private.claim := ('{}', '{}');
  v_limits billing_private.applicable_limit[];
  v_additional constant numeric := billing_private.require_hold_amount('additional', coalesce(p_additional, 0));
  v_metered numeric;
begin
  if p_expires_in is not null then
    perform billing_private.require_hold_duration(p_expires_in);
  end if;
  if p_metered is not null then
    v_metered := billing_private.require_hold_amount('metered', p_metered);
  end if;
  v_tail := billing_private.open_hold_ledger(p_hold_id);
  select h.* into v_hold from billing.credit_holds as h where h.id = p_hold_id;
  if v_hold.status <> 'open' then
    perform billing_private.refuse_resolved_hold(v_hold);
  end if;
  if v_metered < v_hold.metered or v_metered > v_hold.amount + v_additional then
    perform billing_private.fail(422, 'invalid_amount',
      jsonb_build_object('argument', 'metered', 'min', v_hold.metered, 'max', v_hold.amount + v_additional),
      'metered is cumulative: it never falls and is covered by the hold');
  end if;
  if v_additional > 0 then
    v_subject.organization_id := v_hold.organization_id;
    v_subject.department_id := v_hold.department_id;
    v_subject.user_id := v_hold.user_id;
    v_subject.agent_key_id := v_hold.agent_key_id;
    v_limits := billing_private.require_room(
      v_subject, v_hold.agent_type, v_hold.run_id, v_additional, v_hold.created_at, 'hold:' || p_hold_id || ':' || (v_hold.amount + v_additional));
    v_claim := billing_private.claim_from_grants(v_tail, v_subject, v_hold.agent_type, v_additional);
    if v_limits is not null then
      perform billing_private.count_against_limits(v_hold.organization_id, v_limits, v_additional);
    end if;
  end if;
  update billing.credit_holds as h
  set
    amount = h.amount + v_additional,
    grant_ids = h.grant_ids || v_claim.grant_ids,
    grant_amounts = h.grant_amounts || v_claim.amounts,
    metered = coalesce(v_metered, h.metered),
    expires_at = coalesce(v_tail.recorded_at + p_expires_in, h.expires_at)
  where h.organization_id = v_hold.organization_id and h.id = p_hold_id
  returning * into v_hold;
  v_tail := billing_private.append_entry(
    v_tail, 'hold', 0, v_tail.recorded_at, null, null, p_held_after => v_tail.held_after + v_additional,
    p_detail => billing_private.hold_detail(v_hold) || '{"reason": "extended"}');
  return billing_private.hold_answer(v_hold, v_tail, false);
end
$$;
revoke all on function billing_private.extend_hold(uuid, numeric, numeric, interval) from public;
grant execute on function billing_private.extend_hold(uuid, numeric, numeric, interval) to anon, authenticated, service_role;

create function billing.extend_hold(
  hold_id uuid, additional numeric default 0, metered numeric default null, expires_in interval default null
)
returns billing.credit_hold
language plpgsql -- a function in SQL that pins its search_path is planned at every call
volatile
set search_path = ''
as $$
begin
  return billing_private.extend_hold(hold_id, additional, metered, expires_in);
end
$$;
revoke all on function billing.extend_hold(uuid, numeric, numeric, interval) from public;
grant execute on function billing.extend_hold(uuid, numeric, numeric, interval) to anon, authenticated, service_role;
comment on function billing.extend_hold(uuid, numeric, numeric, interval) is
'Keeps a hold alive: more credits, the cost metered so far (captured if it expires), a later end.';
