-- What left for some payouts, oldest first, and the file that proves what a person paid: amounts in hundredths,
-- as near as those come to what a rail named.
select
    executions.payout_number,
    executions.external_reference,
    cast(round(100 * executions.amount) as bigint) as amount,
    executions.executed_at,
    executions.source,
    executions.noted_by,
    executions.note,
    active.sha256
from payouts.executions as executions
left join lateral (
    select proofs.sha256
    from payouts.proofs as proofs
    where proofs.execution_id = executions.execution_id
    order by proofs.proof_id desc
    limit 1
) as active on true
where executions.payout_number = any(%(numbers)s)
order by executions.execution_id
