-- Tenancy: organizations, departments, members, invitations, agent keys, platform admins.
-- `organization_id` leads every primary, unique and foreign key of a tenant table, so that whole organizations can be moved.
-- Policies stand in 20261123000300_access.sql, beside the helpers that they need.

-- The ledger number is the organization's lock key and the high half of its transaction ids: 47 random bits, so that neither
-- the number of organizations nor their age can be read from it.
create function billing_private.new_ledger_number()
returns bigint
language sql
volatile
set search_path = ''
return ('x' || encode(extensions.gen_random_bytes(6), 'hex'))::bit(48)::bigint & 140737488355327;
revoke all on function billing_private.new_ledger_number() from public;

create table billing.organizations (
  organization_id uuid not null default gen_random_uuid(),
  id uuid not null generated always as (organization_id) stored,
  name text not null,
  ledger_number bigint not null default billing_private.new_ledger_number(),
  test_clock timestamptz,
  restricted_reason text,
  restricted_from timestamptz,
  overdraft_limit billing.credit_amount not null default 0,
  over_capture_policy text not null default 'deny',
  is_mirrored boolean not null default false,
  revision bigint not null default 0,
  created_at timestamptz not null default now(),
  constraint organizations_pkey primary key (organization_id),
  constraint organizations_ledger_number_unique unique (ledger_number),
  constraint organizations_name_length check (length(name) between 1 and 200),
  constraint organizations_restricted_reason_known check (restricted_reason in ('past_due', 'dispute', 'paused')),
  constraint organizations_over_capture_policy_known check (over_capture_policy in ('deny', 'up_to_available', 'allow_debt'))
);
create index organizations_test_clock on billing.organizations (test_clock) where test_clock is not null;
comment on table billing.organizations is 'The tenants. One organization has one ledger.';
comment on column billing.organizations.organization_id is 'The tenant''s id, under which everything of it is kept.';
comment on column billing.organizations.id is 'The same id, for clients that expect every table to have one.';
comment on column billing.organizations.name is 'What people call it; 1 to 200 characters.';
comment on column billing.organizations.ledger_number is
'47 random bits: the key of the organization''s lock and the high half of its transaction ids.';
comment on column billing.organizations.test_clock is 'For tests: this instant replaces now() in every rule; null: real time.';
comment on column billing.organizations.restricted_reason is
'Why spending is, or will be, refused (past_due, dispute, paused); null: it is not. See billing_private.organization_restrictions.';
comment on column billing.organizations.restricted_from is
'First instant at which spending is refused for restricted_reason: a grace period ends without any job; null: no restriction.';
comment on column billing.organizations.overdraft_limit is 'Credits that may be spent beyond what was granted; 0: none.';
comment on column billing.organizations.over_capture_policy is 'What a capture above its hold does: deny, up_to_available or allow_debt.';
comment on column billing.organizations.is_mirrored is
'Whether another application keeps its members (sync_organization): then nobody invites, changes or removes them here.';
comment on column billing.organizations.revision is
'Counts changes of what a spend''s terms rest on: keys, limits, own prices. See billing_private.spend_terms.';
comment on column billing.organizations.created_at is 'When it was created.';

