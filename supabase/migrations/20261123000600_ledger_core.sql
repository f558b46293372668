-- The ledger's core: ids, the clock, the one lock, the burn-down order, the sweep, and how an entry is appended.
--
-- Lock order, everywhere: the organization's lock -> limit counters by id -> grants in burn-down order. Several organizations: in the order
-- of the lock key (ledger_number). Every function below that says "under the lock" is called with the organization's lock held and reads the
-- tail in a statement of its own after that, so that it sees the last commit.

-- A transaction's id says where it lies: 48 bits of ledger number, version 8, then the sequence. So it needs no index of its own, and
-- (organization_id, sequence) can be found from it.
create function billing_private.transaction_id(p_ledger_number bigint, p_sequence bigint)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (lpad(to_hex(p_ledger_number), 12, '0') || '8000' || to_hex(p_sequence | (-9223372036854775808)))::uuid;
end
$$;
revoke all on function billing_private.transaction_id(bigint, bigint) from public;

-- The sequence in a transaction's id.
create function billing_private.transaction_sequence(p_transaction_id uuid)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
begin
  return ('x' || substr(replace(p_transaction_id::text, '-', ''), 17))::bit(64)::bigint & 9223372036854775807;
end
$$;
revoke all on function billing_private.transaction_sequence(uuid) from public;

-- The transaction of an id, or no row. Unknown, malformed and foreign ids alike find nothing.
create function billing_private.find_transaction(p_transaction_id uuid)
returns setof billing.credit_transactions
language plpgsql -- a function in SQL that pins its search_path is planned at every call, and partitions make that dear
stable
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
begin
  return query
  select t.*
  from billing.organizations as o
  inner join billing.credit_transactions as t
    on t.organization_id = o.organization_id and t.sequence = billing_private.transaction_sequence(p_transaction_id)
  where o.ledger_number = ('x' || substr(replace(p_transaction_id::text, '-', ''), 1, 12))::bit(48)::bigint
    and t.id = p_transaction_id;
end
$$;
revoke all on function billing_private.find_transaction(uuid) from public;

-- The one source of time for every rule: a test organization has a clock of its own, all others the wall clock (not the start of the
-- transaction: a spend that waited for its lock is dated when it got it).
create function billing_private.ledger_now(p_test_clock timestamptz)
returns timestamptz
language plpgsql
volatile
set search_path = ''
as $$
begin
  return coalesce(p_test_clock, clock_timestamp());
end
$$;
revoke all on function billing_private.ledger_now(timestamptz) from public;
grant execute on function billing_private.ledger_now(timestamptz) to authenticated, service_role;

-- The same for an organization that is only named; null: the wall clock.
create function billing_private.organization_now(p_organization_id uuid)
returns timestamptz
language plpgsql
volatile
set search_path = ''
as $$
begin
  return billing_private.ledger_now((select o.test_clock from billing.organizations as o where o.organization_id = p_organization_id));
end
$$;
revoke all on function billing_private.organization_now(uuid) from public;

-- Waits for an organization's lock, in an orderly queue: each waiter first takes one of the organization's places. Raises busy (safe to retry:
-- nothing has been written): 503 when the lock was not had within 2 s, 429 at once when all places are taken. With the setting `queue_places` (64)
-- below the pool's size, the callers of one organization cannot keep every pooled connection from the others. Not 503 there, too: PostgREST takes
-- any 503 for a lost database, drops its pool and loads its schema cache anew (docs/decisions/0019-a-full-queue-is-429.md).
create function billing_private.wait_for_lock(p_ledger_number bigint)
returns void
language plpgsql
set search_path = ''
set lock_timeout = '2s'
as $$
declare
  v_places constant integer := billing_private.setting('queue_places', '64')::integer;
  v_queue constant integer := (p_ledger_number % 2147483647)::integer;
  v_first constant integer := floor(random() * v_places)::integer;
  v_place integer := 0;
begin
  while not pg_catalog.pg_try_advisory_xact_lock(v_queue, (v_first + v_place) % v_places) loop
    v_place := v_place + 1;
    if v_place >= v_places then
      perform billing_private.fail(429, 'busy', null, 'Try again with the same idempotency key.');
    end if;
  end loop;
  perform pg_catalog.pg_advisory_xact_lock(p_ledger_number);
exception when lock_not_available then
  perform billing_private.fail(503, 'busy', null, 'Try again with the same idempotency key.');
