-- Schedules by number, of a seller, in a status, with a trigger, due by now, where those are named.
select
    schedule_number,
    seller_id,
    currency,
    amount,
    trigger_event,
    order_id,
    due_at,
    is_due,
    status,
    retry_count,
    last_error,
    request_number,
    note,
    created_by
from marts.payout_schedules
where
    (cast(%(seller)s as text) is null or seller_id = %(seller)s)
    and (cast(%(status)s as text) is null or status = %(status)s)
    and (cast(%(trigger)s as text) is null or trigger_event = %(trigger)s)
    and (cast(%(is_due)s as boolean) is null or is_due = %(is_due)s)
    and schedule_number collate "C" > %(after)s
order by schedule_number collate "C"
limit %(limit)s
