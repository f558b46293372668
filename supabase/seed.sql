-- Demo data for development: two organizations with their people, departments, plans, packs, prices and a little history; and who runs the platform. Idempotent.
-- Every demo user's password is `tallybase-demo`. Nothing here belongs in a production project.

-- People. Token columns are '' rather than null, as the auth server writes them.
insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
  confirmation_token, recovery_token, email_change, email_change_token_new, email_change_token_current, reauthentication_token,
  phone_change, phone_change_token
)
select
  '00000000-0000-0000-0000-000000000000', person.id::uuid, 'authenticated', 'authenticated', person.email,
  extensions.crypt('tallybase-demo', extensions.gen_salt('bf', 6)), now(),
  '{"provider": "email", "providers": ["email"]}', jsonb_build_object('name', person.name), now(), now(),
  '', '', '', '', '', '', '', ''
from (values
  ('a1111111-0000-4000-8000-000000000001', 'owner@acme.test', 'Olivia Owner'),
  ('a1111111-0000-4000-8000-000000000002', 'admin@acme.test', 'Adam Admin'),
  ('a1111111-0000-4000-8000-000000000003', 'billing@acme.test', 'Bella Billing'),
  ('a1111111-0000-4000-8000-000000000004', 'member@acme.test', 'Max Member'),
  ('a1111111-0000-4000-8000-000000000005', 'marketing@acme.test', 'Mona Marketing'),
  ('b2222222-0000-4000-8000-000000000001', 'owner@globex.test', 'Otto Owner'),
  ('b2222222-0000-4000-8000-000000000003', 'billing@globex.test', 'Bruno Billing'),
  ('b2222222-0000-4000-8000-000000000004', 'member@globex.test', 'Mia Member'),
  ('b2222222-0000-4000-8000-000000000005', 'research@globex.test', 'Rita Research'),
  ('c3333333-0000-4000-8000-000000000001', 'operator@tallybase.test', 'Oona Operator')
) as person (id, email, name)
on conflict (id) do nothing;

insert into auth.identities (id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
select
  u.id, u.id::text, u.id, jsonb_build_object('sub', u.id::text, 'email', u.email, 'email_verified', true), 'email', now(), now(), now()
from auth.users as u
where u.email like '%@acme.test' or u.email like '%@globex.test' or u.email = 'operator@tallybase.test'
on conflict do nothing;

-- Who runs the platform, and belongs to no organization.
insert into billing_private.platform_admins (user_id) values ('c3333333-0000-4000-8000-000000000001') on conflict do nothing;

-- Organizations, departments, members.
insert into billing.organizations (organization_id, name) values
('11111111-1111-4111-8111-111111111111', 'Acme Robotics'),
('22222222-2222-4222-8222-222222222222', 'Globex')
on conflict (organization_id) do nothing;

insert into billing.departments (organization_id, id, name) values
('11111111-1111-4111-8111-111111111111', '11111111-d000-4000-8000-000000000001', 'Marketing'),
('11111111-1111-4111-8111-111111111111', '11111111-d000-4000-8000-000000000002', 'Support'),
('22222222-2222-4222-8222-222222222222', '22222222-d000-4000-8000-000000000001', 'Research')
on conflict do nothing;

insert into billing.organization_members (organization_id, user_id, role, department_id) values
('11111111-1111-4111-8111-111111111111', 'a1111111-0000-4000-8000-000000000001', 'owner', null),
('11111111-1111-4111-8111-111111111111', 'a1111111-0000-4000-8000-000000000002', 'admin', null),
('11111111-1111-4111-8111-111111111111', 'a1111111-0000-4000-8000-000000000003', 'billing', null),
('11111111-1111-4111-8111-111111111111', 'a1111111-0000-4000-8000-000000000004', 'member', null),
('11111111-1111-4111-8111-111111111111', 'a1111111-0000-4000-8000-000000000005', 'member', '11111111-d000-4000-8000-000000000001'),
('22222222-2222-4222-8222-222222222222', 'b2222222-0000-4000-8000-000000000001', 'owner', null),
('22222222-2222-4222-8222-222222222222', 'b2222222-0000-4000-8000-000000000003', 'billing', null),
('22222222-2222-4222-8222-222222222222', 'b2222222-0000-4000-8000-000000000004', 'member', null),
('22222222-2222-4222-8222-222222222222', 'b2222222-0000-4000-8000-000000000005', 'member', '22222222-d000-4000-8000-000000000001')
on conflict do nothing;

-- Plans and packs. unit_amount is in cents.
insert into billing.subscription_plans (
  id, key, name, description, unit_amount, credits_per_period, rollover_cap, trial_days, trial_credits, features, sort_order
) values
('33333333-0000-4000-8000-000000000001', 'free', 'Free', 'To try it out.', 0, 50, null, 0, 0,
  '{"departments": 1, "agent_keys": 1}', 1),
('33333333-0000-4000-8000-000000000002', 'starter', 'Starter', 'For a first agent in production.', 1900, 1000, 250, 14, 100,
  '{"departments": 3, "agent_keys": 5}', 2),
('33333333-0000-4000-8000-000000000003', 'pro', 'Pro', 'For teams whose agents work every day.', 4900, 3000, 1500, 14, 100,
  '{"departments": 10, "agent_keys": 25}', 3),
('33333333-0000-4000-8000-000000000004', 'business', 'Business', 'For departments with budgets of their own.', 19900, 15000, 15000, 0, 0,
  '{"departments": 100, "agent_keys": 250}', 4)
on conflict (id) do nothing;

insert into billing.credit_packages (id, key, name, description, credits, unit_amount, sort_order) values
('44444444-0000-4000-8000-000000000001', 'pack_100', '100 credits', 'A handful of runs.', 100, 300, 1),
('44444444-0000-4000-8000-000000000002', 'pack_500', '500 credits', 'A week of a busy agent.', 500, 1000, 2),
('44444444-0000-4000-8000-000000000003', 'pack_2000', '2,000 credits', 'A month for a small team.', 2000, 3600, 3),
('44444444-0000-4000-8000-000000000004', 'pack_10000', '10,000 credits', 'For fleets of agents.', 10000, 16000, 4)
on conflict (id) do nothing;

-- Prices of the example agents.
insert into billing.agent_action_costs (agent_type, action, metric, credit_cost, caller_priced, description, effective_from)
select price.agent_type, price.action, price.metric, price.credit_cost, price.caller_priced, price.description, '2026-01-01T00:00:00Z'
from (values
  ('VisualPostCreatorAgent', 'find_background_image', 'call', 25, false, 'Finding one background image'),
  ('QAAgent', 'answer_question', 'call', 5, false, 'Answering one question'),
  ('QAAgent', 'answer_question', 'input_tokens', 0.0005, false, 'Each token read'),
  ('QAAgent', 'answer_question', 'output_tokens', 0.0015, false, 'Each token written'),
  ('TestAgent', 'test', 'call', 0, true, 'For tests: the caller names the amount')
) as price (agent_type, action, metric, credit_cost, caller_priced, description)
where not exists (
  select 1 from billing.agent_action_costs as c
  where c.organization_id is null and c.agent_type = price.agent_type and c.action = price.action and c.metric = price.metric
);

-- Acme's Marketing may spend 200 a day and 1,000 a month. Globex has 1,000 credits and has used some of them.
select billing.set_credit_limit('department', '11111111-d000-4000-8000-000000000001', 200, 'day');
select billing.set_credit_limit('department', '11111111-d000-4000-8000-000000000001', 1000, 'month');
select billing.grant_credits('22222222-2222-4222-8222-222222222222', 1000, 'promotion', 'seed:welcome');
