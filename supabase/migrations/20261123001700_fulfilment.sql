-- One fulfilment for the webhook, the return page and the reconciler.
--
-- A worker reads the session at Stripe and passes on what it read (the "facts"). What is granted comes from our row alone; the facts decide
-- whether, never how much. The grant is keyed by Stripe's session id, so order, duplicates and the number of callers do not matter.
-- Locks, always in this order: the organization, its checkout row, its payment row.

create type billing_private.payment_facts as (
  stripe_payment_intent_id text,
  status text,
  amount bigint,
  amount_refunded bigint,
  currency text,
  stripe_charge_id text,
  stripe_customer_id text,
  organization_id uuid,
  checkout_session_id uuid,
  topup_id uuid,
  card_brand text,
  card_last4 text,
  receipt_url text,
  failure_code text,
  failure_message text,
  livemode boolean,
  fetched_at timestamptz
);
comment on type billing_private.payment_facts is
'What a worker read of a PaymentIntent and its latest charge. organization_id, checkout_session_id and topup_id are our own metadata: a cross-check.';

create type billing_private.checkout_facts as (
  stripe_session_id text,
  livemode boolean,
  mode text,
  status text,
  payment_status text,
  currency text,
  amount_subtotal bigint,
  amount_discount bigint,
  amount_total bigint,
  stripe_customer_id text,
  is_payment_link boolean,
  client_reference_id text,
  organization_id uuid,
  checkout_session_id uuid,
  payment billing_private.payment_facts,
  stripe_subscription_id text,
  fetched_at timestamptz
);
comment on type billing_private.checkout_facts is
'What a worker read of a Checkout Session. organization_id, checkout_session_id and client_reference_id are our own marks on it: a cross-check.';

create type billing.checkout_outcome as (
  organization_id uuid,
  checkout_session_id uuid,
  stripe_session_id text,
  mode text,
  status text,
  name text,
  credits text,
  amount bigint,
  currency text,
  payment_id uuid,
  payment_status text,
  failure_code text,
  failure_message text,
  receipt_url text,
  grant_id uuid,
  completed_at timestamptz
);
comment on type billing.checkout_outcome is
'How an attempt to buy went. credits is text, so that no client rounds it; amount is in the smallest unit of the currency.';

create function billing_private.checkout_outcome_of(p_checkout billing.checkout_sessions)
returns billing.checkout_outcome
language sql
stable
set search_path = ''
as $$
  select
    (p_checkout).organization_id, (p_checkout).id, (p_checkout).stripe_session_id, (p_checkout).mode, (p_checkout).status,
    (p_checkout).name, trim_scale((p_checkout).credits)::text, coalesce(p.amount, (p_checkout).unit_amount),
    coalesce(p.currency, (p_checkout).currency), p.id, p.status, p.failure_code, p.failure_message, p.receipt_url, p.grant_id,
    (p_checkout).completed_at
  from (select 1) as one
  left join billing.payments as p
    on p.organization_id = (p_checkout).organization_id and p.checkout_session_id = (p_checkout).id
$$;
revoke all on function billing_private.checkout_outcome_of(billing.checkout_sessions) from public;

-- Our row of a session, with the organization locked; a row of nulls when it is not ours. A session whose attachment was lost (Stripe acted and
-- could not tell us) is recognised by the marks that we put on it, when all of them agree; a payment link's session never is, because its
-- client_reference_id comes from whoever opened the link.
create function billing_private.take_checkout_of(p_facts billing_private.checkout_facts)
returns billing.checkout_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_checkout billing.checkout_sessions;
begin
  select c.* into v_checkout
  from billing.checkout_sessions as c
  where c.stripe_session_id = p_facts.stripe_session_id or (
    c.organization_id = p_facts.organization_id and c.id = p_facts.checkout_session_id
    and c.stripe_session_id is null and c.status in ('creating', 'failed')
    and c.id::text = p_facts.client_reference_id and not p_facts.is_payment_link and c.livemode = p_facts.livemode
    and exists (
      select 1 from billing.customers as u
      where u.organization_id = c.organization_id and u.stripe_customer_id = p_facts.stripe_customer_id
    )
  )
  order by c.stripe_session_id nulls last limit 1;
  if not found then
    return v_checkout;
  end if;
  perform billing_private.lock_organization(v_checkout.organization_id);
  -- Read again under the lock: it may have moved while we waited.
  select c.* into v_checkout
  from billing.checkout_sessions as c
  where c.organization_id = v_checkout.organization_id and c.id = v_checkout.id
    and coalesce(c.stripe_session_id, p_facts.stripe_session_id) = p_facts.stripe_session_id
  for update;
  if v_checkout.stripe_session_id is null then
    update billing.checkout_sessions as c
    set stripe_session_id = p_facts.stripe_session_id, status = 'open', error = null, updated_at = now()
    where c.organization_id = v_checkout.organization_id and c.id = v_checkout.id
    returning c.* into v_checkout;
  end if;
  return v_checkout;
end
$$;
revoke all on function billing_private.take_checkout_of(billing_private.checkout_facts) from public;

-- Refuses facts that contradict what we sold: 409 checkout_mismatch, with the name of the first contradiction.
create function billing_private.require_checkout_matches(
  p_checkout billing.checkout_sessions, p_facts billing_private.checkout_facts
)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
  v_contradiction constant text := case
    when p_facts.livemode is distinct from p_checkout.livemode then 'livemode'
    when p_facts.mode is distinct from p_checkout.mode then 'mode'
    when p_facts.is_payment_link then 'payment_link'
    when p_facts.client_reference_id is distinct from p_checkout.id::text then 'client_reference_id'
    when p_facts.organization_id is distinct from p_checkout.organization_id then 'organization_id'
    when p_facts.checkout_session_id is distinct from p_checkout.id then 'checkout_session_id'
    when p_checkout.mode = 'payment' and p_facts.currency is distinct from p_checkout.currency then 'currency'
    when p_checkout.mode = 'payment' and p_facts.amount_subtotal is distinct from p_checkout.unit_amount then 'amount_subtotal'
  end;
