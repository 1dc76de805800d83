-- The last build: the instant it spoke for, and its calendar.
select
    as_of,
    started_at,
    cast(settings as jsonb) as settings
from intermediate.int_builds
order by started_at desc
limit 1
