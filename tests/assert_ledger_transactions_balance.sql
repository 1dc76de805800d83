-- Every ledger transaction has entries, and sums to zero in each currency. The ledger is what we answer an
-- auditor with: a transaction that is off has made or lost money.
select
    booked.transaction_id,
    entries.currency,
    sum(entries.amount) as off_by
from {{ source('payouts', 'ledger_transactions') }} as booked
left join {{ source('payouts', 'ledger_entries') }} as entries
    on booked.transaction_id = entries.transaction_id
where booked.booked_at >= {{ audited_since() }}
group by booked.transaction_id, entries.currency
having count(entries.entry_id) = 0 or sum(entries.amount) != 0
