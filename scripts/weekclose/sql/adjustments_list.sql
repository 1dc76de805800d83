-- Adjustments by number: one, or those of a seller and in a status where these are named.
select
    adjustments.adjustment_number,
    adjustments.seller_id,
    adjustments.currency,
    adjustments.class as adjustment_class,
    adjustments.direction,
    adjustments.amount,
    adjustments.applied_amount,
    case
        when adjustments.class like 'carry_forward%%' then coalesce(
            (
                select sum(allocations.amount)
                from payouts.adjustment_allocations as allocations
                where allocations.adjustment_number = adjustments.adjustment_number
            ),
            0.00
        )
        when adjustments.status = 'settled' then adjustments.applied_amount
        else 0.00
    end as settled_amount,
    adjustments.status,
    adjustments.mode,
    adjustments.policy_scope,
    adjustments.reason,
    adjustments.note,
    adjustments.invoice_reference,
    adjustments.source,
    adjustments.source_id,
    adjustments.applied_to,
    adjustments.not_before,
    adjustments.payout_window,
    exceptions.exception_id as open_exception,
    adjustments.proposed_by,
    adjustments.proposed_at,
    adjustments.approved_by,
    adjustments.approved_at,
    adjustments.settled_at
from payouts.adjustments as adjustments
left join payouts.exceptions as exceptions
    on adjustments.adjustment_number = exceptions.adjustment_number and exceptions.decision is null
where
    (cast(%(number)s as text) is null or adjustments.adjustment_number = %(number)s)
    and (cast(%(seller)s as text) is null or adjustments.seller_id = %(seller)s)
    and (cast(%(status)s as text) is null or adjustments.status = %(status)s)
    and adjustments.adjustment_number collate "C" > %(after)s
order by adjustments.adjustment_number collate "C"
limit %(limit)s
