-- A seller's first open row begins with what the ledger owes him and is not promised already, and a seller
-- who is owed something, or owes it, stands in the latest due window even if nothing happened to him. The
-- opening is what Tuesday pays on top of the week: a row here pays twice, or forgets an idle seller.
with

openings as (
    select
        seller_id,
        currency,
        sum(amount) as opening
    from (
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
    ) as positions
    group by seller_id, currency
),

open_rows as (
    select * from {{ ref('int_window_rows') }}
    where payout_window >= {{ first_unfrozen_window() }}
),

first_rows as (
    select
        seller_id,
        currency,
        min(payout_window) as payout_window
    from open_rows
    group by seller_id, currency
),

beginnings as (
    select
        open_rows.seller_id,
        open_rows.currency,
        open_rows.carry_in
    from open_rows
    inner join first_rows
        on
            open_rows.seller_id = first_rows.seller_id
            and open_rows.currency = first_rows.currency
            and open_rows.payout_window = first_rows.payout_window
),

due as (
    select max(payout_window) as payout_window
    from {{ ref('int_open_windows') }}
    where reserve_closes_at <= {{ as_of() }}
)

select
    seller_id,
    currency,
    openings.opening,
    beginnings.carry_in
from openings
full outer join beginnings using (seller_id, currency)
where
    coalesce(openings.opening, 0) != coalesce(beginnings.carry_in, 0)
    -- Nothing is due, nothing happened to him: there is no row to begin.
    and (beginnings.seller_id is not null or (select due.payout_window from due) is not null)
