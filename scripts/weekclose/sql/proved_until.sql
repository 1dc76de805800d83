-- Up to when the last green run has proved everything: it saw no row that arrived after it began, or speaks of later.
select max(least(as_of, started_at))
from payouts.warehouse_runs
where
    outcome in ('frozen', 'nothing_to_freeze', 'not_frozen')
    and as_of <= %(as_of)s
    and settings @> %(settings)s
