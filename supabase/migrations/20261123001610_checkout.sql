-- Opening a checkout: our row first, then Stripe's session, then its id on our row.

create type billing.checkout_preparation as (
  organization_id uuid,
  checkout_session_id uuid,
  is_reused boolean,
  status text,
  attempts integer,
  stripe_session_id text,
  mode text,
  name text,
  description text,
  unit_amount bigint,
  currency text,
  billing_interval text,
  stripe_price_id text,
  plan_id uuid,
  trial_days integer,
  superseded_session_ids text[],
  ui_mode text,
  success_url text,
  cancel_url text,
  customer billing.customer_claim
);
comment on type billing.checkout_preparation is
'Everything with which a worker opens a session at Stripe: the terms frozen on our row, the idempotency key (checkout_session_id, attempts), the customer.';

-- What is for sale, by whichever name the buyer gave. Raises 404 not_found for what is unknown or no longer on offer.
create type billing_private.checkout_terms as (
  package_id uuid,
  plan_id uuid,
  name text,
  credits numeric,
  credit_expiry interval,
  unit_amount bigint,
  currency text,
  trial_days integer
);

create function billing_private.checkout_terms_of(p_package_id uuid, p_package_key text, p_plan_id uuid)
returns billing_private.checkout_terms
language plpgsql
stable
set search_path = ''
as $$
declare
  v_terms billing_private.checkout_terms;
begin
  if num_nonnulls(p_package_id, p_package_key, p_plan_id) <> 1 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "package_id"}',
      'Name exactly one of package_id, package_key and plan_id.');
  end if;
  if p_plan_id is not null then
    select null, p.id, p.name, p.credits_per_period, p.credit_expiry, p.unit_amount, p.currency, p.trial_days into v_terms
    from billing.subscription_plans as p where p.id = p_plan_id and p.is_active and p.unit_amount > 0;
  else
    select c.id, null, c.name, c.credits, c.credit_expiry, c.unit_amount, c.currency, 0 into v_terms
    from billing.credit_packages as c where (c.id = p_package_id or c.key = p_package_key) and c.is_active;
  end if;
  if not found then
    perform billing_private.fail(404, 'not_found',
      jsonb_build_object('what', case when p_plan_id is null then 'credit_package' else 'subscription_plan' end));
  end if;
  return v_terms;
end
$$;
revoke all on function billing_private.checkout_terms_of(uuid, text, uuid) from public;

-- Who calls: the checkout worker, for the person that it has verified.
-- Locks: the organization's customer claim, so that two clicks are answered one after the other.
-- Raises: 403 not_authorized (the same for a foreign and an unknown organization), 404 not_found, 409 subscription_exists,
-- 422 invalid_argument. Retry: safe. The same person asking again for the same thing on the same terms gets the same row, until it is paid.
create function billing_private.prepare_checkout(
  p_organization_id uuid, p_user_id uuid, p_email text, p_livemode boolean,
  p_package_id uuid, p_package_key text, p_plan_id uuid, p_ui_mode text, p_success_url text, p_cancel_url text
)
returns billing.checkout_preparation
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_terms billing_private.checkout_terms;
  v_customer billing.customer_claim;
  v_checkout billing.checkout_sessions;
  v_is_reused boolean;
