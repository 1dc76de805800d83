-- What was requested between windows in the newest weeks, newest first: in hundredths, times in hours.
select
    request_window,
    currency,
    seller_type,
    trigger_event,
    request_count,
    cast(100 * amount as bigint) as amount,
    undecided_count,
    approved_count,
    rejected_count,
    paid_count,
    cast(100 * paid_amount as bigint) as paid_amount,
    failed_count,
    cast(approval_rate as double precision) as approval_rate,
    cast(median_seconds_to_decision / 3600 as double precision) as hours_to_decision,
    cast(median_seconds_to_payment / 3600 as double precision) as hours_to_payment
from marts.request_patterns
where request_window > cast(%(since)s as date)
order by request_window desc, currency collate "C", seller_type collate "C", trigger_event collate "C"
