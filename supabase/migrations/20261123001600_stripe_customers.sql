-- One Stripe customer an organization.
--
-- A customer is made at Stripe by a worker, outside any transaction. Parallel workers agree through the claim: all of them use its id as the
-- idempotency key and its e-mail and name as parameters, so Stripe makes one customer for all. A key that may have been used up without an
-- answer (a failed call, or one older than Stripe keeps keys) is replaced, and the next worker looks for the customer before it makes one.

create table billing_private.customer_claims (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  livemode boolean not null,
  email text,
  name text not null,
  must_look_up boolean not null default false,
  renewed_at timestamptz not null default clock_timestamp(),
  constraint customer_claims_pkey primary key (organization_id),
  constraint customer_claims_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
alter table billing_private.customer_claims enable row level security;
revoke all on table billing_private.customer_claims from public, anon, authenticated, service_role;
comment on table billing_private.customer_claims is
'Who an organization''s Stripe customer will be, and under which idempotency key; also the row that orders an organization''s checkouts.';
comment on column billing_private.customer_claims.organization_id is 'The tenant.';
comment on column billing_private.customer_claims.id is 'The idempotency key of the call that makes the customer.';
comment on column billing_private.customer_claims.livemode is 'Whether the customer is to be made in Stripe''s live mode.';
comment on column billing_private.customer_claims.email is 'The customer''s address, the same for all workers.';
comment on column billing_private.customer_claims.name is 'The customer''s name, the same for all workers.';
comment on column billing_private.customer_claims.must_look_up is 'Whether the customer may exist already, so that a worker looks first.';
comment on column billing_private.customer_claims.renewed_at is 'When the key was made; Stripe keeps keys for about a day.';

create type billing.customer_claim as (
  organization_id uuid,
  claim_id uuid,
  stripe_customer_id text,
  email text,
  name text,
  must_look_up boolean
);
comment on type billing.customer_claim is
'The organization''s Stripe customer, or how to make it: claim_id is the idempotency key; must_look_up says that it may exist already.';

-- Returns the customer, or the claim under which to make it. Locks the claim until the end of the transaction.
create function billing_private.claim_customer(p_organization_id uuid, p_email text, p_livemode boolean)
returns billing.customer_claim
language plpgsql
set search_path = ''
as $$
declare
  v_claim billing_private.customer_claims;
  v_stripe_customer_id text;
begin
  if p_livemode and exists (
    select 1 from billing.organizations as o where o.organization_id = p_organization_id and o.test_clock is not null
  ) then
    perform billing_private.fail(409, 'conflict', '{"what": "test_clock"}',
      'an organization with a test clock cannot become a live Stripe customer');
  end if;
  insert into billing_private.customer_claims (organization_id, livemode, email, name)
  select o.organization_id, p_livemode, p_email, o.name
  from billing.organizations as o where o.organization_id = p_organization_id
  on conflict (organization_id) do nothing;

  select c.* into strict v_claim
  from billing_private.customer_claims as c where c.organization_id = p_organization_id
  for update;

  select c.stripe_customer_id into v_stripe_customer_id
  from billing.customers as c
  where c.organization_id = p_organization_id and c.livemode = p_livemode and c.deleted_at is null;

  if v_stripe_customer_id is null and v_claim.livemode <> p_livemode then
    v_claim := billing_private.renew_customer_claim(p_organization_id, p_livemode, p_email, false);
  end if;
  return (
    p_organization_id, v_claim.id, v_stripe_customer_id, v_claim.email, v_claim.name,
    v_claim.must_look_up or v_claim.renewed_at < clock_timestamp() - interval '23 hours'
  )::billing.customer_claim;
end
$$;
revoke all on function billing_private.claim_customer(uuid, text, boolean) from public;

-- Gives the claim a new idempotency key. The caller holds the claim.
create function billing_private.renew_customer_claim(
  p_organization_id uuid, p_livemode boolean, p_email text, p_must_look_up boolean
)
returns billing_private.customer_claims
language sql
set search_path = ''
as $$
  update billing_private.customer_claims as c
  set
    id = gen_random_uuid(), livemode = p_livemode, email = coalesce(p_email, c.email), must_look_up = p_must_look_up,
    renewed_at = clock_timestamp(),
    name = (select o.name from billing.organizations as o where o.organization_id = p_organization_id)
  where c.organization_id = p_organization_id
  returning c.*
$$;
revoke all on function billing_private.renew_customer_claim(uuid, boolean, text, boolean) from public;

-- Who calls: the portal worker, for a person. Locks: the claim. Raises: 403 not_authorized (the same for a foreign and an unknown
-- organization). Retry: safe, it answers the same claim.
create function billing_private.open_customer(p_organization_id uuid, p_user_id uuid, p_email text, p_livemode boolean)
returns billing.customer_claim
language plpgsql
security definer
set search_path = ''
as $$
begin
  if billing_private.user_has_role(p_user_id, p_organization_id, '{owner,admin,billing}') is not true then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  return billing_private.claim_customer(p_organization_id, p_email, p_livemode);
end
$$;
revoke all on function billing_private.open_customer(uuid, uuid, text, boolean) from public;
grant execute on function billing_private.open_customer(uuid, uuid, text, boolean) to service_role;

create function billing.open_customer(organization_id uuid, user_id uuid, email text, livemode boolean)
returns billing.customer_claim
language sql
set search_path = ''
return billing_private.open_customer(organization_id, user_id, email, livemode);
revoke all on function billing.open_customer(uuid, uuid, text, boolean) from public;
grant execute on function billing.open_customer(uuid, uuid, text, boolean) to service_role;
comment on function billing.open_customer(uuid, uuid, text, boolean) is
'Workers only: the organization''s Stripe customer for a person who may manage its billing, or the claim under which to make it.';

-- Who calls: the worker that has just made (or found) the customer at Stripe. Locks: the claim. Raises: 404 not_found.
-- Retry: safe; the first customer recorded stays, and a worker that lost removes its own at Stripe.
create function billing_private.record_customer(
  p_organization_id uuid, p_stripe_customer_id text, p_email text, p_name text, p_livemode boolean
)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_recorded text;
begin
  perform 1 from billing_private.customer_claims as c where c.organization_id = p_organization_id for update;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "organization"}');
  end if;
  select c.stripe_customer_id into v_recorded
  from billing.customers as c
  where c.organization_id = p_organization_id and c.livemode = p_livemode and c.deleted_at is null;
  if found then
    return v_recorded;
  end if;
  insert into billing.customers as c (organization_id, stripe_customer_id, email, name, livemode, stripe_fetched_at)
  values (
    p_organization_id, billing_private.require_text('stripe_customer_id', p_stripe_customer_id), p_email, p_name, p_livemode,
    clock_timestamp()
  )
  on conflict (organization_id) do update set
    stripe_customer_id = excluded.stripe_customer_id, email = excluded.email, name = excluded.name,
    currency = null, default_payment_method_id = null, livemode = excluded.livemode, deleted_at = null,
    stripe_fetched_at = excluded.stripe_fetched_at, updated_at = now();
  -- The key is used up: whoever deletes this customer gets a new one, not an echo of the old.
  perform billing_private.renew_customer_claim(p_organization_id, p_livemode, p_email, false);
  return p_stripe_customer_id;
