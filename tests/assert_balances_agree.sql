-- A seller's balances, his rows and the ledger tell the same story: what is pending and available is what
-- his last row passes on plus what is promised and not yet handed over, and what is in transit is what the
-- ledger has in transit. These are the numbers a seller sees: a row here is a seller who will ask, and be
-- right.
with

promised as (
    select
        seller_id,
        currency,
        sum(amount) as amount
    from {{ source('payouts', 'payouts') }}
    where status = 'ready'
    group by seller_id, currency
),

open_rows as (
    select
        seller_id,
        currency,
        sum(case when status = 'ready' then payable else 0 end) as ready,
        sum(case when status = 'pending' then net - disputes + adjustments else 0 end) as pending,
        (array_agg(
            carry_out + case when status = 'blocked' then payable else 0 end
            order by payout_window desc
        ))[1] as left_over
    from {{ ref('int_window_rows') }}
    where payout_window >= {{ first_unfrozen_window() }}
    group by seller_id, currency
),

accounts as (
    select
        seller_id,
        currency,
        sum(case when account = 'seller_payable' then balance else 0 end) as payable,
        sum(case when account = 'payouts_in_transit' then balance else 0 end) as in_transit
    from {{ source('payouts', 'account_balances') }}
    where account in ('seller_payable', 'payouts_in_transit')
    group by seller_id, currency
)

select
    seller_id,
    currency,
    balances.pending_balance,
    balances.available_balance,
    balances.in_transit
from {{ ref('seller_balances') }} as balances
full outer join accounts using (seller_id, currency)
full outer join open_rows using (seller_id, currency)
left join promised using (seller_id, currency)
where
    balances.seller_id is null
    or balances.in_transit != coalesce(accounts.in_transit, 0)
    or balances.pending_balance != coalesce(open_rows.pending, 0)
    or balances.pending_balance + balances.available_balance != case
        when open_rows.seller_id is null then coalesce(accounts.payable, 0)
        else open_rows.left_over + open_rows.ready + coalesce(promised.amount, 0)
    end
