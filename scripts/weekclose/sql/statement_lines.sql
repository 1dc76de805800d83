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
from marts.settlement_lines
where seller_id = %(seller)s and payout_window = %(window)s
order by
    currency collate "C",
    event_at,
    array_position(array['sale', 'refund', 'dispute_opened', 'dispute_closed'], kind),
    line_id collate "C"
