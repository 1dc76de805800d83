-- What one window holds, per currency, status and rail.
select
    currency,
    status,
    rail,
    seller_count as sellers,
    order_count as orders,
    gross,
    fees,
    refunds,
    net,
    disputes,
    adjustments,
    carry_in,
    payable,
    carry_out
from marts.window_summary
where payout_window = %(window)s
order by currency collate "C", status, rail
