with

frozen_cash as (
    select
        seller_id,
        currency,
        balance
    from {{ source('payouts', 'account_balances') }}
    where account = 'seller_payable'
),

open_cash as (
    select
        seller_id,
        currency,
        sum(case when status = 'pending' then net - disputes + adjustments else 0 end) as pending,
        sum(case when status != 'pending' then net - disputes + adjustments else 0 end) as due,
        min(case when status = 'pending' then reserve_closes_at end) as reserve_closes_at
    from {{ ref('int_window_rows') }}
    where payout_window >= {{ first_unfrozen_window() }}
    group by seller_id, currency
),

balances as (
    select
        seller_id,
        currency,
        coalesce(frozen_cash.balance, 0) as frozen,
        coalesce(open_cash.due, 0) as due,
        coalesce(open_cash.pending, 0) as pending,
        open_cash.reserve_closes_at
    from frozen_cash
    full outer join open_cash using (seller_id, currency)
)

-- Payouts are looked up by seller: a CTE read twice would be materialized, and searched for each of them.
select
    balances.seller_id,
    balances.currency,
    {{ money('balances.pending') }} as pending_balance,
    {{ money('balances.frozen + balances.due') }} as available_balance,
    {{ money('coalesce(transit.amount, 0)') }} as in_transit,
    balances.reserve_closes_at,
    latest.status as last_payout_status,
    latest.failure_reason as last_failure_reason
from balances
left join lateral (
    select sum(payouts.amount) as amount
    from {{ source('payouts', 'payouts') }} as payouts
    where
        payouts.seller_id = balances.seller_id
        and payouts.currency = balances.currency
        and payouts.status in ('submitted', 'awaiting_reconciliation')
) as transit on true
left join lateral (
    select
        payouts.status,
        payouts.failure_reason
    from {{ source('payouts', 'payouts') }} as payouts
    where payouts.seller_id = balances.seller_id and payouts.currency = balances.currency
    order by payouts.payout_window desc, payouts.created_at desc
    limit 1
) as latest on true
