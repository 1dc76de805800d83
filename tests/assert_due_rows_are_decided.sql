-- A row whose reserve has closed is decided (ready, blocked or carried forward), and no row is decided
-- before. A row here is either money that leaves while a buyer can still claim it back, or money that
-- waits a week for nothing.
select
    seller_id,
    payout_window,
    currency,
    status,
    reserve_closes_at
from {{ ref('int_window_rows') }}
where
    payout_window >= {{ first_unfrozen_window() }}
    and (status = 'pending') != (reserve_closes_at > as_of)
