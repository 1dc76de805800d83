-- The windows that are due and not frozen, oldest first.
select
    payout_window,
    window_ends_at,
    reserve_closes_at
from intermediate.int_open_windows
where is_due
order by payout_window
