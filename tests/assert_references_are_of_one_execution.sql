-- A rail's reference names one execution: no other payout, and no other amount, is known by it. A transfer
-- that counts for two payouts has paid one of them only: a row here is a seller who is told that he was paid
-- and was not.
select
    executions.rail,
    executions.external_reference,
    executions.payout_number,
    others.payout_number as other_payout
from {{ source('payouts', 'payouts') }} as payouts
-- Looked up one by one: a join might read all of history.
inner join lateral (
    select * from {{ source('payouts', 'executions') }} as executions
    where executions.payout_number = payouts.payout_number
    offset 0
) as executions on true
inner join lateral (
    select others.payout_number
    from {{ source('payouts', 'executions') }} as others
    where
        others.rail = executions.rail
        and others.external_reference = executions.external_reference
        and others.execution_id != executions.execution_id
    offset 0
) as others on true
where payouts.payout_window >= {{ first_audited_window() }}
