-- Who may touch what, read from the catalogue: nothing is granted beyond what the design says, whatever the platform's defaults.

begin;
select tests.story(23);

create temporary view relations as
select c.oid, n.nspname as schema, c.relname as name, c.relkind as kind, c.relacl, c.relrowsecurity, c.relispartition, c.reloptions,
  n.nspname || '.' || c.relname as full_name
from pg_class as c
inner join pg_namespace as n on n.oid = c.relnamespace
where n.nspname in ('billing', 'billing_private') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S');

create temporary view relation_grants as
select r.full_name, r.kind, r.relispartition, coalesce(g.rolname, 'public') as grantee, a.privilege_type, a.is_grantable
from relations as r
cross join lateral aclexplode(coalesce(r.relacl, acldefault(case when r.kind = 'S' then 's' else 'r' end::"char",
  (select c.relowner from pg_class as c where c.oid = r.oid)))) as a
left join pg_roles as g on g.oid = a.grantee
where g.rolname is distinct from 'postgres';

create temporary view routines as
select p.oid, n.nspname as schema, p.proname as name, p.oid::regprocedure::text as full_name, p.prosecdef as is_definer, p.prosrc,
  p.proconfig, p.proacl, p.proowner, l.lanname as language, p.prorettype
from pg_proc as p
inner join pg_namespace as n on n.oid = p.pronamespace
inner join pg_language as l on l.oid = p.prolang
where n.nspname in ('billing', 'billing_private');

create temporary view routine_grants as
select r.schema, r.full_name, coalesce(g.rolname, 'public') as grantee
from routines as r
cross join lateral aclexplode(coalesce(r.proacl, acldefault('f', r.proowner))) as a
left join pg_roles as g on g.oid = a.grantee
where g.rolname is distinct from 'postgres';

-- Tables ----------------------------------------------------------------------------------------------

select is_empty(
  $$select full_name from relations where kind in ('r', 'p') and not relrowsecurity$$,
  'every table of both schemas has row level security, partitions included');

select is_empty(
  $$select full_name, grantee, privilege_type from relation_grants where privilege_type <> 'SELECT' or is_grantable$$,
  'nobody has INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER or MAINTAIN on anything, nor may hand on a right, nor use a sequence');

select is_empty(
  $$select full_name, grantee from relation_grants where grantee not in ('anon', 'authenticated', 'service_role')$$,
  'nothing is granted to PUBLIC or to a role of the platform');

select set_eq(
  $$select full_name from relation_grants where grantee = 'anon'$$,
  array['billing.credit_packages', 'billing.subscription_plans'],
  'a visitor may read plans and packs alone');

select set_eq(
  $$select full_name from relation_grants where grantee = 'authenticated' and full_name like 'billing.%'$$,
  $$select full_name from relations where schema = 'billing' and kind <> 'S'$$,
  'a signed-in person may read, under row level security, every table and view of billing');

select set_eq(
  $$select full_name from relation_grants where grantee = 'service_role'$$,
  $$select full_name from relation_grants where grantee = 'authenticated'$$,
  'the service may read what a signed-in person may, and no more tables');

select set_eq(
  $$select full_name from relation_grants where full_name like 'billing_private.%'$$,
  array['billing_private.credit_grant_lots', 'billing_private.credit_limit_counters', 'billing_private.credit_usage_watermarks',
    'billing_private.credit_usage_runs'],
  'of billing_private only what views and invoker functions of billing read through');

select is_empty($$select full_name from relation_grants where relispartition$$, 'no partition has a grant of its own');

select is_empty(
  $$select a.attrelid::regclass, a.attname from pg_attribute as a inner join relations as r on r.oid = a.attrelid where a.attacl is not null$$,
  'no column has a grant of its own');

select is_empty(
  $$select full_name from relations where kind = 'v' and not coalesce(reloptions @> '{security_invoker=true}', false)$$,
  'every view runs with the rights of its reader');

select is_empty($$select full_name from relations where kind in ('m', 'f')$$,
  'no materialized view and no foreign table, which know no row level security');

