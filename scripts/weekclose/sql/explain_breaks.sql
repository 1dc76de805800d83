-- The open breaks of a seller's lines in a window.
select
    break_type,
    entity,
    currency,
    expected,
    actual,
    difference,
    detected_at
from marts.reconciliation_breaks
where seller_id = %(seller)s and payout_window = %(window)s
order by break_type, entity collate "C"
