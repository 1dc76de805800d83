-- Schedules, those that are due first, then the newest: amounts in hundredths.
select
    schedule_number,
    seller_id,
    order_id,
    request_number,
    currency,
    cast(100 * amount as bigint) as amount,
    trigger_event,
    note,
    status,
    cast(is_due as integer) as is_due,
    due_at,
    retry_count,
    last_error,
    created_by,
    created_at
from marts.payout_schedules
order by is_due desc, created_at desc, schedule_number collate "C" desc
limit %(limit)s
