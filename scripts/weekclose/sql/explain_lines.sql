-- The lines of a seller's window in the order in which they happened, with where each comes from.
select
    lines.line_id,
    lines.currency,
    lines.kind,
    lines.order_id,
    lines.event_at,
    lines.gross,
    lines.fees,
    lines.refunds,
    lines.disputes,
    lines.adjustments,
    lines.is_late,
    events.order_window,
    events.home_window,
    -events.source_amount as claim,
    events.loaded_at,
    home.frozen_at as home_frozen_at,
    home.as_of as home_frozen_as_of
from marts.settlement_lines as lines
inner join intermediate.int_order_events as events on lines.line_id = events.line_id
left join payouts.frozen_windows as home on lines.is_late and events.home_window = home.payout_window
where lines.seller_id = %(seller)s and lines.payout_window = %(window)s
order by
    lines.currency collate "C",
    lines.event_at,
    array_position(array['sale', 'refund', 'dispute_opened', 'dispute_closed'], lines.kind),
    lines.line_id collate "C"
