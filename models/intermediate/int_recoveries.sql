-- Money that came back for a debt that was in the balance already: besides freezes and payouts, all that
-- changes what a seller is owed between two of his rows.
select
    entries.adjustment_number,
    entries.seller_id,
    entries.currency,
    entries.amount,
    transactions.booked_at
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
