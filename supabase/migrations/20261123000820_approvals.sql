-- Limits that ask: a spend that such a limit stops is parked until somebody decides.
--
-- A refusal is raised, and PostgREST rolls back whoever raises: no row can be left behind by the refused call. So an approval's id is a function
-- of what was refused (organization, limit, window, request): the refusal names it, and it can be decided without a row. `request_approval`,
-- called with the arguments of the refused spend, leaves the row that people find; clients of ours do so by themselves.

-- A text that two equal requests share: the idempotency key, or else everything that the call said.
create function billing_private.request_fingerprint(
  p_idempotency_key text, p_agent_type text, p_action text, p_quantities jsonb, p_amount numeric, p_department_id uuid, p_run_id text
)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_idempotency_key is not null then
    return 'key:' || p_idempotency_key;
  end if;
  return 'call:' || jsonb_build_array(p_agent_type, p_action, p_quantities, trim_scale(p_amount), p_department_id, p_run_id)::text;
end
$$;
revoke all on function billing_private.request_fingerprint(text, text, text, jsonb, numeric, uuid, text) from public;

-- The 28 bits of an approval's id that name a limit and its window.
create function billing_private.approval_window_tag(p_limit_id uuid, p_window_start timestamptz)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return substr(encode(sha256(convert_to(p_limit_id::text || extract(epoch from p_window_start)::text, 'UTF8')), 'hex'), 1, 7);
end
$$;
revoke all on function billing_private.approval_window_tag(uuid, timestamptz) from public;

-- An approval's id: ledger number (48 bits), version 8, the window's tag (28 bits), the request's (44 bits).
create function billing_private.approval_id(p_ledger_number bigint, p_limit_id uuid, p_window_start timestamptz, p_fingerprint text)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_tags constant text := billing_private.approval_window_tag(p_limit_id, p_window_start)
  || substr(encode(sha256(convert_to(p_fingerprint, 'UTF8')), 'hex'), 1, 11);
begin
  return (lpad(to_hex(p_ledger_number), 12, '0') || '8' || substr(v_tags, 1, 3) || '8' || substr(v_tags, 4))::uuid;
end
$$;
revoke all on function billing_private.approval_id(bigint, uuid, timestamptz, text) from public;

-- What the limits say to a spend: the limits as they are if it is booked, the approvals that it would use up, and the refusal, if one refuses.
create type billing_private.limit_decision as (
  limits billing_private.applicable_limit[],
  used_approval_ids uuid[],
  used_places integer[],   -- of their limits in `limits`
  shortfalls numeric[],    -- by which each widens its limit
  slug text,
  details jsonb
);

-- Decides on an amount: hard limits first, then the limits that ask, each by id. An approval without an amount lets this one request pass and
-- becomes what it took (use_approvals); one with an amount is in the limit already. Under the lock, after settle(). Writes nothing.
create function billing_private.decide_limits(
  p_organization_id uuid, p_ledger_number bigint, p_limits billing_private.applicable_limit[], p_amount numeric, p_fingerprint text
)
returns billing_private.limit_decision
language plpgsql
stable
set search_path = ''
as $$
declare
  v_decision billing_private.limit_decision := (p_limits, '{}', '{}', '{}', null, null);
  v_limit billing_private.applicable_limit;
  v_approval billing.credit_approvals;
  v_approval_id uuid;
  v_shortfall numeric;
  v_place integer;
  v_ordinal integer;
