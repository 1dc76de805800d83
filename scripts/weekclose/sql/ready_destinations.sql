-- The wallets that the due windows would pay to.
select
    payout_window,
    seller_id,
    rail,
    destination
from intermediate.int_window_rows
where status = 'ready'
