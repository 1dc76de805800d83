select
    adjustments.adjustment_number,
    adjustments.seller_id,
    adjustments.currency,
    adjustments.class,
    adjustments.direction,
    adjustments.amount,
    adjustments.applied_amount,
    adjustments.status,
    adjustments.mode,
    adjustments.policy_scope,
    adjustments.reason,
    adjustments.note,
    adjustments.invoice_reference,
    adjustments.source,
    adjustments.source_id,
    adjustments.applied_to,
    adjustments.payout_window,
    adjustments.not_before,
    {{ money('settled.amount') }} as settled_amount,
    case adjustments.status
        when 'cancelled' then {{ money(0) }} else {{ money('adjustments.applied_amount - settled.amount') }}
    end as open_amount,
    exceptions.deviation as open_exception,
    adjustments.proposed_by,
    adjustments.proposed_at,
    adjustments.approved_by,
    adjustments.approved_at,
    adjustments.settled_at
from {{ source('payouts', 'adjustments') }} as adjustments
left join {{ source('payouts', 'exceptions') }} as exceptions
    on adjustments.adjustment_number = exceptions.adjustment_number and exceptions.decision is null
-- What is collected outside of payouts comes at once.
left join lateral (
    select
        case
            when adjustments.money_reference is not null then adjustments.applied_amount
            else coalesce(sum(allocations.amount), 0)
        end as amount
    from {{ source('payouts', 'adjustment_allocations') }} as allocations
    where allocations.adjustment_number = adjustments.adjustment_number
) as settled on true
