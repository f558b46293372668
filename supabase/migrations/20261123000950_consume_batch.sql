-- Many spends in one call, under one lock: what the SDK uses to combine concurrent agents.

create type billing.credit_batch_result as (
  index integer,
  ok boolean,
  receipt jsonb,
  error jsonb
);
comment on type billing.credit_batch_result is
'The outcome of one event of a batch, by its place (from 0): a receipt, or an error {status, message, details, hint} as the single call would raise.';

-- Prices and books one event. The organization's lock is held by the caller. A refusal of any rule comes back as data.
create function billing_private.book_event(p_organization_id uuid, p_event jsonb)
returns billing_private.spend_outcome
language plpgsql
set search_path = ''
as $$
declare
  v_spender billing_private.spender;
  v_request billing_private.spend_request;
  v_status text;
  v_slug text;
  v_details text;
begin
  if jsonb_typeof(p_event) is distinct from 'object' or exists (
    select 1 from jsonb_object_keys(p_event) as k (name)
    where k.name not in ('agent_type', 'action', 'quantities', 'amount', 'organization_id', 'department_id', 'run_id', 'idempotency_key', 'metadata')
  ) then
    return (null, 422, 'invalid_argument', '{"argument": "events"}')::billing_private.spend_outcome;
  end if;
  v_spender := billing_private.identify_spender(
    coalesce((p_event ->> 'organization_id')::uuid, p_organization_id), (p_event ->> 'department_id')::uuid, p_event ->> 'agent_type');
  if v_spender.organization_id <> p_organization_id then
    return (null, 422, 'invalid_argument', '{"argument": "organization_id"}')::billing_private.spend_outcome;
  end if;
  v_request := billing_private.require_spend_request(
    p_event ->> 'agent_type', p_event ->> 'action', p_event -> 'quantities', (p_event ->> 'amount')::numeric,
    p_event ->> 'run_id', p_event ->> 'idempotency_key', nullif(p_event -> 'metadata', 'null'));
  return billing_private.book_unpriced(v_spender, v_request);
exception
  when invalid_text_representation or numeric_value_out_of_range then
    return (null, 422, 'invalid_argument', jsonb_build_object('argument', 'events', 'reason', sqlerrm))::billing_private.spend_outcome;
  when others then
    get stacked diagnostics v_status = returned_sqlstate, v_slug = message_text, v_details = pg_exception_detail;
    if v_status !~ '^PT[0-9]{3}$' then
      raise;
    end if;
    return (null, substr(v_status, 3)::integer, v_slug, nullif(v_details, '')::jsonb)::billing_private.spend_outcome;
end
$$;
revoke all on function billing_private.book_event(uuid, jsonb) from public;

-- As book_priced, with the lock already held: a known key is answered before the price is looked at.
create function billing_private.book_unpriced(p_spender billing_private.spender, p_request billing_private.spend_request)
returns billing_private.spend_outcome
language plpgsql
set search_path = ''
as $$
declare
  v_entry billing.credit_transactions;
begin
  if p_request.idempotency_key is not null then
    select t.* into v_entry from billing.credit_transactions as t
    where t.organization_id = p_spender.organization_id and t.idempotency_key = p_request.idempotency_key;
    if found then
      return billing_private.answer_replay(v_entry, p_spender, p_request);
    end if;
  end if;
  return billing_private.book_consumption(p_spender, p_request, billing_private.quote_action(
    p_spender.organization_id, p_request.agent_type, p_request.action, p_request.quantities, p_request.amount,
    billing_private.ledger_now(p_spender.test_clock)));
end
$$;
revoke all on function billing_private.book_unpriced(billing_private.spender, billing_private.spend_request) from public;

-- Called as consume_credits is. One lock for the whole batch. Atomic: the first refusal is raised, with its place in details.index, and
-- nothing is booked. Not atomic: every event has its own receipt or refusal, in order. Safe to retry: each event's key replays.
create function billing_private.consume_credits_batch(p_events jsonb, p_atomic boolean, p_organization_id uuid)
returns setof billing.credit_batch_result
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_spender billing_private.spender;
  v_outcome billing_private.spend_outcome;
  v_event jsonb;
  v_index integer := 0;
begin
  if jsonb_typeof(p_events) is distinct from 'array' or jsonb_array_length(p_events) not between 1 and 1000 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "events", "max": 1000}', 'events is an array of 1 to 1,000 spends');
  end if;
  v_spender := billing_private.identify_spender(p_organization_id, null, null);
  perform billing_private.lock_organization(v_spender.organization_id);
  for v_event in select e.value from jsonb_array_elements(p_events) with ordinality as e (value, place) order by e.place loop
    v_outcome := billing_private.book_event(v_spender.organization_id, v_event);
    if v_outcome.slug is not null and coalesce(p_atomic, true) then
      perform billing_private.fail(v_outcome.status, v_outcome.slug,
        coalesce(v_outcome.details, '{}') || jsonb_build_object('index', v_index));
    end if;
    return next (
      v_index, v_outcome.slug is null,
      case when v_outcome.slug is null then to_jsonb(v_outcome.receipt) end,
      case when v_outcome.slug is not null then jsonb_build_object(
        'status', v_outcome.status, 'message', v_outcome.slug, 'details', v_outcome.details, 'hint', null) end
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
