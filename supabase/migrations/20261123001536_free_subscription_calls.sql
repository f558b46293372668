-- Starting and canceling a free plan.

-- Puts an organization on a free plan, or back on it. Owner, admin, billing, or the service. Periods are counted from the anchor (default now; the
-- service may name another, before or after now): the first period is the one in which now lies, and it is granted whole, at once. An organization
-- grants a free period once: whoever comes back while the period of a canceled free subscription still runs goes on with that one, without a second
-- grant; the plan named, if it is another, begins with the next period. So a repeated call changes nothing. Locks the organization.
-- Raises 403 not_authorized, 404 not_found, 409 subscription_exists (a paid one), 422 invalid_argument (the plan has a price; the anchor;
-- the time zone), 503 busy.
create function billing_private.start_free_subscription(
  p_organization_id uuid, p_plan_id uuid, p_plan_key text, p_anchor timestamptz, p_timezone text
)
returns billing.subscriptions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_plan billing.subscription_plans;
  v_subscription billing.subscriptions;
  v_lot billing_private.credit_grant_lots;
  v_tail billing.credit_transactions;
  v_now timestamptz;
begin
  perform billing_private.require_role(p_organization_id, '{owner,admin,billing}');
  if num_nonnulls(p_plan_id, p_plan_key) <> 1 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "plan_id"}', 'either plan_id or plan_key');
  end if;
  if p_anchor is not null then
    perform billing_private.require_service(); -- an anchor of one's own choice would bring two grants close together
  end if;
  if not coalesce(billing_private.is_timezone(p_timezone), false) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "timezone"}', 'an IANA name, such as Europe/Berlin');
  end if;
  select p.* into v_plan from billing.subscription_plans as p where (p.id = p_plan_id or p.key = p_plan_key) and p.is_active;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "subscription_plan"}');
  end if;
  if v_plan.unit_amount > 0 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "plan_id"}', 'this plan has a price: open a checkout');
  end if;
  v_tail := billing_private.settled_ledger(p_organization_id);
  v_now := v_tail.recorded_at;
  p_anchor := coalesce(p_anchor, v_now);
  if not coalesce(p_anchor between v_now - interval '36600 days' and v_now + interval '366 days', false) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "anchor"}', 'at most a century ago or a year ahead');
  end if;
  if exists (
    select 1 from billing.subscriptions as s
    where s.organization_id = p_organization_id and s.stripe_subscription_id is not null
      and s.status in ('trialing', 'active', 'past_due', 'unpaid', 'paused')
  ) then
    perform billing_private.fail(409, 'subscription_exists', null, 'A paid plan is in force.');
  end if;
  select s.* into v_subscription from billing.subscriptions as s
  where s.organization_id = p_organization_id and s.stripe_subscription_id is null and s.current_period_end > v_now
  order by s.status = 'active' desc, s.current_period_end desc, s.id limit 1;
  if found then
    return billing_private.resume_free_subscription(v_subscription, v_plan.id);
  end if;

  v_subscription.period_number := billing_private.period_number_at(p_anchor, v_plan.billing_interval, p_timezone, v_now);
  insert into billing.subscriptions (
    organization_id, plan_id, status, anchor_at, billing_interval, timezone, period_number, current_period_start, current_period_end,
    unit_amount, currency
  ) values (
    p_organization_id, v_plan.id, 'active', p_anchor, v_plan.billing_interval, p_timezone, v_subscription.period_number,
    billing_private.period_start(p_anchor, v_plan.billing_interval, v_subscription.period_number, p_timezone),
    billing_private.period_start(p_anchor, v_plan.billing_interval, v_subscription.period_number + 1, p_timezone),
    0, v_plan.currency
  )
  returning * into v_subscription;
  v_lot := billing_private.free_period_lot(v_subscription, v_now);
  if v_lot.amount > 0 then
    v_tail := billing_private.book_plan_lot(v_tail, v_lot, v_now);
  else
    -- Nothing is granted, but the wallet may be trusted up to the period's end only.
    v_tail := billing_private.append_entry(v_tail, 'schedule', 0, v_now, null, null, p_detail => '{"reason": "subscription_goes_on"}');
  end if;
  perform billing_private.audit(
    p_organization_id, 'start_free_subscription', 'subscription', v_subscription.id::text, null, null, to_jsonb(v_subscription));
  return v_subscription;
end
$$;
revoke all on function billing_private.start_free_subscription(uuid, uuid, text, timestamptz, text) from public;
grant execute on function billing_private.start_free_subscription(uuid, uuid, text, timestamptz, text) to authenticated, service_role;

-- A free subscription whose period still runs goes on, from its next period on with p_plan_id. Under the lock, after settle().
create function billing_private.resume_free_subscription(p_subscription billing.subscriptions, p_plan_id uuid)
returns billing.subscriptions
language plpgsql
set search_path = ''
as $$
declare
  v_subscription billing.subscriptions;
  v_next_plan_id constant uuid := nullif(p_plan_id, p_subscription.plan_id);
begin
  if p_subscription.status = 'active' and p_subscription.ends_at is null and p_subscription.next_plan_id is not distinct from v_next_plan_id then
    return p_subscription;
  end if;
  update billing.subscriptions as s
  set
    status = 'active', next_plan_id = v_next_plan_id, cancel_at = null, cancel_at_period_end = false, canceled_at = null, ended_at = null,
    ends_at = null, updated_at = clock_timestamp()
  where s.organization_id = p_subscription.organization_id and s.id = p_subscription.id
  returning * into v_subscription;
  perform billing_private.set_subscription_end(p_subscription.organization_id, p_subscription.id, null);
  if p_subscription.status <> 'active' then
    -- It recurs again, which the last entry's turn_at does not know.
    perform billing_private.append_entry(
      t, 'schedule', 0, t.recorded_at, null, null, p_detail => '{"reason": "subscription_goes_on"}')
    from billing_private.settled_ledger(p_subscription.organization_id) as t;
  end if;
  perform billing_private.audit(p_subscription.organization_id, 'start_free_subscription', 'subscription', v_subscription.id::text, null,
    to_jsonb(p_subscription), to_jsonb(v_subscription));
  return v_subscription;
