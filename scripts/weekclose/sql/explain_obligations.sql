-- What a seller owes or is owed beside his sales: debts that are in his balance since a window and were not
-- settled before this one, and all that is in no window yet, with what it waits for.
select
    adjustments.adjustment_number,
    adjustments.currency,
    adjustments.seller_id,
    adjustments.applied_to,
    adjustments.class,
    adjustments.direction,
    adjustments.applied_amount as amount,
    adjustments.reason,
    adjustments.invoice_reference,
    adjustments.status,
    adjustments.not_before,
    adjustments.payout_window,
    settled.before as settled_before,
    settled.here as settled_here,
    wishes.exception_id as open_exception,
    wishes.deviation,
    coalesce(cast(wishes.to_amount as text), cast(wishes.to_window as text), wishes.to_seller) as deviation_to,
    wishes.requested_by
from payouts.adjustments as adjustments
left join payouts.exceptions as wishes
    on adjustments.adjustment_number = wishes.adjustment_number and wishes.decision is null
cross join lateral (
    select
        coalesce(sum(amount) filter (where payout_window < %(window)s), 0.00) as before,
        coalesce(sum(amount) filter (where payout_window = %(window)s), 0.00) as here
    from payouts.adjustment_allocations as allocations
    where allocations.adjustment_number = adjustments.adjustment_number
) as settled
where
    (adjustments.seller_id = %(seller)s or adjustments.applied_to = %(seller)s or wishes.to_seller = %(seller)s)
    and case
        when adjustments.payout_window is null then adjustments.status in ('proposed', 'approved', 'applied')
        else
            adjustments.applied_to = %(seller)s
            and adjustments.direction = 'debit'
            and adjustments.payout_window <= %(window)s
            and settled.before < adjustments.applied_amount
    end
order by adjustments.adjustment_number collate "C"
