-- Agent tokens: a short-lived JWT that stands for an agent key. Off unless the setting `agent_tokens` is `on`; docs/decisions/0017-agent-tokens.md
-- says what turning it on costs.
--
-- The worker exchange_agent_key takes a key and signs a token of role billing_agent with the claims agent_key_id, scopes and exp. PostgREST checks
-- the signature; identify_agent() then looks at the key's row as it does for the key itself, in every statement: what the row no longer allows,
-- no token does. The role may call what an agent may call, and read nothing.

do $$
begin
  if not exists (select 1 from pg_catalog.pg_roles as r where r.rolname = 'billing_agent') then
    create role billing_agent nologin noinherit;
  end if;
end
$$;
grant billing_agent to authenticator; -- so that PostgREST can become it
comment on role billing_agent is 'Tallybase: an agent that presents a short-lived token in place of its key.';
grant usage on schema billing, billing_private to billing_agent;

-- Here, not beside each function: this is the whole of what the role has, and what a project that will never use it can drop.
grant execute on function
billing.describe_agent_key(),
billing_private.describe_agent_key(),
billing.consume_credits(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb),
billing_private.consume_credits(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb),
billing.consume_credits_batch(jsonb, boolean, uuid),
billing_private.consume_credits_batch(jsonb, boolean, uuid),
billing.request_approval(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb),
billing_private.request_approval(text, text, jsonb, numeric, uuid, uuid, text, text, jsonb),
billing.check_credits(text, text, jsonb, numeric, uuid, uuid, text, jsonb),
billing_private.check_credits(text, text, jsonb, numeric, uuid, uuid, text, jsonb),
billing.hold_credits(text, text, jsonb, numeric, uuid, uuid, text, interval, text, jsonb),
billing_private.hold_credits(text, text, jsonb, numeric, uuid, uuid, text, interval, text, jsonb),
billing.extend_hold(uuid, numeric, numeric, interval),
billing_private.extend_hold(uuid, numeric, numeric, interval),
billing.capture_hold(uuid, numeric, jsonb, text),
billing_private.capture_hold(uuid, numeric, jsonb, text),
billing.release_hold(uuid),
billing_private.release_hold(uuid),
billing.get_credit_balance(uuid, timestamptz),
billing_private.get_credit_balance(uuid, timestamptz),
billing.explain_transaction(uuid),
billing_private.explain_transaction(uuid)
to billing_agent;

-- Terms are remembered by the key's hash, which a token does not carry: a spend by token is looked up anew each time.
create function billing_private.remember_no_terms_of_tokens()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  return null;
end
$$;
revoke all on function billing_private.remember_no_terms_of_tokens() from public;
create trigger spend_terms_are_of_keys before insert on billing_private.spend_terms
for each row when (new.caller is null) execute function billing_private.remember_no_terms_of_tokens();
