-- What people see of the ledger: policies and views. Owner, admin and billing see their organization's ledger; a member sees the consumptions
-- that are their own or their department's. Agents see none of these tables: they have receipts, check_credits and get_credit_balance.

grant select on table billing.credit_transactions to authenticated, service_role;
create policy credit_transactions_read on billing.credit_transactions for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
  or (
    organization_id = any(array(select billing_private.my_organization_ids('{member}')))
    and kind in ('consume', 'refund')
    and (
      user_id = (select billing_private.current_user_id())
      or department_id = any(array(select billing_private.my_department_ids()))
    )
  )
);

grant select on table billing_private.credit_grant_lots to authenticated, service_role;
create policy credit_grants_read on billing_private.credit_grant_lots for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
);

-- The grants that what has fallen due and is not booked yet changes or brings, as they will be, in the organizations of which the caller may see
-- grants. Between two runs of the jobs there are none or few.
create function billing_private.due_grants()
returns setof billing_private.credit_grant_lots
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_organization_ids uuid[];
  v_organization record;
  v_tail billing.credit_transactions;
begin
  if billing_private.caller_is_service() then
    v_organization_ids := array(select d.organization_id from billing_private.organizations_due(clock_timestamp()) as d);
  else
    v_organization_ids := array(select billing_private.my_organization_ids('{owner,admin,billing}'));
  end if;
  for v_organization in
    select o.organization_id, o.test_clock from billing.organizations as o where o.organization_id = any(v_organization_ids)
  loop
    v_tail := billing_private.ledger_tail(v_organization.organization_id);
    return query
    select l.* from unnest((billing_private.wallet_at(
      v_tail, greatest(billing_private.ledger_now(v_organization.test_clock), v_tail.created_at))).lots) as l;
  end loop;
end
$$;
revoke all on function billing_private.due_grants() from public;
grant execute on function billing_private.due_grants() to authenticated, service_role;

-- Right at every instant: the grant being burnt has its figure in the ledger's last entry, those that something due concerns come from
-- due_grants(), all others from their own row.
create view billing.credit_grants with (security_invoker = true) as
with due as materialized (
  select d.* from billing_private.due_grants() as d
)
select
  g.organization_id,
  g.id,
  g.source,
  g.source_reference,
  g.amount::numeric as amount,
  case when g.id = t.head_grant_id then g.held::numeric + t.head_available::numeric else g.remaining::numeric end as remaining,
  g.held::numeric as held,
  g.priority,
  g.department_id,
  g.agent_types,
  g.unit_cost::numeric as unit_cost,
  g.currency,
  g.effective_at,
  nullif(g.expires_at, 'infinity') as expires_at,
  g.activated_at,
  g.is_open,
  g.closed_reason,
  g.parent_grant_id,
  g.transaction_id,
  g.metadata,
  g.created_at,
  g.subscription_id,
  g.period_start,
  g.period_ends_at,
  g.rollover_cap::numeric as rollover_cap
from billing_private.credit_grant_lots as g
left join lateral (
  select l.head_grant_id, l.head_available
  from billing.credit_transactions as l
  where l.organization_id = g.organization_id
  order by l.sequence desc
  limit 1
) as t on true
where not exists (select 1 from due as d where d.organization_id = g.organization_id and d.id = g.id)
union all
select
  g.organization_id,
  g.id,
  g.source,
  g.source_reference,
  g.amount::numeric as amount,
  g.remaining::numeric as remaining,
  g.held::numeric as held,
  g.priority,
  g.department_id,
  g.agent_types,
  g.unit_cost::numeric as unit_cost,
  g.currency,
  g.effective_at,
  nullif(g.expires_at, 'infinity') as expires_at,
  g.activated_at,
  g.is_open,
  g.closed_reason,
  g.parent_grant_id,
  g.transaction_id,
  g.metadata,
  g.created_at,
  g.subscription_id,
  g.period_start,
  g.period_ends_at,
  g.rollover_cap::numeric as rollover_cap
