-- The ledger's tables.
--
-- `credit_transactions` is insert-only, and an organization's last entry is its wallet: it carries the balance, what is held, the debt,
-- the grant being burnt ("head"), what of it can still be spent, and `turn_at`, the first instant at which that may be stale. A spend reads
-- that entry under the organization's lock and inserts its successor; a grant's own row is touched only when the head turns.
-- Why: docs/decisions/0003-tail-ledger.md. Policies stand in 20261123001400_ledger_access.sql.

-- A domain, not a check constraint of the table: Postgres reads a table's constraints from their text at every insert, 25 us a spend. What the
-- columns owe each other (a consumption names agent type and action and takes credits, allocations come in pairs) is in verify_ledger.
create domain billing.transaction_kind as text
constraint transaction_kind_known check (
  value in ('schedule', 'grant', 'consume', 'expire', 'refund', 'void', 'adjust', 'transfer', 'hold', 'release', 'clawback', 'reinstate')
);
comment on domain billing.transaction_kind is 'What a ledger entry moved.';

create table billing.credit_transactions (
  organization_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  turn_at timestamptz not null,
  id uuid not null,
  head_grant_id uuid,
  department_id uuid,
  user_id uuid,
  hold_id uuid,
  source_transaction_id uuid,
  announced_at timestamptz,
  has_scoped_grants boolean not null,
  kind billing.transaction_kind not null,
  amount billing.credit_delta not null,
  balance_after billing.credit_delta not null,
  held_after billing.credit_amount not null default 0,
  debt_after billing.credit_amount not null default 0,
  head_available billing.credit_amount not null default 0,
  requested_amount numeric,
  agent_type text,
  action text,
  agent_key_id text,
  run_id text,
  idempotency_key text,
  reason text,
  quantities jsonb,
  price_ids bigint[],
  grant_ids uuid[],
  grant_amounts numeric[],
  limits jsonb,
  metadata jsonb,
  constraint credit_transactions_pkey primary key (organization_id, sequence)
) partition by hash (organization_id);
alter table billing.credit_transactions enable row level security;
revoke all on table billing.credit_transactions from public, anon, authenticated, service_role;
comment on table billing.credit_transactions is
'The ledger: one row a movement, gap-free and commit-ordered by `sequence` within an organization, never changed.';
comment on column billing.credit_transactions.organization_id is 'The tenant.';
comment on column billing.credit_transactions.sequence is 'Place in the organization''s ledger: 1, 2, 3 without a gap, in the order of commit.';
comment on column billing.credit_transactions.created_at is
'When it counts: the organization''s time (its test clock, if it has one); never before the previous entry.';
comment on column billing.credit_transactions.recorded_at is 'When it was written, by the wall clock.';
comment on column billing.credit_transactions.turn_at is
'First instant at which head_available may be stale: the next expiry or activation of a grant.';
comment on column billing.credit_transactions.id is 'The transaction''s id; names its place (see billing_private.transaction_id).';
comment on column billing.credit_transactions.head_grant_id is
'The grant being burnt after this entry; null: the next spend looks the grants up.';
comment on column billing.credit_transactions.department_id is 'The department that was charged, or to which a moved grant is scoped.';
comment on column billing.credit_transactions.user_id is 'The member who spent; null: an agent or the service.';
comment on column billing.credit_transactions.hold_id is 'The hold that this entry takes, captures or releases.';
comment on column billing.credit_transactions.source_transaction_id is 'The entry that this one corrects.';
comment on column billing.credit_transactions.announced_at is 'When dashboards were last told of the ledger; at most once a second.';
comment on column billing.credit_transactions.has_scoped_grants is 'Whether any open grant was scoped to a department or agent type.';
comment on column billing.credit_transactions.kind is 'What moved; see the domain transaction_kind for the words.';
comment on column billing.credit_transactions.amount is 'The change of the balance: negative when credits leave.';
comment on column billing.credit_transactions.balance_after is 'The balance after this entry: the sum of all amounts so far.';
comment on column billing.credit_transactions.held_after is 'What open holds have claimed after this entry.';
comment on column billing.credit_transactions.debt_after is 'What is owed after this entry; the next grant repays it first.';
comment on column billing.credit_transactions.head_available is 'What can still be spent of the head grant after this entry.';
comment on column billing.credit_transactions.requested_amount is 'The amount that the caller named, for caller-priced actions; else null.';
comment on column billing.credit_transactions.agent_type is 'Consumptions and their refunds: the kind of agent.';
comment on column billing.credit_transactions.action is 'Consumptions and their refunds: what it did.';
comment on column billing.credit_transactions.agent_key_id is 'The agent key that spent; null: a member or the service.';
comment on column billing.credit_transactions.run_id is 'The run to which the caller counts this spend.';
comment on column billing.credit_transactions.idempotency_key is
'The caller''s key, unique within the organization for ever; null: the call cannot be replayed.';
comment on column billing.credit_transactions.reason is 'Why, for entries that are not consumptions.';
comment on column billing.credit_transactions.quantities is 'What the caller counted, by metric; null: only the implied call.';
comment on column billing.credit_transactions.price_ids is 'The price rows (agent_action_costs.id) that were applied.';
comment on column billing.credit_transactions.grant_ids is 'The grants that were moved; null: the head grant alone.';
comment on column billing.credit_transactions.grant_amounts is 'By how much, in the order of grant_ids and with the sign of amount.';
comment on column billing.credit_transactions.limits is 'What each limit had left after this spend, as the receipt said.';
comment on column billing.credit_transactions.metadata is 'The caller''s own object, at most 8 kB; its `model` can be grouped by.';

