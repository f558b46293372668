-- The terms of a spend, remembered: who calls, at what price, under which limits. Found in one look-up instead of eight tables.
--
-- Nothing rests on a memory alone. It is found by the hash of the caller's whole key, holds for a minute at most and never past a change that
-- lies ahead, and names the organization's `revision`, which every change of its keys, limits and own prices raises: a spend compares it again
-- under the lock, in the statement that books. A new price of everybody's forgets its action's terms. What does not match is looked up anew.
-- Unlogged: after a crash it is empty.

create unlogged table billing_private.spend_terms (
  caller bytea not null,
  agent_type text not null,
  action text not null,
  named_department_id uuid not null,
  organization_id uuid not null,
  ledger_number bigint not null,
  revision bigint not null,
  department_id uuid,
  agent_key_id text,
  price_ids bigint[] not null,
  amount numeric,
  price jsonb not null,
  limit_ids uuid[],
  limit_subjects text[],
  limit_amounts numeric[],
  has_run_limits boolean not null,
  price_until timestamptz not null,
  valid_until timestamptz not null,
  constraint spend_terms_pkey primary key (caller, agent_type, action, named_department_id)
) with (fillfactor = 70);
create index spend_terms_valid_until on billing_private.spend_terms (valid_until);
alter table billing_private.spend_terms enable row level security;
revoke all on table billing_private.spend_terms from public, anon, authenticated, service_role;
comment on table billing_private.spend_terms is 'What the last spends'' callers, prices and limits resolved to, for at most a minute. Can be emptied at any time.';
comment on column billing_private.spend_terms.caller is 'SHA-256 of the whole agent key; for the service, the organization''s id.';
comment on column billing_private.spend_terms.agent_type is 'The kind of agent.';
comment on column billing_private.spend_terms.action is 'What it does.';
comment on column billing_private.spend_terms.named_department_id is 'The department that the call names; the nil id: none.';
comment on column billing_private.spend_terms.organization_id is 'The tenant.';
comment on column billing_private.spend_terms.ledger_number is 'The organization''s lock key.';
comment on column billing_private.spend_terms.revision is 'The organization''s revision for which this holds.';
comment on column billing_private.spend_terms.department_id is 'The department that is charged.';
comment on column billing_private.spend_terms.agent_key_id is 'The key''s identity across rotations; null: the service.';
comment on column billing_private.spend_terms.price_ids is 'The price rows of a call without quantities.';
comment on column billing_private.spend_terms.amount is 'What such a call costs; null: the caller names the amount.';
comment on column billing_private.spend_terms.price is 'The price part of its receipt.';
comment on column billing_private.spend_terms.limit_ids is 'The limits that apply, by id, but for those of runs; null: none.';
comment on column billing_private.spend_terms.limit_subjects is 'Their subjects, as receipts name them.';
comment on column billing_private.spend_terms.limit_amounts is 'Their amounts, without what approvals add.';
comment on column billing_private.spend_terms.has_run_limits is 'Whether the organization limits any run: then calls with a run are looked up anew.';
comment on column billing_private.spend_terms.price_until is 'First instant, in the organization''s time, at which another price is in force or the key is over; infinity: none is known.';
comment on column billing_private.spend_terms.valid_until is 'First instant, by the wall clock, at which it no longer holds.';

-- Raises the revision of the organization whose terms a row changes. A price of everybody's forgets its action's terms instead; terms that are
-- remembered in the very moment of that commit hold for their minute.
create function billing_private.raise_revision()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_organization_id constant uuid := case when tg_op = 'DELETE' then old.organization_id else new.organization_id end;
begin
  if v_organization_id is null then -- only a price of everybody's: what is remembered of that action goes, and nothing else is touched
    delete from billing_private.spend_terms as m
    where m.agent_type = case when tg_op = 'DELETE' then old.agent_type else new.agent_type end
      and m.action = case when tg_op = 'DELETE' then old.action else new.action end;
    return null;
  end if;
  update billing.organizations as o set revision = o.revision + 1 where o.organization_id = v_organization_id;
  return null;
end
$$;
revoke all on function billing_private.raise_revision() from public;
create trigger agent_keys_raise_revision
after insert or delete or update of department_id, agent_types, expires_at, revoked_at on billing.agent_keys
for each row execute function billing_private.raise_revision();
create trigger credit_limits_raise_revision after insert or update or delete on billing.credit_limits
for each row execute function billing_private.raise_revision();
create trigger agent_action_costs_raise_revision after insert or update or delete on billing.agent_action_costs
for each row execute function billing_private.raise_revision();

-- The text of the agent key that the request carries, or null.
create function billing_private.presented_agent_key()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key';
end
$$;
revoke all on function billing_private.presented_agent_key() from public;

