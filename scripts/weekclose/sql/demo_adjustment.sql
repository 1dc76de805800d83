-- What became of a seller's adjustment: who approved something else, and which windows have settled it.
select
    adjustments.amount,
    adjustments.applied_amount,
    adjustments.status,
    (
        select exceptions.decided_by from payouts.exceptions
        where exceptions.adjustment_number = adjustments.adjustment_number
        order by exceptions.exception_id desc
        limit 1
    ) as decided_by,
    coalesce(array_agg(allocations.payout_window order by allocations.payout_window)
        filter (where allocations.amount is not null), '{}') as windows,
    coalesce(array_agg(allocations.amount order by allocations.payout_window)
        filter (where allocations.amount is not null), '{}') as amounts
from payouts.adjustments
left join payouts.adjustment_allocations as allocations
    on adjustments.adjustment_number = allocations.adjustment_number
where adjustments.seller_id = %(seller)s
group by adjustments.adjustment_number
order by adjustments.adjustment_number
limit 1
