-- Usage rolled up: what the ledger says about consumption, summed so that reading a month costs the same at any size of the ledger. Everything
-- here is derived: billing_private.rebuild_organization() makes it again from the entries, and verify_ledger() compares.
--
-- One row a UTC day and set of things that can be grouped by; within it, the hours that had usage, as arrays. So days of UTC are one row, days
-- of any zone with whole hours are exact too, and an organization that spends once a day stores no second row for it.
-- Why: docs/decisions/0013-usage-rollups.md.

create table billing.credit_usage_daily (
  organization_id uuid not null,
  usage_date date not null,
  agent_type text not null,
  action text not null,
  department_id uuid,
  user_id uuid,
  agent_key_id text,
  model text,
  amount billing.credit_delta not null,
  consumption_count bigint not null,
  hours smallint[] not null default '{}',
  hour_amounts numeric[] not null default '{}',
  hour_counts bigint[] not null default '{}',
  constraint credit_usage_daily_unique unique nulls not distinct
  (organization_id, usage_date, agent_type, action, department_id, user_id, agent_key_id, model)
) with (fillfactor = 70);
alter table billing.credit_usage_daily enable row level security;
revoke all on table billing.credit_usage_daily from public, anon, authenticated, service_role;
comment on table billing.credit_usage_daily is 'Consumption by UTC day, net of refunds, folded up to billing_private.credit_usage_watermarks.';
comment on column billing.credit_usage_daily.organization_id is 'The tenant.';
comment on column billing.credit_usage_daily.usage_date is 'Day in UTC.';
comment on column billing.credit_usage_daily.agent_type is 'The kind of agent.';
comment on column billing.credit_usage_daily.action is 'What it did.';
comment on column billing.credit_usage_daily.department_id is 'The department charged; null: none.';
comment on column billing.credit_usage_daily.user_id is 'The member who spent; null: an agent or the service.';
comment on column billing.credit_usage_daily.agent_key_id is 'The agent key that spent; null: a member or the service.';
comment on column billing.credit_usage_daily.model is 'The spends'' metadata.model; null: not given.';
comment on column billing.credit_usage_daily.amount is 'Credits consumed on the day, less what was refunded on it.';
comment on column billing.credit_usage_daily.consumption_count is 'Number of consumptions.';
comment on column billing.credit_usage_daily.hours is 'The UTC hours (0 to 23) of the day that had usage, ascending.';
comment on column billing.credit_usage_daily.hour_amounts is 'What of amount belongs to each of hours.';
comment on column billing.credit_usage_daily.hour_counts is 'What of consumption_count belongs to each of hours.';

-- The same by run. Runs are many and soon over: the one derived table that grows with time whatever an organization does, so it lies in months,
-- made ahead by the job make_partitions; what no month was made for yet (test clocks) lies in the last partition until then.
create table billing_private.credit_usage_runs (
  organization_id uuid not null,
  usage_date date not null,
  run_id text,
  department_id uuid,
  user_id uuid,
  amount billing.credit_delta not null,
  consumption_count bigint not null,
  hours smallint[] not null default '{}',
  hour_amounts numeric[] not null default '{}',
  hour_counts bigint[] not null default '{}',
  constraint credit_usage_runs_unique unique nulls not distinct (organization_id, usage_date, run_id, department_id, user_id)
) partition by range (usage_date);
alter table billing_private.credit_usage_runs enable row level security;
revoke all on table billing_private.credit_usage_runs from public, anon, authenticated, service_role;
create table billing_private.credit_usage_runs_other partition of billing_private.credit_usage_runs default;
alter table billing_private.credit_usage_runs_other enable row level security;
revoke all on table billing_private.credit_usage_runs_other from public, anon, authenticated, service_role;
grant select on table billing_private.credit_usage_runs to authenticated, service_role;
create policy credit_usage_runs_read on billing_private.credit_usage_runs for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
  or (
    organization_id = any(array(select billing_private.my_organization_ids('{member}')))
    and (
      user_id = (select billing_private.current_user_id())
      or department_id = any(array(select billing_private.my_department_ids()))
    )
  )
);
comment on table billing_private.credit_usage_runs is 'Consumption by UTC day and run, net of refunds, folded with credit_usage_daily.';
comment on column billing_private.credit_usage_runs.organization_id is 'The tenant.';
comment on column billing_private.credit_usage_runs.usage_date is 'Day in UTC.';
comment on column billing_private.credit_usage_runs.run_id is 'The run; null: spends without one.';
comment on column billing_private.credit_usage_runs.department_id is 'The department charged; null: none.';
comment on column billing_private.credit_usage_runs.user_id is 'The member who spent; null: an agent or the service.';
comment on column billing_private.credit_usage_runs.amount is 'Credits consumed on the day, less what was refunded on it.';
comment on column billing_private.credit_usage_runs.consumption_count is 'Number of consumptions.';
comment on column billing_private.credit_usage_runs.hours is 'The UTC hours (0 to 23) of the day that had usage, ascending.';
comment on column billing_private.credit_usage_runs.hour_amounts is 'What of amount belongs to each of hours.';
comment on column billing_private.credit_usage_runs.hour_counts is 'What of consumption_count belongs to each of hours.';

create table billing_private.credit_usage_watermarks (
  organization_id uuid not null primary key,
  folded_sequence bigint not null
);
alter table billing_private.credit_usage_watermarks enable row level security;
revoke all on table billing_private.credit_usage_watermarks from public, anon, authenticated, service_role;
grant select on table billing_private.credit_usage_watermarks to authenticated, service_role;
create policy credit_usage_watermarks_read on billing_private.credit_usage_watermarks for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids())));
comment on table billing_private.credit_usage_watermarks is 'Up to which sequence each organization''s usage has been folded into the rollups.';
comment on column billing_private.credit_usage_watermarks.organization_id is 'The tenant.';
comment on column billing_private.credit_usage_watermarks.folded_sequence is 'The last ledger sequence that the rollups contain.';

-- Which organizations the fold has to look at: written by announce_ledger() when a ledger moves after a minute of silence, taken away by the job
-- when it has been silent for five. So a busy ledger pays nothing for it, and the job looks at active organizations alone.
create table billing_private.credit_usage_active (
  organization_id uuid not null primary key,
  active_since timestamptz not null default clock_timestamp()
);
alter table billing_private.credit_usage_active enable row level security;
revoke all on table billing_private.credit_usage_active from public, anon, authenticated, service_role;
comment on table billing_private.credit_usage_active is 'Organizations whose ledger moved lately, so that the fold finds them.';
comment on column billing_private.credit_usage_active.organization_id is 'The tenant.';
comment on column billing_private.credit_usage_active.active_since is 'When it began to move, by the wall clock.';
