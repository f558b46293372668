-- Subscriptions: from what a worker read at Stripe to our copy, the end of its credits, and what the organization may do meanwhile.
--
-- A worker reads a subscription together with its newest invoices, whatever the event was about. What was paid is landed in the order in which it
-- was paid at Stripe (20261123001830), so that the order of events, lost ones and late ones do not matter.

create type billing_private.invoice_line_facts as (
  stripe_line_id text,
  stripe_price_id text,
  is_proration boolean,
  amount bigint,
  discount_amount bigint,
  quantity integer,
  period_start timestamptz,
  period_end timestamptz
);
comment on type billing_private.invoice_line_facts is 'A subscription''s line on an invoice. amount is before discounts and tax, and negative for a credit.';

create type billing_private.invoice_facts as (
  stripe_invoice_id text,
  stripe_subscription_id text,
  stripe_customer_id text,
  number text,
  status text,
  billing_reason text,
  currency text,
  amount_due bigint,
  amount_paid bigint,
  amount_remaining bigint,
  total bigint,
  hosted_invoice_url text,
  invoice_pdf text,
  period_start timestamptz,
  period_end timestamptz,
  due_date timestamptz,
  made_at timestamptz,
  finalized_at timestamptz,
  paid_at timestamptz,
  stripe_payment_intent_id text,
  payment billing_private.payment_facts,
  lines billing_private.invoice_line_facts[],
  livemode boolean,
  fetched_at timestamptz
);
comment on type billing_private.invoice_facts is
'What a worker read of an invoice. payment: its PaymentIntent with the charge, read for the invoice that an event was about; null for the others.';

create type billing_private.subscription_facts as (
  stripe_subscription_id text,
  stripe_customer_id text,
  organization_id uuid,
  status text,
  stripe_price_id text,
  unit_amount bigint,
  currency text,
  quantity integer,
  current_period_start timestamptz,
  current_period_end timestamptz,
  trial_start timestamptz,
  trial_end timestamptz,
  cancel_at timestamptz,
  cancel_at_period_end boolean,
  canceled_at timestamptz,
  ended_at timestamptz,
  anchor_at timestamptz,
  pause_behavior text,
  pause_resumes_at timestamptz,
  card_fingerprint text,
  invoices billing_private.invoice_facts[],
  livemode boolean,
  fetched_at timestamptz
);
comment on type billing_private.subscription_facts is
'What a worker read of a subscription and its newest invoices, oldest first. organization_id is our own mark: a cross-check.';

-- The plan that a price stands for, or null for a price that is not ours.
create function billing_private.plan_of_price(p_stripe_price_id text, p_livemode boolean)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select p.subject_id from billing_private.stripe_prices as p
    where p.stripe_price_id = p_stripe_price_id and p.livemode = p_livemode and p.subject_type = 'plan'
  );
end
$$;
revoke all on function billing_private.plan_of_price(text, boolean) from public;

-- Whose subscription or invoice it is: by the subscription that we know, or by the customer. Null when it is not ours. One that bears our mark or
-- is for a plan of ours, and whose customer is not known (yet), is 404 not_found, so that it is tried again, then parked and told.
create function billing_private.organization_of_subscription(
  p_stripe_subscription_id text, p_stripe_customer_id text, p_marked_organization_id uuid, p_livemode boolean, p_stripe_price_id text default null
)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  v_organization_id uuid;
begin
  select s.organization_id into v_organization_id
  from billing.subscriptions as s where s.stripe_subscription_id = p_stripe_subscription_id and s.livemode = p_livemode;
  if not found then
    select c.organization_id into v_organization_id
    from billing.customers as c where c.stripe_customer_id = p_stripe_customer_id and c.livemode = p_livemode;
  end if;
  if v_organization_id is null and (
    exists (select 1 from billing.organizations as o where o.organization_id = p_marked_organization_id)
    or billing_private.plan_of_price(p_stripe_price_id, p_livemode) is not null
  ) then
    perform billing_private.fail(404, 'not_found', '{"what": "customer"}', 'The customer of this subscription is not recorded yet.');
  end if;
  return v_organization_id;
end
$$;
revoke all on function billing_private.organization_of_subscription(text, text, uuid, boolean, text) from public;

