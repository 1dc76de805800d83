-- Besides freezes and the payouts of windows, all that changes what a seller is owed between two of his rows.
with

requested as (
    select * from {{ source('payouts', 'payouts') }}
    where request_number is not null
),

changes as (
    -- Money that came back for a debt that was in the balance already.
    select
        entries.adjustment_number as reference,
        entries.seller_id,
        entries.currency,
        entries.amount,
        transactions.booked_at as changed_at
    from {{ source('payouts', 'adjustments') }} as adjustments
    inner join {{ source('payouts', 'ledger_entries') }} as entries
        on adjustments.adjustment_number = entries.adjustment_number
    inner join {{ source('payouts', 'ledger_transactions') }} as transactions
        on entries.transaction_id = transactions.transaction_id
    where
        adjustments.source = 'dispute'
        and adjustments.status = 'settled'
        and entries.account = 'seller_payable'
        and transactions.kind = 'recover'
    union all
    -- What a request takes is promised from its approval on.
    select
        payout_number as reference,
        seller_id,
        currency,
        -amount as amount,
        created_at as changed_at
    from requested
    union all
    select
        payout_number as reference,
        seller_id,
        currency,
        amount,
        status_changed_at as changed_at
    from requested
    where status = 'blocked'
    union all
    -- What did not arrive is the seller's again, until a rail says otherwise once more.
    select
        requested.payout_number as reference,
        entries.seller_id,
        entries.currency,
        entries.amount,
        transactions.booked_at as changed_at
    from requested
    inner join {{ source('payouts', 'ledger_entries') }} as entries
        on requested.payout_number = entries.payout_number
    inner join {{ source('payouts', 'ledger_transactions') }} as transactions
        on entries.transaction_id = transactions.transaction_id
    where entries.account = 'seller_payable' and transactions.kind in ('fail', 'return', 'reopen')
)

select
    reference,
    seller_id,
    currency,
    amount,
    changed_at
from changes
