-- Recent or old, they are few: payouts on which books and execution ever disagreed.
with

resolved as (
    select distinct on (payout_number)
        payout_number,
        verdict,
        resolved_at
    from {{ source('payouts', 'resolutions') }}
    order by payout_number asc, resolution_id desc
)

select
    payouts.payout_number,
    payouts.seller_id,
    payouts.currency,
    payouts.amount,
    resolved.verdict,
    resolved.resolved_at,
    executed.amount as left_amount
from resolved
inner join {{ source('payouts', 'payouts') }} as payouts on resolved.payout_number = payouts.payout_number
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
