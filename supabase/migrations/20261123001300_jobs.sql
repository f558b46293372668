-- Scheduled work: one entry, run_due_jobs(), each minute. No balance waits for it, since spends and reads count what has fallen due by
-- themselves; late, twice or beside itself it changes nothing that a customer can see.
--
-- A job is a function of (p_now) that answers a billing.job_result and finds its work by an index, so that a minute in which nothing is due costs
-- microseconds. To add one: a `when` in run_job() and its name in run_due_jobs().

create type billing.job_result as (
  job text,
  processed bigint,
  failed bigint
);
comment on type billing.job_result is 'What one scheduled job did: how many items it processed, and how many failed and stay due.';

-- Books what fell due in one organization up to p_now (its own clock's time, if it has one), if anything did; returns the number of entries.
-- Locks the organization.
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

-- The organizations in which something has fallen due, the longest waiting first: by p_now, then those with clocks of their own by these. Each branch
-- reads an index from its beginning; of those with a clock, the planner either looks each of them up or reads up to the latest clock, whichever is
-- less.
create function billing_private.organizations_due(p_now timestamptz)
returns table (organization_id uuid, ledger_number bigint, has_test_clock boolean)
language plpgsql
stable
set search_path = ''
set plan_cache_mode = 'force_custom_plan' -- a plan for any time would read all grants
set enable_seqscan = off -- few organizations have clocks; statistics taken while many did would have all of them read
as $$
declare
  v_latest timestamptz;
begin
  return query
  select o.organization_id, o.ledger_number, false
  from (
    select g.organization_id, g.expires_at as due_at from billing_private.credit_grant_lots as g
    where g.is_open and g.activated_at is not null and g.expires_at <= p_now
    union all
    select g.organization_id, g.effective_at from billing_private.credit_grant_lots as g
    where g.is_open and g.activated_at is null and g.effective_at <= p_now
    union all
    select h.organization_id, h.expires_at from billing.credit_holds as h
    where h.status = 'open' and h.expires_at <= p_now
    union all
    select s.organization_id, s.current_period_end from billing.subscriptions as s
    where s.stripe_subscription_id is null and s.status = 'active' and s.current_period_end <= p_now
  ) as d
  inner join billing.organizations as o on o.organization_id = d.organization_id
  where o.test_clock is null
  group by o.organization_id
  order by min(d.due_at), o.organization_id;

  select max(o.test_clock) into v_latest from billing.organizations as o where o.test_clock is not null;
  if v_latest is null then
    return;
  end if;
  return query
  select o.organization_id, o.ledger_number, true
  from billing.organizations as o
  inner join (
    select g.organization_id, g.expires_at as due_at from billing_private.credit_grant_lots as g
    where g.is_open and g.activated_at is not null and g.expires_at <= v_latest
    union all
    select g.organization_id, g.effective_at from billing_private.credit_grant_lots as g
    where g.is_open and g.activated_at is null and g.effective_at <= v_latest
    union all
    select h.organization_id, h.expires_at from billing.credit_holds as h
    where h.status = 'open' and h.expires_at <= v_latest
    union all
    select s.organization_id, s.current_period_end from billing.subscriptions as s
    where s.stripe_subscription_id is null and s.status = 'active' and s.current_period_end <= v_latest
  ) as d on d.organization_id = o.organization_id and d.due_at <= o.test_clock
  where o.test_clock is not null
  group by o.organization_id
  order by min(d.due_at), o.organization_id;
end
$$;
revoke all on function billing_private.organizations_due(timestamptz) from public;

-- Settles the organizations in which something has fallen due, the longest waiting first. The locks are held until the job's transaction ends, so
-- it begins no organization after one second of work, and leaves those that are locked alone: who holds the lock settles, or the next minute does.
-- Organizations with a clock of their own have no traffic to hold up, and are all settled.
create function billing_private.settle_due_organizations(p_now timestamptz)
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_result billing.job_result := ('settle_organizations', 0, 0);
  v_due record;
  v_last_start constant timestamptz := clock_timestamp() + interval '1 second';
begin
  for v_due in select d.organization_id, d.ledger_number, d.has_test_clock from billing_private.organizations_due(p_now) as d loop
    continue when clock_timestamp() > v_last_start and not v_due.has_test_clock;
    continue when not pg_catalog.pg_try_advisory_xact_lock(v_due.ledger_number);
    begin
      v_result.processed := v_result.processed + billing_private.settle_organization(v_due.organization_id, p_now);
    exception when others then
      raise warning 'organization % was not settled: %', v_due.organization_id, sqlerrm;
      v_result.failed := v_result.failed + 1;
    end;
  end loop;
  return v_result;
end
$$;
revoke all on function billing_private.settle_due_organizations(timestamptz) from public;

-- Folds the usage of the organizations whose ledger moved lately (credit_usage_active), each up to its tail or a million entries.
create function billing_private.fold_active_usage()
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_result billing.job_result := ('fold_usage', 0, 0);
  v_organization_id uuid;
  v_folded bigint;
begin
  for v_organization_id in
    select a.organization_id
    from billing_private.credit_usage_active as a
    left join billing_private.credit_usage_watermarks as w on w.organization_id = a.organization_id
    cross join lateral (
      select t.sequence from billing.credit_transactions as t
      where t.organization_id = a.organization_id order by t.sequence desc limit 1
    ) as tail
    where tail.sequence > coalesce(w.folded_sequence, 0)
    order by a.organization_id
  loop
    begin
      for v_turn in 1 .. 10 loop
        v_folded := billing_private.fold_usage(v_organization_id, 100000);
        v_result.processed := v_result.processed + v_folded;
        exit when v_folded < 100000;
      end loop;
    exception when others then
      raise warning 'usage of organization % was not folded: %', v_organization_id, sqlerrm;
      v_result.failed := v_result.failed + 1;
    end;
  end loop;
  return v_result;
end
$$;
revoke all on function billing_private.fold_active_usage() from public;

-- Forgets the organizations whose ledger has been silent for five minutes. The last job of all: a spend that comes just now waits for its end.
create function billing_private.forget_quiet_organizations()
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_result billing.job_result := ('forget_quiet_organizations', 0, 0);
begin
  delete from billing_private.credit_usage_active as a
  where a.active_since < clock_timestamp() - interval '5 minutes'
    and not exists (
      select 1 from billing_private.ledger_tail(a.organization_id) as t
      where t.announced_at > clock_timestamp() - interval '5 minutes'
        or t.sequence > coalesce((
          select w.folded_sequence from billing_private.credit_usage_watermarks as w where w.organization_id = a.organization_id
        ), 0)
    );
  get diagnostics v_result.processed = row_count;
  return v_result;
end
$$;
revoke all on function billing_private.forget_quiet_organizations() from public;

-- Closes checkouts that nobody finished. An attempt without an answer from Stripe stays recognisable (`failed`) should its session turn up as paid
-- after all.
create function billing_private.expire_checkouts(p_now timestamptz)
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_result billing.job_result := ('expire_checkouts', 0, 0);
begin
  update billing.checkout_sessions as c
  set status = case c.status when 'open' then 'expired' else 'failed' end, updated_at = clock_timestamp()
  where (c.status = 'open' and c.expires_at < p_now - interval '1 day')
    or (c.status = 'creating' and c.created_at < p_now - interval '2 days');
  get diagnostics v_result.processed = row_count;
  return v_result;
end
$$;
revoke all on function billing_private.expire_checkouts(timestamptz) from public;

-- Runs one job by its name. What it raises is its own failure: it undoes that job alone, and the others go on.
create function billing_private.run_job(p_job text, p_now timestamptz)
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_result billing.job_result;
begin
  case p_job
    when 'settle_organizations' then v_result := billing_private.settle_due_organizations(p_now);
    when 'fold_usage' then v_result := billing_private.fold_active_usage();
    when 'expire_checkouts' then v_result := billing_private.expire_checkouts(p_now);
    when 'apply_reversals' then v_result := billing_private.apply_due_reversals();
    when 'retry_stripe_events' then v_result := billing_private.retry_stripe_events(p_now);
    when 'notify_expiring_cards' then v_result := billing_private.notify_expiring_cards(p_now);
    when 'make_partitions' then v_result := ('make_partitions', billing_private.make_partitions(p_now), 0)::billing.job_result;
    when 'forget_quiet_organizations' then v_result := billing_private.forget_quiet_organizations();
    when 'forget_old_terms' then v_result := ('forget_old_terms', billing_private.forget_old_terms(p_now), 0)::billing.job_result;
  end case;
  return v_result;
exception when others then
  raise warning 'job % failed: %', p_job, sqlerrm;
  return (p_job, 0, 1)::billing.job_result;
end
$$;
revoke all on function billing_private.run_job(text, timestamptz) from public;

-- The one entry for scheduled work, each minute, by pg_cron or the local scheduler. p_now: up to when work is due; null: now; never ahead of the
-- clock, except for organizations with a clock of their own, which follow that.
create function billing_private.run_due_jobs(p_now timestamptz)
returns setof billing.job_result
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_now constant timestamptz := least(coalesce(p_now, clock_timestamp()), clock_timestamp());
  v_job text;
begin
  perform billing_private.require_service();
  foreach v_job in array array[
    'settle_organizations', 'fold_usage', 'expire_checkouts', 'retry_stripe_events', 'apply_reversals', 'notify_expiring_cards', 'make_partitions',
    'forget_quiet_organizations', 'forget_old_terms'
  ] loop
    return next billing_private.run_job(v_job, v_now);
  end loop;
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
'Service: does all scheduled work that is due (expiries, activations, renewals, usage rollups, stale checkouts, partitions). Once a minute; safe to run twice.';

-- Where pg_cron is there, it calls the jobs; elsewhere the local stack's scheduler does.
do $$
begin
  if exists (select 1 from pg_catalog.pg_extension as e where e.extname = 'pg_cron') then
    perform cron.schedule('tallybase-run-due-jobs', '* * * * *', 'select billing_private.run_due_jobs(null)');
  end if;
end
$$;