begin
  if v_contradiction is not null then
    perform billing_private.fail(409, 'checkout_mismatch',
      jsonb_build_object('field', v_contradiction, 'stripe_session_id', p_facts.stripe_session_id),
      'What Stripe says about this session is not what was sold. Nothing was granted.');
  end if;
end
$$;
revoke all on function billing_private.require_checkout_matches(billing.checkout_sessions, billing_private.checkout_facts) from public;

-- Writes the payment of a checkout: one row, whatever happened on the way. A paid payment never becomes unpaid.
create function billing_private.put_checkout_payment(
  p_checkout billing.checkout_sessions, p_facts billing_private.checkout_facts, p_status text, p_grant_id uuid
)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_payment constant billing_private.payment_facts := p_facts.payment;
  v_payment_id uuid;
begin
  insert into billing.payments as p (
    organization_id, kind, status, amount, currency, credits, grant_id, checkout_session_id, stripe_session_id,
    stripe_payment_intent_id, stripe_charge_id, description, card_brand, card_last4, receipt_url, failure_code, failure_message,
    livemode, paid_at, stripe_fetched_at
  )
  values (
    p_checkout.organization_id, 'package', p_status, coalesce(p_facts.amount_total, p_checkout.unit_amount), p_checkout.currency,
    p_checkout.credits, p_grant_id, p_checkout.id, p_checkout.stripe_session_id, v_payment.stripe_payment_intent_id,
    v_payment.stripe_charge_id, p_checkout.name, v_payment.card_brand, v_payment.card_last4, v_payment.receipt_url,
    v_payment.failure_code, v_payment.failure_message, p_checkout.livemode,
    case when p_status = 'succeeded' then clock_timestamp() end, p_facts.fetched_at
  )
  on conflict (organization_id, checkout_session_id) where checkout_session_id is not null do update set
    status = case when p.paid_at is null then excluded.status else p.status end,
    amount = excluded.amount,
    grant_id = coalesce(p.grant_id, excluded.grant_id),
    stripe_payment_intent_id = coalesce(excluded.stripe_payment_intent_id, p.stripe_payment_intent_id),
    stripe_charge_id = coalesce(excluded.stripe_charge_id, p.stripe_charge_id),
    card_brand = coalesce(excluded.card_brand, p.card_brand),
    card_last4 = coalesce(excluded.card_last4, p.card_last4),
    receipt_url = coalesce(excluded.receipt_url, p.receipt_url),
    failure_code = case when excluded.status = 'succeeded' then null else coalesce(excluded.failure_code, p.failure_code) end,
    failure_message = case when excluded.status = 'succeeded' then null else coalesce(excluded.failure_message, p.failure_message) end,
    paid_at = coalesce(p.paid_at, excluded.paid_at),
    stripe_fetched_at = greatest(p.stripe_fetched_at, excluded.stripe_fetched_at),
    updated_at = now()
  returning p.id into v_payment_id;
  if p_status = 'succeeded' then
    perform billing_private.payment_landed(p_checkout.organization_id, v_payment_id);
  end if;
  perform billing_private.announce(p_checkout.organization_id, 'money_changed', '{"table": "payments"}');
  return v_payment_id;
end
$$;
revoke all on function billing_private.put_checkout_payment(
  billing.checkout_sessions, billing_private.checkout_facts, text, uuid
) from public;

-- Grants what a paid checkout bought, once: the cost basis is what was paid without tax, and 0 for what a discount made free.
create function billing_private.grant_checkout(p_checkout billing.checkout_sessions, p_facts billing_private.checkout_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz;
  v_receipt billing.grant_receipt;
begin
  select billing_private.ledger_now(o.test_clock) into v_now
  from billing.organizations as o where o.organization_id = p_checkout.organization_id;
  v_receipt := billing_private.grant_credits(
    p_checkout.organization_id, p_checkout.credits, 'purchase', p_checkout.stripe_session_id,
    v_now + p_checkout.credit_expiry, null, null, null, null,
    round(greatest(p_checkout.unit_amount - coalesce(p_facts.amount_discount, 0), 0) / p_checkout.credits, 12),
    p_checkout.currency,
    jsonb_build_object('checkout_session_id', p_checkout.id, 'package_id', p_checkout.package_id)
  );
  return v_receipt.grant_id;
end
$$;
revoke all on function billing_private.grant_checkout(billing.checkout_sessions, billing_private.checkout_facts) from public;

create function billing_private.close_checkout(
  p_checkout billing.checkout_sessions, p_status text, p_fetched_at timestamptz, p_stripe_subscription_id text default null
)
returns billing.checkout_sessions
language plpgsql
set search_path = ''
as $$
begin
  update billing.checkout_sessions as c
  set
    status = p_status, url = null, stripe_fetched_at = p_fetched_at, updated_at = now(),
    stripe_subscription_id = coalesce(p_stripe_subscription_id, c.stripe_subscription_id),
    completed_at = case when p_status = 'complete' then clock_timestamp() end
  where c.organization_id = p_checkout.organization_id and c.id = p_checkout.id
  returning c.* into p_checkout;
  perform billing_private.announce(p_checkout.organization_id, 'money_changed', '{"table": "checkout_sessions"}');
  return p_checkout;
end
$$;
revoke all on function billing_private.close_checkout(billing.checkout_sessions, text, timestamptz, text) from public;
