-- What the reserve holds, by the window that it releases: amounts in hundredths.
select
    payout_window,
    currency,
    min(reserve_closes_at) as reserve_closes_at,
    count(*) as sellers,
    cast(100 * sum(net - disputes + adjustments) as bigint) as amount
from marts.settlement_windows
where status = 'pending' and payout_window > %(window)s
group by payout_window, currency
order by payout_window, currency collate "C"
