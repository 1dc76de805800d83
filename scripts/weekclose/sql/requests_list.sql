-- Requests by number, of a seller and in a status where those are named.
select
    request_number,
    seller_id,
    currency,
    amount,
    status,
    reason,
    schedule_number,
    payout_number,
    requested_by,
    requested_at,
    decided_by,
    decided_at,
    decision_reason
from marts.payout_requests
where
    (cast(%(seller)s as text) is null or seller_id = %(seller)s)
    and (cast(%(status)s as text) is null or status = %(status)s)
    and request_number collate "C" > %(after)s
order by request_number collate "C"
limit %(limit)s
