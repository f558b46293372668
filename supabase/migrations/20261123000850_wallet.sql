-- What an organization has at an instant, right whether or not the sweeper ran: the last entry, plus what fell due since and is not booked yet.

create type billing_private.wallet as (
  balance numeric,
  held numeric,
  debt numeric,
  begun_ids uuid[],      -- grants that began and no sweep has booked yet,
  begun_amounts numeric[] -- and what the debt left of them
);

create type billing.credit_check as (
  allowed boolean,
  amount numeric,
  available numeric,
  reason text,
  "limit" jsonb,
  topup_url text
);
comment on type billing.credit_check is
'Whether a spend would pass: its price, what could be spent on it, and, if not allowed, the slug of the refusal, the limit that blocks, and where to top up.';

-- What the open holds that end by p_at have claimed of each grant, and how much of that was metered and will be captured.
create function billing_private.due_claims(p_organization_id uuid, p_at timestamptz)
returns table (grant_id uuid, claimed numeric, metered numeric)
language sql
stable
set search_path = ''
as $$
  select c.grant_id, sum(c.amount), sum(greatest(least(c.amount, c.hold_metered - (c.reached - c.amount)), 0))
  from (
    select a.grant_id, a.amount, h.metered::numeric as hold_metered, sum(a.amount) over (partition by h.id order by a.place) as reached
    from billing.credit_holds as h
    cross join lateral unnest(h.grant_ids, h.grant_amounts) with ordinality as a (grant_id, amount, place)
    where h.organization_id = p_organization_id and h.status = 'open' and h.expires_at <= p_at
  ) as c
  group by c.grant_id
$$;
revoke all on function billing_private.due_claims(uuid, timestamptz) from public;

-- The wallet at p_at, seen from the tail: holds and grants that ended and grants that began up to p_at, and that no sweep has booked, are counted
-- as if it had. Grants that begin repay debt in their order; what a grant repaid stays repaid even if the rest of it has expired since.
create function billing_private.wallet_at(p_tail billing.credit_transactions, p_at timestamptz)
returns billing_private.wallet
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wallet billing_private.wallet;
  v_due record;
  v_repaid numeric;
begin
  v_wallet := (p_tail.balance_after, p_tail.held_after, p_tail.debt_after, '{}', '{}');
  if p_tail.head_grant_id is not null and p_at < p_tail.turn_at then
    return v_wallet;
  end if;
  for v_due in
    select 1 as rank, h.expires_at as due_at, h.id, h.amount::numeric as amount, h.metered::numeric as metered,
      greatest(h.metered - coalesce((select sum(a) from unnest(h.grant_amounts) as a), 0), 0) as uncovered,
      null::timestamptz as expires_at, null::numeric as losable
    from billing.credit_holds as h
    where h.organization_id = p_tail.organization_id and h.status = 'open' and h.expires_at <= p_at
    union all
    select case when g.activated_at is null then 3 else 2 end,
      case when g.activated_at is null then g.effective_at else g.expires_at end, g.id, g.amount, null, null, g.expires_at,
      case
        when not g.is_open then 0
        when g.id = p_tail.head_grant_id then p_tail.head_available::numeric
        else g.remaining::numeric - g.held::numeric
      end + coalesce(c.claimed - c.metered, 0)
    from billing_private.credit_grant_lots as g
    left join billing_private.due_claims(p_tail.organization_id, p_at) as c on c.grant_id = g.id
    where g.organization_id = p_tail.organization_id
      and (
        (g.is_open and g.activated_at is null and g.effective_at <= p_at)
        or (g.is_open and g.activated_at is not null and g.expires_at <= p_at)
        or (not g.is_open and g.held > 0 and c.grant_id is not null)
      )
    order by 2, 1, 3
  loop
    if v_due.rank = 1 then
      v_wallet.balance := v_wallet.balance - v_due.metered;
      v_wallet.held := v_wallet.held - v_due.amount;
      v_wallet.debt := v_wallet.debt + v_due.uncovered;
    elsif v_due.rank = 2 then
      v_wallet.balance := v_wallet.balance - v_due.losable;
    else
      v_repaid := least(v_wallet.debt, v_due.amount);
      v_wallet.debt := v_wallet.debt - v_repaid;
      v_wallet.balance := v_wallet.balance + v_due.amount;
      if v_due.expires_at <= p_at then
        v_wallet.balance := v_wallet.balance - (v_due.amount - v_repaid);
      else
        v_wallet.begun_ids := v_wallet.begun_ids || v_due.id;
        v_wallet.begun_amounts := v_wallet.begun_amounts || (v_due.amount - v_repaid);
      end if;
    end if;
  end loop;
  return v_wallet;
end
$$;
revoke all on function billing_private.wallet_at(billing.credit_transactions, timestamptz) from public;

-- What grants could pay for a spender at p_at, whatever the debt: a sum over open grants, for refusals and quotes, never for a decision to pay.
-- Holds and grants that ended or began unswept are counted as they are at p_at.
create function billing_private.eligible_credits(p_tail billing.credit_transactions, p_department_id uuid, p_agent_type text, p_at timestamptz)
returns numeric
language sql
stable
set search_path = ''
as $$
  select coalesce(sum(
    case when g.id = p_tail.head_grant_id then p_tail.head_available::numeric else g.remaining::numeric - g.held::numeric end
    + coalesce(c.claimed - c.metered, 0)
  ), 0)
  from billing_private.credit_grant_lots as g
  left join billing_private.due_claims(p_tail.organization_id, p_at) as c on c.grant_id = g.id
  where g.organization_id = p_tail.organization_id and g.is_open
    and g.effective_at <= p_at and g.expires_at > p_at
    and (g.department_id is null or g.department_id = p_department_id)
    and (g.agent_types is null or p_agent_type = any(g.agent_types))
