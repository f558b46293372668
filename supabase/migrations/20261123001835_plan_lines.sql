-- What a paid line of a plan grants. Each function runs under the organization's lock, for one line that has not landed yet.

-- The line of the period in which an instant lies; a row of nulls when none was paid.
create function billing_private.period_line_at(p_organization_id uuid, p_subscription_id uuid, p_at timestamptz)
returns billing_private.subscription_lines
language plpgsql
stable
set search_path = ''
as $$
declare
  v_line billing_private.subscription_lines;
begin
  select l.* into v_line from billing_private.subscription_lines as l
  where l.organization_id = p_organization_id and l.subscription_id = p_subscription_id and l.kind = 'period'
    and l.period_start <= p_at and l.period_end > p_at
  order by l.period_start desc, l.landed_order desc limit 1;
  return v_line;
end
$$;
revoke all on function billing_private.period_line_at(uuid, uuid, timestamptz) from public;

-- A whole period. When it begins before the one before has ended (full restart) and the unused time of that one was credited in money, nothing of
-- it rolls over, and what was used of it counts against the new one; without such a credit both were paid for, and both are kept.
create function billing_private.land_period(
  p_subscription billing.subscriptions, p_line billing_private.subscription_lines, p_is_credited boolean
)
returns billing_private.subscription_lines
language plpgsql
set search_path = ''
as $$
declare
  v_cut billing_private.subscription_lines;
  v_receipt billing.grant_receipt;
begin
  if p_is_credited then
    v_cut := billing_private.period_line_at(p_subscription.organization_id, p_subscription.id, p_line.period_start);
  end if;
  if v_cut.stripe_line_id is not null then
    p_line.carried_usage := v_cut.carried_usage
      + billing_private.end_plan_credits(p_subscription.organization_id, p_subscription.id);
  end if;
  p_line.granted := greatest(p_line.credits - p_line.carried_usage, 0);
  v_receipt := billing_private.renew_subscription(
    p_subscription.organization_id, p_subscription.id, p_line.period_start, p_line.period_end, p_line.granted, p_line.stripe_line_id,
    p_line.plan_id, case when p_line.granted > 0 then round(greatest(p_line.amount, 0) / p_line.granted, 12) else 0 end,
    p_subscription.currency, v_cut.stripe_line_id is not null, p_line.paid_at
  );
  p_line.grant_id := v_receipt.grant_id;
  return p_line;
end
$$;
revoke all on function billing_private.land_period(billing.subscriptions, billing_private.subscription_lines, boolean) from public;

-- What is changed before it is paid: the invoice of the change credits the old plan for a period whose own invoice is still a draft, and charges the new
-- one for it. Returns the old plan's line as if that period began where the last one ended; a row of nulls within a trial, and when nothing is credited.
create function billing_private.upgrade_of_unpaid_period(p_subscription billing.subscriptions, p_line billing_private.subscription_lines)
returns billing_private.subscription_lines
language plpgsql
stable
set search_path = ''
as $$
declare
  v_old billing_private.subscription_lines;
begin
  if p_line.period_start < p_subscription.trial_end then
    return null;
  end if;
  select l.* into v_old from billing_private.subscription_lines as l
  where l.organization_id = p_subscription.organization_id and l.subscription_id = p_subscription.id
    and l.stripe_invoice_id = p_line.stripe_invoice_id and l.kind = 'credit' and l.period_end = p_line.period_end
  order by l.credits desc, l.stripe_line_id limit 1;
  if not found then
    return null;
  end if;
  -- A period is no longer than the plan's interval, should the last one be further back.
  select greatest(
    max(l.period_end), ((p_line.period_end at time zone 'UTC') - ('1 ' || (
      select p.billing_interval from billing.subscription_plans as p where p.id = v_old.plan_id
    ))::interval) at time zone 'UTC'
  ) into v_old.period_start
  from billing_private.subscription_lines as l
  where l.organization_id = p_subscription.organization_id and l.subscription_id = p_subscription.id and l.kind in ('period', 'trial')
    and l.period_end <= p_line.period_start;
  return v_old;
end
$$;
revoke all on function billing_private.upgrade_of_unpaid_period(billing.subscriptions, billing_private.subscription_lines) from public;

