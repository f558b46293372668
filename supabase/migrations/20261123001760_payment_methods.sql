-- Saved cards: masked copies of Stripe's payment methods, and which of them is charged when nobody is there.
--
-- The default follows Stripe's customer where it names one. Otherwise the first card saved becomes the default; a card that goes takes the
-- default with it, and no other steps in by itself: whoever agreed to be charged agreed to a card that they know.

create type billing_private.payment_method_facts as (
  stripe_payment_method_id text,
  stripe_customer_id text,
  type text,
  brand text,
  last4 text,
  exp_month integer,
  exp_year integer,
  livemode boolean,
  fetched_at timestamptz
);
comment on type billing_private.payment_method_facts is 'What a worker read of a payment method. stripe_customer_id is null when it was detached.';

create type billing_private.setup_intent_facts as (
  stripe_setup_intent_id text,
  status text,
  stripe_customer_id text,
  failure_code text,
  failure_message text,
  payment_method billing_private.payment_method_facts,
  livemode boolean,
  fetched_at timestamptz
);
comment on type billing_private.setup_intent_facts is 'What a worker read of a SetupIntent and the payment method that it saved.';

-- Makes one card the default, or none. Another card than the one that was declined ends that rest (the same one saved anew is no other), and any card
-- the rest for want of one; without a default, automatic top-up rests. Returns whether anything changed. Under the organization's lock.
create function billing_private.set_default_card(p_organization_id uuid, p_payment_method_id uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_before uuid;
  v_had_one boolean;
  v_is_other boolean;
begin
  select m.id into v_before from billing.payment_methods as m where m.organization_id = p_organization_id and m.is_default;
  v_had_one := found;
  if v_before is not distinct from p_payment_method_id then
    return false;
  end if;
  update billing.payment_methods as m set is_default = false where m.organization_id = p_organization_id and m.is_default;
  update billing.payment_methods as m set is_default = true where m.organization_id = p_organization_id and m.id = p_payment_method_id;
  if p_payment_method_id is not null then
    select (m.type, m.brand, m.last4, m.exp_month, m.exp_year) is distinct from (d.type, d.brand, d.last4, d.exp_month, d.exp_year) into v_is_other
    from billing.payment_methods as m
    left join lateral (
      select t.stripe_payment_method_id from billing.auto_topup_attempts as t
      where t.organization_id = m.organization_id and t.status = 'failed' order by t.created_at desc limit 1
    ) as failed on true
    left join billing.payment_methods as d
      on d.organization_id = m.organization_id and d.stripe_payment_method_id = failed.stripe_payment_method_id
    where m.organization_id = p_organization_id and m.id = p_payment_method_id;
    update billing.auto_topups as a
    set
      consecutive_declines = case when v_is_other then 0 else a.consecutive_declines end, updated_at = now(),
      paused_reason = case when a.paused_reason <> 'no_payment_method' and (a.paused_reason <> 'declined' or not v_is_other) then a.paused_reason end
    where a.organization_id = p_organization_id;
  elsif v_had_one then
    perform billing_private.pause_auto_topup(p_organization_id, 'no_payment_method');
  end if;
  perform billing_private.announce(p_organization_id, 'money_changed', '{"table": "payment_methods"}');
  return true;
end
$$;
revoke all on function billing_private.set_default_card(uuid, uuid) from public;

-- Stripe's customer names another default, or none any more. Locks: the organization. Retry: safe.
create function billing_private.follow_default_card(p_organization_id uuid, p_stripe_payment_method_id text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_method_id uuid;
begin
  if p_stripe_payment_method_id is null then
    return; -- Stripe names none: ours stays
  end if;
  perform billing_private.lock_organization(p_organization_id);
  select m.id into v_method_id from billing.payment_methods as m
  where m.organization_id = p_organization_id and m.stripe_payment_method_id = p_stripe_payment_method_id and m.detached_at is null;
  if found then
    perform billing_private.set_default_card(p_organization_id, v_method_id);
  end if;
end
$$;
revoke all on function billing_private.follow_default_card(uuid, text) from public;

-- The customer is gone at Stripe, and its cards with it. Locks: the organization. Retry: safe.
create function billing_private.drop_cards(p_organization_id uuid, p_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if p_organization_id is null then
    return;
  end if;
  perform billing_private.lock_organization(p_organization_id);
  update billing.payment_methods as m set detached_at = p_at, stripe_fetched_at = p_at
  where m.organization_id = p_organization_id and m.detached_at is null and m.stripe_fetched_at <= p_at;
  if exists (select 1 from billing.payment_methods as m where m.organization_id = p_organization_id and m.is_default and m.detached_at is not null) then
    perform billing_private.set_default_card(p_organization_id, null);
  end if;
end
$$;
revoke all on function billing_private.drop_cards(uuid, timestamptz) from public;

-- Who calls: process_stripe_event for payment_method.*, the workers after a set-up, a detachment or a change of the default. Locks: the
-- organization. Raises: 503 busy. Returns the organization, or null when the method is not ours. Retry: safe, older readings are left alone.
create function billing_private.sync_payment_method(p_facts billing_private.payment_method_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_customer billing.customers;
  v_method billing.payment_methods;
begin
  if p_facts.stripe_customer_id is null then
    select m.organization_id into v_customer.organization_id from billing.payment_methods as m
    where m.stripe_payment_method_id = p_facts.stripe_payment_method_id;
  else
    select c.* into v_customer from billing.customers as c
    where c.stripe_customer_id = p_facts.stripe_customer_id and c.livemode = p_facts.livemode;
  end if;
  if not found then
    return null;
  end if;
  perform billing_private.lock_organization(v_customer.organization_id);
  insert into billing.payment_methods as m (
    organization_id, stripe_payment_method_id, type, brand, last4, exp_month, exp_year, detached_at, stripe_fetched_at
  ) values (
    v_customer.organization_id, p_facts.stripe_payment_method_id, p_facts.type, p_facts.brand, p_facts.last4, p_facts.exp_month, p_facts.exp_year,
    case when p_facts.stripe_customer_id is null then p_facts.fetched_at end, p_facts.fetched_at
  )
  on conflict (stripe_payment_method_id) do update set
    type = excluded.type, brand = coalesce(excluded.brand, m.brand), last4 = coalesce(excluded.last4, m.last4),
    exp_month = coalesce(excluded.exp_month, m.exp_month), exp_year = coalesce(excluded.exp_year, m.exp_year),
    detached_at = case when excluded.detached_at is not null then coalesce(m.detached_at, excluded.detached_at) end,
    stripe_fetched_at = excluded.stripe_fetched_at
  where m.organization_id = excluded.organization_id and (m.stripe_fetched_at is null or m.stripe_fetched_at <= excluded.stripe_fetched_at)
  returning m.* into v_method;
  if not found then
    return v_customer.organization_id;
  end if;
  if v_method.detached_at is not null and v_method.is_default then
    perform billing_private.set_default_card(v_method.organization_id, null);
  elsif v_method.detached_at is null and (
    v_customer.default_payment_method_id = v_method.stripe_payment_method_id or not exists (
      select 1 from billing.payment_methods as m where m.organization_id = v_method.organization_id and m.is_default
    )
  ) then
    perform billing_private.set_default_card(v_method.organization_id, v_method.id);
  end if;
  perform billing_private.announce(v_method.organization_id, 'money_changed', '{"table": "payment_methods"}');
  return v_method.organization_id;
end
$$;
revoke all on function billing_private.sync_payment_method(billing_private.payment_method_facts) from public;

-- Who calls: process_stripe_event for setup_intent.*: a card was saved, or could not be. As sync_payment_method.
create function billing_private.sync_setup_intent(p_facts billing_private.setup_intent_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id uuid;
begin
  select c.organization_id into v_organization_id from billing.customers as c
  where c.stripe_customer_id = p_facts.stripe_customer_id and c.livemode = p_facts.livemode;
  if not found then
    return null;
  end if;
  if p_facts.status = 'succeeded' and (p_facts.payment_method).stripe_payment_method_id is not null then
    perform billing_private.sync_payment_method(p_facts.payment_method);
  elsif p_facts.status = 'requires_payment_method' and p_facts.failure_code is not null then
    perform billing_private.notify_organization(
      v_organization_id, 'card_not_saved', 'warning', 'card_not_saved:' || p_facts.stripe_setup_intent_id, 'setup_intent',
      p_facts.stripe_setup_intent_id, jsonb_build_object('failure_code', p_facts.failure_code, 'failure_message', p_facts.failure_message));
  end if;
  return v_organization_id;
end
$$;
revoke all on function billing_private.sync_setup_intent(billing_private.setup_intent_facts) from public;

-- Who calls: the workers that save, remove or prefer a card, with what they have just read at Stripe. Raises: 404 not_found (not ours), 503 busy.
-- Retry: safe.
create function billing_private.record_payment_method(p_facts jsonb, p_make_default boolean)
returns billing.payment_methods
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_facts constant billing_private.payment_method_facts := jsonb_populate_record(null::billing_private.payment_method_facts, p_facts);
  v_organization_id constant uuid := billing_private.sync_payment_method(v_facts);
  v_method billing.payment_methods;
begin
  select m.* into v_method from billing.payment_methods as m
  where m.organization_id = v_organization_id and m.stripe_payment_method_id = v_facts.stripe_payment_method_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "payment_method"}');
  end if;
  if p_make_default and v_method.detached_at is null then
    perform billing_private.set_default_card(v_organization_id, v_method.id);
    update billing.customers as c set default_payment_method_id = v_method.stripe_payment_method_id, updated_at = now()
    where c.organization_id = v_organization_id and c.stripe_customer_id = v_facts.stripe_customer_id;
    select m.* into v_method from billing.payment_methods as m where m.organization_id = v_organization_id and m.id = v_method.id;
  end if;
  return v_method;
end
$$;
revoke all on function billing_private.record_payment_method(jsonb, boolean) from public;
grant execute on function billing_private.record_payment_method(jsonb, boolean) to service_role;

create function billing.record_payment_method(facts jsonb, make_default boolean default false)
returns billing.payment_methods
language sql
volatile
set search_path = ''
return billing_private.record_payment_method(facts, make_default);
revoke all on function billing.record_payment_method(jsonb, boolean) from public;
grant execute on function billing.record_payment_method(jsonb, boolean) to service_role;
comment on function billing.record_payment_method(jsonb, boolean) is
'Workers only: copies a payment method as Stripe has it, and makes it the one that is charged when nobody is there.';

-- Who calls: the workers, for the person that they have verified: a saved card of theirs, with the customer's id. Locks: nothing.
-- Raises: 403 not_authorized (the same for a foreign and an unknown organization), 404 not_found. Retry: safe, it only reads.
create function billing_private.find_payment_method(p_organization_id uuid, p_user_id uuid, p_payment_method_id uuid)
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_stripe_id text;
begin
  if billing_private.user_has_role(p_user_id, p_organization_id, '{owner,admin,billing}') is not true then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  select m.stripe_payment_method_id into v_stripe_id from billing.payment_methods as m
  where m.organization_id = p_organization_id and m.id = p_payment_method_id and m.detached_at is null;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "payment_method"}');
  end if;
  return v_stripe_id;
end
$$;
revoke all on function billing_private.find_payment_method(uuid, uuid, uuid) from public;
grant execute on function billing_private.find_payment_method(uuid, uuid, uuid) to service_role;

create function billing.find_payment_method(organization_id uuid, user_id uuid, payment_method_id uuid)
returns text
language sql
stable
set search_path = ''
return billing_private.find_payment_method(organization_id, user_id, payment_method_id);
revoke all on function billing.find_payment_method(uuid, uuid, uuid) from public;
grant execute on function billing.find_payment_method(uuid, uuid, uuid) to service_role;
comment on function billing.find_payment_method(uuid, uuid, uuid) is
'Workers only: Stripe''s id of a saved card, for a person who may manage the organization''s billing.';

-- Who calls: run_due_jobs. Tells, once a card and date, that the card which is charged when nobody is there ends within 30 days, and that it has
-- ended. A card is good to the end of its month.
create function billing_private.notify_expiring_cards(p_now timestamptz)
returns billing.job_result
language plpgsql
set search_path = ''
as $$
declare
  v_result billing.job_result := ('notify_expiring_cards', 0, 0);
  v_card record;
begin
  for v_card in
    select m.organization_id, m.id, m.brand, m.last4, m.exp_month, m.exp_year, e.ends_at <= p_now as has_ended
    from billing.payment_methods as m
    cross join lateral (select make_timestamptz(m.exp_year, m.exp_month, 1, 0, 0, 0, 'UTC') + interval '1 month' as ends_at) as e
    where m.is_default and m.detached_at is null and m.exp_year * 12 + m.exp_month
      <= extract(year from p_now at time zone 'UTC') * 12 + extract(month from p_now at time zone 'UTC') + 1
      and e.ends_at <= p_now + interval '30 days'
      and not exists (
        select 1 from billing.notifications as n
        where n.organization_id = m.organization_id
          and n.dedupe_key = format('card_%s:%s:%s-%s', case when e.ends_at <= p_now then 'expired' else 'expiring' end, m.id, m.exp_year, m.exp_month)
      )
    order by m.organization_id
  loop
    perform billing_private.notify_organization(
      v_card.organization_id, case when v_card.has_ended then 'card_expired' else 'card_expiring' end,
      case when v_card.has_ended then 'critical' else 'warning' end,
      format('card_%s:%s:%s-%s', case when v_card.has_ended then 'expired' else 'expiring' end, v_card.id, v_card.exp_year, v_card.exp_month),
      'payment_method', v_card.id::text,
      jsonb_build_object('brand', v_card.brand, 'last4', v_card.last4, 'exp_month', v_card.exp_month, 'exp_year', v_card.exp_year));
    v_result.processed := v_result.processed + 1;
  end loop;
  return v_result;
end
$$;
revoke all on function billing_private.notify_expiring_cards(timestamptz) from public;
create index payment_methods_default_ends on billing.payment_methods ((exp_year * 12 + exp_month)) where is_default and detached_at is null;
