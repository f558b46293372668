-- Putting things right: refunds of consumptions, voided grants, adjustments. Every correction is a new entry; nothing booked is changed.

-- Gives credits back to a grant in its own row. Under the lock, after settle().
create function billing_private.return_to_grant(p_organization_id uuid, p_grant_id uuid, p_amount numeric)
returns void
language sql
set search_path = ''
as $$
  update billing_private.credit_grant_lots as g
  set remaining = g.remaining + p_amount, is_open = true, closed_reason = null
  where g.organization_id = p_organization_id and g.id = p_grant_id
$$;
revoke all on function billing_private.return_to_grant(uuid, uuid, numeric) from public;

-- What of each grant's part in a consumption has not been refunded yet, last taken first. The part that became debt has no grant and comes first.
create function billing_private.refundable_parts(p_entry billing.credit_transactions)
returns table (place bigint, grant_id uuid, amount numeric)
language sql
stable
set search_path = ''
as $$
  with taken as (
    select a.place, a.grant_id, -a.amount as amount
    from unnest(p_entry.grant_ids, p_entry.grant_amounts) with ordinality as a (grant_id, amount, place)
    where p_entry.grant_ids is not null
    union all
    select 1, p_entry.head_grant_id, -p_entry.amount::numeric
    where p_entry.grant_ids is null and p_entry.head_grant_id is not null and p_entry.amount <> 0
  ),
  parts as (
    select t.place, t.grant_id, t.amount from taken as t
    union all
    select 9223372036854775807, null, -p_entry.amount - coalesce((select sum(t.amount) from taken as t), 0)
  ),
  refunded as (
    select coalesce(sum(r.amount), 0)::numeric as amount
    from billing.credit_transactions as r
    where r.organization_id = p_entry.organization_id and r.source_transaction_id = p_entry.id and r.kind = 'refund'
  ),
  stacked as (
    select p.*, sum(p.amount) over (order by p.place desc) as reached from parts as p where p.amount > 0
  )
  select s.place, s.grant_id, least(s.amount, s.reached - f.amount)
  from stacked as s
  cross join refunded as f
  where s.reached > f.amount
  order by s.place desc
$$;
revoke all on function billing_private.refundable_parts(billing.credit_transactions) from public;

-- A promotional grant in the place of one that has expired: it lives as long as the old one had left when it was spent.
create function billing_private.replace_expired_grant(
  p_grant billing_private.credit_grant_lots, p_amount numeric, p_now timestamptz, p_left interval
)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_id constant uuid := gen_random_uuid();
begin
  insert into billing_private.credit_grant_lots (
    organization_id, id, source, source_reference, amount, remaining, priority, department_id, agent_types, unit_cost,
    effective_at, expires_at, activated_at, parent_grant_id, created_at
  ) values (
    p_grant.organization_id, v_id, 'refund', v_id::text, p_amount, p_amount, p_grant.priority, p_grant.department_id, p_grant.agent_types, 0,
    p_now, coalesce(p_now + p_left, 'infinity'), p_now, p_grant.id, p_now
  );
  return v_id;
end
$$;
revoke all on function billing_private.replace_expired_grant(billing_private.credit_grant_lots, numeric, timestamptz, interval) from public;

