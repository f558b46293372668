-- The short cut of batches.

create type billing.credit_batch_result as (
  index integer,
  ok boolean,
  receipt jsonb,
  error jsonb
);
comment on type billing.credit_batch_result is
'The outcome of one event of a batch, by its place (from 0): a receipt, or an error {status, message, details, hint} as the single call would raise.';

-- An event whose terms are remembered, priced and checked; what consume_batch_at_once books.
create type billing_private.plain_event as (
  agent_type text,
  action text,
  run_id text,
  idempotency_key text,
  metadata jsonb,
  requested_amount numeric,
  amount numeric,
  price_ids bigint[],
  price jsonb
);

-- The batch's short cut, as consume_credits has one: if the terms of all events are remembered and alike but for action, key, run and amount, all
-- keys are new, and the burning grant and every limit bear the sum without a word, one statement books them all. Otherwise no row, nothing booked.
create function billing_private.consume_batch_at_once(p_events jsonb, p_organization_id uuid)
returns setof billing.credit_batch_result
language plpgsql
set search_path = ''
as $$
declare
  v_terms billing_private.spend_terms;
  v_events billing_private.plain_event[];
  v_keys text[];
  v_caller bytea;
  v_total numeric;
  v_locked_at timestamptz;
  v_tail billing.credit_transactions;
