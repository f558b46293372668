-- How long a call may run and wait, for each role in which one arrives. PostgREST applies a role's settings to every request of it.
--
-- Roles belong to the whole project: what it has set for itself stays. The values are the platform's, with a bound for the service, and for
-- waiting: a lock of ours is given up after 2 s (billing_private.wait_for_lock), so these only end what waits for something else.

do $$
declare
  v_setting record;
begin
  for v_setting in
    select * from (values
      ('anon', 'statement_timeout', '3s'),
      ('billing_agent', 'statement_timeout', '3s'),
      ('authenticated', 'statement_timeout', '8s'),
      ('service_role', 'statement_timeout', '60s'),
      ('anon', 'lock_timeout', '2500ms'),
      ('billing_agent', 'lock_timeout', '2500ms'),
      ('authenticated', 'lock_timeout', '5s'),
      ('service_role', 'lock_timeout', '10s')
    ) as s (role_name, name, value)
    where not exists (
      select 1 from pg_catalog.pg_db_role_setting as d
      inner join pg_catalog.pg_roles as r on r.oid = d.setrole
      cross join unnest(d.setconfig) as c (entry)
      where r.rolname = s.role_name and c.entry like s.name || '=%'
    )
  loop
    begin
      execute format('alter role %I set %I = %L', v_setting.role_name, v_setting.name, v_setting.value);
    exception when insufficient_privilege then -- a platform that keeps its roles to itself has bounds of its own
      raise warning '% of role % stays as it is: %', v_setting.name, v_setting.role_name, sqlerrm;
    end;
  end loop;
end
$$;