-- Whether a period that is paid only now was cut short by a restart which has landed: its unused time was credited in money before it was paid, and
-- the new period grants for it.
create function billing_private.is_restarted_already(p_organization_id uuid, p_subscription_id uuid, p_period tstzrange)
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (
    select 1 from billing_private.subscription_lines as c
    inner join billing_private.subscription_lines as r on r.organization_id = c.organization_id and r.stripe_invoice_id = c.stripe_invoice_id
    where c.organization_id = p_organization_id and c.subscription_id = p_subscription_id and c.kind = 'credit'
      and c.period_start >= lower(p_period) and c.period_end = upper(p_period)
      and r.kind = 'period' and r.period_start > lower(p_period) and r.period_start < upper(p_period)
  )
$$;
revoke all on function billing_private.is_restarted_already(uuid, uuid, tstzrange) from public;

-- A change within a period: the credits by which the plan exceeds the best one paid for in this period, over the time that is left of it, cut (not
-- rounded up) at the sixth decimal. Billed in arrears, on the renewal's invoice, they live as long as the renewal's. A downgrade grants and takes nothing.
-- Stripe collects a renewal up to an hour after its period began; a change meanwhile is paid before its period is (upgrade_of_unpaid_period).
create function billing_private.land_upgrade(
  p_subscription billing.subscriptions, p_line billing_private.subscription_lines, p_paid bigint, p_next_period tstzrange
)
returns billing_private.subscription_lines
language plpgsql
set search_path = ''
as $$
declare
  v_base constant billing_private.subscription_lines := billing_private.period_line_at(
    p_subscription.organization_id, p_subscription.id, p_line.period_start
  );
  v_period tstzrange := tstzrange(v_base.period_start, v_base.period_end);
  v_unpaid billing_private.subscription_lines;
  v_best numeric;
  v_receipt billing.grant_receipt;
begin
  if v_base.stripe_line_id is null then
    v_unpaid := billing_private.upgrade_of_unpaid_period(p_subscription, p_line);
    if v_unpaid.stripe_line_id is null then
      return p_line; -- within a trial: nothing was paid for, and the trial's credits are what they are
    end if;
    v_period := tstzrange(v_unpaid.period_start, v_unpaid.period_end);
  end if;
  select greatest(max(l.credits), v_unpaid.credits) into v_best from billing_private.subscription_lines as l
  where l.organization_id = p_subscription.organization_id and l.subscription_id = p_subscription.id and l.kind in ('period', 'upgrade')
    and l.period_start <@ v_period;
  p_line.granted := trunc(
    greatest(p_line.credits - v_best, 0)
    * (extract(epoch from least(p_line.period_end, upper(v_period))) - extract(epoch from p_line.period_start))
    / (extract(epoch from upper(v_period)) - extract(epoch from lower(v_period))), 6
  );
  if p_line.granted <= 0 then
    p_line.granted := 0;
    return p_line;
  end if;
  if lower(p_next_period) >= upper(v_period) then
    v_period := p_next_period;
  end if;
  v_receipt := billing_private.add_plan_credits(
    p_subscription.organization_id, p_subscription.id, lower(v_period), upper(v_period), p_line.granted, p_line.stripe_line_id,
    p_line.plan_id, round(greatest(p_paid, 0) / p_line.granted, 12), p_subscription.currency, v_unpaid.plan_id, v_unpaid.credits
  );
  p_line.grant_id := v_receipt.grant_id;
  return p_line;
end
$$;
revoke all on function billing_private.land_upgrade(billing.subscriptions, billing_private.subscription_lines, bigint, tstzrange) from public;

-- A trial: its credits once an organization and card for ever; who had them already may still buy.
create function billing_private.land_trial(
  p_subscription billing.subscriptions, p_line billing_private.subscription_lines, p_trial_credits numeric, p_card_fingerprint text
)
returns billing_private.subscription_lines
language plpgsql
set search_path = ''
as $$
declare
  v_trial billing.trial_grant;
