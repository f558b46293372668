-- Many spends in one call, under one lock: what the SDK uses to combine concurrent agents.

-- An event made ready for booking: who spends, what, at which price; or why it is refused. `terms` is the event without what differs from call to
-- call, so that events alike share one look at caller and price.
create type billing_private.prepared_event as (
  terms jsonb,
  spender billing_private.spender,
  request billing_private.spend_request,
  quote billing_private.quote,
  status integer,
  slug text,
  details jsonb,
  hint text
);

-- Prepares one event after another: p_last is the one before. Every refusal comes back as data. Writes nothing, so that its exception block costs
-- no subtransaction id.
create function billing_private.prepare_event(
  p_organization_id uuid, p_event jsonb, p_last billing_private.prepared_event
)
returns billing_private.prepared_event
language plpgsql
set search_path = ''
as $$
declare
  v_prepared billing_private.prepared_event;
  v_status text;
begin
  if jsonb_typeof(p_event) is distinct from 'object' or exists (
    select 1 from jsonb_object_keys(p_event) as k (name)
    where k.name not in ('agent_type', 'action', 'quantities', 'amount', 'organization_id', 'department_id', 'run_id', 'idempotency_key', 'metadata')
  ) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "events"}',
      'an event is an object with the arguments of consume_credits');
  end if;
  v_prepared.request := billing_private.require_spend_request(
    p_event ->> 'agent_type', p_event ->> 'action', p_event -> 'quantities', (p_event ->> 'amount')::numeric,
    p_event ->> 'run_id', p_event ->> 'idempotency_key', nullif(p_event -> 'metadata', 'null'));
  v_prepared.terms := p_event - '{run_id, idempotency_key, metadata}'::text[];
  if v_prepared.terms = p_last.terms and p_last.slug is null then
    v_prepared.spender := p_last.spender;
    v_prepared.quote := p_last.quote;
    return v_prepared;
  end if;
  v_prepared.spender := billing_private.identify_spender(
    coalesce((p_event ->> 'organization_id')::uuid, p_organization_id), (p_event ->> 'department_id')::uuid, p_event ->> 'agent_type');
  if (v_prepared.spender).organization_id <> p_organization_id then
    v_prepared.spender := null; -- its ledger is not this batch's: nothing is answered from it
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "organization_id"}', 'a batch is of one organization');
  end if;
  v_prepared.quote := billing_private.quote_action(
    p_organization_id, (v_prepared.request).agent_type, (v_prepared.request).action, (v_prepared.request).quantities,
    (v_prepared.request).amount, billing_private.ledger_now((v_prepared.spender).test_clock));
  return v_prepared;
exception
  when invalid_text_representation or numeric_value_out_of_range then
    v_prepared.status := 422;
    v_prepared.slug := 'invalid_argument';
    v_prepared.details := '{"argument": "events"}';
    v_prepared.hint := sqlerrm;
    return v_prepared;
  when others then
    get stacked diagnostics v_status = returned_sqlstate, v_prepared.slug = message_text, v_prepared.hint = pg_exception_hint;
    if v_status !~ '^PT[0-9]{3}$' then
      raise;
    end if;
    v_prepared.status := substr(v_status, 3)::integer;
    get stacked diagnostics v_status = pg_exception_detail;
    v_prepared.details := nullif(v_status, '')::jsonb;
    v_prepared.hint := nullif(v_prepared.hint, '');
    return v_prepared;
end
$$;
revoke all on function billing_private.prepare_event(uuid, jsonb, billing_private.prepared_event) from public;

-- Books a prepared event, or answers why not. Under the lock. A known key is answered even when its price is gone, or has become one that the same
-- call can no longer be made at (a metric without a price, an amount that the caller names now, or no longer).
create function billing_private.book_prepared(p_event billing_private.prepared_event)
returns billing_private.spend_outcome
language plpgsql
set search_path = ''
as $$
declare
  v_entry billing.credit_transactions;
