-- What every derived number must be, from facts alone: the entries, and what was asked for (grants' terms, holds, limits). verify_ledger() compares
-- these with what is stored, and rebuild_ledger() puts them in its place. None of it shares code with the functions that move credits.

-- What each grant comes to. Remaining: what entries brought it (less the debt that a `grant` repaid), less what they took. Held: what open holds
-- have claimed. It has ended when an `expire` or `void` entry says so; it is closed, too, when nothing is left of it, for the reason of the last
-- entry that touched it. One pass over the entries that name the head alone, one over those that name their grants.
create function billing_private.rebuilt_grants(p_organization_id uuid)
returns table (grant_id uuid, remaining numeric, held numeric, is_open boolean, closed_reason text, activated_at timestamptz)
language sql
stable
set search_path = ''
as $$
  with movements as (
    select t.head_grant_id as grant_id, sum(t.amount)::numeric as amount, max(t.sequence) as last_sequence, 'spent' as last_reason,
      min(t.created_at) as first_at, null as ended
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id and t.grant_ids is null and t.head_grant_id is not null and t.amount <> 0
    group by t.head_grant_id
    union all
    select a.grant_id, a.amount - case when t.kind = 'grant' then coalesce(p.debt_after, 0) - t.debt_after else 0 end, t.sequence,
      case
        when t.kind = 'clawback' then 'clawed_back'
        when t.kind = 'grant' or (t.kind = 'adjust' and a.amount = 0) then 'debt_repaid'
        else 'spent'
      end,
      t.created_at,
      case
        when t.kind = 'void' then 'voided'
        when t.kind = 'transfer' and t.reason = 'rollover' and a.amount < 0 then 'rolled_over'
        when t.kind = 'expire' and t.reason = 'expired' then 'expired'
      end
    from billing.credit_transactions as t
    left join billing.credit_transactions as p
      on t.kind = 'grant' and p.organization_id = t.organization_id and p.sequence = t.sequence - 1
    cross join lateral unnest(t.grant_ids, t.grant_amounts) as a (grant_id, amount)
    where t.organization_id = p_organization_id and t.grant_ids is not null and t.kind <> 'schedule'
  ),
  grants as (
    select m.grant_id, sum(m.amount) as remaining, (array_agg(m.last_reason order by m.last_sequence desc))[1] as last_reason,
      min(m.first_at) filter (where m.ended is distinct from 'voided') as activated_at,
      coalesce(
        max(m.ended) filter (where m.ended = 'voided'), max(m.ended) filter (where m.ended = 'rolled_over'), max(m.ended)
      ) as ended
    from movements as m
    group by m.grant_id
  ),
  claims as (
    select a.grant_id, sum(a.amount) as held
    from billing.credit_holds as h
    cross join lateral unnest(h.grant_ids, h.grant_amounts) as a (grant_id, amount)
    where h.organization_id = p_organization_id and h.status = 'open'
    group by a.grant_id
  ),
  terms as (
    select g.id, g.amount::numeric as amount from billing_private.credit_grant_lots as g where g.organization_id = p_organization_id
  )
  select
    coalesce(t.id, g.grant_id),
    case when g.activated_at is not null then g.remaining when g.ended is null then t.amount else 0 end,
    coalesce(c.held, 0),
    g.ended is null and (g.activated_at is null or g.remaining > 0),
    coalesce(g.ended, case when g.activated_at is not null and g.remaining = 0 then g.last_reason end),
    g.activated_at
  from terms as t
  full join grants as g on g.grant_id = t.id
  left join claims as c on c.grant_id = coalesce(t.id, g.grant_id)
$$;
revoke all on function billing_private.rebuilt_grants(uuid) from public;

-- What is stored of each grant, with the head's figure from the tail: the head's own row is written when the head turns.
create function billing_private.stored_grants(p_organization_id uuid)
returns table (
  grant_id uuid, remaining numeric, held numeric, is_open boolean, closed_reason text, activated_at timestamptz
)
language sql
stable
set search_path = ''
as $$
  select g.id,
    case when is_head then g.held::numeric + t.head_available::numeric else g.remaining::numeric end, g.held::numeric,
    case when is_head then t.head_available > 0 or g.held > 0 else g.is_open end,
    case when is_head then case when t.head_available = 0 and g.held = 0 then 'spent' end else g.closed_reason end,
    g.activated_at
  from billing_private.credit_grant_lots as g
  cross join billing_private.ledger_tail(p_organization_id) as t
  cross join lateral (select g.id is not distinct from t.head_grant_id) as h (is_head)
  where g.organization_id = p_organization_id
$$;
revoke all on function billing_private.stored_grants(uuid) from public;

-- The windows that each limit has counted in, as the instants at which they begin: from `counted_from`, the window in which the limit (in its
-- present zone) was set, or an earlier one in which a hold was taken that was open then; to that of the last entry, or a later one in which an
-- approval gave room before anything was booked.
create function billing_private.limit_windows(p_organization_id uuid)
returns table (limit_id uuid, subject_type text, subject_id text, starts timestamptz[])
language plpgsql
stable
set search_path = ''
as $$
declare
  v_last constant timestamptz := (billing_private.ledger_tail(p_organization_id)).created_at;
begin
  return query
  select l.id, l.subject_type, l.subject_id,
    case
      when l.limit_window = 'lifetime' then array['-infinity'::timestamptz]
      else (
        select array_agg(distinct billing_private.first_instant(w.local_start, l.timezone))
        from generate_series(
          date_trunc(l.limit_window, l.counted_from at time zone l.timezone),
          greatest(v_last, l.counted_from, widened.last_start) at time zone l.timezone, ('1 ' || l.limit_window)::interval
        ) as w (local_start)
      )
    end
  from billing.credit_limits as l
  cross join lateral (
    select max(a.window_start) as last_start from billing.credit_approvals as a
    where a.organization_id = p_organization_id and a.limit_id = l.id and a.status = 'approved' and a.additional is not null
  ) as widened
  where l.organization_id = p_organization_id;
end
$$;
revoke all on function billing_private.limit_windows(uuid) from public;

-- What each limit has used in each of its windows: consumptions and open holds, each in the window in which it (or the hold it settles) was taken,
-- less what was refunded while that window was open; and what approvals have added to it. One pass over the ledger for each kind of subject that has limits.
create function billing_private.rebuilt_counters(p_organization_id uuid)
returns table (limit_id uuid, window_start timestamptz, window_end timestamptz, used numeric, additional numeric)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = 'force_custom_plan' -- how many limits of which kinds there are decides how to read a large ledger
as $$
#variable_conflict use_column
begin
  if not exists (select 1 from billing.credit_limits as l where l.organization_id = p_organization_id) then
    return;
  end if;
  return query
  with movements as not materialized (
    select coalesce(h.created_at, t.created_at) as taken_at, null::timestamptz as refunded_at, -t.amount::numeric as amount,
      t.department_id, t.user_id, t.agent_type, t.agent_key_id, t.run_id
    from billing.credit_transactions as t
    left join billing.credit_holds as h on h.organization_id = p_organization_id and h.id = t.hold_id
    where t.organization_id = p_organization_id and t.kind = 'consume'
    union all
    select h.created_at, null, case when h.status = 'open' then h.amount::numeric else 0 end,
      h.department_id, h.user_id, h.agent_type, h.agent_key_id, h.run_id
    from billing.credit_holds as h
    where h.organization_id = p_organization_id
    union all
    select coalesce(h.created_at, c.created_at), r.created_at, -r.amount::numeric,
      r.department_id, r.user_id, r.agent_type, r.agent_key_id, r.run_id
    from billing.credit_transactions as r
    inner join billing.credit_transactions as c
      on c.organization_id = p_organization_id and c.sequence = billing_private.transaction_sequence(r.source_transaction_id)
    left join billing.credit_holds as h on h.organization_id = p_organization_id and h.id = c.hold_id
    where r.organization_id = p_organization_id and r.kind = 'refund'
  ),
  limits as materialized (
    select w.limit_id, w.subject_type, w.subject_id, w.starts from billing_private.limit_windows(p_organization_id) as w
  ),
  subjects as (
    select l.limit_id, l.starts, m.taken_at, m.refunded_at, m.amount
    from limits as l cross join movements as m where l.subject_type = 'organization'
    union all
    select l.limit_id, l.starts, m.taken_at, m.refunded_at, m.amount
    from limits as l inner join movements as m on m.department_id::text = l.subject_id where l.subject_type = 'department'
    union all
    select l.limit_id, l.starts, m.taken_at, m.refunded_at, m.amount
    from limits as l inner join movements as m on m.user_id::text = l.subject_id where l.subject_type = 'member'
    union all
    select l.limit_id, l.starts, m.taken_at, m.refunded_at, m.amount
    from limits as l inner join movements as m on m.agent_type = l.subject_id where l.subject_type = 'agent_type'
    union all
    select l.limit_id, l.starts, m.taken_at, m.refunded_at, m.amount
    from limits as l inner join movements as m on m.agent_key_id = l.subject_id where l.subject_type = 'agent_key'
    union all
    select l.limit_id, l.starts, m.taken_at, m.refunded_at, m.amount
    from limits as l inner join movements as m on m.run_id = l.subject_id where l.subject_type = 'run'
  ),
  counted as (
    select s.limit_id, s.starts[width_bucket(s.taken_at, s.starts)] as window_start, s.amount, 0 as additional
    from subjects as s
    where s.taken_at >= s.starts[1]
      and (s.refunded_at is null or width_bucket(s.refunded_at, s.starts) = width_bucket(s.taken_at, s.starts))
    union all
    select l.limit_id, l.starts[1], 0, 0 from limits as l
    union all
    select l.limit_id, a.window_start, 0, a.additional
    from limits as l
    inner join billing.credit_approvals as a
      on a.organization_id = p_organization_id and a.limit_id = l.limit_id and a.status = 'approved' and a.additional is not null
    where a.window_start = any(l.starts)
  ),
  sums as (
    select c.limit_id, c.window_start, sum(c.amount) as used, sum(c.additional) as additional
    from counted as c group by c.limit_id, c.window_start
  )
  select s.limit_id, s.window_start, coalesce(billing_private.window_end(l.limit_window, l.timezone, s.window_start), 'infinity'),
    s.used, s.additional
  from sums as s
  inner join billing.credit_limits as l on l.organization_id = p_organization_id and l.id = s.limit_id;
end
$$;
revoke all on function billing_private.rebuilt_counters(uuid) from public;

-- The counters that would let pass unasked what their limit refuses.
create function billing_private.loud_counters(p_organization_id uuid)
returns table (limit_id uuid, window_start timestamptz, most numeric, quiet_below numeric)
language sql
stable
set search_path = ''
as $$
  select c.limit_id, c.window_start, m.most, c.quiet_below
  from billing_private.credit_limit_counters as c
  inner join billing.credit_limits as l on l.organization_id = c.organization_id and l.id = c.limit_id
  cross join lateral (select case when l.amount + c.additional = 0 then 0 else l.amount + c.additional + 0.000001 end::numeric) as m (most)
  where c.organization_id = p_organization_id and l.mode in ('hard', 'ask') and c.quiet_below > m.most
$$;
revoke all on function billing_private.loud_counters(uuid) from public;
