-- Invoices: our copy, the payment behind each, and the credits that its lines paid for.
--
-- A paid line is landed once (subscription_lines), in the order of payment. What it grants depends on what was paid before it, never on which event
-- came first: credits for the line's period; for a change within a period, the difference to the best plan already paid for, over the time that is
-- left (so one period never grants more than its best plan); and where the unused time of a cut-short period was credited in money, the new
-- period's credits less what was used of the old one's.

create table billing_private.subscription_lines (
  organization_id uuid not null,
  stripe_line_id text not null,
  subscription_id uuid not null,
  stripe_invoice_id text not null,
  landed_order bigint not null generated always as identity,
  kind text not null,
  plan_id uuid not null,
  credits billing.credit_amount not null,
  carried_usage billing.credit_amount not null default 0,
  granted billing.credit_amount not null default 0,
  grant_id uuid,
  amount bigint not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  paid_at timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint subscription_lines_pkey primary key (organization_id, stripe_line_id),
  constraint subscription_lines_kind_known check (kind in ('period', 'upgrade', 'credit', 'trial')),
  constraint subscription_lines_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create index subscription_lines_periods on billing_private.subscription_lines (organization_id, subscription_id, period_start);
create index subscription_lines_invoice on billing_private.subscription_lines (organization_id, stripe_invoice_id);
alter table billing_private.subscription_lines enable row level security;
revoke all on table billing_private.subscription_lines from public, anon, authenticated, service_role;
comment on table billing_private.subscription_lines is 'Every paid line of a plan, and what it granted.';
comment on column billing_private.subscription_lines.organization_id is 'The tenant.';
comment on column billing_private.subscription_lines.stripe_line_id is 'Stripe''s id (il_…); the reference of the grant.';
comment on column billing_private.subscription_lines.subscription_id is 'Our subscriptions row.';
comment on column billing_private.subscription_lines.stripe_invoice_id is 'Stripe''s id (in_…) of its invoice.';
comment on column billing_private.subscription_lines.landed_order is 'The order in which lines landed.';
comment on column billing_private.subscription_lines.kind is
'period: a whole period. upgrade: a change within one. credit: unused time given back. trial: a period that costs nothing.';
comment on column billing_private.subscription_lines.plan_id is 'The plan of its price.';
comment on column billing_private.subscription_lines.credits is 'What the plan grants for a whole period, times the quantity.';
comment on column billing_private.subscription_lines.carried_usage is 'Usage of the period that this one cut short, counted against it.';
comment on column billing_private.subscription_lines.granted is 'What was granted for this line.';
comment on column billing_private.subscription_lines.grant_id is 'The grant; null: nothing was granted.';
comment on column billing_private.subscription_lines.amount is 'What was paid for it without tax, in the smallest unit; negative: given back.';
comment on column billing_private.subscription_lines.period_start is 'First instant of what was paid for.';
comment on column billing_private.subscription_lines.period_end is 'First instant after it.';
comment on column billing_private.subscription_lines.paid_at is 'When its invoice was paid.';
comment on column billing_private.subscription_lines.created_at is 'When it landed.';

-- Our copy of an invoice. Older readings change nothing; what is paid or void stays so. Under the lock.
create function billing_private.put_invoice(p_organization_id uuid, p_facts billing_private.invoice_facts)
returns void
language sql
set search_path = ''
as $$
  insert into billing.invoices as i (
    organization_id, stripe_invoice_id, stripe_subscription_id, number, status, billing_reason, currency, amount_due, amount_paid,
    amount_remaining, total, hosted_invoice_url, invoice_pdf, period_start, period_end, due_date, finalized_at, paid_at, livemode,
    stripe_fetched_at, created_at
  )
  values (
    p_organization_id, p_facts.stripe_invoice_id, p_facts.stripe_subscription_id, p_facts.number, p_facts.status, p_facts.billing_reason,
    p_facts.currency, p_facts.amount_due, p_facts.amount_paid, p_facts.amount_remaining, p_facts.total, p_facts.hosted_invoice_url,
    p_facts.invoice_pdf, p_facts.period_start, p_facts.period_end, p_facts.due_date, p_facts.finalized_at, p_facts.paid_at, p_facts.livemode,
    p_facts.fetched_at, p_facts.made_at
  )
  on conflict (stripe_invoice_id) do update set
    number = excluded.number, status = excluded.status, amount_due = excluded.amount_due, amount_paid = excluded.amount_paid,
    amount_remaining = excluded.amount_remaining, total = excluded.total, hosted_invoice_url = excluded.hosted_invoice_url,
    invoice_pdf = excluded.invoice_pdf, period_start = excluded.period_start, period_end = excluded.period_end,
    due_date = excluded.due_date, finalized_at = excluded.finalized_at, paid_at = excluded.paid_at,
    stripe_fetched_at = excluded.stripe_fetched_at, updated_at = now()
  where i.stripe_fetched_at <= excluded.stripe_fetched_at and (i.status not in ('paid', 'void') or excluded.status = i.status)
$$;
revoke all on function billing_private.put_invoice(uuid, billing_private.invoice_facts) from public;

-- The payment of an invoice: one row, from the first attempt to the last. A paid payment never becomes unpaid. An invoice that cost nothing, or
-- that nobody has tried to pay, has none. Under the lock, after its lines have landed.
create function billing_private.put_invoice_payment(p_organization_id uuid, p_facts billing_private.invoice_facts)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_payment constant billing_private.payment_facts := p_facts.payment;
  v_status constant text := case
    when p_facts.status = 'paid' and p_facts.amount_paid > 0 then 'succeeded'
    when p_facts.status = 'paid' or v_payment.stripe_payment_intent_id is null then null
    when v_payment.status in ('requires_action', 'processing', 'canceled') then v_payment.status
    when v_payment.failure_code is not null then 'failed'
  end;
  v_payment_id uuid;
begin
  if v_status is null then
    return;
  end if;
  insert into billing.payments as p (
    organization_id, kind, status, amount, currency, credits, grant_id, stripe_payment_intent_id, stripe_charge_id, stripe_invoice_id,
    description, card_brand, card_last4, receipt_url, failure_code, failure_message, livemode, paid_at, stripe_fetched_at
  )
  select
    p_organization_id, 'subscription', v_status, case v_status when 'succeeded' then p_facts.amount_paid else p_facts.amount_due end,
    p_facts.currency, sum(l.granted), (array_agg(l.grant_id order by l.landed_order) filter (where l.grant_id is not null))[1],
    coalesce(v_payment.stripe_payment_intent_id, p_facts.stripe_payment_intent_id), v_payment.stripe_charge_id, p_facts.stripe_invoice_id,
    coalesce(max(n.name), ''), v_payment.card_brand, v_payment.card_last4, v_payment.receipt_url,
    case when v_status <> 'succeeded' then v_payment.failure_code end, case when v_status <> 'succeeded' then v_payment.failure_message end,
    p_facts.livemode, case v_status when 'succeeded' then p_facts.paid_at end, p_facts.fetched_at
  from (select 1) as one
  left join billing_private.subscription_lines as l
    on l.organization_id = p_organization_id and l.stripe_invoice_id = p_facts.stripe_invoice_id and l.kind <> 'credit'
  left join billing.subscription_plans as n on n.id = l.plan_id
  on conflict (stripe_invoice_id) do update set
    status = case when p.paid_at is null then excluded.status else p.status end,
    amount = excluded.amount, credits = excluded.credits, grant_id = excluded.grant_id,
    description = excluded.description,
    stripe_payment_intent_id = coalesce(excluded.stripe_payment_intent_id, p.stripe_payment_intent_id),
    stripe_charge_id = coalesce(excluded.stripe_charge_id, p.stripe_charge_id),
    card_brand = coalesce(excluded.card_brand, p.card_brand), card_last4 = coalesce(excluded.card_last4, p.card_last4),
    receipt_url = coalesce(excluded.receipt_url, p.receipt_url),
    failure_code = excluded.failure_code, failure_message = excluded.failure_message,
    paid_at = coalesce(p.paid_at, excluded.paid_at),
    stripe_fetched_at = greatest(p.stripe_fetched_at, excluded.stripe_fetched_at), updated_at = now()
  where excluded.status = 'succeeded' or (p.paid_at is null and p.stripe_fetched_at <= excluded.stripe_fetched_at)
  returning p.id into v_payment_id;

  if v_payment_id is not null and v_status = 'succeeded' then
    perform billing_private.payment_landed(p_organization_id, v_payment_id);
  elsif v_payment_id is not null and v_status = 'failed' then
    perform billing_private.notify_organization(
      p_organization_id, 'payment_failed', 'warning', 'payment_failed:' || v_payment_id::text, 'payment', v_payment_id::text,
      jsonb_build_object('amount', p_facts.amount_due, 'currency', p_facts.currency, 'failure_code', v_payment.failure_code,
        'failure_message', v_payment.failure_message, 'hosted_invoice_url', p_facts.hosted_invoice_url)
    );
  end if;
end
$$;
revoke all on function billing_private.put_invoice_payment(uuid, billing_private.invoice_facts) from public;

-- Which grants a payment made, and how much: a pack's one, or those of all lines of an invoice. For reversals, which take back from these alone.
create function billing_private.payment_grants(p_organization_id uuid, p_payment_id uuid)
returns table (grant_id uuid, granted numeric)
language sql
stable
set search_path = ''
as $$
  select l.grant_id, l.granted::numeric
  from billing.payments as p
  inner join billing_private.subscription_lines as l
    on l.organization_id = p.organization_id and l.stripe_invoice_id = p.stripe_invoice_id and l.grant_id is not null and l.kind <> 'trial'
  where p.organization_id = p_organization_id and p.id = p_payment_id
  union all
  select p.grant_id, p.credits::numeric
  from billing.payments as p
  where p.organization_id = p_organization_id and p.id = p_payment_id and p.stripe_invoice_id is null and p.grant_id is not null
$$;
revoke all on function billing_private.payment_grants(uuid, uuid) from public;

-- Lands what was read of a subscription's invoices: copies, paid lines in the order of payment, payments. Returns the subscription, with the time
-- since which it owes. An invoice that is known to be paid has landed already. Under the lock.
create function billing_private.land_invoices(
  p_subscription billing.subscriptions, p_invoices billing_private.invoice_facts[], p_card_fingerprint text
)
returns billing.subscriptions
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id constant uuid := p_subscription.organization_id;
  v_read record;
  v_invoice billing_private.invoice_facts;
  v_index integer;
begin
  for v_read in
    select i.ordinality as place, i.payment, i.stripe_invoice_id, i.status
    from unnest(p_invoices) with ordinality as i
    order by i.paid_at nulls last, i.made_at, i.ordinality
  loop
    continue when v_read.payment is null and exists (
      select 1 from billing.invoices as k where k.stripe_invoice_id = v_read.stripe_invoice_id and k.status = 'paid'
    );
    v_invoice := p_invoices[v_read.place];
    perform billing_private.put_invoice(v_organization_id, v_invoice);
    if v_invoice.status = 'paid' then
      for v_index in
        select l.ordinality from unnest(v_invoice.lines) with ordinality as l
        order by l.is_proration, l.amount, l.period_start, l.ordinality
      loop
        perform billing_private.land_line(p_subscription, v_invoice, v_invoice.lines[v_index], p_card_fingerprint);
      end loop;
    end if;
    perform billing_private.put_invoice_payment(v_organization_id, v_invoice);
  end loop;

  update billing.subscriptions as s
  set past_due_since = case when s.status in ('past_due', 'unpaid') then coalesce((
      select min(i.created_at) from billing.invoices as i
      where i.organization_id = v_organization_id and i.stripe_subscription_id = s.stripe_subscription_id
        and i.status in ('open', 'uncollectible') and i.amount_remaining > 0
    ), s.current_period_start) end
  where s.organization_id = v_organization_id and s.id = p_subscription.id
  returning s.* into p_subscription;
  return p_subscription;
end
$$;
revoke all on function billing_private.land_invoices(billing.subscriptions, billing_private.invoice_facts[], text) from public;

-- An invoice that belongs to no subscription: copied, and nothing else. Returns the organization, or null when it is not ours.
-- Locks: the organization. Retry: safe.
create function billing_private.sync_invoice(p_facts billing_private.invoice_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id constant uuid := billing_private.organization_of_subscription(
    null, p_facts.stripe_customer_id, null, p_facts.livemode
  );
begin
  if v_organization_id is not null then
    perform billing_private.lock_organization(v_organization_id);
    perform billing_private.put_invoice(v_organization_id, p_facts);
    perform billing_private.announce(v_organization_id, 'money_changed', '{"table": "invoices"}');
  end if;
  return v_organization_id;
end
$$;
revoke all on function billing_private.sync_invoice(billing_private.invoice_facts) from public;
