-- Every table and view of schema billing with its columns.
select c.relname as name, c.relkind = 'v' as is_view, array_agg(a.attname::text order by a.attnum) as columns
from pg_class as c
inner join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
where c.relnamespace = 'billing'::regnamespace and c.relkind in ('r', 'p', 'v')
group by c.oid order by c.relname