from due as g;
revoke all on table billing.credit_grants from public, anon, authenticated, service_role;
grant select on table billing.credit_grants to authenticated, service_role;
comment on view billing.credit_grants is
'Grants (lots) of credits with what is left of each. Owner, admin, billing. remaining includes what open holds have claimed (held).';
comment on column billing.credit_grants.organization_id is 'The tenant.';
comment on column billing.credit_grants.id is 'The grant''s id.';
comment on column billing.credit_grants.source is 'Where the credits come from; see the check constraint for the words.';
comment on column billing.credit_grants.source_reference is 'What the source calls it; the same one is granted once.';
comment on column billing.credit_grants.amount is 'Credits granted.';
comment on column billing.credit_grants.remaining is 'Credits left now, including what open holds have claimed.';
comment on column billing.credit_grants.held is 'What open holds have claimed of it.';
comment on column billing.credit_grants.priority is 'Lower is spent first; 100 by default.';
comment on column billing.credit_grants.department_id is 'The only department that may spend it; null: all.';
comment on column billing.credit_grants.agent_types is 'The only agent types for which it may be spent; null: all.';
comment on column billing.credit_grants.unit_cost is 'Money paid for one credit, in the smallest unit of the currency; 0: given.';
comment on column billing.credit_grants.currency is 'Currency of unit_cost; null for given credits.';
comment on column billing.credit_grants.effective_at is 'First instant at which it can be spent.';
comment on column billing.credit_grants.expires_at is 'First instant at which it no longer can be spent; null: never.';
comment on column billing.credit_grants.activated_at is 'When its `grant` entry was dated; null: still to come.';
comment on column billing.credit_grants.is_open is 'Whether something is, or will be, left to spend or to expire.';
comment on column billing.credit_grants.closed_reason is 'Why nothing is left: spent, expired, debt_repaid and so on; null: open.';
comment on column billing.credit_grants.parent_grant_id is 'The grant from which this one was split or rolled over.';
comment on column billing.credit_grants.transaction_id is 'The entry that booked it: `grant`, or `schedule` when it was still to come.';
comment on column billing.credit_grants.metadata is 'The granter''s own object, at most 8 kB.';
comment on column billing.credit_grants.created_at is 'When it was granted, in the organization''s time.';
comment on column billing.credit_grants.subscription_id is 'The subscription for a period of which it was granted; null: none.';
comment on column billing.credit_grants.period_start is 'First instant of the period for which it was granted; null: none.';
comment on column billing.credit_grants.period_ends_at is
'End of its period: the renewal ends it then; expires_at adds the grace in which the renewal arrives. Null: it lives by expires_at alone.';
comment on column billing.credit_grants.rollover_cap is 'At most so much of it rolls over into the next period; null: nothing does.';

create view billing.credit_usage with (security_invoker = true) as
select
  t.organization_id,
  t.id as transaction_id,
  t.sequence,
  t.created_at,
  t.agent_type,
  t.action,
  -t.amount::numeric as amount,
  t.balance_after::numeric as balance_after,
  t.requested_amount,
  t.quantities,
  t.price_ids,
  t.department_id,
  t.user_id,
  t.agent_key_id,
  t.run_id,
  t.hold_id,
  t.metadata ->> 'model' as model,
  t.idempotency_key,
  coalesce(t.limits, '[]') as limits,
  coalesce(t.metadata, '{}') as metadata
