-- The lines that the due rows are the sum of.
insert into payouts.frozen_lines (
    line_id, payout_window, seller_id, currency, order_id, kind, source_id, event_at, order_window,
    home_window, gross, fees, refunds, disputes, adjustments, source_amount
)
select
    line_id,
    payout_window,
    seller_id,
    currency,
    order_id,
    kind,
    source_id,
    event_at,
    order_window,
    home_window,
    gross,
    fees,
    refunds,
    disputes,
    0,
    source_amount
from intermediate.int_order_events
where payout_window = %(window)s
