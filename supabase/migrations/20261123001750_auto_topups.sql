-- Automatic top-up, part one: the consent, when an attempt is due, and for how much.
--
-- Off until a manager agrees to it in words that are kept. It begins when the available credits are at or below the threshold and buys, in one
-- charge, either the least multiple of a fixed amount that comes above the threshold, or what is missing to a target, at the price per credit of
-- a pack, rounded up to the smallest amount that can be paid in the currency. The hot path knows nothing of it: who is due is found by reading the last ledger
-- entry of those who switched it on, by the worker start_auto_topups, each minute or whenever a page or an agent asks for its organization.
--
-- An attempt is a row before it is a call. At most one is open an organization (a partial unique index), and its id is the idempotency key of
-- its one call to Stripe, however often that call is repeated. So neither parallel workers, nor a timeout, nor an answer that was lost charge
-- twice. Rests: a cool-down after every attempt; a monthly cap in money; three declines in a row, until another card or a success; a dispute.

create table billing.auto_topup_attempts (
  organization_id uuid not null,
  id uuid not null default gen_random_uuid(),
  status text not null default 'pending',
  credits billing.credit_amount not null,
  amount bigint not null,
  currency text not null,
  package_id uuid not null,
  credit_expiry interval,
  available_before billing.credit_delta not null,
  stripe_customer_id text not null,
  stripe_payment_method_id text not null,
  stripe_payment_intent_id text,
  failure_code text,
  failure_message text,
  payment_id uuid,
  grant_id uuid,
  calls integer not null default 0,
  called_at timestamptz,
  livemode boolean not null,
  created_at timestamptz not null,
  recorded_at timestamptz not null default clock_timestamp(),
  stripe_fetched_at timestamptz,
  constraint auto_topup_attempts_pkey primary key (organization_id, id),
  constraint auto_topup_attempts_status_known check (
    status in ('pending', 'processing', 'needs_action', 'succeeded', 'failed', 'canceled')
  ),
  constraint auto_topup_attempts_amounts_positive check (credits > 0 and amount > 0),
  constraint auto_topup_attempts_organization_fkey foreign key (organization_id) references billing.organizations (organization_id),
  constraint auto_topup_attempts_package_fkey foreign key (package_id) references billing.credit_packages (id)
);
create unique index auto_topup_attempts_one_open on billing.auto_topup_attempts (organization_id)
where status in ('pending', 'processing', 'needs_action');
create unique index auto_topup_attempts_stripe_payment_intent_id_unique on billing.auto_topup_attempts (stripe_payment_intent_id);
create index auto_topup_attempts_newest on billing.auto_topup_attempts (organization_id, created_at desc);
create index auto_topup_attempts_package on billing.auto_topup_attempts (package_id);
comment on table billing.auto_topup_attempts is 'Automatic purchases of credits: one row each, written before Stripe is called.';
comment on column billing.auto_topup_attempts.organization_id is 'The tenant.';
comment on column billing.auto_topup_attempts.id is 'Our id: the idempotency key of the call to Stripe, and a mark on its PaymentIntent.';
comment on column billing.auto_topup_attempts.status is
'pending: Stripe has not answered yet. processing: the money is under way. needs_action: a person has to confirm this very payment.';
comment on column billing.auto_topup_attempts.credits is 'Credits that it buys.';
comment on column billing.auto_topup_attempts.amount is 'What it charges, in the smallest unit of the currency.';
comment on column billing.auto_topup_attempts.currency is 'ISO 4217 code in lower case.';
comment on column billing.auto_topup_attempts.package_id is 'The pack whose price per credit was applied.';
comment on column billing.auto_topup_attempts.credit_expiry is 'How long the bought credits live; null for ever.';
comment on column billing.auto_topup_attempts.available_before is 'Credits that were available when it began.';
comment on column billing.auto_topup_attempts.stripe_customer_id is 'Stripe''s id (cus_…) of who is charged.';
comment on column billing.auto_topup_attempts.stripe_payment_method_id is 'Stripe''s id (pm_…) of the card that is charged.';
comment on column billing.auto_topup_attempts.stripe_payment_intent_id is 'Stripe''s id (pi_…); null: Stripe has not answered yet.';
comment on column billing.auto_topup_attempts.failure_code is 'Stripe''s code of the failure, such as card_declined.';
comment on column billing.auto_topup_attempts.failure_message is 'Stripe''s words about it for people.';
comment on column billing.auto_topup_attempts.payment_id is 'The payment; null: none yet.';
comment on column billing.auto_topup_attempts.grant_id is 'The grant that it brought; null: none.';
comment on column billing.auto_topup_attempts.calls is 'How often a worker has taken it up.';
comment on column billing.auto_topup_attempts.called_at is 'When one last did, by the wall clock.';
comment on column billing.auto_topup_attempts.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.auto_topup_attempts.created_at is 'When it began, in the organization''s time.';
comment on column billing.auto_topup_attempts.recorded_at is 'The same by the wall clock.';
comment on column billing.auto_topup_attempts.stripe_fetched_at is
'When its PaymentIntent was last read at Stripe; an older reading never overwrites a newer one.';
alter table billing.auto_topup_attempts enable row level security;
revoke all on table billing.auto_topup_attempts from public, anon, authenticated, service_role;
grant select on table billing.auto_topup_attempts to authenticated, service_role;
create policy auto_topup_attempts_read_as_billing on billing.auto_topup_attempts for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

