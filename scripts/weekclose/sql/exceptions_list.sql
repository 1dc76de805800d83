-- Wishes to deviate from the policy, by id: those that are open, or all.
select
    exceptions.exception_id,
    exceptions.adjustment_number,
    adjustments.seller_id,
    adjustments.currency,
    adjustments.class as adjustment_class,
    adjustments.amount,
    exceptions.deviation,
    coalesce(
        cast(exceptions.to_amount as text), cast(exceptions.to_window as text), exceptions.to_seller
    ) as to,
    exceptions.reason,
    exceptions.requested_by,
    exceptions.requested_at,
    exceptions.decision,
    exceptions.decision_note,
    exceptions.decided_by,
    exceptions.decided_at
from payouts.exceptions as exceptions
inner join payouts.adjustments as adjustments
    on exceptions.adjustment_number = adjustments.adjustment_number
where
    exceptions.exception_id > %(after)s
    and (not %(open_only)s or exceptions.decision is null)
order by exceptions.exception_id
limit %(limit)s
