-- Disputes: what a bank takes back, and what an organization may not do meanwhile.
--
-- Credits follow the money (20261123001730): what a dispute has withdrawn and not given back counts as reversed. An inquiry (warning_…) and a
-- prevented dispute move no money and so no credits; they are only told. The restriction follows the dispute's state:
--   open (needs_response, under_review, an appeal): spending is restricted for the reason `dispute`, automatic top-up rests.
--   won, or no dispute after all: lifted.
--   lost: lifted as soon as the balance is not below 0, that is when what was spent and charged back is paid for; automatic top-up is switched
--     off, and on again only by a new consent.
-- A dispute that has stopped restricting never begins again by itself, unless the bank opens it again.

create table billing.disputes (
  organization_id uuid not null,
  stripe_dispute_id text not null,
  stripe_payment_intent_id text not null,
  amount bigint not null,
  withdrawn bigint not null,
  currency text not null,
  status text not null,
  reason text,
  is_inquiry boolean not null generated always as (status like 'warning\_%' or status = 'prevented') stored,
  restricts boolean not null,
  evidence_due_by timestamptz,
  livemode boolean not null default false,
  created_at timestamptz not null,
  stripe_fetched_at timestamptz not null,
  constraint disputes_pkey primary key (organization_id, stripe_dispute_id),
  constraint disputes_amounts_not_negative check (amount >= 0 and withdrawn >= 0),
  constraint disputes_organization_fkey foreign key (organization_id) references billing.organizations (organization_id)
);
create unique index disputes_stripe_dispute_id_unique on billing.disputes (stripe_dispute_id);
create index disputes_newest on billing.disputes (organization_id, created_at desc);
create index disputes_restricting on billing.disputes (organization_id) where restricts;
comment on table billing.disputes is 'Disputes of payments, as they stand at Stripe. Amounts are in the smallest unit of the currency.';
comment on column billing.disputes.organization_id is 'The tenant.';
comment on column billing.disputes.stripe_dispute_id is 'Stripe''s id (du_… or dp_…).';
comment on column billing.disputes.stripe_payment_intent_id is 'Stripe''s id (pi_…) of the payment; see payments.stripe_payment_intent_id.';
comment on column billing.disputes.amount is 'What is disputed.';
comment on column billing.disputes.withdrawn is 'What the bank has taken and not given back; 0: an inquiry, or won.';
comment on column billing.disputes.currency is 'ISO 4217 code in lower case.';
comment on column billing.disputes.status is 'Stripe''s status, such as needs_response, under_review, won or lost.';
comment on column billing.disputes.reason is 'Stripe''s reason, such as fraudulent.';
comment on column billing.disputes.is_inquiry is 'Whether the bank only asks, or was kept from asking: no money has moved.';
comment on column billing.disputes.restricts is 'Whether the organization may not spend because of it.';
comment on column billing.disputes.evidence_due_by is 'Until when evidence counts; null: no date.';
comment on column billing.disputes.livemode is 'Whether it is real money (Stripe''s live mode).';
comment on column billing.disputes.created_at is 'When it was made at Stripe.';
comment on column billing.disputes.stripe_fetched_at is 'When this copy was read at Stripe; an older reading never overwrites a newer one.';
alter table billing.disputes enable row level security;
revoke all on table billing.disputes from public, anon, authenticated, service_role;
grant select on table billing.disputes to authenticated, service_role;
create policy disputes_read_as_billing on billing.disputes for select to authenticated
using (organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}'))));

-- Whether a dispute in this state is being decided. An inquiry is none.
create function billing_private.is_open_dispute(p_status text)
returns boolean
language sql
immutable
set search_path = ''
return p_status in ('needs_response', 'under_review', 'appeal_needs_response', 'appeal_under_review');
revoke all on function billing_private.is_open_dispute(text) from public;

-- What people are told when a dispute comes to a state, and how loudly; null: nothing.
create function billing_private.dispute_news(p_status text)
returns text
language sql
immutable
set search_path = ''
return case
  when p_status like 'appeal\_%' then 'dispute_reopened'
  when billing_private.is_open_dispute(p_status) then 'dispute_opened'
  when p_status = 'won' then 'dispute_won'
  when p_status = 'lost' then 'dispute_lost'
  when p_status in ('warning_needs_response', 'warning_under_review') then 'dispute_inquiry'
end;
revoke all on function billing_private.dispute_news(text) from public;

-- Our copies of a charge's disputes, from facts [{id, amount, withdrawn, status, reason, evidence_due_by, created_at}]. Under the lock.
create function billing_private.put_disputes(p_organization_id uuid, p_facts billing_private.reversal_facts)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_dispute record;
  v_before text;
