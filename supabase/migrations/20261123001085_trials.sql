-- Trial credits: once an organization and once a card, for ever.

-- Who had a trial. It outlives organizations, so that signing up again is no second trial; it names nobody: hashes only.
create table billing_private.trial_claims (
  subject_hash bytea not null primary key,
  claimed_at timestamptz not null default clock_timestamp(),
  constraint trial_claims_subject_hash_is_sha256 check (octet_length(subject_hash) = 32)
);
alter table billing_private.trial_claims enable row level security;
revoke all on table billing_private.trial_claims from public, anon, authenticated, service_role;
comment on table billing_private.trial_claims is 'Organizations and cards that had trial credits, for ever, as hashes.';
comment on column billing_private.trial_claims.subject_hash is 'SHA-256 of organization:<id> or card:<Stripe''s fingerprint>.';
comment on column billing_private.trial_claims.claimed_at is 'When the trial was granted, by the wall clock.';

create type billing.trial_grant as (
  granted boolean,
  reason text,
  receipt billing.grant_receipt
);
comment on type billing.trial_grant is
'Whether trial credits were granted; if not, who had them before (organization or card). receipt: the grant, the first one when repeated.';

-- Takes a subject's one trial; false when it was taken before. Two callers with the same card: the second waits for the first and learns.
create function billing_private.claim_trial(p_subject text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  insert into billing_private.trial_claims (subject_hash) values (sha256(convert_to(p_subject, 'UTF8'))) on conflict do nothing;
  return found;
end
$$;
revoke all on function billing_private.claim_trial(text) from public;

-- Grants trial credits, or says why not. p_card_fingerprint null: no card is known, only the organization counts. They end with the trial, or with
-- the subscription if that ends before. Locks the organization, then the card's claim. The same reference replays, and so does the
-- subscription's other call for it. Raises 404 not_found, 409 idempotency_conflict, 422 invalid_amount and invalid_argument, 503 busy.
create function billing_private.grant_trial(
  p_organization_id uuid, p_subscription_id uuid, p_card_fingerprint text, p_amount numeric, p_ends_at timestamptz, p_reference text
)
returns billing.trial_grant
language plpgsql
set search_path = ''
as $$
declare
  v_lot billing_private.credit_grant_lots;
  v_tail billing.credit_transactions;
  v_now timestamptz;
begin
  perform billing_private.require_exact_amount('amount', p_amount);
  perform billing_private.require_text('reference', p_reference);
  if p_card_fingerprint is not null then
    perform billing_private.require_text('card_fingerprint', p_card_fingerprint);
  end if;
  v_tail := billing_private.settled_ledger(p_organization_id);
  v_now := v_tail.recorded_at;
  if not coalesce(isfinite(p_ends_at), false) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "ends_at"}', 'a trial has an end');
  end if;
  select g.* into v_lot from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id and g.source = 'trial' and g.source_reference = p_reference;
  if found then
    if v_lot.amount <> p_amount then
      perform billing_private.fail(409, 'idempotency_conflict', jsonb_build_object('grant_id', v_lot.id));
    end if;
    return (true, null, billing_private.grant_receipt_of(v_lot, v_tail, v_now, true))::billing.trial_grant;
  end if;
  -- The organization's claim can only be made under its lock; the card's is taken first, so that a refused card leaves no trace.
  if exists (
    select 1 from billing_private.trial_claims as c
    where c.subject_hash = sha256(convert_to('organization:' || p_organization_id, 'UTF8'))
  ) then
    return (false, 'organization', null)::billing.trial_grant;
  end if;
  if p_card_fingerprint is not null and not billing_private.claim_trial('card:' || p_card_fingerprint) then
    return (false, 'card', null)::billing.trial_grant;
  end if;
  perform billing_private.claim_trial('organization:' || p_organization_id);
  v_lot := billing_private.new_plan_lot(
    p_organization_id, p_subscription_id, null, 1, p_amount, v_now, greatest(p_ends_at, v_now), null, v_now);
  v_lot.source := 'trial';
  v_lot.source_reference := p_reference;
  v_lot.id := billing_private.derived_id('trial:' || p_organization_id || ':' || p_reference);
  v_lot.is_period_grant := false;
  v_lot.grace_ends_at := v_lot.period_ends_at; -- the trial's end is its end
  v_lot.expires_at := v_lot.period_ends_at;
  if p_subscription_id is null then
    v_lot.period_start := null;
    v_lot.period_ends_at := null;
    v_lot.grace_ends_at := null;
    v_lot.rollover_cap := null;
  end if;
  v_tail := billing_private.settle(billing_private.book_plan_lot(v_tail, v_lot, v_now), v_now);
  return (true, null, billing_private.grant_receipt_of(v_lot, v_tail, v_now, false))::billing.trial_grant;
end
$$;
revoke all on function billing_private.grant_trial(uuid, uuid, text, numeric, timestamptz, text) from public;

create function billing_private.grant_trial_as_service(
  p_organization_id uuid, p_subscription_id uuid, p_card_fingerprint text, p_amount numeric, p_ends_at timestamptz, p_reference text
)
returns billing.trial_grant
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform billing_private.require_service();
  return billing_private.grant_trial(p_organization_id, p_subscription_id, p_card_fingerprint, p_amount, p_ends_at, p_reference);
end
$$;
revoke all on function billing_private.grant_trial_as_service(uuid, uuid, text, numeric, timestamptz, text) from public;
grant execute on function billing_private.grant_trial_as_service(uuid, uuid, text, numeric, timestamptz, text) to service_role;

create function billing.grant_trial(
  organization_id uuid, amount numeric, ends_at timestamptz, reference text, card_fingerprint text default null, subscription_id uuid default null
)
returns billing.trial_grant
language sql
volatile
set search_path = ''
return billing_private.grant_trial_as_service(organization_id, subscription_id, card_fingerprint, amount, ends_at, reference);
revoke all on function billing.grant_trial(uuid, numeric, timestamptz, text, text, uuid) from public;
grant execute on function billing.grant_trial(uuid, numeric, timestamptz, text, text, uuid) to service_role;
comment on function billing.grant_trial(uuid, numeric, timestamptz, text, text, uuid) is
'Service: grants trial credits until ends_at, once an organization and once a card fingerprint, for ever; says whether it did.';
