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

ready as (
    select
        seller_id,
        currency,
        sum(amount) as amount
    from payouts.payouts
    where status = 'ready'
    group by seller_id, currency
)

select
    first_due.seller_id,
    first_due.currency,
    first_due.payout_window,
    first_due.carry_in,
    coalesce(balances.balance, 0) - coalesce(ready.amount, 0) as ledger_says
from first_due
left join payouts.account_balances as balances
    on
        first_due.seller_id = balances.seller_id
        and first_due.currency = balances.currency
        and balances.account = 'seller_payable'
left join ready on first_due.seller_id = ready.seller_id and first_due.currency = ready.currency
where first_due.carry_in <> coalesce(balances.balance, 0) - coalesce(ready.amount, 0)
order by first_due.seller_id, first_due.currency
limit 1
