-- Automatic top-up, part two: an attempt from its row to its grant. What holds for it stands at the head of 20261123001750.

create type billing.auto_topup_call as (
  step text,
  organization_id uuid,
  attempt_id uuid,
  amount bigint,
  currency text,
  credits text,
  stripe_customer_id text,
  stripe_payment_method_id text,
  stripe_payment_intent_id text,
  must_look_up boolean,
  recorded_at timestamptz
);
comment on type billing.auto_topup_call is
'What a worker is to do at Stripe for an attempt: charge (must_look_up: an earlier call may have been carried out), read or cancel. credits is text.';

-- The credits that an attempt would buy now; null: none are due. Scenarios 40 and 41: the threshold counts as reached, the whole gap is one charge.
create function billing_private.topup_credits(p_settings billing.auto_topups, p_available numeric)
returns numeric
language sql
immutable
set search_path = ''
return case
  when p_available > p_settings.threshold then null
  when p_settings.target_balance is not null then p_settings.target_balance - p_available
  else (floor((p_settings.threshold - p_available) / p_settings.topup_amount) + 1) * p_settings.topup_amount
end;
revoke all on function billing_private.topup_credits(billing.auto_topups, numeric) from public;

-- What an organization's automatic top-ups of the calendar month (UTC, its own time) charge, those under way included.
create function billing_private.topup_spent(p_organization_id uuid, p_currency text, p_at timestamptz)
returns bigint
language sql
stable
set search_path = ''
as $$
  select coalesce(sum(t.amount), 0)::bigint from billing.auto_topup_attempts as t
  where t.organization_id = p_organization_id and t.currency = p_currency and t.status not in ('failed', 'canceled')
    and t.created_at >= date_trunc('month', p_at, 'UTC')
$$;
revoke all on function billing_private.topup_spent(uuid, text, timestamptz) from public;

-- An attempt that is open: what is left to do about it, at most every half minute. A call without an answer is repeated under the same key; a
-- payment that nobody confirmed within a day is given up.
create function billing_private.resume_topup(p_attempt billing.auto_topup_attempts)
returns billing.auto_topup_call
language plpgsql
set search_path = ''
as $$
declare
  v_now constant timestamptz := clock_timestamp();
  v_step constant text := case
    when p_attempt.called_at > v_now - interval '30 seconds' then null
    when p_attempt.stripe_payment_intent_id is null then 'charge'
    when p_attempt.status = 'needs_action' and p_attempt.recorded_at < v_now - interval '1 day' then 'cancel'
    when p_attempt.called_at < v_now - interval '10 minutes' then 'read'
  end;
begin
  if v_step is null then
    return null;
  end if;
  update billing.auto_topup_attempts as t set calls = t.calls + 1, called_at = v_now
  where t.organization_id = p_attempt.organization_id and t.id = p_attempt.id;
  return (
    v_step, p_attempt.organization_id, p_attempt.id, p_attempt.amount, p_attempt.currency, trim_scale(p_attempt.credits)::text,
    p_attempt.stripe_customer_id, p_attempt.stripe_payment_method_id, p_attempt.stripe_payment_intent_id, p_attempt.calls > 0,
    p_attempt.recorded_at
  )::billing.auto_topup_call;
end
$$;
revoke all on function billing_private.resume_topup(billing.auto_topup_attempts) from public;

-- Who calls: the worker start_auto_topups, for one organization. Writes the attempt, if one is due, and says what to do at Stripe; a row of nulls:
-- nothing. Locks: the organization. Raises: 404 not_found, 503 busy. Retry: safe, an open attempt is taken up again and no other is begun.
create function billing_private.begin_auto_topup(p_organization_id uuid, p_livemode boolean)
returns billing.auto_topup_call
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_settings billing.auto_topups;
  v_attempt billing.auto_topup_attempts;
  v_package billing.credit_packages;
  v_wallet billing_private.wallet;
  v_tail billing.credit_transactions;
  v_now timestamptz;
  v_credits numeric;
  v_amount bigint;
  v_customer_id text;
  v_method_id text;
