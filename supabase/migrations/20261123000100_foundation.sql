-- Foundation: schemas, default privileges, amounts, the one raiser of refusals, and time.
--
-- Two schemas. `billing` is what clients see through PostgREST: tables, views and thin functions.
-- `billing_private` is never exposed: bodies, key hashes, the Stripe inbox, partitions.
-- Nothing below depends on a platform default; every grant stands beside its object.

-- Without `in schema`: the per-schema form cannot take EXECUTE away from PUBLIC (it only adds).
alter default privileges for role postgres revoke execute on functions from public;

create schema if not exists billing;
create schema if not exists billing_private;
revoke all on schema billing, billing_private from public;
grant usage on schema billing to anon, authenticated, service_role;
-- Wrappers in `billing` are SECURITY INVOKER, so their callers need to reach the bodies.
grant usage on schema billing_private to anon, authenticated, service_role;
comment on schema billing is 'Tallybase: what clients may see and call, through PostgREST, under row level security.';
comment on schema billing_private is 'Tallybase: bodies, secrets, inboxes and partitions. Never exposed through an API.';

create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;
create extension if not exists btree_gist with schema extensions;

-- Amounts -------------------------------------------------------------------------------------

create domain billing.credit_amount as numeric(20, 6)
constraint credit_amount_is_a_number check (value <> 'NaN')
constraint credit_amount_is_not_negative check (value >= 0);
comment on domain billing.credit_amount is 'Credits: six decimals, never negative, never NaN.';

create domain billing.credit_delta as numeric(20, 6)
constraint credit_delta_is_a_number check (value <> 'NaN');
comment on domain billing.credit_delta is 'A movement of credits or a balance that debt may push below zero: six decimals, never NaN.';

create domain billing.credit_price as numeric
constraint credit_price_is_a_number check (value <> 'NaN')
constraint credit_price_is_bounded check (value >= 0 and value < 1e14)
constraint credit_price_scale check (scale(value) <= 20);
comment on domain billing.credit_price is
'Credits for one unit of a metric. Finer than an amount: rounding (up, at the sixth decimal) happens once, at the end of a consumption.';

-- Refusals ------------------------------------------------------------------------------------

-- Raises every refusal of the product. PostgREST answers SQLSTATE PTnnn with HTTP status nnn and the body
-- {code, message, details, hint}; the message also becomes the reason phrase, so it is a short ASCII slug.
create function billing_private.fail(p_status integer, p_slug text, p_details jsonb default null, p_hint text default null)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  -- PostgREST tells an absent DETAIL (null) from an empty one, hence the four forms.
  if p_details is null and p_hint is null then
    raise exception using errcode = 'PT' || p_status::text, message = p_slug;
  elsif p_hint is null then
    raise exception using errcode = 'PT' || p_status::text, message = p_slug, detail = p_details::text;
  elsif p_details is null then
    raise exception using errcode = 'PT' || p_status::text, message = p_slug, hint = p_hint;
  end if;
  raise exception using errcode = 'PT' || p_status::text, message = p_slug, detail = p_details::text, hint = p_hint;
end
$$;
revoke all on function billing_private.fail(integer, text, jsonb, text) from public;
-- It only raises, and functions that run with their caller's rights refuse through it too.
grant execute on function billing_private.fail(integer, text, jsonb, text) to authenticated, service_role;
comment on function billing_private.fail(integer, text, jsonb, text) is
'Raises a refusal: HTTP status, slug, JSON details, hint for a person. The table of slugs is in docs/reference/errors.md.';

-- Raises 429 rate_limited with the header Retry-After, which PostgREST only sets for an error of this form: its message is the body, its detail
-- the status and the headers. A caller in SQL sees SQLSTATE PGRST.
create function billing_private.fail_rate_limited(p_limit text, p_requests integer, p_per interval, p_retry_after_seconds integer)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
  raise exception using
    errcode = 'PGRST',
    message = json_build_object(
      'code', 'PT429', 'message', 'rate_limited',
      'details', json_build_object('limit', p_limit, 'requests', p_requests, 'per_seconds', extract(epoch from p_per)::integer,
        'retry_after', p_retry_after_seconds)::text,
      'hint', format('At most %s such requests in %s. Try again in %s s.', p_requests, p_per, p_retry_after_seconds))::text,
    detail = json_build_object(
      'status_text', 'rate_limited', 'status', 429,
      'headers', json_build_object('Retry-After', p_retry_after_seconds::text))::text;
end
$$;
revoke all on function billing_private.fail_rate_limited(text, integer, interval, integer) from public;

-- Text that a caller names a thing by: 1 to p_max printable characters.
create function billing_private.require_text(p_argument text, p_value text, p_max integer default 255)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_value is null or p_value = '' or length(p_value) > p_max or p_value ~ '[[:cntrl:]]' or btrim(p_value) = '' then
    perform billing_private.fail(422, 'invalid_argument', jsonb_build_object('argument', p_argument),
      format('%s must be 1 to %s printable characters', p_argument, p_max));
  end if;
  return p_value;
