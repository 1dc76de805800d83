-- What was booked of some payouts, in order: amounts in hundredths.
select
    entries.payout_number,
    entries.transaction_id,
    entries.account,
    entries.kind,
    cast(100 * entries.amount as bigint) as amount,
    entries.booked_at
from marts.ledger_entries as entries
where entries.payout_number = any(%(numbers)s)
order by entries.transaction_id, entries.account collate "C"
