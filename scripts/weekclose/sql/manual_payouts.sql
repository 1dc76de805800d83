-- How many payouts of a batch wait for a person to pay them.
select count(*)
from payouts.batch_items as items
inner join payouts.payouts as payouts on items.payout_number = payouts.payout_number
where
    items.batch_id = %(batch_id)s
    and items.released_at is null
    and payouts.rail = 'MANUAL'
    and payouts.status = 'submitted'
