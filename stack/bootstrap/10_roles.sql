-- Roles of a Supabase project, as a migration finds them on a hosted one.
-- Run as supabase_admin, the superuser that initdb made. Passwords are set by the starter afterwards.

-- API roles: PostgREST logs in as authenticator and becomes one of the three for each request.
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;

-- `postgres` is the project's owner and NOT a superuser, so a migration that needs one fails here too.
create role postgres login createdb createrole replication bypassrls;
grant anon, authenticated, service_role to postgres with admin option;
grant authenticator to postgres;
grant pg_monitor, pg_read_all_data, pg_signal_backend, pg_checkpoint to postgres;

-- Owners of the platform's own schemas.
create role supabase_auth_admin login noinherit createrole;
create role supabase_storage_admin nologin noinherit;
create role supabase_realtime_admin login noinherit;
create role supabase_replication_admin nologin replication;
create role supabase_read_only_user nologin bypassrls;
create role supabase_functions_admin nologin noinherit createrole;
create role dashboard_user nologin createdb createrole replication;
grant pg_read_all_data to supabase_read_only_user;
grant supabase_realtime_admin to postgres;
-- Realtime decides who may join a private channel by asking the policies as the subscriber would.
grant anon, authenticated, service_role to supabase_realtime_admin;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_auth_admin set search_path = 'auth';
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';
alter role postgres set search_path = "$user", public, extensions;

-- The database belongs to postgres' projects, not to everybody.
alter database postgres owner to postgres;
grant create on database postgres to supabase_auth_admin, supabase_realtime_admin;
