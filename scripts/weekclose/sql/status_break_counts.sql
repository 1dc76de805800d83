-- The open breaks of all windows, and of none, by who has to act; the oldest first.
select
    owner,
    category,
    break_type,
    count(*) as breaks,
    max(age) as oldest
from marts.reconciliation_breaks
group by owner, category, break_type
order by oldest desc, break_type
