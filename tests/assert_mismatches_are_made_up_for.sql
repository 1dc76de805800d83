-- What left otherwise than promised is made up for: the promise less what was executed is what was recorded
-- for the seller or against him, and where the money came back nothing is. What the platform has waived since
-- is waived. A row here is a seller who was paid too little and hears nothing of it, or who keeps too much.
with

resolved as (
    select distinct on (payout_number)
        payout_number,
        verdict,
        resolved_at
    from {{ source('payouts', 'resolutions') }}
    order by payout_number asc, resolution_id desc
),

recorded as (
    select
        source_id as payout_number,
        sum(case direction when 'credit' then amount else -amount end) as amount
    from {{ source('payouts', 'adjustments') }}
    where source = 'mismatch'
    group by source_id
),

judged as (
    select
        payout_number,
        case when resolved.verdict = 'accept' then payouts.amount - executed.amount else 0 end as missing,
        coalesce(recorded.amount, 0) - coalesce(waived.amount, 0) as made_up_for,
        resolved.verdict,
        payouts.status
    from resolved
    full outer join recorded using (payout_number)
    inner join {{ source('payouts', 'payouts') }} as payouts using (payout_number)
    left join lateral (
        select sum(executions.amount) as amount
        from {{ source('payouts', 'executions') }} as executions
        left join {{ source('payouts', 'executions') }} as corrections
            on executions.execution_id = corrections.corrects and resolved.resolved_at >= corrections.noted_at
        left join {{ source('payouts', 'resolutions') }} as retries
            on
                executions.payout_number = retries.payout_number
                and retries.verdict = 'retry'
                and executions.noted_at <= retries.resolved_at
        where
            executions.payout_number = payouts.payout_number
            and executions.noted_at <= resolved.resolved_at
            and corrections.execution_id is null
            and retries.resolution_id is null
            -- What the rail had brought back when another transfer was noted.
            and not exists (
                select newer.execution_id
                from {{ source('payouts', 'executions') }} as newer
                inner join {{ source('payouts', 'ledger_entries') }} as entries
                    on newer.payout_number = entries.payout_number
                inner join {{ source('payouts', 'ledger_transactions') }} as transactions
                    on entries.transaction_id = transactions.transaction_id
                where
                    newer.payout_number = executions.payout_number
                    and newer.execution_id > executions.execution_id
                    and newer.noted_at <= resolved.resolved_at
                    and transactions.kind = 'return'
                    and transactions.booked_at >= executions.noted_at
                    and transactions.booked_at <= resolved.resolved_at
            )
    ) as executed on true
    -- Before a person looked again.
    left join lateral (
        select sum(entries.amount) as amount
        from {{ source('payouts', 'adjustments') }} as adjustments
        inner join {{ source('payouts', 'ledger_entries') }} as entries
            on adjustments.adjustment_number = entries.adjustment_number
        inner join {{ source('payouts', 'ledger_transactions') }} as transactions
            on entries.transaction_id = transactions.transaction_id
        where
            adjustments.source = 'mismatch'
            and adjustments.source_id = payouts.payout_number
            and entries.account = 'write_offs'
            and transactions.booked_at <= resolved.resolved_at
    ) as waived on true
)

select
    payout_number,
    verdict,
    missing,
    made_up_for
from judged
where missing is distinct from made_up_for or verdict is null