from billing.credit_transactions as t
where t.kind = 'consume';
revoke all on table billing.credit_usage from public, anon, authenticated, service_role;
grant select on table billing.credit_usage to authenticated, service_role;
comment on view billing.credit_usage is
'Consumptions in full detail: the same rows as credit_transactions of kind `consume`, with amounts positive. explain_transaction tells price and grants.';
comment on column billing.credit_usage.organization_id is 'The tenant.';
comment on column billing.credit_usage.transaction_id is 'The ledger entry; explain_transaction answers its receipt.';
comment on column billing.credit_usage.sequence is 'Place in the organization''s ledger.';
comment on column billing.credit_usage.created_at is 'When it counts, in the organization''s time.';
comment on column billing.credit_usage.agent_type is 'The kind of agent.';
comment on column billing.credit_usage.action is 'What it did.';
comment on column billing.credit_usage.amount is 'Credits charged.';
comment on column billing.credit_usage.balance_after is 'The organization''s balance after it.';
comment on column billing.credit_usage.requested_amount is 'The amount that the caller named, for caller-priced actions; else null.';
comment on column billing.credit_usage.quantities is 'What the caller counted, by metric; null: only the implied call.';
comment on column billing.credit_usage.price_ids is 'The price rows (agent_action_costs.id) that were applied.';
comment on column billing.credit_usage.department_id is 'The department charged; null: none.';
comment on column billing.credit_usage.user_id is 'The member who spent; null: an agent or the service.';
comment on column billing.credit_usage.agent_key_id is 'The agent key that spent; null: a member or the service.';
comment on column billing.credit_usage.run_id is 'The run to which the caller counts it.';
comment on column billing.credit_usage.hold_id is 'The hold that was captured, if it was one.';
comment on column billing.credit_usage.model is 'metadata.model, for grouping.';
comment on column billing.credit_usage.idempotency_key is 'The caller''s key; null: none.';
comment on column billing.credit_usage.limits is 'What each limit had left after it, as the receipt said.';
comment on column billing.credit_usage.metadata is 'The caller''s own object.';

grant select on table billing.credit_limits to authenticated, service_role;
create policy credit_limits_read on billing.credit_limits for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
  or (
    organization_id = any(array(select billing_private.my_organization_ids('{member}')))
    and (
      subject_type = 'organization'
      or (subject_type = 'member' and subject_id = (select billing_private.current_user_id())::text)
      or (subject_type = 'department' and subject_id = any(array(select d::text from billing_private.my_department_ids() as d)))
    )
  )
);

grant select on table billing_private.credit_limit_counters to authenticated, service_role;
create policy credit_limit_counters_read on billing_private.credit_limit_counters for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids()))
  and exists (
    select 1 from billing.credit_limits as l
    where l.organization_id = credit_limit_counters.organization_id and l.id = credit_limit_counters.limit_id
  )
);

create view billing.department_credit_limits with (security_invoker = true) as
select
  l.organization_id,
  l.id as limit_id,
  d.id as department_id,
  d.name as department_name,
  l.amount::numeric as amount,
  l.limit_window,
  l.mode,
  l.timezone,
  l.alert_at,
  u.used,
  greatest(l.amount - u.used, 0)::numeric as remaining,
  nullif(w.window_start, '-infinity') as window_start,
  billing_private.window_end(l.limit_window, l.timezone, w.now) as resets_at
from billing.credit_limits as l
inner join billing.departments as d on d.organization_id = l.organization_id and d.id::text = l.subject_id
inner join billing.organizations as o on o.organization_id = l.organization_id
cross join lateral (
  select n.now, billing_private.window_start(l.limit_window, l.timezone, n.now) as window_start
  from (select billing_private.ledger_now(o.test_clock) as now) as n
) as w
left join billing_private.credit_limit_counters as c
  on c.organization_id = l.organization_id and c.limit_id = l.id and c.window_start = w.window_start
cross join lateral (
  select coalesce(c.used, 0)::numeric - billing_private.ended_holds(
    l.organization_id, l.subject_type, l.subject_id, w.window_start, billing_private.window_end(l.limit_window, l.timezone, w.now), w.now
  ) as used
) as u
where l.subject_type = 'department';
revoke all on table billing.department_credit_limits from public, anon, authenticated, service_role;
grant select on table billing.department_credit_limits to authenticated, service_role;
comment on view billing.department_credit_limits is
'Limits of departments with what is used in the window that is open now, and when it resets.';
comment on column billing.department_credit_limits.organization_id is 'The tenant.';
comment on column billing.department_credit_limits.limit_id is 'The row of credit_limits.';
comment on column billing.department_credit_limits.department_id is 'The department.';
comment on column billing.department_credit_limits.department_name is 'Its name.';
comment on column billing.department_credit_limits.amount is 'Credits that it may consume in each window; 0 blocks.';
comment on column billing.department_credit_limits.limit_window is 'day, week (from Monday), month or lifetime, in the limit''s time zone.';
comment on column billing.department_credit_limits.mode is 'hard refuses, soft lets pass and tells once a window, ask parks for an approval.';
comment on column billing.department_credit_limits.timezone is 'IANA name of the zone in which windows begin.';
comment on column billing.department_credit_limits.alert_at is 'Shares of the amount at which people are told.';
comment on column billing.department_credit_limits.used is 'Credits consumed in the window that is open now.';
comment on column billing.department_credit_limits.remaining is 'amount less used, never below 0.';
comment on column billing.department_credit_limits.window_start is 'First instant of the window that is open now; null for a lifetime limit.';
comment on column billing.department_credit_limits.resets_at is 'First instant of the next window; null for a lifetime limit.';

