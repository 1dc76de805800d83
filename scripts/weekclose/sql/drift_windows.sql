-- The due windows and the last closed ones, oldest first, and for how many windows each one pays.
with

windows as (
    select
        payout_window,
        false as is_due,
        run_id
    from payouts.frozen_windows
    union all
    select
        payout_window,
        true as is_due,
        null as run_id
    from intermediate.int_open_windows
    where is_due
),

-- What is frozen together is paid together, with the latest of it; the others pay nothing.
paying as (
    select
        payout_window,
        is_due,
        case
            when payout_window = max(payout_window) over (partition by run_id) then count(*) over (partition by run_id)
        end as windows_paid
    from windows
),

latest as (
    select
        payout_window,
        is_due,
        windows_paid
    from paying
    order by payout_window desc
    limit %(closed)s + (select count(*) from windows where is_due)
)

select
    payout_window,
    is_due,
    windows_paid
from latest
order by payout_window
