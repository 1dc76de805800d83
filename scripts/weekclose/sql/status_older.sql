-- The windows before the shown ones whose batch is not at its end.
select
    count(*) as windows,
    min(payout_window) as oldest
from payouts.batches
where payout_window < %(before)s and request_number is null and state not in ('settled', 'rejected')
