-- The exceptions that wait for another person, largest first; those that block a row of a window, or all.
select
    exceptions.exception_id as open_exception,
    exceptions.adjustment_number,
    adjustments.seller_id,
    adjustments.currency,
    adjustments.class,
    adjustments.applied_amount as amount,
    exceptions.deviation,
    coalesce(
        cast(exceptions.to_amount as text), cast(exceptions.to_window as text), exceptions.to_seller
    ) as deviation_to,
    exceptions.reason,
    exceptions.requested_by,
    current_timestamp - exceptions.requested_at as age
from payouts.exceptions as exceptions
inner join payouts.adjustments as adjustments on exceptions.adjustment_number = adjustments.adjustment_number
where
    exceptions.decision is null
    and (
        cast(%(window)s as date) is null
        or exists (
            select from marts.settlement_windows as windows
            where
                windows.payout_window = cast(%(window)s as date)
                and windows.currency = adjustments.currency
                and windows.seller_id in (adjustments.seller_id, adjustments.applied_to, exceptions.to_seller)
                and 'exception_pending' = any(windows.block_reasons)
        )
    )
order by adjustments.applied_amount desc, exceptions.exception_id
