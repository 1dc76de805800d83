-- No batch was approved with a payout whose seller had an exception open at that time: whoever approves a
-- window approves amounts, and an exception is about an amount that is not decided. A row here is a payout
-- that left with a deduction that nobody had agreed to, or without one that was due.
with

approvals as (
    select
        batches.batch_id,
        batches.approved_at,
        payouts.payout_number,
        payouts.seller_id,
        payouts.currency
    from {{ source('payouts', 'batches') }} as batches
    inner join {{ source('payouts', 'payouts') }} as payouts on batches.paid_with = payouts.paid_with
    where
        batches.payout_window >= {{ first_audited_window() }}
        and batches.approved_at is not null
        and (
            -- What is ready goes with it, what has left went with it.
            (batches.state = 'approved' and payouts.status = 'ready')
            or exists (
                select from {{ source('payouts', 'batch_items') }} as items
                where items.batch_id = batches.batch_id and items.payout_number = payouts.payout_number
            )
        )
),

all_exceptions as (select * from {{ source('payouts', 'exceptions') }}),

concerned as (
    select
        all_exceptions.exception_id,
        adjustments.seller_id
    from all_exceptions
    inner join {{ source('payouts', 'adjustments') }} as adjustments
        on all_exceptions.adjustment_number = adjustments.adjustment_number
    union
    select
        exception_id,
        to_seller as seller_id
    from all_exceptions
    union
    -- To whom it had been moved before.
    select
        all_exceptions.exception_id,
        moved.to_seller as seller_id
    from all_exceptions
    inner join all_exceptions as moved
        on
            all_exceptions.adjustment_number = moved.adjustment_number
            and moved.decision = 'approved'
            and all_exceptions.requested_at > moved.decided_at
)

select
    approvals.batch_id,
    approvals.payout_number,
    all_exceptions.exception_id
from concerned
inner join all_exceptions on concerned.exception_id = all_exceptions.exception_id
inner join {{ source('payouts', 'adjustments') }} as adjustments
    on all_exceptions.adjustment_number = adjustments.adjustment_number
inner join approvals
    on
        concerned.seller_id = approvals.seller_id
        and adjustments.currency = approvals.currency
        and all_exceptions.requested_at < approvals.approved_at
        and coalesce(all_exceptions.decided_at > approvals.approved_at, true)
