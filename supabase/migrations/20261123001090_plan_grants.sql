-- What the bodies behind Stripe's invoices and subscriptions call: grant a paid period, add to it, end it. None of these checks its caller.
-- Each takes the organization's lock itself and settles first; each is safe to repeat, and to call in any order.

-- The organization's ledger, locked and settled up to now. The instant at which the caller acts is in recorded_at, in memory only.
create function billing_private.settled_ledger(p_organization_id uuid)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_tail billing.credit_transactions;
  v_now timestamptz;
begin
  perform billing_private.lock_organization(p_organization_id);
  v_tail := billing_private.ledger_tail(p_organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = p_organization_id;
  v_tail := billing_private.settle(v_tail, v_now);
  v_tail.recorded_at := v_now;
  return v_tail;
end
$$;
revoke all on function billing_private.settled_ledger(uuid) from public;

create function billing_private.require_period(p_period_start timestamptz, p_period_end timestamptz)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if not coalesce(isfinite(p_period_start) and isfinite(p_period_end) and p_period_end > p_period_start, false) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "period_end"}', 'a period begins before it ends');
  end if;
end
$$;
revoke all on function billing_private.require_period(timestamptz, timestamptz) from public;

-- Books a plan grant and what follows from it: earlier periods end (roll over) with it, unless it is itself of a period that a later grant has
-- ended already; then it rolls over at once, as if invoices had come in order. p_paid_at: when its period was paid. Under the lock, after settle().
create function billing_private.land_plan_lot(
  p_tail billing.credit_transactions, p_lot billing_private.credit_grant_lots, p_ends_earlier boolean, p_restart boolean, p_now timestamptz,
  p_paid_at timestamptz default null
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_next billing_private.credit_grant_lots;
begin
  if p_ends_earlier then
    p_tail := billing_private.roll_over(p_tail, p_lot, p_now, p_restart);
    p_tail := billing_private.settle(billing_private.roll_over_late(p_tail, p_lot, p_paid_at, p_now), p_now);
  end if;
  if p_lot.amount > 0 then
    p_tail := billing_private.settle(billing_private.book_plan_lot(p_tail, p_lot, p_now), p_now);
  end if;
  select g.* into v_next from billing_private.credit_grant_lots as g
  where g.organization_id = p_lot.organization_id and g.subscription_id = p_lot.subscription_id and g.is_period_grant
    and g.period_start >= p_lot.period_ends_at
  order by g.period_start limit 1;
  if found then
    p_tail := billing_private.settle(billing_private.roll_over(p_tail, v_next, p_now, false), p_now);
    p_tail := billing_private.settle(billing_private.roll_over_late(p_tail, v_next, (
      select max(l.paid_at) from billing_private.subscription_lines as l
      where l.organization_id = v_next.organization_id and l.subscription_id = v_next.subscription_id and l.grant_id = v_next.id
    ), p_now), p_now);
  end if;
  return p_tail;
end
$$;
revoke all on function billing_private.land_plan_lot(
  billing.credit_transactions, billing_private.credit_grant_lots, boolean, boolean, timestamptz, timestamptz
) from public;

-- Grants a paid period once. p_amount null: what the plan grants; 0: earlier periods end, nothing is granted. p_plan_id null: the subscription's.
-- p_reference: what the payer calls it (Stripe: the invoice line's id). p_restart: the period begins although earlier ones were to run on.
-- p_paid_at: when it was paid, for what rolls over although we hear of it late.
-- Called again for the period, or with the reference: the first grant's receipt; with another amount 409 idempotency_conflict. Raises 404
-- not_found, 422 invalid_amount and invalid_argument, 503 busy.
create function billing_private.renew_subscription(
  p_organization_id uuid, p_subscription_id uuid, p_period_start timestamptz, p_period_end timestamptz, p_amount numeric default null,
  p_reference text default null, p_plan_id uuid default null, p_unit_cost numeric default 0, p_currency text default null,
  p_restart boolean default false, p_paid_at timestamptz default null
)
returns billing.grant_receipt
language plpgsql
set search_path = ''
as $$
declare
  v_subscription record;
  v_plan billing.subscription_plans;
  v_lot billing_private.credit_grant_lots;
  v_tail billing.credit_transactions;
  v_now timestamptz;
begin
  perform billing_private.require_period(p_period_start, p_period_end);
  perform billing_private.require_amount('unit_cost', coalesce(p_unit_cost, 0), true);
  if p_reference is not null then
    perform billing_private.require_text('reference', p_reference);
  end if;
  v_tail := billing_private.settled_ledger(p_organization_id);
  v_now := v_tail.recorded_at;
  select s.plan_id, s.quantity, s.ends_at into v_subscription from billing.subscriptions as s
  where s.organization_id = p_organization_id and s.id = p_subscription_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "subscription"}');
  end if;
  v_plan := billing_private.plan_at(coalesce(p_plan_id, v_subscription.plan_id), p_period_start);
  p_amount := billing_private.require_amount('amount', coalesce(p_amount, v_plan.credits_per_period * v_subscription.quantity), true);

  select g.* into v_lot from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id and (
    (g.subscription_id = p_subscription_id and g.is_period_grant and g.period_start = p_period_start)
    or (g.source = 'subscription' and g.source_reference = p_reference)
  )
  limit 1;
  if found then
    if v_lot.amount <> p_amount then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('grant_id', v_lot.id));
    end if;
    return billing_private.grant_receipt_of(v_lot, v_tail, v_now, true);
  end if;

  v_lot := billing_private.new_plan_lot(
    p_organization_id, p_subscription_id, v_plan, v_subscription.quantity, p_amount, p_period_start, p_period_end, v_subscription.ends_at, v_now);
  v_lot.source_reference := coalesce(p_reference, v_lot.source_reference);
  v_lot.unit_cost := coalesce(p_unit_cost, 0);
  v_lot.currency := p_currency;
  v_tail := billing_private.land_plan_lot(v_tail, v_lot, true, p_restart, v_now, p_paid_at);
  v_lot.id := case when p_amount > 0 then v_lot.id end;
  return billing_private.grant_receipt_of(v_lot, v_tail, v_now, false);
