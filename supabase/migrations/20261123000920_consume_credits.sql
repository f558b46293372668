-- consume_credits: the call that agents make all day.
--
-- The short cut. If the terms of this spend are remembered (000870), one look-up answers who calls and what it costs; then the lock; then one
-- statement that reads the ledger's tail and books its successor, if nothing but a plain debit of the burning grant is to be done: the key is
-- new, terms and standing are those remembered, the grant suffices and has not run out, no limit would refuse or tell anybody. In every other
-- case that statement does nothing, and the long way (consume_at_length) decides, refuses, turns the head or replays. So each rule is written
-- once, there; here stand only the conditions under which none of them has anything to say.
--
-- Why so: Postgres spends its time on starting statements, not on running them; eight of them cost 0.8 ms, these two 0.15 (docs/performance.md).

-- Called by agents (anon with x-agent-key), members and the service. Locks: the organization, limit counters, grants. Raises the refusals of
-- docs/reference/errors.md. Generic plans: with hash partitions the planner would otherwise plan anew at every call.
-- Safe to retry with the same idempotency_key: a known key is answered with its first receipt before anything else is looked at.
create function billing_private.consume_credits(
  p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_organization_id uuid, p_department_id uuid,
  p_run_id text, p_idempotency_key text, p_metadata jsonb
)
returns billing.credit_receipt
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
set enable_seqscan = off -- plans are kept: one made while a table was small must serve when it is not
as $$
declare
  v_terms billing_private.spend_terms;
  v_outcome billing_private.spend_outcome;
  v_amount numeric;
  v_sequence bigint;
  v_balance numeric;
  v_held numeric;
  v_grant_id uuid;
  v_limits jsonb;
  v_at timestamptz;
  v_announced_at timestamptz;
  v_locked_at timestamptz;