end
$$;
revoke all on function billing_private.resume_free_subscription(billing.subscriptions, uuid) from public;

-- Takes an organization off its free plan: at the period's end (until then it can be taken back by starting again), or now, which ends its
-- credits, too. Owner, admin, billing, or the service. A repeated call changes nothing. Locks the organization. Raises 403 not_authorized, 404
-- not_found (there is no free plan), 503 busy.
create function billing_private.cancel_free_subscription(p_organization_id uuid, p_at_period_end boolean)
returns billing.subscriptions
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_old billing.subscriptions;
  v_new billing.subscriptions;
  v_now timestamptz;
begin
  perform billing_private.require_role(p_organization_id, '{owner,admin,billing}');
  v_now := (billing_private.settled_ledger(p_organization_id)).recorded_at;
  select s.* into v_old from billing.subscriptions as s
  where s.organization_id = p_organization_id and s.stripe_subscription_id is null
  order by s.status = 'active' desc, s.current_period_end desc, s.id limit 1;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "subscription"}');
  end if;
  if v_old.status <> 'active' or (coalesce(p_at_period_end, true) and v_old.ends_at is not null) then
    return v_old;
  end if;
  if coalesce(p_at_period_end, true) then
    update billing.subscriptions as s
    set
      cancel_at_period_end = true, cancel_at = s.current_period_end, canceled_at = v_now, ends_at = s.current_period_end,
      updated_at = clock_timestamp()
    where s.organization_id = p_organization_id and s.id = v_old.id
    returning * into v_new;
    perform billing_private.set_subscription_end(p_organization_id, v_old.id, v_old.current_period_end);
  else
    v_new := billing_private.close_free_subscription(v_old, v_now);
    perform billing_private.end_plan_credits(p_organization_id, v_old.id);
  end if;
  perform billing_private.audit(
    p_organization_id, 'cancel_free_subscription', 'subscription', v_old.id::text, null, to_jsonb(v_old), to_jsonb(v_new));
  return v_new;
end
$$;
revoke all on function billing_private.cancel_free_subscription(uuid, boolean) from public;
grant execute on function billing_private.cancel_free_subscription(uuid, boolean) to authenticated, service_role;

-- Its row says that it has ended. The period stays in it: until that is over, starting again goes on with it. Under the lock.
create function billing_private.close_free_subscription(p_subscription billing.subscriptions, p_now timestamptz)
returns billing.subscriptions
language plpgsql
set search_path = ''
as $$
begin
  update billing.subscriptions as s
  set status = 'canceled', canceled_at = coalesce(s.canceled_at, p_now), ended_at = p_now, ends_at = p_now, updated_at = clock_timestamp()
  where s.organization_id = p_subscription.organization_id and s.id = p_subscription.id
  returning * into p_subscription;
  return p_subscription;
end
$$;
revoke all on function billing_private.close_free_subscription(billing.subscriptions, timestamptz) from public;

-- A paid plan begins, so the free one ends; its credits live to the end of their period and do not roll over. No caller check; does nothing
-- when there is none. Locks the organization.
create function billing_private.end_free_subscription(p_organization_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_subscription billing.subscriptions;
  v_now timestamptz;
begin
  v_now := (billing_private.settled_ledger(p_organization_id)).recorded_at;
  select s.* into v_subscription from billing.subscriptions as s
  where s.organization_id = p_organization_id and s.stripe_subscription_id is null and s.status = 'active';
  if not found then
    return;
  end if;
  perform billing_private.close_free_subscription(v_subscription, v_now);
  perform billing_private.set_subscription_end(p_organization_id, v_subscription.id, v_subscription.current_period_end);
end
$$;
revoke all on function billing_private.end_free_subscription(uuid) from public;

create function billing.start_free_subscription(
  organization_id uuid, plan_id uuid default null, plan_key text default null, anchor timestamptz default null, timezone text default 'UTC'
)
returns billing.subscriptions
language sql
volatile
set search_path = ''
return billing_private.start_free_subscription(organization_id, plan_id, plan_key, anchor, timezone);
revoke all on function billing.start_free_subscription(uuid, uuid, text, timestamptz, text) from public;
grant execute on function billing.start_free_subscription(uuid, uuid, text, timestamptz, text) to authenticated, service_role;
comment on function billing.start_free_subscription(uuid, uuid, text, timestamptz, text) is
'Owner, admin, billing: puts the organization on a plan without a price (by plan_id or plan_key), or back on it. It renews by itself.';

create function billing.cancel_free_subscription(organization_id uuid, at_period_end boolean default true)
returns billing.subscriptions
language sql
volatile
set search_path = ''
return billing_private.cancel_free_subscription(organization_id, at_period_end);
revoke all on function billing.cancel_free_subscription(uuid, boolean) from public;
grant execute on function billing.cancel_free_subscription(uuid, boolean) to authenticated, service_role;
comment on function billing.cancel_free_subscription(uuid, boolean) is
'Owner, admin, billing: takes the organization off its free plan at the end of the period, or now, which ends its credits, too.';
