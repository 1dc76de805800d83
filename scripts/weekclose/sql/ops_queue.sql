-- The queue in its order, with names: amounts in hundredths, ages in hours.
select
    queue.payout_number,
    queue.seller_id,
    sellers.display_name as name,
    queue.payout_window,
    queue.currency,
    cast(100 * queue.amount as bigint) as amount,
    queue.rail,
    queue.status,
    queue.readiness,
    queue.attention,
    array_to_string(queue.reasons, '; ') as reasons,
    queue.next_action,
    queue.since,
    cast(extract(epoch from queue.age) / 3600 as integer) as age_hours
from marts.payout_queue as queue
left join staging.stg_sellers as sellers on queue.seller_id = sellers.seller_id
order by queue.priority_rank
