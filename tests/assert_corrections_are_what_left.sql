-- The ledger's corrections of a seller are the difference between what his payouts promised and what the
-- executions and reversals say: what was overpaid or wrongly paid is positive, what was underpaid or never
-- reached him negative. With them, the money that left is the ledger's, to the cent. A row here is money that
-- left and is in no book.
with

resolved as (select * from {{ ref('int_resolved_payouts') }}),

positions as (
    select
        seller_id,
        currency,
        left_amount - amount as by_facts,
        0 as by_ledger
    from resolved
    where verdict = 'accept' and left_amount is not null
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
