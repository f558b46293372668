-- Erasing a person. The ledger is kept for as long as the law wants accounts kept, so it holds no name and no address: what is left of a person
-- there is a random id, which says nothing once their account is gone.

create type billing.erased_user as (memberships integer, invitations integer, channels integer, customers integer);
comment on type billing.erased_user is 'How many memberships, invitations, notification channels and billing contacts of a person were erased.';

-- A Stripe object, at any depth, without what says who somebody is: the same keys, with null in place of names, addresses and numbers. What an event
-- does rests on ids, and is read at Stripe.
create function billing_private.without_people(p_value jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case jsonb_typeof(p_value)
    when 'object' then coalesce((
      select jsonb_object_agg(e.key, case
        when e.key in (
          'name', 'email', 'phone', 'address', 'shipping', 'description', 'individual_name', 'business_name', 'customer_name', 'customer_email',
          'customer_phone', 'customer_address', 'customer_shipping', 'customer_details', 'billing_details', 'shipping_details',
          'collected_information', 'receipt_email'
        ) then 'null'::jsonb else billing_private.without_people(e.value) end)
      from jsonb_each(p_value) as e (key, value)
    ), '{}'::jsonb)
    when 'array' then coalesce((
      select jsonb_agg(billing_private.without_people(e.value) order by e.place) from jsonb_array_elements(p_value) with ordinality as e (value, place)
    ), '[]'::jsonb)
    else p_value
  end;
end
$$;
revoke all on function billing_private.without_people(jsonb) from public;

-- Locks the organizations that know a person (null: nobody's id) or an address, in the order of the lock keys. Raises 503 busy.
create function billing_private.lock_organizations_of_person(p_user_id uuid, p_email text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_organization_id uuid;
begin
  for v_organization_id in
    select o.organization_id from billing.organizations as o
    where o.organization_id in (
      select m.organization_id from billing.organization_members as m where m.user_id = p_user_id
      union select i.organization_id from billing.invitations as i where i.email = p_email
      union select c.organization_id from billing.notification_channels as c where c.kind = 'email' and lower(c.target) = p_email
      union select c.organization_id from billing.customers as c where lower(c.email) = p_email
    )
    order by o.ledger_number
  loop
    perform billing_private.lock_organization(v_organization_id);
  end loop;
end
$$;
revoke all on function billing_private.lock_organizations_of_person(uuid, text) from public;

-- What is kept under an address, without the memberships: withdraws open invitations to it and replaces it in all of them; deletes notification
-- channels to it; clears it where it is the contact of a Stripe customer, a copy that Stripe's next event would bring back, so it is changed at
-- Stripe too; takes people out of the events that name it, which are read through for that. Each organization finds what became of its rows in its
-- audit log, without the address. p_email is in lower case. Under the locks.
create function billing_private.erase_rows_of_address(p_email text, p_action text, p_reason text)
returns billing.erased_user
language plpgsql
set search_path = ''
as $$
declare
  v_invitation billing.invitations;
  v_channel billing.notification_channels;
  v_customer billing.customers;
  v_erased billing.erased_user := (0, 0, 0, 0);
begin
  delete from billing_private.invitation_tokens as t using billing.invitations as i
  where i.email = p_email and t.organization_id = i.organization_id and t.invitation_id = i.id;
  for v_invitation in select i.* from billing.invitations as i where i.email = p_email order by i.organization_id, i.id loop
    perform billing_private.withdraw_invitation(v_invitation, p_action, p_reason);
    update billing.invitations as i set email = 'erased-' || i.id::text || '@erased.invalid'
    where i.organization_id = v_invitation.organization_id and i.id = v_invitation.id;
    v_erased.invitations := v_erased.invitations + 1;
  end loop;
  for v_channel in
    delete from billing.notification_channels as c where c.kind = 'email' and lower(c.target) = p_email returning *
  loop
    perform billing_private.audit(v_channel.organization_id, p_action, 'notification_channel', v_channel.id::text, p_reason,
      to_jsonb(v_channel) - 'target', null);
    v_erased.channels := v_erased.channels + 1;
  end loop;
  for v_customer in
    update billing.customers as c set email = null, name = null, updated_at = clock_timestamp() where lower(c.email) = p_email returning *
  loop
    perform billing_private.audit(v_customer.organization_id, p_action, 'customer', v_customer.stripe_customer_id, p_reason, null,
      to_jsonb(v_customer));
    v_erased.customers := v_erased.customers + 1;
  end loop;
  update billing_private.customer_claims as c set email = null where lower(c.email) = p_email;
  update billing_private.stripe_events as e
  set payload = billing_private.without_people(e.payload), facts = billing_private.without_people(e.facts)
  where position(to_jsonb(p_email)::text in lower(e.payload::text)) > 0 or position(to_jsonb(p_email)::text in lower(e.facts::text)) > 0;
  return v_erased;
end
$$;
revoke all on function billing_private.erase_rows_of_address(text, text, text) from public;

-- The service, before the account itself is deleted through the auth server (it needs the address). Ends every membership, and what is kept under
-- the person's address. Transactions, usage and the audit log keep the id. Locks each organization that knows them, in the order of the lock keys.
-- Raises 403 not_authorized, 404 not_found (no such user), 422 invalid_argument, 409 conflict (the last owner of an organization: somebody else must
-- own it first; a member of a mirrored one: the application that keeps it removes them first; nothing is erased), 503 busy. A second call
-- finds nothing more.
create function billing_private.erase_user(p_user_id uuid, p_reason text)
returns billing.erased_user
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_email text;
  v_organization_id uuid;
  v_memberships integer := 0;
  v_erased billing.erased_user;
begin
  perform billing_private.require_service();
  perform billing_private.require_reason(p_reason);
  select lower(u.email) into v_email from auth.users as u where u.id = p_user_id;
  if not found then
    perform billing_private.fail(404, 'not_found', '{"what": "user"}');
  end if;
  perform billing_private.lock_organizations_of_person(p_user_id, v_email);
  for v_organization_id in
    select m.organization_id from billing.organization_members as m where m.user_id = p_user_id order by m.organization_id
  loop
    perform billing_private.change_member(v_organization_id, p_user_id, null, null, true, 'erase_user', p_reason);
    v_memberships := v_memberships + 1;
  end loop;
  delete from billing_private.platform_admins as a where a.user_id = p_user_id;
  v_erased := billing_private.erase_rows_of_address(v_email, 'erase_user', p_reason);
  v_erased.memberships := v_memberships;
  return v_erased;
end
$$;
revoke all on function billing_private.erase_user(uuid, text) from public;
grant execute on function billing_private.erase_user(uuid, text) to service_role;

create function billing.erase_user(user_id uuid, reason text default null)
returns billing.erased_user
language sql
volatile
set search_path = ''
return billing_private.erase_user(user_id, reason);
revoke all on function billing.erase_user(uuid, text) from public;
grant execute on function billing.erase_user(uuid, text) to service_role;
comment on function billing.erase_user(uuid, text) is
'Service: ends a person''s memberships and erases their address, before their account is deleted; the ledger keeps their id.';

-- The service, for a person who has no account (invited and never come, or told of limits) or had another address before. Locks each organization
-- that knows it. Raises 403 not_authorized, 422 invalid_argument, 503 busy. A second call finds nothing more.
create function billing_private.erase_address(p_email text, p_reason text)
returns billing.erased_user
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform billing_private.require_service();
  perform billing_private.require_reason(p_reason);
  perform billing_private.require_text('email', p_email, 320);
  perform billing_private.lock_organizations_of_person(null, lower(p_email));
  return billing_private.erase_rows_of_address(lower(p_email), 'erase_address', p_reason);
end
$$;
revoke all on function billing_private.erase_address(text, text) from public;
grant execute on function billing_private.erase_address(text, text) to service_role;

create function billing.erase_address(email text, reason text default null)
returns billing.erased_user
language sql
volatile
set search_path = ''
return billing_private.erase_address(email, reason);
revoke all on function billing.erase_address(text, text) from public;
grant execute on function billing.erase_address(text, text) to service_role;
comment on function billing.erase_address(text, text) is
'Service: erases an address that belongs to no account (any more) from invitations, notification channels and billing contacts.';
