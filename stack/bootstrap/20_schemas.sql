-- Schemas, extensions and default privileges that every project has from its first minute.

create schema extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role, supabase_auth_admin, supabase_realtime_admin;
grant all on schema extensions to dashboard_user;
create extension pgcrypto with schema extensions;
create extension "uuid-ossp" with schema extensions;
create extension pg_stat_statements with schema extensions;
grant execute on all functions in schema extensions to postgres, anon, authenticated, service_role;

create schema graphql_public;
grant usage on schema graphql_public to postgres, anon, authenticated, service_role;

-- Schema public: usable by the API roles; what is made in it is exposed or not as `[api]
-- auto_expose_new_tables` says (30_default_privileges_*.sql).
alter schema public owner to pg_database_owner;
grant usage on schema public to postgres, anon, authenticated, service_role;
grant create on schema public to postgres;

-- Trusted extensions that migrations may create run as the superuser; the statements that monitoring
-- needs are readable by the owner.
grant pg_read_all_stats to postgres;

-- Postgres Changes are read from this publication; migrations add tables to it.
create publication supabase_realtime;
alter publication supabase_realtime owner to postgres;

-- PostgREST listens for this, so that a migration is visible to the API at once.
create function extensions.pgrst_ddl_watch() returns event_trigger
language plpgsql
set search_path = ''
as $$
declare
  v_command record;
begin
  for v_command in select * from pg_catalog.pg_event_trigger_ddl_commands() loop
    if v_command.schema_name is distinct from 'pg_temp' then
      notify pgrst, 'reload schema';
      return;
    end if;
  end loop;
end
$$;
create function extensions.pgrst_drop_watch() returns event_trigger
language plpgsql
set search_path = ''
as $$
declare
  v_dropped record;
begin
  for v_dropped in select * from pg_catalog.pg_event_trigger_dropped_objects() loop
    if not v_dropped.is_temporary then
      notify pgrst, 'reload schema';
      return;
    end if;
  end loop;
end
$$;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();
