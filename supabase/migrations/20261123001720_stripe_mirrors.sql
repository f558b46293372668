-- From what a worker read at Stripe to our copies: PaymentIntents, charges, customers. None of these grants anything: a Checkout's
-- PaymentIntent is paid for by fulfil_checkout alone, an automatic top-up's by sync_topup (20261123001755).

-- A PaymentIntent of a checkout: a declined card, a challenge, a debit under way; that of an automatic top-up goes to sync_topup, which grants.
-- Returns the organization, or null when it is not ours. Locks: the organization, the payment. Retry: safe, older readings and paid payments are left alone.
create function billing_private.sync_payment_intent(p_facts billing_private.payment_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_checkout billing.checkout_sessions;
  v_status constant text := case
    when p_facts.status = 'requires_payment_method' and p_facts.failure_code is not null then 'failed'
    when p_facts.status in ('requires_action', 'processing', 'canceled') then p_facts.status
  end;
  v_payment_id uuid;
begin
  if p_facts.topup_id is not null then
    return billing_private.sync_topup(p_facts);
  end if;
  select c.* into v_checkout
  from billing.checkout_sessions as c
  where c.organization_id = p_facts.organization_id and c.id = p_facts.checkout_session_id and c.livemode = p_facts.livemode
    and exists (
      select 1 from billing.customers as u
      where u.organization_id = c.organization_id and u.stripe_customer_id = p_facts.stripe_customer_id
    );
  if not found then
    return null;
  end if;
  if v_status is null or v_checkout.mode <> 'payment' then
    return v_checkout.organization_id;
  end if;
  perform billing_private.lock_organization(v_checkout.organization_id);
  -- An intent that nobody tried to pay is no payment.
  if v_status = 'canceled' and not exists (
    select 1 from billing.payments as p
    where p.organization_id = v_checkout.organization_id and p.checkout_session_id = v_checkout.id
  ) then
    return v_checkout.organization_id;
  end if;

  insert into billing.payments as p (
    organization_id, kind, status, amount, currency, credits, checkout_session_id, stripe_session_id, stripe_payment_intent_id,
    stripe_charge_id, description, card_brand, card_last4, failure_code, failure_message, livemode, stripe_fetched_at
  )
  values (
    v_checkout.organization_id, 'package', v_status, p_facts.amount, p_facts.currency, v_checkout.credits, v_checkout.id,
    v_checkout.stripe_session_id, p_facts.stripe_payment_intent_id, p_facts.stripe_charge_id, v_checkout.name, p_facts.card_brand,
    p_facts.card_last4, p_facts.failure_code, p_facts.failure_message, v_checkout.livemode, p_facts.fetched_at
  )
  on conflict (organization_id, checkout_session_id) where checkout_session_id is not null do update set
    status = excluded.status, amount = excluded.amount,
    stripe_payment_intent_id = excluded.stripe_payment_intent_id,
    stripe_charge_id = coalesce(excluded.stripe_charge_id, p.stripe_charge_id),
    card_brand = coalesce(excluded.card_brand, p.card_brand), card_last4 = coalesce(excluded.card_last4, p.card_last4),
    failure_code = excluded.failure_code, failure_message = excluded.failure_message,
    stripe_fetched_at = excluded.stripe_fetched_at, updated_at = now()
  where p.paid_at is null and (p.stripe_fetched_at is null or p.stripe_fetched_at <= excluded.stripe_fetched_at)
  returning p.id into v_payment_id;

  if v_payment_id is not null then
    if v_status = 'failed' then
      perform billing_private.notify_organization(
        v_checkout.organization_id, 'payment_failed', 'info', 'payment_failed:' || v_payment_id::text, 'payment', v_payment_id::text,
        jsonb_build_object(
          'name', v_checkout.name, 'amount', p_facts.amount, 'currency', p_facts.currency,
          'failure_code', p_facts.failure_code, 'failure_message', p_facts.failure_message
        )
      );
    end if;
    perform billing_private.announce(v_checkout.organization_id, 'money_changed', '{"table": "payments"}');
  end if;
  return v_checkout.organization_id;
end
$$;
revoke all on function billing_private.sync_payment_intent(billing_private.payment_facts) from public;

-- The charge of a payment that we know: card and receipt. A charge that comes before its payment changes nothing, because fulfilment reads the
-- charge itself. What was given back of it comes by sync_reversals. Returns the organization, or null. Locks: the payment. Retry: safe.
create function billing_private.sync_charge(p_facts billing_private.payment_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id uuid;
begin
  update billing.payments as p
  set
    stripe_charge_id = p_facts.stripe_charge_id,
    card_brand = coalesce(p_facts.card_brand, p.card_brand), card_last4 = coalesce(p_facts.card_last4, p.card_last4),
    receipt_url = coalesce(p_facts.receipt_url, p.receipt_url),
    updated_at = now()
  where p.stripe_payment_intent_id = p_facts.stripe_payment_intent_id and p.livemode = p_facts.livemode
    and (p.paid_at is null or p.stripe_charge_id is null or p.stripe_charge_id = p_facts.stripe_charge_id)
  returning p.organization_id into v_organization_id;
  if found then
    perform billing_private.announce(v_organization_id, 'money_changed', '{"table": "payments"}');
  end if;
  return v_organization_id;
end
$$;
revoke all on function billing_private.sync_charge(billing_private.payment_facts) from public;

create type billing_private.customer_facts as (
  stripe_customer_id text,
  email text,
  name text,
  currency text,
  default_payment_method_id text,
  is_deleted boolean,
  livemode boolean,
  fetched_at timestamptz
);
comment on type billing_private.customer_facts is 'What a worker read of a Stripe customer.';

-- Our copy of the organization's customer. Returns the organization, or null when the customer is not ours (or not recorded yet: whoever makes
-- a customer records it). Locks: the customer's row. Retry: safe, older readings are left alone.
create function billing_private.sync_customer(p_facts billing_private.customer_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id uuid;
begin
  if p_facts.is_deleted then
    v_organization_id := billing_private.forget_customer(p_facts.stripe_customer_id);
    perform billing_private.drop_cards(v_organization_id, p_facts.fetched_at);
    return v_organization_id;
  end if;
  select c.organization_id into v_organization_id
  from billing.customers as c where c.stripe_customer_id = p_facts.stripe_customer_id;
  update billing.customers as c
  set
    email = p_facts.email, name = p_facts.name, currency = p_facts.currency,
    default_payment_method_id = p_facts.default_payment_method_id, stripe_fetched_at = p_facts.fetched_at, updated_at = now()
  where c.stripe_customer_id = p_facts.stripe_customer_id and c.livemode = p_facts.livemode
    and (c.stripe_fetched_at is null or c.stripe_fetched_at <= p_facts.fetched_at);
  if found then
    perform billing_private.follow_default_card(v_organization_id, p_facts.default_payment_method_id);
  end if;
  return v_organization_id;
end
$$;
revoke all on function billing_private.sync_customer(billing_private.customer_facts) from public;
