-- Changing, cancelling and resuming a plan: who may, and how Stripe is asked. Nothing here moves credits: those follow what Stripe then says.
--
-- The three modes of a change (setting plan_change_mode, default prorate_delta):
-- prorate_delta: an upgrade is charged at once for the time that is left, and grants the difference for it. A downgrade waits for the next period,
--   because money given back for credits already spent would be a way to have them for nothing.
-- full_restart: a new period begins at once; the unused time is credited in money, and what was used counts against the new period's credits.
-- next_period: whatever the direction, the new plan is billed and granted from the next period on.
-- A change between billing intervals always restarts (Stripe begins a new period); one within a trial always waits for its end.

create type billing.plan_change as (
  organization_id uuid,
  subscription_id uuid,
  stripe_subscription_id text,
  plan_id uuid,
  name text,
  mode text,
  unit_amount bigint,
  currency text,
  billing_interval text,
  stripe_price_id text
);
comment on type billing.plan_change is 'How a worker asks Stripe to change a plan: mode is prorate_delta, full_restart or next_period; a null price has to be made.';

create type billing.subscription_handle as (
  organization_id uuid,
  subscription_id uuid,
  stripe_subscription_id text,
  stripe_customer_id text,
  plan_id uuid,
  status text,
  current_period_end timestamptz,
  ends_at timestamptz,
  pause_behavior text
);
comment on type billing.subscription_handle is 'The organization''s subscription at Stripe, for a worker that is about to change it.';

-- The subscription at Stripe that is in force; the newest, should there be several. A row of nulls when there is none.
create function billing_private.live_subscription(p_organization_id uuid)
returns billing.subscriptions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_subscription billing.subscriptions;
begin
  select s.* into v_subscription from billing.subscriptions as s
  where s.organization_id = p_organization_id and s.stripe_subscription_id is not null
    and s.status in ('trialing', 'active', 'past_due', 'unpaid', 'paused')
  order by s.created_at desc, s.id limit 1;
  return v_subscription;
end
$$;
revoke all on function billing_private.live_subscription(uuid) from public;

-- Who calls: the workers cancel_subscription and resume_subscription, for a person. Locks: nothing. Raises: 403 not_authorized (the same for a foreign and an
-- unknown organization), 404 not_found (no subscription at Stripe). Leaves an audit_log row. Retry: safe.
create function billing_private.open_subscription(p_organization_id uuid, p_user_id uuid, p_action text)
returns billing.subscription_handle
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_subscription billing.subscriptions;
begin
  if billing_private.user_has_role(p_user_id, p_organization_id, '{owner,admin,billing}') is not true then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  v_subscription := billing_private.live_subscription(p_organization_id);
  if v_subscription.id is null then
    perform billing_private.fail(404, 'not_found', '{"what": "subscription"}', 'There is no subscription to change.');
  end if;
  perform billing_private.audit(
    p_organization_id, billing_private.require_text('action', p_action, 100), 'subscription', v_subscription.id::text, null, null,
    jsonb_build_object('user_id', p_user_id)
  );
  return (
    v_subscription.organization_id, v_subscription.id, v_subscription.stripe_subscription_id, v_subscription.stripe_customer_id,
    v_subscription.plan_id, v_subscription.status, v_subscription.current_period_end, v_subscription.ends_at, v_subscription.pause_behavior
  )::billing.subscription_handle;
end
$$;
revoke all on function billing_private.open_subscription(uuid, uuid, text) from public;
grant execute on function billing_private.open_subscription(uuid, uuid, text) to service_role;

create function billing.open_subscription(organization_id uuid, user_id uuid, action text)
returns billing.subscription_handle
language sql
set search_path = ''
return billing_private.open_subscription(organization_id, user_id, action);
revoke all on function billing.open_subscription(uuid, uuid, text) from public;
grant execute on function billing.open_subscription(uuid, uuid, text) to service_role;
comment on function billing.open_subscription(uuid, uuid, text) is
'Workers only: the organization''s subscription at Stripe, for a person who may change it; audited under the action''s name.';

