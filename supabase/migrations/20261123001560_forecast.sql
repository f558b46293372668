-- When credits run out, at the pace of late: get_usage_forecast().
--
-- Pace: net spend a day over the last 28 whole UTC days, or those since the first consumption; days without spend count as 0. With mean m and
-- deviation s of n days, what is spent within d days has mean m*d and variance s²*d + s²*d²/n (each day's own chance, and that m is itself only
-- estimated), taken as normal. Three paths are followed: the mean, and the 10 % and 90 % quantiles, between which it lies with 80 %.
--
-- Future: what is known of the wallet, event by event: grants end (what a path has spent is taken in burn-down order first), scheduled grants begin
-- and repay debt, plans renew and roll over as their terms of today say: free plans, and Stripe's while active and not to end. Holds count as
-- spent. A path runs out when it wants more than there is, or when what is there ends. Credits for one department or agent type count like all
-- others, and an overdraft does not count. Nothing is told beyond 730 days.

create type billing.usage_forecast as (
  organization_id uuid,
  runs_out_at timestamptz,
  runs_out_earliest timestamptz,
  runs_out_latest timestamptz,
  confidence numeric,
  spend_per_day numeric,
  spend_per_day_deviation numeric,
  days_observed integer,
  balance numeric,
  available numeric,
  events jsonb,
  horizon timestamptz,
  as_of timestamptz
);
comment on type billing.usage_forecast is
'When credits run out (null: not before horizon, or no pace is known), the interval in which that lies with the given confidence, the spend a day and its
deviation that it rests on, and the known events on the way: [{at, kind: expiry | activation | renewal, amount}], the first 50.';

-- A grant on a path into the future.
create type billing_private.forecast_lot as (
  remaining numeric,
  priority integer,
  is_scoped boolean,
  burn_by timestamptz,
  effective_at timestamptz,
  expires_at timestamptz,
  subscription_id uuid,
  period_start timestamptz,
  period_ends_at timestamptz,
  rollover_cap numeric
);

-- What is spent a day: mean, deviation and number of days observed. One day alone has no deviation; it is taken to be as large as the mean. An
-- organization that has consumed today for the first time is known by today so far.
create type billing_private.spending_pace as (
  mean numeric,
  deviation numeric,
  days integer
);

create function billing_private.spending_pace(p_organization_id uuid, p_at timestamptz)
returns billing_private.spending_pace
language plpgsql
stable
set search_path = ''
as $$
declare
  v_today constant date := (p_at at time zone 'UTC')::date;
  v_folded bigint;
  v_first date;
  v_last date := v_today - 1;
  v_days integer;
  v_total numeric;
  v_squares numeric;
begin
  select coalesce(max(w.folded_sequence), 0) into v_folded
  from billing_private.credit_usage_watermarks as w where w.organization_id = p_organization_id;
  select least(
    (select min(d.usage_date) from billing.credit_usage_daily as d where d.organization_id = p_organization_id),
    (
      select (min(t.created_at) at time zone 'UTC')::date from billing.credit_transactions as t
      where t.organization_id = p_organization_id and t.sequence > v_folded and t.kind = 'consume'
    )
  ) into v_first;
  if v_first is null or v_first > v_today then
    return (null, null, 0)::billing_private.spending_pace;
  end if;
  v_first := greatest(v_first, v_today - 28);
  v_last := greatest(v_last, v_first);
  v_days := v_last - v_first + 1;
  with spends as (
    select d.usage_date as day, d.amount::numeric as amount
    from billing.credit_usage_daily as d
    where d.organization_id = p_organization_id and d.usage_date between v_first and v_last
    union all
    select (t.created_at at time zone 'UTC')::date, -t.amount::numeric
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.sequence > v_folded and t.kind in ('consume', 'refund') and t.agent_type is not null
      and t.created_at >= v_first::timestamp at time zone 'UTC' and t.created_at < (v_last + 1)::timestamp at time zone 'UTC'
  ),
  days as (select s.day, sum(s.amount) as amount from spends as s group by s.day)
  select coalesce(sum(d.amount), 0), coalesce(sum(d.amount * d.amount), 0) into v_total, v_squares from days as d;
  return (
    v_total / v_days,
    case when v_days = 1 then abs(v_total) else sqrt(greatest(v_squares - v_total * v_total / v_days, 0) / (v_days - 1)) end,
    v_days
  )::billing_private.spending_pace;
end
$$;
revoke all on function billing_private.spending_pace(uuid, timestamptz) from public;

-- What a path has spent within p_days: p_mean a day, and p_slope (0, or the quantile times the deviation) times the spread.
create function billing_private.spent_within(p_days numeric, p_mean numeric, p_slope numeric, p_observed integer)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
begin
  return greatest(p_mean * p_days + p_slope * sqrt(p_days + p_days * p_days / p_observed), 0);
end
$$;
revoke all on function billing_private.spent_within(numeric, numeric, numeric, integer) from public;

-- After how many days a path has spent p_amount (above 0), or null: never. The inverse of spent_within: a root of
-- (m² - k²/n) d² - (2 A m + k²) d + A² = 0, the smaller for a path above the mean and the larger for one below.
create function billing_private.days_to_spend(p_amount numeric, p_mean numeric, p_slope numeric, p_observed integer)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_a constant numeric := p_mean * p_mean - p_slope * p_slope / p_observed;
  v_b constant numeric := 2 * p_amount * p_mean + p_slope * p_slope;
  v_root constant numeric := sqrt(greatest(v_b * v_b - 4 * v_a * p_amount * p_amount, 0));
