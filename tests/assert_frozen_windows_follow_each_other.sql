-- Frozen windows form one chain without a gap: each begins on the day the one before ends. The first
-- unfrozen window is found by the newest frozen one: lines of a window in a gap would never be settled.
select
    payout_window,
    previous_window
from (
    select
        payout_window,
        lag(payout_window) over (order by payout_window) as previous_window
    from {{ source('payouts', 'frozen_windows') }}
) as chain
where
    payout_window != previous_window + 7
    or payout_window != {{ payout_window_of('payout_window') }}
