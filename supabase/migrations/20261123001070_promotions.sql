-- Promotion codes: worth, a maximum number of redemptions, one per organization, an end.

create table billing_private.promotion_codes (
  code text not null primary key,
  credits billing.credit_amount not null,
  max_redemptions integer,
  redeemed_count integer not null default 0,
  ends_at timestamptz,
  credit_expiry interval,
  created_at timestamptz not null default clock_timestamp(),
  constraint promotion_codes_code_upper_case check (code = upper(code) and code ~ '^[A-Z0-9_-]{3,64}$'),
  constraint promotion_codes_credits_positive check (credits > 0),
  constraint promotion_codes_redemptions_bounded check (redeemed_count >= 0 and redeemed_count <= coalesce(max_redemptions, redeemed_count))
);
alter table billing_private.promotion_codes enable row level security;
revoke all on table billing_private.promotion_codes from public, anon, authenticated, service_role;
comment on table billing_private.promotion_codes is 'Codes that can be redeemed for credits. Who redeemed one is the grant with source promotion.';
comment on column billing_private.promotion_codes.code is 'What people type, in upper case.';
comment on column billing_private.promotion_codes.credits is 'Credits that one redemption grants.';
comment on column billing_private.promotion_codes.max_redemptions is 'At most so many organizations; null: no maximum.';
comment on column billing_private.promotion_codes.redeemed_count is 'Organizations that have redeemed it.';
comment on column billing_private.promotion_codes.ends_at is 'First instant at which it is no longer taken; null: no end.';
comment on column billing_private.promotion_codes.credit_expiry is 'How long the credits live; null: without end.';
comment on column billing_private.promotion_codes.created_at is 'When it was made.';

create type billing.promotion_code as (
  code text,
  credits numeric,
  max_redemptions integer,
  redeemed_count integer,
  ends_at timestamptz,
  credit_expiry interval
);
comment on type billing.promotion_code is 'A promotion code and how often it was redeemed. Nulls: no maximum, no end, credits that never expire.';

-- The service: adds a code, or replays when it exists with the same terms (409 conflict with others).
create function billing_private.create_promotion_code(
  p_code text, p_credits numeric, p_max_redemptions integer, p_ends_at timestamptz, p_credit_expiry interval
)
returns billing.promotion_code
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_code billing_private.promotion_codes;
begin
  perform billing_private.require_service();
  if p_code is null or upper(p_code) !~ '^[A-Z0-9_-]{3,64}$' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "code"}', '3 to 64 letters, digits, - and _');
  end if;
  perform billing_private.require_exact_amount('credits', p_credits);
  if p_max_redemptions < 1 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "max_redemptions"}', 'at least 1, or null for no maximum');
  end if;
  if p_credit_expiry <= interval '0' or p_credit_expiry > interval '1000 years' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "credit_expiry"}', 'above 0 and at most 1,000 years, or null for no end');
  end if;
  insert into billing_private.promotion_codes (code, credits, max_redemptions, ends_at, credit_expiry)
  values (upper(p_code), p_credits, p_max_redemptions, p_ends_at, p_credit_expiry)
  on conflict (code) do nothing;
  select c.* into v_code from billing_private.promotion_codes as c where c.code = upper(p_code);
  if (v_code.credits, v_code.max_redemptions, v_code.ends_at, v_code.credit_expiry)
    is distinct from (p_credits::billing.credit_amount, p_max_redemptions, p_ends_at, p_credit_expiry) then
    perform billing_private.fail(409, 'conflict', '{"argument": "code"}', 'the code exists with other terms');
  end if;
  return (v_code.code, v_code.credits, v_code.max_redemptions, v_code.redeemed_count, v_code.ends_at, v_code.credit_expiry)::billing.promotion_code;
end
$$;
revoke all on function billing_private.create_promotion_code(text, numeric, integer, timestamptz, interval) from public;
grant execute on function billing_private.create_promotion_code(text, numeric, integer, timestamptz, interval) to service_role;

create function billing.create_promotion_code(
  code text, credits numeric, max_redemptions integer default null, ends_at timestamptz default null, credit_expiry interval default null
)
returns billing.promotion_code
language sql
volatile
set search_path = ''
return billing_private.create_promotion_code(code, credits, max_redemptions, ends_at, credit_expiry);
revoke all on function billing.create_promotion_code(text, numeric, integer, timestamptz, interval) from public;
grant execute on function billing.create_promotion_code(text, numeric, integer, timestamptz, interval) to service_role;
comment on function billing.create_promotion_code(text, numeric, integer, timestamptz, interval) is
'Service: adds a promotion code worth some credits, with at most so many redemptions, an end, and a life of the credits.';

-- Owner, admin, billing, or the service: redeems a code once for the organization. A second call is a replay. The organization's lock, then the
-- code's row, which is counted up only while redemptions are left: exact under any number of callers. Raises 403 not_authorized, 404 not_found
-- (the same for unknown, ended and exhausted codes), 429 rate_limited (successes alone are counted), 503 busy.
create function billing_private.redeem_promotion_code(p_code text, p_organization_id uuid)
returns billing.grant_receipt
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_code billing_private.promotion_codes;
  v_reference constant text := 'code:' || upper(coalesce(p_code, ''));
  v_amount numeric;
  v_expires_at timestamptz;
  v_receipt billing.grant_receipt;
begin
  perform billing_private.require_request_rate('redeem_promotion_code');
  perform billing_private.require_role_under_lock(p_organization_id, '{owner,admin,billing}');
  select g.amount into v_amount from billing_private.credit_grant_lots as g
  where g.organization_id = p_organization_id and g.source = 'promotion' and g.source_reference = v_reference;
  if v_amount is null then
    update billing_private.promotion_codes as c
    set redeemed_count = c.redeemed_count + 1
    from billing.organizations as o
    where c.code = upper(p_code) and o.organization_id = p_organization_id
      and (c.ends_at is null or c.ends_at > billing_private.ledger_now(o.test_clock))
      and (c.max_redemptions is null or c.redeemed_count < c.max_redemptions)
    returning c.* into v_code;
    if not found then
      perform billing_private.fail(404, 'not_found', '{"what": "promotion_code"}');
    end if;
    v_amount := v_code.credits;
    select billing_private.ledger_now(o.test_clock) + v_code.credit_expiry into v_expires_at
    from billing.organizations as o where o.organization_id = p_organization_id;
  end if;
  v_receipt := billing_private.grant_credits(
    p_organization_id, v_amount, 'promotion', v_reference, v_expires_at, null, 100, null, null, 0, null,
    jsonb_build_object('code', upper(p_code)));
  if not v_receipt.replayed then
    perform billing_private.audit(p_organization_id, 'redeem_promotion_code', 'credit_grant', v_receipt.grant_id::text, null, null,
      to_jsonb(v_receipt));
  end if;
  return v_receipt;
end
$$;
revoke all on function billing_private.redeem_promotion_code(text, uuid) from public;
grant execute on function billing_private.redeem_promotion_code(text, uuid) to authenticated, service_role;

create function billing.redeem_promotion_code(code text, organization_id uuid)
returns billing.grant_receipt
language sql
volatile
set search_path = ''
return billing_private.redeem_promotion_code(code, organization_id);
revoke all on function billing.redeem_promotion_code(text, uuid) from public;
grant execute on function billing.redeem_promotion_code(text, uuid) to authenticated, service_role;
comment on function billing.redeem_promotion_code(text, uuid) is 'Owner, admin, billing: redeems a code, once per organization.';