begin
  perform billing_private.lock_organization(p_organization_id);
  select t.* into v_attempt from billing.auto_topup_attempts as t
  where t.organization_id = p_organization_id and t.status in ('pending', 'processing', 'needs_action');
  if found then
    return billing_private.resume_topup(v_attempt);
  end if;
  select a.* into v_settings from billing.auto_topups as a
  where a.organization_id = p_organization_id and a.is_enabled and a.paused_reason is null;
  if not found then
    return null;
  end if;
  v_tail := billing_private.ledger_tail(p_organization_id);
  select greatest(billing_private.ledger_now(o.test_clock), v_tail.created_at) into v_now
  from billing.organizations as o where o.organization_id = p_organization_id
    and (o.restricted_reason is null or o.restricted_from > billing_private.ledger_now(o.test_clock));
  if not found or exists (
    select 1 from billing.auto_topup_attempts as t
    where t.organization_id = p_organization_id and t.created_at > v_now - v_settings.cooldown
  ) then
    return null;
  end if;
  v_wallet := billing_private.wallet_at(v_tail, v_now);
  v_credits := billing_private.topup_credits(v_settings, v_wallet.balance - v_wallet.held);
  if v_credits is null then
    return null;
  end if;
  select c.* into v_package from billing.credit_packages as c where c.id = v_settings.package_id and c.is_active and c.currency = v_settings.currency;
  if not found then
    perform billing_private.pause_auto_topup(p_organization_id, 'package_withdrawn');
    return null;
  end if;
  select c.stripe_customer_id, m.stripe_payment_method_id into v_customer_id, v_method_id
  from billing.customers as c
  inner join billing.payment_methods as m on m.organization_id = c.organization_id and m.is_default and m.detached_at is null
  where c.organization_id = p_organization_id and c.livemode = p_livemode and c.deleted_at is null;
  if not found then
    perform billing_private.pause_auto_topup(p_organization_id, 'no_payment_method');
    return null;
  end if;
  v_amount := billing_private.price_of_credits(v_credits, v_package);
  if v_amount + billing_private.topup_spent(p_organization_id, v_settings.currency, v_now) > v_settings.monthly_cap then
    perform billing_private.notify_organization(
      p_organization_id, 'auto_topup_cap_reached', 'critical', 'auto_topup_cap_reached:' || to_char(v_now at time zone 'UTC', 'YYYY-MM'), 'auto_topup',
      p_organization_id::text, jsonb_build_object('monthly_cap', v_settings.monthly_cap, 'currency', v_settings.currency, 'amount', v_amount));
    return null;
  end if;
  insert into billing.auto_topup_attempts (
    organization_id, credits, amount, currency, package_id, credit_expiry, available_before, stripe_customer_id, stripe_payment_method_id,
    livemode, created_at
  ) values (
    p_organization_id, v_credits, v_amount, v_package.currency, v_package.id, v_package.credit_expiry, v_wallet.balance - v_wallet.held,
    v_customer_id, v_method_id, p_livemode, v_now
  )
  returning * into v_attempt;
  return billing_private.resume_topup(v_attempt);
end
$$;
revoke all on function billing_private.begin_auto_topup(uuid, boolean) from public;
grant execute on function billing_private.begin_auto_topup(uuid, boolean) to service_role;

create function billing.begin_auto_topup(organization_id uuid, livemode boolean)
returns billing.auto_topup_call
language sql
volatile
set search_path = ''
return billing_private.begin_auto_topup(organization_id, livemode);
revoke all on function billing.begin_auto_topup(uuid, boolean) from public;
grant execute on function billing.begin_auto_topup(uuid, boolean) to service_role;
comment on function billing.begin_auto_topup(uuid, boolean) is
'Workers only: writes an automatic top-up if one is due, or takes an open one up again, and says what to do at Stripe.';

-- Who calls: the worker, for all organizations in turn. Locks: nothing. Reads the last ledger entry of those who switched it on, and of nobody else.
-- At most 1,000, those waiting longest first.
create function billing_private.due_auto_topups(p_limit integer)
returns setof uuid
language sql
stable
security definer
set search_path = ''
as $$
  select d.organization_id from (
    select t.organization_id, coalesce(t.called_at, '-infinity') as since
    from billing.auto_topup_attempts as t
    where t.status in ('pending', 'processing', 'needs_action')
      and coalesce(t.called_at, '-infinity') < clock_timestamp()
      - case when t.stripe_payment_intent_id is null then interval '30 seconds' else interval '10 minutes' end
    union all
    select a.organization_id, coalesce(last.created_at, '-infinity')
    from billing.auto_topups as a
    inner join billing.organizations as o on o.organization_id = a.organization_id
    left join lateral (
      select t.created_at, t.status from billing.auto_topup_attempts as t
      where t.organization_id = a.organization_id order by t.created_at desc limit 1
    ) as last on true
    cross join lateral billing_private.ledger_tail(a.organization_id) as tail
    cross join lateral (select greatest(billing_private.ledger_now(o.test_clock), tail.created_at) as at) as clock
    cross join lateral billing_private.wallet_at(tail, clock.at) as w
    where a.is_enabled and a.paused_reason is null
      and (o.restricted_reason is null or o.restricted_from > clock.at)
      and (last.created_at is null or last.created_at <= clock.at - a.cooldown)
      and (last.status is null or last.status not in ('pending', 'processing', 'needs_action'))
      and w.balance - w.held <= a.threshold
  ) as d
  order by d.since, d.organization_id
  limit least(greatest(p_limit, 1), 1000)
$$;
revoke all on function billing_private.due_auto_topups(integer) from public;
grant execute on function billing_private.due_auto_topups(integer) to service_role;

create function billing.due_auto_topups("limit" integer default 100)
returns setof uuid
language sql
stable
set search_path = ''
as $$
  select * from billing_private.due_auto_topups($1)
$$;
revoke all on function billing.due_auto_topups(integer) from public;
grant execute on function billing.due_auto_topups(integer) to service_role;
comment on function billing.due_auto_topups(integer) is 'Workers only: the organizations for which an automatic top-up is due or unfinished.';
