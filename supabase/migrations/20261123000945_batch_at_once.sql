-- The short cut of batches.

create type billing.credit_batch_result as (
  index integer,
  ok boolean,
  receipt billing.credit_receipt,
  error jsonb
);
comment on type billing.credit_batch_result is
'The outcome of one event of a batch, by its place (from 0): a receipt, or an error {status, message, details, hint} as the single call would raise.';

-- The batch's short cut, as consume_credits has one: if the terms of all events are remembered and alike but for action, key, run and amount, all
-- keys are new, and the burning grant and every limit bear the sum without a word, one statement books them all. Otherwise no row, nothing booked.
--
-- All that can be done before the lock is: events become arrays, place by place, with what has been taken up to each of them. Arrays and not rows of
-- a composite type, because what is done for a thousand events is done a thousand times (docs/performance.md).
create function billing_private.consume_batch_at_once(p_events jsonb, p_organization_id uuid)
returns setof billing.credit_batch_result
language plpgsql
set search_path = ''
as $$
declare
  v_terms billing_private.spend_terms;
  v_memory billing_private.spend_terms[]; -- the terms of this batch's events
  v_memories integer[]; -- the place in v_memory of each event's terms
  v_agent_types text[];
  v_actions text[];
  v_run_ids text[];
  v_keys text[];
  v_metadata jsonb[];
  v_requested numeric[]; -- as the caller named them; null: the price is the list's
  v_amounts numeric[];
  v_taken numeric[]; -- by each event and those before it
  v_total numeric;
  v_id_prefix text; -- of transaction_id(), as far as it is the organization's
  v_caller bytea;
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
  with terms as materialized (
    select m as memory, m.agent_type, m.action, m.amount, row_number() over ()::integer as place
    from billing_private.spend_terms as m
    where m.caller = v_caller and m.named_department_id = '00000000-0000-0000-0000-000000000000' and m.valid_until > clock_timestamp()
      and m.revision = v_terms.revision and m.price_until = v_terms.price_until and m.limit_ids is not distinct from v_terms.limit_ids
  ),
  plain as (
    select e.place, e.agent_type, e.action, e.run_id, e.idempotency_key, e.metadata, e.amount as requested, m.place as memory,
      coalesce(m.amount, round(ceil(e.amount * 1000000) * 0.000001, 6)) as amount -- round_up(), without a call an event
    from (
      select i.place, i.event ->> 'agent_type' as agent_type, i.event ->> 'action' as action, i.event ->> 'run_id' as run_id,
        i.event ->> 'idempotency_key' as idempotency_key, nullif(nullif(i.event -> 'metadata', 'null'), '{}') as metadata,
        case jsonb_typeof(i.event -> 'amount')
          when 'number' then (i.event ->> 'amount')::numeric
          when 'string' then case when i.event ->> 'amount' ~ '^[0-9]{1,14}([.][0-9]{1,30})?$' then (i.event ->> 'amount')::numeric else -1 end
          when 'null' then null
          when 'boolean' then -1 when 'object' then -1 when 'array' then -1
        end as amount
      from jsonb_array_elements(p_events) with ordinality as i (event, place)
      where jsonb_typeof(i.event) = 'object'
        and (i.event - '{agent_type,action,amount,run_id,idempotency_key,metadata}'::text[] = '{}'
          or jsonb_strip_nulls(i.event - '{agent_type,action,amount,run_id,idempotency_key,metadata}'::text[]) = '{}')
    ) as e
    inner join terms as m on m.agent_type = e.agent_type and m.action = e.action and (m.amount is null) = (e.amount is not null)
    where (e.amount is null or (e.amount > 0 and e.amount < 1e14))
      and (e.metadata is null or (jsonb_typeof(e.metadata) = 'object' and octet_length(e.metadata::text) <= 8192))
      and (e.idempotency_key is null or (length(e.idempotency_key) between 1 and 255 and btrim(e.idempotency_key) <> ''))
      and (e.run_id is null or (length(e.run_id) between 1 and 255 and btrim(e.run_id) <> '' and not v_terms.has_run_limits))
  )
  select array_agg(p.agent_type), array_agg(p.action), array_agg(p.run_id), array_agg(p.idempotency_key), array_agg(p.metadata),
    array_agg(p.requested), array_agg(p.memory), array_agg(p.amount), array_agg(p.taken), max(p.taken),
    (select array_agg(t.memory order by t.place) from terms as t)
  into v_agent_types, v_actions, v_run_ids, v_keys, v_metadata, v_requested, v_memories, v_amounts, v_taken, v_total, v_memory
  from (select e.*, sum(e.amount) over (order by e.place rows unbounded preceding) as taken from plain as e order by e.place) as p;
  if coalesce(cardinality(v_actions), 0) <> jsonb_array_length(p_events) or v_total >= 1e14
    or array_to_string(v_keys, '') ~ '[[:cntrl:]]' or array_to_string(v_run_ids, '') ~ '[[:cntrl:]]'
    or exists (select 1 from unnest(v_keys) as k (text) where k.text is not null group by k.text having count(*) > 1) then
    return;
  end if;
  v_id_prefix := lpad(to_hex(v_terms.ledger_number), 12, '0') || '8000';

  if not pg_catalog.pg_try_advisory_xact_lock(v_terms.ledger_number) then
    perform billing_private.wait_for_lock(v_terms.ledger_number);
  end if;
  v_locked_at := clock_timestamp();
  -- As in consume_credits: a statement of its own after the lock, which books all or does nothing.
  return query
  with wallet as materialized (
    select w.*, c.limits, c.remaining,
      case when w.announced_at > v_locked_at - interval '1 second' then w.announced_at else v_locked_at end as told_at
    from (
      select t.sequence, t.turn_at, t.head_grant_id, t.announced_at, t.has_scoped_grants, t.balance_after, t.held_after, t.debt_after,
        t.head_available, t.agent_type, t.department_id, o.overdraft_limit, o.restricted_reason, o.restricted_from,
        greatest(coalesce(o.test_clock, clock_timestamp()), t.created_at) as now,
        jsonb_build_array(jsonb_build_object('grant_id', t.head_grant_id, 'amount', 0)) as paid
      from billing.organizations as o, billing.credit_transactions as t
      where o.organization_id = v_terms.organization_id and o.revision = v_terms.revision
        and t.organization_id = v_terms.organization_id
      order by t.sequence desc limit 1
    ) as w
    left join lateral (
      select count(*) as found, coalesce(bool_and(l.used + v_total < l.quiet_below), true) as are_quiet,
        array_agg(s.amount + l.additional - l.used order by l.limit_id) as remaining,
        jsonb_agg(jsonb_build_object(
          'limit_id', l.limit_id, 'subject', s.subject, 'remaining', 0, 'resets_at', nullif(l.window_end, 'infinity')) order by l.limit_id) as limits
      from unnest(v_terms.limit_ids, v_terms.limit_subjects, v_terms.limit_amounts) as s (limit_id, subject, amount)
      cross join lateral (
        select n.limit_id, n.used, n.additional, n.quiet_below, n.window_end from billing_private.credit_limit_counters as n
        where n.organization_id = v_terms.organization_id and n.limit_id = s.limit_id and n.window_start <= w.now
        order by n.window_start desc, n.generation desc limit 1
      ) as l
      where l.window_end > w.now
    ) as c on v_terms.limit_ids is not null
    where w.now < v_terms.price_until and w.now < w.turn_at and w.head_grant_id is not null and w.head_available >= v_total
      and w.balance_after - w.held_after + w.overdraft_limit >= v_total
      and (w.restricted_reason is null or w.restricted_from > w.now)
      and (not w.has_scoped_grants or (
        w.department_id is not distinct from v_terms.department_id and w.agent_type = all(v_agent_types)
      ))
      and (v_terms.limit_ids is null or (c.found = cardinality(v_terms.limit_ids) and c.are_quiet))
      and not exists ( -- by an array, not a join: a join's plan, made while the ledger was short, would read all of it for ever
        select 1 from billing.credit_transactions as k
        where k.organization_id = v_terms.organization_id and k.idempotency_key = any(v_keys)
      )
  ),
  booked as (
    insert into billing.credit_transactions as b (
      organization_id, sequence, created_at, turn_at, id, head_grant_id, department_id, announced_at, has_scoped_grants,
      kind, amount, balance_after, held_after, debt_after, head_available, requested_amount, agent_type, action, agent_key_id, run_id,
      idempotency_key, price_ids, limits, metadata
    )
    select
      v_terms.organization_id, w.sequence + e.place, w.now, w.turn_at,
      (v_id_prefix || to_hex((w.sequence + e.place) | (-9223372036854775808)))::uuid,
      w.head_grant_id, v_terms.department_id, w.told_at, w.has_scoped_grants,
      'consume', -e.amount, w.balance_after - e.taken, w.held_after, w.debt_after, w.head_available - e.taken, e.requested,
      e.agent_type, e.action, v_terms.agent_key_id, e.run_id, e.idempotency_key, v_memory[e.memory].price_ids,
      case cardinality(w.remaining)
        when 1 then jsonb_set(w.limits, '{0,remaining}', to_jsonb(greatest(w.remaining[1] - e.taken, 0)))
        else (
          select jsonb_agg(jsonb_set(x.one, '{remaining}', to_jsonb(greatest(w.remaining[x.number] - e.taken, 0))) order by x.number)
          from jsonb_array_elements(w.limits) with ordinality as x (one, number)
        )
      end,
      e.metadata
    from wallet as w
    cross join unnest(v_agent_types, v_actions, v_run_ids, v_keys, v_metadata, v_requested, v_memories, v_amounts, v_taken) with ordinality as e (
      agent_type, action, run_id, idempotency_key, metadata, requested, memory, amount, taken, place)
    returning b.sequence, b.id, b.amount, b.balance_after, b.limits, b.requested_amount
  ),
  counted as (
    update billing_private.credit_limit_counters as l set used = l.used + v_total, generation = w.sequence / 64
    from wallet as w
    cross join unnest(v_terms.limit_ids) as s (limit_id)
    cross join lateral (
      select n.ctid from billing_private.credit_limit_counters as n
      where n.organization_id = v_terms.organization_id and n.limit_id = s.limit_id and n.window_start <= w.now
      order by n.window_start desc, n.generation desc limit 1
    ) as f
    where l.ctid = f.ctid
  )
  select (b.sequence - w.sequence - 1)::integer, true,
    (
      b.id, v_terms.organization_id, -b.amount, b.balance_after, b.balance_after - w.held_after, false,
      case when b.requested_amount is null then v_memory[v_memories[b.sequence - w.sequence]].price
        else jsonb_set(
          jsonb_set(v_memory[v_memories[b.sequence - w.sequence]].price, '{exact_amount}', to_jsonb(b.requested_amount)),
          '{rows,0,amount}', to_jsonb(b.requested_amount))
      end,
      case when b.amount < 0 then jsonb_set(w.paid, '{0,amount}', to_jsonb(-b.amount::numeric)) else '[]' end, coalesce(b.limits, '[]'), w.now
    )::billing.credit_receipt,
    null::jsonb
  from wallet as w
  cross join booked as b
  order by b.sequence;
  if found then
    v_tail := billing_private.ledger_tail(v_terms.organization_id);
    if v_tail.announced_at >= v_locked_at then
      perform billing_private.announce_ledger(v_terms.organization_id, v_tail.sequence, null);
    end if;
  end if;
end
$$;
revoke all on function billing_private.consume_batch_at_once(jsonb, uuid) from public;
