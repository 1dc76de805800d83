-- What the rail told about payouts, in the order in which it arrived.
select
    payout_number,
    event_type,
    status,
    received_at,
    verdict,
    external_reference,
    failure_reason
from payouts.inbox
where payout_number = any(%(numbers)s)
order by event_id
