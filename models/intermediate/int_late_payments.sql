-- Payouts that the rail had paid although their money was back in the seller's balance: it left once more.
select
    payouts.payout_number,
    payouts.payout_window,
    payouts.seller_id,
    payouts.currency,
    payouts.amount,
    payouts.status,
    payouts.status_changed_at,
    max(transactions.booked_at) as reopened_at
from {{ source('payouts', 'ledger_transactions') }} as transactions
-- Looked up one by one: a join might read all of the ledger.
inner join lateral (
    select entries.payout_number from {{ source('payouts', 'ledger_entries') }} as entries
    where entries.transaction_id = transactions.transaction_id and entries.account = 'seller_payable'
) as entries on true
inner join {{ source('payouts', 'payouts') }} as payouts on entries.payout_number = payouts.payout_number
where transactions.kind = 'reopen'
group by payouts.payout_number
