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
  overdraft_limit billing.credit_amount not null default 0,
  over_capture_policy text not null default 'deny',
  created_at timestamptz not null default now(),
  constraint organizations_pkey primary key (organization_id),
  constraint organizations_ledger_number_unique unique (ledger_number),
  constraint organizations_name_length check (length(name) between 1 and 200),
  constraint organizations_restricted_reason_known check (restricted_reason in ('past_due', 'dispute', 'paused')),
  constraint organizations_over_capture_policy_known check (over_capture_policy in ('deny', 'up_to_available', 'allow_debt'))
);
comment on table billing.organizations is 'The tenants. One organization has one ledger.';

create table billing.departments (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  name text not null,
  archived_at timestamptz,
  created_at timestamptz not null default now(),
  constraint departments_pkey primary key (organization_id, id),
  constraint departments_name_unique unique (organization_id, name),
  constraint departments_name_length check (length(name) between 1 and 200),
  constraint departments_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
comment on table billing.departments is 'Parts of an organization that spend under limits of their own.';

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

create table billing.agent_keys (
  organization_id uuid not null,
  key_id text not null,
  name text not null,
  department_id uuid,
  agent_types text[],
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
  constraint agent_keys_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint agent_keys_department_fkey foreign key (organization_id, department_id)
  references billing.departments (organization_id, id),
  constraint agent_keys_created_by_fkey foreign key (created_by) references auth.users (id) on delete set null
);
create index agent_keys_department on billing.agent_keys (organization_id, department_id);
create index agent_keys_created_by on billing.agent_keys (created_by);
comment on table billing.agent_keys is 'What agents identify themselves with. The secret is shown once, at creation.';

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

create table billing_private.platform_admins (
  user_id uuid not null primary key,
  created_at timestamptz not null default now(),
  constraint platform_admins_user_fkey foreign key (user_id) references auth.users (id) on delete cascade
);
alter table billing_private.platform_admins enable row level security;
revoke all on table billing_private.platform_admins from public, anon, authenticated, service_role;
comment on table billing_private.platform_admins is 'People who run the platform itself. Rows are added by hand, with database access.';

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
comment on table billing.audit_log is 'Who changed what, when and why, with the values before and after. Append-only.';
