-- Mirrored organizations: an application that has organizations and members of its own keeps ours in step with them.
-- docs/how-to/existing-organizations.md shows the triggers; tests/tenancy runs that page.
--
-- The body is for the service and for triggers of the schema's owner (SECURITY DEFINER functions that are owned by postgres): it looks at no
-- caller, it is not granted to people. The audit log names whoever the session is, so a person's change in the application is theirs here.

-- Whether p_members is a list of members: [{"user_id", "role", "department_id" or none}], each person once, an owner among them, at most 10,000.
-- Raises 409 conflict (no owner), 422 invalid_argument.
create function billing_private.require_member_list(p_members jsonb)
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
  v_member jsonb;
  v_uuid constant text := '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';
begin
  if jsonb_typeof(p_members) is distinct from 'array' or jsonb_array_length(p_members) > 10000 then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "members", "max": 10000}', 'members is an array of at most 10,000 objects');
  end if;
  for v_member in select e.value from jsonb_array_elements(p_members) as e (value) loop
    if jsonb_typeof(v_member) <> 'object' or coalesce(v_member ->> 'user_id' !~ v_uuid, true)
      or coalesce(v_member ->> 'role' not in ('owner', 'admin', 'billing', 'member'), true)
      or coalesce(v_member ->> 'department_id' !~ v_uuid, false) then
      perform billing_private.fail(422, 'invalid_argument', jsonb_build_object('argument', 'members', 'member', left(v_member::text, 200)),
        'a member has a user_id, a role and, if bound to one, a department_id');
    end if;
  end loop;
  if jsonb_array_length(p_members) <> (select count(distinct e.value ->> 'user_id') from jsonb_array_elements(p_members) as e (value)) then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "members"}', 'a person is named twice');
  end if;
  if not exists (select 1 from jsonb_array_elements(p_members) as e (value) where e.value ->> 'role' = 'owner') then
    perform billing_private.fail(409, 'conflict', '{"what": "last_owner"}', 'an organization keeps at least one owner');
  end if;
end
$$;
revoke all on function billing_private.require_member_list(jsonb) from public;

-- Makes the members of an organization equal to a list. Under the lock. Raises 403 not_authorized (a department of elsewhere).
create function billing_private.replace_members(p_organization_id uuid, p_members jsonb, p_reason text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  v_change record;
  v_after billing.organization_members;
begin
  for v_change in
    select
      coalesce(w.user_id, m.user_id) as user_id, w.role, w.department_id, m.user_id is null as is_new, w.user_id is null as is_gone,
      case when m.user_id is not null then to_jsonb(m) end as before
    from (
      select (e.value ->> 'user_id')::uuid as user_id, e.value ->> 'role' as role, (e.value ->> 'department_id')::uuid as department_id
      from jsonb_array_elements(p_members) as e (value)
    ) as w
    full join (select b.* from billing.organization_members as b where b.organization_id = p_organization_id) as m on m.user_id = w.user_id
    where (w.role, w.department_id) is distinct from (m.role, m.department_id)
    order by w.user_id is null, coalesce(w.user_id, m.user_id) -- who goes, goes last: the owners of the list are there before
  loop
    if v_change.is_gone then
      delete from billing.organization_members as m where m.organization_id = p_organization_id and m.user_id = v_change.user_id;
      perform billing_private.audit(p_organization_id, 'sync_organization', 'member', v_change.user_id::text, p_reason, v_change.before, null);
      continue;
    end if;
    perform billing_private.require_department(p_organization_id, v_change.department_id);
    insert into billing.organization_members as m (organization_id, user_id, role, department_id)
    values (p_organization_id, v_change.user_id, v_change.role, v_change.department_id)
    on conflict (organization_id, user_id) do update set role = excluded.role, department_id = excluded.department_id
    returning * into v_after;
    perform billing_private.audit(p_organization_id, 'sync_organization', 'member', v_change.user_id::text, p_reason, v_change.before,
      to_jsonb(v_after));
  end loop;
end
$$;
revoke all on function billing_private.replace_members(uuid, jsonb, text) from public;

-- Creates or renames the organization with the application's own id and makes its members equal to the list; from then on it is mirrored, its
-- open invitations are withdrawn, and its members are changed in no other way. Locks the organization. Raises 404 not_found (an unknown user),
-- 409 conflict (no owner), 403, 422, 503 busy. Safe to repeat: what is equal stays, unaudited.
create function billing_private.sync_organization(p_organization_id uuid, p_name text, p_members jsonb, p_reason text)
returns billing.organizations
language plpgsql
security definer
set search_path = ''
as $$
declare
  v_before billing.organizations;
  v_after billing.organizations;
  v_invitation billing.invitations;
begin
  if p_organization_id is null then
    perform billing_private.fail(422, 'invalid_argument', '{"argument": "organization_id"}', 'the application''s own id of it');
  end if;
  perform billing_private.require_text('name', p_name, 200);
  perform billing_private.require_reason(p_reason);
  perform billing_private.require_member_list(p_members);
  if exists (
    select 1 from jsonb_array_elements(p_members) as e (value)
    where not exists (select 1 from auth.users as u where u.id = (e.value ->> 'user_id')::uuid)
  ) then
    perform billing_private.fail(404, 'not_found', '{"what": "user"}');
  end if;
  insert into billing.organizations (organization_id, name, is_mirrored) values (p_organization_id, btrim(p_name), true)
  on conflict (organization_id) do nothing
  returning * into v_after;
  if v_after.organization_id is not null then
    perform billing_private.audit(p_organization_id, 'create_organization', 'organization', p_organization_id::text, p_reason, null,
      to_jsonb(v_after));
  end if;
  perform billing_private.lock_organization(p_organization_id);
  select o.* into v_before from billing.organizations as o where o.organization_id = p_organization_id;
  if not v_before.is_mirrored or v_before.name <> btrim(p_name) then
    update billing.organizations as o set name = btrim(p_name), is_mirrored = true where o.organization_id = p_organization_id
    returning * into v_after;
    perform billing_private.audit(p_organization_id, 'sync_organization', 'organization', p_organization_id::text, p_reason,
      to_jsonb(v_before), to_jsonb(v_after));
  end if;
  for v_invitation in
    select i.* from billing.invitations as i
    where i.organization_id = p_organization_id and i.accepted_at is null and i.revoked_at is null order by i.id
  loop
    perform billing_private.withdraw_invitation(v_invitation, 'sync_organization', p_reason);
  end loop;
  perform billing_private.replace_members(p_organization_id, p_members, p_reason);
  select o.* into v_after from billing.organizations as o where o.organization_id = p_organization_id;
  return v_after;
end
$$;
revoke all on function billing_private.sync_organization(uuid, text, jsonb, text) from public;
grant execute on function billing_private.sync_organization(uuid, text, jsonb, text) to service_role;

create function billing.sync_organization(organization_id uuid, name text, members jsonb, reason text default null)
returns billing.organizations
language sql
volatile
set search_path = ''
return billing_private.sync_organization(organization_id, name, members, reason);
revoke all on function billing.sync_organization(uuid, text, jsonb, text) from public;
grant execute on function billing.sync_organization(uuid, text, jsonb, text) to service_role;
comment on function billing.sync_organization(uuid, text, jsonb, text) is
'Service: creates or renames an organization that another application keeps, and makes its members equal to the list [{user_id, role, department_id}].';