begin
  if billing_private.user_has_role(p_user_id, p_organization_id, '{owner,admin,billing}') is not true then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  v_terms := billing_private.checkout_terms_of(p_package_id, p_package_key, p_plan_id);
  v_customer := billing_private.claim_customer(p_organization_id, p_email, p_livemode);
  if p_plan_id is not null then
    perform billing_private.require_no_live_subscription(p_organization_id);
    if billing_private.had_trial(p_organization_id) then
      v_terms.trial_days := 0;
    end if;
  end if;

  -- A session that is about to close is no place to send somebody to; an attempt without an answer is picked up for an hour.
  select c.* into v_checkout
  from billing.checkout_sessions as c
  where c.organization_id = p_organization_id and c.created_by = p_user_id and c.status in ('creating', 'open')
    and (c.package_id, c.plan_id) is not distinct from (v_terms.package_id, v_terms.plan_id)
    and (c.credits, c.unit_amount, c.currency, c.credit_expiry, c.trial_days)
    is not distinct from (v_terms.credits, v_terms.unit_amount, v_terms.currency, v_terms.credit_expiry, v_terms.trial_days)
    and (c.ui_mode, c.success_url, c.cancel_url, c.livemode)
    is not distinct from (p_ui_mode, p_success_url, p_cancel_url, p_livemode)
    and case c.status
      when 'open' then c.expires_at > clock_timestamp() + interval '5 minutes'
      else c.created_at > clock_timestamp() - interval '1 hour'
    end
  order by c.created_at desc limit 1;
  v_is_reused := found;

  if not v_is_reused then
    insert into billing.checkout_sessions as c (
      organization_id, mode, package_id, plan_id, name, credits, credit_expiry, unit_amount, currency, trial_days,
      ui_mode, success_url, cancel_url, livemode, created_by
    )
    values (
      p_organization_id, case when v_terms.plan_id is null then 'payment' else 'subscription' end,
      v_terms.package_id, v_terms.plan_id, v_terms.name, v_terms.credits, v_terms.credit_expiry, v_terms.unit_amount,
      v_terms.currency, v_terms.trial_days, p_ui_mode, p_success_url, p_cancel_url, p_livemode, p_user_id
    )
    returning c.* into v_checkout;
  end if;

  return (
    v_checkout.organization_id, v_checkout.id, v_is_reused, v_checkout.status, v_checkout.attempts, v_checkout.stripe_session_id,
    v_checkout.mode, v_checkout.name, trim_scale(v_checkout.credits)::text || ' credits', v_checkout.unit_amount, v_checkout.currency,
    (select p.billing_interval from billing.subscription_plans as p where p.id = v_checkout.plan_id),
    billing_private.price_on_sale(
      case when v_checkout.plan_id is null then 'package' else 'plan' end, coalesce(v_checkout.plan_id, v_checkout.package_id), p_livemode,
      v_checkout.unit_amount, v_checkout.currency
    ),
    v_checkout.plan_id, v_checkout.trial_days,
    case when v_checkout.plan_id is not null then array(
      select c.stripe_session_id from billing.checkout_sessions as c
      where c.organization_id = p_organization_id and c.mode = 'subscription' and c.status = 'open' and c.livemode = p_livemode
        and c.id <> v_checkout.id
    ) end,
    v_checkout.ui_mode, v_checkout.success_url, v_checkout.cancel_url, v_customer
  )::billing.checkout_preparation;
end
$$;
revoke all on function billing_private.prepare_checkout(uuid, uuid, text, boolean, uuid, text, uuid, text, text, text) from public;
grant execute on function billing_private.prepare_checkout(uuid, uuid, text, boolean, uuid, text, uuid, text, text, text) to service_role;

-- Whether the organization has had a trial: it is offered once. (The card is asked when it is known, see land_trial.)
create function billing_private.had_trial(p_organization_id uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (
    select 1 from billing.subscriptions as s where s.organization_id = p_organization_id and s.trial_start is not null
  ) or exists (
    select 1 from billing_private.credit_grant_lots as g where g.organization_id = p_organization_id and g.source = 'trial'
  );
end
$$;
revoke all on function billing_private.had_trial(uuid) from public;

-- The Stripe price at which a plan or pack is sold now; null when there is none for these terms (a worker then makes it).
create function billing_private.price_on_sale(
  p_subject_type text, p_subject_id uuid, p_livemode boolean, p_unit_amount bigint, p_currency text
)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select s.stripe_price_id from billing_private.stripe_catalogue as s
    inner join billing_private.stripe_prices as p on p.stripe_price_id = s.stripe_price_id
    where s.subject_type = p_subject_type and s.subject_id = p_subject_id and s.livemode = p_livemode
      and p.unit_amount = p_unit_amount and p.currency = p_currency
      and p.billing_interval is not distinct from (
        select l.billing_interval from billing.subscription_plans as l where l.id = p_subject_id and p_subject_type = 'plan'
      )
  );
end
$$;
revoke all on function billing_private.price_on_sale(text, uuid, boolean, bigint, text) from public;

-- One plan at a time: a second subscription would charge twice for one organization.
create function billing_private.require_no_live_subscription(p_organization_id uuid)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
  if exists (
    select 1 from billing.subscriptions as s
    where s.organization_id = p_organization_id and s.stripe_subscription_id is not null
      and s.status in ('incomplete', 'trialing', 'active', 'past_due', 'unpaid', 'paused')
  ) then
    perform billing_private.fail(409, 'subscription_exists', null, 'Change the plan instead.');
  end if;
end
$$;
revoke all on function billing_private.require_no_live_subscription(uuid) from public;

create function billing.prepare_checkout(
  organization_id uuid, user_id uuid, email text, livemode boolean, package_id uuid, package_key text, plan_id uuid,
  ui_mode text, success_url text, cancel_url text
)
returns billing.checkout_preparation
language sql
set search_path = ''
return billing_private.prepare_checkout(
  organization_id, user_id, email, livemode, package_id, package_key, plan_id, ui_mode, success_url, cancel_url
);
revoke all on function billing.prepare_checkout(uuid, uuid, text, boolean, uuid, text, uuid, text, text, text) from public;
grant execute on function billing.prepare_checkout(uuid, uuid, text, boolean, uuid, text, uuid, text, text, text) to service_role;
comment on function billing.prepare_checkout(uuid, uuid, text, boolean, uuid, text, uuid, text, text, text) is
'Workers only: writes our row about an attempt to buy (or finds the one that a double click opened) and answers its terms.';