end
$$;
revoke all on function billing_private.record_customer(uuid, text, text, text, boolean) from public;
grant execute on function billing_private.record_customer(uuid, text, text, text, boolean) to service_role;

create function billing.record_customer(organization_id uuid, stripe_customer_id text, email text, name text, livemode boolean)
returns text
language sql
set search_path = ''
return billing_private.record_customer(organization_id, stripe_customer_id, email, name, livemode);
revoke all on function billing.record_customer(uuid, text, text, text, boolean) from public;
grant execute on function billing.record_customer(uuid, text, text, text, boolean) to service_role;
comment on function billing.record_customer(uuid, text, text, text, boolean) is
'Workers only: records the Stripe customer of an organization and answers the one that is in force (the first recorded).';

-- Who calls: a worker whose call to make the customer failed without a definite answer. Locks: the claim. Raises: nothing.
-- Retry: safe; only the holder of the claim's present key renews it.
create function billing_private.renew_failed_customer_claim(p_organization_id uuid, p_claim_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform 1 from billing_private.customer_claims as c
  where c.organization_id = p_organization_id and c.id = p_claim_id
  for update;
  if found then
    perform billing_private.renew_customer_claim(
      p_organization_id,
      (select c.livemode from billing_private.customer_claims as c where c.organization_id = p_organization_id),
      null, true
    );
  end if;
end
$$;
revoke all on function billing_private.renew_failed_customer_claim(uuid, uuid) from public;
grant execute on function billing_private.renew_failed_customer_claim(uuid, uuid) to service_role;

create function billing.renew_failed_customer_claim(organization_id uuid, claim_id uuid)
returns void
language sql
set search_path = ''
return billing_private.renew_failed_customer_claim(organization_id, claim_id);
revoke all on function billing.renew_failed_customer_claim(uuid, uuid) from public;
grant execute on function billing.renew_failed_customer_claim(uuid, uuid) to service_role;
comment on function billing.renew_failed_customer_claim(uuid, uuid) is
'Workers only: Stripe did not answer under this claim; the next worker looks first and then uses a new idempotency key.';

-- Who calls: a worker to whom Stripe said that the customer does not exist (any more), and the handler of customer.deleted.
-- Locks: the customer's row. Raises: nothing. Retry: safe.
create function billing_private.forget_customer(p_stripe_customer_id text)
returns uuid
language sql
security definer
set search_path = ''
as $$
  update billing.customers as c
  set deleted_at = coalesce(c.deleted_at, clock_timestamp()), updated_at = now()
  where c.stripe_customer_id = p_stripe_customer_id
  returning c.organization_id
$$;
revoke all on function billing_private.forget_customer(text) from public;
grant execute on function billing_private.forget_customer(text) to service_role;

create function billing.forget_customer(stripe_customer_id text)
returns uuid
language sql
set search_path = ''
return billing_private.forget_customer(stripe_customer_id);
revoke all on function billing.forget_customer(text) from public;
grant execute on function billing.forget_customer(text) to service_role;
comment on function billing.forget_customer(text) is
'Workers only: the customer is gone at Stripe; the organization and its ledger stay, and the next checkout makes another customer.';
