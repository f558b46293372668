-- Catalogue: plans, packs and the prices of agents' actions.
-- Stripe's ids live apart (billing_private.stripe_catalogue), because visitors read plans and packs.

-- Of what an amount of money must be a multiple, in the smallest unit of its currency: nobody can pay the third decimal of Kuwaiti dinars and their
-- like, nor a fraction of Icelandic crowns or Ugandan shillings (https://docs.stripe.com/currencies#special-cases).
create function billing_private.charge_step(p_currency text)
returns integer
language sql
immutable
set search_path = ''
return case when p_currency in ('bhd', 'jod', 'kwd', 'omr', 'tnd') then 10 when p_currency in ('isk', 'ugx') then 100 else 1 end;
revoke all on function billing_private.charge_step(text) from public;

create table billing.subscription_plans (
  id uuid not null default gen_random_uuid(),
  key text not null,
  name text not null,
  description text not null default '',
  unit_amount bigint not null,
  currency text not null default 'usd',
  billing_interval text not null default 'month',
  credits_per_period billing.credit_amount not null,
  rollover_cap billing.credit_amount,
  rollover_share numeric(5, 4),
  credit_expiry interval,
  trial_days integer not null default 0,
  trial_credits billing.credit_amount not null default 0,
  grace_days integer not null default 3,
  features jsonb not null default '{}',
  is_active boolean not null default true,
  sort_order integer not null default 0,
  created_at timestamptz not null default now(),
  constraint subscription_plans_pkey primary key (id),
  constraint subscription_plans_key_unique unique (key),
  constraint subscription_plans_key_format check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint subscription_plans_name_length check (length(name) between 1 and 200),
  constraint subscription_plans_unit_amount_not_negative check (unit_amount >= 0),
  constraint subscription_plans_currency_format check (currency ~ '^[a-z]{3}$'),
  constraint subscription_plans_unit_amount_payable check (unit_amount % billing_private.charge_step(currency) = 0),
  constraint subscription_plans_billing_interval_known check (billing_interval in ('day', 'week', 'month', 'year')),
  constraint subscription_plans_rollover_share_range check (rollover_share between 0 and 1),
  constraint subscription_plans_trial_days_range check (trial_days between 0 and 730),
  constraint subscription_plans_grace_days_range check (grace_days between 0 and 90),
  constraint subscription_plans_features_object check (jsonb_typeof(features) = 'object')
);
alter table billing.subscription_plans enable row level security;
revoke all on table billing.subscription_plans from public, anon, authenticated, service_role;
grant select on table billing.subscription_plans to anon, authenticated, service_role;
create policy subscription_plans_read_active on billing.subscription_plans for select to anon, authenticated using (is_active);
comment on table billing.subscription_plans is 'Plans on offer. unit_amount is in the smallest unit of the currency.';
comment on column billing.subscription_plans.id is 'The plan''s id.';
comment on column billing.subscription_plans.key is 'The plan''s name in code: lower-case letters, digits and underscores.';
comment on column billing.subscription_plans.name is 'The plan''s name for people.';
comment on column billing.subscription_plans.description is 'One sentence for people.';
comment on column billing.subscription_plans.unit_amount is 'Price of one period, in the smallest unit of the currency.';
comment on column billing.subscription_plans.currency is 'ISO 4217 code in lower case, as Stripe writes it.';
comment on column billing.subscription_plans.billing_interval is 'How long a period is: day, week, month or year.';
comment on column billing.subscription_plans.credits_per_period is 'Credits granted for each paid period.';
comment on column billing.subscription_plans.rollover_cap is
'At most so many unspent credits roll over into the next period; null: see rollover_share. With both, the smaller counts.';
comment on column billing.subscription_plans.rollover_share is
'At most this share (0 to 1) of credits_per_period rolls over; null: see rollover_cap. Both null: nothing rolls over.';
comment on column billing.subscription_plans.credit_expiry is 'How long a period''s credits live, from its start; they do not roll over. Null: until the period ends.';
comment on column billing.subscription_plans.trial_days is 'Length of the trial in days; 0: no trial.';
comment on column billing.subscription_plans.trial_credits is 'Credits for the trial, once an organization and card.';
comment on column billing.subscription_plans.grace_days is 'Days of use after a failed renewal before spending is restricted.';
comment on column billing.subscription_plans.features is 'What the plan allows, by name, such as the number of departments.';
comment on column billing.subscription_plans.is_active is 'Whether it is on offer; others are invisible to clients.';
comment on column billing.subscription_plans.sort_order is 'Place in lists, ascending.';
comment on column billing.subscription_plans.created_at is 'When it was made.';

-- What plans said before they were edited. A period is granted on the terms that were in force when it began, even if it is booked later: by a
-- sweeper that was down, or an invoice that was paid late.
create table billing_private.subscription_plan_history (
  plan_id uuid not null,
  valid_until timestamptz not null,
  terms jsonb not null,
  constraint subscription_plan_history_pkey primary key (plan_id, valid_until),
  constraint subscription_plan_history_plan_fkey foreign key (plan_id) references billing.subscription_plans (id) on delete cascade
);
alter table billing_private.subscription_plan_history enable row level security;
revoke all on table billing_private.subscription_plan_history from public, anon, authenticated, service_role;
comment on table billing_private.subscription_plan_history is 'Earlier versions of plans, written by a trigger whenever one is edited.';
comment on column billing_private.subscription_plan_history.plan_id is 'The plan.';
comment on column billing_private.subscription_plan_history.valid_until is 'First instant, by the wall clock, at which it said something else.';
comment on column billing_private.subscription_plan_history.terms is 'The row of subscription_plans as it was.';

create function billing_private.keep_plan_version()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into billing_private.subscription_plan_history (plan_id, valid_until, terms) values (old.id, clock_timestamp(), to_jsonb(old));
  return null;
end
$$;
revoke all on function billing_private.keep_plan_version() from public;
create trigger subscription_plans_keep_version after update on billing.subscription_plans
for each row when (old.* is distinct from new.*) execute function billing_private.keep_plan_version();

-- A plan as it was at p_at; for instants to come (those of test clocks are) as it is.
create function billing_private.plan_at(p_plan_id uuid, p_at timestamptz)
returns billing.subscription_plans
language plpgsql
stable
set search_path = ''
as $$
declare
  v_plan billing.subscription_plans;
begin
  select (jsonb_populate_record(null::billing.subscription_plans, h.terms)).* into v_plan
  from billing_private.subscription_plan_history as h
  where h.plan_id = p_plan_id and h.valid_until > p_at
  order by h.valid_until limit 1;
  if not found then
    select p.* into v_plan from billing.subscription_plans as p where p.id = p_plan_id;
  end if;
  return v_plan;
end
$$;
revoke all on function billing_private.plan_at(uuid, timestamptz) from public;

create table billing.credit_packages (
  id uuid not null default gen_random_uuid(),
  key text not null,
  name text not null,
  description text not null default '',
  credits billing.credit_amount not null,
  unit_amount bigint not null,
  currency text not null default 'usd',
  credit_expiry interval,
  is_active boolean not null default true,
  sort_order integer not null default 0,
  created_at timestamptz not null default now(),
  constraint credit_packages_pkey primary key (id),
  constraint credit_packages_key_unique unique (key),
  constraint credit_packages_key_format check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint credit_packages_name_length check (length(name) between 1 and 200),
  constraint credit_packages_credits_positive check (credits > 0),
  constraint credit_packages_unit_amount_positive check (unit_amount > 0),
  constraint credit_packages_currency_format check (currency ~ '^[a-z]{3}$'),
  constraint credit_packages_unit_amount_payable check (unit_amount % billing_private.charge_step(currency) = 0)
);
alter table billing.credit_packages enable row level security;
revoke all on table billing.credit_packages from public, anon, authenticated, service_role;
grant select on table billing.credit_packages to anon, authenticated, service_role;
create policy credit_packages_read_active on billing.credit_packages for select to anon, authenticated using (is_active);
comment on table billing.credit_packages is 'Packs of credits on offer. unit_amount is in the smallest unit of the currency.';
comment on column billing.credit_packages.id is 'The pack''s id.';
comment on column billing.credit_packages.key is 'The pack''s name in code: lower-case letters, digits and underscores.';
comment on column billing.credit_packages.name is 'The pack''s name for people.';
comment on column billing.credit_packages.description is 'One sentence for people.';
comment on column billing.credit_packages.credits is 'Credits that the pack grants.';
comment on column billing.credit_packages.unit_amount is 'Price of the pack, in the smallest unit of the currency.';
comment on column billing.credit_packages.currency is 'ISO 4217 code in lower case, as Stripe writes it.';
comment on column billing.credit_packages.credit_expiry is 'How long the bought credits live; null: without end.';
comment on column billing.credit_packages.is_active is 'Whether it is on offer; others are invisible to clients.';
comment on column billing.credit_packages.sort_order is 'Place in lists, ascending.';
comment on column billing.credit_packages.created_at is 'When it was made.';

-- A price is never edited: a new one closes its predecessor (set_agent_action_cost), and a receipt keeps the row it was charged at.
create table billing.agent_action_costs (
  id bigint not null generated always as identity,
  organization_id uuid,
  agent_type text not null,
  action text not null,
  metric text not null default 'call',
  credit_cost billing.credit_price not null default 0,
  caller_priced boolean not null default false,
  description text not null default '',
  effective_from timestamptz not null default now(),
  effective_to timestamptz,
  created_at timestamptz not null default now(),
  constraint agent_action_costs_pkey primary key (id),
  constraint agent_action_costs_agent_type_format check (length(agent_type) between 1 and 255 and agent_type !~ '[[:cntrl:]]'),
  constraint agent_action_costs_action_format check (length(action) between 1 and 255 and action !~ '[[:cntrl:]]'),
  constraint agent_action_costs_metric_format check (length(metric) between 1 and 100 and metric !~ '[[:cntrl:]]'),
  constraint agent_action_costs_caller_priced_is_per_call check (not caller_priced or (metric = 'call' and credit_cost = 0)),
  constraint agent_action_costs_period_ordered check (effective_to > effective_from),
  constraint agent_action_costs_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  -- Two versions of one price can never be in force together. The null organization is the price list for everybody.
  constraint agent_action_costs_no_overlap exclude using gist (
    (coalesce(organization_id, '00000000-0000-0000-0000-000000000000'::uuid)) with =,
    agent_type with =, action with =, metric with =,
    tstzrange(effective_from, effective_to) with &&
  )
);
create index agent_action_costs_lookup on billing.agent_action_costs (agent_type, action, organization_id);
create index agent_action_costs_organization on billing.agent_action_costs (organization_id);
comment on table billing.agent_action_costs is
'What actions cost, per (agent type, action, metric), by version. An organization''s own row wins over the global one.';
comment on column billing.agent_action_costs.id is 'The price''s id; receipts name it.';
comment on column billing.agent_action_costs.organization_id is 'The organization whose own price this is; null: the price list for everybody.';
comment on column billing.agent_action_costs.agent_type is 'The kind of agent, such as a class name.';
comment on column billing.agent_action_costs.action is 'What the agent does.';
comment on column billing.agent_action_costs.metric is 'What is counted: call (implied once a spend), or a name in the spend''s quantities.';
comment on column billing.agent_action_costs.credit_cost is 'Credits for one unit of the metric, before rounding.';
comment on column billing.agent_action_costs.caller_priced is 'Whether the caller names the amount of each spend; then credit_cost is 0.';
comment on column billing.agent_action_costs.description is 'One sentence for people.';
comment on column billing.agent_action_costs.effective_from is 'First instant at which it is in force.';
comment on column billing.agent_action_costs.effective_to is 'First instant at which it no longer is; null: no end yet.';
comment on column billing.agent_action_costs.created_at is 'When it was made.';
alter table billing.agent_action_costs enable row level security;
revoke all on table billing.agent_action_costs from public, anon, authenticated, service_role;
grant select on table billing.agent_action_costs to authenticated, service_role;
create policy agent_action_costs_read_in_scope on billing.agent_action_costs for select to authenticated
using (organization_id is null or organization_id = any(array(select billing_private.my_organization_ids())));

-- Opens a new version of a price and closes the one in force at that instant. The service only; audited for an organization's own price.
-- A retry with the same arguments at the same effective_from is refused by the overlap constraint, so nothing is opened twice.
create function billing_private.set_agent_action_cost(
  p_agent_type text, p_action text, p_metric text, p_credit_cost numeric, p_caller_priced boolean,
  p_organization_id uuid, p_effective_from timestamptz, p_description text
)
returns billing.agent_action_costs
language plpgsql
security definer
set search_path = ''
as $$
declare
  -- An organization's own price begins by the organization's clock.
  v_from constant timestamptz := coalesce(p_effective_from, billing_private.organization_now(p_organization_id));
  v_price billing.agent_action_costs;
begin
  perform billing_private.require_service();
  perform billing_private.require_text('agent_type', p_agent_type);
  perform billing_private.require_text('action', p_action);
  perform billing_private.require_text('metric', p_metric, 100);
  perform billing_private.require_amount('credit_cost', p_credit_cost, true);
  if scale(p_credit_cost) > 20 then
    perform billing_private.fail(422, 'invalid_amount', '{"argument": "credit_cost"}', 'at most twenty decimals');
  end if;
  if not isfinite(v_from) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "effective_from"}', 'effective_from is a finite instant');
  end if;
  if p_organization_id is not null then
    perform billing_private.require_role(p_organization_id, '{owner}');
  end if;
  if p_caller_priced and (p_metric <> 'call' or p_credit_cost <> 0) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "caller_priced"}',
      'a caller-priced action has the metric "call" and the cost 0');
  end if;
  update billing.agent_action_costs as c
  set effective_to = v_from
  where c.agent_type = p_agent_type and c.action = p_action and c.metric = p_metric
    and c.organization_id is not distinct from p_organization_id
    and c.effective_from < v_from and (c.effective_to is null or c.effective_to > v_from);
  begin
    insert into billing.agent_action_costs
      (organization_id, agent_type, action, metric, credit_cost, caller_priced, description, effective_from)
    values (p_organization_id, p_agent_type, p_action, p_metric, p_credit_cost, p_caller_priced, coalesce(p_description, ''), v_from)
    returning * into v_price;
  exception when exclusion_violation then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "effective_from"}', 'a later version of this price exists already');
  end;
  if p_organization_id is not null then
    perform billing_private.audit(p_organization_id, 'set_agent_action_cost', 'agent_action_cost', v_price.id::text, null, null, to_jsonb(v_price));
  end if;
  return v_price;
end
$$;
revoke all on function billing_private.set_agent_action_cost(text, text, text, numeric, boolean, uuid, timestamptz, text) from public;
grant execute on function billing_private.set_agent_action_cost(text, text, text, numeric, boolean, uuid, timestamptz, text) to service_role;

create function billing.set_agent_action_cost(
  agent_type text, action text, credit_cost numeric, metric text default 'call', caller_priced boolean default false,
  organization_id uuid default null, effective_from timestamptz default null, description text default ''
)
returns billing.agent_action_costs
language sql
volatile
set search_path = ''
return billing_private.set_agent_action_cost(
  agent_type, action, metric, credit_cost, caller_priced, organization_id, effective_from, description
);
revoke all on function billing.set_agent_action_cost(text, text, numeric, text, boolean, uuid, timestamptz, text) from public;
grant execute on function billing.set_agent_action_cost(text, text, numeric, text, boolean, uuid, timestamptz, text) to service_role;
comment on function billing.set_agent_action_cost(text, text, numeric, text, boolean, uuid, timestamptz, text) is
'Service: opens a new version of a price (credits a unit of the metric) from effective_from (default now) and closes the old one.';