begin
  if p_event.slug is null then
    return billing_private.book_consumption(p_event.spender, p_event.request, p_event.quote);
  end if;
  if (p_event.spender).organization_id is not null and (p_event.request).idempotency_key is not null then
    select t.* into v_entry from billing.credit_transactions as t
    where t.organization_id = (p_event.spender).organization_id and t.idempotency_key = (p_event.request).idempotency_key;
    if found then
      return billing_private.answer_replay(v_entry, p_event.spender, p_event.request);
    end if;
  end if;
  return (null, p_event.status, p_event.slug, p_event.details)::billing_private.spend_outcome;
end
$$;
revoke all on function billing_private.book_prepared(billing_private.prepared_event) from public;

-- Called as consume_credits is; the organization may be named in the events as well. One lock for the whole batch. Atomic: the first refusal is raised, with its place in details.index, and
-- nothing is booked. Not atomic: every event has its own receipt or refusal, in order. Safe to retry: each event's key replays.
create function billing_private.consume_credits_batch(p_events jsonb, p_atomic boolean, p_organization_id uuid)
returns setof billing.credit_batch_result
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off -- plans are kept: one made while a table was small must serve when it is not
as $$
declare
  v_spender billing_private.spender;
  v_prepared billing_private.prepared_event;
  v_remembered jsonb;
  v_outcome billing_private.spend_outcome;
  v_event jsonb;
  v_index integer := 0;
begin
  if jsonb_typeof(p_events) is distinct from 'array' or jsonb_array_length(p_events) > 1000 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "events", "max": 1000}', 'events is an array of at most 1,000 spends');
  end if;
  return query select r.* from billing_private.consume_batch_at_once(p_events, p_organization_id) as r;
  if found then
    return;
  end if;
  if p_organization_id is null and p_events -> 0 ->> 'organization_id' ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    p_organization_id := (p_events -> 0 ->> 'organization_id')::uuid;
  end if;
  v_spender := billing_private.identify_spender(p_organization_id, null, null);
  if jsonb_array_length(p_events) = 0 then
    return;
  end if;
  perform billing_private.lock_organization(v_spender.organization_id);
  for v_event in select e.value from jsonb_array_elements(p_events) with ordinality as e (value, place) order by e.place loop
    v_prepared := billing_private.prepare_event(v_spender.organization_id, v_event, v_prepared);
    v_outcome := billing_private.book_prepared(v_prepared);
    if v_outcome.slug is not null and coalesce(p_atomic, true) then
      perform billing_private.fail(v_outcome.status, v_outcome.slug,
        coalesce(v_outcome.details, '{}') || jsonb_build_object('index', v_index),
        case when v_outcome.slug = v_prepared.slug then v_prepared.hint end);
    end if;
    if v_outcome.slug is null and v_prepared.terms is distinct from v_remembered then
      perform billing_private.remember_terms(
        v_prepared.spender, (v_prepared.request).agent_type, (v_prepared.request).action, (v_event ->> 'department_id')::uuid);
      v_remembered := v_prepared.terms;
    end if;
    return next (
      v_index, v_outcome.slug is null,
      case when v_outcome.slug is null then v_outcome.receipt end,
      case when v_outcome.slug is not null then jsonb_build_object(
        'status', v_outcome.status, 'message', v_outcome.slug, 'details', v_outcome.details,
        'hint', case when v_outcome.slug = v_prepared.slug then v_prepared.hint end) end
    )::billing.credit_batch_result;
    v_index := v_index + 1;
  end loop;
end
$$;
revoke all on function billing_private.consume_credits_batch(jsonb, boolean, uuid) from public;
grant execute on function billing_private.consume_credits_batch(jsonb, boolean, uuid) to anon, authenticated, service_role;

create function billing.consume_credits_batch(events jsonb, atomic boolean default true, organization_id uuid default null)
returns setof billing.credit_batch_result
language sql
volatile
set search_path = ''
as $$
  select * from billing_private.consume_credits_batch(events, atomic, organization_id)
$$;
revoke all on function billing.consume_credits_batch(jsonb, boolean, uuid) from public;
grant execute on function billing.consume_credits_batch(jsonb, boolean, uuid) to anon, authenticated, service_role;
comment on function billing.consume_credits_batch(jsonb, boolean, uuid) is
'Up to 1,000 spends of one organization under one lock; one receipt or refusal for each, in order. atomic: all or nothing.';