-- Who calls: the checkout worker, with the session that Stripe has made for our row. Locks: the row. Raises: 404 not_found.
-- Retry: safe. Answers the session in force: the first one attached; a worker that lost expires its own at Stripe. Null: meanwhile somebody of the
-- organization began another plan's checkout, and only the last one stays open, so that two can never be paid.
create function billing_private.attach_checkout_session(
  p_organization_id uuid, p_checkout_session_id uuid, p_stripe_session_id text, p_url text, p_expires_at timestamptz
)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_attached text;
  v_mode text;
begin
  select c.stripe_session_id, c.mode into v_attached, v_mode
  from billing.checkout_sessions as c
  where c.organization_id = p_organization_id and c.id = p_checkout_session_id
  for update;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "checkout_session"}');
  end if;
  if v_attached is null and v_mode = 'subscription' and exists (
    select 1 from billing.checkout_sessions as c
    inner join billing.checkout_sessions as mine on mine.organization_id = c.organization_id and mine.id = p_checkout_session_id
    where c.organization_id = p_organization_id and c.mode = 'subscription' and c.status in ('creating', 'open')
      and (c.created_at, c.id) > (mine.created_at, mine.id)
  ) then
    update billing.checkout_sessions as c set status = 'failed', error = 'superseded', updated_at = now()
    where c.organization_id = p_organization_id and c.id = p_checkout_session_id;
    return null;
  end if;
  if v_attached is null then
    update billing.checkout_sessions as c
    set
      stripe_session_id = billing_private.require_text('stripe_session_id', p_stripe_session_id), status = 'open', url = p_url,
      expires_at = p_expires_at, error = null, updated_at = now()
    where c.organization_id = p_organization_id and c.id = p_checkout_session_id;
    return p_stripe_session_id;
  end if;
  return v_attached;
end
$$;
revoke all on function billing_private.attach_checkout_session(uuid, uuid, text, text, timestamptz) from public;
grant execute on function billing_private.attach_checkout_session(uuid, uuid, text, text, timestamptz) to service_role;

create function billing.attach_checkout_session(
  organization_id uuid, checkout_session_id uuid, stripe_session_id text, url text, expires_at timestamptz
)
returns text
language sql
set search_path = ''
return billing_private.attach_checkout_session(organization_id, checkout_session_id, stripe_session_id, url, expires_at);
revoke all on function billing.attach_checkout_session(uuid, uuid, text, text, timestamptz) from public;
grant execute on function billing.attach_checkout_session(uuid, uuid, text, text, timestamptz) to service_role;
comment on function billing.attach_checkout_session(uuid, uuid, text, text, timestamptz) is
'Workers only: ties Stripe''s session to our row and answers the session in force.';

-- Who calls: the checkout worker whose call to Stripe failed. A definite refusal closes the row; without a definite answer the row stays
-- open for the next click, which looks at Stripe before it makes a second session. Locks: the row. Raises: nothing.
-- Retry: safe, a call too many only moves the idempotency key on.
create function billing_private.record_checkout_error(
  p_organization_id uuid, p_checkout_session_id uuid, p_error text, p_is_definite boolean
)
returns void
language sql
security definer
set search_path = ''
as $$
  update billing.checkout_sessions as c
  set
    status = case when p_is_definite then 'failed' else c.status end,
    attempts = c.attempts + 1, error = left(p_error, 500), updated_at = now()
  where c.organization_id = p_organization_id and c.id = p_checkout_session_id
    and (c.status = 'creating' or (c.status = 'open' and p_is_definite))
$$;
revoke all on function billing_private.record_checkout_error(uuid, uuid, text, boolean) from public;
grant execute on function billing_private.record_checkout_error(uuid, uuid, text, boolean) to service_role;

create function billing.record_checkout_error(organization_id uuid, checkout_session_id uuid, error text, is_definite boolean)
returns void
language sql
set search_path = ''
return billing_private.record_checkout_error(organization_id, checkout_session_id, error, is_definite);
revoke all on function billing.record_checkout_error(uuid, uuid, text, boolean) from public;
grant execute on function billing.record_checkout_error(uuid, uuid, text, boolean) to service_role;
comment on function billing.record_checkout_error(uuid, uuid, text, boolean) is
'Workers only: Stripe did not make (or no longer knows) the session of this attempt to buy.';
