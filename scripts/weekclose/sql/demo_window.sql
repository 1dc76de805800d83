-- What the last frozen window pays, per currency, rail and status.
select
    currency,
    rail,
    status,
    seller_count as sellers,
    order_count as orders,
    gross,
    fees,
    refunds,
    net,
    disputes,
    carry_in,
    payable,
    carry_out
from marts.window_summary
where payout_window = %(window)s
order by currency, rail nulls last, status
