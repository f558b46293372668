-- Plan credits: what a subscription grants for a period, what of it rolls over into the next, and when it ends.
--
-- A renewal adds a grant and never sets a number. Per (subscription, period) there is one period grant, whatever calls twice and in whatever
-- order invoices arrive. A period's grants end when the next period is granted: what the plan lets roll over becomes a `rollover` grant of that
-- next period (one `transfer` entry of amount 0), which is spent first and does not roll again; the rest expires. What a hold has claimed stays
-- with the old grant, can be captured, and expires when it is let go. Purchased, promotional and other grants are never touched; neither are
-- plan credits with an expiry of their own (subscription_plans.credit_expiry).
--
-- Until its renewal is there (Stripe collects up to an hour after a period's end, or days after a failed payment) a period's grants can be
-- spent, up to grace_ends_at. A renewal that was paid by then, and that we hear of later, rolls over what ended meanwhile: what counts is when the
-- customer paid. A subscription that is to end ends its grants with it, and nothing rolls over then.
--
-- What a plan says at a period's beginning is fixed in the period's grant: an edit of the plan touches the next period only.

-- Ids of grants that follow from other facts follow from them too: a reading that runs ahead of the jobs names the grants as they will be named.
create function billing_private.derived_id(p_name text)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
begin
  return overlay(overlay(md5(p_name) placing '8' from 13) placing '8' from 17)::uuid; -- the version and variant of ids with a meaning of their own
end
$$;
revoke all on function billing_private.derived_id(text) from public;

-- The most that may roll over of an amount granted for `p_quantity` of a plan: the smaller of cap and share; nothing when the plan has neither,
-- or its credits an expiry of their own.
create function billing_private.rollover_cap_of(p_plan billing.subscription_plans, p_amount numeric, p_quantity integer)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_plan.credit_expiry is not null then
    return 0;
  end if;
  return least(p_amount, coalesce(least(p_plan.rollover_cap * p_quantity, trunc(p_plan.rollover_share * p_amount, 6)), 0));
end
$$;
revoke all on function billing_private.rollover_cap_of(billing.subscription_plans, numeric, integer) from public;

-- The grant of a period, not stored yet. p_plan may be null (a subscription to what we do not sell): three days of grace, nothing rolls over.
-- Days are 24 hours and credit_expiry is counted in UTC, whatever the session's time zone.
create function billing_private.new_plan_lot(
  p_organization_id uuid, p_subscription_id uuid, p_plan billing.subscription_plans, p_quantity integer, p_amount numeric,
  p_period_start timestamptz, p_period_end timestamptz, p_subscription_ends_at timestamptz, p_at timestamptz
)
returns billing_private.credit_grant_lots
language plpgsql
stable
set search_path = ''
as $$
declare
  v_lot billing_private.credit_grant_lots;
begin
  v_lot.organization_id := p_organization_id;
  v_lot.source := 'subscription';
  v_lot.source_reference := p_subscription_id || ':' || to_char(p_period_start at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
  v_lot.id := billing_private.derived_id(v_lot.source_reference);
  v_lot.amount := p_amount;
  v_lot.remaining := p_amount;
  v_lot.held := 0;
  v_lot.priority := 100;
  v_lot.is_scoped := false;
  v_lot.unit_cost := 0;
  v_lot.effective_at := least(p_period_start, p_at);
  v_lot.is_open := true;
  v_lot.metadata := '{}';
  v_lot.created_at := p_at;
  v_lot.subscription_id := p_subscription_id;
  v_lot.is_period_grant := true;
  v_lot.period_start := p_period_start;
  v_lot.rollover_cap := billing_private.rollover_cap_of(p_plan, p_amount, p_quantity);
  if p_plan.credit_expiry is not null then
    v_lot.expires_at := ((p_period_start at time zone 'UTC') + p_plan.credit_expiry) at time zone 'UTC';
  else
    v_lot.period_ends_at := p_period_end;
    v_lot.grace_ends_at := p_period_end + make_interval(hours => 24 * greatest(coalesce(p_plan.grace_days, 3), 1));
    v_lot.expires_at := greatest(
      v_lot.effective_at, case when p_subscription_ends_at <= p_period_end then p_subscription_ends_at else v_lot.grace_ends_at end);
  end if;
  v_lot.burn_by := least(v_lot.expires_at, v_lot.period_ends_at);
  return v_lot;
end
$$;
revoke all on function billing_private.new_plan_lot(
  uuid, uuid, billing.subscription_plans, integer, numeric, timestamptz, timestamptz, timestamptz, timestamptz
) from public;

-- What of a grant rolls over into the period of p_next, as a grant that is not stored yet; null: nothing does. It has the old one's scope and
-- cost, is spent before the period's own grant, and ends with it. Into the very next period only: past one that was not granted nothing rolls.
create function billing_private.rolled_lot(
  p_lot billing_private.credit_grant_lots, p_next billing_private.credit_grant_lots, p_at timestamptz
)
returns billing_private.credit_grant_lots
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_rolled constant numeric := least(p_lot.rollover_cap, p_lot.remaining - p_lot.held);
begin
  if coalesce(v_rolled, 0) = 0 or p_lot.period_ends_at < p_next.period_start then
    return null;
  end if;
  p_lot.parent_grant_id := p_lot.id;
  p_lot.source := 'rollover';
  p_lot.source_reference := p_lot.id::text;
  p_lot.id := billing_private.derived_id('rollover:' || p_lot.id);
  p_lot.amount := v_rolled;
  p_lot.remaining := v_rolled;
  p_lot.held := 0;
  p_lot.priority := p_lot.priority - 1;
  p_lot.effective_at := p_at;
  p_lot.activated_at := p_at;
  p_lot.created_at := p_at;
  p_lot.metadata := '{}';
  p_lot.transaction_id := null;
  p_lot.is_period_grant := false;
  p_lot.period_start := p_next.period_start;
  p_lot.period_ends_at := p_next.period_ends_at;
  p_lot.grace_ends_at := p_next.grace_ends_at;
  p_lot.expires_at := greatest(p_next.expires_at, p_at);
  p_lot.burn_by := least(p_lot.expires_at, p_lot.period_ends_at);
  p_lot.rollover_cap := 0;
  return p_lot;
end
$$;
revoke all on function billing_private.rolled_lot(billing_private.credit_grant_lots, billing_private.credit_grant_lots, timestamptz) from public;

-- Whether the period of p_next ends a grant of the same subscription. One that ends by itself until then is not ended, and does not roll over;
-- p_restart ends periods, too, that were to run on.
create function billing_private.is_renewed_by(
  p_lot billing_private.credit_grant_lots, p_next billing_private.credit_grant_lots, p_restart boolean
)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return p_lot.period_ends_at is not null and p_lot.expires_at > p_next.period_start
    and (p_lot.period_ends_at <= p_next.period_start or (p_restart and p_lot.period_start < p_next.period_start));
end
$$;
revoke all on function billing_private.is_renewed_by(billing_private.credit_grant_lots, billing_private.credit_grant_lots, boolean) from public;

-- Writes a grant that one of the functions above has made.
create function billing_private.insert_lot(p_lot billing_private.credit_grant_lots)
returns void
language sql
set search_path = ''
as $$
  insert into billing_private.credit_grant_lots (
    organization_id, id, source, source_reference, amount, remaining, held, priority, department_id, agent_types, unit_cost, currency,
    effective_at, expires_at, activated_at, parent_grant_id, metadata, created_at,
    subscription_id, is_period_grant, period_start, period_ends_at, grace_ends_at, rollover_cap
  ) values (
    p_lot.organization_id, p_lot.id, p_lot.source, p_lot.source_reference, p_lot.amount, p_lot.remaining, p_lot.held, p_lot.priority,
    p_lot.department_id, p_lot.agent_types, p_lot.unit_cost, p_lot.currency, p_lot.effective_at, p_lot.expires_at, p_lot.activated_at,
    p_lot.parent_grant_id, p_lot.metadata, p_lot.created_at, p_lot.subscription_id, p_lot.is_period_grant, p_lot.period_start,
    p_lot.period_ends_at, p_lot.grace_ends_at, p_lot.rollover_cap
  )
$$;
revoke all on function billing_private.insert_lot(billing_private.credit_grant_lots) from public;

-- Ends the grants of a subscription that the period of p_next ends: rolls over what may, expires the rest, dated p_at. Under the lock, after
-- settle().
create function billing_private.roll_over(
  p_tail billing.credit_transactions, p_next billing_private.credit_grant_lots, p_at timestamptz, p_restart boolean
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_lot billing_private.credit_grant_lots;
  v_rolled billing_private.credit_grant_lots;
begin
  for v_lot in
    select g.* from billing_private.credit_grant_lots as g
    where g.organization_id = p_tail.organization_id and g.subscription_id = p_next.subscription_id and g.expires_at > p_at
      and g.activated_at is not null and billing_private.is_renewed_by(g, p_next, p_restart)
    order by g.priority, g.burn_by, g.effective_at, g.id
  loop
    if v_lot.is_open then
      v_rolled := billing_private.rolled_lot(v_lot, p_next, p_at);
      if v_rolled.id is not null then
        perform billing_private.insert_lot(v_rolled);
        p_tail := billing_private.append_entry(
          p_tail, 'transfer', 0, p_at, array[v_lot.id, v_rolled.id], array[-v_rolled.amount, v_rolled.amount],
          p_detail => jsonb_strip_nulls(jsonb_build_object('reason', 'rollover', 'department_id', v_lot.department_id)));
        update billing_private.credit_grant_lots as g set transaction_id = p_tail.id
        where g.organization_id = v_rolled.organization_id and g.id = v_rolled.id;
        v_lot.remaining := v_lot.remaining - v_rolled.amount;
      end if;
      v_lot.expires_at := p_at;
      p_tail := billing_private.expire_grant(p_tail, v_lot);
    end if;
    -- A spent one, too, ends here: a refund from now on finds it over.
    update billing_private.credit_grant_lots as g
    set expires_at = p_at, closed_reason = case when v_rolled.id is not null then 'rolled_over' else g.closed_reason end
    where g.organization_id = v_lot.organization_id and g.id = v_lot.id;
    v_rolled := null;
  end loop;
  return p_tail;
end
$$;
revoke all on function billing_private.roll_over(
  billing.credit_transactions, billing_private.credit_grant_lots, timestamptz, boolean
) from public;

-- Books a period's grant, which repays debt first. Under the lock, after settle().
create function billing_private.book_plan_lot(
  p_tail billing.credit_transactions, p_lot billing_private.credit_grant_lots, p_at timestamptz
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
begin
  perform billing_private.insert_lot(p_lot);
  p_tail := billing_private.activate_grant(p_tail, p_lot, p_at);
  update billing_private.credit_grant_lots as g set transaction_id = p_tail.id
  where g.organization_id = p_lot.organization_id and g.id = p_lot.id;
  return p_tail;
end
$$;
revoke all on function billing_private.book_plan_lot(
  billing.credit_transactions, billing_private.credit_grant_lots, timestamptz
) from public;

-- Gives back what would have rolled over into the period of p_next, had we heard in time that it was paid (p_paid_at) before its predecessor's grace
-- had ended: of each grant that ran out of grace (or of an end that was called off), the smaller of its cap and what expired of it unused and was not reversed since. As a grant of its
-- own, because what has expired has expired. Under the lock, after settle().
create function billing_private.roll_over_late(
  p_tail billing.credit_transactions, p_next billing_private.credit_grant_lots, p_paid_at timestamptz, p_at timestamptz
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_lot billing_private.credit_grant_lots;
  v_rolled billing_private.credit_grant_lots;
begin
  for v_lot in
    select g.* from billing_private.credit_grant_lots as g
    where g.organization_id = p_tail.organization_id and g.subscription_id = p_next.subscription_id
      and g.period_ends_at = p_next.period_start and g.expires_at between g.period_ends_at and g.grace_ends_at
      and g.closed_reason = 'expired' and g.rollover_cap > 0 and g.grace_ends_at >= p_paid_at and g.expires_at <= p_at
    order by g.priority, g.burn_by, g.effective_at, g.id
  loop
    v_lot.held := 0;
    v_lot.remaining := (
      select coalesce(-sum(a.amount), 0)
      from billing.credit_transactions as t
      cross join lateral unnest(t.grant_ids, t.grant_amounts) as a (grant_id, amount)
      where t.organization_id = p_tail.organization_id and t.kind = 'expire' and a.grant_id = v_lot.id
    ) - coalesce((
      select r.ended from billing_private.grant_reversals as r where r.organization_id = p_tail.organization_id and r.grant_id = v_lot.id
    ), 0);
    v_rolled := billing_private.rolled_lot(v_lot, p_next, p_at);
    continue when v_rolled.id is null or exists (
      select 1 from billing_private.credit_grant_lots as g where g.organization_id = v_rolled.organization_id and g.id = v_rolled.id
    );
    v_rolled.source_reference := 'late:' || v_lot.id;
    p_tail := billing_private.book_plan_lot(p_tail, v_rolled, p_at);
  end loop;
  return p_tail;
end
$$;
revoke all on function billing_private.roll_over_late(
  billing.credit_transactions, billing_private.credit_grant_lots, timestamptz, timestamptz
) from public;
