-- Scheduled work, and the proof that the ledger is whole.

-- Books what fell due in one organization up to now, if anything did. Called by the job; spends do the same for themselves.
create function billing_private.settle_organization(p_organization_id uuid, p_now timestamptz)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  v_tail billing.credit_transactions;
  v_settled billing.credit_transactions;
  v_now timestamptz;
begin
  perform billing_private.lock_organization(p_organization_id);
  v_tail := billing_private.ledger_tail(p_organization_id);
  select coalesce(o.test_clock, p_now) into v_now from billing.organizations as o where o.organization_id = p_organization_id;
  if billing_private.next_turn_at(p_organization_id) > v_now then
    return 0;
  end if;
  v_settled := billing_private.settle(v_tail, v_now);
  return (v_settled.sequence - v_tail.sequence)::integer;
end
$$;
revoke all on function billing_private.settle_organization(uuid, timestamptz) from public;

-- The organizations in which something may have fallen due: by the wall clock (an organization with a clock of its own may be among them, and is
-- then left alone by settle_organization), and by the test clocks, which are few.
create function billing_private.organizations_due(p_now timestamptz)
returns table (organization_id uuid)
language sql
stable
set search_path = ''
as $$
  select g.organization_id from billing_private.credit_grant_lots as g
  where g.is_open and g.activated_at is not null and g.expires_at <= p_now
  union
  select g.organization_id from billing_private.credit_grant_lots as g
  where g.is_open and g.activated_at is null and g.effective_at <= p_now
  union
  select h.organization_id from billing.credit_holds as h where h.status = 'open' and h.expires_at <= p_now
  union
  select o.organization_id from billing.organizations as o
  where o.test_clock is not null and (billing_private.next_due_event(o.organization_id, o.test_clock)).id is not null
$$;
revoke all on function billing_private.organizations_due(timestamptz) from public;

create type billing.job_result as (
  job text,
  processed bigint,
  failed bigint
);
comment on type billing.job_result is 'What one scheduled job did: how many items it processed, and how many failed and stay due.';

-- The one entry for scheduled work, each minute, by pg_cron or the local scheduler. An organization that fails (busy, say) is skipped and stays
-- due; running twice, late or beside itself changes nothing that a customer can see. p_now may not be ahead of the clock.
create function billing_private.run_due_jobs(p_now timestamptz)
returns setof billing.job_result
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_now constant timestamptz := least(coalesce(p_now, clock_timestamp()), clock_timestamp());
  v_organization_id uuid;
  v_result billing.job_result;
begin
  perform billing_private.require_service();
  v_result := ('settle_organizations', 0, 0);
  for v_organization_id in
    select d.organization_id from billing_private.organizations_due(v_now) as d order by d.organization_id
  loop
    begin
      v_result.processed := v_result.processed + billing_private.settle_organization(v_organization_id, v_now);
    exception when others then
      raise warning 'organization % was not settled: %', v_organization_id, sqlerrm;
      v_result.failed := v_result.failed + 1;
    end;
  end loop;
  return next v_result;

  v_result := ('fold_usage', 0, 0);
  for v_organization_id in
    select o.organization_id
    from billing.organizations as o
    left join billing_private.credit_usage_watermarks as w on w.organization_id = o.organization_id
    cross join lateral (
      select t.sequence from billing.credit_transactions as t
      where t.organization_id = o.organization_id order by t.sequence desc limit 1
    ) as tail
    where tail.sequence > coalesce(w.folded_sequence, 0)
    order by o.organization_id
  loop
    begin
      v_result.processed := v_result.processed + billing_private.fold_usage(v_organization_id);
    exception when others then
      raise warning 'usage of organization % was not folded: %', v_organization_id, sqlerrm;
      v_result.failed := v_result.failed + 1;
    end;
  end loop;
  return next v_result;

  v_result := ('expire_checkouts', 0, 0);
  -- An attempt without an answer from Stripe stays recognisable (`failed`) should its session turn up as paid after all.
  update billing.checkout_sessions as c
  set status = case c.status when 'open' then 'expired' else 'failed' end, updated_at = clock_timestamp()
  where (c.status = 'open' and c.expires_at < v_now - interval '1 day')
    or (c.status = 'creating' and c.created_at < v_now - interval '2 days');
  get diagnostics v_result.processed = row_count;
  return next v_result;
end
$$;
revoke all on function billing_private.run_due_jobs(timestamptz) from public;
grant execute on function billing_private.run_due_jobs(timestamptz) to service_role;

