-- At any instant, what was frozen as payable is ready, blocked, in flight, paid or rolled, per window and
-- currency: what waits or has rolled is counted by its payouts, what has left by the ledger. Treasury and an
-- auditor ask for exactly this sum. A row here is money that has left a window without a payout, or a payout
-- that nobody will find again.
with

payouts as (
    select * from {{ source('payouts', 'payouts') }}
    where payout_window >= {{ first_audited_window() }} and request_number is null
),

positions as (
    select
        payout_window,
        currency,
        payable as frozen,
        0 as accounted_for
    from {{ source('payouts', 'frozen_rows') }}
    where payout_window >= {{ first_audited_window() }} and payable > 0
    union all
    select
        payout_window,
        currency,
        0 as frozen,
        amount as accounted_for
    from payouts
    where status in ('ready', 'blocked', 'failed', 'returned')
    union all
    select
        payouts.payout_window,
        payouts.currency,
        0 as frozen,
        gone.amount as accounted_for
    from payouts
    -- Added up one by one: a join might read all of the ledger.
    inner join lateral (
        select sum(entries.amount) as amount
        from {{ source('payouts', 'ledger_entries') }} as entries
        where
            entries.payout_number = payouts.payout_number
            and entries.account in ('payouts_in_transit', 'payouts_paid')
    ) as gone on gone.amount is not null
)

select
    payout_window,
    currency,
    sum(frozen) as frozen,
    sum(accounted_for) as accounted_for
from positions
group by payout_window, currency
having sum(frozen) != sum(accounted_for)
