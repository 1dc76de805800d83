-- Requests, those that wait for a decision first, then the newest: amounts in hundredths.
select
    request_number,
    seller_id,
    payout_number,
    schedule_number,
    currency,
    cast(100 * amount as bigint) as amount,
    status,
    coalesce(nullif(decision_reason, ''), reason) as reason,
    requested_by,
    requested_at,
    decided_by,
    decided_at
from marts.payout_requests
order by status = 'requested' desc, requested_at desc, request_number collate "C" desc
limit %(limit)s
