-- The view has one row per seller, window and currency. It is put together from three ages of windows, and
-- a view has no key of its own: a window that is counted in two of them would show, and sum up, its money
-- twice.
select
    seller_id,
    payout_window,
    currency,
    count(*) as row_count
from {{ ref('settlement_windows') }}
where payout_window >= {{ first_audited_window() }}
group by seller_id, payout_window, currency
having count(*) > 1
