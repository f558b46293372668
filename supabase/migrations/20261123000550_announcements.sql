-- Telling open dashboards that something moved: Realtime broadcast on the private topic `organization:<organization_id>:billing`.
-- A message carries no figures, only that it is time to read again under one's own rights. Without Realtime nothing is sent and clients poll.

-- Sends one message. Never raises: a missing or failing Realtime must not undo a spend.
create function billing_private.announce(p_organization_id uuid, p_event text, p_payload jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if to_regprocedure('realtime.send(jsonb,text,text,boolean)') is not null then
    perform realtime.send(p_payload, p_event, 'organization:' || p_organization_id::text || ':billing', true);
  end if;
exception when others then
  raise warning 'announcement % for organization % was not sent: %', p_event, p_organization_id, sqlerrm;
end
$$;
revoke all on function billing_private.announce(uuid, text, jsonb) from public;

-- Announces a ledger entry at most once a second an organization (leading edge; clients read again 1.2 s after a message) and returns the
-- instant of the last announcement, which the entry carries on. The wall clock, not a test clock: this is about load, not about credits. So is
-- the rate of requests, which is looked at just as often: raises 429 rate_limited.
create function billing_private.announce_ledger(p_organization_id uuid, p_sequence bigint, p_announced_at timestamptz)
returns timestamptz
language plpgsql
set search_path = ''
as $$
begin
  if p_announced_at > clock_timestamp() - interval '1 second' then
    return p_announced_at;
  end if;
  perform billing_private.require_spend_rate(p_organization_id, p_sequence);
  if p_announced_at is null or p_announced_at < clock_timestamp() - interval '1 minute' then
    -- After a minute of silence: the job that folds usage finds the organization by this.
    insert into billing_private.credit_usage_active (organization_id) values (p_organization_id) on conflict (organization_id) do nothing;
  end if;
  perform billing_private.announce(p_organization_id, 'ledger_changed', jsonb_build_object('sequence', p_sequence));
  return clock_timestamp();
end
$$;
revoke all on function billing_private.announce_ledger(uuid, bigint, timestamptz) from public;

-- Members may listen on their organizations' topics; nobody may speak. Where Realtime is not installed there is nothing to protect.
do $$
begin
  if to_regclass('realtime.messages') is not null then
    create policy tallybase_members_listen on realtime.messages for select to authenticated
    using (
      extension = 'broadcast'
      and realtime.topic() = any(
        array(select 'organization:' || o.organization_id::text || ':billing'
          from billing_private.my_organization_ids() as o (organization_id))
      )
    );
  end if;
end
$$;
