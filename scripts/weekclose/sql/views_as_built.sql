-- Whether the views are still those that a build left: a digest of their columns and their SQL. Of a view
-- that each run writes anew only the columns count: if they change, what reads it has to be made anew too.
select
    md5(string_agg(
        concat_ws('|', wanted.name, columns.described, definition.query), E'\n'
        order by wanted.name
    ))
from
    unnest(
        cast(%(all)s as text []),
        cast(%(standing)s as boolean [])
    ) as wanted (name, is_standing)
left join pg_catalog.pg_class as view on to_regclass(wanted.name) = view.oid and view.relkind = 'v'
left join lateral (
    select string_agg(concat_ws(' ', attname, atttypid, atttypmod), ',' order by attnum) as described
    from pg_catalog.pg_attribute
    where attrelid = view.oid and attnum > 0
) as columns on true
left join lateral (
    select pg_get_viewdef(view.oid) as query where wanted.is_standing
) as definition on true