begin
  v_decision.details := billing_private.blocking_limit(p_limits, p_amount, '{hard}');
  if v_decision.details is not null then
    v_decision.slug := 'limit_exceeded';
    return v_decision;
  end if;
  for v_place in 1 .. coalesce(cardinality(p_limits), 0) loop
    v_limit := p_limits[v_place];
    continue when v_limit.mode <> 'ask' or (v_limit.used + p_amount <= v_limit.amount and v_limit.amount > 0);
    v_ordinal := 0;
    loop -- an approval that was used up makes room for the next question of the same request
      v_approval_id := billing_private.approval_id(
        p_ledger_number, v_limit.limit_id, v_limit.window_start, p_fingerprint || case when v_ordinal > 0 then ' ' || v_ordinal else '' end);
      select a.* into v_approval from billing.credit_approvals as a
      where a.organization_id = p_organization_id and a.id = v_approval_id;
      exit when v_approval.id is null or v_approval.status <> 'approved' or v_approval.additional is null;
      v_ordinal := v_ordinal + 1;
    end loop;
    if v_approval.status is distinct from 'approved' then
      v_decision.slug := case when v_approval.status = 'rejected' then 'limit_exceeded' else 'approval_required' end;
      v_decision.details := billing_private.blocking_limit(array[v_limit], p_amount, '{ask}')
        || jsonb_build_object('approval_id', v_approval_id);
      return v_decision;
    end if;
    v_shortfall := v_limit.used + p_amount - v_limit.amount;
    v_decision.used_approval_ids := v_decision.used_approval_ids || v_approval_id;
    v_decision.used_places := v_decision.used_places || v_place;
    v_decision.shortfalls := v_decision.shortfalls || v_shortfall;
    v_decision.limits[v_place].amount := v_limit.amount + v_shortfall;
  end loop;
  return v_decision;
end
$$;
revoke all on function billing_private.decide_limits(uuid, bigint, billing_private.applicable_limit[], numeric, text) from public;

-- Widens a limit for one window. Under the lock.
create function billing_private.add_to_window(p_organization_id uuid, p_limit billing_private.applicable_limit, p_additional numeric)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into billing_private.credit_limit_counters as c (organization_id, limit_id, window_start, window_end, used, additional)
  values (p_organization_id, p_limit.limit_id, p_limit.window_start, coalesce(p_limit.resets_at, 'infinity'), 0, p_additional)
  on conflict (organization_id, limit_id, window_start) do update
  set additional = c.additional + excluded.additional, quiet_below = 0;
end
$$;
revoke all on function billing_private.add_to_window(uuid, billing_private.applicable_limit, numeric) from public;

-- Books the approvals that a decision used up. Under the lock, when the spend itself is sure.
create function billing_private.use_approvals(p_organization_id uuid, p_decision billing_private.limit_decision)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_place integer;
begin
  for v_place in 1 .. cardinality(p_decision.used_approval_ids) loop
    update billing.credit_approvals as a set additional = p_decision.shortfalls[v_place]
    where a.organization_id = p_organization_id and a.id = p_decision.used_approval_ids[v_place];
    perform billing_private.add_to_window(
      p_organization_id, p_decision.limits[p_decision.used_places[v_place]], p_decision.shortfalls[v_place]);
  end loop;
end
$$;
revoke all on function billing_private.use_approvals(uuid, billing_private.limit_decision) from public;

-- The limit, with its open window, that an approval's id names; null when it names none (any more). Under the lock.
create function billing_private.limit_of_approval(p_organization_id uuid, p_approval_id uuid, p_at timestamptz)
returns billing_private.applicable_limit
language plpgsql
stable
set search_path = ''
as $$
declare
  v_digits constant text := replace(p_approval_id::text, '-', '');
  v_limit billing_private.applicable_limit;
begin
  select l.id, l.subject_type, l.subject_id, l.amount, l.mode, l.alert_at, w.window_start,
    billing_private.window_end(l.limit_window, l.timezone, p_at), 0
  into v_limit
  from billing.credit_limits as l
  cross join lateral (select billing_private.window_start(l.limit_window, l.timezone, p_at)) as w (window_start)
  where l.organization_id = p_organization_id and l.mode = 'ask'
    and billing_private.approval_window_tag(l.id, w.window_start) = substr(v_digits, 14, 3) || substr(v_digits, 18, 4)
  order by l.id
  limit 1;
  return v_limit;
end
$$;
revoke all on function billing_private.limit_of_approval(uuid, uuid, timestamptz) from public;