begin
  v_caller := case current_setting('role')
    when 'anon' then sha256(convert_to(billing_private.presented_agent_key(), 'UTF8'))
    when 'service_role' then uuid_send(p_organization_id)
  end;
  if v_caller is null then
    return;
  end if;
  select m.* into v_terms
  from billing_private.spend_terms as m
  where m.caller = v_caller and m.agent_type = p_events -> 0 ->> 'agent_type' and m.action = p_events -> 0 ->> 'action'
    and m.named_department_id = '00000000-0000-0000-0000-000000000000'
    and m.valid_until > clock_timestamp() and (p_organization_id is null or p_organization_id = m.organization_id);
  if v_terms.caller is null then
    return;
  end if;

  -- An event that is not plain, or whose terms are others, is left out here, and then the count says so.
  select array_agg((
    e.agent_type, e.action, e.run_id, e.idempotency_key, e.metadata, e.amount, coalesce(m.amount, e.charged), m.price_ids,
    case when m.amount is null
      then jsonb_set(jsonb_set(m.price, '{exact_amount}', to_jsonb(e.amount)), '{rows,0,amount}', to_jsonb(e.amount)) else m.price end
  )::billing_private.plain_event order by e.place), sum(coalesce(m.amount, e.charged)),
    coalesce(array_agg(e.idempotency_key) filter (where e.idempotency_key is not null), '{}')
  into v_events, v_total, v_keys
  from (
    select p.*, round(ceil(p.amount * 1000000) * 0.000001, 6) as charged -- round_up(), without a call an event
    from (select
      i.place, i.event ->> 'agent_type' as agent_type, i.event ->> 'action' as action, i.event ->> 'run_id' as run_id,
      i.event ->> 'idempotency_key' as idempotency_key, nullif(nullif(i.event -> 'metadata', 'null'), '{}') as metadata,
      case when i.event ->> 'amount' ~ '^[0-9]{1,14}([.][0-9]{1,30})?$' then (i.event ->> 'amount')::numeric end as amount
    from jsonb_array_elements(p_events) with ordinality as i (event, place)
    where jsonb_typeof(i.event) = 'object'
      and jsonb_strip_nulls(i.event - '{agent_type,action,amount,run_id,idempotency_key,metadata}'::text[]) = '{}'
      and coalesce(i.event ->> 'amount' ~ '^[0-9]{1,14}([.][0-9]{1,30})?$', true)
      and coalesce(jsonb_typeof(i.event -> 'metadata') in ('object', 'null'), true)
      and (i.event -> 'metadata' is null or octet_length((i.event -> 'metadata')::text) <= 8192)
      and coalesce(length(i.event ->> 'idempotency_key') between 1 and 255 and i.event ->> 'idempotency_key' !~ '[[:cntrl:]]'
        and btrim(i.event ->> 'idempotency_key') <> '', true)
      and coalesce(length(i.event ->> 'run_id') between 1 and 255 and i.event ->> 'run_id' !~ '[[:cntrl:]]'
        and btrim(i.event ->> 'run_id') <> '' and not v_terms.has_run_limits, true)
    ) as p
  ) as e
  inner join billing_private.spend_terms as m
    on m.caller = v_caller and m.agent_type = e.agent_type and m.action = e.action
    and m.named_department_id = '00000000-0000-0000-0000-000000000000' and m.valid_until > clock_timestamp()
    and m.revision = v_terms.revision and m.price_until = v_terms.price_until and m.limit_ids is not distinct from v_terms.limit_ids
    and (m.amount is null) = (e.amount is not null)
  where coalesce(e.amount > 0 and e.amount < 1e14, m.amount is not null);
  if coalesce(cardinality(v_events), 0) <> jsonb_array_length(p_events) or v_total >= 1e14 then
    return;
  end if;

  if not pg_catalog.pg_try_advisory_xact_lock(v_terms.ledger_number) then
    perform billing_private.wait_for_lock(v_terms.ledger_number);
  end if;
  v_locked_at := clock_timestamp();
  -- As in consume_credits: a statement of its own after the lock, which books all or does nothing.
  return query
  with wallet as materialized (
    select w.*, c.limits
    from (
      select t.sequence, t.turn_at, t.head_grant_id, t.announced_at, t.has_scoped_grants, t.balance_after, t.held_after, t.debt_after,
        t.head_available, t.agent_type, t.department_id, o.overdraft_limit, o.restricted_reason, o.restricted_from,
        greatest(coalesce(o.test_clock, clock_timestamp()), t.created_at) as now
      from billing.organizations as o, billing.credit_transactions as t
      where o.organization_id = v_terms.organization_id and o.revision = v_terms.revision
        and t.organization_id = v_terms.organization_id
      order by t.sequence desc limit 1
    ) as w
    left join lateral (
      select count(*) as found, coalesce(bool_and(l.used + v_total < l.quiet_below), true) as are_quiet,
        jsonb_agg(jsonb_build_object(
          'limit_id', l.limit_id, 'subject', s.subject, 'remaining', s.amount + l.additional - l.used,
          'resets_at', nullif(l.window_end, 'infinity')) order by l.limit_id) as limits
      from unnest(v_terms.limit_ids, v_terms.limit_subjects, v_terms.limit_amounts) as s (limit_id, subject, amount)
      inner join billing_private.credit_limit_counters as l
        on l.organization_id = v_terms.organization_id and l.limit_id = s.limit_id and l.window_start <= w.now and l.window_end > w.now
    ) as c on v_terms.limit_ids is not null
    where w.now < v_terms.price_until and w.now < w.turn_at and w.head_grant_id is not null and w.head_available >= v_total
      and w.balance_after - w.held_after + w.overdraft_limit >= v_total
      and (w.restricted_reason is null or w.restricted_from > w.now)
      and (not w.has_scoped_grants or (
        w.department_id is not distinct from v_terms.department_id
        and not exists (select 1 from unnest(v_events) as e where e.agent_type <> w.agent_type)
      ))
      and (v_terms.limit_ids is null or (c.found = cardinality(v_terms.limit_ids) and c.are_quiet))
      and cardinality(v_keys) = (select count(distinct k) from unnest(v_keys) as k)
      and not exists ( -- by an array, not a join: a join's plan, made while the ledger was short, would read all of it for ever
        select 1 from billing.credit_transactions as k
        where k.organization_id = v_terms.organization_id and k.idempotency_key = any(v_keys)
      )
  ),
  spends as materialized (
    select r.*,
      (lpad(to_hex(v_terms.ledger_number), 12, '0') || '8000' || to_hex(r.sequence | (-9223372036854775808)))::uuid as id,
      case when r.limits_before is not null then (
        select jsonb_agg(x.one || jsonb_build_object('remaining', (x.one ->> 'remaining')::numeric - r.taken) order by x.number)
        from jsonb_array_elements(r.limits_before) with ordinality as x (one, number)
      ) end as limits
    from (
      select e.*, w.sequence + e.place as sequence, sum(e.amount) over (order by e.place) as taken, w.limits as limits_before
      from wallet as w
      cross join unnest(v_events) with ordinality as e (
        agent_type, action, run_id, idempotency_key, metadata, requested_amount, amount, price_ids, price, place)
    ) as r
  ),
  booked as (
    insert into billing.credit_transactions (
      organization_id, sequence, created_at, turn_at, id, head_grant_id, department_id, announced_at, has_scoped_grants,
      kind, amount, balance_after, held_after, debt_after, head_available, requested_amount, agent_type, action, agent_key_id, run_id,
      idempotency_key, price_ids, limits, metadata
    )
    select
      v_terms.organization_id, s.sequence, w.now, w.turn_at, s.id, w.head_grant_id, v_terms.department_id,
      case when w.announced_at > v_locked_at - interval '1 second' then w.announced_at else v_locked_at end, w.has_scoped_grants,
      'consume', -s.amount, w.balance_after - s.taken, w.held_after, w.debt_after, w.head_available - s.taken, s.requested_amount,
      s.agent_type, s.action, v_terms.agent_key_id, s.run_id, s.idempotency_key, s.price_ids, s.limits, s.metadata
    from wallet as w
    cross join spends as s
  ),
  counted as (
    update billing_private.credit_limit_counters as l set used = l.used + v_total
    from wallet as w
    where l.organization_id = v_terms.organization_id and l.limit_id = any(v_terms.limit_ids)
      and l.window_start <= w.now and l.window_end > w.now
  )
  select (s.place - 1)::integer, true, jsonb_build_object(
    'transaction_id', s.id, 'organization_id', v_terms.organization_id, 'amount', s.amount,
    'balance', w.balance_after - s.taken, 'available', w.balance_after - s.taken - w.held_after, 'replayed', false, 'price', s.price,
    'grants', case when s.amount > 0 then jsonb_build_array(jsonb_build_object('grant_id', w.head_grant_id, 'amount', s.amount)) else '[]' end,
    'limits', coalesce(s.limits, '[]'), 'created_at', w.now
  ), null::jsonb
  from wallet as w
  cross join spends as s
  order by s.place;
  if found then
    v_tail := billing_private.ledger_tail(v_terms.organization_id);
    if v_tail.announced_at >= v_locked_at then
      perform billing_private.announce_ledger(v_terms.organization_id, v_tail.sequence, null);
    end if;
  end if;
end
$$;
revoke all on function billing_private.consume_batch_at_once(jsonb, uuid) from public;
