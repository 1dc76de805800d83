-- A payout of a window that nothing blocks, by its rank from the largest.
select
    payout_number,
    seller_id
from payouts.payouts
where payout_window = %(window)s and status <> 'blocked'
order by currency desc, amount desc, payout_number
limit 1 offset %(rank)s - 1
