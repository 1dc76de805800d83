-- The payouts of a window that a person has to pay or to decide on, and those that were reversed, with what left
-- last: amounts in hundredths.
select
    payouts.seller_id,
    payouts.currency,
    payouts.payout_number,
    payouts.status,
    cast(100 * payouts.amount as bigint) as amount,
    cast(round(100 * done.amount) as bigint) as executed,
    reversals.reason,
    reversals.adjustment_number
from payouts.payouts as payouts
left join lateral (
    select executions.amount
    from payouts.executions as executions
    where executions.payout_number = payouts.payout_number
    order by executions.execution_id desc
    limit 1
) as done on true
left join payouts.reversals as reversals on payouts.payout_number = reversals.payout_number
where
    payouts.payout_window = %(window)s
    and payouts.request_number is null
    and (
        payouts.status in ('awaiting_reconciliation', 'reversed')
        or (payouts.status = 'submitted' and payouts.rail = 'MANUAL')
    )
