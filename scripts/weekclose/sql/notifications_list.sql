-- Who was told what, by id.
select
    notification_id,
    about,
    channel,
    recipient,
    message,
    created_at,
    tries,
    delivered_at,
    last_error,
    next_try_at
from payouts.notifications
where
    notification_id > %(after)s
    and (not %(waiting)s or delivered_at is null)
    and (cast(%(channel)s as text) is null or channel = %(channel)s)
order by notification_id
limit %(limit)s
