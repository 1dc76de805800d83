-- Holds, those whose time is over first, then the active ones by their end: amounts in hundredths.
select
    hold_number,
    seller_id,
    order_id,
    payout_number,
    currency,
    cast(100 * amount as bigint) as amount,
    reason,
    coalesce(nullif(ended_because, ''), note) as note,
    status,
    cast(is_overdue as integer) as is_overdue,
    release_at,
    held_by,
    held_at,
    ended_by,
    ended_at
from marts.escrow_holds
order by
    is_overdue desc,
    status collate "C",
    coalesce(release_at, 'infinity'),
    hold_number collate "C"
limit %(limit)s
