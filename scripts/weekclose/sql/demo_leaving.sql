-- A payout of a window that nothing blocks: a seller's own, or without one the ranked, from the largest.
select
    payout_number,
    seller_id,
    currency,
    amount,
    destination,
    status
from payouts.payouts
where
    payout_window = %(window)s
    and request_number is null
    and status <> 'blocked'
    and case
        when cast(%(seller)s as text) is null then seller_id <> all(cast(%(own_sellers)s as text []))
        else seller_id = %(seller)s
    end
order by currency desc, amount desc, payout_number
limit 1 offset cast(%(rank)s as integer) - 1