begin
  if p_trial_credits = 0 then
    return p_line;
  end if;
  v_trial := billing_private.grant_trial(
    p_subscription.organization_id, p_subscription.id, p_card_fingerprint, p_trial_credits, p_subscription.trial_end, p_line.stripe_line_id
  );
  if v_trial.granted then
    p_line.granted := p_trial_credits;
    p_line.grant_id := (v_trial.receipt).grant_id;
  else
    perform billing_private.notify_organization(
      p_subscription.organization_id, 'trial_used_before', 'info', 'trial_used_before:' || p_subscription.id::text, 'subscription',
      p_subscription.id::text, jsonb_build_object('reason', v_trial.reason)
    );
  end if;
  return p_line;
end
$$;
revoke all on function billing_private.land_trial(billing.subscriptions, billing_private.subscription_lines, numeric, text) from public;

-- Lands one line of a paid invoice; a line that has landed, and one whose price is no plan of ours, changes nothing.
create function billing_private.land_line(
  p_subscription billing.subscriptions, p_invoice billing_private.invoice_facts, p_facts billing_private.invoice_line_facts,
  p_card_fingerprint text
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_plan billing.subscription_plans;
  v_line billing_private.subscription_lines;
begin
  select p.* into v_plan from billing.subscription_plans as p
  where p.id = billing_private.plan_of_price(p_facts.stripe_price_id, p_subscription.livemode);
  if not found or exists (
    select 1 from billing_private.subscription_lines as l
    where l.organization_id = p_subscription.organization_id and l.stripe_line_id = p_facts.stripe_line_id
  ) then
    return;
  end if;
  v_line.organization_id := p_subscription.organization_id;
  v_line.stripe_line_id := p_facts.stripe_line_id;
  v_line.stripe_invoice_id := p_invoice.stripe_invoice_id;
  v_line.plan_id := v_plan.id;
  v_line.credits := v_plan.credits_per_period * p_facts.quantity;
  v_line.carried_usage := 0;
  v_line.granted := 0;
  v_line.amount := p_facts.amount - p_facts.discount_amount;
  v_line.period_start := p_facts.period_start;
  v_line.period_end := p_facts.period_end;
  v_line.paid_at := p_invoice.paid_at;

  if p_facts.is_proration and p_facts.amount < 0 then
    v_line.kind := 'credit';
  elsif p_facts.is_proration or exists (
    select 1 from billing_private.subscription_lines as l
    where l.organization_id = v_line.organization_id and l.subscription_id = p_subscription.id and l.kind = 'period'
      and l.period_start = v_line.period_start
  ) then
    v_line.kind := 'upgrade';
    v_line := billing_private.land_upgrade(
      p_subscription, v_line,
      (select sum(l.amount - l.discount_amount)::bigint from unnest(p_invoice.lines) as l where l.is_proration),
      (
        select tstzrange(l.period_start, l.period_end) from unnest(p_invoice.lines) as l
        where not l.is_proration order by l.period_start desc limit 1
      )
    );
  elsif p_facts.amount = 0 and p_facts.period_start >= p_subscription.trial_start and p_facts.period_start < p_subscription.trial_end then
    v_line.kind := 'trial';
    v_line := billing_private.land_trial(p_subscription, v_line, v_plan.trial_credits, p_card_fingerprint);
  elsif billing_private.is_restarted_already(
    v_line.organization_id, p_subscription.id, tstzrange(v_line.period_start, v_line.period_end)
  ) then
    v_line.kind := 'period';
  else
    v_line.kind := 'period';
    v_line := billing_private.land_period(
      p_subscription, v_line, exists (select 1 from unnest(p_invoice.lines) as l where l.is_proration and l.amount < 0)
    );
  end if;
  insert into billing_private.subscription_lines (
    organization_id, stripe_line_id, subscription_id, stripe_invoice_id, kind, plan_id, credits, carried_usage, granted, grant_id, amount,
    period_start, period_end, paid_at
  )
  values (
    v_line.organization_id, v_line.stripe_line_id, p_subscription.id, v_line.stripe_invoice_id, v_line.kind, v_line.plan_id, v_line.credits,
    v_line.carried_usage, v_line.granted, v_line.grant_id, v_line.amount, v_line.period_start, v_line.period_end, v_line.paid_at
  );
end
$$;
revoke all on function billing_private.land_line(
  billing.subscriptions, billing_private.invoice_facts, billing_private.invoice_line_facts, text
) from public;
