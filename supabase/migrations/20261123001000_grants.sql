-- Granting credits.

create type billing.grant_receipt as (
  grant_id uuid,
  transaction_id uuid,
  organization_id uuid,
  amount numeric,
  balance numeric,
  available numeric,
  replayed boolean,
  effective_at timestamptz,
  expires_at timestamptz,
  created_at timestamptz
);
comment on type billing.grant_receipt is 'What a grant returns. balance and available are the organization''s after this call; expires_at is null for never.';

-- The receipt of a grant, now (what there is at p_now) or again: as it was after the entry that booked the grant, and after the one that
-- expired it in the same breath. Grants that corrections made have no entry of their own: for them, what there is.
create function billing_private.grant_receipt_of(
  p_grant billing_private.credit_grant_lots, p_tail billing.credit_transactions, p_now timestamptz, p_replayed boolean
)
returns billing.grant_receipt
language plpgsql
stable
set search_path = ''
as $$
declare
  v_transaction_id constant uuid := coalesce(p_grant.transaction_id, (
    select g.transaction_id from billing_private.credit_grant_lots as g
    where g.organization_id = p_grant.organization_id and g.id = p_grant.id
  ));
  v_wallet billing_private.wallet := billing_private.wallet_at(p_tail, p_now);
  v_entry billing.credit_transactions;
begin
  if p_replayed and v_transaction_id is not null then
    select t.* into v_entry from billing.credit_transactions as t
    where t.organization_id = p_grant.organization_id and t.sequence = billing_private.transaction_sequence(v_transaction_id);
    if p_grant.expires_at <= p_grant.created_at then
      select t.* into v_entry from billing.credit_transactions as t
      where t.organization_id = p_grant.organization_id and t.sequence in (v_entry.sequence, v_entry.sequence + 1)
        and t.grant_ids = array[p_grant.id]
      order by t.sequence desc limit 1;
    end if;
    v_wallet.balance := v_entry.balance_after;
    v_wallet.held := v_entry.held_after;
  end if;
  return (
    p_grant.id, v_transaction_id, p_grant.organization_id, p_grant.amount::numeric, v_wallet.balance, v_wallet.balance - v_wallet.held,
    p_replayed, p_grant.effective_at, nullif(p_grant.expires_at, 'infinity'), p_grant.created_at
  )::billing.grant_receipt;
end
$$;
revoke all on function billing_private.grant_receipt_of(
  billing_private.credit_grant_lots, billing.credit_transactions, timestamptz, boolean
) from public;

-- Refuses what no grant can be, whatever the ledger says: 422 invalid_amount and invalid_argument.
create function billing_private.require_grant_terms(
  p_amount numeric, p_source text, p_source_reference text, p_agent_types text[], p_unit_cost numeric
)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform billing_private.require_exact_amount('amount', p_amount);
  perform billing_private.require_amount('unit_cost', coalesce(p_unit_cost, 0), true);
  if p_source is null or p_source not in (
    'subscription', 'purchase', 'trial', 'promotion', 'referral', 'adjustment', 'rollover', 'transfer', 'refund'
  ) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "source"}');
  end if;
  if p_source_reference is not null then
    perform billing_private.require_text('source_reference', p_source_reference);
  end if;
  if cardinality(p_agent_types) not between 1 and 100 or exists (
    select 1 from unnest(p_agent_types) as a (name) where a.name is null or length(a.name) not between 1 and 255
  ) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "agent_types"}', '1 to 100 names, or null for all');
  end if;
end
$$;
revoke all on function billing_private.require_grant_terms(numeric, text, text, text[], numeric) from public;

-- Refuses a grant that begins at no instant, or ends before it begins: 422 invalid_argument.
create function billing_private.require_grant_time(p_effective_at timestamptz, p_expires_at timestamptz)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  if not isfinite(p_effective_at) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "effective_at"}', 'effective_at is a finite instant');
  elsif coalesce(p_expires_at, 'infinity') <= p_effective_at then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "expires_at"}', 'expires_at must be after effective_at');
  end if;
