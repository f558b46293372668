-- Stripe's events: insert, apply and mark as processed in one transaction, so that there is no moment in which an event is recorded and its
-- effect is missing, or the other way round.

create type billing.stripe_event_outcome as (
  event_id text,
  status text,
  is_duplicate boolean,
  attempts integer,
  organization_id uuid,
  error text
);
comment on type billing.stripe_event_outcome is 'What became of an event: processed, ignored (stored only), failed (to be sent again) or parked.';

-- The event's row, new or as it is, locked. A second delivery of the same event waits here for the first.
create function billing_private.take_stripe_event(p_event jsonb)
returns billing_private.stripe_events
language plpgsql
set search_path = ''
as $$
declare
  v_event billing_private.stripe_events;
begin
  insert into billing_private.stripe_events (id, type, api_version, livemode, object_id, payload, created_at)
  values (
    billing_private.require_text('event.id', p_event ->> 'id'), billing_private.require_text('event.type', p_event ->> 'type'),
    p_event ->> 'api_version', (p_event ->> 'livemode')::boolean, p_event #>> '{data,object,id}', p_event,
    to_timestamp((p_event ->> 'created')::bigint)
  )
  on conflict (id) do nothing;
  select e.* into strict v_event
  from billing_private.stripe_events as e where e.id = p_event ->> 'id'
  for update;
  return v_event;
end
$$;
revoke all on function billing_private.take_stripe_event(jsonb) from public;

-- Writes down what became of an attempt. What failed or was parked is tried again by the job with what was read (p_facts), ever more rarely: after
-- 1, 2, 4, … minutes, at most a day apart, for 30 days. Without facts it waits for Stripe, or for a person.
create function billing_private.close_stripe_event(
  p_event_id text, p_status text, p_organization_id uuid, p_error text, p_facts jsonb default null
)
returns billing.stripe_event_outcome
language plpgsql
set search_path = ''
as $$
declare
  v_event billing_private.stripe_events;
begin
  update billing_private.stripe_events as e
  set
    status = p_status, attempts = e.attempts + 1, organization_id = coalesce(p_organization_id, e.organization_id), error = left(p_error, 2000),
    processed_at = case when p_status in ('processed', 'ignored') then clock_timestamp() end,
    facts = case when p_status in ('failed', 'parked') then coalesce(p_facts, e.facts) end,
    next_attempt_at = case
      when p_status in ('failed', 'parked') and coalesce(p_facts, e.facts) is not null
        and e.received_at > clock_timestamp() - interval '30 days'
        then clock_timestamp() + least(interval '1 minute' * 2 ^ least(e.attempts, 12), interval '1 day')
    end
  where e.id = p_event_id
  returning e.* into v_event;
  perform billing_private.tell_of_stripe_event(v_event);
  return (v_event.id, v_event.status, false, v_event.attempts, v_event.organization_id, v_event.error)::billing.stripe_event_outcome;
end
$$;
revoke all on function billing_private.close_stripe_event(text, text, uuid, text, jsonb) from public;

-- Applies what was read at Stripe. Returns the organization that it concerned, or null when it is not ours.
create function billing_private.apply_stripe_facts(p_kind text, p_object jsonb)
returns uuid
language plpgsql
set search_path = ''
as $$
begin
  case p_kind
    when 'checkout_session' then
      return (billing_private.fulfil_checkout_facts(p_object)).organization_id;
    when 'payment_intent' then
      return billing_private.sync_payment_intent(jsonb_populate_record(null::billing_private.payment_facts, p_object));
    when 'charge' then
      return billing_private.sync_charge(jsonb_populate_record(null::billing_private.payment_facts, p_object));
    when 'customer' then
      return billing_private.sync_customer(jsonb_populate_record(null::billing_private.customer_facts, p_object));
    when 'subscription' then
      return billing_private.sync_subscription(jsonb_populate_record(null::billing_private.subscription_facts, p_object));
    when 'invoice' then
      return billing_private.sync_invoice(jsonb_populate_record(null::billing_private.invoice_facts, p_object));
    when 'reversals' then
      return billing_private.sync_reversals(jsonb_populate_record(null::billing_private.reversal_facts, p_object));
    when 'fraud_warning' then
      return billing_private.sync_fraud_warning(jsonb_populate_record(null::billing_private.fraud_warning_facts, p_object));
    when 'payment_method' then
      return billing_private.sync_payment_method(jsonb_populate_record(null::billing_private.payment_method_facts, p_object));
    when 'setup_intent' then
      return billing_private.sync_setup_intent(jsonb_populate_record(null::billing_private.setup_intent_facts, p_object));
    when 'catalogue_object' then
      return billing_private.sync_catalogue_object(jsonb_populate_record(null::billing_private.catalogue_object_facts, p_object));
    else
      perform billing_private.fail(422, 'invalid_argument', '{"argument": "facts.kind"}');
      return null;
  end case;
