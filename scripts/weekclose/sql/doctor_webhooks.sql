-- What the rail was told last, what it told last, and what of that waits.
select
    current_timestamp - submitted.newest_at as submitted_age,
    current_timestamp - told.newest_at as told_age,
    waiting.event_count as waiting_count,
    current_timestamp - waiting.oldest_at as waiting_age
from (
    select max(attempts.started_at) as newest_at
    from payouts.submit_attempts as attempts
    inner join payouts.batches as batches on attempts.batch_id = batches.batch_id
    where batches.state in ('submitted', 'settled') and batches.rail <> 'MANUAL'
) as submitted
cross join (select max(received_at) as newest_at from payouts.rail_events) as told
cross join (
    select
        count(*) as event_count,
        min(events.received_at) as oldest_at
    from payouts.event_outcomes as outcomes
    inner join payouts.rail_events as events on outcomes.event_id = events.event_id
    where outcomes.outcome is null
) as waiting
