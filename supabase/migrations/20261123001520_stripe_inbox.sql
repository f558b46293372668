-- Stripe's side of the wall: the inbox of events and the catalogue's Stripe ids. Private: clients see neither.

-- An event is a duplicate only when it is `processed` (or `ignored`: stored, nothing to do). `failed` ones come again from Stripe or from a
-- replay; `parked` ones are no longer asked of Stripe: a job tries those again with what was read last (`facts`), ever more rarely, and people
-- are told (20261123001850).
create table billing_private.stripe_events (
  id text not null primary key,
  type text not null,
  api_version text,
  livemode boolean not null,
  object_id text,
  organization_id uuid,
  status text not null default 'received',
  attempts integer not null default 0,
  error text,
  next_attempt_at timestamptz,
  facts jsonb,
  payload jsonb not null,
  created_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  processed_at timestamptz,
  constraint stripe_events_status_known check (status in ('received', 'processed', 'failed', 'parked', 'ignored'))
);
create index stripe_events_unfinished on billing_private.stripe_events (received_at) where status in ('received', 'failed', 'parked');
create index stripe_events_retry on billing_private.stripe_events (next_attempt_at)
where status in ('failed', 'parked') and next_attempt_at is not null;
create index stripe_events_newest on billing_private.stripe_events (received_at desc);
alter table billing_private.stripe_events enable row level security;
revoke all on table billing_private.stripe_events from public, anon, authenticated, service_role;
comment on table billing_private.stripe_events is 'Every event that Stripe sent us, once, and what became of it.';
comment on column billing_private.stripe_events.id is 'Stripe''s id (evt_…).';
comment on column billing_private.stripe_events.type is 'Stripe''s type, such as checkout.session.completed.';
comment on column billing_private.stripe_events.api_version is 'The version of Stripe''s API in which it was written.';
comment on column billing_private.stripe_events.livemode is 'Whether it concerns real money.';
comment on column billing_private.stripe_events.object_id is 'Stripe''s id of the object that it is about.';
comment on column billing_private.stripe_events.organization_id is 'Whom it concerned; null: not ours, or not applied yet.';
comment on column billing_private.stripe_events.status is 'received, processed, failed, parked or ignored; see above.';
comment on column billing_private.stripe_events.attempts is 'How often applying was tried.';
comment on column billing_private.stripe_events.error is 'Why it last failed, at most 2,000 characters.';
comment on column billing_private.stripe_events.next_attempt_at is 'When the job tries it again with `facts`; null: it waits for a person.';
comment on column billing_private.stripe_events.facts is
'What was read at Stripe at the last attempt that failed; null: nothing was, or it is not needed any more.';
comment on column billing_private.stripe_events.payload is 'The verified event as received.';
comment on column billing_private.stripe_events.created_at is 'When Stripe made it.';
comment on column billing_private.stripe_events.received_at is 'When it first reached us.';
comment on column billing_private.stripe_events.processed_at is 'When it was applied or found to need nothing; null: it was not.';

create table billing_private.stripe_catalogue (
  subject_type text not null,
  subject_id uuid not null,
  livemode boolean not null,
  stripe_product_id text,
  stripe_price_id text,
  updated_at timestamptz not null default now(),
  constraint stripe_catalogue_pkey primary key (subject_type, subject_id, livemode),
  constraint stripe_catalogue_subject_type_known check (subject_type in ('plan', 'package'))
);
alter table billing_private.stripe_catalogue enable row level security;
revoke all on table billing_private.stripe_catalogue from public, anon, authenticated, service_role;
comment on table billing_private.stripe_catalogue is 'Which Stripe product and price stands for a plan or pack, in test and in live mode.';
comment on column billing_private.stripe_catalogue.subject_type is 'plan or package.';
comment on column billing_private.stripe_catalogue.subject_id is 'The plan''s or pack''s id.';
comment on column billing_private.stripe_catalogue.livemode is 'Whether these are the ids of Stripe''s live mode.';
comment on column billing_private.stripe_catalogue.stripe_product_id is 'Stripe''s id (prod_…).';
comment on column billing_private.stripe_catalogue.stripe_price_id is 'Stripe''s id (price_…).';
comment on column billing_private.stripe_catalogue.updated_at is 'When the ids were last written.';

-- Every price that was ever sold, for ever: a replaced price is still paid by those who subscribed to it.
create table billing_private.stripe_prices (
  stripe_price_id text not null,
  livemode boolean not null,
  subject_type text not null,
  subject_id uuid not null,
  unit_amount bigint not null,
  currency text not null,
  billing_interval text,
  created_at timestamptz not null default now(),
  constraint stripe_prices_pkey primary key (stripe_price_id),
  constraint stripe_prices_subject_type_known check (subject_type in ('plan', 'package'))
);
create index stripe_prices_subject on billing_private.stripe_prices (subject_type, subject_id);
alter table billing_private.stripe_prices enable row level security;
revoke all on table billing_private.stripe_prices from public, anon, authenticated, service_role;
comment on table billing_private.stripe_prices is 'Which plan or pack each Stripe price stands for, replaced prices included.';
comment on column billing_private.stripe_prices.stripe_price_id is 'Stripe''s id (price_…).';
comment on column billing_private.stripe_prices.livemode is 'Whether it is a price of Stripe''s live mode.';
comment on column billing_private.stripe_prices.subject_type is 'plan or package.';
comment on column billing_private.stripe_prices.subject_id is 'The plan''s or pack''s id.';
comment on column billing_private.stripe_prices.unit_amount is 'The price, in the smallest unit of the currency.';
comment on column billing_private.stripe_prices.currency is 'ISO 4217 code in lower case.';
comment on column billing_private.stripe_prices.billing_interval is 'Length of a period of a plan: day, week, month or year; null: a pack.';
comment on column billing_private.stripe_prices.created_at is 'When we recorded it.';
