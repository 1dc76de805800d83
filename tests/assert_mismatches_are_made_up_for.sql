-- What left otherwise than promised is made up for: the promise less what was executed is what was recorded
-- for the seller or against him, and where the money came back nothing is. What the platform has waived since
-- is waived. A row here is a seller who was paid too little and hears nothing of it, or who keeps too much.
with

resolved as (select * from {{ ref('int_resolved_payouts') }}),

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
        payouts.payout_number,
        case when resolved.verdict = 'accept' then payouts.amount - resolved.left_amount else 0 end
            as missing,
        coalesce(recorded.amount, 0) - coalesce(waived.amount, 0) as made_up_for,
        resolved.verdict
    from resolved
    full outer join recorded on resolved.payout_number = recorded.payout_number
    inner join {{ source('payouts', 'payouts') }} as payouts
        on coalesce(resolved.payout_number, recorded.payout_number) = payouts.payout_number
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
