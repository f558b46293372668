-- Every exposed function with its arguments and who may execute it.
select p.proname as name, p.provolatile <> 'v' as is_read_only, coalesce(obj_description(p.oid, 'pg_proc'), '') as comment,
  p.proargnames[1:p.pronargs] as names,
  array(select format_type(t.type, null) from unnest(p.proargtypes) with ordinality as t (type, place) order by t.place) as types,
  array(
    select r.rolname::text from aclexplode(p.proacl) as a inner join pg_roles as r on r.oid = a.grantee where r.rolname <> 'postgres'
  ) as roles
from pg_proc as p where p.pronamespace = 'billing'::regnamespace order by p.proname