create table billing_private.credit_transactions_0 partition of billing.credit_transactions for values with (modulus 4, remainder 0);
create table billing_private.credit_transactions_1 partition of billing.credit_transactions for values with (modulus 4, remainder 1);
create table billing_private.credit_transactions_2 partition of billing.credit_transactions for values with (modulus 4, remainder 2);
create table billing_private.credit_transactions_3 partition of billing.credit_transactions for values with (modulus 4, remainder 3);
alter table billing_private.credit_transactions_0 enable row level security;
alter table billing_private.credit_transactions_1 enable row level security;
alter table billing_private.credit_transactions_2 enable row level security;
alter table billing_private.credit_transactions_3 enable row level security;
revoke all on table billing_private.credit_transactions_0, billing_private.credit_transactions_1,
billing_private.credit_transactions_2, billing_private.credit_transactions_3 from public, anon, authenticated, service_role;

-- A key is unique per organization for the life of the ledger: partitions by organization, not by month, make that one index a partition.
create unique index credit_transactions_idempotency_key_unique
on billing.credit_transactions (organization_id, idempotency_key) where idempotency_key is not null;

create index credit_transactions_source on billing.credit_transactions (organization_id, source_transaction_id)
where source_transaction_id is not null;

create function billing_private.refuse_ledger_change()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'billing.% is append-only', tg_table_name using errcode = 'restrict_violation';
end
$$;
revoke all on function billing_private.refuse_ledger_change() from public;
create trigger credit_transactions_append_only before update or delete on billing.credit_transactions
for each row execute function billing_private.refuse_ledger_change();
create trigger credit_transactions_no_truncate before truncate on billing.credit_transactions
for each statement execute function billing_private.refuse_ledger_change();
-- A partition has its parent's row triggers, but not its statement triggers.
create trigger credit_transactions_no_truncate before truncate on billing_private.credit_transactions_0
for each statement execute function billing_private.refuse_ledger_change();
create trigger credit_transactions_no_truncate before truncate on billing_private.credit_transactions_1
for each statement execute function billing_private.refuse_ledger_change();
create trigger credit_transactions_no_truncate before truncate on billing_private.credit_transactions_2
for each statement execute function billing_private.refuse_ledger_change();
create trigger credit_transactions_no_truncate before truncate on billing_private.credit_transactions_3
for each statement execute function billing_private.refuse_ledger_change();
create trigger audit_log_append_only before update or delete on billing.audit_log
for each row execute function billing_private.refuse_ledger_change();
create trigger audit_log_no_truncate before truncate on billing.audit_log
for each statement execute function billing_private.refuse_ledger_change();

