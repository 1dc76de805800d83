select
    allocations.adjustment_number,
    adjustments.applied_to as seller_id,
    adjustments.currency,
    allocations.payout_window,
    allocations.amount,
    {{ money('sum(allocations.amount) over so_far - allocations.amount') }} as settled_before,
    {{ money('adjustments.applied_amount - sum(allocations.amount) over so_far') }} as open_after
from {{ source('payouts', 'adjustment_allocations') }} as allocations
inner join {{ source('payouts', 'adjustments') }} as adjustments
    on allocations.adjustment_number = adjustments.adjustment_number
window so_far as (
    partition by allocations.adjustment_number
    order by allocations.payout_window
    rows between unbounded preceding and current row
)