-- Books one refund under the lock. The entry says where each part went; what went into an expired grant for reason `customer` is booked and
-- expired at once.
create function billing_private.book_refund(
  p_tail billing.credit_transactions, p_entry billing.credit_transactions, p_amount numeric, p_requested numeric, p_reason text,
  p_idempotency_key text, p_now timestamptz
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_part record;
  v_grant billing_private.credit_grant_lots;
  v_left numeric := p_amount;
  v_take numeric;
  v_debt numeric := p_tail.debt_after;
  v_ids uuid[] := '{}';
  v_amounts numeric[] := '{}';
  v_lost_ids uuid[] := '{}';
  v_lost_amounts numeric[] := '{}';
  v_refund billing.credit_transactions;
  v_index integer;
  -- What a hold settled was spent when the hold was taken: its grant may have ended before the capture.
  v_spent_at constant timestamptz := coalesce(
    (select h.created_at from billing.credit_holds as h where h.organization_id = p_entry.organization_id and h.id = p_entry.hold_id),
    p_entry.created_at);
begin
  for v_part in select p.* from billing_private.refundable_parts(p_entry) as p order by p.place desc loop
    exit when v_left = 0;
    v_take := least(v_part.amount, v_left);
    v_left := v_left - v_take;
    if v_part.grant_id is null and v_debt > 0 then
      -- It was paid by going into debt: the debt shrinks, and what has been repaid since comes back as a grant of its own.
      v_debt := v_debt - least(v_debt, v_take);
      v_take := v_take - (p_tail.debt_after - v_debt);
      continue when v_take <= 0;
    end if;
    if v_part.grant_id is null then
      v_grant := null;
      v_grant.organization_id := p_entry.organization_id;
      v_grant.priority := 100;
      v_ids := v_ids || billing_private.replace_expired_grant(v_grant, v_take, p_now, null);
      v_amounts := v_amounts || v_take;
      continue;
    end if;
    select g.* into v_grant from billing_private.credit_grant_lots as g
    where g.organization_id = p_entry.organization_id and g.id = v_part.grant_id;
    if v_grant.expires_at > p_now and v_grant.closed_reason is distinct from 'voided' then
      perform billing_private.return_to_grant(v_grant.organization_id, v_grant.id, v_take);
      v_ids := v_ids || v_grant.id;
    elsif p_reason = 'platform_fault' then
      v_ids := v_ids || billing_private.replace_expired_grant(v_grant, v_take, p_now, v_grant.expires_at - greatest(v_spent_at, v_grant.effective_at));
    else
      v_ids := v_ids || v_grant.id;
      v_lost_ids := v_lost_ids || v_grant.id;
      v_lost_amounts := v_lost_amounts || -v_take;
    end if;
    v_amounts := v_amounts || v_take;
  end loop;
  v_refund := billing_private.append_entry(
    p_tail, 'refund', p_amount, p_now, v_ids, v_amounts, p_debt_after => v_debt,
    p_detail => jsonb_strip_nulls(jsonb_build_object(
      'source_transaction_id', p_entry.id, 'reason', p_reason, 'idempotency_key', p_idempotency_key, 'agent_type', p_entry.agent_type,
      'action', p_entry.action, 'department_id', p_entry.department_id, 'user_id', p_entry.user_id, 'agent_key_id', p_entry.agent_key_id,
      'run_id', p_entry.run_id, 'requested_amount', p_requested,
      'metadata', case when p_entry.metadata ? 'model' then jsonb_build_object('model', p_entry.metadata -> 'model') end
    )));
  p_tail := v_refund;
  for v_index in 1 .. cardinality(v_lost_ids) loop
    p_tail := billing_private.append_entry(
      p_tail, 'expire', v_lost_amounts[v_index], p_now, v_lost_ids[v_index:v_index], v_lost_amounts[v_index:v_index],
      p_detail => '{"reason": "refunded_after_expiry"}');
  end loop;
  return v_refund;
end
$$;
revoke all on function billing_private.book_refund(
  billing.credit_transactions, billing.credit_transactions, numeric, numeric, text, text, timestamptz
) from public;

-- Service, or an owner or admin of the organization. Locks the organization. Replays by idempotency_key. Raises 404 not_found (unknown, foreign,
-- or not a consumption), 409 refund_exceeds_consumption and idempotency_conflict, 422 invalid_amount and invalid_argument.
create function billing_private.refund_consumption(p_transaction_id uuid, p_amount numeric, p_reason text, p_idempotency_key text)
returns billing.credit_receipt
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_entry billing.credit_transactions;
  v_first billing.credit_transactions;
  v_tail billing.credit_transactions;
  v_refund billing.credit_transactions;
  v_refundable numeric;
  v_requested constant numeric := p_amount; -- null: all that is left, which another call may find to be less
  v_now timestamptz;
begin
  if p_reason is null or p_reason not in ('customer', 'platform_fault') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "reason"}', 'customer or platform_fault');
  end if;
  perform billing_private.require_text('idempotency_key', p_idempotency_key);
  select t.* into v_entry from billing_private.find_transaction(p_transaction_id) as t where t.kind = 'consume';
  if not found or not (
    billing_private.caller_is_service()
    or (
      billing_private.caller_is_first_party()
      and billing_private.user_has_role(billing_private.current_user_id(), v_entry.organization_id, '{owner,admin}')
    )
  ) then
    perform billing_private.fail(404, 'not_found', '{"what": "transaction"}');
  end if;
  perform billing_private.lock_organization(v_entry.organization_id);
  select t.* into v_first from billing.credit_transactions as t
  where t.organization_id = v_entry.organization_id and t.idempotency_key = p_idempotency_key;
  if found then
    if v_first.kind <> 'refund' or v_first.source_transaction_id <> v_entry.id or v_first.reason <> p_reason
      or v_first.requested_amount is distinct from v_requested then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('transaction_id', v_first.id));
    end if;
    return billing_private.correction_receipt(v_first, true);
  end if;
  v_refundable := coalesce((select sum(p.amount) from billing_private.refundable_parts(v_entry) as p), 0);
  p_amount := billing_private.require_exact_amount('amount', coalesce(p_amount, nullif(v_refundable, 0), -v_entry.amount));
  if p_amount > v_refundable then
    perform billing_private.fail(409, 'refund_exceeds_consumption',
      jsonb_build_object('transaction_id', v_entry.id, 'consumed', -v_entry.amount, 'refundable', v_refundable));
  end if;
  v_tail := billing_private.ledger_tail(v_entry.organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = v_entry.organization_id;
  v_tail := billing_private.settle(v_tail, v_now);
  v_refund := billing_private.book_refund(v_tail, v_entry, p_amount, v_requested, p_reason, p_idempotency_key, v_now);
  perform billing_private.give_back_to_limits(v_entry, p_amount, v_now);
  perform billing_private.audit(v_entry.organization_id, 'refund_consumption', 'transaction', v_entry.id::text, p_reason, null, to_jsonb(v_refund));
  return billing_private.correction_receipt(v_refund, false);
end
$$;
revoke all on function billing_private.refund_consumption(uuid, numeric, text, text) from public;
grant execute on function billing_private.refund_consumption(uuid, numeric, text, text) to authenticated, service_role;

create function billing.refund_consumption(
  transaction_id uuid, amount numeric default null, reason text default null, idempotency_key text default null
)
returns billing.credit_receipt
language sql
volatile
set search_path = ''
return billing_private.refund_consumption(transaction_id, amount, reason, idempotency_key);
revoke all on function billing.refund_consumption(uuid, numeric, text, text) from public;
grant execute on function billing.refund_consumption(uuid, numeric, text, text) to authenticated, service_role;
comment on function billing.refund_consumption(uuid, numeric, text, text) is
'Service, owner, admin: gives a consumption back, wholly or in part, to the grants it came from, last taken first. reason: customer or platform_fault.';

-- The receipt of a correction: what it moved (positive: given), and what there is after it.
create function billing_private.correction_receipt(p_entry billing.credit_transactions, p_replayed boolean)
returns billing.credit_receipt
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    p_entry.id, p_entry.organization_id, p_entry.amount, p_entry.balance_after, p_entry.balance_after - p_entry.held_after, p_replayed, null,
    coalesce((
      select jsonb_agg(jsonb_build_object('grant_id', a.grant_id, 'amount', a.amount) order by a.place)
      from unnest(p_entry.grant_ids, p_entry.grant_amounts) with ordinality as a (grant_id, amount, place)
    ), '[]'), '[]', p_entry.created_at
  )::billing.credit_receipt;