$$;
revoke all on function billing_private.eligible_credits(billing.credit_transactions, uuid, text, timestamptz) from public;

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

-- What each grant had at an entry: what it has now, plus what later entries took (and minus what they gave). Of the present, what is held is left
-- out, for it does not expire; of the past, entries do not tell what was held.
create function billing_private.grants_at(p_tail billing.credit_transactions, p_sequence bigint)
returns table (grant_id uuid, unheld numeric, effective_at timestamptz, expires_at timestamptz, amount numeric, is_pending boolean)
language sql
stable
set search_path = ''
as $$
  with moved_later as (
    select a.grant_id, sum(a.amount) as amount
    from billing.credit_transactions as t
    cross join lateral billing_private.entry_allocations(t) as a
    where t.organization_id = p_tail.organization_id and t.sequence > p_sequence
    group by a.grant_id
  )
  select
    g.id,
    case when g.id = p_tail.head_grant_id then p_tail.head_available::numeric else g.remaining::numeric - g.held::numeric end
    + case when p_sequence < p_tail.sequence then g.held::numeric else 0 end
    - coalesce(m.amount, 0),
    g.effective_at, g.expires_at, g.amount::numeric, g.activated_at is null
  from billing_private.credit_grant_lots as g
  left join moved_later as m on m.grant_id = g.id
  where g.organization_id = p_tail.organization_id and (g.is_open or m.grant_id is not null)
$$;
revoke all on function billing_private.grants_at(billing.credit_transactions, bigint) from public;

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
  v_at timestamptz;
  v_answer billing.credit_balance;
begin
  select o.* into v_organization from billing.organizations as o
  where o.organization_id = billing_private.readable_organization(p_organization_id);
  v_tail := billing_private.ledger_tail(v_organization.organization_id);
  v_at := coalesce(p_as_of, greatest(billing_private.ledger_now(v_organization.test_clock), v_tail.created_at));
  v_entry := billing_private.entry_as_of(v_tail, v_at);
  v_wallet := case
    when v_entry.sequence = v_tail.sequence then billing_private.wallet_at(v_tail, v_at)
    else (v_entry.balance_after, v_entry.held_after, v_entry.debt_after, '{}', '{}')::billing_private.wallet
  end;
  select
    coalesce(sum(g.amount) filter (where g.effective_at > v_at), 0),
    coalesce(jsonb_agg(
      jsonb_build_object('grant_id', g.grant_id, 'effective_at', g.effective_at, 'amount', g.amount) order by g.effective_at, g.grant_id
    ) filter (where g.effective_at > v_at), '[]')
  into v_answer.pending, v_answer.pending_grants
  from billing_private.grants_at(v_tail, v_entry.sequence) as g
  where g.is_pending;
  select coalesce(jsonb_agg(jsonb_build_object('expires_at', e.expires_at, 'amount', e.amount) order by e.expires_at), '[]')
  into v_answer.expiring
  from (
    select g.expires_at, sum(left_of.amount) as amount
    from billing_private.grants_at(v_tail, v_entry.sequence) as g
    left join billing_private.due_claims(v_organization.organization_id, v_at) as c
      on c.grant_id = g.grant_id and v_entry.sequence = v_tail.sequence
    cross join lateral (
      select case
        when g.is_pending then coalesce(v_wallet.begun_amounts[array_position(v_wallet.begun_ids, g.grant_id)], 0)
        else g.unheld + coalesce(c.claimed - c.metered, 0)
      end as amount
    ) as left_of
    where g.expires_at < 'infinity' and g.expires_at > v_at and g.effective_at <= v_at and left_of.amount > 0
    group by g.expires_at
    order by g.expires_at
    limit 10
  ) as e;
  v_answer.organization_id := v_organization.organization_id;
  v_answer.balance := v_wallet.balance;
  v_answer.held := v_wallet.held;
  v_answer.available := v_wallet.balance - v_wallet.held;
  v_answer.debt := v_wallet.debt;
  v_answer.restricted_reason := v_organization.restricted_reason;
  v_answer.is_blocked := v_answer.available + v_organization.overdraft_limit <= 0 or v_organization.restricted_reason is not null;
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
returns table (sequence bigint, balance numeric, held numeric, debt numeric, updated_at timestamptz)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_tail constant billing.credit_transactions := billing_private.ledger_tail(p_organization_id);
  v_wallet billing_private.wallet;
begin
  if not billing_private.caller_is_service()
    and not p_organization_id = any(array(select billing_private.my_organization_ids())) then
    return;
  end if;
  v_wallet := billing_private.wallet_at(v_tail, greatest(billing_private.ledger_now(p_test_clock), v_tail.created_at));
  return query select v_tail.sequence, v_wallet.balance, v_wallet.held, v_wallet.debt, nullif(v_tail.created_at, '-infinity');
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
  o.restricted_reason,
  w.balance - w.held + o.overdraft_limit <= 0 or o.restricted_reason is not null as is_blocked,
  w.sequence,
  w.updated_at
from billing.organizations as o
cross join lateral billing_private.live_wallet(o.organization_id, o.test_clock) as w;
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
