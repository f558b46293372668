-- Before the lock: who is spending, and what the action costs.

create type billing.credit_receipt as (
  transaction_id uuid,
  organization_id uuid,
  amount numeric,
  balance numeric,
  available numeric,
  replayed boolean,
  price jsonb,
  grants jsonb,
  limits jsonb,
  created_at timestamptz
);
comment on type billing.credit_receipt is
'What every spend returns. amount is what was charged; balance and available are what the organization had after it; price holds the price rows,
quantities and the exact amount before rounding; grants what each grant paid; limits what each limit has left.';

-- The one on whose behalf credits are spent, found from the session.
create type billing_private.spender as (
  kind text,                -- agent | member | service
  organization_id uuid,
  department_id uuid,
  is_bound boolean,         -- to that department, whatever the call says
  user_id uuid,
  agent_key_id text,        -- the key's root: its identity across rotations
  presented_key_id text,    -- the key itself
  test_clock timestamptz,
  ledger_number bigint
);

-- What a call of an agent is for, from the function that PostgREST was asked for: it sets request.path itself. Null for a path that is not
-- listed here, so that a function which nobody thought of is closed to every key that does not have all scopes.
create function billing_private.requested_scope()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case current_setting('request.path', true)
    when '/rpc/consume_credits' then 'consume'
    when '/rpc/consume_credits_batch' then 'consume'
    when '/rpc/request_approval' then 'consume'
    when '/rpc/check_credits' then 'check'
    when '/rpc/hold_credits' then 'hold'
    when '/rpc/extend_hold' then 'hold'
    when '/rpc/capture_hold' then 'hold'
    when '/rpc/release_hold' then 'hold'
    when '/rpc/get_credit_balance' then 'read'
    when '/rpc/explain_transaction' then 'read'
    when '/rpc/describe_agent_key' then 'describe' -- a key may always ask what it is
  end;
end
$$;
revoke all on function billing_private.requested_scope() from public;

