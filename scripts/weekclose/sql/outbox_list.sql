-- Events of the outbox with what became of their delivery, by id.
select
    event_id,
    message_id,
    type,
    entity,
    payload,
    created_at,
    tries,
    delivered_at,
    last_error,
    next_try_at
from payouts.outbox
where
    event_id > %(after)s
    and (not %(waiting)s or delivered_at is null)
    and (cast(%(entity)s as text) is null or entity = %(entity)s)
    and (cast(%(type)s as text) is null or type = %(type)s)
order by event_id
limit %(limit)s