-- Grants. `remaining` includes what open holds have claimed (`held`); for the head it is what it was when the head last turned, and
-- the view billing.credit_grants puts the tail's figure in its place. `is_open`: something is, or will be, left to spend or to expire.
create table billing_private.credit_grant_lots (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  source text not null,
  source_reference text not null,
  amount billing.credit_amount not null,
  remaining billing.credit_amount not null,
  held billing.credit_amount not null default 0,
  priority integer not null default 100,
  department_id uuid,
  agent_types text[],
  is_scoped boolean not null generated always as (department_id is not null or agent_types is not null) stored,
  unit_cost billing.credit_price not null default 0,
  currency text,
  effective_at timestamptz not null,
  expires_at timestamptz not null default 'infinity',
  activated_at timestamptz,
  is_open boolean not null default true,
  closed_reason text,
  parent_grant_id uuid,
  transaction_id uuid, -- the entry that booked it: `grant`, or `schedule` when it was still to come
  subscription_id uuid,
  is_period_grant boolean not null default false,
  period_start timestamptz,
  period_ends_at timestamptz,
  grace_ends_at timestamptz,
  rollover_cap billing.credit_amount,
  burn_by timestamptz not null generated always as (least(expires_at, period_ends_at)) stored,
  metadata jsonb not null default '{}',
  created_at timestamptz not null,
  constraint credit_grants_pkey primary key (organization_id, id),
  constraint credit_grants_source_known check (
    source in ('subscription', 'purchase', 'trial', 'promotion', 'referral', 'adjustment', 'rollover', 'transfer', 'refund')
  ),
  constraint credit_grants_source_reference_unique unique (organization_id, source, source_reference),
  constraint credit_grants_amount_positive check (amount > 0),
  constraint credit_grants_remaining_bounded check (remaining <= amount),
  constraint credit_grants_held_bounded check (held <= remaining),
  -- Equal when a subscription was canceled at the instant of its grant.
  constraint credit_grants_period_ordered check (expires_at >= effective_at),
  constraint credit_grants_period_of_subscription check (
    (subscription_id is not null or num_nonnulls(period_start, period_ends_at, grace_ends_at, rollover_cap) = 0)
    and (period_ends_at is null) = (grace_ends_at is null)
    and (not is_period_grant or period_start is not null)
  ),
  constraint credit_grants_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint credit_grants_department_fkey foreign key (organization_id, department_id)
  references billing.departments (organization_id, id)
) with (fillfactor = 70);
-- The burn-down order, as an index: see billing_private.burn_down().
create index credit_grants_burn_down on billing_private.credit_grant_lots
(organization_id, priority, is_scoped desc, burn_by, unit_cost, effective_at, id) where is_open and activated_at is not null;
create index credit_grants_expiring on billing_private.credit_grant_lots (organization_id, expires_at, id)
where is_open and activated_at is not null;
create index credit_grants_pending on billing_private.credit_grant_lots (organization_id, effective_at, id)
where is_open and activated_at is null;
-- For the job, which looks for what is due in any organization.
create index credit_grants_expiring_anywhere on billing_private.credit_grant_lots (expires_at)
where is_open and activated_at is not null;
create index credit_grants_pending_anywhere on billing_private.credit_grant_lots (effective_at) where is_open and activated_at is null;
create index credit_grants_scoped on billing_private.credit_grant_lots (organization_id, id) where is_open and is_scoped;
create index credit_grants_department on billing_private.credit_grant_lots (organization_id, department_id);
-- A subscription grants once a period, whatever calls twice.
create unique index credit_grants_one_a_period on billing_private.credit_grant_lots (organization_id, subscription_id, period_start)
where is_period_grant;
-- What of a subscription's grants a renewal or an end still finds in force, past a history of any length.
create index credit_grants_subscription on billing_private.credit_grant_lots (organization_id, subscription_id, expires_at)
where subscription_id is not null;
create index credit_grants_id on billing_private.credit_grant_lots (id);
alter table billing_private.credit_grant_lots enable row level security;
revoke all on table billing_private.credit_grant_lots from public, anon, authenticated, service_role;
comment on table billing_private.credit_grant_lots is 'Grants (lots) as stored; clients read billing.credit_grants.';
comment on column billing_private.credit_grant_lots.organization_id is 'The tenant.';
comment on column billing_private.credit_grant_lots.id is 'The grant''s id.';
comment on column billing_private.credit_grant_lots.source is 'Where the credits come from; see the check constraint for the words.';
comment on column billing_private.credit_grant_lots.source_reference is 'What the source calls it; the same one is granted once.';
comment on column billing_private.credit_grant_lots.amount is 'Credits granted.';
comment on column billing_private.credit_grant_lots.remaining is
'Credits left, including held ones; for the head grant as it was when the head last turned.';
comment on column billing_private.credit_grant_lots.held is 'What open holds have claimed of it.';
comment on column billing_private.credit_grant_lots.priority is 'Lower is spent first; 100 by default.';
comment on column billing_private.credit_grant_lots.department_id is 'The only department that may spend it; null: all.';
comment on column billing_private.credit_grant_lots.agent_types is 'The only agent types for which it may be spent; null: all.';
comment on column billing_private.credit_grant_lots.is_scoped is 'Whether it has a department or agent types.';
comment on column billing_private.credit_grant_lots.unit_cost is 'Money paid for one credit, in the smallest unit of the currency; 0: given.';
comment on column billing_private.credit_grant_lots.currency is 'Currency of unit_cost; null for given credits.';
comment on column billing_private.credit_grant_lots.effective_at is 'First instant at which it can be spent.';
comment on column billing_private.credit_grant_lots.expires_at is 'First instant at which it no longer can; infinity: never.';
comment on column billing_private.credit_grant_lots.activated_at is 'When its `grant` entry was dated; null: still to come.';
comment on column billing_private.credit_grant_lots.is_open is 'Whether something is, or will be, left to spend or to expire.';
comment on column billing_private.credit_grant_lots.closed_reason is 'Why nothing is left: spent, expired, debt_repaid and so on; null: open.';
comment on column billing_private.credit_grant_lots.parent_grant_id is 'The grant from which this one was split or rolled over.';
comment on column billing_private.credit_grant_lots.transaction_id is
'The entry that booked it: `grant`, or `schedule` when it was still to come.';
comment on column billing_private.credit_grant_lots.subscription_id is 'The subscription for a period of which it was granted; null: none.';
comment on column billing_private.credit_grant_lots.is_period_grant is
'Whether it is its subscription''s one grant for the period; what an upgrade adds within it, a rollover or a trial is not.';
comment on column billing_private.credit_grant_lots.period_start is 'First instant of the period for which it was granted; null: none.';
comment on column billing_private.credit_grant_lots.period_ends_at is
'End of its period: a renewal from then on ends it; null: it lives by expires_at alone.';
comment on column billing_private.credit_grant_lots.grace_ends_at is
'What expires_at is while the subscription goes on: its period''s end and the plan''s grace, in which the renewal arrives.';
comment on column billing_private.credit_grant_lots.rollover_cap is
'At most so much of it rolls over into the next period, fixed when it was granted; null: nothing does.';
comment on column billing_private.credit_grant_lots.burn_by is
'When it is expected to end (expires_at, or its period''s end): its place in the burn-down order.';
comment on column billing_private.credit_grant_lots.metadata is 'The granter''s own object, at most 8 kB.';
comment on column billing_private.credit_grant_lots.created_at is 'When it was granted, in the organization''s time.';

