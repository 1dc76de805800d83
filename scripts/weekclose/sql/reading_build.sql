-- The last build: the instant it spoke for, and its calendar.
select
    as_of,
    started_at,
    settings
from payouts.last_build()
