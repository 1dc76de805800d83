-- What the windows before brought in: the frozen ones, and those that are still open.
select
    frozen_at is not null as is_frozen,
    count(*) as windows,
    min(payout_window) as first_window,
    max(payout_window) as last_window,
    sum(net - disputes + adjustments) as cash
from marts.settlement_windows
where
    seller_id = %(seller)s
    and currency = %(currency)s
    and payout_window < %(window)s
    and status <> 'before_start'
group by frozen_at is not null
order by is_frozen desc
