-- The money that came for what was in a seller's balance already, before an instant: no line has it.
select
    entries.adjustment_number,
    entries.amount,
    transactions.booked_at,
    adjustments.source_id,
    adjustments.money_reference
from payouts.ledger_entries as entries
inner join payouts.ledger_transactions as transactions on entries.transaction_id = transactions.transaction_id
inner join payouts.adjustments as adjustments on entries.adjustment_number = adjustments.adjustment_number
where
    entries.seller_id = %(seller)s
    and entries.currency = %(currency)s
    and entries.account = 'seller_payable'
    and transactions.kind = 'recover'
    and transactions.booked_at <= %(at)s
order by transactions.booked_at, entries.adjustment_number collate "C"
