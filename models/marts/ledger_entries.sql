select
    entries.transaction_id,
    transactions.booked_at,
    entries.account,
    entries.seller_id,
    entries.currency,
    entries.amount,
    transactions.kind,
    entries.payout_number,
    entries.adjustment_number
from {{ source('payouts', 'ledger_entries') }} as entries
inner join {{ source('payouts', 'ledger_transactions') }} as transactions
    on entries.transaction_id = transactions.transaction_id
