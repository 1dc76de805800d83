-- The ledger's corrections of a seller are the difference between what his payouts promised and what the
-- executions and reversals say: what was overpaid or wrongly paid is positive, what was underpaid or never
-- reached him negative. With them, the money that left is the ledger's, to the cent. A row here is money that
-- left and is in no book.
with

resolved as (
    select distinct on (payout_number)
        payout_number,
        verdict,
        resolved_at
    from {{ source('payouts', 'resolutions') }}
    order by payout_number asc, resolution_id desc
),

positions as (
    select
        payouts.seller_id,
        payouts.currency,
        executed.amount - payouts.amount as by_facts,
        0 as by_ledger
    from resolved
    inner join {{ source('payouts', 'payouts') }} as payouts on resolved.payout_number = payouts.payout_number
    inner join lateral (
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
    where resolved.verdict = 'accept'
    union all
    -- A debit asks for the money back, a credit gives it again. Neither, where it had come back before.
    select
        payouts.seller_id,
        payouts.currency,
        case adjustments.class when 'carry_forward_credit' then -payouts.amount else payouts.amount end
            as by_facts,
        0 as by_ledger
    from {{ source('payouts', 'reversals') }} as reversals
    inner join {{ source('payouts', 'payouts') }} as payouts
        on reversals.payout_number = payouts.payout_number
    inner join {{ source('payouts', 'adjustments') }} as adjustments
        on reversals.adjustment_number = adjustments.adjustment_number
    where adjustments.class != 'manual_cash_recovery'
    union all
    -- What was waived before a person looked again is not corrected a second time.
    select
        entries.seller_id,
        entries.currency,
        -entries.amount as by_facts,
        0 as by_ledger
    from {{ source('payouts', 'adjustments') }} as adjustments
    inner join resolved on adjustments.source_id = resolved.payout_number
    inner join {{ source('payouts', 'ledger_entries') }} as entries
        on adjustments.adjustment_number = entries.adjustment_number
    inner join {{ source('payouts', 'ledger_transactions') }} as transactions
        on entries.transaction_id = transactions.transaction_id
    where
        adjustments.source = 'mismatch'
        and entries.account = 'write_offs'
        and transactions.booked_at <= resolved.resolved_at
    union all
    select
        seller_id,
        currency,
        0 as by_facts,
        balance as by_ledger
    from {{ source('payouts', 'account_balances') }}
    where account = 'payout_corrections'
)

select
    seller_id,
    currency,
    sum(by_facts) as by_facts,
    sum(by_ledger) as by_ledger
from positions
group by seller_id, currency
having sum(by_facts) != sum(by_ledger)