-- Writes our copy. Returns the row, and whether this reading is the newest (an older one changes nothing; what has ended does not begin again).
-- Under the organization's lock.
create function billing_private.put_subscription(
  p_organization_id uuid, p_facts billing_private.subscription_facts, out subscription billing.subscriptions, out is_newest boolean
)
language plpgsql
set search_path = ''
as $$
begin
  insert into billing.subscriptions as s (
    organization_id, stripe_subscription_id, stripe_customer_id, stripe_price_id, plan_id, status, quantity, current_period_start,
    current_period_end, trial_start, trial_end, cancel_at, cancel_at_period_end, canceled_at, ended_at, ends_at, anchor_at, pause_behavior,
    pause_resumes_at, unit_amount, currency, livemode, stripe_fetched_at
  )
  values (
    p_organization_id, p_facts.stripe_subscription_id, p_facts.stripe_customer_id, p_facts.stripe_price_id,
    billing_private.plan_of_price(p_facts.stripe_price_id, p_facts.livemode), p_facts.status, p_facts.quantity, p_facts.current_period_start,
    p_facts.current_period_end, p_facts.trial_start, p_facts.trial_end, p_facts.cancel_at, p_facts.cancel_at_period_end, p_facts.canceled_at,
    p_facts.ended_at,
    coalesce(p_facts.ended_at, p_facts.cancel_at, case when p_facts.cancel_at_period_end then p_facts.current_period_end end),
    p_facts.anchor_at, p_facts.pause_behavior, p_facts.pause_resumes_at, p_facts.unit_amount, p_facts.currency, p_facts.livemode,
    p_facts.fetched_at
  )
  on conflict (stripe_subscription_id) do update set
    stripe_price_id = excluded.stripe_price_id, plan_id = coalesce(s.plan_id, excluded.plan_id), status = excluded.status,
    quantity = excluded.quantity, current_period_start = excluded.current_period_start, current_period_end = excluded.current_period_end,
    trial_start = excluded.trial_start, trial_end = excluded.trial_end, cancel_at = excluded.cancel_at,
    cancel_at_period_end = excluded.cancel_at_period_end, canceled_at = excluded.canceled_at, ended_at = excluded.ended_at,
    ends_at = excluded.ends_at, anchor_at = excluded.anchor_at, pause_behavior = excluded.pause_behavior,
    pause_resumes_at = excluded.pause_resumes_at, unit_amount = excluded.unit_amount, currency = excluded.currency,
    stripe_fetched_at = excluded.stripe_fetched_at, updated_at = now()
  where s.stripe_fetched_at <= excluded.stripe_fetched_at
    and (s.status not in ('canceled', 'incomplete_expired') or excluded.status = s.status)
  returning s.* into subscription;
  is_newest := found;
  if not is_newest then
    select s.* into strict subscription from billing.subscriptions as s
    where s.stripe_subscription_id = p_facts.stripe_subscription_id for update;
  end if;
end
$$;
revoke all on function billing_private.put_subscription(uuid, billing_private.subscription_facts) from public;

-- Which plan is in force, and which comes next: in force is what was paid for from the latest instant of the current period on (a change may be paid
-- before the period that it changes); before anything was paid (a trial), what the subscription is for. Under the lock, after the paid lines have landed.
create function billing_private.settle_subscription_plan(p_subscription billing.subscriptions)
returns billing.subscriptions
language plpgsql
set search_path = ''
as $$
declare
  v_priced_plan_id constant uuid := billing_private.plan_of_price(p_subscription.stripe_price_id, p_subscription.livemode);
  v_paid_plan_id uuid;
begin
  select l.plan_id into v_paid_plan_id from billing_private.subscription_lines as l
  where l.organization_id = p_subscription.organization_id and l.subscription_id = p_subscription.id and l.kind in ('period', 'upgrade')
    and l.period_end > p_subscription.current_period_start
  order by l.period_start desc, (l.plan_id is not distinct from v_priced_plan_id) desc, l.paid_at desc, l.landed_order desc limit 1;
  update billing.subscriptions as s
  set
    plan_id = coalesce(v_paid_plan_id, v_priced_plan_id, s.plan_id),
    next_plan_id = case when v_paid_plan_id <> v_priced_plan_id then v_priced_plan_id end
  where s.organization_id = p_subscription.organization_id and s.id = p_subscription.id
  returning s.* into p_subscription;
  return p_subscription;
end
$$;
revoke all on function billing_private.settle_subscription_plan(billing.subscriptions) from public;

