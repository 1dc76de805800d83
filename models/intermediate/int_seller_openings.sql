-- Frozen cash less what is on its way or arrived. A blocked, failed or returned payout is back in it, once.
with

positions as (
    select
        seller_id,
        currency,
        balance as amount
    from {{ source('payouts', 'account_balances') }}
    where account = 'seller_payable' and balance != 0
    union all
    select
        seller_id,
        currency,
        -amount as amount
    from {{ source('payouts', 'payouts') }}
    where status = 'ready'
)

select
    seller_id,
    currency,
    sum(amount) as opening
from positions
group by seller_id, currency