end
$$;
revoke all on function billing_private.correction_receipt(billing.credit_transactions, boolean) from public;

-- Removes what is left of a grant and not held; what a hold has claimed goes when the hold lets it go. Service or platform admin. Locks the
-- organization. Idempotent: a voided grant answers as it did. Raises 404 not_found, 422 invalid_argument.
create function billing_private.void_grant(p_grant_id uuid, p_reason text)
returns billing.grant_receipt
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_grant billing_private.credit_grant_lots;
  v_tail billing.credit_transactions;
  v_entry billing.credit_transactions;
  v_now timestamptz;
begin
  if not billing_private.caller_is_platform_admin() then
    perform billing_private.require_service();
  end if;
  perform billing_private.require_text('reason', p_reason, 1000);
  select g.* into v_grant from billing_private.credit_grant_lots as g where g.id = p_grant_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "grant"}');
  end if;
  perform billing_private.lock_organization(v_grant.organization_id);
  v_tail := billing_private.ledger_tail(v_grant.organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = v_grant.organization_id;
  v_tail := billing_private.settle(v_tail, v_now);
  select g.* into v_grant from billing_private.credit_grant_lots as g
  where g.organization_id = v_grant.organization_id and g.id = p_grant_id;
  if not v_grant.is_open then
    select t.* into v_entry from billing.credit_transactions as t
    where t.organization_id = v_grant.organization_id and t.kind = 'void' and t.grant_ids = array[v_grant.id]
    order by t.sequence
    limit 1; -- a hold that let go later has voided its claim in an entry of its own
    v_entry.balance_after := coalesce(v_entry.balance_after, v_tail.balance_after);
    v_entry.held_after := coalesce(v_entry.held_after, v_tail.held_after);
  else
    v_entry := billing_private.append_entry(
      v_tail, 'void', case when v_grant.activated_at is null then 0 else v_grant.held - v_grant.remaining end, v_now, array[v_grant.id],
      array[case when v_grant.activated_at is null then 0 else v_grant.held - v_grant.remaining end],
      p_detail => jsonb_build_object('reason', p_reason));
    update billing_private.credit_grant_lots as g
    set remaining = g.held, is_open = false, closed_reason = 'voided'
    where g.organization_id = v_grant.organization_id and g.id = p_grant_id;
    perform billing_private.audit(v_grant.organization_id, 'void_grant', 'credit_grant', p_grant_id::text, p_reason, to_jsonb(v_grant), null);
  end if;
  return (
    v_grant.id, v_entry.id, v_grant.organization_id, v_grant.amount, v_entry.balance_after, v_entry.balance_after - v_entry.held_after,
    not v_grant.is_open, v_grant.effective_at, nullif(v_grant.expires_at, 'infinity'), v_grant.created_at
  )::billing.grant_receipt;
end
$$;
revoke all on function billing_private.void_grant(uuid, text) from public;
grant execute on function billing_private.void_grant(uuid, text) to authenticated, service_role;

create function billing.void_grant(grant_id uuid, reason text)
returns billing.grant_receipt
language sql
volatile
set search_path = ''
return billing_private.void_grant(grant_id, reason);
revoke all on function billing.void_grant(uuid, text) from public;
grant execute on function billing.void_grant(uuid, text) to authenticated, service_role;
comment on function billing.void_grant(uuid, text) is 'Service or platform admin: removes what is left of one grant. Idempotent.';

-- Corrects a balance by hand. A positive delta is a grant of source `adjustment`; a negative one is taken from unscoped grants in burn-down
-- order, and what is not there becomes debt. Service or platform admin. Replays by idempotency_key.
create function billing_private.adjust_credits(p_organization_id uuid, p_delta numeric, p_reason text, p_idempotency_key text)
returns billing.credit_receipt
language plpgsql
security definer
set search_path = ''
set enable_sort = off -- burn_down() is read as far as its first rows
set enable_incremental_sort = off
as $$
declare
  v_tail billing.credit_transactions;
  v_first billing.credit_transactions;
  v_entry billing.credit_transactions;
  v_grant billing_private.credit_grant_lots;
  v_now timestamptz;
  v_left numeric;
  v_ids uuid[] := '{}';
  v_amounts numeric[] := '{}';
  v_repaid numeric;
begin
  if not billing_private.caller_is_platform_admin() then
    perform billing_private.require_service();
  end if;
  perform billing_private.require_text('reason', p_reason, 1000);
  perform billing_private.require_text('idempotency_key', p_idempotency_key);
  if p_delta = 0 or scale(trim_scale(p_delta)) > 6 then
    perform billing_private.fail(422, 'invalid_amount', '{"argument": "delta"}', 'not 0, and at most six decimals');
  end if;
  perform billing_private.require_amount('delta', abs(p_delta));
  perform billing_private.lock_organization(p_organization_id);
  select t.* into v_first from billing.credit_transactions as t
  where t.organization_id = p_organization_id and t.idempotency_key = p_idempotency_key;
  if found then
    if v_first.kind <> 'adjust' or v_first.amount <> p_delta then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('transaction_id', v_first.id));
    end if;
    return billing_private.correction_receipt(v_first, true);
  end if;
  v_tail := billing_private.ledger_tail(p_organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = p_organization_id;
  v_tail := billing_private.settle(v_tail, v_now);
  if p_delta > 0 then
    v_repaid := least(v_tail.debt_after, p_delta);
    insert into billing_private.credit_grant_lots (
      organization_id, source, source_reference, amount, remaining, effective_at, activated_at, is_open, closed_reason, metadata, created_at
    ) values (
      p_organization_id, 'adjustment', 'adjust:' || p_idempotency_key, p_delta, p_delta - v_repaid, v_now, v_now, p_delta > v_repaid,
      case when p_delta = v_repaid then 'debt_repaid' end, jsonb_build_object('reason', p_reason), v_now
    ) returning * into v_grant;
    v_ids := array[v_grant.id];
    v_amounts := array[p_delta - v_repaid];
    v_left := -v_repaid;
  else
    v_left := -p_delta;
    for v_grant in select g.* from billing_private.burn_down(p_organization_id, null, null) as g loop
      exit when v_left = 0;
      continue when v_grant.remaining = v_grant.held;
      v_ids := v_ids || v_grant.id;
      v_amounts := v_amounts || -least(v_left, v_grant.remaining - v_grant.held);
      v_left := v_left - least(v_left, v_grant.remaining - v_grant.held);
    end loop;
    perform billing_private.take_from_grants(p_organization_id, v_ids, v_amounts);
  end if;
  v_entry := billing_private.append_entry(
    v_tail, 'adjust', p_delta, v_now, v_ids, v_amounts, p_debt_after => v_tail.debt_after + v_left,
    p_detail => jsonb_build_object('reason', p_reason, 'idempotency_key', p_idempotency_key));
  perform billing_private.audit(p_organization_id, 'adjust_credits', 'transaction', v_entry.id::text, p_reason, null, to_jsonb(v_entry));
  return billing_private.correction_receipt(v_entry, false);
end
$$;
revoke all on function billing_private.adjust_credits(uuid, numeric, text, text) from public;
grant execute on function billing_private.adjust_credits(uuid, numeric, text, text) to authenticated, service_role;

-- Takes (negative amounts) from grants' own rows, closing those that are empty; the head's figure is the tail's, and its row is left alone. Row by
-- row, by primary key: where most organizations have few grants, the planner would join with all of them. Under the lock, after settle().
create function billing_private.take_from_grants(
  p_organization_id uuid, p_grant_ids uuid[], p_amounts numeric[], p_head_grant_id uuid default null
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  for v_place in 1 .. coalesce(cardinality(p_grant_ids), 0) loop
    continue when p_grant_ids[v_place] = p_head_grant_id;
    update billing_private.credit_grant_lots as g
    set
      remaining = g.remaining + p_amounts[v_place],
      is_open = g.remaining + p_amounts[v_place] > 0,
      closed_reason = case when g.remaining + p_amounts[v_place] = 0 then 'spent' end
    where g.organization_id = p_organization_id and g.id = p_grant_ids[v_place];
  end loop;
end
$$;
revoke all on function billing_private.take_from_grants(uuid, uuid[], numeric[], uuid) from public;

create function billing.adjust_credits(organization_id uuid, delta numeric, reason text, idempotency_key text)
returns billing.credit_receipt
language sql
volatile
set search_path = ''
return billing_private.adjust_credits(organization_id, delta, reason, idempotency_key);
revoke all on function billing.adjust_credits(uuid, numeric, text, text) from public;
grant execute on function billing.adjust_credits(uuid, numeric, text, text) to authenticated, service_role;
comment on function billing.adjust_credits(uuid, numeric, text, text) is
'Service or platform admin: corrects a balance by hand. What a negative delta does not find in grants becomes debt.';
