-- The forecast's paths into the future; what they rest on is in 20261123001560_forecast.sql.

-- Where a path ends, and what it met on the way.
create type billing_private.forecast_path as (
  runs_out_at timestamptz,
  events jsonb
);

-- Takes an amount from the grants that are in force at p_at, in burn-down order. The caller knows that it is there.
create function billing_private.burn_forecast_lots(p_lots billing_private.forecast_lot[], p_amount numeric, p_at timestamptz)
returns billing_private.forecast_lot[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_place integer;
  v_take numeric;
begin
  if p_amount = 0 then
    return p_lots;
  end if;
  for v_place in
    select l.ordinality from unnest(p_lots) with ordinality as l
    where l.effective_at <= p_at and l.remaining > 0
    order by l.priority, l.is_scoped desc, l.burn_by, l.ordinality
  loop
    v_take := least(p_lots[v_place].remaining, p_amount);
    p_lots[v_place].remaining := p_lots[v_place].remaining - v_take;
    p_amount := p_amount - v_take;
    exit when p_amount = 0;
  end loop;
  return p_lots;
end
$$;
revoke all on function billing_private.burn_forecast_lots(billing_private.forecast_lot[], numeric, timestamptz) from public;

-- What the beginning of a period does to its subscription's grants: what may roll over becomes a grant of the new period, the rest ends.
create function billing_private.renew_forecast_lots(p_lots billing_private.forecast_lot[], p_period billing_private.credit_grant_lots)
returns billing_private.forecast_lot[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_lot billing_private.forecast_lot;
  v_rolled numeric;
begin
  for v_place in 1 .. cardinality(p_lots) loop
    v_lot := p_lots[v_place];
    continue when v_lot.subscription_id is distinct from p_period.subscription_id or v_lot.period_ends_at is null or v_lot.remaining = 0
      or v_lot.period_ends_at > p_period.period_start or v_lot.effective_at >= p_period.period_start;
    v_rolled := coalesce(least(v_lot.rollover_cap, v_lot.remaining), 0);
    p_lots[v_place].remaining := 0;
    if v_rolled > 0 then
      p_lots := p_lots || (
        v_rolled, v_lot.priority - 1, v_lot.is_scoped, p_period.burn_by, p_period.effective_at, p_period.expires_at, p_period.subscription_id,
        p_period.period_start, p_period.period_ends_at, 0
      )::billing_private.forecast_lot;
    end if;
  end loop;
  return p_lots;
end
$$;
revoke all on function billing_private.renew_forecast_lots(billing_private.forecast_lot[], billing_private.credit_grant_lots) from public;

-- Follows one path from p_at, over the instants at which the wallet changes by itself, until it runs out or the horizon is reached. Within one
-- instant grants end, then plans renew, then grants begin, as in settle().
create function billing_private.follow_forecast(
  p_lots billing_private.forecast_lot[], p_periods billing_private.credit_grant_lots[], p_debt numeric, p_pace billing_private.spending_pace,
  p_slope numeric, p_at timestamptz, p_until timestamptz
)
returns billing_private.forecast_path
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_mean constant numeric := greatest(p_pace.mean, 0);
  v_path billing_private.forecast_path := (null, '[]');
  v_times timestamptz[];
  v_time timestamptz;
  v_previous timestamptz := p_at;
  v_spent numeric := 0;
  v_spent_by_then numeric;
  v_available numeric;
  v_change numeric;
  v_repaid numeric;
  v_period billing_private.credit_grant_lots;
begin
  select array_agg(distinct e.at order by e.at) into v_times
  from (
    select l.expires_at from unnest(p_lots) as l
    union all
    select l.effective_at from unnest(p_lots) as l
    union all
    select p.effective_at from unnest(p_periods) as p
    union all
    select p.expires_at from unnest(p_periods) as p
    union all
    select p_until
  ) as e (at)
  where e.at > p_at and e.at <= p_until;
  select coalesce(sum(l.remaining), 0) - p_debt into v_available from unnest(p_lots) as l where l.effective_at <= p_at;
  if v_available <= 0 then
    v_path.runs_out_at := p_at;
    return v_path;
  end if;
  foreach v_time in array v_times loop
    v_spent_by_then := billing_private.spent_within(extract(epoch from v_time - p_at) / 86400, v_mean, p_slope, p_pace.days);
    if v_spent_by_then - v_spent > v_available then
      v_path.runs_out_at := p_at
        + round(86400000000 * billing_private.days_to_spend(v_spent + v_available, v_mean, p_slope, p_pace.days)) * interval '1 microsecond';
      return v_path;
    end if;
    p_lots := billing_private.burn_forecast_lots(p_lots, v_spent_by_then - v_spent, v_previous);
    v_spent := v_spent_by_then;

    select coalesce(sum(l.remaining), 0) into v_change from unnest(p_lots) as l where l.effective_at <= v_previous and l.expires_at <= v_time;
    if v_change > 0 then
      v_path.events := v_path.events || jsonb_build_object('at', v_time, 'kind', 'expiry', 'amount', round(v_change, 6));
    end if;
    p_lots := coalesce(array(select l from unnest(p_lots) as l where l.expires_at > v_time and (l.remaining > 0 or l.effective_at > v_time)), '{}');
    for v_period in select p.* from unnest(p_periods) as p where p.effective_at = v_time loop
      select coalesce(sum(l.remaining), 0) into v_change from unnest(p_lots) as l;
      p_lots := billing_private.renew_forecast_lots(p_lots, v_period);
      select v_change - coalesce(sum(l.remaining), 0) into v_change from unnest(p_lots) as l;
      if v_change > 0 then
        v_path.events := v_path.events || jsonb_build_object('at', v_time, 'kind', 'expiry', 'amount', round(v_change, 6));
      end if;
      v_repaid := least(p_debt, v_period.amount);
      p_debt := p_debt - v_repaid;
      p_lots := p_lots || (
        v_period.amount - v_repaid, v_period.priority, false, v_period.burn_by, v_period.effective_at, v_period.expires_at,
        v_period.subscription_id, v_period.period_start, v_period.period_ends_at, v_period.rollover_cap
      )::billing_private.forecast_lot;
      v_path.events := v_path.events || jsonb_build_object('at', v_time, 'kind', 'renewal', 'amount', v_period.amount);
    end loop;
    for v_place in 1 .. cardinality(p_lots) loop
      continue when p_lots[v_place].effective_at <> v_time or p_lots[v_place].subscription_id is not null;
      v_path.events := v_path.events || jsonb_build_object('at', v_time, 'kind', 'activation', 'amount', p_lots[v_place].remaining);
      v_repaid := least(p_debt, p_lots[v_place].remaining);
      p_debt := p_debt - v_repaid;
      p_lots[v_place].remaining := p_lots[v_place].remaining - v_repaid;
    end loop;

    select coalesce(sum(l.remaining), 0) - p_debt into v_available from unnest(p_lots) as l where l.effective_at <= v_time;
    v_previous := v_time;
    if v_available <= 0 then
      v_path.runs_out_at := v_time;
      return v_path;
    end if;
  end loop;
  return v_path;
end
$$;
revoke all on function billing_private.follow_forecast(
  billing_private.forecast_lot[], billing_private.credit_grant_lots[], numeric, billing_private.spending_pace, numeric, timestamptz, timestamptz
) from public;

-- Any member, or the service. Without a consumption so far there is no pace: days_observed is 0, and dates and pace are null. Raises 403
-- not_authorized, 404 not_found (the service).
create function billing_private.get_usage_forecast(p_organization_id uuid)
returns billing.usage_forecast
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  c_quantile constant numeric := 1.2815515655446004; -- of the normal distribution, at 90 %
  v_tail constant billing.credit_transactions := billing_private.ledger_tail(p_organization_id);
  v_wallet billing_private.wallet;
  v_pace billing_private.spending_pace;
  v_lots billing_private.forecast_lot[];
  v_periods billing_private.credit_grant_lots[];
  v_path billing_private.forecast_path;
  v_forecast billing.usage_forecast;
begin
  perform billing_private.require_role(p_organization_id, '{owner,admin,billing,member}');
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_forecast.as_of
  from billing.organizations as o where o.organization_id = p_organization_id;
  v_wallet := billing_private.wallet_at(v_tail, v_forecast.as_of);
  v_pace := billing_private.spending_pace(p_organization_id, v_forecast.as_of);
  v_forecast.organization_id := p_organization_id;
  v_forecast.horizon := v_forecast.as_of + interval '17520 hours'; -- 730 days, each of 24 hours
  v_forecast.confidence := 0.8;
  v_forecast.balance := v_wallet.balance;
  v_forecast.available := v_wallet.balance - v_wallet.held;
  v_forecast.days_observed := v_pace.days;
  v_forecast.events := '[]';
  if v_pace.days = 0 then
    return v_forecast;
  end if;
  v_forecast.spend_per_day := round(v_pace.mean, 6);
  v_forecast.spend_per_day_deviation := round(v_pace.deviation, 6);
  v_lots := billing_private.forecast_lots(v_tail, v_wallet, v_forecast.as_of, v_forecast.horizon);
  v_periods := coalesce(
    array(select p from billing_private.known_periods(p_organization_id, v_forecast.as_of, v_forecast.horizon) as p where p.amount > 0), '{}');
  v_path := billing_private.follow_forecast(v_lots, v_periods, v_wallet.debt, v_pace, 0, v_forecast.as_of, v_forecast.horizon);
  v_forecast.runs_out_at := v_path.runs_out_at;
  v_forecast.events := jsonb_path_query_array(v_path.events, '$[0 to 49]');
  v_path := billing_private.follow_forecast(
    v_lots, v_periods, v_wallet.debt, v_pace, c_quantile * v_pace.deviation, v_forecast.as_of, v_forecast.horizon);
  v_forecast.runs_out_earliest := v_path.runs_out_at;
  v_path := billing_private.follow_forecast(
    v_lots, v_periods, v_wallet.debt, v_pace, -c_quantile * v_pace.deviation, v_forecast.as_of, v_forecast.horizon);
  v_forecast.runs_out_latest := v_path.runs_out_at;
  return v_forecast;
end
$$;
revoke all on function billing_private.get_usage_forecast(uuid) from public;
grant execute on function billing_private.get_usage_forecast(uuid) to authenticated, service_role;

create function billing.get_usage_forecast(organization_id uuid)
returns billing.usage_forecast
language sql
stable
set search_path = ''
return billing_private.get_usage_forecast(organization_id);
revoke all on function billing.get_usage_forecast(uuid) from public;
grant execute on function billing.get_usage_forecast(uuid) to authenticated, service_role;
comment on function billing.get_usage_forecast(uuid) is
'When an organization''s credits run out at the pace of the last 28 days, with an 80 % interval, counting known expiries, scheduled grants and renewals.';
