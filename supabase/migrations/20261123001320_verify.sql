-- Proof: verify_ledger() recomputes every invariant of an organization's ledger from its entries and answers one row for each that is broken. Entries
-- are read in one pass over the primary key; nothing is locked, and one snapshot is read, so it can run beside spends.

create type billing.ledger_violation as (
  organization_id uuid,
  invariant text,
  expected text,
  actual text,
  details jsonb
);
comment on type billing.ledger_violation is 'One broken invariant of one organization''s ledger: what should be, what is, and where.';

-- What entries must be to one another: numbered without a gap, dated in order, named by their place, balanced, paid by the grants that they name, and
-- following the head that they burn. Only entries that break something are looked at twice.
create function billing_private.verify_entries(p_organization_id uuid)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  with entries as (
    select t.sequence, t.id, t.kind, t.amount::numeric as amount, t.created_at, t.turn_at, t.balance_after::numeric as balance_after,
      t.head_grant_id, t.head_available::numeric as head_available, t.hold_id, t.grant_ids,
      t.kind <> 'consume' or (t.agent_type is not null and t.action is not null) as is_complete,
      (t.grant_ids is null) = (t.grant_amounts is null) and coalesce(cardinality(t.grant_ids) = cardinality(t.grant_amounts), true) as is_paired,
      row_number() over ledger as place,
      sum(t.amount) over (ledger rows unbounded preceding) as running,
      lag(t.created_at) over ledger as previous_created_at,
      lag(t.head_grant_id) over ledger as previous_head_id,
      lag(t.head_available::numeric) over ledger as previous_head_available,
      t.held_after::numeric - coalesce(lag(t.held_after::numeric) over ledger, 0) as held_change,
      t.debt_after::numeric - coalesce(lag(t.debt_after::numeric) over ledger, 0) as debt_change,
      case
        when t.grant_ids is not null then (select coalesce(sum(a.amount), 0) from unnest(t.grant_amounts) as a (amount))
        when t.head_grant_id is not null then t.amount::numeric
        else 0
      end as allocated
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id
    window ledger as (order by t.sequence)
  ),
  named as (
    select e.*, lpad(to_hex(o.ledger_number), 12, '0') || '8000' as id_prefix
    from entries as e
    cross join (select l.ledger_number from billing.organizations as l where l.organization_id = p_organization_id) as o
  ),
  checked as (
    select e.*,
      (e.id_prefix || to_hex(e.sequence | (-9223372036854775808)))::uuid as expected_id,
      -- A `grant` brings its amount and repays debt out of it; every other movement is what its grants moved, or becomes debt.
      case when e.kind = 'grant' then e.allocated else e.allocated - e.debt_change end as expected_amount,
      case
        when e.kind in ('consume', 'expire', 'void', 'clawback') then e.amount <= 0
        when e.kind in ('grant', 'refund', 'reinstate') then e.amount >= 0
        when e.kind = 'adjust' then true
        else e.amount = 0
      end as has_its_sign,
      case
        when e.head_grant_id is null then e.head_available = 0
        when e.head_grant_id = e.previous_head_id and e.grant_ids is null then e.head_available = e.previous_head_available + e.amount
        else true
      end as follows_its_head
    from named as e
  )
  select p_organization_id, v.invariant, v.expected, v.actual, jsonb_build_object('sequence', e.sequence, 'transaction_id', e.id)
  from checked as e
  cross join lateral (values
    ('sequence_is_gap_free', e.place = e.sequence, e.place::text, e.sequence::text),
    ('balance_is_sum_of_transactions', e.running = e.balance_after, e.running::text, e.balance_after::text),
    ('entries_are_dated_in_order', coalesce(e.created_at >= e.previous_created_at, true), e.previous_created_at::text, e.created_at::text),
    ('transaction_id_names_its_place', e.id = e.expected_id, e.expected_id::text, e.id::text),
    (case e.kind when 'consume' then 'consumption_is_paid_by_its_grants' else 'movement_is_that_of_its_grants' end,
      e.amount = e.expected_amount, e.expected_amount::text, e.amount::text),
    ('amount_has_its_kinds_sign', e.has_its_sign, e.kind::text, e.amount::text),
    ('consumption_names_agent_and_action', e.is_complete, 'true', 'false'),
    ('grants_and_amounts_come_in_pairs', e.is_paired, 'true', 'false'),
    ('held_moves_with_its_hold', e.held_change = 0 or e.hold_id is not null, '0', e.held_change::text),
    ('head_follows_its_spends', e.follows_its_head, (e.previous_head_available + e.amount)::text, e.head_available::text),
    ('head_is_used_before_it_turns', e.head_grant_id is null or e.created_at < e.turn_at, e.turn_at::text, e.created_at::text)
  ) as v (invariant, holds, expected, actual)
  where not (
    e.place = e.sequence and e.running = e.balance_after and coalesce(e.created_at >= e.previous_created_at, true) and e.id = e.expected_id
    and e.amount = e.expected_amount and e.has_its_sign and e.is_complete and e.is_paired and (e.held_change = 0 or e.hold_id is not null) and e.follows_its_head
    and (e.head_grant_id is null or e.created_at < e.turn_at)
  ) and not v.holds
