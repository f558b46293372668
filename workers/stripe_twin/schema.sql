-- The twin's tables. Applied at every start inside the twin's own schema (search_path), so each statement is repeatable.
-- Nobody but the owner may read them: anon, authenticated and service_role get no rights here.

create table if not exists objects (
  id text primary key,
  object text not null,
  sequence bigint generated always as identity,
  data jsonb not null,
  hidden jsonb not null default '{}',
  deleted boolean not null default false
);
comment on table objects is 'Every Stripe object that has an id, as the API shows it, unexpanded.';
comment on column objects.sequence is 'Order of creation; lists run from the newest to the oldest.';
comment on column objects.data is 'The object as Stripe''s API shows it.';
comment on column objects.hidden is 'What the twin remembers and the API never shows: a test card''s behaviour, a signing secret.';
comment on column objects.deleted is 'Deleted objects answer {deleted: true} and leave every list.';
create index if not exists objects_by_kind on objects (object, sequence desc);
create index if not exists objects_by_field on objects using gin (data jsonb_path_ops);
create index if not exists objects_by_hidden_field on objects using gin (hidden jsonb_path_ops);

create table if not exists events (
  id text primary key,
  sequence bigint generated always as identity,
  type text not null,
  object_id text,
  body json not null
);
comment on table events is 'What happened, written in the transaction that made it happen.';
alter table events add column if not exists recorded_at timestamptz not null default now();
comment on column events.recorded_at is
  'When it was written; `created` in the body is the time of the customer''s test clock.';
create index if not exists events_by_sequence on events (sequence desc);
create index if not exists events_by_type on events (type, sequence desc);
create index if not exists events_by_object on events (object_id, sequence desc);

create table if not exists deliveries (
  id bigint generated always as identity primary key,
  event_id text not null references events (id) on delete cascade,
  endpoint_id text not null,
  state text not null default 'pending',
  attempts integer not null default 0,
  due_at timestamptz not null default now(),
  claimed_until timestamptz,
  claimed_by integer,
  last_status integer,
  last_error text,
  delivered_at timestamptz,
  constraint deliveries_state_is_known check (state in ('pending', 'delivered', 'failed', 'canceled'))
);
comment on table deliveries is 'One event on its way to one endpoint, with the outcome of its attempts.';
comment on column deliveries.claimed_until is 'A loop that hangs in mid-delivery loses its claim at this time.';
comment on column deliveries.claimed_by is
  'Process id of the claiming loop''s database session; when that is gone, so is the claim.';
create index if not exists deliveries_due on deliveries (due_at, id) where state = 'pending';
create index if not exists deliveries_by_event on deliveries (event_id);

create table if not exists timers (
  object_id text not null,
  kind text not null,
  due_at bigint not null,
  customer text,
  clock text,
  primary key (object_id, kind)
);
comment on table timers is 'What happens to an object by itself when its time comes: a renewal, a retry, an expiry.';
comment on column timers.due_at is 'Seconds since 1970, in the time of the customer.';
comment on column timers.clock is 'The test clock that says when; without one, the time of day.';
create index if not exists timers_by_clock on timers (clock, due_at);
create index if not exists timers_by_customer on timers (customer, due_at);

create table if not exists preferences (
  only_row boolean primary key default true,
  settings jsonb not null default '{}',
  constraint preferences_has_one_row check (only_row)
);
comment on table preferences is 'What a merchant sets in Stripe''s dashboard: retries, tax rate; see the control API.';

create table if not exists idempotency_keys (
  key text primary key,
  request_hash text not null,
  request_id text not null,
  status integer not null,
  body text not null,
  created timestamptz not null default now()
);
comment on table idempotency_keys is 'First answer to each Idempotency-Key, replayed to later requests for 24 hours.';
create index if not exists idempotency_keys_by_age on idempotency_keys (created);

create table if not exists faults (
  only_row boolean primary key default true,
  settings jsonb not null default '{}',
  constraint faults_has_one_row check (only_row)
);
comment on table faults is 'How deliveries misbehave on demand; see the control API.';

create table if not exists api_faults (
  id bigint generated always as identity primary key,
  method text not null,
  path text not null,
  kind text not null,
  seconds numeric not null default 0,
  remembered boolean not null default false,
  skip integer not null default 0,
  times integer not null
);
comment on table api_faults is 'How calls of the API misbehave on demand, counted down; see the control API.';
comment on column api_faults.path is 'Pattern for `like`; the method may be an asterisk.';
comment on column api_faults.remembered is 'Whether an idempotency key replays the failure or the answer that was lost.';
comment on column api_faults.skip is 'So many matching calls go well first.';
comment on column api_faults.times is 'So many calls will still meet it.';