create table billing.departments (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  name text not null,
  created_at timestamptz not null default now(),
  constraint departments_pkey primary key (organization_id, id),
  constraint departments_name_unique unique (organization_id, name),
  constraint departments_name_length check (length(name) between 1 and 200),
  constraint departments_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
comment on table billing.departments is 'Parts of an organization that spend under limits of their own.';
comment on column billing.departments.organization_id is 'The tenant.';
comment on column billing.departments.id is 'The department''s id; unique within its organization.';
comment on column billing.departments.name is 'Unique within the organization; 1 to 200 characters.';
comment on column billing.departments.created_at is 'When it was created.';

create table billing.organization_members (
  organization_id uuid not null,
  user_id uuid not null,
  role text not null,
  department_id uuid,
  created_at timestamptz not null default now(),
  constraint organization_members_pkey primary key (organization_id, user_id),
  constraint organization_members_role_known check (role in ('owner', 'admin', 'billing', 'member')),
  constraint organization_members_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint organization_members_department_fkey foreign key (organization_id, department_id)
  references billing.departments (organization_id, id),
  constraint organization_members_user_fkey foreign key (user_id) references auth.users (id) on delete cascade
);
create index organization_members_user on billing.organization_members (user_id);
create index organization_members_department on billing.organization_members (organization_id, department_id);
comment on table billing.organization_members is 'Who belongs to an organization, and as what. The authority for every right of a person.';
comment on column billing.organization_members.organization_id is 'The tenant.';
comment on column billing.organization_members.user_id is 'The person, in auth.users.';
comment on column billing.organization_members.role is 'owner, admin, billing or member; each of the first three may do what the next may.';
comment on column billing.organization_members.department_id is
'The department to which the member is bound and all their spends are charged; null: bound to none.';
comment on column billing.organization_members.created_at is 'When they joined.';

create table billing.invitations (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  email text not null,
  role text not null,
  department_id uuid,
  invited_by uuid,
  expires_at timestamptz not null,
  accepted_at timestamptz,
  revoked_at timestamptz,
  created_at timestamptz not null default now(),
  constraint invitations_pkey primary key (organization_id, id),
  constraint invitations_email_lower_case check (email = lower(email) and email like '%_@_%' and length(email) <= 320),
  constraint invitations_role_known check (role in ('owner', 'admin', 'billing', 'member')),
  constraint invitations_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint invitations_department_fkey foreign key (organization_id, department_id)
  references billing.departments (organization_id, id),
  constraint invitations_invited_by_fkey foreign key (invited_by) references auth.users (id) on delete set null
);
create unique index invitations_open_unique on billing.invitations (organization_id, email)
where accepted_at is null and revoked_at is null;
create index invitations_department on billing.invitations (organization_id, department_id);
create index invitations_invited_by on billing.invitations (invited_by);
comment on table billing.invitations is 'Invitations to an organization; the token itself is shown once and only its hash is kept.';
comment on column billing.invitations.organization_id is 'The tenant.';
comment on column billing.invitations.id is 'The invitation''s id.';
comment on column billing.invitations.email is 'The invited address in lower case; only its verified holder can accept.';
comment on column billing.invitations.role is 'The role that accepting gives.';
comment on column billing.invitations.department_id is 'The department to which accepting binds; null: none.';
comment on column billing.invitations.invited_by is 'Who invited; null for the service, or when that user is gone.';
comment on column billing.invitations.expires_at is 'Accepting is possible before this instant.';
comment on column billing.invitations.accepted_at is 'When it was accepted; null: not yet.';
comment on column billing.invitations.revoked_at is 'When it was withdrawn or replaced by a newer one; null: it was not.';
comment on column billing.invitations.created_at is 'When it was made.';

create table billing_private.invitation_tokens (
  token_hash bytea not null primary key,
  organization_id uuid not null,
  invitation_id uuid not null,
  constraint invitation_tokens_invitation_fkey foreign key (organization_id, invitation_id)
  references billing.invitations (organization_id, id) on delete cascade
);
create index invitation_tokens_invitation on billing_private.invitation_tokens (organization_id, invitation_id);
alter table billing_private.invitation_tokens enable row level security;
revoke all on table billing_private.invitation_tokens from public, anon, authenticated, service_role;
comment on table billing_private.invitation_tokens is 'SHA-256 of invitation tokens, looked up when one is accepted.';
comment on column billing_private.invitation_tokens.token_hash is 'SHA-256 of the token.';
comment on column billing_private.invitation_tokens.organization_id is 'The tenant.';
comment on column billing_private.invitation_tokens.invitation_id is 'The invitation that the token accepts.';

create table billing.agent_keys (
  organization_id uuid not null,
  key_id text not null,
  root_key_id text not null,
  name text not null,
  department_id uuid,
  agent_types text[],
  scopes text[] not null default '{check,consume,hold,read}',
  spend_limit billing.credit_amount,
  spend_window text not null default 'month',
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  created_by uuid,
  created_at timestamptz not null default now(),
  constraint agent_keys_pkey primary key (organization_id, key_id),
  constraint agent_keys_key_id_format check (key_id ~ '^[0-9a-f]{16}$'),
  constraint agent_keys_name_length check (length(name) between 1 and 200),
  constraint agent_keys_spend_window_known check (spend_window in ('day', 'week', 'month', 'lifetime')),
  constraint agent_keys_agent_types_named check (agent_types is null or cardinality(agent_types) between 1 and 100),
  constraint agent_keys_scopes_known check (cardinality(scopes) > 0 and scopes <@ '{check,consume,hold,read}'),
  constraint agent_keys_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint agent_keys_department_fkey foreign key (organization_id, department_id)
  references billing.departments (organization_id, id),
  constraint agent_keys_created_by_fkey foreign key (created_by) references auth.users (id) on delete set null
);
create index agent_keys_department on billing.agent_keys (organization_id, department_id);
create index agent_keys_created_by on billing.agent_keys (created_by);
comment on table billing.agent_keys is 'What agents identify themselves with. The secret is shown once, at creation.';
comment on column billing.agent_keys.organization_id is 'The tenant.';
comment on column billing.agent_keys.key_id is 'The public part of the key: 16 hexadecimal digits, unique everywhere.';
comment on column billing.agent_keys.root_key_id is
'The first key of its chain of rotations: what the ledger, holds and limits name, so that a new secret has neither a fresh cap nor a new history.';
comment on column billing.agent_keys.name is 'What people call the key.';
comment on column billing.agent_keys.department_id is 'The department to which its spends are charged; null: bound to none.';
comment on column billing.agent_keys.agent_types is 'The only agent types for which it may spend; null: all.';
comment on column billing.agent_keys.scopes is
'What it may be used for: check, consume, hold, read. Fixed for the life of the key; see billing_private.requested_scope().';
comment on column billing.agent_keys.spend_limit is
'Credits it may spend in each window, enforced by the credit_limits row of the key; null: no cap of its own.';
comment on column billing.agent_keys.spend_window is 'The window of spend_limit in UTC: day, week, month or lifetime.';
comment on column billing.agent_keys.expires_at is 'The key works before this instant; null: without end.';
comment on column billing.agent_keys.revoked_at is 'When it was revoked; null: it is not.';
comment on column billing.agent_keys.last_used_at is 'When it last spent, to the minute; null: never.';
comment on column billing.agent_keys.created_by is 'Who made it; null for the service, or when that user is gone.';
comment on column billing.agent_keys.created_at is 'When it was made.';

create table billing_private.agent_key_secrets (
  key_id text not null primary key,
  organization_id uuid not null,
  key_hash bytea not null,
  constraint agent_key_secrets_key_fkey foreign key (organization_id, key_id)
  references billing.agent_keys (organization_id, key_id) on delete cascade
);
create index agent_key_secrets_key on billing_private.agent_key_secrets (organization_id, key_id);
alter table billing_private.agent_key_secrets enable row level security;
revoke all on table billing_private.agent_key_secrets from public, anon, authenticated, service_role;
comment on table billing_private.agent_key_secrets is 'SHA-256 of whole agent keys, looked up by key id. Global by nature: a key names its organization.';
comment on column billing_private.agent_key_secrets.key_id is 'The public part of the key.';
comment on column billing_private.agent_key_secrets.organization_id is 'The tenant.';
comment on column billing_private.agent_key_secrets.key_hash is 'SHA-256 of the whole key; the key itself is kept nowhere.';

create table billing_private.platform_admins (
  user_id uuid not null primary key,
  created_at timestamptz not null default now(),
  constraint platform_admins_user_fkey foreign key (user_id) references auth.users (id) on delete cascade
);
alter table billing_private.platform_admins enable row level security;
revoke all on table billing_private.platform_admins from public, anon, authenticated, service_role;
comment on table billing_private.platform_admins is 'People who run the platform itself. Rows are added by hand, with database access.';
comment on column billing_private.platform_admins.user_id is 'The person, in auth.users.';
comment on column billing_private.platform_admins.created_at is 'When they were made one.';

create table billing.audit_log (
  organization_id uuid not null,
  id bigint generated always as identity,
  action text not null,
  subject_type text not null,
  subject_id text,
  actor_type text not null,
  actor_id text,
  reason text,
  before jsonb,
  after jsonb,
  created_at timestamptz not null default clock_timestamp(),
  constraint audit_log_pkey primary key (organization_id, id),
  constraint audit_log_actor_type_known check (actor_type in ('user', 'agent', 'service', 'platform_admin', 'system'))
);
create index audit_log_actor on billing.audit_log (actor_id, action, created_at);
comment on table billing.audit_log is 'Who changed what, when and why, with the values before and after. Append-only.';
comment on column billing.audit_log.organization_id is 'The tenant.';
comment on column billing.audit_log.id is 'Number of the row, in the order of writing, over all organizations.';
comment on column billing.audit_log.action is 'The function that made the change, such as set_member_role.';
comment on column billing.audit_log.subject_type is 'What was changed: organization, member, agent_key, credit_limit and so on.';
comment on column billing.audit_log.subject_id is 'Which one, as text.';
comment on column billing.audit_log.actor_type is 'user, agent, service, platform_admin or system.';
comment on column billing.audit_log.actor_id is 'The user''s id, or the database role of the service.';
comment on column billing.audit_log.reason is 'Why, in the caller''s words.';
comment on column billing.audit_log.before is 'The row before the change; null when it did not exist.';
comment on column billing.audit_log.after is 'The row after the change; null when it is gone. Never holds a secret.';
comment on column billing.audit_log.created_at is 'When it was written.';
