-- The shown sellers' payouts of a window, and those of the twelve before that are not paid: in hundredths.
select
    payouts.payout_number,
    payouts.seller_id,
    payouts.payout_window,
    payouts.currency,
    cast(100 * payouts.amount as bigint) as amount,
    payouts.rail,
    payouts.status,
    payouts.status_changed_at,
    payouts.external_reference,
    payouts.failure_code,
    payouts.failure_reason
from payouts.payouts
where
    payouts.seller_id = any(%(sellers)s)
    and payouts.request_number is null
    and (
        payouts.payout_window = %(window)s
        or (
            payouts.payout_window < %(window)s
            and payouts.payout_window >= cast(%(window)s as date) - 12 * 7
            and payouts.status not in ('paid', 'reversed')
        )
    )
order by payouts.payout_number