$$;
revoke all on function billing_private.verify_entries(uuid) from public;

-- What the last entry says of the wallet: it is all the others, and the grants, holds and times that it stands for.
create function billing_private.verify_tail(p_organization_id uuid)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  with tail as (select t.* from billing_private.ledger_tail(p_organization_id) as t),
  grants as (select s.* from billing_private.stored_grants(p_organization_id) as s)
  select p_organization_id, 'grants_are_balance_plus_debt', (t.balance_after + t.debt_after)::text, s.remaining::text, null::jsonb
  from tail as t
  cross join (select coalesce(sum(g.remaining), 0) as remaining from grants as g where g.activated_at is not null) as s
  where t.balance_after + t.debt_after <> s.remaining
  union all
  select p_organization_id, 'held_is_sum_of_open_holds', s.held::text, t.held_after::text, null
  from tail as t
  cross join (
    select coalesce(sum(h.amount), 0)::numeric as held from billing.credit_holds as h
    where h.organization_id = p_organization_id and h.status = 'open'
  ) as s
  where t.held_after <> s.held
  union all
  select p_organization_id, 'head_is_an_open_grant', 'open, ending after ' || t.created_at, to_jsonb(g.*) ->> 'expires_at',
    jsonb_build_object('grant_id', t.head_grant_id)
  from tail as t
  left join billing_private.credit_grant_lots as g on g.organization_id = p_organization_id and g.id = t.head_grant_id
  where t.head_grant_id is not null
    -- A call that books nothing (a spent grant is voided, an approval is asked for) may have closed the row of a head that has nothing left.
    and (g.id is null or (not g.is_open and t.head_available > 0) or g.activated_at is null or g.expires_at <= t.created_at)
  union all
  select p_organization_id, 'head_turns_in_time', n.turn_at::text, t.turn_at::text, jsonb_build_object('grant_id', t.head_grant_id)
  from tail as t
  cross join (select billing_private.next_turn_at(p_organization_id)) as n (turn_at)
  where t.head_grant_id is not null and t.turn_at > n.turn_at
  union all
  select p_organization_id, 'head_is_for_all_when_none_is_scoped', 'true', t.has_scoped_grants::text, null
  from tail as t
  where t.head_grant_id is not null and not t.has_scoped_grants and exists (
    select 1 from billing_private.credit_grant_lots as g where g.organization_id = p_organization_id and g.is_open and g.is_scoped
  )
$$;
revoke all on function billing_private.verify_tail(uuid) from public;

-- Grants against what the entries and holds make of them.
create function billing_private.verify_grants(p_organization_id uuid)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  with grants as (
    select coalesce(r.grant_id, s.grant_id) as grant_id, s.grant_id is not null as is_stored, r.remaining as rebuilt_remaining, s.remaining,
      r.held as rebuilt_held, s.held, row(r.is_open, r.closed_reason, r.activated_at)::text as rebuilt_state,
      row(s.is_open, s.closed_reason, s.activated_at)::text as state
    from billing_private.rebuilt_grants(p_organization_id) as r
    full join billing_private.stored_grants(p_organization_id) as s on s.grant_id = r.grant_id
  )
  select p_organization_id, v.invariant, v.expected, v.actual, jsonb_build_object('grant_id', g.grant_id)
  from grants as g
  cross join lateral (values
    ('grant_is_rebuilt_from_transactions', g.is_stored and g.remaining = g.rebuilt_remaining, g.rebuilt_remaining::text, g.remaining::text),
    ('claims_are_those_of_open_holds', not g.is_stored or g.held = g.rebuilt_held, g.rebuilt_held::text, g.held::text),
    ('grant_state_follows_its_entries', not g.is_stored or g.state is not distinct from g.rebuilt_state, g.rebuilt_state, g.state),
    ('no_grant_is_below_zero', not g.is_stored or least(g.remaining, g.remaining - g.held) >= 0, '0', least(g.remaining, g.remaining - g.held)::text)
  ) as v (invariant, holds, expected, actual)
  where v.holds is not true
