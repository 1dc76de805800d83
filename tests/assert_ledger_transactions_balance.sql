-- Every ledger transaction has entries, and sums to zero in each currency. The ledger is what we answer an
-- auditor with: a transaction that is off has made or lost money.
select
    booked.transaction_id,
    summed.currency,
    summed.amount as off_by
from {{ source('payouts', 'ledger_transactions') }} as booked
-- Added up one by one: a join might read all of the ledger.
left join lateral (
    select
        entries.currency,
        sum(entries.amount) as amount
    from {{ source('payouts', 'ledger_entries') }} as entries
    where entries.transaction_id = booked.transaction_id
    group by entries.currency
) as summed on true
where booked.booked_at >= {{ audited_since() }} and (summed.amount != 0 or summed.amount is null)