create function billing.run_due_jobs(now timestamptz default null)
returns setof billing.job_result
language sql
volatile
set search_path = ''
as $$
  select * from billing_private.run_due_jobs($1)
$$;
revoke all on function billing.run_due_jobs(timestamptz) from public;
grant execute on function billing.run_due_jobs(timestamptz) to service_role;
comment on function billing.run_due_jobs(timestamptz) is
'Service: does all scheduled work that is due (expiries, activations, usage rollups, stale checkouts). Once a minute; safe to run twice.';

-- Where pg_cron is there, it calls the jobs; elsewhere the local stack's scheduler does.
do $$
begin
  if exists (select 1 from pg_catalog.pg_extension as e where e.extname = 'pg_cron') then
    perform cron.schedule('tallybase-run-due-jobs', '* * * * *', 'select billing_private.run_due_jobs(null)');
  end if;
end
$$;

-- Proof ---------------------------------------------------------------------------------------------

create type billing.ledger_violation as (
  organization_id uuid,
  invariant text,
  expected text,
  actual text,
  details jsonb
);
comment on type billing.ledger_violation is 'One broken invariant of one organization''s ledger: what should be, what is, and where.';

-- What each grant should have left, from the entries alone: what `grant` entries brought (less the debt they repaid) and later ones moved.
create function billing_private.rebuilt_grants(p_organization_id uuid)
returns table (grant_id uuid, remaining numeric)
language sql
stable
set search_path = ''
as $$
  with entries as (
    select t.*, coalesce(lag(t.debt_after) over (order by t.sequence), 0) - t.debt_after as debt_repaid
    from billing.credit_transactions as t
    where t.organization_id = p_organization_id
  )
  select a.grant_id, sum(a.amount) - coalesce(sum(e.debt_repaid) filter (where e.kind = 'grant'), 0)
  from entries as e
  cross join lateral (
    select x.grant_id, x.amount from unnest(e.grant_ids, e.grant_amounts) as x (grant_id, amount) where e.grant_ids is not null
    union all
    select e.head_grant_id, e.amount::numeric where e.grant_ids is null and e.head_grant_id is not null
  ) as a
  group by a.grant_id
$$;
revoke all on function billing_private.rebuilt_grants(uuid) from public;

create function billing_private.rebuilt_usage(p_organization_id uuid)
returns table (
  usage_date date, agent_type text, action text, department_id uuid, user_id uuid, agent_key_id text, model text, amount numeric,
  consumption_count bigint
)
language sql
stable
set search_path = ''
as $$
  select
    (t.created_at at time zone 'UTC')::date, t.agent_type, t.action, t.department_id, t.user_id, t.agent_key_id, t.metadata ->> 'model',
    -sum(t.amount), count(*) filter (where t.kind = 'consume')
  from billing.credit_transactions as t
  where t.organization_id = p_organization_id and t.kind in ('consume', 'refund') and t.agent_type is not null
    and t.sequence <= coalesce((
      select w.folded_sequence from billing_private.credit_usage_watermarks as w where w.organization_id = p_organization_id
    ), 0)
  group by 1, 2, 3, 4, 5, 6, 7
$$;
revoke all on function billing_private.rebuilt_usage(uuid) from public;