create table billing.credit_holds (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  status text not null default 'open',
  amount billing.credit_amount not null,
  requested_amount numeric,
  metered billing.credit_amount not null default 0,
  captured_amount billing.credit_amount,
  uncollected_amount billing.credit_amount not null default 0,
  agent_type text not null,
  action text not null,
  quantities jsonb,
  price_ids bigint[],
  grant_ids uuid[] not null default '{}',
  grant_amounts numeric[] not null default '{}',
  department_id uuid,
  user_id uuid,
  agent_key_id text,
  run_id text,
  idempotency_key text,
  capture_transaction_id uuid,
  metadata jsonb not null default '{}',
  expires_at timestamptz not null,
  resolved_at timestamptz,
  created_at timestamptz not null,
  constraint credit_holds_pkey primary key (organization_id, id),
  constraint credit_holds_status_known check (status in ('open', 'captured', 'released', 'expired')),
  constraint credit_holds_resolution_dated check ((status = 'open') = (resolved_at is null)),
  constraint credit_holds_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
) with (fillfactor = 70);
create unique index credit_holds_idempotency_key_unique on billing.credit_holds (organization_id, idempotency_key)
where idempotency_key is not null;
create index credit_holds_expiring on billing.credit_holds (organization_id, expires_at, id) where status = 'open';
create index credit_holds_expiring_anywhere on billing.credit_holds (expires_at) where status = 'open';
create index credit_holds_id on billing.credit_holds (id);
alter table billing.credit_holds enable row level security;
revoke all on table billing.credit_holds from public, anon, authenticated, service_role;
comment on table billing.credit_holds is 'Credits reserved for runs of unknown cost.';
comment on column billing.credit_holds.requested_amount is 'The amount that the caller named, for caller-priced actions; else null.';
comment on column billing.credit_holds.organization_id is 'The tenant.';
comment on column billing.credit_holds.id is 'The hold''s id.';
comment on column billing.credit_holds.status is 'open, captured, released or expired; resolved once.';
comment on column billing.credit_holds.amount is 'Credits reserved.';
comment on column billing.credit_holds.metered is 'Credits that the run has reported as used so far; captured if the hold expires.';
comment on column billing.credit_holds.captured_amount is 'Credits charged at the end; null: not captured.';
comment on column billing.credit_holds.uncollected_amount is 'What a capture could not charge under the policy up_to_available.';
comment on column billing.credit_holds.agent_type is 'The kind of agent.';
comment on column billing.credit_holds.action is 'What it does.';
comment on column billing.credit_holds.quantities is 'What the caller counted when reserving, by metric.';
comment on column billing.credit_holds.price_ids is 'The price rows that the hold has fixed.';
comment on column billing.credit_holds.grant_ids is 'The grants that it has claimed.';
comment on column billing.credit_holds.grant_amounts is 'How much of each, in the order of grant_ids.';
comment on column billing.credit_holds.department_id is 'The department that will be charged.';
comment on column billing.credit_holds.user_id is 'The member who took it; null: an agent or the service.';
comment on column billing.credit_holds.agent_key_id is 'The agent key that took it; null: a member or the service.';
comment on column billing.credit_holds.run_id is 'The run for which it was taken.';
comment on column billing.credit_holds.idempotency_key is 'The caller''s key, unique among the organization''s holds.';
comment on column billing.credit_holds.capture_transaction_id is 'The entry that captured it.';
comment on column billing.credit_holds.metadata is 'The caller''s own object, at most 8 kB.';
comment on column billing.credit_holds.expires_at is 'First instant at which it expires by itself.';
comment on column billing.credit_holds.resolved_at is 'When it was captured, released or expired; null: open.';
comment on column billing.credit_holds.created_at is 'When it was taken.';