-- The mode in which a change is made; see the head of this file.
create function billing_private.plan_change_mode_of(
  p_subscription billing.subscriptions, p_plan billing.subscription_plans, p_asked text
)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  v_now billing.subscription_plans;
  v_mode constant text := coalesce(p_asked, billing_private.setting('plan_change_mode', 'prorate_delta'));
begin
  select p.* into v_now from billing.subscription_plans as p where p.id = p_subscription.plan_id;
  return case
    when p_subscription.status = 'trialing' then 'next_period'
    when v_now.billing_interval <> p_plan.billing_interval then 'full_restart'
    when p_subscription.next_plan_id is not null and p_plan.id = p_subscription.plan_id then 'next_period'
    when v_mode = 'prorate_delta' and p_plan.unit_amount <= v_now.unit_amount then 'next_period'
    else v_mode
  end;
end
$$;
revoke all on function billing_private.plan_change_mode_of(billing.subscriptions, billing.subscription_plans, text) from public;

-- Who calls: the worker change_plan, for a person. Locks: nothing. Raises: 403 not_authorized, 404 not_found (subscription_plan, subscription), 409
-- plan_unchanged, 409 subscription_not_active (an open invoice comes first; a paused one is resumed first), 409 currency_unchangeable (Stripe bills a
-- subscription in one currency for life), 422 invalid_argument.
-- Leaves an audit_log row. Retry: safe.
create function billing_private.prepare_plan_change(
  p_organization_id uuid, p_user_id uuid, p_plan_id uuid, p_mode text, p_livemode boolean
)
returns billing.plan_change
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_subscription billing.subscriptions;
  v_plan billing.subscription_plans;
  v_mode text;
begin
  if billing_private.user_has_role(p_user_id, p_organization_id, '{owner,admin,billing}') is not true then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  if p_mode not in ('prorate_delta', 'full_restart', 'next_period') then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "mode"}', 'prorate_delta, full_restart or next_period');
  end if;
  select p.* into v_plan from billing.subscription_plans as p where p.id = p_plan_id and p.is_active and p.unit_amount > 0;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "subscription_plan"}', 'To leave for a free plan, cancel the subscription.');
  end if;
  v_subscription := billing_private.live_subscription(p_organization_id);
  if v_subscription.id is null then
    perform billing_private.fail(404, 'not_found', '{"what": "subscription"}', 'There is no subscription to change; buy the plan.');
  end if;
  if v_subscription.status not in ('trialing', 'active') then
    perform billing_private.fail(409, 'subscription_not_active', jsonb_build_object('status', v_subscription.status),
      'Pay the open invoice, or resume the subscription, first.');
  end if;
  if coalesce(v_subscription.next_plan_id, v_subscription.plan_id) = p_plan_id then
    perform billing_private.fail(409, 'plan_unchanged', jsonb_build_object('plan_id', p_plan_id), 'This is the plan already.');
  end if;
  if v_plan.currency <> v_subscription.currency then
    perform billing_private.fail(409, 'currency_unchangeable',
      jsonb_build_object('currency', v_subscription.currency, 'plan_currency', v_plan.currency),
      'A subscription stays in its currency. Cancel it, and buy the other plan when it has ended.');
  end if;
  v_mode := billing_private.plan_change_mode_of(v_subscription, v_plan, p_mode);
  perform billing_private.audit(
    p_organization_id, 'change_plan', 'subscription', v_subscription.id::text, null, jsonb_build_object('plan_id', v_subscription.plan_id),
    jsonb_build_object('plan_id', p_plan_id, 'mode', v_mode, 'user_id', p_user_id)
  );
  return (
    p_organization_id, v_subscription.id, v_subscription.stripe_subscription_id, v_plan.id, v_plan.name, v_mode, v_plan.unit_amount,
    v_plan.currency, v_plan.billing_interval,
    billing_private.price_on_sale('plan', v_plan.id, p_livemode, v_plan.unit_amount, v_plan.currency)
  )::billing.plan_change;
end
$$;
revoke all on function billing_private.prepare_plan_change(uuid, uuid, uuid, text, boolean) from public;
grant execute on function billing_private.prepare_plan_change(uuid, uuid, uuid, text, boolean) to service_role;

