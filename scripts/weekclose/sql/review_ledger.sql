-- What a window's freeze and its payouts booked for the shown sellers, in hundredths.
select
    entries.seller_id,
    entries.currency,
    entries.payout_number,
    entries.account,
    entries.kind,
    cast(100 * entries.amount as bigint) as amount,
    entries.booked_at
from marts.ledger_entries as entries
where
    entries.seller_id = any(%(sellers)s)
    and (
        entries.payout_number = any(%(numbers)s)
        or entries.transaction_id in (
            select transactions.transaction_id from payouts.ledger_transactions as transactions
            where
                transactions.kind = 'freeze'
                and transactions.reference = to_char(cast(%(window)s as date), 'YYYY-MM-DD')
        )
    )
order by entries.seller_id collate "C", entries.transaction_id, entries.account collate "C"
