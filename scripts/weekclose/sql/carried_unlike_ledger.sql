-- The first seller, if any, whose money has moved since the due rows were built.
with

first_due as (
    select distinct on (seller_id, currency)
        seller_id,
        currency,
        payout_window,
        carry_in
    from intermediate.int_window_rows
    where payout_window in (select payout_window from intermediate.int_open_windows where is_due)
    order by seller_id, currency, payout_window
),

positions as (
    select
        seller_id,
        currency,
        payout_window,
        carry_in,
        0 as ledger
    from first_due
    union all
    select
        seller_id,
        currency,
        null as payout_window,
        0 as carry_in,
        balance as ledger
    from payouts.account_balances
    where account = 'seller_payable'
    union all
    select
        seller_id,
        currency,
        null as payout_window,
        0 as carry_in,
        -amount as ledger
    from payouts.payouts
    where status = 'ready'
)

select
    seller_id,
    currency,
    max(payout_window) as payout_window,
    sum(carry_in) as carry_in,
    sum(ledger) as ledger_says
from positions
group by seller_id, currency
having count(payout_window) > 0 and sum(carry_in) <> sum(ledger)
order by seller_id, currency
limit 1