$$;
revoke all on function billing_private.verify_grants(uuid) from public;

-- Holds against their entries: what is held is booked under the hold, what was captured is booked once, and no claim is above its hold.
create function billing_private.verify_holds(p_organization_id uuid)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  with booked as (
    select t.hold_id, sum(t.held_after::numeric - coalesce(p.held_after::numeric, 0)) as held,
      count(*) filter (where t.kind = 'consume') as captures, -sum(t.amount) filter (where t.kind = 'consume') as captured
    from billing.credit_transactions as t
    left join billing.credit_transactions as p on p.organization_id = t.organization_id and p.sequence = t.sequence - 1
    where t.organization_id = p_organization_id and t.hold_id is not null
    group by t.hold_id
  ),
  holds as (
    select coalesce(h.id, b.hold_id) as hold_id, h.id is not null as is_stored, h.status, h.amount::numeric as amount, h.metered::numeric as metered,
      coalesce(h.captured_amount::numeric, 0) as captured_amount, h.captured_amount is not null as is_captured,
      (select coalesce(sum(a.amount), 0) from unnest(h.grant_amounts) as a (amount)) as claimed,
      coalesce(b.held, 0) as booked_held, coalesce(b.captures, 0) as captures, coalesce(b.captured, 0) as captured
    from (select c.* from billing.credit_holds as c where c.organization_id = p_organization_id) as h
    full join booked as b on b.hold_id = h.id
  )
  select p_organization_id, v.invariant, v.expected, v.actual, jsonb_build_object('hold_id', h.hold_id)
  from holds as h
  cross join lateral (values
    ('hold_is_booked', h.is_stored and h.booked_held = case h.status when 'open' then h.amount else 0 end,
      case h.status when 'open' then h.amount else 0 end::text, h.booked_held::text),
    ('capture_is_booked_once',
      h.captured = h.captured_amount and h.captures <= 1 and (h.captures = 1 or h.status <> 'captured') and (h.captures = 0 or h.is_captured),
      h.captured_amount::text, h.captured::text || ' in ' || h.captures::text),
    ('claims_are_within_the_hold', h.claimed <= h.amount and h.metered <= h.amount, h.amount::text, greatest(h.claimed, h.metered)::text)
  ) as v (invariant, holds, expected, actual)
  where v.holds is not true
$$;
revoke all on function billing_private.verify_holds(uuid) from public;

