-- An approved request has one payout, a rejected one none that could leave; none is of more than the books
-- had for its seller when it was approved; and a schedule is completed by the one request that it asked for.
-- A row here is money that left between two windows although nobody had agreed to it, or that was agreed to
-- and never leaves.
with

requests as (
    select
        requests.request_number,
        requests.decision,
        requests.available,
        requests.decided_at,
        requests.seller_id,
        requests.currency,
        payouts.payout_number,
        (payouts.seller_id, payouts.currency, payouts.amount)
        = (requests.seller_id, requests.currency, requests.amount) as is_as_requested,
        payouts.status,
        payouts.block_reasons,
        payouts.created_at
    from {{ source('payouts', 'payout_requests') }} as requests
    left join {{ source('payouts', 'payouts') }} as payouts
        on requests.request_number = payouts.request_number
    where coalesce(payouts.payout_window >= {{ first_audited_window() }}, true)
),

-- The ledger as it was: what had been booked by then.
balances as (
    select
        requests.request_number,
        coalesce(sum(booked.amount), 0) as balance
    from requests
    left join lateral (
        select entries.amount
        from {{ source('payouts', 'ledger_entries') }} as entries
        inner join {{ source('payouts', 'ledger_transactions') }} as transactions
            on entries.transaction_id = transactions.transaction_id
        where
            entries.account = 'seller_payable'
            and entries.seller_id = requests.seller_id
            and entries.currency = requests.currency
            and transactions.booked_at <= requests.created_at
    ) as booked on true
    where requests.payout_number is not null
    group by requests.request_number
)

select
    requests.request_number as entity,
    case
        when requests.decision = 'approved' and requests.payout_number is null then 'has no payout'
        when coalesce(requests.decision, '') != 'approved' and requests.payout_number is not null
            then 'is not approved, and has a payout'
        when not requests.is_as_requested then 'is not what is paid'
        else 'took more than there was'
    end as problem
from requests
left join balances on requests.request_number = balances.request_number
where
    (requests.decision = 'approved' and requests.payout_number is null)
    or (
        coalesce(requests.decision, '') != 'approved'
        and requests.payout_number is not null
        and (requests.status != 'blocked' or not 'request_rejected' = any(requests.block_reasons))
    )
    or not requests.is_as_requested
    or requests.available > balances.balance
union all
select
    schedules.schedule_number as entity,
    'is not what its request is' as problem
from {{ source('payouts', 'payout_schedules') }} as schedules
left join {{ source('payouts', 'payout_requests') }} as requests
    on schedules.schedule_number = requests.schedule_number
where
    (schedules.status = 'completed') != (requests.request_number is not null)
    or schedules.seller_id != requests.seller_id
    or schedules.currency != requests.currency
    or schedules.amount != requests.amount
