-- Money: what an organization buys, and the mirrors of Stripe's objects behind it.
--
-- Mirrors carry no foreign keys to one another, because Stripe's events arrive in any order. They hold no Stripe secret.
-- Owner, admin and billing read them; nobody writes but the named functions of 20261123001600 to 20261123001900.
-- Unique indexes on Stripe ids are global by nature: a webhook finds the organization by the Stripe id.

create table billing.customers (
  organization_id uuid not null,
  stripe_customer_id text not null,
  email text,
  name text,
  currency text,
  default_payment_method_id text,
  livemode boolean not null default false,
  deleted_at timestamptz,
  stripe_fetched_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint customers_pkey primary key (organization_id),
  constraint customers_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create unique index customers_stripe_customer_id_unique on billing.customers (stripe_customer_id);
comment on table billing.customers is 'The Stripe customer of each organization: one, made before its first checkout.';
comment on column billing.customers.organization_id is 'The tenant.';
comment on column billing.customers.stripe_customer_id is 'Stripe''s id (cus_…).';
comment on column billing.customers.email is 'Where Stripe sends receipts.';
comment on column billing.customers.name is 'Name on invoices.';
comment on column billing.customers.currency is 'The currency in which Stripe bills this customer; null: not fixed yet.';
comment on column billing.customers.default_payment_method_id is 'Stripe''s id (pm_…) of the card that is charged when nobody is there.';
comment on column billing.customers.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.customers.created_at is 'When we recorded it.';
comment on column billing.customers.updated_at is 'When the copy last changed.';
comment on column billing.customers.deleted_at is 'When the customer was deleted at Stripe; the next checkout makes another.';
comment on column billing.customers.stripe_fetched_at is 'When the copy was read at Stripe; an older reading never overwrites a newer one.';
alter table billing.customers enable row level security;
revoke all on table billing.customers from public, anon, authenticated, service_role;
grant select on table billing.customers to authenticated, service_role;
create policy customers_read_as_billing on billing.customers for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

create table billing.subscriptions (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  stripe_subscription_id text,
  stripe_customer_id text,
  stripe_price_id text,
  plan_id uuid,
  next_plan_id uuid,
  status text not null,
  quantity integer not null default 1,
  current_period_start timestamptz,
  current_period_end timestamptz,
  trial_start timestamptz,
  trial_end timestamptz,
  cancel_at timestamptz,
  cancel_at_period_end boolean not null default false,
  canceled_at timestamptz,
  ended_at timestamptz,
  ends_at timestamptz,
  pause_behavior text,
  pause_resumes_at timestamptz,
  past_due_since timestamptz,
  anchor_at timestamptz,
  billing_interval text,
  timezone text,
  period_number integer,
  unit_amount bigint,
  currency text,
  livemode boolean not null default false,
  stripe_fetched_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint subscriptions_pkey primary key (organization_id, id),
  constraint subscriptions_status_known check (
    status in ('incomplete', 'incomplete_expired', 'trialing', 'active', 'past_due', 'canceled', 'unpaid', 'paused')
  ),
  constraint subscriptions_billing_interval_known check (billing_interval in ('day', 'week', 'month', 'year')),
  constraint subscriptions_recurs_by_itself check (
    stripe_subscription_id is not null
    or num_nulls(plan_id, anchor_at, billing_interval, timezone, period_number, current_period_start, current_period_end) = 0
  ),
  constraint subscriptions_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint subscriptions_plan_fkey foreign key (plan_id) references billing.subscription_plans (id),
  constraint subscriptions_next_plan_fkey foreign key (next_plan_id) references billing.subscription_plans (id)
);
create index subscriptions_plan on billing.subscriptions (plan_id);
create index subscriptions_next_plan on billing.subscriptions (next_plan_id);
create unique index subscriptions_stripe_subscription_id_unique on billing.subscriptions (stripe_subscription_id);
-- One live free plan an organization. Stripe's are not held to it: the copy shows what is there, two made by hand in Stripe's dashboard included,
-- and people are told (sync_subscription).
create unique index subscriptions_one_live_free on billing.subscriptions (organization_id)
where stripe_subscription_id is null and status in ('incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused');
create index subscriptions_live on billing.subscriptions (organization_id, created_at desc)
where status in ('trialing', 'active', 'past_due', 'unpaid', 'paused');
-- Free plans, which renew by themselves: within the next spend of their organization, or by the job.
create index subscriptions_recurring on billing.subscriptions (organization_id, current_period_end)
where stripe_subscription_id is null and status = 'active';
create index subscriptions_recurring_anywhere on billing.subscriptions (current_period_end)
where stripe_subscription_id is null and status = 'active';
comment on table billing.subscriptions is 'Subscriptions to plans; a free plan has no Stripe id.';
comment on column billing.subscriptions.organization_id is 'The tenant.';
comment on column billing.subscriptions.id is 'Our id.';
comment on column billing.subscriptions.stripe_subscription_id is 'Stripe''s id (sub_…); null: a free plan.';
comment on column billing.subscriptions.stripe_customer_id is 'Stripe''s id (cus_…) of who pays; null: a free plan.';
comment on column billing.subscriptions.stripe_price_id is 'Stripe''s id (price_…) of what the next period will be billed at.';
comment on column billing.subscriptions.plan_id is 'The plan in force: what the current period was paid for; null: one that we do not sell.';
comment on column billing.subscriptions.next_plan_id is 'The plan of the next period, when it is another one; null: the same.';
comment on column billing.subscriptions.status is 'Stripe''s status of the subscription.';
comment on column billing.subscriptions.quantity is 'How many of the plan.';
comment on column billing.subscriptions.current_period_start is 'First instant of the paid period.';
comment on column billing.subscriptions.current_period_end is 'First instant after it.';
comment on column billing.subscriptions.trial_start is 'First instant of the trial; null: none.';
comment on column billing.subscriptions.trial_end is 'First instant after the trial; null: none.';
comment on column billing.subscriptions.cancel_at is 'When it will end; null: not planned.';
comment on column billing.subscriptions.cancel_at_period_end is 'Whether it ends with the current period.';
comment on column billing.subscriptions.canceled_at is 'When the cancellation was asked for.';
comment on column billing.subscriptions.ended_at is 'When it ended; null: it has not.';
comment on column billing.subscriptions.ends_at is
'When access ends or ended, however that was agreed (ended_at, cancel_at, or the period''s end); null: it renews.';
comment on column billing.subscriptions.pause_behavior is
'What Stripe does with invoices while collection is paused (keep_as_draft, mark_uncollectible, void); null: it is not paused.';
comment on column billing.subscriptions.pause_resumes_at is 'When a paused collection resumes by itself; null: when somebody resumes it.';
comment on column billing.subscriptions.past_due_since is 'Since when an invoice of it is open that should have been paid; null: none is.';
comment on column billing.subscriptions.anchor_at is 'The instant from which every period''s start is computed.';
comment on column billing.subscriptions.billing_interval is 'How long a period is: day, week, month or year; null: Stripe keeps it.';
comment on column billing.subscriptions.timezone is 'IANA name of the zone in which a free plan''s periods are counted; null: Stripe counts.';
comment on column billing.subscriptions.period_number is
'Number of the current period of a free plan, counted from the anchor (0); null: Stripe counts.';
comment on column billing.subscriptions.unit_amount is 'Price of one period, in the smallest unit of the currency.';
comment on column billing.subscriptions.currency is 'ISO 4217 code in lower case.';
comment on column billing.subscriptions.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.subscriptions.stripe_fetched_at is 'When this copy was read at Stripe; an older reading never overwrites a newer one.';
comment on column billing.subscriptions.created_at is 'When we recorded it.';
comment on column billing.subscriptions.updated_at is 'When the copy last changed.';
alter table billing.subscriptions enable row level security;
revoke all on table billing.subscriptions from public, anon, authenticated, service_role;
grant select on table billing.subscriptions to authenticated, service_role;
create policy subscriptions_read_as_billing on billing.subscriptions for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

-- Our own row about an attempt to buy. It is written before Stripe is called, and its id is the idempotency key of that call. It keeps the
-- terms of the purchase (name, price, credits, expiry), so that a change of the catalogue alters nothing that somebody has agreed to.
create table billing.checkout_sessions (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  stripe_session_id text,
  stripe_subscription_id text,
  mode text not null,
  status text not null default 'creating',
  package_id uuid,
  plan_id uuid,
  name text not null,
  credits billing.credit_amount,
  credit_expiry interval,
  unit_amount bigint,
  currency text,
  trial_days integer not null default 0,
  ui_mode text not null default 'hosted_page',
  success_url text,
  cancel_url text,
  url text,
  livemode boolean not null default false,
  created_by uuid,
  attempts integer not null default 0,
  error text,
  expires_at timestamptz,
  completed_at timestamptz,
  stripe_fetched_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint checkout_sessions_pkey primary key (organization_id, id),
  constraint checkout_sessions_mode_known check (mode in ('payment', 'subscription', 'setup')),
  constraint checkout_sessions_status_known check (
    status in ('creating', 'open', 'processing', 'complete', 'expired', 'failed')
  ),
  constraint checkout_sessions_one_subject check (num_nonnulls(package_id, plan_id) = case mode when 'setup' then 0 else 1 end),
  constraint checkout_sessions_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint checkout_sessions_package_fkey foreign key (package_id) references billing.credit_packages (id),
  constraint checkout_sessions_plan_fkey foreign key (plan_id) references billing.subscription_plans (id)
);
create unique index checkout_sessions_stripe_session_id_unique on billing.checkout_sessions (stripe_session_id);
create index checkout_sessions_package on billing.checkout_sessions (package_id);
create index checkout_sessions_plan on billing.checkout_sessions (plan_id);
-- The double click on "buy" is answered from here.
create index checkout_sessions_unfinished on billing.checkout_sessions (organization_id, created_by)
where status in ('creating', 'open');
comment on table billing.checkout_sessions is 'Attempts to buy: what, by whom, on which terms, and how it went.';
comment on column billing.checkout_sessions.organization_id is 'The tenant.';
comment on column billing.checkout_sessions.id is 'Our id: the idempotency key of the call to Stripe, and the session''s client_reference_id.';
comment on column billing.checkout_sessions.stripe_session_id is 'Stripe''s id (cs_…); null: Stripe has not answered yet.';
comment on column billing.checkout_sessions.stripe_subscription_id is 'Stripe''s id (sub_…) of what a plan''s checkout brought; null: nothing (yet).';
comment on column billing.checkout_sessions.trial_days is 'Days of trial that were offered with the plan; 0: none.';
comment on column billing.checkout_sessions.mode is 'payment (a pack), subscription (a plan) or setup (a card).';
comment on column billing.checkout_sessions.package_id is 'The pack; null: not a pack.';
comment on column billing.checkout_sessions.plan_id is 'The plan; null: not a plan.';
comment on column billing.checkout_sessions.name is 'Name of what is bought, as it was agreed.';
comment on column billing.checkout_sessions.credits is 'Credits that it grants, as agreed.';
comment on column billing.checkout_sessions.currency is 'ISO 4217 code in lower case.';
comment on column billing.checkout_sessions.ui_mode is 'Stripe''s ui_mode: where the payment form is shown.';
comment on column billing.checkout_sessions.success_url is 'Where Stripe sends the buyer after paying.';
comment on column billing.checkout_sessions.cancel_url is 'Where Stripe sends a buyer who turns back.';
comment on column billing.checkout_sessions.url is 'Address of Stripe''s page while the session is open; null: it is not.';
comment on column billing.checkout_sessions.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.checkout_sessions.created_by is 'The person who opened it.';
comment on column billing.checkout_sessions.error is 'What Stripe said when the last call failed, at most 500 characters.';
comment on column billing.checkout_sessions.expires_at is 'When the session can no longer be paid.';
comment on column billing.checkout_sessions.completed_at is 'When it was paid and granted; null: it was not.';
comment on column billing.checkout_sessions.stripe_fetched_at is
'When this copy was read at Stripe; an older reading never overwrites a newer one.';
comment on column billing.checkout_sessions.created_at is 'When the attempt began.';
comment on column billing.checkout_sessions.updated_at is 'When the row last changed.';
comment on column billing.checkout_sessions.status is
'creating: Stripe has not answered yet. open: can be paid. processing: agreed to, the money is under way. complete: paid and granted.';
comment on column billing.checkout_sessions.attempts is 'Failed calls to Stripe so far; part of the next call''s idempotency key.';
comment on column billing.checkout_sessions.unit_amount is 'Price in the smallest unit of the currency, before discounts and tax.';
comment on column billing.checkout_sessions.credit_expiry is 'How long the bought credits live; null for ever.';
alter table billing.checkout_sessions enable row level security;
revoke all on table billing.checkout_sessions from public, anon, authenticated, service_role;
grant select on table billing.checkout_sessions to authenticated, service_role;
create policy checkout_sessions_read_as_billing on billing.checkout_sessions for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

create table billing.payments (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  kind text not null,
  status text not null,
  amount bigint not null,
  amount_refunded bigint not null default 0,
  currency text not null,
  credits billing.credit_amount,
  grant_id uuid,
  checkout_session_id uuid,
  stripe_session_id text,
  stripe_payment_intent_id text,
  stripe_charge_id text,
  stripe_invoice_id text,
  description text not null default '',
  card_brand text,
  card_last4 text,
  receipt_url text,
  failure_code text,
  failure_message text,
  disputed boolean not null default false,
  livemode boolean not null default false,
  paid_at timestamptz,
  stripe_fetched_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint payments_pkey primary key (organization_id, id),
  constraint payments_kind_known check (kind in ('package', 'subscription', 'auto_topup')),
  constraint payments_status_known check (
    status in ('processing', 'requires_action', 'succeeded', 'failed', 'canceled', 'partially_refunded', 'refunded')
  ),
  constraint payments_amounts_not_negative check (amount >= 0 and amount_refunded between 0 and amount),
  constraint payments_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create unique index payments_stripe_session_id_unique on billing.payments (stripe_session_id);
create unique index payments_stripe_payment_intent_id_unique on billing.payments (stripe_payment_intent_id);
create unique index payments_stripe_invoice_id_unique on billing.payments (stripe_invoice_id);
create unique index payments_checkout_session_unique on billing.payments (organization_id, checkout_session_id)
where checkout_session_id is not null;
create index payments_newest on billing.payments (organization_id, created_at desc);
comment on table billing.payments is 'Payments, one row each. Amounts are in the smallest unit of the currency.';
comment on column billing.payments.organization_id is 'The tenant.';
comment on column billing.payments.id is 'Our id.';
comment on column billing.payments.kind is 'package, subscription or auto_topup.';
comment on column billing.payments.status is 'How it stands; see the check constraint for the words.';
comment on column billing.payments.amount is 'What was asked for, in the smallest unit of the currency, after discounts and with tax.';
comment on column billing.payments.amount_refunded is 'What was given back so far.';
comment on column billing.payments.currency is 'ISO 4217 code in lower case.';
comment on column billing.payments.credits is 'Credits that it buys; null: none directly.';
comment on column billing.payments.grant_id is 'The grant that it brought; null: none (yet).';
comment on column billing.payments.checkout_session_id is 'Our checkout_sessions row; null: paid without a checkout.';
comment on column billing.payments.stripe_session_id is 'Stripe''s id (cs_…) of the checkout.';
comment on column billing.payments.stripe_payment_intent_id is 'Stripe''s id (pi_…); null for what a discount made free.';
comment on column billing.payments.stripe_charge_id is 'Stripe''s id (ch_…) of the charge that decided.';
comment on column billing.payments.stripe_invoice_id is 'Stripe''s id (in_…); null: no invoice.';
comment on column billing.payments.description is 'What was bought, for people.';
comment on column billing.payments.card_brand is 'Brand of the card, such as visa.';
comment on column billing.payments.card_last4 is 'The card''s last four digits.';
comment on column billing.payments.receipt_url is 'Stripe''s receipt page.';
comment on column billing.payments.failure_code is 'Stripe''s code of the last failure, such as card_declined.';
comment on column billing.payments.failure_message is 'Stripe''s words about it for people.';
comment on column billing.payments.disputed is 'Whether the bank has opened a dispute.';
comment on column billing.payments.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.payments.paid_at is 'When the money was ours; null: it was not. Never cleared again.';
comment on column billing.payments.stripe_fetched_at is 'When this copy was read at Stripe; an older reading never overwrites a newer one.';
comment on column billing.payments.created_at is 'When we first heard of it.';
comment on column billing.payments.updated_at is 'When the copy last changed.';
alter table billing.payments enable row level security;
revoke all on table billing.payments from public, anon, authenticated, service_role;
grant select on table billing.payments to authenticated, service_role;
create policy payments_read_as_billing on billing.payments for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));
