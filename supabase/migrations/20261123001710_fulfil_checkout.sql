-- fulfil_checkout: from what Stripe says about a session to our row, its payment and its grant.

-- Who calls: process_stripe_event and billing.fulfil_checkout. Locks: the organization, then the checkout row, then the payment row.
-- Raises: 404 not_found (it bears our mark, and we do not know it), 409 checkout_mismatch, 503 busy. Null for a session that is not ours.
-- Retry: safe; what is complete stays as it is.
create function billing_private.fulfil_checkout(p_facts billing_private.checkout_facts)
returns billing.checkout_outcome
language plpgsql
set search_path = ''
as $$
declare
  v_checkout billing.checkout_sessions := billing_private.take_checkout_of(p_facts);
begin
  if v_checkout.id is null then
    -- Without our mark it is another product's session; one that expired bought nothing, whoever opened it.
    if p_facts.checkout_session_id is null or p_facts.status = 'expired' then
      return null;
    end if;
    perform billing_private.fail(404, 'not_found', '{"what": "checkout_session"}');
  end if;
  perform billing_private.require_checkout_matches(v_checkout, p_facts);

  if v_checkout.status = 'complete' or p_facts.status = 'open' then
    null; -- final, or nothing has happened yet
  elsif p_facts.status = 'complete' and (p_facts.payment_status in ('paid', 'no_payment_required') or v_checkout.mode = 'subscription') then
    v_checkout := billing_private.complete_checkout(v_checkout, p_facts);
  elsif p_facts.fetched_at < v_checkout.stripe_fetched_at then
    null; -- an older reading than the one we have acted on
  elsif p_facts.status = 'complete' and (p_facts.payment).status in ('requires_payment_method', 'canceled') then
    v_checkout := billing_private.fail_checkout(v_checkout, p_facts);
  elsif p_facts.status = 'complete' then
    perform billing_private.put_checkout_payment(v_checkout, p_facts, 'processing', null);
    v_checkout := billing_private.close_checkout(v_checkout, 'processing', p_facts.fetched_at);
  elsif p_facts.status = 'expired' then
    v_checkout := billing_private.expire_checkout(v_checkout, p_facts);
  end if;
  return billing_private.checkout_outcome_of(v_checkout);
end
$$;
revoke all on function billing_private.fulfil_checkout(billing_private.checkout_facts) from public;

-- A pack is granted here. A plan is not: its credits come with its paid invoice, which is read along with the session (apply_stripe_facts).
create function billing_private.complete_checkout(p_checkout billing.checkout_sessions, p_facts billing_private.checkout_facts)
returns billing.checkout_sessions
language plpgsql
set search_path = ''
as $$
begin
  if p_checkout.mode = 'payment' then
    perform billing_private.put_checkout_payment(
      p_checkout, p_facts, 'succeeded', billing_private.grant_checkout(p_checkout, p_facts)
    );
  end if;
  return billing_private.close_checkout(p_checkout, 'complete', p_facts.fetched_at, p_facts.stripe_subscription_id);
end
$$;
revoke all on function billing_private.complete_checkout(billing.checkout_sessions, billing_private.checkout_facts) from public;

-- A payment that was under way has failed in the end (a debit was refused, say). Nothing was granted; people are told.
create function billing_private.fail_checkout(p_checkout billing.checkout_sessions, p_facts billing_private.checkout_facts)
returns billing.checkout_sessions
language plpgsql
set search_path = ''
as $$
declare
  v_payment_id constant uuid := billing_private.put_checkout_payment(p_checkout, p_facts, 'failed', null);
begin
  perform billing_private.notify_organization(
    p_checkout.organization_id, 'payment_failed', 'warning', 'payment_failed:' || v_payment_id::text, 'payment', v_payment_id::text,
    jsonb_build_object(
      'name', p_checkout.name, 'amount', p_facts.amount_total, 'currency', p_checkout.currency,
      'failure_code', (p_facts.payment).failure_code, 'failure_message', (p_facts.payment).failure_message
    )
  );
  return billing_private.close_checkout(p_checkout, 'failed', p_facts.fetched_at);
end
$$;
revoke all on function billing_private.fail_checkout(billing.checkout_sessions, billing_private.checkout_facts) from public;

-- Nobody paid in time. A payment that was waiting for somebody (a 3-D Secure challenge left open) is over with it.
create function billing_private.expire_checkout(p_checkout billing.checkout_sessions, p_facts billing_private.checkout_facts)
returns billing.checkout_sessions
language plpgsql
set search_path = ''
as $$
begin
  update billing.payments as p
  set status = 'canceled', updated_at = now()
  where p.organization_id = p_checkout.organization_id and p.checkout_session_id = p_checkout.id
    and p.status in ('requires_action', 'processing');
  return billing_private.close_checkout(p_checkout, 'expired', p_facts.fetched_at);
end
$$;
revoke all on function billing_private.expire_checkout(billing.checkout_sessions, billing_private.checkout_facts) from public;

-- Who calls: the return page's worker and the reconciler, with what they have just read at Stripe. As above.
create function billing_private.fulfil_checkout_facts(p_facts jsonb)
returns billing.checkout_outcome
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_outcome billing.checkout_outcome;
begin
  v_outcome := billing_private.fulfil_checkout(jsonb_populate_record(null::billing_private.checkout_facts, p_facts));
  -- A plan's session comes with its subscription, so that the return page shows the credits.
  if v_outcome.organization_id is not null and jsonb_typeof(p_facts -> 'subscription') = 'object' then
    perform billing_private.sync_subscription(jsonb_populate_record(null::billing_private.subscription_facts, p_facts -> 'subscription'));
  end if;
  return v_outcome;
end
$$;
revoke all on function billing_private.fulfil_checkout_facts(jsonb) from public;
grant execute on function billing_private.fulfil_checkout_facts(jsonb) to service_role;

create function billing.fulfil_checkout(facts jsonb)
returns billing.checkout_outcome
language sql
set search_path = ''
return billing_private.fulfil_checkout_facts(facts);
revoke all on function billing.fulfil_checkout(jsonb) from public;
grant execute on function billing.fulfil_checkout(jsonb) to service_role;
comment on function billing.fulfil_checkout(jsonb) is
'Workers only: applies what Stripe says about a Checkout Session; grants what was bought, once. facts: billing_private.checkout_facts as JSON.';

-- Who calls: the return page's worker, before it asks Stripe. Locks: nothing. Raises: 403 not_authorized, the same for a session of another
-- organization and one that does not exist. Retry: safe, it only reads.
create function billing_private.find_checkout(p_stripe_session_id text, p_user_id uuid)
returns billing.checkout_outcome
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_checkout billing.checkout_sessions;
begin
  select c.* into v_checkout
  from billing.checkout_sessions as c where c.stripe_session_id = p_stripe_session_id;
  if billing_private.user_has_role(p_user_id, v_checkout.organization_id, '{owner,admin,billing}') is not true then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  return billing_private.checkout_outcome_of(v_checkout);
end
$$;
revoke all on function billing_private.find_checkout(text, uuid) from public;
grant execute on function billing_private.find_checkout(text, uuid) to service_role;

create function billing.find_checkout(stripe_session_id text, user_id uuid)
returns billing.checkout_outcome
language sql
stable
set search_path = ''
return billing_private.find_checkout(stripe_session_id, user_id);
revoke all on function billing.find_checkout(text, uuid) from public;
grant execute on function billing.find_checkout(text, uuid) to service_role;
comment on function billing.find_checkout(text, uuid) is
'Workers only: how an attempt to buy stands by our own rows, for a person who may see the organization''s money.';
