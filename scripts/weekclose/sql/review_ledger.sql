-- What a window's freeze and its payouts booked for the shown sellers, in hundredths.
with

-- Looked up by what they are about: all that a seller was ever booked goes back for years.
entries as (
    select
        transaction_id,
        seller_id,
        currency,
        payout_number,
        account,
        kind,
        amount,
        booked_at
    from marts.ledger_entries
    where payout_number = any(%(numbers)s)
    union all
    select
        booked.transaction_id,
        booked.seller_id,
        booked.currency,
        booked.payout_number,
        booked.account,
        booked.kind,
        booked.amount,
        booked.booked_at
    from payouts.ledger_transactions as transactions
    inner join marts.ledger_entries as booked on transactions.transaction_id = booked.transaction_id
    where
        transactions.kind = 'freeze'
        and transactions.reference = to_char(cast(%(window)s as date), 'YYYY-MM-DD')
        and (booked.payout_number is null or booked.payout_number <> all(%(numbers)s))
)

select
    seller_id,
    currency,
    payout_number,
    account,
    kind,
    cast(100 * amount as bigint) as amount,
    booked_at
from entries
where seller_id = any(%(sellers)s)
order by seller_id collate "C", transaction_id, account collate "C", currency collate "C", payout_number
