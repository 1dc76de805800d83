-- What a run of the command has booked: entry by entry, or summed up per account, kind and currency when it is much.
with

booked as (
    select
        transactions.transaction_id,
        transactions.kind,
        entries.entry_id,
        entries.account,
        entries.seller_id,
        entries.currency,
        entries.amount,
        count(*) over (partition by transactions.run) <= %(most)s as is_little
    from payouts.ledger_transactions as transactions
    inner join payouts.ledger_entries as entries on transactions.transaction_id = entries.transaction_id
    where transactions.run = %(run)s
)

select
    case when is_little then transaction_id end as transaction_id,
    kind,
    account,
    case when is_little then seller_id end as seller_id,
    currency,
    sum(amount) as amount,
    count(*) as entry_count
from booked
group by
    case when is_little then transaction_id end,
    kind,
    account,
    case when is_little then seller_id end,
    currency,
    case when is_little then entry_id end
order by min(entry_id)
