-- The shown sellers' rows of the twelve windows before: amounts in hundredths.
select
    seller_id,
    currency,
    payout_window,
    cast(100 * net as bigint) as net,
    cast(100 * payable as bigint) as payable,
    status,
    payout_number
from marts.settlement_windows
where
    payout_window < %(window)s
    and payout_window >= cast(%(window)s as date) - 12 * 7
    and status != 'before_start'
    and seller_id = any(%(sellers)s)
order by seller_id collate "C", currency collate "C", payout_window
