select
    executions.payout_number,
    executions.external_reference,
    executions.rail,
    {{ money('least(executions.amount, 9999999999999999.99)') }} as amount,
    payouts.amount as promised,
    {{ money('least(executions.amount, 9999999999999999.99) - payouts.amount') }} as difference,
    executions.executed_at,
    executions.source,
    coalesce(
        proofs.sha256, 'event ' || executions.event_id, 'look-up of batch ' || executions.batch_id
    ) as proof,
    newer.execution_id is null as is_latest
from {{ source('payouts', 'executions') }} as executions
inner join {{ source('payouts', 'payouts') }} as payouts on executions.payout_number = payouts.payout_number
left join lateral (
    select proofs.sha256
    from {{ source('payouts', 'proofs') }} as proofs
    where proofs.execution_id = executions.execution_id
    order by proofs.proof_id desc
    limit 1
) as proofs on true
left join lateral (
    select newest.execution_id
    from {{ source('payouts', 'executions') }} as newest
    where newest.payout_number = executions.payout_number and newest.execution_id > executions.execution_id
    limit 1
) as newer on true
