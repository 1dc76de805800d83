-- The payouts that wait for a person: what left otherwise than promised, and what no rail pays; of a window, or all.
select
    payouts.payout_number,
    payouts.payout_window,
    payouts.seller_id,
    payouts.currency,
    payouts.amount,
    payouts.status,
    done.amount as executed,
    done.external_reference as reference,
    current_timestamp - payouts.status_changed_at as age
from payouts.payouts as payouts
left join lateral (
    select
        executions.amount,
        executions.external_reference
    from payouts.executions as executions
    where executions.payout_number = payouts.payout_number
    order by executions.execution_id desc
    limit 1
) as done on true
where
    (
        payouts.status = 'awaiting_reconciliation'
        or (payouts.status = 'submitted' and payouts.rail = 'MANUAL')
    )
    and (cast(%(window)s as date) is null or payouts.payout_window = cast(%(window)s as date))
order by payouts.status, payouts.payout_number collate "C"