begin
  for v_dispute in
    select d.* from jsonb_to_recordset(p_facts.disputes)
    as d (id text, amount bigint, withdrawn bigint, status text, reason text, evidence_due_by timestamptz, created_at timestamptz)
  loop
    select d.status into v_before from billing.disputes as d
    where d.organization_id = p_organization_id and d.stripe_dispute_id = v_dispute.id;
    insert into billing.disputes as d (
      organization_id, stripe_dispute_id, stripe_payment_intent_id, amount, withdrawn, currency, status, reason, restricts, evidence_due_by,
      livemode, created_at, stripe_fetched_at
    ) values (
      p_organization_id, v_dispute.id, p_facts.stripe_payment_intent_id, v_dispute.amount, v_dispute.withdrawn, p_facts.currency,
      v_dispute.status, v_dispute.reason, billing_private.is_open_dispute(v_dispute.status) or v_dispute.status = 'lost',
      v_dispute.evidence_due_by, p_facts.livemode, v_dispute.created_at, p_facts.fetched_at
    )
    on conflict (organization_id, stripe_dispute_id) do update set
      amount = excluded.amount, withdrawn = excluded.withdrawn, status = excluded.status, reason = excluded.reason,
      restricts = excluded.restricts and (d.restricts or d.status <> excluded.status),
      evidence_due_by = excluded.evidence_due_by, stripe_fetched_at = excluded.stripe_fetched_at;
    if v_dispute.status = 'lost' and v_before is distinct from 'lost' then
      update billing.auto_topups as a set is_enabled = false, paused_reason = 'dispute', updated_at = now()
      where a.organization_id = p_organization_id and a.is_enabled;
    end if;
    if v_before is distinct from v_dispute.status then
      perform billing_private.tell_of_dispute(p_organization_id, v_dispute.id, v_dispute.status, jsonb_build_object(
        'amount', v_dispute.amount, 'currency', p_facts.currency, 'reason', v_dispute.reason, 'evidence_due_by', v_dispute.evidence_due_by));
    end if;
  end loop;
end
$$;
revoke all on function billing_private.put_disputes(uuid, billing_private.reversal_facts) from public;

-- Tells the organization of a dispute's new state; the platform, which has to answer it, of those that are open.
create function billing_private.tell_of_dispute(p_organization_id uuid, p_dispute_id text, p_status text, p_details jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_kind constant text := billing_private.dispute_news(p_status);
begin
  if v_kind is null then
    return;
  end if;
  perform billing_private.notify_organization(
    p_organization_id, v_kind,
    case when v_kind in ('dispute_opened', 'dispute_reopened', 'dispute_lost') then 'critical' when v_kind = 'dispute_won' then 'info' else 'warning' end,
    v_kind || ':' || p_dispute_id, 'dispute', p_dispute_id, p_details);
  if v_kind in ('dispute_opened', 'dispute_reopened', 'dispute_inquiry') then
    perform billing_private.alert_platform(
      v_kind, case v_kind when 'dispute_inquiry' then 'warning' else 'critical' end, v_kind || ':' || p_dispute_id, 'dispute', p_dispute_id,
      p_organization_id, p_details);
  end if;
end
$$;
revoke all on function billing_private.tell_of_dispute(uuid, text, text, jsonb) from public;

-- Brings the restriction and the rest of automatic top-up in line with the organization's disputes. Called after every change of a dispute or
-- of the balance by a payment. Under the organization's lock. Idempotent.
create function billing_private.review_disputes(p_organization_id uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_is_open boolean;
begin
  if not exists (select 1 from billing.disputes as d where d.organization_id = p_organization_id) then
    return;
  end if;
  if (billing_private.ledger_tail(p_organization_id)).balance_after >= 0 then
    update billing.disputes as d set restricts = false
    where d.organization_id = p_organization_id and d.restricts and d.status = 'lost';
  end if;
  if exists (select 1 from billing.disputes as d where d.organization_id = p_organization_id and d.restricts) then
    perform billing_private.set_restriction(p_organization_id, 'dispute', null);
  else
    perform billing_private.lift_restriction(p_organization_id, 'dispute');
  end if;
  v_is_open := exists (
    select 1 from billing.disputes as d
    where d.organization_id = p_organization_id and billing_private.is_open_dispute(d.status)
  );
  update billing.auto_topups as a set paused_reason = case when v_is_open then 'dispute' end, updated_at = now()
  where a.organization_id = p_organization_id and a.is_enabled
    and case when v_is_open then a.paused_reason is distinct from 'dispute' else a.paused_reason = 'dispute' end;
end
$$;
revoke all on function billing_private.review_disputes(uuid) from public;

-- Early fraud warnings: a card network says that a charge is probably fraudulent. Nothing is taken back; automatic top-up rests until a person
-- switches it on again, and the platform is told, which may refund before a dispute comes.
create type billing_private.fraud_warning_facts as (
  stripe_warning_id text,
  stripe_charge_id text,
  stripe_payment_intent_id text,
  stripe_customer_id text,
  fraud_type text,
  is_actionable boolean,
  amount bigint,
  currency text,
  livemode boolean,
  created_at timestamptz,
  fetched_at timestamptz
);
comment on type billing_private.fraud_warning_facts is 'What a worker read of an early fraud warning and its charge.';

-- Who calls: process_stripe_event. Locks: the automatic top-up's row. Returns the organization, or null when the charge is not ours.
-- Retry: safe, the same warning is told once; a consent given after it stands.
create function billing_private.sync_fraud_warning(p_facts billing_private.fraud_warning_facts)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id uuid;
begin
  select c.organization_id into v_organization_id from billing.customers as c
  where c.stripe_customer_id = p_facts.stripe_customer_id and c.livemode = p_facts.livemode;
  if not found or not p_facts.is_actionable then
    return v_organization_id;
  end if;
  perform billing_private.alert_platform(
    'fraud_warning', 'critical', 'fraud_warning:' || p_facts.stripe_warning_id, 'payment', p_facts.stripe_payment_intent_id, v_organization_id,
    jsonb_build_object(
      'stripe_charge_id', p_facts.stripe_charge_id, 'fraud_type', p_facts.fraud_type, 'amount', p_facts.amount, 'currency', p_facts.currency));
  update billing.auto_topups as a set paused_reason = 'fraud_warning', updated_at = now()
  where a.organization_id = v_organization_id and a.is_enabled and a.paused_reason is distinct from 'dispute'
    and a.consented_at <= p_facts.created_at;
  return v_organization_id;
end
$$;
revoke all on function billing_private.sync_fraud_warning(billing_private.fraud_warning_facts) from public;
