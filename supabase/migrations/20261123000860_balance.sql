-- Reading a balance: now, or as of any instant.

-- The last entry dated at or before p_at, or the empty wallet. Entries are dated in the order of their sequence, so a bisection over the
-- primary key finds it without an index on time.
create function billing_private.entry_as_of(p_tail billing.credit_transactions, p_at timestamptz)
returns billing.credit_transactions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_low bigint := 0;
  v_high bigint := p_tail.sequence;
  v_middle bigint;
  v_created_at timestamptz;
  v_entry billing.credit_transactions;
begin
  while v_low < v_high loop
    v_middle := (v_low + v_high + 1) / 2;
    select t.created_at into v_created_at from billing.credit_transactions as t
    where t.organization_id = p_tail.organization_id and t.sequence = v_middle;
    if v_created_at <= p_at then
      v_low := v_middle;
    else
      v_high := v_middle - 1;
    end if;
  end loop;
  if v_low = p_tail.sequence then
    return p_tail;
  end if;
  select t.* into v_entry from billing.credit_transactions as t
  where t.organization_id = p_tail.organization_id and t.sequence = v_low;
  if not found then
    v_entry.organization_id := p_tail.organization_id;
    v_entry.sequence := 0;
    v_entry.balance_after := 0;
    v_entry.held_after := 0;
    v_entry.debt_after := 0;
  end if;
  return v_entry;
end
$$;
revoke all on function billing_private.entry_as_of(billing.credit_transactions, timestamptz) from public;

create type billing.credit_balance as (
  organization_id uuid,
  balance numeric,
  held numeric,
  available numeric,
  debt numeric,
  pending numeric,
  pending_grants jsonb,
  expiring jsonb,
  restricted_reason text,
  is_blocked boolean,
  as_of timestamptz
);
comment on type billing.credit_balance is
'An organization''s credits at an instant. available = balance - held; pending: grants not yet in force; expiring: what would be lost, and when.';

-- Who may read a balance: any member, the organization's own agent keys, the service. Returns the organization or raises 403 not_authorized,
-- 401 agent_key_invalid, 422 invalid_argument (several organizations, none named).
create function billing_private.readable_organization(p_organization_id uuid)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  v_ids uuid[];
begin
  if billing_private.caller_role() = 'authenticated' then
    v_ids := array(
      select i from billing_private.my_organization_ids() as i where p_organization_id is null or i = p_organization_id
    );
    if cardinality(v_ids) = 0 then
      perform billing_private.fail(403, 'not_authorized');
    elsif cardinality(v_ids) > 1 then
      perform billing_private.fail(422, 'invalid_argument', '{"argument": "organization_id"}',
        'you belong to several organizations: name one');
    end if;
    return v_ids[1];
  end if;
  return (billing_private.identify_spender(p_organization_id, null, null)).organization_id;
end
$$;
revoke all on function billing_private.readable_organization(uuid) from public;

-- A grant as a reading sees it: what is left and not held, and, of what is left, how much is lost when, if nothing more is spent.
create type billing_private.grant_as_of as (
  grant_id uuid,
  unheld numeric,
  effective_at timestamptz,
  amount numeric,
  is_pending boolean,
  lost_at timestamptz,
  rolling numeric
);

-- A plan's credits are lost at their period's end while that is ahead, but for what rolls over if the subscription goes on; then at the end of
-- the grace in which the renewal is awaited.
create function billing_private.as_of(p_lot billing_private.credit_grant_lots, p_unheld numeric, p_at timestamptz)
returns billing_private.grant_as_of
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_is_period_ahead constant boolean := coalesce(p_lot.period_ends_at > p_at, false);
begin
  return (
    p_lot.id, p_unheld, p_lot.effective_at, p_lot.amount, p_lot.activated_at is null,
    case when v_is_period_ahead then least(p_lot.expires_at, p_lot.period_ends_at) else p_lot.expires_at end,
    case
      when v_is_period_ahead and (p_lot.period_ends_at < p_lot.expires_at or p_lot.closed_reason = 'rolled_over')
        then least(coalesce(p_lot.rollover_cap, 0), p_unheld)
      else 0
    end
  )::billing_private.grant_as_of;
end
$$;
revoke all on function billing_private.as_of(billing_private.credit_grant_lots, numeric, timestamptz) from public;

