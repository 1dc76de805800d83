-- Which adjustments entered some payouts, and which came of them: in hundredths, negative where he owes.
select
    payouts.payout_number,
    adjustments.adjustment_number,
    adjustments.class,
    cast(100 * adjustments.applied_amount as bigint)
    * case adjustments.direction when 'credit' then 1 else -1 end as amount,
    adjustments.status,
    adjustments.reason,
    case when sides.came_of_it then 'came of it' else 'is in it' end as relation
from payouts.payouts
inner join lateral (
    select
        about.adjustment_number,
        true as came_of_it
    from payouts.adjustments as about
    where about.source_id = payouts.payout_number
    union
    select
        entered.adjustment_number,
        false
    from payouts.adjustments as entered
    where
        entered.applied_to = payouts.seller_id
        and entered.currency = payouts.currency
        and entered.payout_window = payouts.payout_window
        and payouts.request_number is null
) as sides on true
inner join payouts.adjustments as adjustments on sides.adjustment_number = adjustments.adjustment_number
where payouts.payout_number = any(%(numbers)s)
order by payouts.payout_number collate "C", adjustments.adjustment_number collate "C"