-- The id of the agent key that the request presents, itself or by a token that stands for it; unverified.
create function billing_private.presented_key_id()
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  if current_setting('role') = 'billing_agent' then
    return nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'agent_key_id';
  end if;
  return split_part(nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key', '_', 3);
end
$$;
revoke all on function billing_private.presented_key_id() from public;

-- Reads an agent key's organization and binding. The key is the one given or, for role billing_agent, the one that the verified token names: its
-- row is looked at in every statement, so a token ends with its key. 401 agent_key_invalid, the same for unknown, revoked, expired and truncated
-- keys and for tokens that have expired, are switched off, or come beside a key. 403 not_authorized: a scope that key or token lack.
create function billing_private.identify_agent(p_key text)
returns billing.agent_keys
language plpgsql
stable
set search_path = ''
as $$
declare
  v_key billing.agent_keys;
  v_claims jsonb;
  v_scope text;
begin
  if current_setting('role') = 'billing_agent' then
    v_claims := nullif(current_setting('request.jwt.claims', true), '')::jsonb;
    select k.* into v_key
    from billing_private.agent_key_secrets as s
    inner join billing.agent_keys as k on k.organization_id = s.organization_id and k.key_id = s.key_id
    where s.key_id = v_claims ->> 'agent_key_id'
      and k.revoked_at is null and (k.expires_at is null or k.expires_at > billing_private.organization_now(k.organization_id))
      and (v_claims ->> 'exp')::numeric > extract(epoch from clock_timestamp())
      and nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key' is null
      and billing_private.setting('agent_tokens', 'off') = 'on';
    if found then
      v_key.scopes := array(
        select e.scope from unnest(v_key.scopes) as e (scope) where coalesce(v_claims -> 'scopes' ? e.scope, false) order by e.scope);
    end if;
  else
    select k.* into v_key
    from billing_private.agent_key_secrets as s
    inner join billing.agent_keys as k on k.organization_id = s.organization_id and k.key_id = s.key_id
    where s.key_id = split_part(p_key, '_', 3) and s.key_hash = sha256(convert_to(p_key, 'UTF8'))
      and k.revoked_at is null and (k.expires_at is null or k.expires_at > billing_private.organization_now(k.organization_id));
  end if;
  if v_key.key_id is null then
    perform billing_private.fail(401, 'agent_key_invalid');
  end if;
  if cardinality(v_key.scopes) < 4 then
    v_scope := billing_private.requested_scope();
    if v_scope is null or (v_scope <> 'describe' and v_scope <> all(v_key.scopes)) then
      perform billing_private.fail(403, 'not_authorized');
    end if;
  end if;
  return v_key;
end
$$;
revoke all on function billing_private.identify_agent(text) from public;

-- Who is spending, in which organization and department. Raises 401 agent_key_invalid, 403 not_authorized (not a member, a foreign or unknown
-- organization or department, another department than the one the caller is bound to, an agent type or a call outside the key's scopes, a
-- session that may not spend), 422 invalid_argument when a member of several organizations names none.
create function billing_private.identify_spender(p_organization_id uuid, p_department_id uuid, p_agent_type text)
returns billing_private.spender
language plpgsql
stable
set search_path = ''
as $$
declare
  v_role constant text := billing_private.caller_role();
  v_spender billing_private.spender;
  v_key_text text;
  v_key billing.agent_keys;
  v_bound_department_id uuid;
  v_membership_count integer;
begin
  if v_role = 'anon' then
    v_key_text := nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-agent-key';
    if v_key_text is null and current_setting('role') <> 'billing_agent' then
      perform billing_private.fail(403, 'not_authorized');
    end if;
    v_key := billing_private.identify_agent(v_key_text);
    if (p_organization_id is not null and p_organization_id <> v_key.organization_id)
      or (v_key.agent_types is not null and p_agent_type is not null and p_agent_type <> all(v_key.agent_types)) then
      perform billing_private.fail(403, 'not_authorized');
    end if;
    v_spender.kind := 'agent';
    v_spender.organization_id := v_key.organization_id;
    v_spender.agent_key_id := v_key.root_key_id;
    v_spender.presented_key_id := v_key.key_id;
    v_bound_department_id := v_key.department_id;
  elsif v_role = 'authenticated' then
    if not billing_private.caller_is_first_party() then
      perform billing_private.fail(403, 'not_authorized');
    end if;
    v_spender.kind := 'member';
    v_spender.user_id := billing_private.current_user_id();
    select count(*), min(m.organization_id::text)::uuid, min(m.department_id::text)::uuid
    into v_membership_count, v_spender.organization_id, v_bound_department_id
    from billing.organization_members as m
    where m.user_id = v_spender.user_id and (p_organization_id is null or m.organization_id = p_organization_id);
    if v_membership_count = 0 then
      perform billing_private.fail(403, 'not_authorized');
    elsif v_membership_count > 1 then
      perform billing_private.fail(422, 'invalid_argument', '{"argument": "organization_id"}',
        'you belong to several organizations: name one');
    end if;
  elsif billing_private.caller_is_service() then
    if p_organization_id is null then
      perform billing_private.fail(422, 'invalid_argument', '{"argument": "organization_id"}', 'a service names the organization');
    end if;
    v_spender.kind := 'service';
    v_spender.organization_id := p_organization_id;
  else
    perform billing_private.fail(403, 'not_authorized');
  end if;

  select o.test_clock, o.ledger_number into v_spender.test_clock, v_spender.ledger_number
  from billing.organizations as o where o.organization_id = v_spender.organization_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "organization"}');
  end if;

  v_spender.is_bound := v_bound_department_id is not null;
  v_spender.department_id := coalesce(v_bound_department_id, p_department_id);
  if p_department_id is not null and (
    p_department_id <> v_spender.department_id
    or not exists (
      select 1 from billing.departments as d
      where d.organization_id = v_spender.organization_id and d.id = p_department_id
    )
  ) then
    perform billing_private.fail(403, 'not_authorized');
  end if;
  return v_spender;
end
$$;
revoke all on function billing_private.identify_spender(uuid, uuid, text) from public;

-- Whether a spender has kept their standing while waiting for the lock: the key not revoked, the member not removed nor bound to another
-- department. Notes, once a minute, that a key is in use. Under the lock.
create function billing_private.confirm_standing(p_spender billing_private.spender)
returns boolean
language plpgsql
volatile
set search_path = ''
as $$
declare
  v_revoked_at timestamptz;
  v_last_used_at timestamptz;