-- The broken invariants of one organization. Reads one snapshot and locks nothing.
create function billing_private.verify_organization(p_organization_id uuid)
returns setof billing.ledger_violation
language sql
stable
set search_path = ''
as $$
  with entries as (
    select t.*,
      row_number() over (order by t.sequence) as place,
      sum(t.amount) over (order by t.sequence) as running,
      lag(t.created_at) over (order by t.sequence) as previous_created_at,
      o.ledger_number
    from billing.credit_transactions as t
    inner join billing.organizations as o on o.organization_id = t.organization_id
    where t.organization_id = p_organization_id
  ),
  tail as (select t.* from billing_private.ledger_tail(p_organization_id) as t),
  grants as (
    select g.*, case when g.id = t.head_grant_id then g.held + t.head_available else g.remaining end as live_remaining, r.remaining as rebuilt
    from billing_private.credit_grant_lots as g
    cross join tail as t
    left join billing_private.rebuilt_grants(p_organization_id) as r on r.grant_id = g.id
    where g.organization_id = p_organization_id
  )
  select p_organization_id, 'sequence_is_gap_free', e.place::text, e.sequence::text, jsonb_build_object('transaction_id', e.id)
  from entries as e where e.place <> e.sequence
  union all
  select p_organization_id, 'balance_is_sum_of_transactions', e.running::text, e.balance_after::text, jsonb_build_object('sequence', e.sequence)
  from entries as e where e.running <> e.balance_after
  union all
  select p_organization_id, 'entries_are_dated_in_order', e.previous_created_at::text, e.created_at::text, jsonb_build_object('sequence', e.sequence)
  from entries as e where e.created_at < e.previous_created_at
  union all
  select p_organization_id, 'transaction_id_names_its_place', billing_private.transaction_id(e.ledger_number, e.sequence)::text, e.id::text,
    jsonb_build_object('sequence', e.sequence)
  from entries as e where e.id <> billing_private.transaction_id(e.ledger_number, e.sequence)
  union all
  select p_organization_id, 'consumption_is_paid_by_its_grants', e.amount::text,
    (coalesce(a.amount, 0) - (e.debt_after - coalesce(p.debt_after, 0)))::text, jsonb_build_object('sequence', e.sequence)
  from entries as e
  left join entries as p on p.sequence = e.sequence - 1
  cross join lateral (
    select sum(x.amount) as amount from (
      select y.amount from unnest(e.grant_ids, e.grant_amounts) as y (grant_id, amount) where e.grant_ids is not null
      union all
      select e.amount::numeric where e.grant_ids is null and e.head_grant_id is not null
    ) as x
  ) as a
  where e.kind = 'consume' and e.amount <> coalesce(a.amount, 0) - (e.debt_after - coalesce(p.debt_after, 0))
  union all
  select p_organization_id, 'grants_are_balance_plus_debt', (t.balance_after + t.debt_after)::text, coalesce(sum(g.live_remaining), 0)::text, null
  from tail as t
  left join grants as g on g.activated_at is not null
  group by t.balance_after, t.debt_after
  having t.balance_after + t.debt_after <> coalesce(sum(g.live_remaining), 0)
  union all
  select p_organization_id, 'grant_is_rebuilt_from_transactions', g.rebuilt::text, g.live_remaining::text, jsonb_build_object('grant_id', g.id)
  from grants as g where g.activated_at is not null and g.live_remaining is distinct from g.rebuilt
  union all
  select p_organization_id, 'no_grant_is_below_zero', '0', least(g.live_remaining, g.live_remaining - g.held)::text, jsonb_build_object('grant_id', g.id)
  from grants as g where least(g.live_remaining, g.live_remaining - g.held) < 0
  union all
  select p_organization_id, 'held_is_sum_of_open_holds', coalesce(sum(h.amount), 0)::text, t.held_after::text, null
  from tail as t
  left join billing.credit_holds as h on h.organization_id = p_organization_id and h.status = 'open'
  group by t.held_after
  having t.held_after <> coalesce(sum(h.amount), 0)
  union all
  select p_organization_id, 'counters_are_sums_of_their_windows', r.used::text, c.used::text,
    jsonb_build_object('limit_id', c.limit_id, 'window_start', c.window_start)
  from billing_private.credit_limit_counters as c
  inner join billing.credit_limits as l on l.organization_id = c.organization_id and l.id = c.limit_id
  cross join lateral (select billing_private.used_in_window(l, c.window_start)) as r (used)
  where c.organization_id = p_organization_id and c.used <> r.used
  union all
  select p_organization_id, 'rollups_are_usage', r.amount::text, d.amount::text,
    jsonb_build_object('usage_date', coalesce(d.usage_date, r.usage_date), 'agent_type', coalesce(d.agent_type, r.agent_type))
  from (select u.* from billing.credit_usage_daily as u where u.organization_id = p_organization_id) as d
  full join billing_private.rebuilt_usage(p_organization_id) as r
    on r.usage_date = d.usage_date and r.agent_type = d.agent_type and r.action = d.action
    and coalesce(r.department_id::text, '') = coalesce(d.department_id::text, '')
    and coalesce(r.user_id::text, '') = coalesce(d.user_id::text, '')
    and coalesce(r.agent_key_id, '') = coalesce(d.agent_key_id, '')
    and coalesce('+' || r.model, '') = coalesce('+' || d.model, '')
  where d.amount is distinct from r.amount or d.consumption_count is distinct from r.consumption_count
$$;
revoke all on function billing_private.verify_organization(uuid) from public;

-- The service, or owner, admin and billing for their own organization.
create function billing_private.verify_ledger(p_organization_id uuid)
returns setof billing.ledger_violation
language plpgsql
stable
security definer
set search_path = ''
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
