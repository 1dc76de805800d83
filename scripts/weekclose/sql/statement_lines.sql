-- A seller's lines of a window in the order in which they happened.
select
    line_id,
    currency,
    order_id,
    kind,
    event_at,
    gross,
    fees,
    refunds,
    disputes,
    adjustments,
    is_late
from payouts.lines_of(%(seller)s, %(window)s)
order by
    currency collate "C",
    event_at,
    array_position(array['sale', 'refund', 'dispute_opened', 'dispute_closed', 'adjustment'], kind),
    line_id collate "C"
