-- What is to be delivered now: of each entity its first event that is not, once its next try is due.
select
    event_id,
    message_id,
    type,
    entity,
    payload,
    created_at
from payouts.outbox as events
where
    delivered_at is null
    and coalesce(next_try_at <= clock_timestamp(), true)
    and not exists (
        select 1
        from payouts.outbox as earlier
        where
            earlier.entity = events.entity
            and earlier.event_id < events.event_id
            and earlier.delivered_at is null
    )
order by event_id
limit %(limit)s
