-- Money that goes back, in credits: refunds, and what disputes withdraw (20261123001740).
--
-- A worker reads a charge's refunds and disputes at Stripe and passes on all of them. From those totals follows how many credits of each grant
-- that the charge made are to be reversed:
--     granted × (refunds that stand + what disputes have withdrawn) / charged, never above granted, cut off after the sixth decimal.
-- The ledger is then moved to that target, down (`clawback`) or up (`reinstate`). So order, duplicates and missed events do not matter, and a
-- refund and a dispute of one charge take their credits once.
-- What of the grant has ended unused (expired, or voided by hand) counts as taken already: nobody owes what they never used. Then a clawback
-- takes what is unspent and unheld of the grant (and of what was transferred or rolled over out of it); the rest is debt. It never takes from
-- other grants. A reinstatement undoes the debt first and then gives back what was taken, last taken first. What comes back to the grant later
-- (a refunded consumption, a released hold) settles the debt that the reversal left.
-- Locks: the organization, then the payment. A reversal that is read before its grant is booked waits in charge_reversals.

create table billing.refunds (
  organization_id uuid not null,
  stripe_refund_id text not null,
  stripe_payment_intent_id text not null,
  amount bigint not null,
  currency text not null,
  status text not null,
  reason text,
  failure_reason text,
  livemode boolean not null default false,
  created_at timestamptz not null,
  stripe_fetched_at timestamptz not null,
  constraint refunds_pkey primary key (organization_id, stripe_refund_id),
  constraint refunds_amount_not_negative check (amount >= 0),
  constraint refunds_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create unique index refunds_stripe_refund_id_unique on billing.refunds (stripe_refund_id);
create index refunds_newest on billing.refunds (organization_id, created_at desc);
comment on table billing.refunds is 'Refunds of payments, as they stand at Stripe. Amounts are in the smallest unit of the currency.';
comment on column billing.refunds.organization_id is 'The tenant.';
comment on column billing.refunds.stripe_refund_id is 'Stripe''s id (re_…).';
comment on column billing.refunds.stripe_payment_intent_id is 'Stripe''s id (pi_…) of the payment; see payments.stripe_payment_intent_id.';
comment on column billing.refunds.amount is 'What is given back.';
comment on column billing.refunds.currency is 'ISO 4217 code in lower case.';
comment on column billing.refunds.status is 'Stripe''s status: pending, requires_action, succeeded, failed or canceled. The last two take nothing.';
comment on column billing.refunds.reason is 'Stripe''s reason, such as requested_by_customer; null: none given.';
comment on column billing.refunds.failure_reason is 'Why it failed, in Stripe''s words; null: it did not.';
comment on column billing.refunds.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.refunds.created_at is 'When it was made at Stripe.';
comment on column billing.refunds.stripe_fetched_at is 'When this copy was read at Stripe; an older reading never overwrites a newer one.';
alter table billing.refunds enable row level security;
revoke all on table billing.refunds from public, anon, authenticated, service_role;
grant select on table billing.refunds to authenticated, service_role;
create policy refunds_read_as_billing on billing.refunds for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

create table billing_private.charge_reversals (
  organization_id uuid not null,
  stripe_payment_intent_id text not null,
  stripe_charge_id text not null,
  stripe_invoice_id text,
  charged bigint not null,
  refunded bigint not null,
  disputed bigint not null,
  is_waiting boolean not null default true,
  livemode boolean not null,
  stripe_fetched_at timestamptz not null,
  constraint charge_reversals_pkey primary key (organization_id, stripe_payment_intent_id),
  constraint charge_reversals_amounts_not_negative check (charged >= 0 and refunded >= 0 and disputed >= 0),
  constraint charge_reversals_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create index charge_reversals_invoice on billing_private.charge_reversals (organization_id, stripe_invoice_id)
where stripe_invoice_id is not null;
create index charge_reversals_waiting on billing_private.charge_reversals (organization_id) where is_waiting;
alter table billing_private.charge_reversals enable row level security;
revoke all on table billing_private.charge_reversals from public, anon, authenticated, service_role;
comment on table billing_private.charge_reversals is 'What of each charge went back, in money, in the smallest unit of the currency.';
comment on column billing_private.charge_reversals.organization_id is 'The tenant.';
comment on column billing_private.charge_reversals.stripe_payment_intent_id is 'Stripe''s id (pi_…) of the payment.';
comment on column billing_private.charge_reversals.stripe_charge_id is 'Stripe''s id (ch_…) of the charge that paid it.';
comment on column billing_private.charge_reversals.stripe_invoice_id is 'Stripe''s id (in_…) of the invoice that it paid; null: none.';
comment on column billing_private.charge_reversals.charged is 'What was charged.';
comment on column billing_private.charge_reversals.refunded is 'Sum of the refunds that stand.';
comment on column billing_private.charge_reversals.disputed is 'What disputes have withdrawn and not given back.';
comment on column billing_private.charge_reversals.is_waiting is 'Whether credits are still to be moved: the payment, or its grant, is not in force yet.';
comment on column billing_private.charge_reversals.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing_private.charge_reversals.stripe_fetched_at is 'When it was read at Stripe; an older reading never overwrites a newer one.';

create table billing_private.grant_reversals (
  organization_id uuid not null,
  grant_id uuid not null,
  payment_id uuid not null,
  reversed billing.credit_amount not null default 0,
  ended billing.credit_amount not null default 0,
  debt billing.credit_amount not null default 0,
  part_grant_ids uuid[] not null default '{}',
  part_amounts numeric[] not null default '{}',
  part_taken_at timestamptz[] not null default '{}',
  constraint grant_reversals_pkey primary key (organization_id, grant_id),
  constraint grant_reversals_parts_bounded check (ended + debt <= reversed),
  constraint grant_reversals_parts_complete check (
    cardinality(part_grant_ids) = cardinality(part_amounts) and cardinality(part_amounts) = cardinality(part_taken_at)
  ),
  constraint grant_reversals_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create index grant_reversals_in_debt on billing_private.grant_reversals (organization_id, grant_id) where debt > 0;
alter table billing_private.grant_reversals enable row level security;
revoke all on table billing_private.grant_reversals from public, anon, authenticated, service_role;
comment on table billing_private.grant_reversals is
'What of each bought grant is reversed, in credits: reversed = ended + debt + the sum of part_amounts.';
comment on column billing_private.grant_reversals.organization_id is 'The tenant.';
comment on column billing_private.grant_reversals.grant_id is 'The grant that the payment made.';
comment on column billing_private.grant_reversals.payment_id is 'The payment.';
comment on column billing_private.grant_reversals.reversed is 'Credits that are reversed: what its charge''s totals come to.';
comment on column billing_private.grant_reversals.ended is 'The part that had ended unused, for which nothing had to be taken.';
comment on column billing_private.grant_reversals.debt is 'The part that was spent or held, and became debt.';
comment on column billing_private.grant_reversals.part_grant_ids is 'Grants from which the other part was taken, in the order of taking.';
comment on column billing_private.grant_reversals.part_amounts is 'How much from each.';
comment on column billing_private.grant_reversals.part_taken_at is 'When, in the organization''s time.';

-- The family of a grant is found by its children.
create index credit_grants_parent on billing_private.credit_grant_lots (organization_id, parent_grant_id) where parent_grant_id is not null;

-- A grant and what holds its credits now: itself, then what was transferred, rolled over or reinstated out of it, eldest first.
create function billing_private.grant_family(p_organization_id uuid, p_grant_id uuid)
returns setof billing_private.credit_grant_lots
language sql
stable
set search_path = ''
as $$
  with recursive family as (
    select g.id, 0 as depth from billing_private.credit_grant_lots as g
    where g.organization_id = p_organization_id and g.id = p_grant_id
    union all
    select c.id, f.depth + 1
    from family as f
    inner join billing_private.credit_grant_lots as c on c.organization_id = p_organization_id and c.parent_grant_id = f.id
    where c.source in ('transfer', 'rollover') or (c.source = 'refund' and c.source_reference like 'reinstated:%')
  )
  select g.*
  from family as f
  inner join billing_private.credit_grant_lots as g on g.organization_id = p_organization_id and g.id = f.id
  order by f.depth, g.created_at, g.id
$$;
revoke all on function billing_private.grant_family(uuid, uuid) from public;

-- Reversals look for what ended; the spend's rows are not in this index.
create index credit_transactions_ended on billing.credit_transactions (organization_id, sequence) where kind in ('expire', 'void');

-- Credits of a grant's family that expired or were voided without being used, and did not come back by a late renewal (roll_over_late).
create function billing_private.ended_unused(p_organization_id uuid, p_grant_id uuid)
returns numeric
language sql
stable
set search_path = ''
as $$
  with family as (
    select f.id, f.amount, f.source_reference from billing_private.grant_family(p_organization_id, p_grant_id) as f
  )
  select (
    coalesce((
      select -sum(a.amount) from billing.credit_transactions as t
      cross join lateral unnest(t.grant_ids, t.grant_amounts) as a (grant_id, amount)
      where t.organization_id = p_organization_id and t.kind in ('expire', 'void') and a.grant_id in (select f.id from family as f)
    ), 0) - coalesce((select sum(f.amount) from family as f where f.source_reference like 'late:%'), 0)
  )::numeric
$$;
revoke all on function billing_private.ended_unused(uuid, uuid) from public;

-- Reverses p_amount more of a grant, and settles what earlier reversals of it left as debt with what its family has meanwhile got back.
-- Under the lock, after settle(). Returns the new tail; books nothing when no credits are to move.
create function billing_private.claw_back(
  p_tail billing.credit_transactions, p_state billing_private.grant_reversals, p_amount numeric, p_reason text, p_now timestamptz
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_grant billing_private.credit_grant_lots;
  v_ended constant numeric := least(
    p_amount, billing_private.ended_unused(p_state.organization_id, p_state.grant_id) - p_state.ended);
  v_owed constant numeric := p_amount - v_ended;
  v_wanted constant numeric := v_owed + least(p_state.debt, p_tail.debt_after);
  v_take numeric;
  v_ids uuid[] := '{}';
  v_amounts numeric[] := '{}';
  v_taken numeric := 0;
begin
  for v_grant in
    select g.* from billing_private.grant_family(p_state.organization_id, p_state.grant_id) as g where g.is_open and g.activated_at is not null
  loop
    v_take := least(v_wanted - v_taken, v_grant.remaining - v_grant.held);
    continue when v_take <= 0;
    v_ids := v_ids || v_grant.id;
    v_amounts := v_amounts || v_take;
    v_taken := v_taken + v_take;
  end loop;
  update billing_private.grant_reversals as r
  set
    reversed = r.reversed + p_amount, ended = r.ended + v_ended, debt = r.debt + v_owed - v_taken,
    part_grant_ids = r.part_grant_ids || v_ids, part_amounts = r.part_amounts || v_amounts,
    part_taken_at = r.part_taken_at || array_fill(p_now, array[cardinality(v_ids)])
  where r.organization_id = p_state.organization_id and r.grant_id = p_state.grant_id;
  if v_owed = 0 and v_taken = 0 then
    return p_tail;
  end if;
  update billing_private.credit_grant_lots as g
  set
    remaining = g.remaining - a.amount, is_open = g.remaining > a.amount,
    closed_reason = case when g.remaining = a.amount then 'clawed_back' end
  from unnest(v_ids, v_amounts) as a (grant_id, amount)
  where g.organization_id = p_state.organization_id and g.id = a.grant_id;
  return billing_private.append_entry(
    p_tail, 'clawback', -v_owed, p_now, v_ids, array(select -a.amount from unnest(v_amounts) with ordinality as a (amount, place) order by a.place),
    p_debt_after => p_tail.debt_after + v_owed - v_taken,
    p_detail => jsonb_build_object(
      'reason', case when v_owed = 0 then 'debt_settled' else p_reason end,
      'metadata', jsonb_build_object('payment_id', p_state.payment_id, 'grant_id', p_state.grant_id)));
end
$$;
revoke all on function billing_private.claw_back(
  billing.credit_transactions, billing_private.grant_reversals, numeric, text, timestamptz
) from public;

-- A grant of its own for credits that cannot go back to where they were taken, at the cost at which they were bought. Returns its id.
create function billing_private.put_reinstated_grant(
  p_grant billing_private.credit_grant_lots, p_amount numeric, p_now timestamptz, p_expires_at timestamptz
)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_id constant uuid := gen_random_uuid();
begin
  insert into billing_private.credit_grant_lots (
    organization_id, id, source, source_reference, amount, remaining, priority, department_id, agent_types, unit_cost, currency,
    effective_at, expires_at, activated_at, parent_grant_id, created_at
  ) values (
    p_grant.organization_id, v_id, 'refund', 'reinstated:' || v_id::text, p_amount, p_amount, p_grant.priority, p_grant.department_id,
    p_grant.agent_types, p_grant.unit_cost, p_grant.currency, p_now, p_expires_at, p_now, p_grant.id, p_now
  );
  return v_id;
end
$$;
revoke all on function billing_private.put_reinstated_grant(billing_private.credit_grant_lots, numeric, timestamptz, timestamptz) from public;

-- Reverses p_amount less of a grant. The debt is undone first; what of it other grants have repaid since comes back as a grant of its own,
-- without end, like the debt part of a refunded consumption. Then the parts, last taken first, each to the grant that it was taken from; where
-- that has ended meanwhile, to a grant of its own that lives as long as the old one had left: to its period's end, or, when it was taken after that, to
-- the end of the grace. At last what had ended unused, for which nothing was taken and nothing comes back. Under the lock, after settle().
create function billing_private.reinstate(
  p_tail billing.credit_transactions, p_state billing_private.grant_reversals, p_amount numeric, p_reason text, p_now timestamptz
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_grant billing_private.credit_grant_lots;
  v_from_debt constant numeric := least(p_state.debt, p_amount);
  v_undone constant numeric := least(v_from_debt, p_tail.debt_after);
  v_taken constant numeric := least(p_amount - v_from_debt, p_state.reversed - p_state.ended - p_state.debt);
  v_left numeric := v_taken;
  v_last integer := cardinality(p_state.part_amounts);
  v_give numeric;
  v_ids uuid[] := '{}';
  v_amounts numeric[] := '{}';
begin
  if v_from_debt > v_undone then
    select g.* into v_grant from billing_private.credit_grant_lots as g
    where g.organization_id = p_state.organization_id and g.id = p_state.grant_id;
    v_ids := v_ids || billing_private.put_reinstated_grant(v_grant, v_from_debt - v_undone, p_now, 'infinity');
    v_amounts := v_amounts || (v_from_debt - v_undone);
  end if;
  while v_left > 0 loop
    v_give := least(v_left, p_state.part_amounts[v_last]);
    select g.* into v_grant from billing_private.credit_grant_lots as g
    where g.organization_id = p_state.organization_id and g.id = p_state.part_grant_ids[v_last];
    if v_grant.expires_at > p_now and (v_grant.is_open or v_grant.closed_reason not in ('expired', 'rolled_over', 'voided')) then
      perform billing_private.return_to_grant(v_grant.organization_id, v_grant.id, v_give);
      v_ids := v_ids || v_grant.id;
    else
      v_ids := v_ids || billing_private.put_reinstated_grant(v_grant, v_give, p_now,
        case
          when v_grant.burn_by = 'infinity' then 'infinity'
          when v_grant.burn_by > p_state.part_taken_at[v_last] then p_now + (v_grant.burn_by - p_state.part_taken_at[v_last])
          else p_now + greatest(v_grant.grace_ends_at - p_state.part_taken_at[v_last], interval '0')
        end);
    end if;
    v_amounts := v_amounts || v_give;
    v_left := v_left - v_give;
    p_state.part_amounts[v_last] := p_state.part_amounts[v_last] - v_give;
    if p_state.part_amounts[v_last] = 0 then
      v_last := v_last - 1;
    end if;
  end loop;
  update billing_private.grant_reversals as r
  set
    reversed = r.reversed - p_amount, ended = r.ended - (p_amount - v_from_debt - v_taken), debt = r.debt - v_from_debt,
    part_grant_ids = p_state.part_grant_ids[:v_last], part_amounts = p_state.part_amounts[:v_last], part_taken_at = p_state.part_taken_at[:v_last]
  where r.organization_id = p_state.organization_id and r.grant_id = p_state.grant_id;
  if v_from_debt + v_taken = 0 then
    return p_tail;
  end if;
  return billing_private.append_entry(
    p_tail, 'reinstate', v_from_debt + v_taken, p_now, v_ids, v_amounts, p_debt_after => p_tail.debt_after - v_undone,
    p_detail => jsonb_build_object(
      'reason', p_reason, 'metadata', jsonb_build_object('payment_id', p_state.payment_id, 'grant_id', p_state.grant_id)));
end
$$;
revoke all on function billing_private.reinstate(
  billing.credit_transactions, billing_private.grant_reversals, numeric, text, timestamptz
) from public;
