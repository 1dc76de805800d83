-- What held when a window was frozen, and whether a later one was due with it and pays for both.
select
    frozen.frozen_at,
    frozen.as_of as frozen_as_of,
    cast(frozen.settings ->> 'reserve_days' as integer) as reserve_days,
    case
        when frozen.payout_window is null
            then
                exists (
                    select from intermediate.int_open_windows as later
                    where later.is_due and later.payout_window > %(window)s
                )
        else
            exists (
                select from payouts.frozen_windows as later
                where later.run_id = frozen.run_id and later.payout_window > frozen.payout_window
            )
    end as is_paid_with_a_later
from (values (1)) as always (one)
left join payouts.frozen_windows as frozen on frozen.payout_window = %(window)s
