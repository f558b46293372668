-- Every right and policy of the product, one a line; the owner's own are left out.
with schemas as (select n.oid, n.nspname, n.nspacl, n.nspowner from pg_namespace as n where n.nspname in ('billing', 'billing_private')),
acls as (
  select 'schema' as kind, s.nspname::text as name, coalesce(s.nspacl, acldefault('n', s.nspowner)) as acl from schemas as s
  union all
  select case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end, s.nspname || '.' || c.relname,
    coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's'::"char" else 'r'::"char" end, c.relowner))
  from pg_class as c inner join schemas as s on s.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'S')
    and c.relname !~ '^credit_usage_runs_[0-9]{6}$' -- months, made as time goes on; they have no rights but their parent's
  union all
  select 'column', s.nspname || '.' || c.relname || '.' || a.attname, a.attacl
  from pg_attribute as a inner join pg_class as c on c.oid = a.attrelid inner join schemas as s on s.oid = c.relnamespace
  where a.attacl is not null
  union all
  select 'function', s.nspname || '.' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')'
    || case when p.prosecdef then ' definer' else '' end, coalesce(p.proacl, acldefault('f', p.proowner))
  from pg_proc as p inner join schemas as s on s.oid = p.pronamespace
  union all
  select 'default', coalesce(n.nspname, 'every schema') || ' ' || d.defaclobjtype::text, d.defaclacl
  from pg_default_acl as d left join schemas as n on n.oid = d.defaclnamespace
  where d.defaclrole = 'postgres'::regrole and (d.defaclnamespace = 0 or n.oid is not null)
)
select a.kind || ' ' || a.name || ': ' || coalesce((
  select string_agg(coalesce(r.rolname, 'PUBLIC') || '=' || x.rights, ' ' order by coalesce(r.rolname, 'PUBLIC'))
  from (
    select e.grantee, string_agg(e.privilege_type || case when e.is_grantable then '*' else '' end, ',' order by e.privilege_type) as rights
    from aclexplode(a.acl) as e group by e.grantee
  ) as x
  left join pg_roles as r on r.oid = x.grantee
  where r.rolname is distinct from 'postgres'
), '-')
from acls as a
union all
select 'row security ' || s.nspname || '.' || c.relname || ': ' || case when c.relrowsecurity then 'on' else 'off' end
from pg_class as c inner join schemas as s on s.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relname !~ '^credit_usage_runs_[0-9]{6}$'
union all
select 'policy ' || p.schemaname || '.' || p.tablename || ' ' || p.policyname || ': ' || lower(p.cmd) || ' to ' || array_to_string(p.roles, ', ')
  || coalesce(' using ' || regexp_replace(p.qual, '\s+', ' ', 'g'), '')
  || coalesce(' with check ' || regexp_replace(p.with_check, '\s+', ' ', 'g'), '')
from pg_policies as p
-- Realtime's own tests leave policies of theirs on its table; ours bear our name.
where p.schemaname in ('billing', 'billing_private') or (p.schemaname = 'realtime' and p.policyname like 'tallybase%')
