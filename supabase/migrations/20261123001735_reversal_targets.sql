-- From what Stripe says about a charge to the reversal that its credits are at. The rule stands at the head of 20261123001730.

create type billing_private.reversal_facts as (
  stripe_payment_intent_id text,
  stripe_charge_id text,
  stripe_invoice_id text,
  stripe_customer_id text,
  amount bigint,
  currency text,
  livemode boolean,
  refunds jsonb,
  disputes jsonb,
  fetched_at timestamptz
);
comment on type billing_private.reversal_facts is
'What a worker read of a charge: all its refunds [{id, amount, status, reason, failure_reason, created_at}] and disputes (20261123001740).';

-- Moves one grant to its target. Returns whether it is there: a grant that does not count yet waits. Under the lock.
create function billing_private.move_reversal(p_organization_id uuid, p_payment_id uuid, p_grant_id uuid, p_target numeric, p_reason text)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_tail billing.credit_transactions := billing_private.ledger_tail(p_organization_id);
  v_state billing_private.grant_reversals;
  v_grant billing_private.credit_grant_lots;
  v_unowed numeric;
  v_now timestamptz;
begin
  select r.* into v_state from billing_private.grant_reversals as r
  where r.organization_id = p_organization_id and r.grant_id = p_grant_id;
  if coalesce(v_state.reversed, 0) = p_target and coalesce(v_state.debt, 0) = 0 then
    return true;
  end if;
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = p_organization_id;
  v_tail := billing_private.settle(v_tail, v_now);
  select g.* into v_grant from billing_private.credit_grant_lots as g where g.organization_id = p_organization_id and g.id = p_grant_id;
  if v_grant.activated_at is null then
    return not v_grant.is_open; -- one that was voided before it began never brought anything
  end if;
  if v_state.grant_id is null then
    insert into billing_private.grant_reversals (organization_id, grant_id, payment_id)
    values (p_organization_id, p_grant_id, p_payment_id)
    returning * into v_state;
  end if;
  -- What became debt because a hold claimed it, and has ended unused since, is owed no longer.
  v_unowed := least(v_state.debt, billing_private.ended_unused(p_organization_id, p_grant_id) - v_state.ended);
  if v_unowed > 0 then
    v_tail := billing_private.reinstate(v_tail, v_state, v_unowed, 'ended_unused', v_now);
    update billing_private.grant_reversals as r set reversed = r.reversed + v_unowed, ended = r.ended + v_unowed
    where r.organization_id = p_organization_id and r.grant_id = p_grant_id
    returning r.* into v_state;
  end if;
  if p_target < v_state.reversed then
    perform billing_private.reinstate(v_tail, v_state, v_state.reversed - p_target, p_reason, v_now);
  else
    perform billing_private.claw_back(v_tail, v_state, p_target - v_state.reversed, p_reason, v_now);
  end if;
  return true;
end
$$;
revoke all on function billing_private.move_reversal(uuid, uuid, uuid, numeric, text) from public;

-- Brings a payment, its grants and the restriction of its organization to what is known of its charges. p_reason: what the ledger's entries say
-- (refund or dispute); null: dispute while one holds money. Under the lock. Idempotent.
create function billing_private.apply_reversals(p_organization_id uuid, p_payment_id uuid, p_reason text default null)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_payment billing.payments;
  v_refunded bigint;
  v_disputed bigint;
  v_reversed bigint;
  v_grant record;
  v_is_applied boolean := true;
begin
  select p.* into v_payment from billing.payments as p
  where p.organization_id = p_organization_id and p.id = p_payment_id
  for update;
  select sum(c.refunded), sum(c.disputed), sum(least(c.charged, c.refunded + c.disputed)) into v_refunded, v_disputed, v_reversed
  from billing_private.charge_reversals as c
  where c.organization_id = p_organization_id
    and (c.stripe_payment_intent_id = v_payment.stripe_payment_intent_id or c.stripe_invoice_id = v_payment.stripe_invoice_id);
  if v_reversed is null then
    return; -- nothing of it has ever gone back
  end if;
  update billing.payments as p
  set
    amount_refunded = least(v_refunded, p.amount),
    status = case
      when p.paid_at is null then p.status
      when v_refunded = 0 then 'succeeded'
      when v_refunded >= p.amount then 'refunded'
      else 'partially_refunded'
    end,
    disputed = exists (
      select 1 from billing.disputes as d
      where d.organization_id = p_organization_id and d.stripe_payment_intent_id = p.stripe_payment_intent_id and not d.is_inquiry
    ),
    updated_at = now()
  where p.organization_id = p_organization_id and p.id = p_payment_id;

  if v_payment.paid_at is null then
    v_is_applied := false;
  else
    for v_grant in select g.grant_id, g.granted from billing_private.payment_grants(p_organization_id, p_payment_id) as g order by g.grant_id loop
      v_is_applied := billing_private.move_reversal(
        p_organization_id, p_payment_id, v_grant.grant_id,
        case when v_reversed >= v_payment.amount then v_grant.granted else trunc(v_grant.granted * v_reversed / v_payment.amount, 6) end,
        coalesce(p_reason, case when v_disputed > 0 then 'dispute' else 'refund' end)
      ) and v_is_applied;
    end loop;
  end if;
  update billing_private.charge_reversals as c set is_waiting = not v_is_applied
  where c.organization_id = p_organization_id and c.is_waiting <> not v_is_applied
    and (c.stripe_payment_intent_id = v_payment.stripe_payment_intent_id or c.stripe_invoice_id = v_payment.stripe_invoice_id);
  perform billing_private.announce(p_organization_id, 'money_changed', '{"table": "payments"}');
