-- The open breaks of a seller's window.
select
    break_type,
    entity,
    currency,
    expected,
    actual,
    difference,
    detected_at,
    category,
    owner,
    age
from marts.reconciliation_breaks
where seller_id = %(seller)s and payout_window = %(window)s
order by break_type, entity collate "C"