begin
  -- What the caller must not have sent goes the long way, to be told so.
  if (p_quantities is null or p_quantities = '{}' or p_quantities = '{"call": 1}')
    and (p_idempotency_key is null or (
      length(p_idempotency_key) between 1 and 255 and p_idempotency_key !~ '[[:cntrl:]]' and btrim(p_idempotency_key) <> ''))
    and (p_run_id is null or (length(p_run_id) between 1 and 255 and p_run_id !~ '[[:cntrl:]]' and btrim(p_run_id) <> ''))
    and (p_metadata is null or p_metadata = '{}' or (jsonb_typeof(p_metadata) = 'object' and octet_length(p_metadata::text) <= 8192)) then
    select m.* into v_terms
    from billing_private.spend_terms as m
    where m.caller = case current_setting('role')
        when 'anon' then sha256(convert_to(nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key', 'UTF8'))
        when 'service_role' then uuid_send(p_organization_id)
      end
      and m.agent_type = p_agent_type and m.action = p_action
      and m.named_department_id = coalesce(p_department_id, '00000000-0000-0000-0000-000000000000')
      and m.valid_until > clock_timestamp()
      and (p_organization_id is null or p_organization_id = m.organization_id)
      and (p_run_id is null or not m.has_run_limits);
  end if;
  if v_terms.caller is not null and (v_terms.amount is null) = (p_amount is not null) then
    v_amount := coalesce(v_terms.amount, billing_private.round_up(p_amount));
    if v_terms.amount is null then
      v_terms.price := jsonb_set(jsonb_set(v_terms.price, '{exact_amount}', to_jsonb(p_amount)), '{rows,0,amount}', to_jsonb(p_amount));
    end if;
  end if;

  if (p_amount is null or p_amount > 0) and v_amount >= 0 and v_amount < 1e14 then
    if not pg_catalog.pg_try_advisory_xact_lock(v_terms.ledger_number) then
      perform billing_private.wait_for_lock(v_terms.ledger_number);
    end if;
    v_locked_at := clock_timestamp();
    -- A statement of its own after the lock, so that it sees what the lock's last holder committed. No row: the long way.
    insert into billing.credit_transactions as e (
      organization_id, sequence, created_at, turn_at, id, head_grant_id, department_id, announced_at, has_scoped_grants,
      kind, amount, balance_after, held_after, debt_after, head_available, requested_amount, agent_type, action, agent_key_id, run_id,
      idempotency_key, price_ids, limits, metadata
    )
    select
      v_terms.organization_id, w.sequence + 1, w.now, w.turn_at,
      (lpad(to_hex(v_terms.ledger_number), 12, '0') || '8000' || to_hex((w.sequence + 1) | (-9223372036854775808)))::uuid, -- transaction_id()
      w.head_grant_id, v_terms.department_id,
      case when w.announced_at > w.wall_clock - interval '1 second' then w.announced_at else w.wall_clock end, w.has_scoped_grants,
      'consume', -v_amount, w.balance_after - v_amount, w.held_after, w.debt_after, w.head_available - v_amount,
      p_amount, p_agent_type, p_action, v_terms.agent_key_id, p_run_id, p_idempotency_key, v_terms.price_ids, c.limits, nullif(p_metadata, '{}')
    from (
      select t.sequence, t.turn_at, t.head_grant_id, t.announced_at, t.has_scoped_grants, t.balance_after, t.held_after, t.debt_after,
        t.head_available, t.agent_type, t.department_id, o.overdraft_limit, o.restricted_reason, o.restricted_from,
        clock_timestamp() as wall_clock, greatest(coalesce(o.test_clock, clock_timestamp()), t.created_at) as now
      from billing.organizations as o, billing.credit_transactions as t
      where o.organization_id = v_terms.organization_id and o.revision = v_terms.revision
        and t.organization_id = v_terms.organization_id
      order by t.sequence desc limit 1
    ) as w
    left join lateral (
      select count(*) as found, coalesce(bool_and(l.used + v_amount < l.quiet_below), true) as are_quiet,
        jsonb_agg(jsonb_build_object(
          'limit_id', l.limit_id, 'subject', s.subject, 'remaining', greatest(s.amount + l.additional - l.used - v_amount, 0),
          'resets_at', nullif(l.window_end, 'infinity')) order by l.limit_id) as limits
      from unnest(v_terms.limit_ids, v_terms.limit_subjects, v_terms.limit_amounts) as s (limit_id, subject, amount)
      cross join lateral (
        select n.limit_id, n.used, n.additional, n.quiet_below, n.window_end from billing_private.credit_limit_counters as n
        where n.organization_id = v_terms.organization_id and n.limit_id = s.limit_id and n.window_start <= w.now
        order by n.window_start desc, n.generation desc limit 1
      ) as l
      where l.window_end > w.now
    ) as c on v_terms.limit_ids is not null
    where w.now < v_terms.price_until and w.now < w.turn_at and w.head_grant_id is not null and w.head_available >= v_amount
      and w.balance_after - w.held_after + w.overdraft_limit >= v_amount
      and (w.restricted_reason is null or w.restricted_from > w.now)
      and (not w.has_scoped_grants or (w.agent_type = p_agent_type and w.department_id is not distinct from v_terms.department_id))
      and (v_terms.limit_ids is null or (c.found = cardinality(v_terms.limit_ids) and c.are_quiet))
      and (p_idempotency_key is null or not exists (
        select 1 from billing.credit_transactions as k
        where k.organization_id = v_terms.organization_id and k.idempotency_key = p_idempotency_key
      ))
    returning e.sequence, e.balance_after, e.held_after, e.head_grant_id, e.limits, e.created_at, e.announced_at
    into v_sequence, v_balance, v_held, v_grant_id, v_limits, v_at, v_announced_at;
  end if;

  if v_sequence is null then
    v_outcome := billing_private.consume_at_length(
      p_agent_type, p_action, p_quantities, p_amount, p_organization_id, p_department_id, p_run_id, p_idempotency_key, p_metadata,
      v_terms.caller is null);
    if v_outcome.slug is not null then
      perform billing_private.fail(v_outcome.status, v_outcome.slug, v_outcome.details);
    end if;
    return v_outcome.receipt;
  end if;
  if v_terms.limit_ids is not null then
    update billing_private.credit_limit_counters as l set used = l.used + v_amount, generation = v_sequence / 64
    where l.ctid = any(array(
      select (
        select n.ctid from billing_private.credit_limit_counters as n
        where n.organization_id = v_terms.organization_id and n.limit_id = s.limit_id and n.window_start <= v_at
        order by n.window_start desc, n.generation desc limit 1
      )
      from unnest(v_terms.limit_ids) as s (limit_id)
    ));
  end if;
  if v_announced_at >= v_locked_at then
    perform billing_private.announce_ledger(v_terms.organization_id, v_sequence, null);
  end if;
  return (
    (lpad(to_hex(v_terms.ledger_number), 12, '0') || '8000' || to_hex(v_sequence | (-9223372036854775808)))::uuid, v_terms.organization_id,
    v_amount, v_balance, v_balance - v_held, false, v_terms.price,
    case when v_amount > 0 then jsonb_build_array(jsonb_build_object('grant_id', v_grant_id, 'amount', v_amount)) else '[]' end,
    coalesce(v_limits, '[]'), v_at
  )::billing.credit_receipt;
end
$$;
revoke all on function billing_private.consume_credits(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb) from public;
grant execute on function billing_private.consume_credits(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb)
to anon, authenticated, service_role;

create function billing.consume_credits(
  agent_type text, action text, quantities jsonb default null, amount numeric default null, organization_id uuid default null,
  department_id uuid default null, run_id text default null, idempotency_key text default null, metadata jsonb default '{}'
)
returns billing.credit_receipt
language plpgsql -- a function in SQL that pins its search_path is planned at every call
volatile
set search_path = ''
as $$
begin
  return billing_private.consume_credits(
    agent_type, action, quantities, amount, organization_id, department_id, run_id, idempotency_key, metadata);
end
$$;
revoke all on function billing.consume_credits(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb) from public;
grant execute on function billing.consume_credits(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb)
to anon, authenticated, service_role;
comment on function billing.consume_credits(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb) is
'Charges one action, checked and booked in one transaction, and returns its receipt. Refuses whole, never in part. Retry with the same idempotency_key.';
