-- What the lines' cash means in double entry: the platform owes the sellers, and keeps its fees.
with

cash as (
    select
        seller_id,
        currency,
        gross - refunds - disputes + adjustments as cleared,
        fees
    from payouts.frozen_rows
    where payout_window = %(window)s
),

entries as (
    select
        cash.seller_id,
        cash.currency,
        movement.account,
        movement.amount
    from cash
    cross join lateral (
        values
        ('seller_payable', cash.cleared - cash.fees),
        ('platform_fees', cash.fees),
        ('sales_clearing', -cash.cleared)
    ) as movement (account, amount)
    where movement.amount <> 0
),

booked as (
    insert into payouts.ledger_transactions (kind, reference)
    select
        'freeze',
        to_char(cast(%(window)s as date), 'YYYY-MM-DD')
    where exists (select from entries)
    returning transaction_id
)

insert into payouts.ledger_entries (transaction_id, account, seller_id, currency, amount)
select
    booked.transaction_id,
    entries.account,
    entries.seller_id,
    entries.currency,
    entries.amount
from entries
cross join booked
order by entries.seller_id collate "C", entries.currency collate "C", entries.account collate "C"
