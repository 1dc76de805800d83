-- The balances that the ledger keeps are the sums of its entries, so a seller's accounts add up to zero.
-- The next week's opening is read from these balances and not from years of entries: a wrong one is paid
-- out. On an ordinary night the accounts are held against each other, on a full refresh against every
-- entry.
with

kept as (select * from {{ source('payouts', 'account_balances') }}),

booked as (
    select
        account,
        seller_id,
        currency,
        sum(amount) as balance
    from {{ source('payouts', 'ledger_entries') }}
    group by account, seller_id, currency
)

select
    seller_id,
    currency,
    'all' as account,
    sum(balance) as off_by
from {{ source('payouts', 'account_balances') }}
group by seller_id, currency
having sum(balance) != 0
union all
select
    seller_id,
    currency,
    account,
    coalesce(kept.balance, 0) - coalesce(booked.balance, 0) as off_by
from kept
full outer join booked using (account, seller_id, currency)
where
    {{ audited_since() }} = cast('-infinity' as timestamptz)
    and coalesce(kept.balance, 0) != coalesce(booked.balance, 0)