end
$$;
revoke all on function billing_private.apply_stripe_facts(text, jsonb) from public;

-- Who calls: the webhook worker (and the reconciler, the replay) with a verified event and what it has just read at Stripe about its object:
-- facts {kind, object, notice}, or null for events that are only stored. Locks: the event's row, the organization, its checkout, its payment.
-- Raises: whatever applying raises (404 not_found for a session of ours that we do not know, 409 checkout_mismatch, 503 busy), and then
-- nothing is left of the call. Retry: safe; a processed event is a duplicate and changes nothing.
create function billing_private.process_stripe_event(p_event jsonb, p_facts jsonb, p_livemode boolean)
returns billing.stripe_event_outcome
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_event constant billing_private.stripe_events := billing_private.take_stripe_event(p_event);
  v_organization_id uuid;
begin
  if v_event.status = 'processed' or (v_event.status = 'ignored' and p_facts is null) then
    return (v_event.id, v_event.status, true, v_event.attempts, v_event.organization_id, null)::billing.stripe_event_outcome;
  end if;
  if v_event.livemode is distinct from p_livemode then
    return billing_private.close_stripe_event(v_event.id, 'parked', null,
      format('foreign_livemode: the event has livemode %s, this installation %s', v_event.livemode, p_livemode));
  end if;
  if p_facts is null then
    return billing_private.close_stripe_event(v_event.id, 'ignored', null, null);
  end if;
  v_organization_id := billing_private.apply_stripe_facts(p_facts ->> 'kind', p_facts -> 'object');
  if v_organization_id is not null and p_facts ->> 'notice' is not null then
    perform billing_private.notify_of_stripe_event(v_organization_id, p_facts ->> 'notice', v_event.object_id, v_event.payload);
  end if;
  return billing_private.close_stripe_event(
    v_event.id, case when v_organization_id is null then 'ignored' else 'processed' end, v_organization_id, null
  );
end
$$;
revoke all on function billing_private.process_stripe_event(jsonb, jsonb, boolean) from public;
grant execute on function billing_private.process_stripe_event(jsonb, jsonb, boolean) to service_role;

create function billing.process_stripe_event(event jsonb, facts jsonb, livemode boolean)
returns billing.stripe_event_outcome
language sql
set search_path = ''
return billing_private.process_stripe_event(event, facts, livemode);
revoke all on function billing.process_stripe_event(jsonb, jsonb, boolean) from public;
grant execute on function billing.process_stripe_event(jsonb, jsonb, boolean) to service_role;
comment on function billing.process_stripe_event(jsonb, jsonb, boolean) is
'Workers only: stores a verified Stripe event, applies it and marks it as processed, in one transaction.';

-- Who calls: the webhook worker after process_stripe_event has failed and rolled back. Locks: the event's row. Raises: 422 for no event.
-- Retry: safe, it counts one attempt more; a processed event stays processed. park_after: after so many attempts the event is parked,
-- because asking Stripe for it again will not mend it; null for failures that pass (Stripe or the database out of reach). facts: what was read, if anything.
create function billing_private.record_stripe_event_failure(p_event jsonb, p_error text, p_park_after integer, p_facts jsonb)
returns billing.stripe_event_outcome
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_event constant billing_private.stripe_events := billing_private.take_stripe_event(p_event);
begin
  if v_event.status in ('processed', 'ignored') then
    return (v_event.id, v_event.status, true, v_event.attempts, v_event.organization_id, null)::billing.stripe_event_outcome;
  end if;
  return billing_private.close_stripe_event(
    v_event.id, case when v_event.status = 'parked' or v_event.attempts + 1 >= p_park_after then 'parked' else 'failed' end,
    billing_private.organization_of_stripe_event(p_event), p_error, p_facts
  );
end
$$;
revoke all on function billing_private.record_stripe_event_failure(jsonb, text, integer, jsonb) from public;
grant execute on function billing_private.record_stripe_event_failure(jsonb, text, integer, jsonb) to service_role;

create function billing.record_stripe_event_failure(event jsonb, error text, park_after integer, facts jsonb default null)
returns billing.stripe_event_outcome
language sql
set search_path = ''
return billing_private.record_stripe_event_failure(event, error, park_after, facts);
revoke all on function billing.record_stripe_event_failure(jsonb, text, integer, jsonb) from public;
grant execute on function billing.record_stripe_event_failure(jsonb, text, integer, jsonb) to service_role;
comment on function billing.record_stripe_event_failure(jsonb, text, integer, jsonb) is
'Workers only: remembers that an event could not be applied, in a transaction of its own; parks it after so many attempts.';
