-- What is to be told to a recipient now, once its next try is due.
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
    delivered_at is null
    and channel = %(channel)s
    and recipient = %(recipient)s
    and coalesce(next_try_at <= clock_timestamp(), true)
order by notification_id
limit %(limit)s
