-- The lines of a seller's window in the order in which they happened, with where each comes from: an order's
-- event, or an adjustment and the approved exception that brought it here, if one did.
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
    coalesce(events.home_window, lines.payout_window) as home_window,
    -events.source_amount as claim,
    events.loaded_at,
    home.frozen_at as home_frozen_at,
    home.as_of as home_frozen_as_of,
    adjustments.adjustment_number,
    adjustments.class,
    adjustments.seller_id as proposed_for,
    adjustments.amount as proposed_amount,
    adjustments.reason,
    adjustments.note,
    adjustments.source,
    adjustments.source_id,
    adjustments.proposed_by,
    adjustments.approved_by,
    array(
        select wishes.deviation || ' asked by ' || wishes.requested_by || ', approved by ' || wishes.decided_by
        from payouts.exceptions as wishes
        where wishes.adjustment_number = adjustments.adjustment_number and wishes.decision = 'approved'
        order by wishes.exception_id
    ) as deviations
from marts.settlement_lines as lines
left join intermediate.int_order_events as events on lines.line_id = events.line_id
left join payouts.frozen_windows as home on lines.is_late and events.home_window = home.payout_window
left join payouts.adjustments as adjustments
    on lines.kind = 'adjustment' and lines.line_id = 'adjustment:' || adjustments.adjustment_number
where lines.seller_id = %(seller)s and lines.payout_window = %(window)s
order by
    lines.currency collate "C",
    lines.event_at,
    array_position(array['sale', 'refund', 'dispute_opened', 'dispute_closed', 'adjustment'], lines.kind),
    lines.line_id collate "C"