-- The least that Stripe charges, in the smallest unit of a currency (https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts);
-- for others, which it converts, the least of those with two decimals.
create function billing_private.minimum_charge(p_currency text)
returns bigint
language sql
immutable
set search_path = ''
return case
  when p_currency in ('aed', 'ron', 'myr', 'pln') then 200
  when p_currency = 'bgn' then 100
  when p_currency = 'czk' then 1500
  when p_currency = 'dkk' then 250
  when p_currency = 'gbp' then 30
  when p_currency = 'hkd' then 400
  when p_currency = 'huf' then 17500
  when p_currency in ('mxn', 'thb') then 1000
  when p_currency in ('nok', 'sek') then 300
  else 50
end;
revoke all on function billing_private.minimum_charge(text) from public;

-- What credits cost at a pack's price, in the smallest unit of its currency, rounded up to an amount that can be paid (charge_step).
create function billing_private.price_of_credits(p_credits numeric, p_package billing.credit_packages)
returns bigint
language sql
immutable
set search_path = ''
return ceil(p_credits * p_package.unit_amount / (p_package.credits * billing_private.charge_step(p_package.currency)))::bigint
  * billing_private.charge_step(p_package.currency);
revoke all on function billing_private.price_of_credits(numeric, billing.credit_packages) from public;

-- Switches automatic top-up on, changes or switches it off. Owner, admin, billing, or the service. Switching on needs the pack, exactly one of
-- amount and target, and the words of the consent; what was paused begins anew, except for a dispute that is still open. Audited.
-- Raises: 403 not_authorized, 404 not_found, 422 invalid_argument and invalid_amount. Retry: safe.
create function billing_private.set_auto_topup(
  p_organization_id uuid, p_enabled boolean, p_threshold numeric, p_amount numeric, p_target numeric, p_package_id uuid, p_monthly_cap bigint,
  p_consent text
)
returns billing.auto_topups
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_package billing.credit_packages;
  v_before billing.auto_topups;
  v_after billing.auto_topups;
