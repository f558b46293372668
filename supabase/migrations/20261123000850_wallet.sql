-- What an organization has at an instant, right whether or not the sweeper ran: the last entry, plus what fell due since and is not booked yet.
--
-- settle() books what fell due; project_wallet() tells in advance what it will have booked by p_at, in the same order and by the same rules
-- (a free plan's renewals are made by the very functions that settle() makes them with), and writes nothing.

create type billing_private.wallet as (
  balance numeric,
  held numeric,
  debt numeric,
  lots billing_private.credit_grant_lots[] -- the grants that change on the way to p_at, as they are then, with those that come into being
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

-- The grants that what falls due up to p_at may change: those that end or begin, those that holds that end have claimed, and those of a free plan
-- that renews. As they are now: the grant being burnt with the tail's figure.
create function billing_private.lots_concerned(p_tail billing.credit_transactions, p_at timestamptz)
returns setof billing_private.credit_grant_lots
language plpgsql
stable
set search_path = ''
as $$
declare
  v_lot billing_private.credit_grant_lots;
begin
  for v_lot in
    select g.* from billing_private.credit_grant_lots as g
    where g.organization_id = p_tail.organization_id and g.id in (
      select l.id from billing_private.credit_grant_lots as l
      where l.organization_id = p_tail.organization_id and l.is_open and l.activated_at is not null and l.expires_at <= p_at
      union
      select l.id from billing_private.credit_grant_lots as l
      where l.organization_id = p_tail.organization_id and l.is_open and l.activated_at is null and l.effective_at <= p_at
      union
      select unnest(h.grant_ids) from billing.credit_holds as h
      where h.organization_id = p_tail.organization_id and h.status = 'open' and h.expires_at <= p_at
      union
      select l.id from billing.subscriptions as s
      inner join billing_private.credit_grant_lots as l
        on l.organization_id = s.organization_id and l.subscription_id = s.id and l.is_open and l.expires_at > s.current_period_start
      where s.organization_id = p_tail.organization_id and s.stripe_subscription_id is null and s.status = 'active'
        and s.current_period_end <= p_at
    )
  loop
    if v_lot.id = p_tail.head_grant_id then
      v_lot.remaining := v_lot.held + p_tail.head_available;
      v_lot.is_open := v_lot.remaining > 0;
    end if;
    return next v_lot;
  end loop;
end
$$;
revoke all on function billing_private.lots_concerned(billing.credit_transactions, timestamptz) from public;

-- A hold ends: what was metered is charged to its claims in their order, the rest let go; what is let go of a grant that is over is lost with it.
create function billing_private.project_hold_end(p_wallet billing_private.wallet, p_hold billing.credit_holds)
returns billing_private.wallet
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_lots billing_private.credit_grant_lots[] := p_wallet.lots;
  v_lot billing_private.credit_grant_lots;
  v_uncovered numeric := p_hold.metered;
  v_taken numeric;
  v_lost numeric;
  v_place integer;
begin
  for v_claim in 1 .. cardinality(p_hold.grant_ids) loop
    select s.place into v_place from generate_subscripts(v_lots, 1) as s (place) where v_lots[s.place].id = p_hold.grant_ids[v_claim];
    v_lot := v_lots[v_place];
    v_taken := least(p_hold.grant_amounts[v_claim], v_uncovered);
    v_lost := case when v_lot.is_open then 0 else p_hold.grant_amounts[v_claim] - v_taken end;
    v_uncovered := v_uncovered - v_taken;
    v_lot.held := v_lot.held - p_hold.grant_amounts[v_claim];
    v_lot.remaining := v_lot.remaining - v_taken - v_lost;
    if v_lot.is_open and v_lot.remaining = 0 then
      v_lot.is_open := false;
      v_lot.closed_reason := 'spent';
    end if;
    v_lots[v_place] := v_lot;
    p_wallet.balance := p_wallet.balance - v_lost;
  end loop;
  p_wallet.lots := v_lots;
  p_wallet.balance := p_wallet.balance - p_hold.metered;
  p_wallet.held := p_wallet.held - p_hold.amount;
  p_wallet.debt := p_wallet.debt + v_uncovered;
  return p_wallet;
end
$$;
revoke all on function billing_private.project_hold_end(billing_private.wallet, billing.credit_holds) from public;

-- A grant ends: what no hold has claimed is lost.
create function billing_private.project_end(p_wallet billing_private.wallet, p_place integer)
returns billing_private.wallet
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_wallet.lots[p_place].is_open then
    p_wallet.balance := p_wallet.balance - (p_wallet.lots[p_place].remaining - p_wallet.lots[p_place].held);
    p_wallet.lots[p_place].remaining := p_wallet.lots[p_place].held;
    p_wallet.lots[p_place].is_open := false;
    p_wallet.lots[p_place].closed_reason := 'expired';
  end if;
  return p_wallet;
end
$$;
revoke all on function billing_private.project_end(billing_private.wallet, integer) from public;

-- A grant begins: it repays debt first.
create function billing_private.project_begin(p_wallet billing_private.wallet, p_place integer, p_at timestamptz)
returns billing_private.wallet
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_repaid constant numeric := least(p_wallet.debt, p_wallet.lots[p_place].amount);
begin
  p_wallet.balance := p_wallet.balance + p_wallet.lots[p_place].amount;
  p_wallet.debt := p_wallet.debt - v_repaid;
  p_wallet.lots[p_place].activated_at := p_at;
  p_wallet.lots[p_place].remaining := p_wallet.lots[p_place].amount - v_repaid;
  if p_wallet.lots[p_place].remaining = 0 then
    p_wallet.lots[p_place].is_open := false;
    p_wallet.lots[p_place].closed_reason := 'debt_repaid';
  end if;
  return p_wallet;
end
$$;
revoke all on function billing_private.project_begin(billing_private.wallet, integer, timestamptz) from public;

-- A free plan's period ends and its next one begins with the grant p_next (of amount 0: with none; null: the plan has ended).
create function billing_private.project_renewal(
  p_wallet billing_private.wallet, p_subscription_id uuid, p_next billing_private.credit_grant_lots, p_at timestamptz
)
returns billing_private.wallet
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_rolled billing_private.credit_grant_lots;
begin
  for v_place in 1 .. coalesce(cardinality(p_wallet.lots), 0) loop
    continue when not p_wallet.lots[v_place].is_open or p_wallet.lots[v_place].subscription_id is distinct from p_subscription_id
      or p_wallet.lots[v_place].period_ends_at is null
      or (p_next.id is not null and not billing_private.is_renewed_by(p_wallet.lots[v_place], p_next, false));
    if p_next.id is not null then
      v_rolled := billing_private.rolled_lot(p_wallet.lots[v_place], p_next, p_at);
      if v_rolled.id is not null then
        p_wallet.lots := p_wallet.lots || v_rolled;
        p_wallet.lots[v_place].remaining := p_wallet.lots[v_place].remaining - v_rolled.amount;
      end if;
    end if;
    p_wallet := billing_private.project_end(p_wallet, v_place);
    p_wallet.lots[v_place].expires_at := p_at;
    if v_rolled.id is not null then
      p_wallet.lots[v_place].closed_reason := 'rolled_over';
      v_rolled := null;
    end if;
  end loop;
  if p_next.amount > 0 then
    p_wallet.lots := p_wallet.lots || p_next;
    p_wallet := billing_private.project_begin(p_wallet, cardinality(p_wallet.lots), p_at);
  end if;
  return p_wallet;
end
$$;
revoke all on function billing_private.project_renewal(
  billing_private.wallet, uuid, billing_private.credit_grant_lots, timestamptz
) from public;

-- The wallet at p_at, seen from the tail. While nothing has fallen due since, that is the tail itself.
create function billing_private.wallet_at(p_tail billing.credit_transactions, p_at timestamptz)
returns billing_private.wallet
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wallet billing_private.wallet := (p_tail.balance_after, p_tail.held_after, p_tail.debt_after, '{}');
begin
  if (p_tail.head_grant_id is not null and p_at < p_tail.turn_at) or p_at < billing_private.next_turn_at(p_tail.organization_id) then
    return v_wallet;
  end if;
  return billing_private.project_wallet(p_tail, p_at);
end
$$;
revoke all on function billing_private.wallet_at(billing.credit_transactions, timestamptz) from public;

create function billing_private.project_wallet(p_tail billing.credit_transactions, p_at timestamptz)
returns billing_private.wallet
language plpgsql
stable
set search_path = ''
as $$
declare
  v_wallet billing_private.wallet := (p_tail.balance_after, p_tail.held_after, p_tail.debt_after, '{}');
  v_known integer; -- the first so many lots are stored; those after them come into being on the way
  v_due record;
begin
  v_wallet.lots := coalesce(array(select l from billing_private.lots_concerned(p_tail, p_at) as l), '{}');
  v_known := cardinality(v_wallet.lots);
  -- Ranks as in billing_private.due_event.
  for v_due in
    select e.* from (
      select 1 as rank, h.expires_at as due_at, h.id, 0 as place, h as hold, null::billing.subscriptions as subscription
      from billing.credit_holds as h
      where h.organization_id = p_tail.organization_id and h.status = 'open' and h.expires_at <= p_at
      union all
      select 2, l.expires_at, l.id, l.ordinality::integer, null, null
      from unnest(v_wallet.lots) with ordinality as l
      where l.expires_at <= p_at
      union all
      select 3, coalesce(d.ended_at, d.current_period_start), d.id, 0, null, d
      from billing_private.due_periods(p_tail.organization_id, p_at) as d
      union all
      select 4, l.effective_at, l.id, l.ordinality::integer, null, null
      from unnest(v_wallet.lots) with ordinality as l
      where l.activated_at is null and l.effective_at <= p_at
    ) as e
    order by e.due_at, e.rank, e.id
  loop
    if v_due.rank = 1 then
      v_wallet := billing_private.project_hold_end(v_wallet, v_due.hold);
    elsif v_due.rank = 2 then
      v_wallet := billing_private.project_end(v_wallet, v_due.place);
    elsif v_due.rank = 3 then
      v_wallet := billing_private.project_renewal(
        v_wallet, v_due.id,
        case when (v_due.subscription).status = 'active' then billing_private.free_period_lot(v_due.subscription, v_due.due_at) end, v_due.due_at);
      -- What has come and gone meanwhile is nobody's concern any more.
      v_wallet.lots := v_wallet.lots[1:v_known] || array(select l from unnest(v_wallet.lots[v_known + 1:]) as l where l.is_open);
    else
      v_wallet := billing_private.project_begin(v_wallet, v_due.place, v_due.due_at);
    end if;
  end loop;
  -- A plan's credits with an expiry of their own may have come and gone on the way.
  for v_place in v_known + 1 .. cardinality(v_wallet.lots) loop
    if v_wallet.lots[v_place].expires_at <= p_at then
      v_wallet := billing_private.project_end(v_wallet, v_place);
    end if;
  end loop;
  return v_wallet;
end
$$;
revoke all on function billing_private.project_wallet(billing.credit_transactions, timestamptz) from public;

-- The grants in force at the instant of a wallet, each with what is left of it then.
create function billing_private.lots_in_force(p_tail billing.credit_transactions, p_wallet billing_private.wallet)
returns setof billing_private.credit_grant_lots
language plpgsql
stable
set search_path = ''
as $$
declare
  v_lot billing_private.credit_grant_lots;
begin
  return query
  select g.* from billing_private.credit_grant_lots as g
  where g.organization_id = p_tail.organization_id and g.is_open and g.activated_at is not null
    and g.id is distinct from p_tail.head_grant_id
    and not exists (select 1 from unnest(p_wallet.lots) as l where l.id = g.id);
  return query
  select l.* from unnest(p_wallet.lots) as l where l.is_open and l.activated_at is not null;
  if p_tail.head_grant_id is not null and not exists (select 1 from unnest(p_wallet.lots) as l where l.id = p_tail.head_grant_id) then
    select g.* into v_lot from billing_private.credit_grant_lots as g
    where g.organization_id = p_tail.organization_id and g.id = p_tail.head_grant_id;
    v_lot.remaining := v_lot.held + p_tail.head_available;
    return next v_lot;
  end if;
end
$$;
revoke all on function billing_private.lots_in_force(billing.credit_transactions, billing_private.wallet) from public;

-- What grants could pay for a spender at p_at, whatever the debt: a sum over open grants, for refusals and quotes, never for a decision to pay.
create function billing_private.eligible_credits(p_tail billing.credit_transactions, p_department_id uuid, p_agent_type text, p_at timestamptz)
returns numeric
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(sum(g.remaining - g.held), 0)::numeric
    from billing_private.lots_in_force(p_tail, billing_private.wallet_at(p_tail, p_at)) as g
    where (g.department_id is null or g.department_id = p_department_id)
      and (g.agent_types is null or p_agent_type = any(g.agent_types))
  );
end
$$;
revoke all on function billing_private.eligible_credits(billing.credit_transactions, uuid, text, timestamptz) from public;
