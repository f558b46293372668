-- Automatic top-up, part three: what became of an attempt, by the worker's answer or by webhook, whichever is first.

-- After so many declines in a row it rests until another card, or a success.
create function billing_private.topup_declines_allowed()
returns integer
language sql
immutable
set search_path = ''
return 3;
revoke all on function billing_private.topup_declines_allowed() from public;

-- The grant of a paid attempt, keyed by the PaymentIntent, so that it comes once however often it is reported. Under the lock.
create function billing_private.grant_topup(p_attempt billing.auto_topup_attempts, p_stripe_payment_intent_id text)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_now timestamptz;
begin
  select greatest(billing_private.ledger_now(o.test_clock), (billing_private.ledger_tail(o.organization_id)).created_at) into v_now
  from billing.organizations as o where o.organization_id = p_attempt.organization_id;
  return (billing_private.grant_credits(
    p_attempt.organization_id, p_attempt.credits, 'purchase', p_stripe_payment_intent_id, v_now + p_attempt.credit_expiry, null, null, null, null,
    round(p_attempt.amount / p_attempt.credits, 12), p_attempt.currency,
    jsonb_build_object('auto_topup_attempt_id', p_attempt.id, 'package_id', p_attempt.package_id)
  )).grant_id;
end
$$;
revoke all on function billing_private.grant_topup(billing.auto_topup_attempts, text) from public;

-- Our copy of an attempt's payment. Under the lock. A paid payment never becomes unpaid.
create function billing_private.put_topup_payment(
  p_attempt billing.auto_topup_attempts, p_facts billing_private.payment_facts, p_status text, p_grant_id uuid
)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_payment_id uuid;
begin
  insert into billing.payments as p (
    organization_id, kind, status, amount, currency, credits, grant_id, stripe_payment_intent_id, stripe_charge_id, description, card_brand,
    card_last4, receipt_url, failure_code, failure_message, livemode, paid_at, stripe_fetched_at
  ) values (
    p_attempt.organization_id, 'auto_topup', case p_status when 'needs_action' then 'requires_action' else p_status end, p_attempt.amount,
    p_attempt.currency, p_attempt.credits, p_grant_id, p_facts.stripe_payment_intent_id, p_facts.stripe_charge_id,
    trim_scale(p_attempt.credits)::text || ' credits', p_facts.card_brand, p_facts.card_last4, p_facts.receipt_url, p_facts.failure_code,
    p_facts.failure_message, p_attempt.livemode, case p_status when 'succeeded' then clock_timestamp() end, p_facts.fetched_at
  )
  on conflict (stripe_payment_intent_id) do update set
    status = case when p.paid_at is null then excluded.status else p.status end,
    grant_id = coalesce(p.grant_id, excluded.grant_id), stripe_charge_id = coalesce(excluded.stripe_charge_id, p.stripe_charge_id),
    card_brand = coalesce(excluded.card_brand, p.card_brand), card_last4 = coalesce(excluded.card_last4, p.card_last4),
    receipt_url = coalesce(excluded.receipt_url, p.receipt_url),
    failure_code = case when excluded.status = 'succeeded' then null else excluded.failure_code end,
    failure_message = case when excluded.status = 'succeeded' then null else excluded.failure_message end,
    paid_at = coalesce(p.paid_at, excluded.paid_at), stripe_fetched_at = excluded.stripe_fetched_at, updated_at = now()
  returning p.id into v_payment_id;
  perform billing_private.announce(p_attempt.organization_id, 'money_changed', '{"table": "payments"}');
  return v_payment_id;
end
$$;
revoke all on function billing_private.put_topup_payment(
  billing.auto_topup_attempts, billing_private.payment_facts, text, uuid
) from public;

-- Counts and tells what an attempt came to. Under the lock, once a change.
create function billing_private.conclude_topup(p_attempt billing.auto_topup_attempts)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_declines integer;
begin
  if p_attempt.status = 'succeeded' then
    update billing.auto_topups as a
    set consecutive_declines = 0, paused_reason = nullif(a.paused_reason, 'declined'), updated_at = now()
    where a.organization_id = p_attempt.organization_id;
  elsif p_attempt.status = 'failed' then
    update billing.auto_topups as a set consecutive_declines = a.consecutive_declines + 1, updated_at = now()
    where a.organization_id = p_attempt.organization_id
    returning a.consecutive_declines into v_declines;
    if v_declines >= billing_private.topup_declines_allowed() then
      perform billing_private.pause_auto_topup(p_attempt.organization_id, 'declined');
    end if;
  end if;
  if p_attempt.status in ('succeeded', 'failed', 'needs_action', 'canceled') then
    perform billing_private.notify_organization(
      p_attempt.organization_id, 'auto_topup_' || p_attempt.status,
      case p_attempt.status when 'succeeded' then 'info' when 'needs_action' then 'critical' else 'warning' end,
      format('auto_topup_%s:%s', p_attempt.status, p_attempt.id), 'auto_topup_attempt', p_attempt.id::text,
      jsonb_build_object(
        'credits', trim_scale(p_attempt.credits)::text, 'amount', p_attempt.amount, 'currency', p_attempt.currency,
        'failure_code', p_attempt.failure_code, 'failure_message', p_attempt.failure_message));
  end if;
  perform billing_private.announce(p_attempt.organization_id, 'money_changed', '{"table": "auto_topup_attempts"}');
