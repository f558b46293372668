-- Schema storage exists on every project; no storage server runs here, so it holds nothing.
create schema storage authorization supabase_admin;
grant usage on schema storage to postgres, anon, authenticated, service_role;