-- What each grant had at a past entry: what it has now, plus what later entries took (and minus what they gave). Entries do not tell what was
-- held then.
create function billing_private.grants_at(p_tail billing.credit_transactions, p_sequence bigint, p_at timestamptz)
returns setof billing_private.grant_as_of
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  with moved_later as (
    select a.grant_id, sum(a.amount) as amount
    from billing.credit_transactions as t
    cross join lateral billing_private.entry_allocations(t) as a
    where t.organization_id = p_tail.organization_id and t.sequence > p_sequence
    group by a.grant_id
  )
  select a.*
  from billing_private.credit_grant_lots as g
  left join moved_later as m on m.grant_id = g.id
  cross join lateral billing_private.as_of(
    g,
    case when g.id = p_tail.head_grant_id then p_tail.head_available::numeric else g.remaining::numeric - g.held::numeric end
    + g.held::numeric - coalesce(m.amount, 0),
    p_at
  ) as a
  where g.organization_id = p_tail.organization_id and (g.is_open or m.grant_id is not null);
end
$$;
revoke all on function billing_private.grants_at(billing.credit_transactions, bigint, timestamptz) from public;

-- Each grant as it is now, what is still to come included. What is held is left out, for it does not expire.
create function billing_private.grants_now(p_tail billing.credit_transactions, p_wallet billing_private.wallet, p_at timestamptz)
returns setof billing_private.grant_as_of
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select a.*
  from billing_private.lots_in_force(p_tail, p_wallet) as g
  cross join lateral billing_private.as_of(g, g.remaining - g.held, p_at) as a
  union all
  select a.*
  from billing_private.credit_grant_lots as g
  cross join lateral billing_private.as_of(g, 0, p_at) as a
  where g.organization_id = p_tail.organization_id and g.is_open and g.activated_at is null and g.effective_at > p_at;
end
$$;
revoke all on function billing_private.grants_now(billing.credit_transactions, billing_private.wallet, timestamptz) from public;

create function billing_private.get_credit_balance(p_organization_id uuid, p_as_of timestamptz)
returns billing.credit_balance
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_organization billing.organizations;
  v_tail billing.credit_transactions;
  v_entry billing.credit_transactions;
  v_wallet billing_private.wallet;
  v_grants billing_private.grant_as_of[];
  v_at timestamptz;
  v_answer billing.credit_balance;
begin
  select o.* into v_organization from billing.organizations as o
  where o.organization_id = billing_private.readable_organization(p_organization_id);
  if not isfinite(p_as_of) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "as_of"}', 'as_of is a finite instant');
  end if;
  v_tail := billing_private.ledger_tail(v_organization.organization_id);
  v_at := coalesce(p_as_of, greatest(billing_private.ledger_now(v_organization.test_clock), v_tail.created_at));
  v_entry := billing_private.entry_as_of(v_tail, v_at);
  if v_entry.sequence = v_tail.sequence then
    v_wallet := billing_private.wallet_at(v_tail, v_at);
    v_grants := array(select g from billing_private.grants_now(v_tail, v_wallet, v_at) as g);
  else
    v_wallet := (v_entry.balance_after, v_entry.held_after, v_entry.debt_after, '{}');
    v_grants := array(select g from billing_private.grants_at(v_tail, v_entry.sequence, v_at) as g);
  end if;
  select
    coalesce(sum(g.amount), 0),
    coalesce(jsonb_agg(
      jsonb_build_object('grant_id', g.grant_id, 'effective_at', g.effective_at, 'amount', g.amount) order by g.effective_at, g.grant_id
    ), '[]')
  into v_answer.pending, v_answer.pending_grants
  from unnest(v_grants) as g
  where g.is_pending and g.effective_at > v_at;
  select coalesce(jsonb_agg(jsonb_build_object('expires_at', e.lost_at, 'amount', e.amount) order by e.lost_at), '[]')
  into v_answer.expiring
  from (
    select g.lost_at, sum(g.unheld - g.rolling) as amount
    from unnest(v_grants) as g
    where g.lost_at < 'infinity' and g.lost_at > v_at and g.effective_at <= v_at and g.unheld > g.rolling
    group by g.lost_at
    order by g.lost_at
    limit 10
  ) as e;
  v_answer.organization_id := v_organization.organization_id;
  v_answer.balance := v_wallet.balance;
  v_answer.held := v_wallet.held;
  v_answer.available := v_wallet.balance - v_wallet.held;
  v_answer.debt := v_wallet.debt;
  v_answer.restricted_reason := case
    when coalesce(v_organization.restricted_from, '-infinity') <= v_at then v_organization.restricted_reason
  end;
  v_answer.is_blocked := v_answer.available + v_organization.overdraft_limit <= 0 or v_answer.restricted_reason is not null;
  v_answer.as_of := v_at;
  return v_answer;
