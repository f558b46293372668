-- Free plans: subscriptions without Stripe, which renew by themselves at exactly the end of their period, as a due event of the ledger.

-- Calendar --------------------------------------------------------------------------------------------

-- When period p_number begins (0: at the anchor; negative: before it). Counted from the anchor, not from the last period, and in the zone's local
-- time: 31 Jan, 28 Feb, 31 Mar; midnight stays midnight when the clocks change.
create function billing_private.period_start(p_anchor timestamptz, p_interval text, p_number integer, p_timezone text)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  if p_number = 0 then
    return p_anchor;
  end if;
  return ((p_anchor at time zone p_timezone) + p_number * ('1 ' || p_interval)::interval) at time zone p_timezone;
end
$$;
revoke all on function billing_private.period_start(timestamptz, text, integer, text) from public;

-- The number of the period in which an instant lies: estimated by the average length of a period, then corrected.
create function billing_private.period_number_at(p_anchor timestamptz, p_interval text, p_timezone text, p_at timestamptz)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  v_number integer := floor(extract(epoch from p_at - p_anchor)
    / case p_interval when 'day' then 86400 when 'week' then 604800 when 'month' then 2629746 else 31556952 end);
begin
  while billing_private.period_start(p_anchor, p_interval, v_number, p_timezone) > p_at loop
    v_number := v_number - 1;
  end loop;
  while billing_private.period_start(p_anchor, p_interval, v_number + 1, p_timezone) <= p_at loop
    v_number := v_number + 1;
  end loop;
  return v_number;
end
$$;
revoke all on function billing_private.period_number_at(timestamptz, text, text, timestamptz) from public;

-- Recurring -------------------------------------------------------------------------------------------

-- A free subscription as it is after the end of its current period: in its next one, on the terms that the plan has then; or canceled, because
-- it was to end, or its plan is no longer free. An interval that the plan has changed is counted from here on.
create function billing_private.next_free_period(p_subscription billing.subscriptions)
returns billing.subscriptions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_plan constant billing.subscription_plans := billing_private.plan_at(
    coalesce(p_subscription.next_plan_id, p_subscription.plan_id), p_subscription.current_period_end);
begin
  if p_subscription.ends_at <= p_subscription.current_period_end or v_plan.unit_amount > 0 then
    p_subscription.status := 'canceled';
    p_subscription.ended_at := p_subscription.current_period_end;
    p_subscription.ends_at := p_subscription.current_period_end;
    p_subscription.canceled_at := coalesce(p_subscription.canceled_at, p_subscription.current_period_end);
    return p_subscription;
  end if;
  p_subscription.plan_id := v_plan.id;
  p_subscription.next_plan_id := null;
  p_subscription.period_number := p_subscription.period_number + 1;
  if v_plan.billing_interval <> p_subscription.billing_interval then
    p_subscription.billing_interval := v_plan.billing_interval;
    p_subscription.anchor_at := p_subscription.current_period_end;
    p_subscription.period_number := 0;
  end if;
  p_subscription.current_period_start := p_subscription.current_period_end;
  p_subscription.current_period_end := billing_private.period_start(
    p_subscription.anchor_at, p_subscription.billing_interval, p_subscription.period_number + 1, p_subscription.timezone);
  return p_subscription;
end
$$;
revoke all on function billing_private.next_free_period(billing.subscriptions) from public;

-- The grant of a free subscription's current period on the plan's terms of p_at, not stored yet; its amount is 0 when the plan grants nothing.
create function billing_private.free_period_lot(p_subscription billing.subscriptions, p_at timestamptz)
returns billing_private.credit_grant_lots
language plpgsql
stable
set search_path = ''
as $$
declare
  v_plan constant billing.subscription_plans := billing_private.plan_at(p_subscription.plan_id, p_at);
begin
  return billing_private.new_plan_lot(
    p_subscription.organization_id, p_subscription.id, v_plan, p_subscription.quantity, v_plan.credits_per_period * p_subscription.quantity,
    p_subscription.current_period_start, p_subscription.current_period_end, p_subscription.ends_at, p_at);
end
$$;
revoke all on function billing_private.free_period_lot(billing.subscriptions, timestamptz) from public;

-- The states of an organization's free subscription that have fallen due up to p_at and are not booked yet, in order. For readings.
create function billing_private.due_periods(p_organization_id uuid, p_at timestamptz)
returns setof billing.subscriptions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_subscription billing.subscriptions;
begin
  select s.* into v_subscription from billing.subscriptions as s
  where s.organization_id = p_organization_id and s.stripe_subscription_id is null and s.status = 'active' and s.current_period_end <= p_at;
  while v_subscription.status = 'active' and v_subscription.current_period_end <= p_at loop
    v_subscription := billing_private.next_free_period(v_subscription);
    return next v_subscription;
  end loop;
end
$$;
revoke all on function billing_private.due_periods(uuid, timestamptz) from public;

-- Ends the current period of a free subscription and begins the next, all dated at that instant. Called by settle() under the lock.
create function billing_private.renew_free_subscription(p_tail billing.credit_transactions, p_subscription_id uuid)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_old billing.subscriptions;
  v_new billing.subscriptions;
  v_lot billing_private.credit_grant_lots;
begin
  select s.* into v_old from billing.subscriptions as s
  where s.organization_id = p_tail.organization_id and s.id = p_subscription_id;
  v_new := billing_private.next_free_period(v_old);
  if v_new.status = 'active' then
    v_lot := billing_private.free_period_lot(v_new, v_old.current_period_end);
    p_tail := billing_private.roll_over(p_tail, v_lot, v_old.current_period_end, false);
    if v_lot.amount > 0 then
      p_tail := billing_private.book_plan_lot(p_tail, v_lot, v_old.current_period_end);
    end if;
  else
    p_tail := billing_private.end_period_lots(p_tail, p_subscription_id, v_old.current_period_end);
  end if;
  update billing.subscriptions as s
  set
    status = v_new.status, plan_id = v_new.plan_id, next_plan_id = v_new.next_plan_id, billing_interval = v_new.billing_interval,
    anchor_at = v_new.anchor_at, period_number = v_new.period_number, current_period_start = v_new.current_period_start,
    current_period_end = v_new.current_period_end, canceled_at = v_new.canceled_at, ended_at = v_new.ended_at, ends_at = v_new.ends_at,
    updated_at = clock_timestamp()
  where s.organization_id = v_old.organization_id and s.id = v_old.id;
  return p_tail;
end
$$;
revoke all on function billing_private.renew_free_subscription(billing.credit_transactions, uuid) from public;

-- Ends what is still in force of a subscription's period grants at p_at; nothing rolls over. Under the lock, after what fell due before p_at.
create function billing_private.end_period_lots(p_tail billing.credit_transactions, p_subscription_id uuid, p_at timestamptz)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_lot billing_private.credit_grant_lots;
begin
  for v_lot in
    update billing_private.credit_grant_lots as g
    set expires_at = p_at
    where g.organization_id = p_tail.organization_id and g.subscription_id = p_subscription_id and g.expires_at > p_at
      and g.period_ends_at is not null
    returning g.*
  loop
    if v_lot.is_open then
      p_tail := billing_private.expire_grant(p_tail, v_lot);
    end if;
  end loop;
  return p_tail;
end
$$;
revoke all on function billing_private.end_period_lots(billing.credit_transactions, uuid, timestamptz) from public;