select is_empty(
  $$select schemaname, tablename, policyname from pg_policies where schemaname in ('billing', 'billing_private')
    and (cmd <> 'SELECT' or permissive <> 'PERMISSIVE' or with_check is not null or 'public' = any(roles) or qual in ('true', '(true)'))$$,
  'every policy is for reading, names its roles, and has a condition');

select set_eq(
  $$select tablename::text from pg_policies where schemaname in ('billing', 'billing_private') and 'anon' = any(roles)$$,
  array['credit_packages', 'subscription_plans'],
  'no policy but those of plans and packs lets a visitor in');

select is_empty(
  $$select p.polrelid::regclass from pg_policy as p inner join relations as r on r.oid = p.polrelid group by 1 having count(*) > 1$$,
  'one policy a table, so that none can widen another');

select is_empty(
  $$select r.full_name, a.attname from relations as r inner join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0
    where exists (select 1 from relation_grants as g where g.full_name = r.full_name)
      and a.attname ~ '(secret|hash|token|password|digest|salt|checksum|fingerprint)'$$,
  'no column that a client may read holds a secret or what one could be guessed from');

-- Functions -------------------------------------------------------------------------------------------

select is_empty($$select full_name from routine_grants where grantee not in ('anon', 'authenticated', 'service_role', 'billing_agent')$$,
  'no function is open to PUBLIC');

select set_eq(
  $$select full_name from routine_grants where grantee = 'billing_agent' and schema = 'billing'$$,
  $$select full_name from routine_grants where grantee = 'anon' and schema = 'billing'$$,
  'a token in place of an agent key may call what a key may, and nothing else');

select is_empty($$select full_name from routines where schema = 'billing' and is_definer$$,
  'every exposed function runs with the rights of its caller');

select set_eq(
  $$select full_name from routines where not coalesce(proconfig && array['search_path=""'], false)$$,
  -- It must be inlined into its caller's query for the burn-down index to be used, and a function with settings is not. It is no definer,
  -- is granted to nobody, names every relation with its schema, and is only called from bodies whose own path is pinned.
  array['billing_private.burn_down(uuid,uuid,text)'],
  'every function pins an empty search_path, but for one that says why not');

select set_eq(
  $$select full_name from routines where language not in ('sql', 'plpgsql') or prosrc ~* '\mexecute\M' or prosrc ~* '\mset_config\M'$$,
  -- Tables that are made ahead of time have names that no file can hold. It builds them from a date alone and is granted to nobody.
  array['billing_private.make_partitions(timestamp with time zone)'],
  'no function runs text as SQL, or changes a setting, but for one that says why');

select is_empty(
  $$select full_name from routines where proowner <> 'postgres'::regrole$$,
  'every function runs as the owner of the schema or as its caller, never as a superuser');

select is_empty(
  $$select n.nspname, c.rolname from pg_default_acl as d
    left join pg_namespace as n on n.oid = d.defaclnamespace
    cross join lateral aclexplode(d.defaclacl) as a
    left join pg_roles as c on c.oid = a.grantee
    where (d.defaclnamespace = 0 or n.nspname in ('billing', 'billing_private')) and d.defaclrole = 'postgres'::regrole
      and c.rolname is distinct from 'postgres'$$,
  'what is created from now on is granted to nobody by default');

select set_eq(
  $$select n.nspname::text, coalesce(g.rolname, 'public')::text, a.privilege_type from pg_namespace as n
    cross join lateral aclexplode(n.nspacl) as a
    left join pg_roles as g on g.oid = a.grantee
    where n.nspname in ('billing', 'billing_private') and g.rolname is distinct from 'postgres'$$,
  $$values ('billing', 'anon', 'USAGE'), ('billing', 'authenticated', 'USAGE'), ('billing', 'service_role', 'USAGE'),
    ('billing', 'billing_agent', 'USAGE'), ('billing_private', 'billing_agent', 'USAGE'),
    ('billing_private', 'anon', 'USAGE'), ('billing_private', 'authenticated', 'USAGE'), ('billing_private', 'service_role', 'USAGE')$$,
  'the schemas may be used, and nothing created in them');

select * from finish();
rollback;
