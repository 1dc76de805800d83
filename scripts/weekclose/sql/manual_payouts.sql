-- How many payouts of a batch wait for a person to pay them.
select count(*)
from payouts.batch_items as items
-- By its number: the planner may not have heard yet how many are submitted, and would read all of them for
-- each item.
cross join lateral (
    select
        payouts.rail,
        payouts.status
    from payouts.payouts as payouts
    where payouts.payout_number = items.payout_number
    offset 0
) as paid
where
    items.batch_id = %(batch_id)s
    and items.released_at is null
    and paid.rail = 'MANUAL'
    and paid.status = 'submitted'
