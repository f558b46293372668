-- Talk: what people of an organization should know, and where they want to be told.

create table billing.notifications (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  kind text not null,
  severity text not null default 'info',
  dedupe_key text,
  subject_type text,
  subject_id text,
  details jsonb not null default '{}',
  read_at timestamptz,
  created_at timestamptz not null default clock_timestamp(),
  constraint notifications_pkey primary key (organization_id, id),
  constraint notifications_dedupe_key_unique unique (organization_id, dedupe_key),
  constraint notifications_severity_known check (severity in ('info', 'warning', 'critical')),
  constraint notifications_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create index notifications_newest on billing.notifications (organization_id, created_at desc);
comment on table billing.notifications is 'What people of an organization should know: limits reached, payments failed, approvals asked.';
comment on column billing.notifications.organization_id is 'The tenant.';
comment on column billing.notifications.id is 'The notification''s id.';
comment on column billing.notifications.kind is 'What happened, such as limit_nearly_reached.';
comment on column billing.notifications.severity is 'info, warning or critical.';
comment on column billing.notifications.dedupe_key is 'What is told under the same key is told once; null: no such rule.';
comment on column billing.notifications.subject_type is 'What it is about, such as department or payment.';
comment on column billing.notifications.subject_id is 'Which one, as text.';
comment on column billing.notifications.details is 'The figures, by kind.';
comment on column billing.notifications.read_at is 'When somebody marked it as read; null: unread.';
comment on column billing.notifications.created_at is 'When it was written.';
alter table billing.notifications enable row level security;
revoke all on table billing.notifications from public, anon, authenticated, service_role;
grant select on table billing.notifications to authenticated, service_role;
create policy notifications_read_as_billing on billing.notifications for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

create table billing.notification_channels (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  kind text not null,
  target text not null,
  events text[] not null default '{}',
  is_enabled boolean not null default true,
  created_by uuid,
  created_at timestamptz not null default now(),
  constraint notification_channels_pkey primary key (organization_id, id),
  constraint notification_channels_kind_known check (kind in ('email', 'webhook', 'slack')),
  constraint notification_channels_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
comment on table billing.notification_channels is 'Where notifications are sent besides the dashboard.';
comment on column billing.notification_channels.organization_id is 'The tenant.';
comment on column billing.notification_channels.id is 'The channel''s id.';
comment on column billing.notification_channels.kind is 'email, webhook or slack.';
comment on column billing.notification_channels.target is 'The address or URL.';
comment on column billing.notification_channels.events is 'The kinds of notifications sent there; empty: all.';
comment on column billing.notification_channels.is_enabled is 'Whether anything is sent.';
comment on column billing.notification_channels.created_by is 'Who set it up.';
comment on column billing.notification_channels.created_at is 'When it was set up.';
alter table billing.notification_channels enable row level security;
revoke all on table billing.notification_channels from public, anon, authenticated, service_role;
grant select on table billing.notification_channels to authenticated, service_role;
create policy notification_channels_read_as_billing on billing.notification_channels for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

-- Tells an organization something once: the same dedupe key is told once for ever. Called from bodies, in their transaction.
create function billing_private.notify_organization(
  p_organization_id uuid, p_kind text, p_severity text, p_dedupe_key text, p_subject_type text, p_subject_id text, p_details jsonb
)
returns void
language sql
set search_path = ''
as $$
  insert into billing.notifications (organization_id, kind, severity, dedupe_key, subject_type, subject_id, details)
  values (p_organization_id, p_kind, p_severity, p_dedupe_key, p_subject_type, p_subject_id, p_details)
  on conflict (organization_id, dedupe_key) do nothing
$$;
revoke all on function billing_private.notify_organization(uuid, text, text, text, text, text, jsonb) from public;