end
$$;
revoke all on function billing_private.renew_subscription(
  uuid, uuid, timestamptz, timestamptz, numeric, text, uuid, numeric, text, boolean, timestamptz
) from public;

-- What a subscription's periods beginning in [p_period_start, p_period_end) have granted so far, upgrades included.
create function billing_private.plan_credits_granted(
  p_organization_id uuid, p_subscription_id uuid, p_period_start timestamptz, p_period_end timestamptz
)
returns numeric
language sql
stable
set search_path = ''
return (
  select coalesce(sum(g.amount), 0)::numeric
  from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id and g.subscription_id = p_subscription_id and g.source = 'subscription'
    and g.period_start >= p_period_start and g.period_start < p_period_end
);
revoke all on function billing_private.plan_credits_granted(uuid, uuid, timestamptz, timestamptz) from public;

-- Adds to a period that is granted, or will be: an upgrade. p_period_start: since when it counts, within the period. It ends with the period; of
-- it may roll over what the plan's cap leaves above the period's other grants. p_due_plan_id, p_due_amount: what the period itself will grant, where it
-- is paid only later. Keyed by p_reference; otherwise as renew_subscription.
create function billing_private.add_plan_credits(
  p_organization_id uuid, p_subscription_id uuid, p_period_start timestamptz, p_period_end timestamptz, p_amount numeric, p_reference text,
  p_plan_id uuid default null, p_unit_cost numeric default 0, p_currency text default null, p_due_plan_id uuid default null,
  p_due_amount numeric default null
)
returns billing.grant_receipt
language plpgsql
set search_path = ''
as $$
declare
  v_subscription record;
  v_plan billing.subscription_plans;
  v_lot billing_private.credit_grant_lots;
  v_tail billing.credit_transactions;
  v_now timestamptz;