begin
  if p_spender.kind = 'agent' then
    select k.revoked_at, k.last_used_at into v_revoked_at, v_last_used_at
    from billing.agent_keys as k
    where k.organization_id = p_spender.organization_id and k.key_id = p_spender.presented_key_id;
    if v_revoked_at is null and coalesce(v_last_used_at < clock_timestamp() - interval '1 minute', true) then
      update billing.agent_keys as k set last_used_at = clock_timestamp()
      where k.organization_id = p_spender.organization_id and k.key_id = p_spender.presented_key_id;
    end if;
    return v_revoked_at is null;
  elsif p_spender.kind = 'member' then
    return exists (
      select 1 from billing.organization_members as m
      where m.organization_id = p_spender.organization_id and m.user_id = p_spender.user_id
        and (m.department_id is null or m.department_id = p_spender.department_id)
    );
  end if;
  return true;
end
$$;
revoke all on function billing_private.confirm_standing(billing_private.spender) from public;

-- What an action costs now.
create type billing_private.quote as (
  price_ids bigint[],
  requested_amount numeric, -- what the caller named, for caller-priced actions; else null
  exact_amount numeric,     -- before rounding
  amount numeric            -- rounded up, once, at the sixth decimal
);

-- Quantities as they are priced, stored and compared: null, or an object in which {"call": 1} beside other metrics is left out, for it is implied.
-- Refuses what is not a small object of finite, non-negative numbers (422 invalid_argument).
create function billing_private.require_quantities(p_quantities jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_metric text;
  v_value jsonb;
  v_count integer := 0;
begin
  if p_quantities is null or p_quantities = 'null'::jsonb or p_quantities = '{}'::jsonb then
    return null;
  end if;
  if jsonb_typeof(p_quantities) = 'string' then
    p_quantities := billing_private.json_in_text(p_quantities);
  end if;
  if jsonb_typeof(p_quantities) <> 'object' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "quantities"}', 'quantities must be an object of numbers');
  end if;
  for v_metric, v_value in select e.key, e.value from jsonb_each(p_quantities) as e loop
    v_count := v_count + 1;
    if v_count > 50 or length(v_metric) > 100 or jsonb_typeof(v_value) <> 'number'
      or (v_value::numeric < 0 or v_value::numeric >= 1e14 or scale(v_value::numeric) > 20) then
      perform billing_private.fail(422, 'invalid_argument', jsonb_build_object('argument', 'quantities', 'metric', left(v_metric, 100)),
        'quantities holds at most 50 finite numbers of at least 0');
    end if;
  end loop;
  return case when p_quantities -> 'call' = '1' and v_count > 1 then p_quantities - 'call' else p_quantities end;
end
$$;
revoke all on function billing_private.require_quantities(jsonb) from public;

-- Prices an action at p_at: the rows in force, the organization's own before the global one, for the implied call and each named metric.
-- Raises 422 unknown_action (no price in force), invalid_argument (a metric without a price; an amount for an action that is not
-- caller-priced), invalid_amount (a caller-priced action without a positive, finite amount).
create function billing_private.quote_action(
  p_organization_id uuid, p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_at timestamptz
)
returns billing_private.quote
language plpgsql
stable
set search_path = ''
as $$
declare
  v_quote billing_private.quote;
  v_metrics text[];
  v_caller_priced boolean;
begin
  select
    array_agg(p.id order by p.metric) filter (where p.quantity is not null),
    coalesce(sum(p.credit_cost * p.quantity), 0),
    array_agg(p.metric),
    bool_or(p.caller_priced)
  into v_quote.price_ids, v_quote.exact_amount, v_metrics, v_caller_priced
  from (
    select distinct on (c.metric)
      c.id, c.metric, c.credit_cost, c.caller_priced,
      coalesce((p_quantities ->> c.metric)::numeric, case when c.metric = 'call' then 1 end) as quantity
    from billing.agent_action_costs as c
    where c.agent_type = p_agent_type and c.action = p_action
      and (c.organization_id = p_organization_id or c.organization_id is null)
      and c.effective_from <= p_at and (c.effective_to is null or c.effective_to > p_at)
    order by c.metric, c.organization_id nulls last
  ) as p;
  if v_metrics is null then
    perform billing_private.fail(422, 'unknown_action', jsonb_build_object('argument', 'action', 'agent_type', p_agent_type, 'action', p_action),
      'no price is in force for this agent type and action');
  end if;
  if p_quantities is not null and exists (
    select 1 from jsonb_object_keys(p_quantities) as k (metric) where k.metric <> all(v_metrics) and k.metric <> 'call'
  ) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "quantities"}', 'a metric in quantities has no price');
  end if;
  if v_caller_priced then
    v_quote.requested_amount := billing_private.require_amount('amount', p_amount);
    v_quote.exact_amount := v_quote.exact_amount + p_amount;
  elsif p_amount is not null then
    perform billing_private.require_amount('amount', p_amount);
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "amount"}', 'the price of this action is not set by the caller');
  end if;
  v_quote.amount := billing_private.require_amount('amount', billing_private.round_up(v_quote.exact_amount), true);
  return v_quote;