-- What the organization may do, by all its subscriptions:
-- past due or unpaid: spending goes on for the plan's grace days after the oldest open invoice was due, and is then refused until it is paid;
-- paused (a trial that ended without a card, or Subscription.pause): refused at once. A paused collection (pause_collection) refuses nothing: what
-- was granted may be spent, and nothing new is granted, because nothing is paid. What has ended refuses nothing. Under the lock.
create function billing_private.settle_standing(p_organization_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_past_due_from timestamptz;
  v_paused_from timestamptz;
begin
  select
    min(s.past_due_since + make_interval(days => coalesce(p.grace_days, 0)))
    filter (where s.status in ('past_due', 'unpaid') and s.past_due_since is not null),
    min(coalesce(s.trial_end, s.current_period_start)) filter (where s.status = 'paused')
  into v_past_due_from, v_paused_from
  from billing.subscriptions as s
  left join billing.subscription_plans as p on p.id = s.plan_id
  where s.organization_id = p_organization_id and s.status in ('past_due', 'unpaid', 'paused');

  if v_past_due_from is null then
    perform billing_private.lift_restriction(p_organization_id, 'past_due');
  else
    perform billing_private.set_restriction(p_organization_id, 'past_due', v_past_due_from);
  end if;
  if v_paused_from is null then
    perform billing_private.lift_restriction(p_organization_id, 'paused');
  else
    perform billing_private.set_restriction(p_organization_id, 'paused', v_paused_from);
  end if;
end
$$;
revoke all on function billing_private.settle_standing(uuid) from public;

-- Tells people what they should know of a subscription as it stands; each thing once. Under the lock.
create function billing_private.tell_of_subscription(p_subscription billing.subscriptions)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_grace_days constant integer := coalesce((select p.grace_days from billing.subscription_plans as p where p.id = p_subscription.plan_id), 0);
  v_others integer;
begin
  if p_subscription.status in ('past_due', 'unpaid') and p_subscription.past_due_since is not null then
    perform billing_private.notify_organization(
      p_subscription.organization_id, 'subscription_past_due', 'critical',
      'subscription_past_due:' || p_subscription.id::text || ':' || extract(epoch from p_subscription.past_due_since)::bigint::text,
      'subscription', p_subscription.id::text,
      jsonb_build_object('past_due_since', p_subscription.past_due_since,
        'restricted_from', p_subscription.past_due_since + make_interval(days => v_grace_days))
    );
  end if;
  select count(*) into v_others from billing.subscriptions as s
  where s.organization_id = p_subscription.organization_id and s.id <> p_subscription.id and s.stripe_subscription_id is not null
    and s.status in ('trialing', 'active', 'past_due', 'unpaid', 'paused');
  if v_others > 0 and p_subscription.status in ('trialing', 'active', 'past_due', 'unpaid', 'paused') then
    perform billing_private.notify_organization(
      p_subscription.organization_id, 'subscription_duplicate', 'critical', 'subscription_duplicate:' || p_subscription.id::text,
      'subscription', p_subscription.id::text, jsonb_build_object('live_subscriptions', v_others + 1)
    );
  end if;
end
$$;
revoke all on function billing_private.tell_of_subscription(billing.subscriptions) from public;

-- Who calls: apply_stripe_facts, fulfil_checkout and sync_subscription_facts. Locks: the organization, then the subscription's, invoices' and payments'
-- rows. Raises: 404 not_found (our mark, and a customer that we do not know), 503 busy. Returns the organization, or null when it is not ours.
-- Retry: safe; what has landed stays, an older reading changes nothing.
create function billing_private.sync_subscription(p_facts billing_private.subscription_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id constant uuid := billing_private.organization_of_subscription(
    p_facts.stripe_subscription_id, p_facts.stripe_customer_id, p_facts.organization_id, p_facts.livemode, p_facts.stripe_price_id
  );
  v_put record;
  v_subscription billing.subscriptions;
begin
  if v_organization_id is null then
    return null;
  end if;
  perform billing_private.lock_organization(v_organization_id);
  if p_facts.status in ('trialing', 'active', 'past_due', 'unpaid', 'paused') then
    perform billing_private.end_free_subscription(v_organization_id);
  end if;
  v_put := billing_private.put_subscription(v_organization_id, p_facts);
  v_subscription := v_put.subscription;
  v_subscription := billing_private.land_invoices(v_subscription, p_facts.invoices, p_facts.card_fingerprint);
  if v_put.is_newest then
    v_subscription := billing_private.settle_subscription_plan(v_subscription);
    perform billing_private.set_subscription_end(v_organization_id, v_subscription.id, v_subscription.ends_at);
    perform billing_private.settle_standing(v_organization_id);
    perform billing_private.tell_of_subscription(v_subscription);
  end if;
  perform billing_private.announce(v_organization_id, 'money_changed', '{"table": "subscriptions"}');
  return v_organization_id;
end
$$;
revoke all on function billing_private.sync_subscription(billing_private.subscription_facts) from public;