end
$$;
revoke all on function billing_private.apply_reversals(uuid, uuid, text) from public;

-- Who calls: every fulfilment, under the organization's lock, when a payment and its grants are booked: what was read of its refunds and disputes
-- before is applied now, and a debt that a lost dispute left may be repaid. Raises: 503 busy. Retry: safe.
create function billing_private.payment_landed(p_organization_id uuid, p_payment_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform billing_private.apply_reversals(p_organization_id, p_payment_id);
  perform billing_private.review_disputes(p_organization_id);
end
$$;
revoke all on function billing_private.payment_landed(uuid, uuid) from public;

-- Our copies of a charge's refunds; people are told of what is new.
create function billing_private.put_refunds(p_organization_id uuid, p_facts billing_private.reversal_facts)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_refund record;
begin
  for v_refund in
    select r.* from jsonb_to_recordset(p_facts.refunds)
    as r (id text, amount bigint, status text, reason text, failure_reason text, created_at timestamptz)
  loop
    insert into billing.refunds as r (
      organization_id, stripe_refund_id, stripe_payment_intent_id, amount, currency, status, reason, failure_reason, livemode, created_at,
      stripe_fetched_at
    ) values (
      p_organization_id, v_refund.id, p_facts.stripe_payment_intent_id, v_refund.amount, p_facts.currency, coalesce(v_refund.status, 'pending'),
      v_refund.reason, v_refund.failure_reason, p_facts.livemode, v_refund.created_at, p_facts.fetched_at
    )
    on conflict (organization_id, stripe_refund_id) do update set
      status = excluded.status, reason = excluded.reason, failure_reason = excluded.failure_reason,
      stripe_fetched_at = excluded.stripe_fetched_at;
    if v_refund.status in ('failed', 'canceled') then
      perform billing_private.notify_organization(
        p_organization_id, 'refund_failed', 'warning', 'refund_failed:' || v_refund.id, 'refund', v_refund.id,
        jsonb_build_object('amount', v_refund.amount, 'currency', p_facts.currency, 'failure_reason', v_refund.failure_reason));
    else
      perform billing_private.notify_organization(
        p_organization_id, 'payment_refunded', 'info', 'payment_refunded:' || v_refund.id, 'refund', v_refund.id,
        jsonb_build_object('amount', v_refund.amount, 'currency', p_facts.currency));
    end if;
  end loop;
end
$$;
revoke all on function billing_private.put_refunds(uuid, billing_private.reversal_facts) from public;

-- Whose charge it is: by our payment, else (its payment has not landed yet) by the customer.
create function billing_private.organization_of_charge(p_facts billing_private.reversal_facts)
returns uuid
language sql
stable
set search_path = ''
as $$
  select coalesce(
    (
      select p.organization_id from billing.payments as p
      where p.livemode = p_facts.livemode
        and (p.stripe_payment_intent_id = p_facts.stripe_payment_intent_id or p.stripe_invoice_id = p_facts.stripe_invoice_id)
      order by p.stripe_payment_intent_id = p_facts.stripe_payment_intent_id desc limit 1
    ),
    (
      select c.organization_id from billing.customers as c
      where c.stripe_customer_id = p_facts.stripe_customer_id and c.livemode = p_facts.livemode
    )
  )
$$;
revoke all on function billing_private.organization_of_charge(billing_private.reversal_facts) from public;

-- Who calls: process_stripe_event for everything about refunds, disputes and what a charge gave back; the reconciler. Locks: the organization,
-- the payment. Raises: 503 busy. Returns the organization, or null when the charge is not ours. Retry: safe, totals decide, and an older
-- reading than the one acted on changes nothing.
create function billing_private.sync_reversals(p_facts billing_private.reversal_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id constant uuid := billing_private.organization_of_charge(p_facts);
  v_payment_id uuid;
  v_before billing_private.charge_reversals;
  v_now billing_private.charge_reversals;
begin
  if v_organization_id is null or p_facts.stripe_payment_intent_id is null then
    return null;
  end if;
  perform billing_private.lock_organization(v_organization_id);
  select c.* into v_before from billing_private.charge_reversals as c
  where c.organization_id = v_organization_id and c.stripe_payment_intent_id = p_facts.stripe_payment_intent_id;
  if jsonb_array_length(p_facts.refunds) + jsonb_array_length(p_facts.disputes) = 0
    and v_before.stripe_payment_intent_id is null then
    return v_organization_id;
  end if;
  insert into billing_private.charge_reversals as c (
    organization_id, stripe_payment_intent_id, stripe_charge_id, stripe_invoice_id, charged, refunded, disputed, livemode, stripe_fetched_at
  )
  select
    v_organization_id, p_facts.stripe_payment_intent_id, p_facts.stripe_charge_id, p_facts.stripe_invoice_id, p_facts.amount,
    coalesce((
      select sum(r.amount) from jsonb_to_recordset(p_facts.refunds) as r (amount bigint, status text)
      where coalesce(r.status, 'pending') not in ('failed', 'canceled')
    ), 0),
    coalesce((select sum(d.withdrawn) from jsonb_to_recordset(p_facts.disputes) as d (withdrawn bigint)), 0),
    p_facts.livemode, p_facts.fetched_at
  on conflict (organization_id, stripe_payment_intent_id) do update set
    stripe_charge_id = excluded.stripe_charge_id, stripe_invoice_id = coalesce(excluded.stripe_invoice_id, c.stripe_invoice_id),
    charged = excluded.charged, refunded = excluded.refunded, disputed = excluded.disputed, stripe_fetched_at = excluded.stripe_fetched_at
  where c.stripe_fetched_at <= excluded.stripe_fetched_at
  returning c.* into v_now;
  if not found then
    return v_organization_id;
  end if;
  perform billing_private.put_refunds(v_organization_id, p_facts);
  perform billing_private.put_disputes(v_organization_id, p_facts);
  select p.id into v_payment_id from billing.payments as p
  where p.organization_id = v_organization_id
    and (p.stripe_payment_intent_id = p_facts.stripe_payment_intent_id or p.stripe_invoice_id = p_facts.stripe_invoice_id)
  order by p.stripe_payment_intent_id = p_facts.stripe_payment_intent_id desc limit 1;
  if found then
    -- What a won dispute brings back is a dispute's doing, although it holds nothing any more.
    perform billing_private.apply_reversals(v_organization_id, v_payment_id,
      case when v_now.disputed < v_before.disputed and v_now.refunded = v_before.refunded then 'dispute' end);
  end if;
  perform billing_private.review_disputes(v_organization_id);
  return v_organization_id;
end
$$;
revoke all on function billing_private.sync_reversals(billing_private.reversal_facts) from public;

-- Who calls: run_due_jobs. Applies reversals whose grant has begun to count since, settles the debt of others with what came back to their grants,
-- and lifts restrictions whose debt is repaid. Each organization in a block of its own: one that is busy stays due.
create function billing_private.apply_due_reversals()
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_result billing.job_result := ('apply_reversals', 0, 0);
  v_organization_id uuid;
begin
  for v_organization_id in
    select c.organization_id from billing_private.charge_reversals as c
    inner join billing.payments as p
      on p.organization_id = c.organization_id and p.paid_at is not null
      and (p.stripe_payment_intent_id = c.stripe_payment_intent_id or p.stripe_invoice_id = c.stripe_invoice_id)
    where c.is_waiting
    union
    select d.organization_id from billing.disputes as d where d.restricts and d.status = 'lost'
    union
    select r.organization_id from billing_private.grant_reversals as r
    where r.debt > 0 and (billing_private.ledger_tail(r.organization_id)).debt_after > 0 and (
      exists (select 1 from billing_private.grant_family(r.organization_id, r.grant_id) as g where g.is_open and g.remaining > g.held)
      or billing_private.ended_unused(r.organization_id, r.grant_id) > r.ended
    )
    order by 1
  loop
    begin
      v_result.processed := v_result.processed + billing_private.apply_reversals_of(v_organization_id);
    exception when others then
      raise warning 'reversals of organization % were not applied: %', v_organization_id, sqlerrm;
      v_result.failed := v_result.failed + 1;
    end;
  end loop;
  return v_result;
end
$$;
revoke all on function billing_private.apply_due_reversals() from public;

-- The same for one organization. Locks it. Returns how many payments were looked at.
create function billing_private.apply_reversals_of(p_organization_id uuid)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_payment_id uuid;
  v_count bigint := 0;
begin
  perform billing_private.lock_organization(p_organization_id);
  for v_payment_id in
    select p.id from billing.payments as p
    inner join billing_private.charge_reversals as c
      on c.organization_id = p.organization_id and c.is_waiting
      and (c.stripe_payment_intent_id = p.stripe_payment_intent_id or c.stripe_invoice_id = p.stripe_invoice_id)
    where p.organization_id = p_organization_id and p.paid_at is not null
    union
    select r.payment_id from billing_private.grant_reversals as r where r.organization_id = p_organization_id and r.debt > 0
    order by 1
  loop
    perform billing_private.apply_reversals(p_organization_id, v_payment_id);
    v_count := v_count + 1;
  end loop;
  perform billing_private.review_disputes(p_organization_id);
  return v_count;
end
$$;
revoke all on function billing_private.apply_reversals_of(uuid) from public;