-- Counters and rollups against the entries that they sum, keys and sources against what may be booked under them once.
create function billing_private.verify_sums(p_organization_id uuid)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  select p_organization_id, v.invariant, v.expected::text, v.actual::text,
    jsonb_build_object('limit_id', coalesce(c.limit_id, r.limit_id), 'window_start', coalesce(c.window_start, r.window_start))
  from (select s.* from billing_private.credit_limit_counters as s where s.organization_id = p_organization_id) as c
  full join billing_private.rebuilt_counters(p_organization_id) as r on r.limit_id = c.limit_id and r.window_start = c.window_start
  cross join lateral (values
    ('counters_are_sums_of_their_windows', coalesce(r.used, 0), coalesce(c.used::numeric, 0)),
    ('counters_are_as_wide_as_approved', coalesce(r.additional, 0), coalesce(c.additional::numeric, 0))
  ) as v (invariant, expected, actual)
  where v.expected <> v.actual
  union all
  select p_organization_id, 'counters_are_quiet_below_their_limit', q.most::text, q.quiet_below::text,
    jsonb_build_object('limit_id', q.limit_id, 'window_start', q.window_start)
  from billing_private.loud_counters(p_organization_id) as q
  union all
  select p_organization_id, 'counters_end_with_their_window', r.window_end::text, c.window_end::text,
    jsonb_build_object('limit_id', c.limit_id, 'window_start', c.window_start)
  from billing_private.credit_limit_counters as c
  inner join billing_private.rebuilt_counters(p_organization_id) as r on r.limit_id = c.limit_id and r.window_start = c.window_start
  where c.organization_id = p_organization_id and c.window_end <> r.window_end
  union all
  select p_organization_id, 'rollups_are_usage', case when not w.is_stored then w.figures end, case when w.is_stored then w.figures end,
    jsonb_build_object('rollup', w.rollup, 'usage_date', w.usage_date, 'of', w.of_what)
  from billing_private.wrong_rollups(p_organization_id) as w
  union all
  select p_organization_id, 'watermark_is_within_the_ledger', t.sequence::text, w.folded_sequence::text, null
  from billing_private.credit_usage_watermarks as w
  cross join billing_private.ledger_tail(p_organization_id) as t
  where w.organization_id = p_organization_id and w.folded_sequence > t.sequence
  union all
  select p_organization_id, 'a_key_has_one_effect', '1', count(*)::text, jsonb_build_object('idempotency_key', t.idempotency_key)
  from billing.credit_transactions as t
  where t.organization_id = p_organization_id and t.idempotency_key is not null
  group by t.idempotency_key
  having count(*) > 1
  union all
  select p_organization_id, 'a_grant_begins_once', '1', count(*)::text, jsonb_build_object('grant_id', a.grant_id)
  from billing.credit_transactions as t
  cross join lateral unnest(t.grant_ids) as a (grant_id)
  where t.organization_id = p_organization_id and t.kind = 'grant'
  group by a.grant_id
  having count(*) > 1
  union all
  select p_organization_id, 'refunds_are_within_their_consumption', (-c.amount)::text, r.amount::text,
    jsonb_build_object('transaction_id', r.source_transaction_id)
  from (
    select t.source_transaction_id, sum(t.amount) as amount
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.kind = 'refund'
    group by t.source_transaction_id
  ) as r
  left join billing.credit_transactions as c
    on c.organization_id = p_organization_id and c.sequence = billing_private.transaction_sequence(r.source_transaction_id)
    and c.id = r.source_transaction_id and c.kind = 'consume'
  where (r.amount <= -c.amount) is not true
  union all
  select p_organization_id, 'an_approval_is_decided_once', a.status, a.resolved_at::text, jsonb_build_object('approval_id', a.id)
  from billing.credit_approvals as a
  where a.organization_id = p_organization_id and (a.status = 'pending') <> (a.resolved_at is null)
$$;
revoke all on function billing_private.verify_sums(uuid) from public;

-- The broken invariants of one organization.
create function billing_private.verify_organization(p_organization_id uuid)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  select v.* from billing_private.verify_entries(p_organization_id) as v
  union all
  select v.* from billing_private.verify_tail(p_organization_id) as v
  union all
  select v.* from billing_private.verify_grants(p_organization_id) as v
  union all
  select v.* from billing_private.verify_holds(p_organization_id) as v
  union all
  select v.* from billing_private.verify_sums(p_organization_id) as v
$$;
revoke all on function billing_private.verify_organization(uuid) from public;

-- The service, or owner, admin and billing for their own organization.
create function billing_private.verify_ledger(p_organization_id uuid)
returns setof billing.ledger_violation
language plpgsql
stable
security definer
set search_path = ''
set work_mem = '64MB' -- millions of entries are sorted and hashed
as $$
begin
  if p_organization_id is null then
    perform billing_private.require_service();
  else
    perform billing_private.require_role(p_organization_id, '{owner,admin,billing}');
  end if;
  return query
  select v.*
  from billing.organizations as o
  cross join lateral billing_private.verify_organization(o.organization_id) as v
  where p_organization_id is null or o.organization_id = p_organization_id;
end
$$;
revoke all on function billing_private.verify_ledger(uuid) from public;
grant execute on function billing_private.verify_ledger(uuid) to authenticated, service_role;

create function billing.verify_ledger(organization_id uuid default null)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  select * from billing_private.verify_ledger($1)
$$;
revoke all on function billing.verify_ledger(uuid) from public;
grant execute on function billing.verify_ledger(uuid) to authenticated, service_role;
comment on function billing.verify_ledger(uuid) is
'One row for each broken invariant, none when all holds. Service: all organizations; owner, admin, billing: their own.';