-- Remembers the terms of a spend that was just booked the long way. Under the lock, which key revocations and limit edits take too; prices, limits
-- and the revision that vouches for them are read in one statement. Only agents and the service: people do not spend in bursts.
create function billing_private.remember_terms(
  p_spender billing_private.spender, p_agent_type text, p_action text, p_named_department_id uuid
)
returns void
language plpgsql
set search_path = ''
set plan_cache_mode = 'force_generic_plan'
as $$
declare
  v_now constant timestamptz := billing_private.ledger_now(p_spender.test_clock);
begin
  if p_spender.kind = 'member' then
    return;
  end if;
  insert into billing_private.spend_terms as m (
    caller, agent_type, action, named_department_id, organization_id, ledger_number, revision, department_id, agent_key_id, price_ids, amount,
    price, limit_ids, limit_subjects, limit_amounts, has_run_limits, price_until, valid_until
  )
  select
    case p_spender.kind when 'agent' then sha256(convert_to(billing_private.presented_agent_key(), 'UTF8')) else uuid_send(o.organization_id) end,
    p_agent_type, p_action, coalesce(p_named_department_id, '00000000-0000-0000-0000-000000000000'),
    o.organization_id, o.ledger_number, o.revision, p_spender.department_id, p_spender.agent_key_id, p.price_ids,
    case when not p.caller_priced then billing_private.round_up(p.exact_amount) end,
    billing_private.explain_price(p.price_ids, null, 0),
    l.ids, l.subjects, l.amounts,
    exists (select 1 from billing.credit_limits as r where r.organization_id = o.organization_id and r.subject_type = 'run'),
    least(p.changes_at, k.expires_at, 'infinity'), clock_timestamp() + interval '1 minute'
  from billing.organizations as o
  left join billing.agent_keys as k on k.organization_id = o.organization_id and k.key_id = p_spender.presented_key_id
  cross join lateral (
    select
      array_agg(c.id order by c.metric) filter (where c.is_in_force and c.metric = 'call') as price_ids,
      coalesce(sum(c.credit_cost) filter (where c.is_in_force and c.metric = 'call'), 0) as exact_amount,
      coalesce(bool_or(c.caller_priced) filter (where c.is_in_force), false) as caller_priced,
      least(min(c.effective_from) filter (where c.effective_from > v_now), min(c.effective_to) filter (where c.effective_to > v_now)) as changes_at
    from (
      select a.id, a.metric, a.credit_cost, a.caller_priced, a.effective_from, a.effective_to,
        a.effective_from <= v_now and (a.effective_to is null or a.effective_to > v_now)
        and not (a.organization_id is null and exists (
          select 1 from billing.agent_action_costs as own
          where own.organization_id = o.organization_id and own.agent_type = a.agent_type and own.action = a.action and own.metric = a.metric
            and own.effective_from <= v_now and (own.effective_to is null or own.effective_to > v_now)
        )) as is_in_force
      from billing.agent_action_costs as a
      where a.agent_type = p_agent_type and a.action = p_action and (a.organization_id = o.organization_id or a.organization_id is null)
    ) as c
  ) as p
  cross join lateral (
    select array_agg(b.id order by b.id) as ids, array_agg(b.subject_type || ':' || b.subject_id order by b.id) as subjects,
      array_agg(b.amount::numeric order by b.id) as amounts
    from (values
      ('organization', o.organization_id::text), ('department', p_spender.department_id::text), ('agent_type', p_agent_type),
      ('agent_key', p_spender.agent_key_id)
    ) as s (subject_type, subject_id)
    inner join billing.credit_limits as b
      on b.organization_id = o.organization_id and b.subject_type = s.subject_type and b.subject_id = s.subject_id
  ) as l
  where o.organization_id = p_spender.organization_id and p.price_ids is not null
  on conflict (caller, agent_type, action, named_department_id) do update
  set organization_id = excluded.organization_id, ledger_number = excluded.ledger_number, revision = excluded.revision,
    department_id = excluded.department_id, agent_key_id = excluded.agent_key_id, price_ids = excluded.price_ids, amount = excluded.amount,
    price = excluded.price, limit_ids = excluded.limit_ids, limit_subjects = excluded.limit_subjects, limit_amounts = excluded.limit_amounts,
    has_run_limits = excluded.has_run_limits, price_until = excluded.price_until, valid_until = excluded.valid_until;
end
$$;
revoke all on function billing_private.remember_terms(billing_private.spender, text, text, uuid) from public;

-- For the job: what nobody has asked for since. Spends that need it remember it anew.
create function billing_private.forget_old_terms(p_now timestamptz)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  v_count bigint;
begin
  delete from billing_private.spend_terms as m where m.valid_until < p_now - interval '1 hour';
  get diagnostics v_count = row_count;
  return v_count;
end
$$;
revoke all on function billing_private.forget_old_terms(timestamptz) from public;
