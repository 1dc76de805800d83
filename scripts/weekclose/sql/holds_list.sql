-- Holds by number, of a seller, in a status and for a reason where those are named; guarantees last.
select
    hold_number,
    seller_id,
    currency,
    amount,
    reason,
    note,
    order_id,
    payout_number,
    release_at,
    status,
    held_by,
    held_at,
    ended_by,
    ended_at,
    ended_because
from marts.escrow_holds
where
    (cast(%(seller)s as text) is null or seller_id = %(seller)s)
    and (cast(%(status)s as text) is null or status = %(status)s)
    and (cast(%(reason)s as text) is null or reason = %(reason)s)
    and hold_number collate "C" > %(after)s
order by hold_number collate "C"
limit %(limit)s