begin
  perform billing_private.require_role(p_organization_id, '{owner,admin,billing}');
  perform billing_private.lock_organization(p_organization_id);
  select a.* into v_before from billing.auto_topups as a where a.organization_id = p_organization_id;
  if p_enabled is not true then
    insert into billing.auto_topups as a (organization_id) values (p_organization_id)
    on conflict (organization_id) do update set is_enabled = false, updated_at = now()
    returning a.* into v_after;
    perform billing_private.audit(p_organization_id, 'set_auto_topup', 'auto_topup', p_organization_id::text, null, to_jsonb(v_before), to_jsonb(v_after));
    return v_after;
  end if;
  perform billing_private.require_amount('threshold', p_threshold, true);
  if num_nonnulls(p_amount, p_target) <> 1 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "amount"}', 'exactly one of amount and target');
  end if;
  perform billing_private.require_amount(case when p_target is null then 'amount' else 'target' end, coalesce(p_amount, p_target));
  if scale(trim_scale(p_threshold)) > 6 or scale(trim_scale(coalesce(p_amount, p_target))) > 6 then
    perform billing_private.fail(422, 'invalid_amount', '{"argument": "amount"}', 'credits have at most six decimals');
  end if;
  if p_target <= p_threshold then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "target"}', 'the target must be above the threshold');
  end if;
  if p_monthly_cap <= 0 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "monthly_cap"}', 'above 0, or null for no cap');
  end if;
  perform billing_private.require_text('consent', p_consent, 2000);
  select c.* into v_package from billing.credit_packages as c where c.id = p_package_id and c.is_active;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "credit_package"}');
  end if;
  -- The smallest charge that these terms can bring must be one that Stripe takes.
  if billing_private.price_of_credits(coalesce(p_amount, p_target - p_threshold), v_package) < billing_private.minimum_charge(v_package.currency) then
    perform billing_private.fail(422, 'invalid_argument',
      jsonb_build_object('argument', case when p_target is null then 'amount' else 'target' end, 'minimum_charge',
        billing_private.minimum_charge(v_package.currency), 'currency', v_package.currency),
      'so few credits cost less than the least that can be charged');
  end if;
  insert into billing.auto_topups as a (
    organization_id, is_enabled, threshold, topup_amount, target_balance, package_id, monthly_cap, currency, consent_text, consented_by,
    consented_at
  ) values (
    p_organization_id, true, p_threshold, p_amount, p_target, p_package_id, p_monthly_cap, v_package.currency, p_consent,
    billing_private.current_user_id(), clock_timestamp()
  )
  on conflict (organization_id) do update set
    is_enabled = true, threshold = excluded.threshold, topup_amount = excluded.topup_amount, target_balance = excluded.target_balance,
    package_id = excluded.package_id, monthly_cap = excluded.monthly_cap, currency = excluded.currency,
    consent_text = excluded.consent_text, consented_by = excluded.consented_by, consented_at = excluded.consented_at,
    -- A consent is no other card: what was declined three times still waits for one.
    paused_reason = case when a.paused_reason = 'declined' then 'declined' end, updated_at = now()
  returning a.* into v_after;
  perform billing_private.review_disputes(p_organization_id);
  select a.* into v_after from billing.auto_topups as a where a.organization_id = p_organization_id;
  perform billing_private.audit(p_organization_id, 'set_auto_topup', 'auto_topup', p_organization_id::text, null, to_jsonb(v_before), to_jsonb(v_after));
  return v_after;
end
$$;
revoke all on function billing_private.set_auto_topup(uuid, boolean, numeric, numeric, numeric, uuid, bigint, text) from public;
grant execute on function billing_private.set_auto_topup(uuid, boolean, numeric, numeric, numeric, uuid, bigint, text)
to authenticated, service_role;

create function billing.set_auto_topup(
  organization_id uuid, enabled boolean, threshold numeric default null, amount numeric default null, target numeric default null,
  package_id uuid default null, monthly_cap bigint default null, consent text default null
)
returns billing.auto_topups
language sql
volatile
set search_path = ''
return billing_private.set_auto_topup(organization_id, enabled, threshold, amount, target, package_id, monthly_cap, consent);
revoke all on function billing.set_auto_topup(uuid, boolean, numeric, numeric, numeric, uuid, bigint, text) from public;
grant execute on function billing.set_auto_topup(uuid, boolean, numeric, numeric, numeric, uuid, bigint, text)
to authenticated, service_role;
comment on function billing.set_auto_topup(uuid, boolean, numeric, numeric, numeric, uuid, bigint, text) is
'Owner, admin, billing: switches automatic top-up on (a threshold in credits, an amount or a target, a pack for the price, the words of consent) or off.';

-- Pauses automatic top-up and tells people why, once a day. Under the organization's lock.
create function billing_private.pause_auto_topup(p_organization_id uuid, p_reason text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update billing.auto_topups as a set paused_reason = p_reason, updated_at = now()
  where a.organization_id = p_organization_id and a.is_enabled and a.paused_reason is null;
  if found then
    perform billing_private.notify_organization(
      p_organization_id, 'auto_topup_paused', 'critical', format('auto_topup_paused:%s:%s', p_reason, current_date), 'auto_topup',
      p_organization_id::text, jsonb_build_object('reason', p_reason));
    perform billing_private.announce(p_organization_id, 'money_changed', '{"table": "auto_topups"}');
  end if;
end
$$;
revoke all on function billing_private.pause_auto_topup(uuid, text) from public;
