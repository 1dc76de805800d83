-- What the windows hold, per currency and status.
select
    payout_window,
    currency,
    status,
    sum(seller_count) as sellers,
    sum(order_count) as orders,
    sum(net) as net,
    sum(disputes) as disputes,
    sum(payable) as payable,
    sum(carry_out) as carry_out
from marts.window_summary
where payout_window = any(%(windows)s)
group by payout_window, currency, status
order by payout_window, currency collate "C", status
