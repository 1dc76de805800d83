-- What became of the last frozen window, per currency and status.
select
    currency,
    status,
    sum(seller_count) as sellers,
    sum(order_count) as orders,
    sum(gross) as gross,
    sum(net) as net,
    sum(disputes) as disputes,
    sum(carry_in) as carry_in,
    sum(payable) as payable,
    sum(carry_out) as carry_out
from marts.window_summary
where payout_window = %(window)s
group by currency, status
order by currency, status
