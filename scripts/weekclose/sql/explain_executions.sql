-- What left for a seller's payouts of a window, oldest first, with what proves it.
select
    executions.payout_number,
    executions.external_reference,
    executions.amount,
    executions.executed_at,
    executions.source,
    executions.note,
    executions.noted_by,
    coalesce(
        'event ' || executions.event_id,
        'look-up of ' || executions.batch_id,
        (
            select 'document ' || proofs.sha256
            from payouts.proofs as proofs
            where proofs.execution_id = executions.execution_id
            order by proofs.proof_id desc
            limit 1
        )
    ) as proof
from payouts.executions as executions
inner join payouts.payouts as payouts on executions.payout_number = payouts.payout_number
where payouts.seller_id = %(seller)s and payouts.payout_window = %(window)s
order by executions.execution_id
