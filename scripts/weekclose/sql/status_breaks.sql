-- The open breaks of a window, largest difference first.
select
    break_type,
    entity,
    seller_id,
    currency,
    expected,
    actual,
    difference,
    detected_at,
    category,
    owner,
    age
from marts.reconciliation_breaks
where payout_window = %(window)s
order by abs(difference) desc, break_type, entity collate "C"