create function billing.prepare_plan_change(organization_id uuid, user_id uuid, plan_id uuid, mode text, livemode boolean)
returns billing.plan_change
language sql
set search_path = ''
return billing_private.prepare_plan_change(organization_id, user_id, plan_id, mode, livemode);
revoke all on function billing.prepare_plan_change(uuid, uuid, uuid, text, boolean) from public;
grant execute on function billing.prepare_plan_change(uuid, uuid, uuid, text, boolean) to service_role;
comment on function billing.prepare_plan_change(uuid, uuid, uuid, text, boolean) is
'Workers only: whether a person may change the organization''s plan, and how Stripe is asked to.';

-- Who calls: a worker that has just read the subscription at Stripe (after a change, on the return page, in the reconciler). As sync_subscription.
create function billing_private.sync_subscription_facts(p_facts jsonb)
returns setof billing.subscriptions
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform billing_private.sync_subscription(jsonb_populate_record(null::billing_private.subscription_facts, p_facts));
  return query select s.* from billing.subscriptions as s where s.stripe_subscription_id = p_facts ->> 'stripe_subscription_id';
end
$$;
revoke all on function billing_private.sync_subscription_facts(jsonb) from public;
grant execute on function billing_private.sync_subscription_facts(jsonb) to service_role;

create function billing.sync_subscription(facts jsonb)
returns setof billing.subscriptions
language sql
set search_path = ''
as $$
  select * from billing_private.sync_subscription_facts($1)
$$;
revoke all on function billing.sync_subscription(jsonb) from public;
grant execute on function billing.sync_subscription(jsonb) to service_role;
comment on function billing.sync_subscription(jsonb) is
'Workers only: applies what Stripe says about a subscription and its invoices, and answers our row; none when it is not ours.';

-- Who calls: the worker that has made a price at Stripe (a checkout, a plan change, the catalogue's sync). Locks: the price's rows. Raises: nothing.
-- Retry: safe. The price becomes the one on sale; earlier ones stay known for those who pay them.
create function billing_private.record_stripe_price(
  p_subject_type text, p_subject_id uuid, p_livemode boolean, p_stripe_product_id text, p_stripe_price_id text, p_unit_amount bigint,
  p_currency text, p_billing_interval text
)
returns void
language sql
security definer
set search_path = ''
as $$
  insert into billing_private.stripe_prices (stripe_price_id, livemode, subject_type, subject_id, unit_amount, currency, billing_interval)
  values (p_stripe_price_id, p_livemode, p_subject_type, p_subject_id, p_unit_amount, p_currency, p_billing_interval)
  on conflict (stripe_price_id) do nothing;
  insert into billing_private.stripe_catalogue as c (subject_type, subject_id, livemode, stripe_product_id, stripe_price_id)
  values (p_subject_type, p_subject_id, p_livemode, p_stripe_product_id, p_stripe_price_id)
  on conflict (subject_type, subject_id, livemode) do update set
    stripe_product_id = excluded.stripe_product_id, stripe_price_id = excluded.stripe_price_id, updated_at = now()
$$;
revoke all on function billing_private.record_stripe_price(text, uuid, boolean, text, text, bigint, text, text) from public;
grant execute on function billing_private.record_stripe_price(text, uuid, boolean, text, text, bigint, text, text) to service_role;

create function billing.record_stripe_price(
  subject_type text, subject_id uuid, livemode boolean, stripe_product_id text, stripe_price_id text, unit_amount bigint, currency text,
  billing_interval text
)
returns void
language sql
set search_path = ''
return billing_private.record_stripe_price(
  subject_type, subject_id, livemode, stripe_product_id, stripe_price_id, unit_amount, currency, billing_interval
);
revoke all on function billing.record_stripe_price(text, uuid, boolean, text, text, bigint, text, text) from public;
grant execute on function billing.record_stripe_price(text, uuid, boolean, text, text, bigint, text, text) to service_role;
comment on function billing.record_stripe_price(text, uuid, boolean, text, text, bigint, text, text) is
'Workers only: a price that stands for a plan or pack at Stripe; it is the one on sale from now on.';
