with recursive

open_windows as (
    select {{ first_unfrozen_window() }} as payout_window
    union all
    select payout_window + 7
    from open_windows
    where payout_window < {{ payout_window_of(local_date(as_of())) }}
)

select
    payout_window,
    {{ local_midnight('payout_window + 7') }} as window_ends_at,
    {{ reserve_closes_at('payout_window') }} as reserve_closes_at,
    {{ reserve_closes_at('payout_window') }} <= {{ as_of() }} as is_due
from open_windows
where payout_window < cast('infinity' as date)
