-- The last Sunday run, and whether somebody is at it now: a run holds its lock until it ends or dies.
select
    outcome,
    message,
    finished_at,
    current_timestamp - started_at as age,
    exists (
        select from pg_catalog.pg_locks
        where
            locktype = 'advisory'
            and database = (select oid from pg_catalog.pg_database where datname = current_database())
            and (cast(classid as bigint) << 32) | cast(objid as bigint) = hashtext('weekclose sunday')
            and objsubid = 1
    ) as is_going_on
from payouts.warehouse_runs
order by started_at desc
limit 1
