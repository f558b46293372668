-- Every column of schema billing with what is said about it.
select c.relname as relation, c.relkind = 'v' as is_view, obj_description(c.oid, 'pg_class') as about, a.attname as name,
  case when t.typtype = 'd' then t.typname else format_type(a.atttypid, a.atttypmod) end as type, a.attnotnull as is_required,
  col_description(c.oid, a.attnum) as comment
from pg_class as c
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
inner join pg_type as t on t.oid = a.atttypid
where c.relnamespace = 'billing'::regnamespace and c.relkind in ('r', 'p', 'v')
order by c.relname, a.attnum