end
$$;
revoke all on function billing_private.get_credit_balance(uuid, timestamptz) from public;
grant execute on function billing_private.get_credit_balance(uuid, timestamptz) to anon, authenticated, service_role;

create function billing.get_credit_balance(organization_id uuid default null, as_of timestamptz default null)
returns billing.credit_balance
language sql
stable
set search_path = ''
return billing_private.get_credit_balance(organization_id, as_of);
revoke all on function billing.get_credit_balance(uuid, timestamptz) from public;
grant execute on function billing.get_credit_balance(uuid, timestamptz) to anon, authenticated, service_role;
comment on function billing.get_credit_balance(uuid, timestamptz) is
'An organization''s credits now, or as of any instant: balance, held, available, debt, pending and expiring grants. For members, agents, the service.';

-- One row of the view billing.credit_balances: the live wallet of an organization that the view's caller may see.
create function billing_private.live_wallet(p_organization_id uuid, p_test_clock timestamptz)
returns table (sequence bigint, balance numeric, held numeric, debt numeric, updated_at timestamptz, as_of timestamptz)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_tail constant billing.credit_transactions := billing_private.ledger_tail(p_organization_id);
  v_wallet billing_private.wallet;
  v_at timestamptz;
begin
  if not billing_private.caller_is_service()
    and not p_organization_id = any(array(select billing_private.my_organization_ids())) then
    return;
  end if;
  v_at := greatest(billing_private.ledger_now(p_test_clock), v_tail.created_at);
  v_wallet := billing_private.wallet_at(v_tail, v_at);
  return query select v_tail.sequence, v_wallet.balance, v_wallet.held, v_wallet.debt, nullif(v_tail.created_at, '-infinity'), v_at;
end
$$;
revoke all on function billing_private.live_wallet(uuid, timestamptz) from public;
grant execute on function billing_private.live_wallet(uuid, timestamptz) to authenticated, service_role;

create view billing.credit_balances with (security_invoker = true) as
select
  o.organization_id,
  w.balance,
  w.held,
  w.balance - w.held as available,
  w.debt,
  r.reason as restricted_reason,
  w.balance - w.held + o.overdraft_limit <= 0 or r.reason is not null as is_blocked,
  w.sequence,
  w.updated_at
from billing.organizations as o
cross join lateral billing_private.live_wallet(o.organization_id, o.test_clock) as w
cross join lateral (
  select case when coalesce(o.restricted_from, '-infinity') <= w.as_of then o.restricted_reason end as reason
) as r;
revoke all on table billing.credit_balances from public, anon, authenticated, service_role;
grant select on table billing.credit_balances to authenticated, service_role;
comment on view billing.credit_balances is
'The live wallet of each organization the caller belongs to: a view over the last ledger entry, so that it can never disagree with the ledger.';
comment on column billing.credit_balances.organization_id is 'The tenant.';
comment on column billing.credit_balances.balance is 'Credits left of active grants, less debt; below 0 when more is owed than there is.';
comment on column billing.credit_balances.held is 'Credits that open holds have claimed.';
comment on column billing.credit_balances.available is 'balance less held.';
comment on column billing.credit_balances.debt is 'Credits owed, which the next grant repays first.';
comment on column billing.credit_balances.restricted_reason is 'Why spending is refused (past_due, dispute, paused); null: it is not.';
comment on column billing.credit_balances.is_blocked is 'Whether every spend above 0 would be refused: nothing available, or restricted.';
comment on column billing.credit_balances.sequence is 'The last ledger entry; 0: none yet.';
comment on column billing.credit_balances.updated_at is 'When the last entry counts; null: none yet.';
