-- Each transfer that the books have, with the difference to its payout's promise that a person has accepted.
select
    executions.payout_number,
    executions.source,
    executions.external_reference,
    payouts.currency,
    executions.amount,
    coalesce(
        (
            select sum(case adjustments.direction when 'credit' then adjustments.amount else -adjustments.amount end)
            from payouts.resolutions
            inner join payouts.adjustments on resolutions.adjustment_number = adjustments.adjustment_number
            where resolutions.payout_number = executions.payout_number and resolutions.verdict = 'accept'
        ),
        0
    ) as accepted
from payouts.executions as executions
inner join payouts.payouts as payouts on executions.payout_number = payouts.payout_number
order by executions.execution_id
