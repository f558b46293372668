-- Plans and packs at Stripe: what the sync compares, and what happens when somebody archives a price or product there.

create type billing.catalogue_entry as (
  subject_type text,
  subject_id uuid,
  key text,
  name text,
  description text,
  is_active boolean,
  unit_amount bigint,
  currency text,
  billing_interval text,
  stripe_product_id text,
  stripe_price_id text
);
comment on type billing.catalogue_entry is 'A plan or pack that costs money, and what is known to stand for it at Stripe.';

-- Who calls: the worker sync_catalogue. Locks: nothing. Raises: nothing. Free plans are no business of Stripe's.
create function billing_private.list_catalogue(p_livemode boolean)
returns setof billing.catalogue_entry
language sql
stable
security definer
set search_path = ''
as $$
  select s.subject_type, s.subject_id, s.key, s.name, s.description, s.is_active, s.unit_amount, s.currency, s.billing_interval,
    c.stripe_product_id, c.stripe_price_id
  from (
    select 'plan' as subject_type, p.id as subject_id, p.key, p.name, p.description, p.is_active, p.unit_amount, p.currency, p.billing_interval,
      p.sort_order
    from billing.subscription_plans as p
    where p.unit_amount > 0
    union all
    select 'package', k.id, k.key, k.name, k.description, k.is_active, k.unit_amount, k.currency, null, k.sort_order
    from billing.credit_packages as k
  ) as s
  left join billing_private.stripe_catalogue as c
    on c.subject_type = s.subject_type and c.subject_id = s.subject_id and c.livemode = p_livemode
  order by s.subject_type desc, s.sort_order, s.key
$$;
revoke all on function billing_private.list_catalogue(boolean) from public;
grant execute on function billing_private.list_catalogue(boolean) to service_role;

create function billing.list_catalogue(livemode boolean)
returns setof billing.catalogue_entry
language sql
stable
set search_path = ''
as $$
  select * from billing_private.list_catalogue($1)
$$;
revoke all on function billing.list_catalogue(boolean) from public;
grant execute on function billing.list_catalogue(boolean) to service_role;
comment on function billing.list_catalogue(boolean) is
'Workers only: every plan and pack that costs money, on offer or not, with the Stripe product and price that stand for it.';

create type billing_private.catalogue_object_facts as (
  stripe_object_id text,
  object text,
  is_usable boolean,
  livemode boolean,
  fetched_at timestamptz
);
comment on type billing_private.catalogue_object_facts is 'What a worker read of a product or price: whether it can still be sold.';

-- Who calls: process_stripe_event for product.* and price.*. What cannot be sold any more is no longer used: the next checkout states its terms
-- itself, and the next sync makes or restores what is missing. Locks: the catalogue's row. Raises: nothing. Returns null: it concerns no
-- organization. Retry: safe.
create function billing_private.sync_catalogue_object(p_facts billing_private.catalogue_object_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_lost billing_private.stripe_catalogue;
begin
  if p_facts.is_usable then
    return null;
  end if;
  update billing_private.stripe_catalogue as c
  set
    stripe_price_id = null, updated_at = now(),
    stripe_product_id = case when p_facts.object = 'price' then c.stripe_product_id end
  where p_facts.stripe_object_id in (c.stripe_price_id, c.stripe_product_id)
  returning c.* into v_lost;
  if found and exists (
    select 1 from billing_private.list_catalogue(v_lost.livemode) as l
    where l.subject_type = v_lost.subject_type and l.subject_id = v_lost.subject_id and l.is_active
  ) then
    perform billing_private.alert_platform(
      'catalogue_drift', 'warning', format('catalogue_drift:%s:%s', v_lost.subject_type, v_lost.subject_id), v_lost.subject_type,
      v_lost.subject_id::text, null, jsonb_build_object('stripe_object_id', p_facts.stripe_object_id, 'object', p_facts.object));
  end if;
  return null;
end
$$;
revoke all on function billing_private.sync_catalogue_object(billing_private.catalogue_object_facts) from public;