end
$$;
revoke all on function billing_private.require_text(text, text, integer) from public;

-- Why somebody changes something, for the audit log: null, or 1 to 1,000 printable characters.
create function billing_private.require_reason(p_reason text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case when p_reason is not null then billing_private.require_text('reason', p_reason, 1000) end;
end
$$;
revoke all on function billing_private.require_reason(text) from public;

-- An amount named by a caller: finite, positive (or not negative), at most 14 digits before the point.
create function billing_private.require_amount(p_argument text, p_value numeric, p_zero_allowed boolean default false)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_value is null or p_value = 'NaN' or p_value >= 1e14 or p_value < 0 or (p_value = 0 and not p_zero_allowed) then
    perform billing_private.fail(422, 'invalid_amount', jsonb_build_object('argument', p_argument),
      format('%s must be a finite number %s and below 1e14', p_argument, case when p_zero_allowed then 'of at least 0' else 'above 0' end));
  end if;
  return p_value;
end
$$;
revoke all on function billing_private.require_amount(text, numeric, boolean) from public;

-- An amount that is kept as its caller names it: as above, and of at most six decimals, so that nothing is rounded away.
create function billing_private.require_exact_amount(p_argument text, p_value numeric, p_zero_allowed boolean default false)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
begin
  perform billing_private.require_amount(p_argument, p_value, p_zero_allowed);
  if scale(trim_scale(p_value)) > 6 then
    perform billing_private.fail(422, 'invalid_amount', jsonb_build_object('argument', p_argument), 'at most six decimals');
  end if;
  return p_value;
end
$$;

revoke all on function billing_private.require_exact_amount(text, numeric, boolean) from public;

-- Whether a text names a time zone. Asking the server to use it is a thousand times cheaper than listing all of them.
create function billing_private.is_timezone(p_name text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return p_name ~ '^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$' and p_name !~ '^[A-Za-z]+[+-]?[0-9]'
    and (clock_timestamp() at time zone p_name) is not null;
exception when invalid_parameter_value then
  return false;
end
$$;
revoke all on function billing_private.is_timezone(text) from public;
grant execute on function billing_private.is_timezone(text) to authenticated, service_role;

-- The JSON that a JSON text holds, or the text itself when it holds none. PostgREST hands the arguments of a GET over as text.
create function billing_private.json_in_text(p_value jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (p_value #>> '{}')::jsonb;
exception when invalid_text_representation or untranslatable_character then
  return p_value;
end
$$;
revoke all on function billing_private.json_in_text(jsonb) from public;

create function billing_private.require_metadata(p_metadata jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  if p_metadata is null then
    return '{}'::jsonb;
  end if;
  if jsonb_typeof(p_metadata) = 'string' then
    p_metadata := billing_private.json_in_text(p_metadata);
  end if;
  if jsonb_typeof(p_metadata) <> 'object' then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "metadata"}', 'metadata must be a JSON object');
  end if;
  if octet_length(p_metadata::text) > 8192 then
    perform billing_private.fail(413, 'metadata_too_large', '{"max_bytes": 8192}');
  end if;
  return p_metadata;
end
$$;
revoke all on function billing_private.require_metadata(jsonb) from public;

-- The least amount of six decimals that is not below the exact one.
create function billing_private.round_up(p_exact numeric)
returns numeric
language plpgsql
immutable
set search_path = ''
as $$
begin
  return round(ceil(p_exact * 1000000) * 0.000001, 6); -- multiplied, for a division would drop digits of large amounts
end
$$;
revoke all on function billing_private.round_up(numeric) from public;

-- Settings of the installation ------------------------------------------------------------------

create table billing_private.settings (
  name text not null primary key,
  value text not null,
  updated_at timestamptz not null default now(),
  constraint settings_name_known check (name in ('agent_tokens', 'app_url', 'environment', 'plan_change_mode', 'queue_places')),
  constraint settings_environment_is_a_word check (name <> 'environment' or value ~ '^[a-z0-9]{1,20}$'),
  constraint settings_agent_tokens_known check (name <> 'agent_tokens' or value in ('on', 'off'))
);
alter table billing_private.settings enable row level security;
revoke all on table billing_private.settings from public, anon, authenticated, service_role;
comment on table billing_private.settings is
'Facts about this installation: agent_tokens (on or off: whether a short-lived token may stand for an agent key; off), app_url (where people top up; part of insufficient_credits), environment (the <env> of agent keys), plan_change_mode (prorate_delta, full_restart or next_period),
queue_places (how many calls may wait for the lock of one organization, further ones being told busy at once; 64).';
comment on column billing_private.settings.name is 'agent_tokens, app_url, environment, plan_change_mode or queue_places.';
comment on column billing_private.settings.value is 'The setting, as text.';
comment on column billing_private.settings.updated_at is 'When it was last changed.';

create function billing_private.setting(p_name text, p_default text)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((select s.value from billing_private.settings as s where s.name = p_name), p_default);
end
$$;
revoke all on function billing_private.setting(text, text) from public;
