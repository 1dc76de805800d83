-- The open breaks, this window's first, then largest first: amounts in hundredths.
select
    break_type,
    entity,
    seller_id,
    payout_window,
    currency,
    cast(100 * expected as bigint) as expected,
    cast(100 * actual as bigint) as actual,
    cast(100 * difference as bigint) as difference,
    detected_at,
    category,
    owner,
    count(*) over () as found
from marts.reconciliation_breaks
order by payout_window is not distinct from %(window)s desc, abs(difference) desc, break_type, entity collate "C"
limit 500
