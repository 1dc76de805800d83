-- The queue in its order, with the given readiness, attention, seller and window where those are named.
select
    priority_rank,
    payout_number,
    request_number,
    seller_id,
    payout_window,
    currency,
    amount,
    rail,
    status,
    readiness,
    attention,
    reasons,
    next_action,
    since,
    age
from marts.payout_queue
where
    (cast(%(readiness)s as text) is null or readiness = %(readiness)s)
    and (cast(%(attention)s as text) is null or attention = %(attention)s)
    and (cast(%(seller)s as text) is null or seller_id = %(seller)s)
    and (cast(%(window)s as date) is null or payout_window = %(window)s)
    and priority_rank > %(after)s
order by priority_rank
limit %(limit)s