end
$$;
revoke all on function billing_private.wait_for_lock(bigint) from public;

-- Takes the organization's lock for the rest of the transaction. 404 not_found for an unknown organization, 503 busy when the lock was not had
-- within 2 s (safe to retry: nothing has been written).
create function billing_private.lock_organization(p_organization_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_ledger_number bigint;
begin
  select o.ledger_number into v_ledger_number
  from billing.organizations as o where o.organization_id = p_organization_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "organization"}');
  end if;
  if not pg_catalog.pg_try_advisory_xact_lock(v_ledger_number) then
    perform billing_private.wait_for_lock(v_ledger_number);
  end if;
end
$$;
revoke all on function billing_private.lock_organization(uuid) from public;

-- The last entry of an organization's ledger; for a new organization, the empty wallet (sequence 0). Stable, so that a reader sees it in the one
-- snapshot in which it reads holds and grants; a writer reads it in a statement of its own after the lock.
create function billing_private.ledger_tail(p_organization_id uuid)
returns billing.credit_transactions
language plpgsql
stable
set search_path = ''
as $$
declare
  v_tail billing.credit_transactions;
begin
  select t.* into v_tail
  from billing.credit_transactions as t
  where t.organization_id = p_organization_id
  order by t.sequence desc limit 1;
  if not found then
    v_tail.organization_id := p_organization_id;
    v_tail.sequence := 0;
    v_tail.created_at := '-infinity';
    v_tail.turn_at := '-infinity';
    v_tail.has_scoped_grants := false;
    v_tail.balance_after := 0;
    v_tail.held_after := 0;
    v_tail.debt_after := 0;
    v_tail.head_available := 0;
  end if;
  return v_tail;
end
$$;
revoke all on function billing_private.ledger_tail(uuid) from public;