end
$$;
revoke all on function billing_private.conclude_topup(billing.auto_topup_attempts) from public;

-- Who calls: sync_payment_intent for a PaymentIntent with an attempt's mark. Locks: the organization, the attempt, the payment.
-- Raises: 409 payment_mismatch (what Stripe charged is not what was to be bought), 503 busy. Returns the organization, or null when it is not ours.
-- Retry: safe; a success is final, and counts even after a failure (money wins); otherwise the newer reading does.
create function billing_private.sync_topup(p_facts billing_private.payment_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_attempt billing.auto_topup_attempts;
  v_before text;
  v_status constant text := case
    when p_facts.status in ('succeeded', 'processing', 'canceled') then p_facts.status
    when p_facts.status = 'requires_action' then 'needs_action'
    when p_facts.status = 'requires_payment_method' and p_facts.failure_code in (
      'authentication_required', 'payment_intent_authentication_failure'
    ) then 'needs_action'
    when p_facts.status = 'requires_payment_method' and p_facts.failure_code is not null then 'failed'
  end;
  v_grant_id uuid;
  v_payment_id uuid;
begin
  if not exists (
    select 1 from billing.auto_topup_attempts as t
    where t.organization_id = p_facts.organization_id and t.id = p_facts.topup_id and t.stripe_customer_id = p_facts.stripe_customer_id
  ) then
    return null;
  end if;
  perform billing_private.lock_organization(p_facts.organization_id);
  select t.* into v_attempt from billing.auto_topup_attempts as t
  where t.organization_id = p_facts.organization_id and t.id = p_facts.topup_id
  for update;
  if (p_facts.amount, p_facts.currency, p_facts.livemode) is distinct from (v_attempt.amount, v_attempt.currency, v_attempt.livemode)
    or p_facts.stripe_payment_intent_id <> v_attempt.stripe_payment_intent_id then
    perform billing_private.fail(409, 'payment_mismatch',
      jsonb_build_object('auto_topup_attempt_id', v_attempt.id, 'stripe_payment_intent_id', p_facts.stripe_payment_intent_id),
      'What Stripe charged is not what was to be bought. Nothing was granted.');
  end if;
  v_before := v_attempt.status;
  if v_before = 'succeeded' or v_status is null
    or (v_status <> 'succeeded' and (p_facts.fetched_at < v_attempt.stripe_fetched_at or v_before in ('failed', 'canceled'))) then
    return v_attempt.organization_id;
  end if;
  if v_status = 'succeeded' then
    v_grant_id := billing_private.grant_topup(v_attempt, p_facts.stripe_payment_intent_id);
  end if;
  v_payment_id := billing_private.put_topup_payment(v_attempt, p_facts, v_status, v_grant_id);
  update billing.auto_topup_attempts as t
  set
    status = v_status, stripe_payment_intent_id = p_facts.stripe_payment_intent_id, payment_id = v_payment_id, grant_id = v_grant_id,
    failure_code = case when v_status <> 'succeeded' then p_facts.failure_code end,
    failure_message = case when v_status <> 'succeeded' then p_facts.failure_message end, stripe_fetched_at = p_facts.fetched_at
  where t.organization_id = v_attempt.organization_id and t.id = v_attempt.id
  returning t.* into v_attempt;
  if v_status <> v_before then
    perform billing_private.conclude_topup(v_attempt);
  end if;
  if v_status = 'succeeded' then
    perform billing_private.payment_landed(v_attempt.organization_id, v_payment_id);
  end if;
  return v_attempt.organization_id;
end
$$;
revoke all on function billing_private.sync_topup(billing_private.payment_facts) from public;

-- Who calls: the worker with the PaymentIntent that it has just made, read or canceled. As sync_topup, and answers the attempt.
create function billing_private.record_auto_topup(p_facts jsonb)
returns billing.auto_topup_attempts
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_facts constant billing_private.payment_facts := jsonb_populate_record(null::billing_private.payment_facts, p_facts);
  v_attempt billing.auto_topup_attempts;
begin
  if billing_private.sync_topup(v_facts) is null then
    perform billing_private.fail(404, 'not_found', '{"what": "auto_topup_attempt"}');
  end if;
  select t.* into v_attempt from billing.auto_topup_attempts as t
  where t.organization_id = v_facts.organization_id and t.id = v_facts.topup_id;
  return v_attempt;
end
$$;
revoke all on function billing_private.record_auto_topup(jsonb) from public;
grant execute on function billing_private.record_auto_topup(jsonb) to service_role;

create function billing.record_auto_topup(facts jsonb)
returns billing.auto_topup_attempts
language sql
volatile
set search_path = ''
return billing_private.record_auto_topup(facts);
revoke all on function billing.record_auto_topup(jsonb) from public;
grant execute on function billing.record_auto_topup(jsonb) to service_role;
comment on function billing.record_auto_topup(jsonb) is
'Workers only: books what Stripe says about an automatic top-up''s payment; grants once. facts: billing_private.payment_facts as JSON.';

-- Who calls: the worker to which Stripe refused the call itself (no PaymentIntent was made), or that has found, an hour after a call without an
-- answer, that Stripe made none. Counts as a decline. Locks: the organization. Raises: 404 not_found, 503 busy. Retry: safe; only a pending
-- attempt fails.
create function billing_private.fail_auto_topup(p_organization_id uuid, p_attempt_id uuid, p_code text, p_message text)
returns billing.auto_topup_attempts
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_attempt billing.auto_topup_attempts;
begin
  perform billing_private.lock_organization(p_organization_id);
  update billing.auto_topup_attempts as t set status = 'failed', failure_code = left(p_code, 255), failure_message = left(p_message, 500)
  where t.organization_id = p_organization_id and t.id = p_attempt_id and t.status = 'pending' and t.stripe_payment_intent_id is null
  returning t.* into v_attempt;
  if found then
    perform billing_private.conclude_topup(v_attempt);
  else
    select t.* into v_attempt from billing.auto_topup_attempts as t where t.organization_id = p_organization_id and t.id = p_attempt_id;
    if not found then
      perform billing_private.fail(404, 'not_found', '{"what": "auto_topup_attempt"}');
    end if;
  end if;
  return v_attempt;
end
$$;
revoke all on function billing_private.fail_auto_topup(uuid, uuid, text, text) from public;
grant execute on function billing_private.fail_auto_topup(uuid, uuid, text, text) to service_role;

create function billing.fail_auto_topup(organization_id uuid, attempt_id uuid, code text, message text)
returns billing.auto_topup_attempts
language sql
volatile
set search_path = ''
return billing_private.fail_auto_topup(organization_id, attempt_id, code, message);
revoke all on function billing.fail_auto_topup(uuid, uuid, text, text) from public;
grant execute on function billing.fail_auto_topup(uuid, uuid, text, text) to service_role;
comment on function billing.fail_auto_topup(uuid, uuid, text, text) is
'Workers only: Stripe made no payment for this attempt. Counts as a decline.';

-- Who calls: the worker confirm_auto_topup, for the person that it has verified: the attempt that waits for them. Locks: nothing.
-- Raises: 403 not_authorized (the same for a foreign and an unknown organization), 404 not_found. Retry: safe, it only reads.
create function billing_private.find_auto_topup_action(p_organization_id uuid, p_user_id uuid)
returns billing.auto_topup_attempts
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_attempt billing.auto_topup_attempts;
begin
  if billing_private.user_has_role(p_user_id, p_organization_id, '{owner,admin,billing}') is not true then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  select t.* into v_attempt from billing.auto_topup_attempts as t
  where t.organization_id = p_organization_id and t.stripe_payment_intent_id is not null
    and t.status in ('needs_action', 'processing', 'succeeded')
  order by t.status = 'needs_action' desc, t.created_at desc limit 1;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "auto_topup_attempt"}');
  end if;
  return v_attempt;
end
$$;
revoke all on function billing_private.find_auto_topup_action(uuid, uuid) from public;
grant execute on function billing_private.find_auto_topup_action(uuid, uuid) to service_role;

create function billing.find_auto_topup_action(organization_id uuid, user_id uuid)
returns billing.auto_topup_attempts
language sql
stable
set search_path = ''
return billing_private.find_auto_topup_action(organization_id, user_id);
revoke all on function billing.find_auto_topup_action(uuid, uuid) from public;
grant execute on function billing.find_auto_topup_action(uuid, uuid) to service_role;
comment on function billing.find_auto_topup_action(uuid, uuid) is
'Workers only: the automatic top-up that waits for a person''s confirmation (or the last one paid), for a person who may manage billing.';
