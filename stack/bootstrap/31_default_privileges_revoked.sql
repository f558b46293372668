-- What the platform runs on a project that does not expose new objects by itself. It leaves REFERENCES,
-- TRIGGER, TRUNCATE and MAINTAIN on tables and EXECUTE for PUBLIC on functions: migrations must revoke those.
alter default privileges for role postgres in schema public
revoke select, insert, update, delete on tables from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
revoke usage, select on sequences from anon, authenticated, service_role;
alter default privileges for role postgres in schema public
revoke execute on functions from anon, authenticated, service_role;