-- The burn-down order, defined here and nowhere else: priority ascending, grants scoped to the caller before unscoped ones, the earliest
-- expected end first (expiry, or the end of a plan's period) and never last, the cheapest basis first (promotional before paid), then effective_at and id. Spends and holds take from it.
-- The index credit_grants_burn_down has the same order, so that the first of 100,000 grants is one index step away.
-- Callers that stop at the first rows forbid sorts: the planner thinks that they read all, and would sort 100,000 for the sake of one.
create function billing_private.burn_down(p_organization_id uuid, p_department_id uuid, p_agent_type text)
returns setof billing_private.credit_grant_lots
language sql
stable
as $$
  select g.*
  from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id
    and g.is_open and g.activated_at is not null
    and (g.department_id is null or g.department_id = p_department_id)
    and (g.agent_types is null or p_agent_type = any(g.agent_types))
  order by g.organization_id, g.priority, g.is_scoped desc, g.burn_by, g.unit_cost, g.effective_at, g.id
$$;
revoke all on function billing_private.burn_down(uuid, uuid, text) from public;

-- Appends one entry (all but plain consumptions, which book_consumption inserts itself) and returns it as the new tail. Under the lock, after
-- settle(): the new tail has no head, so the next spend looks the grants up again. 422 invalid_amount for what no balance can hold.
create function billing_private.append_entry(
  p_tail billing.credit_transactions, p_kind text, p_amount numeric, p_created_at timestamptz,
  p_grant_ids uuid[], p_grant_amounts numeric[],
  p_debt_after numeric default null, p_held_after numeric default null, p_detail jsonb default '{}'
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_entry billing.credit_transactions;
begin
  if abs(p_tail.balance_after + p_amount) >= 1e14 then
    perform billing_private.fail(422, 'invalid_amount',
      jsonb_build_object('argument', case p_kind when 'adjust' then 'delta' else 'amount' end), 'a balance is below 1e14');
  end if;
  insert into billing.credit_transactions (
    organization_id, sequence, created_at, turn_at, id, has_scoped_grants, kind, amount, balance_after, held_after, debt_after,
    grant_ids, grant_amounts, department_id, user_id, hold_id, source_transaction_id, agent_type, action, agent_key_id, run_id,
    idempotency_key, reason, metadata, announced_at, quantities, requested_amount, price_ids, limits
  )
  select
    p_tail.organization_id, p_tail.sequence + 1, greatest(p_created_at, p_tail.created_at), '-infinity',
    billing_private.transaction_id(o.ledger_number, p_tail.sequence + 1), false, p_kind, p_amount, p_tail.balance_after + p_amount,
    coalesce(p_held_after, p_tail.held_after), coalesce(p_debt_after, p_tail.debt_after),
    p_grant_ids, p_grant_amounts,
    (p_detail ->> 'department_id')::uuid, (p_detail ->> 'user_id')::uuid, (p_detail ->> 'hold_id')::uuid,
    (p_detail ->> 'source_transaction_id')::uuid, p_detail ->> 'agent_type', p_detail ->> 'action', p_detail ->> 'agent_key_id',
    p_detail ->> 'run_id', p_detail ->> 'idempotency_key', p_detail ->> 'reason', p_detail -> 'metadata',
    billing_private.announce_ledger(p_tail.organization_id, p_tail.sequence + 1, p_tail.announced_at),
    nullif(p_detail -> 'quantities', 'null'), (p_detail ->> 'requested_amount')::numeric,
    (select array_agg(i.price_id::bigint) from jsonb_array_elements_text(p_detail -> 'price_ids') as i (price_id)),
    nullif(p_detail -> 'limits', 'null')
  from billing.organizations as o
  where o.organization_id = p_tail.organization_id
  returning * into v_entry;
  return v_entry;
end
$$;
revoke all on function billing_private.append_entry(
  billing.credit_transactions, text, numeric, timestamptz, uuid[], numeric[], numeric, numeric, jsonb
) from public;

-- Writes the head's figure back to its grant; returns the tail without a head. Under the lock.
create function billing_private.write_back_head(p_tail billing.credit_transactions)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
begin
  if p_tail.head_grant_id is not null then
    update billing_private.credit_grant_lots as g
    set
      remaining = g.held + p_tail.head_available,
      is_open = p_tail.head_available > 0 or g.held > 0,
      closed_reason = case when p_tail.head_available = 0 and g.held = 0 then 'spent' end
    where g.organization_id = p_tail.organization_id and g.id = p_tail.head_grant_id;
    p_tail.head_grant_id := null;
    p_tail.head_available := 0;
    p_tail.turn_at := '-infinity';
  end if;
  return p_tail;
end
$$;
revoke all on function billing_private.write_back_head(billing.credit_transactions) from public;

-- A grant begins to count: it repays debt first, and the rest can be spent. Under the lock, after write_back_head().
create function billing_private.activate_grant(
  p_tail billing.credit_transactions, p_grant billing_private.credit_grant_lots, p_at timestamptz
)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_repaid constant numeric := least(p_tail.debt_after, p_grant.amount);
begin
  update billing_private.credit_grant_lots as g
  set
    activated_at = p_at,
    remaining = p_grant.amount - v_repaid,
    is_open = p_grant.amount > v_repaid,
    closed_reason = case when p_grant.amount = v_repaid then 'debt_repaid' end
  where g.organization_id = p_grant.organization_id and g.id = p_grant.id;
  return billing_private.append_entry(
    p_tail, 'grant', p_grant.amount, p_at, array[p_grant.id], array[p_grant.amount],
    p_debt_after => p_tail.debt_after - v_repaid,
    p_detail => jsonb_strip_nulls(jsonb_build_object('reason', p_grant.source, 'department_id', p_grant.department_id))
  );
end
$$;
revoke all on function billing_private.activate_grant(
  billing.credit_transactions, billing_private.credit_grant_lots, timestamptz
) from public;

-- A grant ends: what is left of it and not held is booked as one `expire` entry, dated at expires_at. What a hold has claimed can still be
-- captured; it is no longer open to other spends. Under the lock.
create function billing_private.expire_grant(p_tail billing.credit_transactions, p_grant billing_private.credit_grant_lots)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_lost constant numeric := p_grant.remaining - p_grant.held;
begin
  update billing_private.credit_grant_lots as g
  set remaining = g.held, is_open = false, closed_reason = 'expired'
  where g.organization_id = p_grant.organization_id and g.id = p_grant.id;
  if p_grant.remaining = 0 then
    return p_tail;
  end if;
  -- Booked even when holds have claimed all that is left: that the grant has ended is a fact, and entries are where facts are.
  return billing_private.append_entry(
    p_tail, 'expire', -v_lost, p_grant.expires_at, array[p_grant.id], array[-v_lost],
    p_detail => jsonb_strip_nulls(jsonb_build_object('reason', 'expired', 'department_id', p_grant.department_id))
  );
end
$$;
revoke all on function billing_private.expire_grant(billing.credit_transactions, billing_private.credit_grant_lots) from public;

-- What falls due by itself, with the order within one instant: holds end (1), then grants (2), then free plans renew (3), then grants begin (4).
create type billing_private.due_event as (
  rank integer,
  due_at timestamptz,
  id uuid
);

-- The next event that is due up to p_now, or null.
create function billing_private.next_due_event(p_organization_id uuid, p_now timestamptz)
returns billing_private.due_event
language plpgsql
stable
set search_path = ''
as $$
declare
  v_event billing_private.due_event;
begin
  select e.rank, e.due_at, e.id into v_event
  from (
    (
      select 1 as rank, h.expires_at as due_at, h.id from billing.credit_holds as h
      where h.organization_id = p_organization_id and h.status = 'open' and h.expires_at <= p_now
      order by h.expires_at, h.id limit 1
    )
    union all
    (
      select 2, g.expires_at, g.id from billing_private.credit_grant_lots as g
      where g.organization_id = p_organization_id and g.is_open and g.activated_at is not null and g.expires_at <= p_now
      order by g.expires_at, g.id limit 1
    )
    union all
    (
      select 3, s.current_period_end, s.id from billing.subscriptions as s
      where s.organization_id = p_organization_id and s.stripe_subscription_id is null and s.status = 'active' and s.current_period_end <= p_now
      order by s.current_period_end limit 1
    )
    union all
    (
      select 4, g.effective_at, g.id from billing_private.credit_grant_lots as g
      where g.organization_id = p_organization_id and g.is_open and g.activated_at is null and g.effective_at <= p_now
      order by g.effective_at, g.id limit 1
    )
  ) as e
  order by e.due_at, e.rank, e.id
  limit 1;
  return v_event;
end
$$;
revoke all on function billing_private.next_due_event(uuid, timestamptz) from public;

-- Books all that fell due up to p_now, in the order in which it fell due, so that the ledger is the same whether this runs each minute, inside
-- the next spend, or once a year. Returns the tail, without a head. Under the lock.
create function billing_private.settle(p_tail billing.credit_transactions, p_now timestamptz)
returns billing.credit_transactions
language plpgsql
set search_path = ''
as $$
declare
  v_event billing_private.due_event;
  v_grant billing_private.credit_grant_lots;
begin
  p_tail := billing_private.write_back_head(p_tail);
  loop
    v_event := billing_private.next_due_event(p_tail.organization_id, p_now);
    exit when v_event.id is null;
    if v_event.rank = 1 then
      p_tail := billing_private.expire_hold(p_tail, v_event.id);
      continue;
    elsif v_event.rank = 3 then
      p_tail := billing_private.renew_free_subscription(p_tail, v_event.id);
      continue;
    end if;
    select g.* into v_grant from billing_private.credit_grant_lots as g
    where g.organization_id = p_tail.organization_id and g.id = v_event.id;
    if v_event.rank = 2 then
      p_tail := billing_private.expire_grant(p_tail, v_grant);
    else
      p_tail := billing_private.activate_grant(p_tail, v_grant, v_event.due_at);
    end if;
  end loop;
  return p_tail;
end
$$;
revoke all on function billing_private.settle(billing.credit_transactions, timestamptz) from public;

-- The first instant at which something changes by itself: the end of a hold, a grant or a free plan's period, or a grant's beginning.
create function billing_private.next_turn_at(p_organization_id uuid)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  return least(
    (
      select h.expires_at from billing.credit_holds as h
      where h.organization_id = p_organization_id and h.status = 'open'
      order by h.expires_at, h.id limit 1
    ),
    (
      select g.expires_at from billing_private.credit_grant_lots as g
      where g.organization_id = p_organization_id and g.is_open and g.activated_at is not null
      order by g.expires_at, g.id limit 1
    ),
    (
      select g.effective_at from billing_private.credit_grant_lots as g
      where g.organization_id = p_organization_id and g.is_open and g.activated_at is null
      order by g.effective_at, g.id limit 1
    ),
    (
      select s.current_period_end from billing.subscriptions as s
      where s.organization_id = p_organization_id and s.stripe_subscription_id is null and s.status = 'active'
      order by s.current_period_end limit 1
    ),
    'infinity'::timestamptz
  );
end
$$;
revoke all on function billing_private.next_turn_at(uuid) from public;