end
$$;
revoke all on function billing_private.quote_action(uuid, text, text, jsonb, numeric, timestamptz) from public;

-- The price part of a receipt, from what an entry keeps. Prices are never edited, so a replay and an explanation say what the first answer said.
create function billing_private.explain_price(p_price_ids bigint[], p_quantities jsonb, p_requested_amount numeric)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (select jsonb_build_object(
    'rows', coalesce(jsonb_agg(jsonb_build_object(
      'price_id', c.id, 'metric', c.metric, 'credit_cost', c.credit_cost, 'quantity', q.quantity, 'amount', q.line,
      'caller_priced', c.caller_priced, 'effective_from', c.effective_from
    ) order by c.metric), '[]'),
    'quantities', coalesce(p_quantities, '{}') || case when p_quantities ? 'call' then '{}' else '{"call": 1}'::jsonb end,
    'exact_amount', coalesce(sum(q.line), p_requested_amount, 0)
  )
  from billing.agent_action_costs as c
  cross join lateral (
    select coalesce((p_quantities ->> c.metric)::numeric, 1) as quantity,
      case when c.caller_priced then p_requested_amount else c.credit_cost * coalesce((p_quantities ->> c.metric)::numeric, 1) end as line
  ) as q
  where c.id = any(p_price_ids));
end
$$;
revoke all on function billing_private.explain_price(bigint[], jsonb, numeric) from public;

-- Which grants an entry moved, and by how much (signed like the entry).
create function billing_private.entry_allocations(p_entry billing.credit_transactions)
returns table (grant_id uuid, amount numeric)
language sql
immutable
set search_path = ''
as $$
  select a.grant_id, a.amount
  from unnest(p_entry.grant_ids, p_entry.grant_amounts) as a (grant_id, amount)
  where p_entry.grant_ids is not null
  union all
  select p_entry.head_grant_id, p_entry.amount::numeric
  where p_entry.grant_ids is null and p_entry.head_grant_id is not null and p_entry.amount <> 0
$$;
revoke all on function billing_private.entry_allocations(billing.credit_transactions) from public;

-- The receipt of a booked consumption, rebuilt from stored facts alone.
create function billing_private.receipt_of(p_entry billing.credit_transactions, p_replayed boolean)
returns billing.credit_receipt
language plpgsql
stable
set search_path = ''
as $$
declare
  v_grants jsonb := '[]';
begin
  if p_entry.grant_ids is not null then
    v_grants := (
      select jsonb_agg(jsonb_build_object('grant_id', a.grant_id, 'amount', -a.amount) order by a.place)
      from unnest(p_entry.grant_ids, p_entry.grant_amounts) with ordinality as a (grant_id, amount, place)
    );
  elsif p_entry.head_grant_id is not null and p_entry.amount <> 0 then
    v_grants := jsonb_build_array(jsonb_build_object('grant_id', p_entry.head_grant_id, 'amount', -p_entry.amount));
  end if;
  return (
    p_entry.id, p_entry.organization_id, -p_entry.amount, p_entry.balance_after, p_entry.balance_after - p_entry.held_after, p_replayed,
    billing_private.explain_price(p_entry.price_ids, p_entry.quantities, p_entry.requested_amount),
    coalesce(v_grants, '[]'), coalesce(p_entry.limits, '[]'), p_entry.created_at
  )::billing.credit_receipt;
end
$$;
revoke all on function billing_private.receipt_of(billing.credit_transactions, boolean) from public;