end
$$;
revoke all on function billing_private.require_grant_time(timestamptz, timestamptz) from public;

-- Books a grant. No caller check: for bodies that have decided already (fulfilment, renewal, promotion). Locks the organization. Replay: the
-- same (organization, source, source_reference) returns the first grant; another amount under it is 409 idempotency_conflict. A grant in force
-- repays debt first; one that is still to come is booked as `schedule` and begins to count at effective_at by itself.
-- Raises 404 not_found, 422 invalid_amount and invalid_argument, 503 busy.
create function billing_private.grant_credits(
  p_organization_id uuid, p_amount numeric, p_source text, p_source_reference text, p_expires_at timestamptz, p_effective_at timestamptz,
  p_priority integer, p_department_id uuid, p_agent_types text[], p_unit_cost numeric, p_currency text, p_metadata jsonb
)
returns billing.grant_receipt
language plpgsql
set search_path = ''
as $$
declare
  v_grant billing_private.credit_grant_lots;
  v_tail billing.credit_transactions;
  v_now timestamptz;
  v_ledger_number bigint;
  v_repaid numeric;
  v_replayed boolean := false;
begin
  perform billing_private.require_grant_terms(p_amount, p_source, p_source_reference, p_agent_types, p_unit_cost);
  p_metadata := billing_private.require_metadata(p_metadata);
  perform billing_private.lock_organization(p_organization_id);
  if p_department_id is not null and not exists (
    select 1 from billing.departments as d where d.organization_id = p_organization_id and d.id = p_department_id
  ) then
    perform billing_private.fail(404, 'not_found', '{"what": "department"}');
  end if;

  select greatest(billing_private.ledger_now(o.test_clock), coalesce(t.created_at, '-infinity')), o.ledger_number into v_now, v_ledger_number
  from billing.organizations as o
  left join lateral (select (billing_private.ledger_tail(o.organization_id)).created_at) as t on true
  where o.organization_id = p_organization_id;

  select g.* into v_grant from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id and g.source = p_source and g.source_reference = p_source_reference;
  v_replayed := found;
  if v_replayed then
    if v_grant.amount <> p_amount then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('grant_id', v_grant.id));
    end if;
    v_tail := billing_private.ledger_tail(p_organization_id);
  else
    p_effective_at := coalesce(p_effective_at, v_now);
    perform billing_private.require_grant_time(p_effective_at, p_expires_at);
    v_tail := billing_private.settle(billing_private.ledger_tail(p_organization_id), v_now);
    -- What is still to come must fit beside what there is: a grant that could not begin would stop the ledger at that instant.
    if (p_effective_at > v_now or v_tail.balance_after + p_amount >= 1e12) and v_tail.balance_after + p_amount + (
      select coalesce(sum(g.amount), 0) from billing_private.credit_grant_lots as g
      where g.organization_id = p_organization_id and g.is_open and g.activated_at is null
    ) >= 1e14 then
      perform billing_private.fail(422, 'invalid_amount', '{"argument": "amount"}', 'a balance is below 1e14, with what is still to come');
    end if;
    -- One in force is written as activate_grant() would leave it: thousands in one transaction leave no dead rows behind.
    v_repaid := case when p_effective_at <= v_now then least(v_tail.debt_after, p_amount) else 0 end;
    insert into billing_private.credit_grant_lots (
      organization_id, source, source_reference, amount, remaining, priority, department_id, agent_types, unit_cost, currency,
      effective_at, expires_at, activated_at, is_open, closed_reason, transaction_id, metadata, created_at
    ) values (
      p_organization_id, p_source, coalesce(p_source_reference, gen_random_uuid()::text), p_amount, p_amount - v_repaid,
      coalesce(p_priority, 100), p_department_id, p_agent_types, coalesce(p_unit_cost, 0), p_currency, p_effective_at,
      coalesce(p_expires_at, 'infinity'), case when p_effective_at <= v_now then v_now end, p_amount > v_repaid,
      case when p_amount = v_repaid then 'debt_repaid' end, billing_private.transaction_id(v_ledger_number, v_tail.sequence + 1),
      p_metadata, v_now
    )
    returning * into v_grant;
    if v_grant.effective_at <= v_now then
      v_tail := billing_private.append_entry(
        v_tail, 'grant', v_grant.amount, v_now, array[v_grant.id], array[v_grant.amount::numeric], p_debt_after => v_tail.debt_after - v_repaid,
        p_detail => jsonb_strip_nulls(jsonb_build_object('reason', v_grant.source, 'department_id', v_grant.department_id)));
    else
      v_tail := billing_private.append_entry(v_tail, 'schedule', 0, v_now, array[v_grant.id], array[0::numeric],
        p_detail => jsonb_strip_nulls(jsonb_build_object('reason', v_grant.source, 'department_id', v_grant.department_id)));
    end if;
    v_tail := billing_private.settle(v_tail, v_now); -- a grant whose time is already over is booked, and expired at once
  end if;
  return billing_private.grant_receipt_of(v_grant, v_tail, v_now, v_replayed);