begin
  if p_slope < 0 then
    return case when v_a > 0 and p_mean > 0 then (v_b + v_root) / (2 * v_a) end;
  end if;
  return 2 * p_amount * p_amount / nullif(v_b + v_root, 0);
end
$$;
revoke all on function billing_private.days_to_spend(numeric, numeric, numeric, integer) from public;

-- The periods that begin by themselves after p_at, up to p_until: the grant of each, as of its beginning. Of free plans by their own rule; of Stripe's,
-- while active or in trial, on the calendar of their anchor.
create function billing_private.known_periods(p_organization_id uuid, p_at timestamptz, p_until timestamptz)
returns setof billing_private.credit_grant_lots
language plpgsql
stable
set search_path = ''
as $$
declare
  v_subscription billing.subscriptions;
  v_plan billing.subscription_plans;
begin
  for v_subscription in
    select s.* from billing.subscriptions as s
    where s.organization_id = p_organization_id and s.status in ('active', 'trialing') and s.current_period_end is not null
  loop
    if v_subscription.stripe_subscription_id is not null then
      select p.* into v_plan from billing.subscription_plans as p
      where p.id = coalesce(v_subscription.next_plan_id, v_subscription.plan_id);
      continue when not found;
      v_subscription.plan_id := v_plan.id;
      v_subscription.next_plan_id := null;
      v_subscription.timezone := 'UTC';
      v_subscription.billing_interval := v_plan.billing_interval;
      v_subscription.anchor_at := coalesce(v_subscription.anchor_at, v_subscription.current_period_end);
      v_subscription.period_number := billing_private.period_number_at(
        v_subscription.anchor_at, v_plan.billing_interval, 'UTC', v_subscription.current_period_end);
      v_subscription.ends_at := coalesce(
        v_subscription.ended_at, v_subscription.cancel_at,
        case when v_subscription.cancel_at_period_end then v_subscription.current_period_end end);
    end if;
    while v_subscription.current_period_end <= p_until loop
      exit when v_subscription.ends_at <= v_subscription.current_period_end;
      if v_subscription.stripe_subscription_id is null then
        v_subscription := billing_private.next_free_period(v_subscription);
        exit when v_subscription.status <> 'active';
      else
        v_subscription.current_period_start := v_subscription.current_period_end;
        v_subscription.period_number := v_subscription.period_number + 1;
        v_subscription.current_period_end := billing_private.period_start(
          v_subscription.anchor_at, v_subscription.billing_interval, v_subscription.period_number, 'UTC');
      end if;
      if v_subscription.current_period_start > p_at then
        return next billing_private.free_period_lot(v_subscription, v_subscription.current_period_start);
      end if;
    end loop;
  end loop;
end
$$;
revoke all on function billing_private.known_periods(uuid, timestamptz, timestamptz) from public;

-- The wallet's grants for a path, those in force and those still to come (scheduled and renewed). Grants that a path cannot tell apart are one; and
-- when there are still more than 200, dates are taken to the day, then to the month.
create function billing_private.forecast_lots(
  p_tail billing.credit_transactions, p_wallet billing_private.wallet, p_at timestamptz, p_until timestamptz
)
returns billing_private.forecast_lot[]
language plpgsql
stable
set search_path = ''
as $$
declare
  v_lots billing_private.forecast_lot[];
  v_precision text;
begin
  foreach v_precision in array array['microseconds', 'day', 'month'] loop
    select array_agg(r::billing_private.forecast_lot) into v_lots
    from (
      select sum(l.remaining) as remaining, l.priority, l.is_scoped, l.burn_by, l.effective_at, l.expires_at, l.subscription_id, l.period_start,
        l.period_ends_at, l.rollover_cap
      from (
        select f.id, f.remaining - f.held as remaining, f.priority, f.is_scoped,
          case when f.burn_by > p_until then 'infinity' else date_trunc(v_precision, f.burn_by, 'UTC') end as burn_by,
          p_at as effective_at,
          case when f.expires_at > p_until then 'infinity' else date_trunc(v_precision, f.expires_at, 'UTC') end as expires_at,
          f.subscription_id, f.period_start, f.period_ends_at, f.rollover_cap::numeric as rollover_cap
        from billing_private.lots_in_force(p_tail, p_wallet) as f
        where f.remaining > f.held
        union all
        select g.id, g.amount, g.priority, g.is_scoped,
          case when g.burn_by > p_until then 'infinity' else date_trunc(v_precision, g.burn_by, 'UTC') end,
          date_trunc(v_precision, g.effective_at, 'UTC'),
          case when g.expires_at > p_until then 'infinity' else date_trunc(v_precision, g.expires_at, 'UTC') end,
          g.subscription_id, g.period_start, g.period_ends_at, g.rollover_cap
        from billing_private.credit_grant_lots as g
        where g.organization_id = p_tail.organization_id and g.is_open and g.activated_at is null
          and g.effective_at > p_at and g.effective_at <= p_until
      ) as l
      group by l.priority, l.is_scoped, l.burn_by, l.effective_at, l.expires_at, l.subscription_id, l.period_start, l.period_ends_at,
        l.rollover_cap, case when l.subscription_id is not null then l.id end
    ) as r;
    exit when coalesce(cardinality(v_lots), 0) <= 200;
  end loop;
  return coalesce(v_lots, '{}');
end
$$;
revoke all on function billing_private.forecast_lots(billing.credit_transactions, billing_private.wallet, timestamptz, timestamptz) from public;
