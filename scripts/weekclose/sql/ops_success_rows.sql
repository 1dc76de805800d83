-- The same by rail, region and reason, newest first: amounts in hundredths.
select
    payout_window,
    currency,
    rail,
    region,
    reason,
    payout_count,
    cast(100 * amount as bigint) as amount,
    executed_count,
    failed_count + returned_count as failed_count,
    blocked_count,
    open_count,
    reversed_count,
    attempt_count,
    cast(success_rate as double precision) as success_rate
from marts.payment_success
where payout_window > cast(%(since)s as date)
order by
    payout_window desc, currency collate "C", payout_count desc, rail collate "C", region collate "C",
    reason collate "C"
