-- What waits in the outbox, for how long, and what is in the way.
select
    count(*) as waiting_count,
    current_timestamp - min(created_at) as waiting_age,
    max(tries) as tries,
    (array_agg(last_error order by event_id) filter (where last_error is not null))[1] as last_error
from payouts.outbox
where delivered_at is null