create table billing.credit_limits (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  subject_type text not null,
  subject_id text not null,
  amount billing.credit_amount not null,
  limit_window text not null,
  mode text not null default 'hard',
  timezone text not null default 'UTC',
  alert_at numeric[] not null default '{0.8}',
  counted_from timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint credit_limits_pkey primary key (organization_id, id),
  constraint credit_limits_subject_unique unique (organization_id, subject_type, subject_id, limit_window),
  constraint credit_limits_subject_type_known check (subject_type in ('organization', 'department', 'member', 'agent_type', 'agent_key', 'run')),
  constraint credit_limits_subject_id_length check (length(subject_id) between 1 and 255),
  constraint credit_limits_window_known check (limit_window in ('day', 'week', 'month', 'lifetime')),
  constraint credit_limits_counted_from_given check ((limit_window = 'lifetime') = (counted_from is null)),
  constraint credit_limits_mode_known check (mode in ('hard', 'soft', 'ask')),
  constraint credit_limits_alert_at_bounded check (cardinality(alert_at) <= 10),
  constraint credit_limits_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create index credit_limits_id on billing.credit_limits (id);
alter table billing.credit_limits enable row level security;
revoke all on table billing.credit_limits from public, anon, authenticated, service_role;
comment on table billing.credit_limits is 'Windowed caps on an organization, department, member, agent type, agent key or run.';
comment on column billing.credit_limits.organization_id is 'The tenant.';
comment on column billing.credit_limits.id is 'The limit''s id.';
comment on column billing.credit_limits.subject_type is 'What is limited: organization, department, member, agent_type, agent_key or run.';
comment on column billing.credit_limits.subject_id is 'Which one: an id, the key id, or the name of an agent type or run.';
comment on column billing.credit_limits.amount is 'Credits that may be consumed in each window; 0 blocks.';
comment on column billing.credit_limits.limit_window is 'day, week (from Monday), month or lifetime, in the limit''s time zone.';
comment on column billing.credit_limits.mode is 'hard refuses, soft lets pass and tells once a window, ask parks for an approval.';
comment on column billing.credit_limits.timezone is 'IANA name of the zone in which windows begin.';
comment on column billing.credit_limits.alert_at is 'Shares of the amount (0 to 1) at which people are told, once a window.';
comment on column billing.credit_limits.counted_from is
'First instant of the first window it has counted in (in its present zone), in the organization''s time; null for a lifetime limit.';
comment on column billing.credit_limits.created_at is 'When it was first set.';
comment on column billing.credit_limits.updated_at is 'When it was last edited; editing resets no counter.';

-- One counter a limit and window. No job resets it: a new window has a new row.
create table billing_private.credit_limit_counters (
  organization_id uuid not null,
  limit_id uuid not null,
  window_start timestamptz not null,
  window_end timestamptz,
  used billing.credit_amount not null,
  additional billing.credit_amount not null default 0,
  quiet_below numeric not null default 0,
  generation bigint not null default 0,
  constraint credit_limit_counters_pkey primary key (organization_id, limit_id, window_start),
  constraint credit_limit_counters_limit_fkey foreign key (organization_id, limit_id)
  references billing.credit_limits (organization_id, id) on delete cascade
) with (fillfactor = 50);
-- How spends find the row. Beside an old snapshot (a dump, a report) none of its former versions can be cleared away, and a look-up by the primary
-- key would visit all of them; backwards by this index the newest generation comes first.
create index credit_limit_counters_newest on billing_private.credit_limit_counters (organization_id, limit_id, window_start, generation);
alter table billing_private.credit_limit_counters enable row level security;
revoke all on table billing_private.credit_limit_counters from public, anon, authenticated, service_role;
comment on table billing_private.credit_limit_counters is 'What each limit has used in each of its windows.';
comment on column billing_private.credit_limit_counters.organization_id is 'The tenant.';
comment on column billing_private.credit_limit_counters.limit_id is 'The limit.';
comment on column billing_private.credit_limit_counters.window_start is 'First instant of the window; -infinity for a lifetime limit.';
comment on column billing_private.credit_limit_counters.window_end is 'First instant after the window, infinity for a lifetime limit; null: the next spend fills it in.';
comment on column billing_private.credit_limit_counters.used is 'Credits consumed by the subject in the window.';
comment on column billing_private.credit_limit_counters.additional is 'What approvals have added to the limit for this window.';
comment on column billing_private.credit_limit_counters.quiet_below is
'While `used` stays below this, a spend is neither refused nor told of: it need not read the limit itself. 0: it must.';
comment on column billing_private.credit_limit_counters.generation is
'Grows with the ledger while spends are counted (its sequence / 64), so that of all versions of the row the last has the highest.';

create table billing.credit_approvals (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  limit_id uuid not null,
  status text not null default 'pending',
  required billing.credit_amount,
  additional billing.credit_amount,
  window_start timestamptz not null,
  idempotency_key text,
  agent_type text,
  action text,
  department_id uuid,
  user_id uuid,
  agent_key_id text,
  run_id text,
  resolved_by uuid,
  resolved_at timestamptz,
  created_at timestamptz not null,
  constraint credit_approvals_pkey primary key (organization_id, id),
  constraint credit_approvals_status_known check (status in ('pending', 'approved', 'rejected')),
  constraint credit_approvals_limit_fkey foreign key (organization_id, limit_id)
  references billing.credit_limits (organization_id, id) on delete cascade
);
create index credit_approvals_limit on billing.credit_approvals (organization_id, limit_id);
alter table billing.credit_approvals enable row level security;
revoke all on table billing.credit_approvals from public, anon, authenticated, service_role;
comment on table billing.credit_approvals is 'Spends that a limit in mode `ask` has parked, and what was decided.';
comment on column billing.credit_approvals.organization_id is 'The tenant.';
comment on column billing.credit_approvals.id is 'The approval''s id.';
comment on column billing.credit_approvals.limit_id is 'The limit that parked the spend.';
comment on column billing.credit_approvals.status is 'pending, approved or rejected.';
comment on column billing.credit_approvals.required is 'Credits that the parked spend needs; null: decided before anybody sent the request.';
comment on column billing.credit_approvals.additional is
'Credits that the approval adds to the limit for the window; null: not decided, or approved for this one spend, which fills it in.';
comment on column billing.credit_approvals.window_start is 'First instant of the window that was full.';
comment on column billing.credit_approvals.idempotency_key is 'The key of the parked spend, under which it may be sent again.';
comment on column billing.credit_approvals.agent_type is 'The kind of agent.';
comment on column billing.credit_approvals.action is 'What it wanted to do.';
comment on column billing.credit_approvals.department_id is 'The department that would be charged.';
comment on column billing.credit_approvals.user_id is 'The member who asked; null: an agent or the service.';
comment on column billing.credit_approvals.agent_key_id is 'The agent key that asked; null: a member or the service.';
comment on column billing.credit_approvals.run_id is 'The run that asked.';
comment on column billing.credit_approvals.resolved_by is 'Who decided.';
comment on column billing.credit_approvals.resolved_at is 'When it was decided; null: pending.';
comment on column billing.credit_approvals.created_at is 'When it was asked for, or decided.';