end
$$;
revoke all on function billing_private.grant_credits(
  uuid, numeric, text, text, timestamptz, timestamptz, integer, uuid, text[], numeric, text, jsonb
) from public;

-- The service, or a platform admin (audited). Otherwise as above.
create function billing_private.grant_credits_as_caller(
  p_organization_id uuid, p_amount numeric, p_source text, p_source_reference text, p_expires_at timestamptz, p_effective_at timestamptz,
  p_priority integer, p_department_id uuid, p_agent_types text[], p_unit_cost numeric, p_metadata jsonb
)
returns billing.grant_receipt
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_receipt billing.grant_receipt;
begin
  if not billing_private.caller_is_platform_admin() then
    perform billing_private.require_service();
  elsif coalesce(btrim(p_metadata ->> 'reason'), '') = '' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "metadata.reason"}', 'a platform admin says why');
  end if;
  v_receipt := billing_private.grant_credits(
    p_organization_id, p_amount, p_source, p_source_reference, p_expires_at, p_effective_at, p_priority, p_department_id, p_agent_types,
    p_unit_cost, null, p_metadata);
  if not v_receipt.replayed then
    perform billing_private.audit(p_organization_id, 'grant_credits', 'credit_grant', v_receipt.grant_id::text,
      p_metadata ->> 'reason', null, to_jsonb(v_receipt));
  end if;
  return v_receipt;
end
$$;
revoke all on function billing_private.grant_credits_as_caller(
  uuid, numeric, text, text, timestamptz, timestamptz, integer, uuid, text[], numeric, jsonb
) from public;
grant execute on function billing_private.grant_credits_as_caller(
  uuid, numeric, text, text, timestamptz, timestamptz, integer, uuid, text[], numeric, jsonb
) to authenticated, service_role;

create function billing.grant_credits(
  organization_id uuid, amount numeric, source text, source_reference text default null, expires_at timestamptz default null,
  effective_at timestamptz default null, priority integer default 100, department_id uuid default null, agent_types text[] default null,
  unit_cost numeric default 0, metadata jsonb default '{}'
)
returns billing.grant_receipt
language sql
volatile
set search_path = ''
return billing_private.grant_credits_as_caller(
  organization_id, amount, source, source_reference, expires_at, effective_at, priority, department_id, agent_types, unit_cost, metadata
);
revoke all on function billing.grant_credits(
  uuid, numeric, text, text, timestamptz, timestamptz, integer, uuid, text[], numeric, jsonb
) from public;
grant execute on function billing.grant_credits(
  uuid, numeric, text, text, timestamptz, timestamptz, integer, uuid, text[], numeric, jsonb
) to authenticated, service_role;
comment on function billing.grant_credits(
  uuid, numeric, text, text, timestamptz, timestamptz, integer, uuid, text[], numeric, jsonb
) is
'Service or platform admin: grants credits once per (organization, source, source_reference). unit_cost: money per credit, 0 for promotional.';
