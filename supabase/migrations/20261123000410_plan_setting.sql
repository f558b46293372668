-- Setting plans from outside: what `tallybase plans push` calls, so that a catalogue can live in a file under review.

-- Makes the plan of this key, or edits it: what `terms` does not name stays as it is, or has the column's default in a new plan. The service only.
-- Locks the plan's row. An edit keeps the earlier version (subscription_plans_keep_version), so periods that have begun are granted on the terms
-- they began with; the same call again changes nothing. Prices at Stripe follow by sync_catalogue. Raises 422 invalid_argument.
create function billing_private.set_subscription_plan(p_key text, p_terms jsonb)
returns billing.subscription_plans
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_plan billing.subscription_plans;
  v_said text;
begin
  perform billing_private.require_service();
  if p_key is null or p_key !~ '^[a-z][a-z0-9_]{0,62}$' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "key"}', 'lower-case letters, digits and underscores');
  end if;
  if jsonb_typeof(p_terms) is distinct from 'object' or exists (
    select 1 from jsonb_object_keys(p_terms) as k (name) where k.name not in (
      'name', 'description', 'unit_amount', 'currency', 'billing_interval', 'credits_per_period', 'rollover_cap', 'rollover_share',
      'credit_expiry', 'trial_days', 'trial_credits', 'grace_days', 'features', 'is_active', 'sort_order')
  ) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "terms"}', 'an object of the plan''s columns');
  end if;
  select p.* into v_plan from billing.subscription_plans as p where p.key = p_key for update;
  if not found then
    v_plan := jsonb_populate_record(null::billing.subscription_plans, jsonb_build_object(
      'id', gen_random_uuid(), 'key', p_key, 'description', '', 'currency', 'usd', 'billing_interval', 'month', 'trial_days', 0,
      'trial_credits', 0, 'grace_days', 3, 'features', '{}'::jsonb, 'is_active', true, 'sort_order', 0, 'created_at', clock_timestamp()));
  end if;
  begin
    v_plan := jsonb_populate_record(v_plan, p_terms);
    insert into billing.subscription_plans as p (
      id, key, name, description, unit_amount, currency, billing_interval, credits_per_period, rollover_cap, rollover_share, credit_expiry,
      trial_days, trial_credits, grace_days, features, is_active, sort_order, created_at
    ) values (
      v_plan.id, v_plan.key, v_plan.name, v_plan.description, v_plan.unit_amount, v_plan.currency, v_plan.billing_interval,
      v_plan.credits_per_period, v_plan.rollover_cap, v_plan.rollover_share, v_plan.credit_expiry, v_plan.trial_days, v_plan.trial_credits,
      v_plan.grace_days, v_plan.features, v_plan.is_active, v_plan.sort_order, v_plan.created_at
    )
    on conflict (key) do update
    set name = excluded.name, description = excluded.description, unit_amount = excluded.unit_amount, currency = excluded.currency,
      billing_interval = excluded.billing_interval, credits_per_period = excluded.credits_per_period, rollover_cap = excluded.rollover_cap,
      rollover_share = excluded.rollover_share, credit_expiry = excluded.credit_expiry, trial_days = excluded.trial_days,
      trial_credits = excluded.trial_credits, grace_days = excluded.grace_days, features = excluded.features, is_active = excluded.is_active,
      sort_order = excluded.sort_order
    returning p.* into v_plan;
  exception
    when check_violation or not_null_violation or invalid_text_representation or numeric_value_out_of_range or invalid_datetime_format then
      get stacked diagnostics v_said = message_text;
      perform billing_private.fail(422, 'invalid_argument', '{"argument": "terms"}', v_said);
  end;
  return v_plan;
end
$$;
revoke all on function billing_private.set_subscription_plan(text, jsonb) from public;
grant execute on function billing_private.set_subscription_plan(text, jsonb) to service_role;

create function billing.set_subscription_plan(key text, terms jsonb)
returns billing.subscription_plans
language sql
volatile
set search_path = ''
return billing_private.set_subscription_plan(key, terms);
revoke all on function billing.set_subscription_plan(text, jsonb) from public;
grant execute on function billing.set_subscription_plan(text, jsonb) to service_role;
comment on function billing.set_subscription_plan(text, jsonb) is
'The service: makes the plan of this key or edits it. terms: an object of the plan''s columns; what it does not name stays. Begun periods keep theirs.';