grant select on table billing.credit_usage_daily to authenticated, service_role;
create policy credit_usage_daily_read on billing.credit_usage_daily for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
  or (
    organization_id = any(array(select billing_private.my_organization_ids('{member}')))
    and (
      user_id = (select billing_private.current_user_id())
      or department_id = any(array(select billing_private.my_department_ids()))
    )
  )
);

grant select on table billing.credit_holds to authenticated, service_role;
create policy credit_holds_read on billing.credit_holds for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
  or (
    organization_id = any(array(select billing_private.my_organization_ids('{member}')))
    and (
      user_id = (select billing_private.current_user_id())
      or department_id = any(array(select billing_private.my_department_ids()))
    )
  )
);

grant select on table billing.credit_approvals to authenticated, service_role;
create policy credit_approvals_read on billing.credit_approvals for select to authenticated
using (
  organization_id = any(array(select billing_private.my_organization_ids('{owner,admin,billing}')))
  or (
    organization_id = any(array(select billing_private.my_organization_ids('{member}')))
    and user_id = (select billing_private.current_user_id())
  )
);

-- The receipt again, from stored facts. Whoever may read the entry: owner, admin, billing; the member who made it or whose department paid;
-- the key that made it. 404 not_found for unknown, foreign and invisible transactions alike; 422 when it is not a consumption.
create function billing_private.explain_transaction(p_transaction_id uuid)
returns billing.credit_receipt
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_entry billing.credit_transactions;
  v_user_id constant uuid := billing_private.current_user_id();
  v_agent_key text;
  v_visible boolean := false;
begin
  select t.* into v_entry from billing_private.find_transaction(p_transaction_id) as t;
  if billing_private.caller_is_service() then
    v_visible := v_entry.id is not null;
  elsif billing_private.caller_role() = 'anon' then
    v_agent_key := nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key';
    v_visible := coalesce((billing_private.identify_agent(v_agent_key)).root_key_id = v_entry.agent_key_id, false);
  elsif v_user_id is not null then
    v_visible := coalesce(
      billing_private.user_has_role(v_user_id, v_entry.organization_id, '{owner,admin,billing}')
      or (
        billing_private.user_has_role(v_user_id, v_entry.organization_id, '{member}')
        and (v_entry.user_id = v_user_id or v_entry.department_id = any(array(select billing_private.my_department_ids())))
      ), false);
  end if;
  if not v_visible then
    perform billing_private.fail(404, 'not_found', '{"what": "transaction"}');
  end if;
  if v_entry.kind in ('refund', 'adjust', 'transfer') then
    return billing_private.correction_receipt(v_entry, true);
  elsif v_entry.kind <> 'consume' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "transaction_id"}', 'only consumptions and corrections have a receipt');
  end if;
  return billing_private.receipt_of(v_entry, true);
end
$$;
revoke all on function billing_private.explain_transaction(uuid) from public;
grant execute on function billing_private.explain_transaction(uuid) to anon, authenticated, service_role;

create function billing.explain_transaction(transaction_id uuid)
returns billing.credit_receipt
language sql
stable
set search_path = ''
return billing_private.explain_transaction(transaction_id);
revoke all on function billing.explain_transaction(uuid) from public;
grant execute on function billing.explain_transaction(uuid) to anon, authenticated, service_role;
comment on function billing.explain_transaction(uuid) is 'The receipt of a consumption, refund, adjustment or transfer again, from stored facts alone.';
