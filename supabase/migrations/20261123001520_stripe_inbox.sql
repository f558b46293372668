-- Stripe's side of the wall: the inbox of events and the catalogue's Stripe ids. Private: clients see neither.

-- An event is a duplicate only when it is `processed` (or `ignored`: stored, nothing to do). `failed` ones come again from Stripe or from a
-- replay; `parked` ones are beyond repair by waiting (another mode's event, a session that is not ours) and wait for a person.
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
  payload jsonb not null,
  created_at timestamptz not null,
  received_at timestamptz not null default clock_timestamp(),
  processed_at timestamptz,
  constraint stripe_events_status_known check (status in ('received', 'processed', 'failed', 'parked', 'ignored'))
);
create index stripe_events_unfinished on billing_private.stripe_events (received_at) where status in ('received', 'failed', 'parked');
create index stripe_events_newest on billing_private.stripe_events (received_at desc);
alter table billing_private.stripe_events enable row level security;
revoke all on table billing_private.stripe_events from public, anon, authenticated, service_role;
comment on table billing_private.stripe_events is 'Every event that Stripe sent us, once, and what became of it.';

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
