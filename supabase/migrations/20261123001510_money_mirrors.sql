-- Money, continued: invoices, saved cards and automatic top-ups. The rules at the head of 20261123001500 hold here too.

create table billing.invoices (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  stripe_invoice_id text not null,
  stripe_subscription_id text,
  number text,
  status text not null,
  billing_reason text,
  currency text not null,
  amount_due bigint not null,
  amount_paid bigint not null default 0,
  amount_remaining bigint not null default 0,
  total bigint not null,
  hosted_invoice_url text,
  invoice_pdf text,
  period_start timestamptz,
  period_end timestamptz,
  due_date timestamptz,
  finalized_at timestamptz,
  paid_at timestamptz,
  livemode boolean not null default false,
  stripe_fetched_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint invoices_pkey primary key (organization_id, id),
  constraint invoices_status_known check (status in ('draft', 'open', 'paid', 'uncollectible', 'void')),
  constraint invoices_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create unique index invoices_stripe_invoice_id_unique on billing.invoices (stripe_invoice_id);
create index invoices_subscription on billing.invoices (organization_id, stripe_subscription_id, created_at desc);
create index invoices_newest on billing.invoices (organization_id, created_at desc);
comment on table billing.invoices is 'Stripe''s invoices for subscriptions. Amounts are in the smallest unit of the currency.';
comment on column billing.invoices.organization_id is 'The tenant.';
comment on column billing.invoices.id is 'Our id.';
comment on column billing.invoices.stripe_invoice_id is 'Stripe''s id (in_…).';
comment on column billing.invoices.stripe_subscription_id is 'Stripe''s id (sub_…) of what is invoiced.';
comment on column billing.invoices.number is 'The number on the invoice; null: a draft.';
comment on column billing.invoices.status is 'draft, open, paid, uncollectible or void.';
comment on column billing.invoices.billing_reason is 'Why Stripe made it, such as subscription_cycle.';
comment on column billing.invoices.currency is 'ISO 4217 code in lower case.';
comment on column billing.invoices.amount_due is 'What is to be paid.';
comment on column billing.invoices.amount_paid is 'What was paid.';
comment on column billing.invoices.amount_remaining is 'What is still to be paid.';
comment on column billing.invoices.total is 'The sum with discounts and tax.';
comment on column billing.invoices.hosted_invoice_url is 'Stripe''s page of the invoice.';
comment on column billing.invoices.invoice_pdf is 'Address of the PDF.';
comment on column billing.invoices.period_start is 'First instant of the invoiced period.';
comment on column billing.invoices.period_end is 'First instant after it.';
comment on column billing.invoices.due_date is 'When it must be paid; null: at once.';
comment on column billing.invoices.finalized_at is 'When it became an invoice to be paid; null: a draft.';
comment on column billing.invoices.paid_at is 'When it was paid; null: it is not.';
comment on column billing.invoices.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.invoices.stripe_fetched_at is 'When this copy was read at Stripe; an older reading never overwrites a newer one.';
comment on column billing.invoices.created_at is 'When we recorded it.';
comment on column billing.invoices.updated_at is 'When the copy last changed.';
alter table billing.invoices enable row level security;
revoke all on table billing.invoices from public, anon, authenticated, service_role;
grant select on table billing.invoices to authenticated, service_role;
create policy invoices_read_as_billing on billing.invoices for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

create table billing.payment_methods (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  stripe_payment_method_id text not null,
  type text not null,
  brand text,
  last4 text,
  exp_month integer,
  exp_year integer,
  is_default boolean not null default false,
  detached_at timestamptz,
  stripe_fetched_at timestamptz,
  created_at timestamptz not null default now(),
  constraint payment_methods_pkey primary key (organization_id, id),
  constraint payment_methods_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create unique index payment_methods_stripe_payment_method_id_unique on billing.payment_methods (stripe_payment_method_id);
create unique index payment_methods_one_default on billing.payment_methods (organization_id) where is_default;
comment on table billing.payment_methods is 'Masked copies of saved cards.';
comment on column billing.payment_methods.organization_id is 'The tenant.';
comment on column billing.payment_methods.id is 'Our id.';
comment on column billing.payment_methods.stripe_payment_method_id is 'Stripe''s id (pm_…).';
comment on column billing.payment_methods.type is 'Stripe''s type, such as card.';
comment on column billing.payment_methods.brand is 'Brand of the card.';
comment on column billing.payment_methods.last4 is 'Its last four digits.';
comment on column billing.payment_methods.exp_month is 'Month of its expiry, 1 to 12.';
comment on column billing.payment_methods.exp_year is 'Year of its expiry.';
comment on column billing.payment_methods.is_default is 'Whether it is charged when nobody is there; one an organization.';
comment on column billing.payment_methods.detached_at is 'When it was removed; null: it can be charged.';
comment on column billing.payment_methods.stripe_fetched_at is
'When this copy was read at Stripe; an older reading never overwrites a newer one.';
comment on column billing.payment_methods.created_at is 'When we recorded it.';
alter table billing.payment_methods enable row level security;
revoke all on table billing.payment_methods from public, anon, authenticated, service_role;
grant select on table billing.payment_methods to authenticated, service_role;
create policy payment_methods_read_as_billing on billing.payment_methods for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

create table billing.auto_topups (
  organization_id uuid not null,
  is_enabled boolean not null default false,
  threshold billing.credit_amount not null default 0,
  topup_amount billing.credit_amount,
  target_balance billing.credit_amount,
  package_id uuid,
  monthly_cap bigint,
  currency text not null default 'usd',
  cooldown interval not null default '5 minutes',
  consent_text text,
  consented_by uuid,
  consented_at timestamptz,
  consecutive_declines integer not null default 0,
  paused_reason text,
  updated_at timestamptz not null default now(),
  constraint auto_topups_pkey primary key (organization_id),
  constraint auto_topups_one_amount check (not is_enabled or num_nonnulls(topup_amount, target_balance) = 1),
  constraint auto_topups_target_above_threshold check (target_balance > threshold),
  constraint auto_topups_priced check (not is_enabled or package_id is not null),
  constraint auto_topups_consent check (not is_enabled or num_nonnulls(consented_at, consent_text) = 2),
  constraint auto_topups_cooldown_positive check (cooldown >= '1 minute'),
  constraint auto_topups_monthly_cap_positive check (monthly_cap > 0),
  constraint auto_topups_paused_reason_known check (paused_reason in ('declined', 'no_payment_method', 'package_withdrawn', 'dispute', 'fraud_warning')),
  constraint auto_topups_package_fkey foreign key (package_id) references billing.credit_packages (id),
  constraint auto_topups_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
comment on table billing.auto_topups is 'Whether and how an organization buys credits by itself. monthly_cap is in the smallest unit of the currency.';
comment on column billing.auto_topups.organization_id is 'The tenant.';
comment on column billing.auto_topups.is_enabled is 'Whether credits are bought without asking.';
comment on column billing.auto_topups.threshold is 'Buying starts when the available credits are at or below this.';
comment on column billing.auto_topups.topup_amount is
'Buys so many credits, or the least multiple of it that comes above the threshold; null: see target_balance.';
comment on column billing.auto_topups.target_balance is 'Buys what is missing to this balance; null: see topup_amount.';
comment on column billing.auto_topups.package_id is 'The pack at whose price per credit it buys; null: it was never switched on.';
comment on column billing.auto_topups.cooldown is 'At most one attempt in this time, whatever came of the last.';
comment on column billing.auto_topups.consent_text is 'The words to which they agreed.';
comment on column billing.auto_topups.monthly_cap is
'At most this is charged in a calendar month (UTC), in the smallest unit of the currency; null: no cap.';
comment on column billing.auto_topups.currency is 'ISO 4217 code in lower case.';
comment on column billing.auto_topups.consented_by is 'Who agreed to charges without being asked.';
comment on column billing.auto_topups.consented_at is 'When they did.';
comment on column billing.auto_topups.consecutive_declines is 'Failed charges in a row; several pause it.';
comment on column billing.auto_topups.paused_reason is
'Why it rests: declined (three times in a row), no_payment_method, package_withdrawn, dispute, fraud_warning; null: it does not.';
comment on column billing.auto_topups.updated_at is 'When it was last changed.';
create index auto_topups_package on billing.auto_topups (package_id);
create index auto_topups_in_force on billing.auto_topups (organization_id) where is_enabled and paused_reason is null;
alter table billing.auto_topups enable row level security;
revoke all on table billing.auto_topups from public, anon, authenticated, service_role;
grant select on table billing.auto_topups to authenticated, service_role;
create policy auto_topups_read_as_billing on billing.auto_topups for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));