begin
  perform billing_private.require_period(p_period_start, p_period_end);
  perform billing_private.require_amount('amount', p_amount);
  perform billing_private.require_amount('unit_cost', coalesce(p_unit_cost, 0), true);
  perform billing_private.require_text('reference', p_reference);
  v_tail := billing_private.settled_ledger(p_organization_id);
  v_now := v_tail.recorded_at;
  select s.plan_id, s.quantity, s.ends_at into v_subscription from billing.subscriptions as s
  where s.organization_id = p_organization_id and s.id = p_subscription_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "subscription"}');
  end if;
  v_plan := billing_private.plan_at(coalesce(p_plan_id, v_subscription.plan_id), p_period_start);

  select g.* into v_lot from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id and g.source = 'subscription' and g.source_reference = p_reference;
  if found then
    if v_lot.amount <> p_amount then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('grant_id', v_lot.id));
    end if;
    return billing_private.grant_receipt_of(v_lot, v_tail, v_now, true);
  end if;

  v_lot := billing_private.new_plan_lot(
    p_organization_id, p_subscription_id, v_plan, v_subscription.quantity, p_amount, p_period_start, p_period_end, v_subscription.ends_at, v_now);
  v_lot.id := billing_private.derived_id(p_organization_id || ':' || p_reference);
  v_lot.source_reference := p_reference;
  v_lot.is_period_grant := false;
  v_lot.unit_cost := coalesce(p_unit_cost, 0);
  v_lot.currency := p_currency;
  v_lot.rollover_cap := (
    select least(p_amount, greatest(0, billing_private.rollover_cap_of(
        v_plan, coalesce(sum(g.amount), 0) + coalesce(p_due_amount, 0) + p_amount, v_subscription.quantity)
      - coalesce(sum(g.rollover_cap), 0) - case when p_due_plan_id is null then 0 else billing_private.rollover_cap_of(
        billing_private.plan_at(p_due_plan_id, p_period_start), p_due_amount, v_subscription.quantity) end))
    from billing_private.credit_grant_lots as g
    where g.organization_id = p_organization_id and g.subscription_id = p_subscription_id and g.source = 'subscription'
      and g.period_ends_at = v_lot.period_ends_at
  );
  v_tail := billing_private.land_plan_lot(v_tail, v_lot, false, false, v_now);
  return billing_private.grant_receipt_of(v_lot, v_tail, v_now, false);
end
$$;
revoke all on function billing_private.add_plan_credits(
  uuid, uuid, timestamptz, timestamptz, numeric, text, uuid, numeric, text, uuid, numeric
) from public;

-- Says when a subscription's plan credits end: p_ends_at; null: it goes on, and they may be spent up to grace_ends_at. An end in the past is
-- now. Grants that end before, or live by an expiry of their own, stay as they are. Books a `schedule` entry of 0 when an end has moved, for the last
-- entry says until when the wallet may be trusted.
create function billing_private.set_subscription_end(p_organization_id uuid, p_subscription_id uuid, p_ends_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_tail billing.credit_transactions;
  v_now timestamptz;
  v_moved uuid[];
begin
  v_tail := billing_private.settled_ledger(p_organization_id);
  v_now := v_tail.recorded_at;
  with moved as (
    update billing_private.credit_grant_lots as g
    set expires_at = e.ends_at
    from billing_private.credit_grant_lots as l
    cross join lateral (
      select greatest(l.effective_at, case when p_ends_at <= l.period_ends_at then p_ends_at else l.grace_ends_at end) as ends_at
    ) as e
    where l.organization_id = p_organization_id and l.subscription_id = p_subscription_id and l.period_ends_at is not null
      and l.expires_at > v_now and l.expires_at <> e.ends_at
      and g.organization_id = l.organization_id and g.id = l.id
    returning g.id, g.source, g.effective_at, g.period_ends_at, g.source_reference
  )
  -- Their ids are random: the order of this entry must not be.
  select array_agg(m.id order by m.effective_at, m.period_ends_at, m.source, m.source_reference, m.id) into v_moved from moved as m;
  if v_moved is not null then
    v_tail := billing_private.append_entry(
      v_tail, 'schedule', 0, v_now, v_moved, array_fill(0::numeric, array[cardinality(v_moved)]),
      p_detail => jsonb_build_object('reason', case when p_ends_at is null then 'subscription_goes_on' else 'subscription_ends' end));
    perform billing_private.settle(v_tail, v_now);
  end if;
end
$$;
revoke all on function billing_private.set_subscription_end(uuid, uuid, timestamptz) from public;

-- Ends a subscription's plan credits now, whatever their period; what is left expires and does not roll over. Returns how much of them had been
-- used, what holds have claimed included. Repeated: 0.
create function billing_private.end_plan_credits(p_organization_id uuid, p_subscription_id uuid)
returns numeric
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_used numeric;
begin
  v_now := (billing_private.settled_ledger(p_organization_id)).recorded_at;
  select coalesce(sum(g.amount - g.remaining + g.held), 0) into v_used
  from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id and g.subscription_id = p_subscription_id and g.source = 'subscription'
    and g.period_ends_at is not null and g.expires_at > v_now;
  perform billing_private.set_subscription_end(p_organization_id, p_subscription_id, v_now);
  return v_used;
end
$$;
revoke all on function billing_private.end_plan_credits(uuid, uuid) from public;
