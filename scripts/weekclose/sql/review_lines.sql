-- The lines of a window's shown sellers, seller by seller in the order in which they happened, in hundredths.
select
    seller_id,
    currency,
    nullif(line_id, 'sale:' || order_id) as line_id,
    order_id,
    kind,
    cast(extract(epoch from event_at) as bigint) as event_at,
    cast(100 * gross as bigint) as gross,
    cast(100 * fees as bigint) as fees,
    cast(100 * refunds as bigint) as refunds,
    cast(100 * disputes as bigint) as disputes,
    cast(100 * adjustments as bigint) as adjustments,
    cast(is_late as integer) as is_late
from marts.settlement_lines
where payout_window = %(window)s and seller_id = any(%(sellers)s)
order by
    seller_id collate "C",
    currency collate "C",
    event_at,
    array_position(array['sale', 'refund', 'dispute_opened', 'dispute_closed', 'adjustment'], kind),
    line_id collate "C"
